"""The numbers that the figures of backward error analysis show."""

import jax
import numpy as np
import pytest

from discretize.figures.backward_error import (
    heavy_ball_orders,
    heavy_ball_slip,
    modified_curl,
    modified_orders,
    principal_flow,
)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    import matplotlib.pyplot as plt

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


@pytest.mark.slow
def test_the_principal_flow_passes_through_every_iterate():
    _, numbers = principal_flow(products=(0.5, 2.1), steps=4)
    for a in (0.5, 2.1):
        dots = numbers[f"gradient_descent_{a:g}"]
        np.testing.assert_allclose(dots[:, 0], (1 - a) ** np.arange(5.0), rtol=1e-12)
        through = numbers[f"principal_flow_{a:g}"][::30]
        np.testing.assert_allclose(through, dots, atol=1e-8)
        others = numbers[f"gradient_flow_{a:g}"][::30]
        assert np.max(np.abs(others - dots)) > 0.05


@pytest.mark.slow
def test_only_the_second_term_does_no_work_round_a_circle():
    _, numbers = modified_curl(size=5)
    second, third = numbers["work"]
    assert abs(second[-1]) < 1e-6 * np.max(np.abs(second))
    assert abs(third[-1]) > 0.1 * np.max(np.abs(third))


@pytest.mark.slow
def test_the_slopes():
    _, numbers = modified_orders(terms=3, levels=4)
    np.testing.assert_allclose(numbers["slopes"], [1, 2, 3], atol=0.1)
    _, numbers = heavy_ball_orders(levels=5)
    np.testing.assert_allclose(numbers["slopes"], [1, 1, 2, 3], atol=0.05)


@pytest.mark.slow
def test_the_slip_takes_the_distance_away():
    _, numbers = heavy_ball_slip()
    late = slice(30, None)
    with_slip, without = (numbers[f"distance_slip_{k}"][late] for k in (2, 0))
    assert np.all(with_slip < without / 5)
    assert without[0] > 0.01
