"""How far one step of gradient descent is from a corridor's linear decrease."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from flows import Objective


def decrease_defect(
    objective: Objective, x: Float[Array, " n"], h: Any
) -> Float[Array, ""]:
    r"""f(x - h g) - (f(x) - h |g|²), with g = ∇f(x): 0 in a corridor, for every h.

    In a corridor gradient descent of any step is gradient flow, and the loss falls
    linearly, f(θ(t)) = f(θ(0)) - t |g|². Elsewhere the defect is h²/2 g·Hg + O(h³);
    where it exceeds h |g|² the step has increased the loss.

    Reference: Dherin and Rosca, "Corridor Geometry in Gradient-Based Optimization",
    2024, arXiv 2402.08818.

    Args:
        objective: f.
        x: position, shape [n].
        h: step size (time of gradient flow).

    Returns:
        The defect (loss units).
    """
    g = objective.gradient(x)
    fall = h * jnp.sum(g**2)
    return objective.value(x - h * g) - (objective.value(x) - fall)
