"""Linear chains: step matrices and stationary covariances."""

import jax.numpy as jnp
import numpy as np
import pytest

from discretize import (
    ABOBA,
    BAOAB,
    BUB,
    KLMC,
    OABAO,
    OBABO,
    SGHMC,
    UBU,
    Euler,
    Splitting,
    linear_step,
    stationary_covariance,
)
from flows import BadInput
from flows.problems import double_well, quadratic
from sde import OrnsteinUhlenbeck, OverdampedLangevin, UnderdampedLangevin

K, FRICTION = 1.5, 2.0
MODEL = UnderdampedLangevin(quadratic([K]), FRICTION)


def by_hand(word, h):
    """Step matrix and noise covariance from the formulas of A, B, O and U."""
    g, c = FRICTION, np.exp
    a, q = np.eye(2), np.zeros((2, 2))
    for name, weight in word:
        t = float(weight) * h
        e = c(-g * t)
        m, s = {
            "A": (np.array([[1, t], [0, 1]]), np.zeros((2, 2))),
            "B": (np.array([[1, 0], [-K * t, 1]]), np.zeros((2, 2))),
            "O": (np.diag([1, e]), np.diag([0, 1 - e**2])),
            "U": (
                np.array([[1, (1 - e) / g], [0, e]]),
                np.array(
                    [
                        [
                            2 / g * (t - 2 * (1 - e) / g + (1 - e**2) / (2 * g)),
                            (1 - e) ** 2 / g,
                        ],
                        [(1 - e) ** 2 / g, 1 - e**2],
                    ]
                ),
            ),
        }[name]
        a, q = m @ a, m @ q @ m.T + s
    return a, q


@pytest.mark.parametrize("scheme", [BAOAB, ABOBA, OBABO, OABAO, UBU, BUB])
def test_the_matrices_of_the_six_words(scheme):
    a, q = by_hand(scheme.word, 0.4)
    step = linear_step(scheme, MODEL, 0.4)
    np.testing.assert_allclose(step.matrix, a, atol=1e-15)
    np.testing.assert_allclose(step.noise @ step.noise.T, q, atol=1e-15)
    law = stationary_covariance(scheme, MODEL, 0.4)
    c = law.covariance
    np.testing.assert_allclose(a @ c @ a.T + q, c, atol=1e-14)
    assert law.radius == pytest.approx(max(abs(np.linalg.eigvals(a))), rel=1e-12)


def test_the_frozen_gradient_step_is_the_integral_of_a_constant_force():
    """KLMC: drift response by quadrature of the linear equation, noise as U's."""
    h, g = 0.4, FRICTION
    step = linear_step(KLMC(), MODEL, h)
    free, q = by_hand((("U", 1),), h)
    s, w = np.polynomial.legendre.leggauss(20)
    lag = h * (1 - (s + 1) / 2)  # time left
    moved = np.sum(w * h / 2 * (1 - np.exp(-g * lag)) / g)
    pushed = np.sum(w * h / 2 * np.exp(-g * lag))
    expected = free - K * np.array([[moved, 0], [pushed, 0]])
    np.testing.assert_allclose(step.matrix, expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(step.noise @ step.noise.T, q, rtol=1e-12)


def test_sghmc_moves_with_the_new_velocity():
    h, g = 0.4, FRICTION
    step = linear_step(SGHMC(), MODEL, h)
    row = np.array([-K * h, 1 - g * h])
    expected = np.stack([np.array([1, 0]) + h * row, row])
    np.testing.assert_allclose(step.matrix, expected, atol=1e-15)
    kick = np.sqrt(2 * g * h)
    np.testing.assert_allclose(step.noise, [[h * kick], [kick]], rtol=1e-14)


def test_ula_in_two_dimensions_with_a_centre():
    """AR(1) a coordinate: mean c, variance T/(k (1 - hk/2))."""
    k, c = np.array([1.0, 3.0]), np.array([2.0, -1.0])
    model = OverdampedLangevin(quadratic(k, c), 0.5)
    law = stationary_covariance(Euler(), model, 0.2)
    np.testing.assert_allclose(law.mean, c, rtol=1e-14)
    expected = np.diag(0.5 / (k * (1 - 0.1 * k)))
    np.testing.assert_allclose(law.covariance, expected, rtol=1e-13, atol=1e-15)
    assert law.radius == pytest.approx(0.8)
    assert law.step.fields == (("position", 0, 2),)
    np.testing.assert_array_equal(law.block("position", "position"), law.covariance)
    with pytest.raises(BadInput, match="velocity"):
        law.block("velocity", "position")
    exact = stationary_covariance(
        Splitting("O"), OrnsteinUhlenbeck(2.0), 0.7, y=jnp.zeros(3)
    )
    np.testing.assert_allclose(exact.covariance, np.eye(3) / 2, rtol=1e-14)


def test_what_has_no_linear_law_is_refused():
    beyond = 2.01 / np.sqrt(K)
    with pytest.raises(BadInput, match=r"spectral radius of its step is 1\.0216"):
        stationary_covariance(BAOAB, MODEL, beyond)
    assert linear_step(BAOAB, MODEL, beyond).radius > 1
    with pytest.raises(BadInput, match="not affine"):
        linear_step(Euler(), OverdampedLangevin(double_well()), 0.1)
    with pytest.raises(BadInput, match="example state"):
        linear_step(Euler(), OrnsteinUhlenbeck(1.0), 0.1)
    with pytest.raises(BadInput, match="KLMC steps UnderdampedLangevin"):
        linear_step(KLMC(), OverdampedLangevin(quadratic([1.0])), 0.1)
    with pytest.raises(BadInput, match="h"):
        linear_step(Euler(), OverdampedLangevin(quadratic([1.0])), 0.0)
