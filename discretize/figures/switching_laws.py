"""What a switching gradient flow settles to: Beta laws, and Dirichlet weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from flows import quadratic_sum
from flows.drawing import COLOURS, Numbers
from sde import (
    StochasticGradientProcess,
    SwitchingState,
    UniformIndex,
    simulate_skeletons,
    switching_law,
)

LABEL_COLOURS = ("blue", "vermilion", "green")
TRIANGLE = np.array([[0.0, 1.0], [-np.sqrt(3) / 2, -0.5], [np.sqrt(3) / 2, -0.5]])
_EVENTS = 256  # held by every run, so that all share one compilation


def draw_by_label(ax: Any, times: np.ndarray, x: Any, labels: Any, **style: Any):
    """A path whose pieces have the colours of their labels."""
    from matplotlib.collections import LineCollection

    points = np.column_stack([times, np.asarray(x)])
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    colours = [COLOURS[LABEL_COLOURS[i]] for i in np.asarray(labels)[:-1]]
    ax.add_collection(LineCollection(list(pieces), colors=colours, **style))


def _process(centres: np.ndarray, theta: float) -> StochasticGradientProcess:
    """κ = α = 1 and the relaxation rate r = θ."""
    index = UniformIndex(len(centres), theta, "fresh_draw")
    return StochasticGradientProcess(quadratic_sum(centres), index)


def _ends(process: Any, theta: float, paths: int, key: int) -> np.ndarray:
    """Positions of independent paths after 12 relaxation times of both kinds."""
    centre = jnp.mean(process.objective.centres, axis=0)
    start, t1 = SwitchingState(centre, None), 12 * max(1.0, 1 / theta)
    run = simulate_skeletons(
        process, start, t1=t1, key=key, paths=paths, events=_EVENTS
    )
    return np.asarray(run.final.position)


@figure
def beta_laws(
    *, shapes: Sequence[float] = (0.25, 1.0, 4.0), paths: int = 20_000, time: float = 16
) -> tuple[Any, Numbers]:
    """Stationary laws of switching between two and between three quadratics.

    Args:
        shapes: the concentrations θ/N of one column each, at most 4.
        paths: of the histograms.
        time: length of the paths shown, in relaxation times α/κ.
    """
    import matplotlib.pyplot as plt

    fig = plt.figure(figsize=(10.5, 6.6), layout="constrained")
    halves: Any = fig.subfigures(2, 1, height_ratios=(1.0, 1.15))
    top, bottom = halves
    columns = len(shapes)
    widths = ([2.4, 1, 0.25] * columns)[:-1]  # path, law, room
    upper = top.subplots(
        1, 3 * columns - 1, sharey=True, gridspec_kw={"width_ratios": widths}
    )
    for room in upper[2::3]:
        room.set_visible(False)
    lower = bottom.subplots(1, columns)
    pair = np.array([[1.0], [-1.0]])
    grid = np.linspace(-1, 1, 801)[1:-1]
    arrays: dict[str, Any] = {"x": grid}
    for column, shape in enumerate(shapes):
        process = _process(pair, 2 * shape)
        found = _ends(process, 2 * shape, paths, key=column + 1)[:, 0]
        density = switching_law(process).density(grid)
        axes = upper[3 * column], upper[3 * column + 1]
        _draw_path(axes[0], process, time, key=column + 11)
        axes[0].set_title(_title(shape), fontsize=12, loc="left")
        axes[1].set_title(_beta(shape), fontsize=10, color="0.25")
        heights = _draw_law(axes[1], found, grid, density)
        corners = _process(TRIANGLE, 3 * shape)
        points = _ends(corners, 3 * shape, paths, key=column + 21)
        _draw_triangle(lower[column], points)
        name = f"{shape:g}"
        arrays |= {
            f"density_{name}": density,
            f"positions_{name}": found,
            f"heights_{name}": heights,
            f"points_{name}": points,
        }
    upper[0].set_ylabel("two losses\n" r"position $x$", fontsize=11)
    lower[0].set_ylabel("three losses\nin the plane", fontsize=11)
    caption = (
        "α x' = -κ(x - a_I): the position follows the loss in force (colours). It "
        "settles to weights of the centres a_i, the share of the recent past that each "
        "held: Dirichlet(θ/N, ..., θ/N), with θ = αr/κ switches per relaxation time. "
        "Above: paths between two centres, and beside them histograms of "
        f"{paths:,} simulated paths under the exact Beta(θ/2, θ/2) density. Below: "
        "where paths between three centres end. Slow switching waits at the centres, "
        "θ = N fills interval and triangle evenly, fast switching gathers about the "
        "mean."
    )
    return fig, Numbers(caption, shapes=shapes, **arrays)


def _title(shape: float) -> str:
    kind = "even" if shape == 1 else "slow" if shape < 1 else "fast"
    return rf"{kind}: $\theta/N = {shape:g}$"


def _beta(shape: float) -> str:
    return rf"Beta$({shape:g}, {shape:g})$"


def _draw_path(ax: Any, process: Any, time: float, key: int) -> None:
    start = SwitchingState(jnp.zeros(1), None)
    run = simulate_skeletons(process, start, t1=time, key=key, paths=1, events=_EVENTS)
    times = np.linspace(0, time, 1500)
    states = run.at(times)
    draw_by_label(ax, times, states.position[:, 0, 0], states.label[:, 0], lw=1.6)
    for centre, colour in ((1.0, "blue"), (-1.0, "vermilion")):
        ax.axhline(centre, color=COLOURS[colour], lw=1.2, ls=":")
    ax.set(
        xlim=(0, time),
        ylim=(-1.08, 1.08),
        xlabel=r"time $\kappa t/\alpha$",
        xticks=np.arange(0, time + 1, 4),
        yticks=[-1, 0, 1],
        yticklabels=["$a_2$", r"$\bar a$", "$a_1$"],
    )
    ax.spines[["top", "right"]].set_visible(False)


def _draw_law(ax: Any, found: np.ndarray, grid: np.ndarray, density: Any) -> Any:
    edges = np.linspace(-1, 1, 41)
    heights = np.histogram(found, edges, density=True)[0]
    style = {"orientation": "horizontal", "color": COLOURS["sky"], "alpha": 0.55}
    ax.stairs(heights, edges, fill=True, **style)
    ax.plot(density, grid, color=COLOURS["black"], lw=1.8)
    ax.set(xlim=(0, 1.12 * max(heights.max(), 1.0)), xticks=[])
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    return heights


def _draw_triangle(ax: Any, points: np.ndarray) -> None:
    ring = TRIANGLE[[0, 1, 2, 0]]
    ax.plot(*ring.T, color="0.6", lw=1, zorder=1)
    # colours mix as the weights of the centres do
    weights = np.linalg.solve(
        np.vstack([TRIANGLE.T, np.ones(3)]), np.vstack([points.T, np.ones(len(points))])
    )
    from matplotlib.colors import to_rgb

    pure = np.array([to_rgb(COLOURS[c]) for c in LABEL_COLOURS])
    shades = np.clip(weights.T @ pure, 0, 1)
    shown = slice(0, 6000)
    ax.scatter(*points[shown].T, s=3.5, c=shades[shown], alpha=0.5, lw=0, zorder=2)
    for corner, colour in zip(TRIANGLE, LABEL_COLOURS, strict=True):
        ax.plot(*corner, "o", ms=9, color=COLOURS[colour], zorder=3, mec="white")
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
