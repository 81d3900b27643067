r"""Orders of convergence: noise-free and strong errors, and leading constants.

All orders share the zone rule: the interval of the order inside (p - cell, p + cell)
holds, wholly outside is refuted. Weak (signed, noisy) errors are in `weak`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from discretize.order_fit import (
    OrderEstimate,
    OrderFit,
    extrapolate_constant,
    fit_order,
    strong_slope,
)
from flows.errors import BadInput
from proofs_check.decide.critical import LEVEL, POWER_Z, normal
from proofs_check.decide.equal import ROUNDING_ULPS, equal
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.relations import Grade, Order, Real, Values, Verdict

DELTA_CELLS = 3.0  # an interval that fits into its cell has D < 3 cells


def order(
    p: Real,
    h: Values,
    errors: Values,
    *,
    floor: Values = 0.0,
    q: Real = 1,
    cell: Real = 0.25,
    **about: Any,
) -> Evidence:
    """An error known to 0.1 % is O(h^p).

    The extrapolated order with half-width (`discretize.order_fit`) is judged by the
    zone rule with 4, 5, ... levels in turn; an answer counts when its slopes contract
    and the level added last gave the same answer as the one before.

    Args:
        p: claimed order.
        h: steps, decreasing by one ratio, shape [levels] (5 to 8 levels).
        errors: errors at these steps, shape [levels].
        floor: absolute uncertainty of the errors; levels below 100 floors are left out.
        q: step of the error's relative expansion in powers of h (1 or 1/2).
        cell: half the distance to the nearest rival order.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence: measured order, its interval, D = cell + 2 half-widths (units of
        order).
    """
    relation = Order(p, cell)
    fit = fit_order(h, errors, floor, float(q))
    estimate, obstacle = _confirmed(relation, fit)
    half = estimate.half_width if estimate else math.inf
    slope = estimate.slope if estimate else math.nan
    record = {
        "kind": "order",
        "h": np.asarray(h, float),
        "errors": np.asarray(errors, float),
        "kept": fit.kept,
        "local_slopes": fit.local_slopes,
        "p": float(p),
        "q": float(q),
    }
    return Evidence(
        **{
            "relation": relation,
            "measured": slope if estimate else "no order",
            "interval": estimate.interval if estimate else None,
            "detectable": cell + 2 * half,
            "delta": DELTA_CELLS * cell,
            "grade": Grade.MEASURED,
            "obstacle": obstacle,
            **about,
            "data": {**record, **about.get("data", {})},
        }
    )


def _confirmed(relation: Order, fit: OrderFit) -> tuple[OrderEstimate | None, str]:
    """The finest estimate that repeats the answer of the one before it.

    The finest, since a ladder that agreed with itself on coarse levels may have been
    short of its asymptotic range.
    """
    if not fit.estimates:
        return None, fit.reason
    answers = [_zone(relation, e) for e in fit.estimates]
    for k in range(len(answers) - 1, 0, -1):
        if answers[k] is answers[k - 1] is not Verdict.UNDECIDED:
            return fit.estimates[k], ""
    reason = "no two neighbouring numbers of levels give the same answer"
    return fit.estimates[-1], f"{reason}; {fit.reason}" if fit.reason else reason


def _zone(relation: Order, estimate: OrderEstimate) -> Verdict:
    if not estimate.contracting:
        return Verdict.UNDECIDED
    return relation.judge(estimate.slope, estimate.interval, 0.0, 0.0)


def leading_constant(
    claimed: Real,
    h: Values,
    errors: Values,
    p: Real,
    *,
    delta: Real = 0.05,
    floor: Values = 0.0,
    q: Real = 1,
    scale: Real | None = None,
    **about: Any,
) -> Evidence:
    """Claim errors = C h^p (1 + O(h^q)) with C = claimed.

    e_j/h_j^p is extrapolated in h^q; b is its last move, plus the uncertainty of the
    two finest levels carried through the weights.

    Args:
        claimed: C, in units of the error per h^p.
        h: steps, decreasing by one ratio, shape [levels], at least three kept.
        errors: errors, of either sign, shape [levels].
        p: the order, taken as known.
        delta: relative error of C that must be detectable.
        floor: absolute uncertainty of the errors; levels below 100 floors are left out.
        q: step of the relative expansion in powers of h.
        scale: S; |claimed| if None.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence about C; `data["kind"]` is "constant".
    """
    h = np.asarray(h, float)
    errors = np.asarray(errors, float)
    fit = fit_order(h, np.abs(errors), floor, float(q))
    n = int(fit.kept.sum())
    data = {"kind": "constant", "h": h, "errors": errors, "p": float(p), "q": float(q)}
    data = {**data, "kept": fit.kept, "scaled": errors / h ** float(p)}
    about["data"] = {**data, **about.get("data", {})}
    if n < 3:
        missing = Measurement(
            float(data["scaled"][-1]),
            bias=math.inf,
            obstacle=f"{n} levels above the floor, 3 are needed",
        )
        return equal(claimed, missing, delta=delta, scale=scale, **about)
    constants = extrapolate_constant(h[:n], errors[:n], float(p), float(q))
    moves = np.abs(np.diff(constants))
    weight = 1 / ((h[0] / h[1]) ** float(q) - 1)
    floors = np.broadcast_to(np.asarray(floor, float), h.shape)[n - 2 : n]
    rounding = float(
        np.dot([weight, 1 + weight], floors / h[n - 2 : n] ** float(p))
    )  # fmt: skip
    obstacle = ""
    if len(moves) > 1 and moves[-1] > max(moves[-2], 4 * rounding):
        obstacle = f"the constant moves away: {moves[-2]:.3g}, then {moves[-1]:.3g}"
    rounding += ROUNDING_ULPS * np.finfo(float).eps * abs(float(constants[-1]))
    measured = Measurement(
        float(constants[-1]), bias=float(moves[-1]) + rounding, obstacle=obstacle
    )
    return equal(claimed, measured, delta=delta, scale=scale, **about)


def strong_order(
    p: Real,
    h: Values,
    errors: Values,
    *,
    floor: Real = 0.0,
    q: Real = 1,
    cell: Real = 0.25,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    r"""Root-mean-square errors on shared paths are O(h^p).

    With y_j = log_r RMS_i e_ij, the slope p^ is the least-squares slope without the
    coarsest level, p' the one without the finest, and

        half = z se + 1.5 |p^ - p'|/(r^q - 1) + sum_j |w_j| floor/(ln r RMS_j).

    Path i has the influence sum_j w_j e_ij^2/(2 ln r mean_i e_ij^2) on the slope
    sum_j w_j y_j; se is the standard deviation of the influences over sqrt n, so the
    correlation between levels is inside.

    Args:
        p: claimed strong order.
        h: steps, decreasing by one ratio, shape [levels], at least 4.
        errors: sup-over-time (or final) error of every path at every level on the
            same noise, shape [paths, levels].
        floor: root mean square error of the reference, in the unit of the errors.
        q: step of the relative expansion in powers of h.
        cell: half the distance to the nearest rival order.
        alpha: level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; `data["sufficient"]` says whether half + 2.33 se <= cell/1.25,
        until which paths should be added.

    Raises:
        BadInput: shapes that do not fit, steps that are no ladder.
    """
    h, errors = np.asarray(h, float), np.asarray(errors, float)
    if errors.ndim != 2 or errors.shape[1] != h.size or h.size < 4 or len(errors) < 2:
        raise BadInput(
            f"errors [paths, levels] of at least 2 paths on at least 4 levels, not "
            f"{errors.shape} for {h.size} steps."
        )
    relation = Order(p, cell)
    mean_square = np.mean(errors**2, axis=0)
    finite = bool(np.all(np.isfinite(errors)))
    common = {"relation": relation, "delta": DELTA_CELLS * cell, **about}
    common["grade"] = common.get("grade", Grade.ESTIMATED)
    if not (finite and np.all(mean_square > 0)):
        lost = int(np.sum(~np.all(np.isfinite(errors), axis=1)))
        why = (
            f"{lost} of {len(errors)} paths are not finite" if lost else "errors are 0"
        )
        return Evidence(
            measured="no order", interval=None, detectable=math.inf, fault=why, **common
        )
    fit_order(h, np.sqrt(mean_square))  # refuses steps that are no ladder
    slope, bias, se = strong_slope(h, errors, float(q), float(floor))
    half = normal(alpha) * se + bias
    data = {
        "kind": "order",
        "h": h,
        "errors": np.sqrt(mean_square),
        "p": float(p),
        "standard_error": se,
        "bias": bias,
        "samples": len(errors),
        "sufficient": bool(half + POWER_Z * se <= cell / 1.25),
    }
    common["data"] = {**data, **about.get("data", {})}
    return Evidence(
        measured=slope,
        interval=(slope - half, slope + half),
        detectable=cell + 2 * bias + (normal(alpha) + POWER_Z) * se,
        **common,
    )
