"""Stationary bias of Langevin samplers on a double well: orders and constants.

The stationary law of each chain comes from one linear solve (`bias_ladder`), the
predicted power and constants from the step's expansion (`bias_constants`): two routes
that share nothing but the step itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from discretize import (
    BiasConstants,
    BiasLadder,
    CoordinateTaming,
    Euler,
    NormTaming,
    Polygonal,
    ProjectedEulerMaruyama,
    StateRootTaming,
    StateTaming,
    TamedEuler,
    bias_constants,
    bias_ladder,
    effective_potential,
)
from discretize.chain_laws.bias import constants_of
from flows import Scheme
from flows.problems import double_well, norm_power
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from sde import OverdampedLangevin

ABDULLE = Source(
    title="High order numerical approximation of the invariant measure of ergodic SDEs",
    authors="Assyr Abdulle, Gilles Vilmart and Konstantinos C. Zygalakis",
    year=2014,
    location="SIAM Journal on Numerical Analysis 52(4), 1600-1622: conditions on the "
    "expansion of one step; the constants of the tamed schemes are derived here",
)
MTULA = Source(
    title="Non-asymptotic convergence bounds for modified tamed unadjusted Langevin "
    "algorithm in non-convex setting",
    authors="Ariel Neufeld, Matthew Ng Cheng En and Ying Zhang",
    year=2022,
    arxiv="2207.02600",
    location="abstract: rates λ in W₁ and √λ in W₂",
)
MEASURED = Source(
    title="Stationary laws of tamed samplers, measured here",
    location="powers and constants predicted by `langevin.effective-potential`",
)

SAMPLERS: dict[str, Callable[[], Scheme]] = {
    "ULA in a box": Euler,
    "TULA": lambda: TamedEuler(NormTaming()),
    "mTULA, r = 2": lambda: TamedEuler(StateRootTaming(2.0)),
    "projected drift": ProjectedEulerMaruyama,
    "TUSLA, r = 1": lambda: TamedEuler(StateTaming(1.0)),
    "TheoPouLa, ε = 1": lambda: TamedEuler(Polygonal(1.0)),
    "TheoPouLa, ε = 0.1": lambda: TamedEuler(Polygonal(0.1)),
    "TheoPouLa, ε = 0.01": lambda: TamedEuler(Polygonal(0.01)),
    "TheoPouLa without boosting": lambda: TamedEuler(CoordinateTaming(0.5)),
}
QUICK = ("TULA", "mTULA, r = 2", "TheoPouLa, ε = 0.1")
"""TUSLA is in the quick run of `langevin.regularised-target`."""
BOX = (-4.0, 4.0)
"""Holds all but 1e-36 of the law; the unadjusted chain, conditioned on staying in it,
leaves it less than once in 1e20 steps at the steps below."""
WHOLE_POWERS = 0.025 / 2.0 ** np.arange(6)
HALF_POWERS = 0.2 / 4.0 ** np.arange(5)
"""A ratio of 4 in h is one of 2 in √h, the small quantity of these expansions."""


@dataclass(frozen=True)
class Measured:
    """A sampler's predicted constants beside its stationary laws.

    Attributes:
        constants: of the step's expansion.
        ladder: stationary laws of the chain at a ladder of steps.
    """

    constants: BiasConstants
    ladder: BiasLadder

    @property
    def power(self) -> float:
        """The predicted p."""
        return float(self.constants.power)

    @property
    def expansion(self) -> float:
        """The step q of the relative expansion in powers of h."""
        return min(self.power, 1.0)

    @cached_property
    def errors(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """W₁, W₂ and E_h x² - E_π x² at each step, with their error estimates."""
        return {
            "W1": self.ladder.wasserstein(1),
            "W2": self.ladder.wasserstein(2),
            "E x²": self.ladder.differences(np.square),
        }

    def order(self, p: int, claimed: float | None = None, **about) -> Evidence:
        """The order of W_p, against the predicted or the claimed one."""
        errors, floor = self.errors[f"W{p}"]
        order = self.power if claimed is None else claimed
        return decide.order(
            order,
            self.ladder.h,
            errors,
            floor=floor,
            q=self.expansion,
            quantity=f"order of W{p}",
            **about,
        )

    def constant(self, what: str, claimed: float, **about) -> Evidence:
        """A leading constant: of "W1", "W2", or of the second moment ("E x²")."""
        errors, floor = self.errors[what]
        return decide.leading_constant(
            claimed,
            self.ladder.h,
            errors,
            self.power,
            floor=floor,
            q=self.expansion,
            quantity=f"{what} per h^{self.constants.power}",
            **about,
        )


@cache
def measured(name: str, finer: bool = False) -> Measured:
    """A sampler of the double well at β = 1, on a ladder of steps or a finer one."""
    dynamics, scheme = OverdampedLangevin(double_well(), 1.0), SAMPLERS[name]()
    constants = bias_constants(scheme, dynamics)
    steps = WHOLE_POWERS if constants.power >= 1 else HALF_POWERS / (1 + finer)
    box = BOX if "box" in name else None
    return Measured(constants, bias_ladder(scheme, dynamics, steps, box=box))


@cache
def regularised() -> Measured:
    """TUSLA with η = 1, r = 1: the drift -η x³ is part of what the chain samples."""
    dynamics = OverdampedLangevin(double_well(), 1.0, norm_power(1.0, 1.0))
    scheme = SAMPLERS["TUSLA, r = 1"]()
    ladder = bias_ladder(scheme, dynamics, HALF_POWERS / 2)
    return Measured(bias_constants(scheme, dynamics), ladder)


def _all(ctx: Context):
    """The samplers of the effort, by name."""
    names = ctx.choose(QUICK, tuple(SAMPLERS))
    return [(name, measured(name, ctx.full)) for name in names]


@claim(
    "langevin.bias-constants",
    title="The stationary bias of tamed samplers has the constants of their effective "
    "potential",
    source=ABDULLE,
    statement=r"\lim_{h\to0}\frac{W_1}{h^p} = \int|F_1|,\quad"
    r" \lim\frac{W_2}{h^p} = \Bigl(\int\frac{F_1^2}{\pi}\Bigr)^{1/2},\quad"
    r" \lim\frac{E_h f - E_\pi f}{h^p} = -\beta\,\mathrm{Cov}_\pi(f, \Phi),\qquad"
    r" F_1(x) = -\beta\int_{-\infty}^x \pi(\Phi - E_\pi\Phi)",
    hypotheses=(
        r"double well $u = (x^2-1)^2/4$, $\beta = 1$",
        r"$\Phi$, $p$ as in langevin.effective-potential",
    ),
    grade="measured",
    delta=0.02,
    quick_delta=0.05,
    unit="(unit of x) per time^p",
)
def bias_constants_claim(ctx: Context):
    """W₁, W₂ and E x² of each chain's stationary law, extrapolated, a sampler each."""
    for name, found in _all(ctx):
        c = found.constants
        claimed = {"W1": c.w1.value, "W2": c.w2.value, "E x²": c.slope(np.square)}
        for what, value in claimed.items():
            yield found.constant(what, value, delta=ctx.delta, note=name)


