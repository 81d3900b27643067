"""Moments of switched linear systems: closed forms, scipy, refusals, tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov

import flows
import sde
from flows import BadInput
from sde.switched_moments import moment_field

CENTRES = np.array([[-1.0], [0.0], [1.5], [2.5]])
SPREAD = CENTRES.var()
PAIR, ENDS = np.zeros((2, 1)), np.array([[1.0], [-1.0]])


def momentum(centres, curvatures, rate, mass=1.0, friction=1.0):
    losses = flows.quadratic_sum(centres, curvatures)
    index = sde.UniformIndex(len(centres), rate)
    return sde.StochasticGradientMomentumProcess(losses, index, mass, friction)


def gradient(centres, curvatures, rate, friction=1.0):
    losses = flows.quadratic_sum(centres, curvatures)
    return sde.StochasticGradientProcess(
        losses, sde.UniformIndex(len(centres), rate), friction
    )


def state(x, v, label=0):
    return sde.SwitchingMomentumState(jnp.full(1, x), jnp.full(1, v), label)


positive = st.floats(0.05, 20.0)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(kappa=positive, m=positive, alpha=positive, gamma=positive)
def test_stationary_moments_of_a_common_curvature(kappa, m, alpha, gamma):
    """Var x = s²κ(α + mr)/(αw), Var v = s²κ²r/(αw), w = κ + αr + mr², r = 2γ."""
    losses = momentum(3 * ENDS, np.full(2, kappa), gamma, m, alpha)
    found = sde.stationary_switched_moments(losses).covariance
    r = 2 * gamma
    w = alpha * (kappa + alpha * r + m * r**2)
    exact = 9 * kappa * np.array([alpha + m * r, kappa * r]) / w
    np.testing.assert_allclose(np.diag(found), exact, rtol=1e-9)
    assert abs(found[0, 1]) < 1e-9 * exact.max()
    wrong = gamma * (alpha + m * gamma) / (kappa + alpha * gamma + m * gamma**2)
    right = gamma * (alpha + m * r) / (kappa + alpha * r + m * r**2)
    assert abs(wrong / right - 1) > 1e-3  # the clock's own rate is another answer


@pytest.mark.slow
def test_the_label_enters_through_its_relaxation_rate():
    """Without momentum Var x = s²κ/(κ + αr), for both conventions and a chain."""
    losses, kappa, alpha = flows.quadratic_sum(CENTRES, 1.3), 1.3, 0.9
    indices = {
        2.0: sde.UniformIndex(4, 1.5),
        1.5: sde.UniformIndex(4, 1.5, "fresh_draw"),
        0.8: sde.MarkovIndex(0.2 * (np.ones((4, 4)) - 4 * np.eye(4))),
    }
    for r, index in indices.items():
        process = sde.StochasticGradientProcess(losses, index, alpha)
        found = sde.stationary_switched_moments(process)
        exact = SPREAD * kappa / (kappa + alpha * r)
        assert abs(float(found.covariance[0, 0]) / exact - 1) < 1e-13
        assert abs(float(found.mean[0]) - CENTRES.mean()) < 1e-14


def test_one_label_in_all_but_name_is_a_lyapunov_equation():
    """Equal fields: P solves A P + P Aᵀ + b μᵀ + μ bᵀ = 0 of scipy."""
    a = np.array([[-1.0, 0.7], [-0.2, -0.4]])
    b, q = np.array([0.3, -1.0]), np.array([[-1.0, 1.0], [2.0, -2.0]])
    fields = sde.LinearFields(np.stack([a, a]), np.stack([b, b]), q)
    found = sde.stationary_switched_moments(fields)
    mean = -np.linalg.solve(a, b)
    outer = np.outer(b, mean)
    second = solve_continuous_lyapunov(a, -(outer + outer.T))
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.second, second, rtol=1e-12)
    np.testing.assert_allclose(found.weights, [2 / 3, 1 / 3], rtol=1e-12)
    roots = np.linalg.eigvals(a).real
    assert abs(float(sde.moment_abscissa(fields)) - 2 * roots.max()) < 1e-12
    assert abs(float(sde.moment_abscissa(fields, 4)) - 4 * roots.max()) < 1e-7


def test_the_transient_against_scipy():
    """Two curvatures, a chain that is left at two rates, from a point."""
    index = sde.MarkovIndex(np.array([[-1.0, 1.0], [0.3, -0.3]]))
    losses = flows.quadratic_sum(ENDS, np.array([1.4, 0.5]))
    process = sde.StochasticGradientMomentumProcess(losses, index, 0.7, 0.9)
    found = sde.transient_switched_moments(process, state(2.0, 1.0, 1), [0.4, 3.0])
    a = np.array([[[0, 1], [-2.0, -9 / 7]], [[0, 1], [-5 / 7, -9 / 7]]])
    b, q = np.array([[0, 2.0], [0, -5 / 7]]), np.array([[-1.0, 1.0], [0.3, -0.3]])

    def rhs(t, y):
        w, mu, p = y[:2], y[2:6].reshape(2, 2), y[6:].reshape(2, 2, 2)
        dw, dmu, dp = q.T @ w, np.zeros((2, 2)), np.zeros((2, 2, 2))
        for i in range(2):
            dmu[i] = a[i] @ mu[i] + b[i] * w[i] + sum(q[j, i] * mu[j] for j in (0, 1))
            half = a[i] @ p[i] + np.outer(b[i], mu[i])
            dp[i] = half + half.T + sum(q[j, i] * p[j] for j in (0, 1))
        return np.concatenate([dw, dmu.ravel(), dp.ravel()])

    y0 = np.array([0, 1, 0, 0, 2, 1, 0, 0, 0, 0, 4, 2, 2, 1.0])
    close = {"method": "DOP853", "t_eval": [0.4, 3.0], "rtol": 1e-12, "atol": 1e-12}
    run = solve_ivp(rhs, (0, 3), y0, **close)
    got = [np.reshape(x, (2, -1)) for x in found]
    np.testing.assert_allclose(np.concatenate(got, axis=1), run.y.T, atol=1e-9)
    weights = np.array([0.0, 1.0]) @ expm(3.0 * q)
    np.testing.assert_allclose(found.weights[1], weights, rtol=1e-12)


def scheduled(rate, mass):
    losses = flows.quadratic_sum(ENDS, 1.0)
    index = sde.UniformIndex(2, rate)
    return sde.StochasticGradientMomentumProcess(losses, index, mass, 1.0)


LOSING = flows.PowerSchedule(0.5, 1.0, 1.0), flows.PowerSchedule(1.0, 1.0, -1.0)


def test_schedules_have_no_stationary_law_but_frozen_systems():
    process = scheduled(*LOSING)
    for ask in (sde.stationary_switched_moments, sde.moment_abscissa, sde.tail_index):
        with pytest.raises(BadInput, match="Schedule"):
            ask(process)
    frozen = sde.linear_fields(process, 3.0)
    at_three = momentum(ENDS, 1.0, 2.0, 0.25)
    assert sde.moment_abscissa(frozen) == sde.moment_abscissa(at_three)


@pytest.mark.slow
def test_schedules_against_the_constant_case_and_a_decreasing_rate():
    """Constant schedules give the exponential; r = 1 + t gives scipy's answer."""
    start, times = state(3.0, 0.0), [1.0, 6.0]
    plain = sde.transient_switched_moments(momentum(ENDS, 1.0, 0.5), start, times)
    flat = flows.PowerSchedule(0.5, 1.0, 0.0), flows.PowerSchedule(1.0, 1.0, 0.0)
    same = sde.transient_switched_moments(scheduled(*flat), start, times)
    np.testing.assert_allclose(same.seconds, plain.seconds, atol=1e-8)
    found = sde.transient_switched_moments(
        scheduled(*LOSING), start, times, weights="stationary"
    )

    def rhs(t, y):
        a, b, c, d, e = y
        r, m = 1 + t, 1 / (1 + t)
        return [
            2 * b,
            c - (a - d + b) / m,
            2 * (e - b - c) / m,
            e - r * d,
            (1 - d - e) / m - r * e,
        ]

    run = solve_ivp(
        rhs, (0, 6), [9.0, 0, 0, 0, 0], "DOP853", t_eval=times, rtol=1e-11, atol=1e-13
    )
    np.testing.assert_allclose(found.second[:, 0, 0], run.y[0], rtol=1e-8)


