"""Expressions back to numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import sympy as sp

from flows.errors import BadInput
from flows.symbolic.tracing import as_symbolic

DIGITS = 30
LARGEST_RATIONAL = 10**200
"""Rationals beyond this are continued with `DIGITS` digits."""


class _Evaluation:
    """Values of shared subexpressions, each computed once; rationals stay exact."""

    def __init__(self, values: Mapping[Any, Any]) -> None:
        self.known: dict[Any, Any] = dict(values)

    def __call__(self, e: Any) -> Any:
        if e not in self.known:
            self.known[e] = self._compute(e)
        return self.known[e]

    def _compute(self, e: Any) -> Any:
        if isinstance(e, sp.Symbol):
            raise BadInput(f"no value was given for {e}")
        if isinstance(e, sp.Piecewise):
            cases: Any = e.args
            for value, condition in cases:
                if self(condition) == sp.true:
                    return self(value)
            return sp.nan
        if not e.args:
            return e
        return self._rounded(e.func(*map(self, e.args)))

    def _rounded(self, value: Any) -> Any:
        if isinstance(value, sp.Rational):
            if max(abs(value.p), value.q) < LARGEST_RATIONAL:
                return value
        elif not isinstance(value, sp.Expr) or value in (sp.oo, -sp.oo, sp.nan):
            return value
        return sp.nan if value is sp.zoo else sp.N(value, DIGITS)


def numerically(tree: Any, values: Mapping[Any, Any]) -> Any:
    """See `flows.symbolic.numerically`."""
    value_of = _Evaluation({sp.sympify(s): _exact(v) for s, v in values.items()})

    def number(entry: Any) -> Any:
        value = value_of(sp.sympify(entry))
        if value in (sp.true, sp.false):
            return bool(value)
        return float(value) if value.is_extended_real else float("nan")

    def convert(leaf: Any) -> Any:
        array = as_symbolic(leaf)
        if array is None:
            return leaf
        if array.ndim == 0:
            return number(array[()])
        return np.array([number(e) for e in array.flat]).reshape(array.shape)

    return jax.tree.map(convert, tree)


def _exact(value: Any) -> Any:
    """A number as a rational (floats by their exact dyadic value)."""
    if isinstance(value, (float, np.floating)):
        return sp.Rational(float(value))
    return sp.sympify(value)
