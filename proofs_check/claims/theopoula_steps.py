"""TheoPouLa's step: its bound, its boosting, its edge of stability, its 2-cycle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import Training, theopoula
from discretize.figures.boosting import (
    BASIN,
    START,
    cold_step,
    critical_eps,
    cycle_amplitude,
    measured_amplitude,
    plateau_steps,
)
from flows import iterate
from flows.problems import quadratic
from flows.symbolic import IdentityResult, exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate, Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import theopoula_paper

POSITIVE: dict[str, Any] = {"positive": True}
LAMBDA, EPS, SLOPE, CURVATURE = sympy.symbols("lambda epsilon g a", **POSITIVE)


def move(rate: Any, eps: Any, slope: Any) -> Any:
    """The optimiser's update at one parameter of this gradient, traced."""

    def update(rate, eps, g):
        optimizer = theopoula(rate, eps, np.inf)
        x = jnp.zeros_like(g)
        return optimizer.update(g, optimizer.init(x), x)[0]

    gradient = np.array([slope], dtype=object)
    return exactly(update, rate, eps, gradient)[0]


def sign(expression: Any) -> IdentityResult:
    """Whether an expression is >= 0 by the signs of its factors, or a witness."""
    found = sympy.factor(sympy.together(expression))
    if found.is_nonnegative:
        return IdentityResult("proved")
    names: list[Any] = sorted(found.free_symbols, key=str)
    values = [sympy.Rational(*v) for v in ((1, 1000), (1, 1), (10**6, 1), (10**12, 1))]
    for point in itertools.product(values, repeat=len(names)):
        witness: dict[Any, Any] = dict(zip(names, point, strict=True))
        value: Any = found.subs(witness)
        if value.is_negative:
            number = float(value)
            return IdentityResult("refuted", witness=witness, gap=(number, number))
    return IdentityResult("undecided", remainder=found)


# The bound on a step.


@claim(
    "langevin.theopoula-drift-bound",
    title="TheoPouLa's gradient moves each coordinate by less than √λ a step",
    source=theopoula_paper("the bound on the tamed and boosted gradient; proved here"),
    statement=r"1 - \sqrt\lambda\,|G_\lambda^{(i)}| = \frac{\epsilon +"
    r" |g_i|(1-\lambda)}{(\epsilon+|g_i|)(1+\sqrt\lambda|g_i|)} > 0",
    hypotheses=(r"$\lambda \le 1$", r"$\epsilon > 0$, any gradient $g$"),
    grade="proved",
    delta=1e-6,
    unit="√λ",
)
def drift_bound(ctx: Context) -> Iterator[Evidence]:
    """The traced update; λ = 1/(1 + s) with s >= 0, so that the signs can be read."""
    rate = 1 / (1 + sympy.Symbol("s", nonnegative=True))
    margin = 1 + move(rate, EPS, SLOPE) / sympy.sqrt(rate)
    top = EPS + SLOPE * (1 - rate)
    form = top / ((EPS + SLOPE) * (1 + sympy.sqrt(rate) * SLOPE))
    yield identical(margin, form, "1 - |Δθ|/√λ = its closed form")
    yield decide.identity(sign(form), name="closed form >= 0")
    g = sympy.Symbol("g", real=True)
    yield identical(
        move(LAMBDA, EPS, g), -move(LAMBDA, EPS, -g), "the step is odd in g"
    )


@drift_bound.control("λ > 1")
def _(ctx: Context) -> Evidence:
    rate = 1 + sympy.Symbol("s", **POSITIVE)
    margin = 1 + move(rate, EPS, SLOPE) / sympy.sqrt(rate)
    return decide.identity(sign(margin), name="1 - |Δθ|/√λ >= 0")


@drift_bound.control("the bound √λ (1 - 1/1000)")
def _(ctx: Context) -> Evidence:
    rate = 1 / (1 + sympy.Symbol("s", nonnegative=True))
    short = sympy.Rational(999, 1000)
    margin = short + move(rate, EPS, SLOPE) / sympy.sqrt(rate)
    return decide.identity(sign(margin), name="999/1000 - |Δθ|/√λ >= 0")


@drift_bound.route("worst of many gradients", grade="measured")
def _(ctx: Context) -> Evidence:
    """λ from 10⁻⁴ to 1, ε from 10⁻⁸ to 10, gradients from 10⁻¹² to 10¹⁵."""
    g = jnp.asarray(np.geomspace(1e-12, 1e15, 400))
    worst = 0.0
    for rate, eps in itertools.product((1e-4, 1e-2, 1.0), (1e-8, 0.1, 10.0)):
        optimizer = theopoula(rate, eps, np.inf)
        found: Any = optimizer.update(g, optimizer.init(g), g)[0]
        worst = max(worst, float(jnp.max(jnp.abs(found))) / rate**0.5)
    rounding = Measurement(worst, bias=10 * np.finfo(float).eps)
    return decide.upper_bound(
        1.0, rounding, delta=ctx.delta, note="400 gradients, 3 λ, 3 ε"
    )


