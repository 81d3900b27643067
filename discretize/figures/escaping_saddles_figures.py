"""Saddles: how inertial Newton leaves them, and how a search finds the way down."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.hitting import first_hit
from discretize.negative_curvature import momentum_growth, negative_curvature
from discretize.regimes import regimes
from discretize.schemes import Euler
from flows import GradientFlow, InertialNewtonPsiFlow, PhaseState, iterate
from flows.drawing import COLOURS, Numbers
from flows.problems import coupled_wells, quadratic, saddle_between_wells

STEP = 0.02
FIRST_LOOK = 2
"""Gradients spent when a search has looked along its start: at x, and beside it."""
PALETTE = ("black", "blue", "orange", "green")


def _inna(friction, damping, start, steps) -> np.ndarray:
    """Positions of INNA from a start with v₀ = -∇f."""
    flow = InertialNewtonPsiFlow(saddle_between_wells(), friction, damping)
    x = jnp.asarray(start)
    y = flow.from_phase(PhaseState(x, -flow.objective.gradient(x)))
    run = iterate(Euler(), flow, y, h=STEP, steps=steps)
    return np.asarray(run.positions)


def _landscape(ax) -> None:
    x, y = np.meshgrid(np.linspace(-2.1, 2.1, 201), np.linspace(-1.2, 1.8, 151))
    level = x**4 - 4 * x**2 + y**2
    ax.contour(x, y, level, levels=np.arange(-4, 5, 0.8), colors="0.82", linewidths=0.8)
    ax.plot(0, 0, "X", color=COLOURS["vermilion"], ms=9, zorder=4)
    ax.plot([-math.sqrt(2), math.sqrt(2)], [0, 0], "*", color="0.35", ms=11, zorder=4)
    ax.annotate("saddle", (0, 0), (0.12, -0.32), color=COLOURS["vermilion"])
    ax.annotate("minimum", (math.sqrt(2), 0), (1.1, -0.42), color="0.35")
    ax.set(xlabel="$x$", ylabel="$y$", xlim=(-2.1, 2.1), ylim=(-1.2, 1.8))


@figure
def leaving_a_saddle(
    *,
    pairs: tuple[tuple[float, float], ...] = ((1.0, 0.2), (3.0, 0.5)),
    offsets: tuple[float, ...] = (0.0, 1e-9, 1e-3, -0.1),
    steps: int = 900,
) -> tuple[Any, Numbers]:
    """INNA from points on and beside the stable manifold of a saddle.

    Args:
        pairs: (α, β) of the two landscapes: αβ < 1 and αβ > 1.
        offsets: x₀ of the starts, whose y₀ is 1.5.
        steps: of each run; h = 0.02.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(12.0, 3.9), layout="constrained")
    arrays, where = {}, []
    for ax, (friction, damping) in zip(axes, pairs, strict=False):
        _landscape(ax)
        for x0, colour in zip(offsets, PALETTE, strict=True):
            path = _inna(friction, damping, [x0, 1.5], steps)
            where.append(path[-1])
            label = "$x_0 = 0$" if x0 == 0 else f"$x_0 = {_power(x0)}$"
            width = 4.0 if x0 == 0 else 1.6  # seen below the others
            ax.plot(*path.T, color=COLOURS[colour], lw=width, label=label)
        ab = friction * damping
        sign = "<" if ab < 1 else ">"
        ax.set_title(rf"$\alpha\beta = {ab:g} {sign} 1$")
    axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    arrays = _distances(axes[2], *pairs[0])
    caption = (
        "INNA on x⁴ - 4x² + y², started at y = 1.5 with v₀ = -∇f. Started on the line "
        "x = 0 (black) it ends in the saddle, beside it in a minimum, whether it "
        "spirals (left) or not (middle). Right: the distance from the line grows by "
        "1 + γμ₊ a step (dotted), so that a start 10⁹ times closer only escapes later. "
        "Even a start in the saddle's stable direction (black) is thrown out once "
        "rounding has left that direction; in exact arithmetic it follows the dashed "
        "line for ever."
    )
    return fig, Numbers(caption, ends=np.array(where), **arrays)


def _power(x: float) -> str:
    sign, e = ("-" if x < 0 else ""), round(math.log10(abs(x)))
    return sign + rf"10^{{{e}}}"


def _distances(ax, friction, damping) -> dict[str, np.ndarray]:
    """|x_k| against the step, with the predicted growth; what is drawn."""
    up, down = np.real(np.asarray(regimes(-8.0, friction, damping).eigenvalues))
    steps, shown = np.arange(401), {}
    for x0, colour in ((1e-3, "orange"), (1e-6, "sky"), (1e-12, "blue")):
        path = np.abs(_inna(friction, damping, [x0, 0.0], 400)[:, 0])
        amplitude = -down * (1 + up) / (up - down) * x0
        line = amplitude * (1 + STEP * up) ** steps
        ax.semilogy(steps, path, color=COLOURS[colour], lw=1.8)
        ax.semilogy(steps[line < 3], line[line < 3], ":", color="0.3", lw=1.2)
        ax.annotate(f"${_power(x0)}$", (6, x0 / 6), color=COLOURS[colour])
        shown[f"distance_{x0:g}"] = path
    slope = (1 - friction * damping) / (1 + damping * down)
    linear = _linear_mode(friction, damping, slope)
    ax.semilogy(steps, linear, color="black", lw=1.8)
    ax.semilogy(steps, (1 + STEP * down) ** steps, "--", color="0.4", lw=1.2)
    turn = int(np.argmin(linear))
    ax.annotate(
        "stable direction,\nin float64",
        (turn, linear[turn]),
        (turn - 170, 1e-2 * linear[turn]),
        arrowprops={"arrowstyle": "-", "color": "0.5"},
        ha="left",
    )
    ax.set(xlabel="step $k$", ylabel="distance $|x_k|$ from the line, $x_0$ as marked")
    ax.set(ylim=(1e-13, 9), title=rf"$\alpha = {friction:g},\ \beta = {damping:g}$")
    return shown | {"stable_direction": linear, "rates": np.array([up, down])}


