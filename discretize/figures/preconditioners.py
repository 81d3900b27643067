"""Which preconditioner RMSProp settles on, and how fast such ones descend."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.figures.registry import figure
from flows import (
    first_term_preconditioner,
    from_loss,
    midpoints,
    optimisation_speed,
    smoothed,
    stationary_preconditioner,
)
from flows.drawing import COLOURS, Numbers

RATE, DECAY = 0.02, 0.97


def _net(params: Any, inputs: Any) -> Any:
    hidden = jnp.tanh(inputs @ params["w"] + params["b"][None, :])
    return hidden @ params["out"]


def _loss(params: Any, data: Any) -> Any:
    inputs, targets = data
    return 0.5 * jnp.mean((_net(params, inputs) - targets) ** 2)


def _problem(hidden: int = 10, rows: int = 40, seed: int = 0):
    """A tanh network of 4 `hidden` weights that fits waves on a square, and a start."""
    rng = np.random.default_rng(seed)
    params = {
        "w": rng.standard_normal((2, hidden)),
        "b": 0.5 * rng.standard_normal(hidden),
        "out": rng.standard_normal(hidden) / np.sqrt(hidden),
    }
    inputs = rng.uniform(-1, 1, (rows, 2))
    targets = np.sin(4 * inputs[:, 0]) + np.cos(3 * inputs[:, 1]) - 0.5
    params = {k: jnp.asarray(v) for k, v in params.items()}
    data = (jnp.asarray(inputs), jnp.asarray(targets))
    objective = from_loss(_loss, params, data)
    return objective, objective.ravel(params)


class Path(NamedTuple):
    """What RMSProp met: rows are steps.

    Attributes:
        steps: shape [k].
        memory: ν, smoothed over 10 steps, [k, n].
        gradients: at the midpoints of the run, [k, n].
        hessians: likewise, [k, n, n].
    """

    steps: np.ndarray
    memory: np.ndarray
    gradients: np.ndarray
    hessians: np.ndarray


@eqx.filter_jit
def _run(objective, x, steps: int):
    optimiser = optax.rmsprop(RATE, decay=DECAY, eps=0.0)

    def step(state, _):
        x, memory = state
        update, new = optimiser.update(objective.gradient(x), memory)
        seen: Any = new
        return (x + update, new), (x, seen[0].nu)

    return jax.lax.scan(step, (x, optimiser.init(x)), None, length=steps)[1]


@eqx.filter_jit
def _curvature(objective, positions):
    return jax.lax.map(
        lambda x: (objective.gradient(x), objective.hessian(x)), positions
    )


@functools.cache
def rmsprop_path(steps: int, every: int) -> Path:
    """A run of optax.rmsprop on the small network, looked at `every` so many steps."""
    objective, x = _problem()
    positions, memory = _run(objective, x, steps)
    rows = np.arange(every, steps - 2, every)
    middle = midpoints(positions)[rows - 1]  # row j belongs to step j + 1
    gradients, hessians = _curvature(objective, middle)
    return Path(
        rows,
        np.asarray(smoothed(memory))[rows],
        np.asarray(gradients),
        np.asarray(hessians),
    )


def cosine(a: Any, b: Any) -> float:
    """⟨a, b⟩/(|a||b|)."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@figure
