"""Backward error analysis of gradient descent: its modified flows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from discretize import Euler, ModifiedFlow, modified_terms
from flows import Flow, GradientFlow, NonFiniteState, iterate, reference
from flows.problems import taylor_polynomial, wavy
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence, Order
from proofs_check.identities import identical

BARRETT = Source(
    title="Implicit Gradient Regularization",
    authors="David G. T. Barrett and Benoit Dherin",
    year=2021,
    arxiv="2009.11162",
    location="the second-order term; higher terms by the same recursion",
)


def closed_form(objective, j: int, x, first=1.0):
    """The term f_j of gradient descent's modified equation, j = 2, 3, 4.

    f₂ = -½ H g,  f₃ = -(⅓ H²g + 1/12 T[g,g]),
    f₄ = -(¼ H³g + 1/12 T[g, Hg] + 1/12 H T[g,g]),  with T = ∇³f.
    `first` multiplies the leading coefficient (a control's 1 + 1/1000).
    """
    g = objective.gradient(x)

    def hessian(v):
        return objective.hvp(x, v)

    def third(u, v):
        return objective.third(x, u, v)

    if j == 2:
        return -first * hessian(g) / 2
    if j == 3:
        return -(first * hessian(hessian(g)) / 3 + third(g, g) / 12)
    leading = first * hessian(hessian(hessian(g))) / 4
    return -(leading + third(g, hessian(g)) / 12 + hessian(third(g, g)) / 12)


@claim(
    "gradient_flow.modified-terms",
    title="The terms f₂, f₃, f₄ of gradient descent's modified equation",
    source=BARRETT,
    statement=r"f_2 = -\tfrac12 Hg,\quad"
    r" f_3 = -\tfrac13 H^2 g - \tfrac1{12}T[g,g],\quad"
    r" f_4 = -\tfrac14 H^3g - \tfrac1{12}T[g,Hg] - \tfrac1{12}H\,T[g,g]",
    hypotheses=(
        r"$f$ smooth; two variables, a generic Taylor polynomial at the point",
    ),
    grade="proved",
)
def modified_terms_claim(ctx: Context) -> Evidence:
    """The recursion's terms traced at 0 for a generic jet, against the closed forms."""
    return _terms(ctx.choose((2, 3), (2, 3, 4)))


def _terms(indices, first=1.0) -> Evidence:
    # At the point only derivatives of f up to order j + 1 can enter f_j, so a generic
    # Taylor polynomial of that degree stands for every smooth loss.
    polynomial = symbols_like(taylor_polynomial(2, max(indices) + 1))

    def difference(f):
        fields = modified_terms(Euler(), GradientFlow(f), max(indices))
        x = jnp.zeros(2)
        return jnp.concatenate(
            [fields[j - 1](0.0, x) - closed_form(f, j, x, first) for j in indices]
        )

    found = exactly(difference, polynomial)
    zero = np.zeros(found.shape, dtype=int).astype(object)
    names = ", ".join(f"f_{j}" for j in indices)
    return identical(found, zero, names)


@modified_terms_claim.control("leading coefficients times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _terms((2,), first=1.001)


class _Truncated(Flow):
    """The modified flow with its last term multiplied by a factor (−1: a control)."""

    modified: ModifiedFlow
    factor: jax.Array

    def vector_field(self, t, y):
        """Σ_j h^{j-1} f_j, the last one times the factor."""
        flow = self.modified
        fields = modified_terms(flow.scheme, flow.flow, flow.terms)
        total = jnp.zeros_like(y)
        for j, field in enumerate(fields):
            weight = self.factor if j == len(fields) - 1 else 1.0
            total = total + weight * flow.h**j * field(t, y)
        return total


def errors_at_end(p: int, factor: float, rates, t1: float) -> np.ndarray:
    """|x_{T/h} - y(T)| at T = t1, of the field of p terms, its last times `factor`."""
    flow, x = GradientFlow(wavy()), jnp.array([1.2, 0.8])
    errors = []
    for h in rates:
        steps = round(t1 / h)
        discrete = iterate(Euler(), flow, x, h=h, steps=steps, save="last")
        model = _Truncated(
            ModifiedFlow(flow, Euler(), jnp.asarray(h), p), jnp.asarray(factor)
        )
        run = reference(model, x, t1)
        gap = np.asarray(discrete.states[-1] - run.states[-1])
        errors.append(float(np.linalg.norm(gap)))
    return np.array(errors)


LARGEST_CURVATURE = 2.2
"""Of the loss at the start, where it is largest along the path."""


def _small_steps(parameters) -> bool:
    return parameters["h"] * LARGEST_CURVATURE < 1


def _order_claim(p: int):
    wrong = p - 1.0

    @claim(
        f"gradient_flow.modified-order-{p}",
        title=f"Gradient descent follows its modified flow of {p} term"
        f"{'s' if p > 1 else ''} to order {p}",
        source=BARRETT,
        statement=rf"|x_{{T/h}} - y(T)| = O(h^{p}),\quad"
        rf" \dot y = \textstyle\sum_{{j\le {p}}} h^{{j-1}} f_j(y)",
        hypotheses=(
            r"$f$ smooth",
            (rf"$hL < 1$, here $L = {LARGEST_CURVATURE}$", _small_steps),
        ),
        grade="measured",
        delta=0.25,
        full_only=p > 4,  # five terms take long to compile
        unit="order in h (time unit: 1/curvature)",
        parameters={"h": 0.1},
    )
    def order_claim(ctx: Context) -> Evidence:
        return _measure(ctx, 1.0)

    def _measure(ctx: Context, factor: float) -> Evidence:
        rates = ctx.parameters["h"] * 0.5 ** np.arange(8)
        try:
            errors = errors_at_end(p, factor, rates, 10 * ctx.parameters["h"])
        except NonFiniteState:
            return ctx.diverged(Order(p))
        return decide.order(p, rates, errors, floor=1e-13)

    name = "the field doubled" if p == 1 else f"the sign of f_{p} flipped"

    @order_claim.control(name, expected=wrong)
    def _(ctx: Context) -> Evidence:
        return _measure(ctx, 2.0 if p == 1 else -1.0)

    return order_claim


ORDERS = tuple(_order_claim(p) for p in (1, 2, 3, 4, 5))