def _linear_mode(friction, damping, slope) -> np.ndarray:
    """|x_k| of INNA on -4x² from (1, slope), in double precision."""
    f = quadratic(np.array([-8.0]))
    flow = InertialNewtonPsiFlow(f, friction, damping)
    y = flow.from_phase(PhaseState(jnp.ones(1), jnp.zeros(1)))
    run = iterate(Euler(), flow, y._replace(psi=jnp.array([slope])), h=STEP, steps=400)
    return np.abs(np.asarray(run.positions)[:, 0])


def _times_to_escape(d: int, starts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gradients that the three methods spend, one entry a start; infinite: in vain."""
    f, smoothness = coupled_wells(d), d + 4.0
    gamma = (math.sqrt(d**2 + 4 * d) - d) / 2
    x, found = jnp.zeros(d + 1), []
    for target in (None, gamma):
        steps = 12 * d + 100 if target is None else int(40 * math.sqrt(d)) + 100

        def search(start, steps=steps, target=target):
            return negative_curvature(
                f,
                x,
                start,
                smoothness=smoothness,
                radius=1e-4,
                steps=steps,
                target=target,
            ).rayleigh

        looks = np.asarray(jax.vmap(search)(jnp.asarray(starts[:, : d + 1])))
        found.append(first_hit(looks < -gamma / 4) + FIRST_LOOK)
    every = max(1, d // 8)
    flow, steps = GradientFlow(f), every * ((20 * d + 200) // every)

    def descend(noise):
        push = 1e-3 * (noise / jnp.linalg.norm(noise))[: d + 1]
        run = iterate(Euler(), flow, push, h=1 / smoothness, steps=steps, save=every)
        return jax.vmap(f.value)(run.positions)

    losses = np.asarray(jax.vmap(descend)(jnp.asarray(starts[:, : d + 3])))
    found.append(every * first_hit(losses < -d / 8))
    return tuple(found)


def _predicted(d: np.ndarray) -> np.ndarray:
    """The medians by the growth of one mode among d - 1 flat ones, [methods, d].

    A search is there when the mode's square is a third of the others'; it starts with
    the median 0.455 of a squared normal beside d - 1, with momentum at the part
    w₊(1 - w₋)/(w₊ - w₋) of it. Half way down, x = 0.541.
    """
    q = (np.sqrt(d**2 + 4 * d) - d) / 2 / (d + 4)
    fast, slow = momentum_growth(q)
    part = fast * (1 - slow) / (fast - slow)
    behind = np.log((d - 1) / (3 * 0.455)) / 2
    push = 1e-3 * math.sqrt(0.455) / np.sqrt(d)
    away = np.log(0.541 * np.sqrt(d) / push)
    steps = np.stack([behind / np.log1p(q), (behind - np.log(part)) / np.log(fast)])
    return np.concatenate([steps + FIRST_LOOK, (away / np.log1p(q))[None]])


@figure
def escape_times(
    *, dimensions: tuple[int, ...] = (4, 16, 64, 256), count: int = 25
) -> tuple[Any, Numbers]:
    """Gradients spent at a saddle whose steepest curvature grows with the dimension.

    Args:
        dimensions: d, number of wells that are coupled.
        count: random starts a dimension; the median is drawn.
    """
    import matplotlib.pyplot as plt

    starts = np.random.default_rng(1).standard_normal((count, max(dimensions) + 3))
    rows = [_times_to_escape(d, starts) for d in dimensions]
    table = np.array([[np.median(r) for r in row] for row in rows]).T
    names = ("search, plain", "search, with momentum", "descent after a push")
    fig, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
    for row, name, colour, mark in zip(
        table, names, ("blue", "vermilion", "black"), "osD", strict=True
    ):
        ax.loglog(dimensions, row, f"-{mark}", color=COLOURS[colour], lw=2, label=name)
    d = np.array(dimensions, float)
    fine = np.geomspace(d[0], d[-1], 60)
    for curve in _predicted(fine):
        ax.loglog(fine[curve > 2], curve[curve > 2], ":", color="0.4", lw=1.4)
    ax.plot([], [], ":", color="0.4", lw=1.4, label="predicted")
    ax.set(xlabel="dimension $d$ = steepest curvature at the saddle (lowest: -1)")
    ax.set(ylabel="gradients")
    ax.legend(frameon=False)
    caption = (
        "The saddle of Σ x⁴/4 - y Σ x + d y²/2: steepest curvature d + 1, lowest -1. "
        "Gradients until a direction of curvature below -1/4 is known (searches), and "
        "until the loss has fallen half way to the minimum (descent after a random "
        "push of length 10⁻³). What to see: without momentum both grow like d log d, "
        f"with it like √d log d: at d = {dimensions[-1]} that is {table[0, -1]:.0f} "
        f"against {table[1, -1]:.0f}. Dotted: growth of the one mode alone, by hand."
    )
    predicted = _predicted(d)
    return fig, Numbers(caption, dimensions=d, gradients=table, predicted=predicted)
