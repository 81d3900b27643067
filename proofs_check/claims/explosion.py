"""Explosion of Euler's method on a double well: probabilities without Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from discretize import Euler, NormTaming, TamedEuler, TransitionKernel
from flows import Scheme
from flows.problems import double_well
from proofs_check import decide
from proofs_check.claim import DIVERGED, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import euler_divergence, tamed_euler
from proofs_check.sampling import Effort
from sde import OverdampedLangevin, simulate

TIME = 50.0
ROWS = {
    (1.0, 0.25): 0.24288381101523,
    (1.0, 0.20): 0.026217311761804,
    (1.0, 0.30): 0.63302564785633,
    (2.0, 0.15): 0.06223183054998,
    (1.0, 0.10): 7.72016447413e-11,
}
"""(T, h) -> P(explosion by time 50) from X₀ = 0; σ = √(2T)."""
MAIN = ROWS[(1.0, 0.25)]
FLOOR = 1e3
"""Rounding units to which panels resolve a kernel (1e-11): a ladder stalls there."""
DIGITS = 1e-9
"""Relative rounding of the values written here."""
KILLED = 0.27941610303


def threshold(h: float) -> float:
    """R = √(1 + 2/h): beyond it the step without noise moves outwards."""
    return math.sqrt(1 + 2 / h)


def reach(temperature: float, h: float) -> float:
    """Eight standard deviations of a step beyond the threshold."""
    return threshold(h) + 8 * math.sqrt(2 * temperature * h)


def kernel(temperature: float, h: float, half: float, scheme: Scheme | None = None):
    """The transition kernel on [-half, half], dX = (X - X³) dt + √(2T) dB."""
    process = OverdampedLangevin(double_well(), temperature)
    box = (-half, half)
    return TransitionKernel(scheme or Euler(), process, h, box=box)


def _probability(ctx: Context, temperature: float, h: float) -> Evidence:
    at = kernel(temperature, h, reach(temperature, h))
    steps = round(TIME / h)
    found = at.ladder(lambda k: k.explosion_probability(0.0, steps))
    claimed = ROWS[(temperature, h)]
    return decide.equal(
        claimed,
        decide.ladder(found, condition=FLOOR, bias=DIGITS * claimed),
        delta=ctx.delta,
        quantity=f"T = {temperature:g}, h = {h:g}",
        note=f"{at.nodes.size} nodes; rate {at.escape_rate():.4g} a step",
    )


@claim(
    "langevin.explosion-probability",
    title="Euler's method explodes on a double well, with a probability that is exact",
    source=euler_divergence(
        "divergence of the moments; the probabilities are computed here"
    ),
    statement=r"P\bigl(|X_k| > R + 8\sigma\sqrt h\ \text{for a } k \le 50/h\bigr),\quad"
    r" X_{k+1} = X_k + h(X_k - X_k^3) + \sigma\sqrt h\,\xi_k,\ X_0 = 0,\ R ="
    r" \sqrt{1 + 2/h}",
    hypotheses=(r"$\sigma = \sqrt{2T}$", r"beyond the box $|X|$ grows for good"),
    relation=MAIN,
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    parameters={"time": TIME},
)
def explosion_probability(ctx: Context) -> Iterator[Evidence]:
    """The mass that leaves the box, by quadrature; from 10⁻¹⁰ to two in three.

    At h = 0.1 one path in thirteen thousand million explodes by then: no simulation
    shows it, and the moments are infinite in the limit all the same.
    """
    yield _probability(ctx, 1.0, 0.25)
    others = [(1.0, 0.10)]
    if ctx.full:
        others += [(1.0, 0.20), (1.0, 0.30), (2.0, 0.15)]
    for row in others:
        yield _probability(ctx, *row)
    if not ctx.full:  # a quick run leaves the routes out, and this one is cheap
        yield from trapezoid_probabilities(ctx)


@explosion_probability.control("killed at the threshold R itself", expected=KILLED)
def _(ctx: Context) -> Evidence:
    """From the threshold a path is thrown back half of the time."""
    h = 0.25
    at = kernel(1.0, h, threshold(h))
    found = at.ladder(lambda k: k.exit_probability(0.0, round(TIME / h)))
    return ctx.equal(decide.ladder(found, condition=FLOOR, bias=DIGITS))


# A second quadrature, which shares neither nodes, kernel nor step with the first.


def _transition(to: np.ndarray, mean: np.ndarray, deviation: float) -> np.ndarray:
    """The Gaussian density of the next state at `to`, one row a mean."""
    z = (to - mean[:, None]) / deviation
    return np.exp(-(z**2) / 2) / (deviation * math.sqrt(2 * math.pi))


def _explosion_by_trapezoid(temperature: float, h: float, nodes: int) -> float:
    """u_{k+1}(x) = ∫ k(y|x) u_k(y) dy backwards, with `nodes` nodes a unit.

    u_k(x) is the probability to leave the box within k steps from x: 1 outside it, and
    1 after a step where the mean lies 8.5 deviations outside. Only the other rows are
    integrals; their kernels vanish before the ends of the grid, so that the trapezoid
    rule converges faster than any power.
    """
    s, half = math.sqrt(2 * temperature * h), reach(temperature, h)
    n = math.ceil((half + 17 * s) * nodes)
    x = np.arange(-n, n + 1) / nodes
    mean = x + h * (x - x**3)
    u = np.where(
        np.abs(x) > half, 1.0, ndtr((mean - half) / s) + ndtr(-(mean + half) / s)
    )
    rows = (np.abs(x) <= half) & (np.abs(mean) <= half + 8.5 * s)
    matrix = _transition(x, mean[rows], s) / nodes
    for _ in range(round(TIME / h) - 1):
        u[rows] = matrix @ u
    return float(u[n])


def _killed_by_trapezoid(nodes: int) -> float:
    """P(|X_k| > R = 3 by time 50) at h = 1/4, with `nodes` and 2 `nodes` a unit.

    The probability to stay is cut off at ±R: one step of Richardson's extrapolation.
    """

    def gone(nodes: int) -> float:
        n, h, s = 3 * nodes, 0.25, math.sqrt(0.5)
        x = np.arange(-n, n + 1) / nodes
        matrix = _transition(x, x + h * (x - x**3), s) / nodes
        matrix[:, [0, -1]] /= 2
        stayed = np.ones(x.size)
        for _ in range(round(TIME / h)):
            stayed = matrix @ stayed
        return 1 - float(stayed[n])

    return (4 * gone(2 * nodes) - gone(nodes)) / 3


@explosion_probability.route("trapezoid rule", grade="measured")
def trapezoid_probabilities(ctx: Context) -> Iterator[Evidence]:
    """All the values written above, the control's too, on uniform grids."""
    for (temperature, h), claimed in ROWS.items():
        found = [_explosion_by_trapezoid(temperature, h, n) for n in (12, 16, 24)]
        yield decide.equal(
            claimed,
            decide.ladder(found, condition=FLOOR, bias=DIGITS * claimed),
            delta=ctx.delta,
            quantity=f"T = {temperature:g}, h = {h:g}",
            route="trapezoid rule",
        )
    found = [_killed_by_trapezoid(n) for n in (20, 40, 80)]
    yield decide.equal(
        KILLED,
        decide.ladder(found, condition=FLOOR, bias=DIGITS * KILLED),
        delta=ctx.delta,
        quantity="killed at R",
        route="trapezoid rule",
    )


