"""Kinetic Langevin dynamics: mass, and the exact joint part U."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import sde
from flows import BadInput, Draw
from flows.problems import quadratic
from sde.kinetic import tanh_gap

MASS = jnp.asarray([0.5, 4.0])
MODEL = sde.UnderdampedLangevin(quadratic([1.0, 3.0]), 0.7, 0.4, MASS)
Y = sde.LangevinState(jnp.asarray([0.3, -0.7]), jnp.asarray([1.1, 0.4]))
U = MODEL.joint_parts()["U"]
exact = jax.jit(lambda part, h, xi: part.exact(0.0, Y, h, xi))


def joint_law(gamma, variance, h):
    """Mean map and covariance of (x, v) for dx = v dt, dv = -γv dt + noise (Van Loan).

    An independent route: matrix exponentials, no closed form.
    """
    a = np.array([[0.0, 1.0], [0.0, -gamma]])
    q = np.diag([0.0, 2 * gamma * variance])
    big = scipy.linalg.expm(h * np.block([[-a, q], [np.zeros((2, 2)), a.T]]))
    mean = scipy.linalg.expm(h * a)
    return mean, mean @ big[:2, 2:]


@pytest.mark.parametrize("h", [0.01, 0.8, 5.0])
def test_u_has_the_joint_law_of_free_motion_with_friction_and_noise(h):
    mean, kicks = exact(U, h, jnp.zeros((2, 2))), []
    for k in range(2):
        out = exact(U, h, jnp.zeros((2, 2)).at[k].set(1.0))
        kicks.append(np.stack([out.position, out.velocity]) - np.stack(mean))
    for i, mass in enumerate(MASS):
        flow, covariance = joint_law(0.7, 0.4 / float(mass), h)
        start = np.array([Y.position[i], Y.velocity[i]])
        found = np.array([mean.position[i], mean.velocity[i]])
        # the matrix exponential is good to 1e-12
        np.testing.assert_allclose(found, flow @ start, rtol=1e-12)
        factor = np.stack([kick[:, i] for kick in kicks], axis=1)
        # the kicks are differences of rounded states of size 5
        np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-9, atol=4e-15)
    assert U.noise_like(Y) == Draw("normal", (2, 2))


@settings(deadline=None, max_examples=40)
@given(st.floats(min_value=-14, max_value=2.5))
def test_the_gap_of_tanh_loses_no_digits(exponent):
    z = 10.0**exponent
    with mp.workdps(60):
        reference = mp.mpf(z) - mp.tanh(mp.mpf(z))
        found = mp.mpf(float(tanh_gap(jnp.asarray(z))))
        assert abs(found / reference - 1) < 1e-15
    if z < 1e-4:  # negative control: the plain difference has lost half its digits
        assert abs((z - np.tanh(z)) / float(reference) - 1) > 1e-13


@pytest.mark.parametrize("friction", [1e-12, 1e-3, 3.0])
def test_the_covariances_of_u_for_small_frictions(friction):
    """Position given velocity, and the response, against 60-digit closed forms."""
    h, variance = 0.3, 0.4
    part = sde.FreeLangevin(*map(jnp.asarray, (friction, variance, 1.0)))
    zero = sde.LangevinState(jnp.zeros(1), jnp.zeros(1))
    first, second = (
        part.exact(0.0, zero, h, jnp.asarray(xi))
        for xi in ([[1.0], [0.0]], [[0.0], [1.0]])
    )
    moved = part.response(h, jnp.ones(1))
    with mp.workdps(60):
        g, s, t = mp.mpf(friction), mp.mpf(h), mp.mpf(variance)
        c = mp.exp(-g * s)
        qvv, qxv = t * (1 - c**2), t * (1 - c) ** 2 / g
        qxx = 2 * t / g * (s - 2 * (1 - c) / g + (1 - c**2) / (2 * g))
        expected = {
            "v": (first.velocity, mp.sqrt(qvv)),
            "x along v": (first.position, qxv / mp.sqrt(qvv)),
            "x given v": (second.position, mp.sqrt(qxx - qxv**2 / qvv)),
            "response of x": (moved.position, (g * s - 1 + c) / g**2),
            "response of v": (moved.velocity, (1 - c) / g),
        }
        for name, (found, value) in expected.items():
            assert abs(mp.mpf(float(found[0])) / value - 1) < 2e-15, name
    assert float(second.velocity[0]) == 0.0


def test_short_steps_of_a_and_o_tend_to_u():
    """Strang's A O A: the covariance after time 1 approaches U's by quarters."""
    gamma, variance = 1.3, 0.6
    goal = joint_law(gamma, variance, 1.0)[1]
    gaps = []
    for n in (8, 16, 32):
        h = 1.0 / n
        half = np.array([[1.0, h / 2], [0.0, 1.0]])
        bath = np.diag([1.0, np.exp(-gamma * h)])
        noise = np.diag([0.0, variance * (1 - np.exp(-2 * gamma * h))])
        step = half @ bath @ half
        c = np.zeros((2, 2))
        for _ in range(n):
            c = step @ c @ step.T + half @ noise @ half.T
        gaps.append(np.abs(c - goal).max())
    part = sde.FreeLangevin(*map(jnp.asarray, (gamma, variance, 1.0)))
    zero = sde.LangevinState(jnp.zeros(1), jnp.zeros(1))
    columns = [
        np.concatenate(part.exact(0.0, zero, 1.0, jnp.asarray(xi)))
        for xi in ([[1.0], [0.0]], [[0.0], [1.0]])
    ]
    factor = np.stack(columns, axis=1)
    np.testing.assert_allclose(factor @ factor.T, goal, rtol=1e-13)
    ratios = np.array(gaps[:-1]) / np.array(gaps[1:])
    np.testing.assert_allclose(ratios, 4.0, rtol=0.02)


def test_mass_enters_kick_bath_and_the_whole():
    xi = jnp.asarray([0.4, -1.2])
    kicked = MODEL.parts()["B"].exact(0.0, Y, 0.5)
    force = -np.array([1.0, 3.0]) * Y.position
    np.testing.assert_allclose(
        kicked.velocity, Y.velocity + 0.5 * force / MASS, rtol=1e-14
    )
    rested = MODEL.parts()["O"].exact(0.0, Y, 1e3, xi)  # forgotten: N(0, T/M)
    np.testing.assert_allclose(rested.velocity, np.sqrt(0.4 / MASS) * xi, rtol=1e-14)
    noise = MODEL.noise(0.0, Y, xi).velocity
    np.testing.assert_allclose(noise, np.sqrt(2 * 0.7 * 0.4 / MASS) * xi, rtol=1e-14)
    for mass in (0.0, [[1.0]], [1.0, -1.0]):
        with pytest.raises(BadInput, match="mass"):
            sde.UnderdampedLangevin(quadratic([1.0, 3.0]), mass=mass)
