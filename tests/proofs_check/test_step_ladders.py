"""Ladders of steps at quick effort: the flow's start time, the floor, the norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import j1

from discretize import NAG_C
from flows import BadInput
from flows.problems import quadratic
from proofs_check.context import Context
from proofs_check.step_ladders import TIME, ladder

QUICK = Context("inertial.ladder", effort="quick")


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def nag_c_by_hand(rate, steps, curvatures):
    """The look-ahead y_k of Su, Boyd and Candès from ones."""
    x = y = np.ones(len(curvatures))
    for k in range(1, steps + 1):
        new = y - rate * curvatures * y
        x, y = new, new + (k - 1) / (k + 2) * (new - x)
    return y


def test_the_flow_starts_at_its_own_time_and_the_floor_bounds_its_error():
    """NAG-C's flow starts at √s/10; its solution on λ x²/2 is 2 J₁(√λ t)/(√λ t)."""
    curvatures, rate = np.array([1.0, 2.5]), 0.01
    problem = (quadratic(curvatures), jnp.ones(2))
    found = ladder(QUICK, NAG_C, [rate], problem=problem)
    z = np.sqrt(curvatures) * TIME
    gap = nag_c_by_hand(rate, round(TIME / np.sqrt(rate)), curvatures) - 2 * j1(z) / z
    error = abs(found.errors[0] - np.linalg.norm(gap))
    # the series at the start, λ³t⁶ at √s/10 beside the Bessel function, is below 1e-13
    assert error < found.floor + 1e-13
    assert 0 < found.floor < 1e-9


def test_the_sup_norm_is_refused():
    with pytest.raises(BadInput, match=r'norm is "end"; got .sup.'):
        ladder(QUICK, NAG_C, [0.01], norm="sup")
