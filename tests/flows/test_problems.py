"""The stock problems: their facts, and their refusals."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from flows import BadInput
from flows.problems import (
    coupled_wells,
    digits_mlp,
    double_well,
    scalar_product,
    wavy,
)


def test_double_well():
    f = double_well(0.5)
    assert f.value(jnp.zeros(1)) == 0.5
    for sign in (1.0, -1.0):
        x = sign * jnp.asarray(f.facts.minimiser.value)
        assert f.value(x) == f.facts.minimum.value == 0.0
        np.testing.assert_array_equal(f.gradient(x), [0.0])
    assert f.facts.smoothness is None
    assert f.hvp(jnp.zeros(1), jnp.ones(1))[0] == pytest.approx(-2.0)  # 4 heights


def test_coupled_wells_at_their_saddle_and_minima():
    """The curvatures by hand, (d ± √(d² + 4d))/2; f there, and above it elsewhere."""
    f, d = coupled_wells(5), 5

    @jax.jit
    def look(x):
        return f.value(x), f.gradient(x), f.hessian(x)

    saddle = np.linalg.eigvalsh(np.asarray(look(np.zeros(d + 1))[2]))
    ends = (d + np.array([-1, 1]) * np.sqrt(d**2 + 4 * d)) / 2
    np.testing.assert_allclose(saddle, [ends[0], 0, 0, 0, 0, ends[1]], atol=1e-14)
    for sign in (1, -1):
        value, gradient, hessian = look(sign * np.ones(d + 1))
        np.testing.assert_allclose(gradient, 0, atol=1e-14)
        assert value == f.facts.minimum.value == -d / 4
        assert np.linalg.eigvalsh(np.asarray(hessian))[0] > 0.3
    with pytest.raises(BadInput, match="d is a whole number"):
        coupled_wells(0)


def test_two_layer_product():
    f = scalar_product(2, 2.0)
    x = jnp.array([0.5, 3.0])
    assert f.value(x) == pytest.approx(0.125)
    np.testing.assert_allclose(f.gradient(x), [-0.5 * 3.0, -0.5 * 0.5])
    assert f.value(jnp.array([1.0, 2.0])) == f.facts.minimum.value == 0.0


def test_nothing_of_wavy_vanishes_by_accident():
    f = wavy()
    x = jnp.array([1.2, 0.8])
    expected = (
        1.2**2 / 2 + (1.2 * 0.8 - 1) ** 2 / 4 + np.sin(0.8) / 3 + 1.2**2 * 0.8 / 5
    )
    assert f.value(x) == pytest.approx(expected, rel=1e-14)
    assert np.min(np.abs(f.gradient(x))) > 0.1
    hessian = jax.jacfwd(lambda x: f.gradient(x))
    second, third = jax.jit(lambda x: (hessian(x), jax.jacfwd(hessian)(x)))(x)
    assert np.min(np.abs(second)) > 0.1
    third = np.abs(third)
    assert third[0, 0, 0] == 0.0  # f is quadratic in its first variable
    assert np.sort(third.ravel())[1] > 0.1


@pytest.fixture(scope="module")
def digits():
    return digits_mlp(hidden=4, rows=50)


def test_digits_have_the_shapes_that_are_promised(digits):
    f, params = digits
    assert f.size == 64 * 4 + 4 + 4 * 10 + 10
    inputs, labels = f.data.tree
    assert inputs.shape == (50, 64)
    assert labels.shape == (50, 10)
    assert 0.0 <= inputs.min() < inputs.max() == 1.0
    np.testing.assert_array_equal(labels.sum(1), np.ones(50))
    again = digits_mlp(hidden=4, rows=50)[1]
    other = digits_mlp(hidden=4, rows=50, seed=1)[1]
    np.testing.assert_array_equal(params["w1"], again["w1"])
    assert np.max(np.abs(params["w1"] - other["w1"])) > 0.1


def test_digits_losses_against_numpy(digits):
    f, params = digits
    g, _ = digits_mlp(hidden=4, rows=50, loss="cross_entropy")
    inputs, labels = map(np.asarray, f.data.tree)
    p = {k: np.asarray(v) for k, v in params.items()}
    out = np.tanh(inputs @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
    square = 0.5 * np.mean(np.sum((out - labels) ** 2, axis=1))
    assert float(f.loss_of(params)) == pytest.approx(square, rel=1e-13)
    softmax = np.exp(out) / np.exp(out).sum(1, keepdims=True)
    entropy = -np.mean(np.log(np.sum(softmax * labels, axis=1)))
    assert float(g.loss_of(params)) == pytest.approx(entropy, rel=1e-13)
    large = {**params, "b2": params["b2"] + 1e4}
    assert float(g.loss_of(large)) == pytest.approx(entropy, rel=1e-9)


def test_digits_of_any_depth_activation_and_bias():
    """Against numpy and scipy's normal distribution: gelu(x) = x Φ(x)."""
    apply = {"gelu": lambda x: x * norm.cdf(x), "identity": lambda x: x}
    for activation, bias in (("gelu", True), ("identity", False)):
        f, params = digits_mlp(
            hidden=(5, 3), rows=20, activation=activation, bias=bias, seed=2
        )
        names = {"w1", "w2", "w3"} | ({"b1", "b2", "b3"} if bias else set())
        assert set(params) == names
        assert [params[f"w{k}"].shape for k in (1, 2, 3)] == [(64, 5), (5, 3), (3, 10)]
        assert f.size == 64 * 5 + 5 * 3 + 3 * 10 + (18 if bias else 0)
        inputs, labels = map(np.asarray, f.data.tree)
        moved = {name: p + 0.1 for name, p in params.items()}
        x = inputs
        for k in (1, 2, 3):
            x = x @ np.asarray(moved[f"w{k}"]) + np.asarray(moved.get(f"b{k}", 0.0))
            x = apply[activation](x) if k < 3 else x
        expected = 0.5 * np.mean(np.sum((x - labels) ** 2, axis=1))
        assert float(f.loss_of(moved)) == pytest.approx(expected, rel=1e-12)


def test_equal_networks_share_their_compiled_functions():
    assert digits_mlp(hidden=4, rows=50)[0].loss == digits_mlp(hidden=4, rows=9)[0].loss
    other = digits_mlp(hidden=4, rows=50, activation="gelu")[0]
    assert other.loss != digits_mlp(hidden=4, rows=50)[0].loss


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 0},
        {"rows": 1798},
        {"hidden": 0},
        {"hidden": ()},
        {"hidden": (4, 0)},
        {"loss": "hinge"},
        {"activation": "relu"},
    ],
)
def test_digits_out_of_range_are_refused(wrong):
    bare = digits_mlp
    while hasattr(bare, "__wrapped__"):  # the door behind the type checker
        bare = bare.__wrapped__
    with pytest.raises(BadInput):
        bare(**wrong)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    real = builtins.__import__

    def no_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    with pytest.raises(BadInput, match="flowtheory\\[digits\\]"):
        digits_mlp()
