"""Rules of the primitives that act entry by entry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp

from flows.symbolic.interpreter import (
    Undecided,
    as_fraction,
    elementwise,
    is_number,
    rule,
)

HALF = sp.Rational(1, 2)
LARGE = 60
"""Nodes beyond which sympy's own simplification of max, =, < is not asked for."""


def is_large(*entries: Any) -> bool:
    """Whether expressions have more than `LARGE` nodes between them."""
    nodes = itertools.chain(*(sp.preorder_traversal(sp.sympify(e)) for e in entries))
    return any(k >= LARGE for k, _ in enumerate(nodes))


def divide(a: Any, b: Any) -> Any:
    """The quotient a / b, with the signed infinities of floating point."""
    if b != 0:
        return a / b
    if a == 0 or a is sp.nan:
        return sp.nan
    if a.is_extended_positive or a.is_extended_negative:
        return sp.oo if a.is_extended_positive else -sp.oo
    return sp.zoo


def power(a: Any, b: Any) -> Any:
    """The power a^b, where 0 to a negative power is +oo."""
    if a.is_zero and b.is_extended_negative:
        return sp.oo
    if a.is_extended_negative and is_number(b) and not b.is_integer:
        return sp.nan
    return sp.Pow(a, b)


def logarithm(a: Any) -> Any:
    """The logarithm: -oo at 0, nan below."""
    if a == 0:
        return -sp.oo
    return sp.nan if a.is_extended_negative else sp.log(a)


def square_root(a: Any) -> Any:
    """√a, nan below 0."""
    return sp.nan if a.is_extended_negative else sp.sqrt(a)


def cube_root(a: Any) -> Any:
    """The real cube root."""
    if a.is_extended_nonnegative:
        return sp.cbrt(a)
    if a.is_extended_negative:
        return -sp.cbrt(-a)
    return sp.sign(a) * sp.cbrt(sp.Abs(a))


def truncate(a: Any) -> Any:
    """Rounding towards 0."""
    if a.is_extended_nonnegative:
        return sp.floor(a)
    if a.is_extended_nonpositive:
        return sp.ceiling(a)
    return sp.sign(a) * sp.floor(sp.Abs(a))


def round_to_even(a: Any) -> Any:
    """Rounding to the nearest integer, halves to even."""
    exact = as_fraction(a)
    if exact is not None:
        return sp.Integer(round(exact))
    nearest: Any = sp.floor(a + HALF)
    odd: Any = sp.Eq(sp.Mod(nearest, 2), 1)
    half: Any = sp.Eq(nearest, a + HALF)
    tie = sp.And(half, odd)
    return sp.Piecewise((nearest - 1, tie), (nearest, True))


def round_away(a: Any) -> Any:
    """Rounding to the nearest integer, halves away from 0."""
    return sp.sign(a) * sp.floor(sp.Abs(a) + HALF)


def largest(*entries: Any) -> Any:
    """The maximum; large expressions are not compared with each other."""
    return _extremum(sp.Max, -sp.oo, sp.oo, entries)


def smallest(*entries: Any) -> Any:
    """The minimum; large expressions are not compared with each other."""
    return _extremum(sp.Min, sp.oo, -sp.oo, entries)


def _extremum(kind: Any, neutral: Any, absorbing: Any, entries: tuple) -> Any:
    kept = list(dict.fromkeys(e for e in entries if e != neutral))
    if sp.nan in kept:
        return sp.nan
    if absorbing in kept:
        return absorbing
    if len(kept) < 2:
        return kept[0] if kept else neutral
    for k, e in enumerate(kept):
        others = kept[:k] + kept[k + 1 :]
        if isinstance(e, sp.Piecewise) and all(map(is_number, others)):
            cases: Any = e.args
            return sp.Piecewise(
                *(
                    (_extremum(kind, neutral, absorbing, (v, *others)), c)
                    for v, c in cases
                )
            )
    if all(map(is_number, kept)) or not is_large(*kept):
        return kind(*kept)
    return kind(*kept, evaluate=False)


def as_truth(entry: Any) -> Any:
    """A symbolic 0/1 as the condition it came from."""
    if entry in (sp.true, sp.false):
        return entry
    if isinstance(entry, sp.Piecewise) and len(entry.args) == 2:
        cases: Any = entry.args
        (one, condition), (zero, rest) = cases
        if one == 1 and zero == 0 and rest == sp.true:
            return condition
    if isinstance(entry, sp.Expr):
        return sp.Ne(entry, 0)
    return entry


