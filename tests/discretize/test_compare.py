"""`compare` against plain optax loops; limits, schedules, precision, interrupts."""

import sys
import warnings

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import EPS, WAVY_START, ModuleNet, relative_gap, small_net

from discretize import (
    ADAM,
    HEAVY_BALL,
    RMSPROP,
    SGD,
    Outcome,
    UnstableStepWarning,
    compare,
)
from flows import BadInput, GradientFlow, NonFiniteState, UnstableStep, from_loss, solve
from flows.problems import double_well, quadratic, wavy

ITERATE = sys.modules["flows.iterate"]
START = jnp.array(WAVY_START)


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
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params


@pytest.fixture(scope="module")
def net():
    return small_net()


@pytest.fixture(scope="module")
def sgd_run(net):
    f, params = net
    with jax.numpy_dtype_promotion("standard"):
        return compare(f, SGD(learning_rate=0.1), params, steps=30)


def test_gradient_descent_is_its_scheme_exactly(sgd_run):
    assert np.max(sgd_run.exact_gap) == 0.0
    assert sgd_run.outcome is Outcome.FINISHED


def test_gradient_descent_against_a_plain_loop(net, sgd_run):
    f, params = net
    reference = plain_loop(optax.sgd(0.1), f.loss_of, params, 30)
    end = sgd_run.params_at(3.0)
    assert jax.tree.structure(end) == jax.tree.structure(params)
    assert relative_gap(end, reference) < 30 * EPS
    assert f.loss_of(reference) == pytest.approx(sgd_run.loss[-1], rel=1e-12)


def test_the_flow_beside_it_is_gradient_flow(net, sgd_run):
    f, params = net
    save = diffrax.SaveAt(t1=True)
    alone = solve(GradientFlow(f), f.ravel(params), 0.0, 3.0, saveat=save)
    distance = np.linalg.norm(sgd_run.positions[-1] - alone.states[0])
    assert sgd_run.distance[-1] == pytest.approx(distance, abs=1e-6)
    assert sgd_run.distance[0] == 0.0
    assert 1e-3 < np.max(sgd_run.distance) < 0.1
    np.testing.assert_allclose(sgd_run.times, 0.1 * np.arange(31), atol=1e-15)


@pytest.mark.slow
def test_an_equinox_module_with_a_static_leaf():
    rng = np.random.default_rng(0)
    net = ModuleNet(jnp.asarray(rng.standard_normal((2, 3))), jnp.zeros(3))
    inputs = jnp.asarray(rng.standard_normal((6, 2)))

    def loss(net, inputs):
        return jnp.mean((jax.vmap(net)(inputs) - 0.5) ** 2)

    f = from_loss(loss, net, inputs)
    run = compare(f, ADAM(learning_rate=0.02), net, steps=10, flow=False)
    arrays, static = eqx.partition(net, eqx.is_array)
    reference = plain_loop(
        optax.adam(0.02), lambda a: loss(eqx.combine(a, static), inputs), arrays, 10
    )
    end = run.params_at(0.2)
    assert isinstance(end, ModuleNet)
    assert end.activation is net.activation
    assert relative_gap(end, eqx.combine(reference, static)) < 1e-13
    assert np.max(run.exact_gap) < 50 * EPS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "hyper"),
    [
        (ADAM, {"b1": 0.8, "b2": 0.98, "eps": 1e-3}),
        (ADAM, {"eps": 1e-8, "eps_root": 1e-6}),
        (RMSPROP, {"decay": 0.95, "eps": 1e-6, "initial_scale": 0.5}),
    ],
)
def test_exact_rows_over_200_steps(row, hyper):
    run = compare(
        wavy(), row(learning_rate=0.005, **hyper), START, steps=200, flow=False
    )
    assert run.positions.shape == (201, 2)
    # Rounding of 200 steps, each a few ulps, on a path that contracts.
    assert np.max(run.exact_gap) < 200 * EPS
    optimizer = row.optimizer({**row.defaults, **hyper, "learning_rate": 0.005})
    reference = plain_loop(optimizer, wavy().value, START, 200)
    np.testing.assert_allclose(run.positions[-1], reference, rtol=1e-12)
    other = compare(
        wavy(),
        row(learning_rate=0.005, **{**hyper, "eps": 2e-3}),
        START,
        steps=200,
        flow=False,
    )
    assert np.max(np.abs(other.positions[-1] - run.positions[-1])) > 1e-5


