"""Nesterov's methods beside their flows: orders in √s, and Bregman's change of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import NAG_C, NAG_SC, OptaxStep, Training, convergence, nag_c, nag_sc
from discretize.proof import LocalModel
from flows import (
    AcceleratedFlow,
    BregmanFlow,
    HighResolutionAcceleratedFlow,
    HighResolutionHeavyBallFlow,
    HighResolutionNesterovFlow,
    PhaseState,
    bregman_start,
    iterate,
    reference,
)
from flows.problems import quadratic, ridged_logistic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.nesterov_flows import early, oscillations
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import bregman_lagrangian, high_resolution, nesterov_flow

SPECTRUM = np.array([0.3, 1.0, 2.0])
ROOTS = 0.2 * 0.5 ** np.arange(6)  # √s
TIME = 3.0
STRONG = 0.3
FLOOR = 1e-11  # of the solver
LOGISTIC_START = jnp.array([2.0, -1.5, 1.0])


def _convex(hyper):
    return nag_c(hyper["rate"])


def _strongly_convex(hyper):
    return nag_sc(hyper["rate"], STRONG)


def _ends(build: Callable) -> list[np.ndarray]:
    """The look-ahead after TIME/√s steps from ones, for each √s."""
    found, training, start = [], Training(quadratic(SPECTRUM)), jnp.ones(3)
    for root in ROOTS:
        scheme = OptaxStep(build, {"rate": jnp.asarray(root**2)})
        steps = round(TIME / root)
        run = iterate(scheme, training, start, h=1.0, steps=steps, save="last")
        found.append(np.asarray(run.positions[-1]))
    return found


def _order(claimed: float, build: Callable, flow_end: Callable) -> Evidence:
    """The order in √s of the distance to the flow's end, flow_end(√s)."""
    ends = _ends(build)
    errors = [
        float(np.linalg.norm(y - flow_end(root)))
        for root, y in zip(ROOTS, ends, strict=True)
    ]
    return decide.order(claimed, ROOTS, errors, floor=FLOOR, route="quadratic")


def _on_logistic(row: Any, claimed: float, **fixed: Any) -> Evidence:
    """The row's own order on a logistic loss, at the end time."""
    ladder = convergence(
        row,
        ridged_logistic(),
        LOGISTIC_START,
        learning_rates=(ROOTS / 2) ** 2,
        t1=2.0,
        norm="end",
        **fixed,
    )
    return decide.order(
        claimed, ROOTS / 2, ladder.errors, floor=ladder.floor, route="logistic loss"
    )


# NAG-C beside the accelerated flow.


def _accelerated(friction: float) -> Callable:
    def end(root: float) -> np.ndarray:
        t0 = 0.01  # the series' error is O(t0⁶)
        x, v = early(friction, t0, SPECTRUM)
        path, _ = oscillations(
            AcceleratedFlow, SPECTRUM, np.array([t0, TIME]), v / x, r=friction
        )
        return x * path[-1]

    found = end(0.0)
    return lambda root: found


@claim(
    "inertial.nag-c-order",
    title="NAG-C follows x'' + (3/t)x' + ∇f = 0 to first order in √s",
    source=nesterov_flow("the flow as the limit of Nesterov's scheme"),
    statement=r"y_{T/\sqrt s} - x(T) = O(\sqrt s)",
    hypotheses=(r"$s\lambda_{\max} < 1$", "rest at the start", "a fixed time T"),
    grade="measured",
    delta=0.75,
    unit="order in √s (time unit: 1/√curvature)",
)
def nag_c_order(ctx: Context) -> Evidence:
    """The error of the look-ahead at T = 3 on three modes, the flow by scipy."""
    return _order(1, _convex, _accelerated(3.0))


@nag_c_order.route("the row of the table on a logistic loss", grade="measured")
def _(ctx: Context) -> Evidence:
    return _on_logistic(NAG_C, 1)


