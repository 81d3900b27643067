"""Nesterov's optimisers against their papers' sequences in numpy, and against optax."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import NAG_C, NAG_SC, descent_point, nag_c, nag_c_momentum, nag_sc
from flows import BadInput
from flows.problems import quadratic

PARAMS = {"w": np.array([[1.0, -2.0], [0.5, 3.0]]), "b": np.array([0.1, -0.2])}
CURVATURE = {"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([0.5, 5.0])}
STEPS = 40
ULPS = 1e3 * 2.3e-16  # forty steps of a dozen operations each


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def gradient(params):
    # no quadratic: x + sin x, each with its factor
    return {n: CURVATURE[n] * (p + np.sin(p)) for n, p in params.items()}


def su(rate, friction):
    """x_k and y_k as Su, Boyd and Candès write them."""
    x = y = PARAMS
    for k in range(1, STEPS + 1):
        g, s = gradient(y), rate(k - 1) if callable(rate) else rate
        new = {n: y[n] - s * g[n] for n in y}
        c = (k - 1) / (k + friction - 1)
        y = {n: new[n] + c * (new[n] - x[n]) for n in y}
        x = new
    return x, y


def shi(rate):
    """x_k (the look-ahead) and y_k as Shi, Du, Jordan and Su write them."""
    x = y = PARAMS
    for k in range(STEPS):
        g = gradient(x)
        new = {n: x[n] - rate * g[n] for n in x}
        x = {n: new[n] + k / (k + 3) * (new[n] - y[n]) for n in x}
        y = new
    return y, x


def run(optimizer, params=PARAMS, steps=STEPS):
    params = jax.tree.map(jnp.asarray, params)

    def one(carry, _):
        params, state = carry
        g = jax.tree.map(
            lambda p, c: (c * (p + jnp.sin(p))).astype(p.dtype), params, CURVATURE
        )
        update, state = optimizer.update(g, state, params)
        return (optax.apply_updates(params, update), state), None

    start = params, optimizer.init(params)
    return jax.jit(lambda s: jax.lax.scan(one, s, length=steps)[0])(start)


def assert_same(found, expected, rtol=ULPS):
    for name in PARAMS:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=rtol, atol=rtol, err_msg=name
        )


@pytest.mark.parametrize("friction", [3.0, 4.5])
def test_nag_c_is_the_two_sequences_of_su_boyd_and_candes(friction):
    params, state = run(nag_c(0.02, friction))
    x, y = su(0.02, friction)
    assert_same(params, y)
    assert_same(descent_point(params, state), x)
    assert int(state.steps) == STEPS


def test_the_other_papers_indices_are_the_same_iteration():
    params, state = run(nag_c(0.02))
    y, x = shi(0.02)
    assert_same(params, x)
    assert_same(descent_point(params, state), y)


def test_one_step_off_in_the_index_is_seen():
    """Negative control: c_{k+1} in place of c_k."""
    x = y = PARAMS
    for k in range(1, STEPS + 1):
        g = gradient(y)
        new = {n: y[n] - 0.02 * g[n] for n in y}
        y = {n: new[n] + k / (k + 3) * (new[n] - x[n]) for n in y}
        x = new
    params, _ = run(nag_c(0.02))
    assert np.max(np.abs(params["w"] - y["w"])) > 1e-3


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10**6), st.floats(0.5, 20))
def test_the_two_indexings_are_shifted_by_one(k, friction):
    first = nag_c_momentum(k, friction=friction, indexing="su")
    assert first == nag_c_momentum(k - 1, friction=friction, indexing="shi")
    assert 0 <= first < 1


def test_the_coefficient_of_symbols_is_the_formula():
    k, r = sympy.symbols("k r", positive=True)
    assert nag_c_momentum(k, friction=r) == (k - 1) / (k - 1 + r)
    assert nag_c_momentum(k, friction=r, indexing="shi") == k / (k + r)


def test_a_schedule_sets_each_steps_rate():
    rates = np.linspace(0.03, 0.01, STEPS)
    table = jnp.asarray(rates)
    params, _ = run(nag_c(lambda k: table[k]))
    assert_same(params, su(lambda k: rates[k], 3.0)[1])


def test_nag_sc_is_optax_nesterov_with_its_momentum():
    rate, strong = 0.02, 0.5
    root = np.sqrt(rate * strong)
    theirs = optax.sgd(rate, momentum=(1 - root) / (1 + root), nesterov=True)
    assert_same(run(nag_sc(rate, strong))[0], run(theirs)[0])
    heavy = optax.sgd(rate, momentum=(1 - root) / (1 + root))
    assert np.max(np.abs(run(heavy)[0]["w"] - run(theirs)[0]["w"])) > 1e-3


def test_each_leaf_keeps_its_precision():
    mixed = {"w": PARAMS["w"].astype(np.float32), "b": PARAMS["b"]}
    for optimizer in (nag_c(jnp.asarray(0.02)), nag_sc(jnp.asarray(0.02), 0.5)):
        params, state = run(optimizer, mixed)
        for tree in (params, state.offset):
            assert tree["w"].dtype == jnp.float32
            assert tree["b"].dtype == jnp.float64
    # the double leaf does not feel its neighbour
    np.testing.assert_array_equal(params["b"], run(nag_sc(0.02, 0.5))[0]["b"])


def test_hyperparameters_can_be_injected():
    injected = optax.inject_hyperparams(nag_c)(learning_rate=0.02)
    assert_same(run(injected)[0], su(0.02, 3.0)[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: nag_c(0.0), "learning_rate"),
        (lambda: nag_c(np.nan), "learning_rate"),
        (lambda: nag_c("fast"), "learning_rate"),
        (lambda: nag_c(0.1, -3), "friction"),
        (lambda: nag_sc(0.1, 0.0), "strong_convexity"),
        (lambda: nag_sc(1.0, 4.0), "μs = 4 > 1"),
        (lambda: nag_c_momentum(3, indexing="nesterov"), "indexing"),
        (lambda: nag_c_momentum(0), 'k is .* from 1 for "su"; got 0'),
        (lambda: nag_c_momentum(-1, indexing="shi"), 'from 0 for "shi"; got -1'),
        (lambda: nag_c_momentum(np.array([1.0, np.nan])), "k is"),
        (lambda: nag_c_momentum("3"), "k is"),
        (lambda: nag_c_momentum(1, friction=0), "friction"),
        (lambda: nag_c_momentum(1, friction="a"), "friction"),
        (lambda: NAG_SC(learning_rate=0.1, strong_convexity=100), "μs = 10 > 1"),
        (lambda: NAG_SC(learning_rate=0.1), "strong_convexity"),
        (lambda: NAG_C(learning_rate=0.1, friction=0.0), "friction"),
    ],
)
def test_bad_input_is_named_at_the_door(build, named):
    with pytest.raises(BadInput, match=named):
        build()


def test_at_the_edge_of_its_range_nag_sc_is_gradient_descent():
    assert_same(run(nag_sc(0.1, 10.0))[0], run(optax.sgd(0.1))[0])


def radius(curvature, momentum):
    """Of the look-ahead's iteration on λ x²/2, learning rate 1."""
    left = 1 - curvature
    companion = [[(1 + momentum) * left, -momentum * left], [1, 0]]
    return np.max(np.abs(np.linalg.eigvals(companion)))


