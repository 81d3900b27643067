"""The figure on kinetic schemes: its numbers against closed forms."""

import matplotlib.pyplot as plt
import numpy as np

from discretize import figures


def test_kinetic_bias_shows_the_closed_forms():
    fig, numbers = figures.kinetic_bias(points=6)
    plt.close(fig)
    s = 1 - numbers["h"] ** 2 / 4
    exact = {"rtol": 1e-9, "atol": 0}
    np.testing.assert_allclose(numbers["baoab_position"], 1, **exact)
    np.testing.assert_allclose(numbers["baoab_velocity"], s, **exact)
    np.testing.assert_allclose(numbers["obabo_position"], 1 / s, **exact)
    np.testing.assert_allclose(numbers["obabo_velocity"], 1, **exact)
    first = {name: numbers[f"{name}_position"][0] - 1 for name in ("euler", "klmc")}
    h = numbers["h"][0]
    np.testing.assert_allclose(first["euler"] / h, 1.0, rtol=0.05)  # k/γ
    np.testing.assert_allclose(first["klmc"] / h, 0.5, rtol=0.05)  # k/2γ
    np.testing.assert_allclose(
        (numbers["ubu_position"][0] - 1) / h**2, -1 / 6, rtol=1e-3
    )
    assert np.isnan(numbers["euler_position"][-1])  # unstable there
