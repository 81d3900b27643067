"""Regimes of inertial-Newton damping: polynomials, windows, certified maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import sympy

from discretize import Euler, Regime, regimes
from discretize.linearise import Quadratic
from flows import (
    Facts,
    InertialNewtonFlow,
    InertialNewtonPsiFlow,
    InertialNewtonState,
    PhaseState,
)
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.certified_maps import Region, agreement, area_of, coded, middles
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import saddle_avoidance
from proofs_check.regime_balls import (
    discriminant_of_flow,
    roots_of_step,
    signs_of_step,
    window_of_flow,
)
from proofs_check.subdivision import subdivide

LINEARISED = saddle_avoidance(
    "the linearised system and its window of curvatures; mass and steps derived here"
)
ALPHA, BETA, MASS, GAMMA = sympy.symbols("alpha beta m gamma", positive=True)
LAMBDA = sympy.Symbol("lambda", real=True)
SHARE = sympy.Symbol("s", positive=True)  # √(1 - αβ/m)
Z = sympy.Symbol("z")


def damping(beta: Any = BETA) -> Any:
    """α + βλ, the friction of a mode."""
    return ALPHA + beta * LAMBDA


def discriminant(beta: Any = BETA) -> Any:
    """(α + βλ)² - 4mλ."""
    return damping(beta) ** 2 - 4 * MASS * LAMBDA


# What a mode does: two models and a step, traced, on λx²/2.


def psi_field(curvature, friction, damping, mass, x, y):
    """The field in (x, ψ)."""
    flow = InertialNewtonPsiFlow(Quadratic(Facts(), curvature), friction, damping, mass)
    return flow.vector_field(0.0, InertialNewtonState(x, y))


def phase_field(curvature, friction, damping, mass, x, y):
    """The field in (x, v)."""
    flow = InertialNewtonFlow(Quadratic(Facts(), curvature), friction, damping, mass)
    return flow.vector_field(0.0, PhaseState(x, y))


def euler_step(curvature, friction, damping, mass, x, y, h):
    """A step of explicit Euler in (x, ψ)."""
    flow = InertialNewtonPsiFlow(Quadratic(Facts(), curvature), friction, damping, mass)
    return Euler().step(flow, 0.0, InertialNewtonState(x, y), h, None, None).y


def polynomial(ctx: Context, function: Callable, *more: Any) -> Any:
    """The characteristic polynomial in z of a traced field or step."""

    def build():
        x, y = (np.array([sympy.Symbol(n, real=True)], object) for n in "xy")
        image = exactly(function, LAMBDA, ALPHA, BETA, MASS, x, y, *more)
        entries = [sympy.expand(e) for part in image for e in part]
        jacobian = sympy.Matrix(entries).jacobian([x[0], y[0]])
        return jacobian.applyfunc(sympy.cancel).charpoly(Z).as_expr()

    return ctx.compiled(("polynomial", function), build)


def exponents(factor: Any = 1) -> Any:
    """μ² + (α + βλ)/m μ + λ/m, its friction times a factor."""
    return Z**2 + factor * damping() / MASS * Z + LAMBDA / MASS


@claim(
    "inertial.mode-polynomial",
    title="Each mode of inertial Newton is an oscillator of friction α + βλ",
    source=LINEARISED,
    statement=r"m\mu^2 + (\alpha+\beta\lambda)\mu + \lambda = 0;\quad"
    r" \text{a step: } z = 1 + \gamma\mu,\ z^2 - (2 - \tfrac{\gamma}{m}(\alpha +"
    r" \beta\lambda)) z + 1 - \tfrac{\gamma}{m}(\alpha+\beta\lambda) +"
    r" \tfrac{\gamma^2}{m}\lambda = 0",
    hypotheses=(r"$f = \lambda x^2/2$", r"explicit Euler in $(x, \psi)$ of step γ"),
    grade="proved",
    unit="identity of polynomials",
)
def mode_polynomial(ctx: Context) -> Iterator[Evidence]:
    """Both forms of the flow, and the step, traced with every number a symbol."""
    yield identical(polynomial(ctx, psi_field), exponents(), "(x, ψ)")
    yield identical(polynomial(ctx, phase_field), exponents(), "(x, v)")
    trace = 2 - GAMMA * damping() / MASS
    det = 1 - GAMMA * damping() / MASS + GAMMA**2 * LAMBDA / MASS
    step = polynomial(ctx, euler_step, GAMMA)
    yield identical(step, Z**2 - trace * Z + det, "step")
    shifted = GAMMA**2 * exponents().subs(Z, (Z - 1) / GAMMA)
    yield identical(step, shifted, "step at z = 1 + γμ")


@mode_polynomial.control("friction times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    factor = 1 + sympy.Rational(1, 1000)
    return identical(polynomial(ctx, psi_field), exponents(factor), "(x, ψ)")


# The window of spirals.


def window(mass: Any = MASS) -> tuple[Any, Any]:
    """λ₋ and λ₊ where α = m(1 - s²)/β: m ((1 ∓ s)/β)²."""
    low, high = (mass * ((1 + sign * SHARE) / BETA) ** 2 for sign in (-1, 1))
    return low, high


WITH_SHARE = {ALPHA: MASS * (1 - SHARE**2) / BETA}


def _factored(low: Any, high: Any) -> Evidence:
    product = BETA**2 * (LAMBDA - low) * (LAMBDA - high)
    return identical(discriminant().subs(WITH_SHARE), product, "β²(λ-λ₋)(λ-λ₊)")


@claim(
    "inertial.spiral-window",
    title="Modes spiral for αβ < m and curvatures between λ₋ and λ₊ alone",
    source=LINEARISED,
    statement=r"(\alpha+\beta\lambda)^2 - 4m\lambda = \beta^2(\lambda-\lambda_-)"
    r"(\lambda-\lambda_+) = (\alpha-\beta\lambda)^2 + 4\lambda(\alpha\beta-m),\quad"
    r" \lambda_\pm = \Bigl(\frac{\sqrt m\pm\sqrt{m-\alpha\beta}}{\beta}\Bigr)^2",
    hypotheses=(
        r"$f = \lambda x^2/2$, $\lambda > 0$",
        r"constant $\alpha, \beta, m > 0$",
        r"the flow, and explicit Euler on it at any step",
    ),
    grade="proved",
    delta=0.005,
    quick_delta=0.05,
    unit="identity; areas in the plane of $\\alpha\\beta/m$ and $\\beta^2\\lambda/m$",
)
def spiral_window(ctx: Context) -> Iterator[Evidence]:
    """The second form has no negative term where αβ >= m: no spirals.

    The step's discriminant is the flow's times (γ/m)²: Euler adds and loses no spiral.
    """
    yield _factored(*window())
    squares = (ALPHA - BETA * LAMBDA) ** 2 + 4 * LAMBDA * (ALPHA * BETA - MASS)
    yield identical(discriminant(), squares, "(α-βλ)² + 4λ(αβ-m)")
    step = sympy.discriminant(polynomial(ctx, euler_step, GAMMA), Z)
    yield identical(step, (GAMMA / MASS) ** 2 * discriminant(), "step's discriminant")


@spiral_window.control("λ± without the mass")
def _(ctx: Context) -> Evidence:
    return _factored(*window(sympy.Integer(1)))


@spiral_window.control("β - γ in place of β in the step's discriminant")
def _(ctx: Context) -> Evidence:
    step = sympy.discriminant(polynomial(ctx, euler_step, GAMMA), Z)
    wrong = (GAMMA / MASS) ** 2 * discriminant(BETA - GAMMA)
    return identical(step, wrong, "step's discriminant")


WINDOW_AREA = Region("SPIRAL", (0.0, 0.0), (2.0, 4.0), 8 / 3)
FLOW_RULES = discriminant_of_flow, window_of_flow


@spiral_window.route("ball arithmetic", grade="certified")
def _(ctx: Context) -> Iterator[Evidence]:
    """Discriminant against window on the plane of a = αβ/m and u = β²λ/m.

    The window ((1-√(1-a))², (1+√(1-a))²) has the length 4√(1-a): the area is 8/3.
    """
    found = subdivide(FLOW_RULES, (0.0, 0.0), (2.0, 4.0), levels=8)
    yield agreement(found, "discriminant = window, cell by cell")
    a, u = middles(found)
    yield coded(found, regimes(u, a, 1.0).regime, "regimes(u, a, 1)")
    yield area_of(ctx, FLOW_RULES, WINDOW_AREA, ctx.choose(9, 12))


@spiral_window.route("turns of solutions", grade="measured")
def _(ctx: Context) -> Evidence:
    """x(t) by scipy's matrix exponential changes sign twice or more: a spiral.

    Both edges are approached to 2e-3 of λ, from both sides; a sum of two real
    exponentials vanishes once at most. λ moved by 2 delta must be seen.
    """
    right, turns = _turning_modes(ctx.choose(500, 2_000), 0.0)
    moved, _ = _turning_modes(ctx.choose(500, 2_000), 2 * ctx.delta)
    return decide.exact(
        (right != turns).astype(float),
        rounding=0.0,
        moved=float(np.mean(moved != turns)),
        delta=2 * ctx.delta,
    )


def _turning_modes(count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether modes spiral by `regimes` (at λ moved), and whether solutions turn."""
    from scipy.linalg import expm

    r = np.random.default_rng(17)
    beta, m = 10 ** r.uniform(-1, 1, (2, count))
    alpha = m * r.uniform(0.05, 0.8, count) / beta
    share = np.sqrt(1 - alpha * beta / m)
    upper, outer = r.random((2, count)) < 0.5
    edge = m * ((1 + np.where(upper, share, -share)) / beta) ** 2
    near = 10 ** r.uniform(np.log10(2e-3), -1, count)
    stiffness = edge * (1 + np.where(outer, near, -near))
    codes = np.asarray(regimes(stiffness * (1 + shift), alpha, beta, mass=m).regime)
    friction = alpha + beta * stiffness
    gap = np.sqrt(np.abs(friction**2 - 4 * m * stiffness)) / (2 * m)
    one, zero = np.ones(count), np.zeros(count)
    a = np.moveaxis(np.array([[zero, one], [-stiffness / m, -friction / m]]), -1, 0)
    # forty steps in each half turn of a spiral, for three half turns; the common decay
    # is taken out, which moves no zero
    dt = np.pi / gap / 40
    a = a + np.eye(2) * (friction / (2 * m))[:, None, None]
    step, y = expm(a * dt[:, None, None]), r.normal(size=(count, 2, 1))
    signs = []
    for _ in range(121):
        signs.append(np.sign(y[:, 0, 0]))
        y = step @ y
        y = y / np.linalg.norm(y, axis=1, keepdims=True)
    changes = np.sum(np.diff(np.array(signs), axis=0) != 0, axis=0)
    return codes == Regime.SPIRAL, changes >= 2


