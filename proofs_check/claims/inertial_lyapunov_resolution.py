"""Energies of the high-resolution flows of heavy ball and Nesterov's methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy

from flows import (
    HighResolutionAcceleratedFlow,
    HighResolutionHeavyBallFlow,
    HighResolutionNesterovFlow,
    high_resolution_start,
)
from proofs_check.certificates import find_certificate
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.energies import (
    high_resolution_accelerated_energy,
    high_resolution_accelerated_pair,
    high_resolution_heavy_ball_energy,
    high_resolution_heavy_ball_pair,
    high_resolution_nesterov_energy,
    high_resolution_nesterov_pair,
)
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.inequalities import curved, growth, minimal, strongly_convex
from proofs_check.inner_products import LyapunovPair, inner
from proofs_check.papers import high_resolution
from proofs_check.trajectories import MU, X0, Case, convex_loss, trajectory

# √μ and √s, so that everything is rational.
M, R = sympy.symbols("m r", positive=True)
WHERE = {
    sympy.Symbol("strong_convexity", positive=True): M**2,
    sympy.Symbol("learning_rate", positive=True): R**2,
}
MU_SYMBOL, S_SYMBOL = WHERE
QUARTER = sympy.Rational(1, 4)
SMALL = sympy.Rational(1, 1000)
STEP = 0.2


def decay(pair: LyapunovPair, rate: Any, further: Any = 0, growing: bool = True) -> Any:
    """The certificate of V' + rate √μ V + further <= 0 from strong convexity.

    The multiplier of strong convexity is √μ (1 + √(μs)), which cancels ⟨e, g⟩ but for
    what V has of it; that of f - f* >= (μ/2)|e|² is solved for.
    """
    first = (M * (1 + M * R), strongly_convex(MU_SYMBOL))
    using = [first, growth(MU_SYMBOL), curved("v")] if growing else [first]
    left = pair.derivative + rate * M * pair.value + further
    return find_certificate(left, using, WHERE, "veg")


def along_solution(flow: Any, energy: Any, pair: LyapunovPair, rate: float) -> Any:
    """V' in inner products along a solution from the paper's start."""
    t0, first = high_resolution_start(flow, X0)
    t0 = float(t0)
    yield from trajectory(Case(flow, energy, pair, first, t0, t0 + 3.0, rate))


# Strongly convex: Nesterov.


def _lost() -> Any:
    return R / 2 * (inner("g", "g") + inner("v", "Hv"))


@claim(
    "inertial.high-resolution-nesterov",
    title="The energy of NAG-SC's high-resolution flow decays like e^{-√μ t/4}",
    source=high_resolution("equation 1.11, lemma 3.1"),
    statement=r"V = (1+\sqrt{\mu s})(f-f_*) + \tfrac14|\dot x|^2 + \tfrac14\bigl|\dot x"
    r" + 2\sqrt\mu(x-x_*) + \sqrt s\nabla f\bigr|^2:\quad \dot V \le"
    r" -\tfrac{\sqrt\mu}4 V - \tfrac{\sqrt s}2\bigl(|\nabla f|^2 + \langle\dot x,"
    r"\nabla^2 f\,\dot x\rangle\bigr)",
    hypotheses=(r"$f$ $\mu$-strongly convex, twice differentiable", r"every $s > 0$"),
    grade="proved",
    delta=1e-6,
    unit="V' (unit of f/time)",
)
def nesterov(ctx: Context) -> Iterator[Evidence]:
    """The identity of V', the lemma; and without its last term twice the rate."""
    pair = high_resolution_nesterov_pair()
    yield identical(
        pair.derivative.subs(WHERE),
        _nesterov_slope(),
        "V' of the paper",
        quantity="V'",
        route="algebra",
    )
    yield decay(pair, QUARTER, _lost()).evidence(quantity="rate √μ/4")
    yield decay(pair, 2 * QUARTER).evidence(quantity="rate √μ/2")


def _nesterov_slope() -> Any:
    half = inner("v", "v") + (1 + M * R) * inner("e", "g") + R**2 / 2 * inner("g", "g")
    return -M * half - _lost()


@nesterov.control("the rate 3√μ/5")
def _(ctx: Context) -> Evidence:
    pair = high_resolution_nesterov_pair()
    return decay(pair, sympy.Rational(3, 5), _lost()).evidence()


