"""Step limits and decay rates of inertial-Newton damping on a quadratic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optax
import sympy

from discretize import (
    critical_mass,
    regime_boundaries,
    regimes,
    stability_of,
    to_inertial_newton,
)
from discretize.jury import jury_conditions
from discretize.thresholds import proved_limit
from flows.symbolic import IdentityResult, equal_symbolically, exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.inertial_regimes import (
    ALPHA,
    BETA,
    GAMMA,
    LAMBDA,
    MASS,
    Z,
    euler_step,
    polynomial,
    psi_field,
)
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import saddle_avoidance

DERIVED = saddle_avoidance("the linearised system; derived here")
POSITIVE = (0, math.inf)


# Where a step turns unstable.


def period_two(alpha: Any, beta: Any, gamma: Any, mass: Any = 1) -> Any:
    """λ_max = (4m - 2γα)/(γ(2β-γ)), where a root is -1."""
    return (4 * mass - 2 * gamma * alpha) / (gamma * (2 * beta - gamma))


def _conditions(ctx: Context) -> list[Any]:
    """Jury's conditions on the traced step, times m."""
    p = sympy.Poly(polynomial(ctx, euler_step, GAMMA), Z)
    return [sympy.expand(MASS * c) for c in jury_conditions(p.all_coeffs())]


def _limit(ctx: Context, factor: Any) -> Evidence:
    """λ_max from Jury's conditions for γ < β, αγ < 2m, every number a symbol.

    α = 2mw/γ with 0 <= w < 1, and β = γ(1 + c) with c > 0.
    """
    w = sympy.Symbol("w", nonnegative=True)
    c, curvature = sympy.symbols("c lambda", positive=True)
    values = {ALPHA: 2 * MASS * w / GAMMA, BETA: GAMMA * (1 + c), LAMBDA: curvature}
    conditions = [sympy.factor(e.subs(values)) for e in _conditions(ctx)]
    ranges = {GAMMA: "positive", MASS: "positive", c: "positive", w: "unit"}
    found, grade = proved_limit(conditions, curvature, ranges)
    claimed = factor * period_two(values[ALPHA], values[BETA], GAMMA, MASS)
    same = equal_symbolically(found, claimed)
    if grade != "proved":
        same = IdentityResult("undecided", remainder=grade)
    return decide.identity(same, name="limit by Jury's conditions")


def _of_optax(nesterov: bool | None, factor: Any = 1) -> Evidence:
    """λ_max at the point of an optax optimiser, against its own limit."""
    if nesterov is None:
        factory: Callable = lambda eta: optax.sgd(eta)  # noqa: E731
        found = stability_of(factory, eta=POSITIVE).limit
    else:
        momentum = lambda eta, b: optax.sgd(eta, b, nesterov=nesterov)  # noqa: E731
        found = stability_of(momentum, eta=POSITIVE, b=(0, 1)).limit
    named = {s.name: s for s in found.free_symbols}
    b = named.get("b", sympy.Integer(0))

    def point(eta, momentum):
        return tuple(to_inertial_newton(eta, momentum, bool(nesterov)))

    gamma, alpha, beta = exactly(point, named["eta"], b)
    same = equal_symbolically(factor * period_two(alpha, beta, gamma), found)
    what = {None: "sgd", False: "heavy ball", True: "Nesterov"}[nesterov]
    return decide.identity(same, name=f"limit of optax's {what}")


