"""The numbers that the figures of tamed schemes show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize import figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.slow
def test_the_tamed_path_stays_where_eulers_leaves():
    _, shown = figures.tamed_paths()
    assert shown["threshold"] == pytest.approx(np.sqrt(21))
    assert shown["euler"][0] == shown["tamed"][0] > shown["threshold"]
    assert np.all(np.abs(shown["tamed"][1:]) < shown["threshold"])
    growth = np.abs(shown["euler"])
    assert np.all(np.diff(growth) > 0)
    assert len(shown["euler"]) < 15
    assert growth[-1] > 1e100


def test_the_taming_map_is_bounded_boosted_and_odd():
    _, shown = figures.taming_map(h=0.1)
    g, root = shown["gradient"], shown["root"]
    assert np.abs(shown["tula"]).max() < 1
    for eps in (1.0, 0.1, 1e-3):
        curve = shown[f"polygonal_{eps:g}" if eps > 1e-3 else "polygonal_1e-3"]
        assert np.abs(curve).max() < root
        np.testing.assert_allclose(curve, -curve[::-1], atol=1e-17)
        # the slope at 0 is h (1 + √h/ε)
        middle = len(g) // 2
        slope = curve[middle + 1] / g[middle + 1]
        low = 0.1 * (1 + root / (eps + g[middle + 1]))
        assert slope == pytest.approx(low, rel=1e-4)
    np.testing.assert_allclose(shown["identity"], 0.1 * g)
    assert np.abs(shown["clip"]).max() == pytest.approx(root)


@pytest.mark.slow
def test_strong_errors_show_the_slopes():
    """Bands of a quarter around the orders; their noise is below 0.05."""
    _, shown = figures.strong_errors(paths=500, levels=5)
    orders = {"euler": (1, 0.5), "tamed": (1, 0.5), "half": (0.5, 0.5)}
    for name, (additive, multiplicative) in orders.items():
        assert abs(shown[f"additive_{name}_slope"] - additive) < 0.25
        assert abs(shown[f"multiplicative_{name}_slope"] - multiplicative) < 0.25
    assert abs(shown["multiplicative_milstein_slope"] - 1) < 0.25
    same = shown["additive_milstein"] - shown["additive_tamed"]
    assert np.all(same == 0)
