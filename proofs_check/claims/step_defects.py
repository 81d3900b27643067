"""What one step of descent misses of the flow, and how such defects grow along it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import error_growth, error_law
from discretize.certificate import path_ends
from discretize.certificate.theorem import Number, relaxed
from flows import GradientFlow
from flows.problems import taylor_polynomial
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.elkabetz_cohen import DERIVED, large_net
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

# The growth factor K.


def _symbolic_growth(factor: Any = 1) -> Evidence:
    """The step of K that the code takes, as a solution of its equation."""
    z, m, s, h = sympy.symbols("z m s h", positive=True)

    def same(x):
        return x

    numbers = Number(sympy.sympify, same, same, lambda x: sympy.exp(x) - 1)
    later = relaxed(z, factor * m, s, h, numbers)
    return identical(
        later.diff(h) + m * later + later.subs(h, 0),
        s + z,
        "K' + m K = s, from z at h = 0",
    )


@functools.cache
def _integrated() -> float:
    """K(6) with m = λ_min, integrated together with the flow of the 3-3-3 network."""
    objective, start = large_net()

    def field(t, y, objective):
        x, k = y
        lowest = jnp.linalg.eigvalsh(objective.hessian(x))[0]
        return -objective.gradient(x), 1 - lowest * k

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        0.0,
        6.0,
        0.01,
        (objective.ravel(start), jnp.asarray(0.0)),
        args=objective,
        stepsize_controller=diffrax.PIDController(rtol=1e-7, atol=1e-9),
    )
    (_, k) = jax.tree.map(lambda a: a[-1], found.ys)
    return float(k)


@functools.cache
def _curvatures(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, and λ_min along the flow of the 3-3-3 network."""
    objective, start = large_net()
    times = np.linspace(0.0, 6.0, cells + 1)
    law = error_law(objective, start, times=times)
    return times, path_ends(objective, law.positions)["low"]


def _growth(ctx: Context, wrong: bool = False) -> Evidence:
    finest = ctx.choose(160, 640)
    times, low = _curvatures(finest)
    m = np.abs(low) + 0.5 if wrong else low
    values = []
    for stride in (4, 2, 1):
        ends = m[::stride]
        values.append(error_growth(times[::stride], (ends[1:] + ends[:-1]) / 2)[-1])
    return decide.equal(
        1.0,
        decide.ladder(np.array(values) / _integrated()),
        delta=ctx.delta,
        quantity="K(6) / its value integrated with the flow",
        note=f"K(6) = {values[-1]:.4g}",
    )


@claim(
    "gradient_flow.growth-factor",
    title="The factor by which defects grow along gradient flow",
    source=DERIVED,
    statement=r"K' = 1 - mK,\ K(0)=0:\quad K = \tfrac{e^{\mu t}-1}{\mu}"
    r"\ (m=-\mu)",
    hypotheses=(r"$m = \lambda_{\min}(\nabla^2 f(x(t)))$",),
    grade="proved",
    delta=1e-3,
    quick_delta=1e-2,
    unit="ratio",
)
def growth(ctx: Context) -> Iterator[Evidence]:
    """The step of K solves its equation; on a network it meets the integrated K."""
    yield _symbolic_growth()
    yield _growth(ctx)


@growth.control("m times 1 + 1/1000 in the step of K")
def _(ctx: Context) -> Evidence:
    return _symbolic_growth(sympy.Rational(1001, 1000))


@growth.control("m = |λ_min| + 1/2, which is above λ_min")
def _(ctx: Context) -> Evidence:
    return _growth(ctx, wrong=True)


# One step.


def _taylor(factor) -> Evidence:
    """L² x = ∇²f ∇f for a generic quartic in two variables, coefficients symbols."""
    f = symbols_like(taylor_polynomial(2, 4))
    x, w = symbol_vector("x", 2), symbol_vector("w", 2)

    def twice(f, x, w):
        once = GradientFlow(f).generator(lambda t, x: jnp.sum(w * x))
        return GradientFlow(f).generator(once)(0.0, x)

    def pulled(f, x, w):
        return jnp.sum(w * f.hvp(x, f.gradient(x)))

    return identical(
        exactly(twice, f, x, w),
        factor * exactly(pulled, f, x, w),
        "w·x'' = w·∇²f ∇f along the flow",
    )


@claim(
    "gradient_flow.one-step-defect",
    title="What one step of gradient descent misses of the flow",
    source=DERIVED,
    statement=r"x(\eta) - x_1 = \int_0^\eta (\eta - s)\, \nabla^2 f\, \nabla f(x(s))\,"
    r" ds",
    hypotheses=(r"$f$ twice continuously differentiable", r"$x_0 = x(0)$"),
    grade="proved",
    delta=1e-6,
)
def defect(ctx: Context) -> Iterator[Evidence]:
    """Taylor's formula with x'' = ∇²f ∇f; on a network, by quadrature."""
    yield _taylor(1)
    yield _quadrature(ctx)


def _quadrature(ctx: Context, reflected: bool = False) -> Evidence:
    """Both sides along a direction, with Gauss-Legendre of 4, 6 and 8 points."""
    objective, start = large_net()
    eta, x = 0.5, objective.ravel(start)
    sides = []
    for points in (4, 6, 8):
        nodes, weights = np.polynomial.legendre.leggauss(points)
        times = np.concatenate([[0.0], eta * (nodes + 1) / 2, [eta]])
        law = error_law(objective, start, times=times, tolerance=1e-13)
        pulls = [
            np.asarray(objective.hvp(p, objective.gradient(p)))
            for p in map(jnp.asarray, law.positions[1:-1])
        ]
        lever = times[1:-1] if reflected else eta - times[1:-1]
        integral = np.einsum("i,ij->j", weights * eta / 2 * lever, np.array(pulls))
        gap = law.positions[-1] - np.asarray(x - eta * objective.gradient(x))
        sides.append(float(np.dot(integral, gap) / np.dot(gap, gap)))
    return decide.equal(1.0, decide.ladder(sides), delta=ctx.delta, quantity="ratio")


@defect.control("x'' times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _taylor(sympy.Rational(1001, 1000))


@defect.control("weight s in place of η - s")
def _(ctx: Context) -> Evidence:
    return _quadrature(ctx, reflected=True)
