"""Sign flow sliding, and the replicator flow with its two discretisations."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.compare import compare
from discretize.figures.registry import figure
from discretize.rows.first_order import EXPONENTIATED_GRADIENT, SIGN_SGD
from discretize.schemes import Euler
from flows import MirrorFlow, SimplexEntropy, iterate, sign_flow_path
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic, taylor_polynomial

COUPLED = np.array([[2.0, 1.5], [1.5, 2.0]])


@figure
def sign_flow_slides(*, eta: float = 0.07, t1: float = 1.3) -> tuple[Any, Numbers]:
    """The sign flow of a coupled quadratic, sliding, and sign descent beside it.

    Args:
        eta: step of sign descent (time of the flow: that of a coordinate).
        t1: end time.
    """
    import matplotlib.pyplot as plt

    objective, x0 = quadratic(COUPLED), np.array([1.0, -0.3])
    path = sign_flow_path(objective, x0, t1)
    steps = round(t1 / eta)
    run = compare(
        objective,
        SIGN_SGD(learning_rate=eta),
        jnp.asarray(x0),
        steps=steps,
        flow=False,
        check_sharpness=False,
    )
    fig, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    side = np.linspace(-0.4, 1.2, 81)
    grid = np.stack(np.meshgrid(side, side - 0.6), axis=-1)
    values = 0.5 * np.einsum("ijk,kl,ijl->ij", grid, COUPLED, grid)
    ax.contour(side, side - 0.6, values, 12, colors="0.85", linewidths=0.8)
    for row, name, where in zip(COUPLED, ("1", "2"), (0.52, 0.98), strict=True):
        ax.plot(side, -side * row[0] / row[1], "--", color="0.5", lw=1)
        ax.annotate(
            rf"$\partial_{name} f = 0$",
            (where, -where * row[0] / row[1]),
            xytext=(-44, -14) if name == "1" else (-2, 8),
            textcoords="offset points",
            color="0.35",
        )
    ax.plot(*run.positions.T, ":o", ms=4, color=COLOURS["vermilion"])
    ax.plot(*path.positions.T, lw=2.2, color=COLOURS["blue"])
    ax.plot([], [], lw=2.2, color=COLOURS["blue"], label="sign flow (Filippov, exact)")
    ax.plot(
        [],
        [],
        ":o",
        ms=4,
        color=COLOURS["vermilion"],
        label=f"sign descent, $\\eta = {eta}$",
    )
    ax.plot(*x0, "k*", ms=9)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-0.25, 1.2), ylim=(-0.9, 0.3))
    ax.set_aspect("equal")
    ax.legend(frameon=False, loc="upper right")
    caption = (
        "The sign flow runs along diagonals until ∂₂f changes its sign; then it slides "
        "on that line (dashed), its velocity a mean of ±1, to the minimum. Sign "
        "descent zigzags about the line, and never settles."
    )
    return fig, Numbers(
        caption,
        times=path.times,
        flow=path.positions,
        sliding=path.sliding,
        descent=run.positions,
    )


def _triangle(x: Any) -> np.ndarray:
    """Points of the simplex in the plane: corners at (0, 0), (1, 0), (1/2, √3/2)."""
    x = np.asarray(x)
    return np.stack([x[:, 1] + x[:, 2] / 2, x[:, 2] * np.sqrt(3) / 2], axis=-1)


def _draw_simplex(ax: Any, cost: np.ndarray) -> None:
    """The triangle, with the cost of each corner."""
    corners = _triangle(np.eye(3)[[0, 1, 2, 0]])
    ax.plot(*corners.T, "k-", lw=1)
    offsets = ((-8, -14), (8, -14), (0, 8))
    for corner, c, offset in zip(corners[:3], cost, offsets, strict=True):
        ax.annotate(
            f"cost {c:g}",
            corner,
            xytext=offset,
            textcoords="offset points",
            ha="center",
        )
    ax.set(aspect="equal", xlim=(-0.2, 1.45), ylim=(-0.35, 1.1))
    ax.axis("off")


@figure
def replicator_on_the_simplex(
    *, eta: float = 1.6, steps: int = 5
) -> tuple[Any, Numbers]:
    """The replicator flow of a linear cost, exponentiated gradient, and primal Euler.

    Args:
        eta: step of both discretisations (1/cost).
        steps: of exponentiated gradient.
    """
    import matplotlib.pyplot as plt

    cost, x0 = np.array([1.0, 0.35, 2.2]), np.array([0.25, 0.05, 0.7])
    objective = taylor_polynomial(3, 1, cost)

    def exact(times):
        grown = x0 * np.exp(-np.asarray(times)[:, None] * cost)
        return grown / grown.sum(axis=1, keepdims=True)

    run = compare(
        objective,
        EXPONENTIATED_GRADIENT(learning_rate=eta),
        jnp.asarray(x0),
        steps=steps,
        flow=False,
        check_sharpness=False,
    )
    primal = iterate(
        Euler(),
        MirrorFlow(objective, SimplexEntropy()),
        jnp.asarray(x0),
        h=eta,
        steps=3,
    )
    fig, ax = plt.subplots(figsize=(6.2, 4.8), layout="constrained")
    _draw_simplex(ax, cost)
    fine = exact(np.linspace(0, steps * eta, 200))
    ax.plot(*_triangle(fine).T, color=COLOURS["blue"], label="replicator flow")
    ax.plot(
        *_triangle(run.positions).T,
        "o",
        color=COLOURS["vermilion"],
        label=f"exponentiated gradient, $\\eta = {eta:g}$",
    )
    outside = np.asarray(primal.positions)
    ax.plot(
        *_triangle(outside).T,
        ":s",
        ms=4,
        color=COLOURS["green"],
        label=f"Euler in $x$ itself, $\\eta = {eta:g}$",
    )
    ax.legend(frameon=False, loc="upper right")
    caption = (
        "A linear cost on the probability simplex. Exponentiated gradient (dots) is "
        "Euler in log x and sits on the replicator flow exactly, at any step; Euler "
        "in x itself leaves the simplex (probabilities below 0)."
    )
    return fig, Numbers(
        caption,
        flow=exact(eta * np.arange(steps + 1)),
        descent=run.positions,
        primal=outside,
    )
