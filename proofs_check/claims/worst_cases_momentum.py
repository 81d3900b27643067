"""Worst cases of momentum methods and their flows, by semidefinite programming."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.linalg

from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.energies import (
    bregman_pair,
    high_resolution_accelerated_pair,
    high_resolution_heavy_ball_pair,
    high_resolution_nesterov_pair,
    vanishing_pair,
)
from proofs_check.evidence import Evidence
from proofs_check.papers import bregman_lagrangian, high_resolution
from proofs_check.pep import (
    REQUIRES,
    flow_worst_case,
    heavy_ball_worst_case,
    nesterov_worst_case,
)

TAYLOR = Source(
    title="Exact worst-case performance of first-order methods for composite convex "
    "optimization",
    authors="Adrien B. Taylor, Julien M. Hendrickx and François Glineur",
    year=2017,
    arxiv="1512.07516",
    location="table 1, fast gradient method (found numerically there)",
)
GHADIMI = Source(
    title="Global convergence of the Heavy-ball method for convex optimization",
    authors="Euhanna Ghadimi, Hamid Reza Feyzmahdavian and Mikael Johansson",
    year=2015,
    arxiv="1412.7457",
    location="theorem 4",
)


# Nesterov's method.


def nesterov_bound(steps: int) -> float:
    """2L/(n² + 5n + 6), for L = 1 and |x_0 - x*| = 1."""
    return 2 / (steps**2 + 5 * steps + 6)


def _nesterov(steps: int, delta: float, **changed: Any) -> Evidence:
    return decide.sdp(
        nesterov_bound(steps),
        nesterov_worst_case(steps, **changed),
        delta=delta,
        quantity=f"f(x_n) - f*, n = {steps}",
        route="SDP",
    )


@claim(
    "inertial.worst-case-nag-c",
    title="The worst case of Nesterov's method after n steps of 1/L is 2L/(n²+5n+6)",
    source=TAYLOR,
    statement=r"\max_{f,\,x_0} \frac{f(x_n) - f_*}{|x_0-x_*|^2} = \frac{2L}{n^2+5n+6},"
    r"\qquad x_k = y_{k-1} - \tfrac1L\nabla f(y_{k-1}),\quad y_k = x_k +"
    r" \tfrac{k-1}{k+2}(x_k - x_{k-1})",
    hypotheses=(r"$f$ convex and $L$-smooth", r"tried: $n = 1, 2, 4$ (and $10$)"),
    grade="measured",
    delta=1e-6,
    unit="f per |x|² (L = 1)",
    requires=REQUIRES,
)
def worst_nesterov(ctx: Context) -> Iterator[Evidence]:
    """The semidefinite program."""
    for steps in ctx.choose((1, 2, 4), (1, 2, 4, 10)):
        yield _nesterov(steps, ctx.delta)


@worst_nesterov.route("a Huber function that attains it, in rational arithmetic")
def _(ctx: Context) -> Iterator[Evidence]:
    """Every y_k lies where the gradient is constant, 4/(n²+5n+6)."""
    for steps in (1, 2, 4, 10, 50):
        value = _on_huber(steps)
        yield decide.equal(
            nesterov_bound(steps),
            decide.Measurement(float(value), bias=1e-16),
            delta=ctx.delta,
            quantity=f"f(x_n) - f*, n = {steps}",
            route="rational arithmetic",
        )


def _on_huber(steps: int) -> Fraction:
    """The value f(x_n), f = x²/2 for |x| <= c and c|x| - c²/2 beyond, from x_0 = 1."""
    corner = Fraction(4, steps**2 + 5 * steps + 6)
    x = y = Fraction(1)
    for k in range(1, steps + 1):
        before, x = x, y - max(-corner, min(corner, y))
        y = x + Fraction(k - 1, k + 2) * (x - before)
    far = abs(x) > corner
    return corner * abs(x) - corner**2 / 2 if far else x**2 / 2


@worst_nesterov.control("the momentum (k-1)/(k+3)", expected=5 / 74)
def _(ctx: Context) -> Evidence:
    return _nesterov(3, ctx.delta, shift=3.0)


@worst_nesterov.control("learning rate 1.5/L", expected=0.125)
def _(ctx: Context) -> Evidence:
    return _nesterov(1, ctx.delta, rate=1.5)


@worst_nesterov.control("another Huber function", requires=())
def _(ctx: Context) -> Evidence:
    """The one that attains n = 2, as the worst case of n = 3."""
    value = decide.Measurement(float(_on_huber(2)), bias=1e-16)
    return decide.equal(nesterov_bound(3), value, delta=ctx.delta)


# Heavy ball.

STRONG, RATE = 0.1, 0.5


def _heavy_ball(steps: int, momentum: float | None = None) -> Evidence:
    """L = 1, and √((1-sμ)(1-sL)) for the momentum of the theorem."""
    if momentum is None:
        momentum = math.sqrt((1 - RATE * STRONG) * (1 - RATE))
    # The last attempt is the one that ended, or no solver came to an end.
    *_, found = heavy_ball_worst_case(
        steps, strong=STRONG, smoothness=1.0, rate=RATE, momentum=momentum
    )
    ended = "" if found.status == "optimal" else f"the solver said {found.status}"
    measured = decide.Measurement(
        0.0 if ended else found.dual,
        bias=0.0 if ended else found.error + abs(found.dual - found.primal),
        obstacle=ended,
    )
    return decide.upper_bound(
        (1 - RATE * STRONG) ** steps,
        measured,
        delta=1e-4,
        quantity=f"f(x_n) - f*, n = {steps}",
        route="SDP",
        note=f"the worst case is {measured.value:.4f}",
    )


@claim(
    "inertial.worst-case-heavy-ball",
    title="Heavy ball with a small step contracts f - f* by 1 - sμ a step",
    source=GHADIMI,
    statement=r"f(x_n) - f_* \le (1 - s\mu)^n\,(f(x_0) - f_*),\qquad"
    r" m = \sqrt{(1-s\mu)(1-sL)},\quad x_{-1} = x_0",
    hypotheses=(
        r"$f$ $\mu$-strongly convex and $L$-smooth, $0 < s \le 1/L$",
        r"tried: $\mu = 0.1$, $L = 1$, $s = 0.5$, $n = 1, 2$ (and $4$)",
    ),
    grade="measured",
    delta=1e-4,
    unit="1 (f(x_n) - f* per f(x_0) - f*)",
    requires=REQUIRES,
)
def worst_heavy_ball(ctx: Context) -> Iterator[Evidence]:
    """The semidefinite program; its value, the worst case, is in the note."""
    for steps in ctx.choose((1, 2), (1, 2, 4)):
        yield _heavy_ball(steps)


@worst_heavy_ball.control("momentum 0.99")
def _(ctx: Context) -> Evidence:
    return _heavy_ball(6, momentum=0.99)


# Rates of the high-resolution flows.

MU, STEP = 1.0, 0.25


def quadratic_rate(share: float, nesterov: bool) -> float:
    """The largest V'/V on f = λx²/2, λ = share · μ, by a symmetric eigenvalue problem.

    V and V' are quadratic forms in (x, v), written out for one curvature λ.
    """
    m, r, lam = math.sqrt(MU), math.sqrt(STEP), share * MU
    q, damping = m * r, math.sqrt(STEP) * lam if nesterov else 0.0
    k = 2 * m + damping
    energy = [[(1 + q) * lam / 2 + k**2 / 4, k / 4], [k / 4, 0.5]]
    in_x = m * ((1 + q) * lam + r * damping * lam / 2) + damping * lam / 2
    slope = -np.diag([in_x, m + damping / 2])
    return float(scipy.linalg.eigh(slope, energy, eigvals_only=True)[-1])


def sharp_rate() -> float:
    """The rate -2√μ (1 - 1/√(2 + √(μs))) of heavy ball's energy."""
    return -2 * math.sqrt(MU) * (1 - 1 / math.sqrt(2 + math.sqrt(MU * STEP)))


