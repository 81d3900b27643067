"""Doors: what a model's constructor accepts, as arrays of the default precision."""

from __future__ import annotations

from typing import Any

import jax
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
