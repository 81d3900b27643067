"""TUSLA far out: its stability limit, and what a regulariser is needed for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import OptaxStep, StateTaming, TamedEuler, Training, tusla
from flows import from_sympy, iterate
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import tusla_paper

LAMBDA, PULL, ETA, THETA = sympy.symbols("lambda P eta theta", positive=True)


def traced_ratio(degree: int, r: int, eta: Any = ETA) -> Any:
    """θ₁/θ₀ of TUSLA's update for the gradient P θ^degree, without noise."""

    def update(rate, pull, eta, x):
        optimizer = tusla(rate, np.inf, eta, r)
        g = pull * x**degree
        return x + optimizer.update(g, optimizer.init(x), x)[0]

    start = np.array([THETA], dtype=object)
    new = exactly(update, LAMBDA, PULL, eta, start)[0]
    return sympy.cancel(new / THETA)


def far(expression: Any) -> Any:
    """The limit θ → ∞ of a rational function of θ, by its leading coefficients."""
    over, under = sympy.fraction(sympy.cancel(sympy.together(expression)))
    over, under = sympy.Poly(over, THETA), sympy.Poly(under, THETA)
    if over.degree() < under.degree():
        return sympy.Integer(0)
    if over.degree() > under.degree():
        return sympy.oo
    return over.LC() / under.LC()


@claim(
    "langevin.tusla-stability",
    title="TUSLA explodes for λ > (2/(P + η))² where h ~ P θ^{2r+1}",
    source=tusla_paper("the algorithm; the limit is derived and proved here"),
    statement=r"\frac{\theta_{k+1}}{\theta_k} \to 1 - (P+\eta)\sqrt\lambda\quad"
    r"(|\theta_k|\to\infty),\qquad \text{explodes} \iff \lambda >"
    r" \Bigl(\frac{2}{P+\eta}\Bigr)^2",
    hypotheses=(r"$h = P\theta^{2r+1}$", "no noise"),
    grade="proved",
    delta=0.01,
    unit="λ",
)
def far_field(ctx: Context) -> Iterator[Evidence]:
    """The traced update for r = 1, 2 and 14, all numbers symbols; -1 at the limit."""
    limit = 1 - (PULL + ETA) * sympy.sqrt(LAMBDA)
    for r in (1, 2, 14):
        yield identical(
            far(traced_ratio(2 * r + 1, r)), limit, f"far-field ratio, r = {r}"
        )
    at = limit.subs(LAMBDA, (2 / (PULL + ETA)) ** 2)
    yield identical(at, -1, "ratio -1 at (2/(P+η))²")


@far_field.control("the regulariser forgotten in the limit")
def _(ctx: Context) -> Evidence:
    claimed = 1 - PULL * sympy.sqrt(LAMBDA)
    return identical(far(traced_ratio(3, 1)), claimed, "far-field ratio")


def cold_tusla(hyper: Any) -> Any:
    """TUSLA without noise, r = 14."""
    return tusla(hyper["rate"], np.inf, hyper["eta"], 14.0)


def _path(rate: float, eta: float, start: float, steps: int) -> np.ndarray:
    """θ_k on θ³⁰, whose gradient is 30 θ²⁹."""
    theta = sympy.Symbol("theta", real=True)
    hyper = {"rate": jnp.asarray(rate), "eta": jnp.asarray(eta)}
    run = iterate(
        OptaxStep(cold_tusla, hyper),
        Training(from_sympy(theta**30, [theta])),
        jnp.array([start]),
        h=rate,
        steps=steps,
    )
    return np.asarray(run.positions)[:, 0]


