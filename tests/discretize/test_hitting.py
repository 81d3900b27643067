"""Hitting times: the first True, and infinity where there is none."""

import numpy as np
import pytest

from discretize.hitting import first_hit
from discretize.negative_curvature import momentum_growth
from proofs_check.claims.inertial_escape import first_passage


def test_the_first_of_each_row_and_never():
    reached = np.array([[False, True, True], [True, False, False], [False] * 3])
    np.testing.assert_array_equal(first_hit(reached), [1, 0, np.inf])
    np.testing.assert_array_equal(first_hit(np.zeros((2, 0), bool)), [np.inf] * 2)
    assert np.median(first_hit([[True, False], [False, True], [False, False]])) == 1


@pytest.mark.slow
def test_a_run_that_ends_before_a_level_never_passes_it():
    short = first_passage(0.5, 1.0, 1e-12, np.array([1e-9, 0.1]), 100)
    assert 0 < short[0] < 100
    assert short[1] == np.inf


@pytest.mark.parametrize("q", [1.0, 0.1, 1e-4])
def test_the_growth_of_the_accelerated_search_is_an_eigenvalue(q):
    """Of (y₋, y) → (y, (1 + q/4)(y + (1-θ)(y - y₋))), by NumPy."""
    theta, grow = np.sqrt(q) / 4, 1 + q / 4
    move = [[0, 1], [-grow * (1 - theta), grow * (2 - theta)]]
    expected = np.sort(np.linalg.eigvals(move))[::-1]
    np.testing.assert_allclose(momentum_growth(q), expected, rtol=1e-12)