@pytest.mark.parametrize(
    ("r", "growth"), [(0.5, 0.11655), (2.0, 0.14462), (20.0, -0.05973)]
)
def test_momentum_can_blow_up_though_every_mode_is_stable(r, growth):
    """σ_c² = ακ̄(α + mr)(2αr + 4κ̄ + mr²)/(2α + mr)² separates the signs."""
    alpha = 0.1
    critical = np.sqrt(
        alpha * (alpha + r) * (2 * alpha * r + 4 + r**2) / (2 * alpha + r) ** 2
    )

    def abscissa(sigma):
        process = momentum(PAIR, np.array([1 + sigma, 1 - sigma]), r / 2, 1.0, alpha)
        return float(sde.moment_abscissa(process))

    assert abs(abscissa(0.9) - growth) < 1e-5
    assert abscissa(critical * (1 - 1e-6)) < 0 < abscissa(critical * (1 + 1e-6))
    still = gradient(PAIR, np.array([1.9, 0.1]), r / 2, alpha)
    assert float(sde.moment_abscissa(still)) < 0
    if growth > 0:
        unstable = momentum(PAIR, np.array([1.9, 0.1]), r / 2, 1.0, alpha)
        with pytest.raises(BadInput, match=r"not stable \(spectral abscissa 0\.1"):
            sde.stationary_switched_moments(unstable)
        assert sde.stationary_switched_moments(unstable, 1).seconds is None


