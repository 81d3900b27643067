"""Momentum methods beside their modified flows: terms, slips, orders."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import (
    NESTEROV,
    ModifiedMomentumFlow,
    convergence,
    momentum_modified,
    momentum_slip,
)
from discretize.series import coefficients
from flows import GradientFlow, ModifiedHeavyBallFlow
from flows.problems import quadratic, taylor_polynomial, wavy
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import vanishing

GHOSH = Source(
    title="Implicit regularization in Heavy-ball momentum accelerated stochastic "
    "gradient descent",
    authors="Avrajit Ghosh, He Lyu, Xitong Zhang and Rongrong Wang",
    year=2023,
    arxiv="2302.00849",
    location="modified loss of heavy ball; orders, slips and Nesterov derived here",
)
HAIRER = Source(
    title="Geometric Numerical Integration",
    authors="Ernst Hairer, Christian Lubich and Gerhard Wanner",
    year=2006,
    location="2nd edition, chapter XV; the slips are derived here",
)

H = sympy.Symbol("h", positive=True)
BETA = 1 / (1 + sympy.Symbol("r", positive=True))
LAM = sympy.Symbol("lambda", positive=True)


# The regulariser, from the recursion itself.


@claim(
    "gradient_flow.heavy-ball-regulariser",
    title="At equal effective step heavy ball regularises (1+β)/(1-β) times as much",
    source=GHOSH,
    statement=r"\dot y = -\nabla\Bigl[\tfrac{f}{1-\beta}"
    r" + \tfrac{h(1+\beta)}{4(1-\beta)^3}|\nabla f|^2\Bigr];\quad"
    r" \text{in time } s = t/(1-\beta),\ h_e = \tfrac{h}{1-\beta}:\quad"
    r" f + \tfrac{h_e}{4}\,\tfrac{1+\beta}{1-\beta}\,|\nabla f|^2",
    hypotheses=(
        r"$f$ smooth; two variables, a generic Taylor polynomial at the point",
        r"$0 \le \beta < 1$",
    ),
    grade="proved",
)
def heavy_ball_regulariser(ctx: Context) -> Iterator[Evidence]:
    """The flow put into the recursion, and beside gradient descent's at h_e."""
    yield _recursion(1)
    yield vanishing(
        exactly(_ratio, _loss(), H, BETA, (1 + BETA) / (1 - BETA)), "(1+β)/(1-β)"
    )


def _loss():
    return symbols_like(taylor_polynomial(2, 3))


def _recursion(factor) -> Evidence:
    """y(h) - y - β (y - y(-h)) + h ∇f(y) has no terms in h and h²."""

    def expansion(f, h, beta):
        # F is F₁ + h F₂; y(±h) = y ± h F + (h²/2) F'F + O(h³)
        flow, x = ModifiedHeavyBallFlow(f, h * factor, beta), jnp.zeros(2)
        field, bend = jax.jvp(
            lambda z: flow.vector_field(0.0, z), (x,), (flow.vector_field(0.0, x),)
        )
        return (1 - beta) * field + (1 + beta) / 2 * h * bend + f.gradient(x)

    found = exactly(expansion, _loss(), H, BETA)
    lowest = [sympy.expand(e).coeff(H, k) for e in found for k in (0, 1)]
    return vanishing(lowest, "residual of the recursion to O(h³)")


def _ratio(f, h, beta, ratio):
    """Heavy ball's field in time t/(1-β), less gradient descent's at ratio · h_e."""
    x, effective = jnp.zeros(2), h / (1 - beta)
    heavy = ModifiedHeavyBallFlow(f, h, beta).vector_field(0.0, x)
    plain = ModifiedHeavyBallFlow(f, effective * ratio, 0 * beta)
    return (1 - beta) * heavy - plain.vector_field(0.0, x)


@heavy_ball_regulariser.control("the regulariser of gradient descent at h_e")
def _(ctx: Context) -> Evidence:
    return vanishing(exactly(_ratio, _loss(), H, BETA, sympy.Integer(1)), "ratio 1")


@heavy_ball_regulariser.control("η(1 + 1/1000) in the recursion's flow")
def _(ctx: Context) -> Evidence:
    return _recursion(1.001)


# The slip of the start, from the exact solution on a quadratic.


def _slow_amplitude(nesterov: bool) -> list[Any]:
    """The amplitude A of the slow root, x_k = A r₊^k + B r₋^k, x₀ = 1, v₋₁ = 0.

    Its coefficients of 1, h and h².
    """
    q = sympy.Symbol("q", positive=True)  # 1 - β, so that roots of q² are q
    beta = 1 - q
    shrink = 1 - H * LAM
    trace = (1 + beta) * shrink if nesterov else 1 + beta - H * LAM
    product = beta * shrink if nesterov else beta
    root = sympy.sqrt(sympy.expand(trace**2 - 4 * product))
    plus, minus = (trace + root) / 2, (trace - root) / 2
    before = 1 / shrink if nesterov else sympy.Integer(1)  # x₋₁
    amplitude = (before - 1 / minus) / (1 / plus - 1 / minus)
    return [c.subs(q, 1 - BETA) for c in coefficients(amplitude, H, 2)]


