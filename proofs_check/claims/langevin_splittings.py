"""Kinetic Langevin schemes on a quadratic: their variances, biases, stability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from discretize import (
    ABOBA,
    BAOAB,
    BUB,
    KLMC,
    OABAO,
    OBABO,
    SGHMC,
    UBU,
    Euler,
    Splitting,
    linear_step,
    stationary_covariance,
)
from flows import Scheme
from flows.problems import quadratic
from proofs_check import decide
from proofs_check.claim import Claim, Source, claim
from proofs_check.claims.gaussian_langevin import LEIMKUHLER
from proofs_check.context import Context
from proofs_check.decide import GrowthRate, bracket_ends
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.kinetic import KineticStep, invariance, kinetic_step
from sde import UnderdampedLangevin

SANZ_SERNA = Source(
    title="Wasserstein distance estimates for the distributions of numerical "
    "approximations to ergodic stochastic differential equations",
    authors="Jesus María Sanz-Serna and Konstantinos C. Zygalakis",
    year=2021,
    location="JMLR 22(242), UBU; the constants and the limit are derived here",
)
CHENG = Source(
    title="Underdamped Langevin MCMC: A non-asymptotic analysis",
    authors="Xiang Cheng, Niladri S. Chatterji, Peter L. Bartlett and "
    "Michael I. Jordan",
    year=2018,
    arxiv="1707.03663",
    location="the discretisation; the constants are derived here",
)
CHEN = Source(
    title="Stochastic gradient Hamiltonian Monte Carlo",
    authors="Tianqi Chen, Emily B. Fox and Carlos Guestrin",
    year=2014,
    arxiv="1402.4102",
    location="the update, with an exact gradient; the constants are derived here",
)

STIFFNESS, FRICTION, TEMPERATURE, MASS = 1.5, 2.0, 0.7, 1.3
"""k, γ, T, M of the measured routes."""


def model(friction: float = FRICTION) -> UnderdampedLangevin:
    """One dimension: dx = v dt, M dv = -k x dt - γ M v dt + √(2γTM) dB."""
    return UnderdampedLangevin(quadratic([STIFFNESS]), friction, TEMPERATURE, MASS)


def ratios(scheme: Scheme, h: float) -> tuple[float, float, float]:
    """E x² over T/k, E v² over T/M, and the uncertainty of both by rounding."""
    law = stationary_covariance(scheme, model(), h)
    x, v = np.diag(law.covariance)
    rounding = 50 * np.finfo(float).eps * law.condition
    return float(x) * STIFFNESS / TEMPERATURE, float(v) * MASS / TEMPERATURE, rounding


# Exact variances of the splittings.

_S = r"s = 1 - \frac{h^2k}{4M}"


def _variance_claim(name: str, scheme: Splitting, x: str, v: str) -> Claim:
    """The claim that a splitting has these stationary variances."""

    @claim(
        f"langevin.{name.lower()}-variance",
        title=f"{name} on a quadratic: both variances in closed form, any friction",
        source=LEIMKUHLER,
        statement=rf"\mathrm{{Var}}\,x = {x},\quad \mathrm{{Var}}\,v = {v},\quad"
        rf" \mathrm{{Cov}}(x, v) = 0,\quad {_S}",
        hypotheses=(r"$h < 2\sqrt{M/k}$", r"$\gamma > 0$"),
        grade="proved",
        delta=1e-9,
    )
    def check(ctx: Context) -> Evidence:
        """One traced step maps the Gaussian to itself; k, γ, T, M, h are symbols."""
        return decide.identity(invariance(scheme), name=f"{name}: Σ ↦ Σ")

    @check.control("variances times 1 + 1/1000 after the step")
    def _(ctx: Context) -> Evidence:
        import sympy

        wrong = invariance(scheme, factor=1 + sympy.Rational(1, 1000))
        return decide.identity(wrong, name=f"{name}: Σ ↦ 1.001 Σ")

    @check.control("the variances of BAOAB")
    def _(ctx: Context) -> Evidence:
        return decide.identity(invariance(scheme, BAOAB), name=f"{name}: as BAOAB")

    @check.route("Lyapunov equation", grade="measured")
    def _(ctx: Context) -> Iterator[Evidence]:
        """C = A C Aᵀ + B Bᵀ solved at h = 1."""
        s = 1 - STIFFNESS / (4 * MASS)
        claimed = {"ABOBA": (1, 1 / s), "OBABO": (1 / s, 1), "OABAO": (s, 1)}[name]
        *found, rounding = ratios(scheme, 1.0)
        units = "E x² over T/k", "E v² over T/M"
        for value, c, unit in zip(found, claimed, units, strict=True):
            measured = decide.Measurement(value, bias=rounding)
            yield decide.equal(c, measured, delta=ctx.delta, quantity=unit)

    return check


aboba_variance = _variance_claim("ABOBA", ABOBA, r"\frac Tk", r"\frac{T}{sM}")
obabo_variance = _variance_claim("OBABO", OBABO, r"\frac{T}{sk}", r"\frac TM")
oabao_variance = _variance_claim("OABAO", OABAO, r"\frac{sT}{k}", r"\frac TM")


# Stability.


@claim(
    "langevin.splitting-stability",
    title="BAOAB, ABOBA, OBABO and OABAO are stable up to h = 2√(M/k), at any friction",
    source=LEIMKUHLER,
    statement=r"\rho(A_h) < 1 \iff 0 < h < 2\sqrt{M/k}",
    hypotheses=(r"$f = kx^2/2$", r"$\gamma > 0$"),
    grade="proved",
    unit="√(M/k)",
    delta=1e-6,
    quick_delta=1e-6,
)
def splitting_stability(ctx: Context) -> Iterator[Evidence]:
    """Trace and determinant of the traced step; the rest is the Jury criterion.

    det = e^{-γh} lies in (0, 1), so the step is stable iff |trace| < 1 + det, that is
    iff |1 - h²k/(2M)| < 1.
    """
    for scheme in (BAOAB, ABOBA, OBABO, OABAO):
        yield _trace(scheme)


def _trace_of_baoab(step: KineticStep, c: Any) -> Any:
    """(1 + c)(1 - h²k/(2M)), c = e^{-γh}: the trace of BAOAB and its like."""
    return (1 + c) * (1 - step.h**2 * step.stiffness / (2 * step.mass))


def _trace_of_ubu(step: KineticStep, c: Any) -> Any:
    """1 + c - hk(1 - c)/(γM), c = e^{-γh}: the trace of UBU and BUB."""
    return 1 + c - step.h * step.stiffness * (1 - c) / (step.friction * step.mass)


def _trace(
    scheme: Any, trace: Callable[[KineticStep, Any], Any] = _trace_of_baoab
) -> Evidence:
    import sympy

    step = kinetic_step(scheme)
    matrix, decay = step.matrix(), sympy.exp(-step.friction * step.h)
    found = np.array([matrix.det(), matrix.trace()], dtype=object)
    claimed = np.array([decay, trace(step, decay)], dtype=object)
    return identical(found, claimed, f"{scheme}: determinant and trace")


@splitting_stability.control("the trace of UBU")
def _(ctx: Context) -> Evidence:
    return _trace(UBU)


@splitting_stability.route("spectral radius", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Growth rates log ρ(A_h)/h on both sides of 2√(M/k), two frictions."""
    for scheme in (BAOAB, ABOBA, OBABO, OABAO):
        for friction in (0.5, FRICTION):
            yield _limit(ctx, scheme, friction, 2 * math.sqrt(MASS / STIFFNESS))


