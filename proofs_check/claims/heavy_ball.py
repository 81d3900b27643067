"""Heavy ball beside its modified flow, with the initial slip."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from discretize import HEAVY_BALL, convergence
from flows import ModifiedHeavyBallFlow
from flows.problems import quadratic, wavy
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

GHOSH = Source(
    title="Implicit regularization in Heavy-ball momentum accelerated stochastic "
    "gradient descent",
    authors="Avrajit Ghosh, He Lyu, Xitong Zhang and Rongrong Wang",
    year=2023,
    arxiv="2302.00849",
    location="modified loss; the slip is derived here",
)


@claim(
    "gradient_flow.heavy-ball-slip",
    title="Heavy ball follows its modified flow from a slipped start, to order 2",
    source=GHOSH,
    statement=r"x_{T/\eta} - y(T) = O(\eta^2),\quad \dot y = -\nabla\Bigl["
    r"\tfrac{f}{1-\beta} + \tfrac{\eta(1+\beta)}{4(1-\beta)^3}|\nabla f|^2\Bigr],\quad"
    r" y(0) = x_0 + \tfrac{\eta\beta}{(1-\beta)^2}\nabla f(x_0)",
    hypotheses=(
        r"$\eta\lambda_{\max} \ll (1-\beta)^2$",
        r"velocity 0 at the start (optax.sgd with momentum)",
    ),
    grade="measured",
    delta=0.25,
    unit="order in η (time unit: 1/curvature)",
)
def heavy_ball_slip(ctx: Context) -> Evidence:
    """The error at a fixed time, β = 1/2, on a smooth loss in two dimensions."""
    return _ladder(ctx)


def _ladder(ctx: Context, row=HEAVY_BALL, flow_start=None) -> Evidence:
    rates = 0.02 * 0.5 ** np.arange(ctx.choose(6, 8))
    ladder = convergence(
        row,
        wavy(),
        jnp.array([1.2, 0.8]),
        learning_rates=rates,
        t1=2.0,
        norm="end",
        flow_start=flow_start,
        momentum=0.5,
    )
    return decide.order(2, rates, ladder.errors, floor=ladder.floor)


@heavy_ball_slip.control("no slip", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _ladder(ctx, flow_start=lambda flow, hyper, x: (0.0, x))


def _rescaled(objective, hyper):
    """Gradient descent's regulariser carried over: η/(4(1-β)²), without (1+β)/(1-β)."""
    eta, beta = hyper["learning_rate"], hyper["momentum"]
    flow = HEAVY_BALL.dynamics(objective, hyper)
    # The field is linear in η, so a smaller η in it alone gives that regulariser.
    return dataclasses.replace(flow, learning_rate=eta * (1 - beta) / (1 + beta))


@heavy_ball_slip.control("the regulariser of gradient descent, rescaled", expected=1.0)
def _(ctx: Context) -> Evidence:
    def slipped(flow, hyper, x):
        return HEAVY_BALL.start(flow, hyper, x)

    row = dataclasses.replace(HEAVY_BALL, dynamics=_rescaled)
    return _ladder(ctx, row=row, flow_start=slipped)


def _unregularised(objective, hyper):
    """The flow of f/(1-β) alone: the field without its term in η."""
    flow = HEAVY_BALL.dynamics(objective, hyper)
    return dataclasses.replace(flow, learning_rate=0.0)


@heavy_ball_slip.control("the slip without the regulariser", expected=1.0)
def _(ctx: Context) -> Evidence:
    def slipped(flow, hyper, x):
        return HEAVY_BALL.start(flow, hyper, x)

    row = dataclasses.replace(HEAVY_BALL, dynamics=_unregularised)
    return _ladder(ctx, row=row, flow_start=slipped)


@claim(
    "gradient_flow.heavy-ball-rate",
    title="On a quadratic the modified flow has heavy ball's slow root",
    source=GHOSH,
    statement=r"\tfrac1\eta\log r_+ = -\frac{\lambda}{1-\beta}"
    r" - \frac{(1+\beta)\lambda^2}{2(1-\beta)^3}\eta + O(\eta^2),\quad"
    r" r^2 - (1+\beta-\eta\lambda) r + \beta = 0",
    hypotheses=(r"$0 \le \beta < 1$", r"$f = \lambda x^2/2$"),
    grade="proved",
)
def heavy_ball_rate(ctx: Context) -> Evidence:
    """The rate of the traced field against the root's expansion, β and λ symbols."""
    return _rate(lambda r: r)


def _rate(bend) -> Evidence:
    import sympy

    eta, lam = sympy.symbols("eta lambda", positive=True)
    beta = 1 / (1 + sympy.Symbol("r", positive=True))

    def field(eta, beta, lam):
        objective = dataclasses.replace(quadratic([1.0]), matrix=jnp.reshape(lam, (1,)))
        flow = ModifiedHeavyBallFlow(objective, eta, beta)
        return flow.vector_field(0.0, jnp.ones(1))[0]

    rate = exactly(field, eta, beta, lam)
    # The slow root is 1 at η = 0; its derivatives follow from the equation itself.
    r, b = sympy.Function("r")(eta), beta
    equation = r**2 - (1 + b - eta * lam) * r + b
    values = {eta: 0}
    first = sympy.solve(equation.diff(eta), r.diff(eta))[0]
    second = sympy.solve(equation.diff(eta, 2), r.diff(eta, 2))[0]
    r1 = sympy.simplify(first.subs(r, 1).subs(values))
    r2 = second.subs(r.diff(eta), r1).subs(r, 1).subs(values)
    root = 1 + r1 * eta + r2 * eta**2 / 2
    expansion = sympy.log(root).series(eta, 0, 3).removeO() / eta
    difference = sympy.expand(expansion - bend(rate))
    return identical(difference, sympy.Integer(0), "log(r₊)/η = modified rate + O(η²)")


@heavy_ball_rate.control("coefficient of η multiplied by 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    import sympy

    eta = sympy.Symbol("eta", positive=True)

    def bend(rate):
        slope = rate.diff(eta)
        return rate + slope * eta / 1000

    return _rate(bend)
