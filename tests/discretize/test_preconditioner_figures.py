"""The numbers that the figures of RMSProp's preconditioner show."""

import jax
import numpy as np
import pytest

from discretize.figures.preconditioners import (
    preconditioner_speed,
    stationary_memory,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    import matplotlib.pyplot as plt

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


def test_the_memory_is_near_rest_at_the_edge_and_not_before():
    _, numbers = stationary_memory(steps=250, every=12, shown=228)
    late = numbers["steps"] > 150
    assert np.all(numbers["stationary"][late] > 0.99)
    assert np.all(numbers["gradient"][late] < 0.75)
    assert np.min(numbers["stationary"]) < 0.9
    actual, rest, gradient = numbers["entries"]
    np.testing.assert_allclose(rest, actual, rtol=0.15)
    assert np.median(gradient / actual) < 0.1


def test_the_least_trace_is_fastest():
    _, numbers = preconditioner_speed(steps=250, every=12)
    least, rest = numbers["first_term"], numbers["stationary"]
    assert np.all(rest <= least * (1 + 1e-9))
    ratio = rest / numbers["scalar"]
    assert np.min(ratio) < 0.9 and np.all(ratio[-5:] > 1)
