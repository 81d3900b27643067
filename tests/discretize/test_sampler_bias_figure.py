"""The numbers in the figure of stationary bias."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import integrate

from discretize.figures.sampler_bias import stationary_bias


@pytest.mark.slow
def test_dots_near_lines_that_are_not_fitted():
    steps = (0.1, 0.05)
    fig, numbers = stationary_bias(steps=steps, drawn=steps)
    plt.close(fig)
    powers = {"tula": 1, "mtula": 1, "tusla": 0.5, "theopoula": 0.5}
    for name, power in powers.items():
        assert numbers[f"power_{name}"] == power
        line = numbers[f"constant_{name}"] * np.asarray(steps) ** power
        gap = np.abs(numbers[f"w1_{name}"] / line - 1)
        assert gap[1] < 0.13 and gap[1] < max(gap[0], 0.02) < 0.25
    # the constants of the two powers, from the closed forms by scipy
    assert abs(numbers["constant_tula"] - first_constant(0.5, 0.25, 1.0)) < 1e-4
    tamed = first_constant(0.0, 0.0, 1.0, boost=0.1)
    assert abs(numbers["constant_theopoula"] - tamed) < 1e-4
    for j in range(2):
        x, density = numbers[f"x_tula_{j}"], numbers[f"density_tula_{j}"]
        assert abs(integrate.trapezoid(density, x) - 1) < 1e-3


def first_constant(curvature, square, taming, boost=None):
    """∫|∫_{-∞}^x π(Φ - EΦ)| on a fine grid, Φ' of the double well as in the papers."""
    x = np.linspace(-5.0, 5.0, 20_001)
    g = x**3 - x
    potential = curvature * (3 * x**2 - 1) - square * g**2
    slope = -taming * g * np.abs(g)
    if boost:
        slope = slope + g / (boost + np.abs(g))
    potential = potential + integrate.cumulative_trapezoid(slope, x, initial=0)
    density = np.exp(-((x**2 - 1) ** 2) / 4)
    density /= integrate.trapezoid(density, x)
    tilt = potential - integrate.trapezoid(density * potential, x)
    flux = integrate.cumulative_trapezoid(density * tilt, x, initial=0)
    return integrate.trapezoid(np.abs(flux), x)
