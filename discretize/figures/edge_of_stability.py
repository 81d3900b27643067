"""The edge of stability where it can be drawn: a valley, and a wall of sharpness."""

from __future__ import annotations

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.figures.registry import figure
from discretize.optimiser import OptaxStep, Training
from flows import CentralFlow, iterate, solve
from flows.central import GradientDescent, solve_sections
from flows.drawing import COLOURS, Numbers
from flows.problems import valley, wall


def _descent(problem: Any, start: Any, learning_rate: float, steps: int) -> np.ndarray:
    """Iterates of optax.sgd, shape [steps + 1, n]."""
    run = iterate(
        OptaxStep(optax.sgd, learning_rate),
        Training(problem),
        jnp.asarray(start),
        h=1.0,
        steps=steps,
    )
    return np.asarray(run.positions)


def _level_sets(ax: Any, problem: Any, along: Any, across: Any) -> None:
    z, x = np.meshgrid(along, across)
    s, a, d, k = (float(problem.parameters[name]) for name in "sadk")
    loss = (s + a * z) * x**2 / 2 - d * z + k * z**2 / 2
    levels = np.min(loss) + np.ptp(loss) * np.linspace(0.004, 1, 18) ** 2
    ax.contourf(z, x, loss, levels=levels, cmap="Greys", alpha=0.35, extend="both")


@figure
def valley_at_the_edge(
    *,
    learning_rate: float = 0.5,
    start: tuple[float, float] = (0.3, -0.45),
    steps: int = 240,
):
    """Gradient descent, gradient flow and central flow in a narrowing valley."""
    import matplotlib.pyplot as plt

    problem = valley(2 / learning_rate, 1.0, 0.03, 0.12)
    flow = CentralFlow(problem, GradientDescent(learning_rate))
    begin, t1 = flow.start(jnp.asarray(start)), float(steps)
    times = np.linspace(0.0, t1, 4 * steps + 1)
    central: Any = solve_sections(flow, begin, 0.0, t1, times=times)
    saveat = diffrax.SaveAt(ts=jnp.asarray(times))
    smooth = solve(flow.stable, begin, 0.0, t1, saveat=saveat)
    walk = _descent(problem, start, learning_rate, steps)
    variance = np.asarray(central.aux.variance)
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(10.4, 4.0), layout="constrained", width_ratios=(1.7, 1)
    )
    limit = 1.25 * max(np.max(np.abs(walk[:, 0])), np.sqrt(variance[-1]))
    along = np.linspace(start[1] - 0.05, 0.36, 200)
    _level_sets(left, problem, along, np.linspace(-limit, limit, 200))
    style = {"ms": 3.5, "color": COLOURS["vermilion"]}
    left.plot(walk[:, 1], walk[:, 0], "-", lw=0.7, alpha=0.35, color=style["color"])
    left.plot(walk[:, 1], walk[:, 0], ".", **style)
    for run, ink in ((smooth, "blue"), (central, "green")):
        x, z = np.asarray(run.positions).T
        left.plot(z, x, color=COLOURS[ink], lw=3)
        left.plot(z[-1], x[-1], "o", ms=9, color=COLOURS[ink])
    _label_valley(left, limit, np.sqrt(variance[-1]), start)
    _draw_variance(right, walk[:, 0] ** 2, times, variance)
    caption = (
        "A valley that narrows to the right. Gradient flow (blue) follows its floor to "
        "the minimum. Gradient descent cannot: beyond z = 0 the sharpness exceeds 2/η, "
        "so it bounces between the walls, and that pushes it back to z = 0. The "
        "central flow (green) stops there, and knows the size of the bouncing: descent "
        "ends by jumping between the two ends of the bar, exactly."
    )
    return fig, Numbers(
        caption,
        descent=walk,
        central=central.positions,
        gradient_flow=smooth.positions,
        variance=variance,
        entries=central.stats["entries"],
    )


def _draw_variance(ax: Any, squares: Any, times: Any, variance: Any) -> None:
    ax.plot(squares, ".-", lw=0.7, ms=3.5, color=COLOURS["vermilion"])
    ax.plot(times, variance, color=COLOURS["green"], lw=3)
    peak = 20 + int(np.argmax(squares[20:]))
    ax.text(
        peak + 0.05 * times[-1],
        0.95 * squares[peak],
        "gradient descent, $x_k^2$",
        color=COLOURS["vermilion"],
    )
    ax.text(
        0.98 * times[-1],
        1.25 * variance[-1],
        r"central flow, $\sigma^2(t)$",
        color=COLOURS["green"],
        ha="right",
    )
    ax.set(
        xlabel="step $k$ = time $t$",
        ylabel="squared displacement across",
        title=r"descent settles on $x^2 = \sigma^2$",
    )


