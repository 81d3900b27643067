"""A pytree of parameters and its flat vector say the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ModuleNet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flows import BadInput
from flows.ravel import ravel_params, require_finite

FINITE = st.floats(-1e300, 1e300, allow_subnormal=False)
ARRAYS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), elements=FINITE
)


def modules(children):
    return st.builds(
        lambda w, b: ModuleNet(jnp.asarray(w), jnp.asarray(b)), ARRAYS, ARRAYS
    ) | st.dictionaries(st.sampled_from("abcd"), children, min_size=1, max_size=3)


TREES = st.recursive(
    ARRAYS | FINITE,
    lambda c: modules(c) | st.tuples(c, c) | st.lists(c, min_size=1, max_size=2),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_round_trip_is_exact(tree):
    unravel, x = ravel_params(tree)
    assert x.shape == (unravel.size,)
    back = unravel(x)
    for given_, got in zip(
        jax.tree.leaves(eqx.filter(tree, eqx.is_array_like)),
        jax.tree.leaves(eqx.filter(back, eqx.is_array)),
        strict=True,
    ):
        assert np.shape(given_) == got.shape
        np.testing.assert_array_equal(np.asarray(given_), np.asarray(got))
    np.testing.assert_array_equal(np.asarray(unravel.ravel(back)), np.asarray(x))


def test_the_order_of_entries_is_that_of_the_leaves():
    _, x = ravel_params({"b": jnp.array([3.0, 4.0]), "a": jnp.array([[1.0], [2.0]])})
    np.testing.assert_array_equal(np.asarray(x), [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    "tree",
    [
        {"a": np.ones(2), "b": (np.ones((2, 3)), 0.5)},
        [np.ones(2), None],
        {"f": jnp.tanh, "w": np.ones(3)},
        ModuleNet(jnp.ones((2, 3)), jnp.ones(3)),
    ],
)
def test_same_structure_is_equal_and_hashes_equal(tree):
    other = jax.tree.map(lambda a: a + 1 if eqx.is_array_like(a) else a, tree)
    (u, _), (v, _) = ravel_params(tree), ravel_params(other)
    assert u == v
    assert hash(u) == hash(v)
    bigger = {"more": tree, "yet": np.ones(7)}
    assert ravel_params(bigger)[0] != u
    activation = ModuleNet(jnp.ones((2, 3)), jnp.ones(3), jnp.sin)
    assert ravel_params(activation)[0] != u


def test_static_leaves_come_back():
    net = ModuleNet(jnp.ones((2, 3)), jnp.zeros(3), jnp.sin)
    unravel, x = ravel_params(net)
    assert unravel(x).activation is jnp.sin
    np.testing.assert_allclose(unravel(2 * x)(jnp.ones(2)), np.sin(4.0) * np.ones(3))
    nested = {"net": net, "scale": jnp.ones(())}
    assert ravel_params(nested)[0](jnp.arange(10.0))["net"].activation is jnp.sin


def test_float32_stays_float32():
    unravel, x = ravel_params({"w": jnp.ones(3, jnp.float32)})
    assert x.dtype == jnp.float32
    assert unravel.dtype == np.float32
    assert unravel(x)["w"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"w": jnp.ones(2), "step": jnp.asarray(3)}, r"\['step'\] has dtype int64"),
        ({"w": jnp.ones(2), "on": jnp.asarray(True)}, r"\['on'\] has dtype bool"),
        ({"w": jnp.ones(2, jnp.complex128)}, "complex128"),
        ({"w": jnp.ones(2, jnp.float16)}, "float16"),
        (
            {"w": jnp.ones(2), "v": jnp.ones(2, jnp.float32)},
            r"mixed precision \(\['v'\]: float32, \['w'\]: float64\)",
        ),
        ({"w": jnp.array([1.0, np.nan])}, "non-finite"),
        ({"w": jnp.array([1.0, -np.inf])}, "non-finite"),
        ({}, "no array leaf"),
        (None, "no array leaf"),
        ({"f": jnp.tanh}, "no array leaf"),
        ({"w": jnp.ones((0, 3))}, "no array leaf"),
    ],
)
def test_what_is_no_parameter_is_refused(tree, message):
    with pytest.raises(BadInput, match=message):
        ravel_params(tree)


def test_a_mutable_leaf_is_refused():
    class Cache(eqx.Module):
        w: jax.Array
        memo: object

    with pytest.raises(BadInput, match="cannot be hashed"):
        ravel_params(Cache(jnp.ones(2), bytearray(b"x")))


def test_another_structure_or_shape_is_refused():
    unravel, _ = ravel_params({"w": jnp.ones(2), "b": jnp.ones(1)})
    for other in ({"w": jnp.ones(3), "b": jnp.ones(1)}, {"w": jnp.ones(3)}):
        with pytest.raises(BadInput, match="another structure or shape"):
            unravel.ravel(other)


def test_another_dtype_is_refused():
    unravel, _ = ravel_params({"w": jnp.ones(2, jnp.float32)})
    with pytest.raises(BadInput, match=r"float64.*float32"):
        unravel.ravel({"w": jnp.ones(2)})


def test_finiteness_is_asked_of_concrete_arrays_only():
    jax.jit(lambda x: require_finite(x, "x") or x)(jnp.array([np.nan]))
    with pytest.raises(BadInput, match=r"the start\[1\] holds a non-finite"):
        require_finite((1.0, jnp.array([np.inf]), jnp.asarray(2)), "the start")
