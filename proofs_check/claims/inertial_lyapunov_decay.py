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
from proofs_check.inequalities import minimal, strongly_convex
from proofs_check.papers import bregman_lagrangian, hessian_damping
from proofs_check.trajectories import X0, Case, convex_loss, trajectory

BEYOND = sympy.Symbol("s", nonnegative=True)
SMALL = sympy.Rational(1, 1000)


# Vanishing friction and constant Hessian damping.


def _vanishing(friction: Any, convex: bool = True) -> Evidence:
    """V' from convexity and f >= f*, with friction a = 3 + s or a number."""
    pair = vanishing_pair()
    symbols = {s.name: s for s in pair.derivative.free_symbols}
    using = [strongly_convex(), minimal()] if convex else []
    found = find_certificate(
        pair.derivative,
        using,
        {symbols["friction"]: friction},
        name="V'",
        latex=r"\dot V",
    )
    return found.evidence()


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
def vanishing_damping(ctx: Context) -> Evidence:
    """Convexity and f >= f* with solved multipliers; what is left is βt²|∇f|²."""
    return _vanishing(3 + BEYOND)


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
    return find_certificate(left, using, name="V'", latex=r"\dot V").evidence()


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
def bregman(ctx: Context) -> Evidence:
    """The identity with p, C and t symbols; convexity is all that is asked."""
    return _bregman()


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