def as_number(condition: Any) -> Any:
    """A condition as 0 or 1."""
    if condition in (sp.true, sp.false):
        return sp.Integer(1 if condition == sp.true else 0)
    if isinstance(condition, sp.Expr):
        return condition
    return sp.Piecewise((1, condition), (0, True))


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`."""
    condition = as_truth(condition)
    if condition == sp.true or yes == no:
        return yes
    if condition == sp.false:
        return no
    if not isinstance(yes, sp.Expr) or not isinstance(no, sp.Expr):
        return sp.ITE(condition, yes, no)
    large = is_large(condition, yes, no)
    return sp.Piecewise((yes, condition), (no, True), evaluate=not large)


def choose_among(index: Any, entries: Sequence[Any]) -> Any:
    """The entry at an index: a number, a condition, or a number by cases."""
    if len(entries) == 2:
        return choose(index, entries[1], entries[0])
    if isinstance(index, sp.Piecewise):
        chosen, cases = sp.Integer(0), list[Any](index.args)
        for k, condition in reversed(cases):
            chosen = choose(condition, choose_among(k, entries), chosen)
        return chosen
    if not isinstance(index, sp.Integer):
        raise Undecided("a choice among several cases depends on a symbol")
    return entries[min(max(int(index), 0), len(entries) - 1)]


_BEYOND = (sp.oo, -sp.oo, sp.zoo, sp.nan)


def comparison(relation: Any) -> Callable[[Any, Any], Any]:
    """A relation between entries; symbols are finite reals."""

    def compare(a: Any, b: Any) -> Any:
        if not isinstance(a, sp.Expr) or not isinstance(b, sp.Expr):
            a, b = as_number(a), as_number(b)
        if sp.nan in (a, b):
            return sp.true if relation is sp.Ne else sp.false
        # An infinity is compared with any finite number, such as 0.
        if a in _BEYOND and b not in _BEYOND:
            b = sp.Integer(0)
        elif b in _BEYOND and a not in _BEYOND:
            a = sp.Integer(0)
        numbers = is_number(a) and is_number(b)
        try:
            if numbers or not is_large(a, b):
                return relation(a, b)
        except TypeError as error:
            raise Undecided(f"{a} and {b} cannot be ordered ({error})") from None
        return relation(a, b, evaluate=False)

    return compare


def finite(a: Any) -> Any:
    """False for infinities and nan; symbols are finite reals."""
    return sp.false if a in _BEYOND else sp.true


def _logical(connective: Any, name: str) -> Callable[..., Any]:
    def apply(*entries: Any) -> Any:
        if any(isinstance(e, sp.Expr) for e in entries):
            raise Undecided(f"'{name}' of integers that depend on symbols")
        return connective(*entries)

    return apply


def _add(a: Any, b: Any) -> Any:
    return a + b


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": _add,
    "add_any": _add,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "square": lambda a: a**2,
    "one_minus_square": lambda a: 1 - a**2,
    "pow": power,
    "sqrt": square_root,
    "rsqrt": lambda a: sp.oo if a == 0 else 1 / square_root(a),
    "cbrt": cube_root,
    "exp": sp.exp,
    "exp2": lambda a: sp.Integer(2) ** a,
    "expm1": lambda a: sp.exp(a) - 1,
    "log": logarithm,
    "log1p": lambda a: logarithm(1 + a),
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "asin": sp.asin,
    "acos": sp.acos,
    "atan": sp.atan,
    "atan2": lambda y, x: sp.Integer(0) if (y, x) == (0, 0) else sp.atan2(y, x),
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tanh": sp.tanh,
    "asinh": sp.asinh,
    "acosh": sp.acosh,
    "atanh": sp.atanh,
    "logistic": lambda a: 1 / (1 + sp.exp(-a)),
    "erf": sp.erf,
    "erfc": sp.erfc,
    "erf_inv": sp.erfinv,
    "lgamma": lambda a: sp.log(sp.Abs(sp.gamma(a))),
    "digamma": sp.digamma,
    "polygamma": sp.polygamma,
    "abs": sp.Abs,
    "sign": sp.sign,
    "floor": sp.floor,
    "ceil": sp.ceiling,
    "max": largest,
    "min": smallest,
    "rem": lambda a, b: a - b * truncate(a / b),
    "clamp": lambda low, a, high: smallest(largest(a, low), high),
    "eq": comparison(sp.Eq),
    "ne": comparison(sp.Ne),
    "lt": comparison(sp.Lt),
    "le": comparison(sp.Le),
    "gt": comparison(sp.Gt),
    "ge": comparison(sp.Ge),
    "eq_to": comparison(sp.Eq),
    "lt_to": comparison(sp.Lt),
    "le_to": comparison(sp.Le),
    "and": _logical(sp.And, "and"),
    "or": _logical(sp.Or, "or"),
    "xor": _logical(sp.Xor, "xor"),
    "not": _logical(sp.Not, "not"),
    "is_finite": finite,
}


def _register(name: str, function: Callable[..., Any]) -> None:
    @rule(name)
    def apply(interpreter: Any, eqn: Any, *values: Any) -> np.ndarray:
        del interpreter, eqn
        return elementwise(function, *values)


for _name, _function in ELEMENTWISE.items():
    _register(_name, _function)


@rule("div")
def _div(interpreter: Any, eqn: Any, a: Any, b: Any) -> np.ndarray:
    del interpreter
    if np.issubdtype(eqn.outvars[0].aval.dtype, np.integer):
        return elementwise(lambda x, y: truncate(x / y), a, b)
    return elementwise(divide, a, b)


@rule("integer_pow")
def _integer_pow(interpreter: Any, eqn: Any, a: Any) -> np.ndarray:
    del interpreter
    exponent = sp.Integer(eqn.params["y"])
    return elementwise(lambda x: power(x, exponent), a)


@rule("round")
def _round(interpreter: Any, eqn: Any, a: Any) -> np.ndarray:
    del interpreter
    to_even = int(eqn.params["rounding_method"]) == 1
    return elementwise(round_to_even if to_even else round_away, a)


@rule("convert_element_type")
def _convert(interpreter: Any, eqn: Any, a: Any) -> np.ndarray:
    del interpreter
    source, target = eqn.invars[0].aval.dtype, eqn.outvars[0].aval.dtype
    if target == np.dtype(bool):
        return elementwise(as_truth, a)
    a = elementwise(as_number, a)
    to_integer = np.issubdtype(target, np.integer)
    if (
        to_integer
        and not np.issubdtype(source, np.integer)
        and source != np.dtype(bool)
    ):
        return elementwise(truncate, a)
    return a


@rule("select_n")
def _select(interpreter: Any, eqn: Any, which: Any, *cases: Any) -> np.ndarray:
    del interpreter, eqn

    return elementwise(lambda k, *entries: choose_among(k, entries), which, *cases)
