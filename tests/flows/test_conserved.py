"""Conserved quantities: drifts against numpy, proofs, and things that are not kept."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import flows
from flows import BadInput, GradientFlow
from flows.problems import (
    DeepLinear,
    deep_linear,
    least_squares,
    taylor_polynomial,
    wavy,
)

RNG = np.random.default_rng(3)
FACTORS = [RNG.standard_normal(s) for s in ((3, 2), (4, 3), (2, 4))]


def test_balancedness_and_neuron_balance_against_numpy():
    w1, w2, w3 = FACTORS
    first, second = flows.balancedness(FACTORS)
    np.testing.assert_allclose(first, w2.T @ w2 - w1 @ w1.T)
    np.testing.assert_allclose(second, w3.T @ w3 - w2 @ w2.T)
    b = [RNG.standard_normal(3), RNG.standard_normal(4)]
    one, two = flows.neuron_balance(FACTORS, b)
    np.testing.assert_allclose(one, np.diag(first) - b[0] ** 2)
    np.testing.assert_allclose(two, np.diag(second) - b[1] ** 2)
    np.testing.assert_allclose(flows.neuron_balance(FACTORS)[0], np.diag(first))


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 4), columns=st.integers(1, 5), seed=st.integers(0, 2**31 - 1)
)
def test_the_null_projector_projects_on_the_null_space(rows, columns, seed):
    a = np.random.default_rng(seed).standard_normal((rows, columns))
    a[-1] = a[0]  # a row that adds no rank
    p = np.asarray(flows.null_projector(a))
    np.testing.assert_allclose(a @ p, 0, atol=1e-12)
    np.testing.assert_allclose(p @ p, p, atol=1e-12)
    assert np.trace(p) == pytest.approx(columns - np.linalg.matrix_rank(a))
    # Negative control: one row alone leaves more.
    if np.linalg.matrix_rank(a) > 1:
        assert np.max(np.abs(a @ np.asarray(flows.null_projector(a[:1])))) > 1e-6


def test_no_matrix_no_projector():
    with pytest.raises(BadInput, match="finite matrix"):
        flows.null_projector(np.ones(3))


@pytest.fixture(scope="module")
def linear_run():
    net = deep_linear(RNG.standard_normal((2, 2)), hidden=(3, 2))
    x = jnp.asarray(0.6 * RNG.standard_normal(net.size))
    controller = diffrax.PIDController(rtol=1e-11, atol=1e-11)
    return flows.solve(GradientFlow(net), x, 0.0, 2.0, stepsize_controller=controller)


@pytest.mark.slow
def test_the_drift_is_the_distance_of_a_quantity_from_its_start(linear_run):
    net = linear_run.dynamics.objective

    def by_hand(x):
        w1, w2, w3 = (np.asarray(w) for w in net.params(x))
        return np.concatenate([np.ravel(w2.T @ w2 + w1 @ w1.T), np.ravel(w3)])

    def quantity(params):
        w1, w2, w3 = params
        return {"sum": w2.T @ w2 + w1 @ w1.T, "weights": w3}

    values = np.array([by_hand(x) for x in linear_run.positions])
    drifts = flows.drift(quantity, linear_run)
    gone = np.linalg.norm(values - values[0], axis=1)
    np.testing.assert_allclose(drifts, gone, atol=1e-12)
    assert drifts[0] == 0
    assert drifts[-1] > 0.1  # this one is not conserved
    assert np.max(flows.drift(flows.balancedness, linear_run)) < 1e-8


def test_the_rate_of_change_is_the_slope_of_the_quantity(linear_run):
    net = linear_run.dynamics.objective
    x = linear_run.positions[0]

    def quantity(x):
        return jnp.stack([jnp.sum(x**2), x[0] * x[1]])

    rate = flows.rate_of_change(linear_run.dynamics, quantity, of="position")(0.0, x)
    g = np.asarray(net.gradient(x))
    z = np.asarray(x)
    expected = [-2 * z @ g, -g[0] * z[1] - g[1] * z[0]]
    np.testing.assert_allclose(rate, expected, rtol=1e-12)


def test_gradient_flow_keeps_what_the_data_do_not_see():
    a = RNG.standard_normal((2, 4))
    flow = GradientFlow(least_squares(a, RNG.standard_normal(2)))
    run = flows.solve(flow, jnp.ones(4), 0.0, 2.0)
    null = flows.null_projector(a)
    assert np.max(flows.drift(lambda x: null @ x, run, of="position")) < 1e-12
    assert np.max(flows.drift(lambda x: x - null @ x, run, of="position")) > 0.1


@pytest.mark.parametrize("widths", [(1, 2, 1), (2, 2, 2)])
def test_balancedness_is_proved_and_its_sum_refuted(widths):
    loss = taylor_polynomial(widths[0] * widths[-1], 2)
    net = DeepLinear(flows.Facts(), loss, widths)
    flow, x = GradientFlow(net), jnp.ones(net.size)
    assert flows.is_conserved(flow, flows.balancedness, x).status == "proved"

    def added(factors):
        w1, w2 = factors
        return w2.T @ w2 + w1 @ w1.T

    found = flows.is_conserved(flow, added, x)
    assert found.status == "refuted"
    assert found.witness is not None


@pytest.mark.slow
def test_a_quantity_may_hold_the_models_own_parameters():
    """The invariant of weight normalisation, with c_s a symbol; without c_s, not."""
    x, y = sympy.symbols("x y", real=True)
    flow = flows.WeightNormalisedFlow(flows.from_sympy((x - 2) ** 2, [x, y]), 0.5)
    start = flow.start(jnp.array([0.3, 0.4]))
    null = jnp.array([[0.0, 1.0]])
    quantity = flows.weight_normalisation_invariant(null)
    assert flows.is_conserved(flow, quantity, start, of="model").status == "proved"

    def forgetful(model, y):
        return quantity(flows.WeightNormalisedFlow(model.objective, 1.0), y)

    assert flows.is_conserved(flow, forgetful, start, of="model").status == "refuted"
    run = flows.solve(flow, start, 0.0, 3.0)
    assert np.max(flows.drift(quantity, run, of="model")) < 1e-6
    assert np.max(flows.drift(forgetful, run, of="model")) > 1e-2


def test_what_drift_takes_is_looked_at():
    run = flows.solve(GradientFlow(wavy()), jnp.ones(2), 0.0, 0.1)
    with pytest.raises(BadInput, match="one Trajectory or Comparison"):
        flows.drift(lambda x: x, np.ones(3))
    with pytest.raises(BadInput, match='of is "params"'):
        flows.drift(lambda x: x, run, of="energy")
    batch = jax.tree.map(lambda a: jnp.stack([a, a]), run)
    with pytest.raises(BadInput, match="one Trajectory"):
        flows.drift(lambda x: x, batch)
