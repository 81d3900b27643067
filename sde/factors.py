"""A noise factor as a user gives it: scalar, diagonal, or a matrix of n rows."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.errors import BadInput

Factor = Any
"""σ with covariance σσᵀ: shape [] (σ I), [n] (diagonal), or [n, m]."""


def factor_columns(shape: tuple[int, ...], n: int, what: str) -> int:
    """The number m of Brownian motions that a factor of this shape takes.

    Args:
        shape: of the factor.
        n: floats in the state.
        what: the function that gave it, as the subject of an error.

    Raises:
        BadInput: a shape that is none of [], [n], [n, m].
    """
    if shape in ((), (n,)):
        return n
    if len(shape) == 2 and shape[0] == n and shape[1] >= 1:
        return shape[1]
    raise BadInput(
        f"{what} returns σ of shape [], [{n}] (diagonal) or [{n}, m] for a state of "
        f"{n} floats; got shape {list(shape)}."
    )


def apply_factor(factor: Factor, dw: Float[Array, " m"]) -> Float[Array, " n"]:
    """σ dw, for a factor that `factor_columns` accepts."""
    factor = jnp.asarray(factor, dw.dtype)
    return factor @ dw if factor.ndim == 2 else factor * dw