@far_field.route("growth far out", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Log |θ| per step from 10³ on θ³⁰, below and above the limit, η = 0 and 10."""
    for eta in (0.0, 10.0):
        yield _growth(ctx, (2 / (30 + eta)) ** 2, eta)


def _growth(ctx: Context, claimed: float, eta: float) -> Evidence:
    rates, steps = [], 400
    for rate in decide.bracket_ends(claimed, ctx.delta):
        size = np.log(np.abs(_path(rate, eta, 1e3, steps)))
        growth = (size[-1] - size[steps // 2]) / (steps - steps // 2)
        late = (size[-1] - size[3 * steps // 4]) / (steps - 3 * steps // 4)
        rates.append(GrowthRate(rate, growth, bias=2 * abs(growth - late)))
    return decide.threshold(
        claimed, rates, delta=ctx.delta, note=f"η = {eta:g}", quantity="growth rate"
    )


@far_field.control("growth around 1.03 times the limit")
def _(ctx: Context) -> Evidence:
    return _growth(ctx, 1.03 * (2 / 30) ** 2, 0.0)


@claim(
    "langevin.tusla-doubles",
    title="On θ³⁰ at λ = 0.01 TUSLA doubles |θ| every step: 4, -8, 16, …",
    source=tusla_paper("the example of a thirtieth power; the count is derived here"),
    statement=r"\theta_k = 4(-2)^k,\quad \lambda = 0.01,\ r = 14,\ \eta = 0",
    hypotheses=("no noise", r"to rounding: $\theta^{28}$ is $7\cdot10^{16}$ at 4"),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    unit="θ_k over 4(-2)^k",
    parameters={"rate": 0.01},
)
def doubling(ctx: Context) -> Iterator[Evidence]:
    """Ten steps of the optimiser."""
    path = _path(float(ctx.parameters["rate"]), 0.0, 4.0, 10)
    for k in (1, 2, 10):
        ratio = path[k] / (4 * (-2.0) ** k)
        measured = decide.ladder([ratio] * 3, condition=10)
        yield decide.equal(1.0, measured, delta=ctx.delta, note=f"step {k}")


@doubling.control("λ = 0.0099")
def _(ctx: Context) -> Evidence:
    path = _path(0.0099, 0.0, 4.0, 10)
    measured = decide.ladder([path[10] / 4096] * 3, condition=10)
    return decide.equal(1.0, measured, delta=ctx.delta, note="step 10")


@claim(
    "langevin.tusla-regulariser",
    title="With η = 0 and p < 2r + 1 TUSLA's pull dies out far away",
    source=tusla_paper("the role of the regulariser; the limits are derived here"),
    statement=r"\eta = 0:\ -\theta\,b_\lambda(\theta) \to \frac{P}{\sqrt\lambda}"
    r"\quad(p=2r-1);\qquad \eta>0:\ -\frac{b_\lambda(\theta)}{\theta} \to"
    r" \frac{\eta}{\sqrt\lambda}",
    hypotheses=(r"$h = P\theta^p$, $p = 3$, $r = 2$",),
    grade="proved",
)
def regulariser(ctx: Context) -> Iterator[Evidence]:
    """The drift of the traced update.

    With -θb → κ = P/√λ alone the chain's far field is that of dX = -κ/X dt + √(2/β) dB,
    whose stationary density falls like |x|^{-βκ}: no exponential moments, and none of
    order m >= βP/√λ - 1.
    """
    yield _pull(ctx, sympy.Integer(0), 2, PULL / sympy.sqrt(LAMBDA))
    yield _pull(ctx, ETA, 0, ETA / sympy.sqrt(LAMBDA))


def _pull(ctx: Context, eta: Any, power: int, claimed: Any) -> Evidence:
    """The limit of -b_λ(θ) θ^{power - 1}, b_λ = (θ₁ - θ₀)/λ."""
    drift = (1 - traced_ratio(3, 2, eta)) * THETA**power / LAMBDA
    return identical(far(drift), claimed, f"lim -b θ^{power - 1}, η = {eta}")


@regulariser.control("η > 0 left out where it is needed")
def _(ctx: Context) -> Evidence:
    return _pull(ctx, sympy.Integer(0), 0, ETA / sympy.sqrt(LAMBDA))


@regulariser.route("the drift at large states", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """-θ b_λ(θ) of the scheme at θ = 10², 10³, 10⁴, against P/√λ; λ = 0.1, P = 2."""
    x = jnp.asarray([1e2, 1e3, 1e4])
    taming = TamedEuler(StateTaming(2.0)).taming
    found = [
        float(-y * taming(jnp.asarray(0.1), y[None], (-2 * y[None] ** 3,))[0])
        for y in x
    ]
    measured = decide.ladder(np.array(found) * 0.1**0.5 / 2)
    yield decide.equal(1.0, measured, delta=1e-6, quantity="-θ b √λ/P")
