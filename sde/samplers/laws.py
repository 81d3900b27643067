"""Laws of a velocity after a jump: drawn afresh, or one of two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde.kinetic import LangevinState
from sde.laws import Gaussian, Law
from sde.noise import normals


class FreshVelocity(Law):
    """The position stays, the velocity is redrawn: v = C ξ with ξ standard normal.

    Attributes:
        y: the state before.
        factor: C, a number or a matrix of shape [n, n].
        nodes: Gauss-Hermite nodes a component in `expect` (see `Gaussian`).
    """

    y: LangevinState
    factor: Float[Array, "..."]
    nodes: int = eqx.field(static=True, default=12)

    def expect(self, phi: Callable[[LangevinState], Any]) -> Any:
        """E φ by the tensor Gauss-Hermite rule."""
        v = self.y.velocity
        rest, unit = self.y._replace(velocity=jnp.zeros_like(v)), jnp.eye(v.shape[0])
        spread = self.factor @ unit if self.factor.ndim else self.factor * unit
        factor = jnp.concatenate([jnp.zeros_like(unit), spread])
        return Gaussian(rest, factor, self.nodes).expect(phi)

    def sample(self, key: Any) -> LangevinState:
        """(x, C ξ)."""
        return self.y._replace(velocity=self.times(normals(key, self.y.position.size)))

    def times(self, xi: Float[Array, " n"]) -> Float[Array, " n"]:
        """C ξ."""
        return self.factor @ xi if self.factor.ndim else self.factor * xi


class OneOf(Law):
    """The first of two laws or the second, by a choice that may be traced.

    Attributes:
        first: a law.
        second: a law.
        choose_first: a boolean scalar.
    """

    first: Law
    second: Law
    choose_first: Any

    def expect(self, phi: Callable[[Any], Any]) -> Any:
        """E φ under the law that was chosen."""
        return jnp.where(
            self.choose_first, self.first.expect(phi), self.second.expect(phi)
        )

    def sample(self, key: Any) -> Any:
        """A draw of the law that was chosen."""
        one, other = self.first.sample(key), self.second.sample(key)
        return jax.tree.map(lambda a, b: jnp.where(self.choose_first, a, b), one, other)