@spiral_window.control("balls: the window without the condition αβ < m")
def _(ctx: Context) -> Evidence:
    rules = (discriminant_of_flow, lambda a, u: window_of_flow(a, u, always=True))
    found = subdivide(rules, (0.0, 0.0), (2.0, 4.0), levels=4)
    return agreement(found, "discriminant = window, cell by cell")


# The map of a step.


PLANE = (0.0, -1.0), (5.0, 5.0)
STEP_RULES = roots_of_step, signs_of_step
REGIONS = (
    Region("NODE", (0.0, 0.0), (2.0, 1.0), 1 / 6),
    Region("FLIP", (1.0, 0.0), (4.0, 4.0), 7 / 6),
    Region("SPIRAL", (0.0, 0.0), (4.0, 4.0), 8 / 3),
)


@claim(
    "inertial.step-regimes",
    title="Nodes, spirals and flips of a step by the signs of five polynomials",
    source=LINEARISED,
    statement=r"S = \tfrac\gamma m(\alpha+\beta\lambda),\ G = \tfrac{\gamma^2}m\lambda:"
    r"\quad \text{stable} \iff 0 < G < S,\ 4 - 2S + G > 0;\quad \text{spiral} \iff"
    r" S^2 < 4G;\quad \text{flip} \iff S^2 > 4G \text{ and } (1 - S + G < 0 \text{ or }"
    r" S > 2);\quad \text{areas } \tfrac83, \tfrac76,\ \text{node } \tfrac16",
    hypotheses=(
        r"the step of `inertial.mode-polynomial`",
        r"$0 < S \le 5$, $-1 \le G \le 5$: it contains every stable step",
        "spirals and flips: among the stable steps",
    ),
    grade="certified",
    delta=0.02,
    quick_delta=0.1,
    unit="cells; areas in the plane of S and G",
)
def step_regimes(ctx: Context) -> Iterator[Evidence]:
    """Enclosures of both roots against signs of polynomials, cell by cell.

    The stable triangle with corners (0, 0), (4, 4), (2, 0) is cut by the parabola
    S² = 4G and the line G = S - 1. Float code is asked at the middle of every settled
    cell, with λ = G, α = S, β = 0, γ = m = 1.
    """
    found = subdivide(STEP_RULES, *PLANE, levels=ctx.choose(7, 10))
    yield agreement(found, "roots = signs, cell by cell")
    s, g = middles(found)
    yield coded(found, regimes(g, s, 0.0, step=1.0).regime, "regimes(G, S, 0, step=1)")
    for region in REGIONS:
        yield area_of(ctx, STEP_RULES, region, ctx.choose(8, 11))


