"""The mass goes to 0: from the process with momentum to the one without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import sympy

from discretize.figures.fast_switching import stationary_distance
from flows import quadratic_sum
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum
from proofs_check.switching_quadratics import symbolic_process, total
from sde import (
    JumpProcess,
    StochasticGradientMomentumProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    largest_gap,
    simulate_skeletons,
    stationary_moments,
    zero_mass,
)

MOMENTUM = losing_momentum("convergence as the mass tends to 0; the rate is derived")
CURVATURES = np.array([0.5, 1.0, 1.4])
CENTRES = np.array([[-1.0], [0.3], [2.0]])
FRICTION, RATE = 0.9, 1.5


class _BothState(NamedTuple):
    position: Any
    velocity: Any
    limit: Any
    label: Any


class _OneLabel(JumpProcess):
    """A process with momentum beside its limit of zero mass, of one label."""

    process: StochasticGradientMomentumProcess

    @property
    def labels(self) -> int:
        """The labels of the process."""
        return self.process.labels

    def vector_field(self, t: Any, y: Any) -> Any:
        """Both fields."""
        heavy = SwitchingMomentumState(y.position, y.velocity, y.label)
        fast = self.process.vector_field(t, heavy)
        slow = zero_mass(self.process).vector_field(t, SwitchingState(y.limit, y.label))
        return _BothState(fast.position, fast.velocity, slow.position, None)

    def rates(self, t: Any, y: Any) -> Any:
        """One clock."""
        return self.process.rates(t, y)

    def jump(self, t: Any, y: Any, channel: Any) -> Any:
        """The label is redrawn."""
        return self.process.jump(t, y, channel)


def gap_variance(kappa: Any, mass: Any, alpha: Any, r: Any, s2: Any) -> Any:
    """The stationary E(x^m - x⁰)²."""
    top = kappa**2 * mass**2 * r * s2 * (2 * alpha * r + kappa)
    rest = (alpha * r + kappa) * (alpha * r + kappa + mass * r**2)
    return top / (alpha * (2 * alpha**2 + kappa * mass) * rest)


@claim(
    "pdmp.zero-mass-variance",
    title="The stationary distance between the process and its limit of zero mass",
    source=MOMENTUM,
    statement=r"\mathrm E(x^m - x^0)^2 = \frac{\kappa^2m^2rs^2(2\alpha r + \kappa)}"
    r"{\alpha(2\alpha^2 + \kappa m)(\alpha r + \kappa)(\alpha r + \kappa + mr^2)}",
    hypotheses=(
        r"$f_i(x) = \kappa(x - a_i)^2/2$, $\kappa, \alpha, m > 0$",
        "both processes follow one path of the label, in their stationary state",
    ),
    grade="proved",
)
def zero_mass_variance(ctx: Context) -> Evidence:
    """Stationary moments of the pair by its generator; two labels, all symbols."""
    return _pair(ctx, 2)


def _pair(ctx: Context, factor: int) -> Evidence:
    """Two labels that never repeat, with r = factor · γ (2 is right)."""
    process = symbolic_process(2, momentum=True, centres=[[1], [-1]])
    gap = ctx.compiled("two labels", lambda: _distance(process))
    return _variance(process, gap, factor * process.index.rate, 1)


def _distance(process: Any) -> Any:
    zero = np.zeros(1)
    moments = stationary_moments(
        _OneLabel(process), 2, y=_BothState(zero, zero, zero, 0)
    )
    cross = total(moments, 1, 0, 1)
    return total(moments, 2, 0, 0) - 2 * cross + total(moments, 0, 0, 2)


def _variance(process: Any, gap: Any, r: Any, s2: Any) -> Evidence:
    kappa, mass = process.objective.curvatures, process.mass
    exact = gap_variance(kappa, mass, process.friction, r, s2)
    return identical(gap, exact, "E(x^m - x⁰)²")


@zero_mass_variance.control("the clock's rate in place of the relaxation rate")
def _(ctx: Context) -> Evidence:
    return _pair(ctx, 1)


@zero_mass_variance.route("labels that may repeat", grade="proved")
def _(ctx: Context) -> Evidence:
    """Centres -1 and 2, s² = 9/4; the relaxation rate is the clock's own."""
    process = symbolic_process(
        2, momentum=True, convention="fresh_draw", centres=[[-1], [2]]
    )
    r, s2 = process.index.rate, sympy.Rational(9, 4)
    return _variance(process, _distance(process), r, s2)


@claim(
    "pdmp.zero-mass-order",
    title="Without Brownian noise the limit of zero mass has strong order 1 in m",
    source=MOMENTUM,
    statement=r"\bigl(\mathrm E(x^m - x^0)^2\bigr)^{1/2} \sim \frac{m\kappa}"
    r"{\alpha r + \kappa}\sqrt{\frac{rs^2(2\alpha r + \kappa)}{2\alpha^3}},\quad "
    r"\bigl(\mathrm E\sup_{t\le T}|x^m_t - x^0_t|^2\bigr)^{1/2} = O(m)",
    hypotheses=(
        r"$f_i(x) = \kappa(x - a_i)^2/2$, one path of the label",
        r"$m r \ll \alpha$: the label waits longer than the velocity relaxes",
    ),
    grade="measured",
    delta=0.01,
    unit="order in m",
)
def zero_mass_order(ctx: Context) -> Iterator[Evidence]:
    """Stationary distances from linear solves; r = 2, κ = α = s = 1."""
    masses = 0.1 * 0.5 ** np.arange(8)
    errors = stationary_distance(masses, 2.0)
    floor = 1e-15 / errors  # E(x^m - x⁰)² is a difference of numbers of size 1
    yield decide.order(1.0, masses, errors, floor=floor)
    exact = float(np.sqrt(2.0 * 5.0 / (2 * 9.0)))
    yield decide.leading_constant(
        exact, masses, errors, 1.0, floor=floor, delta=ctx.delta
    )


