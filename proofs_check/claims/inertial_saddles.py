"""Inertial Newton at a strict saddle: one mode of negative curvature, exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import Euler
from flows import InertialNewtonPsiFlow, InertialNewtonState, PhaseState
from flows.problems import quadratic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import saddle_avoidance

GAMMA, ALPHA, BETA = sympy.symbols("gamma alpha beta", positive=True)
LAM = sympy.Symbol("lambda", real=True)
SIZE = sympy.Symbol("L", positive=True)
UP, DOWN = sympy.symbols("p s", positive=True)  # μ₊ = p and μ₋ = -s


def mode(friction: Any, damping: Any, curvature: Any, mass: Any = 1.0):
    """The inertial-Newton flow in (x, ψ) on λ x²/2."""
    f = dataclasses.replace(quadratic([1.0]), matrix=jnp.reshape(curvature, (1,)))
    return InertialNewtonPsiFlow(f, friction, damping, mass)


def field_matrix(friction, damping, curvature, mass=1.0) -> Any:
    """The matrix of that flow's field."""
    flow = mode(friction, damping, curvature, mass)

    def field(y):
        return jnp.concatenate(
            flow.vector_field(0.0, InertialNewtonState(y[:1], y[1:]))
        )

    return jax.jacfwd(field)(jnp.zeros(2))


def step_determinant(gamma, friction, damping, curvature) -> Any:
    """The determinant of one step of explicit Euler: of INNA's map."""
    flow = mode(friction, damping, curvature)

    def step(y):
        y = InertialNewtonState(y[:1], y[1:])
        return jnp.concatenate(Euler().step(flow, 0.0, y, gamma, None, None).y)

    j = jax.jacfwd(step)(jnp.zeros(2))
    return j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]


# Where INNA's map is a local diffeomorphism.


def step_bound(friction, damping, smoothness, sign: int = -1) -> Any:
    """The root γ₋ (or with `sign` 1 the root γ₊) of Lγ² - (α + βL)γ + 1."""
    b = friction + damping * smoothness
    return (b + sign * (b**2 - 4 * smoothness) ** 0.5) / (2 * smoothness)


@claim(
    "inertial.step-condition",
    title="INNA's step has a positive determinant iff αγ + γ|β - γ|L < 1",
    source=saddle_avoidance(
        "the device of the proof of theorem 4.1; the sharp condition is derived here"
    ),
    statement=r"\det = 1 - \alpha\gamma - \gamma(\beta-\gamma)\lambda > 0"
    r"\ \forall |\lambda| \le L \iff \alpha\gamma + \gamma|\beta-\gamma|L < 1;\quad"
    r" \gamma \le \beta:\ \gamma < \gamma_-\ \text{or}\ \gamma > \gamma_+"
    r"\ (\text{then}\ \alpha\beta < 1),\quad \gamma_\pm = \tfrac{\alpha+\beta L \pm"
    r" \sqrt{(\alpha+\beta L)^2-4L}}{2L}\ \text{(every $\gamma$ if not real)}",
    hypotheses=(
        r"$\alpha, \beta, \gamma > 0$",
        r"eigenvalues $\lambda$ of $\nabla^2 f$ fill $[-L, L]$",
    ),
    grade="proved",
    delta=0.01,
    unit="γ (time)",
)
def step_condition(ctx: Context) -> Iterator[Evidence]:
    """The determinant from the traced step; its least value is at an end, |λ| = L.

    For γ <= β that is L(γ - γ₋)(γ - γ₊), of the value 1 - αβ at γ = β: for αβ >= 1 no
    γ <= β lies beyond γ₊.
    """
    yield _determinant(1)
    for side in (1, -1):
        yield _least(side, side)
    b = ALPHA + BETA * SIZE
    roots = [(b + s * sympy.sqrt(b**2 - 4 * SIZE)) / (2 * SIZE) for s in (-1, 1)]
    least = 1 - ALPHA * GAMMA - GAMMA * (BETA - GAMMA) * SIZE
    product = SIZE * (GAMMA - roots[0]) * (GAMMA - roots[1])
    yield identical(least, sympy.expand(product), "L(γ - γ₋)(γ - γ₊)")
    yield identical(least.subs(GAMMA, BETA), 1 - ALPHA * BETA, "its value at γ = β")


