"""Averages along paths of switching quadratics: over jumps, and over time."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
import sympy
from scipy.linalg import expm

from flows import PowerSchedule, quadratic_sum
from flows.symbolic import exactly, symbols_for_state, symbols_like
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum
from proofs_check.switching_quadratics import (
    exact_entries,
    example_state,
    symbolic_process,
    total,
)
from sde import (
    MarkovIndex,
    Moment,
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    simulate_skeletons,
    stationary_moments,
)

WOLFF = Source(
    title="Poisson arrivals see time averages",
    authors="Ronald W. Wolff",
    year=1982,
    location="Operations Research 30(2), 223-231; for switching flows derived here",
)
MOMENTUM = losing_momentum("the process; its time averages are derived here")


# The states just before jumps.

WAIT = sympy.Symbol("h", positive=True)


def _exponential(term: Any, rate: Any) -> Any:
    """E of a sum of exponentials of the wait h: e^{-ch} becomes rate/(rate + c)."""
    mean = sympy.Integer(0)
    for part in sympy.expand(term).as_ordered_terms():
        if part == 0:
            continue
        decay = sympy.simplify(-sympy.diff(part, WAIT) / part)
        if decay.has(WAIT):
            raise ValueError(f"{part} is no exponential of {WAIT}.")
        mean += part.subs(WAIT, 0) * rate / (rate + decay)
    return mean


def _at_jumps(ctx: Context, convention: str, mean: Any) -> Evidence:
    """Three labels of a uniform index; centres 0, 1 and a symbol."""
    c = sympy.Symbol("c", real=True)
    process = symbolic_process(
        3, momentum=False, convention=convention, centres=[[0], [1], [c]]
    )
    found = ctx.compiled(
        convention, lambda: stationary_moments(process, 2, y=example_state(process))
    )
    kept, redrawn = _redraws(3, convention)
    kernel = [[kept if i == j else redrawn for j in range(3)] for i in range(3)]
    name = f"E x 1(i), E x² 1(i) before rings, {convention}"
    rates = [process.index.rate] * 3
    return _ring_and_wait(process, found, kernel, rates, mean, name)


def _ring_and_wait(
    process: Any, found: Any, kernel: Any, rates: Any, mean: Any, name: str
) -> Evidence:
    """E x^p 1{label} before a ring, from the time-stationary law before the last one.

    The label is redrawn by the kernel, then the exact flow acts for one wait.
    """
    left, right = [], []
    for label, rate in enumerate(rates):
        state = symbols_for_state(example_state(process, label))
        moved = exactly(
            lambda p, y, h: p.exact(0.0, y, h).position, process, state, WAIT
        )
        (x,) = state.position
        after = [
            sum(_moment(found, p, i) * row[label] for i, row in enumerate(kernel))
            for p in (0, 1, 2)
        ]
        for p in (1, 2):
            powers = sympy.Poly(sympy.expand(moved[0] ** p), x).all_coeffs()[::-1]
            left.append(
                sum(mean(a, rate) * m for a, m in zip(powers, after, strict=False))
            )
            right.append(_moment(found, p, label))
    return identical(np.array(left, object), np.array(right, object), name)


def _redraws(labels: int, convention: str) -> tuple[Any, Any]:
    """Chances that a ring leads to the same label, and to any one other."""
    if convention == "fresh_draw":
        return sympy.Rational(1, labels), sympy.Rational(1, labels)
    return sympy.Integer(0), sympy.Rational(1, labels - 1)


def _moment(found: Any, power: int, label: int) -> Any:
    return found[Moment((power,), label)]


@claim(
    "pdmp.states-at-jumps",
    title="States at jumps follow the law that the path follows in time",
    source=WOLFF,
    statement=r"\text{clock of constant rate}\ \Rightarrow\ \frac1K\sum_{k\le K}"
    r"\varphi(x_{T_k}) \to \int \varphi\,d\pi,\quad \pi\ \text{the stationary law in"
    r" time}",
    hypotheses=(
        "one clock of constant rate for all labels",
        r"$f_i = \kappa(x - a_i)^2/2$",
    ),
    grade="proved",
    delta=0.02,
    quick_delta=0.05,
)
def states_at_jumps(ctx: Context) -> Evidence:
    r"""The law before rings is that in time, π, for it is invariant from ring to ring.

    L = A + γ(K - 1), where A moves the state with its label held and K redraws the
    label. So πL = 0 is π(γ - A) = γπK, and π = πKR with the state after one wait,
    R = γ(γ - A)^{-1} = ∫ γ e^{-γh} e^{hA} dh: every bounded φ has ∫φ dπ = ∫KRφ dπ. What
    is traced here, from the process's own flow, is x 1(i) and x² 1(i), three labels.
    """
    return _at_jumps(ctx, "never_repeat", _exponential)


@states_at_jumps.route("fresh draws", grade="proved")
def _(ctx: Context) -> Evidence:
    return _at_jumps(ctx, "fresh_draw", _exponential)


@states_at_jumps.control("waits of one length, 1/γ")
def _(ctx: Context) -> Evidence:
    return _at_jumps(ctx, "never_repeat", lambda term, rate: term.subs(WAIT, 1 / rate))


@states_at_jumps.control("labels that are left at unequal rates")
def _(ctx: Context) -> Evidence:
    """Two labels of a chain, left at the rates γ and 2γ: most rings end the second."""
    losses = quadratic_sum([[0.0], [1.0]])
    chain = MarkovIndex(np.array([[-1.0, 1.0], [2.0, -2.0]]), 1.0)
    plain = StochasticGradientProcess(losses, chain)
    process: Any = symbols_like(plain, curvatures={"positive": True})
    chain_matrix = exact_entries([[-1, 1], [2, -2]])
    process = eqx.tree_at(
        lambda p: (p.index.matrix, p.objective.centres),
        process,
        (chain_matrix, exact_entries([[0], [1]])),
    )
    rates = [process.index.speed, 2 * process.index.speed]
    found = stationary_moments(process, 2, y=example_state(process))
    name, kernel = "before rings of a Markov chain", [[0, 1], [1, 0]]
    return _ring_and_wait(process, found, kernel, rates, _exponential, name)


def _over_jumps(ctx: Context, clock: Any, rate: Any) -> Evidence:
    """Σ x²/Λ over the jumps in [0, T], E = ∫ γ E x² dt/Λ; claimed: (1/T) ∫ E x² dt.

    Two labels with centres ±1, κ = α = 1, T = 4, from x = 0 and a stationary label.
    """
    index, end = UniformIndex(2, clock), 4.0
    process = StochasticGradientProcess(quadratic_sum([[1.0], [-1.0]]), index)
    start = SwitchingState(np.zeros(1), None)
    rings = float(index.expected_rings(0.0, end))

    def sample(seed: int, n: int) -> Any:
        run = simulate_skeletons(process, start, t1=end, key=seed, paths=n, events=71)
        x = np.asarray(run.states.position)[..., 0]
        jump = np.arange(x.shape[1])
        counted = (jump > 0) & (jump <= np.asarray(run.rings)[:, None])
        return np.sum(x**2 * counted, axis=1) / rings

    in_time = _second_moment(rate, end, lambda t: 1 / end)
    return ctx.mean(sample, in_time, quantity="E Σ x²/Λ over jumps")


def _second_moment(clock: Any, end: float, weight: Any) -> float:
    """∫ weight E x² dt: (E x²)' = 2(D - E x²), D = E x a_I, D' = 1 - D - 2γ(t) D."""
    from scipy.integrate import solve_ivp

    def field(t, z):
        return [2 * (z[1] - z[0]), 1 - (1 + 2 * clock(t)) * z[1], weight(t) * z[0]]

    return float(solve_ivp(field, (0, end), [0, 0, 0], rtol=1e-10, atol=1e-12).y[2, -1])


@states_at_jumps.route("sampled paths", grade="estimated")
def _(ctx: Context) -> Evidence:
    """The mean over jumps in a bounded time, exactly that over time (Campbell)."""
    return _over_jumps(ctx, 2.0, lambda t: 2.0)


def _quickening(t: float) -> float:
    """24.2 rings in [0, 4], most of them late."""
    return 0.5 * (1 + 2 * t) ** 1.5


@states_at_jumps.control(
    "a clock that speeds up",
    # ∫ γ E x² dt/Λ, the mean over rings
    expected=_second_moment(_quickening, 4.0, lambda t: _quickening(t) / 24.2),
)
def _(ctx: Context) -> Evidence:
    return _over_jumps(ctx, PowerSchedule(0.5, 0.5, 1.5), _quickening)


# Averages over time.


def _poisson_equation(process: Any, relaxation: Any) -> tuple[list[Any], list[Any]]:
    """Lφ and -(x - ā) at each label, φ = (α(x - ā) + m v)/κ + ξ/r."""

    def image(process: Any, state: Any, r: Any) -> Any:
        centres = process.objective.centres[:, 0]

        def phi(t: Any, y: Any) -> Any:
            del t
            kappa, m, alpha = (
                process.objective.curvatures,
                process.mass,
                process.friction,
            )
            drift = (alpha * y.position[0] + m * y.velocity[0]) / kappa
            return drift + centres[y.label] / r

        return process.generator(phi)(0.0, state)

    centres = process.objective.centres[:, 0]
    mean = sum(centres) / len(centres)
    left, right = [], []
    for label in range(len(centres)):
        state = symbols_for_state(example_state(process, label))
        left.append(exactly(image, process, state, relaxation))
        right.append(mean - state.position[0])
    return left, right


def _polyak(convention: str) -> Evidence:
    process = symbolic_process(
        2, momentum=True, convention=convention, centres=[[1], [-1]]
    )
    kappa, m, alpha = process.objective.curvatures, process.mass, process.friction
    r = 2 * process.index.rate
    left, right = _poisson_equation(process, r)
    found = stationary_moments(process, 2, y=example_state(process))
    by_label: Any = {k: v for k, v in found.items() if k.exponents == (1, 0)}
    with_label = sum(v * (1 - 2 * k.label) for k, v in by_label.items())
    slow = (alpha * total(found, 2, 0) + m * total(found, 1, 1)) / kappa
    left.append(2 * (slow + with_label / r))
    right.append(2 / r)
    return identical(
        np.array(left, object),
        np.array(right, object),
        "Lφ = -(x - ā), 2 E φ(x - ā) = 2s²/r",
    )


@claim(
    "pdmp.time-averages",
    title="The variance of a time average is 2s²/(rT), whatever curvature and mass",
    source=MOMENTUM,
    statement=r"T\,\mathrm{Var}\Bigl(\frac1T\int_0^T x\,dt\Bigr) \to \frac{2s^2}{r}"
    r"\quad\text{for every}\ \kappa, \alpha, m > 0",
    hypotheses=(r"$f_i = \kappa(x - a_i)^2/2$", "uniform sampling"),
    grade="proved",
    delta=0.02,
    quick_delta=0.1,
    unit="s²/r",
)
def time_averages(ctx: Context) -> Evidence:
    """The Poisson equation of x - ā is solved by φ, and the variance is 2 E φ(x - ā).

    Two labels with centres ±1 (s² = 1), from the generator and its moments.
    """
    return _polyak("never_repeat")


@time_averages.control("fresh draws, whose relaxation rate is half of it")
def _(ctx: Context) -> Evidence:
    return _polyak("fresh_draw")


@time_averages.route("sampled paths", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Exact averages over T = 100 of paths from ā at rest, the label stationary.

    What they are compared with is exact for this T (linear moment equations, 2.4 per
    cent below the limit).
    """
    centres = np.array([[-1.0], [0.0], [1.5], [2.5]])
    kappa, m, alpha, rate, end = 1.3, 0.7, 0.9, 2.0, 100.0
    process = StochasticGradientMomentumProcess(
        quadratic_sum(centres, kappa), UniformIndex(4, rate), m, alpha
    )
    mean, spread, r = centres.mean(), centres.var(), rate * 4 / 3
    start = SwitchingMomentumState(np.full(1, mean), np.zeros(1), None)

    def sample(seed: int, n: int) -> Any:
        run = simulate_skeletons(process, start, t1=end, key=seed, paths=n)
        average = np.asarray(run.time_average())[:, 0] - mean
        return end * average**2 * r / spread

    claimed = _variance_of_integral(kappa / m, alpha / m, r, end) * r / end
    return ctx.mean(sample, claimed, quantity="T Var of the average, r/s²")


def _variance_of_integral(k: float, a: float, r: float, end: float) -> float:
    """Var ∫ y for s² = 1, from rest: moments of (y, v, S) with each other and with ξ.

    y' = v, v' = -k(y - ξ) - a v, S' = y, and ξ decays at the rate r.
    """
    drift = np.array([[0, 1, 0], [-k, -a, 0], [1, 0, 0.0]])
    force = np.array([0, k, 0.0])
    eye = np.eye(3)
    whole = np.zeros((13, 13))  # E zzᵀ (9), E zξ (3), 1
    whole[:9, :9] = np.kron(drift, eye) + np.kron(eye, drift)
    whole[:9, 9:12] = np.kron(force[:, None], eye) + np.kron(eye, force[:, None])
    whole[9:12, 9:12] = drift - r * eye
    whole[9:12, 12] = force
    return float(expm(end * whole)[8, 12])
