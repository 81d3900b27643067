"""The numbers behind the figures of momentum schemes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize import figures


@pytest.fixture(autouse=True)
def closing():
    yield
    plt.close("all")


def test_energy_grows_under_euler_alone():
    _, numbers = figures.momentum_energy(time=12.0)
    assert numbers["euler"][-1] > 2
    assert np.all(np.diff(numbers["euler"]) > 0)
    first, second = (
        np.max(np.abs(numbers[name] - 1)) for name in ("momentum", "splitting")
    )
    assert 0.02 < first < 0.1  # h/2 · κxv against E, at most h/2 · √(κ/m) = 0.06 each
    assert second < first / 10


def test_stability_limits_are_the_closed_forms():
    _, numbers = figures.momentum_stability(points=7)
    m = numbers["masses"]
    root = np.sqrt(1 + 4 * m)
    np.testing.assert_allclose(numbers["implicit"], 1 + root, rtol=1e-7)
    np.testing.assert_allclose(numbers["explicit"], root - 1, rtol=1e-7)
    h = numbers["exponential"]
    np.testing.assert_allclose(h * np.tanh(h / (2 * m)), 2, rtol=1e-6)
    gap = np.maximum(1 - 4 * m, 0)
    np.testing.assert_allclose(numbers["euler"], 1 - np.sqrt(gap), rtol=1e-6)


def test_the_ladder_of_noise():
    _, numbers = figures.minibatch_ladder()
    eta = numbers["rates"]
    np.testing.assert_allclose(numbers["descent"], eta / (2 - eta), rtol=1e-12)
    np.testing.assert_allclose(numbers["fixed"], np.tanh(eta / 2), rtol=1e-12)
    np.testing.assert_allclose(numbers["clock"], eta / (1 + eta), rtol=1e-12)
    ladder = [numbers[k][0] for k in ("clock", "two", "four", "fixed", "matched")]
    assert np.all(np.diff(ladder) < 0)
    np.testing.assert_allclose(np.array(ladder[:3]) / eta[0], [1, 0.75, 0.625], 0.03)
