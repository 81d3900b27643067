"""Momentum against a barrier: a double well that is crossed with mass alone."""

from __future__ import annotations

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from flows import DampedFlow, PhaseState, finite_sum, solve
from flows.drawing import COLOURS, Numbers
from flows.problems import double_well, tilted_double_well
from sde import (
    ExactJumps,
    StochasticGradientMomentumProcess,
    SwitchingMomentumState,
    UniformIndex,
    simulate,
)

CRITICAL = 1.13630705673  # m/α² at which the path from rest at 2 ends on the barrier
FRICTION = 0.5
START = 2.0
TILT = 0.3
STYLES = (
    (0.15, "blue", (1.9, 1.13)),
    (0.28, "sky", (5.2, 0.6)),
    (0.29, "orange", (4.6, -0.6)),
    (0.6, "vermilion", (0.5, -1.0)),
)
"""Mass and colour of the paths, place of the label."""
RATES = ((0.5, "green", "s"), (4.0, "black", "o"))
"""Rate of the clock, colour and marker."""


@figure
def barrier_crossing(*, paths: int = 200, masses: int = 13) -> tuple[Any, Numbers]:
    """A double well from rest at x = 2: paths by mass, and chances of crossing.

    Args:
        paths: of the switching process, for each mass and rate.
        masses: number of masses between 0.02 and 0.6.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    times, curves = _flows()
    _draw_paths(left, times, curves)
    critical = CRITICAL * FRICTION**2
    grid = np.linspace(0.02, 0.6, masses)
    chances = {rate: _crossed(grid, rate, paths) for rate, *_ in RATES}
    right.step(
        [0, critical, 0.62], [0, 0, 1], where="pre", color="0.55", lw=2, zorder=1
    )
    for rate, colour, marker in RATES:
        right.plot(
            grid,
            chances[rate],
            marker + "-",
            color=COLOURS[colour],
            ms=5,
            lw=1.4,
            label=rf"switching, $\gamma$ = {rate:g} (1/time)",
        )
    right.plot(0, 0, "D", color=COLOURS["purple"], ms=9, clip_on=False, zorder=5)
    right.annotate(
        "switching without\nmomentum: never",
        (0, 0),
        xytext=(0.012, 0.63),
        color=COLOURS["purple"],
        arrowprops={"arrowstyle": "->", "color": COLOURS["purple"]},
    )
    right.annotate(
        "no switching:\na step at $m_c$",
        (critical, 0.9),
        xytext=(critical - 0.01, 0.86),
        color="0.35",
        ha="right",
    )
    right.set(
        xlim=(0, 0.62),
        ylim=(-0.02, 1.04),
        xlabel=r"mass $m$ (time$^2\cdot$curvature)",
        ylabel="share of paths beyond the barrier by $t = 20$",
        title=rf"losses $f(x) \pm {TILT:g}\,x$ that switch",
    )
    right.legend(frameon=False, loc="lower right")
    floor = _lowest_well()
    caption = (
        f"A double well f = (x² - 1)²/4 with friction α = {FRICTION:g}, from rest at "
        f"x = 2. Left: the gradient flow stops at the first minimum; with momentum a "
        f"path crosses the barrier at 0 if its mass exceeds m_c = 1.1363 α² = "
        f"{critical:.4f}, and not below. Right: with losses f ± {TILT:g} x that switch "
        f"the step becomes a smooth curve, for light masses too, and the less so the "
        f"faster the switching. Without momentum the same switching never crosses: "
        f"either loss pushes back what comes to x = {floor:.2f}."
    )
    numbers = {f"share_{rate:g}": chances[rate] for rate, *_ in RATES}
    numbers |= {f"path_{mass:g}": curves[mass] for mass in curves}
    return fig, Numbers(
        caption, times=times, masses=grid, critical=critical, floor=floor, **numbers
    )


def _flows() -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Times, and positions by mass; mass 0 is the gradient flow's closed form."""
    times = np.linspace(0.0, 12.0, 241)
    rest = PhaseState(jnp.full((1,), START), jnp.zeros(1))
    curves = {0.0: 1 / np.sqrt(1 - (1 - START**-2) * np.exp(-2 * times / FRICTION))}
    for mass, *_ in STYLES:
        flow = DampedFlow(double_well(), mass, FRICTION)
        run = solve(flow, rest, 0.0, 12.0, saveat=diffrax.SaveAt(ts=jnp.asarray(times)))
        curves[mass] = np.asarray(run.positions)[:, 0]
    return times, curves


def _crossed(masses: np.ndarray, rate: float, paths: int) -> np.ndarray:
    """The share of paths that are seen at x < 0 at a time 1/4, 1/2, …, 20."""
    losses = finite_sum([tilted_double_well(TILT), tilted_double_well(-TILT)])
    labels = jnp.arange(paths) % 2
    rest = SwitchingMomentumState(
        jnp.full((paths, 1), START), jnp.zeros((paths, 1)), labels
    )
    shares = []
    for mass in masses:
        process = StochasticGradientMomentumProcess(
            losses, UniformIndex(2, rate), float(mass), FRICTION
        )
        run = simulate(
            process,
            rest,
            t1=20.0,
            scheme=ExactJumps(substeps=4),
            h=0.25,
            key=7,
            paths=paths,
            save="all",
        )
        beyond = np.any(np.asarray(run.states.position) < 0, axis=(0, 2))
        shares.append(np.mean(beyond))
    return np.array(shares)


def _lowest_well() -> float:
    """The largest zero of x³ - x + tilt: no overdamped path passes it downwards."""
    return float(np.max(np.roots([1.0, 0.0, -1.0, TILT]).real))


def _draw_paths(ax, times, curves) -> None:
    ax.axhline(0, color="0.5", lw=1, ls="--", zorder=0)
    ax.text(11.9, 0.06, "barrier", color="0.35", ha="right")
    ax.plot(times, curves[0.0], color=COLOURS["purple"], lw=2.2, ls=":")
    ax.text(0.55, 1.5, "no momentum", color=COLOURS["purple"])
    for mass, colour, place in STYLES:
        ax.plot(times, curves[mass], color=COLOURS[colour], lw=1.8)
        ax.text(*place, f"$m$ = {mass:g}", color=COLOURS[colour])
    ax.set(
        xlim=(0, 12),
        ylim=(-1.9, 2.1),
        xlabel="time $t$",
        ylabel="position $x$",
        title=rf"no switching: $m\ddot x + {FRICTION:g}\,\dot x + f'(x) = 0$",
    )
