"""Exponentiated gradient: mirror descent with the entropy."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flows import BadInput, Entropy, SimplexEntropy


class LogarithmicState(NamedTuple):
    """The logarithms z of the parameters (up to a constant on the simplex)."""

    z: Any


def move_in_logarithms(simplex: bool = True) -> optax.GradientTransformation:
    r"""Add the updates u to the logarithms of the parameters.

        z ← z + u,   x = e^z / Σ e^z   (or x = e^z),   z = log x at the start.

    The sum runs over all entries of the pytree: together they are one probability
    vector. The z are kept in the state, so that an entry that underflows to 0 can grow
    again.

    Args:
        simplex: whether the parameters stay on the simplex; otherwise they only stay
            positive.

    Returns:
        An optax transformation, to stand last in a chain; `update` needs `params`.

    Raises:
        BadInput: at `init`, parameters outside the domain; at `update`, no parameters.
    """
    domain = SimplexEntropy() if simplex else Entropy()

    def init_fn(params):
        leaves = [jnp.ravel(a) for a in jax.tree.leaves(params)]
        domain.require_inside(jnp.concatenate(leaves))
        return LogarithmicState(jax.tree.map(jnp.log, params))

    def update_fn(updates, state, params=None):
        if params is None:
            raise BadInput("exponentiated gradient needs update(g, state, params).")
        z = jax.tree.map(jnp.add, state.z, updates)
        x = _normalised(z) if simplex else jax.tree.map(jnp.exp, z)
        return jax.tree.map(jnp.subtract, x, params), LogarithmicState(z)

    return optax.GradientTransformation(init_fn, update_fn)


def _normalised(z: Any) -> Any:
    """The softmax over all entries of a pytree."""
    top = functools.reduce(jnp.maximum, [jnp.max(a) for a in jax.tree.leaves(z)])
    grown = jax.tree.map(lambda a: jnp.exp(a - top), z)
    total = sum(jnp.sum(a) for a in jax.tree.leaves(grown))
    return jax.tree.map(lambda a: a / total, grown)


def exponentiated_gradient(
    learning_rate: Any, simplex: bool = True
) -> optax.GradientTransformation:
    r"""Exponentiated gradient, x_i ← x_i e^{-η g_i} / Σ_j x_j e^{-η g_j}.

    Mirror descent with the entropy: explicit Euler in z = log x. For weights of a
    mixture or an ensemble: all entries of the pytree together are one probability
    vector, and they stay one. `simplex=False` leaves the division out: parameters stay
    positive.

    Reference: Kivinen and Warmuth, "Exponentiated gradient versus gradient descent for
    linear predictors", Inform. and Comput. 132 (1997).

    Args:
        learning_rate: η, a number or an optax schedule (1/gradient units).
        simplex: whether to normalise.

    Returns:
        An optax optimiser; `update` needs `params`.

    Raises:
        BadInput: at `init`, parameters that are no probability vector (not positive).
    """
    return optax.chain(
        optax.scale_by_learning_rate(learning_rate), move_in_logarithms(simplex)
    )
