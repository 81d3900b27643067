"""Gradient descent on the square root of a loss."""

from __future__ import annotations

from typing import Any

import jax
import optax

from flows import BadInput
from flows.derived_losses import root_factor


def scale_by_root_loss(f_min: Any = 0.0) -> optax.GradientTransformationExtraArgs:
    r"""Turn the gradient of f into that of √(f - f*): u = g/(2√(f - f*)).

    Where f <= f* the update is 0.

    Args:
        f_min: f*, the least value of the loss (a lower bound will do).

    Returns:
        An optax transformation. Its `update` needs `value=`, the loss at the
        parameters; `OptaxStep` and `compare` pass it.

    Raises:
        BadInput: on `update`, no `value`.
    """

    def init_fn(params):
        del params
        return optax.EmptyState()

    def update_fn(updates, state, params=None, *, value: Any = None, **extra):
        del params, extra
        if value is None:
            raise BadInput("descent on the root of a loss needs update(..., value=f).")
        factor = root_factor(value - f_min)
        return jax.tree.map(lambda g: factor.astype(g.dtype) * g, updates), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def root_loss_sgd(
    learning_rate: Any, f_min: Any = 0.0
) -> optax.GradientTransformationExtraArgs:
    r"""Gradient descent on √(f - f*), x ← x - η g/(2√(f - f*)).

    Beside minimisers of sharpness λ its steps have length η√(λ/2), however near they
    are: it ends oscillating, at the edge of stability, and moves slowly to flatter
    minimisers (`flows.SharpnessReductionFlow`).

    Reference: Arora, Li and Panigrahi, "Understanding Gradient Descent on Edge of
    Stability in Deep Learning", ICML 2022, arXiv 2205.09745.

    Args:
        learning_rate: η, a number or an optax schedule (of √(f - f*)).
        f_min: f*, the least value of the loss.

    Returns:
        An optax optimiser; `update` needs `value=`.
    """
    return optax.with_extra_args_support(
        optax.chain(
            scale_by_root_loss(f_min), optax.scale_by_learning_rate(learning_rate)
        )
    )
