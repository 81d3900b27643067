"""Constants of the high-resolution rates: the energies at the paper's start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy

from flows.symbolic import IdentityResult
from proofs_check import decide
from proofs_check.certificates import find_certificate, nonnegative
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.energies import (
    high_resolution_accelerated_pair,
    high_resolution_heavy_ball_pair,
    high_resolution_nesterov_pair,
)
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.inequalities import lipschitz, minimal, smooth, strongly_convex
from proofs_check.inner_products import gap_symbol, inner
from proofs_check.papers import high_resolution

# r = √s and q = √(μs), so that everything is rational.
R, Q, L = sympy.symbols("r q L", positive=True)
K = sympy.Symbol("k", nonnegative=True)
T, T0 = sympy.Symbol("t", positive=True), 3 * R / 2
GAP, EE = gap_symbol(), inner("e", "e")
WHERE = {
    sympy.Symbol("strong_convexity", positive=True): Q**2 / R**2,
    sympy.Symbol("learning_rate", positive=True): R**2,
}
SMALL = sympy.Rational(1, 1000)


def nesterov_constant(q: Any) -> Any:
    """1/2 + (3 - 2q + q²)/(2(1+q)³) + 2q²/(1+q)."""
    half = sympy.Rational(1, 2)
    return half + (3 - 2 * q + q**2) / (2 * (1 + q) ** 3) + 2 * q**2 / (1 + q)


def heavy_ball_constant(q: Any) -> Any:
    """1/2 + 3/(1+q)³ + 2q²/(1+q)."""
    return sympy.Rational(1, 2) + 3 / (1 + q) ** 3 + 2 * q**2 / (1 + q)


def _at_start(value: Any, slope: Any) -> Any:
    """V where v = slope · ∇f."""
    table = {
        inner("v", "v"): slope**2 * inner("g", "g"),
        inner("g", "v"): slope * inner("g", "g"),
        inner("e", "v"): slope * inner("e", "g"),
    }
    return value.subs(WHERE).subs(table)


def _first_energy(
    pair: Any, constant: Any, multiplier: Any, share: Any = 1, where: Any = None
) -> Evidence:
    """V(0)/(1+q) <= C(q) |e|²/s for s <= 1/L, from v(0) = -2√s ∇f/(1+q).

    The multiplier of |g|² <= L²|e|² is s · `multiplier`(q).
    """
    first = _at_start(pair.value, -2 * R / (1 + Q)) / (1 + Q)
    left = first - share * constant(Q) * inner("e", "e") / R**2
    found = find_certificate(
        left,
        [smooth(L), (R**2 * multiplier(Q), lipschitz(L))],
        {L: 1 / (R**2 * (1 + K)), **(where or {})},
        "ge",
        name="V(0)/(1+q) - C(q)|e|²/s",
        latex=r"\tfrac{V(0)}{1+q} - \tfrac{C(q)}{s}|e|^2",
    )
    return found.evidence()


def _nesterov_multiplier(q: Any) -> Any:
    return (1 + (1 - q) ** 2 / 2) / (1 + q) ** 3


def _heavy_ball_multiplier(q: Any) -> Any:
    return 3 / (1 + q) ** 3


def _below(bound: Any, constant: Any, quantity: str) -> Evidence:
    """C(q) <= bound - q/4 for 0 < q <= 1, by the signs in k where q = 1/(1+k)."""
    slack = sympy.together(bound - constant(Q) - Q / 4)
    witness = None
    if nonnegative(slack.subs(Q, 1 / (1 + K))):
        status = "proved"
    else:
        tried = (sympy.Rational(j, 4096) for j in range(1, 4097))
        witness = next(({Q: q} for q in tried if slack.subs(Q, q).is_negative), None)
        status = "undecided" if witness is None else "refuted"
    return decide.identity(
        IdentityResult(status, witness),
        name=f"C(q) <= {bound} - q/4, 0 < q <= 1",
        quantity=quantity,
        route="signs of coefficients",
    )


def _limit(bound: Any, constant: Any, quantity: str) -> Evidence:
    """The bound is the supremum: C(q) → bound as q → 0."""
    found = sympy.limit(constant(Q), Q, 0, "+") - bound
    status = "proved" if found == 0 else "refuted"
    witness = None if found == 0 else {Q: 0}
    return decide.identity(
        IdentityResult(status, witness), name="C(0+)", quantity=f"{quantity}, sharp"
    )


@claim(
    "inertial.high-resolution-constants",
    title="High-resolution energies start below 2 and 7/2 times (1+q)|x0-x*|²/s",
    source=high_resolution("theorems 1 and 2, their constants"),
    statement=r"\frac{V(0)}{1+q} \le C(q)\frac{|x_0-x_*|^2}{s},\quad q = \sqrt{\mu s}:"
    r"\quad C = \tfrac12 + \tfrac{3-2q+q^2}{2(1+q)^3} + \tfrac{2q^2}{1+q} < 2"
    r" \text{ (NAG-SC)},\qquad C = \tfrac12 + \tfrac{3}{(1+q)^3} + \tfrac{2q^2}{1+q}"
    r" < \tfrac72 \text{ (heavy ball)}",
    hypotheses=(
        r"$f$ convex and $L$-smooth, $0 < s \le 1/L$, $\mu \le L$",
        r"$\dot x(0) = -2\sqrt s\,\nabla f(x_0)/(1+q)$",
    ),
    grade="proved",
    unit="V s/|x0 - x*|²",
)
def constants(ctx: Context) -> Iterator[Evidence]:
    """V at the start by smoothness, then the two rational functions on (0, 1]."""
    pair, rows = high_resolution_nesterov_pair(), nesterov_constant
    yield _first_energy(pair, rows, _nesterov_multiplier)
    yield _below(sympy.Integer(2), rows, "C of NAG-SC")
    yield _limit(sympy.Integer(2), rows, "C of NAG-SC")
    pair, rows = high_resolution_heavy_ball_pair(), heavy_ball_constant
    yield _first_energy(pair, rows, _heavy_ball_multiplier)
    yield _below(sympy.Rational(7, 2), rows, "C of heavy ball")
    yield _limit(sympy.Rational(7, 2), rows, "C of heavy ball")


@constants.control("2(1 - 1/1000) for NAG-SC")
def _(ctx: Context) -> Evidence:
    return _below(2 - 2 * SMALL, nesterov_constant, "C of NAG-SC")


@constants.control("7/2 (1 - 1/1000) for heavy ball")
def _(ctx: Context) -> Evidence:
    return _below(sympy.Rational(7, 2) * (1 - SMALL), heavy_ball_constant, "C")


@constants.control("half of C(q) at q = 1/2 and s = 1, on a quadratic")
def _(ctx: Context) -> Evidence:
    pair = high_resolution_nesterov_pair()
    half, at = sympy.Rational(1, 2), {Q: sympy.Rational(1, 2), R: 1}
    return _first_energy(pair, nesterov_constant, _nesterov_multiplier, half, at)


@claim(
    "inertial.high-resolution-accelerated-start",
    title="NAG-C's high-resolution energy starts at 3s(f - f*) + 2|x0 - x*|²",
    source=high_resolution("theorem 5, its constant (12 + 9sL)/(2√s)"),
    statement=r"t_0 = \tfrac32\sqrt s,\ \dot x(t_0) = -\sqrt s\,\nabla f(x_0):\quad"
    r" V(t_0) = 3s(f-f_*) + 2|x_0-x_*|^2 \le \bigl(2+\tfrac32 sL\bigr)|x_0-x_*|^2,"
    r"\qquad \inf_{[t_0,t]}|\nabla f|^2 \le \frac{3 V(t_0)}{\sqrt s\,(t^3-t_0^3)}",
    hypotheses=(r"$f$ convex, $L$-smooth",),
    grade="proved",
    unit="V (unit of |x|²)",
)
def accelerated_start(ctx: Context) -> Iterator[Evidence]:
    """V at the start; its bound by smoothness; V' + √s t²|∇f|² <= 0, integrated.

    With V >= 0 the last two give inf|∇f|² ∫ √s τ² dτ <= V(t0).
    """
    yield _accelerated_first()
    yield _accelerated_start(1)
    yield _gradients_lost(1)
    yield _weight_lost(3)


def _accelerated_value() -> Any:
    """V(t0) of the model, where v = -√s ∇f."""
    return _at_start(high_resolution_accelerated_pair().value, -R).subs(T, T0)


def _accelerated_first(factor: Any = 1) -> Evidence:
    return identical(
        _accelerated_value(),
        3 * R**2 * GAP + 2 * factor * EE,
        "V(t0) = 3s(f - f*) + 2|e|²",
        quantity="V(t0)",
        route="algebra",
    )


def _accelerated_start(share: Any) -> Evidence:
    found = find_certificate(
        _accelerated_value() - share * (2 + 3 * R**2 * L / 2) * EE,
        [smooth(L)],
        name="V(t0) - (2 + 3sL/2)|e|²",
        latex=r"V(t_0) - (2+\tfrac32 sL)|e|^2",
    )
    return found.evidence(quantity="bound of V(t0)")


def _lost(t: Any) -> Any:
    """The weight √s t² of |∇f|² in what V loses."""
    return R * t**2


def _gradients_lost(share: Any) -> Evidence:
    """V' + share · √s t²|∇f|² <= 0 for convex f."""
    slope = high_resolution_accelerated_pair().derivative.subs(WHERE)
    found = find_certificate(
        slope + share * _lost(T) * inner("g", "g"),
        [strongly_convex(), minimal()],
        name="V' + √s t²|∇f|²",
        latex=r"\dot V + \sqrt s\,t^2|\nabla f|^2",
    )
    return found.evidence(quantity="sign of V' + √s t²|∇f|²")


def _weight_lost(divisor: Any) -> Evidence:
    """The integral of √s τ² from t0 to t is √s (t³ - t0³)/3."""
    found = sympy.integrate(_lost(T), (T, T0, T))
    return identical(
        found,
        R * (T**3 - T0**3) / divisor,
        "∫ √s τ² dτ",
        quantity="weight of inf|∇f|²",
        route="algebra",
    )


@accelerated_start.control("2|e|² in V(t0) with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _accelerated_first(1 + SMALL)


@accelerated_start.control("the bound with the factor 1 - 1/1000, on a quadratic")
def _(ctx: Context) -> Evidence:
    return _accelerated_start(1 - SMALL)


@accelerated_start.control("a tenth more than √s t²|∇f|² lost")
def _(ctx: Context) -> Evidence:
    return _gradients_lost(sympy.Rational(11, 10))


@accelerated_start.control("the constant 3 - 1/1000 in the bound of inf|∇f|²")
def _(ctx: Context) -> Evidence:
    return _weight_lost(3 - SMALL)
