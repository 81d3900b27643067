"""Closed forms of the oscillation where one direction is critical."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows.central import (
    Block,
    CentralFlow,
    CentralState,
    GradientDescent,
    ScalarRMSProp,
    response,
    solve_sdcp,
)
from flows.problems import quadratic
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import central_flows

CENTRAL = central_flows(
    "the differential complementarity problem; the formula is derived here"
)
ONE_DIRECTION = (
    r"$L \in C^3$; one eigenvalue of $P^{-1}H$ is at the edge, $Hu = Su$, $|u| = 1$",
    r"the oscillation is not clipped: $\sigma^2 \ge 0$",
)
SOLVED = 1e-10
"""Relative error allowed to the complementarity solver, whose tolerance is smaller."""


def positive(names: str) -> tuple[Any, ...]:
    """Positive symbols of these names, a tuple also where there is one."""
    return sympy.symbols(names, positive=True, seq=True)


def variance(rule, t, memory, gradient, sharpness, third):
    """σ² that keeps one direction at the edge, by the flow's own response.

    The critical direction is e₁ of two: g, ∇S = ∇³L[e₁, e₁, ·] and S decide. The inner
    products of g and ∇S are independent already there, so no loss is left out.
    """
    p = rule.preconditioner(t, memory)
    v = jnp.array([[1.0], [0.0]]) / jnp.sqrt(p)  # so that vᵀPv = 1
    block = Block(v, sharpness * v, jnp.reshape(sharpness / p, (1,)), jnp.zeros(1))
    flow = CentralFlow(quadratic([1.0, 1.0]), rule)
    state = CentralState(jnp.zeros(2), memory)
    r = response(flow, t, state, gradient, block, (third / p)[None, :])
    return -r.gap[0, 0] / r.operator[0, 0] / p  # Σ = X v vᵀ = (X/p) u uᵀ


def products(gradient, third):
    """⟨-g, ∇S⟩, |∇S|² and |g|² of arrays of symbols."""
    return -(gradient @ third), third @ third, gradient @ gradient


# Gradient descent, with and without a schedule.


def _scheduled(eta, slope, gradient, third, sharpness):
    return variance(
        GradientDescent(lambda t: eta + slope * t),
        0.0,
        None,
        gradient,
        sharpness,
        third,
    )


def _descent(slope: Any, claimed) -> Evidence:
    eta, s = positive("eta S")
    g, third = symbol_vector("g", 2), symbol_vector("t", 2)
    found = exactly(_scheduled, eta, slope, g, third, s)
    expected = claimed(eta, *products(g, third)[:2])
    return identical(found, expected, "traced σ² = closed form")


@claim(
    "central_flow.gd-variance",
    title="Gradient descent's oscillation at the edge has σ² = 2⟨-g, ∇S⟩/|∇S|²",
    source=CENTRAL,
    statement=r"\sigma^2 = \max\Bigl(0,\ \frac{2\langle -g, \nabla S\rangle}"
    r"{|\nabla S|^2}\Bigr),\quad S = \frac2\eta",
    hypotheses=(
        *ONE_DIRECTION[:1],
        r"proved where $\langle -g, \nabla S\rangle \ge 0$; the clip is measured",
    ),
    grade="proved",
    delta=1e-6,
)
def gd_variance(ctx: Context) -> Evidence:
    """The response of the flow traced, g, ∇³L and η symbols; then A + B X = 0."""
    return _descent(0.0, lambda eta, along, steep: 2 * along / steep)


@gd_variance.control("without the factor 2 of the mean force ½σ²∇S")
def _(ctx: Context) -> Evidence:
    return _descent(0.0, lambda eta, along, steep: along / steep)


@gd_variance.route("the solver with one direction", grade="measured")
def _(ctx: Context) -> Evidence:
    """Largest error of `solve_sdcp` at k = 1, both signs of ⟨-g, ∇S⟩, clip included."""
    rng = ctx.rng()
    solve = ctx.compiled("solve", lambda: jax.jit(solve_sdcp))
    errors = []
    for _ in range(ctx.choose(20, 200)):
        g, third, eta = rng.standard_normal(3), rng.standard_normal(3), 0.1
        a, b = eta * (g @ third), eta / 2 * (third @ third)
        found = float(solve(jnp.full((1, 1), a), jnp.full((1, 1), b)).x[0, 0])
        expected = max(0.0, -2 * (g @ third) / (third @ third))
        errors.append(abs(found - expected) / max(expected, 1.0))
    measured = decide.Measurement(max(errors), bias=SOLVED)
    return decide.equal(0.0, measured, delta=ctx.delta, scale=1.0)


@claim(
    "central_flow.scheduled-variance",
    title="A schedule of the learning rate enters σ² as 2η'/η³",
    source=CENTRAL,
    statement=r"\sigma^2 = \frac{2}{|\nabla S|^2}\Bigl(\langle -g, \nabla S\rangle"
    r" + \frac{2\dot\eta}{\eta^3}\Bigr),\quad P = \frac{I}{\eta(t)},\quad"
    r" S = \frac{2}{\eta(t)}",
    hypotheses=(*ONE_DIRECTION, r"$\eta(t)$ differentiable; time counts steps"),
    grade="proved",
)
def scheduled_variance(ctx: Context) -> Evidence:
    """As for a constant rate, with η(t) = η + η't: dP/dt moves the edge itself."""
    return _schedule(1)


