"""The edge of stability with the preconditioner held: 38/η for Adam, and its kin."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optax
import sympy

from discretize import edge_of, scalar_rmsprop, stability_of
from flows.symbolic import IdentityResult, equal_symbolically, exactly
from proofs_check import decide
from proofs_check.claim import Claim, Source, claim
from proofs_check.claims.quadratic_stability import growth, heavy_ball, nesterov
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

COHEN = Source(
    title="Adaptive Gradient Methods at the Edge of Stability",
    authors="Jeremy M. Cohen, Behrooz Ghorbani, Shankar Krishnan, Naman Agarwal, "
    "Sourabh Medapati, Michal Badura, Daniel Suo, David Cardoze, Zachary Nado, "
    "George E. Dahl and Justin Gilmer",
    year=2022,
    arxiv="2207.14484",
    location="the thresholds with the preconditioner held; derived and proved here, by "
    "Jury's conditions, also where the paper has another optimiser",
)


def ema(eta, b1):
    """Gradient descent along a mean of gradients, without bias correction."""
    return optax.chain(optax.ema(b1, debias=False), optax.scale(-eta))


def adam(eta, b1, b2, eps):
    """Adam."""
    return optax.adam(eta, b1, b2, eps)


def nadam(eta, b1, b2, eps):
    """Adam with Nesterov's momentum."""
    return optax.nadam(eta, b1, b2, eps)


def ema_nesterov(eta, b1):
    """NAdam's step with P = 1 and without bias corrections."""
    return optax.chain(optax.trace(b1, nesterov=True), optax.scale(-eta * (1 - b1)))


def rmsprop(eta, b2, eps):
    """RMSProp."""
    return optax.rmsprop(eta, b2, eps)


def scalar(eta, b2, eps):
    """RMSProp with one ν for all coordinates."""
    return scalar_rmsprop(eta, b2, eps)


def _ranges(factory: Callable) -> dict[str, Any]:
    """[0, 1) for the arguments named b..., positive numbers for the others."""
    names = inspect.signature(factory).parameters
    return {n: (0, 1) if n.startswith("b") else (0, math.inf) for n in names}


def _found(ctx: Context, factory: Callable) -> Any:
    """The edge of a factory, all its arguments symbols."""

    def build():
        return edge_of(factory, **_ranges(factory))

    return ctx.compiled(factory, build)


def _symbolic(
    ctx: Context, factory: Callable, claimed: Callable, factor: Any = 1
) -> Evidence:
    """The derived limit of λ(P⁻¹H) against the claimed expression."""
    found = _found(ctx, factory)
    s = {v.name: v for v in found.limit.free_symbols}
    same = equal_symbolically(found.limit, factor * claimed(s) / s["eta"])
    if found.grade != "proved":
        same = IdentityResult("undecided", remainder=found.grade)
    return decide.identity(same, name=f"edge of {factory.__name__} = claimed")


def _at_nine_tenths(ctx: Context, factory: Callable, value: Any) -> Evidence:
    """η times the limit at β₁ = 9/10."""
    limit = _found(ctx, factory).limit
    s = {v.name: v for v in limit.free_symbols}
    number = sympy.simplify(limit.subs({s["b1"]: sympy.Rational(9, 10)}) * s["eta"])
    return identical(number, sympy.sympify(value), f"η × edge at β₁ = 0.9 is {value}")


def _radii(ctx: Context, factory: Callable, claimed: Callable) -> Evidence:
    """The spectral radius at (1 ∓ 1e-7) of the claim, the worst of 25 values of β₁."""
    found = _found(ctx, factory).stability
    delta, rates = 2e-7, []
    for ratio, worst in zip(decide.bracket_ends(1.0, delta), (max, min), strict=True):
        radii = []
        for b in np.linspace(0, 0.96, 25):
            values = {s.name: 0.1 if s.name == "eta" else b for s in _symbols(found)}
            edge = float(claimed({"b1": b})) / 0.1
            radii.append(found.spectral_radius(edge * ratio, **values))
        # 1e-12: rounding of eigenvalues that are simple and of order 1
        rates.append(GrowthRate(ratio, math.log(worst(radii)), bias=1e-12))
    quantity = "log of the spectral radius, by limit over claim"
    room = 1.01 * delta  # the bracket's own width, and its rounding
    return decide.threshold(1.0, rates, delta=room, unit="", quantity=quantity)


def _symbols(found: Any) -> set:
    return set().union(*(c.free_symbols for b in found.blocks for c in b)) - {
        found.symbol
    }


