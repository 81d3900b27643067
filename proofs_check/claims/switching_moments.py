"""Stationary moments of switching quadratics, and of any switched linear system."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
import sympy

from flows import quadratic_sum
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.switching_moment_equations import (
    CURVATURE,
    FRICTION,
    MASS,
    MOMENTUM,
    RATE,
    SPREAD,
    four_wells,
)
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import stochastic_gradient_process
from proofs_check.switching_quadratics import (
    example_state,
    symbolic_process,
    total,
)
from sde import (
    LinearFields,
    MarkovIndex,
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    UniformIndex,
    linear_fields,
    moment_equations,
    stationary_moments,
    stationary_switched_moments,
    transient_switched_moments,
)
from sde.switched_linear import moment_operator

LATZ = stochastic_gradient_process("the process; its moments are derived here")
LINEAR = Source(
    title="Continuous-Time Markov Jump Linear Systems",
    authors="Oswaldo L. V. Costa, Marcelo D. Fragoso and Marcos G. Todorov",
    year=2013,
    location="moments split by the label; the equations with forcing derived here",
)


def _condition(process: Any) -> float:
    """The condition number of the linear system of the second moments."""
    fields = process if isinstance(process, LinearFields) else linear_fields(process)
    return float(np.linalg.cond(np.asarray(eqx.filter_jit(moment_operator)(fields, 2))))


# Stationary moments.


def _settled(convention: str = "never_repeat") -> Evidence:
    process = symbolic_process(
        2, momentum=True, convention=convention, centres=[[1], [-1]]
    )
    found = stationary_moments(process, 2, y=example_state(process))
    kappa, m, alpha = process.objective.curvatures, process.mass, process.friction
    r = 2 * process.index.rate
    whole = kappa + alpha * r + m * r**2
    position = kappa * (alpha + m * r) / (alpha * whole)
    velocity = kappa**2 * r / (alpha * whole)
    by_label = {k: v for k, v in found.items() if k.exponents == (1, 0)}
    label = sum(v * (1 - 2 * int(k.label or 0)) for k, v in by_label.items())
    left = [total(found, 2, 0), total(found, 0, 2), total(found, 1, 1), label]
    right = [position, velocity, sympy.Integer(0), kappa / whole]
    left.append(m * total(found, 0, 2) / (kappa * total(found, 2, 0)))
    right.append(m * r / (alpha + m * r))
    return identical(
        np.array(left, object),
        np.array(right, object),
        "variances, covariances, equipartition",
    )


@claim(
    "pdmp.momentum-variance",
    title="Momentum widens the stationary law of a switching quadratic",
    source=MOMENTUM,
    statement=r"\mathrm{Var}\,x = \frac{s^2\kappa(\alpha + mr)}{\alpha w},\quad"
    r" \mathrm{Var}\,v = \frac{s^2\kappa^2 r}{\alpha w},\quad \mathrm{Cov}(x, a_I) ="
    r" \frac{s^2\kappa}{w},\quad w = \kappa + \alpha r + mr^2,\quad \frac{m\,"
    r"\mathrm{Var}\,v}{\kappa\,\mathrm{Var}\,x} = \frac{mr}{\alpha + mr}",
    hypotheses=(r"$f_i = \kappa(x - a_i)^2/2$", r"$\kappa, \alpha, m, r > 0$"),
    grade="proved",
    delta=1e-9,
    unit="s²",
)
def momentum_variance(ctx: Context) -> Evidence:
    """The stationary solution of the generator's moments: two labels, s² = 1."""
    return _settled()


@momentum_variance.control("fresh draws, whose relaxation rate is half of it")
def _(ctx: Context) -> Evidence:
    return _settled("fresh_draw")


@momentum_variance.route("increasing in the mass", grade="proved")
def _(ctx: Context) -> Evidence:
    """∂ Var x/∂m = s²κ² r/(α(κ + αr + mr²)²), a quotient of positive numbers."""
    k, m, a, r = sympy.symbols("kappa m alpha r", positive=True)
    whole = k + a * r + m * r**2
    slope = sympy.diff(k * (a + m * r) / (a * whole), m)
    return identical(slope, k**2 * r / (a * whole**2), "∂ Var x/∂m > 0")


