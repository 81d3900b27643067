"""The numbers in the figures of the edge of stability."""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize.figures.edge_of_stability import valley_at_the_edge, wall_of_sharpness


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


def test_the_wall_is_met_followed_and_left():
    _, numbers = wall_of_sharpness(steps=400)
    t, variance = numbers["times"], numbers["variance"]
    sliding = (t > numbers["entry"]) & (t < numbers["exit"])
    p = numbers["central"][:, 1]
    assert np.all(p[sliding] == 0) and np.all(p[~sliding] < 1e-12)
    assert np.all(variance[sliding] > 0) and np.all(variance[~sliding] == 0)
    # descent's x² beside it, once the transient of its entry is over
    steps = np.arange(60, 250)
    x = numbers["descent"][steps, 0]
    gap = np.abs(x**2 - np.interp(steps, t, variance))
    assert gap.max() < 0.1 * variance.max()


@pytest.mark.slow
def test_descent_ends_at_the_bar_of_the_central_flow():
    _, numbers = valley_at_the_edge(steps=600)
    variance = numbers["variance"][-1]
    np.testing.assert_allclose(variance, 0.06, rtol=1e-9)
    np.testing.assert_allclose(numbers["central"][-1], 0.0, atol=1e-9)
    np.testing.assert_allclose(numbers["gradient_flow"][-1], [0.0, 0.25], atol=1e-8)
    ends = numbers["descent"][-2:]
    np.testing.assert_allclose(ends[0], ends[1] * [-1, 1], atol=1e-4)
    np.testing.assert_allclose(ends[:, 0] ** 2, variance, rtol=1e-3)
