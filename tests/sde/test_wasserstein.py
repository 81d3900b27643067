"""Wasserstein distances on the line against closed forms, scipy and sorting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from flows import BadInput
from sde import Counts, wasserstein
from sde.wasserstein import QuantileLaw, sample_law

VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


def counts_of(values, edges):
    """The histogram that is streamed, by numpy."""
    values = np.asarray(values, float)
    inside, _ = np.histogram(values, edges)
    below, above = np.sum(values < edges[0]), np.sum(values > edges[-1])
    ends = values.min(), values.max()
    rows = [np.array([a]) for a in (below, above, 0, *ends)]
    return Counts(np.asarray(edges, float), inside[None], *rows)


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES)
def test_distances_of_two_samples(x, y):
    assert wasserstein(x, y).bound == 0
    np.testing.assert_allclose(
        wasserstein(x, y).value, wasserstein_distance(x, y), rtol=1e-9, atol=1e-12
    )
    # equal numbers: the sorted values are matched
    a, b = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
    second = wasserstein(x, y, order=2).value
    np.testing.assert_allclose(
        second, np.sqrt(np.mean((a - b) ** 2)), rtol=1e-9, atol=1e-7
    )
    assert second >= wasserstein(x, y).value - 1e-9


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES, st.sampled_from([1, 2]), st.integers(1, 9))
def test_a_histogram_is_within_its_bound_of_the_sample(x, y, order, bins):
    edges = np.linspace(-3, 3, bins + 1)  # some values lie outside
    found = counts_of(x, edges).wasserstein(y, order=order)
    exact = wasserstein(x, y, order=order).value
    assert abs(found.value - exact) <= found.bound + 1e-7
    assert found.bound <= max(6 / bins, 5 + 3) / np.sqrt(order + 1) + 1e-9
    both = counts_of(x, edges).wasserstein(counts_of(y, edges), order=order)
    assert abs(both.value - exact) <= both.bound + 1e-7


@pytest.mark.parametrize("order", [1, 2])
def test_distances_to_a_quantile_function(order):
    """Midpoints of n cells are 1/4n (W1) and 1/(√12 n) (W2) from the uniform law."""
    n = 1000
    found = wasserstein((np.arange(n) + 0.5) / n, lambda u: u, order=order)
    exact = {1: 1 / (4 * n), 2: 1 / (np.sqrt(12) * n)}[order]
    # a kink within each interval: the quadrature of W1 is off, and says so
    assert abs(found.value - exact) <= found.bound + 1e-12 * exact
    assert found.bound < 0.1 * exact
    # a shifted and stretched normal law, from masses in quantile bins
    u = np.concatenate([norm.cdf(np.linspace(-8, 0, 400)), [1.0]])
    u = np.concatenate([u[:-1], 1 - u[:-2][::-1]])
    q = norm.ppf(np.clip(u, 1e-17, 1 - 1e-16))
    law = QuantileLaw(np.diff(u) / np.sum(np.diff(u)), q[:-1], q[1:])
    shifted = wasserstein(law, norm(0.5, 1.2 if order == 2 else 1.0), order=order)
    exact = np.hypot(0.5, 0.2) if order == 2 else 0.5
    np.testing.assert_allclose(shifted.value, exact, rtol=2e-4)
    assert abs(shifted.value - exact) <= shifted.bound < 0.03


def test_slices_of_a_long_sample_make_one_distance(monkeypatch):
    import sys

    module = sys.modules["sde.wasserstein"]
    x = np.random.default_rng(0).normal(size=1000)
    whole = wasserstein(x, norm())
    monkeypatch.setattr(module, "_SLICE", 64)
    np.testing.assert_allclose(wasserstein(x, norm()), whole, rtol=1e-12)
    # W1 of the empirical law to its own is at most ∫√(F(1-F)/n) in the mean
    assert whole.value < 3 * 1.6 / np.sqrt(1000)
    assert wasserstein(x + 0.5, norm()).value > 0.4


@given(VALUES, st.floats(0, 1), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_quantiles_stand_in_their_bins(x, q, bins):
    found = counts_of(x, np.linspace(-3, 3, bins + 1)).quantile(q)
    exact = np.quantile(x, q, method="inverted_cdf")
    slack = 1e-12 * (1 + abs(exact))
    assert found.lower - slack <= exact <= found.upper + slack
    assert found.lower <= found.value <= found.upper


def test_what_is_no_reference_is_refused():
    x = np.zeros(3)
    for wrong, words in [
        (None, "quantile function"),
        ("normal", "quantile function"),
        ([], "finite"),
        ([np.inf], "finite"),
        ([object()], "real numbers"),
        (lambda u: 1.0, "as many"),
        (lambda u: np.full_like(u, np.nan), "finite numbers"),
        (lambda u: -u, "decrease"),
        (lambda u: u["a"], "fails"),
    ]:
        with pytest.raises(BadInput, match=words):
            wasserstein(x, wrong)
    for order in (0, 3, True):
        with pytest.raises(BadInput, match="order"):
            wasserstein(x, x, order=order)
    counts = counts_of(x, [0.0, 1.0])
    with pytest.raises(BadInput, match="saved times"):
        counts.law(at=1)
    with pytest.raises(BadInput, match="probabilities"):
        counts.quantile([0.5, 1.5])
    with pytest.raises(BadInput, match="same edges"):
        counts.merge(counts_of(x, [0.0, 2.0]))
    empty = counts._replace(inside=np.zeros((1, 1), int))
    with pytest.raises(BadInput, match="no path"):
        empty.law()
    law = sample_law([2.0, 1.0])
    np.testing.assert_array_equal(law.low, [1.0, 2.0])
