"""The table of correspondences, and the orders that its rows claim."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate
from helpers import WAVY_START, halving_slopes

from discretize import (
    ADAM,
    HEAVY_BALL,
    RMSPROP,
    ROWS,
    SGD,
    convergence,
    correspondences,
)
from flows import GradientFlow
from flows.problems import wavy

START = jnp.array(WAVY_START)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_the_table_prints_all_rows_in_every_form():
    table = correspondences()
    assert len(table) == len(ROWS)
    for text in (str(table), table.to_markdown(), table._repr_html_()):
        for row in ROWS:
            assert row.name.split("(")[0] in text
    for flow in ("GradientFlow", "ModifiedHeavyBallFlow", "AdamFlow", "RMSPropFlow"):
        assert flow in table.to_markdown()


def ladder(row, rates, t1=1.0, **options):
    return convergence(row, wavy(), START, learning_rates=rates, t1=t1, **options)


HALVING = 0.02 * 0.5 ** np.arange(6)


def holds(fit, order):
    low, high = fit.interval
    return low <= order <= high and fit.half_width < 0.1


def settles(errors, order):
    """Whether the local slopes, and their extrapolation, approach the order."""
    s = halving_slopes(errors)
    extrapolated = 2 * s[-1] - s[-2]
    return abs(s[-1] - order) < 0.15 and abs(extrapolated - order) < 0.06


def test_gradient_descent_follows_its_flow_to_order_1():
    fit = ladder(SGD, HALVING, norm="end").fit()
    assert holds(fit, 1)
    assert not holds(fit, 2)


@pytest.fixture(scope="module")
def fast():
    return {"momentum": 0.5}


def test_heavy_ball_follows_its_modified_flow_to_order_2(fast):
    fit = ladder(HEAVY_BALL, HALVING, **fast).fit()
    assert holds(fit, 2)
    assert fit.half_width < 0.05


def test_without_the_slip_it_is_order_1(fast):
    def unslipped(dynamics, hyper, x):
        return 0.0, x

    fit = ladder(HEAVY_BALL, HALVING, flow_start=unslipped, **fast).fit()
    assert holds(fit, 1)
    assert not holds(fit, 2)


@eqx.filter_jit
def optax_step(row, hyper, x, state):
    updates, state = row.optimizer(hyper).update(wavy().gradient(x), state, x)
    return optax.apply_updates(x, updates), state


@eqx.filter_jit
def field(flow, t, z, like):
    y = type(like)(*z.reshape(-1, 2)) if isinstance(like, tuple) else z
    return jnp.concatenate(jax.tree.leaves(flow.vector_field(t, y)))


def sup_errors(row, rates, hyper, t1=1.0):
    """optax in a plain loop against scipy on the flow's field, at every step."""
    errors = []
    for eta in rates:
        pairing = row(learning_rate=eta, **hyper(eta))
        model = pairing.dynamics(wavy())
        _, y0 = row.start(model, pairing.hyper, START)
        x, state = START, row.optimizer(pairing.hyper).init(START)
        path = []
        for _ in range(round(t1 / eta)):
            x, state = optax_step(row, pairing.hyper, x, state)
            path.append(np.asarray(x))
        times = eta * np.arange(1, len(path) + 1)
        reference = (
            scipy.integrate.solve_ivp(
                lambda t, z, model=model, y0=y0: np.asarray(
                    field(model, t, jnp.asarray(z), y0)
                ),
                (0.0, times[-1]),
                np.concatenate(jax.tree.leaves(y0)),
                t_eval=times,
                rtol=1e-7,
                atol=1e-9,
            )
            .y[:2]
            .T
        )
        errors.append(np.max(np.linalg.norm(np.array(path) - reference, axis=1)))
    return np.array(errors)


def test_heavy_balls_supremum_over_all_steps_is_only_order_1(fast):
    """The layer β^k of the first steps has the size of the slip, η β/(1-β)² |∇f|."""
    errors = sup_errors(HEAVY_BALL, HALVING[2:5], lambda eta: fast)
    assert settles(errors, 1)
    assert not settles(errors, 2)


TAU = 0.5


def rms(rates, initial_scale):
    return sup_errors(
        RMSPROP,
        rates,
        lambda eta: {
            "decay": float(np.exp(-eta / TAU)),
            "initial_scale": initial_scale,
        },
    )


def test_rmsprop_is_order_1_from_a_positive_second_moment():
    errors = rms(HALVING[1:4], 1.0)
    assert settles(errors, 1)
    assert not settles(errors, 0.5)


def test_rmsprop_is_order_one_half_from_zero():
    """Near t = 0, v = ∇f² t/τ and x' = -sign(∇f) √(τ/t): a start in √t."""
    errors = rms(0.01 * 0.5 ** np.arange(4), 0.0)
    np.testing.assert_allclose(errors, [0.24, 0.178, 0.130, 0.094], rtol=0.02)
    assert settles(errors, 0.5)
    assert not settles(errors, 1)


@pytest.mark.slow
def test_adam_is_order_1_at_fixed_memory():
    errors = ladder(
        ADAM,
        HALVING[2:],
        norm="end",
        hyper=lambda eta: {
            "b1": float(np.exp(-eta / 0.2)),
            "b2": float(np.exp(-eta / TAU)),
        },
        eps=1e-3,
        tolerance=1e-9,
    ).errors
    assert settles(errors, 1)
    assert not settles(errors, 2)


class Faster(GradientFlow):
    def vector_field(self, t, y):
        return 1.5 * super().vector_field(t, y)


@pytest.mark.slow
def test_a_clock_that_is_off_has_no_order():
    """Negative control: a wrong unit of time leaves an error that stays."""
    wrong = replace(SGD, dynamics=lambda f, hyper: Faster(f))
    errors = ladder(wrong, HALVING[:4], norm="end").errors
    assert np.all(halving_slopes(errors) < 0.2)
    assert errors[-1] > 0.05
