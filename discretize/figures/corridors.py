"""Corridors in pictures: orbits, losses, Polyak's step on real data."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.compare import compare
from discretize.figures.registry import figure
from discretize.rows.first_order import POLYAK_SGD
from discretize.rows.gradient import SGD
from discretize.schemes import Euler
from flows import GradientFlow, corridor_meter, from_sympy, iterate, solve
from flows.drawing import COLOURS, Numbers
from flows.problems import digits_mlp

START = np.array([3.0, 4.0])


def _loss(height: float = 0.0, tip: float = 0.0, p: float = 0.0, q: float = 0.0):
    """A √(c + |x|²) + (p x_1² + q x_2²)/2: cone, rounded cone, quadratic, by values."""
    import sympy

    x, y, *symbols = sympy.symbols("x y a c p q", real=True)
    a, c, u, v = symbols
    f = a * sympy.sqrt(c + x**2 + y**2) + (u * x**2 + v * y**2) / 2
    values = dict(zip(symbols, (height, tip, p, q), strict=True))
    return from_sympy(f, [x, y], values)


FINE = 10


def _run(objective: Any, eta: float, steps: int) -> tuple[Any, Any]:
    """The flow at the times k η/FINE, and gradient descent at kη."""
    flow, x0 = GradientFlow(objective), jnp.asarray(START)
    times = eta / FINE * np.arange(FINE * steps + 1)
    saveat = diffrax.SaveAt(ts=jnp.asarray(times))
    path = solve(flow, x0, 0.0, times[-1], saveat=saveat)
    return path, iterate(Euler(), flow, x0, h=eta, steps=steps)


def _contours(ax: Any, objective: Any, levels: Any) -> None:
    side = np.linspace(-1.5, 4.5, 121)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    values = jax.vmap(jax.vmap(objective.value))(jnp.asarray(grid))
    ax.contour(side, side, values, levels=levels, colors="0.8", linewidths=0.8)


@figure
def corridor_orbits(*, eta: float = 0.7, steps: int = 6) -> tuple[Any, Numbers]:
    """Gradient flow and gradient descent inside a corridor and outside one.

    Args:
        eta: step of gradient descent (time of gradient flow), below 2/1.8.
        steps: of gradient descent; eta × steps below 5, the way to the tip of the cone.
    """
    import matplotlib.pyplot as plt

    cone, bowl = _loss(1.0), _loss(p=0.3, q=1.8)
    cases = [
        (cone, "inside a corridor: $f = |x|$", np.arange(0.5, 7, 0.5)),
        (
            bowl,
            "outside: $f = (0.3\\,x_1^2 + 1.8\\,x_2^2)/2$",
            0.4 * np.arange(1, 8) ** 2,
        ),
    ]
    fig, panels = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
    arrays = {}
    for ax, (f, title, levels), key in zip(
        panels, cases, ("inside", "outside"), strict=True
    ):
        path, run = _run(f, eta, steps)
        fine, x = np.asarray(path.states), np.asarray(run.states)
        at_steps = fine[::FINE]
        _contours(ax, f, levels)
        ax.plot(*fine.T, color=COLOURS["blue"], label="gradient flow")
        ax.plot(
            *at_steps.T,
            "o",
            mfc="none",
            ms=10,
            color=COLOURS["blue"],
            label="flow at $t = k\\eta$",
        )
        ax.plot(
            *x.T,
            ":o",
            ms=4.5,
            color=COLOURS["vermilion"],
            label=f"gradient descent, $\\eta = {eta}$",
        )
        ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        ax.set(xlim=(-1.5, 4.5), ylim=(-1.5, 4.5))
        arrays |= {f"{key}_flow": at_steps, f"{key}_descent": x}
    panels[0].legend(frameon=False, loc="upper left")
    caption = (
        "Where |∇f| is constant (left) gradient flow runs straight at constant speed "
        "and gradient descent sits on it at the times kη (dots in the circles), "
        "whatever its step. Elsewhere (right) the flow bends and slows down, and the "
        "dots miss the circles."
    )
    return fig, Numbers(caption, **arrays)


@eqx.filter_jit
def _rates(objective: Any, positions: Any) -> Any:
    """|Hg|/|g| along a path."""
    return jax.lax.map(lambda x: corridor_meter(objective, x).rate, positions)


@figure
def corridor_loss(*, eta: float = 0.25, t1: float = 4.75) -> tuple[Any, Numbers]:
    """Loss and corridor meter along gradient flow, dots for gradient descent.

    Args:
        eta: step of gradient descent (time of gradient flow).
        t1: end of the runs, below 5, when the flow on the cone arrives.
    """
    import matplotlib.pyplot as plt

    cases = {
        "cone": (_loss(1.0), r"$|x|$ (corridor)", "blue"),
        "bowl": (_loss(1.0, 1.0), r"$\sqrt{1+|x|^2}$ (corridor far out)", "green"),
        "isotropic": (
            _loss(p=0.2, q=0.2),
            r"$|x|^2/10$ (straight, slowing)",
            "vermilion",
        ),
    }
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
    arrays = {}
    for key, (f, label, colour) in cases.items():
        path, run = _run(f, eta, round(t1 / eta))
        rates = _rates(f, path.states)
        left.plot(path.times, path.loss, color=COLOURS[colour], label=label)
        left.plot(run.times, run.loss, "o", ms=3.5, color=COLOURS[colour])
        right.plot(path.times, rates, color=COLOURS[colour], label=label)
        arrays |= {f"{key}_loss": path.loss[::FINE], f"{key}_rate": rates[::FINE]}
        arrays |= {f"{key}_descent": run.loss}
    left.set(xlabel="time $t$", ylabel="loss $f$", ylim=(0, None))
    left.set_title(f"lines: flow; dots: descent, $\\eta = {eta}$")
    right.set(xlabel="time $t$", ylabel=r"$|Hg|/|g|$ (1/time)", ylim=(-0.05, None))
    right.set_title("corridor meter: 0 in a corridor")
    left.legend(frameon=False)
    arrays["times"] = eta * np.arange(round(t1 / eta) + 1)
    caption = (
        "In a corridor the loss falls on a straight line (blue), and the meter "
        "|Hg|/|g| is 0. The rounded cone (green) falls straight until it nears its "
        "tip, where the meter rises. An isotropic quadratic (vermilion) has "
        "straight orbits too, but slows down: its meter stays at its curvature, 0.2."
    )
    return fig, Numbers(caption, **arrays)


@figure
def polyak_on_digits(
    *, steps: int = 150, rates: tuple[float, ...] = (0.1, 0.5, 1.0)
) -> tuple[Any, Numbers]:
    """Polyak's step (the corridor learning rate) against constant steps on digits.

    Args:
        steps: of each optimiser, on the full batch.
        rates: the constant learning rates.
    """
    import matplotlib.pyplot as plt

    objective, params = digits_mlp(hidden=16, rows=300, loss="cross_entropy")

    def losses(pairing):
        run = compare(
            objective,
            pairing,
            params,
            steps=steps,
            flow=False,
            check_sharpness=False,
            allow_unstable=True,
        )
        return run.loss, run.positions

    @jax.jit
    def squares(xs):
        return jax.lax.map(lambda x: jnp.sum(objective.gradient(x) ** 2), xs)

    loss, positions = losses(POLYAK_SGD())
    rate = loss / np.asarray(squares(jnp.asarray(positions)))
    constant = [losses(SGD(learning_rate=eta))[0] for eta in rates]
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
    shades = ("sky", "blue", "green")
    for eta, curve, shade in zip(rates, constant, shades, strict=False):
        left.semilogy(curve, color=COLOURS[shade], label=f"constant $\\eta = {eta:g}$")
    left.semilogy(
        loss, color=COLOURS["vermilion"], label=r"Polyak, $\eta_k = f/|\nabla f|^2$"
    )
    left.set(xlabel="step $k$", ylabel="training loss $f(x_k)$")
    left.legend(frameon=False, loc="lower left")
    right.semilogy(rate, color=COLOURS["vermilion"], label="Polyak")
    for eta, shade in zip(rates, shades, strict=False):
        right.axhline(eta, color=COLOURS[shade], lw=1)
    right.set(xlabel="step $k$", ylabel=r"step size $\eta_k$ (time of gradient flow)")
    caption = (
        "Cross-entropy of a small network on 300 digits, full batch. Polyak's step "
        "f/|∇f|² needs no tuning: it grows as the loss flattens (right), and leaves "
        "the constant steps (lines at their heights) behind by orders of magnitude, "
        "at the price of a loss that is not monotone."
    )
    numbers = {f"constant_{eta:g}": c for eta, c in zip(rates, constant, strict=True)}
    return fig, Numbers(caption, polyak=loss, step_size=rate, **numbers)
