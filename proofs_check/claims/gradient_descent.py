"""Gradient descent beside gradient flow: Euler, the error law, the energy."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from discretize import SGD, Correspondence, compare, convergence, prove
from flows import GradientFlow
from flows.problems import digits_mlp, taylor_polynomial
from flows.symbolic import (
    equal_symbolically,
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence

ELKABETZ = Source(
    title="Continuous vs. Discrete Optimization of Deep Neural Networks",
    authors="Omer Elkabetz and Nadav Cohen",
    year=2021,
    arxiv="2107.06608",
    location="gradient descent as a numerical solution of gradient flow",
)


# Gradient descent is explicit Euler on gradient flow.


@claim(
    "gradient_flow.gd-is-euler",
    title="Gradient descent is explicit Euler on gradient flow",
    source=ELKABETZ,
    statement=r"x_{k+1} = x_k - \eta \nabla f(x_k)\ \text{(optax.sgd)}"
    r"\;=\; \text{the explicit Euler step of size } \eta \text{ of } \dot x=-\nabla f",
    hypotheses=(r"$f$ differentiable",),
    grade="proved",
    delta=0.001,
)
def gd_is_euler(ctx: Context) -> Evidence:
    """Both traced for two steps, gradients and learning rate being symbols."""
    return decide.identity(prove(SGD), name="optax.sgd = Euler", route="traced")


@gd_is_euler.control("a clock 1/1000 too fast")
def _(ctx: Context) -> Evidence:
    fast = dataclasses.replace(SGD, clock=lambda hyper: 1.001 * hyper["learning_rate"])
    return decide.identity(prove(fast), name="optax.sgd = Euler", route="traced")


def exact_on_digits(
    ctx: Context, row: Correspondence, rate: float, wrong: float = 1.0, **hyper: float
) -> Evidence:
    """Distance of optax and scheme on digits, against rounding and a moved constant.

    Rounding: ten times the largest change when the start moves by one unit in the last
    place in 8 random directions. The moved run: the scheme at η (1 + delta).

    Args:
        ctx: the context.
        row: a row of the table that names a scheme.
        rate: η.
        wrong: factor on the scheme's η (a control's 1.001).
        hyper: further hyperparameters.
    """
    objective, params = ctx.compiled("digits", lambda: digits_mlp(rows=300, hidden=8))
    steps = ctx.choose(300, 1000)

    def run(start, eta):
        pairing = row(learning_rate=eta, **hyper)
        found = compare(
            objective, pairing, start, steps=steps, flow=False, check_sharpness=False
        )
        assert found.scheme is not None  # the row names one
        return found.positions, np.asarray(found.scheme.positions)

    optimiser, scheme = run(params, rate)
    rng = ctx.rng("ulp")
    x = np.asarray(objective.ravel(params))
    changes = []
    for _ in range(8):
        signs = rng.choice([-1.0, 1.0], x.size)
        nudged, _ = run(objective.params(jnp.asarray(np.nextafter(x, x + signs))), rate)
        changes.append(decide.relative_distance(nudged, optimiser).max())
    _, moved = run(params, rate * (1 + ctx.delta))
    if wrong != 1.0:
        _, scheme = run(params, rate * wrong)
    return decide.exact(
        decide.relative_distance(optimiser, scheme),
        rounding=decide.rounding_allowance(changes),
        moved=float(decide.relative_distance(optimiser, moved).max()),
        delta=ctx.delta,
        note=f"{steps} steps, {x.size} parameters, η = {rate:g}",
        data={
            "x": np.arange(steps + 1),
            "series": {"optax": optimiser[:, 0], "scheme": scheme[:, 0]},
            "xlabel": "step",
            "ylabel": "first weight",
        },
    )


@gd_is_euler.route("digits", grade="measured")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, SGD, 0.05)


@gd_is_euler.control("digits, Euler with η (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, SGD, 0.05, wrong=1.001)


# The first-order law of the error.


def first_order_coefficient(objective, x0, t1: float) -> np.ndarray:
    """c(t1) of c' = -H c - ½ H g, c(0) = 0, integrated beside gradient flow."""
    import diffrax

    def field(t, y, objective):
        x, c = y
        g = objective.gradient(x)
        return -g, -objective.hvp(x, c) - 0.5 * objective.hvp(x, g)

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Dopri8(),
        0.0,
        t1,
        None,
        (x0, jnp.zeros_like(x0)),
        args=objective,
        stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-12),
        max_steps=100_000,
    )
    (_, c) = jax.tree.map(lambda a: a[-1], found.ys)
    return np.asarray(c)