@nag_c_order.control("friction 2/t: an error that stays", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _order(1, _convex, _accelerated(2.0))


# NAG-C beside its high-resolution flow.


def _high_resolution_convex(shift: float = 1.5, slope: float = 1.0) -> Callable:
    """Its end at the time TIME + shift √s, from shift √s with v = -slope √s ∇f."""

    def end(root: float) -> np.ndarray:
        times = np.array([shift * root, shift * root + TIME])
        start = -slope * root * SPECTRUM
        path, _ = oscillations(
            HighResolutionAcceleratedFlow, SPECTRUM, times, start, s=root**2
        )
        return path[-1]

    return end


@claim(
    "inertial.nag-c-high-resolution-order",
    title="NAG-C follows its high-resolution flow from t_0 = 3√s/2 to order 2 in √s",
    source=high_resolution("equation 1.12 of version 3; the order measured here"),
    statement=r"x_k - X\bigl((k+\tfrac32)\sqrt s\bigr) = O(s)\ \text{at } k\sqrt s = T,"
    r"\quad X(\tfrac32\sqrt s) = x_0,\ \dot X(\tfrac32\sqrt s) = -\sqrt s\nabla f(x_0)",
    hypotheses=(r"$s\lambda_{\max} < 1$", "a fixed time T"),
    grade="measured",
    delta=0.75,
    unit="order in √s (time unit: 1/√curvature)",
)
def high_resolution_convex(ctx: Context) -> Evidence:
    """The error at k√s = 3 on three modes, the traced flow by scipy."""
    return _order(2, _convex, _high_resolution_convex())


@high_resolution_convex.control("the clock k√s + √s", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _order(2, _convex, _high_resolution_convex(shift=1.0))


# NAG-SC beside its high-resolution flow.


def _high_resolution(build: Callable, slope: Callable) -> Callable:
    """Its end at T from v = -slope(√(μs)) √s ∇f(x_0)."""

    def end(root: float) -> np.ndarray:
        start = -slope(np.sqrt(STRONG) * root) * root * SPECTRUM
        path, _ = oscillations(
            build, SPECTRUM, np.array([0.0, TIME]), start, mu=STRONG, s=root**2
        )
        return path[-1]

    return end


def _matched(q: float) -> float:
    del q
    return 1.5


def _first_difference(q: float) -> float:
    return 2 / (1 + q)


@claim(
    "inertial.nag-sc-high-resolution-order",
    title="NAG-SC follows its high-resolution flow to order 2 from a matched velocity",
    source=high_resolution("equation 1.11 of version 3; orders and start derived here"),
    statement=r"x_{T/\sqrt s} - X(T) = O(s)\ \text{for } \dot X(0) ="
    r" -\tfrac32\sqrt s\nabla f(x_0);\quad O(\sqrt s)\ \text{for the first difference }"
    r" -\tfrac{2\sqrt s}{1+\sqrt{\mu s}}\nabla f(x_0)",
    hypotheses=(r"$s\lambda_{\max} < 1$, $\mu$ fixed", "a fixed time T"),
    grade="measured",
    delta=0.75,
    unit="order in √s (time unit: 1/√curvature)",
)
def high_resolution_strong(ctx: Context) -> Evidence:
    """The error at T = 3 on three modes, the traced flow by scipy."""
    return _order(
        2, _strongly_convex, _high_resolution(HighResolutionNesterovFlow, _matched)
    )


@high_resolution_strong.route("the row of the table on a logistic loss")
def _(ctx: Context) -> Evidence:
    return _on_logistic(NAG_SC, 2, strong_convexity=0.1)


@high_resolution_strong.control("the first difference for a velocity", expected=1.0)
def _(ctx: Context) -> Evidence:
    flow = _high_resolution(HighResolutionNesterovFlow, _first_difference)
    return _order(2, _strongly_convex, flow)


@high_resolution_strong.control("heavy ball's flow, without √s ∇²f x'", expected=1.0)
def _(ctx: Context) -> Evidence:
    flow = _high_resolution(HighResolutionHeavyBallFlow, _matched)
    return _order(2, _strongly_convex, flow)


# Bregman's family is one path at other speeds.


def _time_change(bend: Any = 1) -> Evidence:
    """x_p(t) = x_2(t^{p/2}) put into the traced flow of p, for every ∇f."""
    t, p, scale = sympy.symbols("t p C", positive=True)
    x, w, g = sympy.symbols("x w g", real=True)

    def acceleration(t, power, scale, x, v, g):
        one = [jnp.reshape(a, (1,)) for a in (x, v, g)]
        loss = LocalModel(None, one[2], jnp.zeros(1), one[0])
        flow = BregmanFlow(loss, power, scale)
        return flow.vector_field(t, PhaseState(one[0], one[1])).velocity[0]

    tau, rate = t ** (p / 2), p / 2 * t ** (p / 2 - 1)  # τ and τ'
    slow = exactly(acceleration, tau, sympy.Integer(2), bend * scale, x, w, g)
    fast = exactly(acceleration, t, p, scale, x, rate * w, g)
    claimed = rate**2 * slow + sympy.diff(rate, t) * w
    gap = sympy.powsimp(sympy.expand(sympy.powsimp(fast - claimed)), force=True)
    return identical([sympy.simplify(gap)], [sympy.Integer(0)], "x_p'' of x_2(t^{p/2})")


def _along(power: float, scale: float, tolerance: float) -> np.ndarray:
    """x_p at t = 0.7^{2/p}, ..., 4^{2/p} on a logistic loss, from the same x_0."""
    flow = BregmanFlow(ridged_logistic(), power, scale)
    times = np.linspace(0.7, 4.0, 8) ** (2 / power)
    t0 = 0.02 ** (2 / power)
    start = bregman_start(flow, LOGISTIC_START, t0)
    run = reference(flow, start, times, t0=t0, tolerance=tolerance)
    return np.asarray(jax.vmap(flow.position)(run.states))


@claim(
    "inertial.bregman-time-change",
    title="Bregman's flows for all powers run along one path, at other speeds",
    source=bregman_lagrangian("polynomial family; time dilation"),
    statement=r"\ddot x + \tfrac{p+1}{t}\dot x + Cp^2t^{p-2}\nabla f(x) = 0:\qquad"
    r" x_p(t) = x_2(t^{p/2})",
    hypotheses=("the same $C$", r"any differentiable $f$, $p > 0$, $t > 0$"),
    grade="proved",
    delta=1e-6,
    unit="|x_0|",
)
def time_change(ctx: Context) -> Evidence:
    """The traced flows; p, C, t, x, x' and ∇f(x) are symbols."""
    return _time_change()


@time_change.control("C(1 + 1/1000) on one side")
def _(ctx: Context) -> Evidence:
    return _time_change(sympy.Rational(1001, 1000))


@time_change.route("p = 4 beside p = 2 on a logistic loss", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    tolerances = (1e-8, 1e-10, 1e-12)
    slow, fast = (
        [_along(power, 0.25, tolerance) for tolerance in tolerances]
        for power in (2.0, 4.0)
    )
    gaps = [1 + float(np.abs(a - b).max()) for a, b in zip(slow, fast, strict=True)]
    yield decide.equal(
        1.0, decide.ladder(gaps), delta=ctx.delta, quantity="1 + sup|x_4 - x_2|"
    )
