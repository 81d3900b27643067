"""The first λ at which a list of conditions stops being positive, and its proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows import BadInput


def first_limit(conditions: Sequence[Any], curvature: Any) -> Any:
    """The supremum of the λ > 0 up to which all conditions are positive.

    Between neighbouring roots of numerators and denominators nothing changes sign, so
    one sample an interval decides.

    Args:
        conditions: rational functions of λ alone.
        curvature: the symbol λ.

    Returns:
        A sympy number: 0 where the conditions fail for small λ, oo where they
        never fail.
    """
    import sympy as sp

    roots = set()
    for c in conditions:
        for part in sp.fraction(sp.together(c)):
            if part.has(curvature):
                roots |= set(_positive_roots(part, curvature))
    ordered = sorted(roots, key=lambda r: r.evalf(30))
    low = sp.Integer(0)
    for high in [*ordered, sp.oo]:
        inside = _between(low, high)
        values = [c.subs(curvature, inside).evalf(30) for c in conditions]
        if not all(v > 0 for v in values):
            return low
        low = high
    return low


def _between(low: Any, high: Any) -> Any:
    """A rational between two roots."""
    import sympy as sp

    if high == sp.oo:
        return sp.Rational(int(low.evalf(30)) + 1) * 2
    return sp.Rational(((low + high) / 2).evalf(30))


def _positive_roots(polynomial: Any, curvature: Any) -> list[Any]:
    import sympy as sp

    try:
        p = sp.Poly(polynomial, curvature)
    except sp.PolynomialError:
        raise BadInput(f"{polynomial} is no polynomial in the curvature.") from None
    if p.degree() <= 1:
        found = [-p.nth(0) / p.nth(1)] if p.degree() else []
        return [r for r in found if r.evalf(30) > 0]
    if p.domain.is_ZZ or p.domain.is_QQ:
        short = max(len(str(c)) for c in p.all_coeffs()) < 30
        found = p.real_roots() if short else p.nroots(n=30, maxsteps=200)
    else:
        found = sp.Poly(p.as_expr().evalf(40), curvature).nroots(n=30, maxsteps=200)
    real = [r for r in found if abs(sp.im(r).evalf(30)) < 1e-20]
    return [sp.re(r) for r in real if sp.re(r).evalf(30) > 0]


def proved_limit(
    conditions: Sequence[Any], curvature: Any, ranges: Mapping[Any, str]
) -> tuple[Any, str]:
    """The limit on λ for all values of the symbols, with a proof where one is found.

    Candidates are the roots λ of conditions that are linear in λ. A candidate is
    proved by certificates (`is_certainly_positive`) that it is positive, that every
    condition is positive at λ = candidate · r/(1 + r) and some condition negative at
    λ = candidate · (1 + r), for all r > 0.

    Args:
        conditions: expressions in λ and the symbols.
        curvature: λ.
        ranges: symbol -> "positive", (0, ∞), or "unit", [0, 1).

    Returns:
        (limit, "proved"), or (the candidate that is smallest at a sample point,
        "derived").

    Raises:
        BadInput: no condition depends on λ linearly.
    """
    import sympy as sp

    r = sp.Symbol("r", positive=True)
    with_r = {**ranges, r: "positive"}
    candidates = []
    for c in conditions:
        p = sp.Poly(sp.fraction(sp.together(c))[0], curvature)
        if p.degree() == 1:
            root = sp.factor(-p.nth(0) / p.nth(1))
            if root != 0 and root not in candidates:
                candidates.append(root)
    for limit in candidates:
        if not is_certainly_positive(limit, ranges):
            continue
        below = {curvature: limit * r / (1 + r)}
        above = {curvature: limit * (1 + r)}
        if all(
            is_certainly_positive(c.subs(below), with_r) for c in conditions
        ) and any(is_certainly_positive(-c.subs(above), with_r) for c in conditions):
            return _in_retentions(limit, ranges), "proved"
    sample = {s: sp.Rational(1, 3) for s in ranges}
    at_sample = [c for c in candidates if c.subs(sample).evalf() > 0]
    if not at_sample:
        raise BadInput("no condition gives a limit on the curvature.")
    return min(at_sample, key=lambda c: c.subs(sample).evalf()), "derived"


def _in_retentions(limit: Any, ranges: Mapping[Any, str]) -> Any:
    """The expression with factors written 1 - β rather than -(β - 1)."""
    import sympy as sp

    out = sp.Integer(1)
    for factor in sp.Mul.make_args(sp.factor(limit)):
        base, power = factor.as_base_exp()
        if base.is_Add and power.is_odd and is_certainly_positive(-base, ranges):
            factor = -((-base) ** power)
        out *= factor
    return out


def is_certainly_positive(expression: Any, ranges: Mapping[Any, str]) -> bool:
    """Whether an expression is positive on its whole domain, by a certificate.

    A symbol in [0, 1) is put as s/(1 + s) with s >= 0, one in (0, ∞) as u² with u > 0
    (so that its root is u); then numerator and denominator must be polynomials with
    coefficients of one sign, and a term without any s. Sound, not complete.
    """
    import sympy as sp

    table, weak = {}, []
    for k, (symbol, kind) in enumerate(ranges.items()):
        if kind == "unit":
            s = sp.Symbol(f"s_{k}", nonnegative=True)
            weak.append(s)
            table[symbol] = s / (1 + s)
        else:
            table[symbol] = sp.Symbol(f"u_{k}", positive=True) ** 2
    fraction = sp.fraction(sp.cancel(sp.together(expression.subs(table))))
    sign = 1
    for part in fraction:
        expanded = sp.expand(part)
        if expanded.is_number:
            if not (expanded.is_positive or expanded.is_negative):
                return False
            sign *= 1 if expanded.is_positive else -1
            continue
        symbols = sorted(expanded.free_symbols, key=str)
        try:
            p = sp.Poly(expanded, *symbols)
        except sp.PolynomialError:
            return False
        coefficients = p.coeffs()
        if all(c.is_positive for c in coefficients):
            pass
        elif all(c.is_negative for c in coefficients):
            sign = -sign
        else:
            return False
        if not any(
            all(power == 0 for power, s in zip(m, symbols, strict=True) if s in weak)
            for m in p.monoms()
        ):
            return False
    return sign > 0
