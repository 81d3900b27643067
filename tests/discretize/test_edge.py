"""The edge with the preconditioner held, and the effective sharpness beside it."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg

from discretize import (
    ADAM,
    SCALAR_RMSPROP,
    edge,
    edge_along,
    edge_of,
    stability,
)
from flows import BadInput, effective_sharpness, from_loss
from flows.central import GradientDescent, Momentum
from flows.problems import quadratic

UNIT, POSITIVE = (0, 1), (0, math.inf)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


OPTIMISERS = {
    "gradient descent": (optax.sgd(0.1), 20),
    "Polyak": (optax.sgd(0.1, momentum=0.9), 38),
    "Nesterov": (optax.sgd(0.1, momentum=0.9, nesterov=True), 95 / 7),
    "Adam": (optax.adam(0.1), 380),
    "Adam without momentum": (optax.adam(0.1, b1=0.0), 20),
    "NAdam": (optax.nadam(0.1), 950 / 7),
    "RMSProp": (optax.rmsprop(0.1), 20),
    "RMSProp with momentum": (optax.rmsprop(0.1, momentum=0.9), 38),
    "centred RMSProp": (optax.rmsprop(0.1, centered=True), 20),
    "AdaBelief": (optax.adabelief(0.1), 380),
    "Adagrad": (optax.adagrad(0.1), 20),
    "row": (SCALAR_RMSPROP(learning_rate=0.1), 20),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_limits_of_optax_optimisers(name):
    optimizer, closed = OPTIMISERS[name]
    assert float(edge(optimizer).limit) == pytest.approx(closed, rel=1e-12)


def test_the_limit_is_proved_for_all_hyperparameters():
    found = edge_of(
        lambda eta, b1, b2: optax.adam(eta, b1, b2), eta=POSITIVE, b1=UNIT, b2=UNIT
    )
    s = {v.name: v for v in found.limit.free_symbols}
    assert found.grade == "proved" and set(s) == {"eta", "b1"}
    assert found.limit.equals(2 * (1 + s["b1"]) / ((1 - s["b1"]) * s["eta"]))
    # at the minimiser, where ν = 0, the same optimiser has a limit that ε sets
    at_rest = stability(optax.adam(0.1, eps=1e-3)).limit
    assert float(at_rest) == pytest.approx(0.38, rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_rules_of_central_flows_have_the_edges_of_their_optimisers(beta):
    """C P of the rule is the limit that is derived from optax's own step."""
    mean = optax.chain(optax.ema(beta, debias=False), optax.scale(-0.3))
    for optimizer, rule in (
        (optax.sgd(0.3), GradientDescent(0.3)),
        (optax.sgd(0.3, momentum=beta), Momentum(0.3, beta)),
        (optax.sgd(0.3, momentum=beta, nesterov=True), Momentum(0.3, beta, "nesterov")),
        (mean, Momentum(0.3, beta, "ema")),
    ):
        threshold = float(rule.edge * rule.preconditioner(0.0, None))
        assert threshold == pytest.approx(float(edge(optimizer).limit), rel=1e-12)


def test_weight_decay_moves_the_limit():
    """AdamW: 38/η falls to (38/η)(1 - η w/2), from p(-1) = 0 with 1 - ηw for x."""
    eta, w, b = 0.1, 0.5, 0.9
    found = edge(optax.adamw(eta, weight_decay=w))
    # z² - (1 - ηw + b - (1-b)ηh) z + b(1 - ηw) at z = -1
    closed = ((1 + b) * (2 - eta * w)) / ((1 - b) * eta)
    assert float(found.limit) == pytest.approx(closed, rel=1e-12)


