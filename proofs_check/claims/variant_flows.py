"""Flows beside gradient flow: their energies and closed forms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import (
    Flow,
    NaturalGradientFlow,
    NormalisedFlow,
    PolyakFlow,
    PreconditionedFlow,
    SignFlow,
    SquareLoss,
    from_sympy,
    newton_flow,
    solve,
)
from flows.problems import taylor_polynomial
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

AMARI = Source(
    title="Natural gradient works efficiently in learning",
    authors="Shun-ichi Amari",
    year=1998,
    location="natural gradient; the rates in continuous time are derived here",
)
CORTES = Source(
    title="Finite-time convergent gradient flows with applications to network "
    "consensus",
    authors="Jorge Cortés",
    year=2006,
    location="normalised and signed gradient flows",
)
DHERIN = Source(
    title="Corridor Geometry in Gradient-Based Optimization",
    authors="Benoit Dherin and Mihaela Rosca",
    year=2024,
    arxiv="2402.08818",
    location="corridor learning rate; its flow is derived here",
)
MORE = sympy.Rational(1001, 1000)


class Faster(Flow):
    """A flow run `factor` times as fast: what controls of closed forms break."""

    flow: Flow
    factor: jax.Array

    def vector_field(self, t, y):
        """The field times the factor."""
        return jax.tree.map(lambda v: self.factor * v, self.flow.vector_field(t, y))

    @property
    def objective(self) -> Any:
        """The flow's objective."""
        return getattr(self.flow, "objective", None)


# Energies. At a point only ∇f enters, so a linear loss with symbols for coefficients
# stands for every loss.


def jet(degree: int, **assumptions: Any) -> Any:
    """A generic loss of two variables to this degree at 0, coefficients symbols."""
    polynomial = taylor_polynomial(2, degree)
    return symbols_like(polynomial, **assumptions)


def _fall(build: Callable[[Any], Flow], f: Any) -> Any:
    """The rate L f of a flow at x = 0, and the symbols of ∇f there."""
    rate = exactly(
        lambda f: build(f).generator(lambda t, x: f.value(x))(0.0, jnp.zeros(2)), f
    )
    return rate, list(f.coefficients[:2])


def _energy(name: str, build, spent, factor=1, **assumptions: Any) -> Evidence:
    """L f = -spent(∇f) as an identity; `factor` is the control's 1 + 1/1000."""
    rate, g = _fall(build, jet(1, **assumptions))
    return identical(rate, -factor * spent(*g), name)


def _energy_claim(key: str, title: str, statement: str, source, check) -> Any:
    @claim(
        f"gradient_flow.energy-{key}",
        title=title,
        source=source,
        statement=statement,
        hypotheses=(r"$f$ differentiable", r"$\nabla f \ne 0$"),
        grade="proved",
    )
    def energy(ctx: Context) -> Evidence:
        return check(1)

    @energy.control("coefficient 1 + 1/1000")
    def _(ctx: Context) -> Evidence:
        return check(MORE)

    return energy


def _metric_energy(factor) -> Evidence:
    p = np.array(sympy.symbols("p_0:4", real=True), dtype=object).reshape(2, 2)
    f = jet(1)

    def rate(f, p):
        flow = PreconditionedFlow(f, p)
        return flow.generator(lambda t, x: f.value(x))(0.0, jnp.zeros(2))

    column = sympy.Matrix(f.coefficients)
    found = exactly(rate, f, p)
    spent = (column.T * sympy.Matrix(p).inv() * column)[0, 0]
    return identical(found, -factor * spent, "L f")


ENERGIES = (
    _energy_claim(
        "preconditioned",
        "Preconditioned gradient flow spends ∇f·P⁻¹∇f",
        r"\dot\theta = -P^{-1}\nabla f:\quad"
        r" \tfrac{d}{dt} f = -\nabla f^\top P^{-1}\nabla f",
        AMARI,
        _metric_energy,
    ),
    _energy_claim(
        "normalised",
        "Normalised gradient flow spends |∇f|",
        r"\dot\theta = -\nabla f/|\nabla f|:\quad \tfrac{d}{dt} f = -|\nabla f|",
        CORTES,
        lambda factor: _energy(
            "L f = -|∇f|",
            NormalisedFlow,
            lambda a, b: sympy.sqrt(a**2 + b**2),
            factor,
            coefficients={"real": True, "nonzero": True},
        ),
    ),
    _energy_claim(
        "sign",
        "Sign gradient flow spends the sum of |∂_i f|",
        r"\dot\theta_i = -\mathrm{sign}(\partial_i f):\quad"
        r" \tfrac{d}{dt} f = -\|\nabla f\|_1",
        CORTES,
        lambda factor: _energy(
            "L f = -|∇f|₁", SignFlow, lambda a, b: abs(a) + abs(b), factor
        ),
    ),
)


