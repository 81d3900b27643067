"""The numbers in the figures on descent's distance from gradient flow."""

import numpy as np
import pytest

from discretize import figures

pytest.importorskip("matplotlib")


def draw(name, **options):
    import matplotlib.pyplot as plt

    figures.discover()
    fig, numbers = figures.FIGURES[name](**options)
    plt.close(fig)
    return numbers


@pytest.mark.slow
def test_smaller_steps_tend_to_the_predicted_distance():
    small = {"rows": 40, "hidden": 3, "steps": 40, "learning_rate": 0.02}
    found = draw("smaller_steps", ratios=(2, 5), **small)
    k, r = found["step"][1:], found["ratios"][:, None]
    gaps, law = found["gaps"][:, 1:], found["predicted"][1:]
    # gap / (1 - 1/r) = η |c| + a (1 + 1/r) + ...: extrapolated to the first term
    two, five = gaps / (1 - 1 / r)
    np.testing.assert_allclose((1.5 * five - 1.2 * two) / 0.3 / law, 1.0, atol=0.01)
    assert np.all(gaps < 0.1 * found["travelled"][1:][None, :])
    assert k[-1] == 40


@pytest.mark.slow
def test_growth_lies_between_convex_and_the_worst_curvature():
    found = draw("growth_of_defects", rows=40, hidden=3, t1=4.0, cells=6)
    t, mu = found["time"][1:], found["mu"]
    assert np.all(found["along"][1:] > t)
    assert np.all(found["along"][1:] < np.expm1(mu * t) / mu)


@pytest.mark.slow
def test_curvature_rises_as_the_loss_falls():
    found = draw("curvature_along_flow", rows=40, hidden=3, t1=4.0, cells=6)
    assert np.all(np.diff(found["loss"]) < 0)
    assert found["e_min"][0] == found["e_min"].min() < 0
    assert 0 < found["area"] < -found["e_min"][0] * 4.0


def test_one_radius_allows_the_largest_certified_step():
    found = draw("certified_step_size", points=9)
    rates = found["learning_rate"]
    peak = int(np.argmax(rates))
    assert 0 < peak < rates.size - 1
    assert found["eps"][peak - 1] < found["best_eps"] < found["eps"][peak + 1]
    assert np.all(found["distance"] < found["shown"])
