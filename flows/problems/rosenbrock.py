"""Rosenbrock's valley in any number of variables."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_whole
from flows.dynamics import parameter, require_range
from flows.objective import Fact, Facts, Objective, stated
from flows.problems.closed_form import require_position
from flows.types import Scalar


class Rosenbrock(Objective):
    """f(x) = Σ_{i<n} b (x_{i+1} - x_i²)² + (1 - x_i)² (see `rosenbrock`).

    Attributes:
        dimension: n.
        steepness: b of the valley's walls.
    """

    facts: Facts
    dimension: int = eqx.field(static=True)
    steepness: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True, "symbol": "b"}
    )

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.dimension

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """The sum."""
        del batch
        require_position(self, x)
        here, following = x[:-1], x[1:]
        walls = self.steepness * jnp.sum((following - here**2) ** 2)
        return walls + jnp.sum((1 - here) ** 2)


def rosenbrock(n: int = 2, steepness: Scalar = 100.0) -> Rosenbrock:
    """f(x) = Σ_{i<n} b (x_{i+1} - x_i²)² + (1 - x_i)², b = `steepness`.

    A curved valley whose floor falls slowly to (1, ..., 1). Facts: that minimiser, and
    minimum 0; no global Lipschitz constant of the gradient. For n >= 4 there is a
    second local minimum, near (-1, 1, ..., 1).

    Raises:
        BadInput: n < 2, or a steepness below 0.
    """
    require_whole("n", n, 2)
    require_range("steepness", steepness)
    by = "a sum of squares, all 0 there"
    facts = Facts(minimiser=Fact(np.ones(n), by), minimum=Fact(0.0, by))
    return Rosenbrock(stated(facts), int(n), parameter(steepness))
