"""`solve` against scipy; diffrax's objects pass through; one trace; honest failures."""

import sys

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
import scipy.integrate
from helpers import Blowup, Counted

from flows import (
    AdamState,
    BadInput,
    Flow,
    GradientFlow,
    NonFiniteState,
    SolveFailed,
    solve,
)
from flows.problems import quadratic

MODULE = sys.modules[solve.__module__]  # the name flows.solve is the function
START = jnp.array([1.0, -0.5])
RATE, LEVEL = 1.3, 0.4
# Global errors of Tsit5 on this mild problem stay below ten times its tolerance.
TIMES = np.linspace(0.0, 3.0, 7)


def model(rate=RATE, level=LEVEL):
    return Counted(jnp.asarray(rate), jnp.asarray(level))


@pytest.fixture(scope="module")
def reference():
    def rhs(t, y):
        return -RATE * y + LEVEL * np.cos(t)

    return scipy.integrate.solve_ivp(
        rhs, (0.0, 3.0), START, t_eval=TIMES, method="DOP853", rtol=1e-13, atol=1e-14
    ).y.T


@pytest.fixture(scope="module")
def saved():
    return diffrax.SaveAt(ts=jnp.asarray(TIMES))


def tolerance(r):
    return diffrax.PIDController(rtol=r, atol=r / 100)


@pytest.mark.parametrize("r", [1e-3, 1e-6, 1e-10])
def test_against_scipy_at_several_tolerances(r, reference, saved):
    run = solve(
        model(), START, 0.0, 3.0, stepsize_controller=tolerance(r), saveat=saved
    )
    error = np.max(np.abs(run.states - reference))
    assert error < 10 * r
    assert run.end == "reached t = 3"
    assert run.stats["num_steps"] > 0


def test_a_loose_tolerance_is_seen(reference, saved):
    """Negative control: the bound of the tight tolerance refutes the loose run."""
    run = solve(
        model(), START, 0.0, 3.0, stepsize_controller=tolerance(1e-3), saveat=saved
    )
    assert np.max(np.abs(run.states - reference)) > 1e-7


def test_the_default_is_a_tight_solve_at_101_times(reference):
    run = solve(model(), START, 0.0, 3.0)
    np.testing.assert_allclose(run.times, np.linspace(0, 3, 101), atol=1e-15)
    np.testing.assert_allclose(
        run.states[::50][1:], [*reference[[3, 6]]], rtol=0, atol=1e-7
    )


def test_one_trace_for_new_values(saved):
    """New parameters, times, starts, tolerances and first steps compile nothing."""

    def run(rate, t0, t1, y, r, dt0):
        grid = diffrax.SaveAt(ts=jnp.linspace(t0, t1, 5))
        return solve(
            model(rate, 2 * rate),
            y,
            t0,
            t1,
            dt0=dt0,
            stepsize_controller=tolerance(r),
            saveat=grid,
        )

    first = run(1.0, 0.0, 1.0, START, 1e-6, 0.1)
    before = Counted.traces[0]
    second = run(2.0, 0.5, 3.0, 3 * START, 1e-4, 0.05)
    assert Counted.traces[0] == before
    assert not np.allclose(first.states[-1], second.states[-1])


def test_other_solvers_pass_through(reference, saved):
    euler = solve(
        model(),
        START,
        0.0,
        3.0,
        dt0=0.01,
        solver=diffrax.Euler(),
        stepsize_controller=diffrax.ConstantStepSize(),
        saveat=saved,
    )
    error = np.max(np.abs(euler.states - reference))
    assert 1e-4 < error < 2e-2  # first order at h = 0.01, and not Tsit5
    assert euler.stats["num_steps"] == 300


def test_what_saveat_may_ask():
    flow = model()
    dense = diffrax.SaveAt(t0=True, t1=True, dense=True)
    ends = solve(flow, START, 0.0, 1.0, saveat=dense, max_steps=100)
    np.testing.assert_array_equal(ends.times, [0.0, 1.0])
    np.testing.assert_array_equal(ends.states[0], START)
    exact = (
        np.exp(-RATE * 0.37) * np.asarray(START)
        + LEVEL
        * scipy.integrate.quad(
            lambda s: np.exp(-RATE * (0.37 - s)) * np.cos(s), 0, 0.37
        )[0]
    )
    np.testing.assert_allclose(ends.state_at(0.37), exact, atol=1e-6)
    shown = diffrax.SaveAt(steps=True, fn=lambda t, y, args: y[0] + t)
    every = solve(flow, START, 0.0, 1.0, saveat=shown, max_steps=100)
    assert every.times.size == every.stats["num_accepted_steps"]
    assert np.all(np.diff(every.times) > 0)
    np.testing.assert_allclose(every.states[-1], ends.states[-1, 0] + 1.0, atol=1e-12)


def test_dense_output_alone_shows_its_two_ends():
    save = diffrax.SaveAt(dense=True)
    run = solve(model(), START, 0.0, 1.0, saveat=save, max_steps=100)
    np.testing.assert_array_equal(run.times, [0.0, 1.0])
    np.testing.assert_allclose(run.states[0], START, atol=1e-14)


