"""The largest distance of two processes on one path of the label."""

import jax.numpy as jnp
import numpy as np
import pytest

import flows
import sde
from flows import BadInput


@pytest.mark.slow
def test_the_largest_gap_is_that_on_a_fine_grid():
    losses = flows.quadratic_sum([[1.0], [-1.0], [0.3]], [0.5, 1.0, 2.0])
    process = sde.StochasticGradientMomentumProcess(
        losses, sde.UniformIndex(3, 1.0), 0.05, 0.9
    )
    zero = jnp.zeros(1)
    options = {"t1": 3.0, "paths": 20, "events": 24}
    momentum = sde.SwitchingMomentumState(zero, zero, None)
    heavy = sde.simulate_skeletons(process, momentum, key=1, **options)
    start = sde.SwitchingState(zero, None)
    limit = sde.zero_mass(process)
    light = sde.simulate_skeletons(limit, start, key=1, **options)
    found = np.asarray(sde.largest_gap(heavy, light))
    times = np.linspace(0, 3, 400)
    one, other = (np.asarray(run.at(times).position) for run in (heavy, light))
    on_grid = np.max(np.abs(one - other)[..., 0], axis=0)
    # the gap moves by less than sup|v - v'| dt between grid times
    assert np.all(on_grid <= found * 1.01)
    np.testing.assert_allclose(found, on_grid, atol=4.0 * 3 / 400)
    with pytest.raises(BadInput, match="different times"):
        again = sde.simulate_skeletons(limit, start, key=2, **options)
        sde.largest_gap(heavy, again)
    with pytest.raises(BadInput, match="two runs of skeletons"):
        sde.largest_gap(heavy, light.final)
