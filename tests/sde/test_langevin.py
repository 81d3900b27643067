"""Exact maps of the parts against matrix exponentials and the moment equations."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import flows
import sde
from flows import Draw

F = flows.from_loss(lambda x: jnp.sum(x**4) / 4 + x[0] * x[1], jnp.zeros(2))
Y = sde.LangevinState(jnp.asarray([0.3, -0.7]), jnp.asarray([1.1, 0.4]))


def linear_gaussian(a, b, q, h):
    """Mean map (M, c) and covariance at h of dX = (A X + b) dt, noise Q (Van Loan)."""
    n = len(a)
    affine = scipy.linalg.expm(h * np.block([[a, b[:, None]], [np.zeros((1, n + 1))]]))
    big = scipy.linalg.expm(h * np.block([[-a, q], [np.zeros((n, n)), a.T]]))
    return affine[:n, :n], affine[:n, n], big[n:, n:].T @ big[:n, n:]


@pytest.mark.parametrize("h", [1e-6, 0.3, 5.0])
def test_ornstein_uhlenbeck_transition(h):
    theta, m, d = np.array([2.0, 0.3]), np.array([1.0, -2.0]), np.array([0.5, 1.5])
    part = sde.OrnsteinUhlenbeck(theta, m, d).parts()["O"]
    y = np.array([0.2, 0.9])
    mean_map, shift, covariance = linear_gaussian(
        -np.diag(theta), theta * m, np.diag(2 * d), h
    )
    zero = part.exact(0.0, jnp.asarray(y), h, jnp.zeros(2))
    one = part.exact(0.0, jnp.asarray(y), h, jnp.ones(2))
    np.testing.assert_allclose(zero, mean_map @ y + shift, rtol=1e-13)
    # the difference of two rounded states: absolute error eps
    np.testing.assert_allclose(one - zero, np.sqrt(np.diag(covariance)), atol=1e-15 * 4)
    assert part.noise_like(jnp.asarray(y)) == Draw("normal", (2,))


def test_a_scalar_rate_serves_every_coordinate():
    few, many = sde.OrnsteinUhlenbeck(2.0), sde.OrnsteinUhlenbeck([2.0] * 3)
    y, xi = jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([0.1, -0.2, 0.3])
    a, b = (p.parts()["O"].exact(0.0, y, 0.4, xi) for p in (few, many))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("h", [1e-6, 0.3, 5.0])
def test_the_bath_is_an_exact_gaussian_on_the_velocity_alone(h):
    gamma, temperature = 0.7, 0.4
    part = sde.UnderdampedLangevin(F, gamma, temperature).parts()["O"]
    mean_map, _, covariance = linear_gaussian(
        -gamma * np.eye(2), np.zeros(2), 2 * gamma * temperature * np.eye(2), h
    )
    zero, one = (part.exact(0.0, Y, h, xi) for xi in (jnp.zeros(2), jnp.ones(2)))
    np.testing.assert_array_equal(one.position, Y.position)
    np.testing.assert_allclose(zero.velocity, mean_map @ Y.velocity, rtol=1e-13)
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(one.velocity - zero.velocity, spread, atol=1e-15)
    assert part.noise_like(Y) == Draw("normal", (2,))


def test_motion_and_kick():
    parts = sde.UnderdampedLangevin(F, 1.0, 1.0).parts()
    moved, kicked = (parts[name].exact(0.0, Y, 0.25) for name in "AB")
    np.testing.assert_allclose(moved.position, [0.3 + 0.275, -0.7 + 0.1], rtol=1e-15)
    np.testing.assert_array_equal(moved.velocity, Y.velocity)
    gradient = np.array([0.3**3 - 0.7, (-0.7) ** 3 + 0.3])
    np.testing.assert_allclose(
        kicked.velocity, np.array([1.1, 0.4]) - 0.25 * gradient, rtol=1e-14
    )
    np.testing.assert_array_equal(kicked.position, Y.position)
    assert parts["A"].noise_like(Y) is None and parts["B"].noise_like(Y) is None


def test_fields_and_noise():
    cold = sde.UnderdampedLangevin(F, 0.7, 0.0)
    assert not np.any(cold.noise(0.0, Y, jnp.ones(2)).velocity)
    warm = sde.OverdampedLangevin(F, 0.5)
    np.testing.assert_allclose(warm.noise(0.0, Y.position, 2 * jnp.ones(2)), 2.0)
    np.testing.assert_array_equal(
        warm.vector_field(0.0, Y.position), -F.gradient(Y.position)
    )
    assert warm.brownian(Y.position) == cold.brownian(Y) == 2
    np.testing.assert_array_equal(cold.position(Y), Y.position)
