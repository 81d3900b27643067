"""The loss along the central flow of gradient descent only falls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize import CentralEuler, OptaxStep, Training
from flows import CentralFlow, iterate
from flows.central import GradientDescent
from flows.problems import gelu_digits, wall, warm_start
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.papers import central_flows

CENTRAL = central_flows(
    "the central flow of gradient descent as a projected gradient flow"
)


def sgd(eta):
    """Gradient descent."""
    return optax.sgd(eta)


def _losses(objective: Any, positions: Any) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(objective.value))(jnp.asarray(positions)))


def _rise(ctx: Context, losses: np.ndarray, name: str) -> Evidence:
    """The largest rise of the loss in one step, in units of the largest loss."""
    steps = np.diff(losses)
    scale = float(np.max(np.abs(losses)))
    rounding = 8 * np.finfo(float).eps
    largest = Measurement(float(np.max(steps)) / scale, bias=rounding)
    note = f"{int(np.sum(steps > rounding * scale))} rises in {steps.size} steps"
    return decide.upper_bound(
        0.0, largest, delta=ctx.delta, scale=1.0, quantity=name, note=note
    )


WALL_START = (0.01, -0.3, 2.0)
"""(x, p, q): below the wall, in a valley that gradient descent will swing across."""


def _on_wall(flow: bool, steps: int = 100) -> np.ndarray:
    """Losses at every step: below the wall, along it, and past where it lets go."""
    objective, x = wall(), jnp.array(WALL_START)
    if flow:
        model = CentralFlow(objective, GradientDescent(objective.learning_rate))
        scheme = CentralEuler(block=1, substeps=4)
        run = iterate(scheme, model, model.start(x), h=1.0, steps=steps)
        return _losses(objective, run.states.position)
    scheme = OptaxStep(sgd, jnp.asarray(objective.learning_rate))
    run = iterate(scheme, Training(objective), x, h=1.0, steps=steps)
    return _losses(objective, run.states)


@claim(
    "central_flow.monotone-loss",
    title="Along the central flow of gradient descent the loss never rises",
    source=CENTRAL,
    statement=r"\frac{dL(w)}{dt} = -\frac1\eta\left|\frac{dw}{dt}\right|^2 \le 0",
    hypotheses=(
        "gradient descent (not its adaptive relatives)",
        "L at the flow's position, without the oscillation's share",
    ),
    grade="measured",
    delta=1e-9,
    quick_delta=1e-9,
    unit="largest rise in a step, of the largest loss",
)
def monotone_loss(ctx: Context) -> Iterator[Evidence]:
    """A wall met and left in 100 steps."""
    yield _rise(ctx, _on_wall(flow=True), "along the wall")


@monotone_loss.control("gradient descent itself, along the wall")
def _(ctx: Context) -> Evidence:
    return _rise(ctx, _on_wall(flow=False), "along the wall")


@monotone_loss.route("a network on digits", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """120 steps at 2/η = 3.2: the flow's loss, and gradient descent's beside it."""
    objective, params = gelu_digits()
    params = warm_start(objective, params, 10.0)
    eta = 2 / 3.2
    flow = CentralFlow(objective, GradientDescent(eta))
    start = flow.start(objective.ravel(params))
    central: Any = iterate(CentralEuler(), flow, start, h=1.0, steps=120)
    yield _rise(ctx, _losses(objective, central.states.position), "the flow on digits")
    scheme = OptaxStep(sgd, jnp.asarray(eta))
    run = iterate(scheme, Training(objective), params, h=1.0, steps=120)
    rise = np.max(np.diff(_losses(objective, run.positions)))
    yield decide.lower_bound(
        1e-4,
        Measurement(float(rise), bias=1e-12),
        delta=0.01,
        quantity="largest rise of gradient descent itself",
        note="else there would be nothing to average away",
    )
