"""The time grid of an ensemble: whole steps, saved steps, the grid of the noise."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from flows.errors import BadInput

_TOLERANCE = 1e-6
_FEW = 1024  # rows that a small ensemble is filled up to, so that h is no shape
_LIMIT = 2**32  # steps that the noise can count


def require_scalar(name: str, value: Any) -> float:
    """One finite number as a float.

    Raises:
        BadInput: anything else.
    """
    try:
        good = np.ndim(value) == 0 and bool(np.isfinite(value))
    except TypeError:
        good = False
    if not good:
        raise BadInput(f"{name} is one finite number; got {value!r}.")
    return float(value)


def whole_steps(t0: Any, t1: Any, h: Any) -> int:
    """The number of steps of size h in [t0, t1].

    Raises:
        BadInput: numbers that are not finite, h <= 0, t1 before t0 + h, or a number of
            steps that is not whole; the message names the nearest h that fits.
    """
    t0, t1 = require_scalar("t0", t0), require_scalar("t1", t1)
    h = require_scalar("h", h)
    if h <= 0:
        raise BadInput(f"the step size h is positive; got h = {h}.")
    ratio = (t1 - t0) / h
    if not ratio < _LIMIT:
        raise BadInput(f"noise is counted for 2**32 steps; got {ratio:.6g} of h = {h}.")
    steps = round(ratio)
    if steps < 1:
        raise BadInput(f"t1 lies at least one step after t0; got t0={t0}, t1={t1}.")
    if abs(ratio - steps) > _TOLERANCE:
        near = (t1 - t0) / steps
        raise BadInput(
            f"t1 - t0 is a whole number of steps; got {ratio:.6g} of them. "
            f"The nearest step size that fits is h = {near:.12g}."
        )
    return steps


def grid_ratio(h: Any, grid: Any, steps: int) -> int:
    """How many steps of the noise's grid one step takes.

    Args:
        h: step size.
        grid: step of the grid on which the Brownian path is drawn.
        steps: number of steps h of the run.

    Raises:
        BadInput: h is no whole multiple of the grid; the message names the nearest
            step sizes that fit [t0, t1] as well.
    """
    grid, h = require_scalar("grid", grid), float(h)
    if grid <= 0:
        raise BadInput(f"the grid of the noise is positive; got grid = {grid}.")
    ratio = round(h / grid)
    if ratio >= 1 and abs(h / grid - ratio) <= _TOLERANCE * ratio:
        if ratio * steps >= _LIMIT:
            raise BadInput("t1 - t0 holds fewer than 2**32 steps of the grid.")
        return ratio
    total = round(steps * h / grid)
    fits = [m for m in range(1, min(total, 10_000) + 1) if total % m == 0]
    near = sorted(fits, key=lambda m: abs(m * grid - h))[:3]
    names = ", ".join(f"{m * grid:.6g}" for m in sorted(near))
    raise BadInput(
        f"h is a whole multiple of the grid of the noise; got h = {h:.6g} and grid = "
        f"{grid:.6g}. Steps that fit: {names or 'none'}."
    )


def saved_steps(save: Any, t0: float, h: float, steps: int, every: int = 1):
    """Indices of the saved steps, strictly increasing.

    Args:
        save: "final", "all", or grid times.
        t0: start.
        h: step size.
        steps: number of steps.
        every: "all" keeps each of these steps.

    Raises:
        BadInput: another word, times off the grid or out of order.
    """
    if isinstance(save, str):
        if save not in ("final", "all"):
            raise _no_save(save)
        return np.array([steps]) if save == "final" else np.arange(0, steps + 1, every)
    try:
        times = np.asarray(save, dtype=float)
    except (TypeError, ValueError):
        raise _no_save(save) from None
    index = np.rint((times - t0) / h)
    near = np.abs(t0 + h * index - times) <= _TOLERANCE * h
    inside = (index >= 0) & (index <= steps)
    if times.ndim != 1 or not times.size or not np.all(near & inside):
        raise BadInput(
            f"saved times are a vector of grid times t0 + k h in [{t0}, "
            f"{t0 + h * steps:.6g}] with h = {h}; got {save!r}."
        )
    index = index.astype(int)
    if np.any(np.diff(index) <= 0):
        raise BadInput("saved times increase strictly.")
    return index


def _no_save(save: Any) -> BadInput:
    return BadInput(f'save is "final", "all", times or Statistics; got {save!r}.')


def gaps_between(marks: Any, size: int) -> np.ndarray:
    """Steps up to each saved one from the one before.

    A small ensemble gets rows of no steps at the end, up to a number that does not
    depend on h: a new step size then has the shapes of the old one, and compiles
    nothing.

    Args:
        marks: indices of the saved steps.
        size: numbers that one row keeps.
    """
    gaps = np.diff(marks, prepend=0)
    if len(gaps) == 1 or size > _FEW:
        return gaps
    rows = max(_FEW, 1 << (len(gaps) - 1).bit_length())
    return np.concatenate([gaps, np.zeros(rows - len(gaps), gaps.dtype)])


def multiples(sizes: tuple[float, ...]) -> tuple[int, ...]:
    """Each step size as a multiple of the last, the finest.

    Raises:
        BadInput: sizes that do not decrease, or are no whole multiples.
    """
    finest = sizes[-1]
    if any(a <= b for a, b in pairwise(sizes)):
        raise BadInput(f"h decreases strictly, the finest last; got {sizes}.")
    found = []
    for h in sizes:
        ratio = round(h / finest)
        if abs(h / finest - ratio) > _TOLERANCE * ratio:
            near = Fraction(h / finest).limit_denominator(100)
            raise BadInput(
                "every step size is a whole multiple of the finest; got h = "
                f"{h:.6g} = {near} of {finest:.6g}."
            )
        found.append(ratio)
    return tuple(found)
