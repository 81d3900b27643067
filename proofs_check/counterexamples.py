"""Power functions on which a stated sign fails, rigorously."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from flows.symbolic import IdentityResult
from flows.symbolic.intervals import Enclosures, NoEnclosure
from proofs_check.inner_products import factors, gap_symbol, products_in

_POINTS = 4000
_VERIFIED = 20
_GRID = 128
_FINE = 2.0**20
_NEAR_ZERO = 2.0**-10

_CURVATURE, _E, _V = sp.symbols("lambda e v", real=True)


def on_powers(
    left: Any, hypotheses: Sequence[Any], power: Any = 2, seed: int = 0
) -> IdentityResult | None:
    """A function f = κ|x|^p/p and a state where left > 0 though the hypotheses hold.

    There e, v are numbers, g = λe with λ = κ|e|^{p-2}, Ha = (p-1)λa, f - f* = λe²/p,
    and left is a quadratic form in (e, v); e is not 0 unless p = 2, for λ would be no
    free number there. Random parameters and λ, and λ on the edge
    of a hypothesis, are searched in floating point for a positive eigenvalue; what is
    found is rounded to dyadic numbers and confirmed by interval arithmetic.

    Args:
        left: a quantity in inner products that is claimed to be <= 0.
        hypotheses: quantities in inner products that are >= 0.
        power: p >= 1: 2 for quadratics; other powers, with λ >= 0, are convex, but
            neither smooth nor strongly convex.
        seed: of the search.

    Returns:
        "refuted", with the values for witness and an interval of left; None where
        nothing was found, which proves nothing.
    """
    table = _mode(left, hypotheses, sp.Rational(power))
    if table is None:
        return None
    left = sp.expand(sp.sympify(left).subs(table))
    bounds = [sp.sympify(h).subs(table) for h in hypotheses]
    if power != 2:
        bounds.append(_CURVATURE)  # -|x| is not convex, though ⟨e, g⟩ = f - f* there
    for edge in [None, *_edges(bounds)]:
        at = {} if edge is None else {_CURVATURE: edge}
        here = [b.subs(at) for b in bounds]
        found = _search(left.subs(at), here, seed, at_zero=power == 2)
        if found is not None:
            witness, gap = found
            if edge is not None:
                witness[_CURVATURE] = sp.sympify(edge).subs(witness)
            witness[sp.Symbol("power of f")] = sp.Rational(power)
            return IdentityResult("refuted", witness, gap, points=_POINTS)
    return None


def _mode(left: Any, hypotheses: Sequence[Any], power: Any) -> Any:
    """Values of the inner products in one variable; None where a vector has none."""
    numbers = {"e": _E, "v": _V, "g": _CURVATURE * _E}
    table = {gap_symbol(): _CURVATURE * _E**2 / power}
    for s in set().union(*map(products_in, [left, *hypotheses])):
        pair = factors(s)
        if pair is None:
            continue
        if not {name[-1] for name in pair} <= set(numbers):
            return None
        hessian = (power - 1) * _CURVATURE
        first, second = (
            hessian ** name.count("H") * numbers[name[-1]] for name in pair
        )
        table[s] = first * second
    return table


def _edges(bounds: Sequence[Any]) -> list[Any]:
    """Curvatures at which a hypothesis is an equality, whatever e and v."""
    found = []
    for bound in bounds:
        for root in sp.solve(bound, _CURVATURE):
            if not root.has(_E, _V) and root not in found:
                found.append(root)
    return found


def _search(left: Any, bounds: Sequence[Any], seed: int, at_zero: bool) -> Any:
    """(witness, interval of left), or None; with e = 0 only where `at_zero`."""
    form = sp.Poly(left, _E, _V)
    coefficients = [form.coeff_monomial(m) for m in (_E**2, _E * _V, _V**2)]
    random = np.random.default_rng(seed)
    free = set().union(left.free_symbols, *(b.free_symbols for b in bounds))
    symbols = sorted(free - {_E, _V}, key=str)
    draws = [_values(s, random) for s in symbols]
    a, b, c = _evaluated(coefficients, symbols, draws)
    angle = np.arctan2(b, a - c) / 2  # of the largest eigenvalue
    e, v = (np.round(_FINE * f(angle)) / _FINE for f in (np.cos, np.sin))
    e = np.where((e == 0) & (not at_zero), _NEAR_ZERO, e)
    names = [*symbols, _E, _V]
    value, *slacks = _evaluated([left, *bounds], names, [*draws, e, v])
    good = np.all([value > 0, *(slack > -1e-9 for slack in slacks)], axis=0)
    order = np.flatnonzero(good)
    relative = value / np.maximum(np.abs(a) + np.abs(b) + np.abs(c), 1e-300)
    for k in order[np.argsort(-relative[order])][:_VERIFIED]:
        numbers = [*(d[k] for d in draws), e[k], v[k]]
        witness = {s: sp.Rational(x) for s, x in zip(names, numbers, strict=True)}
        interval = _confirmed(left, bounds, witness)
        if interval is not None:
            return witness, interval
    return None


def _evaluated(expressions: Sequence[Any], symbols: Any, values: Any) -> np.ndarray:
    """The expressions at all points, in floating point."""
    with np.errstate(all="ignore"):
        found = sp.lambdify(symbols, list(expressions), modules="numpy")(*values)
    return np.stack([np.broadcast_to(np.asarray(x, float), _POINTS) for x in found])


def _values(symbol: Any, random: np.random.Generator) -> np.ndarray:
    """Dyadic numbers that the symbol's assumptions allow, half of them below 1."""
    top = np.where(random.random(_POINTS) < 0.5, 1, 4)
    size = (1 + np.floor(random.random(_POINTS) * (_GRID * top - 1))) / _GRID
    if symbol.is_nonnegative:
        return size
    return size * random.choice([-1.0, 1.0], _POINTS)


def _confirmed(left: Any, bounds: Sequence[Any], witness: Any) -> Any:
    enclose = Enclosures()
    try:
        value = enclose(left, witness)
        slacks = [enclose(sp.simplify(b), witness) for b in bounds]
    except (NoEnclosure, ZeroDivisionError):
        return None
    if not value.a > 0 or any(not slack.a >= 0 for slack in slacks):
        return None
    low, high = float(value.a.mid), float(value.b.mid)
    return np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