# Boosting.


@claim(
    "langevin.theopoula-small-gradients",
    title="Small gradients count 1 + √λ/ε times",
    source=theopoula_paper("the boosting function; the limit is elementary"),
    statement=r"\lim_{g\to0} \frac{-\Delta\theta}{\lambda g} = 1 +"
    r" \frac{\sqrt\lambda}{\epsilon}",
    hypotheses=(r"$\lambda, \epsilon > 0$",),
    grade="proved",
)
def small_gradients(ctx: Context) -> Evidence:
    """The traced update over g, at g = 0."""
    return _boost(1 + sympy.sqrt(LAMBDA) / EPS)


def _boost(claimed: Any) -> Evidence:
    ratio = sympy.cancel(-move(LAMBDA, EPS, SLOPE) / (LAMBDA * SLOPE))
    return identical(ratio.subs(SLOPE, 0), claimed, "factor at g → 0")


@small_gradients.control("1 + λ/ε")
def _(ctx: Context) -> Evidence:
    return _boost(1 + LAMBDA / EPS)


@claim(
    "langevin.theopoula-plateau",
    title="Steps that boosting needs across a plateau, by a quadrature",
    source=theopoula_paper("boosting; the count is derived here by the modified flow"),
    statement=r"N = \frac1\lambda\int_{1/2}^{9/2}\frac{dx}{h_\lambda(x)} + \frac12"
    r"\log\frac{h_\lambda(1/2)}{h_\lambda(9/2)} + O(1),\qquad h = x e^{-x^2/2}",
    hypotheses=(
        r"$h_\lambda = \frac{h}{1+\sqrt\lambda h}(1 +"
        r" \frac{\sqrt\lambda}{\epsilon+h})$, no noise",
    ),
    grade="measured",
    delta=0.025,
    unit="N over its prediction",
    parameters={"rate": 0.1},
)
def plateau_count(ctx: Context) -> Iterator[Evidence]:
    """Counts of the optimiser at four ε; the last step overshoots by less than one."""
    for eps in (1.0, 0.1, 1e-2, 1e-4):
        yield _counted(ctx, eps, eps)


def _counted(ctx: Context, eps: float, boosted_by: float) -> Evidence:
    from scipy.integrate import quad

    rate = float(ctx.parameters["rate"])
    s = rate**0.5

    def speed(x):
        h = x * np.exp(-(x**2) / 2)
        return h / (1 + s * h) * (1 + s / (boosted_by + h))

    time = quad(lambda x: 1 / speed(x), BASIN, START, epsabs=0, epsrel=1e-10)[0]
    predicted = time / rate + 0.5 * np.log(speed(BASIN) / speed(START))
    steps = plateau_steps(rate, eps)
    found = Measurement(steps / predicted, bias=1 / predicted)
    note = f"ε = {eps:g}: {steps} steps, predicted {predicted:.2f}"
    return decide.equal(1.0, found, delta=ctx.delta, note=note)


@plateau_count.control("predicted without boosting")
def _(ctx: Context) -> Evidence:
    return _counted(ctx, 1e-2, np.inf)


# The edge of stability at a minimum.


@claim(
    "langevin.theopoula-stability",
    title="A minimum of curvature a is stable for TheoPouLa iff ε > λ^{3/2} a/(2 - λa)",
    source=theopoula_paper("the optimiser; the threshold is derived and proved here"),
    statement=r"\text{stable} \iff \epsilon > \epsilon_c ="
    r" \frac{\lambda^{3/2}a}{2-\lambda a}",
    hypotheses=(r"$f = a x^2/2$", r"$\lambda a < 2$", r"no noise, $\eta = 0$"),
    grade="proved",
    delta=0.01,
    unit="ε",
    parameters={"rate": 0.1},
)
def stability_threshold(ctx: Context) -> Iterator[Evidence]:
    """The multiplier of the traced step: -1 at ε_c, above -1 beyond, below 1."""
    root = sympy.sqrt(LAMBDA)
    critical = LAMBDA * root * CURVATURE / (2 - LAMBDA * CURVATURE)
    yield identical(_multiplier().subs(EPS, critical), -1, "multiplier at ε_c is -1")
    # λ = 2/(a (1 + t)) is λa < 2
    beyond, t = sympy.symbols("d t", **POSITIVE)
    table = {EPS: critical * (1 + beyond)}
    gap = (_multiplier() + 1).subs(table).subs(LAMBDA, 2 / (CURVATURE * (1 + t)))
    yield decide.identity(sign(gap), name="1 + multiplier >= 0 for ε > ε_c")
    yield decide.identity(sign(1 - _multiplier()), name="multiplier <= 1")


