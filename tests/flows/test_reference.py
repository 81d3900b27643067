"""Reference solutions against a closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from flows import BadInput, GradientFlow, reference
from flows.problems import quadratic

FLOW = GradientFlow(quadratic([1.0, 4.0]))
X = jnp.array([1.0, -2.0])


def test_a_reference_is_right_to_rounding_at_every_time():
    times = np.array([0.5, 1.0, 2.0])
    run = reference(FLOW, X, times, t0=0.25)
    exact = np.exp(-np.outer(times - 0.25, [1.0, 4.0])) * np.asarray(X)
    np.testing.assert_allclose(run.states, exact, rtol=1e-11)
    np.testing.assert_array_equal(run.times, times)


@pytest.mark.slow
def test_one_time_gives_the_end_and_a_tolerance_is_obeyed():
    exact = np.exp(-np.array([1.0, 4.0])) * X
    errors = [
        float(np.max(np.abs(reference(FLOW, X, 1.0, tolerance=tol).states[-1] - exact)))
        for tol in (1e-4, 1e-7, 1e-10)
    ]
    assert errors[0] > 30 * errors[1] > 900 * errors[2]


def test_bad_tolerances_and_times_are_refused():
    with pytest.raises(BadInput, match="tolerance"):
        reference(FLOW, X, 1.0, tolerance=-1e-3)
    with pytest.raises(BadInput, match="t1 > t0"):
        reference(FLOW, X, [0.0])
