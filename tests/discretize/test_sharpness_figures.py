"""What the figures of self-stabilisation and of the sphere show, in numbers."""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.integrate

from discretize import figures


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


@pytest.mark.slow
def test_cycles_close_in_the_flow_and_spiral_out_in_descent():
    _, numbers = figures.self_stabilisation_cycles()
    orbit, descent = numbers["orbit"], numbers["descent"]
    np.testing.assert_allclose(orbit[-1], orbit[0], atol=1e-6)
    x, y = descent.T
    energy = y**2 / 2 + x**2 / 4 - 0.2 * np.log(x)
    assert np.all(np.diff(energy) > 0)
    assert energy[0] == pytest.approx(float(numbers["energy"]), rel=1e-12)
    # over the flow's six cycles descent has lagged, but its mean is δ² within a burst
    means = numbers["running_mean"]
    assert abs(means[-1] - 1) < 0.1 < abs(means[:100] - 1).max()
    found = scipy.integrate.solve_ivp(
        lambda t, s: [s[0] * s[1], 0.2 - s[0] ** 2 / 2],
        (0.0, float(numbers["period"])),
        orbit[0],
        rtol=1e-10,
        atol=1e-12,
    ).y[:, -1]
    np.testing.assert_allclose(found, orbit[0], atol=1e-8)


@pytest.mark.slow
def test_weight_decay_follows_its_flow_though_its_cycles_grow():
    _, numbers = figures.weight_decay_on_the_sphere()
    gap = np.abs(numbers["descent"] - numbers["flow"])
    decay = numbers["times"][1]
    assert gap.max() < np.sqrt(decay)
    across, spread = np.abs(numbers["across"]), numbers["spread"]
    swing = across / spread
    assert swing[-500:].max() > 2 * swing[:500].max()
    middle = slice(300, -300)  # away from the ends of the smoothing
    ratio = numbers["smooth"][middle] / spread[middle]
    np.testing.assert_allclose(ratio, 1, atol=0.03)
    assert abs(np.mean(numbers["edge"]) - 2) < 20 * decay