@splitting_stability.control("the spectral radius of UBU there")
def _(ctx: Context) -> Evidence:
    return _limit(ctx, UBU, FRICTION, 2 * math.sqrt(MASS / STIFFNESS))


def _limit(ctx: Context, scheme: Scheme, friction: float, limit: float) -> Evidence:
    def rate(h: float) -> GrowthRate:
        radius = linear_step(scheme, model(friction), h).radius
        return GrowthRate(h, math.log(radius) / h, bias=1e-13)

    rates = [rate(h) for h in bracket_ends(limit, 0.99 * ctx.delta)]
    quantity = f"largest stable h, γ = {friction:g}"
    return decide.threshold(limit, rates, delta=ctx.delta, quantity=quantity)


@claim(
    "langevin.splitting-radius",
    title="Half a per cent beyond 2√(M/k) the four splittings grow by 2 % a step",
    source=LEIMKUHLER,
    statement=r"h = 2.01\sqrt{M/k}:\ \rho(A_h) = 1.0216",
    hypotheses=(r"$f = kx^2/2,\ k = 1.5,\ \gamma = 2,\ M = 1$",),
    grade="measured",
    delta=1e-9,
    quick_delta=1e-9,
    parameters={"h": 2.01},
)
def splitting_radius(ctx: Context) -> Iterator[Evidence]:
    """ρ against the larger root of λ² - (1 + c)(1 - h²k/2)λ + c, c = e^{-γh}."""
    for scheme in (BAOAB, ABOBA, OBABO, OABAO):
        yield _radius(ctx, scheme)


