"""Expressions back to numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import sympy as sp

from flows.errors import BadInput
from flows.symbolic.tracing import as_symbolic

_DIGITS = 30


def numerically(tree: Any, values: Mapping[Any, Any]) -> Any:
    """See `flows.symbolic.numerically`."""
    table = {sp.sympify(s): _exact(v) for s, v in values.items()}

    def evaluate(entry: Any) -> Any:
        number = entry.xreplace(table)
        left = getattr(number, "free_symbols", None)
        if left:
            names = ", ".join(sorted(map(str, left)))
            raise BadInput(f"no value was given for {names}")
        if number in (sp.true, sp.false):
            return bool(number)
        if number in (sp.nan, sp.zoo):
            return float("nan")
        if isinstance(number, sp.logic.boolalg.Boolean):
            return bool(number.simplify())
        return float(sp.N(number, _DIGITS))

    def convert(leaf: Any) -> Any:
        array = as_symbolic(leaf)
        if array is None:
            return leaf
        if array.ndim == 0:
            return evaluate(array[()])
        return np.array([evaluate(e) for e in array.flat]).reshape(array.shape)

    return jax.tree.map(convert, tree)


def _exact(value: Any) -> Any:
    """A number as a rational (floats by their exact dyadic value)."""
    if isinstance(value, (float, np.floating)):
        return sp.Rational(float(value))
    return sp.sympify(value)
