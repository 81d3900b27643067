"""Exponentiated gradient as an optimiser: formula, pytrees, underflow, the door."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from discretize import exponentiated_gradient, move_in_logarithms
from flows import BadInput


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def run(optimizer, params, gradients):
    state = optimizer.init(params)
    for g in gradients:
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


costs = st.lists(st.floats(-5, 5), min_size=3, max_size=3)


@settings(max_examples=15, deadline=None)
@given(costs, costs, st.floats(0.01, 3.0))
def test_steps_multiply_exponentials(first, second, eta):
    x0 = np.array([0.2, 0.3, 0.5])
    grads = [jnp.asarray(first), jnp.asarray(second)]
    total = np.array(first) + np.array(second)
    end = run(exponentiated_gradient(eta), jnp.asarray(x0), grads)
    np.testing.assert_allclose(end, softmax(np.log(x0) - eta * total), atol=1e-14)
    free = run(exponentiated_gradient(eta, simplex=False), jnp.asarray(x0), grads)
    np.testing.assert_allclose(free, x0 * np.exp(-eta * total), rtol=1e-12, atol=1e-13)


def test_a_pytree_is_one_distribution():
    params = {"a": jnp.array([0.1, 0.2]), "b": jnp.array([[0.3], [0.4]])}
    grads = {"a": jnp.array([1.0, -1.0]), "b": jnp.array([[0.5], [2.0]])}
    end = run(exponentiated_gradient(0.7), params, [grads])
    flat = np.concatenate([np.ravel(v) for v in jax.tree.leaves(end)])
    exact = softmax(np.log([0.1, 0.2, 0.3, 0.4]) - 0.7 * np.array([1, -1, 0.5, 2]))
    np.testing.assert_allclose(flat, exact, rtol=1e-14)
    each = softmax(np.log([0.1, 0.2]) - 0.7 * np.array([1, -1]))  # a leaf apart
    assert np.max(np.abs(end["a"] - each)) > 0.1


def test_an_entry_that_underflows_can_grow_again():
    """Kept as logarithms: e^{-900} is 0 in floating point, and comes back."""
    x0, g = jnp.array([0.5, 0.5]), jnp.array([900.0, 0.0])
    down = run(exponentiated_gradient(1.0), x0, [g])
    assert down[0] == 0.0
    back = run(exponentiated_gradient(1.0), x0, [g, -g])
    np.testing.assert_allclose(back, x0, rtol=1e-12)


def test_schedules_and_chains_of_optax():
    schedule = optax.piecewise_constant_schedule(1.0, {1: 0.5})
    x0, g = jnp.array([0.2, 0.8]), jnp.array([1.0, 0.0])
    end = run(exponentiated_gradient(schedule), x0, [g, g])
    exact = softmax(np.log(np.asarray(x0)) - 1.5 * np.asarray(g))
    np.testing.assert_allclose(end, exact, rtol=1e-13)
    chain = optax.chain(optax.trace(0.5), optax.scale(-1.0), move_in_logarithms())
    end = run(chain, x0, [g, g])
    exact = softmax(np.log(np.asarray(x0)) - 2.5 * np.asarray(g))
    np.testing.assert_allclose(end, exact, rtol=1e-13)


def test_bad_parameters_are_refused():
    optimizer = exponentiated_gradient(0.1)
    for bad in ([0.5, 0.6], [1.2, -0.2], [0.0, 1.0], [np.nan, 1.0]):
        with pytest.raises(BadInput, match=r"simplex|> 0"):
            optimizer.init(jnp.array(bad))
    free = exponentiated_gradient(0.1, simplex=False)
    free.init(jnp.array([0.5, 0.6]))
    with pytest.raises(BadInput, match="> 0"):
        free.init(jnp.array([0.5, -0.6]))
    x = jnp.array([0.5, 0.5])
    with pytest.raises(BadInput, match="needs update"):
        optimizer.update(x, optimizer.init(x))