def test_heavy_ball_starts_from_its_slip():
    eta, beta = 0.01, 0.9
    row = HEAVY_BALL(learning_rate=eta, momentum=beta)
    run = compare(wavy(), row, START, steps=5, flow=False)
    t, start = HEAVY_BALL.start(row.dynamics(wavy()), row.hyper, START)
    slipped = START + eta * beta / (1 - beta) ** 2 * wavy().gradient(START)
    np.testing.assert_allclose(start, slipped, rtol=1e-14)
    assert t == 0.0
    with pytest.raises(BadInput, match="has no scheme"):
        _ = run.exact_gap


@pytest.mark.slow
def test_a_schedule_moves_the_clock():
    schedule = optax.exponential_decay(0.2, 1, 0.9)
    run = compare(wavy(), SGD(learning_rate=schedule), START, steps=25)
    rates = 0.2 * 0.9 ** np.arange(25)
    # optax's schedules are float32 functions of an int32 count.
    np.testing.assert_allclose(np.diff(run.times), rates, rtol=1e-5)
    assert np.max(run.exact_gap) < 1e-7
    reference = plain_loop(optax.sgd(schedule), wavy().value, START, 25)
    np.testing.assert_allclose(run.positions[-1], reference, rtol=1e-12)
    assert np.max(run.distance) < 0.1
    with pytest.raises(BadInput, match="under a schedule say steps="):
        compare(wavy(), SGD(learning_rate=schedule), START, t1=1.0)
    with pytest.raises(BadInput, match="depends on the learning rate"):
        compare(wavy(), ADAM(learning_rate=schedule), START, steps=3)


def test_a_bare_optax_optimiser_with_its_clock(net, sgd_run):
    f, params = net
    run = compare(
        f, optax.sgd(0.1), params, steps=30, dynamics=GradientFlow(f), clock=0.1
    )
    np.testing.assert_array_equal(run.positions, sgd_run.positions)
    np.testing.assert_allclose(run.distance, sgd_run.distance, atol=1e-12)
    assert run.scheme is None
    # Negative control: on a clock that is off by 2 the two part company.
    off = compare(
        f, optax.sgd(0.1), params, steps=30, dynamics=GradientFlow(f), clock=0.2
    )
    assert np.max(off.distance) > 5 * np.max(run.distance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "hyper"), [(SGD, {}), (ADAM, {}), (HEAVY_BALL, {"momentum": 0.5})]
)
def test_a_float32_network_stays_float32(row, hyper):
    f, params = small_net(dtype=jnp.float32)
    wide, wide_params = small_net()
    pairing = row(learning_rate=0.01, **hyper)
    beside = row is ADAM  # whose state is the largest; a solve takes seconds to compile
    run = compare(f, pairing, params, steps=8, flow=beside)
    assert run.positions.dtype == np.float32
    reference = compare(wide, pairing, wide_params, steps=8, flow=False)
    np.testing.assert_allclose(run.positions, reference.positions, atol=2e-5)
    if beside:
        assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(run.flow.states))
        assert run.distance[-1] < 0.05


def test_t1_is_rounded_to_whole_steps():
    f = quadratic([1.0, 2.0])
    run = compare(f, SGD(learning_rate=0.1), jnp.ones(2), t1=0.52, flow=False)
    assert len(run.times) == 6
    assert run.flow is None
    with pytest.raises(BadInput, match="no flow was solved"):
        _ = run.distance


def test_beyond_a_known_limit_it_refuses():
    f = quadratic([1.0, 4.0])
    with pytest.raises(UnstableStep, match=r"2 / L = 0.5 .*allow_unstable") as info:
        compare(f, SGD(learning_rate=0.6), jnp.ones(2), steps=5)
    assert info.value.step == 0.6
    assert info.value.limit == 0.5
    with pytest.raises(UnstableStep):  # 2 (1 + β) / L = 0.75 at the limit itself
        compare(f, HEAVY_BALL(learning_rate=0.75, momentum=0.5), jnp.ones(2), steps=5)
    below = compare(
        f,
        HEAVY_BALL(learning_rate=0.74, momentum=0.5),
        jnp.ones(2),
        steps=5,
        flow=False,
    )
    assert below.outcome is Outcome.FINISHED


