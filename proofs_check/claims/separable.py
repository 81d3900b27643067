"""Separable data: gradient flow of the exponential loss at late times."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import diffrax
import jax.numpy as jnp
import numpy as np

from flows import GradientFlow, LogTimeFlow, solve
from flows.problems import MaxMargin, separable_exponential
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence

SOUDRY = Source(
    title="The Implicit Bias of Gradient Descent on Separable Data",
    authors="Daniel Soudry, Elad Hoffer, Mor Shpigel Nacson, Suriya Gunasekar and "
    "Nathan Srebro",
    year=2018,
    arxiv="1710.10345",
    location="the limits of gradient flow; constants derived here",
)
FINEST = {"quick": 640.0, "full": 2560.0}
"""The latest log t: no exponential of it is formed."""


def late_path(ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    """Clocks s = log(1 + t), doubling, and positions [tolerances, clocks, 2]."""
    end = FINEST[ctx.effort]
    clocks = end * 0.5 ** np.arange(7 if ctx.full else 5)[::-1]

    def run(tolerance):
        found = solve(
            LogTimeFlow(GradientFlow(separable_exponential())),
            jnp.zeros(2),
            0.0,
            end,
            solver=diffrax.Kvaerno5(),
            stepsize_controller=diffrax.PIDController(
                rtol=tolerance, atol=1e-2 * tolerance
            ),
            saveat=diffrax.SaveAt(ts=jnp.asarray(clocks)),
        )
        return np.asarray(found.positions)

    def measure():
        ladder = (1e-8, 1e-9, 1e-10) if ctx.full else (1e-6, 1e-7, 1e-8)
        return np.array([run(tolerance) for tolerance in ladder])

    return clocks, ctx.compiled(("late", ctx.effort), measure)


def residual_limit(best: MaxMargin | None = None) -> np.ndarray:
    """Lim w(t) - û log(t)/γ: the w̃ with e^{-x_i·w̃}/N = λ_i/γ² on support vectors."""
    objective = separable_exponential()
    best = objective.max_margin if best is None else best
    points = np.asarray(objective.data.tree)
    support = np.asarray(best.weights) > 0
    scale = len(points) * best.weights[support] / best.margin**2
    return np.linalg.solve(points[support], -np.log(scale))


@claim(
    "gradient_flow.max-margin",
    title="On separable data w(t) - û log(t)/γ has a limit",
    source=SOUDRY,
    statement=r"w(t) - \frac{\hat u}{\gamma}\log t \to \tilde w,\quad"
    r" \frac1N e^{-x_i\cdot\tilde w} = \frac{\lambda_i}{\gamma^2}"
    r"\ \text{on support vectors},\qquad f = \frac1N\sum_i e^{-x_i\cdot w}",
    hypotheses=(
        r"separable points; support vectors span the plane, with weights $\lambda_i>0$",
        r"$\hat u$ the max-margin direction, $\gamma$ its margin",
    ),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-4,
    unit="each coordinate of w - û log(t)/γ, over its limit",
)
def max_margin_limit(ctx: Context) -> Iterator[Evidence]:
    """Three points of the plane, integrated in log t to its last value."""
    objective = separable_exponential()
    yield from _limit(ctx, objective.max_margin, residual_limit())


def _limit(ctx: Context, best: MaxMargin, limit: np.ndarray) -> Iterator[Evidence]:
    clocks, positions = late_path(ctx)
    left = positions[:, -1] - clocks[-1] * best.direction[None, :] / best.margin
    for i in range(2):
        found = decide.ladder(left[:, i] / limit[i], condition=clocks[-1])
        note = f"log t = {clocks[-1]:g}"
        yield decide.equal(
            1.0, found, delta=ctx.delta, quantity=f"coordinate {i}", note=note
        )


@max_margin_limit.control("weights of the support vectors taken as equal")
def _(ctx: Context) -> Iterator[Evidence]:
    best = separable_exponential().max_margin
    equal = best._replace(weights=(best.weights > 0) / np.sum(best.weights > 0))
    yield from _limit(ctx, best, residual_limit(equal))


@max_margin_limit.control("a margin too large by 1/1000")
def _(ctx: Context) -> Iterator[Evidence]:
    best = separable_exponential().max_margin
    yield from _limit(ctx, best._replace(margin=1.001 * best.margin), residual_limit())


@claim(
    "gradient_flow.max-margin-direction",
    title="The direction of w tends to the max-margin one like 1/log t",
    source=dataclasses.replace(SOUDRY, location="rate of convergence of the direction"),
    statement=r"\Bigl|\frac{w(t)}{|w(t)|} - \hat u\Bigr|"
    r" = \frac{\gamma\,|\tilde w - (\tilde w\cdot\hat u)\hat u|}{\log t}"
    r" + O\Bigl(\frac1{\log^2 t}\Bigr)",
    hypotheses=(r"separable points, exponential loss",),
    grade="measured",
    delta=0.25,
    unit="order in 1/log t",
)
def direction(ctx: Context) -> Iterator[Evidence]:
    """The order of the direction's error in 1/log t, and its constant."""
    clocks, _ = late_path(ctx)
    errors = _errors(ctx, separable_exponential().max_margin.direction)
    yield decide.order(1, 1 / clocks, errors)
    best, limit = separable_exponential().max_margin, residual_limit()
    across = limit - (limit @ best.direction) * best.direction
    constant = best.margin * np.linalg.norm(across)
    yield decide.leading_constant(
        1.0, 1 / clocks, errors / constant, 1.0, delta=0.01, quantity="constant"
    )


