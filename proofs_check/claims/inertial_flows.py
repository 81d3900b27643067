"""Inertial-Newton flows on every smooth loss: two forms, a law, Newton's path."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import (
    ImplicitHessianFlow,
    InertialNewtonFlow,
    InertialNewtonPsiFlow,
    PhaseState,
    levenberg_marquardt_flow,
    reference,
    solve,
)
from flows.problems import ridged_logistic, saddle_between_wells, taylor_polynomial
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import vanishing
from proofs_check.papers import hessian_damping, inertial_newton

DIN = Source(
    title="A second-order gradient-like dissipative dynamical system with "
    "Hessian-driven damping",
    authors="Felipe Alvarez, Hedy Attouch, Jérôme Bolte and Patrick Redont",
    year=2002,
    location="the system; the law is derived here",
)
NEWTON = Source(
    title="The continuous Newton method",
    location="elementary: the chain rule",
)
ALPHA, BETA, MASS, FORCE = sympy.symbols("alpha beta m b", positive=True)
V = np.array(sympy.symbols("v_0 v_1", real=True))
SLIP = sympy.Rational(1001, 1000)


_zero = functools.partial(vanishing, route="algebra")


def _loss(degree: int = 2):
    """A loss whose derivatives at 0, up to the degree, are symbols."""
    return symbols_like(taylor_polynomial(2, degree))


def _along(function, flow, y):
    """The derivative of a function of the state along a flow, at t = 0."""
    return jax.jvp(function, (y,), (flow.vector_field(0.0, y),))[1]


# Two forms of one system.


@claim(
    "inertial.without-hessian",
    title="The inertial-Newton system in (x, ψ) needs no Hessian and is the same",
    source=inertial_newton("the system of first order; the mass is worked in here"),
    statement=r"\psi = (m-\alpha\beta)x - \beta m\dot x - \beta^2\nabla f(x):\quad"
    r" m\ddot x + \alpha\dot x + \beta\nabla^2\!f\,\dot x + \nabla f = 0 \iff"
    r" m\dot x = -\bigl(\alpha-\tfrac m\beta\bigr)x - \tfrac1\beta\psi"
    r" - \beta\nabla f,\ \dot\psi = m\dot x + \beta\nabla f",
    hypotheses=(r"$f$ twice differentiable", r"$m, \beta > 0$"),
    grade="proved",
)
def without_hessian(ctx: Context) -> Iterator[Evidence]:
    """Both fields traced: d(x, ψ)/dt by the chain rule, and back to x'."""
    yield _forms()


def _forms(slip: Any = 1) -> Evidence:
    def gaps(f, alpha, beta, m, v, slip):
        first = InertialNewtonPsiFlow(f, alpha, beta, m)
        y = PhaseState(jnp.zeros(2), v)
        second = InertialNewtonFlow(f, alpha, slip * beta, m)
        moved = _along(first.from_phase, second, y)
        state = first.from_phase(y)
        field, back = first.vector_field(0.0, state), first.to_phase(state)
        pairs = zip((*moved, *back), (*field, *y), strict=True)
        return jnp.stack([a - b for a, b in pairs])

    found = exactly(gaps, _loss(), ALPHA, BETA, MASS, V, slip)
    return _zero(found, "field of (x, ψ), and back")


@without_hessian.control("Hessian damping β(1 + 1/1000) in the second-order form")
def _(ctx: Context) -> Evidence:
    return _forms(SLIP)


# αβ = m: gradient flow behind a transient, whatever the loss.


def _transient(flow, beta, y):
    """W = m x' + β∇f."""
    mass = flow.coefficients(0.0).mass
    return mass * y.velocity + beta * flow.objective.gradient(y.position)


def _factorised(ratio: Any = 1) -> Evidence:
    def gap(f, beta, m, v, ratio):
        flow = InertialNewtonFlow(f, ratio * m / beta, beta, m)
        y = PhaseState(jnp.zeros(2), v)
        slope = _along(lambda y: _transient(flow, beta, y), flow, y)
        return slope + _transient(flow, beta, y) / beta

    return _zero(exactly(gap, _loss(), BETA, MASS, V, ratio), "w' + w/β")