# Closed forms.


def final(flow: Flow, x0, t1: float, tolerance: float, event=None):
    """The end of a flow, solved to a tolerance."""
    return solve(
        flow,
        jnp.asarray(x0),
        0.0,
        t1,
        solver=diffrax.Dopri8(),
        stepsize_controller=diffrax.PIDController(
            rtol=tolerance, atol=1e-3 * tolerance
        ),
        saveat=diffrax.SaveAt(t1=True),
        event=event,
    )


def ratio(ctx: Context, flow: Flow, x0, t1: float, measure, event=None) -> Evidence:
    """`measure` of the end, over its closed form, at three tolerances: 1."""
    tolerances = ctx.choose((1e-4, 1e-6, 1e-8), (1e-7, 1e-9, 1e-11))
    rungs = [float(measure(final(flow, x0, t1, tol, event))) for tol in tolerances]
    # A solve sums some hundred roundings.
    ladder = decide.ladder(rungs, condition=100.0)
    return decide.equal(1.0, ladder, delta=ctx.delta, data={"kind": "constant"})


@functools.cache
def convex():
    """A smooth strictly convex loss in two variables, no closed form of its flow."""
    x, y = sympy.symbols("x y", real=True)
    return from_sympy(x**2 + x * y + y**2 + sympy.exp(x - y) + x**4, [x, y])


CONVEX_START = (1.2, 0.8)


@claim(
    "gradient_flow.newton",
    title="Along the Newton flow the gradient decays as e^{-t}, on any loss",
    source=Source(
        title="A convergent process of price adjustment and global Newton methods",
        authors="Stephen Smale",
        year=1976,
        location="the global Newton equation",
    ),
    statement=r"\dot\theta = -\nabla^2 f^{-1}\nabla f:\quad"
    r" \nabla f(\theta(t)) = e^{-t}\,\nabla f(\theta(0))",
    hypotheses=(r"$\nabla^2 f$ invertible along the path",),
    grade="proved",
    delta=1e-8,
    quick_delta=1e-6,
    unit="ratio of each entry to its closed form",
)
def newton(ctx: Context) -> Evidence:
    """L ∇f = -∇f at 0 for a generic second-order jet."""
    return _newton(1)


def _newton(factor) -> Evidence:
    def rates(f):
        return jnp.stack(
            [
                newton_flow(f).generator(lambda t, x, i=i: f.gradient(x)[i])(
                    0.0, jnp.zeros(2)
                )
                for i in range(2)
            ]
        )

    f = jet(2)
    claimed = -factor * np.array(f.coefficients[:2], dtype=object)
    return identical(exactly(rates, f), claimed, "L ∇f")


