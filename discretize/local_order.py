"""The local defect of a scheme: one step against the generator's exponential."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.schemes import Splitting
from discretize.series import coefficients, is_zero, resolved, tidy
from flows import BadInput, Draw, Dynamics, Flow, Scheme
from flows.symbolic import symbolically
from sde import Diffusion

TestFunction = Callable[[Any, Any], Any]


def local_defect(
    scheme: Scheme,
    dynamics: Dynamics,
    phi: TestFunction,
    y: Any,
    upto: Fraction | int,
    t: Any = 0,
) -> dict[Fraction, Any]:
    r"""The defect E φ(t+h, Φ_h(y)) - Σ_k h^k/k! (L^k φ)(t, y) in powers of √h.

    A scheme of local order p (weak, where there is noise) has no term up to h^p. The
    first term is what the scheme's error obeys; half powers appear where a step
    depends on √h other than through its noise (taming).

    The step is traced with h = s², expanded in s by arithmetic of power series, and
    its standard normals (or uniforms) are averaged exactly, moment by moment.

    Reference: Talay and Tubaro, Stoch. Anal. Appl. 8 (1990); Hairer, Lubich and
    Wanner, "Geometric Numerical Integration" (2nd ed., 2006), section III.

    Args:
        scheme: any one-step scheme whose step has a symbolic face.
        dynamics: the model; its parameters may be numbers or symbols.
        phi: test function φ(t, y), scalar; jax code.
        y: symbolic state: a numpy object array of symbols, or the model's NamedTuple
            of such arrays (`flows.symbolic.symbols_for_state`).
        upto: largest power of h kept, a multiple of 1/2.
        t: time, a number or a symbol (the model's unit).

    Returns:
        power of h -> coefficient (sympy), the terms that are not 0, in order.

    Raises:
        BadInput: a negative `upto` or no multiple of 1/2, noise without moments
            (random bits), a step that has no expansion in √h.
        NoSymbolicFace: the step or the model uses a primitive without symbolic rule.
    """
    import sympy as sp

    top = _half_steps(upto)
    s = sp.Symbol("s", positive=True)
    noise, draws = noise_symbols(scheme, dynamics, y)
    t = sp.sympify(t)

    def advanced(scheme, dynamics, t, y, h, noise):
        carry = scheme.init(dynamics, t, y)
        return phi(t + h, scheme.step(dynamics, t, y, h, noise, carry).y)

    stepped = symbolically(advanced, scheme, dynamics, t, y, s**2, noise)
    stepped = resolved(stepped)
    terms = [average(c, draws) for c in coefficients(stepped, s, top)]
    for k, exact in enumerate(_generator_powers(dynamics, phi, t, y, top // 2)):
        terms[2 * k] -= exact / sp.factorial(k)
    defects = {Fraction(k, 2): tidy(c) for k, c in enumerate(terms)}
    return {power: c for power, c in defects.items() if c != 0}


def splitting_defect(
    splitting: Splitting,
    dynamics: Flow,
    phi: TestFunction,
    y: Any,
    upto: int,
    t: Any = 0,
) -> dict[int, Any]:
    r"""The local defect of a splitting, through its parts' generators alone.

    A word (1, w_1), ..., (m, w_m), applied from the left, does to test functions

        e^{w_1 h L_1} e^{w_2 h L_2} ⋯ e^{w_m h L_m} φ,

    the first letter outermost; its h^k term is the sum over n_1 + ... + n_m = k of
    Π w_i^{n_i}/n_i! · L_1^{n_1} ⋯ L_m^{n_m} φ. No exact map is used, so this is a route
    independent of `local_defect`.

    Args:
        splitting: a word whose parts all have exact maps.
        dynamics: the split model (a flow or a diffusion).
        phi: test function φ(t, y), scalar; jax code.
        y: symbolic state.
        upto: largest power of h kept.
        t: time, a number or (where a part depends on time) a symbol.

    Returns:
        power of h -> coefficient (sympy), the terms that are not 0, in order.

    Raises:
        BadInput: a splitting with an inner scheme, a negative `upto`, or a model with
            jumps.
    """
    import sympy as sp

    if splitting.inner is not None:
        raise BadInput("parts stepped by an inner scheme are no exponentials.")
    if not isinstance(dynamics, Flow):
        raise BadInput(
            f"{type(dynamics).__name__} is neither a flow nor a diffusion: its "
            "generator is no differential operator."
        )
    top = _half_steps(upto) // 2
    clock = sp.Symbol("t", real=True)
    names = sorted({name for name, _ in splitting.word})
    operators = {n: _Operator(dynamics, n, clock, y) for n in names}
    whole = _Operator(dynamics, None, clock, y)
    start = symbolically(lambda y, t: phi(t, y), y, clock)
    # by powers of h: multiply the exponentials in from the innermost, the last letter
    terms = [start] + [sp.Integer(0)] * top
    for name, weight in reversed(splitting.word):
        terms = _apply_exponential(operators[name], weight, terms)
    exact = start
    defects = {}
    for k in range(top + 1):
        if k:
            exact = whole(exact)
        value = terms[k] - exact / sp.factorial(k)
        defects[k] = tidy(value.subs(clock, t))
    return {k: c for k, c in defects.items() if c != 0}


def local_order(
    scheme: Scheme,
    dynamics: Dynamics,
    y: Any,
    upto: Fraction | int,
    *,
    family: Sequence[TestFunction] | None = None,
    t: Any = 0,
) -> Fraction | None:
    """The order that the local defects show: their smallest power, minus 1.

    Args:
        scheme: the scheme.
        dynamics: the model.
        y: symbolic state.
        upto: largest power of h looked at; an order p shows only with upto >= p + 1.
        family: test functions. Default: the state's coordinates for a deterministic
            step; all monomials of degree 1 to 3 of the coordinates for one that draws
            noise, enough to tell weak orders below 2 apart.
        t: time.

    Returns:
        The order, or None where no defect was found up to `upto`.
    """
    if family is None:
        draws = _draws_of(scheme, dynamics, y)
        family = _monomials(y, 1 if draws is None else 3)
    found = [
        min(defect)
        for phi in family
        if (defect := local_defect(scheme, dynamics, phi, y, upto, t))
    ]
    return min(found) - 1 if found else None


def _half_steps(upto: Any) -> int:
    doubled = 2 * Fraction(upto)
    if doubled < 0 or doubled.denominator != 1:
        raise BadInput(f"upto is a multiple of 1/2, 0 or more; got {upto}.")
    return int(doubled)


def _coordinates(y: Any) -> Any:
    """The moving leaves of a state as one vector."""
    leaves = [a for a in jax.tree.leaves(y) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return jnp.concatenate([jnp.ravel(a) for a in leaves])


def _is_symbolic(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype.hasobject


def _symbols(y: Any) -> list[Any]:
    leaves = [a for a in jax.tree.leaves(y) if _is_symbolic(a)]
    return [s for a in leaves for s in np.ravel(a)]


def _monomials(y: Any, degree: int) -> list[TestFunction]:
    def monomial(chosen):
        return lambda t, y: jnp.prod(_coordinates(y)[np.array(chosen)])

    n = len(_symbols(y))
    return [
        monomial(chosen)
        for d in range(1, degree + 1)
        for chosen in itertools.combinations_with_replacement(range(n), d)
    ]


# -- noise -------------------------------------------------------------------


def _draws_of(scheme: Scheme, dynamics: Any, y: Any) -> Any:
    """`scheme.noise_like`, asked with tracers: symbols pass no check of dtypes."""
    found = []

    def struct(leaf):
        if _is_symbolic(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, jnp.result_type(float))
        if getattr(leaf, "free_symbols", None) is not None:
            return jax.ShapeDtypeStruct((), jnp.result_type(float))
        return leaf

    def ask(dynamics, y):
        found.append(scheme.noise_like(dynamics, y))
        return jnp.zeros(())

    eqx.filter_eval_shape(ask, *jax.tree.map(struct, (dynamics, y)))
    return found[0]


def noise_symbols(scheme: Scheme, dynamics: Any, y: Any) -> tuple[Any, dict[Any, str]]:
    """The step's noise as a tree of symbols, and the law of each.

    Raises:
        BadInput: draws without moments (random bits).
    """
    import sympy as sp

    laws: dict[Any, str] = {}

    def symbols(draw: Draw) -> Any:
        if draw.law not in ("normal", "uniform"):
            raise BadInput(f"draws of law {draw.law!r} have no moments to average.")
        out = np.empty(draw.shape, dtype=object)
        for k in np.ndindex(*draw.shape):
            out[k] = sp.Dummy("xi", real=True)
            laws[out[k]] = draw.law
        return out

    return jax.tree.map(symbols, _draws_of(scheme, dynamics, y)), laws


def _moment(law: str, k: int) -> Any:
    import sympy as sp

    if law == "uniform":
        return sp.Rational(1, k + 1)
    return sp.Integer(0) if k % 2 else sp.Integer(math.prod(range(k - 1, 0, -2)))


def average(expression: Any, laws: dict[Any, str]) -> Any:
    """The expectation of a polynomial in independent draws of the given laws."""
    import sympy as sp

    expression = sp.sympify(expression)
    draws = [xi for xi in laws if expression.has(xi)]
    if not draws:
        return expression
    try:
        polynomial = sp.Poly(sp.expand(expression), *draws)
    except sp.PolynomialError:
        raise BadInput(
            "the step is no polynomial in its noise at any order of √h."
        ) from None
    return sum(
        c * math.prod(_moment(laws[xi], k) for xi, k in zip(draws, powers, strict=True))
        for powers, c in polynomial.terms()
    )


# -- generators --------------------------------------------------------------


def _generator_powers(
    dynamics: Any, phi: TestFunction, t: Any, y: Any, top: int
) -> list[Any]:
    """φ, L φ, ..., L^top φ at (t, y), by nesting the model's own generator."""

    def powers(dynamics, t, y):
        out, function = [], phi
        for _ in range(top + 1):
            out.append(function(t, y))
            function = dynamics.generator(function)
        return out

    return [resolved(e) for e in symbolically(powers, dynamics, t, y)]


class _Operator:
    """A generator of second order as an operator on expressions.

    Its coefficients are read off the generator itself: L applied to t, to the
    coordinates y_i, and to their products (L(y_i y_j) - y_i L y_j - y_j L y_i is twice
    the diffusion matrix).
    """

    def __init__(self, dynamics: Any, part: str | None, t: Any, y: Any) -> None:
        import sympy as sp

        self.variables = [t, *_symbols(y)]
        n = len(self.variables)
        pairs = list(itertools.combinations_with_replacement(range(1, n), 2))

        def probes(dynamics, t, y):
            model = dynamics if part is None else _part(dynamics, part)
            noisy = isinstance(model, Diffusion)

            def full(t, y):
                t = jnp.asarray(t, _coordinates(y).dtype)
                return jnp.concatenate([t[None], _coordinates(y)])

            first = [
                model.generator(lambda t, y, i=i: full(t, y)[i])(t, y) for i in range(n)
            ]
            second = [
                model.generator(lambda t, y, i=i, j=j: full(t, y)[i] * full(t, y)[j])(
                    t, y
                )
                for i, j in (pairs if noisy else [])
            ]
            return first, second

        first, second = symbolically(probes, dynamics, t, y)
        self.drift = [resolved(e) for e in first]
        z = self.variables
        self.spread = {}
        for (i, j), value in zip(pairs, second, strict=False):
            carre = value - z[i] * self.drift[j] - z[j] * self.drift[i]
            weight = sp.Rational(1, 2) if i == j else sp.Integer(1)
            if not is_zero(carre):
                self.spread[i, j] = weight * sp.expand(carre)

    def __call__(self, expression: Any) -> Any:
        import sympy as sp

        z = self.variables
        slopes = [sp.diff(expression, v) for v in z]
        out = sum(
            v * slope for v, slope in zip(self.drift, slopes, strict=True) if v != 0
        )
        for (i, j), a in self.spread.items():
            out += a * sp.diff(slopes[i], z[j])
        return sp.sympify(out)


def _part(dynamics: Any, name: str) -> Any:
    return {**dynamics.parts(), **dynamics.joint_parts()}[name]


def _apply_exponential(
    operator: _Operator, weight: Fraction, terms: list[Any]
) -> list[Any]:
    """The terms of e^{w h L} Σ_k h^k terms[k], to the same order."""
    import sympy as sp

    w = sp.Rational(weight.numerator, weight.denominator)
    out = [sp.Integer(0)] * len(terms)
    for k, term in enumerate(terms):
        image = term
        for n in range(len(terms) - k):
            if n:
                image = operator(image) * w / n
            if image == 0:
                break
            out[k + n] += image
    return out
