"""The numbers behind the figures of explosion and of excess risk."""

import numpy as np
import pytest

from discretize import figures


@pytest.mark.slow
def test_the_explosion_curve_falls_below_what_simulation_sees():
    _, numbers = figures.explosion_by_step(points=3, paths=1000)
    h, exact = numbers["h"], numbers["exact_1"]
    assert np.all(np.diff(h) < 0)
    assert np.all(np.diff(exact) < 0)
    assert exact[0] > 0.9
    assert exact[-1] < 1e-12
    assert np.all(numbers["exact_2"] > exact)
    for temperature in (1, 2):
        tried = numbers[f"tried_{temperature}"]
        at = np.interp(-tried, -h, numbers[f"exact_{temperature}"])
        # five standard errors: a false alarm has probability 6e-7
        error = np.sqrt(at * (1 - at) / 1000)
        assert np.all(
            np.abs(numbers[f"simulated_{temperature}"] - at) < 5 * error + 2e-3
        )


@pytest.mark.slow
def test_excess_risk_is_not_monotone_and_theopoula_is_colder():
    _, numbers = figures.excess_by_temperature(h=0.1, betas=(20.0,))
    beta, gibbs = numbers["beta"], numbers["gibbs"]
    scaled = beta * gibbs
    assert scaled[0] == pytest.approx(0.332946, abs=1e-6)
    assert scaled.max() > 0.86
    assert scaled[-1] == pytest.approx(0.5, abs=0.003)
    assert numbers["tula"][0] == pytest.approx(0.03735, abs=1e-5)
    assert numbers["theopoula"][0] == pytest.approx(0.02337, abs=1e-5)
    at = np.interp(20.0, beta, gibbs)
    assert numbers["theopoula"][0] < at < numbers["tula"][0]