def _label_valley(ax: Any, limit: float, sigma: float, start: Any) -> None:
    ax.axvline(0.0, ls=":", color=COLOURS["black"])
    ax.errorbar(
        [0.0], [0.0], yerr=[sigma], lw=3, capsize=7, capthick=3, color=COLOURS["green"]
    )
    ax.text(0.012, 0.88 * limit, r"sharpness $= 2/\eta$", va="center")
    ax.annotate("gradient descent", (start[1] + 0.02, start[0]), va="center")
    ax.texts[-1].set_color(COLOURS["vermilion"])
    ax.text(0.255, 0.07 * limit, "gradient flow", color=COLOURS["blue"], ha="center")
    ax.text(
        start[1] + 0.02,
        -0.82 * limit,
        "central flow, and its\nbar $\\pm\\sigma$ at the end",
        color=COLOURS["green"],
        va="center",
    )
    ax.annotate(
        "",
        (-0.01, -0.9 * sigma),
        (-0.17, -0.8 * limit),
        arrowprops={"arrowstyle": "->", "color": COLOURS["green"]},
    )
    ax.set(
        xlabel="along the valley, $z$",
        ylabel="across the valley, $x$",
        title="the central flow is where descent bounces, on average",
    )


@figure
def wall_of_sharpness(*, steps: int = 480, start: tuple[float, float] = (-0.4, 2.0)):
    """A central flow that meets a wall of sharpness, slides along it and lets go."""
    import matplotlib.pyplot as plt

    eta = 0.05
    problem = wall(eta, 20.0, -0.4, 8.0, 0.1, 1.0)
    path = problem.central_path(start, float(steps))
    times = np.linspace(0.0, float(steps), 8 * steps + 1)
    exact = path.at(times)
    walk = _descent(problem, [0.1, *start], eta, steps)
    (entry,), (exit,) = path.entries, path.exits
    fig, axes = plt.subplots(1, 3, figsize=(11.4, 3.6), layout="constrained")
    panels = (
        ("distance to the wall, $p$", walk[:, 1], exact.position[:, 1]),
        ("what presses on it, $q$", walk[:, 2], exact.position[:, 2]),
        (r"oscillation: $x_k^2$ and $\sigma^2(t)$", walk[:, 0] ** 2, exact.variance),
    )
    for ax, (label, descent, flow) in zip(axes, panels, strict=True):
        ax.axvspan(entry, exit, color=COLOURS["sky"], alpha=0.18, lw=0)
        ax.plot(descent, color=COLOURS["vermilion"], lw=1.2)
        ax.plot(times, flow, color=COLOURS["green"], lw=2.2)
        ax.set(xlabel="step $k$ = time $t$", title=label)
    first, second, third = axes
    first.axhline(0.0, ls=":", lw=1, color=COLOURS["black"])
    first.text(steps, 0.012, r"sharpness $= 2/\eta$", ha="right")
    level = -float(problem.parameters["d"] / problem.parameters["m"])
    second.axhline(level, ls=":", lw=1, color=COLOURS["black"])
    second.text(0.0, level - 0.02, r" $d + mq = 0$", va="top")
    middle = (entry + exit) / 2
    second.text(middle, 1.9, "at the edge", ha="center")
    third.text(0.3 * steps, 0.14, "gradient descent", color=COLOURS["vermilion"])
    third.text(0.3 * steps, 0.125, "central flow", color=COLOURS["green"])
    caption = (
        "The sharpness is 2/η at p = 0, a wall for gradient descent. While q presses "
        "against it (shaded), the central flow slides along the wall and predicts the "
        "size of descent's oscillation, σ² = 2(d + mq)/a; once the pressure is used up "
        "both leave. Central flow: closed form."
    )
    return fig, Numbers(
        caption,
        descent=walk,
        times=times,
        central=exact.position,
        variance=exact.variance,
        entry=entry,
        exit=exit,
    )
