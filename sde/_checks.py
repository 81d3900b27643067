"""Doors: what constructors of models, and readers of ensembles, accept."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.errors import BadInput
from flows.types import is_traced


def require_positive(name: str, value: Any, *, zero: bool = False) -> None:
    """Refuse a concrete parameter that is not positive and finite.

    Args:
        name: the parameter, as the user wrote it.
        value: number or array; a tracer or a symbol passes.
        zero: whether zero is accepted too.

    Raises:
        BadInput: not positive (or not finite).
    """
    if is_traced(value) or np.asarray(value).dtype == object:
        return
    numbers = np.asarray(value)
    good = numbers >= 0 if zero else numbers > 0
    if not np.all(good & np.isfinite(numbers)):
        sign = "nonnegative" if zero else "positive"
        raise BadInput(f"{name} is {sign} and finite; got {value}.")


def is_concrete(*values: Any) -> bool:
    """Whether no leaf is a tracer or a symbol, so that numbers can be looked at."""
    return not any(
        is_traced(leaf) or np.asarray(leaf).dtype == object
        for leaf in jax.tree.leaves(values)
    )


def value_of(what: str, fn: Any, y: Any) -> Any:
    """The abstract value of a function on one state.

    Args:
        what: the function, as the subject of a sentence.
        fn: the function.
        y: the state, abstract.

    Raises:
        BadInput: what is no function of such a state, or returns no real array.
    """
    try:
        value = eqx.filter_eval_shape(fn, y)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(
            f"{what} is no function of one state like {y}: {error}"
        ) from error
    if isinstance(value, int | float):
        value = jax.eval_shape(lambda: jnp.asarray(value))
    if not hasattr(value, "shape"):
        raise BadInput(f"{what} returns no array, but {value!r:.60}.")
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise BadInput(
            f"{what} returns complex numbers: take real and imaginary parts apart."
        )
    return value


def require_saved(at: Any, times: int) -> None:
    """Refuse what is no index of a saved time.

    Raises:
        BadInput: with the number of times and the value.
    """
    whole = isinstance(at, int | np.integer) and not isinstance(at, bool)
    if not whole or not -times <= at < times:
        raise BadInput(
            f"at is the index of one of {times} saved times; got {at!r:.60}."
        )
