"""How gradient descent leaves gradient flow: the first-order law and its bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize import SGD, convergence, error_growth, error_law
from discretize.certificate import path_ends
from flows import Objective
from flows.problems import digits_mlp, logistic
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.elkabetz_cohen import DERIVED, ELKABETZ, large_net
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence

HAIRER = Source(
    title="Solving Ordinary Differential Equations I: Nonstiff Problems",
    authors="Ernst Hairer, Syvert P. Nørsett and Gerhard Wanner",
    year=1993,
    location="section II.8: expansion of the global error; here for explicit Euler",
)
LAW = (
    r"x_k - x(k\eta) = \eta\, c(k\eta) + O(\eta^2),\quad"
    r"\dot c = -\nabla^2 f\, c - \tfrac12 \nabla^2 f\,\nabla f,\quad c(0)=0"
)


def _coefficient(objective: Objective, params: Any, t1: float) -> tuple[float, float]:
    """|c(T)|, and the distance that the flow has gone from its start."""
    law = error_law(objective, params, times=[0.0, t1], tolerance=1e-12)
    moved = np.linalg.norm(law.positions[-1] - law.positions[0])
    return float(law.distance(1.0)[-1]), float(moved)


# The law.


@claim(
    "gradient_flow.first-order-law",
    title="The error of gradient descent is η c(t), with a known c",
    source=HAIRER,
    statement=LAW,
    hypotheses=(r"$f$ three times continuously differentiable", r"$\eta L < 2$"),
    grade="measured",
    delta=0.02,
    quick_delta=0.05,
    unit="error per η, over |c(T)|",
)
def law(ctx: Context) -> Evidence:
    """A two-layer linear network; the leading constant over its prediction."""
    return _law(ctx, 1.0)


def _law(ctx: Context, factor: float) -> Evidence:
    rates = 0.04 * 0.5 ** np.arange(ctx.choose(5, 7))
    objective, params = large_net()

    def measure():
        ladder = convergence(
            SGD, objective, params, learning_rates=rates, t1=4.0, norm="end"
        )
        return ladder, _coefficient(objective, params, 4.0)[0]

    ladder, c = ctx.compiled(("law", len(rates)), measure)
    return decide.leading_constant(
        1.0,
        rates,
        ladder.errors / (factor * c),
        1.0,
        delta=ctx.delta,
        floor=ladder.floor / (factor * c),
    )


@law.control("c with coefficient 1 in place of 1/2", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _law(ctx, 2.0)


# Real data.


def _network(ctx: Context, activation: Any) -> dict[str, Any]:
    """Errors of descent on digits at a ladder of learning rates, and |c(T)|."""
    rows, hidden = ctx.choose((60, 4), (500, 8))
    t1, levels = ctx.choose((2.0, 5), (20.0, 6))

    def measure():
        objective, params = digits_mlp(
            rows=rows,
            hidden=hidden,
            loss="cross_entropy",
            activation=activation,
            bias=False,
        )
        rates = 0.1 * 0.5 ** np.arange(levels)
        ladder = convergence(
            SGD,
            objective,
            params,
            learning_rates=rates,
            t1=t1,
            norm="end",
            tolerance=1e-10,
        )
        c, moved = _coefficient(objective, params, t1)
        note = f"{activation}, {objective.size} parameters, T = {t1:g}"
        return {"ladder": ladder, "c": c, "moved": moved, "note": note}

    return ctx.compiled((activation, rows), measure)


@claim(
    "gradient_flow.digits-order",
    title="On digits, gradient descent is within O(η) of gradient flow",
    source=ELKABETZ,
    statement=r"|x_{T/\eta} - x(T)| = \eta\,|c(T)| + O(\eta^2);\quad"
    r" \le \tfrac1{20}|x(T) - x(0)|\ \text{at } \eta = 0.1",
    hypotheses=(r"tanh or linear network, cross-entropy", r"$\eta L < 2$ on the path"),
    grade="measured",
    delta=0.02,
    quick_delta=0.05,
    unit="order; error per η over |c(T)|; error at η = 0.1 over the way gone",
)
def digits(ctx: Context) -> Iterator[Evidence]:
    """Order 1 with the predicted constant, far below the way gone: two activations."""
    for activation in ("tanh", "identity"):
        found = _network(ctx, activation)
        ladder, note = found["ladder"], found["note"]
        rates, errors, floor = ladder.learning_rates, ladder.errors, ladder.floor
        yield decide.order(1, rates, errors, floor=floor, note=note)
        yield _constant(ctx, found, 1.0)
        yield decide.upper_bound(
            0.05,
            Measurement(errors[0] / found["moved"], bias=floor / found["moved"]),
            delta=ctx.delta,
            note=note,
            quantity="error at η = 0.1 over the way gone",
        )


def _constant(ctx: Context, found: dict[str, Any], factor: float) -> Evidence:
    ladder, c = found["ladder"], factor * found["c"]
    return decide.leading_constant(
        1.0,
        ladder.learning_rates,
        ladder.errors / c,
        1.0,
        delta=ctx.delta,
        floor=ladder.floor / c,
        note=found["note"],
        quantity="error per η over |c(T)|",
    )


@digits.control("c with coefficient 1 in place of 1/2", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _constant(ctx, _network(ctx, "tanh"), 2.0)


@digits.control("the flow starts elsewhere", expected=0.0)
def _(ctx: Context) -> Evidence:
    objective, params = digits_mlp(rows=60, hidden=4, loss="cross_entropy", bias=False)
    ladder = convergence(
        SGD,
        objective,
        params,
        learning_rates=0.1 * 0.5 ** np.arange(6),
        t1=1.0,
        norm="end",
        flow_start=lambda flow, hyper, x: (0.0, 1.5 * x),
        tolerance=1e-10,
    )
    return decide.order(1, ladder.learning_rates, ladder.errors, floor=ladder.floor)


# The bound after the fact.


def _bounds(ctx: Context, largest: bool) -> Evidence:
    """|c(6)| over its bound, on three grids of the curvature."""
    objective, params = large_net()
    finest = ctx.choose(80, 320)

    def measure():
        times = np.linspace(0.0, 6.0, finest + 1)
        found = error_law(objective, params, times=times)
        pulls = [
            float(jnp.linalg.norm(objective.hvp(x, objective.gradient(x))))
            for x in map(jnp.asarray, found.positions)
        ]
        return found, path_ends(objective, found.positions), np.array(pulls)

    found, ends, pulls = ctx.compiled(("bound", finest), measure)
    ratios = []
    for stride in (4, 2, 1):
        m = ends["high" if largest else "low"][::stride]
        s = pulls[::stride] / 2
        means = [(a[1:] + a[:-1]) / 2 for a in (m, s)]
        bound = error_growth(found.times[::stride], *means)
        ratios.append(found.distance(1.0)[-1] / bound[-1])
    return decide.upper_bound(
        1.0,
        decide.ladder(ratios),
        delta=ctx.delta,
        quantity="|c(6)| over its bound",
        note=f"the bound is {1 / ratios[-1]:.3g} times larger",
    )


@claim(
    "gradient_flow.error-bound",
    title="A bound of descent's first-order error from the flow alone",
    source=DERIVED,
    statement=r"|c(t)| \le \tfrac12 \int_0^t e^{-\int_{t'}^t \lambda_{\min}}"
    r"\, |\nabla^2 f\, \nabla f|(t')\, dt'",
    hypotheses=(r"$\dot c = -\nabla^2 f\, c - \frac12 \nabla^2 f\,\nabla f$",),
    grade="measured",
    delta=1e-3,
    quick_delta=1e-2,
    unit="ratio",
)
def bound(ctx: Context) -> Iterator[Evidence]:
    """A linear network; and in one convex dimension, where the bound is attained."""
    yield _bounds(ctx, largest=False)
    yield _attained(ctx, 0.5)


@bound.control("λ_max in place of λ_min")
def _(ctx: Context) -> Evidence:
    return _bounds(ctx, largest=True)


def _attained(ctx: Context, half: float) -> Evidence:
    """log(1 + e^{-w}) from -1: |c(3)| over its bound, on three grids."""
    objective, start = logistic(), jnp.array([-1.0])
    ratios = []
    for cells in (40, 80, 160):
        times = np.linspace(0.0, 3.0, cells + 1)
        found = error_law(objective, start, times=times)
        w = found.positions[:, 0]
        g = -1 / (1 + np.exp(w))  # and f'' = -g (1 + g)
        h = -g * (1 + g)
        means = [(a[1:] + a[:-1]) / 2 for a in (h, half * np.abs(h * g))]
        ratios.append(abs(found.coefficients[-1, 0]) / error_growth(times, *means)[-1])
    return decide.equal(
        1.0, decide.ladder(ratios), delta=ctx.delta, quantity="attained in 1-D"
    )


@bound.control("coefficient 1 in place of 1/2, in one dimension", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _attained(ctx, 1.0)
