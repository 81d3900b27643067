"""INNA and momentum beside their flows and their modified flows: the orders."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import (
    INNA,
    MODIFIED_HEAVY_BALL,
    MODIFIED_NESTEROV,
    Correspondence,
    Euler,
    Ladder,
    ModifiedFlow,
    modified_inertial_newton,
    modified_start,
)
from flows import (
    InertialNewtonPsiFlow,
    PhaseState,
    at_rest,
)
from flows.problems import saddle_between_wells
from flows.symbolic import exactly, symbol_vector
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.momentum_steps import Slope
from proofs_check.papers import high_resolution, inertial_newton
from proofs_check.step_ladders import ladder, order

SHI = high_resolution("high-resolution flows; this one, at fixed friction, is derived")
ALPHA = 0.7
SADDLE_START = jnp.array([0.3, 1.5])


# INNA at fixed (α, β).


@claim(
    "inertial.inna-order",
    title="INNA follows the inertial-Newton flow to order 1 in its learning rate",
    source=inertial_newton("the algorithm as a discretisation; order measured here"),
    statement=r"x_{T/\gamma} - x(T) = O(\gamma),\quad \ddot x + \alpha\dot x +"
    r" \beta\nabla^2\!f\,\dot x + \nabla f = 0,\ \dot x(0) = -\beta\nabla f(x_0)",
    hypotheses=(r"$f$ smooth", r"$\alpha, \beta$ fixed as $\gamma \to 0$"),
    grade="measured",
    delta=0.75,
    unit="order in γ",
)
def inna_order(ctx: Context) -> Evidence:
    """The error at T = 4 from beside a saddle, α = 1/2, β = 0.3."""
    return order(1, _inna_ladder(ctx))


def _inna_ladder(ctx: Context, row: Correspondence = INNA, start=None) -> Ladder:
    rates = 0.04 * 0.5 ** np.arange(ctx.choose(5, 7))
    problem = (saddle_between_wells(), SADDLE_START)
    return ladder(ctx, row, rates, start=start, problem=problem, alpha=0.5, beta=0.3)


@inna_order.control("the flow started at the velocity -∇f", expected=0.0)
def _(ctx: Context) -> Evidence:
    def start(flow, hyper, x):
        speed = -flow.objective.gradient(x)
        return 0.0, flow.from_phase(PhaseState(x, speed))

    return order(1, _inna_ladder(ctx, start=start))


# The modified flow: what the recursion leaves of it.

GAMMA, FRICTION, RATIO, DAMPING = sympy.symbols("gamma alpha b beta", positive=True)


def _residual(gamma, friction, damping, flow, v) -> Any:
    """The recursion without ψ over γ², with x(±γ) put in, but for terms O(γ²).

    Derivatives along the flow at x = 0 and velocity v, by forward mode.
    """

    def along(function):
        def derived(y):
            return jax.jvp(function, (y,), (flow.vector_field(0.0, y),))[1]

        return derived

    y = PhaseState(jnp.zeros_like(v), v)
    slope = along(lambda y: flow.objective.gradient(y.position))
    acceleration = flow.vector_field(0.0, y).velocity
    return (
        acceleration
        + friction * (v - gamma / 2 * acceleration)
        + damping * (slope(y) - gamma / 2 * along(slope)(y))
        + flow.objective.gradient(y.position)
        - gamma * slope(y)
    )


def _lowest(expressions: Any, count: int, name: str) -> Evidence:
    """Whether the coefficients of γ⁰, ..., γ^{count-1} vanish."""
    found = []
    for e in np.ravel(np.asarray(expressions, dtype=object)):
        for k in range(count):
            found.append(e.diff(GAMMA, k).subs(GAMMA, 0) if k else e.subs(GAMMA, 0))
    zero = np.zeros(len(found), int).astype(object)
    return identical(np.array(found, dtype=object), zero, name)


def _local(slope, bend) -> Slope:
    """A loss with any gradient and any Hessian at 0; what is left sees no more of f."""
    return Slope(None, slope, bend, jnp.zeros(2))


G = symbol_vector("g", 2)
HESSIAN = np.array(sympy.symbols("H_0 H_1 H_1 H_2", real=True)).reshape(2, 2)


def _recursion(damping: Any, mass_factor: Any = 1) -> Evidence:
    def left(slope, bend, gamma, friction, damping, factor, v):
        f = _local(slope, bend)
        flow = modified_inertial_newton(f, gamma, friction, damping)
        mass = 1 - factor * friction * gamma / 2
        flow = dataclasses.replace(flow, mass=mass)
        return _residual(gamma, friction, damping, flow, v)

    numbers = (GAMMA, FRICTION, damping, sympy.sympify(mass_factor))
    found = exactly(left, G, HESSIAN, *numbers, symbol_vector("v", 2))
    return _lowest(found, 2, "recursion = O(γ²)")


@claim(
    "inertial.modified-flow",
    title="With β of order γ the recursion holds along the modified flow to order 2",
    source=SHI,
    statement=r"\bigl(1-\tfrac{\alpha\gamma}2\bigr)\ddot x + \alpha\dot x +"
    r" (\beta-\gamma)\nabla^2\!f\,\dot x + \nabla f = 0,\quad \dot x(0) ="
    r" -\beta\nabla f - \tfrac\gamma2\ddot x(0),\quad \beta = b\gamma",
    hypotheses=(
        r"$f$ smooth",
        r"$b = 1$: heavy ball; $b = 2 - \alpha\gamma$: Nesterov's momentum",
    ),
    grade="proved",
)
def modified_flow(ctx: Context) -> Iterator[Evidence]:
    """The package's flow traced, with any gradient and Hessian in two coordinates.

    The two-step recursion is divided by γ², so its solution over a fixed time differs
    from the flow by what is left here.
    """
    yield _recursion(RATIO * GAMMA)
    yield _first_step(RATIO * GAMMA)


def _first_step(damping: Any) -> Evidence:
    """x(γ) - x(0) + γβ∇f, to O(γ³), from the matched velocity."""

    def left(slope, bend, gamma, friction, damping):
        f, x = _local(slope, bend), jnp.zeros(2)
        flow = modified_inertial_newton(f, gamma, friction, damping)
        y = modified_start(f, x, gamma, friction, damping)
        acceleration = flow.vector_field(0.0, y).velocity
        step = gamma * y.velocity + gamma**2 / 2 * acceleration
        return step + gamma * damping * f.gradient(x)

    found = exactly(left, G, HESSIAN, GAMMA, FRICTION, damping)
    return _lowest(found, 3, "first step = O(γ³)")


@modified_flow.control("the mass 1")
def _(ctx: Context) -> Evidence:
    return _recursion(RATIO * GAMMA, 0)


@modified_flow.control("β fixed, where the term -(βγ/2) d²∇f/dt² is missing")
def _(ctx: Context) -> Evidence:
    return _recursion(DAMPING)


# The modified flow over a fixed time.


def _steps(row: Correspondence, ctx: Context, **options: Any) -> Ladder:
    # beside Nesterov's momentum the slopes of 0.05, 0.025, ... settle only later
    steps = ctx.choose(0.025, 0.05) * 0.5 ** np.arange(ctx.choose(5, 6))
    norm = ctx.choose("end", "sup")
    return ladder(ctx, row, steps, norm=norm, friction=ALPHA, **options)


@claim(
    "inertial.modified-order",
    title="Momentum follows its modified inertial flow to order 2 in √η",
    source=SHI,
    statement=r"\eta = \gamma^2,\ m = 1-\alpha\gamma:\quad x_{T/\gamma} - x(T) ="
    r" O(\gamma^2),\quad \bigl(1-\tfrac{\alpha\gamma}2\bigr)\ddot x + \alpha\dot x +"
    r" c\,\nabla^2\!f\,\dot x + \nabla f = 0,\quad c = 0\ \text{(heavy ball)},\ "
    r"m\gamma\ \text{(Nesterov)}",
    hypotheses=(r"$\alpha$ fixed as $\gamma \to 0$", "the matched initial velocity"),
    grade="measured",
    delta=0.75,
    unit="order in γ = √η",
)
def modified_order(ctx: Context) -> Iterator[Evidence]:
    """Errors at T = 4 (full effort: over all steps), ridged logistic loss, α = 0.7."""
    yield order(2, _steps(MODIFIED_HEAVY_BALL, ctx))
    yield order(2, _steps(MODIFIED_NESTEROV, ctx))


@modified_order.control("Nesterov's momentum, heavy ball's flow", expected=1.0)
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(MODIFIED_NESTEROV, dynamics=MODIFIED_HEAVY_BALL.dynamics)
    return order(2, _steps(row, ctx))


@modified_order.control("a start at rest", expected=1.0)
def _(ctx: Context) -> Evidence:
    def rest(flow, hyper, x):
        return 0.0, at_rest(x)

    return order(2, _steps(MODIFIED_HEAVY_BALL, ctx, start=rest))


def _two_terms(objective, hyper):
    flow = InertialNewtonPsiFlow(objective, hyper["alpha"], hyper["beta"])
    return ModifiedFlow(flow, Euler(), hyper["learning_rate"], 2)


@claim(
    "inertial.inna-modified-order",
    title="At fixed β INNA follows Euler's modified flow in (x, ψ) to order 2",
    source=inertial_newton("the algorithm; its modified flow is derived here"),
    statement=r"x_{T/\gamma} - x(T) = O(\gamma^2),\quad \dot y = F -"
    r" \tfrac\gamma2 F'F,\ y = (x, \psi)",
    hypotheses=(r"$f$ smooth", r"$\alpha, \beta$ fixed as $\gamma \to 0$"),
    grade="measured",
    delta=0.75,
    full_only=True,
    unit="order in γ",
)
def inna_modified_order(ctx: Context) -> Evidence:
    """The error at T = 4 from beside a saddle, α = 1/2, β = 0.3."""
    row = dataclasses.replace(
        INNA,
        dynamics=_two_terms,
        scheme=None,
        start=lambda flow, hyper, x: INNA.start(flow.flow, hyper, x),
    )
    return order(2, _inna_ladder(ctx, row))


@inna_modified_order.control("mass 1 - αγ/2 and damping β - γ alone", expected=1.0)
def _(ctx: Context) -> Evidence:
    def point(hyper):
        return tuple(hyper[name] for name in ("learning_rate", "alpha", "beta"))

    row = dataclasses.replace(
        INNA,
        dynamics=lambda objective, hyper: modified_inertial_newton(
            objective, *point(hyper)
        ),
        scheme=None,
        start=lambda flow, hyper, x: (
            0.0,
            modified_start(flow.objective, x, *point(hyper)),
        ),
    )
    return order(2, _inna_ladder(ctx, row))
