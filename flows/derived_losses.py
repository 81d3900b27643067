"""Losses made of another loss: its square root, and its sum with weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import parameter, require_range
from flows.objective import Facts, Objective


class DerivedObjective(Objective):
    """A loss made of another one, f, on the same parameters."""

    if TYPE_CHECKING:  # a field of the concrete classes, which order their own
        objective: Objective

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return self.objective.size

    def params(self, x: Float[Array, " n"]) -> Any:
        """The parameter pytree of f at x."""
        return self.objective.params(x)

    def ravel(self, params: Any) -> Float[Array, " n"]:
        """The position of a parameter pytree of f."""
        return self.objective.ravel(params)


class RootLoss(DerivedObjective):
    r"""F = √(f - f*), whose gradient is ∇f/(2√(f - f*)).

    Beside a minimiser it is a cone: the gradient does not vanish there, and descent
    with any step ends oscillating. Where f <= f* its gradient is taken to be 0.

    Attributes:
        objective: f.
        minimum: f* (loss units).
    """

    facts: Facts = eqx.field(init=False, default=Facts())
    objective: Objective
    minimum: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"symbol": "f^*"}, default=0.0
    )

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """√(f(x) - f*), and 0 where f(x) <= f*."""
        gap = self.objective.value(x, batch) - self.minimum
        above = gap > 0
        return jnp.where(above, jnp.sqrt(jnp.where(above, gap, 1.0)), 0.0)

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """∇f/(2√(f - f*)), and 0 where f(x) <= f*."""
        gap = self.objective.value(x, batch) - self.minimum
        return root_factor(gap) * self.objective.gradient(x, batch)

    def loss_of(self, params: Any, batch: Any = None) -> Float[Array, ""]:
        """√(f - f*) at a parameter pytree of f."""
        gap = self.objective.loss_of(params, batch) - self.minimum
        above = gap > 0
        return jnp.where(above, jnp.sqrt(jnp.where(above, gap, 1.0)), 0.0)


def root_factor(gap: Any) -> Any:
    """d√g/dg = 1/(2√g) at g = f - f*, and 0 where g <= 0."""
    above = gap > 0
    return jnp.where(above, 0.5 / jnp.sqrt(jnp.where(above, gap, 1.0)), 0.0)


class WeightDecayed(DerivedObjective):
    r"""F = f + (l/2) |x|², whose gradient descent is that of f with weight decay l.

    Attributes:
        objective: f.
        weight_decay: l >= 0 (curvature units).
    """

    facts: Facts = eqx.field(init=False, default=Facts())
    objective: Objective
    weight_decay: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True, "symbol": "l"}
    )

    def __check_init__(self):
        require_range("weight_decay", self.weight_decay)

    @property
    def rows(self) -> int | None:
        """Those of the loss: the decay belongs to every summand."""
        return self.objective.rows

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x) + (l/2) |x|²."""
        return self.objective.value(x, batch) + self.weight_decay / 2 * jnp.sum(x**2)

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """∇f(x) + l x."""
        return self.objective.gradient(x, batch) + self.weight_decay * x

    def loss_of(self, params: Any, batch: Any = None) -> Float[Array, ""]:
        """The value f + (l/2) |x|² at a parameter pytree of f."""
        leaves = jax.tree.leaves(eqx.filter(params, eqx.is_inexact_array))
        squares = sum(jnp.sum(a**2) for a in leaves)
        return self.objective.loss_of(params, batch) + self.weight_decay / 2 * squares
