"""Trajectories that agree exactly, that is up to rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flows.errors import BadInput
from proofs_check.evidence import Evidence
from proofs_check.relations import Exact, Grade, Real, Values

ROUNDING_FACTOR = 10.0
SEEN_FACTOR = 100.0


def exact(
    distance: Values,
    *,
    rounding: Real,
    moved: Real,
    delta: Real,
    **about: Any,
) -> Evidence:
    """D = max distance/scale is rounding: D <= R.

    The run with its constant moved by delta must come out beyond 100 R, so that a slip
    of an index or of a clock would have been seen; otherwise `undecided`.

    Args:
        distance: distances over the scale of the trajectory, any shape.
        rounding: R, see `rounding_allowance`.
        moved: largest distance over scale of the run with the constant moved by delta.
        delta: relative size of that move.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; D is delta where the moved run was seen, else infinite.

    Raises:
        BadInput: no distance, or a negative one.
    """
    distance = np.asarray(distance, float)
    if distance.size == 0 or np.any(distance < 0) or not rounding >= 0:
        raise BadInput("distances and the rounding allowance must be >= 0.")
    fault = "" if np.all(np.isfinite(distance)) else "a distance is not finite"
    largest = math.nan if fault else float(np.max(distance))
    seen = moved > SEEN_FACTOR * rounding
    data = {"kind": "curves", "rounding": float(rounding), "moved": float(moved)}
    if distance.ndim == 1:
        data["distance"] = distance
    return Evidence(
        **{
            "relation": Exact(),
            "measured": largest,
            "interval": (max(0.0, largest - rounding), largest + rounding),
            "detectable": float(delta) if seen else math.inf,
            "delta": delta,
            "grade": Grade.MEASURED,
            "fault": fault,
            **about,
            "data": {**data, **about.get("data", {})},
        }
    )


def rounding_allowance(changes: Values) -> float:
    """R = 10 x the largest change by rounding alone.

    Args:
        changes: largest distance over scale of each perturbed run: the start moved by
            one unit in the last place in 8 directions, and another order of summation.

    Returns:
        R.

    Raises:
        BadInput: no change given, or one that is not finite.
    """
    changes = np.asarray(changes, float)
    if changes.size == 0 or not np.all(np.isfinite(changes)):
        raise BadInput("rounding needs at least one finite change.")
    return ROUNDING_FACTOR * float(np.max(np.abs(changes)))


def relative_distance(
    first: Values, second: Values, scale: Values | None = None
) -> np.ndarray:
    """Distance over scale at each time: max over components of |first - second|/S.

    Args:
        first: trajectory, shape [times] or [times, components].
        second: trajectory at the same times, same shape.
        scale: S, a number or one for each component; the largest |second| if None.

    Returns:
        Distances, shape [times].

    Raises:
        BadInput: shapes that differ, or a scale that is not positive.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim not in (1, 2):
        raise BadInput(f"trajectories of one shape, not {first.shape}, {second.shape}.")
    units = np.asarray(np.max(np.abs(second)) if scale is None else scale, float)
    if not np.all(units > 0):
        raise BadInput("the scale of a distance must be positive.")
    gap = np.abs(first - second) / units
    return gap if gap.ndim == 1 else gap.max(axis=1)
