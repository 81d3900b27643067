"""Nonlinear switching flows: declared switches are right, undeclared ones are not."""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import flows
import sde
from flows import BadInput, SolveFailed
from flows.problems import small_digits

CENTRES, KAPPA, MASS, FRICTION, T = (-1.0, 0.0, 1.5, 2.5), 1.3, 0.7, 0.9, 10.0
TIMES = np.linspace(0.0, T, 6)
START = sde.SwitchingMomentumState(jnp.full(1, 2.0), jnp.zeros(1), jnp.asarray(0))


def momentum_process(objective=None):
    quadratics = flows.quadratic_sum([[a] for a in CENTRES], KAPPA)
    index = sde.UniformIndex(4, 2.0)
    return sde.StochasticGradientMomentumProcess(
        objective or quadratics, index, MASS, FRICTION
    )


@functools.cache
def many_paths():
    """256 paths of the label, drawn by numpy: rate 2, another label at each ring."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(0.5, (256, 64)), axis=1)
    moves = rng.integers(1, 4, (256, 64))
    labels = np.cumsum(np.concatenate([rng.integers(0, 4, (256, 1)), moves], 1), 1) % 4
    rings = np.sum(times <= T, axis=1)
    return jax.tree.map(jnp.asarray, sde.IndexPath(times, labels, rings, rings == 64))


def first(n):
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[:n]), many_paths())


def by_matrices(path, times=TIMES):
    """(x, v) at the times, by scipy's matrix exponential from ring to ring."""
    a = np.array([[0, 1], [-KAPPA / MASS, -FRICTION / MASS]])
    rings, labels = np.asarray(path.times), np.asarray(path.labels)
    z, t, found = np.array([2.0, 0.0]), 0.0, []
    marks = np.unique(np.concatenate([rings[rings < times[-1]], times]))
    for mark in marks:
        centre = np.array([CENTRES[labels[np.sum(rings <= t)]], 0.0])
        z, t = centre + expm(a * (mark - t)) @ (z - centre), mark
        if mark in times:
            found.append(z)
    return np.array(found)


def one_of(paths, k):
    return jax.tree.map(lambda a: np.asarray(a)[k], paths)


def label_at(path, times):
    return path.labels[np.searchsorted(path.times, times, side="right")]


def errors(states, paths, count):
    """The largest error in x and v over the times, of the first paths."""
    found = np.stack([states.position[..., 0], states.velocity[..., 0]], axis=-1)
    true = np.stack([by_matrices(one_of(paths, k)) for k in range(count)])
    return np.max(np.abs(found[:count] - true), axis=(1, 2))


@pytest.mark.slow
def test_declared_switches_give_the_exact_path():
    """Some 20 rings a path; the solver's tolerances are 1e-8 and 1e-10 a step."""
    process = momentum_process()
    paths = first(32)
    run = sde.solve_switching(process, paths, START, t1=T, times=TIMES)
    assert run.states.position.shape == (32, 6, 1)
    np.testing.assert_array_equal(run.states.position[:, 0], 2.0)
    assert np.max(errors(run.states, paths, 6)) < 1e-7
    labels = [label_at(one_of(paths, k), TIMES) for k in range(32)]
    np.testing.assert_array_equal(run.states.label, labels)
    assert np.all(run.steps > paths.rings) and np.max(run.steps) < 400
    # the label of the start is the path's: another one changes nothing
    moved = START._replace(label=jnp.asarray(3))
    again = sde.solve_switching(process, paths, moved, t1=T, times=TIMES)
    np.testing.assert_array_equal(again.states.position, run.states.position)
    # a shifted clock would be seen
    late = paths._replace(times=paths.times + 1e-3)
    other = sde.solve_switching(process, late, START, t1=T, times=TIMES)
    assert np.min(errors(other.states, paths, 6)) > 1e-4


@pytest.mark.slow
def test_undeclared_switches_are_wrong_and_report_success():
    """What `solve_switching` is for: do not do this."""
    process = momentum_process()
    paths = many_paths()

    @jax.jit
    @jax.vmap
    def undeclared(path):
        def field(t, y, args):
            return process.vector_field(t, y._replace(label=path.at(t)))

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Tsit5(),
            0.0,
            T,
            None,
            START._replace(label=None),
            saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
            stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-8),
            max_steps=100_000,
            throw=False,
        )
        good = solution.result == diffrax.RESULTS.successful
        return solution.ys, good, solution.stats["num_steps"]

    states, good, steps = undeclared(paths)
    assert np.all(good)
    wrong = errors(states, paths, 256)
    assert np.max(wrong) > 0.05 and np.mean(wrong > 1e-3) > 0.1
    right = sde.solve_switching(
        process, paths, START, t1=T, times=TIMES, rtol=1e-8, atol=1e-8
    )
    assert np.max(errors(right.states, paths, 256)) < 1e-6
    assert np.mean(steps) > 4 * np.mean(right.steps)


