"""Langevin rows: tamed Euler of their diffusion, exact on the same noise."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import EPS, WAVY_START, scipy_end, small_net

from discretize import (
    SGD,
    SGLD,
    THEOPOULA,
    TULA,
    TUSLA,
    OptaxStep,
    Training,
    compare,
    convergence,
    correspondences,
    prove,
    sgld,
    tula,
)
from flows import BadInput, GradientFlow, iterate
from flows.problems import double_well, wavy
from sde import DriftFlow, OverdampedLangevin, draw_noise

START = jnp.array(WAVY_START)


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


SLOW = pytest.mark.slow


def test_tula_is_proved_to_be_its_scheme():
    """Two steps with symbols for numbers, start, gradients and noise.

    The other rows are proved by the claims langevin.*-is-tamed-euler.
    """
    assert prove(TULA).status == "proved"


def wrong_noise(hyper):
    """The noise of another temperature convention: √(λ/β)."""
    return sgld(hyper["learning_rate"], 2 * hyper["beta"])


def one_norm_each(hyper):
    names = {"learning_rate": hyper["learning_rate"], "beta": hyper["beta"]}

    def each(updates, state, params=None, *, noise=None, **extra):
        moves = [
            tula(**names).update(g[None], state, p[None], noise=xi[None])[0]
            for g, p, xi in zip(updates, params, noise, strict=True)
        ]
        return jnp.concatenate(moves), state

    return optax.GradientTransformationExtraArgs(tula(**names).init, each)


BROKEN = {
    "noise of half the temperature": replace(SGLD, optimizer=wrong_noise),
    "a norm of each coordinate": replace(TULA, optimizer=one_norm_each),
    "untamed": replace(TULA, scheme=SGLD.scheme),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rows_are_refuted(name):
    assert prove(BROKEN[name]).status == "refuted"


HYPER = {"learning_rate": 0.05, "eps": 0.05, "beta": 100.0, "eta": 0.1, "r": 1.0}


@pytest.fixture(scope="module")
def net():
    return small_net()


@pytest.fixture(scope="module")
def noisy_run(net):
    f, params = net
    with jax.numpy_dtype_promotion("standard"):
        return compare(f, THEOPOULA(**HYPER), params, steps=60, key=3, flow=False)


@pytest.mark.slow
def test_theopoula_on_a_network_is_its_scheme_on_the_same_noise(net, noisy_run):
    f, params = net
    assert np.max(noisy_run.exact_gap) < 60 * EPS
    # The scheme is the ensemble's path 0 of that key, by hand.
    pairing = THEOPOULA(**HYPER)
    model, scheme = pairing.dynamics(f), THEOPOULA.scheme(pairing.hyper)
    assert isinstance(model, OverdampedLangevin)
    noise = draw_noise(scheme, model, f.ravel(params), 3, 60)
    run = iterate(scheme, model, f.ravel(params), h=0.05, steps=60, noise=noise)
    np.testing.assert_allclose(run.states, noisy_run.positions, atol=1e-14)


def test_on_other_noise_it_is_not(net, noisy_run):
    """Negative control: the gap of two keys is that of the noise, √(2λk/β)."""
    f, params = net
    step = OptaxStep(THEOPOULA.optimizer, THEOPOULA(**HYPER).hyper, noisy=True)
    noise = draw_noise(step, Training(f), params, 4, 60)
    kept = {"h": 0.05, "steps": 60, "noise": noise}
    other = np.asarray(iterate(step, Training(f), params, **kept).positions)
    gap = np.max(np.abs(other - noisy_run.positions))
    assert 0.05 < gap < 6 * np.sqrt(2 * 0.05 * 60 / 100)


@SLOW
def test_the_flow_beside_is_the_drift_alone():
    hot, cold = (TULA(learning_rate=0.05, beta=b) for b in (10.0, np.inf))
    run = compare(wavy(), hot, START, steps=20, key=1)
    assert isinstance(run.flow.dynamics, DriftFlow)
    alone = scipy_end(GradientFlow(wavy()), START, 1.0)
    np.testing.assert_allclose(run.flow.positions[-1], alone, atol=1e-6)
    quiet = compare(wavy(), cold, START, steps=20, key=1, flow=False)
    gap = np.linalg.norm(quiet.positions - np.asarray(run.flow.positions), axis=1)
    assert np.max(run.distance) > 3 * np.max(gap) > 0
    assert "gap to its scheme" in repr(run)


def test_a_key_is_asked_for_and_refused_where_nothing_is_drawn():
    with pytest.raises(BadInput, match="key is missing"):
        compare(wavy(), TULA(learning_rate=0.05), START, steps=2, flow=False)
    with pytest.raises(BadInput, match="key= is for a row whose scheme draws"):
        compare(wavy(), SGD(learning_rate=0.05), START, steps=2, key=1, flow=False)
    with pytest.raises(BadInput, match="pass beta=inf"):
        convergence(TULA, wavy(), START, learning_rates=[0.1], t1=1.0, beta=1.0)
    with pytest.raises(BadInput, match="beta is a number > 0, or infinite"):
        TULA(learning_rate=0.1, beta=0.0)


ORDERS = {TULA: 1.0, TUSLA: 0.5, THEOPOULA: 0.5}


@SLOW
@pytest.mark.parametrize("row", ORDERS, ids=lambda r: r.name)
def test_order_without_noise(row):
    """Taming by λ is of order 1, by √λ of order 1/2: local slopes settle there."""
    more = {"r": 1.0, "eta": 0.1} if row is TUSLA else {}
    found = convergence(
        row,
        wavy(),
        START,
        learning_rates=0.02 * 0.25 ** np.arange(4),
        t1=1.0,
        beta=np.inf,
        tolerance=1e-10,
        **more,
    )
    slopes = np.log2(found.errors[:-1] / found.errors[1:]) / 2
    moves = np.abs(np.diff(slopes))
    # The slope's own error shrinks by 2 (√λ) a level or faster: bounded by the last.
    assert moves[1] < 0.7 * moves[0]
    assert abs(slopes[-1] - ORDERS[row]) < 2 * moves[1] < 0.1
    assert row.flow_order.p == ORDERS[row]


@SLOW
def test_sgld_beyond_its_growth_diverges_and_theopoula_does_not():
    start = jnp.array([50.0])
    fast = {"learning_rate": 0.1, "beta": np.inf}
    options = {"steps": 60, "key": 0, "flow": False, "allow_unstable": True}
    options["check_sharpness"] = False
    wild = compare(double_well(), SGLD(**fast), start, **options)
    assert str(wild.outcome) == "diverged"
    tame = compare(double_well(), THEOPOULA(**fast), start, **options)
    np.testing.assert_allclose(tame.positions[60, 0], 50 - 60 * np.sqrt(0.1), rtol=1e-3)


def test_the_table_names_the_tamings():
    text = correspondences().to_markdown()
    for word in ("TamedEuler, Polygonal", "TamedEuler, StateTaming", "theopoula"):
        assert word in text
