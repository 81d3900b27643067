"""Runge–Kutta–Chebyshev steps of gradient flow: polynomials and their stability."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import Chebyshev
from flows import GradientFlow, iterate
from flows.problems import quadratic
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

RKC = Source(
    title="RKC: an explicit solver for parabolic PDEs",
    authors="Ben P. Sommeijer, Lawrence F. Shampine and Jan G. Verwer",
    year=1998,
    location="Journal of Computational and Applied Mathematics 88; the method is van "
    "der Houwen and Sommeijer's (1980)",
)


def claimed(order: int, s: int, eps, z):
    """R(z) of s stages by Chebyshev's polynomial."""
    x = sympy.Dummy("x")
    polynomial: Any = sympy.chebyshevt(s, x)
    w0 = 1 + eps / s**2
    value, first, second = (polynomial.diff(x, k).subs(x, w0) for k in range(3))
    if order == 1:
        return polynomial.subs(x, w0 + value / first * z) / value
    b = second / first**2
    return 1 - b * value + b * polynomial.subs(x, w0 + first / second * z)


@claim(
    "gradient_flow.rkc-stability",
    title="A Runge–Kutta–Chebyshev step is Chebyshev's polynomial of gradient descent",
    source=RKC,
    statement=r"R_s(z) = a_s + b_s T_s(w_0 + w_1 z),\quad z = -h\lambda,\quad"
    r" |R_s| \le 1 \Leftarrow z \in [-(1+w_0)/w_1, 0],\quad (1+w_0)/w_1 ="
    r" (1 + O(\varepsilon))\cdot\{2s^2\ (\text{order } 1),\ \tfrac23 (s^2-1)\ (2)\}",
    hypotheses=(r"$f = \lambda x^2/2$", r"$w_0 = 1 + \varepsilon/s^2$"),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-6,
    unit="|R| at the end of the interval",
)
def stability(ctx: Context) -> Iterator[Evidence]:
    """The traced step, λ, h and ε being symbols, for both orders and few stages."""
    yield from _traced(ctx, 0)


def _traced(ctx: Context, slip) -> Iterator[Evidence]:
    cases = [(1, 2), (1, 3), (2, 2), (2, 3)]
    for order, s in cases + ([(2, 4)] if ctx.full else []):
        flow = symbols_like(GradientFlow(quadratic([1.0])))
        scheme = symbols_like(Chebyshev(s, order))  # pyright: ignore
        h, x = sympy.Symbol("h", positive=True), symbol_vector("x", 1)
        (end,) = exactly(
            lambda m, flow, y, h: m.step(flow, 0.0, y, h, None, None).y,
            scheme,
            flow,
            x,
            h,
        )
        eps, rate = sympy.sympify(scheme.damping), flow.objective.matrix[0]
        factor = claimed(order, s, eps * (1 + slip), -h * rate)
        yield identical(end, factor * x[0], f"order {order}, {s} stages")


@stability.control("ε times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return next(_traced(ctx, sympy.Rational(1, 1000)))


@stability.route("end of the interval", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """One step on many rates at once: |R| is 1 at the end and at most 1 before it."""
    yield from _interval(ctx, 1.0)


def _interval(ctx: Context, stretch: float) -> Iterator[Evidence]:
    """Largest |R| over [-β, 0], β of s stages times `stretch`, and over its far half.

    Order 1 ends at |R| = 1/T_s(w₀), order 2 at a + b, for an even number of stages.
    """
    for order, s in [(2, 4), (2, 10), (1, 6)]:
        scheme = Chebyshev(s, order)  # pyright: ignore
        beta, eps = float(scheme.interval), float(scheme.damping)
        z = np.linspace(0.0, 1.0, 2001) * beta * stretch
        flow = GradientFlow(quadratic(z))
        run = iterate(scheme, flow, jnp.ones(z.size), h=1.0, steps=1, save="last")
        found = np.abs(np.asarray(run.positions[-1]))
        end = float(claimed(order, s, sympy.Float(eps, 30), sympy.Float(-beta, 30)))
        rounding = 1e-13 * s**2
        yield decide.equal(
            abs(end),
            decide.Measurement(float(found[-1]), 0.0, rounding),
            delta=ctx.delta,
            quantity=f"|R(-β)|, order {order}, {s} stages",
        )
        yield decide.upper_bound(
            1.0,
            decide.Measurement(float(found.max()), 0.0, rounding),
            delta=ctx.delta,
            quantity=f"largest |R|, order {order}, {s} stages",
        )


@stability.control("an interval longer by 1/20")
def _(ctx: Context) -> Evidence:
    return list(_interval(ctx, 1.05))[1]