def _least(side: int, end: int) -> Evidence:
    """For γ = β - u (`side` 1) or β + u: 1 - αγ - γuL at λ = ±L, no less elsewhere.

    The determinant at λ = ±(L - w), 0 <= w <= 2L, exceeds it by γuw.
    """
    u, w = sympy.symbols("u w", nonnegative=True)
    gamma = BETA - side * u
    at = {GAMMA: gamma, LAM: end * (SIZE - w)}
    found = exactly(step_determinant, GAMMA, ALPHA, BETA, LAM).subs(
        at, simultaneous=True
    )
    least = 1 - ALPHA * gamma - gamma * u * SIZE
    name = "β - u" if side > 0 else "β + u"
    return identical(found, least + gamma * u * w, f"determinant, γ = {name}")


def _determinant(factor) -> Evidence:
    found = exactly(step_determinant, GAMMA, ALPHA, BETA, LAM)
    claimed = 1 - ALPHA * GAMMA - factor * GAMMA * (BETA - GAMMA) * LAM
    return identical(found, claimed, "determinant of a step")


@step_condition.control("the least determinant at λ = -L for γ < β")
def _(ctx: Context) -> Evidence:
    return _least(1, -1)


@step_condition.control("β in place of β - γ: the determinant of the flow's order")
def _(ctx: Context) -> Evidence:
    return _determinant(BETA / (BETA - GAMMA))


def _sign_change(ctx: Context, claimed, friction, damping, sign=-1) -> Evidence:
    """The least determinant of λ = ±50, just below and above the claimed step.

    With `sign` -1 its opposite, which changes from below to above 0 at γ₋.
    """
    size = 50.0
    ends = decide.bracket_ends(claimed, ctx.delta)
    determinant = ctx.compiled("determinant", lambda: jax.jit(step_determinant))
    rates = []
    for gamma in ends:
        at = [(gamma, friction, damping, s * size) for s in (1, -1)]
        least = min(float(determinant(*a)) for a in at)
        rates.append(GrowthRate(gamma, sign * least, bias=1e-12))
    name = "determinant" if sign > 0 else "-determinant"
    return decide.threshold(claimed, rates, delta=ctx.delta, quantity=name)