@step_regimes.control("spirals by S² < 5G")
def _(ctx: Context) -> Evidence:
    def wrong(s, g):
        sure = s * s < 5 * g and g > 0 and g < s and 4 - 2 * s + g > 0
        return "SPIRAL" if sure else signs_of_step(s, g)

    found = subdivide((roots_of_step, wrong), *PLANE, levels=5)
    return agreement(found, "roots = signs, cell by cell")


@step_regimes.control("β = 1/10 in place of 0")
def _(ctx: Context) -> Evidence:
    """The code, at the same middles."""
    found = subdivide(STEP_RULES, *PLANE, levels=5)
    s, g = middles(found)
    codes = regimes(g, s, 0.1, step=1.0).regime
    return coded(found, codes, "regimes(G, S, 1/10, step=1)")


@step_regimes.control("an area larger by a fifth")
def _(ctx: Context) -> Evidence:
    return area_of(ctx, STEP_RULES, REGIONS[2], ctx.choose(8, 11), 1.2)


@step_regimes.route("eigenvalues of NumPy", grade="measured")
def _(ctx: Context) -> Evidence:
    """Random α, β, m, γ and λ of both signs: the code against 2 x 2 matrices.

    Points with two roots within 1e-6 of one another, relatively (near a double root
    rounding moves both by the root of its size), or with a |z| within 1e-9 of 0 or 1,
    are counted and left out.
    """
    count = ctx.choose(2_000, 20_000)
    codes, by_roots, clear = _random_codes(count, 0.0)
    moved, _, _ = _random_codes(count, ctx.delta)
    wrong = (codes != by_roots) & clear
    note = f"{count:,} points, {int(np.sum(~clear))} left out"
    seen = float(np.mean((moved != by_roots) & clear))
    return decide.exact(
        wrong.astype(float), rounding=0.0, moved=seen, delta=ctx.delta, note=note
    )


