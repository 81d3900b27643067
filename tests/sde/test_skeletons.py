"""Skeletons: one path beside an event loop, laws, what is drawn, what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import halfnorm, poisson
from sde_helpers import Age, dkw_distance, dkw_radius

import flows
import sde
from flows import BadInput, PowerSchedule, SolveFailed

CENTRES = np.array([[-1.0], [0.0], [1.5], [2.5]])
KAPPA, MASS, FRICTION, RATE, END = 1.3, 0.7, 0.9, 2.0, 6.0
LOSSES = flows.quadratic_sum(CENTRES, KAPPA)
INDEX = sde.UniformIndex(4, RATE)
SLOW = sde.StochasticGradientProcess(LOSSES, INDEX, FRICTION)
MOVING = sde.StochasticGradientMomentumProcess(LOSSES, INDEX, MASS, FRICTION)
AT_REST = sde.SwitchingMomentumState(jnp.zeros(1), jnp.zeros(1), None)
POINT = sde.SwitchingState(jnp.zeros(1), None)
EVENTS = 47  # of 12 expected; one number, so that one loop is compiled
DRAW = jax.jit(lambda key: sde.draw_index_path(INDEX, key, t1=END, events=EVENTS))


@pytest.fixture(scope="module")
def moving():
    return sde.simulate_skeletons(
        MOVING, AT_REST, t1=END, key=3, paths=20_000, events=EVENTS
    )


def event_loop(path, times):
    """States (x, v, ∫x) along a drawn path of the label: scipy's exponentials."""
    marks = np.sort(np.concatenate([path.times[: int(path.rings)], times]))
    state, now, out = np.zeros(4), 0.0, []
    state[3] = 1.0
    for mark in marks:
        label = int(path.labels[np.searchsorted(path.times, now, side="right")])
        a = np.zeros((4, 4))
        a[0, 1] = a[2, 0] = 1.0
        a[1, :2] = -KAPPA / MASS, -FRICTION / MASS
        a[1, 3] = KAPPA * CENTRES[label, 0] / MASS
        state = expm((mark - now) * a) @ state
        now = mark
        if mark in times:
            out.append(state[:3])
    return np.array(out)


def test_a_path_is_the_event_loop_on_the_drawn_labels(moving):
    p, times = 7, np.array([0.0, 0.4, 3.3, END])
    path = jax.tree.map(np.asarray, DRAW(sde.path_key(3, p)))
    true = event_loop(path, times)
    rings = int(path.rings)
    assert int(moving.rings[p]) == rings > 3
    points = np.asarray(moving.times)[p]
    np.testing.assert_allclose(points[1 : rings + 1], path.times[:rings], rtol=1e-13)
    found = jax.tree.map(lambda a: np.asarray(a)[:, p], moving.at(times))
    np.testing.assert_allclose(found.position[:, 0], true[:, 0], atol=1e-12)
    np.testing.assert_allclose(found.velocity[:, 0], true[:, 1], atol=1e-12)
    labels = path.labels[np.searchsorted(path.times, times, side="right")]
    np.testing.assert_array_equal(found.label, labels)
    final, states = np.asarray(moving.final.position), moving.states.position
    np.testing.assert_allclose(final[p], true[-1, :1], atol=1e-12)
    average = np.asarray(moving.time_average())[p]
    np.testing.assert_allclose(average, true[-1, 2:] / END, atol=1e-12)
    # after the last jump the points hold the end
    delays = np.asarray(moving.delays)[p]
    assert np.all(delays[rings + 1 :] == 0)
    np.testing.assert_allclose(np.sum(delays), END, rtol=1e-14)
    np.testing.assert_array_equal(np.asarray(states)[p, -1], final[p])


@pytest.mark.slow
def test_processes_of_one_key_share_the_labels(moving):
    run = sde.simulate_skeletons(SLOW, POINT, t1=END, key=3, paths=300, events=EVENTS)
    np.testing.assert_array_equal(
        run.states.label, np.asarray(moving.states.label)[:300]
    )
    np.testing.assert_array_equal(run.delays, np.asarray(moving.delays)[:300])
    path = DRAW(sde.path_key(3, 5))
    followed = jax.jit(lambda path: sde.follow_index_path(SLOW, POINT, path, t1=END))(
        path
    )
    np.testing.assert_allclose(
        followed.final.position, np.asarray(run.final.position)[5], rtol=1e-12
    )
    assert "300 paths on [0, 6]" in repr(run)


