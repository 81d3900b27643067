"""Gradient descent is not gradient flow: its modified flows, in pictures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.modified import (
    ModifiedFlow,
    ModifiedMomentumFlow,
    momentum_slip,
)
from discretize.modified.one_step import modified_terms
from discretize.optimiser import OptaxStep, Training
from discretize.rows.gradient import HEAVY_BALL
from discretize.schemes import Euler
from flows import GradientFlow, PrincipalFlow, iterate, reference
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic, wavy

START = (1.2, 0.8)
INK = ("blue", "orange", "green", "vermilion", "purple")


def _at(flow: Any, y0: Any, times: Any, tolerance: float = 1e-13) -> np.ndarray:
    """Positions of a flow at increasing times, shape [times, n]."""
    run = reference(flow, y0, times, tolerance=tolerance)
    return np.asarray(jax.vmap(flow.position)(run.states))


def _slope(h: Any, errors: Any) -> float:
    """The slope of the finest two levels in a log-log plot."""
    return float(np.log(errors[-1] / errors[-2]) / np.log(h[-1] / h[-2]))


def _log_axes(ax: Any, ylabel: str) -> None:
    ax.set(xscale="log", yscale="log", xlabel="step size $h$ (time)", ylabel=ylabel)


@figure
def modified_orders(*, terms: int = 5, levels: int = 5, t1: float = 1.0):
    """Error of gradient descent against its modified flows, over the step size."""
    import matplotlib.pyplot as plt

    flow, x = GradientFlow(wavy()), jnp.array(START)
    h = 0.1 * 0.5 ** np.arange(levels)
    ends = [
        np.asarray(iterate(Euler(), flow, x, h=s, steps=round(t1 / s)).states[-1])
        for s in h
    ]
    errors = np.array(
        [
            [
                np.linalg.norm(e - _at(ModifiedFlow(flow, Euler(), s, p), x, [t1])[-1])
                for s, e in zip(h, ends, strict=True)
            ]
            for p in range(1, terms + 1)
        ]
    )
    slopes = [_slope(h, row) for row in errors]
    fig, ax = plt.subplots(figsize=(7.4, 4.2), layout="constrained")
    names = ["gradient flow", "2 terms (implicit regularisation)"]
    names += [f"{p} terms" for p in range(3, terms + 1)]
    for p, (row, slope) in enumerate(zip(errors, slopes, strict=True)):
        name = names[p]
        ax.plot(h, row, "o-", color=COLOURS[INK[p % 5]])
        text = f"slope {slope:.2f}: {name}"
        ax.annotate(text, (h[0], row[0]), (8, -3), textcoords="offset points")
    _log_axes(ax, "distance after unit time")
    ax.set_xlim(h[-1] / 1.15, h[0] * 22)
    ticks = h[::2]
    ax.set_xticks(ticks, [f"{s:g}" for s in ticks])
    ax.set_xticks([], minor=True)
    ax.set_title("Each term of the modified equation gains one order")
    caption = (
        "Distance between gradient descent and its modified flows after unit time, on "
        "a smooth loss in two dimensions. Each further term makes the line one power "
        "of h steeper."
    )
    return fig, Numbers(caption, h=h, errors=errors, slopes=slopes)


@figure
def principal_flow(*, products: tuple[float, ...] = (0.5, 1.5, 2.1), steps: int = 8):
    """Gradient descent and four flows on a quadratic, below and beyond hλ = 1 and 2."""
    import matplotlib.pyplot as plt

    h, soft = 1.0, 0.15
    x = jnp.array([1.0, 1.0])
    times = np.linspace(0, steps * h, 30 * steps + 1)
    fig, axes = plt.subplots(
        1, len(products), figsize=(9.6, 3.7), layout="constrained", sharey=True
    )
    kept: dict[str, Any] = {"products": np.array(products)}
    for ax, a in zip(axes, products, strict=True):
        f = quadratic([a / h, soft / h])
        flow = GradientFlow(f)
        gd = np.asarray(iterate(Euler(), flow, x, h=h, steps=steps).states)
        principal = PrincipalFlow(f, h)
        lines = {
            "gradient flow": _at(flow, x, times),
            "modified flow, 2 terms": _at(ModifiedFlow(flow, Euler(), h, 2), x, times),
            "principal flow, real part": _at(principal, principal.start(x), times),
        }
        styles = (("sky", "--"), ("orange", "-."), ("vermilion", "-"))
        for (name, path), (colour, dash) in zip(lines.items(), styles, strict=True):
            ax.plot(*path.T, dash, color=COLOURS[colour], label=name, lw=1.8)
            kept[f"{name.split(',')[0].replace(' ', '_')}_{a:g}"] = path
        ax.plot(*gd.T, "o", color="black", ms=5, label="gradient descent", zorder=3)
        kept[f"gradient_descent_{a:g}"] = gd
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        says = "monotone" if a < 1 else "oscillates" if a < 2 else "grows"
        ax.set_title(f"$h\\lambda$ = {a:g}: {says}")
        ax.set_xlabel("stiff coordinate")
    axes[0].set_ylabel("soft coordinate")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    caption = (
        "Gradient descent (dots) on a quadratic, started at (1, 1) and moving down. "
        "Only the principal flow passes through every iterate: beyond hλ = 1 it turns "
        "in the complex plane, and beyond hλ = 2 it grows, where the real flows decay."
    )
    return fig, Numbers(caption, times=times, **kept)


@figure
def heavy_ball_slip(*, momentum: float = 0.7, rate: float = 0.0025, steps: int = 60):
    """Heavy ball beside its modified flow, from x₀ and from the slipped start."""
    import matplotlib.pyplot as plt

    f, x = wavy(), jnp.array(START)
    path = _momentum_run(f, x, rate, momentum, steps)
    flow = ModifiedMomentumFlow(GradientFlow(f), rate, momentum, 2)
    times = rate * np.arange(steps + 1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    left.plot(times[::2], path[::2, 0], "o", color="black", ms=3.5, label="heavy ball")
    shown = (
        ("from $x_0$", 0, "sky", "--"),
        ("from the slipped start", 2, "vermilion", "-"),
    )
    kept: dict[str, Any] = {"times": times, "heavy_ball": path}
    for name, order, colour, dash in shown:
        y0 = momentum_slip(flow.flow, rate, momentum, x, order=order)
        line = _at(flow, y0, times)
        left.plot(
            times,
            line[:, 0],
            dash,
            color=COLOURS[colour],
            label=f"modified flow {name}",
        )
        kept[f"flow_slip_{order}"] = line
        gap = np.linalg.norm(line - path, axis=1)
        right.plot(times, gap, dash, color=COLOURS[colour], label=name)
        kept[f"distance_slip_{order}"] = gap
    left.set(
        xlabel="time (a step takes $h$)",
        ylabel="first coordinate",
        title=f"$\\beta$ = {momentum:g}, $h$ = {rate:g}",
    )
    left.legend(frameon=False)
    right.set(
        yscale="log",
        ylim=(1e-4, 0.3),
        xlabel="time (a step takes $h$)",
        ylabel="distance from heavy ball",
        title="The distance that the slip removes",
    )
    right.legend(frameon=False, title="modified flow")
    caption = (
        "Heavy ball starts at rest and needs some steps to gain speed, so that its "
        "orbit is that of the modified flow from a start shifted backwards (the slip). "
        "From the slipped start the flow is joined once the fast mode, as β to the "
        "power of the step, has died out; from x0 it stays ahead."
    )
    return fig, Numbers(caption, **kept)


def _momentum_run(f, x, rate, momentum, steps) -> np.ndarray:
    """Heavy ball's positions (optax), shape [steps + 1, n]."""
    hyper = HEAVY_BALL(learning_rate=rate, momentum=momentum).hyper
    step = OptaxStep(HEAVY_BALL.optimizer, hyper)
    run = iterate(step, Training(f), f.params(x), h=rate, steps=steps)
    return np.asarray(run.positions)


