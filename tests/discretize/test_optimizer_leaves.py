"""What INNA, INNAprop, NAG-C and NAG-SC take for parameters and gradients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from discretize import inna, innaprop, nag_c, nag_sc
from flows import BadInput

X = np.array([1.0, -2.0, 0.5])
OPTIMIZERS = {
    "inna": inna,
    "innaprop": innaprop,
    "nag_c": functools.partial(nag_c, 0.1),
    "nag_sc": functools.partial(nag_sc, 0.1, 0.5),
}
every = pytest.mark.parametrize("name", OPTIMIZERS)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def first(
    name, params, gradients=None, wrap=lambda optimizer: optimizer
) -> tuple[Any, Any]:
    optimizer = wrap(OPTIMIZERS[name]())
    state = optimizer.init(params)
    return optimizer.update(params if gradients is None else gradients, state, params)


@every
def test_a_tree_without_leaves_is_stepped(name):
    """Where `optax.masked` or `multi_transform` leaves an optimiser nothing."""
    params = {"a": jnp.asarray(X), "b": jnp.asarray(X)}
    assert first(name, {})[0] == {}
    masked, _ = first(name, params, wrap=lambda o: optax.masked(o, False))
    both, labels = {"v": optax.sgd(0.1)}, {"a": "v", "b": "v"}
    split, _ = first(
        name, params, wrap=lambda o: optax.multi_transform({**both, "u": o}, labels)
    )
    for leaf in ("a", "b"):
        np.testing.assert_array_equal(masked[leaf], X)
        np.testing.assert_allclose(split[leaf], -0.1 * X, rtol=1e-15)


@every
def test_a_masked_leaf_does_not_change_the_other(name):
    params = {"a": jnp.asarray(X), "b": jnp.asarray(X)}
    moves, _ = first(
        name, params, wrap=lambda o: optax.masked(o, {"a": True, "b": False})
    )
    np.testing.assert_array_equal(moves["a"], first(name, jnp.asarray(X))[0])
    np.testing.assert_array_equal(moves["b"], X)


@every
def test_parameters_that_are_no_floats_are_refused(name):
    for params in (jnp.arange(3), jnp.arange(3) + 1j, ["a"]):
        with pytest.raises(BadInput, match="parameters are real floats"):
            OPTIMIZERS[name]().init(params)


@every
def test_gradients_that_do_not_fit_are_refused(name):
    x = jnp.asarray(X)
    for wrong, said in (
        (jnp.arange(3), "gradients are real floats; got int"),
        (x + 1j, "gradients are real floats; got complex"),
        (x[:1], r"the shape \(3,\) of its parameter; got \(1,\)"),
        ([x], "gradients have the structure"),
        ([x, x], "gradients have the structure"),
    ):
        with pytest.raises(BadInput, match=said):
            first(name, x, wrong)
    with pytest.raises(BadInput, match=r"at \['a'\]; got \(1,\)"):
        first(name, {"a": x}, {"a": x[:1]})


@every
def test_python_floats_are_arrays_of_shape_0(name):
    moves, state = first(name, [1.0, -2.0])
    arrays, _ = first(name, [jnp.asarray(1.0), jnp.asarray(-2.0)])
    np.testing.assert_array_equal(moves, arrays)
    assert all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(state))


@every
def test_a_finer_gradient_steps_in_the_precision_of_the_parameters(name):
    x = jnp.asarray(X, jnp.float32)
    fine, state = first(name, x, jnp.asarray(X))
    coarse, other = first(name, x, x)
    np.testing.assert_array_equal(fine, coarse)
    kept = (jax.tree.map(lambda leaf: leaf.dtype, s) for s in (state, other))
    assert next(kept) == next(kept)
    assert fine.dtype == jnp.float32
