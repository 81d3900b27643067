r"""Distances between laws on the line, known by densities or by quantile functions.

With distribution functions F, G and the monotone map τ = G⁻¹ ∘ F,

    W₁ = ∫ |F - G| dx,   W₂² = ∫ (τ(x) - x)² p(x) dx,
    TV = ½ ∫ |p - q| dx,   KL(p|q) = ∫ p log(p/q) dx.

Densities are given at the nodes of any quadrature and interpolated by splines of degree
5; F is accumulated from the left below its median and from the right above, so that
both tails keep their digits. The error is what changes when every other node is left
out, which overstates it.

Reference: Villani, Topics in Optimal Transportation (2003), section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from flows import BadInput
from flows.door import as_floats
from sde.wasserstein import Distance

Vector = Float[np.ndarray, " m"]
Pieces = Float[np.ndarray, " intervals"]
Density = Any
"""A density at the nodes, shape [m], or a function of an array of positions."""
Quantile = Callable[[np.ndarray], Any]
"""u in (0, 1) -> F⁻¹(u), elementwise."""

_MASS = 1e-3
_FLOOR = 1e-15
_NOTHING = 1e-22
_GAUSS = np.polynomial.legendre.leggauss(8)


def wasserstein_1d(nodes: Any, p: Density, q: Density, order: int = 1) -> Distance:
    """W₁ or W₂ between two densities on the line, in the unit of x.

    Args:
        nodes: increasing positions, shape [m], m >= 24, that resolve both densities.
        p: the first density.
        q: the second one.
        order: 1 or 2.

    Returns:
        The distance and what it may be off by.

    Raises:
        BadInput: nodes that do not increase or are too few, values that are negative
            beyond rounding or not finite, a mass that is not 1 within 1e-3, another
            order.
    """
    if order not in (1, 2):
        raise BadInput(f"order is 1 or 2; got {order!r}.")
    if order == 1:
        return _refined(_between_cdfs, nodes, p, q, lambda value, width: width)
    return _refined(_transport, nodes, p, q, lambda value, width: width**2 / value)


def total_variation_1d(nodes: Any, p: Density, q: Density) -> Distance:
    """½ ∫ |p - q|; arguments as in `wasserstein_1d`."""

    def half(x, p, q):
        return 0.5 * absolute_integral(x, p - q)

    return _refined(half, nodes, p, q, lambda value, width: 1.0)


def kl_divergence_1d(nodes: Any, p: Density, q: Density) -> Distance:
    """KL(p|q) = ∫ p log(p/q); arguments as in `wasserstein_1d`.

    Computed as ∫ (p log(p/q) - p + q), whose integrand is nowhere negative; where p is
    below 1e-15 of its maximum, it is q.
    """

    def divergence(x, p, q):
        seen = (p > _FLOOR * p.max()) & (q > 0)
        a, b = p[seen], q[seen]
        integrand = np.where(seen, 0.0, q)
        gap = (b - a) / a
        near = np.abs(gap) < 0.5  # where a logarithm of a quotient would cancel
        log = np.where(near, np.log1p(np.where(near, gap, 0.0)), np.log(b) - np.log(a))
        integrand[seen] = a * (gap - log)
        return float(_spline(x, integrand).integrate(x[0], x[-1]))

    return _refined(divergence, nodes, p, q, lambda value, width: 1 + width**2)


def wasserstein_quantiles(
    first: Quantile, second: Quantile, order: int = 1, *, points: int = 400
) -> Distance:
    """W₁ or W₂ = (∫₀¹ |F⁻¹(u) - G⁻¹(u)|^order du)^(1/order).

    The trapezoidal rule in z with u = Φ(z), |z| <= 8, the normal distribution function.

    Args:
        first: F⁻¹.
        second: G⁻¹.
        order: 1 or 2.
        points: number of trapezoids; the error compares with half as many.

    Raises:
        BadInput: another order, or quantiles that are not finite.
    """
    from scipy.special import ndtr

    if order not in (1, 2):
        raise BadInput(f"order is 1 or 2; got {order!r}.")

    def distance(points):
        z = np.linspace(-8.0, 8.0, points + 1)
        weights = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
        u = ndtr(z)
        a, b = (as_floats("quantiles", quantile(u)) for quantile in (first, second))
        if any(v.shape != z.shape or not np.all(np.isfinite(v)) for v in (a, b)):
            raise BadInput("a quantile function takes u in (0, 1), elementwise.")
        return float((weights @ np.abs(a - b) ** order) ** (1 / order))

    value = distance(points)
    return Distance(value, abs(value - distance(points // 2)))


def _refined(measure: Any, nodes: Any, p: Any, q: Any, lever: Any) -> Distance:
    """A distance on all nodes, and its move from every other node.

    `lever` says what mass beyond the nodes may do: (distance, width of the nodes) -> a
    distance for each unit of it.
    """
    x = as_floats("nodes", nodes)
    if x.ndim != 1 or x.size < 24 or not np.all(np.diff(x) > 0):
        raise BadInput("nodes increase strictly, shape [m] with m >= 24.")
    p, q = _density("p", x, p), _density("q", x, q)
    value = measure(x, *(_normalised(x, f) for f in (p, q)))
    coarse = x[::2]
    other = measure(coarse, *(_normalised(coarse, f[::2]) for f in (p, q)))
    width = float(x[-1] - x[0])
    lost = sum(_beyond(x, f) + _beyond(-x[::-1], f[::-1]) for f in (p, q))
    rounding = 1e-15 * width
    allowance = lost * lever(max(value, rounding), width) + rounding
    return Distance(value, abs(value - other) + float(allowance))


def _beyond(x: Vector, density: Vector) -> float:
    """The mass left of the nodes, were the density to fall off as it does there."""
    if density[0] <= 0:
        return 0.0
    rate = np.log(max(density[1] / density[0], 1.0)) / (x[1] - x[0])
    return float(density[0] / max(rate, 1 / (x[-1] - x[0])))


def _density(name: str, x: Vector, given: Density) -> Vector:
    values = as_floats(name, given(x) if callable(given) else given)
    if values.shape != x.shape or not np.all(np.isfinite(values)):
        raise BadInput(f"{name} is a density at the {x.size} nodes, of finite values.")
    if np.min(values) < -1e-12 * np.max(values):
        raise BadInput(f"{name} is negative: {np.min(values):.3g}.")
    mass = float(_spline(x, values).integrate(x[0], x[-1]))
    if abs(mass - 1) > _MASS:
        raise BadInput(f"{name} has mass {mass:.6g} on the nodes; a law has 1.")
    return np.maximum(values, 0.0)


def _normalised(x: Vector, values: Vector) -> Vector:
    return values / float(_spline(x, values).integrate(x[0], x[-1]))


def _spline(x: Vector, values: Vector) -> Any:
    from scipy.interpolate import make_interp_spline

    return make_interp_spline(x, values, k=5)


def _pieces(x: Vector, values: Vector) -> Pieces:
    """∫ of the spline over each interval between nodes, shape [m - 1]."""
    return np.diff(_spline(x, values).antiderivative()(x))


def from_both_tails(pieces: Pieces) -> Vector:
    """∫_{-∞}^x of a function of integral 0, accumulated from the nearer end.

    Args:
        pieces: integrals over consecutive intervals, shape [m - 1].

    Returns:
        At the m ends of the intervals: 0 at both ends; where half of ∫ |pieces| is
        passed the sum from the right takes over.
    """
    left = np.concatenate([[0.0], np.cumsum(pieces)])
    right = np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])
    passed = np.concatenate([[0.0], np.cumsum(np.abs(pieces))])
    return np.where(passed <= passed[-1] / 2, left, -right)


def _between_cdfs(x: Vector, p: Vector, q: Vector) -> float:
    return absolute_integral(x, from_both_tails(_pieces(x, p - q)))


def absolute_integral(x: Vector, values: Vector) -> float:
    """∫ |f| of a function known at nodes: the spline's, split where it changes sign.

    Args:
        x: nodes, shape [m].
        values: f, shape [m].
    """
    spline = _spline(x, values)
    size = np.maximum(np.abs(values[1:]), np.abs(values[:-1]))
    real = size > 1e-13 * np.max(np.abs(values))
    turns = np.flatnonzero((values[1:] * values[:-1] < 0) & real)
    roots = [root_between(spline, x[i], x[i + 1]) for i in turns]
    ends = np.concatenate([[x[0]], roots, [x[-1]]])
    return float(np.sum(np.abs(np.diff(spline.antiderivative()(ends)))))


def root_between(f: Callable[[Any], Any], a: Any, b: Any) -> float:
    """The root of f, of opposite signs at a and b, to rounding."""
    from scipy.optimize import brentq

    found: Any = brentq(lambda x: float(f(np.asarray(x))), a, b, xtol=1e-15)
    return float(found)


def _transport(x: Vector, p: Vector, q: Vector) -> float:
    """W₂ by the monotone map, with the logarithms of both distribution functions."""
    start, *lower = _log_cdfs(x, p)
    goal, *upper = _log_cdfs(x, q)
    moved = np.zeros(start.size)
    below = lower[0] < np.log(0.5)
    for side, half in ((0, below), (1, ~below)):
        seen = half & (lower[side] > np.log(_FLOOR))
        moved[seen] = _inverse(goal, upper[side], lower[side][seen]) - start[seen]
    first = int(np.searchsorted(x, start[0]))
    weight = p[first : first + start.size]
    square = _spline(start, moved**2 * weight).integrate(start[0], start[-1])
    return float(np.sqrt(max(float(square), 0.0)))


def _log_cdfs(x: Vector, p: Vector) -> tuple[Pieces, Pieces, Pieces]:
    """Nodes, log F and log(1 - F) there; log p is what is interpolated.

    Nodes at either end where p is nothing are left out.
    """
    points, weights = _GAUSS
    kept = np.flatnonzero(p > _NOTHING * np.max(p))
    x, p = x[kept[0] : kept[-1] + 1], p[kept[0] : kept[-1] + 1]
    logs = _spline(x, np.log(np.maximum(p, _NOTHING * np.max(p))))
    middle, half = (x[1:] + x[:-1]) / 2, np.diff(x) / 2
    inside = np.exp(logs(middle[:, None] + half[:, None] * points))
    pieces = (inside @ weights) * half
    with np.errstate(divide="ignore"):
        lower = np.log(np.concatenate([[0.0], np.cumsum(pieces)]) / np.sum(pieces))
        upper = np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])
        return x, lower, np.log(upper / np.sum(pieces))


def _inverse(x: Vector, logs: Vector, wanted: Pieces) -> Pieces:
    """The positions where a monotone function known at the nodes has these values."""
    kept = logs > np.log(_FLOOR) - 30.0
    x, logs = x[kept], logs[kept]
    spline = _spline(x, logs)
    slope = spline.derivative()
    order = np.argsort(logs)
    z = np.interp(wanted, logs[order], x[order])
    for _ in range(4):
        z = np.clip(z - (spline(z) - wanted) / slope(z), x[0], x[-1])
    return z
