"""Laws of independent final states: distances of distribution functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flows.errors import BadInput
from proofs_check.decide.critical import LEVEL, dkw
from proofs_check.evidence import Evidence
from proofs_check.relations import Grade, Law, Real, Values

MISS = 0.01


def law(
    name: str,
    samples: Values,
    cdf: Callable[[np.ndarray], Values],
    *,
    delta: Real,
    left_cdf: Callable[[np.ndarray], Values] | None = None,
    bias: Real = 0.0,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Independent samples follow F: D_n = sup|F_n - F| <= eps + b.

    eps = sqrt(ln(2/alpha)/(2n)) (Dvoretzky-Kiefer-Wolfowitz, Massart's constant),
    valid for every n and F. Detectable: eps_alpha + eps_0.01 + 2 b.

    Args:
        name: name of the law, for the record.
        samples: independent final states, shape [n] (chains: thin, or use replicas).
        cdf: F, vectorised and right-continuous.
        delta: sup distance of distribution functions that must be detectable.
        left_cdf: F(x-) where F has atoms; F if None.
        bias: sup distance between the simulated law and the exact one (step).
        alpha: level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; its interval encloses the distance of the laws.
    """
    x = np.sort(np.asarray(samples, float).ravel())
    data = {"kind": "law", "samples": x.size, "bias": float(bias)}
    if x.size == 0 or not np.all(np.isfinite(x)):
        lost = int(np.sum(~np.isfinite(x)))
        why = f"{lost} of {x.size} final states are not finite" if lost else "no sample"
        return _evidence(name, math.nan, 1, bias, delta, alpha, about, data, why)
    points, counts = np.unique(x, return_counts=True)
    above = np.cumsum(counts) / x.size
    below = above - counts / x.size
    right = np.asarray(cdf(points), float)
    left = right if left_cdf is None else np.asarray(left_cdf(points), float)
    if right.shape != points.shape or np.any((right < 0) | (right > 1)):
        raise BadInput("the distribution function must map [n] to probabilities [n].")
    distance = float(max(np.max(np.abs(above - right)), np.max(np.abs(left - below))))
    thin = slice(None, None, max(1, points.size // 512))  # enough for a picture
    data.update(x=points[thin], empirical=above[thin], exact=right[thin])
    return _evidence(name, distance, x.size, bias, delta, alpha, about, data, "")


def same_law(
    name: str,
    first: Values,
    second: Values,
    *,
    delta: Real,
    bias: Real = 0.0,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Two independent samples follow one law: the radius of each is added.

    P(sup|F_n - G_m| > eps_n + eps_m) <= alpha with each radius at alpha/2; the
    detectable distance adds both radii at 0.01/2.

    Args:
        name: name of the law, for the record.
        first: independent samples, shape [n].
        second: independent samples, shape [m], independent of the first.
        delta: sup distance that must be detectable.
        bias: sup distance that step sizes may cause.
        alpha: level of this comparison.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.
    """
    x, y = (np.sort(np.asarray(s, float).ravel()) for s in (first, second))
    data = {"kind": "law", "samples": [x.size, y.size], "bias": float(bias)}
    lost = int(np.sum(~np.isfinite(x)) + np.sum(~np.isfinite(y)))
    if lost or not (x.size and y.size):
        why = f"{lost} final states are not finite" if lost else "an empty sample"
        return _evidence(name, math.nan, 1, bias, delta, alpha, about, data, why)
    points = np.concatenate([x, y])
    f = np.searchsorted(x, points, side="right") / x.size
    g = np.searchsorted(y, points, side="right") / y.size
    # (sqrt(1/n) + sqrt(1/m))^-2 plays the part of n when two radii are added
    n = 1 / (x.size**-0.5 + y.size**-0.5) ** 2
    distance = float(np.max(np.abs(f - g)))
    return _evidence(name, distance, n, bias, delta, alpha, about, data, "", halves=2)


def law_sample_size(distance: Real, alpha: Real = LEVEL) -> int:
    """Samples after which a sup distance is detected: (4.90/d)^2 at alpha = 1e-9.

    Args:
        distance: sup distance to detect.
        alpha: level of the comparison.

    Returns:
        Number of independent samples.
    """
    return math.ceil(((dkw(1, alpha) + dkw(1, MISS)) / distance) ** 2)


def _evidence(
    name, distance, n, bias, delta, alpha, about, data, fault, halves=1
) -> Evidence:
    radius = dkw(n, alpha / halves)
    return Evidence(
        **{
            "relation": Law(name),
            "measured": distance,
            "interval": (
                max(0.0, distance - radius - bias),
                distance + radius + bias,
            ),
            "detectable": radius + dkw(n, MISS / halves) + 2 * bias,
            "delta": delta,
            "grade": Grade.ESTIMATED,
            "fault": fault,
            **about,
            "data": {**data, "radius": radius, **about.get("data", {})},
        }
    )
