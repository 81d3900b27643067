"""Gradient descent at the edge of stability laid beside its cubic model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from discretize.optimiser import OptaxStep, Training
from discretize.rows.gradient import SGD
from discretize.schemes import Euler
from flows import BadInput, CubicModel, Objective, cubic_model, iterate
from flows.door import require_number, require_whole
from flows.types import Scalar


class SelfStabilised(NamedTuple):
    """Gradient descent and its cubic model in the same coordinates.

    Attributes:
        times: ηk (gradient-flow time), shape [steps + 1].
        descent: (x, y) of gradient descent, x with its alternating sign,
            shape [steps + 1, 2].
        cubic: (|x|, y) of the cubic model stepped by η, from the same start.
        loss: f along descent, shape [steps + 1].
        model: the measured cubic model, and the point it was measured at.
    """

    times: Float[np.ndarray, " k"]
    descent: Float[np.ndarray, "k 2"]
    cubic: Float[np.ndarray, "k 2"]
    loss: Float[np.ndarray, " k"]
    model: CubicModel


def self_stabilisation(
    objective: Objective, params: Any, *, learning_rate: Scalar, steps: int
) -> SelfStabilised:
    r"""Gradient descent from a point near the edge of stability, and its cubic model.

    α, β, u and ∇S are measured once, at w† beside the start (`flows.cubic_model`), so
    the two agree as long as w stays near it: for a cycle or so, of about 1/(η√α)
    steps. Over one cycle the relative error falls like √α for α → 0 at a fixed β, if
    the loss does not curve along ∇S.

    Args:
        objective: f, of three derivatives.
        params: start: a parameter pytree of f; its top eigenvalue near 2/η, and not
            exactly at ⟨∇f, u⟩ = 0, where nothing oscillates.
        learning_rate: η (time).
        steps: of both.

    Raises:
        BadInput: α <= 0 at the start, where nothing drives the sharpness to the edge.
    """
    require_number("learning_rate", learning_rate, positive=True)
    require_whole("steps", steps)
    x = objective.ravel(params)
    eta = jnp.asarray(learning_rate, x.dtype)
    model = cubic_model(objective, x)
    if not model.alpha > 0:
        raise BadInput(
            f"at the start alpha = {float(model.alpha):.3g}: the sharpness falls by "
            "itself, and gradient descent has no edge to stabilise at."
        )
    step = OptaxStep(SGD.optimizer, {"learning_rate": eta})
    start = objective.params(x)
    run = iterate(step, Training(objective), start, h=eta, steps=steps)
    positions: Array = run.positions
    descent = model.coordinates(positions, eta)
    first = descent[0].at[0].set(jnp.abs(descent[0, 0]))
    cubic = iterate(Euler(), model.flow, first, h=eta, steps=steps)
    last = objective.value(positions[-1])
    return SelfStabilised(
        times=np.asarray(run.times),
        descent=np.asarray(descent),
        cubic=np.asarray(cubic.states),
        loss=np.append(np.asarray(run.aux), last),
        model=model,
    )
