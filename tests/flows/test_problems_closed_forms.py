"""Gradient flow in closed form, against special functions, integrators, digits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.special import lambertw

from flows import BadInput
from flows.problems import (
    exponential,
    least_squares,
    logistic,
    quadratic,
    scalar_product,
)
from flows.problems.scalar_product import product_flow

few = settings(max_examples=20, deadline=None, derandomize=True)
FEATURES, TARGETS = [[1.0, 2.0, 0.5], [-1.0, 0.5, 2.0]], [1.0, -0.5]
SOLVED = {
    "quadratic": (quadratic([0.5, 2.0, 5.0], [1.0, 0.5, -1.0], 0), [1.0, -2.0, 0.5]),
    "spectrum": (quadratic([0.5, 2.0]), [1.0, -2.0]),
    "least squares": (least_squares(FEATURES, TARGETS), [0.3, 0.4, -0.5]),
    "logistic": (logistic(), [-1.0]),
    "logistic, right": (logistic(), [0.5]),
    "exponential": (exponential(), [-1.0]),
    "exponential, right": (exponential(), [0.5]),
    "two layers": (scalar_product(2, 1.5), [0.2, 0.2]),
    "three layers": (scalar_product(3, -1.5), [0.4, -0.4, 0.4]),
    "three layers, above": (scalar_product(3, 0.5), [1.1] * 3),
    "three layers, at rest": (scalar_product(3, 8.0), [2.0] * 3),
}
EACH = pytest.mark.parametrize("name", SOLVED)


@eqx.filter_jit
def everything(objective, t, x0):
    """x(t), its derivatives in t and in x0, and the gradient there."""

    def move(t, x0):
        return objective.gradient_flow_map(t, x0)

    x = move(t, x0)
    velocity, jacobian = jax.jacfwd(move, (0, 1))(t, x0)
    return x, velocity, jacobian, objective.gradient(x)


def at(name, t, x0=None):
    """x(t) of a problem, from its start or another."""
    objective, start = SOLVED[name]
    x0 = jnp.asarray(start if x0 is None else x0, float)
    return everything(objective, jnp.asarray(t, float), x0)[0]


@EACH
def test_it_starts_at_the_start_and_moves_by_the_gradient(name):
    """x(0) = x0, and dx/dt = -∇f(x(t)) by differentiating the formula in t."""
    objective, start = SOLVED[name]
    np.testing.assert_allclose(at(name, 0.0), start, rtol=1e-14)
    for t in (0.1, 0.7, 3.0):
        _, velocity, _, gradient = everything(
            objective, jnp.asarray(t), jnp.asarray(start)
        )
        np.testing.assert_allclose(velocity, -gradient, rtol=1e-11, atol=1e-13)


@EACH
def test_two_times_one_after_the_other_are_their_sum(name):
    twice = at(name, 0.9, at(name, 0.4))
    np.testing.assert_allclose(twice, at(name, 1.3), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["logistic", "quadratic", "least squares"])
def test_the_derivative_in_the_start_solves_the_linearised_flow(name):
    """J' = -∇²f(x(t)) J, J(0) = I, integrated by scipy beside x itself."""
    objective, start = SOLVED[name]
    n = len(start)

    @eqx.filter_jit
    def field(objective, y):
        x, j = y[:n], y[n:].reshape(n, n)
        moved = jax.vmap(lambda v: objective.hvp(x, v), 1, 1)(j)
        return jnp.concatenate([-objective.gradient(x), -moved.ravel()])

    begin = np.concatenate([start, np.eye(n).ravel()])
    found = solve_ivp(
        lambda t, y: np.asarray(field(objective, jnp.asarray(y))),
        (0.0, 0.8),
        begin,
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    ).y[:, -1]
    jacobian = everything(objective, jnp.asarray(0.8), jnp.asarray(start))[2]
    np.testing.assert_allclose(jacobian, found[n:].reshape(n, n), rtol=1e-8, atol=1e-9)


def test_the_quadratic_against_the_matrix_exponential():
    objective, start = SOLVED["quadratic"]
    a, c = np.asarray(objective.matrix), np.asarray(objective.centre)
    expected = c + expm(-0.7 * a) @ (np.array(start) - c)
    np.testing.assert_allclose(at("quadratic", 0.7), expected)


@few
@given(st.floats(-20, 5), st.floats(0, 300))
def test_the_logistic_flow_against_lamberts_w(w0, t):
    """w = c - W(e^c), c = t + w0 + e^{w0}, where e^c can be formed and w0 kept."""
    c = t + w0 + np.exp(w0)
    expected = c - lambertw(np.exp(c)).real
    found = float(at("logistic", t, [w0])[0])
    assert found == pytest.approx(expected, rel=1e-11, abs=4e-14 * max(1, abs(c)))


