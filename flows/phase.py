"""A position and its velocity: the state of every second-order flow."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import as_position


class PhaseState(NamedTuple):
    """A position and its velocity.

    Attributes:
        position: x, shape [n].
        velocity: v = x', shape [n], in (unit of x)/(the model's unit of time).
    """

    position: Float[Array, " n"]
    velocity: Float[Array, " n"]


def at_rest(x: Float[Array, " n"]) -> PhaseState:
    """The state of velocity 0 in x.

    Raises:
        BadInput: x is no array of floats.
    """
    x = as_position("x", x)
    return PhaseState(x, jnp.zeros_like(x))
