"""The numbers behind the figures of saddles."""

import numpy as np
import pytest

from discretize import figures


@pytest.mark.slow
def test_only_the_start_on_the_stable_manifold_ends_in_the_saddle():
    _, numbers = figures.leaving_a_saddle(steps=900)
    ends = numbers["ends"].reshape(2, 4, 2)
    np.testing.assert_allclose(ends[:, 0], 0, atol=1e-3)
    assert np.all(ends[:, 0, 0] == 0)
    wells = np.array([1, 1, -1]) * np.sqrt(2)
    np.testing.assert_allclose(ends[:, 1:, 0], [wells, wells], atol=1e-2)
    up, down = numbers["rates"]
    np.testing.assert_allclose([up + down, up * down], [0.6, -8], rtol=1e-12)
    path = numbers["distance_1e-12"]
    growth = path[301:] / path[300:-1]
    np.testing.assert_allclose(growth[:60], 1 + 0.02 * up, rtol=1e-6)
    stable = numbers["stable_direction"]
    np.testing.assert_allclose(stable[:100], (1 + 0.02 * down) ** np.arange(100), 1e-9)
    assert stable[-1] > 1e3 * (1 + 0.02 * down) ** 400  # thrown out by rounding


@pytest.mark.slow
def test_momentum_shortens_a_flat_search_alone():
    _, numbers = figures.curvature_searches()
    steep = [np.median(numbers[f"{k}_0.1"]) for k in ("search", "momentum")]
    flat = [np.median(numbers[f"{k}_0.001"]) for k in ("search", "momentum")]
    assert flat[0] / steep[0] > 50
    assert flat[1] / steep[1] < 15
    assert flat[0] > 5 * flat[1]


@pytest.mark.slow
def test_the_search_stays_within_its_step_of_the_flow():
    gaps = [
        figures.flow_on_the_sphere(smoothness=s)[1]["gaps"].max() for s in (8.0, 16.0)
    ]
    assert gaps[0] < 0.1
    assert 1.7 < gaps[0] / gaps[1] < 2.3  # order 1


@pytest.mark.slow
def test_escape_times_are_those_of_one_mode():
    """Medians of 25 starts: the spread of log|N| makes them good to a quarter."""
    _, numbers = figures.escape_times(dimensions=(16, 64))
    np.testing.assert_allclose(numbers["gradients"], numbers["predicted"], rtol=0.25)