@pytest.mark.slow
def test_neither_the_chunk_nor_the_number_held_changes_a_path():
    usual = {"t1": END, "key": 3, "paths": 300}
    run = sde.simulate_skeletons(SLOW, POINT, events=EVENTS, chunk=130, **usual)
    other = sde.simulate_skeletons(SLOW, POINT, **usual)
    np.testing.assert_array_equal(run.final.position, other.final.position)
    np.testing.assert_array_equal(run.rings, other.rings)


def test_moments_at_a_time_are_those_of_the_linear_equations(moving):
    """6.2 standard errors: false alarm 1e-9 each; sees a variance off by 7 per cent."""
    r, s2 = RATE * 4 / 3, np.var(CENTRES)
    k, a = KAPPA / MASS, FRICTION / MASS
    # (E y², E yv, E v², E y ξ, E v ξ, 1) from x = v = 0 and a stationary label
    system = np.zeros((6, 6))
    system[0, 1] = 2
    system[1, :4] = -k, -a, 1, k
    system[2, 1], system[2, 2], system[2, 4] = -2 * k, -2 * a, 2 * k
    system[3, 3:5] = -r, 1
    system[4, 3:] = -k, -a - r, k * s2
    y = -np.mean(CENTRES)
    for t in (0.5, 2.0, END):
        found = np.asarray(moving.at(t).position)[:, 0] + y
        start = np.array([y**2, 0, 0, 0, 0, 1.0])
        true = (expm(t * system) @ start)[0]
        error = 6.2 * np.std(found**2) / np.sqrt(len(found))
        assert abs(np.mean(found**2) - true) < error
        if t > 1:  # the clock's rate in place of the relaxation rate: refused
            system_ = system.copy()
            system_[3, 3], system_[4, 4] = -RATE, -a - RATE
            wrong = (expm(t * system_) @ start)[0]
            assert abs(np.mean(found**2) - wrong) > error
    shares = np.bincount(np.asarray(moving.states.label)[:, 0]) / 20_000
    assert np.max(np.abs(shares - 0.25)) < 6.2 * np.sqrt(0.1875 / 20_000)


@pytest.mark.slow
def test_a_clock_that_speeds_up_rings_as_often_as_its_integral():
    """Counts by Poisson's law: DKW at false alarm 1e-9, sees a distance of 0.066."""
    clock = PowerSchedule(1.0, 2.0, 1.5)
    index = sde.UniformIndex(4, clock)
    process = sde.StochasticGradientProcess(LOSSES, index, FRICTION)
    run = sde.simulate_skeletons(process, POINT, t1=END, key=1, paths=10_000)
    mean = float(clock.integral(0.0, END))
    assert abs(mean - 24.8) < 1e-12
    counts = np.asarray(run.rings)
    values = np.arange(80)
    share = np.searchsorted(np.sort(counts), values, side="right") / len(counts)
    radius = dkw_radius(len(counts))
    assert np.max(np.abs(share - poisson(mean).cdf(values))) < radius
    assert np.max(np.abs(share - poisson(mean * 1.1).cdf(values))) > radius


class Renewal(Age):
    """`Age` with its waits by inversion: (x + s)² - x² = 2E."""

    def waiting(self, t, y, key):
        e = -jnp.log(sde.noise.uniforms(key, 1)[0])
        return jnp.sqrt(y[0] ** 2 + 2 * e) - y[0]

    def integral(self, t, y, h):
        return h * y + h**2 / 2


def mean_age(end, n=2_400):
    """(1/T) ∫ E x: the renewal equation m = t e^{-t²/2} + ρ * m by the trapezoid."""
    t = np.linspace(0, end, n + 1)
    rho, m, h = t * np.exp(-(t**2) / 2), np.zeros(n + 1), end / n
    for k in range(1, n + 1):
        m[k] = rho[k] + h * (rho[1:k] @ m[k - 1 : 0 : -1])
    return np.trapezoid(m, t) / end


