"""Langevin optimisers: their formulas, their noise, and optax's training loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import ModuleNet, relative_gap

from discretize import (
    OptaxStep,
    StateRootTaming,
    Training,
    sgld,
    tamed_langevin,
    theopoula,
    tula,
    tusla,
)
from flows import BadInput
from flows.problems import quadratic
from sde import draw_noise

PARAMS = {"w": np.array([[1.5, -0.3], [0.2, 0.9]]), "b": np.array([0.4, -1.1])}
GRADS = {"w": np.array([[0.02, -40.0], [0.0, 3.0]]), "b": np.array([1e3, -0.1])}
XI = {"w": np.array([[0.1, -1.0], [2.0, 0.3]]), "b": np.array([-0.7, 0.5])}
LR, EPS_, BETA, ETA, R = 0.04, 0.05, 30.0, 0.2, 1.5


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def flat(tree):
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])


def arrays(tree, dtype=jnp.float64):
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), tree)


def update(optimizer, grads=GRADS, params=PARAMS, dtype=jnp.float64, **noise):
    grads, params = arrays(grads, dtype), arrays(params, dtype)
    state = optimizer.init(params)
    return optimizer.update(grads, state, params, **noise)[0]


def by_hand(name):
    """The papers' formulas in numpy, with the norm over all six parameters."""
    g, x, s = flat(GRADS), flat(PARAMS), np.sqrt(LR)
    power = np.sum(x**2) ** R
    penalty = ETA * x * power
    drift = {
        "sgld": g,
        "tula": g / (1 + LR * np.linalg.norm(g)),
        "tusla": (g + penalty) / (1 + s * power),
        "theopoula": g / (1 + s * abs(g)) * (1 + s / (EPS_ + abs(g)))
        + penalty / (1 + s * power),
        "mtula": g / np.sqrt(1 + LR * power),
    }[name]
    return -LR * drift + np.sqrt(2 * LR / BETA) * flat(XI)


