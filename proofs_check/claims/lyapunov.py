"""Lyapunov functions of gradient flow and of the accelerated flows, for all times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy

from flows import (
    AcceleratedFlow,
    GradientFlow,
    StronglyConvexAcceleratedFlow,
    accelerated_start,
    at_rest,
)
from proofs_check.certificates import certificate
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.energies import (
    accelerated_energy,
    accelerated_pair,
    excess_energy,
    excess_pair,
    gradient_flow_energy,
    gradient_flow_pair,
    strongly_accelerated_energy,
    strongly_accelerated_pair,
)
from proofs_check.evidence import Evidence
from proofs_check.inequalities import minimal, square, strongly_convex
from proofs_check.trajectories import MU, X0, Case, convex_loss, trajectory

SU = Source(
    title="A Differential Equation for Modeling Nesterov's Accelerated Gradient "
    "Method: Theory and Insights",
    authors="Weijie Su, Stephen Boyd and Emmanuel J. Candès",
    year=2016,
    arxiv="1503.01243",
    location="energy of the flow with friction r/t",
)
MOUCER = Source(
    title="A systematic approach to Lyapunov analyses of continuous-time models in "
    "convex optimization",
    authors="Céline Moucer, Adrien Taylor and Francis Bach",
    year=2022,
    arxiv="2205.12772",
    location="gradient flow and accelerated gradient flows",
)
FRICTION = sympy.Symbol("friction", positive=True)
STRONG = sympy.Symbol("strong_convexity", positive=True)


# Proofs: dV/dt + ρ V is minus a sum of terms, each >= 0 with a factor >= 0.


def _gradient_flow_proof(weight: Any = 1) -> Evidence:
    t = sympy.Symbol("t", positive=True)
    terms = [(t, square(g=1)), (1, strongly_convex())]
    return certificate(gradient_flow_pair(weight).derivative, terms).evidence()


def _accelerated_proof(weight: Any = 1) -> Evidence:
    t = sympy.Symbol("t", positive=True)
    beyond = sympy.Symbol("s", nonnegative=True)
    terms = [
        ((FRICTION - 3) * t, minimal()),
        ((FRICTION - 1) * t, strongly_convex()),
    ]
    hypothesis = {FRICTION: 3 + beyond}
    left = accelerated_pair(weight).derivative
    return certificate(left, terms, hypothesis).evidence()


def _excess_proof(factor: Any = 2) -> Evidence:
    mu, pair = STRONG, excess_pair()
    terms = [(2 * mu, strongly_convex(mu)), (1, square(g=1, e=-mu))]
    left = pair.derivative + factor * mu * pair.value
    return certificate(left, terms).evidence()


def _strongly_accelerated_proof(factor: Any = 1, weight: Any = 1) -> Evidence:
    root = sympy.sqrt(STRONG)
    terms = [(root, strongly_convex(STRONG)), (root / 2, square(v=1))]
    pair = strongly_accelerated_pair(weight)
    left = pair.derivative + factor * root * pair.value
    return certificate(left, terms).evidence()


# Trajectories.


def gradient_flow_case(weight: float = 1.0) -> Case:
    """Gradient flow of the convex loss; `weight` is the c of V."""

    def energy(flow, t, y):
        return gradient_flow_energy(flow, t, y, weight)

    pair = gradient_flow_pair(sympy.Rational(str(weight)))
    return Case(GradientFlow(convex_loss()), energy, pair, X0, 0.0, 4.0)


def accelerated_case(friction: float = 3.0) -> Case:
    """The accelerated flow of the convex loss, from the series at t = 0.05."""
    flow = AcceleratedFlow(convex_loss(), friction)
    start = accelerated_start(flow, X0, 0.05)
    pair = accelerated_pair().at(friction=friction)
    return Case(flow, accelerated_energy, pair, start, 0.05, 4.0)


def excess_case(rate: float = 2 * MU) -> Case:
    """Gradient flow of the strongly convex loss."""
    flow = GradientFlow(convex_loss(MU))
    return Case(flow, excess_energy, excess_pair(), X0, 0.0, 4.0, rate)


def strongly_accelerated_case(factor: float = 1.0) -> Case:
    """The strongly convex accelerated flow, from rest; claimed rate factor √μ."""
    flow = StronglyConvexAcceleratedFlow(convex_loss(MU), MU)
    pair = strongly_accelerated_pair().at(strong_convexity=MU)
    start, rate = at_rest(X0), factor * MU**0.5
    return Case(flow, strongly_accelerated_energy, pair, start, 0.0, 6.0, rate)


# The claims.


@claim(
    "gradient_flow.lyapunov",
    title="t (f - f*) + |x - x*|²/2 never increases along gradient flow",
    source=MOUCER,
    statement=r"\frac{d}{dt}\Bigl[t\,(f-f_*) + \tfrac12|x-x_*|^2\Bigr] = -t|\nabla f|^2"
    r" - \bigl(\langle x-x_*,\nabla f\rangle - (f-f_*)\bigr) \le 0",
    hypotheses=(r"$f$ convex with a minimiser", r"$t \ge 0$"),
    grade="proved",
    delta=1e-6,
    unit="V (unit of |x|²)",
)
def gradient_flow_lyapunov(ctx: Context) -> Evidence:
    """The generator's dV/dt in inner products, t a symbol."""
    return _gradient_flow_proof()


