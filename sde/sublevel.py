"""The box around a sublevel set {U <= min U + depth}, in few dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from flows.errors import BadInput

Potential = Callable[[np.ndarray], np.ndarray]
"""Positions of shape [k, n] -> values of shape [k]."""

_GRID = {1: 2049, 2: 81, 3: 27}
_WIDEST = 2.0**40
_ROUNDS = 60
_MINIMA = 32
_ZOOMS = 14
_FARTHEST = 2.0**10
_PROBES = {1: 4096, 2: 128, 3: 128}
_GAP = {1: 0.004, 2: 0.1, 3: 0.25}
_MOST = {1: 256, 2: 32, 3: 32}


class Sublevel(NamedTuple):
    """A box that holds a sublevel set, and the minima in it.

    Attributes:
        low: lower corner, shape [n].
        high: upper corner, shape [n].
        minima: local minima found, lowest first, shape [k, n].
        minimum: the lowest value.
    """

    low: np.ndarray
    high: np.ndarray
    minima: np.ndarray
    minimum: float


def sublevel(potential: Potential, n: int, depth: float) -> Sublevel:
    """The box around {U <= min U + depth}, from grids widened, then narrowed.

    The box grows from [-1, 1]ⁿ while the set touches a face. Then U is probed outside
    it, up to 2¹⁰ times as far, along rays (in one dimension 4096 points on each side,
    0.2 % apart; else 128 points, 6 % apart, on some 300 rays), and each local minimum
    on a ray is polished; one at most min U + depth makes the box grow on.

    What remains a hypothesis: the set has no part that is missed by all of these
    points and from which no downhill path of one gap leads to them. Wells much narrower
    than a cell of the grid, or than the gap of the probes at their distance, may be
    missed, and so may wells farther out than 2¹⁰ boxes.

    Raises:
        BadInput: the potential does not rise by `depth` within 2⁴⁰ of the origin, is
            NaN in the box, or finite nowhere.
    """

    def safe(x):
        values = potential(x)  # far out, NaN is a difference of overflows
        return np.where(np.isnan(values), np.inf, values)

    low, high, minima = _closed(safe, n, depth)
    floor = float(safe(minima).min())
    axes, values = _on_grid(safe, low, high)
    for _ in range(_ROUNDS):
        new = _hull(axes, values, floor + depth, minima)
        new = np.maximum(new[0], low), np.minimum(new[1], high)
        narrower = (new[1] - new[0]) / (high - low)
        low, high = new
        if np.all(narrower > 0.8):
            break
        axes, values = _on_grid(safe, low, high)
        more = np.concatenate([minima, _polished(safe, axes, values)])
        minima, floor = _merged(safe, more, depth)
    if np.any(np.isnan(_on_grid(potential, low, high)[1])):
        box = " x ".join(f"[{a:.3g}, {b:.3g}]" for a, b in zip(low, high, strict=True))
        raise BadInput(
            f"U is NaN at points of {box}, where exp(-U/T) has its mass: a potential "
            "is a number everywhere, inf where the law has no mass."
        )
    return Sublevel(low, high, minima, floor)


def _closed(potential, n, depth):
    """A box around all of the set that probes find, and the minima in it."""
    half, known = np.ones(n), np.empty((0, n))
    while True:
        axes, values = _on_grid(potential, -half, half)
        floor = min([values.min(), *potential(known)])
        if np.isposinf(floor):
            raise BadInput(
                "U is NaN or infinite at all points tried around the origin."
            )
        open_ends = _open(values, floor + depth)
        if np.any(open_ends):
            half = np.where(open_ends, 2 * half, half)
        else:
            inside = np.concatenate([known, _polished(potential, axes, values)])
            known, floor = _merged(potential, inside, depth)
            beyond = _beyond(potential, half)
            low = beyond[potential(beyond) <= floor + depth]
            if not low.size:
                return -half, half, known
            known, _ = _merged(potential, np.concatenate([known, low]), depth)
            half = np.maximum(half, 1.25 * np.max(np.abs(low), axis=0))
        if np.any(half > _WIDEST) or np.isneginf(floor):
            raise BadInput(
                "exp(-U/T) cannot be normalised: U does not rise by "
                f"{depth:.3g} (many temperatures) within 1e12 of the origin."
            )


def _beyond(potential, half):
    """Minima of U outside the box, polished from those along rays, shape [k, n]."""
    n = half.size
    reach = np.geomspace(0.5, _FARTHEST, _PROBES[n])
    points = half * _rays(n)[:, None] * reach[:, None]  # [rays, probes, n]
    values = potential(points.reshape(-1, n)).reshape(points.shape[:2])
    points, here, before = points[:, 1:], values[:, 1:], values[:, :-1]
    after = np.pad(values[:, 2:], ((0, 0), (0, 1)), constant_values=np.inf)
    lower = (here <= before) & (here <= after) & (here < np.inf)
    found = points[lower][np.argsort(here[lower])[: _MOST[n]]]
    for _ in range(3 if found.size else 0):  # again: a star shrinks as it walks
        gaps = _GAP[n] * np.max(np.abs(found / half), axis=1)[:, None] * half
        found = _zoomed(potential, found, gaps)
    return found[np.any(np.abs(found) > half, axis=1)]


def _rays(n: int) -> np.ndarray:
    """Axes, diagonals and directions drawn once, of largest component 1."""
    star = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * n, indexing="ij"), -1)
    star = star.reshape(-1, n)
    star = star[np.any(star != 0, axis=1)]
    if n > 1:
        star = np.concatenate([star, np.random.default_rng(0).normal(size=(300, n))])
    return star / np.max(np.abs(star), axis=1, keepdims=True)


def _on_grid(potential, low, high):
    n = low.size
    axes = [np.linspace(a, b, _GRID[n]) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = potential(grid.reshape(-1, n)).reshape(grid.shape[:-1])
    return axes, values


def _open(values, level) -> np.ndarray:
    """Along which axes the sublevel set touches a face of the grid."""
    inside = values <= level
    faces = [np.take(inside, (0, -1), axis=k).any() for k in range(values.ndim)]
    return np.array(faces)


def _polished(potential, axes, values):
    """The grid's lowest local minima, made those of U by zooming, shape [k, n]."""
    lower = np.ones(values.shape, bool)
    for k in range(values.ndim):
        for shift in (-1, 1):
            moved = np.roll(values, shift, axis=k)
            edge: list[Any] = [slice(None)] * values.ndim
            edge[k] = -1 if shift == -1 else 0
            moved[tuple(edge)] = np.inf
            lower &= values <= moved
    places = np.argwhere(lower)[np.argsort(values[lower])[:_MINIMA]]
    found = np.stack([a[i] for a, i in zip(axes, places.T, strict=True)], axis=-1)
    return _zoomed(potential, found, np.array([a[1] - a[0] for a in axes]))


