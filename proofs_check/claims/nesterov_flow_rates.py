"""Rates of the flows of Nesterov's methods, with the sharp constants beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from flows import (
    Flow,
    HighResolutionAcceleratedFlow,
    HighResolutionHeavyBallFlow,
    HighResolutionNesterovFlow,
    Objective,
    PhaseState,
    StronglyConvexAcceleratedFlow,
    at_rest,
    high_resolution_start,
    solve,
)
from flows.problems import ridged_logistic
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.nesterov_descent import largest_least
from proofs_check.claims.nesterov_flows import decay_rates, oscillations
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import high_resolution, nesterov_flow

MODES = 16
CONVEXITIES = (0.25, 0.04)
STRONG = (r"$f$ $\mu$-strongly convex, $\nabla f$ $L$-Lipschitz",)
TRIED = (
    "tried: quadratic modes, a logistic loss",
    "on them the ratio to the bound is largest early, which decides no exponent",
)
Path = tuple[np.ndarray, np.ndarray]


def _modes(
    build: Callable, strong: float, lowest: float | None = None, end: float = 12.0
) -> Path:
    """Times up to end/√μ and F/|e_0|² along a high-resolution flow, s = 1/L = 1."""
    spectrum = np.geomspace(lowest or strong, 1.0, MODES)
    times = np.linspace(0.0, end / np.sqrt(strong), 400)
    start = -2 * spectrum / (1 + np.sqrt(strong))
    x, _ = oscillations(build, spectrum, times, start, mu=strong, s=1.0)
    return times, spectrum * x**2 / 2


def _largest(times: np.ndarray, gaps: np.ndarray, rate: float) -> float:
    return float(np.max(gaps * np.exp(rate * times)[:, None]))


def _rated(
    build: Callable,
    bound: float,
    delta: float,
    share: float = 0.25,
    lowest: float | None = None,
    convexities: tuple[float, ...] = CONVEXITIES,
    end: float = 12.0,
) -> Evidence:
    """The largest s F e^{share √μ t}/|e_0|² over modes and μ, against the bound."""
    found = []
    for strong in convexities:
        times, gaps = _modes(build, strong, lowest, end)
        found.append(_largest(times, gaps, share * math.sqrt(strong)))
    return decide.upper_bound(
        bound,
        decide.Measurement(max(found), bias=1e-8 * max(found)),
        delta=delta,
        quantity=f"sF e^({share:g}√μ t)/|e|²",
        route="quadratics",
        data={"ratios": np.array(found)},
    )


def _exponent(
    build: Callable, delta: float, strong: float, lowest: float | None = None
) -> Evidence:
    """The exponent of F in units of √μ, the smallest over modes, against 2."""
    spectrum = np.geomspace(lowest or strong, 1.0, MODES)
    rates = 2 * decay_rates(build, spectrum, mu=strong, s=1.0) / math.sqrt(strong)
    return decide.equal(
        2.0,
        decide.Measurement(float(rates.min()), bias=1e-12),
        delta=delta,
        quantity=f"exponent of F/√μ, μ = {strong}",
        route="quadratics",
        data={"exponents": rates},
    )


def _bound_and_exponent(build: Callable, bound: float, delta: float) -> Any:
    """The theorem's bound; then, on quadratics, with the sharp exponent in it."""
    yield _rated(build, bound, delta)
    yield _rated(build, bound, delta, share=2.0)
    for strong in CONVEXITIES:
        yield _exponent(build, delta, strong)


def _logistic(build: Callable, start: Callable, share: float, t1: float = 40.0) -> Any:
    """F e^{share √μ t} along a solution on a logistic loss, |e_0|², F(0), L and μ."""
    objective = ridged_logistic()
    facts: Any = objective.facts
    smooth, strong = float(facts.smoothness.value), float(objective.ridge)
    flow = build(objective, strong, 1 / smooth)
    x0 = jnp.array([2.0, -1.5, 1.0])
    t0, y0 = start(flow, x0)
    times = jnp.linspace(t0, t1, 400)
    run = solve(
        flow,
        y0,
        t0,
        t1,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-11),
    )
    values = np.asarray(jax.vmap(objective.value)(run.states.position))
    gaps = values - float(facts.minimum.value)
    grown = gaps * np.exp(share * math.sqrt(strong) * np.asarray(times))
    distance = float(np.sum((np.asarray(x0) - facts.minimiser.value) ** 2))
    return grown, distance, smooth, gaps[0]


def _on_logistic(build: Callable, bound: float, delta: float) -> Evidence:
    grown, distance, smooth, _ = _logistic(build, high_resolution_start, 0.25)
    worst = float(grown.max()) / (smooth * distance)
    return decide.upper_bound(
        bound,
        decide.Measurement(worst, bias=1e-6 * worst),
        delta=delta,
        quantity="sF e^{√μ t/4}/|e|²",
        route="logistic loss",
    )


