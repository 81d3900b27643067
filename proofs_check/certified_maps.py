"""Certified maps as evidence: rules that agree, code that agrees, areas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from discretize import Regime
from flows.symbolic import IdentityResult
from proofs_check import decide
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.relations import Grade
from proofs_check.subdivision import Rule, Subdivision, subdivide


class Region(NamedTuple):
    """A regime, the corners of a rectangle around it, and its area there."""

    regime: str
    low: tuple[float, float]
    high: tuple[float, float]
    area: float


def agreement(found: Subdivision, name: str) -> Evidence:
    """That no cell refutes the equality of two rules; undecided cells are counted.

    Cells that stay undecided lie along curves: their area halves at each level.
    """
    if found.conflict is not None:
        x, y, dx, dy = found.conflict
        witness = {"cell": f"({x} ± {dx}, {y} ± {dy})"}
        return decide.identity(IdentityResult("refuted", witness), name=name)
    tail = np.array(found.by_level[-4:])
    curves = bool(np.all(tail[1:] < 0.56 * tail[:-1]))
    data = {
        "settled cells": len(found.settled),
        "undecided cells": found.left,
        "undecided area": found.undecided,
    }
    note = f"{len(found.settled):,} cells settled; {found.left:,} along boundaries"
    status = IdentityResult("proved" if curves else "undecided", remainder=note)
    grade = Grade.CERTIFIED
    return decide.identity(status, name=name, grade=grade, note=note, data=data)


def coded(found: Subdivision, codes: Any, name: str) -> Evidence:
    """That `regimes` gives the certified regime at the middle of every settled cell."""
    expected = np.array([Regime[label] for _, _, label in found.settled])
    bad = np.flatnonzero(np.asarray(codes) != expected)
    witness = {"cell": found.settled[bad[0]]} if bad.size else None
    status = "refuted" if bad.size else "proved"
    note = f"{expected.size:,} midpoints of settled cells"
    return decide.identity(
        IdentityResult(status, witness), name=name, grade=Grade.CERTIFIED, note=note
    )


def middles(found: Subdivision) -> tuple[np.ndarray, np.ndarray]:
    """The middles of the settled cells: all x, all y."""
    x, y = np.array([(x, y) for x, y, _ in found.settled]).T
    return x, y


def area_of(
    ctx: Context, rules: Sequence[Rule], region: Region, levels: int, wrong: float = 1
) -> Evidence:
    """The area of a regime between certain cells and those not certainly outside."""
    found = subdivide(rules, region.low, region.high, levels=levels)
    low = found.areas[region.regime]
    enclosed = decide.enclosure(low, low + found.undecided)
    note = f"{region.regime}: {len(found.settled):,} cells settled, {found.left:,} not"
    return decide.equal(
        wrong * region.area, enclosed, delta=ctx.delta, unit="area", note=note
    )
