"""Heavy ball in its two scalings: the damped flow, and gradient flow with a mass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from discretize import (
    DAMPED_HEAVY_BALL,
    HEAVY_BALL_AS_DESCENT,
    INERTIAL_HEAVY_BALL,
    Correspondence,
    Ladder,
)
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.step_ladders import ladder, order

POLYAK = Source(
    title="Some methods of speeding up the convergence of iteration methods",
    authors="Boris T. Polyak",
    year=1964,
    location="heavy ball; the two scalings and their orders are derived here",
)


# Heavy ball in two scalings.


@claim(
    "inertial.inertial-scaling",
    title="With m = 1 - α√η heavy ball follows the damped flow to order 1 in √η",
    source=POLYAK,
    statement=r"\eta = \gamma^2,\ m = 1-\alpha\gamma:\quad x_{T/\gamma} - x(T) ="
    r" O(\gamma),\quad \ddot x + \alpha\dot x + \nabla f = 0",
    hypotheses=(r"$\alpha$ fixed as $\gamma \to 0$", "velocity 0 at the start"),
    grade="measured",
    delta=0.75,
    unit="order in γ = √η",
)
def inertial_scaling(ctx: Context) -> Evidence:
    """The error at T = 4 (full effort: over all steps), ridged logistic loss."""
    return order(1, _inertial(ctx))


def _inertial(ctx: Context, row: Correspondence = INERTIAL_HEAVY_BALL) -> Ladder:
    # at the end time alone the slopes settle late
    steps = 0.1 * 0.5 ** np.arange(ctx.choose(7, 5))
    norm = ctx.choose("end", "sup")
    return ladder(ctx, row, steps, norm=norm, friction=0.7)


@inertial_scaling.control("friction 2α in the flow", expected=0.0)
def _(ctx: Context) -> Evidence:
    def stiff(objective, hyper):
        flow = INERTIAL_HEAVY_BALL.dynamics(objective, hyper)
        return dataclasses.replace(flow, friction=2 * hyper["friction"])

    row = dataclasses.replace(INERTIAL_HEAVY_BALL, dynamics=stiff)
    return order(1, _inertial(ctx, row))


@claim(
    "inertial.gradient-scaling",
    title="With m fixed heavy ball follows gradient flow, and far closer with a mass",
    source=POLYAK,
    statement=r"t = \tfrac{k\eta}{1-m}:\quad x_{T} - x(T) = O(\eta),\ \dot x ="
    r" -\nabla f;\quad \epsilon\ddot x + \dot x = -\nabla f,\ \epsilon ="
    r" \tfrac{\eta m}{(1-m)^2}\ \text{is nearer by a factor above 10}",
    hypotheses=(r"$m = 9/10$ fixed as $\eta \to 0$", r"$\epsilon\lambda \ll 1$"),
    grade="measured",
    delta=0.75,
    unit="order in η",
)
def gradient_scaling(ctx: Context) -> Iterator[Evidence]:
    """Errors at T = 4, ridged logistic loss; the factor at η = 1/1000."""
    plain = _descent(ctx)
    yield order(1, plain, "order in η")
    yield _nearer(ctx, DAMPED_HEAVY_BALL)


def _descent(ctx: Context, row: Correspondence = HEAVY_BALL_AS_DESCENT) -> Ladder:
    rates = 2e-3 * 0.5 ** np.arange(ctx.choose(5, 6))
    return ladder(ctx, row, rates, momentum=0.9)


def _nearer(ctx: Context, row: Correspondence) -> Evidence:
    """How many times nearer than gradient flow, at η = 1/1000."""
    plain, inertial = (
        ladder(ctx, r, np.array([1e-3]), momentum=0.9)
        for r in (HEAVY_BALL_AS_DESCENT, row)
    )
    factor = plain.errors[-1] / inertial.errors[-1]
    bias = factor * inertial.floor / inertial.errors[-1]
    return decide.lower_bound(
        10.0, Measurement(float(factor), bias=float(bias)), delta=0.01, unit="1"
    )


@gradient_scaling.control("the clock η, without 1/(1-m)", expected=0.0)
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(
        HEAVY_BALL_AS_DESCENT, clock=lambda hyper: hyper["learning_rate"]
    )
    return order(1, _descent(ctx, row), "order in η")


@gradient_scaling.control("the inertial flow with the mass 2ε")
def _(ctx: Context) -> Evidence:
    def heavy(objective, hyper):
        flow: Any = DAMPED_HEAVY_BALL.dynamics(objective, hyper)
        return dataclasses.replace(flow, mass=2 * flow.mass)

    row = dataclasses.replace(DAMPED_HEAVY_BALL, dynamics=heavy)
    return _nearer(ctx, row)
