r"""The effective potential: what a step does to the stationary law, to leading order.

A step of size h = s² acts on test functions as E φ(Y_h) = φ + Σ_k s^k A_k φ, with
A_k φ = Σ_j a_j φ^{(j)}, A_1 = 0 and A_2 the generator L of dX = v dt + σ dB. (Where the
step holds other roots of h, s is a smaller root and the indices stretch.) Let π be
the law that L leaves invariant, L*π = 0, and k the first index above 2 with A_k*π ≠ 0.
Order s^k of "π_h is invariant under the step", with π_h = π (1 + h^p g + ...), reads

    L*(π g) = -A_k*π,      p = k/2 - 1.

On a line both sides are derivatives, and the equation is integrated once: with
J = Σ_j (-1)^{j-1} (a_j π)^{(j-1)}, A_k*π = -J',

    g' = 2 J/(σ² π).

For overdamped Langevin dynamics at temperature T, g = -Φ/T, so that the chain samples
exp(-(u + h^p Φ)/T) to leading order; Φ is the effective potential. Powers L^m in A_k
drop out of A_k*π, so no defect need be formed. Nothing here is specific to a scheme:
a_j are read off the step's own trace, expanded in s.

Reference: Talay and Tubaro, Stochastic Analysis and Applications 8 (1990); Abdulle,
Vilmart and Zygalakis, SIAM Journal on Numerical Analysis 52(4), 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from discretize.chain_laws.door import on_a_line
from discretize.local_order import average, noise_symbols
from discretize.series import coefficients, is_zero, resolved
from flows import BadInput, Scheme
from flows.door import require_instance
from flows.symbolic import symbol_vector, trace
from sde import Diffusion

Expression = Any
"""A sympy expression."""


@dataclass(frozen=True)
class EffectivePotential:
    """π_h ∝ π exp(-h^p Φ/T) to leading order, in one dimension.

    Attributes:
        power: p, the power of h (time).
        x: the symbol of the state.
        slope: Φ'(x), an expression.
        score: π'/π, an expression.
        temperature: T; 1 for a diffusion that has none.
        kinks: expressions whose zeros are points where Φ' is not smooth.
        exact: whether every float of the code was taken as an exact number.
    """

    power: Fraction
    x: Any
    slope: Expression
    score: Expression
    temperature: Expression
    kinks: tuple[Expression, ...]
    exact: bool = True

    def potential(self) -> Expression:
        """Φ(x), with Φ(0) = 0, where sympy can integrate Φ'.

        Raises:
            BadInput: there is no such closed form (|·| and the like).
        """
        import sympy as sp

        if not self.slope.is_polynomial(self.x):
            raise BadInput(f"Φ' = {self.slope} is no polynomial; Φ is known by Φ'.")
        return sp.integrate(sp.expand(self.slope), (self.x, 0, self.x))


def effective_potential(
    scheme: Scheme, dynamics: Diffusion, *, upto: Fraction | int = 2
) -> EffectivePotential:
    r"""The leading power of h in a stationary bias, and the effective potential.

    Explicit Euler on Langevin dynamics has Φ = u''T/2 - u'²/4 at p = 1; a taming adds
    to it at p = 1 (TULA, mTULA) or comes before it at p = 1/2 (TUSLA, TheoPouLa).

    Args:
        scheme: any one-step scheme whose step has a symbolic face, weakly consistent.
        dynamics: a diffusion whose state has shape [1]; its parameters may be symbols.
        upto: the largest power p looked at, a multiple of 1/2.

    Returns:
        The effective potential, as expressions.

    Raises:
        BadInput: a state of more dimensions, a drift, noise or step that depends on
            time, a step that is not consistent with the dynamics or has no expansion
            in √h, a bias beyond h^upto, or a kink of the step where a derivative is
            needed.
        NoSymbolicFace: the step or the model uses a primitive without symbolic rule.
    """
    import sympy as sp

    _require_scheme(scheme)
    top = _power(upto)
    model = _model(dynamics)
    x = model.x
    step = _increments(scheme, dynamics, top + 1)
    _require_consistent(scheme, dynamics, step, model)
    temperature = trace(lambda m: getattr(m, "temperature", 1.0), dynamics)
    for k in range(2 * step.unit + 1, len(step.increments) + 1):
        flux = _flux(_operator(step, k), model.score, x)
        if is_zero(flux):
            continue
        slope = _shortened(-2 * temperature.value * flux / model.spread)
        if slope.has(sp.DiracDelta):
            raise BadInput("the step has a kink where a derivative of it is needed.")
        return EffectivePotential(
            Fraction(k, 2 * step.unit) - 1,
            x,
            slope,
            model.score,
            temperature.value,
            _kinks(slope),
            model.exact and step.exact and temperature.exact,
        )
    raise BadInput(f"the stationary bias has no term up to h^{upto}.")


def step_operators(
    scheme: Scheme, dynamics: Diffusion, *, upto: Fraction | int = 2
) -> dict[Fraction, tuple[Expression, ...]]:
    """What a step does to test functions: E φ(Y_h) = φ + Σ_q h^q Σ_j a_j φ^{(j)}.

    At q = 1 it is the generator, if the scheme is consistent.

    Args:
        scheme: any one-step scheme whose step has a symbolic face.
        dynamics: a diffusion whose state has shape [1]; its parameters may be symbols.
        upto: the largest power q of h.

    Returns:
        Power q -> (a_1, a_2, ...), expressions in the state x_0; powers without any
        term are left out.

    Raises:
        BadInput, NoSymbolicFace: as `effective_potential`.
    """
    _require_scheme(scheme)
    _require_diffusion(dynamics)
    step = _increments(scheme, dynamics, _power(upto))
    out = {}
    for k in range(1, len(step.increments) + 1):
        operator = _operator(step, k)
        while operator and is_zero(operator[-1]):
            operator.pop()
        if operator:
            out[Fraction(k, 2 * step.unit)] = tuple(operator)
    return out


def score_of(dynamics: Diffusion) -> tuple[Expression, Any]:
    """π'/π = (2v - (σ²)')/σ² of a diffusion on the line, and the symbol of its state.

    Args:
        dynamics: a diffusion whose state has shape [1].

    Raises:
        BadInput: a state of more dimensions, a diffusion without noise, or one whose
            drift or noise depends on time.
    """
    model = _model(dynamics)
    return model.score, model.x


class _Model(NamedTuple):
    """v(x), σ(x)² and π'/π = (2v - (σ²)')/σ² on the line."""

    x: Any
    drift: Expression
    spread: Expression
    score: Expression
    exact: bool


class _Step(NamedTuple):
    """The increment Y_h - x as coefficients of r, r², ...; h = r^{2 unit}.

    `unit` is 1 where the step knows √h alone, and larger where it holds other roots.
    """

    increments: list[Expression]
    laws: dict[Any, str]
    unit: int
    exact: bool


def _model(dynamics: Diffusion) -> _Model:
    """The drift and σ², read off the generator applied to x and x²."""

    def probes(dynamics, t, y):
        first = dynamics.generator(lambda t, y: y[0])(t, y)
        second = dynamics.generator(lambda t, y: y[0] ** 2)(t, y)
        return first, second

    import sympy as sp

    _require_diffusion(dynamics)
    y, t = symbol_vector("x", 1), sp.Dummy("t", real=True)
    with on_a_line(dynamics):
        found = trace(probes, dynamics, t, y)
    name = f"the drift or the noise of {type(dynamics).__name__}"
    drift, second = (_without(t, resolved(e), name) for e in found.value)
    spread = sp.expand(second - 2 * y[0] * drift)
    if is_zero(spread):
        raise BadInput("without noise there is no stationary density to perturb.")
    score = (2 * drift - sp.diff(spread, y[0])) / spread
    return _Model(y[0], drift, spread, score, found.exact)


def _require_scheme(scheme: Scheme) -> None:
    require_instance(scheme, Scheme, "the law of a chain takes a scheme, as Euler()")


def _require_diffusion(dynamics: Diffusion) -> None:
    require_instance(dynamics, Diffusion, "a stationary bias needs a diffusion")


def _power(upto: Any) -> Fraction:
    """A largest power of h."""
    try:
        top = Fraction(upto)
    except (TypeError, ValueError, ArithmeticError):
        top = Fraction(0)
    if top <= 0 or (2 * top).denominator != 1:
        raise BadInput(f"upto is a positive multiple of 1/2; got {upto!r:.60}.")
    return top


def _without(t: Any, expression: Expression, what: str) -> Expression:
    """The expression, which may hold the time t but not depend on it."""
    import sympy as sp

    if t not in expression.free_symbols:
        return expression
    if not is_zero(sp.diff(expression, t)):
        shown = expression.xreplace({t: sp.Symbol("t")})
        raise BadInput(
            f"{what} depends on time ({shown!s:.80}); a stationary law needs one that "
            "does not."
        )
    return expression.subs(t, 0)


def _increments(scheme: Scheme, dynamics: Diffusion, top: Fraction) -> _Step:
    """The step's increments up to h^top."""
    import sympy as sp

    y, s = symbol_vector("x", 1), sp.Symbol("s", positive=True)
    t = sp.Dummy("t", real=True)

    def step(scheme, dynamics, t, y, h, noise):
        carry = scheme.init(dynamics, t, y)
        return scheme.step(dynamics, t, y, h, noise, carry).y

    with on_a_line(dynamics):
        noise, laws = noise_symbols(scheme, dynamics, y)
        found = trace(step, scheme, dynamics, t, y, s**2, noise)
    moved = almost_everywhere(resolved(found.value[0]))
    moved = _without(t, moved, f"the step of {type(scheme).__name__}") - y[0]
    roots = [e.exp.q for e in moved.atoms(sp.Pow) if e.base == s and e.exp.is_Rational]
    unit = math.lcm(1, *map(int, roots))
    moved = moved.xreplace({s: s**unit}) if unit > 1 else moved
    zeroth, *rest = coefficients(moved, s, int(2 * unit * top))
    if not is_zero(zeroth):
        raise BadInput(f"{scheme!r} moves the state even for h = 0.")
    return _Step(rest, laws, unit, found.exact)