def test_the_tail_index():
    """It is -αγ(κ₁ + κ₂)/(κ₁κ₂), infinite for curvatures >= 0, none without a law."""
    a = np.array([[0.0], [-1.0]])
    process = gradient(a, np.array([2.0, -1.0]), 6.0)
    np.testing.assert_allclose(sde.tail_index(process), [3.0], rtol=1e-12)
    assert abs(sde.growth_exponent(process, 3.0)) < 1e-12
    assert sde.growth_exponent(process, 2.9) < 0 < sde.growth_exponent(process, 3.1)
    second = float(sde.moment_abscissa(process))
    assert abs(sde.growth_exponent(process, 2) - second) < 1e-12
    slower = gradient(a, np.array([2.0, -1.0]), 3.0, 2.0)
    np.testing.assert_allclose(sde.tail_index(slower), [3.0], rtol=1e-12)
    chain = sde.MarkovIndex([[-6.0, 6.0, 0.0], [6.0, -6.0, 0.0], [0.0, 1.0, -1.0]])
    left = flows.quadratic_sum([[0.0], [-1.0], [4.0]], np.array([2.0, -1.0, -5.0]))
    for_good = sde.StochasticGradientProcess(left, chain)
    np.testing.assert_allclose(sde.tail_index(for_good), [3.0], rtol=1e-12)
    both = gradient(np.hstack([a, a]), np.array([[2.0, 1.0], [-1.0, 0.5]]), 6.0)
    np.testing.assert_allclose(sde.tail_index(both), [3.0, np.inf], rtol=1e-12)
    with pytest.raises(BadInput, match="no stationary law"):
        sde.tail_index(gradient(a, np.array([1.0, -2.0]), 6.0))
    with pytest.raises(BadInput, match="diagonal"):
        sde.tail_index(momentum(a, np.array([2.0, -1.0]), 6.0))


def test_any_quadratic_loss_is_linear_and_no_other_is():
    rows = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 1.5], [2.0, 0.3]])
    targets = np.array([1.0, -1.0, 0.5, 2.0])

    def loss(w, data):
        return 0.5 * jnp.mean((data[0] @ w - data[1]) ** 2)

    regression = flows.from_loss(loss, jnp.zeros(2), (rows, targets))
    batches = np.array([[0, 1], [2, 3]])
    index = sde.UniformIndex(2, 1.0)
    fields = sde.linear_fields(
        sde.StochasticGradientProcess(regression, index, 2.0, batches)
    )
    for i, batch in enumerate(batches):
        x = rows[batch]
        np.testing.assert_allclose(fields.matrices[i], -x.T @ x / 4, rtol=1e-12)
        np.testing.assert_allclose(fields.forcings[i], x.T @ targets[batch] / 4)

    def cubic(w, data):
        return jnp.mean((data[0] @ w) ** 4)

    curved = flows.from_loss(cubic, jnp.zeros(2), (rows, targets))
    with pytest.raises(BadInput, match="quadratic losses alone"):
        sde.linear_fields(sde.StochasticGradientProcess(curved, index, 1.0, batches))