def _random_codes(count: int, shift: float) -> tuple[Any, Any, Any]:
    """Codes of `regimes` (at λ moved), those of eigenvalues, and what is clear."""
    r = np.random.default_rng(20230601)
    stiffness = 10 ** r.uniform(-3, 3, count) * np.where(r.random(count) < 0.8, 1, -1)
    alpha, beta, m, h = 10 ** r.uniform(
        [[-2], [-2], [-1], [-2]], [[1], [1], [1], [0.7]], (4, count)
    )
    moved = stiffness * (1 + shift)
    codes = np.asarray(regimes(moved, alpha, beta, mass=m, step=h).regime)
    slow = alpha - m / beta
    rows = [[-(slow + beta * stiffness) / m, -1 / (beta * m)], [-slow, -1 / beta]]
    z = 1 + h[:, None] * np.linalg.eigvals(np.moveaxis(np.array(rows), -1, 0))
    pair, size = np.abs(z[:, 0].imag) > 0, np.abs(z)
    clear = np.min(np.minimum(np.abs(size - 1), size), axis=1) > 1e-9
    clear &= np.abs(z[:, 0] - z[:, 1]) > 1e-6 * np.max(size, axis=1)
    out = np.sum(size > 1, axis=1)
    flips = np.min(z.real, axis=1) < 0
    stable = np.where(pair, Regime.SPIRAL, np.where(flips, Regime.FLIP, Regime.NODE))
    unstable = np.where(pair, Regime.UNSTABLE_SPIRAL, Regime.UNSTABLE_FLIP)
    saddle = np.where(out == 2, Regime.SOURCE, Regime.SADDLE)
    found = np.where(stiffness < 0, saddle, np.where(out > 0, unstable, stable))
    return codes, found, clear
