"""Negative curvature: the step along it, the radius, what momentum gains."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import escape_step, negative_curvature
from flows.problems import quadratic
from flows.symbolic import equal_symbolically, exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
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
    ends = [exactly(_length, EPS, RHO, s) for s in (SLOPE, -SLOPE)]
    both = equal_symbolically(list(ends), [ends[0], -ends[0]])
    yield decide.identity(both, name="step against the slope")


def _taylor(stretch) -> Evidence:
    step = stretch * exactly(_length, EPS, RHO, sympy.Integer(0))
    curvature = -sympy.sqrt(RHO * EPS) / 4
    rise = curvature * step**2 / 2 + RHO * (-step) ** 3 / 6  # the extremal cubic
    found = equal_symbolically(-rise, sympy.sqrt(EPS**3 / RHO) / 192)
    return decide.identity(found, name="decrease of the extremal cubic")


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
    return decide.lower_bound(1.0, Measurement(worst / unit, bias=1e-9), delta=1e-3)


@decrease.route("a grid of functions", grade="measured")
def _(ctx: Context) -> Evidence:
    """16,000 functions of one variable: oscillating third derivatives, four slopes."""
    return _least_decrease(1.0)


@decrease.control("the step four times as long, on the grid")
def _(ctx: Context) -> Evidence:
    return _least_decrease(4.0)


# Cancellation.

GAP = 0.5
FAR = 5.0


def _misalignment(radii: np.ndarray) -> tuple[np.ndarray, float]:
    """The sine of the angle between direction and eigenvector, and |∇f(x)|.

    f is a quadratic with its centre at a distance from x = 0, so that ∇f(x) ≠ 0.
    """
    spectrum = np.array([-1.0, -1.0 + GAP, 0.3, 1.0])
    centre = FAR * np.array([0.3, -0.7, 0.4, 0.5])
    f = dataclasses.replace(quadratic(spectrum), centre=jnp.asarray(centre))
    start, found = jnp.array([0.5, 0.5, -0.5, 0.5]), []
    for radius in radii:
        search = negative_curvature(
            f, jnp.zeros(4), start, smoothness=1.0, radius=radius, steps=300
        )
        found.append(float(jnp.linalg.norm(search.direction[1:])))
    return np.array(found), float(np.linalg.norm(spectrum * centre))


def _cancellation(ctx: Context, rounding: float) -> Evidence:
    radii = np.geomspace(1e-3, 1e-12, ctx.choose(10, 37))
    angle, gradient = _misalignment(radii)
    bound = rounding * gradient / (radii * GAP)
    worst = float(np.max(angle / bound))
    return decide.upper_bound(1.0, Measurement(worst), delta=ctx.delta)


@claim(
    "negative_curvature.cancellation",
    title="Differences of gradients turn the direction by at most 3ε_m|∇f|/(r gap)",
    source=zhang_li("the search; the effect of rounding is derived here"),
    statement=r"\sin\angle(u, e_1) \le \frac{3\,\epsilon_{m}\,|\nabla f(x)|}"
    r"{r\,(\lambda_2 - \lambda_1)}:\quad r \gg \epsilon_{m}|\nabla f|/|\lambda_1|",
    hypotheses=(
        r"$f$ quadratic, $|\nabla f| = 3.5$, $r$ from $10^{-3}$ to $10^{-12}$",
        r"$\epsilon_m = 2^{-52}$; the power method has converged",
    ),
    grade="measured",
    delta=0.01,
    unit="angle over its bound",
)
def cancellation(ctx: Context) -> Evidence:
    """Worst over the radii; each of two gradients is rounded three times."""
    return _cancellation(ctx, 3 * np.finfo(float).eps)


@cancellation.control("one rounding in a hundred")
def _(ctx: Context) -> Evidence:
    return _cancellation(ctx, 0.01 * np.finfo(float).eps)


# Momentum.


def growth(q: float) -> float:
    """Growth a step of the mode of curvature -γ under momentum, q = γ/ℓ.

    The larger root of w² - (1 + q/4)((2 - θ) w - (1 - θ)), θ = √q/4.
    """
    theta, grow = math.sqrt(q) / 4, 1 + q / 4
    b = grow * (2 - theta)
    return (b + math.sqrt(b**2 - 4 * grow * (1 - theta))) / 2


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
    expected = growth(q) - 1
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
    b, c = (1 + s**2 / 4) * (2 - s / 4), (1 + s**2 / 4) * (1 - s / 4)
    inside = sympy.expand((b**2 - 4 * c) / s**2)
    root = (b + s * sympy.sqrt(inside)) / 2
    slope = sympy.diff(root, s).subs(s, 0)
    return decide.identity(equal_symbolically(slope, claimed), name="w₊' at √q = 0")


@momentum.control("the constant (√17 - 1)/8 times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _series((sympy.sqrt(17) - 1) / 8 * (1 + sympy.Rational(1, 1000)))


@momentum.control("momentum tuned to a curvature four times as large")
def _(ctx: Context) -> Evidence:
    return _growth(ctx, 0.1, 0.4)
