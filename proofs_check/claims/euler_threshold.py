"""Where explicit Euler leaves a superlinear flow for good; a tamed step does not."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import Euler, NormTaming, TamedEuler
from flows import GradientFlow, Scheme, iterate
from flows.problems import double_well, norm_power
from flows.symbolic import (
    IdentityResult,
    equal_symbolically,
    exactly,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import euler_divergence, tamed_euler

H = sympy.Symbol("h", positive=True)
X = sympy.Symbol("x", positive=True)


def _stepped(scheme: Scheme, flow, x):
    """One traced step of size H from x (shape [1])."""

    def step(scheme, flow, x, h):
        return scheme.step(flow, 0.0, x, h, None, None).y

    return exactly(step, scheme, flow, np.array([x], dtype=object), H)[0]


# The double well: x' = x - x³.


@claim(
    "langevin.euler-threshold",
    title="Euler on the double well grows for ever exactly beyond |x| = √(1 + 2/h)",
    source=euler_divergence("the mechanism; the threshold is derived here"),
    statement=r"x^+ = x + h(x - x^3):\quad |x^+| > |x| \iff |x| > R = "
    r"\sqrt{1 + 2/h}\quad (|x| > 1)",
    hypotheses=(r"$h > 0$", r"$|x| > 1$; $x^+$ is odd in $x$"),
    grade="proved",
    delta=1e-9,
    unit="state",
    parameters={"h": 0.1},
)
def euler_threshold(ctx: Context) -> Evidence:
    """|x⁺|² - |x|² = h² x² (x² - 1)(x² - R²), by tracing the step; h is a symbol.

    Beyond R the sign stays: |x⁺| > |x| > R, and the factor grows with |x|.
    """
    return _growth(Euler(), 1)


def _growth(scheme: Scheme, factor) -> Evidence:
    new = _stepped(scheme, GradientFlow(double_well()), X)
    square = factor * (1 + 2 / H)
    claimed = H**2 * X**2 * (X**2 - 1) * (X**2 - square)
    return identical(new**2 - X**2, claimed, "|x⁺|² - |x|² = h²x²(x² - 1)(x² - R²)")


@euler_threshold.control("the threshold R² times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _growth(Euler(), 1 + sympy.Rational(1, 1000))


@euler_threshold.control("the tamed step")
def _(ctx: Context) -> Evidence:
    return _growth(TamedEuler(), 1)


@euler_threshold.route("bisection", grade="measured")
def _(ctx: Context) -> Evidence:
    """The start between convergence to 1 and overflow, bisected on the iteration."""
    return _bisected(ctx, float(ctx.parameters["h"]), 1.0)


@euler_threshold.control("half the step, the threshold of the whole one")
def _(ctx: Context) -> Evidence:
    return _bisected(ctx, float(ctx.parameters["h"]), 0.5)


def _bisected(ctx: Context, h: float, part: float) -> Evidence:
    flow = GradientFlow(double_well())
    low, high = 1.0, 20.0 / np.sqrt(h)
    while high - low > 1e-10 * high:
        middle = 0.5 * (low + high)
        # near R the gap grows by the factor |dx⁺/dx| = 5 + 2h a step
        run = iterate(
            Euler(), flow, jnp.array([middle]), h=part * h, steps=60, throw=False
        )
        gone = run.end.startswith("diverged")
        low, high = (low, middle) if gone else (middle, high)
    found = Measurement(0.5 * (low + high), bias=high - low)
    return decide.equal(float(np.sqrt(1 + 2 / h)), found, delta=ctx.delta, unit="state")


# A power: x' = -x |x|^{2r}, growth degree p = 2r + 1.


@claim(
    "langevin.euler-threshold-power",
    title="On x' = -ηx|x|^{2r} Euler's threshold is (2/(hη))^{1/(2r)}",
    source=euler_divergence("the mechanism; the threshold is derived here"),
    statement=r"x^+ = x - h\eta\,x|x|^{p-1}:\quad |x^+| > |x| \iff"
    r" |x| > \bigl(2/(h\eta)\bigr)^{1/(p-1)}",
    hypotheses=(r"$h, \eta > 0$", r"$p = 2r + 1 > 1$"),
    grade="proved",
)
def power_threshold(ctx: Context) -> Evidence:
    """|x⁺|² - |x|² = (hη)² x² x^{2r} (x^{2r} - 2/(hη)), all letters symbols."""
    return _power(Euler(), 1)


def _power(scheme: Scheme, factor) -> Evidence:
    flow = symbols_like(GradientFlow(norm_power(1.0, 1.0)))
    rate, power = H * flow.objective.eta, X ** (2 * flow.objective.r)
    new = _stepped(scheme, flow, X)
    claimed = rate**2 * X**2 * power * (power - factor * 2 / rate)
    return identical(new**2 - X**2, claimed, "|x⁺|² - |x|² = h²η²x²x²ʳ(x²ʳ - 2/(hη))")


@power_threshold.control("2/(hη) times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _power(Euler(), 1 + sympy.Rational(1, 1000))


# Taming: from anywhere beyond the wells the step goes inwards.


@claim(
    "langevin.tamed-step-descends",
    title="The tamed step goes inwards from every |x| > 1, whatever the step size",
    source=tamed_euler("the scheme; the statement is elementary"),
    statement=r"x^+ = x + \frac{h(x - x^3)}{1 + h|x - x^3|}:\quad"
    r" |x^+| < |x|\quad (|x| > 1)",
    hypotheses=(r"$h > 0$", r"$|x| > 1$; $x^+$ is odd in $x$"),
    grade="proved",
)
def tamed_descends(ctx: Context) -> Evidence:
    """|x|² - |x⁺|² = D(2x - D), D = hg/(1 + hg), x = 1 + y: positive terms only."""
    return _descends(TamedEuler(NormTaming()))


def _descends(scheme: Scheme) -> Evidence:
    y = sympy.Symbol("y", positive=True)
    x = 1 + y
    new = _stepped(scheme, GradientFlow(double_well()), X)
    g = y * (1 + y) * (2 + y)  # x³ - x
    drop = H * g * (2 * x + H * g * (1 + 2 * y)) / (1 + H * g) ** 2
    positive = drop.is_positive
    # |g| is written with the sign that it has here
    new = new.replace(
        lambda e: isinstance(e, sympy.Abs), lambda e: _magnitude(e.args[0], y)
    )
    found = equal_symbolically(x**2 - new.subs(X, x) ** 2, drop)
    if found.proved and not positive:
        found = IdentityResult("undecided", remainder=str(drop))
    return decide.identity(found, name="|x|² - |x⁺|² = a sum of positive terms")


def _magnitude(e, y):
    """|e| for a polynomial in x, at x = 1 + y with coefficients of one sign."""
    terms = sympy.Poly(e.subs(X, 1 + y), y).coeffs()
    signs = {bool(c > 0) for c in terms}
    if len(signs) != 1:
        return sympy.Abs(e)
    return e if signs.pop() else -e


@tamed_descends.control("Euler's step")
def _(ctx: Context) -> Evidence:
    return _descends(Euler())


@tamed_descends.route("from a million", grade="measured")
def _(ctx: Context) -> Evidence:
    """Every step from 10⁶ is shorter than 1 and goes down: 1 - |x⁺ - x| in (0, 1)."""
    run = iterate(
        TamedEuler(),
        GradientFlow(double_well()),
        jnp.array([1e6]),
        h=0.1,
        steps=1000,
    )
    moves = -np.diff(np.asarray(run.positions)[:, 0])
    worst = float(np.max(np.abs(moves - 0.5)))  # all moves in (0, 1)
    rounding = 1e6 * np.finfo(float).eps
    return decide.upper_bound(
        0.5, Measurement(worst, bias=rounding), delta=1e-6, quantity="|move - ½|"
    )