OPTIMIZERS = {
    "sgld": sgld(LR, BETA),
    "tula": tula(LR, BETA),
    "tusla": tusla(LR, BETA, ETA, R),
    "theopoula": theopoula(LR, EPS_, BETA, ETA, R),
    "mtula": tamed_langevin(LR, StateRootTaming(R), beta=BETA),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_step_is_the_papers_formula(name):
    moved = update(OPTIMIZERS[name], noise=arrays(XI))
    assert jax.tree.structure(moved) == jax.tree.structure(PARAMS)
    np.testing.assert_allclose(flat(moved), by_hand(name), rtol=1e-13)


def test_the_regulariser_is_not_folded_into_the_gradient():
    """Negative control: public code adds it to g before taming and boosting."""
    x = flat(PARAMS)
    factor = 1 / (1 / np.sum(x**2) ** R + np.sqrt(LR))
    folded = jax.tree.map(lambda g, p: g + ETA * p * factor, GRADS, PARAMS)
    plain = theopoula(LR, EPS_, np.inf)
    ours = update(theopoula(LR, EPS_, np.inf, ETA, R))
    theirs = update(plain, folded)
    gap = np.abs(flat(ours) - flat(theirs))
    assert np.max(gap) > 0.01 * np.max(np.abs(flat(ours)))
    # Without a regulariser the two agree.
    assert relative_gap(update(theopoula(LR, EPS_, np.inf, 0.0, R)), update(plain)) == 0


def test_a_norm_of_each_layer_is_another_method():
    """Negative control: TULA on the leaves one by one."""
    whole = update(tula(LR, np.inf))
    alone = update(tula(LR, np.inf), {"w": GRADS["w"]}, {"w": PARAMS["w"]})
    assert np.max(np.abs(alone["w"])) > 10 * np.max(np.abs(whole["w"]))


def test_the_key_gives_the_noise_of_a_scheme_of_that_key():
    """Three steps at gradient 0 against `draw_noise` for the path of the same key."""
    step = OptaxStep(lambda hyper: sgld(LR, BETA), None, noisy=True)
    noise = draw_noise(step, Training(quadratic([1.0])), arrays(PARAMS), 7, 3)
    assert noise.shape == (3, 6)
    zero = jax.tree.map(np.zeros_like, GRADS)
    optimizer = sgld(LR, BETA, key=7)
    state, one = optimizer.init(arrays(PARAMS)), jax.jit(optimizer.update)
    for k in range(3):
        moved, state = one(zero, state, arrays(PARAMS))
        expected = np.sqrt(2 * LR / BETA) * noise[k]
        # The draws have float32 resolution, rounded as each program is compiled.
        np.testing.assert_allclose(flat(moved), expected, rtol=2e-6)
    assert int(state.steps) == 3
    for key in (jax.random.key(7), jax.random.PRNGKey(7)):
        same = sgld(LR, BETA, key=key).init(PARAMS)
        np.testing.assert_array_equal(same.key, state.key)
    moved, _ = one(zero, sgld(LR, BETA, key=8).init(PARAMS), arrays(PARAMS))
    assert np.min(np.abs(flat(moved) - np.sqrt(2 * LR / BETA) * noise[0])) > 1e-4


def test_infinite_beta_is_without_noise():
    for optimizer in (sgld(LR, np.inf), sgld(LR, jnp.asarray(np.inf))):
        for extra in ({}, {"noise": arrays(XI)}):
            moved = flat(update(optimizer, **extra))
            np.testing.assert_allclose(moved, -LR * flat(GRADS), rtol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_steps_are_bounded_for_the_largest_gradients(dtype):
    """|step| < √λ a coordinate for TheoPouLa, < 1 in all for TULA; no overflow."""
    largest = 1e18 if dtype == jnp.float32 else 1e150
    huge = jax.tree.map(lambda g: largest * np.sign(g), GRADS)
    moved = update(theopoula(LR, EPS_, np.inf), huge, dtype=dtype)
    assert all(a.dtype == dtype for a in jax.tree.leaves(moved))
    np.testing.assert_allclose(np.max(np.abs(flat(moved))), np.sqrt(LR), rtol=1e-6)
    moved = flat(update(tula(LR, np.inf), huge, dtype=dtype))
    np.testing.assert_allclose(np.linalg.norm(moved), 1.0, rtol=1e-6)


@pytest.mark.parametrize("make", [theopoula, tusla], ids=lambda f: f.__name__)
def test_a_regulariser_that_overflows_is_tamed_all_the_same(make):
    """η θ|θ|²⁸/(1 + √λ|θ|²⁸) → η θ/√λ, where |θ|²⁹ leaves float32 (at |θ| = 50)."""
    x = {"a": jnp.asarray([30.0, -40.0], jnp.float32)}
    zero = jax.tree.map(jnp.zeros_like, x)
    optimizer = make(LR, beta=np.inf, eta=ETA, r=14)
    moved = optimizer.update(zero, optimizer.init(x), x)[0]["a"]
    assert moved.dtype == jnp.float32
    np.testing.assert_allclose(moved, -np.sqrt(LR) * ETA * x["a"], rtol=1e-6)
    assert 50.0**29 > float(np.finfo(np.float32).max)


def test_a_schedule_is_taken_at_its_step():
    rates = optax.linear_schedule(0.1, 0.02, 4)
    scheduled = theopoula(rates, EPS_, BETA, ETA, R)
    state = scheduled.init(arrays(PARAMS))
    for k in range(5):
        moved, state = scheduled.update(GRADS, state, arrays(PARAMS), noise=XI)
        rate = 0.1 - 0.02 * k
        fixed = update(theopoula(rate, EPS_, BETA, ETA, R), noise=XI)
        assert relative_gap(moved, fixed) < 1e-6  # schedules of optax are float32
    assert relative_gap(moved, update(OPTIMIZERS["theopoula"], noise=XI)) > 0.1


def loss(params):
    return jnp.sum((params["w"] - 1) ** 4) + jnp.sum(params["b"] ** 2)


def scanned(optimizer, params, steps=12):
    @jax.jit
    def run(params):
        def step(loop, _):
            params, state = loop
            grads = jax.grad(loss)(params)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        loop = params, optimizer.init(params)
        return jax.lax.scan(step, loop, length=steps)[0][0]

    return run(params)


@pytest.mark.slow
def test_optax_wrappers_leave_the_method_what_it_is():
    """Chained, with injected numbers: the same path as alone, in a float32 scan."""
    params = arrays(PARAMS, jnp.float32)
    hyper = {"learning_rate": 0.05, "eps": 0.1, "beta": 50.0, "eta": 0.1, "r": 1}
    alone = scanned(theopoula(**hyper, key=5), params)
    assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(alone))
    assert loss(alone) < loss(params)
    wrapped = {
        "chain": optax.chain(optax.clip(1e9), theopoula(**hyper, key=5)),
        "inject": optax.inject_hyperparams(theopoula)(**hyper, key=5),
    }
    for optimizer in wrapped.values():
        assert relative_gap(scanned(optimizer, params), alone) < 1e-6
    # Injected, a whole-number key reaches the optimiser as an integer array.
    for key in (5, 2**40 + 3):
        injected = optax.inject_hyperparams(theopoula)(**hyper, key=key).init(params)
        words = theopoula(**hyper, key=key).init(params).key
        np.testing.assert_array_equal(injected.inner_state.key, words)


def test_injected_hyperparameters_can_be_changed_between_steps():
    optimizer = optax.inject_hyperparams(tusla)(learning_rate=LR, beta=BETA)
    params = arrays(PARAMS)
    state = optimizer.init(params)
    state.hyperparams["eta"] = jnp.asarray(ETA)
    state.hyperparams["r"] = jnp.asarray(R)
    moved, _ = optimizer.update(arrays(GRADS), state, params, noise=arrays(XI))
    np.testing.assert_allclose(flat(moved), by_hand("tusla"), rtol=1e-13)


@pytest.mark.slow
def test_an_equinox_module_with_functions_in_it():
    net = ModuleNet(jnp.ones((2, 3)), jnp.zeros(3))
    grads = eqx.filter_grad(lambda net: jnp.sum(net(jnp.ones(2)) ** 2))(net)
    optimizer = theopoula(0.1, beta=np.inf, eta=0.1)
    state = optimizer.init(eqx.filter(net, eqx.is_array))
    for params in (net, eqx.filter(net, eqx.is_array)):
        updates, _ = optimizer.update(grads, state, params)
        new = eqx.apply_updates(net, updates)
        assert new.activation is net.activation
        assert float(jnp.max(new.weight)) < 1.0


def test_keys_of_an_ensemble():
    """One optimiser state a member: vmapped keys give independent noise."""
    params = {"w": jnp.zeros((3, 4))}

    def one(key, params):
        optimizer = sgld(0.5, 1.0, key=key)
        return optimizer.update(params, optimizer.init(params), params)[0]

    keys = jax.random.split(jax.random.key(0), 3)
    moved = np.asarray(jax.jit(jax.vmap(one))(keys, params)["w"])
    assert len(np.unique(moved)) == 12
    again = jax.jit(one)(keys[1], {"w": jnp.zeros(4)})["w"]
    np.testing.assert_allclose(moved[1], np.asarray(again), rtol=2e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: theopoula(0.0), "learning_rate is a number > 0"),
        (lambda: sgld("fast"), "learning_rate is a number > 0"),
        (lambda: tula(np.inf), "learning_rate is a number > 0"),
        (lambda: theopoula(0.1, eps=0.0), "eps is a number > 0"),
        (lambda: tula(0.1, beta=0.0), "beta is a number > 0, infinite for no noise"),
        (lambda: tusla(0.1, eta=-1.0), "eta is >= 0"),
        (lambda: tusla(0.1, r=-0.5), "r is >= 0"),
        (lambda: sgld(0.1, key=-1), "a whole-number key"),
        (lambda: tamed_langevin(0.1, "tamed"), "a taming is one such as"),
        (lambda: sgld(0.1).update(GRADS, None), r"needs update\(grads, state, params"),
        (lambda: update(sgld(0.1), noise={"w": XI["w"]}), "a pytree like the param"),
        (lambda: update(sgld(0.1), noise={"w": 1.0, "b": XI["b"]}), "shapes"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()
