"""Where a central flow ceases to be a model: kinks, dead coordinates, lost digits."""

import warnings
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from helpers import small_net

from flows import BadInput, CentralFlow, Trajectory, from_loss, from_sympy
from flows.central import (
    CentralState,
    GradientDescent,
    RMSProp,
    ScalarRMSProp,
    ValidityWarning,
    check_start,
    kinks,
    validity,
)
from flows.central.validity import coordinate_names

X, Z = sp.symbols("x z", real=True)
SCHEME = SimpleNamespace(margin=0.025, project_start=False)


def network(activation, last=lambda out, y: jnp.mean((out - y) ** 2)):
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.standard_normal((30, 2)))
    targets = jnp.asarray(rng.standard_normal((30, 3)))
    params = {
        "v": jnp.asarray(rng.standard_normal((2, 6))),
        "w": jnp.asarray(rng.standard_normal((6, 3))),
    }

    def loss(params, data):
        inputs, targets = data
        return last(activation(inputs @ params["v"]) @ params["w"], targets)

    f = from_loss(loss, params, (inputs, targets))
    return f, f.ravel(params)


def cross_entropy(out, targets):
    # the maximum that is subtracted cancels: a kink of the program, not of the loss
    top = jnp.max(out, axis=1, keepdims=True)
    log_sum = jnp.log(jnp.sum(jnp.exp(out - top), axis=1, keepdims=True)) + top
    return jnp.mean(jnp.sum((log_sum - out) * targets**2, axis=1))


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (jax.nn.relu, "relu"),
        (lambda x: jnp.maximum(x, 0.0), "max"),
        (lambda x: jnp.where(x > 0, x, 0.1 * x), "select_n"),
        (jnp.abs, "abs"),
    ],
)
def test_kinks_are_named(activation, said):
    assert said in kinks(*network(activation))


@pytest.mark.parametrize(
    "activation", [jnp.tanh, jax.nn.gelu, lambda x: jnp.where(x > 0, x, x) ** 2]
)
def test_smooth_networks_have_none(activation):
    assert kinks(*network(activation)) == ()


@pytest.mark.slow
def test_a_maximum_that_cancels_is_no_kink():
    assert kinks(*network(jnp.tanh, cross_entropy)) == ()
    assert "select_n" in kinks(
        *network(lambda x: jnp.where(x > 0, x, 0.1 * x), cross_entropy)
    )


@pytest.mark.slow
def test_a_start_with_kinks_is_warned_of():
    f, x = network(jax.nn.relu)
    flow = CentralFlow(f, GradientDescent(0.1))
    with pytest.warns(ValidityWarning, match=r"kinks \(relu\).*GELU"):
        (finding,) = check_start(flow, flow.start(x))
    assert finding.kind == "kinks"
    f, params = small_net()
    flow = CentralFlow(f, GradientDescent(0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_start(flow, flow.start(f.ravel(params))) == ()


def test_dead_coordinates_are_named():
    """The second input is always 0: its weights never have a gradient."""
    params = {"w": jnp.array([0.5, -0.3]), "b": jnp.array(0.1)}
    inputs = jnp.array([[1.0, 0.0], [-2.0, 0.0], [0.5, 0.0]])

    def loss(params, x):
        return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) - 1.0) ** 2)

    f = from_loss(loss, params, inputs)
    x = f.ravel(params)
    flow = CentralFlow(f, RMSProp(0.01, 0.9))
    with pytest.raises(BadInput, match=r"dead coordinates.* \['w'\]\[1\], .*eps"):
        check_start(flow, flow.start(x))
    held = CentralFlow(f, RMSProp(0.01, 0.9, eps_root=1e-8))
    assert check_start(held, held.start(x)) == ()
    fading = CentralFlow(f, RMSProp(0.01, 0.9, initial=0.1))
    with pytest.warns(ValidityWarning, match=r"\['w'\]\[1\] have no gradient"):
        check_start(fading, fading.start(x))
    assert coordinate_names(f, [0, 2]) == ["['b']", "['w'][1]"]
    assert coordinate_names(from_sympy(X * Z, [X, Z]), [1]) == ["z"]


def test_a_start_at_rest_without_memory_is_refused():
    flow = CentralFlow(from_sympy(X**2, [X]), ScalarRMSProp(0.1, 0.9))
    with pytest.raises(BadInput, match="gradient is 0 there"):
        check_start(flow, flow.start(jnp.zeros(1)))


def test_single_precision_is_warned_of():
    f, params = small_net(dtype=jnp.float32)
    flow = CentralFlow(f, GradientDescent(jnp.asarray(0.1, jnp.float32)))
    with pytest.warns(ValidityWarning, match=r"float32.*float64"):
        check_start(flow, flow.start(f.ravel(params)))


def account(**changed):
    """A run's aux over five steps in which nothing is wrong, and its changes."""
    good = {
        "eigenvalues": np.tile([2.0, 1.0], (5, 1)),
        "residual": np.full(5, 1e-3),
        "complementarity": np.full(5, 1e-13),
    }
    return SimpleNamespace(**{**good, **changed})


def run_with(memory=None, end="5 steps", **changed):
    rule = GradientDescent(0.1) if memory is None else RMSProp(0.1, 0.9)
    flow = CentralFlow(from_sympy(X**2 + Z**2, [X, Z]), rule)
    states = CentralState(jnp.ones((6, 2)), memory)
    # the aux of a test is no pytree of arrays, and need not be one
    return Trajectory(jnp.arange(6.0), states, flow, account(**changed), end)


def bumped(values, k, to):
    values = np.array(values)
    values[k:] = to
    return values


@pytest.mark.parametrize(
    ("changed", "kind", "step"),
    [
        ({"residual": bumped(np.full(5, 1e-3), 3, 0.2)}, "eigenvectors", 3),
        ({"eigenvalues": bumped(account().eigenvalues, 2, 1.99)}, "block", 2),
        ({"eigenvalues": bumped(account().eigenvalues, 4, [2.1, 1])}, "overshoot", 4),
        ({"complementarity": bumped(np.zeros(5), 1, 1e-3)}, "complementarity", 1),
        ({"end": "diverged: CentralFlow is no longer finite"}, "not finite", 5),
        (
            {"memory": bumped(np.ones((6, 2)), 3, [1.0, 1e-20])},
            "dead coordinates",
            3,
        ),
    ],
)
def test_what_failed_is_said_with_its_step(changed, kind, step):
    found = validity(run_with(**changed), SCHEME)
    assert [(f.kind, f.step) for f in found.findings] == [(kind, step)]
    assert not found.holds
    assert found.until == step
    assert f"up to step {step} of 5" in str(found)
    assert kind in repr(found)


def test_a_good_run_is_valid():
    found = validity(run_with(), SCHEME)
    assert found.holds
    assert str(found) == "valid for all 5 steps"
    first = run_with(eigenvalues=np.array([[3.0, 1.0], *[[2.0, 1.0]] * 4]))
    assert validity(first, SCHEME).until == 0
    projected = SimpleNamespace(margin=0.025, project_start=True)
    assert validity(first, projected).holds


def test_validity_is_about_central_flows():
    from flows import GradientFlow, solve
    from flows.problems import quadratic

    run = solve(GradientFlow(quadratic([1.0])), jnp.ones(1), 0.0, 1.0)
    with pytest.raises(BadInput, match="CentralFlow"):
        validity(run, SCHEME)
