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

    The grids have finitely many points, and the minima among them are polished: a well
    much narrower than a cell of the wide grid may be missed.

    Raises:
        BadInput: the potential does not rise by `depth` within 2⁴⁰ of the origin.
    """
    middle, half = np.zeros(n), np.ones(n)
    while True:
        axes, values = _on_grid(potential, middle - half, middle + half)
        floor = np.nanmin(values)
        open_ends = _open(values, floor + depth)
        if not np.any(open_ends):
            break
        half = np.where(open_ends, 2 * half, half)
        if np.any(half > _WIDEST):
            raise BadInput(
                "exp(-U/T) cannot be normalised: U does not rise by "
                f"{depth:.3g} (many temperatures) within 1e12 of the origin."
            )
    low, high = middle - half, middle + half
    minima, floor = _polished(potential, axes, values)
    for _ in range(_ROUNDS):
        new = _hull(axes, values, floor + depth, minima)
        new = np.maximum(new[0], low), np.minimum(new[1], high)
        narrower = (new[1] - new[0]) / (high - low)
        low, high = new
        if np.all(narrower > 0.8):
            break
        axes, values = _on_grid(potential, low, high)
        more, lowest = _polished(potential, axes, values)
        floor = min(floor, lowest)
        minima = _merged(potential, np.concatenate([minima, more]), floor + depth)
    return Sublevel(low, high, minima, float(floor))


def _on_grid(potential, low, high):
    n = low.size
    axes = [np.linspace(a, b, _GRID[n]) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = potential(grid.reshape(-1, n)).reshape(grid.shape[:-1])
    return axes, np.where(np.isnan(values), np.inf, values)


def _open(values, level) -> np.ndarray:
    """Along which axes the sublevel set touches a face of the grid."""
    inside = values <= level
    faces = [np.take(inside, (0, -1), axis=k).any() for k in range(values.ndim)]
    return np.array(faces)


def _polished(potential, axes, values):
    """The grid's lowest local minima, made those of U by zooming; the lowest value."""
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
    reach = np.array([a[1] - a[0] for a in axes])
    n = reach.size
    star = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * n, indexing="ij"), -1)
    star = star.reshape(-1, n)
    for _ in range(_ZOOMS):
        tried = found[:, None] + reach * star
        best = np.argmin(potential(tried.reshape(-1, n)).reshape(tried.shape[:2]), 1)
        found = tried[np.arange(best.size), best]
        reach = reach / 4
    return found, float(np.min(potential(found)))


def _merged(potential, minima, level):
    """Minima at most at the level, each once, lowest first."""
    values = potential(minima)
    kept: list[np.ndarray] = []
    for k in np.argsort(values):
        apart = all(np.max(np.abs(minima[k] - m)) > 1e-7 for m in kept)
        if values[k] <= level and apart:
            kept.append(minima[k])
    return np.array(kept)


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