def _radius(ctx: Context, scheme: Scheme) -> Evidence:
    h = float(ctx.parameters.h) / math.sqrt(1.5)
    unit_mass = UnderdampedLangevin(quadratic([1.5]), 2.0)
    radius = linear_step(scheme, unit_mass, h).radius
    c = math.exp(-2 * h)
    half = (1 + c) * (1.5 * h**2 / 2 - 1) / 2
    claimed = half + math.sqrt(half**2 - c)
    return decide.equal(claimed, decide.ladder([radius] * 3), delta=ctx.delta)


@splitting_radius.control(
    "UBU, which is stable there", expected=math.exp(-2.01 / math.sqrt(1.5))
)
def _(ctx: Context) -> Evidence:
    return _radius(ctx, UBU)


@claim(
    "langevin.ubu-stability",
    title="UBU and BUB are stable further: friction moves their limit",
    source=SANZ_SERNA,
    statement=r"\rho(A_h) < 1 \iff h\tanh\tfrac{\gamma h}{2} < \frac{2\gamma M}{k},"
    r"\quad\text{a limit above } 2\sqrt{M/k}",
    hypotheses=(r"$f = kx^2/2$", r"$\gamma > 0$"),
    grade="proved",
    unit="√(M/k)",
    delta=1e-6,
    quick_delta=1e-6,
)
def ubu_stability(ctx: Context) -> Iterator[Evidence]:
    """Trace and determinant of the traced step; the rest is the Jury criterion.

    det = c = e^{-γh} lies in (0, 1), so the step is stable iff |trace| < 1 + c. The
    trace 1 + c - hk(1 - c)/(γM) is below 1 + c; it is above -(1 + c) iff
    hk(1 - c)/(1 + c) < 2γM, where (1 - c)/(1 + c) = tanh(γh/2). h tanh(γh/2)
    increases, and by tanh z < z it is below γh²/2, which is 2γM/k at h = 2√(M/k).
    """
    for scheme in (UBU, BUB):
        yield _trace(scheme, _trace_of_ubu)


@ubu_stability.control("the trace of BAOAB")
def _(ctx: Context) -> Evidence:
    return _trace(UBU)


