"""Corridors: where gradient flow runs straight at constant speed."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.objective import Objective


class CorridorMeter(NamedTuple):
    """How far from a corridor a point is (units 1/time of gradient flow).

    Attributes:
        rate: |Hg|/|g|, relative change of the velocity in unit time; 0 in a corridor.
        turning: |Hg - (g·Hg/|g|²) g|/|g|, the part of it that bends the path; 0 where
            gradient flow is straight, at whatever speed.
    """

    rate: Float[Array, ""]
    turning: Float[Array, ""]


def corridor_meter(objective: Objective, x: Float[Array, " n"]) -> CorridorMeter:
    r"""|Hg|/|g| and its part across g, with g = ∇f(x) and H = ∇²f(x).

    A corridor is a region in which the solutions of gradient flow are straight lines
    run at constant speed, θ(t) = θ(0) - t∇f(θ(0)). Since θ'' = Hg = ½∇|∇f|², that is
    where Hg = 0, or |∇f| is constant; gradient descent of any step then stays on the
    flow. Straightness alone is less: on an isotropic quadratic `turning` is 0 and
    `rate` is not.

    Reference: Dherin and Rosca, "Corridor Geometry in Gradient-Based Optimization",
    2024, arXiv 2402.08818.

    Args:
        objective: f.
        x: position, shape [n].

    Returns:
        The two rates; both 0 where g = 0.
    """
    g = objective.gradient(x)
    hg = jax.jvp(objective.gradient, (x,), (g,))[1]
    square = jnp.sum(g**2)
    square = jnp.where(square <= 0, 1.0, square)
    across = hg - jnp.sum(g * hg) / square * g
    size = jnp.sqrt(square)
    rates = (jnp.sqrt(jnp.sum(v**2)) / size for v in (hg, across))
    return CorridorMeter(*rates)
