"""Starts and paths that jump processes refuse: labels, lengths, classes of states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flows
import sde
from flows import BadInput, SolveFailed
from sde._checks import require_label, require_switching_state
from sde.skeleton import Skeleton, advance, walk
from sde.starts import Starts

PAIR = flows.quadratic_sum([[-1.0], [1.0]])
INDEX = sde.UniformIndex(2, 2.0)
SLOW = sde.StochasticGradientProcess(PAIR, INDEX)
MOVING = sde.StochasticGradientMomentumProcess(PAIR, INDEX)
S, M, ONE = sde.SwitchingState, sde.SwitchingMomentumState, jnp.zeros(1)


@pytest.mark.parametrize("label", [2, 7, -1, 0.7, True, "a", [0, 2]])
def test_labels_are_those_of_the_losses(label):
    with pytest.raises(BadInput, match="is an integer in"):
        require_label("the label", label, 2)


def test_right_labels_pass():
    for label in (0, np.int32(1), jnp.asarray([0, 1, 1])):
        require_label("the label", label, 2)
    require_label("the label", None, 2, drawn=True)
    jax.jit(lambda i: (require_label("the label", i, 2), i)[1])(7)  # not looked at
    with pytest.raises(BadInput):
        jax.jit(lambda i: (require_label("the label", i, 2), i)[1])(0.5)


@pytest.mark.parametrize(
    ("process", "y"),
    [
        (SLOW, S(jnp.zeros(3), 0)),
        (SLOW, S(jnp.zeros((4, 2)), 0)),
        (SLOW, S(jnp.zeros(()), 0)),
        (SLOW, S(np.zeros(1, int), 0)),
        (SLOW, M(ONE, ONE, 0)),
        (SLOW, ONE),
        (MOVING, S(jnp.zeros(2), 0)),
        (MOVING, M(ONE, jnp.zeros(2), 0)),
        (SLOW, S(jnp.zeros((3, 1)), np.zeros(2, int))),
        (SLOW, S(ONE, np.zeros(2, int))),
    ],
)
def test_states_are_those_of_the_process(process, y):
    with pytest.raises(BadInput):
        require_switching_state(process, y, drawn=True)


def test_right_states_pass():
    require_switching_state(SLOW, S(ONE, None), drawn=True)
    require_switching_state(MOVING, M(ONE, ONE, 1))
    many = jnp.zeros((3, 1))
    require_switching_state(SLOW, S(many, np.array([0, 1, 0])))
    require_switching_state(SLOW, S(many, 1))
    with pytest.raises(BadInput, match="simulate_skeletons"):
        require_switching_state(SLOW, S(ONE, None))


@pytest.mark.parametrize(
    "y",
    [
        S(ONE, 7),
        S(jnp.zeros(3), 0),
        S(ONE, None),
        M(ONE, ONE, 0),
        S(jnp.zeros((4, 1)), np.array([0, 1, 0, 2])),
    ],
)
def test_simulate_looks_at_its_start(y):
    with pytest.raises(BadInput):
        sde.simulate(SLOW, y, t1=1.0, h=1.0, scheme=sde.ExactJumps(), key=0, paths=4)


def drawn(index=INDEX, **options):
    arguments: Any = {"t1": 3.0} | options
    return sde.draw_index_path(index, 0, **arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"label0": 7},
        {"label0": 0.7},
        {"t1": -1.0, "events": 3},
        {"t1": np.nan, "events": 3},
        {"t0": 3.0, "events": 3},
    ],
)
def test_paths_of_a_label_look_at_their_start_and_horizon(options):
    with pytest.raises(BadInput):
        drawn(**options)


def test_a_path_that_is_cut_short_is_an_error():
    with pytest.raises(SolveFailed, match="give more `events`"):
        drawn(t1=100.0, events=3)
    assert repr(fading()) == "IndexPath(4 rings drawn)"


def fading(**arrays):
    """Rings at 0.5 and 1, then none: x relaxes to -1, to 1 from 0.5, to -1 from 1."""
    times = jnp.asarray([0.5, 1.0, jnp.inf, jnp.inf])
    labels = jnp.asarray([0, 1, 0, 1, 0])
    return sde.IndexPath(times, labels, jnp.asarray(2), False)._replace(**arrays)


@pytest.mark.parametrize(
    ("y", "change", "times"),
    [
        (S(ONE, 7), {}, {}),
        (S(jnp.zeros(3), None), {}, {}),
        (M(ONE, ONE, 0), {}, {}),
        (S(ONE, 0), {"labels": jnp.arange(5)}, {}),
        (S(ONE, 0), {"labels": jnp.full(5, -1)}, {}),
        (S(ONE, 0), {"times": jnp.arange(1.0, 5.0)}, {}),
        (S(ONE, 0), {}, {"t0": 2.9}),
        (S(ONE, 0), {}, {"t1": -1.0}),
    ],
)
def test_a_path_to_follow_is_one_of_the_process_and_reaches_the_end(y, change, times):
    path, times = fading(**change), {"t1": 5.0} | times
    with pytest.raises(BadInput):
        sde.follow_index_path(SLOW, y, path, **times)
    if times != {"t0": 2.9, "t1": 5.0}:  # the solver passes over rings before its start
        with pytest.raises(BadInput):
            sde.solve_switching(SLOW, path, y, **times)


@jax.jit
def followed(path):
    run = sde.follow_index_path(SLOW, S(ONE, None), path, t1=5.0)
    return run, run.times, run.at(jnp.asarray([0.0, 0.5, 5.0]))


def test_a_clock_that_runs_out_leaves_numbers():
    """x' = -(x ∓ 1): the closed form after two rings; and the index draws inf."""
    run, times, _ = followed(fading())
    e = np.exp(-0.5)
    x = 1 + (-1 + e - 1) * e
    x = -1 + (x + 1) * np.exp(-4)
    np.testing.assert_allclose(run.final.position, [x], rtol=1e-14)
    np.testing.assert_array_equal(times, [0.0, 0.5, 1.0, 5.0])
    assert int(run.rings) == 2 and not run.overflow
    index = sde.UniformIndex(2, flows.PowerSchedule(3.0, 1.0, -3.0))
    path = drawn(index, t1=5.0, events=30)
    times = np.asarray(path.times)
    assert np.isinf(times[-1]) and not np.any(np.isnan(times)) and not path.overflow


