"""`OptaxStep` is optax in a plain loop, on the user's own pytree."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import ModuleNet, relative_gap, small_net

from discretize import OptaxStep, Training
from discretize.optimiser import Fixed
from flows import GradientFlow, from_loss, iterate
from flows.problems import wavy


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def plain_loop(optimizer, loss, params, steps):
    """What a user writes."""
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    losses = []
    for _ in range(steps):
        params, state, value = step(params, state)
        losses.append(float(value))
    return params, losses


# LAMB and NovoGrad differ on a ravelled pytree: they use norms of leaves.
@pytest.mark.parametrize(
    "name",
    ["lamb", *(pytest.param(n, marks=pytest.mark.slow) for n in ("novograd", "adamw"))],
)
def test_against_a_plain_loop_on_a_dict(name):
    f, params = small_net()
    optimizer = getattr(optax, name)(0.05)
    run = iterate(
        OptaxStep(Fixed(optimizer), None), Training(f), params, h=0.05, steps=10
    )
    end = jax.tree.map(lambda a: a[-1], run.states)
    reference, losses = plain_loop(optimizer, f.loss_of, params, 10)
    assert relative_gap(end, reference) < 1e-13
    np.testing.assert_allclose(run.aux, losses, rtol=1e-12)
    np.testing.assert_allclose(run.positions[-1], f.ravel(reference), rtol=1e-11)
    if name == "lamb":  # negative control: the flat vector is another optimiser
        x, _ = plain_loop(optimizer, f.value, f.ravel(params), 10)
        assert np.max(np.abs(x - run.positions[-1])) > 1e-3


def test_against_a_plain_loop_on_an_equinox_module():
    rng = np.random.default_rng(0)
    net = ModuleNet(jnp.asarray(rng.standard_normal((2, 3))), jnp.zeros(3))
    inputs = jnp.asarray(rng.standard_normal((6, 2)))

    def loss(net, inputs):
        return jnp.mean((jax.vmap(net)(inputs) - 0.5) ** 2)

    f = from_loss(loss, net, inputs)
    arrays, static = eqx.partition(net, eqx.is_array)
    optimizer = optax.sgd(0.3, momentum=0.8, nesterov=True)
    run = iterate(
        OptaxStep(Fixed(optimizer), None), Training(f), arrays, h=0.3, steps=10
    )
    reference, _ = plain_loop(
        optimizer, lambda a: loss(eqx.combine(a, static), inputs), arrays, 10
    )
    end = jax.tree.map(lambda a: a[-1], eqx.filter(run.states, eqx.is_array))
    assert relative_gap(end, reference) < 1e-13


@pytest.mark.slow
def test_line_searches_get_what_they_ask_for():
    """optax.lbfgs needs value, grad and value_fn."""
    f = wavy()
    optimizer = optax.lbfgs()
    run = iterate(
        OptaxStep(Fixed(optimizer), None),
        Training(f),
        jnp.array([1.2, 0.8]),
        h=1.0,
        steps=15,
    )
    assert float(jnp.linalg.norm(f.gradient(run.positions[-1]))) < 1e-5
    assert float(jnp.linalg.norm(f.gradient(run.positions[0]))) > 0.5


def test_training_says_what_gradient_flow_says():
    f = wavy()
    x = jnp.array([1.2, 0.8])

    def phi(t, y):
        return jnp.sum(jnp.sin(y)) * jnp.cos(t)

    a = Training(f).generator(phi)(0.3, x)
    b = GradientFlow(f).generator(phi)(0.3, x)
    np.testing.assert_allclose(a, b, rtol=1e-14)
    net, params = small_net()
    np.testing.assert_array_equal(Training(net).position(params), net.ravel(params))


def test_new_hyperparameters_compile_nothing():
    built = []

    def build(hyper):
        built.append(1)
        return optax.sgd(hyper["learning_rate"])

    f = wavy()

    def run(rate):
        step = OptaxStep(build, {"learning_rate": jnp.asarray(rate, float)})
        return iterate(step, Training(f), jnp.array([1.2, 0.8]), h=rate, steps=3)

    first = run(0.1).positions[-1]
    traced = len(built)
    second = run(0.2).positions[-1]
    # `init` runs eagerly, once a run; the step is not traced again.
    assert len(built) == traced + 1
    assert np.max(np.abs(first - second)) > 1e-2
