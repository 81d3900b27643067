"""The map of distances to Newton's path against first-order laws."""

import matplotlib
import numpy as np
import pytest

from discretize import figures

matplotlib.use("Agg")
CURVATURES, START = np.array([0.3, 3.0]), np.array([2.0, 1.0])


@pytest.fixture(scope="module")
def numbers():
    import matplotlib.pyplot as plt

    fig, found = figures.distance_to_newton(levels=9)
    plt.close(fig)
    return found


def test_a_small_friction_follows_its_law(numbers):
    """α ≪ βλ, β = 1: the distance is α |x₀/λ| t e^{-t}, largest at t = 1."""
    law = np.linalg.norm(START / CURVATURES) / np.e
    i = 2  # α = 1.8e-3, ε = 1e-4
    measured = numbers["distance"][i, 0] / numbers["friction"][i]
    assert measured == pytest.approx(law, rel=0.08)  # ε/α of it, and α/λ


def test_a_small_mass_follows_its_law(numbers):
    """ε -> 0 from rest: ε |x₀/λ| at the end of the boundary layer, within α's share."""
    law = np.linalg.norm(START / CURVATURES)
    j = 2
    measured = numbers["distance"][0, j] / numbers["mass"][j]
    assert measured == pytest.approx(law, rel=0.08)


def test_the_larger_effect_decides(numbers):
    """The corner of a contour: within a factor 2 of the larger of the two edges."""
    d = numbers["distance"]
    edges = np.maximum(d[0][None, :], d[:, 0][:, None])
    assert np.all(d[:5, :5] <= 2 * edges[:5, :5])
    assert np.all(d[:5, :5] >= 0.5 * edges[:5, :5])
    assert d[-1, -1] > 1000 * d[0, 0]


def test_newton_is_the_straight_line(numbers):
    x = numbers["newton"]
    np.testing.assert_allclose(x[:, 0] * START[1], x[:, 1] * START[0], atol=1e-15)
    gaps = np.max(np.linalg.norm(numbers["paths"] - x, axis=-1), axis=1)
    assert gaps[0] < 0.1 < min(gaps[1:])
