"""Distances between laws on the line, against closed forms and scipy on samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from discretize import (
    kl_divergence_1d,
    total_variation_1d,
    wasserstein_1d,
    wasserstein_quantiles,
)
from discretize.chain_laws.distances import from_both_tails
from flows import BadInput

NODES = np.linspace(-9.0, 9.0, 301)
STANDARD = stats.norm.pdf(NODES)


def gaussian_distances(mean, sd):
    """W₁, W₂, TV, KL of N(mean, sd²) from N(0, 1), TV by scipy's distributions."""
    stretch = abs(sd - 1)
    shape = stats.foldnorm(abs(mean) / stretch, scale=stretch) if stretch else None
    w1 = shape.mean() if shape else abs(mean)
    # the densities cross where a x² + b x + c = 0
    a, b = 1 - 1 / sd**2, 2 * mean / sd**2
    c = -(mean**2) / sd**2 - 2 * np.log(sd)
    cuts = np.sort(np.roots([a, b, c])) if a else np.array([mean / 2])
    ends = np.concatenate([[-np.inf], cuts.real, [np.inf]])
    masses = np.diff(stats.norm.cdf(ends, mean, sd)) - np.diff(stats.norm.cdf(ends))
    kl = (sd**2 + mean**2 - 1) / 2 - np.log(sd)
    return w1, np.hypot(mean, sd - 1), np.abs(masses).sum() / 2, kl


@settings(max_examples=12, deadline=None)
@given(st.floats(-0.8, 0.8), st.floats(0.8, 1.25))
def test_gaussians_within_the_stated_bounds(mean, sd):
    if abs(mean) + abs(sd - 1) < 1e-3:
        return
    p = stats.norm.pdf(NODES, mean, sd)
    found = [
        wasserstein_1d(NODES, p, STANDARD),
        wasserstein_1d(NODES, p, STANDARD, order=2),
        total_variation_1d(NODES, p, STANDARD),
        kl_divergence_1d(NODES, p, STANDARD),
    ]
    for distance, exact in zip(found, gaussian_distances(mean, sd), strict=True):
        assert abs(distance.value - exact) <= distance.bound + 1e-12
        assert distance.bound <= 1e-6 * exact + 1e-9


def test_a_small_bias_keeps_its_digits():
    """Both laws differ by 5e-4, a thousandth of what the tails could spoil."""
    mean, sd = 1e-4, 1 + 5e-4
    p = stats.norm.pdf(NODES, mean, sd)
    w1, w2, _, kl = gaussian_distances(mean, sd)
    assert wasserstein_1d(NODES, p, STANDARD).value == pytest.approx(w1, rel=1e-8)
    assert wasserstein_1d(NODES, p, STANDARD, 2).value == pytest.approx(w2, rel=1e-8)
    assert kl_divergence_1d(NODES, p, STANDARD).value == pytest.approx(kl, rel=1e-6)


def test_skewed_laws_against_scipy_on_fine_samples():
    """Two gamma laws shifted; samples of 10⁵ quantiles carry W₁ to 1e-4."""
    first, second = stats.gamma(6.0, loc=-6.0), stats.gamma(9.0, loc=-8.5, scale=0.8)
    x = np.linspace(-12.0, 30.0, 1201)
    u = (np.arange(100_000) + 0.5) / 100_000
    exact = stats.wasserstein_distance(first.ppf(u), second.ppf(u))
    found = wasserstein_1d(x, first.pdf, second.pdf)
    assert found.value == pytest.approx(exact, rel=2e-4)
    squares = np.sqrt(np.mean((first.ppf(u) - second.ppf(u)) ** 2))
    assert wasserstein_1d(x, first.pdf, second.pdf, 2).value == pytest.approx(
        squares, rel=1e-3
    )
    by_quantiles = wasserstein_quantiles(first.ppf, second.ppf)
    assert by_quantiles.value == pytest.approx(found.value, rel=1e-4)


def test_quantile_functions_of_gaussians():
    shifted = stats.norm(0.3, 1.1)
    found = wasserstein_quantiles(shifted.ppf, stats.norm.ppf, 2)
    assert found.value == pytest.approx(np.hypot(0.3, 0.1), rel=1e-12)
    assert found.bound < 1e-12


def test_a_coarse_grid_admits_it():
    """The bound covers the error where the nodes barely resolve the densities."""
    x = np.linspace(-8.0, 8.0, 25)
    p, q = stats.norm.pdf(x, 0.2, 1.1), stats.norm.pdf(x)
    exact = gaussian_distances(0.2, 1.1)
    for order, wanted in ((1, exact[0]), (2, exact[1])):
        found = wasserstein_1d(x, p, q, order)
        assert abs(found.value - wanted) <= found.bound
        assert found.bound > 1e-5


def test_both_tails_keep_their_digits():
    """A one-sided sum leaves rounding of the whole where nothing is left."""
    x = np.linspace(-12.0, 12.0, 2001)
    masses = [
        np.where(
            x[1:] < 0, np.diff(stats.norm.cdf(x, m)), -np.diff(stats.norm.sf(x, m))
        )
        for m in (0.1, 0.0)
    ]
    pieces = masses[0] - masses[1]
    flux = from_both_tails(pieces)
    exact = stats.norm.sf(x) - stats.norm.sf(x, 0.1)
    far = (x > 6) & (x < 9.5)
    assert np.max(np.abs(flux[far] / exact[far] - 1)) < 1e-9
    one_sided = np.concatenate([[0.0], np.cumsum(pieces)])
    assert np.max(np.abs(one_sided[far] / exact[far] - 1)) > 1e-2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 3}, "order is 1 or 2"),
        ({"nodes": NODES[::-1]}, "increase"),
        ({"nodes": NODES[:10]}, "m >= 24"),
        ({"p": 2 * STANDARD}, "mass 2"),
        ({"p": STANDARD[:-1]}, "at the 301 nodes"),
        ({"p": STANDARD - 0.1}, "negative"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"nodes": NODES, "p": STANDARD, "q": STANDARD, **change}
    with pytest.raises(BadInput, match=message):
        wasserstein_1d(**given)


def test_bad_quantiles_are_named():
    with pytest.raises(BadInput, match="elementwise"):
        wasserstein_quantiles(lambda u: np.zeros(3), stats.norm.ppf)
    with pytest.raises(BadInput, match="order"):
        wasserstein_quantiles(stats.norm.ppf, stats.norm.ppf, 3)
