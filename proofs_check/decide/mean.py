"""Monte-Carlo means: from samples to m, se, skewness, and to a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.errors import BadInput
from proofs_check.decide.critical import LEVEL, POWER_Z, binomial, level
from proofs_check.decide.equal import evidence_of
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.relations import Equal, Grade, Range, Real, UpperBound, Values

LOOKS = 4
BATCHES = 64
BATCH_TIMES = 50


@dataclass(frozen=True)
class Moments:
    """Streaming sums of a sample about a fixed origin.

    Attributes:
        origin: the number subtracted before summing (near the mean, for accuracy).
        n: number of samples.
        sums: sums of the first three powers of (x - origin).
    """

    origin: Real = 0.0
    n: int = 0
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def add(self, values: Values) -> Moments:
        """The moments with further samples.

        Args:
            values: finite samples, any shape.

        Returns:
            New moments.

        Raises:
            BadInput: a sample is not finite.
        """
        x = np.asarray(values, float).ravel() - self.origin
        if not np.all(np.isfinite(x)):
            raise BadInput(f"{np.sum(~np.isfinite(x))} of {x.size} samples not finite.")
        added = (x.sum(), (x**2).sum(), (x**3).sum())
        s1, s2, s3 = (float(a + b) for a, b in zip(self.sums, added, strict=True))
        return Moments(self.origin, self.n + x.size, (s1, s2, s3))

    @property
    def mean(self) -> float:
        """Sample mean."""
        return self.origin + self.sums[0] / self.n

    @property
    def variance(self) -> float:
        """Unbiased sample variance."""
        central = self.sums[1] - self.sums[0] ** 2 / self.n
        return max(0.0, central / (self.n - 1))

    @property
    def skewness(self) -> float:
        """Third standardised moment (0 without spread)."""
        m1, m2, m3 = (s / self.n for s in self.sums)
        variance = m2 - m1**2
        if variance <= 0:
            return 0.0
        return (m3 - 3 * m1 * m2 + 2 * m1**3) / variance**1.5

    def measurement(self, bias: Real = 0.0) -> Measurement:
        """m, se and skewness; b is the given bias plus the rounding of the mean.

        Args:
            bias: bias allowance, in the unit of the samples.

        Returns:
            The measurement; samples without spread carry an obstacle.
        """
        se = math.sqrt(self.variance / self.n)
        rounding = 4 * np.finfo(float).eps * abs(self.mean)
        obstacle = ""
        if se == 0:
            obstacle = f"{self.n} samples without spread: compare them exactly"
        return Measurement(
            self.mean, se, bias + rounding, self.n, self.skewness, obstacle=obstacle
        )


def sample_moments(values: Values, *, bias: Real = 0.0) -> Measurement:
    """m, se and skewness of independent samples with four moments.

    Args:
        values: independent samples, shape [n], n >= 2.
        bias: bias allowance (step, burn-in), in the unit of the samples.

    Returns:
        The measurement; a sample that is not finite is a fault, never dropped.
    """
    x = np.asarray(values, float).ravel()
    lost = int(np.sum(~np.isfinite(x)))
    if lost or x.size < 2:
        fault = f"{lost} of {x.size} samples are not finite" if lost else "no spread"
        return Measurement(math.nan, bias=bias, samples=x.size, fault=fault)
    return Moments(float(x[0])).add(x).measurement(bias)


def mean(
    relation: Equal | UpperBound | Range | float | int,
    measurement: Measurement,
    *,
    delta: Real,
    alpha: Real = LEVEL,
    looks: int = LOOKS,
    comparisons: int = 1,
    **about: Any,
) -> Evidence:
    """A mean against its claim, at one of `looks` looks that may refute.

    z is widened to z + |skew| (2 z^2 + 1)/(6 sqrt n); while that exceeds 1.15 z no
    answer is given.

    Args:
        relation: the claim; a number c stands for `Equal(c)`.
        measurement: see `sample_moments`, `replica_mean`, `batch_mean`.
        delta: relative error that must be detectable.
        alpha: level of the whole check.
        looks: J, number of looks at the growing sample that may refute.
        comparisons: k, number of means in the check.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.
    """
    if isinstance(relation, (float, int)):
        relation = Equal(relation)
    each = level(comparisons, looks, float(alpha))
    return evidence_of(relation, measurement, delta=delta, alpha=each, **about)


def replica_mean(values: Values, *, bias: Real = 0.0) -> Measurement:
    """Mean of independent replicas of a time average, with the t quantile.

    Args:
        values: one time average a replica, shape [replicas], at least 64.
        bias: allowance for burn-in and step, in the unit of the values.

    Returns:
        The measurement; fewer than 64 replicas are an obstacle.
    """
    x = np.asarray(values, float).ravel()
    found = sample_moments(x, bias=bias)
    obstacle = found.obstacle
    if x.size < BATCHES:
        obstacle = f"{x.size} replicas; {BATCHES} are needed"
    return Measurement(
        found.value,
        found.standard_error,
        found.bias,
        dof=max(x.size - 1, 1),
        obstacle=obstacle,
        fault=found.fault,
    )


def batch_mean(
    chain: Values, correlation_steps: Real, *, bias: Real = 0.0
) -> Measurement:
    """Mean of one stationary chain by 64 batches of at least 50 correlation times.

    Args:
        chain: the observable along the chain after burn-in, shape [steps].
        correlation_steps: integrated correlation time, in steps of the chain.
        bias: allowance for burn-in and step.

    Returns:
        The measurement with 63 degrees of freedom; shorter batches are an obstacle.
    """
    x = np.asarray(chain, float).ravel()
    length = x.size // BATCHES
    needed = math.ceil(BATCH_TIMES * correlation_steps)
    if length < max(needed, 1):
        obstacle = f"batches of {length} steps; {needed} are needed"
        return Measurement(math.nan, math.inf, bias, dof=63, obstacle=obstacle)
    batches = x[x.size - BATCHES * length :].reshape(BATCHES, length)
    return replica_mean(batches.mean(axis=1), bias=bias)


def median_of_means(
    values: Values, *, bias: Real = 0.0, alpha: Real = LEVEL
) -> Measurement:
    """Mean of a law with two moments only: median of 8 ln(1/alpha) block means.

    |median - E X| <= sigma sqrt(32 ln(1/alpha)/n) with probability 1 - alpha (Devroye,
    Lerasle, Lugosi, Oliveira, Annals of Statistics 44, 2016, arXiv:1509.05845), with
    sigma estimated from the sample.

    Args:
        values: independent samples, shape [n].
        bias: further allowance.
        alpha: level of this comparison.

    Returns:
        A measurement whose whole width is in b; too few samples are an obstacle.
    """
    x = np.asarray(values, float).ravel()
    if not np.all(np.isfinite(x)):
        fault = f"{np.sum(~np.isfinite(x))} of {x.size} samples are not finite"
        return Measurement(math.nan, fault=fault, grade=Grade.ESTIMATED)
    blocks = math.ceil(8 * math.log(1 / alpha))
    length = x.size // blocks
    if length < 2:
        obstacle = f"{x.size} samples for {blocks} blocks"
        return Measurement(math.nan, math.inf, obstacle=obstacle)
    kept = x[: blocks * length]
    m = float(np.median(kept.reshape(blocks, length).mean(axis=1)))
    half = float(np.std(kept, ddof=1)) * math.sqrt(32 * math.log(1 / alpha) / kept.size)
    return Measurement(m, bias=bias + half, samples=kept.size, grade=Grade.ESTIMATED)


def proportion(
    claimed: Real,
    successes: int,
    trials: int,
    *,
    delta: Real,
    scale: Real | None = None,
    bias: Real = 0.0,
    alpha: Real = LEVEL,
    looks: int = 1,
    **about: Any,
) -> Evidence:
    """A probability (of explosion, of a collision) by the Clopper-Pearson interval.

    D = (width of the interval/2 + 2.33 se + 2 b)/S, with se at the end of the interval
    nearest 1/2.

    Args:
        claimed: the probability.
        successes: number of events.
        trials: number of independent trials.
        delta: relative error that must be detectable.
        scale: S; the claimed probability if None.
        bias: allowance for the step.
        alpha: level of the whole check.
        looks: number of looks at the growing sample that may refute.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.
    """
    relation = Equal(claimed, scale)
    lo, hi = binomial(successes, trials, level(1, looks, float(alpha)))
    worst = min(max(lo, 0.5), hi) if lo <= 0.5 else lo
    se = math.sqrt(worst * (1 - worst) / trials)
    width = max(hi - successes / trials, successes / trials - lo) + POWER_Z * se
    data = {"samples": trials, "bias": float(bias), "standard_error": se}
    return Evidence(
        **{
            "relation": relation,
            "measured": successes / trials,
            "interval": (lo - bias, hi + bias),
            "detectable": (width + 2 * bias) / relation.unit_of_error,
            "delta": delta,
            "grade": Grade.ESTIMATED,
            **about,
            "data": {**data, **about.get("data", {})},
        }
    )
