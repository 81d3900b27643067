"""Certificates of sign: a quantity is <= 0, as minus a sum of products of what is >= 0.

Given dV/dt + ρV in inner products and inequalities of a class of functions (convexity,
smoothness, ∇²f >= 0 ...), a certificate is the identity

    dV/dt + ρV = - Σ multiplier · inequality - Σ pivot · |a vector|²,

with multipliers and pivots that are >= 0 whatever the parameters. Multipliers are given
or solved for; what they leave over is a quadratic form, split into squares by LDLᵀ.
Every certificate can be read (`print`) and is checked as an identity of polynomials.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from flows.errors import BadInput
from flows.symbolic import IdentityResult, equal_symbolically
from proofs_check import decide
from proofs_check.counterexamples import on_powers
from proofs_check.evidence import Evidence
from proofs_check.inequalities import Inequality, square
from proofs_check.inner_products import factors, gap_symbol, inner, products_in

_OF_ALL_CONVEX = ("convexity", "f* is the minimum", "Hessian >= 0")


@dataclass(frozen=True)
class Certificate:
    """left = - Σ factor · inequality - rest; a proof of left <= 0 where rest = 0.

    Attributes:
        left: the quantity, in inner products and parameters.
        terms: (factor, inequality); factors >= 0 whatever the parameters.
        using: the inequalities that a counterexample has to satisfy, and f >= f* where
            one of them speaks of a minimum; elsewhere x* is any stationary point.
        where: hypotheses that were put into symbols, as r = 3 + s with s >= 0.
        rest: what could not be written so; 0 in a proof.
        name: the quantity, in words.
        latex: the quantity in LaTeX.
    """

    left: Any
    terms: tuple[tuple[Any, Inequality], ...]
    using: tuple[Inequality, ...] = ()
    where: Mapping[Any, Any] = field(default_factory=dict)
    rest: Any = 0
    name: str = "V' + ρV"
    latex: str = r"\dot V + \rho V"

    @property
    def proved(self) -> bool:
        """Whether the identity holds, the factors are >= 0 and nothing is left."""
        return self.decision.proved

    @functools.cached_property
    def identity(self) -> IdentityResult:
        """Whether left = - Σ factor · inequality - rest, with symbols for products."""
        return equal_symbolically(self.left, self._right)

    @functools.cached_property
    def signs(self) -> tuple[bool, ...]:
        """For each factor, whether it is certainly >= 0."""
        return tuple(nonnegative(factor) for factor, _ in self.terms)

    @functools.cached_property
    def decision(self) -> IdentityResult:
        """Proved; refuted (the identity, or left <= 0 on a function); undecided."""
        found = self.identity
        if found.status != "proved" or (self.rest == 0 and all(self.signs)):
            return found
        hypotheses = [i.expression for i in self.using]
        if any(i.at_minimum for i in self.using):
            hypotheses.append(gap_symbol())
        cone = all(i.name in _OF_ALL_CONVEX for i in self.using)
        for power in (2, 1, 4) if cone else (2,):
            found = on_powers(self.left, hypotheses, power)
            if found is not None:
                return found
        pairs = zip(self.terms, self.signs, strict=True)
        missing = [sp.sstr(factor) for (factor, _), known in pairs if not known]
        remainder = f"signs of {', '.join(missing) or 'none'}; left over: {self.rest}"
        return IdentityResult("undecided", remainder=remainder)

    @property
    def _right(self) -> Any:
        return -self.rest - sp.Add(*(f * i.expression for f, i in self.terms))

    def evidence(self, **about: Any) -> Evidence:
        """The decision as evidence of grade `proved`, the certificate in its note."""
        decision = self.decision
        about = {"name": f"{self.name} = -Σ (≥ 0)(≥ 0)", "route": "algebra", **about}
        if decision.proved:
            places = ", ".join(f"{s} = {_text(e)}" for s, e in self.where.items())
            note = f"${self._formula()}$" + (f" where {places}" if places else "")
            about = {"note": note, **about}
        about["data"] = {"certificate": str(self), **about.get("data", {})}
        return decide.identity(decision, **about)

    def __str__(self) -> str:
        status = {"proved": "<= 0"}.get(self.decision.status, self.decision.status)
        lines = [f"{self.name} = -[ sum of ], {status}:"]
        shown = [(_text(f), _text_of(i), i.name) for f, i in self.terms]
        lines += [f"  ({f}) * ({i})    [{name}]" for f, i, name in shown]
        if self.rest != 0:
            lines.append(f"  left over: {_text(self.rest)}")
        lines += [f"  where {s} = {_text(e)}" for s, e in self.where.items()]
        free = set().union(*(f.free_symbols for f, _ in self.terms), set())
        known = [f"{s} {_sign_of(s)} 0" for s in sorted(free, key=str) if _sign_of(s)]
        if known:
            lines.append(f"  with {', '.join(known)}")
        return "\n".join(lines)

    def _formula(self) -> str:
        terms = []
        for factor, inequality in self.terms:
            shown = sp.latex(factor)
            if isinstance(factor, sp.Add):
                shown = rf"({shown})"
            shown = "" if factor == 1 else shown + r"\,"
            terms.append(shown + _latex_of(inequality))
        if self.rest != 0:
            terms.append(_latex(self.rest))
        return rf"{self.latex} = -\Bigl[{' + '.join(terms) or '0'}\Bigr]"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self._formula()}$"


def certificate(
    left: Any,
    terms: Sequence[tuple[Any, Inequality]],
    where: Mapping[Any, Any] | None = None,
    **about: str,
) -> Certificate:
    """A certificate with multipliers that are given.

    Args:
        left: the quantity, in inner products.
        terms: (factor, inequality).
        where: substitution that puts a hypothesis into a symbol, as r = 3 + s.
        **about: `name` and `latex` of the quantity.

    Returns:
        The certificate; its `decision` says whether it proves left <= 0.
    """
    where = dict(where or {})
    placed = tuple(
        (_simple(sp.sympify(f).subs(where)), i.subs(where)) for f, i in terms
    )
    using = tuple(i for _, i in placed if i.vector is None)
    return Certificate(sp.sympify(left).subs(where), placed, using, where, **about)


def find_certificate(
    left: Any,
    using: Sequence[Inequality | tuple[Any, Inequality]],
    where: Mapping[Any, Any] | None = None,
    order: str | None = None,
    **about: str,
) -> Certificate:
    """A certificate whose multipliers are solved for, as far as they are determined.

    f - f* and the products with the Hessian must cancel, which is a linear system for
    the multipliers. So must ⟨a, b⟩ where nothing is left of |a|². What remains is a
    quadratic form in e, v, g, brought to squares by LDLᵀ; a multiplier that nothing
    determines is 0.

    Args:
        left: the quantity that is to be <= 0, in inner products.
        using: inequalities; (multiplier, inequality) where it is given.
        where: substitution that puts a hypothesis into a symbol; squares of positive
            symbols for parameters under roots keep everything rational.
        order: the vectors in the order of elimination, as "gve".
        **about: `name` and `latex` of the quantity.

    Returns:
        The certificate; its `decision` says whether it proves left <= 0.
    """
    where = dict(where or {})
    left = sp.sympify(left).subs(where)
    pairs = [u if isinstance(u, tuple) else (None, u) for u in using]
    unknown = {k: sp.Dummy(f"m{k}") for k, (f, _) in enumerate(pairs) if f is None}
    terms = [
        (unknown[k] if f is None else sp.sympify(f).subs(where), i.subs(where))
        for k, (f, i) in enumerate(pairs)
    ]
    form = -left - sp.Add(*(f * i.expression for f, i in terms))
    values = _solved(form, list(unknown.values()))
    solved = [(_simple(f.subs(values)), i) for f, i in terms]
    squares, rest = sum_of_squares(form.subs(values), order)
    kept = tuple((f, i) for f, i in solved if f != 0) + tuple(squares)
    hypotheses = tuple(i for _, i in terms)
    return Certificate(left, kept, hypotheses, where, rest, **about)


def _solved(form: Any, unknown: list[Any]) -> dict[Any, Any]:
    """Multipliers for which f - f*, Hessian products and rows of zeros cancel."""
    values: dict[Any, Any] = {}
    equations = [
        form.diff(s) for s in products_in(form) if s == gap_symbol() or "H" in s.name
    ]
    while open_ := [u for u in unknown if u not in values]:
        found = sp.solve(equations, open_, dict=True) if equations else []
        if not found:
            break
        new = {u: sp.sympify(e) for u, e in found[0].items()}
        values = {u: e.subs(new) for u, e in values.items()} | new
        if len(values) < len(unknown):
            equations = _rows_of_zeros(form.subs(values))
    free = {u: sp.Integer(0) for u in unknown if u not in values}
    return {u: e.subs(free) for u, e in values.items()} | free


def _rows_of_zeros(form: Any) -> list[Any]:
    """Coefficients of ⟨a, b⟩ where that of |a|² is 0: they must be 0 too."""
    entries = _entries(form)
    return [
        entry
        for (a, b), entry in entries.items()
        if not entries.get((a, a)) or not entries.get((b, b))
    ]


def _entries(form: Any) -> dict[tuple[str, str], Any]:
    """The coefficients of inner products in a form that is linear in them."""
    found = {s: _simple(form.diff(s)) for s in products_in(form)}
    if any(map(products_in, found.values())):
        raise BadInput(f"no quadratic form, linear in inner products: {_text(form)}.")
    pairs = {factors(s): entry for s, entry in found.items()}
    return {pair: entry for pair, entry in pairs.items() if pair and entry != 0}


def sum_of_squares(form: Any, order: str | None = None) -> tuple[list[Any], Any]:
    """A quadratic form Σ c ⟨a, b⟩ as Σ pivot · |vector|² plus a rest, by LDLᵀ.

    Args:
        form: the form, linear in inner products and f - f*; what has neither goes to
            the rest.
        order: the vectors in the order of elimination; alphabetic if None.

    Returns:
        [(pivot, square)], and what has no square: f - f*, Hessian products, terms
        without a product, or ⟨a, b⟩ where |a|² has the coefficient 0.

    Raises:
        BadInput: an order that misses a vector of the form, or a product of products.
    """
    form = sp.sympify(form)
    entries = _entries(form)
    names = sorted({a for pair in entries for a in pair if "H" not in a})
    if order is not None:
        if not set(order) >= set(names):
            raise BadInput(f"the order {order!r} misses some of {', '.join(names)}.")
        names = [a for a in order if a in names]
    half = sp.Rational(1, 2)

    def entry(a: str, b: str) -> Any:
        whole = entries.get((min(a, b), max(a, b)), sp.Integer(0))
        return whole if a == b else half * whole

    squares = []
    for k, a in enumerate(names):
        pivot = entry(a, a)
        if pivot == 0:
            continue
        after = {b: entry(a, b) for b in names[k + 1 :] if entry(a, b) != 0}
        shares = {b: _simple(e / pivot) for b, e in after.items()}
        squares.append((pivot, square(**{a: sp.Integer(1)}, **shares)))
        for b, c in itertools.combinations_with_replacement(after, 2):
            change = after[b] * shares[c] * (1 if b == c else 2)
            pair = (min(b, c), max(b, c))
            entries[pair] = _simple(entries.get(pair, sp.Integer(0)) - change)
        for b in names[k:]:
            entries.pop((min(a, b), max(a, b)), None)
    gap = gap_symbol()
    rest = sp.Add(*(e * inner(*pair) for pair, e in entries.items()))
    constant = form.subs(dict.fromkeys(products_in(form), 0))
    return squares, rest + _simple(form.diff(gap)) * gap + _simple(constant)


def nonnegative(expression: Any) -> bool:
    """Whether an expression is certainly >= 0, by the assumptions of its symbols.

    By its factors; by the coefficients of its numerator and denominator; in one
    positive symbol, by Sturm's count of roots, if its coefficients are rational.
    """
    expression = sp.factor(expression)
    if expression.is_nonnegative:
        return True
    numerator, denominator = sp.fraction(sp.together(expression))
    product = sp.expand(numerator * denominator)
    if product.is_nonnegative:
        return True
    (symbol, *more) = [*product.free_symbols, None]
    if symbol is None or more != [None] or not symbol.is_nonnegative:
        return False
    if not product.is_polynomial(symbol):
        return False
    polynomial = sp.Poly(product, symbol)
    try:
        roots = polynomial.count_roots(0, None) - (polynomial.eval(0) == 0)
    except sp.polys.polyerrors.DomainError:
        return False
    return bool(roots == 0 and product.subs(symbol, 1).is_positive)


def _simple(expression: Any) -> Any:
    return sp.factor(sp.sympify(expression))


def _sign_of(symbol: Any) -> str:
    return ">" if symbol.is_positive else ">=" if symbol.is_nonnegative else ""


def _text(expression: Any) -> str:
    """An expression with readable inner products."""
    table = {}
    for s in products_in(expression):
        pair = factors(s)
        if pair is None:
            text = "(f - f*)"
        else:
            text = f"|{pair[0]}|²" if pair[0] == pair[1] else f"⟨{pair[0]}, {pair[1]}⟩"
        table[s] = sp.Symbol(text)
    return sp.sstr(sp.sympify(expression).subs(table))


def _text_of(inequality: Inequality) -> str:
    if inequality.vector is None:
        return _text(inequality.expression)
    return f"|{sp.sstr(_combination(inequality.vector))}|²"


def _combination(vector: Mapping[str, Any]) -> Any:
    return sp.Add(*(c * sp.Symbol(a) for a, c in vector.items()))


def _latex(expression: Any) -> str:
    names = {}
    for s in products_in(expression):
        pair = factors(s)
        if pair is None:
            names[s] = "(f - f_*)"
        elif pair[0] == pair[1]:
            names[s] = f"|{pair[0]}|^2"
        else:
            names[s] = rf"\langle {pair[0]}, {pair[1]}\rangle"
    return sp.latex(expression, symbol_names=names)


def _latex_of(inequality: Inequality) -> str:
    if inequality.vector is not None:
        return rf"\bigl|{sp.latex(_combination(inequality.vector))}\bigr|^2"
    return rf"\bigl({_latex(inequality.expression)}\bigr)"
