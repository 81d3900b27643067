"""Explicit schemes that look at the coefficients within a ball only."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from discretize.schemes.brownian import (
    BrownianScheme,
    drift_vectors,
    flattened,
    kicked,
)
from discretize.schemes.tamed import require_in
from discretize.taming import norm, total
from flows import Step
from flows.dynamics import parameter


def within(x: Float[Array, " n"], radius: Any) -> Float[Array, " n"]:
    """The point of the ball of this radius around 0 that is nearest to x."""
    return x / jnp.maximum(norm(x) / radius, 1.0)


class TruncatedEuler(BrownianScheme):
    r"""Truncated Euler, y ← y + h b(πy) + σ(πy) √h ξ, π the projection to |y| <= R(h).

    R(h) = scale · h^{-1/(4q)}: where |b| and |σ| stay below C u^q in the ball of radius
    u >= 1, and scale = C^{-1/q}, both coefficients are at most h^{-1/4} in it, as the
    source asks. The state itself is not projected.

    Reference: Mao, "The truncated Euler-Maruyama method for stochastic differential
    equations", Journal of Computational and Applied Mathematics 290, 2015.

    Attributes:
        growth: q >= 1, the degree of growth of the coefficients.
        scale: > 0.
    """

    order: ClassVar[int] = 1
    growth: Array = eqx.field(converter=parameter, default=3.0)
    scale: Array = eqx.field(converter=parameter, default=1.0)

    def __check_init__(self):
        require_in("growth q", self.growth, 0.0, float("inf"))
        require_in("scale", self.scale, 0.0, float("inf"))

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        x, back = flattened(y)
        seen = back(within(x, self.scale * h ** (-1 / (4 * self.growth))))
        new = x + h * total(drift_vectors(dynamics, t, seen))
        return Step(back(new + kicked(dynamics, t, seen, h, noise)), carry)


class ProjectedEulerMaruyama(BrownianScheme):
    r"""Projected Euler-Maruyama: y is moved into |y| <= h^{-1/(2(q-1))}, then stepped.

    y ← πy + h b(πy) + σ(πy) √h ξ. Strong order 1/2 (1 for additive noise).

    Reference: Beyn, Isaak and Kruse, "Stochastic C-stability and B-consistency of
    explicit and implicit Euler-type schemes", Journal of Scientific Computing 67, 2016,
    arXiv 1411.6961.

    Attributes:
        growth: q > 1, the degree of growth of the drift.
    """

    order: ClassVar[int] = 1
    growth: Array = eqx.field(converter=parameter, default=3.0)

    def __check_init__(self):
        require_in("growth q", self.growth, 1.0, float("inf"))

    def radius(self, h: Any) -> Any:
        """h^{-1/(2(q-1))}, in the unit of the state."""
        return h ** (-1 / (2 * (self.growth - 1)))

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        x, back = flattened(y)
        x = within(x, self.radius(h))
        y = back(x)
        new = x + h * total(drift_vectors(dynamics, t, y))
        return Step(back(new + kicked(dynamics, t, y, h, noise)), carry)