def _errors(ctx: Context, target: np.ndarray) -> np.ndarray:
    _, positions = late_path(ctx)
    w = positions[-1]
    return np.linalg.norm(w / np.linalg.norm(w, axis=1)[:, None] - target, axis=1)


@direction.control("the mean of the points as direction", expected=0.0)
def _(ctx: Context) -> Evidence:
    points = np.asarray(separable_exponential().data.tree)
    mean = points.mean(axis=0)
    clocks, _ = late_path(ctx)
    errors = _errors(ctx, mean / np.linalg.norm(mean))
    return decide.order(1, 1 / clocks, errors)


@claim(
    "gradient_flow.max-margin-growth",
    title="On separable data |w| grows like log t over the margin",
    source=dataclasses.replace(SOUDRY, location="growth of the norm"),
    statement=r"\frac{\gamma\,|w(t)|}{\log t} - 1 = \frac{\gamma\,\tilde w\cdot\hat u}"
    r"{\log t} + O\Bigl(\frac1{\log^2 t}\Bigr) \to 0",
    hypotheses=(r"separable points, exponential loss",),
    grade="measured",
    delta=0.25,
    unit="order in 1/log t",
)
def growth(ctx: Context) -> Iterator[Evidence]:
    """The order in 1/log t at which the ratio tends to 1, and the constant."""
    clocks, positions = late_path(ctx)
    best, limit = separable_exponential().max_margin, residual_limit()
    yield _growth(ctx, 1.0)
    gaps = np.linalg.norm(positions[-1], axis=1) * best.margin / clocks - 1
    constant = best.margin * (limit @ best.direction)
    yield decide.leading_constant(
        1.0, 1 / clocks, gaps / constant, 1.0, delta=0.01, quantity="constant"
    )


def _growth(ctx: Context, factor: float) -> Evidence:
    clocks, positions = late_path(ctx)
    margin = factor * separable_exponential().max_margin.margin
    gaps = np.abs(np.linalg.norm(positions[-1], axis=1) * margin / clocks - 1)
    return decide.order(1, 1 / clocks, gaps)


@growth.control("the margin of another direction", expected=0.0)
def _(ctx: Context) -> Evidence:
    points = np.asarray(separable_exponential().data.tree)
    mean = points.mean(axis=0) / np.linalg.norm(points.mean(axis=0))
    best = separable_exponential().max_margin.margin
    return _growth(ctx, float(np.min(points @ mean) / best))
