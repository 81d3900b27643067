"""SGD with reshuffling as an optimiser whose one update is a whole epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from discretize.shuffled import as_batches, epoch, mean_epoch, require_few
from flows import BadInput


class ReshuffledState(NamedTuple):
    """The key of the next order (None where the mean over all orders is taken)."""

    key: Array | None


def reshuffled_sgd(
    learning_rate: Any, batches: Any, key: Any = None
) -> optax.GradientTransformationExtraArgs:
    r"""SGD over reshuffled batches: one update is an epoch of m steps.

        x ← x - η ∇f_{π(i)}(x),   i = 1, ..., m,   π a fresh random order;

    or, without a key, the mean of that epoch over all m! orders.

    Args:
        learning_rate: η of each of the m steps (time); an epoch takes mη.
        batches: row indices of shape [m, b]; at most 7 batches without a key.
        key: a jax key for the orders; None takes their mean.

    Returns:
        An optax optimiser. The gradient given to `update` is not used: it needs the
        parameters and `value_fn=`, called as value_fn(params, batch); `OptaxStep` and
        `compare` pass both.

    Raises:
        BadInput: batches of another shape or too many; on `update`, `value_fn` or the
            parameters missing.
    """
    batches = as_batches(batches)
    if key is None:
        require_few(batches.shape[0])

    def init_fn(params) -> Any:
        del params
        return ReshuffledState(key)

    def update_fn(updates, state, params=None, *, value_fn: Any = None, **extra) -> Any:
        del updates, extra
        if params is None or value_fn is None:
            raise BadInput("reshuffled_sgd needs update(..., params, value_fn=loss).")
        gradient = jax.grad(value_fn)
        h = learning_rate * batches.shape[0]
        if state.key is None:
            new = mean_epoch(gradient, batches, params, h)
        else:
            now, later = jax.random.split(state.key)
            order = jax.random.permutation(now, batches)
            new, state = epoch(gradient, order, params, h), ReshuffledState(later)
        return jax.tree.map(jnp.subtract, new, params), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
