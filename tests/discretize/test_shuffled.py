"""Reshuffled SGD: epochs, their mean, the modified flow, the row; and DAL."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import WAVY_START, small_net

from discretize import (
    NESTEROV,
    SGD_MODIFIED,
    MeanEpoch,
    ModifiedFlow,
    ShuffledEpoch,
    ShuffledFlow,
    compare,
    drift_adjusted,
    partition,
    prove,
    reshuffled_sgd,
    sgd_modified,
    shuffled_sgd,
)
from flows import BadInput, GradientFlow, finite_sum, iterate
from flows.problems import quadratic, wavy

START = jnp.array(WAVY_START)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def by_hand(objective, batches, x, eta):
    """The ends of all epochs, one an order, in plain numpy loops."""
    gradient, ends = jax.jit(lambda y, b: objective.gradient(y, b)), []
    for order in itertools.permutations(range(len(batches))):
        y = np.asarray(x)
        for i in order:
            y = y - eta * np.asarray(gradient(jnp.asarray(y), batches[i]))
        ends.append(y)
    return np.array(ends)


def test_the_mean_epoch_and_a_random_one_against_loops():
    objective, params = small_net()
    x, batches = objective.ravel(params), partition(12, 3)
    ends = by_hand(objective, batches, x, 0.1)
    flow = GradientFlow(objective)
    mean = iterate(MeanEpoch(batches), flow, x, h=0.3, steps=1).states[-1]
    np.testing.assert_allclose(mean, ends.mean(axis=0), rtol=1e-12)
    scheme, seen = ShuffledEpoch(batches), set()
    bits = np.random.default_rng(0).integers(0, 2**32, (24, 1, 2), dtype=np.uint32)
    for noise in bits:
        end = iterate(scheme, flow, x, h=0.3, steps=1, noise=noise).states[-1]
        gaps = np.max(np.abs(ends - np.asarray(end)), axis=1)
        assert gaps.min() < 1e-14
        seen.add(int(np.argmin(gaps)))
    assert len(seen) > 3  # of six orders


def test_the_modified_flow_of_the_mean_epoch():
    """By the general recursion, h = mη; and not with the full batch's regulariser."""
    f = finite_sum([wavy(), quadratic([1.0, 3.0])])
    t, batches = jnp.asarray(0.0), partition(2, 2)
    found = ModifiedFlow(GradientFlow(f), MeanEpoch(batches), 0.2, 2)
    field = np.asarray(found.vector_field(t, START))
    expected = ShuffledFlow(f, batches, 0.1).vector_field(t, START)
    np.testing.assert_allclose(field, expected, rtol=1e-12)
    full = ShuffledFlow(f, partition(2, 1), 0.1).vector_field(t, START)
    assert np.max(np.abs(field - full)) > 1e-2


@pytest.mark.slow
def test_the_row_is_its_scheme():
    objective, params = small_net()
    row = shuffled_sgd(partition(12, 3))
    run = compare(objective, row(learning_rate=0.05), params, steps=6)
    assert run.exact_gap.max() < 1e-14
    assert run.times[-1] == pytest.approx(6 * 3 * 0.05)
    assert run.distance[-1] < 0.01
    assert prove(row).status == "proved"


def test_the_optimiser_with_a_key_takes_fresh_orders():
    objective, params = small_net()
    batches = partition(12, 3)
    optimizer = reshuffled_sgd(0.1, batches, jax.random.key(3))
    state = optimizer.init(params)
    ends = by_hand(objective, batches, objective.ravel(params), 0.1)
    seen = set()

    @jax.jit
    def update(state):
        return optimizer.update(params, state, params, value_fn=objective.loss_of)

    for _ in range(12):
        updates, state = update(state)
        end = objective.ravel(optax.apply_updates(params, updates))
        gaps = np.max(np.abs(ends - np.asarray(end)), axis=1)
        assert gaps.min() < 1e-13
        seen.add(int(np.argmin(gaps)))
    assert len(seen) > 2


@pytest.mark.slow
def test_more_terms_stay_nearer_to_gradient_descent():
    gaps = [
        compare(wavy(), row(learning_rate=0.05), START, steps=10).distance[-1]
        for row in SGD_MODIFIED[:2]
    ]
    assert gaps[0] > 5 * gaps[1]
    assert sgd_modified(2) is SGD_MODIFIED[1]


@pytest.mark.slow
def test_nesterovs_row():
    nesterov = NESTEROV(learning_rate=0.01, momentum=0.5)
    assert compare(wavy(), nesterov, START, steps=100).distance[-1] < 1e-3


def dal_step(f, x, **options):
    optimizer = drift_adjusted(**options)
    g = f.gradient(x)
    updates, _ = optimizer.update(g, optimizer.init(x), x, value_fn=f.value)
    return np.asarray(updates), np.asarray(g)


def test_the_drift_adjusted_rate():
    """At an eigenvector of λ: 2/λ^p; on a flat loss the clip."""
    x = jnp.array([0.0, 0.5])
    for power, rate in ((1.0, 2 / 8), (0.5, 2 / 8**0.5), (2.0, 2 / 64)):
        move, g = dal_step(quadratic([1.0, 8.0]), x, power=power)
        np.testing.assert_allclose(move, -rate * g, rtol=1e-12)
    move, g = dal_step(quadratic([1.0, 0.1]), x, clip=5.0)
    np.testing.assert_allclose(move, -5 * g, rtol=1e-12)  # 2/0.1 is clipped
    move, _ = dal_step(quadratic([1.0, 8.0]), 0 * x)
    np.testing.assert_array_equal(move, 0.0)


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="do not cover"):
        partition(10, 3)
    with pytest.raises(BadInput, match="40320"):
        MeanEpoch(partition(8, 8))
    with pytest.raises(BadInput, match=r"shape \[m, b\]"):
        ShuffledEpoch(np.arange(3))
    with pytest.raises(BadInput, match="one size"):
        finite_sum([wavy(), quadratic([1.0])])
    with pytest.raises(BadInput, match="value_fn"):
        reshuffled_sgd(0.1, partition(3, 3)).update(START, None, START)
    with pytest.raises(BadInput, match="value_fn"):
        drift_adjusted().update(START, None, START)
    with pytest.raises(BadInput, match="power"):
        drift_adjusted(power=-1.0)
    with pytest.raises(BadInput, match="1 to 8"):
        sgd_modified(9)