def _schedule(factor) -> Evidence:
    slope = sympy.Symbol("etadot", real=True)

    def claimed(eta, along, steep):
        return 2 * (along + factor * 2 * slope / eta**3) / steep

    return _descent(slope, claimed)


@scheduled_variance.control("the schedule's term left out")
def _(ctx: Context) -> Evidence:
    return _schedule(0)


@scheduled_variance.control("the schedule's term with the other sign")
def _(ctx: Context) -> Evidence:
    return _schedule(-1)


# Scalar RMSProp.


def closed_form(eta, kappa, s, along, steep, square):
    """σ² of Scalar RMSProp by κ, ⟨-g, ∇S⟩, |∇S|² and |g|²."""
    return (along + kappa * (s**2 / 4 - square / eta**2)) / (
        steep / 2 + kappa * s**2 / eta**2
    )


def _scalar(eta, b2, g, s, third):
    nu = (eta * s / 2) ** 2  # the edge
    return variance(ScalarRMSProp(eta, b2), 0.0, nu, g, s, third)


@claim(
    "central_flow.scalar-rmsprop-variance",
    title="Scalar RMSProp's oscillation at the edge, and its limits",
    source=CENTRAL,
    statement=r"\sigma^2 = \frac{\beta_2\langle -g,\nabla S\rangle"
    r" + (1-\beta_2)(S^2/4 - |g|^2/\eta^2)}"
    r"{\tfrac{\beta_2}2|\nabla S|^2 + (1-\beta_2)S^2/\eta^2};\quad"
    r"\beta_2\to1:\ \frac{2\langle -g,\nabla S\rangle}{|\nabla S|^2};\quad"
    r"\eta\to\infty:\ \frac{2\beta_2\langle -g,\nabla S\rangle + (1-\beta_2)S^2/2}"
    r"{\beta_2|\nabla S|^2}",
    hypotheses=(*ONE_DIRECTION, r"$\nu = \eta^2S^2/4$, $\epsilon = 0$"),
    grade="proved",
)
def scalar_rmsprop_variance(ctx: Context) -> Evidence:
    """From d/dt(ηS/√ν) = 0, the flow's response being traced; limits by sympy."""
    return _scalar_formula(lambda b2: (1 - b2) / b2)


def _scalar_formula(kappa) -> Evidence:
    eta, s, r = positive("eta S r")
    g, third = symbol_vector("g", 2), symbol_vector("t", 2)
    # b2 = 1/(1 + r) keeps the hypothesis 0 < b2 < 1 in the symbols themselves.
    found = exactly(_scalar, eta, 1 / (1 + r), g, s, third)
    b2, along, steep, square = positive("b2 along steep square")
    formula = closed_form(eta, kappa(b2), s, along, steep, square)
    values = dict(zip((along, steep, square), products(g, third), strict=True))
    here = formula.subs({b2: 1 / (1 + r), **values}, simultaneous=True)
    limits = [sympy.limit(formula, b2, 1), sympy.limit(formula, eta, sympy.oo)]
    far = (2 * b2 * along + (1 - b2) * s**2 / 2) / (b2 * steep)
    return identical(
        np.array([found, *limits]),
        np.array([here, 2 * along / steep, far]),
        "traced σ² = closed form, and its two limits",
    )