def test_a_process_of_another_kind_has_its_law_and_time_average():
    """Half-normal ages: DKW at 1e-9; the mean of ∫x/T to 6.2 standard errors."""
    run = sde.simulate_skeletons(
        Renewal(), jnp.zeros(1), t1=12.0, key=2, paths=10_000, events=63
    )
    x, radius = np.asarray(run.final)[:, 0], dkw_radius(10_000)
    assert dkw_distance(x, halfnorm.cdf) < radius
    assert dkw_distance(x, halfnorm(scale=1.15).cdf) > radius
    average = np.asarray(run.time_average())[:, 0]
    error = 6.2 * np.std(average) / 100
    coarse, fine = mean_age(12.0, 1_200), mean_age(12.0)
    assert abs(coarse - fine) < error / 50
    assert abs(np.mean(average) - fine) < error
    assert abs(np.mean(average) - np.sqrt(2 / np.pi)) > error  # the limit, too early
    # by hand on one path: x starts at 0 after each jump, so ∫x = Σ delay²/2
    delays = np.asarray(run.delays)[4]
    np.testing.assert_allclose(average[4], np.sum(delays**2) / 2 / 12, rtol=1e-12)


@pytest.mark.slow
def test_derivatives_in_mass_and_friction_are_those_of_differences():
    """The jump times do not depend on them; through critical damping at m = 0.155."""

    @jax.jit
    def end(mass, friction):
        process = eqx.tree_at(lambda p: (p.mass, p.friction), MOVING, (mass, friction))
        one = sde.draw_skeleton(process, AT_REST, 3, t1=END, events=EVENTS)
        return one.final.position[0]

    slope = jax.jit(jax.grad(end, (0, 1)))
    for mass in (0.05, FRICTION**2 / (4 * KAPPA), MASS):
        mass, alpha, h = jnp.asarray(mass), jnp.asarray(FRICTION), 1e-5
        true = (
            (end(mass + h, alpha) - end(mass - h, alpha)) / (2 * h),
            (end(mass, alpha + h) - end(mass, alpha - h)) / (2 * h),
        )
        np.testing.assert_allclose(slope(mass, alpha), true, rtol=1e-5, atol=1e-8)


def test_too_few_jumps_are_an_error():
    with pytest.raises(SolveFailed, match="give more `events`"):
        sde.simulate_skeletons(
            Renewal(), jnp.zeros(1), t1=80.0, key=2, paths=10_000, events=63
        )


@pytest.mark.slow
def test_as_many_jumps_as_it_takes_are_found():
    far = sde.simulate_skeletons(Renewal(), jnp.zeros(1), t1=80.0, key=2, paths=50)
    assert int(np.max(far.rings)) > 64 and not np.any(np.asarray(far.overflow))
    np.testing.assert_allclose(np.sum(far.delays, axis=1), 80.0, rtol=1e-13)


def test_paths_that_blew_up_are_counted(moving):
    where = lambda run: run.each.final.velocity  # noqa: E731
    ends = where(moving).at[0, 3].set(jnp.nan).at[0, 5].set(jnp.inf)
    assert "; 2 paths not finite)" in repr(eqx.tree_at(where, moving, ends))
    assert "not finite" not in repr(moving)


class Broken(Renewal):
    """No waiting time is a number from t = 2 on."""

    def waiting(self, t, y, key):
        return jnp.where(t > 2, jnp.nan, super().waiting(t, y, key))


@pytest.mark.slow
def test_a_waiting_time_that_is_no_number_is_an_error():
    with pytest.raises(SolveFailed, match="not a number"):
        sde.simulate_skeletons(Broken(), jnp.zeros(1), t1=12.0, key=2, paths=50)


def test_what_has_no_skeleton_is_refused(moving):
    bent = flows.finite_sum([flows.from_loss(jnp.sum, np.zeros(1))] * 2)
    nonlinear = sde.StochasticGradientProcess(bent, sde.UniformIndex(2))
    lost = sde.StochasticGradientMomentumProcess(
        LOSSES, INDEX, PowerSchedule(1.0, 1.0, -1.0)
    )
    usual = {"t1": 1.0, "key": 0, "paths": 5}
    for process, y0, options, words in (
        (nonlinear, POINT, {}, "no `exact`"),
        (lost, AT_REST, {}, "no `exact`"),
        (Age(), jnp.zeros(1), {}, "no `waiting`"),
        (SLOW, POINT, {"t1": 0.0}, "t1 - t0"),
        (SLOW, POINT, {"events": 0}, "events"),
        (SLOW, POINT, {"paths": 0}, "paths"),
        (SLOW, POINT, {"key": None}, "key"),
        (SLOW, jnp.zeros((3, 1)), {}, "SwitchingState"),
    ):
        with pytest.raises(BadInput, match=words):
            sde.simulate_skeletons(process, y0, **usual | options)
    for times in (-0.1, END + 0.1, [[1.0]]):
        with pytest.raises(BadInput, match="times lie in"):
            moving.at(times)
