"""Inertial Newton leaves saddles: how fast, from where, and what does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from discretize import Euler, RungeKutta
from discretize.hitting import first_hit
from flows import (
    InertialNewtonFlow,
    InertialNewtonPsiFlow,
    InertialNewtonState,
    PhaseState,
    at_rest,
    iterate,
    newton_flow,
)
from flows.problems import double_well, saddle_between_wells
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.inertial_saddles import field_matrix
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import saddle_avoidance

PAIRS = ((0.5, 1.0), (1.0, 1.1), (2.0, 0.1), (0.3, 0.9), (0.5, 0.1))
STEP = 0.02
CURVATURE = -8.0  # of the saddle at 0


def rates(friction: float, damping: float, curvature: float = CURVATURE):
    """(μ₊, |μ₋|) of a mode: μ² + (α + βλ)μ + λ = 0."""
    roots = np.roots([1.0, friction + damping * curvature, curvature])
    return float(max(roots)), -float(min(roots))


def _flow(friction, damping):
    return InertialNewtonPsiFlow(saddle_between_wells(), friction, damping)


def _start(flow, x):
    """Downhill: v₀ = -∇f."""
    return flow.from_phase(PhaseState(x, -flow.objective.gradient(x)))


# How long it takes.


def first_passage(friction, damping, x: float, levels: Any, steps: int) -> np.ndarray:
    """Step at which |x_k| passes each level, log|x_k| linear between steps.

    Infinite where it does not, within these steps.
    """
    flow = _flow(friction, damping)
    run = iterate(Euler(), flow, _start(flow, jnp.array([x, 0.1])), h=STEP, steps=steps)
    heights = np.log(np.abs(np.asarray(run.positions)[:, 0]))
    after = first_hit(heights > np.log(levels)[:, None])
    hit = np.isfinite(after)
    k = np.where(hit, after, 1).astype(int)
    lower, upper = heights[k - 1], heights[k]
    part = (np.log(levels) - lower) / (upper - lower)
    return np.where(hit, k - 1 + part, np.inf)


@claim(
    "inertial.escape-time",
    title="INNA leaves a saddle after log(δ/A|x₀|)/log(1 + γμ₊) steps",
    source=saddle_avoidance("local theory at a saddle; the amplitude is derived here"),
    statement=r"k_\delta \simeq \frac{\log(\delta/(A|x_0|))}{\log(1+\gamma\mu_+)},"
    r"\quad A = \frac{|\mu_-|(1+\mu_+)}{\mu_+ + |\mu_-|}\ (v_0 = -\nabla f),\quad"
    r" \mu^2 + (\alpha+\beta\lambda)\mu + \lambda = 0",
    hypotheses=(
        r"$f = x^4 - 4x^2 + y^2$, $\lambda = -8$, $|x_0| \ll \delta \ll 1$",
        r"$\gamma = 0.02$; pairs $(\alpha, \beta)$, $\alpha\beta$ from 0.05 to 1.1",
    ),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-3,
    unit="steps over the predicted number of steps",
)
def escape_time(ctx: Context) -> Iterator[Evidence]:
    """INNA from 10⁻¹² of the saddle; the level δ at which it is out is made small."""
    for friction, damping in PAIRS[: ctx.choose(3, 5)]:
        up, _ = rates(friction, damping)
        yield _passage(ctx, friction, damping, STEP * up)


def _passage(ctx: Context, friction, damping, growth: float) -> Evidence:
    """Measured over predicted; the cubic force adds O(δ²)."""
    x, levels = 1e-12, np.array(ctx.choose([0.2, 0.1, 0.05], [8e-3, 4e-3, 2e-3]))
    up, down = rates(friction, damping)
    amplitude = down * (1 + up) / (up + down)
    predicted = np.log(levels / (amplitude * x)) / math.log1p(growth)
    found = first_passage(friction, damping, x, levels, 700)
    name = f"escape, α = {friction:g}, β = {damping:g}"
    return decide.equal(
        1.0, decide.ladder(found / predicted), delta=ctx.delta, quantity=name
    )


@escape_time.control(
    "the rate of gradient descent, 1 + 8γ",
    expected=math.log1p(-STEP * CURVATURE) / math.log1p(STEP * rates(*PAIRS[0])[0]),
)
def _(ctx: Context) -> Evidence:
    return _passage(ctx, *PAIRS[0], -STEP * CURVATURE)


# Where starts end up.


@eqx.filter_jit
def _ends(flow, starts, steps):
    def end(y):
        run = iterate(Euler(), flow, y, h=STEP, steps=steps, save="last")
        return run.positions[-1]

    return jax.vmap(end)(starts)


def _stuck(starts: np.ndarray, friction: float, damping: float) -> int:
    """How many starts, (x, ψ) or x with v = -∇f, end within 0.01 of the saddle."""
    flow = _flow(friction, damping)
    x = jnp.asarray(starts[:, :2])
    if starts.shape[1] == 4:
        y = InertialNewtonState(x, jnp.asarray(starts[:, 2:]))
    else:
        y = jax.vmap(lambda x: _start(flow, x))(x)
    ends = np.asarray(_ends(flow, y, 1200))
    assert np.all(np.isfinite(ends))
    return int(np.sum(np.hypot(*ends.T) < 0.01))


@claim(
    "inertial.saddle-avoidance",
    title="Starts a rounding error away from a strict saddle do not end there",
    source=saddle_avoidance("theorem 4.1 (almost sure avoidance by INNA)"),
    statement=r"\Pr[(x_k,\psi_k) \to (x^*, (1-\alpha\beta)x^*)] = 0\quad"
    r"\text{for a strict saddle } x^*,\quad"
    r" \alpha\gamma + \gamma|\beta-\gamma|L < 1",
    hypotheses=(
        r"the step $\gamma$ is small enough for the least and the largest curvature,"
        r" $|\lambda| \le L$",
        r"$f = x^4 - 4x^2 + y^2$, $(x_0, \psi_0) \sim N(0, 10^{-24} I)$",
        r"$\gamma = 0.02$, 1200 steps",
    ),
    grade="estimated",
    delta=0.05,
    unit="probability",
)
def saddle_avoidance_claim(ctx: Context) -> Evidence:
    """1000 starts a pair (α, β), x₀ and ψ₀ drawn independently.

    By Clopper and Pearson no start in 2000 (5000) puts the probability below 1.1 %
    (0.5 %) at level 1e-9.
    """
    return _share(ctx, 4)


def _share(ctx: Context, numbers: int) -> Evidence:
    """The share of starts that stay: (x, ψ) of 4 numbers, or x of 2."""
    pairs = PAIRS[: ctx.choose(2, 5)]
    starts = 1e-12 * ctx.rng().standard_normal((1000, numbers))
    stuck = sum(_stuck(starts, *pair) for pair in pairs)
    return decide.proportion(
        0.0, stuck, 1000 * len(pairs), delta=ctx.delta, scale=1.0, quantity="stay"
    )


@saddle_avoidance_claim.route("starts with v₀ = -∇f", grade="estimated")
def _(ctx: Context) -> Evidence:
    """ψ₀ is then a function of x₀, whose graph is a null set of the theorem's."""
    return _share(ctx, 2)


