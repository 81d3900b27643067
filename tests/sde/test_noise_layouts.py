"""Long runs take two steps at a time; what they give is that of single steps."""

import jax.numpy as jnp
import numpy as np
import pytest
from sde_helpers import EulerMaruyama

import flows
import sde
from sde import chunk

F = flows.from_loss(lambda x: jnp.sum(x**2) / 2 + x[0] ** 4, jnp.zeros(2))
MODEL = sde.OverdampedLangevin(F, 0.5)


def run(save, t1=0.34, h=0.02, start=1.0, noise=None):
    return sde.simulate(
        MODEL,
        jnp.full(2, start),
        t1=t1,
        scheme=EulerMaruyama(),
        h=h,
        key=4,
        paths=30,
        save=save,
        noise=noise,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps",
    [
        [2, 6, 14],  # even: pairs alone
        [1, 2, 5, 8, 9],  # a single step before the pairs, after them, or nothing else
    ],
)
def test_steps_in_pairs_are_single_steps(monkeypatch, steps):
    times = 0.02 * np.array(steps)
    single = run(times)
    monkeypatch.setattr(chunk, "_LONG", 1)
    # states of order 1 after nine contracting steps: differences are of rounding
    np.testing.assert_allclose(run(times).states, single.states, rtol=1e-5)
    if len(steps) == 3:  # control: other noise
        other = run(times, noise="inversion-float32")
        assert np.max(np.abs(other.states - single.states)) > 0.1


def test_the_failing_step_is_found_within_a_pair(monkeypatch):
    """Around |x| = 1.5 the noise decides when Euler's steps of x + 4x³ run away."""
    start = {"t1": 4.0, "h": 0.2, "start": 1.5}
    single = run("final", **start)
    monkeypatch.setattr(chunk, "_LONG", 1)
    paired = run("final", **start)
    times = single.failures.times
    assert set(np.rint(times / 0.2).astype(int) % 2) == {0, 1}
    np.testing.assert_array_equal(paired.failures.indices, single.failures.indices)
    np.testing.assert_array_equal(paired.failures.times, times)