@nesterov.control("√s ∇f in V with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    pair = high_resolution_nesterov_pair(1 + SMALL)
    return identical(pair.derivative.subs(WHERE), _nesterov_slope(), "V' of the paper")


@nesterov.route("along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    flow = HighResolutionNesterovFlow(convex_loss(MU), MU, STEP)
    pair = high_resolution_nesterov_pair().at(strong_convexity=MU, learning_rate=STEP)
    energy = high_resolution_nesterov_energy
    yield from along_solution(flow, energy, pair, MU**0.5 / 4)


# Strongly convex: heavy ball.

# w = √(2 + √(μs)) = 1 + 1/(1+k), which covers 0 < √(μs) <= 2.
K, ROOT = sympy.symbols("k", nonnegative=True), sympy.Symbol("w", positive=True)


def _sharp(factor: Any = 1, share: Any = 1) -> Any:
    """The rate factor · 2√μ(1 - 1/w) where f is (share · μ)-strongly convex."""
    pair = high_resolution_heavy_ball_pair()
    # √(μs) = w² - 2 > 0 is put in before sympy could take the root for its modulus.
    q = sympy.Symbol("q", positive=True)
    left = pair.derivative + factor * 2 * M * (1 - 1 / ROOT) * pair.value
    left = left.subs({MU_SYMBOL: M**2, S_SYMBOL: (q / M) ** 2}).subs(q, ROOT**2 - 2)
    strong = share * M**2
    using = [(M * (ROOT**2 - 1), strongly_convex(strong)), growth(strong)]
    return find_certificate(left, using, {ROOT: 1 + 1 / (1 + K)}, "ve")


@claim(
    "inertial.high-resolution-heavy-ball",
    title="The energy of heavy ball's high-resolution flow decays like e^{-√μ t/4}",
    source=high_resolution("equation 1.10, lemma 3.2; the sharp rate is derived here"),
    statement=r"V = (1+\sqrt{\mu s})(f-f_*) + \tfrac14|\dot x|^2 + \tfrac14\bigl|\dot x"
    r" + 2\sqrt\mu(x-x_*)\bigr|^2:\quad \dot V = -\sqrt\mu\bigl(|\dot x|^2 +"
    r" (1+\sqrt{\mu s})\langle\nabla f, x-x_*\rangle\bigr) \le -\tfrac{\sqrt\mu}4 V;"
    r"\quad \text{sharp: } \dot V \le -2\sqrt\mu\Bigl(1-\frac{1}{\sqrt{2+\sqrt{\mu"
    r" s}}}\Bigr) V",
    hypotheses=(
        r"$f$ $\mu$-strongly convex",
        r"every $s > 0$; the sharp rate for $\sqrt{\mu s} \le 2$",
    ),
    grade="proved",
    delta=1e-6,
    unit="V' (unit of f/time)",
)
def heavy_ball(ctx: Context) -> Iterator[Evidence]:
    """The identity of V', the paper's rate, and the sharp one."""
    pair = high_resolution_heavy_ball_pair()
    slope = -M * (inner("v", "v") + (1 + M * R) * inner("e", "g"))
    yield identical(
        pair.derivative.subs(WHERE),
        slope,
        "V' of the paper",
        quantity="V'",
        route="algebra",
    )
    yield decay(pair, QUARTER).evidence(quantity="rate √μ/4")
    yield _sharp().evidence(quantity="sharp rate")


@heavy_ball.control("the sharp rate and 1/1000 of it")
def _(ctx: Context) -> Evidence:
    return _sharp(1 + SMALL).evidence()


@heavy_ball.control("f convex to 0.999 μ")
def _(ctx: Context) -> Evidence:
    return _sharp(share=1 - SMALL).evidence()


@heavy_ball.route("along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    flow = HighResolutionHeavyBallFlow(convex_loss(MU), MU, STEP)
    pair = high_resolution_heavy_ball_pair().at(strong_convexity=MU, learning_rate=STEP)
    energy = high_resolution_heavy_ball_energy
    yield from along_solution(flow, energy, pair, MU**0.5 / 4)


# Convex: Nesterov.


def _accelerated(correction: Any = 1, convex: bool = True) -> Evidence:
    pair = high_resolution_accelerated_pair(correction)
    using = [strongly_convex(), minimal(), curved("v")] if convex else []
    found = find_certificate(pair.derivative, using, WHERE, name="V'", latex=r"\dot V")
    return found.evidence(quantity="sign of V'")


@claim(
    "inertial.high-resolution-accelerated",
    title="The energy of NAG-C's high-resolution flow never increases",
    source=high_resolution("equation 1.12, Lyapunov function of theorem 5"),
    statement=r"V = t\bigl(t+\tfrac{\sqrt s}2\bigr)(f-f_*) + \tfrac12\bigl|t\dot x +"
    r" 2(x-x_*) + t\sqrt s\nabla f\bigr|^2:\quad \dot V = \bigl(2t+\tfrac{\sqrt s}2"
    r"\bigr)(f-f_*) - (2t+\sqrt s)\langle\nabla f,x-x_*\rangle - \sqrt s\,t\bigl(t+"
    r"\tfrac{\sqrt s}2\bigr)|\nabla f|^2 \le 0",
    hypotheses=(r"$f$ convex with a minimiser", r"$s > 0$, $t > 0$"),
    grade="proved",
    delta=1e-6,
    unit="V (unit of |x|²)",
)
def accelerated(ctx: Context) -> Iterator[Evidence]:
    """The identity of V', and its sign from convexity and f >= f*."""
    t = sympy.Symbol("t", positive=True)
    pair = high_resolution_accelerated_pair()
    gap = sympy.Symbol("gap", nonnegative=True)
    slope = (2 * t + R / 2) * gap - (2 * t + R) * inner("e", "g")
    slope -= R * t * (t + R / 2) * inner("g", "g")
    yield identical(
        pair.derivative.subs(WHERE),
        slope,
        "V' of the paper",
        quantity="V'",
        route="algebra",
    )
    yield _accelerated()


@accelerated.control("t√s ∇f in V with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _accelerated(1 + SMALL)


@accelerated.control("f not convex")
def _(ctx: Context) -> Evidence:
    return _accelerated(convex=False)


@accelerated.route("along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    flow = HighResolutionAcceleratedFlow(convex_loss(), STEP)
    pair = high_resolution_accelerated_pair().at(learning_rate=STEP)
    yield from along_solution(flow, high_resolution_accelerated_energy, pair, 0.0)
