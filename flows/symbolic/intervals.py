"""Rigorous evaluation of expressions at rationals, by interval arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import sympy as sp
from mpmath.ctx_iv import MPIntervalContext
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

PRECISION = 200
"""Working precision in bits."""


class NoEnclosure(Exception):
    """The expression is undefined there, or no enclosure of it is known."""


class Enclosures:
    """Encloses real expressions in intervals.

    Undefined values (a root or logarithm that may be of a negative number, a quotient
    whose denominator may vanish) raise `NoEnclosure`.
    """

    def __init__(self, precision: int = PRECISION) -> None:
        self.iv: Any = MPIntervalContext()
        self.iv.prec = precision
        self.rules: dict[Any, Callable[..., Any]] = {
            sp.exp: self.iv.exp,
            sp.log: self._log,
            sp.sin: self.iv.sin,
            sp.cos: self.iv.cos,
            sp.tan: lambda x: self._divide(self.iv.sin(x), self.iv.cos(x)),
            sp.sinh: lambda x: (self.iv.exp(x) - self.iv.exp(-x)) / 2,
            sp.cosh: lambda x: (self.iv.exp(x) + self.iv.exp(-x)) / 2,
            sp.tanh: self._tanh,
            sp.atan: self._atan,
            sp.erf: self._erf,
            sp.erfc: lambda x: 1 - self._erf(x),
            sp.Abs: abs,
            sp.sign: self._sign,
            sp.Max: self._max,
            sp.Min: lambda *x: -self._max(*(-y for y in x)),
            sp.floor: self._floor,
            sp.ceiling: lambda x: -self._floor(-x),
        }

    def __call__(self, expression: Any, values: Any = None) -> Any:
        """An interval that holds the value of a real expression.

        Args:
            expression: the expression.
            values: a rational for each of its symbols. They are not substituted, so
                that an intermediate value that is not real stays noticed.
        """
        known: dict[Any, Any] = {}
        for s, value in (values or {}).items():
            known[s] = self._compute(sp.Rational(value), known)
        result = self._enclose(expression, known)
        if not (self.iv.isinf(result.a) or self.iv.isinf(result.b)):
            return result
        raise NoEnclosure("unbounded")

    def _enclose(self, e: Any, known: dict[Any, Any]) -> Any:
        if e not in known:
            known[e] = self._compute(e, known)
        return known[e]

    def _compute(self, e: Any, known: dict[Any, Any]) -> Any:
        if isinstance(e, sp.Rational):
            return self._divide(self.iv.mpf(int(e.p)), self.iv.mpf(int(e.q)))
        if e is sp.pi:
            return self.iv.pi
        if e is sp.E:
            return self.iv.exp(self.iv.mpf(1))
        if isinstance(e, sp.Piecewise):
            return self._enclose(self._branch(e, known), known)
        if isinstance(e, (sp.Add, sp.Mul)):
            total = self.iv.mpf(0 if isinstance(e, sp.Add) else 1)
            for term in e.args:
                value = self._enclose(term, known)
                total = total + value if isinstance(e, sp.Add) else total * value
            return total
        if isinstance(e, sp.Pow):
            return self._power(e.base, e.exp, known)
        rule = self.rules.get(e.func)
        if rule is None:
            raise NoEnclosure(f"no enclosure of {e.func} is known")
        return rule(*(self._enclose(a, known) for a in e.args))

    def _branch(self, e: Any, known: dict[Any, Any]) -> Any:
        for value, condition in e.args:
            if self.holds(condition, known):
                return value
        raise NoEnclosure("no branch holds")

    def holds(self, condition: Any, known: dict[Any, Any]) -> bool:
        """Whether a condition certainly holds (False: certainly does not)."""
        if condition in (sp.true, sp.false):
            return condition == sp.true
        if isinstance(condition, BooleanFunction):
            return bool(condition.func(*(self.holds(c, known) for c in condition.args)))
        if not isinstance(condition, Relational):
            raise NoEnclosure(f"undecided condition {condition}")
        left: Any = self._enclose(condition.lhs, known)
        sign = self._sign_of(left - self._enclose(condition.rhs, known))
        return bool(condition.func(sign, 0))

    def _sign_of(self, x: Any) -> int:
        if x.a > 0:
            return 1
        if x.b < 0:
            return -1
        if x.a == 0 and x.b == 0:
            return 0
        raise NoEnclosure("a sign is not decided")

    def _sign(self, x: Any) -> Any:
        return self.iv.mpf(self._sign_of(x))

    def _divide(self, a: Any, b: Any) -> Any:
        if b.a <= 0 <= b.b:
            raise NoEnclosure("a denominator may vanish")
        return a / b

    def _log(self, x: Any) -> Any:
        if not x.a > 0:
            raise NoEnclosure("a logarithm of a number that may not be positive")
        return self.iv.log(x)

    def _power(self, base: Any, exponent: Any, known: dict[Any, Any]) -> Any:
        if exponent.is_Integer:
            value = self._enclose(base, known) ** abs(int(exponent))
            return value if exponent > 0 else self._divide(self.iv.mpf(1), value)
        if base is sp.E:
            return self.iv.exp(self._enclose(exponent, known))
        value = self._enclose(base, known)
        if value.a == 0 and value.b == 0 and exponent.is_positive:
            return self.iv.mpf(0)
        return self.iv.exp(self._enclose(exponent, known) * self._log(value))

    def _max(self, *xs: Any) -> Any:
        return self.iv.mpf([max(x.a for x in xs).a, max(x.b for x in xs).a])

    def _tanh(self, x: Any) -> Any:
        return 1 - 2 / (self.iv.exp(2 * x) + 1)

    def _floor(self, x: Any) -> Any:
        low = math.floor(float(x.a.mid))
        if not (low <= x.a and x.b < low + 1):
            raise NoEnclosure("a rounding is not decided")
        return self.iv.mpf(low)

    def _atan(self, x: Any) -> Any:
        """A guess of arctan, widened until tan of its ends brackets x."""
        from mpmath import mp

        with mp.workprec(self.iv.prec):
            low, high = mp.atan(mp.mpf(x.a.mid)), mp.atan(mp.mpf(x.b.mid))
            margin = mp.mpf(2) ** (20 - self.iv.prec)
            low, high = self.iv.mpf(low - margin), self.iv.mpf(high + margin)
        if not (self.iv.tan(low) < x.a and self.iv.tan(high) > x.b):
            raise NoEnclosure("arctan")
        return self.iv.mpf([low.a, high.b])

    def _erf(self, x: Any) -> Any:
        """The alternating series of erf, closed by its first omitted term."""
        if abs(x).b > 6:
            raise NoEnclosure("erf of a large number")
        power, total = x, x
        for n in range(1, 400):
            power = power * x * x / n
            term = power / (2 * n + 1)
            total = total + (-term if n % 2 else term)
        rest = abs(power).b
        total = total + self.iv.mpf([-rest, rest])
        return 2 * total / self.iv.sqrt(self.iv.pi)
