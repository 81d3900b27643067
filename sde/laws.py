"""Laws of a state after a jump: they can be integrated exactly, and sampled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from flows.dynamics import State, parameter
from flows.errors import BadInput
from sde._checks import is_concrete
from sde.noise import normals, uniforms


class Law(eqx.Module):
    """A probability law on states."""

    @abstractmethod
    def expect(self, phi: Callable[[State], Any]) -> Any:
        """E φ(Y), for a scalar function φ of the state."""

    @abstractmethod
    def sample(self, key: Any) -> State:
        """A state of this law, a function of the key alone."""


class Deterministic(Law):
    """The point mass at a state.

    Attributes:
        y: the state.
    """

    y: State

    def expect(self, phi: Callable[[State], Any]) -> Any:
        """φ(y)."""
        return phi(self.y)

    def sample(self, key: Any) -> State:
        """The state itself."""
        del key
        return self.y


class Finite(Law):
    """Finitely many states with their probabilities.

    Attributes:
        weights: probabilities, shape [states], of sum 1.
        ys: the states: a pytree with a leading axis [states].

    Raises:
        BadInput: negative weights, a sum other than 1, or states of another number.
    """

    weights: Float[Array, " states"] = eqx.field(converter=parameter)
    ys: State

    def __check_init__(self):
        size = self.weights.shape[0]
        if any(jnp.shape(leaf)[:1] != (size,) for leaf in jax.tree.leaves(self.ys)):
            raise BadInput(f"each leaf of ys needs a leading axis of {size} states.")
        if is_concrete(self.weights):
            weights = np.asarray(self.weights)
            slack = 8 * size * np.finfo(weights.dtype).eps
            if np.any(weights < 0) or abs(float(np.sum(weights)) - 1) > slack:
                raise BadInput(f"weights are probabilities of sum 1; got {weights}.")

    def expect(self, phi: Callable[[State], Any]) -> Any:
        """Σ weight φ(y), exact."""
        return jnp.sum(self.weights * jax.vmap(phi)(self.ys))

    def sample(self, key: Any) -> State:
        """One of the states, by inversion of one uniform variable."""
        u = uniforms(key, 1)[0]
        below = jnp.cumsum(self.weights)[:-1] <= u * jnp.sum(self.weights)
        index = jnp.sum(below)  # never a state after the last of positive weight
        return jax.tree.map(lambda a: a[index], self.ys)


class Gaussian(Law):
    """The law of mean + factor ξ with ξ standard normal.

    Attributes:
        mean: a state; its integer leaves are labels and stay.
        factor: shape [n, m], with n the number of floats in the state.
        nodes: Gauss-Hermite nodes a component of ξ: `expect` is exact for polynomials
            of degree 2 nodes - 1, at nodes**m evaluations.

    Raises:
        BadInput: a factor that does not fit, or more than 10⁶ evaluations.
    """

    mean: State
    factor: Float[Array, "n m"]
    nodes: int = eqx.field(static=True, default=12)

    def __check_init__(self):
        size = self._flat()[0].shape[0]
        if self.factor.ndim != 2 or self.factor.shape[0] != size:
            raise BadInput(
                f"factor has shape [n, m] with n = {size}, the number of floats in the "
                f"mean; got {self.factor.shape}."
            )
        if self.nodes < 1 or self.nodes ** self.factor.shape[1] > 10**6:
            raise BadInput(
                f"{self.nodes} nodes in {self.factor.shape[1]} dimensions; accepted "
                "are 1 to 10**6 evaluations."
            )

    def _flat(self) -> tuple[Array, Callable[[Array], State]]:
        moving, labels = eqx.partition(self.mean, eqx.is_inexact_array)
        flat, unravel = ravel_pytree(moving)
        return flat, lambda z: eqx.combine(unravel(z), labels)

    def expect(self, phi: Callable[[State], Any]) -> Any:
        """E φ by the tensor Gauss-Hermite rule."""
        flat, unravel = self._flat()
        m = self.factor.shape[1]
        x, w = np.polynomial.hermite_e.hermegauss(self.nodes)
        w = w / np.sum(w)
        grid = np.stack(np.meshgrid(*[x] * m, indexing="ij"), -1).reshape(-1, m)
        weights = np.prod(
            np.stack(np.meshgrid(*[w] * m, indexing="ij"), -1).reshape(-1, m), axis=1
        )
        xi = jnp.asarray(grid, flat.dtype)
        values = jax.vmap(lambda z: phi(unravel(flat + self.factor @ z)))(xi)
        return jnp.sum(jnp.asarray(weights, flat.dtype) * values)

    def sample(self, key: Any) -> State:
        """Mean + factor ξ."""
        flat, unravel = self._flat()
        xi = normals(key, self.factor.shape[1]).astype(flat.dtype)
        return unravel(flat + self.factor @ xi)
