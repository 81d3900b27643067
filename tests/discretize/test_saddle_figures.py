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
    """Medians of 25 starts.

    log|N| has the density 0.429 at its median, so the median of 25 has the standard
    error 0.233 in log|N|: in steps, that over the logarithm of the growth. Four of them
    are allowed.
    """
    _, numbers = figures.escape_times(dimensions=(16, 64))
    d, found, predicted = (
        numbers[name] for name in ("dimensions", "gradients", "predicted")
    )
    q = (np.sqrt(d**2 + 4 * d) - d) / 2 / (d + 4)
    rates = np.stack([np.log1p(q), 0.39 * np.sqrt(q), np.log1p(q)])
    assert np.all(np.abs(found - predicted) * rates < 4 * 0.233)
    # the plain search at the time of the accelerated one would have been seen
    assert np.any(np.abs(found[0] - predicted[1]) * rates[0] > 4 * 0.233)