SECOND_MOMENT_OF_TULA = 0.7942662854


def _moment(ctx: Context, slope) -> Evidence:
    """TULA's E x² against the constant of another potential, given by Φ'."""
    found = measured("TULA")
    effective = replace(found.constants.effective, slope=slope)
    claimed = constants_of(effective).slope(np.square)
    return found.constant("E x²", claimed, delta=ctx.delta)


@bias_constants_claim.control(
    "Φ with the other sign, for TULA", expected=SECOND_MOMENT_OF_TULA
)
def _(ctx: Context) -> Evidence:
    return _moment(ctx, -measured("TULA").constants.effective.slope)


@bias_constants_claim.control(
    "Euler's part left out, for TULA", expected=SECOND_MOMENT_OF_TULA
)
def _(ctx: Context) -> Evidence:
    dynamics = OverdampedLangevin(double_well(), 1.0)
    euler = effective_potential(Euler(), dynamics).slope
    return _moment(ctx, measured("TULA").constants.effective.slope - euler)


@bias_constants_claim.control(
    "the taming part left out, for TULA", expected=SECOND_MOMENT_OF_TULA
)
def _(ctx: Context) -> Evidence:
    dynamics = OverdampedLangevin(double_well(), 1.0)
    return _moment(ctx, effective_potential(Euler(), dynamics).slope)