@newton.control("rate 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _newton(MORE)


def _newton_ratio(flow, t1=2.0):
    f = flow.objective
    g0 = f.gradient(jnp.asarray(CONVEX_START))

    def measure(run):
        ratios = f.gradient(run.states[-1]) / (g0 * np.exp(-t1))
        return ratios[int(jnp.argmax(jnp.abs(ratios - 1)))]

    return flow, CONVEX_START, t1, measure


@newton.route("a convex loss", grade="measured")
def _(ctx: Context) -> Evidence:
    return ratio(ctx, *_newton_ratio(newton_flow(convex())))


@newton.control("a tenth faster, on the convex loss", expected=float(np.exp(-0.2)))
def _(ctx: Context) -> Evidence:
    fast = Faster(newton_flow(convex()), jnp.asarray(1.1))
    return ratio(ctx, *_newton_ratio(fast))


def _tanh_outputs(x):
    """Six parameters, three outputs."""
    return jnp.tanh(x[:3] + x[3:] * jnp.asarray([0.5, -1.0, 2.0])) * (1 + x[3:])


def _line(x):
    """One parameter, three outputs: (1, 2, -1) x."""
    return x[0] * jnp.asarray([1.0, 2.0, -1.0])


@claim(
    "gradient_flow.natural",
    title="Natural gradient flow forgets the parametrisation: f = e^{-2t} f(0)",
    source=AMARI,
    statement=r"\dot\theta = -F^{+}\nabla f,\ f=\tfrac12|y-y^*|^2,\ F=J^\top J:\quad"
    r" \dot y = -(y-y^*),\quad f(t) = e^{-2t}f(0)",
    hypotheses=(
        r"$J = \partial y/\partial\theta$ has full row rank"
        r" (proved for one output, measured for three)",
    ),
    grade="proved",
    delta=1e-8,
    quick_delta=1e-6,
    unit="f(T) over e^{-2T} f(0)",
)
def natural(ctx: Context) -> Evidence:
    """L f = -2 f for one output whose value and gradient are symbols."""
    return _natural(1)


def _natural(factor) -> Evidence:
    def rate(outputs, target):
        def y(x):
            return outputs.value(x)[None]

        f = SquareLoss(y, target[None], 2)
        return NaturalGradientFlow(f).generator(lambda t, x: f.value(x))(
            0.0, jnp.zeros(2)
        )

    target = sympy.Symbol("y", real=True)
    outputs = jet(1, coefficients={"real": True, "nonzero": True})
    return identical(exactly(rate, outputs, target), -factor * target**2, "L f = -2 f")


@natural.control("rate 2 + 2/1000")
def _(ctx: Context) -> Evidence:
    return _natural(MORE)


def _natural_ratio(ctx: Context, outputs, targets, x0, t1=0.5) -> Evidence:
    f = SquareLoss(outputs, jnp.asarray(targets), len(x0))
    first = float(f.value(jnp.asarray(x0))) * np.exp(-2 * t1)
    return ratio(
        ctx,
        NaturalGradientFlow(f),
        x0,
        t1,
        lambda run: f.value(run.states[-1]) / first,
    )


@natural.route("tanh network, 6 parameters, 3 outputs", grade="measured")
def _(ctx: Context) -> Evidence:
    x0 = (0.3, -0.2, 0.1, 0.4, 0.5, -0.3)
    return _natural_ratio(ctx, _tanh_outputs, (0.4, 0.2, -0.3), x0)


# With y* = (1, 0, 0) and y = (1, 2, -1) x from x = 0, 1/6 of |y*|² lies in the range
# of J, the rest stays: f(T)/f(0) = 5/6 + e^{-2T}/6.
@natural.control(
    "more outputs than parameters", expected=float((5 / 6 + np.exp(-1.0) / 6) * np.e)
)
def _(ctx: Context) -> Evidence:
    return _natural_ratio(ctx, _line, (1.0, 0.0, 0.0), (0.0,))


# The Polyak flow.


@claim(
    "gradient_flow.polyak-flow",
    title="Along the Polyak flow f - f* decays as e^{-t}, on any loss",
    source=DHERIN,
    statement=r"\dot\theta = -\frac{f - f^*}{|\nabla f|^2}\nabla f:\quad"
    r" f(\theta(t)) - f^* = e^{-t}\,(f(\theta(0)) - f^*)",
    hypotheses=(r"$\nabla f \ne 0$ along the path",),
    grade="proved",
    delta=1e-8,
    quick_delta=1e-6,
    unit="ratio of f - f* to its closed form",
)
def polyak_flow(ctx: Context) -> Evidence:
    """L f = -(f - f*) for every value and (in all entries non-zero) gradient of f."""
    return _polyak(1)


def _polyak(factor) -> Evidence:
    def rate(f, minimum):
        flow = PolyakFlow(f, minimum)
        return flow.generator(lambda t, x: f.value(x))(0.0, jnp.zeros(2))

    f = jet(1, coefficients={"real": True, "nonzero": True})
    minimum = sympy.Symbol("m", real=True)  # the value at 0 is 0, so f - f* = -m
    return identical(exactly(rate, f, minimum), factor * minimum, "L f = -(f - f*)")


@polyak_flow.control("rate 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _polyak(MORE)


def _polyak_ratio(ctx: Context, factor: float = 1.0) -> Evidence:
    f, start, t1 = convex(), jnp.asarray(CONVEX_START), 2.0
    first = float(f.value(start) - 0.25) * np.exp(-t1)
    # f* = 1/4 is below the minimum of this loss, 0.63, which is not reached by t1.
    flow = Faster(PolyakFlow(f, 0.25), jnp.asarray(factor))
    return ratio(
        ctx, flow, start, t1, lambda run: (f.value(run.states[-1]) - 0.25) / first
    )


@polyak_flow.route("a convex loss, f* below its minimum", grade="measured")
def _(ctx: Context) -> Evidence:
    return _polyak_ratio(ctx)


@polyak_flow.control("a tenth faster, on the convex loss", expected=float(np.exp(-0.2)))
def _(ctx: Context) -> Evidence:
    return _polyak_ratio(ctx, 1.1)
