"""Rows and pairings: names, ranges, schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from discretize import ADAM, HEAVY_BALL, RMSPROP, ROWS, SGD, Exact, Order
from flows import AdamFlow, BadInput, ModifiedHeavyBallFlow, RMSPropFlow
from flows.problems import wavy


def test_defaults_and_required_names():
    pairing = ADAM(learning_rate=0.01)
    assert float(pairing.hyper["b2"]) == 0.999
    assert repr(SGD(learning_rate=0.1)) == "optax.sgd(learning_rate=0.1)"
    assert repr(ADAM).startswith("<optax.adam: exact")
    with pytest.raises(BadInput, match=r"takes learning_rate, momentum; missing: mom"):
        HEAVY_BALL(learning_rate=0.1)
    with pytest.raises(BadInput, match="unknown: lr"):
        SGD(lr=0.1)


@pytest.mark.parametrize(
    ("row", "hyper"),
    [
        (SGD, {"learning_rate": 0.0}),
        (SGD, {"learning_rate": -0.1}),
        (SGD, {"learning_rate": np.nan}),
        (SGD, {"learning_rate": np.inf}),
        (SGD, {"learning_rate": np.ones(2)}),
        (SGD, {"learning_rate": "fast"}),
        (SGD, {"learning_rate": None}),
        (HEAVY_BALL, {"learning_rate": 0.1, "momentum": 1.0}),
        (HEAVY_BALL, {"learning_rate": 0.1, "momentum": -0.1}),
        (ADAM, {"learning_rate": 0.1, "b1": 1.0}),
        (ADAM, {"learning_rate": 0.1, "eps": -1e-8}),
        (RMSPROP, {"learning_rate": 0.1, "decay": 2.0}),
        (RMSPROP, {"learning_rate": 0.1, "decay": lambda k: 0.9}),
    ],
)
def test_values_out_of_range_are_refused(row, hyper):
    name = list(hyper)[-1]
    with pytest.raises(BadInput, match=name):
        row(**hyper)


def test_hyperparameters_are_strongly_typed_leaves():
    values = ADAM(learning_rate=1).hyper.values()
    assert all(v.dtype == jnp.float64 and not v.weak_type for v in values)
    narrow = ADAM(learning_rate=0.5).in_precision(jnp.float32)
    assert all(v.dtype == jnp.float32 for v in narrow.hyper.values())


def test_the_dynamics_of_each_row():
    f = wavy()
    eta, beta = 0.02, 0.9
    flow = HEAVY_BALL(learning_rate=eta, momentum=beta).dynamics(f)
    assert isinstance(flow, ModifiedHeavyBallFlow)
    assert float(flow.momentum) == beta
    flow = ADAM(learning_rate=eta, b1=0.8, b2=0.99).dynamics(f)
    assert isinstance(flow, AdamFlow)
    # Over the time of one step the memories retain b1 and b2.
    np.testing.assert_allclose(np.exp(-eta / flow.tau1), 0.8, rtol=1e-14)
    np.testing.assert_allclose(np.exp(-eta / flow.tau2), 0.99, rtol=1e-14)
    flow = RMSPROP(learning_rate=eta, decay=0.7).dynamics(f)
    assert isinstance(flow, RMSPropFlow)
    np.testing.assert_allclose(np.exp(-eta / flow.tau), 0.7, rtol=1e-14)
    assert flow.eps_in_sqrt


def test_step_sizes():
    assert float(SGD(learning_rate=0.3).step_sizes(5)) == 0.3
    with jax.numpy_dtype_promotion("standard"):
        schedule = optax.exponential_decay(0.4, 1, 0.5)
        sizes = SGD(learning_rate=schedule).step_sizes(4)
    np.testing.assert_allclose(sizes, 0.4 * 0.5 ** np.arange(4), rtol=1e-6)


@pytest.mark.parametrize("row", [ADAM, RMSPROP, HEAVY_BALL])
def test_a_schedule_is_refused_where_the_flow_depends_on_the_rate(row):
    others = {"momentum": 0.5} if row is HEAVY_BALL else {}
    pairing = row(learning_rate=optax.linear_schedule(0.1, 0.01, 10), **others)
    with pytest.raises(BadInput, match="depends on the learning rate"):
        pairing.dynamics(wavy())
    assert "schedule" in repr(pairing)


def test_a_type_error_of_the_objective_is_not_taken_for_a_schedule():
    with pytest.raises(TypeError, match="mine"):

        class Row:
            pass

        from dataclasses import replace

        def broken(objective, hyper):
            raise TypeError("mine")

        replace(SGD, dynamics=broken)(learning_rate=0.1).dynamics(wavy())


def test_limits_on_a_quadratic_are_sharp():
    """Spectral radius of one step at the limit is 1; beyond it is more."""
    for beta in (0.0, 0.3, 0.9):
        limit = float(HEAVY_BALL.limit({"momentum": beta}))
        for factor, stable in ((0.999, True), (1.001, False)):
            z = factor * limit
            radius = np.max(np.abs(np.roots([1, -(1 + beta - z), beta])))
            assert (radius < 1) == stable
    assert SGD.limit({}) == 2.0


def test_relations_read_well():
    assert str(Exact()) == "exact"
    assert str(Order(2, "end")) == "order 2 (at the end time)"
    assert str(Order(0.5, "sup")) == "order 0.5 (sup)"
    for row in ROWS:
        assert row.source
        assert row.conventions
        assert isinstance(row.flow_order, Order)


def test_a_schedule_is_refused_by_name_where_the_flow_knows_the_rate():
    from discretize import sgd_modified

    pairing = sgd_modified(2)(learning_rate=lambda k: 0.1 / (k + 1))
    with pytest.raises(BadInput, match="schedule gives no one flow"):
        pairing.dynamics(wavy())
