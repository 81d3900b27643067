"""The memory at rest by Hessian-vector products, against the convex program."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flows import BadInput, CentralFlow, SolveFailed, from_loss, stationary_scalar
from flows.central import (
    GradientDescent,
    RMSProp,
    ScalarRMSProp,
    covariance_trace,
    rest_memory,
    stationary_preconditioner,
)

ETA, DECAY, SIZE = 0.3, 0.9, 4


def quadratic_loss(params, data):
    slope, matrix = data
    return jnp.mean(slope @ params) + 0.5 * params @ (matrix[0] @ params)


def instance(n=6, seed=3):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n))
    h, g = 0.5 * (a + a.T), 0.1 * rng.standard_normal(n)
    data = (jnp.asarray(g)[None], jnp.asarray(h)[None])
    return from_loss(quadratic_loss, jnp.zeros(n), data), h, g


@pytest.mark.slow
def test_the_memory_rests_at_the_minimiser_of_the_program():
    objective, h, g = instance()
    rest = partial(rest_memory, x=jnp.zeros(6), size=SIZE)
    found = rest(CentralFlow(objective, RMSProp(ETA, DECAY)))
    program = stationary_preconditioner(h, g, ETA)
    np.testing.assert_allclose(found.preconditioner, program.preconditioner, rtol=1e-7)
    v, x = np.asarray(found.block.vectors), np.asarray(found.covariance)
    u, w = program.vectors, program.covariance
    np.testing.assert_allclose(v @ x @ v.T, u @ w @ u.T, atol=1e-8)
    assert program.vectors.shape[1] == 2
    # the speed of forgetting moves the path, not the rest
    other = rest(CentralFlow(objective, RMSProp(ETA, 0.5)))
    np.testing.assert_allclose(other.memory, found.memory, rtol=1e-6)
    with pytest.raises(SolveFailed, match="not at rest"):
        rest(CentralFlow(objective, RMSProp(ETA, DECAY)), rounds=3)


@pytest.mark.slow
def test_the_scalar_memory_rests_at_its_closed_form():
    objective, h, g = instance()
    flow = CentralFlow(objective, ScalarRMSProp(ETA, DECAY))
    found = rest_memory(flow, jnp.zeros(6), size=SIZE)
    expected = stationary_scalar(np.linalg.eigvalsh(h)[-1], np.linalg.norm(g), ETA)
    np.testing.assert_allclose(found.preconditioner, expected.preconditioner, rtol=1e-7)
    trace = covariance_trace(found.block.vectors, found.covariance)
    np.testing.assert_allclose(trace, expected.covariance_trace, rtol=1e-6)


@pytest.mark.slow
def test_beyond_the_size_of_a_dense_matrix():
    """n = 400: the block by LOBPCG, the oracle by the whole matrix."""
    n = 400
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((n, n)))
    h = (basis * np.r_[5.0, 4.0, 2.0, rng.uniform(-0.1, 0.5, n - 3)]) @ basis.T
    g = 0.05 * rng.standard_normal(n)
    data = (jnp.asarray(g)[None], jnp.asarray(0.5 * (h + h.T))[None])
    objective = from_loss(quadratic_loss, jnp.zeros(n), data)
    found = rest_memory(CentralFlow(objective, RMSProp(ETA, DECAY)), jnp.zeros(n))
    program = stationary_preconditioner(h, g, ETA)
    np.testing.assert_allclose(found.preconditioner, program.preconditioner, rtol=1e-5)


def test_rules_without_a_memory_at_rest_are_refused():
    objective, _, _ = instance()
    with pytest.raises(BadInput, match="GradientDescent"):
        rest_memory(CentralFlow(objective, GradientDescent(0.1)), jnp.zeros(6))
    with jax.numpy_dtype_promotion("standard"):
        rule = RMSProp(optax.linear_schedule(0.1, 0.2, 10), DECAY)
        with pytest.raises(BadInput, match="schedule"):
            rest_memory(CentralFlow(objective, rule), jnp.zeros(6))
    for wrong in ({"step": 2.0}, {"rounds": 0}, {"tolerance": 0.0}):
        with pytest.raises(BadInput):
            rest_memory(
                CentralFlow(objective, RMSProp(ETA, DECAY)), jnp.zeros(6), **wrong
            )