@saddle_avoidance_claim.control("starts with x₀ = ψ₀ = 0 across", expected=1.0)
def _(ctx: Context) -> Evidence:
    """The stable manifold holds these lines: x and its ψ stay 0."""
    starts = ctx.rng().standard_normal((1000, 4)) * np.array([0.0, 1.0, 0.0, 1.0])
    stuck = _stuck(starts, *PAIRS[0])
    return decide.proportion(0.0, stuck, 1000, delta=ctx.delta, scale=1.0)


# The stable manifold of one mode, in balls of 1400 bits.

DIGITS = 1400  # bits, about 420 decimal digits


def _ratio(steps: int, slope: Any) -> tuple[float, float]:
    """Bounds of x_k/(1 + γμ₋)^k on the mode, from ψ₀ = slope(μ₋) x₀.

    The step's matrix is traced from the flow with rational parameters, hence exact.
    """
    import flint
    import sympy

    alpha, beta, lam = sympy.Rational(1, 2), sympy.Integer(1), sympy.Integer(-8)
    gamma = flint.fmpq(1, 50)
    traced = np.asarray(exactly(field_matrix, alpha, beta, lam))
    with flint.ctx.workprec(DIGITS):  # pyright: ignore
        entries = [[flint.fmpq(int(e.p), int(e.q)) * gamma for e in r] for r in traced]
        move = flint.arb_mat(entries) + flint.arb_mat([[1, 0], [0, 1]])
        b = flint.arb(-15) / 2  # α + βλ
        down = (-b - (b**2 + 32).sqrt()) / 2  # μ₋
        state = flint.arb_mat([[1], [slope(flint, down)]])
        for _ in range(steps):
            state = move * state
        ratio = state[0, 0] / (1 + down / 50) ** steps
        return float(ratio.lower()), float(ratio.upper())