def stationary_memory(*, steps: int = 300, every: int = 6, shown: int = 240):
    """RMSProp's memory beside the one at rest at the same weights.

    Args:
        steps: length of the run.
        every: steps between two looks at it.
        shown: the step whose entries are drawn on the right.

    Returns:
        Figure and numbers: `steps`, the cosines `stationary` and `gradient` of ν with
        the memory at rest and with g², and the `entries` drawn.
    """
    import matplotlib.pyplot as plt

    path = rmsprop_path(steps, every)
    rest, rows = [], []
    for nu, g, h in zip(path.memory, path.gradients, path.hessians, strict=True):
        rest.append(stationary_preconditioner(h, g, RATE).preconditioner)
        rows.append([cosine(nu, rest[-1] ** 2), cosine(nu, g**2)])
    at_rest, gradient = np.array(rows).T
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
    left.plot(path.steps, at_rest, color=COLOURS["blue"])
    left.plot(path.steps, gradient, color=COLOURS["black"])
    left.text(
        path.steps[-1], 0.93, r"the $\nu$ at rest, $\eta^2\bar P^2$", ha="right",
        va="top", color=COLOURS["blue"],
    )  # fmt: skip
    left.text(path.steps[-1], 0.45, r"$g^2$ on the mean path", ha="right", va="top")
    left.set(xlabel="step", ylabel=r"cosine with RMSProp's $\nu$", ylim=(0, 1.03))
    left.set_title("is the memory where it would come to rest?", fontsize="medium")
    row = int(np.argmin(np.abs(path.steps - shown)))
    p, g = rest[row], np.abs(path.gradients[row]) / RATE
    actual = np.sqrt(path.memory[row]) / RATE
    right.loglog(actual, p, "o", ms=5, color=COLOURS["blue"])
    right.loglog(actual, g, "x", ms=5, color=COLOURS["black"])
    ends = np.array([0.7 * actual.min(), 1.4 * actual.max()])
    right.plot(ends, ends, color="0.6", lw=0.8)
    right.set(
        xlabel=r"RMSProp's $\sqrt{\nu_i}/\eta$",
        ylabel=r"prediction of $P_i$",
        ylim=(ends[0] / 30, 2 * ends[1]),
    )
    right.set_title(f"every weight at step {path.steps[row]}", fontsize="medium")
    right.text(ends[0] * 1.1, 1.2 * ends[1], r"dots: $\bar P_i$, crosses: $|g_i|/\eta$")
    caption = (
        "RMSProp on a network of 40 weights. Once at the edge of stability its memory "
        "ν stays near the one that would be at rest at the current weights, the "
        "solution of a convex program in the Hessian and the gradient; squares of the "
        "gradient along the mean path, without the oscillation, are far too small."
    )
    return fig, Numbers(
        caption,
        steps=path.steps,
        stationary=at_rest,
        gradient=gradient,
        entries=np.stack([actual, p, g]),
    )


@figure
def preconditioner_speed(*, steps: int = 300, every: int = 6):
    """How fast -P⁻¹g lowers the loss along RMSProp's path, for three choices of P.

    Args:
        steps: length of the run.
        every: steps between two looks at it.

    Returns:
        Figure and numbers: `steps`, and the speeds gᵀP⁻¹g (loss/step) `stationary`,
        `first_term`, `scalar`.
    """
    import matplotlib.pyplot as plt

    path = rmsprop_path(steps, every)
    rows = []
    for g, h in zip(path.gradients, path.hessians, strict=True):
        p = stationary_preconditioner(h, g, RATE).preconditioner
        first = first_term_preconditioner(h).preconditioner
        sharpness = np.linalg.eigvalsh(h)[-1]
        rows.append([optimisation_speed(g, q) for q in (first, p, sharpness / 2)])
    speeds = np.array(rows)
    fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    styles = (
        (r"least trace, $P_1$", "orange"),
        (r"RMSProp at rest, $\bar P$", "blue"),
        (r"one step size for all, $(S/2)\,I$", "black"),
    )
    for column, (label, ink) in zip(speeds.T, styles, strict=True):
        ratio = np.where(np.isfinite(column), column, np.nan) / speeds[:, 2]
        ax.plot(path.steps, ratio, color=COLOURS[ink], label=label)
    ax.set(
        xlabel="step",
        ylabel=r"speed $g^\top P^{-1}g$, that of $(S/2)\,I$ being 1",
        ylim=(0, None),
    )
    ax.set_title("who descends faster at the same weights?", fontsize="medium")
    ax.legend(frameon=False)
    caption = (
        "Speed of dw/dt = -P⁻¹g at the weights that RMSProp visits, three P with "
        "H ⪯ 2P. The P of least trace beats one step size for all weights. The one "
        "where RMSProp comes to rest is never faster than that: early on, where "
        "gradients are large, P also grows with them and may lose to the single step "
        "size; later, at the edge of stability, both agree."
    )
    names = ("first_term", "stationary", "scalar")
    return fig, Numbers(
        caption, steps=path.steps, **dict(zip(names, speeds.T, strict=True))
    )
