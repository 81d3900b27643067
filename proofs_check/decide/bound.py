"""One-sided bounds: a theorem's B, with the slack that was found."""

from __future__ import annotations

from typing import Any

from proofs_check.decide.critical import LEVEL
from proofs_check.decide.equal import evidence_of
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.relations import LowerBound, Real, UpperBound

LOOSE = 10.0


def upper_bound(
    bound: Real,
    measurement: Measurement,
    *,
    delta: Real,
    scale: Real | None = None,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Claim m <= B. Refuted: lo > B. Holds: hi <= B + delta S.

    The interval is one-sided at either end; D = (B - lo + 2.33 se)/S is the slack:
    a bound smaller by D S would have been refuted. Finitely many instances do not
    prove a supremum: name the ones tried in `note`.

    Args:
        bound: B, in the unit of the measurement.
        measurement: m, se, b of the worst instance.
        delta: relative excess that is allowed for uncertainty.
        scale: S; |bound| if None.
        alpha: one-sided level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; a slack above 10 is said in words in its note.
    """
    relation = UpperBound(bound, scale)
    return _with_slack(relation, measurement, delta, alpha, about)


def lower_bound(
    bound: Real,
    measurement: Measurement,
    *,
    delta: Real,
    scale: Real | None = None,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Claim m >= B. Refuted: hi < B. Holds: lo >= B - delta S.

    Args:
        bound: B, in the unit of the measurement.
        measurement: m, se, b of the worst instance.
        delta: relative shortfall that is allowed for uncertainty.
        scale: S; |bound| if None.
        alpha: one-sided level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.
    """
    relation = LowerBound(bound, scale)
    return _with_slack(relation, measurement, delta, alpha, about)


def _with_slack(relation, measurement, delta, alpha, about) -> Evidence:
    upper = type(relation) is UpperBound
    lo, hi = measurement.interval(alpha, sides=1)
    # how many times smaller (larger, for a lower bound) B could be unnoticed
    larger, smaller = (relation.bound, hi) if upper else (lo, relation.bound)
    if 0 < LOOSE * smaller < larger or (smaller <= 0 < larger and relation.bound != 0):
        size = "smaller" if upper else "larger"
        remark = f"would not have noticed a bound {LOOSE:g} times {size}"
        note = about.get("note", "")
        about = {**about, "note": f"{note}; {remark}" if note else remark}
    return evidence_of(relation, measurement, delta=delta, alpha=alpha, **about)