def test_a_wait_that_is_no_number_reaches_nothing():
    late = jnp.asarray([0.5, np.nan, 7.0, 8.0])
    assert bool(followed(fading(times=late))[0].overflow)
    assert not bool(followed(fading())[0].overflow)


def test_a_path_is_read_within_its_times_alone():
    run, _, several = followed(fading())
    np.testing.assert_allclose(
        several.position[:, 0], [0, np.exp(-0.5) - 1, float(run.final.position[0])]
    )
    np.testing.assert_array_equal(several.label, [0, 1, 0])
    outside: Any = (-0.1, 5.1, np.nan, [[1.0]], "a")
    for t in outside:
        with pytest.raises(BadInput):
            run.at(t)


def test_times_do_not_drift_in_short_floats():
    """14,000 waits in float32: they sum to the end, and no time falls back."""
    waits = jnp.asarray(np.tile(np.array([0.3, 1.7, 0.1], np.float32), 7_000))
    zero, horizon = jnp.float32(0), jnp.float32(14_000)
    slow = jax.tree.map(lambda a: a.astype(jnp.float32), SLOW)

    def step(k, loop):
        return advance(slow, zero, horizon, loop, waits[k], lambda t, y: y)

    @jax.jit
    def run():
        y = S(jnp.zeros(1, jnp.float32), jnp.asarray(0))
        out = Skeleton(slow, zero, horizon, *walk(step, y, horizon, len(waits)))
        return out.times, out.delays, out.rings

    times, delays, rings = jax.tree.map(np.asarray, run())
    assert np.all(np.diff(times[: rings + 1]) > 0)
    np.testing.assert_array_equal(times[rings + 1 :], np.float32(horizon))
    assert np.sum(delays, dtype=np.float64) == pytest.approx(14_000, rel=2e-7)
    # rounding is to 2^-10 at most, half a unit of the last times, and does not add up
    assert np.max(np.abs(delays - np.asarray(waits))[:rings]) <= 2.0**-10


@pytest.mark.parametrize(
    ("process", "y"),
    [
        (SLOW, S(ONE, 7)),
        (SLOW, S(jnp.zeros(3), None)),
        (SLOW, ONE),
        (MOVING, S(jnp.zeros(2), 0)),
        (sde.ZigZag(flows.problems.quadratic([1.0])), S(ONE, 0)),
        (
            sde.ZigZag(flows.problems.quadratic([1.0])),
            sde.LangevinState(*np.ones((2, 3))),
        ),
    ],
)
def test_skeletons_look_at_their_start(process, y):
    with pytest.raises(BadInput):
        sde.simulate_skeletons(process, y, t1=1.0, key=0, paths=3)
    with pytest.raises(BadInput):
        sde.draw_skeleton(process, y, 0, t1=1.0, events=3)


def test_one_label_serves_the_positions_of_all_paths():
    starts = Starts.read(S(np.ones((3, 1)), 1), 3)
    rows = starts.rows(np.array([0, 2, 2, 2]), jnp.asarray)
    np.testing.assert_array_equal(rows.label, [1, 1, 1, 1])
    assert rows.position.shape == (1, 4) and starts.one().label == 1
    starts.require(SLOW)
    with pytest.raises(BadInput, match="leading axis"):
        Starts.read(S(np.ones((3, 1)), np.zeros(2, int)), 3)


def test_labels_of_a_start_are_refused_in_any_path():
    many = S(np.ones((3, 1)), np.array([0, 1, 5]))
    with pytest.raises(BadInput, match="integer in"):
        Starts.read(many, 3).require(SLOW)


def test_what_has_no_skeleton_is_told_where_to_go():
    losing = flows.PowerSchedule(1.0, 1.0, -3.0)
    process = sde.StochasticGradientMomentumProcess(PAIR, INDEX, losing)
    with pytest.raises(BadInput, match="solve_switching"):
        sde.draw_skeleton(process, M(ONE, ONE, 0), 0, t1=1.0, events=3)