def test_losses_that_are_quadratic_near_0_alone_are_refused():
    """Huber's loss about ±1: linear beyond 3 from its centre."""

    def huber(w, data):
        away = jnp.abs(w[0] - data[0])
        return jnp.mean(jnp.where(away < 3, away**2 / 2, 3 * (away - 1.5)))

    losses = flows.from_loss(huber, jnp.zeros(1), (np.array([-1.0, 1.0]),))
    with pytest.raises(BadInput, match="quadratic losses alone"):
        sde.linear_fields(
            sde.StochasticGradientProcess(losses, sde.UniformIndex(2, 1.0))
        )


def test_a_direction_without_curvature_has_no_stationary_moments():
    """The abscissa is 0, and comes out as a rounding of it; a small one is no 0."""
    centres = [[0.0, 0.0], [1.0, 1.0]]
    flat = gradient(centres, np.array([[1.0, 0.0], [1.0, 0.0]]), 1.0)
    assert abs(float(sde.moment_abscissa(flat))) < 1e-14
    with pytest.raises(BadInput, match="beyond rounding"):
        sde.stationary_switched_moments(flat)
    traced = jax.jit(lambda f: sde.stationary_switched_moments(f).means)
    assert np.all(np.isnan(traced(sde.linear_fields(flat))))
    for kappa in (1e-3, 1e-9):  # the solve loses a factor 1/κ of its digits
        small = gradient(centres, np.array([[1.0, kappa], [1.0, kappa]]), 1.0)
        found = sde.stationary_switched_moments(small).second[1, 1]
        exact = 0.25 + 0.25 * kappa / (kappa + 2)
        assert float(found) == pytest.approx(exact, rel=1e-14 / kappa)


def test_tails_of_laws_without_a_power():
    """A point mass where all fields vanish; an exponential tail; powers one by one."""
    curvatures = np.array([2.0, -1.0])
    point = gradient([[0.3], [0.3]], curvatures, 6.0)
    np.testing.assert_array_equal(sde.tail_index(point), [np.inf])
    tilted = flows.quadratic_sum(PAIR, np.array([1.0, 0.0]), tilts=ENDS)
    process = sde.StochasticGradientProcess(tilted, sde.UniformIndex(2, 1.0))
    np.testing.assert_array_equal(sde.tail_index(process), [np.inf])
    sde.stationary_switched_moments(process)  # and second moments are finite
    for coordinate in (1, -1, 0.5):
        with pytest.raises(BadInput, match="coordinate"):
            sde.growth_exponent(point, 1.0, coordinate)
    with pytest.raises(BadInput, match="diagonal"):
        sde.growth_exponent(momentum(PAIR, 1.0, 1.0), 2.0)


def test_moments_in_one_line_and_means_alone():
    process = momentum(ENDS, 1.0, 1.0)
    alone = sde.stationary_switched_moments(process, np.int64(1))
    assert repr(alone) == "SwitchedMoments(means of 2 coordinates, 2 labels)"
    for ask in ("second", "covariance"):
        with pytest.raises(BadInput, match="degree=2"):
            getattr(alone, ask)
    later = sde.transient_switched_moments(process, state(1.0, 0.0), [1.0, 2.0])
    assert repr(later) == (
        "SwitchedMoments(means and second moments of 2 coordinates, 2 labels at 2 "
        "times)"
    )
    q = np.array([[-1.0, 1.0], [2.0, -2.0]])
    fields = sde.LinearFields(np.zeros((2, 1, 1)), np.zeros((2, 1)), q)
    np.testing.assert_allclose(fields.stationary(), [2 / 3, 1 / 3], rtol=1e-14)


