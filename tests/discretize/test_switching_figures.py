"""The numbers behind the figures of switching flows."""

import numpy as np
import pytest
from scipy.stats import beta

from discretize import figures


@pytest.mark.slow
def test_histograms_are_beta_and_triangles_dirichlet():
    """DKW at false alarm 1e-9: 4000 paths refuse laws further than 0.104."""
    shapes = (0.25, 1.0, 4.0)
    _, numbers = figures.beta_laws(shapes=shapes, paths=4000)
    x = (numbers["x"] + 1) / 2
    for shape in shapes:
        name, exact = f"{shape:g}", beta(shape, shape)
        density = numbers[f"density_{name}"]
        np.testing.assert_allclose(density, exact.pdf(x) / 2, rtol=1e-7, atol=1e-9)
        # the first weight on the triangle's top: 2/3 of the height above the middle
        top = (numbers[f"points_{name}"][:, 1] + 0.5) / 1.5
        for found, law in (
            ((numbers[f"positions_{name}"] + 1) / 2, exact),
            (top, beta(shape, 2 * shape)),
        ):
            u = np.sort(law.cdf(found))
            steps = np.arange(len(u)) / len(u)
            assert np.max(np.abs(u - steps)) < np.sqrt(np.log(2e9) / 8000) + 1 / 4000


@pytest.mark.slow
def test_paths_come_closer_to_their_limits():
    _, numbers = figures.switching_paths()
    away = [
        np.max(np.abs(numbers[f"path_{g:g}"] - numbers["flow"])) for g in (0.5, 5, 50)
    ]
    assert away[0] > away[1] > away[2]
    _, numbers = figures.zero_mass_paths()
    away = [
        np.max(np.abs(numbers[f"mass_{m:g}"] - numbers["massless"]))
        for m in numbers["masses"]
    ]
    assert away[0] > away[1] > away[2]
    assert away[2] < 2.5 * 0.05


@pytest.mark.slow
def test_both_limits_have_the_slopes_drawn():
    _, numbers = figures.limit_orders(paths=200, levels=4)
    masses, r = numbers["masses"], 2.0
    exact = masses**2 * r * (2 * r + 1) / ((2 + masses) * (r + 1))
    exact = np.sqrt(exact / (r + 1 + masses * r**2))
    np.testing.assert_allclose(numbers["slow"], exact, rtol=1e-6)
    slopes = np.diff(np.log2(numbers["fast"])) / np.diff(np.log2(masses))
    np.testing.assert_allclose(slopes, 0.5, atol=0.06)
    rates = numbers["rates"]
    scaled = numbers["averaging_exact"] * np.sqrt(rates)
    assert scaled[-1] == pytest.approx(np.sqrt(1 - np.exp(-4)), rel=0.01)
    assert np.all(numbers["averaging"] > numbers["averaging_exact"])
    assert np.all(numbers["sup"] < 2.6 * masses)
