"""Polyak's step, the corridor learning rate: what one step does."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import sympy

from discretize.proof import LocalModel
from flows import from_sympy, polyak_step
from flows.problems import quadratic
from flows.symbolic import (
    IdentityResult,
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.variant_flows import DHERIN, MORE
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

DERIVED = dataclasses.replace(DHERIN, location="the step; the rest is derived here")

X, Y, P = sympy.symbols("x y p", real=True)


def _polyak_move(objective, x, minimum=0):
    """The traced move -(f/|g|²) g of Polyak's step."""

    def move(f, x, minimum):
        return -polyak_step(f, x, minimum) * f.gradient(x)

    return exactly(move, objective, x, minimum)


@claim(
    "gradient_flow.polyak-power",
    title="Polyak's step multiplies the minimiser of |x|^p/p by 1 - 1/p",
    source=DERIVED,
    statement=r"f = |x|^p/p:\quad x_{k+1} = (1 - 1/p)\,x_k",
    hypotheses=(r"$p > 0$, $x > 0$",),
    grade="proved",
)
def power(ctx: Context) -> Evidence:
    """P and x symbols, x > 0."""
    return _power(1)


def _power(factor) -> Evidence:
    x, p = (sympy.Symbol(n, positive=True) for n in ("x", "p"))
    f = symbols_like(from_sympy(X**P / P, [X], {P: 4.0}), parameters={"positive": True})
    (move,) = _polyak_move(f, np.array([x], dtype=object))
    move = move.subs(next(iter(f.parameters.values())), p)
    gap = sympy.simplify(move + factor * x / p)
    return identical(gap, sympy.Integer(0), "x₊ - x = -x/p")


@power.control("factor 1 - (1 + 1/1000)/p")
def _(ctx: Context) -> Evidence:
    return _power(MORE)


@claim(
    "gradient_flow.polyak-exponential",
    title="On e^x Polyak's step is -1, always: f falls by e each step, in no corridor",
    source=DERIVED,
    statement=r"f = e^x:\quad x_{k+1} = x_k - 1,\quad Hg = e^{2x} \ne 0",
    grade="proved",
)
def exponential(ctx: Context) -> Evidence:
    """The move and Hg, x a symbol."""
    return _exponential(1)


def _exponential(scale) -> Evidence:
    x = symbol_vector("x", 1)
    f = from_sympy(sympy.exp(scale * X), [X])
    (move,) = _polyak_move(f, x)
    (hg,) = exactly(lambda f, x: f.hvp(x, f.gradient(x)), f, x)
    found = np.array([move, hg], dtype=object)
    claimed = np.array([-1, sympy.exp(2 * x[0])], dtype=object)
    return identical(found, claimed, "move -1")


@exponential.control("e^{1.001 x}")
def _(ctx: Context) -> Evidence:
    return _exponential(MORE)


@claim(
    "gradient_flow.polyak-range",
    title="On a quadratic Polyak's step lies between 1/(2 λ_max) and 1/(2 λ_min)",
    source=DERIVED,
    statement=r"f = \tfrac12 x^\top A x,\ A > 0:\quad \frac{1}{2\lambda_{\max}} \le"
    r" \frac{f}{|\nabla f|^2} \le \frac{1}{2\lambda_{\min}}",
    hypotheses=(r"$f^* = 0$ is aimed at", r"$x \ne 0$"),
    grade="proved",
    delta=1e-6,
    unit="step times 2 λ_min",
)
def step_range(ctx: Context) -> Evidence:
    """Both gaps as fractions with no negative coefficient, λ_i = λ_min + d_i."""
    low, x = sympy.Symbol("lambda", positive=True), symbol_vector("x", 3)
    d = sympy.symbols("d_1 d_2", nonnegative=True)
    spectrum = low + np.array([0, d[0], d[0] + d[1]], dtype=object)

    def gaps(spectrum, x):
        f = dataclasses.replace(quadratic(np.ones(3)), matrix=spectrum)
        square = jnp.sum(f.gradient(x) ** 2)  # the step is f/|∇f|² where it is not 0
        below = square - 2 * spectrum[0] * f.value(x)
        return jnp.stack([below, 2 * spectrum[2] * f.value(x) - square])

    found = [sympy.Poly(sympy.expand(e), *x) for e in exactly(gaps, spectrum, x)]
    even = all(n % 2 == 0 for p in found for monomial in p.monoms() for n in monomial)
    certificate = [c for p in found for c in p.coeffs()]
    terms = [c for e in certificate for c in sympy.Poly(e, low, *d).coeffs()]
    squares = even and all(c >= 0 for c in terms)
    status = "proved" if squares else "undecided"
    note = "; ".join(str(p.as_expr()) for p in found)
    return decide.identity(IdentityResult(status), name="sums of squares", note=note)