def test_an_event_ends_the_run_at_its_root():
    """x' = x² from 1 reaches 3/2 at t = 1/3."""
    event = diffrax.Event(
        lambda t, y, args, **kw: y[0] - 1.5, optimistix.Newton(1e-10, 1e-10)
    )
    run = solve(
        Blowup(),
        jnp.ones(1),
        0.0,
        0.9,
        event=event,
        saveat=diffrax.SaveAt(t0=True, t1=True),
    )
    assert float(run.times[-1]) == pytest.approx(1 / 3, abs=1e-7)
    assert float(run.states[-1, 0]) == pytest.approx(1.5, abs=1e-7)
    assert run.end == "event at t = 0.333333"


def test_reverse_mode_forward_mode_vmap_and_jit():
    save = diffrax.SaveAt(t1=True)

    def last(rate, x, adjoint=None):
        flow = Counted(rate, jnp.asarray(0.0))
        run = solve(flow, x, 0.0, 1.0, adjoint=adjoint, max_steps=512, saveat=save)
        return run.states[0, 0]

    # x(t) = x₀ e^{-rate t}
    rate, x = jnp.asarray(RATE), jnp.array([0.8])
    exact = 0.8 * np.exp(-RATE)
    by_rate, by_x = jax.grad(last, (0, 1))(rate, x)
    assert float(by_rate) == pytest.approx(-exact, rel=1e-6)
    assert float(by_x[0]) == pytest.approx(exact / 0.8, rel=1e-6)
    forward = jax.jvp(
        lambda r: last(r, x, diffrax.ForwardMode()), (rate,), (jnp.ones(()),)
    )[1]
    assert float(forward) == pytest.approx(-exact, rel=1e-6)
    rates = jnp.array([0.2, 1.0, 3.0])
    many = jax.jit(jax.vmap(last, (0, None)))(rates, x)
    np.testing.assert_allclose(many, 0.8 * np.exp(-rates), rtol=1e-6)


def test_a_trajectory_passes_through_jit_and_vmap():
    @eqx.filter_jit
    def runs(starts):
        return jax.vmap(lambda y: solve(model(), y, 0.0, 1.0))(starts)

    run = runs(jnp.stack([START, 2 * START]))
    assert run.states.shape == (2, 101, 2)
    assert "batch (2,), 101 times each" in repr(run)
    np.testing.assert_allclose(run.states[1, 0], 2 * START, rtol=0)


@pytest.mark.parametrize("r", [1e-3, 1e-8])
def test_finite_time_blow_up_is_reported_with_its_time(r):
    start = jnp.array([0.5])  # leaves at t = 2
    with pytest.raises(
        NonFiniteState, match="Blowup leaves the finite numbers"
    ) as info:
        solve(Blowup(), start, 0.0, 5.0, stepsize_controller=tolerance(r))
    assert info.value.time == pytest.approx(2.0, rel=r)
    assert info.value.model == "Blowup"


def test_the_finite_part_of_a_blow_up():
    start = jnp.array([0.5])
    run = solve(Blowup(), start, 0.0, 5.0, throw=False)
    assert run.times[-1] == pytest.approx(2.0, abs=0.051)
    assert np.all(np.isfinite(run.states))
    before = np.asarray(run.times) < 1.96
    exact = 1 / (2 - np.asarray(run.times)[before])
    np.testing.assert_allclose(run.states[before, 0], exact, rtol=1e-4)
    assert run.end.startswith("Blowup leaves the finite numbers at t = 2")
    coarse = solve(
        Blowup(),
        start,
        0.0,
        5.0,
        dt0=0.01,
        stepsize_controller=diffrax.ConstantStepSize(),
        throw=False,
    )
    assert "no longer finite after t = 2" in coarse.end
    assert np.all(np.isfinite(coarse.states))


def test_too_few_steps_are_no_blow_up():
    with pytest.raises(SolveFailed, match=r"Counted: stopped after t = .*max_steps"):
        solve(model(), START, 0.0, 3.0, max_steps=5)
    run = solve(model(), START, 0.0, 3.0, max_steps=5, throw=False)
    assert 0 < run.times.size < 101
    assert run.end.startswith("stopped after t = ")


def test_a_state_without_motion_that_runs_out_of_steps_is_no_blow_up():
    flow = GradientFlow(quadratic([1.0, 1e6]))
    with pytest.raises(SolveFailed, match="maximum number"):
        solve(flow, jnp.ones(2), 0.0, 50.0, max_steps=500)


@pytest.fixture
def quiet_bar(monkeypatch):
    """Progress without a terminal, counting updates."""
    updates = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update(self, n=1):
            updates.append(n)
            if len(updates) == Bar.interrupt_at:
                raise KeyboardInterrupt

    Bar.interrupt_at = None

    class Context:
        def __init__(self, total, what, unit):
            self.bar = Bar(total)

        def __enter__(self):
            return self.bar

        def __exit__(self, *args):
            return False

    monkeypatch.setattr(MODULE, "bar", Context)
    return Bar, updates