def _rate(ctx: Context, pair: Any, claimed: float, share: float = 1.0) -> Evidence:
    numbers = {"strong_convexity": MU, "learning_rate": STEP}
    found = flow_worst_case(
        pair.at(**numbers), "strongly_convex", normalisation="==", mu=share * MU
    )
    return decide.sdp(claimed, found, delta=ctx.delta, quantity="V' on V = 1")


@claim(
    "inertial.worst-case-high-resolution-heavy-ball",
    title="The worst rate of heavy ball's energy is 2√μ(1 - 1/√(2 + √(μs)))",
    source=high_resolution("lemma 3.2; its sharp rate is derived here"),
    statement=r"\max_{f,\,x,\,\dot x}\frac{\dot V}{V} = -2\sqrt\mu\Bigl(1 -"
    r" \frac{1}{\sqrt{2+\sqrt{\mu s}}}\Bigr)",
    hypotheses=(r"$f$ $\mu$-strongly convex", r"$\mu = 1$, $s = 1/4$"),
    relation=sharp_rate(),
    grade="measured",
    delta=1e-6,
    unit="1/time (μ = 1)",
    requires=REQUIRES,
)
def worst_high_resolution_heavy_ball(ctx: Context) -> Evidence:
    """The semidefinite program over all functions and states with V = 1."""
    return _rate(ctx, high_resolution_heavy_ball_pair(), sharp_rate())


