"""What the terms of gradient descent's modified equation are, and are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from discretize import (
    Euler,
    ModifiedFlow,
    StepLogarithm,
    convergence,
    modified_terms,
    multistep_terms,
    sgd_modified,
)
from flows import GradientFlow, NonFiniteState, iterate, reference
from flows.problems import digits_mlp, taylor_polynomial, wavy
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence, Order
from proofs_check.identities import vanishing

BARRETT = Source(
    title="Implicit Gradient Regularization",
    authors="David G. T. Barrett and Benoit Dherin",
    year=2021,
    arxiv="2009.11162",
    location="the modified loss f + (h/4)|∇f|²",
)
HAIRER = Source(
    title="Geometric Numerical Integration",
    authors="Ernst Hairer, Christian Lubich and Gerhard Wanner",
    year=2006,
    location="2nd edition, section IX.1; the statement is derived here",
)

GENERIC = r"$f$ smooth; {n}, a generic Taylor polynomial at the point"


# The second term is a gradient.


@claim(
    "gradient_flow.implicit-regularisation",
    title="The second term is the gradient of a regulariser: f₂ = -∇(|∇f|²/4)",
    source=BARRETT,
    statement=r"f_2 = -\tfrac14\nabla|\nabla f|^2,\quad\text{so that}\quad"
    r" \dot y = -\nabla\Bigl[f + \tfrac h4|\nabla f|^2\Bigr] + O(h^2)",
    hypotheses=(GENERIC.format(n="two variables"),),
    grade="proved",
)
def implicit_regularisation(ctx: Context) -> Evidence:
    """The traced term against the gradient of |∇f|²/4."""
    return _regulariser(4)


def _regulariser(divisor: int) -> Evidence:
    def difference(f):
        second = modified_terms(Euler(), GradientFlow(f), 2)[1]
        x = jnp.zeros(2)

        def loss(x):
            return jnp.sum(f.gradient(x) ** 2) / divisor

        return second(0.0, x) + jax.grad(loss)(x)

    polynomial = symbols_like(taylor_polynomial(2, 3))
    return vanishing(exactly(difference, polynomial), "f₂ + ∇(|∇f|²/4)")


@implicit_regularisation.control("|∇f|²/2 in place of |∇f|²/4")
def _(ctx: Context) -> Evidence:
    return _regulariser(2)


# The third one is not.


def _curl_and_commutator(f):
    """The antisymmetric part of the Jacobian of f₃ at 0, and [H, T[g]] there.

    T[g] = ∇³f[∇f, ·, ·].
    """
    third = modified_terms(Euler(), GradientFlow(f), 3)[2]
    x, basis = jnp.zeros(f.size), jnp.eye(f.size)
    jacobian = jax.jacfwd(lambda x: third(0.0, x))(x)
    g = f.gradient(x)
    h = jnp.stack([f.hvp(x, e) for e in basis])
    tg = jnp.stack([f.third(x, g, e) for e in basis])
    return (jacobian - jacobian.T) / 2, h @ tg - tg @ h


def _traced(ctx: Context, n: int, degree: int):
    """Both, for a generic polynomial; traced once for a claim and its controls."""

    def run():
        polynomial = symbols_like(taylor_polynomial(n, degree))
        return exactly(_curl_and_commutator, polynomial)

    return ctx.compiled((n, degree), run)


@claim(
    "gradient_flow.modified-curl",
    title="The third term is no gradient: its curl is -[H, T[g]]/12",
    source=HAIRER,
    statement=r"\tfrac12\bigl(\partial f_3 - \partial f_3^\top\bigr)"
    r" = -\tfrac1{12}\,[H, T[g]],\quad T[g] = \nabla^3 f[\nabla f,\cdot,\cdot];"
    r"\quad \text{0 in one variable and for quadratics}",
    hypotheses=(GENERIC.format(n="two variables"),),
    grade="proved",
)
def modified_curl(ctx: Context) -> Iterator[Evidence]:
    """The identity, and where its right side is 0: on quadratics, in one variable."""
    curl, commutator = _traced(ctx, 2, 4)
    yield vanishing(12 * curl + commutator, "12 curl f₃ + [H, T[g]]")
    yield vanishing(_traced(ctx, 2, 2)[0], "curl f₃ of a quadratic")
    yield vanishing(_traced(ctx, 1, 4)[0], "curl f₃ in one variable")


@modified_curl.control("f₃ is a gradient: there is a second-order modified loss")
def _(ctx: Context) -> Evidence:
    return vanishing(_traced(ctx, 2, 4)[0], "curl f₃ = 0")


@modified_curl.control("the constant 1/12 times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    curl, commutator = _traced(ctx, 2, 4)
    return vanishing(12000 * curl + 1001 * commutator, "12 curl f₃ + 1.001 [H, T[g]]")


# All terms at once: Bernoulli's numbers.


@claim(
    "gradient_flow.modified-bernoulli",
    title="The modified equation of explicit Euler, by Bernoulli's numbers",
    source=HAIRER,
    statement=r"F = \sum_{k\ge0}\frac{B_k}{k!}\,h^k D_F^k f,\quad"
    r" D_F u = u'F,\quad B_1 = -\tfrac12;\qquad F = \textstyle\sum_j h^{j-1}f_j",
    hypotheses=(
        GENERIC.format(n="one variable to $f_4$ (quick), to $f_5$ and two to $f_4$"),
    ),
    grade="proved",
)
def modified_bernoulli(ctx: Context) -> Iterator[Evidence]:
    """The recursion over compositions against the one from the generating function."""
    for n, j in ctx.choose(((1, 4),), ((1, 5), (2, 4))):
        yield _bernoulli(n, j)


def _bernoulli(n: int, j: int, lead: float = -1.0) -> Evidence:
    polynomial = symbols_like(taylor_polynomial(n, j + 1))

    def difference(f):
        flow, x = GradientFlow(f), jnp.zeros(n)
        one = modified_terms(Euler(), flow, j)[j - 1]
        # x_{k+1} - x_k = h f(x_k): ρ = ζ - 1, σ = 1, and z/(e^z - 1) = Σ B_k z^k/k!
        other = multistep_terms([-1.0, 1.0], [1.0, 0.0][:: int(-lead)], flow, j)[j - 1]
        return one(0.0, x) - other(0.0, x)

    return vanishing(exactly(difference, polynomial), f"f_{j}, {n} variables")


@modified_bernoulli.control("B₁ = +½, which is implicit Euler")
def _(ctx: Context) -> Evidence:
    return _bernoulli(1, 2, lead=1.0)


@claim(
    "gradient_flow.modified-fourth-derivative",
    title="The fourth derivative of the loss does not enter f₄",
    source=HAIRER,
    statement=r"\partial f_4/\partial(\nabla^4 f) = 0"
    r"\quad\text{(its coefficient is } B_3/3! = 0)",
    hypotheses=(GENERIC.format(n="one variable; two at effort full"),),
    grade="proved",
)
def modified_fourth_derivative(ctx: Context) -> Evidence:
    """The traced f₄, differentiated in the coefficients of degree 4."""
    return _fourth_derivative(ctx.choose(1, 2), 4)


def _fourth_derivative(n: int, j: int) -> Evidence:
    bare = taylor_polynomial(n, 5)
    polynomial = symbols_like(bare)

    def term(f):
        return modified_terms(Euler(), GradientFlow(f), j)[j - 1](0.0, jnp.zeros(n))

    pairs = zip(bare.exponents, np.asarray(polynomial.coefficients), strict=True)
    quartic = [c for alpha, c in pairs if sum(alpha) == 4]
    slopes = [[entry.diff(c) for c in quartic] for entry in exactly(term, polynomial)]
    return vanishing(slopes, f"∂f_{j}/∂(∇⁴f)")


@modified_fourth_derivative.control("f₅, in which it does enter")
def _(ctx: Context) -> Evidence:
    return _fourth_derivative(1, 5)


# The logarithm of the step has the same orders, without a derivative.


@claim(
    "gradient_flow.step-logarithm",
    title="Four differences of gradient descent's iterates give a flow of order 4",
    source=HAIRER,
    statement=r"|x_{T/h} - y(T)| = O(h^4),\quad"
    r" \dot y = \tfrac1h\sum_{k=1}^{4}\tfrac{(-1)^{k+1}}{k}\Delta^k y",
    hypotheses=(r"$f$ smooth", r"$h$ times the curvature below 1"),
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def step_logarithm(ctx: Context) -> Evidence:
    """The error at T = 1 on a smooth loss in two dimensions."""
    return _logarithm(ctx, 4)


def _logarithm(ctx: Context, terms: int) -> Evidence:
    flow, x = GradientFlow(wavy()), jnp.array([1.2, 0.8])
    rates = 0.1 * 0.5 ** np.arange(7)
    errors = []
    for h in rates:
        steps = round(1 / h)
        discrete = iterate(Euler(), flow, x, h=h, steps=steps, save="last")
        try:
            run = reference(StepLogarithm(flow, Euler(), h, terms), x, 1.0)
        except NonFiniteState:
            return ctx.diverged(Order(4))
        gap = np.asarray(discrete.states[-1] - run.states[-1])
        errors.append(float(np.linalg.norm(gap)))
    return decide.order(4, rates, errors, floor=1e-13)


@step_logarithm.control("three differences", expected=3.0)
def _(ctx: Context) -> Evidence:
    return _logarithm(ctx, 3)


# Real data.


def _on_digits(ctx: Context, factor: float = 1.0) -> Evidence:
    """Descent on digits beside y' = -g - factor (h/2) Hg."""
    objective, params = ctx.compiled("digits", _small_digits)

    def dynamics(objective, hyper):
        # The field is -g - (h/2) Hg, so its h carries the factor.
        h = factor * hyper["learning_rate"]
        return ModifiedFlow(GradientFlow(objective), Euler(), h, 2)

    rates = 0.1 * 0.5 ** np.arange(ctx.choose(5, 7))
    ladder = convergence(
        dataclasses.replace(sgd_modified(2), dynamics=dynamics),
        objective,
        params,
        learning_rates=rates,
        t1=2.0,
        norm="end",
    )
    note = f"{objective.size} parameters, T = 2"
    return decide.order(2, rates, ladder.errors, floor=ladder.floor, note=note)


def _small_digits():
    return digits_mlp(rows=60, hidden=4, loss="cross_entropy", bias=False)


@claim(
    "gradient_flow.digits-modified-order",
    title="On digits, gradient descent follows the regularised flow to order 2",
    source=BARRETT,
    statement=r"|x_{T/h} - y(T)| = O(h^2),\quad"
    r" \dot y = -\nabla\Bigl[f + \tfrac h4|\nabla f|^2\Bigr]",
    hypotheses=(r"tanh network, cross-entropy", r"$hL < 2$ on the path"),
    grade="measured",
    delta=0.25,
    unit="order in h (time unit: 1/curvature)",
)
def digits_modified_order(ctx: Context) -> Evidence:
    """The error at a fixed time; derivatives of the network by nested forward mode."""
    return _on_digits(ctx)


@digits_modified_order.control("the regulariser doubled", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _on_digits(ctx, 2.0)