@pytest.mark.slow
def test_an_unstable_run_is_typed_as_diverged():
    f = quadratic([1.0, 4.0])
    run = compare(f, SGD(learning_rate=0.6), jnp.ones(2), steps=20, allow_unstable=True)
    assert run.outcome is Outcome.DIVERGED
    assert str(run.outcome) == "diverged"
    np.testing.assert_allclose(run.positions[-1, 1], (-1.4) ** 20, rtol=1e-12)
    assert "diverged" in repr(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        far = compare(
            f,
            SGD(learning_rate=0.6),
            jnp.ones(2),
            steps=4000,
            allow_unstable=True,
            flow=False,
        )
        assert far.outcome is Outcome.DIVERGED
        assert np.all(np.isfinite(far.positions))
        assert 2000 < len(far.times) < 2200  # 1.4^k reaches 1.8e308 at k = 2110
        assert "diverged" in repr(far)


def test_a_run_that_leaves_the_numbers_raises_unless_allowed():
    f = double_well()  # no known smoothness
    with pytest.raises(NonFiniteState, match="allow_unstable=True") as info:
        compare(
            f, SGD(learning_rate=2.0), jnp.array([2.0]), steps=50, check_sharpness=False
        )
    run = compare(
        f,
        SGD(learning_rate=2.0),
        jnp.array([2.0]),
        steps=50,
        check_sharpness=False,
        allow_unstable=True,
        flow=False,
    )
    assert run.outcome is Outcome.DIVERGED
    assert info.value.step == len(run.times)
    assert info.value.time == pytest.approx(run.times[-1] + 2.0)
    assert "diverged" in repr(run)


def test_a_network_beyond_its_measured_sharpness_is_warned_of(net):
    f, params = net
    limit = 2 / f.sharpness(params).value
    with pytest.warns(UnstableStepWarning, match="sharpness") as caught:
        compare(f, SGD(learning_rate=1.01 * limit), params, steps=1, flow=False)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(f, SGD(learning_rate=0.99 * limit), params, steps=1, flow=False)
        compare(
            f,
            SGD(learning_rate=1.01 * limit),
            params,
            steps=1,
            flow=False,
            check_sharpness=False,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "how long"),
        ({"steps": 3, "t1": 1.0}, "how long"),
        ({"steps": 0}, "positive whole number"),
        ({"steps": True}, "positive whole number"),
        ({"t1": 0.01}, "not one step"),
        ({"t1": -1.0}, "not one step"),
        ({"t1": np.inf}, "not one step"),
        ({"t1": np.nan}, "not one step"),
        ({"steps": 3, "clock": 0.1}, "brings its"),
    ],
)
def test_bad_lengths_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        compare(quadratic([1.0]), SGD(learning_rate=0.1), jnp.ones(1), **options)


def test_bad_pairs_are_refused():
    f = quadratic([1.0])
    x = jnp.ones(1)
    for clock in (0.0, -1.0, np.nan):
        with pytest.raises(BadInput, match="clock is the time"):
            compare(
                f, optax.sgd(0.1), x, steps=2, dynamics=GradientFlow(f), clock=clock
            )
    with pytest.raises(BadInput, match="does not say what it discretises"):
        compare(f, optax.sgd(0.1), x, steps=2)
    with pytest.raises(BadInput, match="one vector of 1 floats"):
        compare(f, SGD(learning_rate=0.1), jnp.ones(2), steps=2)
    with pytest.raises(BadInput, match="non-finite"):
        compare(f, SGD(learning_rate=0.1), jnp.array([np.nan]), steps=2)
    for row, name in ((ADAM, "b1"), (RMSPROP, "decay")):
        with pytest.raises(BadInput, match=rf"{name} = 0 is a memory of time 0"):
            compare(f, row(learning_rate=0.1, **{name: 0.0}), x, steps=2)
    sign = compare(f, ADAM(learning_rate=0.1, b1=0.0), x, steps=2, flow=False)
    assert np.max(sign.exact_gap) < 10 * EPS


class Interrupting:
    """A progress bar at which the user presses ctrl-c."""

    def __init__(self, total, what, unit):
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *args):
        return False

    def update(self, n=1):
        self.seen += n
        if self.seen >= 20:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_what_is_done(monkeypatch):
    plain = compare(wavy(), SGD(learning_rate=0.01), START, steps=40, flow=False)
    monkeypatch.setattr(ITERATE, "bar", Interrupting)
    run = compare(wavy(), SGD(learning_rate=0.01), START, steps=40, progress=True)
    assert run.outcome is Outcome.INTERRUPTED
    done = len(run.times)
    assert 18 <= done < 41
    np.testing.assert_array_equal(run.positions, plain.positions[:done])
    assert run.distance.shape == (done,)
    assert 0 < run.distance[-1] < 0.01
    assert "interrupted" in repr(run)