@gradient_flow_lyapunov.control("f - f* with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _gradient_flow_proof(sympy.Rational(1001, 1000))


@gradient_flow_lyapunov.route("along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from trajectory(gradient_flow_case())


@gradient_flow_lyapunov.control("t (f - f*) with the factor 3/2, along a solution")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from trajectory(gradient_flow_case(1.5))


@claim(
    "gradient_flow.accelerated-lyapunov",
    title="The energy of the accelerated flow never increases for friction r >= 3",
    source=SU,
    statement=r"\frac{d}{dt}\Bigl[t^2(f-f_*) + \tfrac{(r-1)^2}{2}\bigl|x-x_*+"
    r"\tfrac{t\dot x}{r-1}\bigr|^2\Bigr] = -(r-3)\,t\,(f-f_*) - (r-1)\,t\,\bigl("
    r"\langle x-x_*,\nabla f\rangle - (f-f_*)\bigr) \le 0",
    hypotheses=(r"$f$ convex with a minimiser", r"$r \ge 3$", r"$t > 0$"),
    grade="proved",
    delta=1e-6,
    unit="V (unit of |x|²)",
)
def accelerated_lyapunov(ctx: Context) -> Evidence:
    """The generator's dV/dt in inner products, r and t symbols."""
    return _accelerated_proof()


@accelerated_lyapunov.control("the square with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _accelerated_proof(sympy.Rational(1001, 1000))


@accelerated_lyapunov.route("along a solution, r = 3", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from trajectory(accelerated_case())


@accelerated_lyapunov.control("friction 5/2, along a solution")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from trajectory(accelerated_case(2.5))


@claim(
    "gradient_flow.strongly-convex-lyapunov",
    title="f - f* decays like e^{-2μt} along gradient flow",
    source=MOUCER,
    statement=r"\frac{d}{dt}(f-f_*) + 2\mu (f-f_*) = -|\nabla f - \mu(x-x_*)|^2 - 2\mu"
    r"\bigl(\langle x-x_*,\nabla f\rangle-(f-f_*)-\tfrac{\mu}{2}|x-x_*|^2\bigr)"
    r" \le 0",
    hypotheses=(r"$f$ $\mu$-strongly convex",),
    grade="proved",
    delta=1e-6,
    unit="V' + 2μV (unit of f/time)",
)
def strongly_convex_lyapunov(ctx: Context) -> Evidence:
    """The generator's dV/dt in inner products, μ a symbol."""
    return _excess_proof()


@strongly_convex_lyapunov.control("the rate 2μ(1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _excess_proof(sympy.Rational(1001, 500))


@strongly_convex_lyapunov.route("along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from trajectory(excess_case())


@claim(
    "gradient_flow.strongly-convex-accelerated-lyapunov",
    title="The energy of the strongly convex accelerated flow decays like e^{-√μ t}",
    source=MOUCER,
    statement=r"V = f-f_* + \tfrac{\mu}{2}|x-x_*+\dot x/\sqrt\mu|^2:\quad \dot V +"
    r" \sqrt\mu V = -\tfrac{\sqrt\mu}{2}|\dot x|^2 - \sqrt\mu\bigl(\langle x-x_*,"
    r"\nabla f\rangle-(f-f_*)-\tfrac{\mu}{2}|x-x_*|^2\bigr) \le 0",
    hypotheses=(r"$f$ $\mu$-strongly convex",),
    grade="proved",
    delta=1e-6,
    unit="V' + √μ V (unit of f/time)",
)
def strongly_accelerated_lyapunov(ctx: Context) -> Evidence:
    """The generator's dV/dt in inner products, μ a symbol."""
    return _strongly_accelerated_proof()


@strongly_accelerated_lyapunov.control("the rate √μ(1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _strongly_accelerated_proof(sympy.Rational(1001, 1000))


@strongly_accelerated_lyapunov.control("the square with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _strongly_accelerated_proof(weight=sympy.Rational(1001, 1000))


@strongly_accelerated_lyapunov.route("along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from trajectory(strongly_accelerated_case())