def _zoomed(potential, found, reach):
    """Points moved to the lowest of the star around them, again and again nearer.

    Args:
        potential: U.
        found: shape [k, n].
        reach: first size of the star, shape [n] or [k, n].
    """
    n = found.shape[1]
    reach = np.broadcast_to(reach, found.shape)[:, None]
    star = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * n, indexing="ij"), -1)
    star = star.reshape(-1, n)
    for _ in range(_ZOOMS):
        tried = found[:, None] + reach * star
        best = np.argmin(potential(tried.reshape(-1, n)).reshape(tried.shape[:2]), 1)
        found = tried[np.arange(best.size), best]
        reach = reach / 4
    return found


def _merged(potential, minima, depth):
    """Minima within `depth` of the lowest, each once, lowest first; its value."""
    values = potential(minima)
    level = values.min() + depth
    kept: list[np.ndarray] = []
    for k in np.argsort(values):
        gap = 1e-7 * (1 + np.max(np.abs(minima[k])))
        apart = all(np.max(np.abs(minima[k] - m)) > gap for m in kept)
        if values[k] <= level and apart:
            kept.append(minima[k])
    return np.array(kept), float(values.min())


def _hull(axes, values, level, minima):
    """Corners around the grid points at most at the level, one cell wider."""
    inside = np.argwhere(values <= level)
    low, high = [], []
    for k, axis in enumerate(axes):
        cell = axis[1] - axis[0]
        indices = inside[:, k] if inside.size else np.array([], int)
        points = np.concatenate([axis[indices], minima[:, k]])
        low.append(points.min() - cell)
        high.append(points.max() + cell)
    return np.array(low), np.array(high)
