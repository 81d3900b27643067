"""Reparametrised projected gradient descent: its order, and its two phases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import sympy

from discretize import (
    RPGD,
    ProjectedEuler,
    convergence,
    rpgd,
)
from flows import WeightNormalisedFlow, iterate, sphere_multiplier
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.weight_normalisation import (
    SCALE,
    WU,
    regression,
)
from proofs_check.claims.weight_normalised_descent import generic_step
from proofs_check.context import Context
from proofs_check.evidence import Evidence, UpperBound


def _unit_circle() -> Any:
    t = sympy.Symbol("t", real=True)
    return np.array([(1 - t**2) / (1 + t**2), 2 * t / (1 + t**2)], dtype=object)


@claim(
    "gradient_flow.rpgd",
    title="rPGD follows the weight-normalised flow to order 1, the invariant too",
    source=WU,
    statement=r"v = w - \eta s r,\ w \leftarrow v/|v|,\ s \leftarrow s -"
    r" c_s\eta\langle w, r\rangle:\quad"
    r" \log\frac{|P w_k|}{|P w_0|} - \frac{s_0^2 - s_k^2}{2 c_s} = O(\eta)",
    hypotheses=(r"$\eta < 2/(s^2 L)$",),
    grade="measured",
    delta=0.25,
    unit="order in η (time unit: 1/curvature)",
)
def rpgd_order(ctx: Context) -> Evidence:
    """The violation of the logarithm of the invariant at T = 4."""
    return _violation(ctx, 2.0)


def _violation(ctx: Context, two: float) -> Evidence:
    problem, t1 = regression(), 4.0
    flow, start = WeightNormalisedFlow(problem.objective, 1.0), problem.start(0.2)
    rates = 0.016 * 0.5 ** np.arange(ctx.choose(6, 8))

    def measure():
        ends = []
        for eta in rates:
            steps = round(t1 / eta)
            run = iterate(
                ProjectedEuler(), flow, start, h=eta, steps=steps, save="last"
            )
            s, w = (np.asarray(a[-1]) for a in run.states)
            ends.append((float(s[0]), float(np.linalg.norm(problem.null @ w))))
        return ends

    ends = ctx.compiled(("rpgd", len(rates)), measure)
    errors = [
        abs(np.log(unseen / problem.unseen) - (0.2**2 - s**2) / two)
        for s, unseen in ends
    ]
    return decide.order(1, rates, np.array(errors), floor=1e-11)


@rpgd_order.control("the invariant without its 2", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _violation(ctx, 1.0)


@rpgd_order.route("distance to the flow", grade="measured")
def _(ctx: Context) -> Evidence:
    problem = regression()
    rates = 0.016 * 0.5 ** np.arange(8)
    ladder = convergence(
        RPGD,
        problem.objective,
        SCALE * problem.direction,
        learning_rates=rates,
        t1=3.2,
        norm="end",
    )
    return decide.order(1, rates, ladder.errors, floor=ladder.floor)


@rpgd_order.route("the optimiser is the scheme", grade="proved")
def _(ctx: Context) -> Evidence:
    return generic_step(rpgd, ProjectedEuler(), _unit_circle())


def contraction(scale: float) -> float:
    """1/(1 + ηsμ), μ the multiplier of the least loss on the sphere of radius s."""
    problem = regression()
    features = np.asarray(problem.objective.data.tree[0])
    hessian = features.T @ features / len(features)
    mu = sphere_multiplier(hessian, problem.solution, scale)
    return 1 / (1 + FIRST * scale * mu)


FIRST = 0.1
"""Learning rate of the first phase."""
CONTRACTION = contraction(SCALE)


def _stable(scale: float) -> float:
    """FIRST, or a tenth of it where 2/(s² L) asks for less."""
    return FIRST if scale < 1 else FIRST / 10


@claim(
    "gradient_flow.rpgd-first-phase",
    title="With the scale held below |x*|, rPGD shrinks P w by 1/(1 + ηsμ) a step",
    source=dataclasses.replace(WU, location="two phases; the rate is derived here"),
    statement=r"c_s = 0,\ s < |x^*|:\quad |P w_{k+1}|/|P w_k| \to"
    r" \frac{1}{1 + \eta s \mu},\quad \nabla f(s u^*) = -\mu u^*,\ \mu > 0",
    hypotheses=(r"$s < |x^*|$", r"$\eta < 2/(s^2 L)$"),
    relation=1.0,
    grade="measured",
    delta=1e-6,
    unit="factor a step over the predicted one",
)
def first_phase(ctx: Context) -> Evidence:
    """The factor after 60, 100 and 140 steps, μ from a scalar equation."""
    return _first_phase(ctx, SCALE, (60, 100, 140))


def _first_phase(ctx: Context, scale: float, counts) -> Evidence:
    problem, ks = regression(), np.array(counts)
    flow = WeightNormalisedFlow(problem.objective, 0.0)
    start, eta = problem.start(scale), _stable(scale)
    run = iterate(ProjectedEuler(), flow, start, h=eta, steps=counts[-1] + 1)
    unseen = np.linalg.norm(np.asarray(run.states.direction) @ problem.null, axis=1)
    factors = unseen[ks + 1] / unseen[ks]
    # P w is a small difference of numbers of size 1.
    condition = 1 / unseen[-1]
    return ctx.equal(decide.ladder(factors / CONTRACTION, condition=condition))


# Beyond |x*| the sphere meets the solutions: the gradient vanishes, and P w stays.
@first_phase.control("s = 1.5 |x*|", expected=1 / CONTRACTION)
def _(ctx: Context) -> Evidence:
    return _first_phase(ctx, 1.5 * regression().norm, (600, 800, 1000))


@claim(
    "gradient_flow.rpgd-two-phases",
    title="rPGD in two phases, from a scale below |x*|, finds the least-norm solution",
    source=WU,
    statement=r"|x_\infty - x^*| \le 10^{-6}\,|x^*|\ \text{after 200 steps with }"
    r" c_s = 0\text{, then } c_s = 1",
    hypotheses=(
        r"$s(0) < |x^*|$; here least squares with 8 rows and 20 weights,"
        r" $s(0) = 0.2$, $|x^*| \approx 3.1$, $\eta = 0.1$ in the first phase",
    ),
    relation=UpperBound(1e-6),
    grade="measured",
    delta=1e-2,
    unit="|x - x*| over |x*|",
)
def two_phases(ctx: Context) -> Iterator[Evidence]:
    """200 steps on the direction alone, then both; and how the end nears x*."""
    yield _two_phases(ctx, SCALE, 200)
    # Every 40 steps of the first phase divide what is left by (1 + ηsμ)^40.
    ends = np.array([_ends(SCALE, first)[-1] for first in (0, 40, 80, 120)])
    falls = (ends[1:] / ends[:-1]) ** (1 / 40) / CONTRACTION
    ladder = decide.ladder(falls, bias=1e3 * np.finfo(float).eps / ends[-1])
    yield decide.equal(
        1.0, ladder, delta=1e-4, quantity="factor of a step over 1/(1 + ηsμ)"
    )


def _ends(scale: float, first: int) -> list[float]:
    """|x - x*|/|x*| after 2000, 4000, 6000 steps of phase two."""
    problem = regression()
    y = problem.start(scale)
    if first:
        held = WeightNormalisedFlow(problem.objective, 0.0)
        eta = _stable(scale)
        run = iterate(ProjectedEuler(), held, y, h=eta, steps=first, save="last")
        y = jax.tree.map(lambda a: a[-1], run.states)
    free = WeightNormalisedFlow(problem.objective, 1.0)
    # 2/(s² L) is 0.046 once the scale has grown to |x*|.
    run = iterate(ProjectedEuler(), free, y, h=0.01, steps=6000, save=2000)
    return [problem.distance(x) / problem.norm for x in run.positions[1:]]


def _two_phases(ctx: Context, scale: float, first: int) -> Evidence:
    # A distance from x* is a small difference.
    bias = 1e4 * np.finfo(float).eps
    return ctx.equal(decide.ladder(_ends(scale, first), bias=bias))


@two_phases.control("no first phase")
def _(ctx: Context) -> Evidence:
    return _two_phases(ctx, SCALE, 0)


@two_phases.control("s = 1.5 |x*|", expected=float(np.sqrt(1.5**2 - 1)))
def _(ctx: Context) -> Evidence:
    return _two_phases(ctx, 1.5 * regression().norm, 4000)
