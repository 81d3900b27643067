"""Equality and ranges, and the measurements that are not luck: ladders, enclosures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flows.errors import BadInput
from proofs_check.decide.critical import LEVEL
from proofs_check.decide.measurement import Measurement, fields
from proofs_check.evidence import Evidence
from proofs_check.relations import Equal, Grade, Range, Real, UpperBound

ROUNDING_ULPS = 50.0


def evidence_of(
    relation: Equal | UpperBound | Range,
    measurement: Measurement,
    *,
    delta: Real,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """The common form: I = m +- (z se + b), D = (z se + 2.33 se + 2 b)/S.

    Args:
        relation: `Equal`, `UpperBound`, `LowerBound` or `Range`.
        measurement: m, se, b.
        delta: relative error that must be detectable.
        alpha: level of this comparison (`critical.level` divides it).
        **about: further fields of the evidence: unit, route, note, data, quantity.

    Returns:
        The evidence; `about["data"]` is merged over standard error, bias, samples.
    """
    record = fields(relation, measurement, delta, alpha)
    record["data"] = {**record["data"], **about.pop("data", {})}
    return Evidence(**{**record, **about})


def equal(
    claimed: Real,
    measurement: Measurement,
    *,
    delta: Real,
    scale: Real | None = None,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Claim m = c. Refuted: c outside I; holds: c inside, and D <= delta.

    Args:
        claimed: c, in the unit of the measurement.
        measurement: m, se, b (see `ladder`, `enclosure`, `sample_moments`).
        delta: relative error that must be detectable.
        scale: S; |claimed| if None.
        alpha: level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.
    """
    return evidence_of(
        Equal(claimed, scale), measurement, delta=delta, alpha=alpha, **about
    )


def within(
    low: Real,
    high: Real,
    measurement: Measurement,
    *,
    delta: Real,
    scale: Real | None = None,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Claim low <= m <= high. Refuted: I misses it; holds: I meets it, D <= delta.

    Args:
        low: A.
        high: B >= A.
        measurement: m, se, b.
        delta: relative error that must be detectable at either end.
        scale: S; max(|low|, |high|) if None.
        alpha: level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.
    """
    return evidence_of(
        Range(low, high, scale), measurement, delta=delta, alpha=alpha, **about
    )


def ladder(
    values: Sequence[Real] | np.ndarray,
    *,
    condition: Real = 1.0,
    further: Sequence[Sequence[Real]] = (),
    bias: Real = 0.0,
) -> Measurement:
    """A deterministic value from runs of decreasing tolerance, or step.

    m = m3 and b = max(|m2 - m3|, 50 eps cond |m|), an upper bound of the error when
    each rung at least halves it; so |m2 - m3| <= |m1 - m2|/2 is required (or both
    differences at rounding). Each further ladder (time, grid, dimension) adds its b.

    Args:
        values: at least three values, coarsest first; the last three count.
        condition: condition number that multiplies rounding.
        further: ladders of truncations, each of at least three values.
        bias: a further allowance, added to b.

    Returns:
        The measurement; its obstacle names the ladder that does not converge.

    Raises:
        BadInput: fewer than three values.
    """
    total, obstacle, fault = float(bias), "", ""
    for number, rungs in enumerate([values, *further]):
        if len(rungs) < 3:
            raise BadInput(f"a ladder has at least three values, not {len(rungs)}.")
        m1, m2, m3 = (float(x) for x in list(rungs)[-3:])
        if not all(math.isfinite(x) for x in (m1, m2, m3)):
            fault = f"ladder {number} holds a value that is not finite"
            break
        rounding = ROUNDING_ULPS * np.finfo(float).eps * condition * abs(m3)
        move, before = abs(m2 - m3), abs(m1 - m2)
        if move > max(before / 2, rounding):
            obstacle = (
                f"ladder {number} does not converge: moves {before:.3g}, {move:.3g}"
            )
        total += max(move, rounding)
    value = float(list(values)[-1])
    return Measurement(value, bias=total, obstacle=obstacle, fault=fault)


def enclosure(low: Real, high: Real) -> Measurement:
    """A rigorous enclosure [low, high]: m its midpoint, b its radius.

    Args:
        low: certified lower end.
        high: certified upper end.

    Returns:
        A `certified` measurement.

    Raises:
        BadInput: an empty or unbounded enclosure.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise BadInput(f"[{low}, {high}] is no bounded enclosure.")
    middle = 0.5 * (low + high)
    # rounding of the midpoint must not make the enclosure smaller
    radius = math.nextafter(max(high - middle, middle - low), math.inf)
    return Measurement(middle, bias=radius, grade=Grade.CERTIFIED)
