"""sin and cos together beside 60 digits, and their derivatives."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

from flows.sine_cosine import sine_cosine

PAIR = jax.jit(sine_cosine)
RNG = np.random.default_rng(0)
NEAR = np.pi / 4 * np.arange(-9, 10)  # where the quarter changes, and the zeros
ANGLES = np.concatenate([RNG.uniform(-9, 9, 400), RNG.uniform(0, 1e6, 200), NEAR])
ANGLES = np.concatenate([ANGLES, [1e-300, 1e-9, 0.0, 999_999.5]])


def test_both_are_right_to_their_last_digits():
    found = np.array(PAIR(ANGLES))
    with mp.workdps(60):
        true = [[mp.sin(mp.mpf(x)), mp.cos(mp.mpf(x))] for x in ANGLES]
        gaps = [
            [a - mp.mpf(b) for a, b in zip(*p, strict=True)]
            for p in zip(true, found.T, strict=True)
        ]
        errors = np.abs(np.array(gaps).astype(float))
    assert np.max(errors) < 3e-16
    sizes = np.array([[float(abs(b)) for b in pair] for pair in true])
    small = np.abs(ANGLES) < 9  # relative to the value, next to its zeros too
    assert np.all(errors[small] <= 4.5e-16 * sizes[small])


def test_far_angles_are_as_right_as_their_own_rounding():
    far = 10.0 ** np.arange(7, 16) * 1.2345678901
    found = np.array(PAIR(np.resize(far, len(ANGLES))))[:, : len(far)]
    with mp.workdps(60):
        true = [[float(f(mp.mpf(x))) for x in far] for f in (mp.sin, mp.cos)]
    assert np.all(np.abs(found - true) <= np.spacing(far))
    assert np.all(np.isnan(PAIR(np.full(len(ANGLES), np.inf))))


def test_derivatives_are_the_other_one():
    """Of the first and the second order, forwards and backwards."""
    value = lambda x: sine_cosine(x)[0] + 2 * sine_cosine(x)[1]  # noqa: E731
    slope, bend = jax.jit(jax.grad(value)), jax.jit(jax.jacfwd(jax.grad(value)))
    for x in (0.3, 2.5, -4.0):
        np.testing.assert_allclose(slope(x), np.cos(x) - 2 * np.sin(x), rtol=1e-14)
        np.testing.assert_allclose(bend(x), -np.sin(x) - 2 * np.cos(x), rtol=1e-14)


def test_single_precision_stays_single():
    sine, cosine = PAIR(jnp.float32(0.5))
    assert sine.dtype == cosine.dtype == jnp.float32
    np.testing.assert_allclose([sine, cosine], [np.sin(0.5), np.cos(0.5)], rtol=1e-6)