@momentum_variance.route("linear solve", grade="measured")
def _(ctx: Context) -> Evidence:
    """Four labels, by the solver for any switched linear system."""
    r = RATE * 4 / 3
    whole = CURVATURE + FRICTION * r + MASS * r**2
    claimed = CURVATURE * (FRICTION + MASS * r) / (FRICTION * whole)
    value = float(stationary_switched_moments(four_wells()).covariance[0, 0]) / SPREAD
    found = decide.ladder([value] * 3, condition=_condition(four_wells()))
    return decide.equal(claimed, found, delta=ctx.delta, quantity="Var x, N = 4")


@claim(
    "pdmp.variance",
    title="Without momentum the stationary variance is s²κ/(κ + αr)",
    source=LATZ,
    statement=r"\alpha\dot x = -\kappa(x - a_I)\ \Rightarrow\ \mathbb E x = \bar a,"
    r"\quad \mathrm{Var}\,x = \frac{s^2\kappa}{\kappa + \alpha r}",
    hypotheses=(r"$\kappa, \alpha, r > 0$", "uniform sampling"),
    grade="proved",
)
def variance(ctx: Context) -> Evidence:
    """Three labels, centres 0, 1 and a symbol: others by translation and scale."""
    return _overdamped(sympy.Rational(3, 2))


def _overdamped(factor: Any) -> Evidence:
    c = sympy.Symbol("c", real=True)
    process = symbolic_process(3, momentum=False, centres=[[0], [1], [c]])
    centres = process.objective.centres[:, 0]
    found = stationary_moments(process, 2, y=example_state(process))
    kappa, r = process.objective.curvatures, factor * process.index.rate
    mean = sum(centres) / 3
    spread = sum((a - mean) ** 2 for a in centres) / 3
    claimed = spread * kappa / (kappa + process.friction * r)
    left = np.array([total(found, 1), total(found, 2) - total(found, 1) ** 2], object)
    return identical(
        left, np.array([mean, claimed], object), "E x = ā, Var x = s²κ/(κ + αr)"
    )


@variance.control("the rate of the clock in place of the relaxation rate")
def _(ctx: Context) -> Evidence:
    return _overdamped(1)


# Several coordinates.


@claim(
    "pdmp.vector-variance",
    title="A common Hessian: the covariance in its eigenbasis",
    source=LATZ,
    statement=r"V_{ij} = S_{ij}\,\frac{h_ih_j(h_i + h_j + 2\alpha r)}"
    r"{(h_i + h_j)(h_i + \alpha r)(h_j + \alpha r)},\quad S = \mathrm{Cov}_i(a_i)",
    hypotheses=(r"$f_i = \tfrac12(x - a_i)^\top H(x - a_i)$, $H$ positive definite",),
    grade="proved",
    delta=1e-9,
    unit="of the largest covariance",
)
def vector_variance(ctx: Context) -> Evidence:
    """Two labels in the plane, all symbols."""
    return _planar("never_repeat")


def _planar(convention: str) -> Evidence:
    h, g = sympy.symbols("h g", positive=True)
    p, q = sympy.symbols("p q", real=True)
    process = symbolic_process(
        2,
        momentum=False,
        convention=convention,
        centres=[[p, q], [-p, -q]],
        curvatures=[[h, g], [h, g]],
    )
    found = stationary_moments(process, 2, y=example_state(process))
    ar = process.friction * 2 * process.index.rate

    def claimed(s: Any, a: Any, b: Any) -> Any:
        return s * a * b * (a + b + 2 * ar) / ((a + b) * (a + ar) * (b + ar))

    left = [total(found, 2, 0), total(found, 1, 1), total(found, 0, 2)]
    right = [claimed(p * p, h, h), claimed(p * q, h, g), claimed(q * q, g, g)]
    return identical(np.array(left, object), np.array(right, object), "V = the formula")


