"""What every explicit scheme driven by Brownian increments shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from flows import Draw, Scheme
from sde import Diffusion


class BrownianScheme(Scheme):
    """Base of the one-step schemes whose only noise is the increment √h ξ of B."""

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals, as many as the diffusion has Brownian motions."""
        if isinstance(dynamics, Diffusion):
            return Draw("normal", (dynamics.brownian(y),))
        return None


def flattened(y: Any) -> tuple[Float[Array, " n"], Callable[[Any], Any]]:
    """A state as one vector, and the way back; a plain vector is left alone."""
    return (y, lambda v: v) if isinstance(y, jax.Array) else ravel_pytree(y)


def drift_vectors(dynamics: Any, t: Any, y: Any) -> tuple[Float[Array, " n"], ...]:
    """The drift's parts as vectors; a flow's field is one part."""
    if isinstance(dynamics, Diffusion):
        return tuple(flattened(part)[0] for part in dynamics.drift_parts(t, y))
    return (flattened(dynamics.vector_field(t, y))[0],)


def noise_columns(dynamics: Any, t: Any, y: Any) -> Float[Array, "m n"]:
    """The columns σ(t, y) e_j as rows; none for a flow."""
    if not isinstance(dynamics, Diffusion):
        return jnp.zeros((0, flattened(y)[0].shape[0]), flattened(y)[0].dtype)
    basis = jnp.eye(dynamics.brownian(y), dtype=flattened(y)[0].dtype)
    return jax.vmap(lambda e: flattened(dynamics.noise(t, y, e))[0])(basis)


def kicked(dynamics: Any, t: Any, y: Any, h: Any, noise: Any) -> Float[Array, " n"]:
    """σ(t, y) √h ξ as a vector; 0 for a flow."""
    if not isinstance(dynamics, Diffusion):
        return jnp.zeros_like(flattened(y)[0])
    return flattened(dynamics.noise(t, y, jnp.sqrt(h) * noise))[0]
