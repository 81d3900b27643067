"""Thresholds of a parameter: where a growth rate changes its sign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.errors import BadInput
from proofs_check.decide.critical import LEVEL, level, normal, student
from proofs_check.evidence import Evidence
from proofs_check.relations import Grade, Real, Threshold

SIDE_Z = 2.58


@dataclass(frozen=True)
class GrowthRate:
    """The growth rate measured at one value of the parameter.

    Attributes:
        parameter: the parameter's value (its own unit).
        rate: g, per unit of time, over the last half of the window.
        standard_error: over replicas; 0 for a deterministic rate.
        bias: b, 2 |g(half) - g(mid-half)| for what is left of the transient.
        dof: replicas - 1 for the t quantile, or None.
    """

    parameter: Real
    rate: Real
    standard_error: Real = 0.0
    bias: Real = 0.0
    dof: Real | None = None

    def sign(self, alpha: Real = LEVEL) -> int:
        """+1 or -1 where |g| > z se + b, 0 where it is not certain.

        Args:
            alpha: two-sided level of this comparison.

        Returns:
            The certain sign, or 0.
        """
        z = normal(alpha) if self.dof is None else student(alpha, self.dof)
        half = self.bias + (z * self.standard_error if self.standard_error else 0.0)
        if not abs(self.rate) > half:
            return 0
        return 1 if self.rate > 0 else -1


def threshold(
    claimed: Real,
    rates: Sequence[GrowthRate],
    *,
    delta: Real,
    rising: bool = True,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """The rate is negative below c and positive above it (`rising`), or the reverse.

    The bracket runs from the last parameter with a certain sign of the lower side to
    the first one with a certain sign of the upper side; without one it is unbounded.
    With the rates at c(1 - delta/2) and c(1 + delta/2): both certain and right gives a
    bracket of relative width delta around c and holds; one certain and wrong puts c
    outside and is refuted; anything else is undecided. Rates at further parameters
    (bisection) can only narrow the bracket.

    Args:
        claimed: c, in the unit of the parameter, not 0.
        rates: growth rates at two or more parameters.
        delta: relative width of the bracket.
        rising: whether the rate grows through 0 as the parameter grows.
        alpha: level of the whole check, shared by the noisy rates.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; its interval is the bracket (its ends cross, an empty bracket,
        where both signs are wrong).

    Raises:
        BadInput: fewer than two rates, or none on one side of c.
    """
    points = sorted(rates, key=lambda g: g.parameter)
    if len(points) < 2 or not points[0].parameter < claimed < points[-1].parameter:
        raise BadInput(f"rates on both sides of {claimed} are needed, at least two.")
    relation = Threshold(claimed)
    noisy = sum(g.standard_error > 0 for g in points)
    each = level(max(noisy, 1), 1, float(alpha))
    signs = [g.sign(each) * (1 if rising else -1) for g in points]
    below = [g.parameter for g, s in zip(points, signs, strict=True) if s < 0]
    above = [g.parameter for g, s in zip(points, signs, strict=True) if s > 0]
    lo = max(below, default=-math.inf)
    hi = min(above, default=math.inf)
    fault = ""
    if any(math.isnan(g.rate) for g in points):
        fault = "a growth rate is NaN"
    data = {
        "kind": "threshold",
        "parameter": [float(g.parameter) for g in points],
        "rate": [float(g.rate) for g in points],
        "standard_error": [float(g.standard_error) for g in points],
        "bias": [float(g.bias) for g in points],
        "sign": signs,
    }
    return Evidence(
        **{
            "relation": relation,
            "measured": 0.5 * (lo + hi) if math.isfinite(hi - lo) else "no bracket",
            "interval": (lo, hi),
            "detectable": max(0.0, hi - lo) / relation.unit_of_error,
            "delta": delta,
            "grade": Grade.ESTIMATED if noisy else Grade.MEASURED,
            "fault": fault,
            **about,
            "data": {**data, **about.get("data", {})},
        }
    )


def bracket_ends(claimed: Real, delta: Real) -> tuple[float, float]:
    """c(1 - delta/2) and c(1 + delta/2): where the rates are to be measured.

    Args:
        claimed: c.
        delta: relative width of the bracket.

    Returns:
        The two parameters, smaller first.
    """
    ends = claimed * (1 - delta / 2), claimed * (1 + delta / 2)
    return (ends[0], ends[1]) if ends[0] < ends[1] else (ends[1], ends[0])


def samples_per_side(
    sigma: Real, slope: Real, claimed: Real, delta: Real, alpha: Real = LEVEL
) -> int:
    """((z + 2.58) sigma_g / (|g'| c delta/2))^2, rounded up.

    Args:
        sigma: standard deviation of the rate of one replica.
        slope: g', derivative of the rate in the parameter at c.
        claimed: c.
        delta: relative width of the bracket.
        alpha: level of the whole check (two noisy rates).

    Returns:
        Replicas on each side that make both signs certain.
    """
    room = abs(slope * claimed) * delta / 2
    return max(2, math.ceil(((normal(alpha / 2) + SIDE_Z) * sigma / room) ** 2))