@vector_variance.control("fresh draws, whose relaxation rate is half of it")
def _(ctx: Context) -> Evidence:
    return _planar("fresh_draw")


@vector_variance.route("linear solve", grade="measured")
def _(ctx: Context) -> Evidence:
    """Five centres in three dimensions, a Hessian that is not diagonal."""
    rng = ctx.rng("problem")
    centres, h = rng.normal(size=(5, 3)), np.array([0.4, 1.0, 2.5])
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    losses = quadratic_sum(centres, np.stack([basis * h @ basis.T] * 5))
    process = StochasticGradientProcess(losses, UniformIndex(5, 0.8))
    s, r = basis.T @ np.cov(centres.T, bias=True) @ basis, 0.8 * 5 / 4
    pair = h[:, None] + h
    exact = s * np.outer(h, h) * (pair + 2 * r) / (pair * np.outer(h + r, h + r))
    found = basis.T @ np.asarray(stationary_switched_moments(process).covariance)
    worst = np.max(np.abs(found @ basis - exact)) / np.max(np.abs(exact))
    return decide.equal(
        1.0,
        decide.ladder([1.0 + float(worst)] * 3, condition=_condition(process)),
        delta=ctx.delta,
        quantity="1 + largest error",
    )


# Any switched linear system.


@claim(
    "pdmp.linear-moments",
    title="Two linear solves give the moments of any switched linear system",
    source=LINEAR,
    statement=r"A_i\mu_i + b_i\pi_i + \sum_j Q_{ji}\mu_j = 0,\quad A_iP_i + P_iA_i^\top"
    r" + b_i\mu_i^\top + \mu_ib_i^\top + \sum_j Q_{ji}P_j = 0",
    hypotheses=("spectral abscissa of the operator on $P$ negative",),
    grade="measured",
    delta=1e-9,
    unit="E x²",
)
def linear_moments(ctx: Context) -> Evidence:
    """Against the generator's own moments, solved in rational numbers.

    Three curvatures, and a chain that runs around a circle and is not reversible.
    """
    return _solver(ctx, linear_fields(_circle()))


def _circle() -> StochasticGradientMomentumProcess:
    losses = quadratic_sum([[1.0], [-1.0], [0.5]], [1.0, 0.25, 2.0])
    chain = [[-1.25, 1.0, 0.25], [0.25, -1.25, 1.0], [1.0, 0.25, -1.25]]
    return StochasticGradientMomentumProcess(
        losses, MarkovIndex(np.array(chain)), 0.5, 0.75
    )


def _solver(ctx: Context, fields: LinearFields) -> Evidence:
    claimed = ctx.compiled("second moment", _second_moment)
    value = float(stationary_switched_moments(fields).second[0, 0])
    measured = decide.ladder([value] * 3, condition=_condition(fields))
    return decide.equal(claimed, measured, delta=ctx.delta)


def _second_moment() -> float:
    process = _circle()
    system = moment_equations(process, 2, y=example_state(process))
    return float(total(system.stationary(), 2, 0))


@linear_moments.control("the chain run backwards: Q transposed")
def _(ctx: Context) -> Evidence:
    fields = linear_fields(_circle())
    return _solver(ctx, fields._replace(generator=fields.generator.T))


@linear_moments.route("long time", grade="measured")
def _(ctx: Context) -> Evidence:
    """The matrix exponential at times by which the start is forgotten."""
    fields = linear_fields(_circle())
    late = transient_switched_moments(
        fields, np.ones(2), [50.0, 100.0, 200.0], weights=[1.0, 0.0, 0.0]
    )
    claimed = float(stationary_switched_moments(fields).second[0, 0])
    return decide.equal(
        claimed,
        decide.ladder(
            np.asarray(late.second[:, 0, 0]), condition=200.0 * _condition(fields)
        ),
        delta=ctx.delta,
    )