def almost_everywhere(expression: Expression) -> Expression:
    """The expression with conditions u > 0, u != 0 on squares u taken as true.

    They fail on a null set, where code guards a derivative (|b| at b = 0).
    """
    import sympy as sp

    table = {}
    for condition in expression.atoms(sp.Gt, sp.Lt, sp.Ne):
        small, large = condition.lhs, condition.rhs
        if isinstance(condition, sp.Gt):
            small, large = large, small
        if small == 0 and large.is_nonnegative and large.free_symbols:
            table[condition] = sp.true
    return expression.xreplace(table) if table else expression


def _operator(step: _Step, k: int) -> list[Expression]:
    """The coefficients a_1, ..., a_k of A_k: the terms of order r^k of E Δ^j/j!."""
    import sympy as sp

    out, power = [], [sp.Integer(1)] + [sp.Integer(0)] * k
    series = [sp.Integer(0), *step.increments[:k]]
    for j in range(1, k + 1):
        power = [
            sum((power[i] * series[n - i] for i in range(n + 1)), start=sp.Integer(0))
            for n in range(k + 1)
        ]
        out.append(average(power[k], step.laws) / sp.factorial(j))
    return out


def _require_consistent(scheme, dynamics, step: _Step, model: _Model) -> None:
    """Refuse a step with A_k ≠ 0 before h, or A of order h that is not L."""
    gaps = [a for k in range(1, 2 * step.unit) for a in _operator(step, k)]
    first, second, *others = _operator(step, 2 * step.unit)
    gaps += [first - model.drift, second - model.spread / 2, *others]
    if not all(is_zero(gap) for gap in gaps):
        raise BadInput(
            f"{type(scheme).__name__} is not consistent with "
            f"{type(dynamics).__name__}: its mean and variance over a short step are "
            f"not h ({model.drift}) and h ({model.spread})."
        )