@pytest.mark.parametrize(
    ("w0", "t"),
    [(-1.0, 1e3), (0.0, 699.0), (0.0, 701.0), (-1e4, 1e8), (0.5, 1e100), (700.0, 1e5)],
)
def test_the_logistic_flow_where_the_exponential_overflows(w0, t):
    """The root of w + e^w = c with 400 digits."""
    with mpmath.workdps(400):
        c = mpmath.mpf(t) + mpmath.mpf(w0) + mpmath.exp(mpmath.mpf(w0))
        w = mpmath.log(c)
        for _ in range(20):
            w -= (w + mpmath.exp(w) - c) / (1 + mpmath.exp(w))
        assert abs(w + mpmath.exp(w) - c) < abs(c) * mpmath.mpf(10) ** -390
        expected = float(w)
    found = float(at("logistic", t, [w0])[0])
    assert found == pytest.approx(expected, rel=2e-15)


@few
@given(st.floats(-800, 800), st.floats(0, 1e6))
def test_the_exponential_flow_against_many_digits(w0, t):
    with mpmath.workdps(800):
        expected = float(mpmath.log(mpmath.mpf(t) + mpmath.exp(mpmath.mpf(w0))))
    found = float(at("exponential", t, [w0])[0])
    assert found == pytest.approx(expected, rel=4e-15, abs=4e-16)


SIZES = [(1e-3, 1.5), (0.2, 1.0), (4.0, 0.5), (2.0, 1.9)]


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_the_product_against_an_integrator(n):
    times = np.array([0.3, 1.0, 4.0])
    flow = jax.jit(jax.vmap(product_flow(n), (0, None, None)))
    for s0, a in SIZES:
        expected = integrated(n, s0, a, times)
        np.testing.assert_allclose(flow(times, s0, a), expected, rtol=2e-10)


def integrated(n, s0, a, times):
    return solve_ivp(
        lambda t, s: n * s ** (2 - 2 / n) * (a - s),
        (0.0, times[-1]),
        [s0],
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-15,
    ).y[0]


def test_two_layers_against_the_logistic_curve():
    t, s0, a = 0.8, 0.04, 1.5
    grown = np.exp(2 * a * t)
    expected = a * grown / (grown - 1 + a / s0)
    found = at("two layers", t)
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-14)


@pytest.mark.parametrize("n", [2, 5])
def test_derivatives_of_the_product_against_differences(n):
    """In t, s0 and A, from below, at and above the target."""
    flow, step = product_flow(n), 1e-5
    points = jnp.array([[0.7, s0, 1.3] for s0 in (0.2, 1.3, 2.0)])

    @jax.jit
    @jax.vmap
    def both(p):
        moved = step * jnp.eye(3)
        ends = jax.vmap(lambda q: flow(q[0], q[1], q[2]))
        differences = (ends(p[None] + moved) - ends(p[None] - moved)) / (2 * step)
        return jax.grad(lambda q: flow(q[0], q[1], q[2]))(p), differences

    found, expected = both(points)
    # Central differences: step² in truncation, 1e-16/step in rounding.
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_least_squares_tends_to_the_nearest_solution():
    """To w0 + X⁺(y - X w0), and from w0 = 0 to the solution of least norm."""
    objective, start = SOLVED["least squares"]
    x, y = np.array(FEATURES), np.array(TARGETS)
    nearest = start + np.linalg.pinv(x) @ (y - x @ start)
    late = at("least squares", 1e3)
    np.testing.assert_allclose(late, nearest, rtol=1e-13)
    from_zero = at("least squares", 1e3, np.zeros(3))
    np.testing.assert_allclose(from_zero, objective.facts.minimiser.value, rtol=1e-12)
    # Negative control: another start ends elsewhere.
    assert np.linalg.norm(late - from_zero) > 0.1


@pytest.mark.parametrize(
    "start",
    [[1.0, 2.0, 1.0], [0.5, -0.5, 0.5], [0.0, 0.0, 0.0]],
    ids=["unbalanced", "the other sign", "the saddle"],
)
def test_a_product_outside_its_closed_form_is_refused(start):
    objective = scalar_product(3, 1.5)
    with pytest.raises(BadInput, match="balanced"):
        objective.gradient_flow_map(1.0, jnp.array(start))
    assert np.all(np.isnan(everything(objective, jnp.ones(()), jnp.array(start))[0]))


@EACH
@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf")])
def test_a_time_out_of_range_is_refused(name, time):
    objective, start = SOLVED[name]
    with pytest.raises(BadInput, match="time >= 0"):
        objective.gradient_flow_map(time, jnp.asarray(start))
