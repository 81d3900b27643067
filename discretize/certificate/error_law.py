"""The first-order law of gradient descent's distance from gradient flow."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows import Flow, Objective, reference, require_float64
from flows.door import require_number


class ErrorState(NamedTuple):
    """A point of gradient flow, with the coefficient c of descent's error there."""

    position: Float[Array, " n"]
    error: Float[Array, " n"]


class ErrorFlow(Flow):
    r"""Gradient flow with the first-order error of gradient descent.

        x' = -∇f(x),   c' = -∇²f c - ½ ∇²f ∇f,   c(0) = 0,

    and gradient descent with learning rate η has x_k = x(kη) + η c(kη) + O(η²).
    State: `ErrorState`. Unit of time: 1/curvature, as for gradient flow; c has the unit
    of x over time.

    Reference: expansion of the error of one-step methods (Hairer, Nørsett and Wanner,
    Solving Ordinary Differential Equations I, section II.8), for explicit Euler.
    """

    equation: ClassVar[str] = (
        r"\dot x = -\nabla f(x),\quad"
        r" \dot c = -\nabla^2 f\, c - \tfrac12 \nabla^2 f\,\nabla f"
    )
    objective: Objective

    def vector_field(self, t: Any, y: ErrorState) -> ErrorState:
        """(-∇f(x), -∇²f(x) (c + ½ ∇f(x)))."""
        del t
        g = self.objective.gradient(y.position)
        pulled = self.objective.hvp(y.position, y.error + 0.5 * g)
        return ErrorState(-g, -pulled)

    def start(self, x: Float[Array, " n"]) -> ErrorState:
        """The state at the start: c = 0."""
        return ErrorState(x, jnp.zeros_like(x))


class ErrorLaw(NamedTuple):
    """The predicted distance η |c(t)| of gradient descent from gradient flow.

    Attributes:
        times: shape [times] (unit: 1/curvature).
        positions: x(t), shape [times, n].
        coefficients: c(t), shape [times, n].
    """

    times: Float[np.ndarray, " times"]
    positions: Float[np.ndarray, "times n"]
    coefficients: Float[np.ndarray, "times n"]

    def distance(self, learning_rate: float) -> Float[np.ndarray, " times"]:
        """η |c(t)|, shape [times]."""
        return learning_rate * np.linalg.norm(self.coefficients, axis=1)


def error_law(
    objective: Objective,
    params: Any,
    *,
    times: Any,
    tolerance: float = 1e-10,
) -> ErrorLaw:
    """c(t) along gradient flow: descent is at x(t) + η c(t) + O(η²).

    Args:
        objective: f, three times differentiable.
        params: the start of both, in the user's pytree.
        times: where to look, increasing from 0, shape [times].
        tolerance: of the solve (Dopri8), relative and absolute.

    Raises:
        BadInput: times that do not increase, or a bad start.
        PrecisionError: float64 is off.
    """
    require_float64("an error law")
    times = np.asarray(times, float)
    require_number("the last time", times[-1], positive=True)
    flow = ErrorFlow(objective)
    run = reference(
        flow, flow.start(objective.ravel(params)), times, tolerance=tolerance
    )
    positions, coefficients = jax.tree.map(np.asarray, tuple(run.states))
    return ErrorLaw(times, positions, coefficients)
