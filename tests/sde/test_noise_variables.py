"""The maps from words to variables, over all words where there are few enough."""

import functools
import itertools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy.special import ndtri

from sde.noise_variables import COSINE, SINE, box_muller, inverse_normal, uniform

CELLS = 1 << 23
ALL = {
    # resolution, sine or cosine: the error bound that is claimed
    ("float32", "sine"): 8e-9,
    ("float32", "cosine"): 3e-10,
    ("float64", "sine"): 4e-19,
    ("float64", "cosine"): 7e-21,
}


@functools.partial(jax.jit, static_argnums=2)
def pairs(radius, angle, resolution="float32"):
    return box_muller((radius, radius), (angle, angle), resolution)


@jax.jit
def inverted(words):
    return inverse_normal((words, words), "float32")


def series(kind, k):
    """Coefficient of z^k of sin(π√z/2)/√z or cos(π√z/2)."""
    power = 2 * k + (kind == "sine")
    return (-1) ** k * (mp.pi / 2) ** power / mp.factorial(power)


@pytest.mark.parametrize(("resolution", "kind"), list(ALL))
def test_the_polynomials_interpolate_at_chebyshev_nodes(resolution, kind):
    """|f - p| <= max|f^(n)| / (n! 2^{2n-1}) on [0, 1] for n nodes."""
    found = {"sine": SINE, "cosine": COSINE}[kind][resolution]
    n = len(found)
    with mp.workdps(50):
        nodes = [(1 + mp.cos(mp.pi * (2 * k + 1) / (2 * n))) / 2 for k in range(n)]
        values = [
            mp.nsum(lambda k, z=z: series(kind, int(k)) * z**k, [0, 40]) for z in nodes
        ]
        powers = mp.matrix([[z**j for j in range(n)] for z in nodes])
        exact = mp.lu_solve(powers, mp.matrix(values))
        for c, e in zip(found, exact, strict=True):
            assert abs(c - e) < 3e-16 * abs(e)  # the literal has 18 digits
        largest = sum(
            abs(series(kind, k)) * mp.binomial(k, n) for k in range(n, n + 40)
        )
        assert largest / 2 ** (2 * n - 1) < ALL[resolution, kind]


@pytest.mark.slow
def test_every_angle_of_float32():
    """All 2²³ cells of the half circle, and its opposite half."""
    cell = np.arange(CELLS, dtype=np.uint32)
    theta = np.pi / 2 * ((cell + 0.5) * 2.0**-22 - 1)
    one = jnp.zeros(CELLS, jnp.uint32)  # the longest radius
    r = np.sqrt(66 * np.log(2))
    c, s = (np.asarray(x, float) / r for x in pairs(one, cell << np.uint32(8)))
    # in units of 2⁻²⁴: rounding of the coefficients 1, of Horner's sums 2, of two
    # products 1
    assert np.max(np.abs(c - np.cos(theta))) < 4 * 2.0**-24 + 8e-9
    assert np.max(np.abs(s - np.sin(theta))) < 4 * 2.0**-24 + 8e-9
    assert np.all(c > 0) and np.array_equal(s, -s[::-1]) and np.array_equal(c, c[::-1])
    for x in (c, s):
        assert abs(np.mean(x**2) - 1 / 2) < 5e-8
        assert abs(np.mean(x**4) - 3 / 8) < 1e-7
    assert abs(np.mean(c**2 * s**2) - 1 / 8) < 2e-8
    few = slice(None, None, 997)
    there = pairs(one[few], (cell[few] << np.uint32(8)) | np.uint32(1 << 31))
    np.testing.assert_allclose(np.array(there) / r, -np.array([c, s])[:, few], 1e-12)


def length(words, resolution="float32"):
    """√(-2 ln v): the cosine at the cell next to 0 is 1 - 1e-14."""
    return np.asarray(pairs(words, jnp.full_like(words, 1 << 30), resolution)[0])


def test_radii_of_float32():
    ends = np.array([0, 1, 2, 2**31, 2**32 - 2**9, 2**32 - 1], np.uint32)
    words = np.concatenate([ends, np.random.default_rng(0).integers(0, 2**32, 10**6)])
    found = length(words.astype(np.uint32)).astype(float)
    v = (words.astype(float) + 0.5) / 2.0**32
    # v is rounded to 2⁻²⁴ of itself, so -ln v to 2⁻²⁴; the rest is arithmetic
    assert np.max(np.abs(found**2 + 2 * np.log(v))) < 2 * 2.0**-24 + 44 * 4 * 2.0**-24
    assert found[0] == found.max() == pytest.approx(np.sqrt(66 * np.log(2)), rel=1e-7)
    assert found[-1] >= 0 and np.all(np.isfinite(found))