@step_condition.route("sign of the determinant", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """γ₋ = 0.01815 of (1, 1.1, 50); γ₊ = 0.98979 < β of (1/2, 1, 50)."""
    yield _sign_change(ctx, step_bound(1.0, 1.1, 50.0), 1.0, 1.1)
    yield _sign_change(ctx, step_bound(0.5, 1.0, 50.0, 1), 0.5, 1.0, 1)


@step_condition.control("γ₊ = 1.1019 > β, where αβ = 1.1")
def _(ctx: Context) -> Evidence:
    return _sign_change(ctx, step_bound(1.0, 1.1, 50.0, 1), 1.0, 1.1)


# Starts with a velocity made of the gradient are off the stable manifold.


def _from_roots() -> tuple[Any, Any]:
    """(α, λ) of the mode with the eigenvalues μ₊ = p > 0 and μ₋ = -s < 0.

    μ² + (α + βλ)μ + λ has the product -ps = λ and the sum p - s = -(α + βλ).
    """
    return DOWN - UP + BETA * UP * DOWN, -UP * DOWN


@claim(
    "inertial.default-start",
    title="No start with v₀ = -c∇f(x₀), c >= 0, lies in a saddle's stable direction",
    source=saddle_avoidance("almost every start; these starts are derived here"),
    statement=r"\text{stable direction: } \psi = (1+\beta\mu_+)\,x;\quad"
    r" v_0 = -c\nabla f(x_0):\ \psi_0 - \psi = -\beta\,"
    r"(|\mu_-| + c\,\mu_+|\mu_-|)\,x_0,\quad c \ge 0",
    hypotheses=(
        r"$f = \lambda x^2/2$, $\lambda < 0$: one mode of a linearised saddle",
        r"$\alpha, \beta > 0$; $c = \beta$ is the default"
        r" $\psi_0 = (1-\alpha\beta)x_0$",
    ),
    grade="proved",
)
def default_start(ctx: Context) -> Iterator[Evidence]:
    """The eigenvector of the traced field; the gap's coefficients are all positive."""
    alpha, curvature = _from_roots()
    slope = 1 + BETA * UP
    moved = np.asarray(exactly(field_matrix, alpha, BETA, curvature)) @ [1, slope]
    expected = [-DOWN, -DOWN * slope]
    yield identical(
        list(moved), expected, "field of the stable direction = μ₋ times it"
    )
    yield _gap(1, sympy.Symbol("c", nonnegative=True))
    default = 1 - alpha * BETA - slope
    yield identical(
        default, -BETA * DOWN * (1 + BETA * UP), "gap of ψ₀ = (1 - αβ) x₀ (c = β)"
    )


def _gap(factor, c, downhill=1) -> Evidence:
    """ψ₀ of v₀ = -c∇f less the stable direction's ψ, at x₀ = 1."""
    alpha, curvature = _from_roots()

    def start(friction, damping, lam, c):
        flow = mode(friction, damping, lam)
        x = jnp.ones(1)
        return flow.from_phase(
            PhaseState(x, -downhill * c * flow.objective.gradient(x))
        ).psi[0]

    gap = exactly(start, alpha, BETA, curvature, c) - (1 + BETA * UP)
    return identical(
        gap, -factor * BETA * (DOWN + c * UP * DOWN), "ψ₀ - ψ of the stable direction"
    )


@default_start.control("a start uphill, v₀ = +c∇f")
def _(ctx: Context) -> Evidence:
    return _gap(1, sympy.Symbol("c", nonnegative=True), -1)


@default_start.control("gap (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _gap(1 + sympy.Rational(1, 1000), sympy.Symbol("c", nonnegative=True))


# Mass, the smaller the faster; without any, the saddle attracts.


@claim(
    "inertial.massless-escape",
    title="Any mass turns the saddle's pull into a push, the faster the less mass",
    source=saddle_avoidance("the limit of a small mass is derived here"),
    statement=r"\epsilon\mu_+^2 + (\alpha+\beta\lambda)\mu_+ + \lambda = 0:\quad"
    r" \epsilon\,\mu_+ = -(\alpha+\beta\lambda) +"
    r" \tfrac{\epsilon\lambda}{\alpha+\beta\lambda} + O(\epsilon^2),"
    r"\quad \lambda < -\alpha/\beta",
    hypotheses=(r"$f = \lambda x^2/2$", r"$\lambda < -\alpha/\beta$; mass $\epsilon$"),
    grade="proved",
)
def massless_escape(ctx: Context) -> Iterator[Evidence]:
    """Trace and determinant of the traced field; the root expanded in the mass."""
    yield _characteristic(1)
    yield _expansion(1)


def _expansion(sign: int) -> Evidence:
    """The larger root times ε, with λ = -(α + b)/β, b > 0, so that α + βλ = -b < 0."""
    e, b = sympy.symbols("epsilon b", positive=True)
    slope = ALPHA + BETA * LAM
    root = (-slope + sympy.sqrt(slope**2 - 4 * e * LAM)) / 2
    claimed = -slope + sign * e * LAM / slope
    steep = {LAM: -(ALPHA + b) / BETA}
    series = sympy.series(sympy.simplify(root.subs(steep)), e, 0, 2).removeO()
    return identical(series, claimed.subs(steep), "ε μ₊ to first order in ε")


def _characteristic(factor) -> Evidence:
    e = sympy.Symbol("epsilon", positive=True)
    j = np.asarray(exactly(field_matrix, ALPHA, BETA, LAM, e))
    trace, product = j[0, 0] + j[1, 1], j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]
    claimed = [-(ALPHA + BETA * LAM) / e, factor * LAM / e]
    return identical([trace, product], claimed, "ε μ² + (α + βλ) μ + λ")


@massless_escape.control("minus the term of first order")
def _(ctx: Context) -> Evidence:
    return _expansion(-1)


@massless_escape.control("λ (1 + 1/1000) in the polynomial")
def _(ctx: Context) -> Evidence:
    return _characteristic(1 + sympy.Rational(1, 1000))
