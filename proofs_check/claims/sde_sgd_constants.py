"""Leading constants of the weak errors of SGD's modified equations."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from discretize import CircleGrid, circle_generator, leading_weak_error
from discretize.circle import coefficients
from flows import GradientFlow
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.sde_sgd import (
    CIRCLE,
    FLOOR,
    START,
    TIME,
    errors_on_circle,
    gradient_flow,
    landscape,
    sme,
    spread,
)
from proofs_check.context import Context
from proofs_check.evidence import Evidence


def _defect(grid: CircleGrid, case: str, third: float = 1.0):
    """(L₀, R, p) of one step P = e^{hL} + h^{p+1} R + ... on the circle's nodes."""
    flow = GradientFlow(landscape())
    x = grid.points[:, 0]
    g = -coefficients(flow, x)[0][:, None]
    s = np.asarray(spread(jnp.asarray(x)))[:, None]
    d1, d2, d3 = (grid.derivative(k) for k in (1, 2, 3))
    a = circle_generator(grid, flow)
    if case != "second":
        seen = s**2 if case == "flow" else 0 * s
        return a, ((g**2 + seen) * d2 - a @ a) / 2, 1
    slope = grid.derivative(1) @ g
    b = -g * slope / 2 * d1 + s**2 / 2 * d2  # L = A + hB
    moment = -(g**3 + 3 * third * g * s**2) / 6 * d3
    return a, moment - (a @ b + b @ a) / 2 - a @ a @ a / 6, 2


def _constant(ctx: Context, case: str, process, third: float = 1.0) -> Evidence:
    grid = CircleGrid(129)
    limit, defect, p = _defect(grid, case, third)
    operator = leading_weak_error(limit, defect, TIME)
    values = operator @ np.sin(grid.points[:, 0])
    start = grid.interpolation(np.array([[START]]))[0]
    hs, errors = errors_on_circle(process, 6, 97)
    return decide.leading_constant(
        float(start @ values),
        hs,
        errors[:, 0],
        p,
        delta=ctx.delta,
        floor=FLOOR,
        quantity=f"error of E sin x over h^{p}",
    )


CONSTANT = (
    r"P^{T/h} - e^{TL} = h^p\!\int_0^T\! e^{(T-s)L_0}R\,e^{sL_0}\,ds + O(h^{p+1})"
)


@claim(
    "sde_models.sgd-constants",
    title="The weak errors' leading constants, from one step's defect",
    source=Source(
        title="Expansion of the global error for numerical schemes solving stochastic "
        "differential equations",
        authors="Denis Talay and Luciano Tubaro",
        year=1990,
        location="Stochastic Analysis and Applications 8(4); applied to SGD here",
    ),
    statement=CONSTANT,
    hypotheses=CIRCLE,
    grade="measured",
    delta=2e-3,
    quick_delta=1e-2,
    unit="error of E sin x over h^p",
)
def sgd_constants(ctx: Context) -> Iterator[Evidence]:
    """Second equation (first equation and gradient flow at effort full)."""
    yield _constant(ctx, "second", sme(2))
    if ctx.full:
        yield _constant(ctx, "first", sme(1))
        yield _constant(ctx, "flow", gradient_flow)


@sgd_constants.control("the step's third moment without its noise")
def _(ctx: Context) -> Evidence:
    return _constant(ctx, "second", sme(2), third=0.0)


@sgd_constants.control("the flow's constant for the first equation")
def _(ctx: Context) -> Evidence:
    return _constant(ctx, "flow", sme(1))
