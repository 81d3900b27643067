"""Weight normalisation as optimisers: the loss sees x, the steps move s and w."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from flows import BadInput
from flows.dynamics import require_range
from flows.types import Scalar
from flows.weight_normalisation import (
    WeightNormalisedState,
    polar,
    tree_dot,
    tree_norm,
)


def _transformation(move, norm) -> optax.GradientTransformation:
    """Keep x = s w/|w| by (s, w) in the state, which `move` takes with u and v."""

    def init_fn(params):
        return polar(params, norm)

    def update_fn(updates, state, params=None):
        if params is None:
            raise BadInput("weight normalisation needs update(g, state, params).")
        scale, w = state
        size = tree_norm(w)
        u = jax.tree.map(lambda a: a / size, w)
        scale, w = move(scale[0], w, u, updates)
        factor = scale / tree_norm(w)
        change = jax.tree.map(lambda a, p: factor * a - p, w, params)
        return change, WeightNormalisedState(jnp.reshape(scale, (1,)), w)

    return optax.GradientTransformation(init_fn, update_fn)


def move_in_scale_and_direction(
    scale_rate: Scalar = 1.0, norm: Scalar = 1.0
) -> optax.GradientTransformation:
    r"""Move s and w of x = s w/|w| by the updates v of x, through the chain rule.

        s ← s + c_s ⟨u, v⟩,   w ← w + (s/|w|) (v - u ⟨u, v⟩),   x = s w/|w|,

    with u = w/|w|, both from the old pair. With v = -η ∇f(x) these are steps of
    gradient descent in (s, w). One scale serves all parameters.

    Args:
        scale_rate: c_s >= 0.
        norm: |w| at the start.

    Returns:
        An optax transformation, to stand last in a chain; `update` needs `params`.

    Raises:
        BadInput: c_s < 0; at `init`, parameters that are all 0; at `update`, none.
    """
    require_range("scale_rate", scale_rate)
    rate: Any = scale_rate

    def move(scale, w, u, v):
        along = tree_dot(u, v)
        factor = scale / tree_norm(w)
        w = jax.tree.map(lambda w, u, v: w + factor * (v - along * u), w, u, v)
        return scale + rate * along, w

    return _transformation(move, norm)


def move_scale_and_project(scale_rate: Scalar = 1.0) -> optax.GradientTransformation:
    r"""Move s and w of x = s w by the updates v of x, and put w back on |w| = 1.

        s ← s + c_s ⟨w, v⟩,   w ← (w + s v)/|w + s v|,   x = s w,

    both from the old pair. One scale serves all parameters.

    Args:
        scale_rate: c_s >= 0; 0 holds the scale.

    Returns:
        An optax transformation, to stand last in a chain; `update` needs `params`.

    Raises:
        BadInput: c_s < 0; at `init`, parameters that are all 0; at `update`, none.
    """
    require_range("scale_rate", scale_rate)
    rate: Any = scale_rate

    def move(scale, w, u, v):
        del u  # is w
        moved = jax.tree.map(lambda w, v: w + scale * v, w, v)
        size = tree_norm(moved)
        along = tree_dot(w, v)
        return scale + rate * along, jax.tree.map(lambda a: a / size, moved)

    return _transformation(move, 1.0)


def weight_normalised_sgd(
    learning_rate: Any, scale_rate: Scalar = 1.0, norm: Scalar = 1.0
) -> optax.GradientTransformation:
    r"""Gradient descent in the scale and the direction of x = s w/|w|.

        s ← s - c_s η ⟨u, r⟩,   w ← w - η (s/|w|) (r - u ⟨u, r⟩),   r = ∇f(x).

    Steps on your own parameters with your own loss: s and w are kept in the state. The
    same iterates as `optax.sgd` on `flows.weight_normalised(objective)`.

    |w|² grows by η² |∂f/∂w|² at every step (the two are orthogonal), so the effective
    step η/|w|² of the direction only falls. Stable for η < 2/((s/|w|)² L) in w and
    c_s η < 2/L in s.

    Reference: Salimans and Kingma, NeurIPS 2016, arXiv 1602.07868; Wu et al., NeurIPS
    2020, arXiv 1911.07956.

    Args:
        learning_rate: η, a number or an optax schedule (time, 1/curvature).
        scale_rate: c_s >= 0.
        norm: |w| at the start.

    Returns:
        An optax optimiser; `update` needs `params`.

    Raises:
        BadInput: c_s < 0; at `init`, parameters that are all 0.
    """
    return optax.chain(
        optax.scale_by_learning_rate(learning_rate),
        move_in_scale_and_direction(scale_rate, norm),
    )


def rpgd(learning_rate: Any, scale_rate: Scalar = 1.0) -> optax.GradientTransformation:
    r"""Reparametrised projected gradient descent (rPGD): x = s w with |w| = 1.

        v = w - η s r,   w ← v/|v|,   s ← s - c_s η ⟨w, r⟩,   r = ∇f(x),

    both from the old pair. c_s = 0 holds |x| = s: a first phase in which the direction
    alone is learnt.

    Reference: Wu et al., NeurIPS 2020, arXiv 1911.07956 (there γ = c_s η).

    Args:
        learning_rate: η, a number or an optax schedule (time, 1/curvature).
        scale_rate: c_s >= 0.

    Returns:
        An optax optimiser; `update` needs `params`.

    Raises:
        BadInput: c_s < 0; at `init`, parameters that are all 0.
    """
    return optax.chain(
        optax.scale_by_learning_rate(learning_rate), move_scale_and_project(scale_rate)
    )
