"""Certified regions of a plane: areas, planted errors, exact cells."""

import math

import pytest

from flows import BadInput
from proofs_check.regime_balls import roots_of_step, signs_of_step, window_of_flow
from proofs_check.subdivision import subdivide


def disc(x, y):
    """The unit disc."""
    r = x * x + y * y
    if r < 1:
        return "inside"
    return "outside" if r > 1 else None


def test_the_area_of_a_disc_is_enclosed():
    found = subdivide([disc], (-2.0, -2.0), (2.0, 2.0), levels=6)
    low = found.areas["inside"]
    assert low < math.pi < low + found.undecided
    assert found.undecided < 0.2
    total = sum(found.areas.values()) + found.undecided
    assert total == 16.0  # dyadic cells: nothing is rounded
    # cells along a curve: their area halves level by level
    a, b = found.by_level[-2:]
    assert 0.4 < b / a < 0.6


def test_a_slightly_larger_disc_is_told_apart():
    """Radius² 1.01: a cell of width 1/256 fits between the two circles."""

    def larger(x, y):
        return disc(x / 1.01**0.5, y / 1.01**0.5)

    found = subdivide([disc, larger], (-2.0, -2.0), (2.0, 2.0), levels=9)
    assert found.conflict is not None
    x, y, dx, dy = found.conflict
    assert 1 < (abs(x) - dx) ** 2 + (abs(y) - dy) ** 2
    assert (abs(x) + dx) ** 2 + (abs(y) + dy) ** 2 < 1.01


def test_points_of_every_regime():
    """Cells that are points, against roots computed by hand."""
    from flint import arb

    points = {
        (0.5, 0.04): "NODE",  # w = -0.1, -0.4
        (2.0, 2.0): "SPIRAL",  # z = ±i: |z|² = S - G + 1 = 1 is left open
        (1.5, 0.36): "FLIP",  # w = -0.3, -1.2
        (1.0, 3.0): "UNSTABLE_SPIRAL",
        (4.0, 1.0): "UNSTABLE_FLIP",
        (0.5, -0.5): "SADDLE",  # w = 0.5, -1
        (3.0, -0.64): "SOURCE",  # w = 0.2, -3.2
    }
    for (s, g), name in points.items():
        wanted = None if (s, g) == (2.0, 2.0) else name
        assert roots_of_step(arb(s), arb(g)) == wanted
        assert signs_of_step(arb(s), arb(g)) == wanted
    assert window_of_flow(arb(0.5), arb(1)) == "SPIRAL"
    assert window_of_flow(arb(1.5), arb(1)) == "NODE"


def test_an_empty_rectangle_is_refused():
    with pytest.raises(BadInput, match="empty"):
        subdivide([disc], (0.0, 0.0), (0.0, 1.0), levels=1)


@pytest.mark.parametrize("wrong", [{"levels": -1}, {"cells": 3}, {"cells": 0}])
def test_levels_and_cells_are_whole_numbers_in_range(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        subdivide([disc], (0.0, 0.0), (1.0, 1.0), **{"levels": 1, **wrong})
