"""Regions of a plane in ball arithmetic: cells are settled by proof, or split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flows.door import require_whole
from flows.errors import BadInput

Rule = Callable[[Any, Any], str | None]
"""Two balls -> the name of the region that holds the whole cell, None if not sure."""


class Subdivision(NamedTuple):
    """What is proved about the regions of a rectangle.

    Attributes:
        areas: region -> total area of the cells that certainly lie in it.
        undecided: area of the cells that were left at the last level.
        settled: the settled cells, (x, y, region) of their midpoints; x and y are
            exact floats.
        left: number of undecided cells.
        by_level: undecided area after each level: it halves at every level where only
            cells along curves remain.
        conflict: a cell (x, y, half width, half height) in which two rules are both
            certain, and differ; None if there is none.
    """

    areas: Mapping[str, float]
    undecided: float
    settled: tuple[tuple[float, float, str], ...]
    left: int
    by_level: tuple[float, ...]
    conflict: tuple[float, float, float, float] | None


def subdivide(
    rules: Sequence[Rule],
    low: tuple[float, float],
    high: tuple[float, float],
    *,
    levels: int,
    cells: int = 4,
) -> Subdivision:
    """Split a rectangle until every rule is certain of each cell, or `levels` times.

    A cell is settled where all rules name a region, the same one. Where two are certain
    and differ, the work stops: that cell refutes their equality on all of it.

    Args:
        rules: functions of two arb balls.
        low: lower left corner; dyadic numbers, so that cells are exact.
        high: upper right corner.
        levels: number of splittings of a cell into four, 0 or more.
        cells: cells along a side at first, a power of two.

    Raises:
        BadInput: an empty rectangle, or a number of levels or cells out of its range.
    """
    from flint import arb

    require_whole("levels", levels, 0)
    require_whole("cells", cells)
    if cells & (cells - 1):
        raise BadInput(f"cells is a power of two, for exact cells; got {cells}.")
    if not (low[0] < high[0] and low[1] < high[1]):
        raise BadInput(f"an empty rectangle: {low} to {high}.")
    half = ((high[0] - low[0]) / (2 * cells), (high[1] - low[1]) / (2 * cells))
    todo = [
        (low[0] + (2 * i + 1) * half[0], low[1] + (2 * j + 1) * half[1])
        for i in range(cells)
        for j in range(cells)
    ]
    areas: dict[str, float] = {}
    settled, by_level, left = [], [], 0
    for _ in range(levels + 1):
        area, split = 4 * half[0] * half[1], []
        for x, y in todo:
            balls = arb(x, half[0]), arb(y, half[1])
            names = {rule(*balls) for rule in rules}
            certain = {name for name in names if name is not None}
            if len(certain) > 1:
                conflict = (x, y, *half)
                return Subdivision(areas, 0.0, tuple(settled), 0, (), conflict)
            if None in names:
                split.append((x, y))
                continue
            (name,) = certain
            areas[name] = areas.get(name, 0.0) + area
            settled.append((x, y, name))
        by_level.append(len(split) * area)
        left = len(split)
        half = (half[0] / 2, half[1] / 2)
        todo = [
            (x + i * half[0], y + j * half[1])
            for x, y in split
            for i in (-1, 1)
            for j in (-1, 1)
        ]
    return Subdivision(areas, by_level[-1], tuple(settled), left, tuple(by_level), None)
