"""Worst cases over all functions of a class, by semidefinite programming."""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training
from flows import Objective, from_loss, iterate
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.lyapunov import MOUCER, SU
from proofs_check.context import Context
from proofs_check.energies import (
    accelerated_pair,
    excess_pair,
    gradient_flow_pair,
    strongly_accelerated_pair,
)
from proofs_check.evidence import Equal, Evidence
from proofs_check.pep import (
    REQUIRES,
    flow_worst_case,
    gradient_descent_worst_case,
)

DRORI = Source(
    title="Performance of first-order methods for smooth convex minimization: "
    "a novel approach",
    authors="Yoel Drori and Marc Teboulle",
    year=2014,
    arxiv="1206.3209",
    location="gradient method with constant step size",
)
SMOOTHNESS = 3.0


# Gradient descent.


def descent_bound(steps: int) -> float:
    """L/(2(2n+1)), for |x_0 - x*| = 1 and learning rate 1/L."""
    return SMOOTHNESS / (2 * (2 * steps + 1))


def _descent(
    steps: int, delta: float, rate: float = 1.0, factor: float = 1
) -> Evidence:
    found = gradient_descent_worst_case(steps, smoothness=SMOOTHNESS, rate=rate)
    claimed = factor * descent_bound(steps)
    return decide.sdp(
        claimed,
        found,
        delta=delta,
        quantity=f"f(x_n) - f*, n = {steps}",
        route="SDP",
    )


@claim(
    "gradient_flow.worst-case-gradient-descent",
    title="The worst case of gradient descent after n steps of 1/L is L/(4n + 2)",
    source=DRORI,
    statement=r"\max_{f,\,x_0} \frac{f(x_n) - f_*}{|x_0-x_*|^2} = \frac{L}{2(2n+1)},"
    r"\qquad x_{k+1} = x_k - \tfrac1L\nabla f(x_k)",
    hypotheses=(r"$f$ convex and $L$-smooth", r"learning rate $1/L$"),
    grade="measured",
    delta=1e-6,
    unit="f per |x|² (L = 3)",
    requires=REQUIRES,
)
def worst_gradient_descent(ctx: Context) -> Iterator[Evidence]:
    """The semidefinite program for n = 1 and 5 (and 20)."""
    for steps in ctx.choose((1, 5), (1, 5, 20)):
        yield _descent(steps, ctx.delta)


@worst_gradient_descent.route("the function that attains it, by optax.sgd")
def _(ctx: Context) -> Iterator[Evidence]:
    """Nearly all of its way lies where the gradient is constant."""
    for steps in (1, 5, 20):
        yield _attained(steps, ctx.delta)


