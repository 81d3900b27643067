"""Negative curvature: the step along it, the radius, what momentum gains."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import escape_step, negative_curvature
from discretize.negative_curvature import momentum_growth
from flows.problems import quadratic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import negative_curvature as zhang_li

EPS, RHO, SLOPE = sympy.symbols("epsilon rho a", positive=True)

# The decrease by one step.


def _length(accuracy, hessian_lipschitz, slope):
    """How far the step goes along e = 1, from 0 with ∇f·e = slope."""
    one = jnp.ones(1)
    new = escape_step(
        0 * one,
        slope * one,
        one,
        accuracy=accuracy,
        hessian_lipschitz=hessian_lipschitz,
    )
    return new[0]


@claim(
    "negative_curvature.decrease",
    title="The step along curvature -√(ρε)/4 lowers f by √(ε³/ρ)/192 at least",
    source=zhang_li("decrease by √(ε³/ρ)/384; the sharp constant is derived here"),
    statement=r"e^\top\nabla^2 f\,e \le -\tfrac{\sqrt{\rho\epsilon}}4 \implies"
    r" f(x) - f\bigl(x - \sigma\tfrac14\sqrt{\epsilon/\rho}\,e\bigr) \ge"
    r" \tfrac1{192}\sqrt{\epsilon^3/\rho} \ge \tfrac1{384}\sqrt{\epsilon^3/\rho},"
    r"\quad \sigma = \operatorname{sign}\langle\nabla f, e\rangle",
    hypotheses=(r"$\nabla^2 f$ has the Lipschitz constant $\rho$", r"$|e| = 1$"),
    grade="proved",
    delta=1e-6,
    unit="√(ε³/ρ)/192",
)
def decrease(ctx: Context) -> Iterator[Evidence]:
    """Taylor's bound at the traced step; a cubic attains it where ∇f·e = 0.

    f(x - s e) <= f - s ∇f·e + s² e·∇²f e/2 + ρ s³/6 with ∇f·e >= 0 for s > 0.
    """
    yield _taylor(1)
    # Sign: a slope of either sign goes downhill.
    yield _downhill(1)


def _downhill(sign: int) -> Evidence:
    """The step is -√(ε/ρ)/4 along e where ∇f·e > 0, and its opposite where < 0."""
    ends = [exactly(_length, EPS, RHO, s) for s in (SLOPE, -SLOPE)]
    length = sign * sympy.sqrt(EPS / RHO) / 4
    return identical(ends, [-length, length], "step against the slope")


@decrease.control("a step uphill")
def _(ctx: Context) -> Evidence:
    return _downhill(-1)


def _taylor(stretch) -> Evidence:
    step = stretch * exactly(_length, EPS, RHO, sympy.Integer(0))
    curvature = -sympy.sqrt(RHO * EPS) / 4
    rise = curvature * step**2 / 2 + RHO * (-step) ** 3 / 6  # the extremal cubic
    return identical(
        -rise, sympy.sqrt(EPS**3 / RHO) / 192, "decrease of the extremal cubic"
    )


@decrease.control("the step four times as long")
def _(ctx: Context) -> Evidence:
    return _taylor(4)


def _least_decrease(stretch: float) -> Evidence:
    """Least decrease over a grid of functions whose third derivative is ρ cos.

    φ(t) = a t + b t²/2 + ρ ∫∫∫ cos(ωt + p), with a of either sign, curvature b at 0
    just below -√(ρε)/4; ω -> 0 is the cubic.
    """
    eps, rho = 0.01, 2.0
    worst = np.inf
    for slope in (0.0, eps / 2, -eps / 2, eps):
        step = stretch * float(_length(eps, rho, jnp.asarray(slope)))
        for bend in (1.0, 1.5):
            b = -bend * math.sqrt(rho * eps) / 4
            w, p = np.meshgrid(np.geomspace(0.1, 300.0, 40), np.linspace(0, 2 * np.pi))
            third = -np.sin(w * step + p) + np.sin(p) + w * step * np.cos(p)
            third -= (w * step) ** 2 / 2 * np.sin(p)  # so that φ''(0) = b
            change = slope * step + b * step**2 / 2 + rho * third / w**3
            worst = min(worst, float(-change.max()))
    unit = math.sqrt(eps**3 / rho) / 192
    # third, of terms of size 1, is divided by ω³ >= 10⁻³
    rounding = 4 * np.finfo(float).eps * rho / 1e-3 / unit
    measured = Measurement(worst / unit, bias=float(rounding))
    return decide.lower_bound(1.0, measured, delta=1e-3)


@decrease.route("a grid of functions", grade="measured")
def _(ctx: Context) -> Evidence:
    """16,000 functions of one variable: oscillating third derivatives, four slopes."""
    return _least_decrease(1.0)


@decrease.control("the step four times as long, on the grid")
def _(ctx: Context) -> Evidence:
    return _least_decrease(4.0)


# Cancellation.

GAP = 0.5
SPECTRUM = np.array([-1.0, -1.0 + GAP, 0.3, 1.0])
HALVES = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
"""An orthogonal matrix whose columns are the eigenvectors."""


class Place(NamedTuple):
    """A point x, and ∇f(x) in the basis of the eigenvectors."""

    point: np.ndarray
    gradient: np.ndarray


SLOPE_AT_0 = Place(np.zeros(4), np.array([-1.5, 1.75, 0.6, 2.5]))
FAR_SADDLE = Place(np.array([700.3, -500.1, 400.7, 300.9]), np.zeros(4))


def _misalignment(place: Place, radii: np.ndarray) -> np.ndarray:
    """The sine of the angle between direction and eigenvector, one a radius.

    f is the quadratic of these curvatures with the gradient given at the point.
    """
    hessian = HALVES @ np.diag(SPECTRUM) @ HALVES.T
    centre = place.point - HALVES @ (place.gradient / SPECTRUM)
    f = dataclasses.replace(
        quadratic(SPECTRUM), matrix=jnp.asarray(hessian), centre=jnp.asarray(centre)
    )
    start = jnp.asarray(HALVES @ np.array([0.5, 0.5, -0.5, 0.5]))
    found = []
    for radius in radii:
        search = negative_curvature(
            f, place.point, start, smoothness=1.0, radius=radius, steps=300
        )
        parts = HALVES.T @ np.asarray(search.direction)
        found.append(np.linalg.norm(parts[1:]))
    return np.array(found)


def _cancellation(ctx: Context, place: Place, slope: float, point: float) -> Evidence:
    """The worst angle over (slope |∇f| + point ℓ|x|) ε/(r gap)."""
    radii = np.geomspace(1e-3, 1e-9, ctx.choose(7, 25))
    scale = slope * np.linalg.norm(place.gradient)
    scale += point * np.linalg.norm(place.point)  # ℓ = 1
    bound = np.finfo(float).eps * scale / (radii * GAP)
    worst = float(np.max(_misalignment(place, radii) / bound))
    return decide.upper_bound(
        1.0,
        Measurement(worst),
        delta=ctx.delta,
        quantity=f"|x| = {np.linalg.norm(place.point):.0f}",
        note=f"the largest angle is {worst:.3f} of the bound",
    )


@claim(
    "negative_curvature.cancellation",
    title="Rounding turns the direction by at most 3ε_m(|∇f| + ℓ|x|)/(r gap)",
    source=zhang_li("the search; the effect of rounding is derived here"),
    statement=r"\sin\angle(u, e_1) \le \frac{3\,\epsilon_{m}\,(|\nabla f(x)| +"
    r" \ell|x|)}{r\,(\lambda_2 - \lambda_1)}:\quad r \gg \epsilon_{m}"
    r"(|\nabla f| + \ell|x|)/|\lambda_1|",
    hypotheses=(
        r"$f$ quadratic, 4 coordinates; $|\nabla f| = 3.5$ at $x = 0$, and a saddle at"
        r" $|x| = 1000$",
        r"$r$ from $10^{-3}$ to $10^{-9}$",
        r"$\epsilon_m = 2^{-52}$; the power method has converged",
    ),
    grade="measured",
    delta=0.01,
    unit="angle over its bound",
)
def cancellation(ctx: Context) -> Iterator[Evidence]:
    """Worst over the radii: of gradients that are rounded, and of x + r u that is."""
    for place in (SLOPE_AT_0, FAR_SADDLE):
        yield _cancellation(ctx, place, 3, 3)


@cancellation.control("one rounding in a hundred")
def _(ctx: Context) -> Evidence:
    return _cancellation(ctx, SLOPE_AT_0, 0.01, 0.01)


@cancellation.control("the gradient's term alone, far from 0")
def _(ctx: Context) -> Evidence:
    slight = FAR_SADDLE._replace(gradient=1e-3 * SLOPE_AT_0.gradient)
    return _cancellation(ctx, slight, 3, 0)


# Momentum.


@claim(
    "negative_curvature.momentum",
    title="With momentum the search gains 0.39 √(γ/ℓ) a step, without γ/ℓ",
    source=zhang_li("acceleration; the constant is derived here"),
    statement=r"w^2 - (1+\tfrac q4)\bigl[(2-\theta)w - (1-\theta)\bigr] = 0,"
    r"\ \theta = \tfrac{\sqrt q}4,\ q = \gamma/\ell:\quad"
    r" w_+ = 1 + \tfrac{\sqrt{17}-1}{8}\sqrt q + O(q)",
    hypotheses=(r"$f$ quadratic; modes of curvature $-\gamma$ and 0",),
    grade="measured",
    delta=1e-6,
    unit="growth a step, less 1, over that of the formula",
)
def momentum(ctx: Context) -> Iterator[Evidence]:
    """The growth of u₁/u₂ along a search that starts at 10⁻²⁰⁰ of the direction."""
    for q in (0.1, 1e-3):
        yield _growth(ctx, q, q)


def _growth(ctx: Context, q: float, tuned: float) -> Evidence:
    found = negative_curvature(
        quadratic([-q, 0.0]),
        jnp.zeros(2),
        jnp.array([1e-200, 1.0]),
        smoothness=1.0,
        radius=1.0,
        steps=2400,
        target=tuned,
        keep=True,
    )
    assert found.directions is not None
    u = np.asarray(found.directions)
    ratio = u[:, 0] / u[:, 1]
    # transients of the flat mode and of the smaller root die like 1 - √q/4
    at = np.array([0.25, 0.5, 1.0]) * min(2400, 60 / math.sqrt(q))
    k = at.astype(int) - 1
    rates = ratio[k + 1] / ratio[k]
    expected = momentum_growth(q)[0] - 1
    return decide.equal(
        1.0,
        decide.ladder((rates - 1) / expected, condition=1 / expected),
        delta=ctx.delta,
        quantity=f"growth, q = {q:g}",
    )


@momentum.route("expansion for small q", grade="proved")
def _(ctx: Context) -> Evidence:
    """The larger root as a series in √q."""
    return _series((sympy.sqrt(17) - 1) / 8)


def _series(claimed) -> Evidence:
    s = sympy.Symbol("s", positive=True)  # √q
    # of w = 1 + s z the quadratic for z; its larger root at s = 0
    theta, grow = s / 4, 1 + s**2 / 4
    z = sympy.Symbol("z")
    w = 1 + s * z
    polynomial = sympy.expand((w**2 - grow * ((2 - theta) * w - (1 - theta))) / s**2)
    slope = max(sympy.solve(polynomial.subs(s, 0), z))
    return identical(slope, claimed, "w₊' at √q = 0")


@momentum.control("the constant (√17 - 1)/8 times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _series((sympy.sqrt(17) - 1) / 8 * (1 + sympy.Rational(1, 1000)))


@momentum.control("momentum tuned to a curvature four times as large")
def _(ctx: Context) -> Evidence:
    return _growth(ctx, 0.1, 0.4)
