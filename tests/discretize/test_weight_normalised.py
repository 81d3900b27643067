"""Weight-normalised gradient descent and rPGD: by hand, inside optax, as rows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import WAVY_START, halving_slopes, small_net

import discretize
import flows
from discretize import (
    RPGD,
    SGD,
    WEIGHT_NORMALISED_SGD,
    ProjectedEuler,
    compare,
    convergence,
    rpgd,
    weight_normalised_sgd,
)
from flows import BadInput, WeightNormalisedFlow, WeightNormalisedState
from flows.problems import least_squares, wavy

START = np.array(WAVY_START)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def slope(z):
    x, y = z
    return np.array(
        [
            x + (x * y - 1) * y / 2 + 2 * x * y / 5,
            (x * y - 1) * x / 2 + np.cos(y) / 3 + x**2 / 5,
        ]
    )


def descent_by_hand(steps, eta, rate, norm):
    s, w = np.linalg.norm(START), norm * START / np.linalg.norm(START)
    path = [START]
    for k in range(steps):
        h: Any = eta(k) if callable(eta) else eta
        size = np.linalg.norm(w)
        u = w / size
        r = slope(s * u)
        s, w = s - rate * h * (u @ r), w - h * s / size * (r - u * (u @ r))
        path.append(s * w / np.linalg.norm(w))
    return np.array(path)


def rpgd_by_hand(steps, eta, rate):
    s, w = np.linalg.norm(START), START / np.linalg.norm(START)
    path = [START]
    for _ in range(steps):
        r = slope(s * w)
        v = w - eta * s * r
        s, w = s - rate * eta * (w @ r), v / np.linalg.norm(v)
        path.append(s * w)
    return np.array(path)


def by_optax(optimizer, steps):
    """In optax's own protocol, on a pytree of two scalars."""
    params = {"a": jnp.asarray(START[0]), "b": jnp.asarray(START[1])}
    state, path = optimizer.init(params), [START]

    @jax.jit
    def step(params, state):
        g = wavy().gradient(jnp.stack([params["a"], params["b"]]))
        updates, state = optimizer.update({"a": g[0], "b": g[1]}, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
        path.append(np.array([params["a"], params["b"]]))
    return np.array(path)


def test_weight_normalised_descent_by_hand():
    hand = descent_by_hand(20, 0.05, 0.4, 0.8)
    run = by_optax(weight_normalised_sgd(0.05, 0.4, 0.8), 20)
    np.testing.assert_allclose(run, hand, rtol=1e-12)
    # Negative control: another norm is another run.
    assert np.max(np.abs(descent_by_hand(20, 0.05, 0.4, 1.0) - hand)) > 1e-2


def test_a_schedule_serves_both_moves():
    schedule = optax.exponential_decay(0.1, 5, 0.5)
    hand = descent_by_hand(12, lambda k: 0.1 * 0.5 ** (k / 5), 1.0, 1.0)
    run = by_optax(weight_normalised_sgd(schedule), 12)
    np.testing.assert_allclose(run, hand, rtol=1e-6)  # optax's clock is float32


@pytest.mark.parametrize("rate", [1.0, 0.25, 0.0])
def test_rpgd_by_hand(rate):
    hand = rpgd_by_hand(20, 0.05, rate)
    np.testing.assert_allclose(by_optax(rpgd(0.05, rate), 20), hand, rtol=1e-12)
    flow = WeightNormalisedFlow(wavy(), rate)
    start = flow.start(jnp.asarray(START))
    run = flows.iterate(ProjectedEuler(), flow, start, h=0.05, steps=20)
    np.testing.assert_allclose(run.positions, hand, rtol=1e-12)
    if rate == 0:  # the first phase: |x| stays
        sizes = np.linalg.norm(hand, axis=1)
        np.testing.assert_allclose(sizes, sizes[0], rtol=1e-13)


@pytest.mark.slow
def test_the_optimisers_are_their_rows_schemes_on_a_network():
    net, params = small_net()
    one, other = (
        compare(net, row(learning_rate=0.05), params, steps=60, flow=False)
        for row in (WEIGHT_NORMALISED_SGD, RPGD)
    )
    for run in (one, other):
        assert np.max(run.exact_gap) < 1e-13
        assert run.loss[-1] < run.loss[0]
    # Negative control: the two rows are not each other.
    assert np.max(np.abs(one.positions - other.positions)) > 1e-6


@pytest.mark.slow
def test_it_is_plain_sgd_on_the_reparametrised_loss():
    """optax.sgd at different rates for s and w, through optax's own labels."""
    net, params = small_net()
    both = flows.weight_normalised(net)
    start = flows.polar(params, 0.9)
    labels = WeightNormalisedState("s", "w")
    plain = optax.multi_transform({"s": optax.sgd(0.02), "w": optax.sgd(0.05)}, labels)
    other = compare(
        both,
        plain,
        start,
        dynamics=flows.GradientFlow(both),
        clock=0.05,
        steps=40,
        flow=False,
    )
    pairing = WEIGHT_NORMALISED_SGD(learning_rate=0.05, scale_rate=0.4, norm=0.9)
    run = compare(net, pairing, params, steps=40, flow=False)
    s, w = other.discrete.states
    leaves = [np.asarray(a).reshape(41, -1) for a in jax.tree.leaves(w)]
    w = np.concatenate(leaves, axis=1)
    x = np.asarray(s) * w / np.linalg.norm(w, axis=1)[:, None]
    np.testing.assert_allclose(run.positions, x, atol=1e-13)


@pytest.mark.slow
def test_the_row_follows_its_flow_to_order_1():
    row, rates = WEIGHT_NORMALISED_SGD, 0.02 * 0.5 ** np.arange(5)
    ladder = convergence(row, wavy(), START, learning_rates=rates, t1=1.0, norm="end")
    slopes = halving_slopes(ladder.errors)
    assert abs(2 * slopes[-1] - slopes[-2] - 1) < 0.02


def test_two_phases_find_the_least_norm_solution():
    rng = np.random.default_rng(5)
    a = rng.standard_normal((3, 7))
    f = least_squares(a, a @ rng.standard_normal(7))
    solution = np.linalg.pinv(a) @ np.asarray(f.data.tree[1])
    x0 = 0.1 * rng.standard_normal(7)
    scale, hessian = np.linalg.norm(x0), a.T @ a / 3
    held, free = (WeightNormalisedFlow(f, c) for c in (0.0, 1.0))

    def end(count):
        start = held.start(jnp.asarray(x0))
        run = flows.iterate(
            ProjectedEuler(), held, start, h=0.2, steps=count, save="last"
        )
        y = jax.tree.map(lambda a: a[-1], run.states)
        run = flows.iterate(ProjectedEuler(), free, y, h=0.02, steps=9000, save="last")
        assert float(f.value(run.positions[-1])) < 1e-18
        return np.linalg.norm(run.positions[-1] - solution)

    first, second = end(150), end(250)
    mu = flows.sphere_multiplier(hessian, solution, scale)
    assert second / first == pytest.approx((1 + 0.2 * scale * mu) ** -100, rel=0.02)
    assert second < 0.01 * np.linalg.norm(x0)


def test_what_cannot_be_is_refused():
    with pytest.raises(BadInput, match="no direction"):
        weight_normalised_sgd(0.1).init(jnp.zeros(2))
    with pytest.raises(BadInput, match="update"):
        optimizer = rpgd(0.1)
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
    with pytest.raises(BadInput, match="scale_rate"):
        rpgd(0.1, -1.0)
    with pytest.raises(BadInput, match="norm is a number > 0"):
        WEIGHT_NORMALISED_SGD(learning_rate=0.1, norm=0.0)
    flow = WeightNormalisedFlow(wavy())
    wrong = flow.start(jnp.asarray(START), 2.0)
    with pytest.raises(BadInput, match=r"\|w\| = 1"):
        flows.iterate(ProjectedEuler(), flow, wrong, h=0.1, steps=2)
    with pytest.raises(BadInput, match="WeightNormalisedFlow"):
        model = flows.GradientFlow(wavy())
        flows.iterate(ProjectedEuler(), model, jnp.asarray(START), h=0.1, steps=2)


@pytest.mark.slow
def test_the_drift_of_a_comparison_is_that_of_its_optimiser():
    net = flows.problems.deep_linear(np.diag([1.0, 0.5]), hidden=(2,))
    rng = np.random.default_rng(6)
    params = tuple(jnp.asarray(0.5 * rng.standard_normal((2, 2))) for _ in range(2))
    run = compare(net, SGD(learning_rate=0.05), params, steps=40)
    moved = flows.drift(flows.balancedness, run)
    w1, w2 = (np.asarray(w) for w in run.discrete.states)
    gap = np.einsum("kab,kac->kbc", w2, w2) - np.einsum("kab,kcb->kac", w1, w1)
    expected = np.linalg.norm((gap - gap[:1]).reshape(41, -1), axis=1)
    np.testing.assert_allclose(moved, expected, atol=1e-14)
    assert moved[-1] > 1e-3 > 1e4 * np.max(flows.drift(flows.balancedness, run.flow))


@pytest.mark.slow
def test_the_figures_numbers_are_those_of_the_theorems():
    from discretize import figures

    assert {
        "weight_normalisation_distance",
        "balancedness_drift",
        "rpgd_two_phases",
    } <= set(figures.discover())
    import matplotlib.pyplot as plt

    fig, shown = figures.FIGURES["weight_normalisation_distance"](scales=2)
    for norm in ("0.7", "1", "1.5"):
        np.testing.assert_allclose(
            shown[f"measured_{norm}"], shown[f"predicted_{norm}"], rtol=1e-4
        )
    assert shown["measured_1.5"][0] > shown["gradient_flow"][0]
    assert shown["measured_0.7"][0] < shown["gradient_flow"][0]
    plt.close(fig)


@pytest.mark.slow
def test_the_numbers_of_the_drift_and_of_two_phases():
    import matplotlib.pyplot as plt

    from discretize import figures

    figures.discover()
    fig, shown = figures.FIGURES["balancedness_drift"](rates=(0.005, 0.0025))
    assert shown["slope"] == pytest.approx(1, abs=0.02)
    drifts = shown["drifts"] / shown["rates"]
    np.testing.assert_allclose(drifts, shown["constant"], rtol=0.01)
    assert np.max(shown["flow"]) < 1e-9
    plt.close(fig)
    fig, shown = figures.FIGURES["rpgd_two_phases"](counts=(50, 75))
    fall = (shown["ends"][1] / shown["ends"][0]) ** (1 / 25)
    assert fall == pytest.approx(float(shown["factor"]), rel=1e-3)
    plt.close(fig)


def test_the_rows_stand_in_the_table():
    table = discretize.correspondences().to_markdown()
    for name in ("weight_normalised_sgd", "rpgd", "WeightNormalisedFlow"):
        assert name in table
