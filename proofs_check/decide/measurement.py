"""A measured number with its uncertainty, and the common form of a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.errors import BadInput
from proofs_check.decide.critical import (
    LEVEL,
    POWER_Z,
    SKEW_LIMIT,
    normal,
    skewed,
    student,
)
from proofs_check.relations import (
    Equal,
    Grade,
    Interval,
    LowerBound,
    Range,
    Real,
    UpperBound,
)


@dataclass(frozen=True)
class Measurement:
    """m with its standard error and its bias allowance.

    Attributes:
        value: m.
        standard_error: se, 0 for a deterministic value; unit of m.
        bias: b >= 0, bound of what is not luck (step, burn-in, reference, rounding);
            unit of m.
        samples: number of independent samples behind se (0: deterministic).
        skewness: third standardised moment of one sample.
        dof: degrees of freedom if se comes from few replicas (t quantile), or None.
        grade: how it was found; None means `estimated` if se > 0, else `measured`.
        obstacle: why it may not be used for an answer yet, or "".
        fault: why it cannot be trusted at all, or "".
    """

    value: Real
    standard_error: Real = 0.0
    bias: Real = 0.0
    samples: int = 0
    skewness: Real = 0.0
    dof: Real | None = None
    grade: Grade | None = None
    obstacle: str = ""
    fault: str = ""

    def __post_init__(self) -> None:
        if self.standard_error < 0 or self.bias < 0:
            raise BadInput("standard error and bias allowance must be >= 0.")

    def quantile(self, alpha: Real, sides: int) -> float:
        """z, or t with few replicas, widened for skewness.

        Args:
            alpha: level of one comparison.
            sides: 1 or 2.

        Returns:
            The multiplier of the standard error.
        """
        if self.dof is None:
            z = normal(alpha, sides)
        else:
            z = student(alpha, self.dof, sides)
        if self.samples and self.skewness:
            z = skewed(z, self.skewness, self.samples)
        return z

    def interval(self, alpha: Real = LEVEL, sides: int = 2) -> Interval:
        """I = [m - z se - b, m + z se + b].

        Args:
            alpha: level of one comparison.
            sides: 2, or 1 for a bound.

        Returns:
            The interval, in the unit of m.
        """
        half = self.bias
        if self.standard_error:
            half += self.quantile(alpha, sides) * self.standard_error
        return self.value - half, self.value + half

    def width(self, alpha: Real = LEVEL, sides: int = 2) -> float:
        """Width z se + 2.33 se + 2 b: an error of this size is refuted with power 0.99.

        Args:
            alpha: level of one comparison.
            sides: 2, or 1 for a bound.

        Returns:
            The width, in the unit of m; divided by S it is D.
        """
        se = self.standard_error
        z = self.quantile(alpha, sides) if se else 0.0
        return float((z + POWER_Z) * se + 2 * self.bias)

    def skew_obstacle(self, alpha: Real, sides: int) -> str:
        """Why the normal approximation is not good enough yet, or ""."""
        if not (self.standard_error and self.samples and self.skewness):
            return ""
        z = normal(alpha, sides)
        if skewed(z, self.skewness, self.samples) <= SKEW_LIMIT * z:
            return ""
        return (
            f"skewness {self.skewness:.3g} is too large for {self.samples} samples at "
            f"this level"
        )


def fields(
    relation: Equal | UpperBound | Range,
    measurement: Measurement,
    delta: Real,
    alpha: Real,
) -> dict[str, Any]:
    """The fields of the evidence that `measurement` gives about `relation`.

    Args:
        relation: equality, bound (one-sided quantile) or range.
        measurement: m, se, b.
        delta: relative error to detect.
        alpha: level of one comparison.

    Returns:
        Keyword arguments of `Evidence`; `data` holds se and b.
    """
    bound = isinstance(relation, UpperBound)
    sides = 1 if bound else 2
    interval = measurement.interval(alpha, sides)
    detectable = measurement.width(alpha, sides) / relation.unit_of_error
    if bound:
        # the slack: how much smaller a bound would still not have been refuted
        sign = -1 if isinstance(relation, LowerBound) else 1
        edge = interval[0] if sign > 0 else interval[1]
        gap = sign * (relation.bound - edge) + POWER_Z * measurement.standard_error
        detectable = max(0.0, gap) / relation.unit_of_error
    grade = measurement.grade
    if grade is None:
        grade = Grade.ESTIMATED if measurement.standard_error else Grade.MEASURED
    return {
        "relation": relation,
        "measured": measurement.value,
        "interval": interval,
        "detectable": detectable,
        "delta": delta,
        "grade": grade,
        "obstacle": measurement.obstacle or measurement.skew_obstacle(alpha, sides),
        "fault": measurement.fault,
        "data": {
            "standard_error": measurement.standard_error,
            "bias": measurement.bias,
            "samples": measurement.samples,
            "level": alpha,
        },
    }