def _runs(ctx: Context, factory: Callable, values: Mapping, c: float) -> Evidence:
    """Growth of optax's own iterates on x²/2 a little below and above η = c."""
    ends = decide.bracket_ends(c, 0.02)
    rates: list[GrowthRate] = [growth(factory, dict(values), e, 1000) for e in ends]
    return decide.threshold(c, rates, delta=0.02, quantity="growth per step")


def _edge_claim(
    name: str,
    title: str,
    statement: str,
    factories: tuple[Callable, ...],
    claimed: Callable,
    nine_tenths: Any = None,
    plain: Callable | None = None,
) -> Claim:
    """The claim that optimisers have one edge, with its routes and plain controls."""

    @claim(
        f"central_flow.edge-{name}",
        title=title,
        source=COHEN,
        statement=statement,
        hypotheses=(
            r"$f = \lambda x^2/2$, second moment held: $P > 0$ constant",
            r"bias corrections died out",
            r"$0 \le \beta_1 < 1$ where there is one",
        ),
        grade="proved",
        delta=1e-6,
        unit="η λ(P⁻¹H)",
    )
    def threshold(ctx: Context) -> Iterator[Evidence]:
        """Jury's conditions on the traced step of optax's optimiser, all symbols."""
        for factory in factories:
            yield _symbolic(ctx, factory, claimed)
        if nine_tenths is not None:
            yield _at_nine_tenths(ctx, factories[0], nine_tenths)

    @threshold.control("limit times 1 + 1/1000")
    def _(ctx: Context) -> Evidence:
        return _symbolic(ctx, factories[0], claimed, 1 + sympy.Rational(1, 1000))

    if plain is None:
        return threshold

    @threshold.route("spectral radius of companion matrices", grade="measured")
    def _(ctx: Context) -> Evidence:
        return _radii(ctx, plain, claimed)

    @threshold.route("runs of optax, 1 % below and above", grade="measured")
    def _(ctx: Context) -> Evidence:
        """β₁ = 0.9, P = 1, a thousand steps."""
        return _runs(ctx, plain, {"b1": 0.9}, float(claimed({"b1": 0.9})))

    @threshold.control("gradient descent's limit 2/η")
    def _(ctx: Context) -> Evidence:
        return _symbolic(ctx, factories[0], lambda s: sympy.Integer(2))

    @threshold.control("runs of optax at the limit 2/η of gradient descent")
    def _(ctx: Context) -> Evidence:
        return _runs(ctx, plain, {"b1": 0.9}, 2.0)

    return threshold


ADAM_EDGE = _edge_claim(
    "adam",
    "Adam with its preconditioner held is stable up to 38/η at β₁ = 0.9",
    r"\text{stable} \iff \eta\lambda_{\max}(P^{-1}H) < \frac{2(1+\beta_1)}{1-\beta_1}"
    r",\qquad = 38 \text{ at } \beta_1 = 0.9",
    (adam, ema),
    lambda s: 2 * (1 + s["b1"]) / (1 - s["b1"]),
    38,
    ema,
)

NADAM_EDGE = _edge_claim(
    "nadam",
    "NAdam with its preconditioner held is stable up to 95/(7η) at β₁ = 0.9",
    r"\text{stable} \iff \eta\lambda_{\max}(P^{-1}H) <"
    r" \frac{2(1+\beta_1)}{(1-\beta_1)(1+2\beta_1)},\qquad = 95/7"
    r" \text{ at } \beta_1 = 0.9",
    (nadam, ema_nesterov),
    lambda s: 2 * (1 + s["b1"]) / ((1 - s["b1"]) * (1 + 2 * s["b1"])),
    sympy.Rational(95, 7),
    ema_nesterov,
)

RMSPROP_EDGE = _edge_claim(
    "rmsprop",
    "RMSProp and its scalar form, preconditioner held, are stable up to 2/η",
    r"\text{stable} \iff \eta\lambda_{\max}(P^{-1}H) < 2",
    (rmsprop, scalar),
    lambda s: sympy.Integer(2),
)


@ADAM_EDGE.control("the limit of Polyak's momentum, 2(1+β₁)/η")
def _(ctx: Context) -> Evidence:
    return _symbolic(ctx, adam, lambda s: 2 * (1 + s["b1"]))


@ADAM_EDGE.control("runs of optax at Polyak's limit")
def _(ctx: Context) -> Evidence:
    """At 3.8 instead of 38 the mean-of-gradients form decays on both sides."""
    return _runs(ctx, ema, {"b1": 0.9}, 3.8)


# Two ways to write Nesterov's momentum.

SUTSKEVER = Source(
    title="On the importance of initialization and momentum in deep learning",
    authors="Ilya Sutskever, James Martens, George Dahl and Geoffrey Hinton",
    year=2013,
    location="the two ways to write Nesterov's momentum; the proof is by traced steps",
)