def test_starts_that_are_none_of_the_process_are_refused():
    process, zero = momentum(ENDS, 1.0, 1.0), jnp.zeros(1)
    for y0 in (
        state(1.0, 0.0, 7),
        state(1.0, 0.0, 0.5),
        state(1.0, 0.0, None),
        state(np.nan, 0.0),
        sde.SwitchingState(jnp.zeros(2), 0),
        sde.SwitchingMomentumState(jnp.zeros((2, 1)), jnp.zeros((2, 1)), 0),
        zero,
    ):
        with pytest.raises(BadInput):
            sde.transient_switched_moments(process, y0, [1.0])
    law = sde.transient_switched_moments(
        process, state(1.0, 0.0, None), [1.0, 2.0], weights="stationary"
    )
    np.testing.assert_allclose(law.weights, 0.5, rtol=1e-14)
    for wrong in ({"solver": "tsit"}, {"tolerance": -1.0}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            sde.transient_switched_moments(process, state(1.0, 0.0), [1.0], **wrong)
    wide = flows.quadratic_sum(np.zeros((2, 50)))
    large = sde.StochasticGradientProcess(wide, sde.UniformIndex(2))
    with pytest.raises(BadInput, match="at most 4096"):
        y0 = sde.SwitchingState(jnp.zeros(50), 0)
        sde.transient_switched_moments(large, y0, [1.0])


def test_traced_calls_and_gradients():
    """∂/∂r of Var x = 1/(1 + r); NaN where moments do not exist."""

    def variance(r, second):
        matrices = -jnp.stack([jnp.ones((1, 1)), second * jnp.ones((1, 1))])
        chain = r / 2 * jnp.array([[-1.0, 1.0], [1.0, -1.0]])
        fields = sde.LinearFields(matrices, jnp.array([[1.0], [-1.0]]), chain)
        return sde.stationary_switched_moments(fields).covariance[0, 0]

    both = jax.jit(jax.value_and_grad(variance))
    value, slope = both(1.7, 1.0)
    assert abs(float(value) - 1 / 2.7) < 1e-14
    assert abs(float(slope) + 1 / 2.7**2) < 1e-13
    assert np.isnan(both(1.7, -2.0)[0])


def test_what_is_refused():
    fields = sde.linear_fields(momentum(PAIR, 1.0, 1.0))
    for wrong in (
        fields._replace(generator=fields.generator + 1.0),
        fields._replace(forcings=fields.forcings[:, :1]),
    ):
        with pytest.raises(BadInput):
            sde.moment_abscissa(wrong)
    for degree in (0, 3, 2.0, True):
        with pytest.raises(BadInput):
            if degree is True:
                sde.stationary_switched_moments(fields, degree)
            sde.moment_abscissa(fields, degree)
    with pytest.raises(BadInput, match="at most"):
        sde.moment_abscissa(fields, 12)
    with pytest.raises(BadInput, match="switching process"):
        sde.moment_abscissa(sde.OrnsteinUhlenbeck(1.0, 0.0, 1.0))
    process, start = momentum(PAIR, 1.0, 1.0), state(1.0, 0.0)
    for times in ([], [2.0, 1.0], [-1.0], [np.nan]):
        with pytest.raises(BadInput, match="times"):
            sde.transient_switched_moments(process, start, times)
    for weights in ([0.5, 0.6], "uniform", [1.0]):
        with pytest.raises(BadInput, match="weights"):
            sde.transient_switched_moments(process, start, [1.0], weights=weights)
    with pytest.raises(BadInput, match="weights"):
        sde.transient_switched_moments(fields, np.ones(2), [1.0])
    with pytest.raises(BadInput, match="2 numbers"):
        sde.transient_switched_moments(fields, np.ones(3), [1.0], weights=[1.0, 0.0])
    settled = sde.stationary_switched_moments(
        fields._replace(forcings=jnp.ones((2, 2)))
    )
    rest = moment_field(fields._replace(forcings=jnp.ones((2, 2))), settled)
    assert max(float(jnp.max(jnp.abs(a))) for a in rest) < 1e-13