@pytest.mark.slow
def test_one_solve_for_each_stay_agrees():
    process = momentum_process()
    paths = first(8)
    starts = jax.tree.map(lambda a: jnp.stack([a] * 8), START)
    options = {"t1": T, "times": TIMES, "method": "segments"}
    run = sde.solve_switching(process, paths, starts, **options)
    assert np.max(errors(run.states, paths, 8)) < 1e-7
    labels = [label_at(one_of(paths, k), TIMES) for k in range(8)]
    np.testing.assert_array_equal(run.states.label, labels)
    single = sde.solve_switching(process, one_of(paths, 2), START, **options)
    np.testing.assert_allclose(
        single.states.position, run.states.position[2], rtol=0, atol=1e-9
    )


@pytest.mark.slow
def test_it_differentiates_with_respect_to_the_start():
    process = momentum_process()
    path = jax.tree.map(jnp.asarray, one_of(many_paths(), 0))

    def final(x):
        start = START._replace(position=x[None])
        run = sde.solve_switching(process, path, start, t1=T)
        return run.states.position[0, 0]

    a = np.array([[0, 1], [-KAPPA / MASS, -FRICTION / MASS]])
    slope = jax.grad(final)(jnp.asarray(2.0))
    assert abs(slope - expm(a * T)[0, 0]) < 1e-7


@pytest.mark.slow
def test_minibatches_of_digits_switch_a_network():
    """Fast switching follows the flow of the full loss; its error falls like √h."""
    objective, params = small_digits()
    x0 = objective.ravel(params)
    rows = objective.rows
    batches = np.arange(rows)[: rows - rows % 4].reshape(4, -1)
    start = sde.SwitchingState(x0, jnp.asarray(0))
    gaps = []
    for rate in (4.0, 64.0):
        index = sde.UniformIndex(4, rate)
        process = sde.StochasticGradientProcess(objective, index, batches=batches)
        path = sde.draw_index_path(index, 3, t1=2.0)
        run = sde.solve_switching(process, path, start, t1=2.0, rtol=1e-6, atol=1e-8)
        other = sde.solve_switching(
            process, path, start, t1=2.0, rtol=1e-6, atol=1e-8, method="segments"
        )
        np.testing.assert_allclose(
            run.states.position, other.states.position, rtol=0, atol=1e-5
        )
        full = flows.solve(sde.full_gradient(process), x0, 0.0, 2.0)
        before, after = full.loss[0], full.loss[-1]
        assert after < 0.9 * before
        end = run.states.position[-1]
        assert float(objective.value(end)) < 0.95 * float(before)
        moved = np.linalg.norm(full.positions[-1] - x0)
        gaps.append(np.linalg.norm(end - full.positions[-1]) / moved)
    assert gaps[1] < 0.5 * gaps[0] and gaps[1] < 0.1


def test_what_cannot_be_solved_is_refused():
    process = momentum_process()
    path = jax.tree.map(jnp.asarray, one_of(many_paths(), 0))
    paths = first(2)
    options = {"t1": T}
    overdamped = sde.SwitchingState(jnp.zeros(2), jnp.asarray(0))
    for bad in (
        lambda: sde.solve_switching(process, path, overdamped, **options),
        lambda: sde.solve_switching(process, path, jnp.zeros(1), **options),
        lambda: sde.solve_switching(process, path, START, t1=0.0),
        lambda: sde.solve_switching(process, path, START, t1=1e3),
        lambda: sde.solve_switching(process, path, START, times=[1.0, 0.5], **options),
        lambda: sde.solve_switching(process, path, START, times=[11.0], **options),
        lambda: sde.solve_switching(process, path, START, method="fixed", **options),
        lambda: sde.solve_switching(process, path, START, rtol=0.0, **options),
        lambda: sde.solve_switching(process, path, START, max_steps=0, **options),
        lambda: sde.solve_switching(
            process, path, START, solver=diffrax.Euler(), **options
        ),
        lambda: sde.solve_switching(
            process,
            paths,
            START._replace(position=jnp.zeros((3, 1))),
            **options,
        ),
    ):
        with pytest.raises(BadInput):
            bad()


@pytest.mark.slow
def test_running_out_of_steps_is_an_error():
    process = momentum_process()
    paths = first(3)
    with pytest.raises(SolveFailed, match="3 of 3 paths"):
        sde.solve_switching(process, paths, START, t1=T, max_steps=10)
