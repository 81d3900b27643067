"""Random-reshuffling SGD: the modified flow of its mean epoch."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from discretize import (
    MeanEpoch,
    ShuffledFlow,
    convergence,
    modified_terms,
    partition,
    shuffled_sgd,
)
from flows import Flow, GradientFlow, finite_sum, from_sympy, iterate, reference
from flows.problems import taylor_polynomial
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

SMITH = Source(
    title="On the Origin of Implicit Regularization in Stochastic Gradient Descent",
    authors="Samuel L. Smith, Benoit Dherin, David G. T. Barrett and Soham De",
    year=2021,
    arxiv="2101.12176",
    location="the modified loss of random shuffling, in the mean over one epoch",
)
STATEMENT = (
    r"\dot y = -\nabla\Bigl[f + \tfrac{\eta}{4m}\sum_{i=1}^m|\nabla f_i|^2\Bigr],"
    r"\quad \text{an epoch taking time } m\eta"
)


# The term itself.


@claim(
    "gradient_flow.reshuffling-regulariser",
    title="The mean epoch of reshuffled SGD regularises the batches' gradient norms",
    source=SMITH,
    statement=STATEMENT,
    hypotheses=(
        r"$f_1, \dots, f_m$ smooth, $m = 2$ ($3$ at effort full); two variables,"
        r" generic Taylor polynomials at the point",
        r"each of the $m!$ orders equally likely",
    ),
    grade="proved",
)
def reshuffling_regulariser(ctx: Context) -> Evidence:
    """The second term of the mean epoch's modified equation, all symbols free."""
    return _second_term(ctx.choose(2, 3))


def _second_term(m: int, full_batch: bool = False) -> Evidence:
    losses = finite_sum([taylor_polynomial(2, 2) for _ in range(m)])

    def difference(f):
        flow, x = GradientFlow(f), jnp.zeros(2)
        second = modified_terms(MeanEpoch(partition(m, m)), flow, 2)[1](0.0, x)
        batches = partition(m, 1 if full_batch else m)

        def field(eta):
            return ShuffledFlow(f, batches, eta).vector_field(0.0, x)

        one = jnp.ones(())
        slope = jax.jvp(field, (0 * one,), (one,))[1]
        return m * second - slope  # the step of an epoch is mη

    found = exactly(difference, symbols_like(losses))
    zero = np.zeros(found.shape, dtype=int).astype(object)
    return identical(found, zero, f"second term, m = {m}")


@reshuffling_regulariser.control("the full batch's regulariser (η/4)|∇f|²")
def _(ctx: Context) -> Evidence:
    return _second_term(2, full_batch=True)


# Orders.


def _losses():
    import sympy as sp

    x, y = sp.symbols("x y", real=True)
    half, third = sp.Rational(1, 2), sp.Rational(1, 3)
    summands = (
        x**2 * y * third + sp.cos(y),
        sp.exp(x * half) * y**2 / 4 + x**2,
        sp.sin(x * y) + y**2 * half,
    )
    return finite_sum([from_sympy(f, [x, y]) for f in summands])


START = jnp.array([1.2, 0.8])
BATCHES = partition(3, 3)


class _Weighted(Flow):
    """-∇[f + weight (η/4) R], with R the batches' or the full batch's |∇f|²."""

    flow: ShuffledFlow
    weight: jax.Array

    def vector_field(self, t, y):
        """The field of gradient flow, plus `weight` times what is beyond it."""
        plain = -self.flow.objective.gradient(y)
        return plain + self.weight * (self.flow.vector_field(t, y) - plain)


def _one_epoch(batches, weight: float) -> Evidence:
    """The distance of the mean iterate after one epoch from the flow at mη."""
    f, rates, errors = _losses(), 0.02 * 0.5 ** np.arange(7), []
    for eta in rates:
        h = 3 * eta
        epoch = iterate(
            MeanEpoch(BATCHES), GradientFlow(f), START, h=h, steps=1, save="last"
        ).states[-1]
        run = reference(
            _Weighted(ShuffledFlow(f, batches, eta), jnp.asarray(weight)),
            START,
            h,
            tolerance=1e-14,
        )
        errors.append(float(jnp.linalg.norm(epoch - run.states[-1])))
    return decide.order(3, rates, errors, floor=1e-15)


@claim(
    "gradient_flow.reshuffling-epoch",
    title="A mean epoch of reshuffled SGD follows its modified flow to O(η³)",
    source=SMITH,
    statement=STATEMENT + r":\quad \mathbb{E}\,x_m - y(m\eta) = O(\eta^3)",
    hypotheses=(r"$f_i$ smooth, $m = 3$", r"each of the $6$ orders equally likely"),
    grade="measured",
    delta=0.75,
    unit="order in η (time unit: 1/curvature)",
)
def reshuffling_epoch(ctx: Context) -> Evidence:
    """The exact mean over all six orders, on three losses in two dimensions."""
    return _one_epoch(BATCHES, 1.0)


@reshuffling_epoch.control("gradient flow", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _one_epoch(BATCHES, 0.0)


@reshuffling_epoch.control("the full batch's regulariser (η/4)|∇f|²", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _one_epoch(partition(3, 1), 1.0)


@claim(
    "gradient_flow.reshuffling-order",
    title="Mean epochs of reshuffled SGD follow the modified flow to order 2",
    source=SMITH,
    statement=STATEMENT + r":\quad |x_K - y(T)| = O(\eta^2),\ T = Km\eta",
    hypotheses=(
        r"$f_i$ smooth, $m = 3$",
        "the mean over orders taken after each epoch (`MeanEpoch`)",
    ),
    grade="measured",
    delta=0.75,
    full_only=True,
    unit="order in η (time unit: 1/curvature)",
)
def reshuffling_order(ctx: Context) -> Evidence:
    """The error at T = 1.2 of the row's optimiser against its flow."""
    return _fixed_time(lambda flow: flow)


def _fixed_time(change) -> Evidence:
    row = shuffled_sgd(BATCHES)
    changed = dataclasses.replace(
        row, dynamics=lambda f, hyper: change(row.dynamics(f, hyper))
    )
    rates = 0.02 * 0.5 ** np.arange(5)
    ladder = convergence(
        changed, _losses(), START, learning_rates=rates, t1=1.2, norm="end"
    )
    return decide.order(2, rates, ladder.errors, floor=ladder.floor)


@reshuffling_order.control("gradient flow", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _fixed_time(lambda flow: GradientFlow(flow.objective))