def _multiplier() -> Any:
    """dΔθ/dθ + 1 at 0 on a θ²/2."""
    ratio = sympy.cancel(move(LAMBDA, EPS, SLOPE) / SLOPE)
    return 1 + CURVATURE * ratio.subs(SLOPE, 0)


@stability_threshold.control("ε_c with λ in place of λ^{3/2}")
def _(ctx: Context) -> Evidence:
    wrong = LAMBDA * CURVATURE / (2 - LAMBDA * CURVATURE)
    return identical(_multiplier().subs(EPS, wrong), -1, "multiplier at ε_c is -1")


@stability_threshold.route("growth of iterates", grade="measured")
def _(ctx: Context) -> Evidence:
    return _growth(ctx, critical_eps(float(ctx.parameters["rate"]), 1.0))


def _growth(ctx: Context, claimed: float) -> Evidence:
    """Growth per step of |θ| from 10⁻¹⁰⁰, where the step is linear, below and above."""
    rate, steps = float(ctx.parameters["rate"]), 800

    def growth(eps):
        run = iterate(
            cold_step(rate, eps),
            Training(quadratic([1.0])),
            jnp.array([1e-100]),
            h=rate,
            steps=steps,
        )
        size = np.log(np.abs(np.asarray(run.positions)[:, 0]))
        late, later = (
            (size[-1] - size[k]) / (steps - k) for k in (steps // 2, 3 * steps // 4)
        )
        return GrowthRate(eps, late, bias=2 * abs(late - later))

    rates = [growth(eps) for eps in decide.bracket_ends(claimed, ctx.delta)]
    return decide.threshold(
        claimed, rates, delta=ctx.delta, rising=False, quantity="growth rate"
    )


@stability_threshold.control("growth around 1.05 times the threshold")
def _(ctx: Context) -> Evidence:
    return _growth(ctx, 1.05 * critical_eps(float(ctx.parameters["rate"]), 1.0))


@claim(
    "langevin.theopoula-two-cycle",
    title="Below ε_c TheoPouLa ends in a 2-cycle of known amplitude",
    source=theopoula_paper("the optimiser; the cycle is derived and proved here"),
    statement=r"\theta_k = \pm c/a,\quad 2s c^2 + (2 + 2s\epsilon - \lambda a)c"
    r" + 2\epsilon - \lambda a(\epsilon + s) = 0,\ s = \sqrt\lambda",
    hypotheses=(r"$f = a x^2/2$", r"$\epsilon < \epsilon_c$", r"no noise, $\eta = 0$"),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-6,
    unit="amplitude over c/a",
    parameters={"rate": 0.1},
)
def two_cycle(ctx: Context) -> Evidence:
    """θ₁ + θ₀ at a θ₀ = c, traced, is the quadratic over positive factors."""
    return _cycle(0)


def _cycle(shift: Any) -> Evidence:
    s, c, la = sympy.sqrt(LAMBDA), SLOPE, LAMBDA * CURVATURE
    quadratic_form = 2 * s * c**2 + (2 + 2 * s * EPS - la) * c
    quadratic_form += 2 * EPS - la * (EPS + s) + shift
    both = 2 * c / CURVATURE + move(LAMBDA, EPS, c)
    claimed = c * quadratic_form / (CURVATURE * (1 + s * c) * (EPS + c))
    return identical(both, claimed, "θ₁ + θ₀ = c Q(c)/(a(1 + sc)(ε + c))")


@two_cycle.control("the quadratic with a constant term off by λa/1000")
def _(ctx: Context) -> Evidence:
    return _cycle(LAMBDA * CURVATURE / 1000)


@two_cycle.route("late iterates", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """|θ| after ever more steps, just below ε_c and far below, over c/a."""
    rate = float(ctx.parameters["rate"])
    for eps in (0.95 * critical_eps(rate, 1.0), 1e-8):
        yield _amplitude(ctx, eps, cycle_amplitude(rate, 1.0, eps))


def _amplitude(ctx: Context, eps: float, predicted: float) -> Evidence:
    rate = float(ctx.parameters["rate"])
    found = [measured_amplitude(rate, eps, n) / predicted for n in (500, 1000, 2000)]
    note = f"ε = {eps:.4g}, c/a = {predicted:.6g}"
    measured = decide.ladder(found, condition=1e3)
    return decide.equal(1.0, measured, delta=ctx.delta, note=note)


@two_cycle.control("the amplitude λ^{3/2}/2 of ε → 0 taken at 0.95 ε_c")
def _(ctx: Context) -> Evidence:
    rate = float(ctx.parameters["rate"])
    return _amplitude(ctx, 0.95 * critical_eps(rate, 1.0), rate**1.5 / 2)
