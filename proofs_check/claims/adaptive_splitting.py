"""Adam and RMSProp as exact-EMA splittings of their flows."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from discretize import (
    ADAM,
    RMSPROP,
    SCALAR_RMSPROP,
    SemiImplicitEuler,
    Splitting,
    convergence,
    prove,
)
from discretize.schemes import Euler
from flows.problems import wavy
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.gradient_descent import exact_on_digits
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import central_flows

BARAKAT = Source(
    title="Convergence and dynamical behavior of the Adam algorithm for nonconvex "
    "stochastic optimization",
    authors="Anas Barakat and Pascal Bianchi",
    year=2021,
    arxiv="1810.02263",
    location="the flow; that Adam is its splitting is derived here",
)
DA_SILVA = Source(
    title="A general system of differential equations to model first-order adaptive "
    "algorithms",
    authors="André Belotto da Silva and Maxime Gazeau",
    year=2020,
    arxiv="1810.13108",
    location="the system; that RMSProp is its splitting is derived here",
)
COHEN = central_flows("the optimiser; that it is a splitting is derived here")


@claim(
    "spine.adam-is-a-splitting",
    title="Adam is the exact-EMA Lie splitting of its flow",
    source=BARAKAT,
    statement=r"\text{optax.adam} = e^{\eta L_{X}}\circ e^{\eta L_{EMA}},\quad"
    r"\beta_i = e^{-\eta/\tau_i},\quad 1-\beta_i^{k+1} = 1-e^{-t_{k+1}/\tau_i}",
    hypotheses=(r"$0 < \beta_i < 1$", r"$m_0 = v_0 = 0$"),
    grade="proved",
    delta=0.001,
)
def adam(ctx: Context) -> Evidence:
    """Both traced for two steps; η, β, ε, gradients and curvatures are symbols."""
    return decide.identity(prove(ADAM), name="optax.adam = EMA, X", route="traced")


@adam.control("the position moves before the averages")
def _(ctx: Context) -> Evidence:
    # At t = 0 the bias correction is 0/0, so the broken scheme starts one step later.
    late = dataclasses.replace(ADAM, scheme=Splitting("EMA 1/2, X, EMA 1/2"))
    return decide.identity(prove(late), name="optax.adam = EMA, X", route="traced")


@adam.control("averages by Euler instead of exactly")
def _(ctx: Context) -> Evidence:
    order = ("first_moment", "second_moment", "position")
    euler = dataclasses.replace(ADAM, scheme=_AdvancedClock(order))
    return decide.identity(prove(euler), name="optax.adam = EMA, X", route="traced")


class _AdvancedClock(SemiImplicitEuler):
    """Semi-implicit Euler that reads the bias correction at the end of the step."""

    def step(self, dynamics, t, y, h, noise, carry):
        return super().step(dynamics, t + h, y, h, noise, carry)


@adam.route("digits", grade="measured")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, ADAM, 1e-3)


@adam.control("digits, the scheme at η (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, ADAM, 1e-3, wrong=1.001)


@claim(
    "spine.rmsprop-is-a-splitting",
    title="RMSProp is the exact-EMA Lie splitting of its flow, Euler on the position",
    source=DA_SILVA,
    statement=r"\text{optax.rmsprop} = \Phi^{X}_{\eta}\circ e^{\eta L_{EMA}},\quad"
    r"\beta = e^{-\eta/\tau},\quad \Phi^X_\eta\ \text{explicit Euler}",
    hypotheses=(r"$0 < \beta < 1$", r"$\epsilon$ inside the root"),
    grade="proved",
    delta=0.001,
)
def rmsprop(ctx: Context) -> Evidence:
    """Both traced for two steps; η, β, ε, v₀, gradients and curvatures are symbols."""
    return decide.identity(prove(RMSPROP), name="optax.rmsprop = EMA, X")


@rmsprop.control("the old second moment")
def _(ctx: Context) -> Evidence:
    swapped = dataclasses.replace(RMSPROP, scheme=Splitting("X, EMA", inner=Euler()))
    return decide.identity(prove(swapped), name="optax.rmsprop = EMA, X")


# With a small ε the iterates end up oscillating and amplify rounding without bound, so
# nothing could be told apart; ε = 1/100 keeps the step within its stability limit.
@rmsprop.route("digits", grade="measured")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, RMSPROP, 1e-3, eps=0.01)


@rmsprop.control("digits, the scheme at η (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, RMSPROP, 1e-3, wrong=1.001, eps=0.01)


@claim(
    "spine.scalar-rmsprop-is-a-splitting",
    title="Scalar RMSProp is the exact-EMA Lie splitting of its flow",
    source=COHEN,
    statement=r"\nu \leftarrow \beta\nu + (1-\beta)|\nabla f|^2,\quad"
    r" x \leftarrow x - \eta \nabla f/\sqrt{\nu+\epsilon}"
    r"\;=\; \Phi^{X}_{\eta}\circ e^{\eta L_{EMA}}",
    hypotheses=(r"$0 < \beta < 1$",),
    grade="proved",
)
def scalar_rmsprop(ctx: Context) -> Evidence:
    """Both traced for two steps in two coordinates, everything a symbol."""
    return decide.identity(prove(SCALAR_RMSPROP), name="scalar_rmsprop = EMA, X")


@scalar_rmsprop.control("the flow with one second moment a coordinate")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(SCALAR_RMSPROP, dynamics=RMSPROP.dynamics)
    return decide.identity(prove(row), name="scalar_rmsprop = EMA, X")


@claim(
    "spine.rmsprop-order",
    title="RMSProp follows its flow to order 1 from v₀ > 0 (and not from v₀ = 0)",
    source=DA_SILVA,
    statement=r"|x_{T/\eta} - x(T)| = O(\eta)\ \text{ at fixed } \tau > 0,\ v_0 > 0",
    hypotheses=(
        ("$v_0 > 0$", lambda p: p["v0"] > 0),
        r"$\beta = e^{-\eta/\tau}$ with $\tau$ fixed",
    ),
    grade="measured",
    delta=0.25,
    unit="order in η (time unit: 1/curvature)",
    parameters={"v0": 1.0},
)
def rmsprop_order(ctx: Context) -> Evidence:
    """The error at a fixed time and fixed memory, on a smooth loss in the plane."""
    rates = 0.02 * 0.25 ** np.arange(ctx.choose(6, 7))
    ladder = convergence(
        RMSPROP,
        wavy(),
        jnp.array([1.2, 0.8]),
        learning_rates=rates,
        t1=0.5,
        norm="end",
        hyper=lambda eta: {"decay": np.exp(-eta / 0.5)},
        initial_scale=ctx.parameters["v0"],
        tolerance=1e-11,
    )
    note = "two parameters, T = 1/2, τ = 1/2"
    q = 1 if ctx.parameters["v0"] > 0 else 0.5  # half powers where v starts at 0
    return decide.order(1, rates, ladder.errors, floor=ladder.floor, q=q, note=note)


# The velocity is singular like t^(-1/2) at the start, and the order falls to 1/2.
rmsprop_order.control("v₀ = 0", parameters={"v0": 0.0}, expected=0.5)
