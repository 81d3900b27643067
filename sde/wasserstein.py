"""Wasserstein distances on the line, by quantile functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flows.errors import BadInput

Masses = Float[np.ndarray, " k"]
_NODES = 4, 8  # of Gauss-Legendre on each interval; the difference is the error
_SLICE = 2**17  # intervals at a time


class Distance(NamedTuple):
    """A distance and what it may be off by.

    Attributes:
        value: the distance, in the unit of the variable.
        bound: |value - distance of the sample itself| is at most this: half the bins'
            width for a histogram, 0 for stored values, and the estimated error of the
            quadrature where the reference is a quantile function. The distance of a
            sample of n to its own law (of size 1/√n) is part of the value.
    """

    value: float
    bound: float


class QuantileLaw(NamedTuple):
    """A law on the line whose quantile function is linear between jumps.

    Mass `mass[i]` is spread evenly over [low[i], high[i]]; these intervals follow one
    another. A sample has low = high.

    Attributes:
        mass: positive, of sum 1, shape [k].
        low: lower ends, shape [k].
        high: upper ends, shape [k].
    """

    mass: Masses
    low: Masses
    high: Masses


def sample_law(values: Any) -> QuantileLaw:
    """The empirical law of a sample.

    Raises:
        BadInput: no values, or values that are not finite.
    """
    try:
        values = np.sort(np.asarray(values, float).ravel())
    except (TypeError, ValueError) as error:
        raise BadInput(f"a sample is an array of real numbers: {error}") from None
    if not values.size or not np.all(np.isfinite(values)):
        raise BadInput("a sample holds one finite number or more.")
    mass = np.full(values.size, 1 / values.size)
    return QuantileLaw(mass, values, values)


def as_law(reference: Any) -> QuantileLaw | Callable[[Any], Any]:
    """A reference as a law or as a quantile function.

    Args:
        reference: a quantile function u -> Q(u), an object with one (`ppf`, as the
            frozen laws of scipy.stats), a sample, a `QuantileLaw`.

    Raises:
        BadInput: anything else.
    """
    if isinstance(reference, QuantileLaw):
        return reference
    if hasattr(reference, "ppf"):
        return reference.ppf
    if callable(reference):
        return reference
    if isinstance(reference, str) or reference is None:
        raise BadInput(
            "the reference is a quantile function, an object with ppf (as "
            f"scipy.stats.norm()), or a sample; got {reference!r}."
        )
    return sample_law(reference)


def wasserstein(law: Any, reference: Any, *, order: int = 1) -> Distance:
    r"""The Wasserstein distance W_p of two laws on the line, p = 1 or 2.

    W_p^p = ∫₀¹ |Q(u) - R(u)|^p du with the quantile functions Q and R. Exact where
    both are samples or histograms; by Gauss-Legendre quadrature between the jumps of Q
    where R is a function. A histogram stands for a sample whose masses may lie
    anywhere in their bins: spreading each evenly moves the distance by at most
    (Σᵢ mᵢ wᵢ^p/(p + 1))^{1/p}, with masses mᵢ and widths wᵢ.

    Args:
        law: a sample, or a `QuantileLaw`.
        reference: a quantile function, an object with `ppf`, a sample, or a
            `QuantileLaw`.
        order: p, 1 or 2.

    Raises:
        BadInput: another order; a reference that is none of these, or a quantile
            function that is not finite or decreases.
    """
    if order not in (1, 2) or isinstance(order, bool):
        raise BadInput(f"the order is 1 or 2; got {order!r}.")
    law = law if isinstance(law, QuantileLaw) else sample_law(law)
    reference = as_law(reference)
    spread = _spread(law, order)
    if isinstance(reference, QuantileLaw):
        value = _between(law, reference, order) ** (1 / order)
        return Distance(float(value), float(spread + _spread(reference, order)))
    coarse, fine = (_to_function(law, reference, order, n) for n in _NODES)
    value, other = fine ** (1 / order), coarse ** (1 / order)
    return Distance(float(value), float(spread + abs(value - other)))


def _spread(law: QuantileLaw, p: int) -> float:
    """The largest W_p from the law to one with the same mass in each interval."""
    return float(np.sum(law.mass * (law.high - law.low) ** p / (p + 1)) ** (1 / p))


def _between(a: QuantileLaw, b: QuantileLaw, p: int) -> float:
    """∫|Q_a - Q_b|^p over the pieces on which both are linear."""
    ends = [np.cumsum(law.mass)[:-1] for law in (a, b)]
    cuts = np.concatenate([[0.0], np.sort(np.concatenate(ends)), [1.0]])
    middle, half = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts) / 2
    gaps = []
    for law, inner in zip((a, b), ends, strict=True):
        piece = np.searchsorted(inner, middle)
        start = np.concatenate([[0.0], inner])[piece]
        slope = (law.high - law.low)[piece] / law.mass[piece]
        gaps.append((law.low[piece] + slope * (middle - start), slope * half))
    (qa, ra), (qb, rb) = gaps
    left, right = (qa - ra) - (qb - rb), (qa + ra) - (qb + rb)
    return float(np.sum(2 * half * _mean_power(left, right, p)))


def _mean_power(a: Any, b: Any, p: int) -> Any:
    """The mean of |x|^p over x uniform between a and b."""
    if p == 2:
        return (a * a + a * b + b * b) / 3
    size = np.abs(a) + np.abs(b)
    crossing = (a * a + b * b) / (2 * np.where(size > 0, size, 1.0))
    return np.where(a * b < 0, crossing, size / 2)


def _to_function(law: QuantileLaw, quantile: Any, p: int, nodes: int) -> float:
    """∫|Q - R|^p by Gauss-Legendre on each interval of mass."""
    ends = np.cumsum(law.mass)
    total, last = 0.0, -np.inf
    for k in range(0, len(ends), _SLICE):
        part = slice(k, k + _SLICE)
        piece = QuantileLaw(*(a[part] for a in law))
        new, last = _on_slice(piece, ends[part], quantile, p, nodes, last)
        total += new
    return total


def _on_slice(law, ends, quantile, p, nodes, last):
    """The integral over some intervals, and the largest quantile that they reach."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    s = (points + 1) / 2
    # the clip keeps rounding from asking for the quantile at 1
    u = np.minimum((ends - law.mass)[:, None] + law.mass[:, None] * s, 1 - 2.0**-53)
    try:
        r = np.asarray(quantile(u), float)
    except (TypeError, ValueError, LookupError) as error:
        raise BadInput(f"the quantile function fails on an array: {error}") from error
    if r.shape != u.shape or not np.all(np.isfinite(r)):
        raise BadInput(
            "a quantile function maps an array of probabilities in (0, 1) to as many "
            "finite numbers."
        )
    slack = 1e-9 * (1 + np.max(np.abs(r)))
    if np.any(np.diff(r.ravel()) < -slack) or r[0, 0] < last - slack:
        raise BadInput("a quantile function does not decrease.")
    q = law.low[:, None] + (law.high - law.low)[:, None] * s
    value = np.sum(law.mass[:, None] * weights / 2 * np.abs(q - r) ** p)
    return float(value), r[-1, -1]