@claim(
    "inertial.high-resolution-nesterov-bound",
    title="f - f* <= (2/s)|e_0|² e^{-√μ t/4} along the high-resolution flow of NAG-SC",
    source=high_resolution("theorem 1 of version 3"),
    statement=r"f(x(t)) - f_* \le \frac{2|x_0-x_*|^2}{s}e^{-\sqrt\mu t/4},"
    r"\qquad\text{quadratics: exponent } 2\sqrt\mu \text{, at } \lambda=\mu",
    hypotheses=(*STRONG, r"$s \le 1/L$", *TRIED),
    grade="measured",
    delta=1e-3,
    unit="s f/|x|²",
)
def nesterov_bound(ctx: Context) -> Iterator[Evidence]:
    """The largest ratio over modes, and the exponent: 2√μ, eight times the theorem's.

    The ratio is largest at t = 0 on λ = L = 1/s, where it is 1/2 whatever the exponent:
    so that one is measured by itself.
    """
    yield from _bound_and_exponent(HighResolutionNesterovFlow, 2.0, ctx.delta)


@nesterov_bound.route("a logistic loss", grade="measured")
def _(ctx: Context) -> Evidence:
    return _on_logistic(HighResolutionNesterovFlow, 2.0, ctx.delta)


@nesterov_bound.control("the exponent 3√μ, where the slowest mode has 2√μ")
def _(ctx: Context) -> Evidence:
    return _rated(HighResolutionNesterovFlow, 2.0, ctx.delta, share=3.0)


@nesterov_bound.control("curvatures down to μ/250 of the declared μ = 1/4")
def _(ctx: Context) -> Evidence:
    options: dict[str, Any] = {"lowest": 1e-3, "convexities": (0.25,), "end": 48.0}
    return _rated(HighResolutionNesterovFlow, 2.0, ctx.delta, **options)


@nesterov_bound.control(
    "the exponent with a mode at μ/4, μ = 1/4",
    expected=2.125 - math.sqrt(2.125**2 - 1.5),
)
def _(ctx: Context) -> Evidence:
    return _exponent(HighResolutionNesterovFlow, ctx.delta, 0.25, 0.25 / 4)


@claim(
    "inertial.high-resolution-heavy-ball-bound",
    title="f - f* <= 7/(2s)|e_0|² e^{-√μ t/4} along the high-resolution heavy ball",
    source=high_resolution("theorem 2 of version 3"),
    statement=r"f(x(t)) - f_* \le \frac{7|x_0-x_*|^2}{2s}e^{-\sqrt\mu t/4},"
    r"\qquad\text{quadratics: exponent } 2\sqrt\mu \text{ of every mode}",
    hypotheses=(*STRONG, r"$s \le 1/L$", *TRIED),
    grade="measured",
    delta=1e-3,
    unit="s f/|x|²",
)
def heavy_ball_bound(ctx: Context) -> Iterator[Evidence]:
    """The largest ratio over modes, and the exponent.

    The ratio is largest within the first 2/√L, and far below the bound: it decides no
    exponent.
    """
    yield from _bound_and_exponent(HighResolutionHeavyBallFlow, 3.5, ctx.delta)


@heavy_ball_bound.route("a logistic loss", grade="measured")
def _(ctx: Context) -> Evidence:
    return _on_logistic(HighResolutionHeavyBallFlow, 3.5, ctx.delta)


@heavy_ball_bound.control("the exponent 3√μ, where all modes have 2√μ")
def _(ctx: Context) -> Evidence:
    return _rated(HighResolutionHeavyBallFlow, 3.5, ctx.delta, share=3.0)


@heavy_ball_bound.control(
    "the exponent with a mode at μ/4, μ = 1/4", expected=2 - math.sqrt(4 - 1.5)
)
def _(ctx: Context) -> Evidence:
    return _exponent(HighResolutionHeavyBallFlow, ctx.delta, 0.25, 0.25 / 4)


# From rest, the strongly convex accelerated flow.


def _rest_ratios(strong: float, lowest: float, share: float) -> float:
    """The largest F e^{share √μ t}/F(0) over modes from rest."""
    spectrum = np.geomspace(lowest, 1.0, MODES)
    peak = 1 / math.sqrt(strong)  # of the critical mode λ = μ
    times = np.r_[np.linspace(0.0, peak, 40), np.linspace(peak, 12 * peak, 200)[1:]]
    x, _ = oscillations(StronglyConvexAcceleratedFlow, spectrum, times, mu=strong)
    return _largest(times, x**2, share * math.sqrt(strong))