def _flux(operator: list[Expression], score: Expression, x: Any) -> Expression:
    """J/π = Σ_j (-1)^{j-1} (d/dx + π'/π)^{j-1} a_j."""
    import sympy as sp

    total = sp.Integer(0)
    for j, a in enumerate(operator):
        term = (-1) ** j * a
        for _ in range(j):
            if term == 0:
                break
            term = sp.diff(term, x) + score * term
        total += term
    return total


def _shortened(expression: Expression) -> Expression:
    """The expression multiplied out, with its atoms |·| in one form."""
    import sympy as sp

    expression = expression.replace(
        lambda e: isinstance(e, sp.Abs), lambda e: sp.Abs(sp.factor(e.args[0]))
    )
    expanded = sp.expand(expression)
    return expanded if sp.count_ops(expanded) < sp.count_ops(expression) else expression


def _kinks(expression: Expression) -> tuple[Expression, ...]:
    import sympy as sp

    found = {e.args[0] for e in expression.atoms(sp.Abs, sp.sign)}
    return tuple(sorted(found, key=sp.default_sort_key))


def as_function(expression: Expression, x: Any) -> Callable[[np.ndarray], np.ndarray]:
    """An expression in x as a numpy function of an array, of the array's shape.

    Raises:
        BadInput: other symbols are left in it.
    """
    import sympy as sp

    expression = sp.sympify(expression)
    if left := expression.free_symbols - {x}:
        raise BadInput(f"numbers are needed for the symbols {sorted(map(str, left))}.")
    compiled = sp.lambdify(x, expression, "numpy", cse=True)

    def function(points):
        points = np.asarray(points, float)
        return np.broadcast_to(np.asarray(compiled(points), float), points.shape)

    return function
