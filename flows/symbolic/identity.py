"""Decides identities between expressions: a normal form to prove, balls to refute."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import jax
import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from flows.errors import BadInput
from flows.symbolic.interpreter import Interpreter
from flows.symbolic.intervals import Enclosures, NoEnclosure
from flows.symbolic.normal_form import vanishes
from flows.symbolic.results import IdentityResult
from flows.symbolic.tracing import as_symbolic

MOST_CASES = 5
"""Conditions that are split into cases, one inside another, at most."""
FIRST_POINTS = 3
"""Points tried for a refutation before a proof is attempted."""


def _entries(tree: Any) -> tuple[Any, list[np.ndarray]]:
    leaves, treedef = jax.tree.flatten(tree)
    reader = Interpreter("an identity", unroll=0)
    arrays = []
    for leaf in leaves:
        array = as_symbolic(leaf)
        value = reader.constant(leaf if array is None else array)
        arrays.append(reader.lift(value))
    if reader.notes:
        raise BadInput(
            f"an identity is between exact expressions, and {reader.notes[0]}. Pass a "
            "rational, or a symbol."
        )
    return treedef, arrays


def _differences(a: Any, b: Any) -> list[Any]:
    tree_a, left = _entries(a)
    tree_b, right = _entries(b)
    shapes = [x.shape for x in left], [x.shape for x in right]
    if tree_a != tree_b or shapes[0] != shapes[1]:
        raise BadInput(
            f"the two sides differ in structure: {tree_a} with shapes {shapes[0]}, "
            f"and {tree_b} with shapes {shapes[1]}"
        )
    pairs = zip(
        itertools.chain(*(x.flat for x in left)),
        itertools.chain(*(x.flat for x in right)),
        strict=True,
    )
    return [_difference(x, y) for x, y in pairs]


def _difference(x: Any, y: Any) -> Any:
    if isinstance(x, sp.Expr) and isinstance(y, sp.Expr):
        return sp.Integer(0) if x == y else x - y
    if isinstance(x, sp.Expr) or isinstance(y, sp.Expr):
        raise BadInput("a condition is compared with a number")
    return sp.Integer(0) if x == y else sp.Piecewise((1, sp.Xor(x, y)), (0, True))


def _conditions(expression: Any) -> list[Any]:
    """What to split on: branch conditions, and signs of symbols under |x|, max, min."""
    found = set()
    for piecewise in expression.atoms(sp.Piecewise):
        for _, condition in piecewise.args:
            found |= condition.atoms(Relational)
    for e in expression.atoms(sp.Max, sp.Min, sp.sign):
        symbols = [a for a in e.args if a.is_Symbol]
        if len(symbols) == 1 and set(e.args) <= {symbols[0], sp.Integer(0)}:
            found.add(sp.Gt(symbols[0], 0))
    return sorted(found - {sp.true, sp.false}, key=sp.default_sort_key)


def _assuming(expression: Any, condition: Any, holds: bool) -> Any:
    """The expression where a relation holds (or fails); free symbols keep kin names."""
    relation: Any = condition if holds else sp.Not(condition)
    table = {c: sp.true for c in (relation, relation.canonical, relation.reversed)}
    table |= {sp.Not(c): sp.false for c in table}
    expression = expression.xreplace(table)
    relation = relation.canonical
    s, bound = relation.lhs, relation.rhs
    if not s.is_Symbol or s.is_integer:
        return expression
    if isinstance(relation, sp.Eq) and not bound.has(s):
        return expression.xreplace({s: bound})
    if bound != 0 or isinstance(relation, sp.Ne):
        return expression
    strict = isinstance(relation, (sp.Gt, sp.Lt))
    upwards = isinstance(relation, (sp.Gt, sp.Ge))
    if not strict and (s.is_nonpositive if upwards else s.is_nonnegative):
        return expression.xreplace({s: sp.Integer(0)})
    size = sp.Dummy(s.name, **{"positive" if strict else "nonnegative": True})
    return expression.xreplace({s: size if upwards else -size})


def _proof(difference: Any, depth: int = MOST_CASES) -> tuple[bool, Any]:
    """Whether a difference vanishes in every case, and what is left of it.

    Contradictory combinations of conditions are not told apart from others: they
    only make a proof harder.
    """
    conditions = _conditions(difference) if depth else []
    if conditions:
        for holds in (True, False):
            case = _assuming(difference, conditions[0], holds)
            zero, rest = _proof(case, depth - 1)
            if not zero:
                return False, rest
        return True, None
    try:
        return vanishes(difference)
    except (sp.PolynomialError, NotImplementedError, ZeroDivisionError):
        return False, difference


def random_value(symbol: Any, generator: random.Random) -> Any:
    """A random rational that the assumptions of a symbol allow."""
    if symbol.is_integer:
        size = sp.Integer(generator.randint(1, 6))
    else:
        # Half of the values lie below 1, where retention factors live.
        top = 1 if generator.random() < 0.5 else 4
        # Dyadic, so that a point is an interval of width 0.
        size = sp.Rational(generator.randint(1, 128 * top - 1), 128)
    if symbol.is_nonnegative:
        return size
    if symbol.is_nonpositive:
        return -size
    return size if generator.random() < 0.5 else -size


def _refutation(differences: list[Any], points: int, generator: random.Random) -> Any:
    """(witness, gap) at one of some random points, or None."""
    enclose = Enclosures()
    symbols = set().union(*(d.free_symbols for d in differences), set())
    ordered = sorted(symbols, key=lambda s: s.name)
    for _ in range(points):
        witness = {s: random_value(s, generator) for s in ordered}
        for difference in differences:
            try:
                ball = enclose(difference, witness)
            except (NoEnclosure, TypeError, ValueError, ZeroDivisionError):
                continue
            if not ball.a <= 0 <= ball.b:
                low, high = float(ball.a.mid), float(ball.b.mid)
                return witness, (
                    math.nextafter(low, -math.inf),
                    math.nextafter(high, math.inf),
                )
    return None


def equal_symbolically(a: Any, b: Any, samples: int, seed: int) -> IdentityResult:
    """See `flows.symbolic.equal_symbolically`."""
    if samples < 1:
        raise BadInput(f"samples is at least 1; got {samples}")
    left = [d for d in _differences(a, b) if d != 0]
    generator = random.Random(seed)
    first = min(FIRST_POINTS, samples)
    found = _refutation(left, first, generator)
    remainder = None
    if found is None:
        unproved = []
        for difference in left:
            proved, rest = _proof(difference)
            if not proved:
                remainder = rest if remainder is None else remainder
                unproved.append(difference)
        if not unproved:
            return IdentityResult("proved", points=first)
        found = _refutation(unproved, samples - first, generator)
    if found is not None:
        return IdentityResult("refuted", *found, points=samples)
    return IdentityResult("undecided", remainder=remainder, points=samples)