def _network():
    """A loss over {"a": [4, 4], "b": [4]}: 20 parameters, none of them dead."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((8, 4)), rng.standard_normal(8)

    def loss(p, data):
        return jnp.mean((jnp.tanh(data[0] @ p["a"]) @ p["b"] - data[1]) ** 2)

    params = {"a": jnp.asarray(rng.standard_normal((4, 4))), "b": jnp.ones(4)}
    return from_loss(loss, params, (inputs, targets)), params


@functools.cache
def _run(optimizer, steps=6):
    objective, params = _network()

    @jax.jit
    def step(loop, _):
        params, state = loop
        gradient = jax.grad(objective.loss_of)(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = params, optimizer.init(params)
    params, state = jax.lax.scan(step, start, length=steps)[0]
    return objective, params, state


ADAM_HERE = optax.adam(1e-3, 0.9, 0.99, 1e-4)


@pytest.mark.slow
def test_adams_preconditioner_and_the_sharpness_in_it():
    """P = (1 - β₁^k)(√(ν/(1-β₂^k)) + ε) after k steps; λ_max(P⁻¹H) by dense eigh."""
    objective, params, state = _run(ADAM_HERE)
    found = edge(ADAM_HERE)
    p = found.preconditioner(state)
    nu = state[0].nu
    for key, value in p.items():
        root = np.sqrt(np.asarray(nu[key]) / (1 - 0.99**6)) + 1e-4
        np.testing.assert_allclose(value, (1 - 0.9**6) * root, rtol=1e-10)

    beside = found.at(objective, params, state)
    x = objective.ravel(params)
    h = np.asarray(eqx.filter_jit(objective.hessian)(x))
    h, diagonal = (h + h.T) / 2, np.asarray(objective.ravel(p))
    top = scipy.linalg.eigh(
        h, np.diag(diagonal), eigvals_only=True, subset_by_index=[len(x) - 1] * 2
    )[0]
    assert beside.sharpness.value == pytest.approx(top, rel=1e-8)
    assert beside.ratio == pytest.approx(38e3 / top, rel=1e-8)
    assert "residual" in beside.verdict and "below the limit" in beside.verdict
    v = beside.sharpness.vector
    np.testing.assert_allclose(h @ v, top * diagonal * v, atol=1e-7 * top)
    assert v @ (diagonal * v) == pytest.approx(1)
    # negative control: without the preconditioner it is another number
    assert objective.sharpness(params).value != pytest.approx(top, rel=0.1)


def test_one_moment_for_all_parameters():
    row = SCALAR_RMSPROP(learning_rate=1e-3)
    objective, params = _network()
    state = row.row.optimizer(row.hyper).init(params)
    state = optax.tree_utils.tree_set(state, nu=jnp.asarray(0.3))
    p = edge(row).preconditioner(state)
    assert np.shape(p) == () and float(p) == pytest.approx(math.sqrt(0.3 + 1e-8))
    plain = objective.sharpness(params).value
    scaled = effective_sharpness(objective, params, p)
    assert scaled.value == pytest.approx(plain / float(p), rel=1e-8)


def test_a_quadratic_in_closed_form():
    """H = diag(h): λ_max(P⁻¹H) = max h/P, at another direction than max h."""
    objective = quadratic([1.0, 4.0, 10.0])
    found = effective_sharpness(objective, jnp.ones(3), jnp.array([0.1, 4.0, 5.0]))
    assert found.value == pytest.approx(10.0, rel=1e-12)
    assert abs(found.vector[0]) == pytest.approx(1 / math.sqrt(0.1))


def test_a_run_beside_its_edge():
    """Loss and λ_max(P⁻¹H) every two steps are those of the same run by hand."""
    params = _network()[1]
    objective, end, state = _run(ADAM_HERE)
    run = edge_along(ADAM_HERE, objective, params, steps=6, every=2, first=2)
    assert run.steps.tolist() == [4, 6] and run.limit == pytest.approx(38e3)
    assert run.loss[-1] == pytest.approx(float(objective.loss_of(end)), rel=1e-12)
    by_hand = edge(ADAM_HERE).at(objective, end, state)
    assert run.ratio[-1] == pytest.approx(1 / by_hand.ratio, rel=1e-6)
    with pytest.raises(BadInput, match="every divides steps"):
        edge_along(ADAM_HERE, objective, params, steps=5, every=2)


def test_bad_input_is_refused():
    for optimizer, word in (
        (optax.amsgrad(0.1), "more than one second moment"),
        (optax.lion(0.1), "no linear part"),
        (optax.lamb(0.1), "no linear part"),
    ):
        with pytest.raises(BadInput, match=word):
            edge(optimizer)
    with pytest.raises(BadInput, match="expected an optax optimiser"):
        edge("adam")
    with pytest.raises(BadInput, match="the range of eta"):
        edge_of(lambda eta: optax.sgd(eta), eta=(1, 2))
    found = edge(ADAM(learning_rate=0.1))
    fresh = optax.adam(0.1).init(jnp.zeros(2))
    with pytest.raises(BadInput, match="no step"):
        found.preconditioner(fresh)
    with pytest.raises(BadInput, match="0 fields named nu"):
        found.preconditioner(optax.sgd(0.1).init(jnp.zeros(2)))
    objective = quadratic([1.0, 4.0])
    for p, word in (
        (jnp.array([1.0, 0.0]), "positive and finite"),
        (jnp.ones(3), "a vector of shape"),
    ):
        with pytest.raises(BadInput, match=word):
            effective_sharpness(objective, jnp.zeros(2), p)
