"""A thirtieth-power well: Adam, AMSGrad, RMSProp and SGD fail, TheoPouLa does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optax

from discretize import theopoula, tusla
from discretize.figures.steep_wells import OPTIMISERS, paths, uniform_samples
from flows.problems import steep_well
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.papers import tusla_paper

RATES = (1e-3, 1e-2, 1e-1)
STEPS = 1000
HYPOTHESES = (
    r"$u(\theta)(1+1_{x\le\theta}) + \theta^{30}$, $u = \theta^2$ for $|\theta|\le1$,"
    r" $2|\theta|-1$ beyond",
    r"$x_k \sim \mathrm{Beta}(2,2)$, $\theta_0 = 4$, 1000 steps",
    r"$\lambda = 10^{-3}, 10^{-2}, 10^{-1}$",
)
CODE = "the artificial example, as in the authors' public code"


def along(ctx: Context, name: str, start: float = 4.0) -> np.ndarray:
    """Paths [seeds, rates, steps + 1] of an optimiser, with data of each seed."""

    def run():
        make, _ = OPTIMISERS[name]
        wells = [steep_well(uniform_samples(STEPS, s)) for s in range(ctx.choose(1, 5))]
        return np.array([paths(make, RATES, well, start) for well in wells])

    return ctx.compiled((name, start, ctx.effort), run)


def _rounded(value: Any) -> Measurement:
    """A value of a run that is stable against rounding (see the exact prefixes)."""
    return Measurement(float(value), bias=1e-9 * abs(float(value)))


@claim(
    "langevin.steep-well-stall",
    title="Adam, AMSGrad and RMSProp stay beyond 2.5 on the thirtieth-power well",
    source=tusla_paper(CODE),
    statement=r"|\theta_{1000}| > 2.5\quad\text{at}\ \lambda \le 0.1",
    hypotheses=HYPOTHESES,
    grade="measured",
    delta=0.01,
    unit="|θ|",
)
def stall(ctx: Context) -> Iterator[Evidence]:
    """|θ| at the end of each run of each optimiser."""
    for name in ("Adam", "AMSGrad", "RMSProp"):
        yield _stays_out(ctx, name)


def _stays_out(ctx: Context, name: str, start: float = 4.0) -> Evidence:
    found = np.min(np.abs(along(ctx, name, start)[:, :, -1]))
    note = f"{name} from {start:g}"
    return decide.lower_bound(2.5, _rounded(found), delta=ctx.delta, note=note)


@stall.control("TheoPouLa")
def _(ctx: Context) -> Evidence:
    return _stays_out(ctx, "TheoPouLa")


@stall.control("Adam from 0.9, away from the wall")
def _(ctx: Context) -> Evidence:
    return _stays_out(ctx, "Adam", 0.9)


@claim(
    "langevin.steep-well-theopoula",
    title="TheoPouLa is within 0.1 of the minimum of the thirtieth-power well",
    source=tusla_paper(CODE),
    statement=r"|\theta_{1000}| < 0.1,\qquad \min\{k: |\theta_k| < 0.1\} \ge"
    r" \frac{3.9}{\sqrt\lambda}",
    hypotheses=(*HYPOTHESES, r"$\epsilon = 0.1$, $\beta = 10^{10}$, $\eta = 0$"),
    grade="measured",
    delta=0.01,
    unit="|θ|, or steps over 3.9/√λ",
)
def arrives(ctx: Context) -> Iterator[Evidence]:
    """The end of each run, and the first step near the minimum, above its bound √λ."""
    yield _ends_near(ctx, "TheoPouLa")
    near = np.abs(along(ctx, "TheoPouLa")) < 0.1
    first = np.argmax(near, axis=2) * np.sqrt(RATES) / 3.9
    note = f"first at steps {np.argmax(near, axis=2)[0].tolist()}"
    least = _rounded(np.min(first))
    yield decide.lower_bound(1.0, least, delta=ctx.delta, note=note)


def _ends_near(ctx: Context, name: str) -> Evidence:
    found = np.max(np.abs(along(ctx, name)[:, :, -1]))
    return decide.upper_bound(0.1, _rounded(found), delta=ctx.delta, note=name)


@arrives.control("Adam")
def _(ctx: Context) -> Evidence:
    return _ends_near(ctx, "Adam")


@claim(
    "langevin.steep-well-prefix",
    title="On the wall of the well the first steps are known exactly",
    source=tusla_paper(CODE + "; the prefixes are derived here"),
    statement=r"\text{TheoPouLa: } \theta_5 = 4 - 5\sqrt\lambda;\quad"
    r" \text{TUSLA: } \theta_1 = \theta_0(1 - 30\sqrt\lambda);\quad"
    r" \text{Adam: } \theta_1 = 4 - \lambda",
    hypotheses=(
        r"$\theta_0 = 4$: terms of relative size $10^{-16}$ left out",
        r"TUSLA: $r = 14$, $\eta = 0$",
        "no noise",
    ),
    grade="measured",
    delta=1e-8,
    quick_delta=1e-8,
    unit="θ over its value",
)
def prefix(ctx: Context) -> Iterator[Evidence]:
    """A few steps at the three learning rates."""
    root = np.sqrt(RATES)
    yield from _first(ctx, _cold_theopoula, 5, 4 - 5 * root)
    yield from _first(ctx, _cold_tusla, 1, 4 * (1 - 30 * root))
    yield from _first(ctx, optax.adam, 1, 4 - np.array(RATES))
    # the second example of the authors' code: θ₀ = 5, normal data, λ = 0.002
    claimed = np.array([5 * (1 - 30 * np.sqrt(0.002))])
    yield from _first(ctx, _cold_tusla, 1, claimed, (0.002,), 5.0)


def _cold_theopoula(rate):
    return theopoula(rate, 0.1, np.inf)


def _cold_tusla(rate):
    return tusla(rate, np.inf, 0.0, 14.0)


def _first(
    ctx: Context,
    make: Callable[[Any], Any],
    steps: int,
    claimed: np.ndarray,
    rates: tuple[float, ...] = RATES,
    start: float = 4.0,
) -> Iterator[Evidence]:
    well = steep_well(uniform_samples(steps, 0))
    found = paths(make, rates, well, start)[:, steps]
    for rate, value, wanted in zip(rates, found, claimed, strict=True):
        # what is left out is 2/(30·4²⁸) of the step, or less
        measured = decide.ladder([value / wanted] * 3, condition=1e3)
        note = f"{make.__name__}, λ = {rate:g}, step {steps}"
        yield decide.equal(1.0, measured, delta=ctx.delta, note=note)


@prefix.control("Adam at TheoPouLa's speed")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _first(ctx, optax.adam, 5, 4 - 5 * np.sqrt(RATES))


@claim(
    "langevin.steep-well-divergence",
    title="SGD leaves the numbers on the wall, TUSLA for λ >= 0.01",
    source=tusla_paper(CODE),
    statement=r"\theta_k \text{ is not finite for some } k \le 1000",
    hypotheses=(
        *HYPOTHESES[:2],
        r"SGD: $\lambda = 10^{-3}, 10^{-2}, 10^{-1}$; TUSLA ($r=14$, $\eta=0$):"
        r" $10^{-2}, 10^{-1}$",
    ),
    grade="measured",
    delta=0.01,
    unit="share of runs that stay finite",
)
def divergence(ctx: Context) -> Iterator[Evidence]:
    """The share of runs that are finite at the end is 0."""
    yield _finite(ctx, "SGD", slice(0, 3))
    yield _finite(ctx, "TUSLA", slice(1, 3))


def _finite(ctx: Context, name: str, rates: slice) -> Evidence:
    share = np.mean(np.isfinite(along(ctx, name)[:, rates, -1]))
    found = Measurement(float(share))
    note = f"{name}, λ = {RATES[rates]}"
    return decide.equal(0.0, found, delta=ctx.delta, scale=1.0, note=note)


@divergence.control("TUSLA at λ = 10⁻³", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _finite(ctx, "TUSLA", slice(0, 1))


@divergence.control("TheoPouLa", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _finite(ctx, "TheoPouLa", slice(0, 3))