def linear_net_loss(params, phi):
    """½ |W₂ W₁ - Φ|² (Frobenius), a two-layer linear network."""
    w1, w2 = params
    return 0.5 * jnp.sum((w2 @ w1 - phi) ** 2)


@functools.cache
def _linear_net():
    from flows import from_loss

    rng = np.random.default_rng(3)
    params = tuple(jnp.asarray(0.3 * rng.standard_normal((3, 3))) for _ in range(2))
    phi = np.diag([1.0, 0.6, 0.3])
    loss = functools.partial(linear_net_loss, phi=phi)
    return from_loss(loss, params), params


@claim(
    "gradient_flow.first-order-law",
    title="The error of gradient descent is η c(t), with a known c",
    source=dataclasses.replace(ELKABETZ, location="the law is derived here"),
    statement=r"x_k - x(k\eta) = \eta\, c(k\eta) + O(\eta^2),\quad"
    r"\dot c = -\nabla^2 f\, c - \tfrac12 \nabla^2 f\,\nabla f,\quad c(0)=0",
    hypotheses=(r"$f$ three times continuously differentiable", r"$\eta L < 2$"),
    grade="measured",
    delta=0.02,
    quick_delta=0.05,
    unit="error per η, over |c(T)|",
)
def error_law(ctx: Context) -> Evidence:
    """A two-layer linear network; the leading constant over its prediction."""
    return _error_law(ctx, 1.0)


def _error_law(ctx: Context, factor: float) -> Evidence:
    rates = 0.04 * 0.5 ** np.arange(ctx.choose(5, 7))
    objective, params = _linear_net()

    def measure():
        ladder = convergence(
            SGD, objective, params, learning_rates=rates, t1=4.0, norm="end"
        )
        return ladder, first_order_coefficient(objective, objective.ravel(params), 4.0)

    ladder, c = ctx.compiled(("law", len(rates)), measure)
    predicted = factor * float(np.linalg.norm(c))
    return decide.leading_constant(
        1.0,
        rates,
        ladder.errors / predicted,
        1.0,
        delta=ctx.delta,
        floor=ladder.floor / predicted,
    )


@error_law.control("c with coefficient 1 in place of 1/2", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _error_law(ctx, 2.0)


# Real data.


@claim(
    "gradient_flow.digits-order",
    title="On digits, gradient descent is within O(η) of gradient flow",
    source=ELKABETZ,
    statement=r"|x_{T/\eta} - x(T)| = O(\eta)",
    hypotheses=(r"tanh network, square loss", r"$\eta L < 2$ along the path"),
    grade="measured",
    delta=0.25,
    unit="order in η (time unit: 1/curvature)",
)
def digits_order(ctx: Context) -> Evidence:
    """A tanh network on handwritten digits, the error at a fixed time."""
    return _digits(ctx)


def _digits(ctx: Context, flow_start=None) -> Evidence:
    objective, params = ctx.compiled("digits", lambda: digits_mlp(rows=300, hidden=8))
    rates = 0.04 * 0.5 ** np.arange(ctx.choose(6, 8))
    ladder = convergence(
        SGD,
        objective,
        params,
        learning_rates=rates,
        t1=1.0,
        norm="end",
        flow_start=flow_start,
        tolerance=1e-10,
    )
    note = f"{objective.size} parameters, T = 1"
    return decide.order(1, rates, ladder.errors, floor=ladder.floor, note=note)


@digits_order.control("the flow starts elsewhere", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _digits(ctx, lambda flow, hyper, x: (0.0, 1.5 * x))


# Energy.


@claim(
    "gradient_flow.energy",
    title="Gradient flow spends exactly |∇f|²",
    source=ELKABETZ,
    statement=r"\frac{d}{dt} f(x(t)) = -|\nabla f(x(t))|^2",
    hypotheses=(r"$f$ differentiable",),
    grade="proved",
)
def energy(ctx: Context) -> Evidence:
    """L f = -|∇f|² for a generic quartic in two variables, coefficients symbols."""
    return _energy(-1)


def _energy(coefficient) -> Evidence:
    f = symbols_like(taylor_polynomial(2, 4))
    x = symbol_vector("x", 2)

    def rate(f, x):
        return GradientFlow(f).generator(lambda t, x: f.value(x))(0.0, x)

    value = exactly(lambda f, x: f.value(x), f, x)
    claimed = coefficient * sum(value.diff(v) ** 2 for v in x)
    found = equal_symbolically(exactly(rate, f, x), claimed)
    return decide.identity(found, name="L f + |∇f|² = 0")


@energy.control("coefficient 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    import sympy

    return _energy(-1 - sympy.Rational(1, 1000))
