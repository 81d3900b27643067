"""Losing momentum: the loss under a mass that falls, and the optimiser that it is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.heavy_ball import retention_and_gain
from flows import PowerSchedule, finite_sum
from flows.drawing import COLOURS, Numbers
from flows.problems import tilted_double_well
from sde import (
    ExactJumps,
    StochasticGradientMomentumProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    simulate,
    zero_mass,
)

TILT, NOISE = 0.1, 0.3
LOCAL, GLOBAL = -0.152469, -0.352386  # values of F at its two minima


def _loss(x: np.ndarray) -> np.ndarray:
    return x**4 / 4 - x**2 / 2 + TILT * x


def _positions(process: Any, times: np.ndarray, paths: int) -> np.ndarray:
    """Positions at the times, from 2 at rest, shape [times, paths]."""
    labels = jnp.arange(paths) % 2
    x, v = jnp.full((paths, 1), 2.0), jnp.zeros((paths, 1))
    start: Any = SwitchingState(x, labels)
    if isinstance(process, StochasticGradientMomentumProcess):
        start = SwitchingMomentumState(x, v, labels)
    run = simulate(
        process,
        start,
        t1=float(times[-1]),
        scheme=ExactJumps(substeps=4),
        h=float(times[1]),
        key=0,
        paths=paths,
        save="all",
    )
    return np.asarray(run.states.position)[..., 0]


@figure
def losing_momentum(
    *, mass: float = 8.0, halving: float = 4.0, h: float = 1.0, paths: int = 400
) -> tuple[Any, Numbers]:
    """Mean loss against time: momentum kept, momentum lost, none; and β_k, η_k.

    Args:
        mass: m at the start, and all along where it is kept.
        halving: τ of m(t) = m/(1 + t/τ), the time after which it has halved.
        h: step of the optimiser whose β_k and η_k are drawn (time).
        paths: of each simulation.
    """
    import matplotlib.pyplot as plt

    losses = finite_sum([tilted_double_well(TILT + e) for e in (NOISE, -NOISE)])
    index = UniformIndex(2, PowerSchedule(1.0, 5.0, 1.0))
    times = np.arange(0, 50.01, 0.25)
    kept, lost = (PowerSchedule(mass, halving, p) for p in (0.0, -1.0))
    models = {
        m: StochasticGradientMomentumProcess(losses, index, s)
        for m, s in (("kept", kept), ("lost", lost))
    }
    models = {"none": zero_mass(models["kept"]), **models}
    x = {name: _positions(model, times, paths) for name, model in models.items()}
    found = {name: _loss(each).mean(axis=1) for name, each in x.items()}
    fig, (top, low) = plt.subplots(
        2, 1, figsize=(7.4, 6), layout="constrained", sharex=True, height_ratios=(2, 1)
    )
    _losses(top, times, found, mass, halving)
    steps = h * np.arange(int(times[-1] / h))
    masses = np.asarray(jax.vmap(lost)(jnp.asarray(steps)))
    beta, gain = retention_and_gain("implicit", h, masses, 1.0)
    _weights(low, steps, beta, h * gain, h)
    settled = {name: float(np.mean(each[-1] < 0)) for name, each in x.items()}
    stays = 1 - settled["none"]
    caption = (
        "Switching between two tilts of a double well, ever faster, from x = 2 at "
        f"rest; means over {paths} paths. Without momentum {stays:.0%} of them end in "
        "the shallow well. Momentum carries them over the barrier, but kept it also "
        f"carries {1 - settled['kept']:.0%} back for good; lost in time, "
        f"{1 - settled['lost']:.0%}. Below, the optimiser that steps the flow with "
        f"h = {h:g}: as β falls the learning rate rises, to h/α (dotted) in the end."
    )
    numbers = {"t": times, "beta": beta, "eta": h * gain, **found}
    shares = {f"deep_{name}": share for name, share in settled.items()}
    return fig, Numbers(caption, **numbers, **shares)


def _losses(ax: Any, times: Any, found: Any, mass: float, halving: float) -> None:
    styles = {
        "none": ("no momentum", "black"),
        "kept": (f"momentum kept, $m = {mass:g}$", "orange"),
        "lost": (f"momentum lost, $m = {mass:g}/(1 + t/{halving:g})$", "blue"),
    }
    for value, name, side, points in (
        (LOCAL, "bottom of the shallow well", "bottom", 2),
        (GLOBAL, "bottom of the deep well", "top", -4),
    ):
        ax.axhline(value, color="0.75", lw=1, zorder=0)
        ax.annotate(
            name,
            (times[-1], value),
            (0, points),
            textcoords="offset points",
            va=side,
            ha="right",
            color="0.4",
        )
    for name, (label, colour) in styles.items():
        ax.plot(times, found[name], color=COLOURS[colour], lw=2, label=label)
    ax.set(ylabel=r"mean loss $E\,F(x_t)$", ylim=(-0.42, 0.35))
    ax.legend(frameon=False, loc="upper right")


def _weights(ax: Any, t: Any, beta: Any, eta: Any, h: float) -> None:
    blue, red = COLOURS["blue"], COLOURS["vermilion"]
    ax.plot(t, beta, color=blue, lw=2)
    ax.set(xlabel=r"time $t = kh$ (units of friction/curvature)", ylim=(0, 1.05))
    ax.set_ylabel(r"momentum $\beta_k$", color=blue)
    twin = ax.twinx()
    twin.plot(t, eta, color=red, lw=2)
    twin.axhline(h, color=red, lw=1, ls=":")
    twin.set_ylabel(r"learning rate $\eta_k$", color=red)
    twin.set(ylim=(0, 1.1 * h))