@claim(
    "inertial.gradient-flow-inside",
    title="Where αβ = m, inertial Newton is gradient flow behind a decaying transient",
    source=DIN,
    statement=r"\alpha\beta = m:\quad m\,\dot x + \beta\nabla f(x) = e^{-t/\beta}"
    r"\bigl(m\,\dot x(0) + \beta\nabla f(x(0))\bigr)",
    hypotheses=(
        r"$f$ twice differentiable, convex or not",
        r"constant $\alpha, \beta, m > 0$, $\alpha\beta = m$",
        r"$\nabla f$ unscaled ($b = 1$)",
    ),
    grade="proved",
    delta=1e-6,
    unit="W(t)/(e^{-t/β} W(0)), no unit",
)
def gradient_flow_inside(ctx: Context) -> Evidence:
    """W' = -W/β from the traced field, β, m, v, ∇f and ∇²f symbols."""
    return _factorised()


@gradient_flow_inside.control("αβ = m (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _factorised(SLIP)


@gradient_flow_inside.route("along a solution between two wells", grade="measured")
def _(ctx: Context) -> Evidence:
    return _solved_transient(alpha=2.0, beta=0.5)


def _solved_transient(alpha: float, beta: float) -> Evidence:
    """First entry of W at t = 2 over e^{-2/β} W(0), from v = -∇f, m = 1."""
    flow = InertialNewtonFlow(saddle_between_wells(), alpha, beta)
    x = jnp.array([0.3, 1.5])
    start = PhaseState(x, -flow.objective.gradient(x))

    def ratio(tolerance):
        run = reference(flow, start, [2.0], tolerance=tolerance)
        last = PhaseState(*(a[-1] for a in run.states))
        w, w0 = (_transient(flow, beta, y)[0] for y in (last, start))
        return float(w / w0) * np.exp(2.0 / beta)

    measured = decide.ladder([ratio(t) for t in (1e-7, 1e-9, 1e-11)])
    return decide.equal(1, measured, delta=1e-6, route="solved")


# The Newton flow.


def _newton(friction: Any = 0) -> Evidence:
    def gap(f, beta, alpha):
        flow, x = levenberg_marquardt_flow(f, alpha, beta), jnp.zeros(2)
        return beta * _along(f.gradient, flow, x) + f.gradient(x)

    found = exactly(gap, _loss(), BETA, sympy.sympify(friction))
    return _zero(found, "β d(∇f)/dt + ∇f")


@claim(
    "inertial.newton-flow-gradient",
    title="Along the Newton flow the gradient shrinks to 0 without turning",
    source=NEWTON,
    statement=r"\beta\,\nabla^2\!f(x)\,\dot x = -\nabla f(x)\ \Rightarrow\ "
    r"\nabla f(x(t)) = e^{-t/\beta}\,\nabla f(x(0))",
    hypotheses=(r"$\nabla^2 f$ invertible along the path, of any signature",),
    grade="proved",
    delta=1e-6,
    unit="∇f(x(t))/(e^{-t/β}∇f(x(0))), no unit",
)
def newton_flow_gradient(ctx: Context) -> Evidence:
    """The chain rule on the traced field, two variables, every derivative a symbol."""
    return _newton()


@newton_flow_gradient.control("α = β/1000 beside the Hessian")
def _(ctx: Context) -> Evidence:
    return _newton(BETA / 1000)


@newton_flow_gradient.route("along a solution", grade="measured")
def _(ctx: Context) -> Evidence:
    return _solved_gradient()


def _solved_gradient() -> Evidence:
    """|∇f| at t = 3 over e^{-3} |∇f(x(0))|, β = 1, on the ridged logistic loss."""
    f, x = ridged_logistic(), jnp.array([2.0, -1.5, 1.0])
    flow = levenberg_marquardt_flow(f, 0.0)

    def ratio(tolerance):
        last = reference(flow, x, [3.0], tolerance=tolerance).positions[-1]
        sizes = (jnp.linalg.norm(f.gradient(z)) for z in (jnp.asarray(last), x))
        return float(next(sizes) / next(sizes)) * np.exp(3.0)

    measured = decide.ladder([ratio(t) for t in (1e-7, 1e-9, 1e-11)])
    return decide.equal(1, measured, delta=1e-6, route="solved")


# Explicit and implicit Hessian damping.


def _lookahead(factor: Any = 1) -> Iterator[Evidence]:
    """The field with implicit damping less the explicit one, in powers of β."""

    def gap(f, alpha, beta, m, b, v, factor):
        y = PhaseState(jnp.zeros(2), v)
        one = ImplicitHessianFlow(f, alpha, beta, m, b)
        other = InertialNewtonFlow(f, alpha, factor * b * beta, m, b)
        fields = (flow.vector_field(0.0, y).velocity for flow in (one, other))
        bend = b * beta**2 / (2 * m) * f.third(y.position, v, v)
        return next(fields) - next(fields) + bend

    def found(degree):
        numbers = ALPHA, BETA, MASS, FORCE, V, factor
        return exactly(gap, _loss(degree), *numbers)

    yield _zero(found(2), "the same on quadratics")
    lowest = [sympy.expand(e).coeff(BETA, k) for e in found(4) for k in (0, 1, 2)]
    yield _zero(lowest, "difference + bβ²/2m ∇³f[v, v], to O(β³)")


@claim(
    "inertial.implicit-hessian",
    title="Implicit Hessian damping is the explicit one up to the square of β",
    source=hessian_damping("both systems; the constant of the difference derived here"),
    statement=r"\ddot x_{\rm impl} - \ddot x_{\rm expl} = -\tfrac{b\beta^2}{2m}"
    r"\nabla^3\!f(x)[\dot x, \dot x] + O(\beta^3)\ \text{at equal } (x, \dot x);"
    r"\quad \text{equal on quadratics}",
    hypotheses=(r"$f$ four times differentiable", "constant coefficients"),
    grade="proved",
)
def implicit_hessian(ctx: Context) -> Iterator[Evidence]:
    """Both fields traced, on quadratics and on a generic loss to fourth order."""
    yield from _lookahead()


@implicit_hessian.control("explicit damping bβ(1 + 1/1000)")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _lookahead(SLIP)


@claim(
    "inertial.implicit-hessian-distance",
    title="Solutions with implicit and with explicit Hessian damping are O(β²) apart",
    source=hessian_damping("both systems; the order derived here"),
    statement=r"\ddot x + \tfrac3t\dot x + \nabla f(x+\beta\dot x) = 0\ \text{and}\ "
    r"\ddot x + \tfrac3t\dot x + \beta\nabla^2\!f(x)\dot x + \nabla f(x) = 0:\quad"
    r"\sup_{1\le t\le20}|x_{\rm impl} - x_{\rm expl}| = O(\beta^2)",
    hypotheses=(r"$f$ three times differentiable", "a finite time"),
    grade="measured",
    delta=0.75,
    full_only=True,
    unit="order in β (time unit: 1/√curvature)",
)
def implicit_hessian_distance(ctx: Context) -> Evidence:
    """Friction 3/t, on the ridged logistic loss, from rest."""
    return _distances(1.0)


@implicit_hessian_distance.control("no damping beside the implicit one", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _distances(0.0)


def _fading(t):
    return 3 / t


def _distances(factor: float) -> Evidence:
    """Sup over t in [1, 20] of the distance, on the ridged logistic loss."""
    f, rest = ridged_logistic(), jnp.zeros(3)
    betas = 0.2 * 0.5 ** np.arange(6)
    start = PhaseState(jnp.array([2.0, -1.5, 1.0]), rest)

    def path(flow):
        run = solve(
            flow,
            start,
            1.0,
            20.0,
            solver=diffrax.Dopri8(),
            stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-12),
        )
        return np.asarray(run.positions)

    errors = []
    for beta in betas:
        one = path(ImplicitHessianFlow(f, _fading, beta))
        other = path(InertialNewtonFlow(f, _fading, factor * beta))
        errors.append(np.max(np.linalg.norm(one - other, axis=1)))
    return decide.order(2, betas, errors, floor=1e-11, route="solved")
