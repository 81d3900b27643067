"""Gradient descent beside gradient flow: Euler, the error law, the energy."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from discretize import SGD, Correspondence, compare, prove
from flows import GradientFlow
from flows.problems import digits_mlp, taylor_polynomial
from flows.symbolic import (
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

ELKABETZ = Source(
    title="Continuous vs. Discrete Optimization of Deep Neural Networks",
    authors="Omer Elkabetz and Nadav Cohen",
    year=2021,
    arxiv="2107.06608",
    location="gradient descent as a numerical solution of gradient flow",
)


# Gradient descent is explicit Euler on gradient flow.


@claim(
    "gradient_flow.gd-is-euler",
    title="Gradient descent is explicit Euler on gradient flow",
    source=ELKABETZ,
    statement=r"x_{k+1} = x_k - \eta \nabla f(x_k)\ \text{(optax.sgd)}"
    r"\;=\; \text{the explicit Euler step of size } \eta \text{ of } \dot x=-\nabla f",
    hypotheses=(r"$f$ differentiable",),
    grade="proved",
    delta=0.001,
)
def gd_is_euler(ctx: Context) -> Evidence:
    """Both traced for two steps, gradients and learning rate being symbols."""
    return decide.identity(prove(SGD), name="optax.sgd = Euler", route="traced")


@gd_is_euler.control("a clock 1/1000 too fast")
def _(ctx: Context) -> Evidence:
    fast = dataclasses.replace(SGD, clock=lambda hyper: 1.001 * hyper["learning_rate"])
    return decide.identity(prove(fast), name="optax.sgd = Euler", route="traced")


def exact_on_digits(
    ctx: Context, row: Correspondence, rate: float, wrong: float = 1.0, **hyper: float
) -> Evidence:
    """Distance of optax and scheme on digits, against rounding and a moved constant.

    Rounding: ten times the largest change when the start moves by one unit in the last
    place in 8 random directions. The moved run: the scheme at η (1 + delta).

    Args:
        ctx: the context.
        row: a row of the table that names a scheme.
        rate: η.
        wrong: factor on the scheme's η (a control's 1.001).
        hyper: further hyperparameters.
    """
    objective, params = ctx.compiled("digits", lambda: digits_mlp(rows=300, hidden=8))
    steps = ctx.choose(300, 1000)

    def run(start, eta):
        pairing = row(learning_rate=eta, **hyper)
        found = compare(
            objective, pairing, start, steps=steps, flow=False, check_sharpness=False
        )
        assert found.scheme is not None  # the row names one
        return found.positions, np.asarray(found.scheme.positions)

    optimiser, scheme = run(params, rate)
    rng = ctx.rng("ulp")
    x = np.asarray(objective.ravel(params))
    changes = []
    for _ in range(8):
        signs = rng.choice([-1.0, 1.0], x.size)
        nudged, _ = run(objective.params(jnp.asarray(np.nextafter(x, x + signs))), rate)
        changes.append(decide.relative_distance(nudged, optimiser).max())
    _, moved = run(params, rate * (1 + ctx.delta))
    if wrong != 1.0:
        _, scheme = run(params, rate * wrong)
    return decide.exact(
        decide.relative_distance(optimiser, scheme),
        rounding=decide.rounding_allowance(changes),
        moved=float(decide.relative_distance(optimiser, moved).max()),
        delta=ctx.delta,
        note=f"{steps} steps, {x.size} parameters, η = {rate:g}",
        data={
            "x": np.arange(steps + 1),
            "series": {"optax": optimiser[:, 0], "scheme": scheme[:, 0]},
            "xlabel": "step",
            "ylabel": "first weight",
        },
    )


@gd_is_euler.route("digits", grade="measured")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, SGD, 0.05)


@gd_is_euler.control("digits, Euler with η (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return exact_on_digits(ctx, SGD, 0.05, wrong=1.001)


# Energy.


@claim(
    "gradient_flow.energy",
    title="Gradient flow spends exactly |∇f|²",
    source=ELKABETZ,
    statement=r"\frac{d}{dt} f(x(t)) = -|\nabla f(x(t))|^2",
    hypotheses=(r"$f$ differentiable",),
    grade="proved",
)
def energy(ctx: Context) -> Evidence:
    """L f = -|∇f|² for a generic quartic in two variables, coefficients symbols."""
    return _energy(-1)


def _energy(coefficient) -> Evidence:
    f = symbols_like(taylor_polynomial(2, 4))
    x = symbol_vector("x", 2)

    def rate(f, x):
        return GradientFlow(f).generator(lambda t, x: f.value(x))(0.0, x)

    value = exactly(lambda f, x: f.value(x), f, x)
    claimed = coefficient * sum(value.diff(v) ** 2 for v in x)
    return identical(exactly(rate, f, x), claimed, "L f + |∇f|² = 0")


@energy.control("coefficient 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    import sympy

    return _energy(-1 - sympy.Rational(1, 1000))