@claim(
    "gradient_flow.momentum-slip",
    title="Where the shadow orbit of a momentum method starts, to second order",
    source=HAIRER,
    statement=r"y_0 = x_0 + \tfrac{h\kappa}{(1-\beta)^2}\nabla f"
    r" + \tfrac{h^2\kappa(2+\kappa)}{(1-\beta)^4}\nabla^2\!f\,\nabla f + O(h^3),\quad"
    r" \kappa = \beta\ \text{(heavy ball)},\ \beta^2\ \text{(Nesterov)}",
    hypotheses=(r"$f = \lambda x^2/2$", r"$0 < \beta < 1$", "velocity 0 at the start"),
    grade="proved",
)
def slip_claim(ctx: Context) -> Iterator[Evidence]:
    """The traced slip against the slow root's amplitude, β and λ symbols."""
    yield _slip(nesterov=False)
    yield _slip(nesterov=True)


def _slip(nesterov: bool, **bent: Any) -> Evidence:
    options = {"order": 2, "nesterov": nesterov, **bent}

    def start(h, beta, lam):
        objective = dataclasses.replace(quadratic([1.0]), matrix=jnp.reshape(lam, (1,)))
        return momentum_slip(GradientFlow(objective), h, beta, jnp.ones(1), **options)

    slip = sympy.expand(exactly(start, H, BETA, LAM)[0])
    gaps = [c - slip.coeff(H, k) for k, c in enumerate(_slow_amplitude(nesterov))]
    kind = "Nesterov" if nesterov else "heavy ball"
    return vanishing(gaps, f"amplitude - slip, {kind}")


@slip_claim.control("the slip of first order alone")
def _(ctx: Context) -> Evidence:
    return _slip(nesterov=False, order=1)


# Orders at a fixed time.

RATES = 0.02 * 0.5 ** np.arange(6)


def _ladder(row, claimed: int, slip: dict | None = None) -> Evidence:
    def start(flow, hyper, x):
        eta, beta = hyper["learning_rate"], hyper["momentum"]
        return 0.0, momentum_slip(flow.flow, eta, beta, x, **(slip or {}))

    ladder = convergence(
        row,
        wavy(),
        jnp.array([1.2, 0.8]),
        learning_rates=RATES,
        t1=2.0,
        norm="end",
        flow_start=start if slip else None,
        momentum=0.5,
    )
    return decide.order(claimed, RATES, ladder.errors, floor=ladder.floor)


@claim(
    "gradient_flow.nesterov-slip",
    title="Nesterov's momentum follows its modified flow from a slipped start, order 2",
    source=HAIRER,
    statement=r"x_{T/h} - y(T) = O(h^2),\quad"
    r" \dot y = -\tfrac{\nabla f}{1-\beta}"
    r" - \tfrac{h(1-\beta+2\beta^2)}{2(1-\beta)^3}\nabla^2\!f\,\nabla f,\quad"
    r" y(0) = x_0 + \tfrac{h\beta^2}{(1-\beta)^2}\nabla f(x_0)",
    hypotheses=(
        r"$h\lambda_{\max} \ll (1-\beta)^2$",
        "velocity 0 at the start (optax.sgd with nesterov=True)",
    ),
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def nesterov_slip(ctx: Context) -> Evidence:
    """The error at T = 2, β = 1/2, on a smooth loss in two dimensions."""
    return _ladder(NESTEROV, 2)


@nesterov_slip.control("heavy ball's slip", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _ladder(NESTEROV, 2, {"order": 1, "nesterov": False})


def _heavy_regulariser(objective, hyper):
    """Nesterov's flow with heavy ball's second term."""
    return ModifiedMomentumFlow(
        GradientFlow(objective), hyper["learning_rate"], hyper["momentum"], 2
    )


@nesterov_slip.control("heavy ball's regulariser", expected=1.0)
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(NESTEROV, dynamics=_heavy_regulariser)
    return _ladder(row, 2)


@claim(
    "gradient_flow.heavy-ball-third-order",
    title="Three terms and the second-order slip give heavy ball's orbit to order 3",
    source=HAIRER,
    statement=r"x_{T/h} - y(T) = O(h^3),\quad \dot y = F_1 + hF_2 + h^2F_3,\quad"
    r" F = \sum_k\mu_k h^k D_F^k f,\ \sum_k\mu_k z^k ="
    r" \frac{z}{e^z - 1 - \beta(1 - e^{-z})}",
    hypotheses=(
        r"$h\lambda_{\max} \ll (1-\beta)^2$",
        r"velocity 0 at the start (optax.sgd with momentum)",
    ),
    grade="measured",
    delta=0.75,
    full_only=True,
    unit="order in h (time unit: 1/curvature)",
)
def heavy_ball_third(ctx: Context) -> Evidence:
    """The error at T = 2, β = 1/2, on a smooth loss in two dimensions."""
    return _ladder(momentum_modified(3), 3)


@heavy_ball_third.control("the slip of first order", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _ladder(momentum_modified(3), 3, {"order": 1})


@heavy_ball_third.control("two terms", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _ladder(momentum_modified(2), 3, {"order": 2})
