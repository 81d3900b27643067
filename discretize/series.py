"""Truncated power series of expressions in one small positive symbol.

Coefficients are got by arithmetic on series, node by node, and not by repeated
differentiation: √(1 - e^{-2s²}) has a removable singularity at s = 0 that derivatives
there would trip over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flows import BadInput
from flows.symbolic import equal_symbolically


class Series(NamedTuple):
    """Σ_k coefficients[k] s^(valuation + k), known up to the last coefficient."""

    valuation: int
    coefficients: list[Any]

    @property
    def precision(self) -> int:
        """The first power of s that is not known."""
        return self.valuation + len(self.coefficients)

    def at(self, power: int) -> Any:
        """The coefficient of s^power (0 below the valuation)."""
        k = power - self.valuation
        return self.coefficients[k] if k >= 0 else 0


def coefficients(expression: Any, s: Any, upto: int) -> list[Any]:
    """The coefficients of s^0, ..., s^upto of an expression (not simplified).

    Args:
        expression: a sympy expression, finite as s -> 0+.
        s: a positive symbol.
        upto: the last power.

    Raises:
        BadInput: the expression has no expansion in whole powers of s, is infinite at
            s = 0, or sits on a kink there (|0|, a condition on symbols).
    """
    for slack in (2, 6, 14):
        found = _Expansion(s, upto + 1 + slack).of(expression)
        if found.precision > upto:
            found = _normal(found) if found.valuation < 0 else found
            if found.valuation < 0:
                raise BadInput(f"the expression is infinite as {s} -> 0.")
            return [found.at(k) for k in range(upto + 1)]
    raise BadInput(f"cancellations at {s} = 0 run too deep to expand the expression.")


def is_zero(expression: Any) -> bool:
    """Whether an expression reduces to 0.

    A value away from 0 at one point refutes; only where there is none is a proof
    tried.
    """
    import sympy as sp

    expression = sp.sympify(expression)
    if not expression.free_symbols:
        return bool(expression == 0 or sp.simplify(expression) == 0)
    if _differs_from_zero(expression):
        return False
    return sp.expand(expression) == 0 or equal_symbolically(expression, 0, 2).proved


def _differs_from_zero(expression: Any) -> bool:
    """Whether the expression is away from 0 at one of two fixed points, to 30 digits.

    The points are positive, so that roots and logarithms stay real.
    """
    import sympy as sp

    symbols = sorted(expression.free_symbols, key=str)
    for start in (3, 7):
        point = {v: sp.Rational(start + 5 * k, 11) for k, v in enumerate(symbols)}
        value = expression.xreplace(point).evalf(30)
        if value.is_number and value.is_finite and abs(value) > 1e-12:
            return True
    return False


def tidy(expression: Any) -> Any:
    """An expression in a shape to be read: 0 where it reduces to 0."""
    import sympy as sp

    expression = resolved(sp.sympify(expression))
    if is_zero(expression):
        return sp.Integer(0)
    expanded = sp.expand(expression)
    rational = all(p.exp.is_Integer for p in expanded.atoms(sp.Pow))
    if expanded.atoms(sp.Function) or not rational:
        return expression
    return sp.factor(expanded)


def resolved(expression: Any) -> Any:
    """An expression without those Max, Min, steps and conditions that signs decide."""
    import sympy as sp

    kinks = expression.atoms(sp.Max, sp.Min, sp.Heaviside, sp.Gt, sp.Ge, sp.Lt, sp.Le)
    table = {}
    for e in sorted(kinks, key=sp.count_ops):
        u = e.xreplace(table)
        if isinstance(u, sp.Heaviside):
            sign = _with_bounded_exponentials(u.args[0])
            if sign.is_positive or sign.is_negative:
                table[e] = sp.Integer(1 if sign.is_positive else 0)
        elif isinstance(u, (sp.Gt, sp.Ge, sp.Lt, sp.Le)):
            sides: tuple[Any, Any] = u.lhs, u.rhs
            gap = _with_bounded_exponentials(sides[0] - sides[1])
            if gap.is_positive or gap.is_negative:
                greater = isinstance(u, (sp.Gt, sp.Ge))
                table[e] = sp.S.true if bool(gap.is_positive) == greater else sp.S.false
        elif isinstance(u, (sp.Max, sp.Min)) and (best := _larger(u)) is not None:
            table[e] = best
    return expression.xreplace(table) if table else expression


def _larger(e: Any) -> Any:
    """The argument that a Max (or Min) is, or None where that depends on symbols."""
    import sympy as sp

    best, *others = e.args
    for other in others:
        gap = _with_bounded_exponentials(sp.sympify(best - other))
        if not (gap.is_nonnegative or gap.is_nonpositive):
            return None
        if bool(gap.is_nonnegative) != isinstance(e, sp.Max):
            best = other
    return best


def _normal(series: Series) -> Series:
    """The same series with a leading coefficient that is not 0."""
    drop = 0
    while drop < len(series.coefficients) and is_zero(series.coefficients[drop]):
        drop += 1
    return Series(series.valuation + drop, series.coefficients[drop:])


def _times(a: Series, b: Series) -> Series:
    n = min(len(a.coefficients), len(b.coefficients))
    out = []
    for k in range(n):
        pairs = zip(a.coefficients[: k + 1], b.coefficients[k::-1], strict=True)
        out.append(sum(p * q for p, q in pairs if p != 0 and q != 0))
    return Series(a.valuation + b.valuation, out)


def _plus(a: Series, b: Series) -> Series:
    low = min(a.valuation, b.valuation)
    high = min(a.precision, b.precision)
    return Series(low, [a.at(k) + b.at(k) for k in range(low, high)])


def _with_bounded_exponentials(expression: Any) -> Any:
    """An expression whose sign sympy can see: e^{-u} as 1/(1 + w) with w > 0.

    Each exponential of known sign in the exponent gets a positive w of its own; a sign
    that holds for all of these holds for the expression.
    """
    import sympy as sp

    table = {}
    for e in expression.atoms(sp.exp):
        w = sp.Dummy("w", positive=True)
        if e.exp.is_negative:
            table[e] = 1 / (1 + w)
        elif e.exp.is_positive:
            table[e] = 1 + w
    return sp.factor(sp.together(expression.xreplace(table))) if table else expression


class _Expansion:
    """Expands one expression, sharing the work on common subexpressions."""

    def __init__(self, s: Any, terms: int) -> None:
        self.s = s
        self.terms = terms
        self.known: dict[Any, Series] = {}

    def constant(self, value: Any) -> Series:
        return Series(0, [value] + [0] * (self.terms - 1))

    def of(self, e: Any) -> Series:
        import sympy as sp

        e = sp.sympify(e)
        if e not in self.known:
            self.known[e] = self._of(e)
        return self.known[e]

    def _of(self, e: Any) -> Series:
        import sympy as sp

        if not e.has(self.s):
            return self.constant(e)
        if e == self.s:
            return Series(1, self.constant(sp.Integer(1)).coefficients)
        if e.is_Add or e.is_Mul:
            join = _plus if e.is_Add else _times
            free, rest = e.as_independent(self.s, as_Add=e.is_Add)
            out = self.constant(free)
            for arg in rest.func.make_args(rest) if rest.func == e.func else (rest,):
                out = join(out, self.of(arg))
            return out
        if isinstance(e, sp.exp):
            return self._exponential(self.of(e.exp))
        if e.is_Pow:
            if e.exp.has(self.s):
                return self.of(sp.exp(e.exp * sp.log(e.base), evaluate=False))
            return self._power(self.of(e.base), e.exp)
        if isinstance(e, sp.Abs):
            u = self.of(e.args[0])
            return _times(self.constant(self._sign(u, e)), u)
        if isinstance(e, sp.sign):
            return self.constant(self._sign(self.of(e.args[0]), e))
        if isinstance(e, (sp.Max, sp.Min)):
            return self._extremum(e)
        if isinstance(e, sp.Piecewise):
            return self._branch(e)
        if isinstance(e, sp.Function) and len(e.args) == 1:
            return self._composed(e)
        raise BadInput(f"{e.func.__name__} of {self.s} has no power series here.")

    def _power(self, base: Series, exponent: Any) -> Series:
        import sympy as sp

        if exponent.is_Integer and exponent > 0:
            out = base
            for _ in range(int(exponent) - 1):
                out = _times(out, base)
            return out
        base = _normal(base)
        if not base.coefficients:  # zero to working precision: more terms are needed
            return Series(base.valuation, [])
        shift = base.valuation * exponent
        if not shift.is_Integer:
            raise BadInput(
                f"the expression has the power {shift} of {self.s}; only whole powers "
                "are expanded."
            )
        lead = base.coefficients[0]
        unit = [c / lead for c in base.coefficients]
        # b_k of (1 + u_1 s + ...)^a:  k b_k = sum_j (j (a + 1) - k) u_j b_{k-j}
        out = [sp.Integer(1)]
        for k in range(1, len(unit)):
            total = sum(
                (j * (exponent + 1) - k) * unit[j] * out[k - j]
                for j in range(1, k + 1)
                if unit[j] != 0
            )
            out.append(total / sp.Integer(k))
        return Series(int(shift), [sp.Pow(lead, exponent) * c for c in out])

    def _exponential(self, u: Series) -> Series:
        import sympy as sp

        zero, rest = self._split(u, "exp")
        # b' = u' b:  k b_k = sum_j j u_j b_{k-j}
        out = [sp.exp(zero)]
        for k in range(1, len(rest)):
            total = sum(
                j * rest[j] * out[k - j] for j in range(1, k + 1) if rest[j] != 0
            )
            out.append(total / sp.Integer(k))
        return Series(0, out)

    def _composed(self, e: Any) -> Series:
        import sympy as sp

        zero, rest = self._split(self.of(e.args[0]), e.func.__name__)
        w = sp.Dummy("w", real=True)
        derivative, factorial = e.func(w), sp.Integer(1)
        step = Series(0, [sp.Integer(0), *rest[1:]])
        power = Series(0, [sp.Integer(1)] + [0] * (len(rest) - 1))
        out = Series(0, [sp.Integer(0)] * len(rest))
        for k in range(len(rest)):
            value = derivative.subs(w, zero) / factorial
            if value.has(sp.zoo, sp.nan, sp.oo):
                raise BadInput(f"{e.func.__name__} is not smooth at {zero}.")
            out = _plus(out, _times(self.constant(value), power))
            power = _times(power, step)
            derivative, factorial = sp.diff(derivative, w), factorial * (k + 1)
        return out

    def _split(self, u: Series, name: str) -> tuple[Any, list[Any]]:
        if u.valuation < 0:
            u = _normal(u)
            if u.valuation < 0:
                raise BadInput(f"{name} of an argument infinite as {self.s} -> 0.")
        full = [u.at(k) for k in range(u.precision)]
        return full[0], full

    def _sign(self, u: Series, e: Any) -> Any:
        """The sign for small s > 0, that of the leading coefficient."""
        import sympy as sp

        u = _normal(u)
        if not u.coefficients:
            raise BadInput(f"{e.func.__name__} sits on its kink at {self.s} = 0.")
        return sp.sign(u.coefficients[0])

    def _extremum(self, e: Any) -> Series:
        import sympy as sp

        best, *others = e.args
        for other in others:
            u = _normal(self.of(best - other))
            lead = u.coefficients[0] if u.coefficients else sp.Integer(0)
            lead = _with_bounded_exponentials(sp.sympify(lead))
            if not (lead.is_nonnegative or lead.is_nonpositive):
                raise BadInput(
                    f"{e.func.__name__} of {best} and {other}: which one is larger "
                    "depends on symbols; give them assumptions (positive=True)."
                )
            if bool(lead.is_nonnegative) != isinstance(e, sp.Max):
                best = other
        return self.of(best)

    def _branch(self, e: Any) -> Series:
        import sympy as sp

        for value, condition in e.args:
            decided = condition.subs(self.s, 0)
            if decided == sp.true:
                return self.of(value)
            if decided != sp.false:
                raise BadInput(
                    f"the condition {condition} is not decided at {self.s} = 0."
                )
        raise BadInput(f"no branch of {e} holds at {self.s} = 0.")
