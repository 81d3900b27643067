"""The optimisers of this package against plain numpy, inside and outside optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from discretize import scalar_rmsprop, scale_by_scalar_rms

PARAMS = {"w": np.array([[1.0, -2.0], [0.5, 3.0]]), "b": np.array([0.1, -0.2])}
SPECTRUM = {"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([0.5, 5.0])}


def gradient(params):
    return jax.tree.map(lambda p, s: s * p, params, SPECTRUM)


def by_hand(steps, eta, beta, eps, nu):
    params = PARAMS
    for k in range(steps):
        g = gradient(params)
        nu = beta * nu + (1 - beta) * sum(np.sum(a**2) for a in g.values())
        rate = eta(k) if callable(eta) else eta
        params = {n: params[n] - rate * g[n] / np.sqrt(nu + eps) for n in params}
    return params


def by_optax(optimizer, steps):
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = jax.jit(optimizer.update)(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.fixture(autouse=True)
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("start", [0.0, 2.0])
def test_equals_the_formula_in_numpy(start):
    optimizer = scalar_rmsprop(0.05, decay=0.8, eps=1e-3, initial_scale=start)
    found, hand = by_optax(optimizer, 30), by_hand(30, 0.05, 0.8, 1e-3, start)
    for name in PARAMS:
        # thirty steps of a handful of operations each: within 1e3 roundings
        np.testing.assert_allclose(found[name], hand[name], rtol=1e3 * 2.3e-16)


def test_is_not_rmsprop_with_a_moment_a_coordinate():
    ours = by_optax(scalar_rmsprop(0.05, initial_scale=1.0), 5)
    theirs = by_optax(optax.rmsprop(0.05, initial_scale=1.0), 5)
    assert np.max(np.abs(ours["w"] - theirs["w"])) > 1e-2


def test_takes_a_schedule_and_stands_in_a_chain():
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    chained = optax.chain(
        scale_by_scalar_rms(0.8, 1e-3), optax.scale_by_learning_rate(schedule)
    )
    found = by_optax(chained, 10)
    hand = by_hand(10, lambda k: 0.1 * (1 - k / 10), 0.8, 1e-3, 0.0)
    for name in PARAMS:
        # the schedule itself is computed by optax, in float32 or float64
        np.testing.assert_allclose(found[name], hand[name], rtol=1e-6)


def test_hyperparameters_can_be_injected():
    injected = optax.inject_hyperparams(scalar_rmsprop)(learning_rate=0.05)
    state = injected.init(jax.tree.map(jnp.asarray, PARAMS))
    assert float(state.hyperparams["learning_rate"]) == pytest.approx(0.05)