def test_the_limits_of_the_rows_are_where_the_spectral_radius_is_one():
    pairing = NAG_SC(learning_rate=0.5, strong_convexity=0.2)
    root = np.sqrt(0.1)
    momentum = (1 - root) / (1 + root)
    assert NAG_SC.limit is not None and NAG_C.limit is not None
    limit = float(NAG_SC.limit(pairing.hyper))
    assert radius(limit * (1 - 1e-6), momentum) < 1 < radius(limit * 1.00001, momentum)
    limit = float(NAG_C.limit({}))
    assert radius(limit, 1.0) == pytest.approx(1, abs=1e-7)
    assert radius(limit * 1.001, 1.0) > 1.001


def test_the_rows_start_where_they_say():
    """x(√s) of the row's flow is x_1 to third order: the matched velocity."""
    objective, x0 = quadratic([1.0, 0.3]), jnp.array([1.0, -2.0])
    gaps = []
    for root in (0.02, 0.01):
        pairing = NAG_SC(learning_rate=root**2, strong_convexity=0.2)
        model: Any = pairing.dynamics(objective)
        _, y0 = NAG_SC.start(model, pairing.hyper, x0)
        bend = model.vector_field(0.0, y0).velocity
        after = x0 + root * y0.velocity + root**2 / 2 * bend
        q = np.sqrt(0.2) * root
        first = x0 - 2 * root**2 / (1 + q) * objective.gradient(x0)
        gaps.append(float(jnp.linalg.norm(after - first)))
    assert np.log2(gaps[0] / gaps[1]) == pytest.approx(3, abs=0.05)
