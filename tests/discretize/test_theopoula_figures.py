"""The numbers in the figures of TheoPouLa's boosting and of the steep well."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize import figures
from discretize.figures.boosting import critical_eps, cycle_amplitude, plateau_steps


def test_the_cycle_solves_its_equation():
    """2 |x| = λ H(a|x|) with H written out: the step from x leads to -x."""
    for rate, a, eps in ((0.1, 1.0, 1e-8), (0.1, 1.0, 0.0158), (0.01, 3.0, 1e-4)):
        x = cycle_amplitude(rate, a, eps)
        g, s = a * x, np.sqrt(rate)
        moved = rate * g / (1 + s * g) * (1 + s / (eps + g))
        assert moved == pytest.approx(2 * x, rel=1e-12)
        assert eps < critical_eps(rate, a)
    assert cycle_amplitude(0.1, 1.0, 1.01 * critical_eps(0.1, 1.0)) == 0.0
    assert plateau_steps(0.1, 1.0, most=100) == -1


@pytest.mark.slow
def test_boosting_trades_speed_for_rest():
    fig, numbers = figures.boosting_trade_off()
    plt.close(fig)
    assert numbers["critical"] == pytest.approx(0.1**1.5 / 1.9)
    np.testing.assert_allclose(numbers["amplitude"], numbers["predicted"], rtol=1e-6)
    assert np.all(np.diff(numbers["steps"]) >= 0)
    assert numbers["steps"][0] == 93
    assert numbers["without"] == 13942
    assert np.all(np.diff(numbers["amplitude"]) <= 1e-12)


@pytest.mark.slow
def test_who_arrives_in_the_steep_well():
    fig, numbers = figures.thirtieth_power_well()
    plt.close(fig)
    assert np.all(np.abs(numbers["TheoPouLa_final"]) < 0.1)
    for name in ("Adam", "AMSGrad", "RMSProp"):
        assert np.all(numbers[f"{name}_final"] > 2.5)
    assert not np.any(np.isfinite(numbers["SGD_final"]))
    finite = np.isfinite(numbers["TUSLA_final"])
    np.testing.assert_array_equal(finite, [True, False, False])
    assert np.all(np.array(numbers["first_hits"]) >= 3.9 / np.sqrt(numbers["rates"]))