@worst_high_resolution_heavy_ball.route("the quadratic of curvature μ")
def _(ctx: Context) -> Evidence:
    rate = decide.Measurement(quadratic_rate(1.0, nesterov=False), bias=1e-13)
    return decide.equal(sharp_rate(), rate, delta=ctx.delta, quantity="V' on V = 1")


@worst_high_resolution_heavy_ball.control(
    "f convex to half of μ", expected=quadratic_rate(0.5, nesterov=False)
)
def _(ctx: Context) -> Evidence:
    pair = high_resolution_heavy_ball_pair()
    return _rate(ctx, pair, sharp_rate(), share=0.5)


@claim(
    "inertial.worst-case-high-resolution-nesterov",
    title="The worst rate of NAG-SC's energy is that of the quadratic of curvature μ",
    source=high_resolution("lemma 3.1; its sharp rate is found here"),
    statement=r"\max_{f,\,x,\,\dot x}\frac{\dot V}{V} = \max_{x,\,\dot x}"
    r"\frac{\dot V}{V}\Big|_{f = \mu x^2/2} < -\tfrac{\sqrt\mu}{2}",
    hypotheses=(
        r"$f$ $\mu$-strongly convex and twice differentiable",
        r"$\mu = 1$, $s = 1/4$; of $H = \nabla^2 f$ only $\langle v, Hv\rangle \ge"
        r" \mu|v|^2$",
    ),
    relation=quadratic_rate(1.0, nesterov=True),
    grade="measured",
    delta=1e-6,
    unit="1/time (μ = 1)",
    requires=REQUIRES,
)
def worst_high_resolution_nesterov(ctx: Context) -> Iterator[Evidence]:
    """An upper bound by the semidefinite program, attained by the quadratic."""
    claimed = quadratic_rate(1.0, nesterov=True)
    yield _rate(ctx, high_resolution_nesterov_pair(), claimed)
    yield _below_half(ctx, 1.0)


def _below_half(ctx: Context, share: float) -> Evidence:
    """The rate of the quadratic of curvature share · μ is at most -√μ/2."""
    rate = decide.Measurement(quadratic_rate(share, nesterov=True), bias=1e-13)
    return decide.upper_bound(
        -math.sqrt(MU) / 2,
        rate,
        delta=ctx.delta,
        quantity="V' on V = 1 against -√μ/2",
        route="eigenvalue problem",
    )


@worst_high_resolution_nesterov.control(
    "f convex to half of μ", expected=quadratic_rate(0.5, nesterov=True)
)
def _(ctx: Context) -> Evidence:
    claimed = quadratic_rate(1.0, nesterov=True)
    return _rate(ctx, high_resolution_nesterov_pair(), claimed, share=0.5)


@worst_high_resolution_nesterov.control(
    "curvature μ/2 against -√μ/2",
    expected=quadratic_rate(0.5, nesterov=True),
    requires=(),
)
def _(ctx: Context) -> Evidence:
    return _below_half(ctx, 0.5)


# Energies of convex losses.


def _growth(ctx: Context, pair: Any, quantity: str, **numbers: Any) -> Evidence:
    found = flow_worst_case(pair.at(**numbers), "convex")
    return decide.sdp(0, found, delta=ctx.delta, scale=1.0, quantity=quantity)


@claim(
    "inertial.worst-case-convex-energies",
    title="No convex f lets the energies of Bregman's flow, vanishing damping or NAG-C"
    " grow",
    source=bregman_lagrangian("Lyapunov function; the other energies likewise"),
    statement=r"\max_{f,\,x,\,\dot x:\,V\le 1}\dot V = 0",
    hypotheses=(
        r"$f$ convex",
        r"at $t = 1$ (in full also 3): $p = 4$, $C = 1/4$; $a = 3$, $\beta = 1/2$;"
        r" $s = 1/4$",
    ),
    grade="measured",
    delta=1e-6,
    unit="1/time",
    requires=REQUIRES,
)
def worst_convex_energies(ctx: Context) -> Iterator[Evidence]:
    """The largest V' over functions and states, for three flows."""
    for t in ctx.choose((1,), (1, 3)):
        yield _growth(
            ctx, bregman_pair(), f"Bregman, t = {t}", power=4, scale=0.25, t=t
        )
        yield _growth(
            ctx,
            vanishing_pair(),
            f"vanishing damping, t = {t}",
            friction=3,
            hessian_damping=0.5,
            t=t,
        )
        nag_c = high_resolution_accelerated_pair()
        yield _growth(ctx, nag_c, f"NAG-C, t = {t}", learning_rate=0.25, t=t)


@worst_convex_energies.control("vanishing damping with a = 2")
def _(ctx: Context) -> Evidence:
    """The supremum is (3 - a)/t, which no function attains."""
    return _growth(ctx, vanishing_pair(), "a = 2", friction=2, hessian_damping=0.5, t=2)