@figure
def heavy_ball_orders(*, momentum: float = 0.5, levels: int = 6, t1: float = 2.0):
    """Error of heavy ball against its modified flows: what the slip is worth."""
    import matplotlib.pyplot as plt

    f, x = wavy(), jnp.array(START)
    h = 0.02 * 0.5 ** np.arange(levels)
    cases = {
        "2 terms, no slip": (2, 0),
        "1 term, slip to order 1": (1, 1),
        "2 terms, slip to order 1": (2, 1),
        "3 terms, slip to order 2": (3, 2),
    }
    fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    ends = [_momentum_run(f, x, s, momentum, round(t1 / s))[-1] for s in h]
    errors, slopes = [], []
    for (name, (terms, order)), colour in zip(cases.items(), INK, strict=False):
        row = []
        for s, end in zip(h, ends, strict=True):
            flow = ModifiedMomentumFlow(GradientFlow(f), s, momentum, terms)
            y0 = momentum_slip(flow.flow, s, momentum, x, order=order)
            row.append(np.linalg.norm(end - _at(flow, y0, [t1])[-1]))
        errors.append(row)
        slopes.append(_slope(h, row))
        label = f"{name}: slope {slopes[-1]:.2f}"
        ax.plot(h, row, "o-", color=COLOURS[colour], label=label)
    _log_axes(ax, f"distance at time {t1:g}")
    ax.set_title(f"Heavy ball, $\\beta$ = {momentum:g}")
    ax.legend(frameon=False)
    caption = (
        "Distance between heavy ball and its modified flow at a fixed time. A "
        "regulariser without the slip of the start is worth nothing: both are needed "
        "for order 2, and a third term with a second-order slip for order 3."
    )
    return fig, Numbers(caption, h=h, errors=errors, slopes=slopes)


