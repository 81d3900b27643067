"""Energies of second-order flows on convex losses: vanishing damping, Bregman."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy

from flows import (
    BregmanFlow,
    PhaseState,
    VanishingInertialNewtonFlow,
    bregman_start,
)
from proofs_check.certificates import find_certificate
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.energies import (
    bregman_energy,
    bregman_pair,
    vanishing_energy,
    vanishing_pair,
)
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.inequalities import minimal, strongly_convex
from proofs_check.inner_products import LyapunovPair, gap_symbol, inner
from proofs_check.papers import bregman_lagrangian, hessian_damping
from proofs_check.trajectories import X0, Case, convex_loss, trajectory

BEYOND = sympy.Symbol("s", nonnegative=True)
SMALL = sympy.Rational(1, 1000)
T = sympy.Symbol("t", positive=True)
GAP, EG, GG = gap_symbol(), inner("e", "g"), inner("g", "g")


def _named(pair: LyapunovPair, *names: str) -> list[Any]:
    """The pair's parameters."""
    symbols = {s.name: s for s in pair.derivative.free_symbols}
    return [symbols[name] for name in names]


def _stated(pair: LyapunovPair, slope: Any) -> Evidence:
    """V' of the model against the sum in the statement."""
    return identical(
        pair.derivative, slope, "V' of the statement", quantity="V'", route="algebra"
    )


# Vanishing friction and constant Hessian damping.


def _vanishing(friction: Any, convex: bool = True, share: Any = 1) -> Evidence:
    """V' + βt²|∇f|² <= 0 from convexity and f >= f*, a = 3 + s or a number."""
    pair = vanishing_pair()
    a, beta = _named(pair, "friction", "hessian_damping")
    found = find_certificate(
        pair.derivative + share * beta * T**2 * GG,
        [strongly_convex(), minimal()] if convex else [],
        {a: friction},
        name="V' + βt²|∇f|²",
        latex=r"\dot V + \beta t^2|\nabla f|^2",
    )
    return found.evidence(quantity="sign of V' + βt²|∇f|²")


def _vanishing_sum(factor: Any = 1) -> Evidence:
    """V' = 2t (f - f*) - (a-1) t ⟨∇f, x - x*⟩ - factor · βt²|∇f|²."""
    pair = vanishing_pair()
    a, beta = _named(pair, "friction", "hessian_damping")
    slope = 2 * T * GAP - (a - 1) * T * EG - factor * beta * T**2 * GG
    return _stated(pair, slope)


@claim(
    "inertial.vanishing-damping",
    title="The energy of inertial Newton with friction a/t never increases for a >= 3",
    source=hessian_damping("vanishing friction a/t; the energy is derived here"),
    statement=r"V = t^2(f-f_*) + \tfrac12\bigl|(a-1)(x-x_*) + t(\dot x + \beta\nabla f)"
    r"\bigr|^2:\quad \dot V = 2t(f-f_*) - (a-1)t\langle\nabla f, x-x_*\rangle -"
    r" \beta t^2|\nabla f|^2 \le -\beta t^2|\nabla f|^2",
    hypotheses=(
        r"$f$ convex, with a minimiser",
        r"$a \ge 3$, $\beta \ge 0$, force $1 + \beta/t$",
    ),
    grade="proved",
    delta=1e-6,
    unit="V (unit of |x|²)",
)
def vanishing_damping(ctx: Context) -> Iterator[Evidence]:
    """The sum for V', and its bound by convexity and f >= f*, multipliers solved."""
    yield _vanishing_sum()
    yield _vanishing(3 + BEYOND)


@vanishing_damping.control("βt²|∇f|² in V' with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _vanishing_sum(1 + SMALL)


@vanishing_damping.control("βt²|∇f|² in the bound with the factor 1 + 1/1000, a = 3")
def _(ctx: Context) -> Evidence:
    return _vanishing(sympy.Integer(3), share=1 + SMALL)


@vanishing_damping.control("friction a = 3 - 1/1000, on f = |x|")
def _(ctx: Context) -> Evidence:
    return _vanishing(3 - SMALL)


@vanishing_damping.control("f not convex")
def _(ctx: Context) -> Evidence:
    return _vanishing(3 + BEYOND, convex=False)


@vanishing_damping.route("along a solution, a = 3 and β = 1/2", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    flow = VanishingInertialNewtonFlow(convex_loss(), 3.0, 0.5)
    pair = vanishing_pair().at(friction=3, hessian_damping="0.5")
    rest = PhaseState(X0, -0.5 * flow.objective.gradient(X0))
    yield from trajectory(Case(flow, vanishing_energy, pair, rest, 1.0, 4.0))


# Bregman's family: one path at many clocks.


def _bregman(lost: Any = 0, convex: bool = True) -> Evidence:
    using = [strongly_convex(), minimal()] if convex else []
    left = bregman_pair(lost).derivative
    found = find_certificate(left, using, name="V'", latex=r"\dot V")
    return found.evidence(quantity="sign of V'")


def _bregman_sum(factor: Any = 1) -> Evidence:
    """V' = - C p t^{p-1} (⟨∇f, x - x*⟩ - factor · (f - f*))."""
    pair = bregman_pair()
    p, scale = _named(pair, "power", "scale")
    return _stated(pair, -scale * p * T ** (p - 1) * (EG - factor * GAP))


@claim(
    "inertial.bregman-energy",
    title="The energy of Bregman's flows never increases, whatever the power p",
    source=bregman_lagrangian("Lyapunov function of the polynomial family"),
    statement=r"V = C t^p(f-f_*) + \tfrac12\bigl|x-x_*+\tfrac tp\dot x\bigr|^2:\quad"
    r" \dot V = -C p\,t^{p-1}\bigl(\langle\nabla f, x-x_*\rangle - (f-f_*)\bigr)"
    r" \le 0",
    hypotheses=(
        r"$f$ convex, with a minimiser",
        r"$p > 0$, $C > 0$, the Euclidean distance",
    ),
    grade="proved",
    delta=1e-6,
    unit="V (unit of |x|²)",
)
def bregman(ctx: Context) -> Iterator[Evidence]:
    """The identity with p, C and t symbols; convexity is all that is asked."""
    yield _bregman_sum()
    yield _bregman()


@bregman.control("f - f* in V' with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _bregman_sum(1 + SMALL)


@bregman.control("the power p - 1 before f - f*")
def _(ctx: Context) -> Evidence:
    return _bregman(lost=1)


@bregman.control("f not convex")
def _(ctx: Context) -> Evidence:
    return _bregman(convex=False)


@bregman.route("along a solution, p = 4 and C = 1/4", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    flow = BregmanFlow(convex_loss(), 4.0, 0.25)
    pair = bregman_pair().at(power=4, scale="0.25")
    first = bregman_start(flow, X0, 0.25)
    yield from trajectory(Case(flow, bregman_energy, pair, first, 0.25, 2.0))
