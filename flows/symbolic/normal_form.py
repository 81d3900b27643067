"""Expressions as rational functions of independent generators, with relations.

A generator stands for a symbol, a root f^(1/q), a power of e or of a positive base, a
logarithm, a modulus, a sine or cosine, or any other function of arguments already in
normal form. A difference that reduces to the zero polynomial vanishes identically; the
converse is not claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

LARGEST_FACTORED = 300
"""Terms beyond which a polynomial under a root or modulus is not factored."""
MOST_ROUNDS = 8


def without_hyperbolics(expression: Any) -> Any:
    """Hyperbolic functions as exponentials, max and min by the modulus."""

    def exponentials(function: Any) -> Callable[[Any], Any]:
        return lambda u: function(u).rewrite(sp.exp)

    table = {
        **{f: exponentials(f) for f in (sp.sinh, sp.cosh, sp.tanh, sp.coth)},
        sp.Max: lambda *entries: _fold(entries, 1),
        sp.Min: lambda *entries: _fold(entries, -1),
        sp.erfc: lambda u: 1 - sp.erf(u),
        sp.tan: lambda u: sp.sin(u) / sp.cos(u),
    }
    for function, replacement in table.items():
        if expression.has(function):
            expression = expression.replace(function, replacement)
    return expression


def _fold(entries: tuple[Any, ...], sign: int) -> Any:
    first, *rest = entries
    for e in rest:
        first = (first + e + sign * sp.Abs(first - e)) / 2
    return first


class NormalForm:
    """Converts expressions, keeping the table of generators and their relations.

    Attributes:
        relations: (generator, q, numerator, denominator): generator^q is the fraction.
    """

    def __init__(self, units: dict[Any, int], generators: dict[Any, Any]) -> None:
        # Both tables outlive a round: keys hold generators, and units hold keys.
        self.units = units
        self.generators = generators
        self.stale = False
        self.related: set[Any] = set()
        self.relations: list[tuple[Any, int, Any, Any]] = []
        self.memory: dict[Any, Any] = {}

    # -- generators -----------------------------------------------------------

    def generator(self, key: Any, **assumptions: Any) -> Any:
        """The symbol that stands for `key`."""
        if key not in self.generators:
            name = f"g{len(self.generators)}"
            self.generators[key] = sp.Dummy(name, **{"real": True, **assumptions})
        return self.generators[key]

    def relate(self, g: Any, power: int, numerator: Any, denominator: Any) -> None:
        """Record g^power = numerator / denominator, once."""
        if g not in self.related:
            self.related.add(g)
            self.relations.append((g, power, numerator, denominator))

    def unit(self, key: Any, denominator: int) -> int:
        """The common denominator of the exponents met on this key so far."""
        known = self.units.get(key, 1)
        if known % denominator:
            self.units[key] = int(sp.ilcm(known, denominator))
            self.stale = True
        return self.units.get(key, 1)

    # -- conversion -----------------------------------------------------------

    def convert(self, e: Any) -> Any:
        """A rational function of generators that equals the expression."""
        if e not in self.memory:
            self.memory[e] = self._convert(e)
        return self.memory[e]

    def _convert(self, e: Any) -> Any:
        if isinstance(e, (sp.Rational, sp.Symbol)):
            return e
        if isinstance(e, (sp.Add, sp.Mul)):
            return e.func(*map(self.convert, e.args))
        if isinstance(e, sp.exp):
            return self._power(sp.E, e.args[0])
        if isinstance(e, sp.Pow):
            if e.exp.is_Integer:
                return self.convert(e.base) ** e.exp
            return self._power(e.base, e.exp)
        if isinstance(e, sp.log):
            return self._log(self.canonical(e.args[0]))
        if isinstance(e, sp.Abs):
            return self._modulus(self.canonical(e.args[0]))
        if isinstance(e, (sp.sin, sp.cos)):
            return self._wave(e)
        if e is sp.E:
            return self._power(sp.E, sp.Integer(1))
        arguments = tuple(
            self.canonical(a) if isinstance(a, sp.Expr) else a for a in e.args
        )
        key = (e.func, arguments) if e.args else e
        return self.generator(key, **_known_signs(e))

    def canonical(self, e: Any) -> Any:
        """The argument of a function as one reduced fraction."""
        return self.reduced(self.convert(e))

    def reduced(self, e: Any) -> Any:
        """A rational function of generators in lowest terms, relations applied."""
        numerator, denominator = sp.fraction(sp.cancel(sp.together(e)))
        n, by_n = self.reduce(numerator)
        d, by_d = self.reduce(denominator)
        if (n, d) == (numerator, denominator):
            return numerator / denominator
        return sp.cancel((n * by_d) / (d * by_n))

    def reduce(self, polynomial: Any) -> tuple[Any, Any]:
        """(r, c) with c·polynomial = r modulo the relations, r of low degrees."""
        factor = sp.Integer(1)
        polynomial = sp.expand(polynomial)
        for g, q, n, d in reversed(self.relations):
            if not polynomial.has(g):
                continue
            terms = sp.Poly(polynomial, g).terms()
            highest = max(k for (k,), _ in terms) // q
            if highest == 0:
                continue
            polynomial = sp.expand(
                sp.Add(
                    *(
                        c * n ** (k // q) * d ** (highest - k // q) * g ** (k % q)
                        for (k,), c in terms
                    )
                )
            )
            factor *= d**highest
        return polynomial, factor

    # -- powers ---------------------------------------------------------------

    def _power(self, base: Any, exponent: Any) -> Any:
        positive = base.is_positive
        base = base if base is sp.E else self.canonical(base)
        if exponent.is_Rational and base is not sp.E:
            return self._root(base, exponent)
        exponent = self.canonical(exponent)
        if not positive:
            return self.generator((sp.Pow, base, exponent))
        numerator, denominator = sp.fraction(sp.together(exponent))
        product = sp.Integer(1)
        for coefficient, monomial in _terms(numerator, denominator):
            if monomial == 1 and base is not sp.E:
                product *= self._root(base, coefficient)
                continue
            product *= self._exponential(base, coefficient, monomial)
        return product

    def _exponential(self, base: Any, coefficient: Any, monomial: Any) -> Any:
        key = ("power", base, monomial)
        unit = self.unit(key, int(coefficient.q))
        g = self.generator(key, positive=True)
        if base is sp.E and monomial.is_positive:
            # e^m > 1 for m > 0: writing it 1 + w lets signs of e^m - 1 be seen.
            g = 1 + g
        return g ** int(coefficient * unit)

    def _root(self, base: Any, exponent: Any) -> Any:
        """base^exponent, the factors of known sign taken out of the root."""
        sign, factors = self._factors(base)
        outside, inside = sp.Integer(1), sp.Integer(sign)
        for f, k in factors:
            if f.is_nonnegative if k > 0 else f.is_positive:
                outside *= self._simple_root(f, k * exponent)
            elif k % 2 == 0:
                outside *= self._simple_root(self._modulus(f), k * exponent)
            else:
                inside *= f**k
        if inside == 1:
            return outside
        return outside * self._simple_root(inside, exponent)

    def _simple_root(self, base: Any, exponent: Any) -> Any:
        if exponent.is_Integer:
            return base**exponent
        key = ("root", base)
        unit = self.unit(key, int(exponent.q))
        g = self.generator(
            key, **({"positive": True} if base.is_positive else {"nonnegative": True})
        )
        self.relate(g, unit, *sp.fraction(base))
        return g ** int(exponent * unit)

    def _factors(self, fraction: Any) -> tuple[int, list[tuple[Any, int]]]:
        """The sign of a fraction's content, and its factors with multiplicities."""
        numerator, denominator = sp.fraction(fraction)
        content, factors = sp.Integer(1), []
        for part, power in ((numerator, 1), (denominator, -1)):
            if len(sp.Add.make_args(part)) > LARGEST_FACTORED:
                factors.append((part, power))
                continue
            factored: Any = sp.factor_list(part)
            c, found = factored
            content *= c**power
            factors.extend((f, int(k) * power) for f, k in found)
        primes: Any = sp.factorrat(abs(content), limit=10**5)
        for prime, k in primes.items():
            factors.append((sp.Integer(prime), int(k)))
        sign, oriented = (-1 if content < 0 else 1), []
        for f, k in factors:
            if f.is_nonpositive and not f.is_nonnegative:
                sign, f = sign * (-1) ** k, -f
            oriented.append((f, k))
        return sign, oriented

    # -- other functions --------------------------------------------------------

    def _modulus(self, e: Any) -> Any:
        if e == 0:
            return e
        _, factors = self._factors(e)
        product = sp.Integer(1)
        for f, k in factors:
            product *= self._simple_modulus(f) ** k
        return product

    def _simple_modulus(self, f: Any) -> Any:
        if f.is_nonnegative:
            return f
        if _leads_negative(f):
            f = sp.expand(-f)
        key = ("modulus", f)
        g = self.generator(key, nonnegative=True)
        self.relate(g, 2, sp.expand(f**2), sp.Integer(1))
        return g

    def _log(self, e: Any) -> Any:
        sign, factors = self._factors(e)
        total, rest = sp.Integer(0), sp.Integer(sign)
        for f, k in factors:
            if f.is_positive:
                total += k * self.generator(("log", f))
            else:
                rest *= f**k
        return total if rest == 1 else total + self.generator(("log", rest))

    def _wave(self, e: Any) -> Any:
        angle = self.canonical(e.args[0])
        odd = _leads_negative(sp.fraction(angle)[0])
        angle = sp.cancel(-angle) if odd else angle
        cosine = self.generator(("cos", angle))
        sine = self.generator(("sin", angle))
        self.relate(sine, 2, 1 - cosine**2, sp.Integer(1))
        if isinstance(e, sp.cos):
            return cosine
        return -sine if odd else sine