@worst_gradient_descent.control("the constant times 0.99", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _descent(1, ctx.delta, factor=0.99)


@worst_gradient_descent.control(
    "learning rate 1.9/L", expected=SMOOTHNESS / 2 * (1 - 1.9) ** 2
)
def _(ctx: Context) -> Evidence:
    # So long a step magnifies what the solver leaves of the constraints.
    return _descent(1, max(ctx.delta, 1e-5), rate=1.9)


@worst_gradient_descent.control("another function, by optax.sgd", requires=())
def _(ctx: Context) -> Evidence:
    """The corner of the one that attains n = 5, run for n = 1."""
    return _attained(1, ctx.delta, corner_of=5)


def corner(steps: int) -> Objective:
    """L x²/2 up to |x| = 1/(2n+1), and linear beyond, with slope L/(2n+1)."""
    end = 1.0 / (2 * steps + 1)

    def loss(x):
        far = jnp.abs(x[0])
        return SMOOTHNESS * jnp.where(far > end, end * far - end**2 / 2, 0.5 * far**2)

    return from_loss(loss, jnp.zeros(1))


def _sgd(hyper):
    return optax.sgd(hyper["learning_rate"])


def _attained(steps: int, delta: float, corner_of: int | None = None) -> Evidence:
    """f(x_n) of optax.sgd from 1, on the function that attains the worst case."""
    objective = corner(corner_of or steps)
    rate = {"learning_rate": jnp.asarray(1 / SMOOTHNESS)}
    run = iterate(
        OptaxStep(_sgd, rate), Training(objective), jnp.ones(1), h=1.0, steps=steps
    )
    value = float(run.loss[-1])
    rounding = 10 * (steps + 1) * float(np.finfo(float).eps)
    return decide.equal(
        descent_bound(steps),
        decide.Measurement(value, bias=rounding),
        delta=delta,
        quantity=f"f(x_n) - f*, n = {steps}",
        route="optax.sgd",
    )


# Flows, at one time each.


def _gradient_flow(ctx: Context, weight: str, t: float, about: str = "") -> Evidence:
    pair = gradient_flow_pair(sympy.Rational(weight)).at(t=t)
    found = flow_worst_case(pair, "convex")
    quantity = f"dV/dt at t = {t:g}"
    return decide.sdp(0, found, delta=ctx.delta, quantity=quantity, note=about)


@claim(
    "gradient_flow.worst-case-lyapunov",
    title="No convex f lets t(f - f*) + |x - x*|²/2 grow along gradient flow",
    source=MOUCER,
    statement=r"\max_{f,\,x:\,V\le 1} \dot V = 0,\qquad V = t\,(f-f_*) +"
    r" \tfrac12|x-x_*|^2",
    hypotheses=(
        r"$f$ convex",
        r"factor 1 before $t(f-f_*)$",
        r"$t = 5/2$ (in full also $0.1, 1, 40$); all times: see the Lyapunov claim",
    ),
    relation=Equal(0.0, scale=1.0),
    grade="measured",
    delta=1e-6,
    unit="1/time",
    requires=REQUIRES,
)
def worst_lyapunov(ctx: Context) -> Iterator[Evidence]:
    """The largest dV/dt over functions and states, at a few times."""
    for t in ctx.choose((2.5,), (0.1, 1.0, 2.5, 40.0)):
        yield _gradient_flow(ctx, "1", t)


def growth(weight: float, t: float) -> float:
    """The largest dV/dt with factor c >= 1: (√(2c-1) - 1)²/(2ct)."""
    return (math.sqrt(2 * weight - 1) - 1) ** 2 / (2 * weight * t)


@worst_lyapunov.control("factor 1.01", expected=growth(1.01, 2.5))
def _(ctx: Context) -> Evidence:
    return _gradient_flow(ctx, "1.01", 2.5)


@worst_lyapunov.control("factor 3/2", expected=growth(1.5, 2.5))
def _(ctx: Context) -> Evidence:
    return _gradient_flow(ctx, "1.5", 2.5)


def _accelerated(ctx: Context, friction: float, t: float) -> Evidence:
    pair = accelerated_pair().at(friction=friction, t=t)
    quantity = f"dV/dt at r = {friction:g}, t = {t:g}"
    return decide.sdp(
        0, flow_worst_case(pair, "convex"), delta=ctx.delta, quantity=quantity
    )


@claim(
    "gradient_flow.worst-case-accelerated",
    title="No convex f lets the energy of the accelerated flow grow, for r >= 3",
    source=SU,
    statement=r"\max_{f,\,x,\,\dot x:\,V\le 1}\dot V ="
    r" \max\bigl(0, \tfrac{3-r}{t}\bigr),\qquad V = t^2(f-f_*) +"
    r" \tfrac{(r-1)^2}{2}\bigl|x-x_*+\tfrac{t\dot x}{r-1}\bigr|^2",
    hypotheses=(
        r"$f$ convex",
        r"$r \ge 3$; tried: $r = 3$ and $4$, at a few times",
    ),
    relation=Equal(0.0, scale=1.0),
    grade="measured",
    delta=1e-6,
    unit="1/time",
    requires=REQUIRES,
)
def worst_accelerated(ctx: Context) -> Iterator[Evidence]:
    """The largest dV/dt over functions and states, at r = 3 and 4."""
    for friction, t in ctx.choose(((3, 3.4), (4, 1)), ((3, 0.5), (3, 3.4), (4, 1))):
        yield _accelerated(ctx, friction, t)


@worst_accelerated.control("r = 5/2 at t = 1", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _accelerated(ctx, 2.5, 1)


@worst_accelerated.control("r = 2 at t = 1", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _accelerated(ctx, 2, 1)


@worst_accelerated.control("r = 3/2 at t = 2", expected=0.75)
def _(ctx: Context) -> Evidence:
    return _accelerated(ctx, 1.5, 2)


# Rates under strong convexity: the largest dV/dt on V = 1.


def _rate(ctx: Context, pair, claimed: float, convexity: float) -> Evidence:
    found = flow_worst_case(pair, "strongly_convex", normalisation="==", mu=convexity)
    return decide.sdp(claimed, found, delta=ctx.delta, quantity="dV/dt on V = 1")


@claim(
    "gradient_flow.worst-case-strongly-convex",
    title="The worst rate of f - f* along gradient flow is 2μ",
    source=MOUCER,
    statement=r"\max_{f,\,x} \frac{1}{f-f_*}\frac{d}{dt}(f-f_*) = -2\mu",
    hypotheses=(r"$f$ $\mu$-strongly convex",),
    relation=-1.6,
    grade="measured",
    delta=1e-6,
    unit="1/time (μ = 0.8)",
    requires=REQUIRES,
)
def worst_strongly_convex(ctx: Context) -> Evidence:
    """The largest dV/dt over functions and states with V = f - f* = 1."""
    return _rate(ctx, excess_pair(), -1.6, 0.8)


@worst_strongly_convex.control("f convex to half of that", expected=-0.8)
def _(ctx: Context) -> Evidence:
    return _rate(ctx, excess_pair(), -1.6, 0.4)


def _strongly_accelerated(ctx: Context, share: float) -> Evidence:
    """The flow's μ is 4, the functions' is 4 `share`."""
    pair = strongly_accelerated_pair().at(strong_convexity=4)
    return _rate(ctx, pair, -2.0, 4 * share)


@claim(
    "gradient_flow.worst-case-strongly-convex-accelerated",
    title="The worst rate of the strongly convex accelerated flow's energy is √μ",
    source=MOUCER,
    statement=r"\max_{f,\,x,\,\dot x} \frac{\dot V}{V} = -\sqrt\mu,\qquad V = f-f_* +"
    r" \tfrac{\mu}{2}\bigl|x-x_*+\tfrac{\dot x}{\sqrt\mu}\bigr|^2",
    hypotheses=(r"$f$ $\mu$-strongly convex, with the flow's own $\mu$",),
    relation=-2.0,
    grade="measured",
    delta=1e-6,
    unit="1/time (μ = 4)",
    requires=REQUIRES,
)
def worst_strongly_accelerated(ctx: Context) -> Evidence:
    """The largest dV/dt over functions and states with V = 1."""
    return _strongly_accelerated(ctx, 1.0)


def mismatched(share: float) -> float:
    """The rate -√μ (2 - 1/√q) where the functions have the convexity q μ, q <= 1.

    On a quadratic of curvature q μ, in units of √μ, V' + s V <= 0 asks for
    (s(1+q) - 2q)(s - 2) >= (s - 1)², that is q (2 - s)² >= 1.
    """
    return -2.0 * (2 - 1 / math.sqrt(share))


@worst_strongly_accelerated.control("f convex to 0.64 μ", expected=mismatched(0.64))
def _(ctx: Context) -> Evidence:
    return _strongly_accelerated(ctx, 0.64)


@worst_strongly_accelerated.control("f convex to 0.16 μ", expected=mismatched(0.16))
def _(ctx: Context) -> Evidence:
    return _strongly_accelerated(ctx, 0.16)