def _largest_step(ctx: Context, level: float) -> Evidence:
    """Step times 2 λ_min, at random points and at the extreme eigenvector."""
    spectrum = np.array([0.5, 1.0, 4.0])
    f = quadratic(spectrum)
    points = [*ctx.rng("points").standard_normal((50, 3)), np.eye(3)[0]]
    steps = [float(polyak_step(f, jnp.asarray(x), -level)) for x in points]
    measured = decide.Measurement(max(steps) * 2 * spectrum[0], bias=1e-14)
    return decide.upper_bound(
        1.0, measured, delta=ctx.delta, note="50 points and an eigenvector"
    )


@step_range.route("three eigenvalues, the bound attained", grade="measured")
def _(ctx: Context) -> Evidence:
    return _largest_step(ctx, 0.0)


# At e_1 the step is (λ/2 + level)/λ², so λ_min = 1/2 and level = 1/8 give at least 3/2.
@step_range.control("an aim 1/8 below the minimum")
def _(ctx: Context) -> Evidence:
    return _largest_step(ctx, 0.125)


@claim(
    "gradient_flow.polyak-fejer",
    title="On convex losses Polyak's step comes closer by f²/|∇f|² at least",
    source=dataclasses.replace(DERIVED, location="the step; the bound is Polyak's"),
    statement=r"|x_k - x^*|^2 - |x_{k+1} - x^*|^2 \ge"
    r" \frac{(f(x_k) - f^*)^2}{|\nabla f(x_k)|^2}",
    hypotheses=(
        r"$f$ convex, $x^*$ a minimiser, $f(x^*) = f^*$",
        r"$\nabla f(x_k) \ne 0$",
    ),
    grade="proved",
    delta=1e-6,
    unit="gain over f²/|∇f|²",
)
def fejer(ctx: Context) -> Evidence:
    """The gain is f²/|g|² + 2 s (g·(x - x*) - f), with s the step and x* = 0."""
    return _fejer(1)


def _fejer(factor) -> Evidence:
    """An identity in f, g and x, so that convexity, g·x >= f, gives the bound."""
    x, g = (symbol_vector(n, 2, positive=True) for n in ("x", "g"))
    level = sympy.Symbol("f", positive=True)

    def gain(level, g, x):
        f = LocalModel(None, g, jnp.zeros(2), x, level)
        new = x - polyak_step(f, x) * f.gradient(x)
        return jnp.sum(x**2) - jnp.sum(new**2)

    square = sum(g**2)
    claimed = factor * level**2 / square + 2 * level / square * (sum(g * x) - level)
    return identical(
        exactly(gain, level, g, x), claimed, "gain = f²/|g|² + 2 s (g·x - f)"
    )


@fejer.control("coefficient 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _fejer(MORE)


def _gains(losses, points, **about) -> Evidence:
    """The smallest gain over f²/|g|², all losses having x* = 0, f* = 0."""
    ratios = []
    for f in losses:
        for x in points:
            x = jnp.asarray(x)
            s, g = polyak_step(f, x), f.gradient(x)
            gain = jnp.sum(x**2) - jnp.sum((x - s * g) ** 2)
            ratios.append(float(gain / (s * f.value(x))))
    measured = decide.Measurement(min(ratios), bias=1e-12)
    return decide.lower_bound(1.0, measured, **about)


def _convex_losses():
    """|x|: ratio 1, attained; p = 4: 7; quadratics: 3; log cosh: between 1 and 3."""
    norm = sympy.sqrt(X**2 + Y**2)
    cosh = sympy.log(sympy.cosh(X)) + sympy.log(sympy.cosh(2 * Y))
    wells = [from_sympy(e, [X, Y]) for e in (norm, X**4 + Y**4, cosh)]
    return [*wells, quadratic([0.5, 4.0])]


@fejer.route("|x|, log cosh, a quartic and a quadratic", grade="measured")
def _(ctx: Context) -> Evidence:
    points = ctx.rng("points").uniform(-2, 2, (8, 2))
    return _gains(_convex_losses(), points, delta=ctx.delta, note="8 points each")


# 2 x f'/f - 1 with f = 1 - cos x at x = 3.
@fejer.control("1 - cos x, not convex", expected=6 * np.sin(3) / (1 - np.cos(3)) - 1)
def _(ctx: Context) -> Evidence:
    return _gains([from_sympy(1 - sympy.cos(X), [X])], [[3.0]], delta=ctx.delta)
