"""The numbers behind the figures of stability thresholds."""

import jax
import numpy as np
import pytest

from discretize import figures


def test_thresholds_by_momentum():
    _, numbers = figures.thresholds_by_momentum(marked=0.5)
    beta = numbers["beta"]
    np.testing.assert_allclose(numbers["gd"], 2.0)
    np.testing.assert_allclose(numbers["polyak"], 2 * (1 + beta), rtol=1e-12)
    mean = 2 * (1 + beta) / (1 - beta)
    np.testing.assert_allclose(numbers["adam"], mean, rtol=1e-12)
    nesterov = numbers["polyak"] / (1 + 2 * beta)
    np.testing.assert_allclose(numbers["nesterov"], nesterov, rtol=1e-12)
    np.testing.assert_allclose(numbers["nadam"], mean / (1 + 2 * beta), rtol=1e-12)
    assert numbers["adam_at_mark"] == pytest.approx(6)
    assert "6/η" in numbers.caption


@pytest.mark.slow
def test_adam_comes_to_its_edge_on_digits():
    with jax.numpy_dtype_promotion("standard"):
        _, numbers = figures.adaptive_edge_of_stability(every=60)
    for b1, edge in ((0, 2), (0.5, 6), (0.9, 38)):
        assert numbers[f"edge_{b1:g}"] == pytest.approx(edge, rel=1e-12)
        curve = numbers[f"b1_{b1:g}"]
        assert curve[0] < edge / 5
        assert np.median(curve[-8:]) == pytest.approx(edge, rel=0.1)