@claim(
    "inertial.stable-manifold",
    title="From a saddle's stable direction INNA does converge to it, in 420 digits",
    source=saddle_avoidance("the set of measure 0; its direction is derived here"),
    statement=r"\psi_0 = \frac{1-\alpha\beta}{1+\beta\mu_-}\,x_0 \implies"
    r" x_k = (1+\gamma\mu_-)^k x_0",
    hypotheses=(
        r"$f = -4x^2$, $(\alpha, \beta, \gamma) = (1/2, 1, 1/50)$, $k = 2000$",
    ),
    grade="certified",
    delta=1e-6,
    unit="x_k/((1 + γμ₋)^k x₀)",
)
def stable_manifold(ctx: Context) -> Evidence:
    """Ball arithmetic on the traced step: x₂₀₀₀ = 2.45e-17 x₀, and no escape."""
    found = _ratio(2000, lambda flint, down: (flint.arb(1) / 2) / (1 + down))
    return ctx.equal(decide.enclosure(*found), 1.0)


@stable_manifold.control("the same start rounded to double precision")
def _(ctx: Context) -> Evidence:
    def rounded(flint, down):
        return flint.arb(float(((flint.arb(1) / 2) / (1 + down)).mid()))

    return ctx.equal(decide.enclosure(*_ratio(2000, rounded)), 1.0)


@stable_manifold.control("the default start ψ₀ = (1 - αβ) x₀")
def _(ctx: Context) -> Evidence:
    found = _ratio(2000, lambda flint, down: flint.arb(1) / 2)
    return ctx.equal(decide.enclosure(*found), 1.0)


# Without inertia a saddle attracts.

HORIZON = 4.0


def newton_position(x: float) -> float:
    """x(T) of the Newton flow on (x² - 1)²/4: the root of f' = e^{-T} f'(x₀) by 0."""
    edge, pull = 1 / math.sqrt(3), math.exp(-HORIZON) * (x**3 - x)
    root: Any = brentq(lambda y: y**3 - y - pull, -edge, edge, xtol=1e-15)
    return root


def _end(mass: float | None, x: float, steps: int) -> float:
    """x(T) by a Runge–Kutta scheme of order 3."""
    f, start = double_well(), jnp.array([x])
    flow: Any = newton_flow(f)
    if mass is not None:
        flow, start = InertialNewtonFlow(f, 0.5, 1.0, mass), at_rest(start)
    scheme = RungeKutta(diffrax.Bosh3())
    run = iterate(scheme, flow, start, h=HORIZON / steps, steps=steps, save="last")
    return float(run.positions[-1, 0])


def _attraction(ctx: Context, mass: float | None) -> Evidence:
    starts, worst = [0.05, -0.3, 0.55], []
    for steps in ctx.choose((250, 500, 1000), (4000, 8000, 16000)):
        found = [_end(mass, x, steps) / newton_position(x) for x in starts]
        worst.append(max(found, key=lambda r: abs(r - 1)))
    return ctx.equal(decide.ladder(worst), 1.0)


@claim(
    "inertial.newton-attracted",
    title="The Newton flow goes to the saddle from everywhere between the inflections",
    source=saddle_avoidance("the contrast that motivates inertia"),
    statement=r"\nabla^2 f\,\dot x = -\nabla f:\ f'(x(t)) = e^{-t} f'(x_0)"
    r" \implies x(t) \to 0\ \text{(a maximum) for all } |x_0| < 3^{-1/2}",
    hypotheses=(r"$f = (x^2-1)^2/4$, $t = 4$",),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-3,
    unit="x(4) over the root of f'(x) = e⁻⁴ f'(x₀)",
)
def newton_attracted(ctx: Context) -> Evidence:
    """Worst of three starts, one of them close to the inflection."""
    return _attraction(ctx, None)


@newton_attracted.control("a mass of 0.1: it runs off into a well")
def _(ctx: Context) -> Evidence:
    return _attraction(ctx, 0.1)