@figure
def modified_curl(*, size: int = 41, radius: float = 0.5):
    """The curl of the third term: why there is no second-order modified loss."""
    import matplotlib.pyplot as plt

    flow = GradientFlow(wavy())
    xs, ys = np.linspace(-0.2, 1.8, size), np.linspace(-0.2, 1.8, size)
    grid = jnp.asarray(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2))
    centre = np.array([0.9, 0.9])
    angles = np.linspace(0, 2 * np.pi, 241)
    circle = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    tangent = radius * np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    work = {}
    for j in (2, 3):
        term = modified_terms(Euler(), flow, j)[j - 1]
        values = np.asarray(
            jax.vmap(lambda x, term=term: term(0.0, x))(jnp.asarray(circle))
        )
        rate = np.sum(values * tangent, axis=1)
        pieces = (rate[1:] + rate[:-1]) / 2 * np.diff(angles)
        work[j] = np.concatenate([[0.0], np.cumsum(pieces)])
    third = modified_terms(Euler(), flow, 3)[2]
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda x: third(0.0, x))))(grid)
    curl = np.asarray(jacobian[:, 1, 0] - jacobian[:, 0, 1]).reshape(size, size)
    loss = np.asarray(jax.vmap(flow.objective.value)(grid)).reshape(size, size)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    top = np.abs(curl).max()
    image = left.pcolormesh(
        xs, ys, curl, cmap="RdBu_r", vmin=-top, vmax=top, shading="auto"
    )
    left.contour(xs, ys, loss, 10, colors="0.35", linewidths=0.6)
    left.plot(*circle.T, color="black", lw=1.8)
    left.set_aspect("equal")
    left.set(xlabel="$x$", ylabel="$y$", title="curl of $f_3$; grey: the loss")
    fig.colorbar(image, ax=left, label="$\\partial_x f_{3,y} - \\partial_y f_{3,x}$")
    for j, colour in ((2, "blue"), (3, "vermilion")):
        right.plot(
            angles / (2 * np.pi), work[j], color=COLOURS[colour], label=f"$f_{j}$"
        )
        right.plot(1, work[j][-1], "o", color=COLOURS[colour])
    right.axhline(0, color="0.7", lw=0.8)
    right.set(
        xlabel="share of the black circle gone round",
        ylabel="work done by the field so far",
        title="Only $f_2$ comes back to 0: it has a potential",
    )
    right.legend(frameon=False)
    caption = (
        "The third term of gradient descent's modified equation has a curl. Round a "
        "closed circle the second term does no work, being a gradient; the third does, "
        "so that no loss of order h squared can be modified to give it."
    )
    return fig, Numbers(caption, curl=curl, angles=angles, work=[work[2], work[3]])