@explosion_probability.route("Monte Carlo", grade="estimated", checks=4)
def _(ctx: Context) -> Iterator[Evidence]:
    """Independent paths; a sample is 1 where the path ended beyond the box.

    Bounded samples; delta is 2 to 10 % of the probability. Of the 10⁻¹⁰ at h = 0.1 a
    sample of this size would see nothing.
    """
    for (temperature, h), delta in (((1.0, 0.25), 0.02), ((1.0, 0.20), 0.1)):
        model = OverdampedLangevin(double_well(), temperature)
        half, steps = reach(temperature, h), round(TIME / h)

        def exploded(seed: int, n: int, model=model, h=h, half=half, steps=steps):
            run = simulate(
                model,
                jnp.zeros(1),
                t1=steps * h,
                scheme=Euler(),
                h=h,
                key=seed,
                paths=n,
            )
            final = np.asarray(run.final)[:, 0]
            return (~(np.abs(final) <= half)).astype(float)  # not finite counts

        yield ctx.mean(
            exploded,
            ROWS[(temperature, h)],
            delta=delta,
            effort=Effort(chunk=20_000),
            quantity=f"T = {temperature:g}, h = {h:g}",
        )


# Tamed Euler with the same noise stays.


SUPREMA = {0.1: 1.16060408680, 0.2: 1.34858138841, 0.3: 1.59013937037}


