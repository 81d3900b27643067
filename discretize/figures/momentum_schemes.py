"""Momentum schemes of the damped flow: energy, stability, and minibatch noise."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.chain_laws import switched_law
from discretize.figures.registry import figure
from discretize.schemes import AOBOA, Euler, GridSwitch, MomentumEuler
from flows import (
    BadInput,
    DampedFlow,
    PhaseState,
    from_sympy,
    iterate,
    problems,
    quadratic_sum,
)
from flows.drawing import COLOURS, Numbers
from sde import StochasticGradientProcess, UniformIndex

ENERGIES: dict[str, tuple[Any, str, str]] = {
    "euler": (Euler(), "explicit Euler", "vermilion"),
    "momentum": (MomentumEuler(), "semi-implicit Euler (heavy ball)", "blue"),
    "splitting": (AOBOA, "symmetric splitting", "green"),
}
"""Scheme, label and colour."""


@figure
def momentum_energy(*, h: float = 0.1, time: float = 30.0) -> tuple[Any, Numbers]:
    """The energy of a ball without friction in a convex well, under three schemes.

    Args:
        h: step, in units of √m.
        time: length of the runs, in the same unit.
    """
    import matplotlib.pyplot as plt
    import sympy

    place = sympy.Symbol("x")
    well = from_sympy(sympy.log(sympy.cosh(place)) + place**2 / 4, [place])
    flow = DampedFlow(well, 1.0, 0.0)
    start = PhaseState(jnp.array([2.0]), jnp.array([0.0]))
    steps = round(time / h)
    fig, (ax, near) = plt.subplots(
        1, 2, figsize=(9.0, 3.8), layout="constrained", width_ratios=(1, 1)
    )
    t = h * np.arange(steps + 1)
    numbers: dict[str, Any] = {"times": t}
    for name, (scheme, label, colour) in ENERGIES.items():
        run = iterate(scheme, flow, start, h=h, steps=steps)
        x, v = (np.asarray(a)[:, 0] for a in run.states)
        energy = v**2 / 2 + np.log(np.cosh(x)) + x**2 / 4
        numbers[name] = energy / energy[0]
        for axis in (ax, near):
            axis.plot(t, energy / energy[0], color=COLOURS[colour], lw=1.8, label=label)
    for axis in (ax, near):
        axis.axhline(1, color="0.4", lw=0.8, ls=":")
        axis.set(xlabel=r"time $t$ (units of $\sqrt{m}$)", xlim=(0, time))
    ax.set(ylabel=r"energy $E(t)/E(0)$", title="Explicit Euler feeds in energy")
    ax.legend(loc="upper left", frameon=False)
    near.set(title="The others wander, and come back", ylim=(0.9, 1.1))
    for y, text, colour in ((1.083, "O(h)", "blue"), (1.068, "O(h²)", "green")):
        near.text(
            0.985 * time, y, text, ha="right", color=COLOURS[colour], weight="bold"
        )
    caption = (
        f"Energy of a ball without friction in ln cosh x + x²/4, step h = {h:g}. "
        "Explicit Euler's grows without end; that of semi-implicit Euler, which is "
        "heavy ball, stays within O(h) for ever, that of the symmetric splitting "
        "within O(h²)."
    )
    return fig, Numbers(caption, **numbers)


REGIONS: dict[str, tuple[str, str]] = {
    "implicit": ("implicit friction (heavy ball)", "blue"),
    "exponential": ("exponential friction", "green"),
    "explicit": ("explicit friction", "orange"),
    "euler": ("explicit Euler", "vermilion"),
}
"""Label and colour of each way for friction to enter."""


def largest_steps(masses: Any, friction: float = 1.0) -> dict[str, np.ndarray]:
    """The stability limits h* of four schemes on κx²/2, κ = 1, for given masses.

    By bisection on the spectral radius of the schemes' own steps.
    """
    import equinox as eqx
    import jax

    m = jnp.asarray(masses, float)

    @eqx.filter_jit
    def radii(scheme: Any, h: Any) -> Any:
        def one(mass, h):
            flow = DampedFlow(problems.quadratic([1.0]), mass, friction)

            def step(z):
                y = PhaseState(z[:1], z[1:])
                y = scheme.step(flow, jnp.zeros(()), y, h, None, None).y
                return jnp.concatenate([y.position, y.velocity])

            a = jax.jacfwd(step)(jnp.zeros(2))
            half, det = (a[0, 0] + a[1, 1]) / 2, a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
            gap = half * half - det  # two real roots where it is positive
            real = jnp.abs(half) + jnp.sqrt(jnp.maximum(gap, 0.0))
            return jnp.where(gap >= 0, real, jnp.sqrt(jnp.abs(det)))

        return jax.vmap(one)(m, h)

    found = {}
    for name in REGIONS:
        scheme = Euler() if name == "euler" else MomentumEuler(name)
        low, high = 1e-6 * jnp.ones_like(m), 1e3 * jnp.ones_like(m)
        for _ in range(60):
            middle = jnp.sqrt(low * high)
            stable = radii(scheme, middle) < 1
            low, high = jnp.where(stable, middle, low), jnp.where(stable, high, middle)
        found[name] = np.asarray(low)
    return found


@figure
def momentum_stability(*, points: int = 121) -> tuple[Any, Numbers]:
    """Largest stable steps of four momentum schemes on a quadratic, against the mass.

    Args:
        points: number of masses.
    """
    import matplotlib.pyplot as plt

    masses = np.geomspace(1e-3, 30, points)
    limits = largest_steps(masses)
    fig, ax = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
    for name, (label, colour) in REGIONS.items():
        ax.loglog(masses, limits[name], color=COLOURS[colour], lw=2, label=label)
    ax.axhline(2, color="0.4", lw=1, ls=":")
    ax.text(1.2e-3, 2.15, "gradient descent: 2α/κ", color="0.3", va="bottom")
    ax.text(0.012, 0.012, "explicit friction: 2m/α", color="0.3")
    ax.set(
        xlabel=r"mass $m$ (units of $\alpha^2/\kappa$)",
        ylabel=r"largest stable step $h$ (units of $\alpha/\kappa$)",
        title="As momentum is lost, only some schemes become gradient descent",
        xlim=(masses[0], masses[-1]),
        ylim=(1.5e-3, 30),
    )
    ax.legend(loc="lower right", frameon=False)
    caption = (
        "Largest stable step of four schemes for m x'' + α x' + κ x = 0. As m → 0 "
        "implicit and exponential friction keep the limit 2α/κ of gradient descent; "
        "explicit friction has to shrink its step like 2m/α."
    )
    return fig, Numbers(caption, masses=masses, **limits)


@figure
def minibatch_ladder(
    *, rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
) -> tuple[Any, Numbers]:
    """Stationary variances of SGD and of switching with different waits, against η.

    Args:
        rates: learning rates η, in units of 1/κ.
    """
    import matplotlib.pyplot as plt

    centres = np.array([[-1.0], [-0.5], [0.5], [1.0]])
    spread, losses = float(np.var(centres)), quadratic_sum(centres, 1.0)
    eta = np.asarray(rates, float)

    def chain(inner: Any) -> np.ndarray:
        found = []
        for h in eta:
            index = UniformIndex(4, 1 / h, "fresh_draw")
            process = StochasticGradientProcess(losses, index)
            try:
                law = switched_law(GridSwitch(inner, "fresh"), process, float(h))
            except BadInput:  # unstable
                found.append(np.nan)
                continue
            found.append(law.covariance[0, 0] / spread)
        return np.array(found)

    def waits(q: float) -> np.ndarray:
        once, twice = (1 + eta / q) ** -q, (1 + 2 * eta / q) ** -q
        return (1 - 2 * once + twice) / (1 - twice)

    curves = {
        "clock": (waits(1.0), r"switching at rate $1/\eta$", "vermilion", "o-"),
        "two": (waits(2.0), "waits in 2 stages", "orange", "s-"),
        "four": (waits(4.0), "waits in 4 stages", "sky", "^-"),
        "descent": (chain(Euler()), r"SGD, learning rate $\eta$", "black", "D-"),
        "fixed": (chain(None), r"fixed waits $\eta$, exact flow", "purple", "v-"),
        "matched": (eta / (2 + eta), r"switching at rate $2/\eta$", "blue", "o--"),
    }
    fig, ax = plt.subplots(figsize=(6.8, 4.4), layout="constrained")
    numbers: dict[str, Any] = {"rates": eta}
    for name, (values, label, colour, style) in curves.items():
        ax.semilogx(
            eta, values / (eta / 2), style, color=COLOURS[colour], lw=1.8, label=label
        )
        numbers[name] = values
    ax.axhline(1, color="0.6", lw=0.8, ls=":", zorder=0)
    ax.axhline(2, color="0.6", lw=0.8, ls=":", zorder=0)
    ax.set(
        xlabel=r"learning rate $\eta$ = mean wait (units of $1/\kappa$)",
        ylabel=r"variance of $x$ over $\eta\kappa s^2/2$",
        title="One ring a step is twice the noise of SGD",
        ylim=(0.5, 2.8),
    )
    ax.set_xticks(eta, [f"{v:g}" for v in eta])
    ax.minorticks_off()
    ax.legend(loc="upper left", ncols=2, frameon=False, fontsize=9)
    caption = (
        "Stationary variance, divided by ηκs²/2, of stochastic gradient descent and of "
        "switching processes with a mean wait η. Exponential waits (rate 1/η) have "
        "twice the noise of SGD; the more regular the waits, the less. Switching at "
        "the rate 2/η matches SGD for small η."
    )
    return fig, Numbers(caption, **numbers)
