"""The drift-adjusted learning rate: the step that bounds gradient descent's drift."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from flows import BadInput


def drift_adjusted(
    power: float = 1.0, clip: float = 5.0
) -> optax.GradientTransformationExtraArgs:
    r"""Gradient descent with the drift-adjusted learning rate (DAL).

        x ← x - h g,   h = min(2/|H ĝ|^p, clip),   ĝ = g/|g|.

    One step of gradient descent leaves its flow by (h²/2) H g. With p = 1 the rate is
    at the edge of stability 2/λ where g is an eigenvector of λ; a larger p brakes more
    where |Hĝ| > 1. H ĝ is a Hessian-vector product, exact where the authors take a
    finite difference.

    Reference: Rosca, Wu, Qin and Dherin, TMLR 2023, arXiv 2302.01952 (DAL-p).

    Args:
        power: p >= 0.
        clip: the largest rate (time), for flat losses.

    Returns:
        An optax optimiser. Its `update` needs the parameters and `value_fn=`, the loss
        as a function of them; `OptaxStep` and `compare` pass both.

    Raises:
        BadInput: an argument out of range; on `update`, `value_fn` or the parameters
            missing.
    """
    for name, value, low in (("power", power, 0.0), ("clip", clip, 0.0)):
        if not (isinstance(value, int | float) and value >= low) or value == jnp.inf:
            raise BadInput(f"{name} is a finite number >= 0; got {value!r}.")
    if clip == 0:
        raise BadInput("clip is the largest learning rate, > 0.")

    def init_fn(params):
        del params
        return optax.EmptyState()

    def update_fn(updates, state, params=None, *, value_fn: Any = None, **extra):
        del extra
        if params is None or value_fn is None:
            raise BadInput("drift_adjusted needs update(..., params, value_fn=loss).")
        norm = optax.tree.norm(updates)
        unit = jax.tree.map(lambda g: g / jnp.where(norm > 0, norm, 1), updates)
        _, drift = jax.jvp(jax.grad(value_fn), (params,), (unit,))
        size = optax.tree.norm(drift) ** power
        # 2/size > clip where size is 0 too, without the division
        rate = jnp.where(size * clip > 2, 2 / jnp.where(size > 0, size, 1), clip)
        return jax.tree.map(lambda g: -rate.astype(g.dtype) * g, updates), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
