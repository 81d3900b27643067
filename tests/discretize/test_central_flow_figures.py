"""What the figures of central flows on digits show, in numbers."""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize import figures


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


@pytest.mark.slow
def test_sharpness_stops_at_the_edge_and_only_the_central_flow_stays_near():
    _, numbers = figures.edge_of_stability_on_digits()
    edge = float(numbers["edge"])
    late = numbers["steps"] > 200
    assert abs(np.median(numbers["sharpness"][late]) / edge - 1) < 0.03
    assert numbers["central_sharpness"].max() < 1.0005 * edge
    assert numbers["gradient_flow_sharpness"][-1] > 1.25 * edge
    assert numbers["central_distance"][-1] < 0.2 * numbers["gradient_flow_distance"][-1]
    # gradient descent's loss rises on some steps, the central flow's on none
    assert np.sum(np.diff(numbers["loss"]) > 0) > 10
    assert np.all(np.diff(numbers["central_loss"]) < 0)


@pytest.mark.slow
def test_scalar_rmsprop_has_the_loss_and_the_oscillation_that_are_predicted():
    _, numbers = figures.scalar_rmsprop_on_digits()
    middle = slice(40, 160)  # away from the ends of the smoothing
    mean = numbers["smoothed_loss"][middle]
    assert np.median(np.abs(numbers["corrected_loss"][middle] / mean - 1)) < 0.03
    assert np.median(np.abs(numbers["flow_loss"][middle] / mean - 1)) > 0.1
    seen = numbers["squared_oscillation"][middle].mean()
    said = numbers["predicted_squared_oscillation"][middle].mean()
    assert seen == pytest.approx(said, rel=0.1)
    assert numbers["central_distance"][-1] < 0.1 * numbers["stable_distance"][-1]


@pytest.mark.slow
def test_the_force_of_the_oscillation_makes_steps_longer():
    _, numbers = figures.acceleration_by_regularisation()
    small, large = (f"{eta:g}" for eta in numbers["learning_rates"])
    for eta in (small, large):
        whole, without = f"{eta}", f"{eta}_ablated"
        assert numbers[f"loss_{whole}"][-1] < 0.95 * numbers[f"loss_{without}"][-1]
        assert numbers[f"step_{whole}"][-1] > 1.05 * numbers[f"step_{without}"][-1]
        # at the edge the step is 2/S
        product = numbers[f"step_{whole}"][-50:] * numbers[f"sharpness_{whole}"][-50:]
        np.testing.assert_allclose(product, 2.0, rtol=1e-3)
    gain = numbers[f"loss_{small}"][-1] / numbers[f"loss_{large}"][-1]
    without = (
        numbers[f"loss_{small}_ablated"][-1] / numbers[f"loss_{large}_ablated"][-1]
    )
    assert gain > 1.3 > 1.15 > without
