"""Momentum residual flows against scipy and heavy ball; their linear maps, mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import flows
from flows import (
    BadInput,
    MomentumResidualFlow,
    PhaseState,
    at_rest,
    least_multiplier,
    linear_momentum_map,
    representing_matrix,
    representing_rate,
)
from flows.problems import quadratic

START = np.array([1.0, -0.5])


def rotating(t, x):
    return jnp.stack([jnp.sin(x[1]) - x[0], jnp.cos(t) * x[0] * x[1]])


@pytest.mark.slow
def test_the_flow_is_scipys():
    flow = MomentumResidualFlow(rotating, 0.3)

    def field(t, y):
        x, v = y[:2], y[2:]
        force = np.array([np.sin(x[1]) - x[0], np.cos(t) * x[0] * x[1]])
        return np.concatenate([v, (force - v) / 0.3])

    tight = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}
    exact = solve_ivp(field, (0, 2), [*START, 0.0, 0.0], **tight).y[:, -1]
    end = flows.reference(flow, at_rest(jnp.asarray(START)), 2.0, tolerance=1e-11)
    found = np.concatenate([end.states.position[-1], end.states.velocity[-1]])
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_a_gradient_field_gives_heavy_ball_and_no_mass_the_neural_ode():
    f, x, v = quadratic([1.0, 3.0]), jnp.asarray(START), jnp.array([0.3, 0.7])
    flow = MomentumResidualFlow(lambda t, x: -f.gradient(x), 0.4)
    y = PhaseState(x, v)
    damped = flows.DampedFlow(f, 0.4).vector_field(0.0, y)
    for found, wanted in zip(flow.vector_field(0.0, y), damped, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    np.testing.assert_array_equal(flow.limit().vector_field(0.0, x), -f.gradient(x))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, "heavy"])
def test_a_mass_is_positive(bad):
    with pytest.raises(BadInput):
        MomentumResidualFlow(rotating, bad)


def test_a_field_is_a_function():
    with pytest.raises(BadInput, match="field is a function"):
        MomentumResidualFlow(3.0, 1.0)
    with pytest.raises(BadInput, match="field is a function"):
        flows.ResidualFlow(jnp.ones(2))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_a_field_has_the_shape_of_x(shape):
    x = jnp.asarray(START)
    with pytest.raises(BadInput, match=r"shape \(2,\) of x"):
        flow = MomentumResidualFlow(lambda t, x: jnp.ones(shape), 1.0)
        flow.vector_field(0.0, at_rest(x))
    with pytest.raises(BadInput, match=r"shape \(2,\) of x"):
        flows.ResidualFlow(lambda t, x: jnp.ones(shape)).vector_field(0.0, x)


psi = jax.jit(linear_momentum_map)


def precise_map(theta, mass):
    """Ψ by its closed form with 40 digits, in which no cancellation matters."""
    with mpmath.workdps(40):
        a = mpmath.mpf(1) / (2 * mpmath.mpf(mass))
        w = a * mpmath.sqrt(1 + 4 * mpmath.mpf(mass) * mpmath.mpmathify(theta))
        sinc = mpmath.sinh(w) / w if w else mpmath.mpf(1)
        value = mpmath.exp(-a) * (mpmath.cosh(w) + a * sinc)
        return value if mpmath.im(theta) else mpmath.re(value)


def test_the_linear_map_is_stable_through_equal_roots_and_small_mass():
    for mass in (1e-3, 0.25, 1.0, 40.0):
        turn = -1 / (4 * mass)
        thetas = np.array([turn, turn * (1 + 1e-9), turn * 0.9, -3.0, 0.0, 1.5])
        found = np.asarray(psi(thetas, mass))
        wanted = np.array([float(precise_map(t, mass)) for t in thetas])
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("mass", [0.1, 1.0, 100.0])
def test_the_least_multiplier_is_the_minimum(mass):
    with mpmath.workdps(30):
        a = mpmath.mpf(1) / (2 * mpmath.mpf(mass))
        # cos ω + a sin(ω)/ω falls on (0, π], and has one stationary point after it
        omega = mpmath.findroot(
            lambda w: mpmath.diff(lambda u: mpmath.cos(u) + a * mpmath.sin(u) / u, w),
            (mpmath.pi, 3 * mpmath.pi / 2),
            solver="anderson",
        )
        theta = -((omega / a) ** 2 + 1) / (4 * mpmath.mpf(mass))
        wanted = precise_map(theta, mass)
    assert least_multiplier(mass) == pytest.approx(float(wanted), rel=1e-13)
    grid = float(theta) * np.linspace(0, 30, 20001)
    assert np.min(psi(grid, mass)) >= least_multiplier(mass) - 1e-14
    assert least_multiplier(3 * mass, 3.0) == pytest.approx(float(wanted), rel=1e-12)


@pytest.mark.parametrize(
    ("multiplier", "mass"),
    [
        *((-0.1, 1), (-0.6, 1), (0, 0.01), (3, 0.1), (1, 1), (0.4, 1e-3)),
        *((-2, 1), (-2 + 1j, 0.5), (1j, 0.01), (1e300, 1), (1e307, 1e9)),
    ],
)
def test_a_rate_represents_its_multiplier(multiplier, mass):
    theta = representing_rate(multiplier, mass)
    real = np.isreal(multiplier) and np.real(multiplier) >= least_multiplier(mass)
    assert isinstance(theta, float) == real
    gap = precise_map(mpmath.mpmathify(theta), mass) - multiplier
    assert abs(complex(gap)) < 1e-12 * (1 + abs(multiplier))


def at_time_one(theta, mass):
    n = len(theta)
    block = np.block([[np.zeros((n, n)), np.eye(n)], [theta / mass, -np.eye(n) / mass]])
    return expm(block)[:n, :n]


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([-0.1, -0.2]),
        -2.0 * np.eye(2),
        np.array([[0.3, -2.0, 0.1], [1.0, 0.4, 0.0], [0.5, 0.2, -0.3]]),
        np.array([[0.3, 4.0], [0.0, -0.5]]),
    ],
)
def test_a_matrix_represents_its_map(matrix):
    theta = representing_matrix(matrix, 1.0)
    np.testing.assert_allclose(at_time_one(theta, 1.0), matrix, atol=1e-13)


def test_two_equal_eigenvalues_below_the_bound_share_a_plane():
    basis = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    matrix = basis @ np.diag([-3.0, -3.0, 0.5]) @ np.linalg.inv(basis)
    theta = representing_matrix(matrix, 1.0)
    np.testing.assert_allclose(at_time_one(theta, 1.0), matrix, atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[-1.0]], "-1 is below -0.613499"),
        (np.diag([-2.0, -3.0, 1.0]), "eigenvalue -3 is below"),
        (np.diag([-3.0, -2.0, -2.0]), "eigenvalue -3 is below"),
        (-2.0 * np.eye(3), "eigenvalue -2 is below.*an odd number"),
        ([[1.0, 1.0], [0.0, 1.0]], "diagonalisable"),
        ([[1.0, 2.0]], r"\[n, n\]"),
        ([["a"]], "matrix"),
        ([[np.nan]], "non-finite"),
    ],
)
def test_what_no_constant_matrix_represents(matrix, message):
    with pytest.raises(BadInput, match=message):
        representing_matrix(matrix, 1.0)


def test_bad_numbers_stop_at_the_door():
    with pytest.raises(BadInput, match="mass"):
        least_multiplier(0.0)
    with pytest.raises(BadInput, match="time"):
        representing_rate(0.5, 1.0, -1.0)
    with pytest.raises(BadInput, match="time >= 0"):
        linear_momentum_map(1.0, 1.0, -1.0)
    with pytest.raises(BadInput, match="theta"):
        linear_momentum_map("fast", 1.0)
    with pytest.raises(BadInput, match="mass > 0"):
        linear_momentum_map(1.0, [1.0, 0.0])


@pytest.mark.parametrize(
    "bad", [np.inf, np.nan * 1j, [1.0], np.ones(2), None, "x", "1", 10**400, 2e307]
)
def test_a_multiplier_is_one_finite_number(bad):
    with pytest.raises(BadInput, match="one finite number"):
        representing_rate(bad, 1.0)


def test_rows_of_rates_are_mapped_like_arrays():
    found = jax.jit(lambda: linear_momentum_map([-1.0, 2.0], 1.0))()
    wanted = [float(precise_map(theta, 1.0)) for theta in (-1.0, 2.0)]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)