@claim(
    "langevin.bias-orders",
    title="TULA and mTULA are biased by O(h), TheoPouLa by O(√h), in W₁ and W₂; TUSLA "
    "by O(√h) in W₂",
    source=MEASURED,
    statement=r"W_1(\pi_h, \pi),\ W_2(\pi_h, \pi) = \Theta(h):\ \mathrm{TULA},\ "
    r"\mathrm{mTULA};\quad W_1, W_2 = \Theta(\sqrt h):\ \mathrm{TheoPouLa};\quad"
    r" W_2 = \Theta(\sqrt h):\ \mathrm{TUSLA}",
    hypotheses=(
        r"double well $u = (x^2-1)^2/4$, $\beta = 1$",
        r"TUSLA with $r = 1$, without a regulariser, and in $W_2$ alone",
    ),
    grade="measured",
    unit="order in h",
)
def bias_orders(ctx: Context):
    """The orders of both distances between kernel stationary law and Gibbs law.

    TUSLA's slopes in W₁ settle below h = 1e-4 only: no order in W₁ is claimed for it.
    """
    for name, found in _all(ctx):
        for p in (2,) if name.startswith("TUSLA") else (1, 2):
            yield found.order(p, note=name)


@bias_orders.control("TheoPouLa of order 1, as an untamed step", expected=0.5)
def _(ctx: Context) -> Evidence:
    return measured("TheoPouLa, ε = 0.1").order(1, claimed=1.0)


@bias_orders.control("TULA of order 1/2, as the taming by √h", expected=1.0)
def _(ctx: Context) -> Evidence:
    return measured("TULA").order(2, claimed=0.5)


@claim(
    "langevin.mtula-rates",
    title="mTULA keeps the rates of its theorem, and is sharper in W₂",
    source=MTULA,
    statement=r"W_1(\pi_\lambda, \pi) \le C\lambda,\qquad"
    r" W_2(\pi_\lambda, \pi) \le C\lambda^{1/2}",
    hypotheses=(
        r"double well $u = (x^2-1)^2/4$, $\beta = 1$, $r = 2$",
        "the stationary part of the bound: what is left after infinitely many steps",
    ),
    grade="measured",
    delta=0.02,
    quick_delta=0.05,
    unit="order in the step",
)
def mtula_rates(ctx: Context):
    """One-sided: the measured order is no smaller than the stated one."""
    for p, rate in ((1, 1.0), (2, 0.5)):
        yield _at_least("mTULA, r = 2", p, rate, ctx)


def _at_least(name: str, p: int, rate: float, ctx: Context) -> Evidence:
    found = measured(name)
    sharp = found.order(p)
    constant = (found.constants.w1, found.constants.w2)[p - 1].value
    if sharp.interval is None:
        return sharp
    low, high = sharp.interval
    measurement = decide.Measurement(
        (low + high) / 2, bias=(high - low) / 2, obstacle=sharp.obstacle
    )
    return decide.lower_bound(
        rate,
        measurement,
        delta=ctx.delta,
        scale=1.0,
        quantity=f"order of W{p}",
        note=f"W{p} = {constant:.4g} h^{found.constants.power}, sharp",
        data=sharp.data,
    )


@mtula_rates.control("TheoPouLa's law held against the rate 1 in W₁", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _at_least("TheoPouLa, ε = 0.1", 1, 1.0, ctx)


@claim(
    "langevin.regularised-target",
    title="TUSLA with a regulariser samples the regularised Gibbs law",
    source=MEASURED,
    statement=r"W_2(\pi_h, \pi_\eta) = \Theta(\sqrt h),\qquad"
    r" \pi_\eta \propto \exp\Bigl(-\beta\bigl(u +"
    r" \tfrac{\eta}{2r+2}|x|^{2r+2}\bigr)\Bigr)",
    hypotheses=(r"double well, $\beta = 1$, $\eta = 1$, $r = 1$",),
    grade="measured",
    delta=0.02,
    quick_delta=0.05,
    unit="order in h",
)
def regularised_target(ctx: Context):
    """The order of W₂ and both constants, against the law with the regulariser."""
    found = regularised()
    yield found.order(2)
    yield found.constant("W1", found.constants.w1.value, delta=ctx.delta)
    yield found.constant("W2", found.constants.w2.value, delta=ctx.delta)


@regularised_target.control("the Gibbs law without the regulariser", expected=0.0)
def _(ctx: Context) -> Evidence:
    """The distance tends to that of the two Gibbs laws, so that the slope is 0."""
    found = regularised()

    def gibbs(x):
        return np.exp(-((x**2 - 1) ** 2) / 4)

    return replace(found, ladder=found.ladder.against(gibbs)).order(2)