@pytest.mark.slow
def test_progress_gives_the_same_run(quiet_bar):
    _, updates = quiet_bar
    plain = solve(model(), START, 0.0, 3.0)
    shown = solve(model(), START, 0.0, 3.0, progress=True)
    assert sum(updates) == MODULE._SEGMENTS
    np.testing.assert_array_equal(shown.times, plain.times)
    # Each part clips one step, so the two agree to the tolerance of the solve.
    np.testing.assert_allclose(shown.states, plain.states, atol=1e-7)
    assert shown.end == plain.end
    assert shown.stats["num_steps"] >= plain.stats["num_steps"]
    before = Counted.traces[0]
    again = solve(model(0.5), START, 0.0, 2.0, progress=True)
    assert Counted.traces[0] == before
    assert again.times.size == 101


def test_an_interrupt_keeps_what_is_done(quiet_bar):
    bar, _ = quiet_bar
    bar.interrupt_at = 7
    run = solve(model(), START, 0.0, 3.0, progress=True)
    assert 30 <= run.times.size <= 40
    assert run.end == f"interrupted after t = {float(run.times[-1]):.6g}"
    plain = solve(model(), START, 0.0, 3.0)
    kept = run.times.size
    np.testing.assert_allclose(run.states, plain.states[:kept], atol=1e-7)


@pytest.mark.slow
def test_progress_ends_like_the_plain_run(quiet_bar):
    with pytest.raises(NonFiniteState) as info:
        solve(Blowup(), jnp.array([0.5]), 0.0, 5.0, progress=True)
    assert info.value.time == pytest.approx(2.0, rel=1e-6)
    run = solve(Blowup(), jnp.array([0.5]), 0.0, 5.0, progress=True, throw=False)
    plain = solve(Blowup(), jnp.array([0.5]), 0.0, 5.0, throw=False)
    np.testing.assert_array_equal(run.times, plain.times)
    assert np.all(np.isfinite(run.states))
    with pytest.raises(BadInput, match="progress=True needs"):
        solve(
            model(),
            START,
            0.0,
            1.0,
            progress=True,
            saveat=diffrax.SaveAt(steps=True),
        )


def test_float32_stays_float32():
    start = START.astype(jnp.float32)
    flow = Counted(jnp.asarray(RATE, jnp.float32), jnp.asarray(LEVEL, jnp.float32))
    run = solve(flow, start, 0.0, 3.0)
    assert run.states.dtype == jnp.float32
    wide = solve(model(), START, 0.0, 3.0)
    np.testing.assert_allclose(run.states, wide.states, atol=1e-3)


class Narrow(Flow):
    def vector_field(self, t, y):
        return y[:1]


class Pair(Flow):
    def vector_field(self, t, y):
        return AdamState(y, y, y)


class Random(Flow):
    def vector_field(self, t, y):
        return -y

    def brownian(self, y):
        return y.shape[0]


@pytest.mark.parametrize(
    ("flow", "start", "message"),
    [
        (Narrow(), jnp.ones(3), r"a state like f64\[3\] to a tangent like f64\[1\]"),
        (Pair(), jnp.ones(3), r"f64\[3\] to a tangent like AdamState"),
        (Blowup(), jnp.array([1.0, jnp.nan]), "non-finite"),
        (Blowup(), jnp.array([1, 2]), "vector of floats"),
        (Blowup(), [1.0, 2.0], "vector of floats"),
        (Blowup(), (jnp.ones(2), jnp.ones(2)), "vector of floats"),
        (Random(), jnp.ones(2), "random"),
    ],
)
def test_bad_starts_are_refused(flow, start, message):
    with pytest.raises(BadInput, match=message):
        solve(flow, start, 0.0, 1.0)


@pytest.mark.parametrize(
    ("t0", "t1"),
    [(0.0, 0.0), (1.0, 0.5), (0.0, np.inf), (np.nan, 1.0), (0.0, jnp.ones(2))],
)
def test_bad_times_are_refused(t0, t1):
    bare = solve
    while hasattr(bare, "__wrapped__"):  # the door behind the type checker
        bare = bare.__wrapped__
    with pytest.raises(BadInput, match="times"):
        bare(Blowup(), jnp.ones(1), t0, t1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"saveat": diffrax.SaveAt(ts=jnp.array([0.1, 1.2]))}, "saved times"),
        ({"saveat": diffrax.SaveAt(ts=jnp.array([0.3, 0.1]))}, "saved times"),
        (
            {
                "saveat": diffrax.SaveAt(
                    subs=[diffrax.SubSaveAt(t0=True), diffrax.SubSaveAt(t1=True)]
                )
            },
            "one list of times",
        ),
        ({"stepsize_controller": diffrax.ConstantStepSize()}, "needs dt0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        solve(Blowup(), jnp.ones(1), 0.0, 0.5, **options)