def _second_moment(ctx: Context, scheme: Scheme, h: float) -> Evidence:
    """The supremum of E X² over the steps to time 50, from 0; mass 1e-8 may leave."""
    steps = round(TIME / h)
    at = kernel(1.0, h, 9.0, scheme)
    if at.exit_probability(0.0, steps) > 1e-6:
        return ctx.diverged(SUPREMA[h], quantity=f"h = {h:g}")
    found = at.ladder(lambda k: k.expectations(np.square, 0.0, steps).max())
    return decide.equal(
        SUPREMA[h],
        decide.ladder(found, condition=FLOOR, bias=DIGITS * SUPREMA[h]),
        delta=ctx.delta,
        quantity=f"h = {h:g}",
    )


@claim(
    "langevin.tamed-euler-stays",
    title="Tamed Euler keeps its second moment where Euler's method explodes",
    source=tamed_euler("moment bounds; the suprema are computed here"),
    statement=r"\sup_{k \le 50/h} E X_k^2 < \infty,\qquad X_{k+1} = X_k +"
    r" \frac{h(X_k - X_k^3)}{1 + h|X_k - X_k^3|} + \sqrt{2h}\,\xi_k",
    hypotheses=(r"$T = 1$", r"$X_0 = 0$"),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
)
def tamed_euler_stays(ctx: Context) -> Iterator[Evidence]:
    """By quadrature. A supremum of noisy estimates would lie above the true one."""
    for h in ctx.choose([0.2], [0.2, 0.1, 0.3]):
        yield _second_moment(ctx, TamedEuler(NormTaming()), h)
    if not ctx.full:  # as above
        yield from trapezoid_suprema(ctx)


def _supremum_by_trapezoid(h: float, nodes: int) -> float:
    """The supremum of E X_k² to time 50, with `nodes` nodes a unit on [-12, 12].

    |b| has kinks at 0 and ±1, which are nodes: the error is O(nodes⁻⁴).
    """
    n = 12 * nodes
    x = np.arange(-n, n + 1) / nodes
    drift = x - x**3
    mean = x + h * drift / (1 + h * np.abs(drift))
    matrix = _transition(x, mean, math.sqrt(2 * h)).T / nodes
    density, largest = matrix[:, n] * nodes, 0.0
    for _ in range(round(TIME / h)):
        largest = max(largest, float(x**2 @ density) / nodes)
        density = matrix @ density
    return largest


@tamed_euler_stays.route("trapezoid rule", grade="measured")
def trapezoid_suprema(ctx: Context) -> Iterator[Evidence]:
    """The suprema on uniform grids, on a wider box than the panels have."""
    for h in ctx.choose([0.2], [0.2, 0.1, 0.3]):
        found = [_supremum_by_trapezoid(h, n) for n in (12, 16, 24)]
        yield decide.equal(
            SUPREMA[h],
            decide.ladder(found, condition=FLOOR, bias=DIGITS * SUPREMA[h]),
            delta=ctx.delta,
            quantity=f"h = {h:g}",
            route="trapezoid rule",
        )


@tamed_euler_stays.control("Euler's method without taming", expected=DIVERGED)
def _(ctx: Context) -> Evidence:
    return _second_moment(ctx, Euler(), 0.2)