def look_ahead(eta, beta, lam, now, before):
    """One step y = x + β(x - x₋), x₊ = y - η λ y; returns (x₊, x)."""
    y = now + beta * (now - before)
    return y - eta * lam * y, now


def _companion(step: Callable, eta: Any, beta: Any, lam: Any) -> Any:
    """The characteristic polynomial in z of a linear step of (now, before)."""
    now, before, z = sympy.symbols("now before z", real=True)
    image = sympy.Matrix(exactly(step, eta, beta, lam, now, before))
    return image.jacobian([now, before]).charpoly(z).as_expr()


def _same_polynomial(other: Callable) -> Evidence:
    """The look-ahead step's polynomial against that of an optax optimiser."""
    found = stability_of(other, eta=(0, math.inf), beta=(0, 1))
    s = {v.name: v for v in found.polynomial.free_symbols}
    mine = _companion(look_ahead, s["eta"], s["beta"], s["lambda"])
    z = next(v for v in mine.free_symbols if v.name == "z")
    return identical(
        mine.subs(z, s["z"]), found.polynomial, "characteristic polynomials"
    )


@claim(
    "central_flow.edge-nesterov-forms",
    title="Nesterov's look-ahead step has the stability limit of optax's form",
    source=SUTSKEVER,
    statement=r"p(z) = z^2 - (1-\eta\lambda)(1+\beta) z + (1-\eta\lambda)\beta"
    r"\ \text{for both},\qquad p(-1) = 0 \iff \eta\lambda = "
    r"\frac{2(1+\beta)}{1+2\beta}",
    hypotheses=(r"$f = \lambda x^2/2$", r"$0 \le \beta < 1$"),
    grade="proved",
    unit="identity of polynomials",
)
def nesterov_forms(ctx: Context) -> Iterator[Evidence]:
    """The traced look-ahead step beside optax's, and where -1 is a root."""
    yield _same_polynomial(nesterov)
    eta, lam = sympy.symbols("eta lambda", positive=True)
    beta = sympy.Symbol("beta", nonnegative=True)
    p = _companion(look_ahead, eta, beta, lam)
    z = next(v for v in p.free_symbols if v.name == "z")
    root = sympy.solve(p.subs(z, -1), lam)[0] * eta
    yield identical(root, 2 * (1 + beta) / (1 + 2 * beta), "η λ with p(-1) = 0")


@nesterov_forms.control("heavy ball's polynomial")
def _(ctx: Context) -> Evidence:
    return _same_polynomial(heavy_ball)


# Where the first root leaves the circle: at -1, for all of them.


OTHER_ROOT = (
    (heavy_ball, lambda b: -b),
    (nesterov, lambda b: b / (1 + 2 * b)),
    (ema, lambda b: -b),
)
"""The root that stays inside, |·| < 1, when the first one leaves."""


@claim(
    "central_flow.edge-period-two",
    title="At the edge every one of these optimisers oscillates with period 2",
    source=COHEN,
    statement=r"\text{at the limit } p(z) = (z+1)(z-r),\quad r = -\beta"
    r"\text{ (Polyak, EMA)},\quad r = \frac{\beta}{1+2\beta}\text{ (Nesterov)}",
    hypotheses=(r"$f = \lambda x^2/2$", r"$0 \le \beta < 1$"),
    grade="proved",
    unit="identity",
)
def period_two(ctx: Context) -> Iterator[Evidence]:
    """At the limit p is divided by z + 1, and the other root is inside."""
    for factory, other in OTHER_ROOT:
        yield from _leaves_at(ctx, factory, -1, other)


def _leaves_at(
    ctx: Context, factory: Callable, root: int, other: Callable
) -> Iterator[Evidence]:
    """p(root) = 0 at the limit, and p(0) is the product of `root` and the other one."""
    ranges = _ranges(factory)
    found = ctx.compiled(("limit", factory), lambda: stability_of(factory, **ranges))
    s = {v.name: v for v in found.polynomial.free_symbols}
    p = sympy.expand(found.polynomial.subs(s["lambda"], found.limit))
    yield identical(
        p.subs(s["z"], root), sympy.Integer(0), f"p({root}) of {factory.__name__}"
    )
    yield identical(
        p.subs(s["z"], 0),
        root * other(s[list(ranges)[1]]),
        f"the other root of {factory.__name__}",
    )


@period_two.control("that the root leaves at +1")
def _(ctx: Context) -> Evidence:
    return next(_leaves_at(ctx, heavy_ball, 1, lambda b: b))