@claim(
    "inertial.step-limit",
    title="INNA, γ < β, is stable up to λ = (4 - 2γα)/(γ(2β-γ)); so is momentum",
    source=DERIVED,
    statement=r"\text{stable} \iff \lambda > 0,\ (\gamma-\beta)\lambda < \alpha,\ "
    r"\gamma(2\beta-\gamma)\lambda < 4m - 2\gamma\alpha;\quad \gamma < \beta:\ "
    r"\lambda < \frac{4m-2\gamma\alpha}{\gamma(2\beta-\gamma)};\quad"
    r" \frac{2+2b}{\eta}\text{ (heavy ball)},\ \frac{2}{\eta}\frac{1+b}{1+2b}"
    r"\text{ (Nesterov)},\ \frac2\eta\text{ (gradient descent)}",
    hypotheses=(r"$f = \lambda x^2/2$", r"$\alpha\gamma < 2m$", r"$0 \le b < 1$"),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-6,
    unit="λ",
)
def step_limit(ctx: Context) -> Iterator[Evidence]:
    """Jury's conditions on the traced step, and optax's limits at the dictionary."""
    one, minus, lead_less, lead_more = _conditions(ctx)
    pairs = [
        (one, GAMMA**2 * LAMBDA),
        (minus, 4 * MASS - 2 * GAMMA * ALPHA - GAMMA * (2 * BETA - GAMMA) * LAMBDA),
        (lead_less, GAMMA * (ALPHA - (GAMMA - BETA) * LAMBDA)),
        (2 * lead_more, one + minus),  # positive where both of these are
    ]
    yield identical([a for a, _ in pairs], [b for _, b in pairs], "Jury's conditions")
    yield _limit(ctx, 1)
    for nesterov in (None, False, True):
        yield _of_optax(nesterov)