@pytest.mark.slow
def test_every_radius_of_float32():
    """All 2³² words: E r² = 2 and E r⁴ = 8 to 1e-9 of themselves."""
    size = 1 << 22

    @jax.jit
    def sums(start):
        words = start * jnp.uint32(size) + jnp.arange(size, dtype=jnp.uint32)
        angle = jnp.full_like(words, 1 << 30)
        square = box_muller((words, words), (angle, angle), "float32")[0] ** 2
        square = square.astype(float)
        return jnp.sum(square), jnp.sum(square**2), jnp.sum(square == 0)

    parts = [sums(jnp.uint32(i)) for i in range(2**32 // size)]
    second, fourth, zeros = np.sum(np.array(parts, float), axis=0) / 2.0**32
    assert abs(second / 2 - 1) < 1e-8 and abs(fourth / 8 - 1) < 1e-8
    assert zeros < 2.0**-24


def test_float64_pairs_are_those_of_the_formula():
    words = np.random.default_rng(1).integers(0, 2**64, (2, 10**5), dtype=np.uint64)
    words[0, :4] = 0, 1, 2**63, 2**64 - 1
    high, low = (words >> np.uint64(32)).astype(np.uint32), words.astype(np.uint32)
    split = tuple(map(tuple, np.stack([high, low], axis=1)))
    found = jax.jit(functools.partial(box_muller, resolution="float64"))(*split)
    v = ((words[0] >> np.uint64(12)).astype(float) + 0.5) * 2.0**-52
    cell = (words[1] << np.uint64(1)) >> np.uint64(12)
    theta = np.pi / 2 * ((cell.astype(float) + 0.5) * 2.0**-51 - 1)
    theta = theta + np.pi * (words[1] >> np.uint64(63)).astype(float)
    r = np.sqrt(-2 * np.log(v))
    for x, wanted in zip(found, (r * np.cos(theta), r * np.sin(theta)), strict=True):
        np.testing.assert_allclose(x, wanted, atol=8.6 * 16 * 2.0**-53)
    assert np.max(r) == pytest.approx(np.sqrt(106 * np.log(2)), rel=1e-12)


def test_angles_of_float64_keep_the_moments():
    """2¹⁶ equidistant angles: any four or more give E cos² = 1/2, E cos⁴ = 3/8."""
    words = np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)
    high = (words >> np.uint64(32)).astype(np.uint32)
    low = words.astype(np.uint32)
    zero = np.zeros_like(low)
    found = jax.jit(functools.partial(box_muller, resolution="float64"))(
        (zero, zero), (high, low)
    )
    for x in found:
        u = np.asarray(x) / np.sqrt(106 * np.log(2))
        assert abs(np.mean(u**2) * 2 - 1) < 1e-15
        assert abs(np.mean(u**4) * 8 / 3 - 1) < 2e-15


def test_every_inverted_normal_of_float32():
    cell = np.arange(CELLS, dtype=np.uint32)
    z = np.asarray(inverted(cell << np.uint32(9)), float)
    assert np.array_equal(z, -z[::-1]) and np.all(np.diff(z) >= 0)
    assert np.mean(z**2) - 1 == pytest.approx(-1.92e-7, rel=0.02)
    assert np.mean(z**4) - 3 == pytest.approx(-1.05e-5, rel=0.02)
    assert z.max() == pytest.approx(5.2947, abs=1e-3)
    few = cell[::997]
    exact = ndtri((few + 0.5) / CELLS)
    np.testing.assert_allclose(z[::997], exact, rtol=1e-5, atol=1e-7)


def test_inverted_normals_of_float64_lose_only_their_last_cells():
    """The bias of midpoints falls as ln(cells)/cells; at 2⁵² it is below 1e-14."""
    bias = [
        np.mean(ndtri((np.arange(n) + 0.5) / n) ** 2) - 1 for n in (2**12, 2**16, 2**20)
    ]
    for coarse, fine in itertools.pairwise(bias):
        assert 14 < coarse / fine < 16
    assert abs(bias[-1]) * 14.0**-8 < 1e-14


def test_uniforms_are_the_midpoints_of_cells():
    words = jnp.asarray([0, 2**31, 2**32 - 1], jnp.uint32)
    half = 2.0**-24
    u = np.asarray(uniform((words, words), "float32"), float)
    np.testing.assert_array_equal(u, [half, 0.5 + half, 1 - half])
    fine = np.asarray(uniform((words, words), "float64"))
    assert 0 < fine[0] < 2.0**-52 and 1 - 2.0**-52 < fine[2] < 1
    assert abs(fine[1] - 0.5 - 2.0**-33) < 2.0**-50
