"""Objectives whose gradient flow is known in closed form."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.objective import Objective
from flows.types import Scalar, is_traced


class SolvedObjective(Objective):
    """An objective f with a formula for its gradient flow x' = -∇f(x).

    `gradient_flow_map(t, x0)` is x(t), jax code: `jax.vmap` it over times, and
    differentiate it in both arguments.
    """

    @abstractmethod
    def gradient_flow_map(self, t: Scalar, x0: Float[Array, " n"]) -> Any:
        """x(t) of x' = -∇f(x), x(0) = x0, from the closed form.

        Args:
            t: one time >= 0, in units of 1/curvature (a step of gradient descent with
                learning rate η takes η).
            x0: start, shape [n].

        Returns:
            The position at time t, shape [n].

        Raises:
            BadInput: t < 0, or a start that the closed form does not cover (inside
                `jax.jit`, where values are not known, nan instead).
        """


def require_time(t: Any) -> None:
    """Refuse a concrete time that is no finite number >= 0.

    Raises:
        BadInput: with the time.
    """
    if is_traced(t):
        return
    time = np.asarray(t)
    if time.shape != () or not (np.isfinite(time) and time >= 0):
        raise BadInput(f"t is one finite time >= 0; got {t!r:.60}.")


def require_position(objective: Objective, x: Any) -> None:
    """Refuse a position of another shape than [n].

    Raises:
        BadInput: with both shapes.
    """
    if np.shape(x) != (objective.size,):
        raise BadInput(
            f"a position of this objective is a vector of {objective.size} floats; "
            f"got shape {np.shape(x)}."
        )