@ubu_stability.route("spectral radius", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Growth rates on both sides of the root of h tanh(γh/2) = 2γM/k, two frictions."""
    from scipy.optimize import root_scalar

    for friction in (0.5, FRICTION):
        goal = 2 * friction * MASS / STIFFNESS

        def gap(h: float, friction: float = friction, goal: float = goal) -> float:
            return h * math.tanh(friction * h / 2) - goal

        limit = float(root_scalar(gap, bracket=(1e-3, 50.0), xtol=1e-13).root)
        for scheme in (UBU, BUB):
            yield _limit(ctx, scheme, friction, limit)


@ubu_stability.control("the limit of BAOAB, γ = 0.5")
def _(ctx: Context) -> Evidence:
    return _limit(ctx, UBU, 0.5, 2 * math.sqrt(MASS / STIFFNESS))


# Biases that have an order.


def _bias_claim(
    name: str, scheme: Scheme, source: Source, x: tuple[int, Any], v: tuple[int, Any]
) -> Claim:
    """The claim that E x² k/T - 1 ~ C h^p and E v² M/T - 1 ~ D h^q.

    Each of x, v is (order, (constant, its LaTeX)).
    """
    (p, (c, c_text)), (q, (d, d_text)) = x, v
    power = {1: "h", 2: "h^2"}

    @claim(
        f"langevin.{name.lower()}-bias",
        title=f"{name} on a quadratic: the bias of both variances, to leading order",
        source=source,
        statement=rf"\frac kT\,E x^2 = 1 {c_text}\,{power[p]} + \dots,\qquad"
        rf" \frac MT\,E v^2 = 1 {d_text}\,{power[q]} + \dots",
        hypotheses=(r"$f = kx^2/2$", r"$\gamma > 0$, $h$ small"),
        grade="measured",
        delta=1e-3,
        quick_delta=1e-3,
    )
    def check(ctx: Context) -> Iterator[Evidence]:
        """Orders and constants on the Lyapunov solutions of a ladder of steps."""
        for which, order, constant in ((0, p, c), (1, q, d)):
            h, errors, floor = _ladder(scheme, which, ctx.choose(6, 8))
            quantity = ("E x² k/T - 1", "E v² M/T - 1")[which]
            yield decide.order(order, h, abs(errors), floor=floor, quantity=quantity)
            yield decide.leading_constant(
                constant,
                h,
                errors,
                order,
                delta=ctx.delta,
                floor=floor,
                quantity=quantity,
            )

    @check.control(f"the other order of E x², {3 - p}", expected=float(p))
    def _(ctx: Context) -> Evidence:
        h, errors, floor = _ladder(scheme, 0, 6)
        return decide.order(3 - p, h, abs(errors), floor=floor)

    @check.control("the constant of E x² times 1.01", expected=c)
    def _(ctx: Context) -> Evidence:
        h, errors, floor = _ladder(scheme, 0, 6)
        return decide.leading_constant(
            1.01 * c, h, errors, p, delta=ctx.delta, floor=floor
        )

    return check


def _ladder(scheme: Scheme, which: int, levels: int):
    h = 0.2 / 2.0 ** np.arange(levels)
    found = [ratios(scheme, float(step)) for step in h]
    errors = np.array([f[which] - 1 for f in found])
    return h, errors, np.array([f[2] for f in found])


_SLOW = STIFFNESS / MASS
ubu_bias = _bias_claim(
    "UBU",
    UBU,
    SANZ_SERNA,
    (2, (-_SLOW / 6, r"- \frac{k}{6M}")),
    (2, (_SLOW / 12, r"+ \frac{k}{12M}")),
)
bub_bias = _bias_claim(
    "BUB",
    BUB,
    SANZ_SERNA,
    (2, (_SLOW / 12, r"+ \frac{k}{12M}")),
    (2, (-_SLOW / 6, r"- \frac{k}{6M}")),
)
klmc_bias = _bias_claim(
    "KLMC",
    KLMC(),
    CHENG,
    (1, (_SLOW / (2 * FRICTION), r"+ \frac{k}{2\gamma M}")),
    (1, (_SLOW / (2 * FRICTION), r"+ \frac{k}{2\gamma M}")),
)
euler_bias = _bias_claim(
    "Euler-Maruyama",
    Euler(),
    LEIMKUHLER,
    (1, (_SLOW / FRICTION, r"+ \frac{k}{\gamma M}")),
    (
        1,
        (
            FRICTION / 2 + _SLOW / FRICTION,
            r"+ \bigl(\frac\gamma2 + \frac{k}{\gamma M}\bigr)",
        ),
    ),
)
sghmc_bias = _bias_claim(
    "SGHMC",
    SGHMC(),
    CHEN,
    (2, (_SLOW / 4, r"+ \frac{k}{4M}")),
    (1, (FRICTION / 2, r"+ \frac\gamma2")),
)