@zero_mass_order.control(
    "a label that flips faster than the velocity relaxes", expected=0.5
)
def _(ctx: Context) -> Evidence:
    """There √E(x^m - x⁰)² is κ√(s²m/(α³r)): order 1/2."""
    masses = 0.1 * 0.5 ** np.arange(8)
    errors = stationary_distance(masses, 1e6)
    return decide.order(1.0, masses, errors, floor=1e-13 / errors)


@zero_mass_order.route("sup over time", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Losses of different curvatures; exact paths of every mass on one label's."""
    paths = ctx.choose(300, 3000)
    masses = ctx.choose(0.08, 0.02) * 0.25 ** np.arange(4)
    return decide.strong_order(1.0, masses, _gaps(ctx, masses, paths), q=0.5)


def _gaps(ctx: Context, masses: Any, paths: int) -> np.ndarray:
    """The largest |x^m - x⁰| over [0, 4] of every path and mass."""
    runs = [_runs(ctx, float(m), paths) for m in masses]
    return np.stack([np.asarray(largest_gap(*pair)) for pair in runs], axis=1)


def _runs(ctx: Context, mass: float, paths: int) -> Any:
    losses = quadratic_sum(CENTRES, CURVATURES)
    process = StochasticGradientMomentumProcess(
        losses, UniformIndex(3, RATE), mass, FRICTION
    )
    zero, key = jnp.zeros(1), int(ctx.rng("key").integers(2**31))
    options = {"t1": 4.0, "key": key, "paths": paths, "events": 40}
    heavy = simulate_skeletons(
        process, SwitchingMomentumState(zero, zero + 1.0, None), **options
    )
    other = zero_mass(process)
    return heavy, simulate_skeletons(other, SwitchingState(zero, None), **options)


@claim(
    "pdmp.zero-mass-bound",
    title="A path with momentum stays within (1 + L/κ)(m/α) sup|v - v₀| of its limit",
    source=MOMENTUM,
    statement=r"\sup_{s\le t}|x^m_s - x^0_s| \le \Bigl(1 + \frac L\kappa\Bigr)"
    r"\frac m\alpha\sup_{s\le t}|v_s - v_0|",
    hypotheses=(
        r"$\kappa \le \nabla^2f_i \le L$, $\kappa > 0$",
        "one path of the label and one start; $v_0$ arbitrary",
    ),
    grade="proved",
    delta=0.02,
)
def zero_mass_bound(ctx: Context) -> Evidence:
    """An identity of the two fields, and Grönwall's inequality.

    With q = m(v - v₀)/α the difference w = x^m + q - x⁰ obeys αw' = -H(w - q), where
    H, the mean Hessian between x⁰ and x^m, has κ <= H <= L, and w = 0 at the start. So
    α|w|' <= -κ|w| + L sup|q|, hence |w| <= (L/κ) sup|q|, and x^m - x⁰ = w - q. The
    identity is traced from the processes' own fields, along one curvature.
    """
    return _gap_equation()


def _gap_equation(factor: Any = 1, other: int = 1) -> Evidence:
    """α(x^m + q - x⁰)' = -κ(x^m - x⁰) where x^m has label 1 and x⁰ the `other` one.

    q is `factor` times its definition.
    """
    process = symbolic_process(2, momentum=True)
    kappa, alpha = process.objective.curvatures, process.friction
    x, v, z = (symbol_vector(name, 1) for name in "xvz")

    def change(process: Any, x: Any, v: Any, z: Any) -> Any:
        heavy = process.vector_field(0.0, SwitchingMomentumState(x, v, 1))
        light = zero_mass(process).vector_field(0.0, SwitchingState(z, other))
        lean = process.mass / process.friction * heavy.velocity
        return heavy.position + factor * lean - light.position

    found = alpha * exactly(change, process, x, v, z)
    return identical(found, -kappa * (x - z), "α w' = -κ(w - q)")


@zero_mass_bound.control("twice the lean q")
def _(ctx: Context) -> Evidence:
    return _gap_equation(2)


@zero_mass_bound.control("labels that are not shared")
def _(ctx: Context) -> Evidence:
    return _gap_equation(other=0)


@zero_mass_bound.route("exact paths", grade="measured")
def _(ctx: Context) -> Evidence:
    """Three losses of curvatures 0.5 to 1.4, masses 0.02 to 1: the worst path.

    The bias allows for the few per cent of a maximum that `largest_gap` may miss.
    """
    worst = 0.0
    for mass in (1.0, 0.2, 0.02):
        heavy, limit = _runs(ctx, mass, 3000)
        gaps = np.asarray(largest_gap(heavy, limit))
        reach = CURVATURES.max() / CURVATURES.min()
        bounds = (1 + reach) * mass / FRICTION * _speeds(heavy)
        worst = max(worst, float(np.max(gaps / bounds)))
    note = "random paths of three losses on [0, 4], v₀ = 1"
    found = decide.Measurement(worst, bias=0.05 * worst)
    return decide.upper_bound(1.0, found, delta=ctx.delta, note=note)


def _speeds(run: Any) -> np.ndarray:
    """The largest |v - v₀| of each path at its points: a smaller bound than sup."""
    v = np.asarray(run.states.velocity)[..., 0]
    return np.max(np.abs(v - v[:, :1]), axis=1)