def _known_signs(e: Any) -> dict[str, bool]:
    if e.is_positive:
        return {"positive": True}
    return {"nonnegative": True} if e.is_nonnegative else {}


def _leads_negative(polynomial: Any) -> bool:
    """Whether the first term, in sympy's own order of terms, has a minus sign."""
    first = sp.expand(polynomial).as_ordered_terms()[0]
    return bool(first.as_coeff_Mul()[0] < 0)


def _terms(numerator: Any, denominator: Any) -> list[tuple[Any, Any]]:
    """A fraction as a sum of (rational coefficient, monomial / denominator)."""
    pairs = []
    for term in sp.Add.make_args(sp.expand(numerator)):
        coefficient, rest = sp.cancel(term / denominator).as_coeff_Mul()
        # 1/(2x) keeps its 2 in the denominator until it is asked for.
        n, d = sp.fraction(rest)
        scale, d = sp.factor_terms(d).as_coeff_Mul()
        pairs.append((sp.Rational(coefficient) / scale, n / d))
    return pairs


def vanishes(expression: Any) -> tuple[bool, Any]:
    """Whether an expression reduces to the zero polynomial, and what is left of it."""
    units: dict[Any, int] = {}
    expression = sp.expand_trig(without_hyperbolics(expression))
    generators: dict[Any, Any] = {}
    for _ in range(MOST_ROUNDS):
        form = NormalForm(units, generators)
        rational = form.convert(expression)
        if not form.stale:
            break
    else:  # the exponents' common denominators did not settle
        return False, expression
    numerator, _ = sp.fraction(sp.together(rational))
    rest, _ = form.reduce(numerator)
    shown = {g: sp.Symbol(f"[{key}]") for key, g in form.generators.items()}
    return rest == 0, rest.xreplace(shown)
