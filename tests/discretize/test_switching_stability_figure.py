"""The numbers behind the map of mean-square stability."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize import figures
from discretize.figures.switching_stability import critical


def test_the_edge_at_both_ends_of_the_rate():
    """σ_c² -> κ̄² for slow switching, ακ̄r for fast switching."""
    found = critical(np.array([1e-9, 1e6]), 0.1) ** 2
    np.testing.assert_allclose(found, [1.0, 1e5], rtol=1e-5)


@pytest.mark.slow
def test_the_map_changes_its_sign_on_the_proved_edge():
    fig, numbers = figures.mean_square_stability(paths=400)
    plt.close(fig)
    below = numbers["spreads"][:, None] < numbers["edge"][None]
    np.testing.assert_array_equal(numbers["growth"] < 0, below)
    assert 0.1 < np.mean(~below) < 0.5
    assert numbers["mean_2"][-1] > 10 > 1 > 5 * numbers["median_2"][-1]
    for stable in ("0.2", "20"):
        assert numbers[f"mean_{stable}"][-1] < 0.05
    assert np.all(numbers["median_2"][20:] < numbers["mean_2"][20:])
