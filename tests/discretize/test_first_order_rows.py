"""Sign, normalised, Polyak and exponentiated-gradient rows: proved, run, broken."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import halving_slopes, small_net

from discretize import (
    EXPONENTIATED_GRADIENT,
    NORMALISED_GD,
    POLYAK,
    POLYAK_SGD,
    SIGN_SGD,
    UNNORMALISED_EXPONENTIATED_GRADIENT,
    compare,
    convergence,
    prove,
)
from discretize.rows.common import position
from discretize.rows.first_order import FIRST_ORDER_ROWS
from flows import BadInput, MirrorFlow, SimplexEntropy, sign_flow_path
from flows.problems import quadratic


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def hyper_of(row, eta=0.05):
    return {"learning_rate": eta} if row.required else {}


@pytest.mark.parametrize("row", FIRST_ORDER_ROWS, ids=lambda r: r.name)
def test_every_row_is_proved(row):
    assert prove(row).status == "proved"


def primal(objective, hyper):
    return MirrorFlow(objective, SimplexEntropy())


def clipped(hyper):
    return optax.polyak_sgd(f_min=hyper["f_min"], eps=hyper["eps"])


def scaled(hyper):
    names = ("max_learning_rate", "f_min", "eps")
    return optax.polyak_sgd(scaling=0.5, **{n: hyper[n] for n in names})


def without_eps(hyper):
    return optax.chain(
        optax.normalize_by_update_norm(eps=0.0),
        optax.scale_by_learning_rate(hyper["learning_rate"]),
    )


BROKEN = {
    "optax's default clip": replace(POLYAK_SGD, optimizer=clipped),
    "optax's scaling divides": replace(
        POLYAK_SGD,
        optimizer=scaled,
        clock=lambda hyper: jnp.full_like(hyper["f_min"], 0.5),
    ),
    "another eps": replace(NORMALISED_GD, optimizer=without_eps),
    "sign of another": replace(SIGN_SGD, dynamics=NORMALISED_GD.dynamics),
    "euler in the primal": replace(
        EXPONENTIATED_GRADIENT, dynamics=primal, scheme_start=position
    ),
    "the simplex forgotten": replace(
        EXPONENTIATED_GRADIENT,
        optimizer=UNNORMALISED_EXPONENTIATED_GRADIENT.optimizer,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rows_are_refuted(name):
    row = BROKEN[name]
    if name == "sign of another":
        row = replace(row, defaults={**NORMALISED_GD.defaults})
    assert prove(row).status == "refuted"


def test_scaling_one_half_doubles_optax_polyak_step():
    """optax 0.2.8 normalises by the scaled gradient, so that scaling divides."""
    x = jnp.array([1.0, 2.0])

    def update(**options):
        optimizer = optax.polyak_sgd(1e9, **options)
        return optimizer.update(2 * x, optimizer.init(x), x, value=jnp.sum(x**2))[0]

    np.testing.assert_allclose(update(scaling=0.5), 2 * update())


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.slow] * (k > 1))
        for k, row in enumerate(FIRST_ORDER_ROWS)
    ],
    ids=lambda r: r.name,
)
def test_compare_runs_every_row_with_its_flow(row):
    start = jnp.array([0.3, 0.7])
    run = compare(quadratic([1.0, 3.0]), row(**hyper_of(row)), start, steps=20)
    assert np.max(run.exact_gap) < 1e-14
    clock = 1.0 if row is POLYAK_SGD else 0.05
    np.testing.assert_allclose(run.times, clock * np.arange(21), rtol=1e-14)
    assert run.distance[0] < 1e-15
    assert 1e-4 < np.max(run.distance) < 0.2
    assert run.loss[-1] < run.loss[0]


def test_a_row_without_a_learning_rate():
    pairing = POLYAK_SGD(f_min=-1.0)
    assert pairing.schedule is None
    assert float(pairing.step_sizes(3)) == 1.0
    assert "f_min=-1" in repr(pairing)
    with pytest.raises(BadInput, match="no learning rate"):
        convergence(
            POLYAK_SGD, quadratic([1.0]), jnp.ones(1), learning_rates=[0.1], t1=1.0
        )
    with pytest.raises(BadInput, match="unknown: learning_rate"):
        POLYAK_SGD(learning_rate=0.5)
    with pytest.raises(BadInput, match="> 0, or infinite"):
        POLYAK_SGD(max_learning_rate=0.0)
    with pytest.raises(BadInput, match="f_min is a number finite"):
        POLYAK_SGD(f_min=np.inf)
    with pytest.raises(BadInput, match="smoothing is a number > 0"):
        SIGN_SGD(learning_rate=0.1, smoothing=0.0)


def test_polyak_on_a_pytree_against_its_formula():
    """Twenty steps of optax on a network, by hand on the flat vector."""
    objective, params = small_net()
    run = compare(objective, POLYAK_SGD(), params, steps=20, flow=False)
    x = np.asarray(objective.ravel(params))
    both = jax.jit(jax.value_and_grad(objective.value))
    for k in range(20):
        np.testing.assert_allclose(run.positions[k], x, atol=1e-9)
        value, g = both(jnp.asarray(x))
        x = x - float(value) / float(g @ g) * np.asarray(g)


def test_optax_stands_still_where_its_guard_says_so():
    """|∇f|² <= 2.2e-16: on x²/2 the halving ends at |x| about 1e-8."""
    run = compare(quadratic([1.0]), POLYAK_SGD(), jnp.ones(1), steps=40, flow=False)
    x = run.positions[:, 0]
    np.testing.assert_array_equal(x[:27], 0.5 ** np.arange(27))
    np.testing.assert_array_equal(x[27:], x[26])


def test_schedules_of_the_fraction_of_polyaks_step():
    schedule = optax.linear_schedule(0.5, 0.1, 10)
    run = compare(
        quadratic([1.0]),
        POLYAK(learning_rate=schedule),
        jnp.ones(1),
        steps=10,
        flow=False,
    )
    rates = np.array([float(schedule(k)) for k in range(10)])
    exact = np.concatenate([[1.0], np.cumprod(1 - rates / 2)])
    np.testing.assert_allclose(run.positions[:, 0], exact, rtol=1e-6)
    times = np.concatenate([[0.0], np.cumsum(rates)])
    np.testing.assert_allclose(run.times, times, rtol=1e-6)
    # optax reads its schedules in float32, of which 6e-8 is the rounding.
    assert np.max(run.exact_gap) < 6e-8


RATES = 0.1 * 0.5 ** np.arange(4)


@pytest.mark.slow
@pytest.mark.parametrize("row", [POLYAK, EXPONENTIATED_GRADIENT], ids=lambda r: r.name)
def test_orders_against_the_flow(row):
    ladder = convergence(
        row,
        quadratic([1.0, 3.0]),
        jnp.array([0.3, 0.7]),
        learning_rates=RATES,
        t1=0.8,
        norm="end",
    )
    slopes = halving_slopes(ladder.errors)
    assert abs(slopes[-1] - 1) < 0.1
    assert abs(2 * slopes[-1] - slopes[-2] - 1) < 0.03


def sign_errors(start, path):
    a, errors = np.array([[2.0, 1.5], [1.5, 2.0]]), []
    for eta in RATES / 4:
        steps = round(1.2 / eta)
        run = compare(
            quadratic(a), SIGN_SGD(learning_rate=eta), start, steps=steps, flow=False
        )
        exact = path(quadratic(a), start, 1.2).at(run.times)
        errors.append(np.max(np.abs(run.positions - exact)))
    return np.array(errors)


def test_sign_descent_stays_within_order_1_of_the_sliding_path():
    """A zigzag: the errors are a few η, and fall with it, though not smoothly."""
    start = np.array([1.0, -0.3])
    errors = sign_errors(start, sign_flow_path)
    assert np.all(errors < 5 * RATES / 4)
    assert np.polyfit(np.log(RATES), np.log(errors), 1)[0] > 0.6
    # Negative control: the path of another start.
    wrong = sign_errors(start, lambda f, x, t: sign_flow_path(f, 0.8 * x, t))
    assert wrong[-1] > 0.1
