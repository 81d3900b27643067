"""Predicted averages against exact ones; midpoints and smoothing against scipy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import BadInput, from_sympy
from flows.central.averages import (
    average,
    average_loss,
    average_square,
    covariance_trace,
    midpoints,
    second_variation,
    smoothed,
)

ETA, SLOPE, PUSH, STIFFNESS = 0.1, 1.5, 0.3, 0.8
VARIANCE = 2 * PUSH / SLOPE
CENTRE = jnp.zeros(2)
ALONG_X = jnp.array([[1.0], [0.0]])


def valley():
    """(2/η + a z) x²/2 - α z + κ z²/2, whose edge of stability is z = 0."""
    x, z = sympy.symbols("x z")
    loss = (2 / ETA + SLOPE * z) * x**2 / 2 - PUSH * z + STIFFNESS * z**2 / 2
    return from_sympy(loss, [x, z])


@pytest.fixture(scope="module")
def orbit():
    """Two steps of gradient descent on the orbit of period 2, and what closes it."""
    objective = valley()
    step = jax.jit(lambda x: x - ETA * objective.gradient(x))
    first = jnp.array([np.sqrt(VARIANCE), 0.0])
    second = step(first)
    np.testing.assert_allclose(second, -first, atol=1e-15)
    np.testing.assert_allclose(step(second), first, atol=1e-15)
    return jnp.stack([first, second])


@pytest.mark.slow
def test_the_average_over_an_orbit_of_period_two_is_exact_to_degree_three(orbit):
    x = jnp.array([[VARIANCE]])

    def cubic(w):
        return {"a": w[0] ** 2 * w[1] + 3 * w[0] ** 2 - w[1], "b": w * w[0] + w**3}

    found = average(cubic, CENTRE, ALONG_X, x)
    exact = jax.tree.map(lambda a: a.mean(axis=0), jax.vmap(cubic)(orbit))
    for name in ("a", "b"):
        np.testing.assert_allclose(found[name], exact[name], atol=1e-14)


@pytest.mark.slow
def test_the_predicted_loss_and_squares_on_the_orbit(orbit):
    objective, x = valley(), jnp.array([[VARIANCE]])
    losses = jax.vmap(objective.value)(orbit)
    predicted = average_loss(objective, CENTRE, ALONG_X, x)
    np.testing.assert_allclose(predicted, losses.mean(), rtol=1e-14)
    np.testing.assert_allclose(predicted, VARIANCE / ETA, rtol=1e-14)  # L + tr Σ/η
    assert covariance_trace(ALONG_X, x) == VARIANCE
    # ∂L/∂z vanishes on the orbit and is -α at its centre: the squares' prediction
    # without the mean shift is off by α², with it by the fourth-order term alone.
    squares = np.mean(np.asarray(jax.vmap(objective.gradient)(orbit)) ** 2, axis=0)
    bare = average_square(objective, CENTRE, ALONG_X, x)
    np.testing.assert_allclose(bare - squares, [0.0, PUSH**2], atol=1e-12)
    full = average(lambda w: objective.gradient(w) ** 2, CENTRE, ALONG_X, x)
    quartic = (SLOPE * VARIANCE / 2) ** 2
    np.testing.assert_allclose(full - squares, [0.0, -quartic], atol=1e-12)


@pytest.mark.slow
def test_second_variation_is_the_hessian_against_the_covariance():
    rng = np.random.default_rng(0)
    n, k = 5, 3
    mixing = jnp.asarray(rng.standard_normal((2, n)))
    u = jnp.asarray(rng.standard_normal((n, k)))
    root = rng.standard_normal((k, k))
    x, at = jnp.asarray(root @ root.T), jnp.asarray(rng.standard_normal(n))

    def observable(w):
        return jnp.sin(mixing @ w) * jnp.sum(w**4)

    found = eqx.filter_jit(second_variation)(observable, at, u, x)
    dense = np.asarray(jax.hessian(observable)(at))
    sigma = np.asarray(u @ x @ u.T)
    np.testing.assert_allclose(found, np.einsum("aij,ij->a", dense, sigma), rtol=1e-11)
    np.testing.assert_allclose(covariance_trace(u, x), np.trace(sigma), rtol=1e-13)


@pytest.mark.slow
def test_squares_with_known_images_need_no_products():
    objective, x = valley(), jnp.array([[0.3, 0.1], [0.1, 0.2]])
    at, u = jnp.array([0.2, -0.1]), jnp.array([[1.0, 0.5], [0.0, 1.0]])
    h = np.asarray(objective.hessian(at))
    sigma = np.asarray(u @ x @ u.T)
    expected = np.asarray(objective.gradient(at)) ** 2 + np.diag(h @ sigma @ h)
    for images in (None, jnp.asarray(h) @ u):
        found = average_square(objective, at, u, x, images)
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_midpoints_cancel_period_two_and_keep_straight_lines():
    k = np.arange(9.0)
    line = np.stack([1 + 2 * k, -k], axis=1)
    swing = (-1.0) ** k[:, None] * np.array([3.0, -2.0])
    np.testing.assert_allclose(midpoints(line + swing), line[1:-1], atol=1e-14)
    np.testing.assert_allclose(midpoints(k**2), k[1:-1] ** 2 + 0.5, atol=1e-14)
    period_three = midpoints(np.cos(2 * np.pi * k / 3))
    assert np.max(np.abs(period_three)) > 0.2
    with pytest.raises(BadInput, match="at least three"):
        midpoints(np.zeros((2, 4)))


def window(length, width):
    """G_{k-j} before it is normalised, shape [length, length]."""
    k = np.arange(length)
    lag = k[:, None] - k[None, :]
    return np.exp(-0.5 * (lag / width) ** 2) * (np.abs(lag) <= int(4 * width + 0.5))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.floats(0.3, 12.0), st.integers(0, 2**16))
def test_smoothing_is_the_mean_over_the_window(length, width, seed):
    values = np.random.default_rng(seed).standard_normal((length, 2))
    weights = window(length, width)
    expected = weights @ values / weights.sum(axis=1, keepdims=True)
    found = smoothed(values, width, "renormalised")
    np.testing.assert_allclose(found, expected, atol=1e-13)
    copies = 2 * int(np.ceil((4 * width + 1) / length)) + 1  # an odd number, mirrored
    mirrored = [values[::-1] if k % 2 else values for k in range(2 * copies + 1)]
    start = copies * length
    if copies % 2:
        mirrored = [block[::-1] for block in mirrored]
    long = np.concatenate(mirrored)
    weights = window(len(long), width)
    expected = (weights @ long / weights.sum(axis=1, keepdims=True))[start:][:length]
    np.testing.assert_allclose(smoothed(values, width), expected, atol=1e-13)


def test_smoothing_keeps_constants_and_damps_period_two():
    swing = (-1.0) ** np.arange(30)
    for ends in ("renormalised", "reflect"):
        np.testing.assert_allclose(smoothed(np.ones(30), 10, ends), 1.0, atol=1e-14)
        inside = smoothed(1 + swing, 2.0, ends)[8:-8]
        np.testing.assert_allclose(inside, 1.0, atol=1e-3)
        assert np.max(np.abs(smoothed(swing, 0.5, ends)[8:-8])) > 1e-2


@pytest.mark.parametrize(
    "arguments", [(1.0,), (np.zeros(4), 0.0), (np.zeros(4), "wide"), (np.zeros(0),)]
)
def test_smoothing_says_what_it_takes(arguments):
    with pytest.raises(BadInput):
        smoothed(*arguments)
    with pytest.raises(BadInput, match="renormalised"):
        smoothed(np.zeros(4), 1.0, "zero")