@scalar_rmsprop_variance.control("κ = 1 - β₂ in place of (1 - β₂)/β₂")
def _(ctx: Context) -> Evidence:
    return _scalar_formula(lambda b2: 1 - b2)


@claim(
    "central_flow.scalar-rmsprop-monotone",
    title="A larger learning rate makes Scalar RMSProp oscillate more at the edge",
    source=CENTRAL,
    statement=r"\frac{\partial\sigma^2}{\partial\eta} = \frac{2\kappa}{\eta^3}"
    r"\,\frac{|g|^2 + S^2\sigma^2}{\frac12|\nabla S|^2 + \kappa S^2/\eta^2},\quad"
    r"\operatorname{sign} = \operatorname{sign}\bigl((1-\beta_2)S^4"
    r" + 4\beta_2S^2\langle -g,\nabla S\rangle + 2\beta_2|\nabla S|^2|g|^2\bigr)"
    r"\ge 0\ \text{ where } \sigma^2 \ge 0",
    hypotheses=(*ONE_DIRECTION, r"$g$, $S$, $\nabla S$ fixed; $\nu = \eta^2S^2/4$"),
    grade="proved",
    delta=1e-9,
)
def scalar_rmsprop_monotone(ctx: Context) -> Evidence:
    """∂σ²/∂η of the traced flow: a positive factor times |g|² + S²σ²."""
    return _slope(1)


def _slope(weight) -> Evidence:
    eta, s, r = positive("eta S r")
    g, third = symbol_vector("g", 2), symbol_vector("t", 2)
    b2, kappa = 1 / (1 + r), r
    found = exactly(_scalar, eta, b2, g, s, third)
    along, steep, square = products(g, third)
    below = steep / 2 + kappa * s**2 / eta**2
    factor = 2 * kappa / eta**3 / below
    sign = (1 - b2) * s**4 + 4 * b2 * s**2 * along + 2 * b2 * steep * square
    return identical(
        np.array([found.diff(eta), found.diff(eta)]),
        np.array(
            [
                factor * (weight * square + s**2 * found),
                factor * (weight * sign / (4 * b2 * below)),
            ]
        ),
        "∂σ²/∂η, in two forms",
    )


@scalar_rmsprop_monotone.control("the weight of |g|² times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _slope(sympy.Rational(1001, 1000))


@scalar_rmsprop_monotone.route("instances with σ² >= 0", grade="measured")
def _(ctx: Context) -> Evidence:
    return _smallest_slope(ctx, clipped=False)


@scalar_rmsprop_monotone.control("instances with σ² < 0")
def _(ctx: Context) -> Evidence:
    return _smallest_slope(ctx, clipped=True)


def _smallest_slope(ctx: Context, *, clipped: bool) -> Evidence:
    """Smallest normalised difference of σ²(η) between η (1 ± 0.01), in [-1, 1]."""
    compiled = ctx.compiled("sigma", lambda: jax.jit(jax.vmap(_scalar)))
    rng, m = ctx.rng(), ctx.choose(400, 20_000)
    g, third = rng.standard_normal((2, m, 2))
    s, eta, b2 = np.exp(rng.uniform(-2, 2, m)), np.exp(rng.uniform(-3, 1, m)), 0.9
    values = [
        np.asarray(compiled(eta * f, np.full(m, b2), g, s, third)) for f in (0.99, 1.01)
    ]
    low, high = values
    kept = (high < 0) if clipped else (low >= 0)
    change = ((high - low) / (np.abs(high) + np.abs(low)))[kept]
    measured = decide.Measurement(float(change.min()), bias=1e-12)
    return decide.lower_bound(
        0.0, measured, delta=1e-2, scale=1.0, note=f"{kept.sum()} random instances"
    )