@claim(
    "inertial.strongly-convex-accelerated-bound",
    title="From rest f - f* <= 2(f_0 - f*)e^{-√μ t}; on quadratics 4/e is the constant",
    source=nesterov_flow("the flow with constant friction; its constant derived here"),
    statement=r"\ddot x + 2\sqrt\mu\dot x + \nabla f = 0,\ \dot x(0) = 0:\quad"
    r" \sup_t\frac{f(x(t))-f_*}{f(x_0)-f_*}e^{\sqrt\mu t}\le 2,\qquad"
    r"\text{quadratics: } \tfrac4e \text{ at } \lambda=\mu,\ \sqrt\mu t = 1",
    hypotheses=(r"$f$ $\mu$-strongly convex", "from rest"),
    grade="measured",
    delta=1e-6,
    unit="1",
)
def rest_bound(ctx: Context) -> Iterator[Evidence]:
    """The largest ratio over modes, against the theorem's 2 and against 4/e."""
    for strong in CONVEXITIES:
        worst = decide.Measurement(_rest_ratios(strong, strong, 1.0), bias=1e-9)
        about = {"quantity": f"F e^(√μ t)/F(0), μ = {strong}", "delta": ctx.delta}
        yield decide.upper_bound(2.0, worst, **about)
        yield decide.equal(4 / math.e, worst, **about)


def _rested(flow: Flow, x0: Any) -> tuple[float, PhaseState]:
    del flow
    return 0.0, at_rest(x0)


@rest_bound.route("a logistic loss", grade="measured")
def _(ctx: Context) -> Evidence:
    def build(objective: Objective, strong: float, rate: float) -> Flow:
        del rate
        return StronglyConvexAcceleratedFlow(objective, strong)

    grown, _, _, first = _logistic(build, _rested, 1.0)
    worst = decide.Measurement(float(grown.max() / first), bias=1e-6)
    return decide.upper_bound(2.0, worst, delta=ctx.delta, quantity="F e^(√μ t)/F(0)")


@rest_bound.control("the exponent 3√μ, where all modes have 2√μ")
def _(ctx: Context) -> Evidence:
    worst = _rest_ratios(0.04, 0.04, 3.0)
    measured = decide.Measurement(worst, bias=1e-6 * worst)
    return decide.upper_bound(2.0, measured, delta=ctx.delta)


@rest_bound.control("curvatures down to μ/40 of the declared μ")
def _(ctx: Context) -> Evidence:
    worst = _rest_ratios(0.04, 0.001, 1.0)
    measured = decide.Measurement(worst, bias=1e-6 * worst)
    return decide.upper_bound(2.0, measured, delta=ctx.delta)


# Gradients along the high-resolution flow of NAG-C.


def _gradient_ratio(rate: float, ends: tuple[float, ...], power: int = 3) -> float:
    """The least |g|² up to t, largest over quadratics, times 2√s(t³ - t0³)/(12+9sL)."""
    spectrum = np.geomspace(1e-4, 1.0, 32)
    t0 = 1.5 * math.sqrt(rate)
    found = []
    for end in ends:
        times = np.linspace(t0, end, 300)
        start = -math.sqrt(rate) * spectrum
        x, _ = oscillations(
            HighResolutionAcceleratedFlow, spectrum, times, start, s=rate
        )
        least = largest_least((spectrum * x) ** 2)
        scale = 2 * math.sqrt(rate) * (end**power - t0**power) / (12 + 9 * rate)
        found.append(least * scale)
    return max(found)


@claim(
    "inertial.high-resolution-accelerated-gradients",
    title="The smallest squared gradient falls like 1/t³ along NAG-C's flow",
    source=high_resolution("theorem 5 of version 3"),
    statement=r"\inf_{t_0\le u\le t}|\nabla f(x(u))|^2\le"
    r"\frac{(12+9sL)|x_0-x_*|^2}{2\sqrt s\,(t^3-t_0^3)},\qquad t_0 = \tfrac32\sqrt s",
    hypotheses=(
        r"$f$ convex, $\nabla f$ $L$-Lipschitz, every $s > 0$",
        "tried: quadratics of 32 curvatures, the worst weights by linear programming",
    ),
    grade="measured",
    delta=1e-3,
    unit="share of the bound",
)
def accelerated_gradients(ctx: Context) -> Iterator[Evidence]:
    """The largest share of the bound at a few times; a grid in u errs upwards."""
    for rate in ctx.choose((1.0,), (1 / 3, 1.0, 3.0)):
        worst = _gradient_ratio(rate, ctx.choose((3.0, 20.0), (3.0, 8.0, 20.0, 60.0)))
        yield decide.upper_bound(
            1.0,
            decide.Measurement(worst, bias=1e-6),
            delta=ctx.delta,
            quantity=f"share of the bound, s = {rate:.2g}",
        )


@accelerated_gradients.control("the power 5 in place of 3")
def _(ctx: Context) -> Evidence:
    worst = _gradient_ratio(1.0, (60.0,), power=5)
    return decide.upper_bound(
        1.0, decide.Measurement(worst, bias=1e-6), delta=ctx.delta
    )
