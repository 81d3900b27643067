"""Statistics of every noise that is offered by name, on draws as simulations use them.

Each bound of a random figure is passed by ideal noise but for once in 10⁹ (6.2 standard
errors, or Massart's bound); each docstring says what would be found out.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import chi2, expon, norm
from sde_helpers import dkw_distance, dkw_radius

from flows import Draw
from sde.noise import NAMES, as_noise

SIGMA = 6.2
LIMITS = {
    "float32": 6.77,
    "float64": 8.58,
    "inversion-float32": 5.30,
    "inversion-float64": 8.22,
}
every_noise = pytest.mark.parametrize("name", list(NAMES))


@eqx.filter_jit
def packed(noise, key, paths, first, pairs, draw):
    ids = jnp.arange(paths, dtype=jnp.uint32)
    index = first + jnp.arange(pairs, dtype=jnp.uint32)
    return jax.vmap(lambda j: noise.packed(key, ids, j, draw, -1)[0])(index)


def drawn(noise, key, paths, first, pairs, draw):
    """Steps 2·first, 2·first + 1, …, shape [2·pairs, size, paths]."""
    made = packed(noise, key, paths, first, pairs, draw)
    two = made if isinstance(made, tuple) else (np.real(made), np.imag(made))
    return np.stack(two, axis=1).reshape(2 * pairs, *draw.shape, paths)


@functools.cache
def normals(name):
    """10⁶ normals: 20 steps of 25 components of 2,000 paths."""
    key = jax.random.key_data(jax.random.key(11))
    return np.asarray(
        drawn(as_noise(name), key, 2000, jnp.uint32(3), 10, Draw("normal", (25,)))
    )


@every_noise
def test_the_law_is_normal(name):
    """Finds out a law at distance 0.0066 from the normal one."""
    z = normals(name).ravel()
    radius = dkw_radius(z.size)
    assert dkw_distance(z, norm.cdf) < radius
    assert dkw_distance(z, norm(scale=1.03).cdf) > radius  # control: 0.0072
    assert np.abs(z).max() < LIMITS[name]


@every_noise
def test_moments_and_tails(name):
    """n = 10⁶: finds out a variance off by 1.8e-2, a tail beyond 4 off by 1.6 times."""
    z = normals(name).ravel()
    n = z.size
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        gap = np.mean(z**power) - mean
        assert abs(gap) < SIGMA * np.sqrt(variance / n), power
    for level in (3.0, 4.0):
        p = 2 * norm.sf(level)
        assert abs(np.sum(np.abs(z) > level) - n * p) < SIGMA * np.sqrt(n * p) + 10
    thin = z[np.abs(z) < 3.5]  # control: tails cut off
    p = 2 * norm.sf(3.0)
    assert abs(np.sum(np.abs(thin) > 3) - n * p) > SIGMA * np.sqrt(n * p)


@every_noise
def test_neighbours_are_independent(name):
    """|r| √n is standard normal: finds out correlations of 0.0125, also of squares."""
    z = normals(name)
    pairs = {
        "the two steps of a pair": (z[0::2], z[1::2]),
        "steps of two pairs": (z[1:-1:2], z[2::2]),
        "second neighbours": (z[:-2], z[2:]),
        "paths": (z[..., :-1], z[..., 1:]),
        "components": (z[:, :-1], z[:, 1:]),
        "a path's and another's next step": (z[:-1, :, 1:], z[1:, :, :-1]),
    }
    for where, (a, b) in pairs.items():
        for u, v in ((a, b), (a**2 - 1, b**2 - 1), (a**2 - 1, b)):
            r = np.mean(u * v) / np.sqrt(np.mean(u**2) * np.mean(v**2))
            assert abs(r) * np.sqrt(u.size) < SIGMA, where
    a, b = z[0::2].ravel(), z[1::2].ravel()
    # (a² + b²)/2 is exponential, the direction uniform: n = 5·10⁵ finds out 0.0094
    assert dkw_distance((a**2 + b**2) / 2, expon.cdf) < dkw_radius(a.size)
    turn = np.arctan2(b, a) / (2 * np.pi) + 0.5
    assert dkw_distance(turn, lambda u: u) < dkw_radius(a.size)
    assert dkw_distance((a**2 + a**2) / 2, expon.cdf) > dkw_radius(a.size)  # control


@pytest.mark.parametrize("name", ["float32", "inversion-float32"])
def test_bits_are_fair(name):
    """5·10⁵ words: finds out a bit of bias 0.0088, also in differences of neighbours.

    The words of float64 noise contain these.
    """
    key = jax.random.key_data(jax.random.key(5))
    words = drawn(as_noise(name), key, 5_000, jnp.uint32(0), 50, Draw("bits", (1,)))
    words = np.asarray(words)[:, 0]  # [steps, paths]
    n = words.size
    changes = {
        "word": words,
        "step": words[1:] ^ words[:-1],
        "pair": words[2:] ^ words[:-2],
        "path": words[:, 1:] ^ words[:, :-1],
        "halves": words ^ (words >> np.uint32(16)),
    }
    for what, w in changes.items():
        for bit in range(16 if what == "halves" else 32):
            ones = np.count_nonzero(w & np.uint32(1 << bit))
            assert abs(ones - w.size / 2) < SIGMA * np.sqrt(w.size) / 2, (what, bit)
    for byte in range(4):
        cells = np.bincount((words.ravel() >> np.uint32(8 * byte)) & 255, minlength=256)
        assert np.sum((cells - n / 256) ** 2) / (n / 256) < chi2.isf(1e-9, 255)
    assert len(np.unique(words)) > n - n**2 / 2**32 - SIGMA * n / 2**16


@pytest.mark.parametrize("name", ["float32", "float64", "inversion-float32"])
def test_uniforms_are_uniform(name):
    """n = 10⁵: finds out a law at distance 0.021."""
    key = jax.random.key_data(jax.random.key(6))
    draw = Draw("uniform", (1,))
    u = np.asarray(drawn(as_noise(name), key, 1000, jnp.uint32(0), 50, draw)).ravel()
    assert dkw_distance(u, lambda v: v) < dkw_radius(u.size)
    assert 0 < u.min() and u.max() < 1


@pytest.mark.slow
@every_noise
def test_a_hundred_million_normals(name):
    """Distance 6.6e-4, mean 1.2e-3, variance 1.8e-3, 4th moment 0.012 are found out.

    Cells of probability 10⁻⁶ hold 100 draws each: within one the distribution function
    moves by 10⁻⁶ and the empirical one by its count, which is added.
    """
    noise, draw = as_noise(name), Draw("normal", (1,))
    key = jax.random.key_data(jax.random.key(2024))
    cells, n, sums = np.zeros(10**6 + 1, int), 0, np.zeros(4)
    far, products = np.zeros(3, int), np.zeros(3)
    for part in range(50):
        first = jnp.uint32(100 * part)
        z = drawn(noise, key, 10_000, first, 100, draw)[:, 0].astype(float)
        n += z.size
        cells += np.bincount((ndtr(z.ravel()) * 1e6).astype(int), minlength=len(cells))
        square = z * z
        sums += [z.sum(), square.sum(), (square * z).sum(), (square**2).sum()]
        far += [np.count_nonzero(square > level**2) for level in (3, 4, 5)]
        products += [
            np.vdot(z[0::2], z[1::2]),
            np.vdot(z[1:-1:2], z[2::2]),
            np.vdot(z[:, :-1], z[:, 1:]),
        ]
    assert n == 10**8
    edges = np.arange(1, len(cells) + 1) / 1e6
    distance = np.max(np.abs(np.cumsum(cells) / n - edges)[:-1])
    assert distance + cells.max() / n < dkw_radius(n)
    wrong = norm.cdf(norm.ppf(edges[:-2]) / 1.004)  # control: distance 9.7e-4
    assert np.max(np.abs(np.cumsum(cells)[:-2] / n - wrong)) > dkw_radius(n)
    exact = np.array([0, 1, 0, 3]), np.array([1, 2, 15, 96])
    assert np.all(np.abs(sums / n - exact[0]) < SIGMA * np.sqrt(exact[1] / n))
    expected = 2 * norm.sf([3, 4, 5]) * n
    assert np.all(np.abs(far - expected) < SIGMA * np.sqrt(expected) + 10)
    assert np.all(np.abs(products) < SIGMA * np.sqrt(n))
