"""RMSProp with one second moment for all parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


class ScaleByScalarRmsState(NamedTuple):
    """The running mean ν of |g|², a scalar (gradient units squared)."""

    nu: Float[Array, ""]


def scale_by_scalar_rms(
    decay: Any = 0.9, eps: Any = 1e-8, initial_scale: Any = 0.0
) -> optax.GradientTransformation:
    r"""Rescale updates by the root of a running mean of their squared norm.

        ν ← β ν + (1 - β) |g|²,   u = g / √(ν + ε),

    with |g|² summed over the whole pytree. It has the invariances of RMSProp with a
    single effective step size, which makes it the simplest adaptive optimiser.

    Reference: Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in
    Deep Learning with Central Flows", 2024, arXiv 2410.24206.

    Args:
        decay: β, retention factor in [0, 1).
        eps: ε, inside the root (gradient units squared).
        initial_scale: ν at the start.

    Returns:
        An optax transformation.
    """

    def init_fn(params):
        dtype = jax.tree.leaves(params)[0].dtype
        return ScaleByScalarRmsState(jnp.asarray(initial_scale, dtype))

    def update_fn(updates, state, params=None):
        del params
        square = sum(jnp.sum(g**2) for g in jax.tree.leaves(updates))
        nu = decay * state.nu + (1 - decay) * square
        root = jnp.sqrt(nu + eps)
        return jax.tree.map(lambda g: g / root, updates), ScaleByScalarRmsState(nu)

    return optax.GradientTransformation(init_fn, update_fn)


def scalar_rmsprop(
    learning_rate: Any, decay: Any = 0.9, eps: Any = 1e-8, initial_scale: Any = 0.0
) -> optax.GradientTransformation:
    """Scalar RMSProp, x ← x - η g/√(ν + ε) (see `scale_by_scalar_rms`).

    Args:
        learning_rate: η, a number or an optax schedule.
        decay: β, retention factor in [0, 1).
        eps: ε, inside the root.
        initial_scale: ν at the start.

    Returns:
        An optax optimiser.
    """
    return optax.chain(
        scale_by_scalar_rms(decay, eps, initial_scale),
        optax.scale_by_learning_rate(learning_rate),
    )