@step_limit.control("limit times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _limit(ctx, 1 + sympy.Rational(1, 1000))


@step_limit.control("heavy ball's limit for Nesterov's momentum")
def _(ctx: Context) -> Evidence:
    b = sympy.Symbol("b", nonnegative=True)
    return _of_optax(True, 1 + 2 * b)


POINTS = ((0.5, 0.3, 0.05), (2.0, 0.1, 0.08), (0.7, 0.05, 0.09), (0.3, 0.05, 0.08))
"""(α, β, γ), the last two with γ > β, where a pair may be the first to leave."""


@step_limit.route("spectral radius", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Log of NumPy's largest |z| a little below and above the first boundary."""
    for alpha, beta, h in POINTS:
        edges = regime_boundaries(alpha, beta, step=h)
        c = float(np.nanmin([edges.period_two, edges.growing_spiral]))
        rates = []
        for stiffness in decide.bracket_ends(c, ctx.delta):
            slow = alpha - 1 / beta
            a = np.array([[slow + beta * stiffness, 1 / beta], [slow, 1 / beta]])
            radius = np.max(np.abs(np.linalg.eigvals(np.eye(2) - h * a)))
            # rounding of simple eigenvalues of a matrix of this size
            size = 1e-14 * (1 + h * float(np.linalg.norm(a)))
            rates.append(GrowthRate(stiffness, math.log(radius), bias=size))
        yield decide.threshold(
            c, rates, delta=1.01 * ctx.delta, quantity=f"λ at {(alpha, beta, h)}"
        )


# How fast a mode decays.


CURVATURE = sympy.Symbol("lambda", positive=True)
FRICTION = ALPHA + BETA * CURVATURE
ROOT = sympy.sqrt(FRICTION**2 - 4 * MASS * CURVATURE)
RATE = 2 * CURVATURE / (FRICTION + ROOT)
"""The rate of a node: the slow root without a difference of large numbers."""


def mode(ctx: Context) -> Any:
    """The traced flow's polynomial at a positive curvature."""
    return polynomial(ctx, psi_field).subs(LAMBDA, CURVATURE)


def _limits(factor: Any = 1) -> Evidence:
    """The slow rate for flat, steep and light modes."""
    found = [
        sympy.limit(RATE / CURVATURE, CURVATURE, 0, "+"),
        sympy.limit(RATE, CURVATURE, sympy.oo),
        sympy.limit(RATE, MASS, 0, "+"),
    ]
    claimed = [1 / ALPHA, factor / BETA, CURVATURE / FRICTION]
    return identical(
        [sympy.simplify(e) for e in found], claimed, "rates as λ → 0, λ → ∞, m → 0"
    )


@claim(
    "inertial.mode-rates",
    title="Flat modes decay like λ/α, steep ones at 1/β; the best mass doubles it",
    source=DERIVED,
    statement=r"\rho = -\max\Re\mu:\quad \rho/\lambda \to \tfrac1\alpha\ (\lambda \to"
    r" 0),\quad \rho \to \tfrac1\beta\ (\lambda \to \infty),\quad \rho \to"
    r" \frac{\lambda}{\alpha+\beta\lambda}\ (m \to 0);\quad \max_m \rho ="
    r" \frac{2\lambda}{\alpha+\beta\lambda}\ \text{at}\ m^* ="
    r" \frac{(\alpha+\beta\lambda)^2}{4\lambda}",
    hypotheses=(r"$f = \lambda x^2/2$, $\lambda > 0$", r"$\alpha, \beta > 0$"),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-4,
    unit="rate × (α + βλ)/λ",
)
def mode_rates(ctx: Context) -> Iterator[Evidence]:
    """Limits of the traced flow's slow root, and how its rate depends on m.

    ROOT² = 4λ(m* - m): real and positive below m*, where the other root is no slower.
    With D = α + βλ: below m* the rate is 2λ/(D + √(D² - 4mλ)), where the root falls as
    m rises; above m* it is D/(2m), which falls. At m* both are 2λ/D.
    """
    p = mode(ctx)
    yield identical(p.subs(Z, -RATE), sympy.Integer(0), "a root: minus the rate")
    other = (FRICTION + ROOT) / (2 * MASS)
    yield identical(p.subs(Z, -other), sympy.Integer(0), "the other root")
    yield identical(other - RATE, ROOT / MASS, "the other root decays no slower")
    middle = -sympy.Poly(p, Z).coeff_monomial(Z) / 2
    yield identical(middle, -FRICTION / (2 * MASS), "real part of a pair")
    yield _limits()
    best = exactly(critical_mass, CURVATURE, ALPHA, BETA)
    yield identical(best, FRICTION**2 / (4 * CURVATURE), "m*")
    yield identical(ROOT**2, 4 * CURVATURE * (best - MASS), "ROOT² > 0 below m*")
    double = (Z + 2 * CURVATURE / FRICTION) ** 2
    yield identical(p.subs(MASS, best), double, "a double root at m*")
    slope = -2 * CURVATURE / ROOT
    yield identical(sympy.diff(ROOT, MASS), slope, "the root falls as m rises")


@mode_rates.control("a plateau at 2/β")
def _(ctx: Context) -> Evidence:
    return _limits(sympy.Integer(2))


CASES = ((0.5, 1.0, 3.0), (2.0, 0.1, 40.0), (0.01, 1.0, 10.0))  # α, β, λ


@mode_rates.route("largest rate over the masses", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Grids of masses around the best one, finer and finer, against twice λ/(α+βλ)."""
    for alpha, beta, stiffness in CASES:
        yield decide.equal(
            2.0, decide.ladder(_best_rates(alpha, beta, stiffness)), delta=ctx.delta
        )


@mode_rates.control("the rate of the Levenberg–Marquardt flow", expected=2.0)
def _(ctx: Context) -> Evidence:
    """As if no mass were better than none."""
    values = _best_rates(*CASES[0])
    return decide.equal(1.0, decide.ladder(values), delta=ctx.delta)


def _best_rates(alpha: float, beta: float, stiffness: float) -> list[float]:
    """The best of 200 masses, in five grids, each around the best of the one before.

    The maximum is a corner, with a slope like a square root on one side: a grid that is
    a thousand times finer gives one and a half digits.
    """
    low, high, found = -6.0, 6.0, []
    for _ in range(5):
        masses = 10 ** np.linspace(low, high, 200)
        rates = np.asarray(regimes(stiffness, alpha, beta, mass=masses).rate)
        k, gap = int(np.argmax(rates)), (high - low) / 199
        found.append(float(rates[k]) * (alpha + beta * stiffness) / stiffness)
        low, high = np.log10(masses[k]) - gap, np.log10(masses[k]) + gap
    return found
