"""Paths of an index: laws of waits, counts and labels; ends, overflow, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from index_examples import CLOCK, INDICES, RING
from scipy.linalg import expm
from scipy.stats import expon, poisson
from sde_helpers import dkw_distance, dkw_radius

import sde
from flows import BadInput

N, T, K = 20_000, 2.0, 24
KEYS = jax.random.split(jax.random.key(3), N)
ROWS = np.arange(N)


def spent(t):
    """∫ 0.8 (1 + s/2)^1.5 ds from 0 to t."""
    return 0.64 * ((1 + t / 2) ** 2.5 - 1)


@pytest.fixture(scope="module")
def drawn():
    """Paths on [0, T] of two indices, from label 1; rings at 0.8 (1 + t/2)^1.5."""

    def many(index):
        def one(key):
            path = sde.draw_index_path(index, key, t1=T, events=K, label0=1)
            return path, path.at(jnp.asarray([0.0, 0.5, T]))

        return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(KEYS))

    return {name: many(INDICES[name]) for name in ("never repeat", "Markov")}


def test_the_clock_is_a_unit_clock_in_integrated_time(drawn):
    """DKW at false alarm 1e-9: 2·10⁴ waits refuse laws further than 0.0463."""
    path, _ = drawn["never repeat"]
    assert not np.any(path.overflow) and np.all(np.diff(path.times) > 0)
    first, second = spent(path.times[:, 0]), spent(path.times[:, 1])
    for wait in (first, second - first):
        assert dkw_distance(wait, expon.cdf) < dkw_radius(N)
    as_at_first = 0.8 * path.times[:, 0]
    assert dkw_distance(as_at_first, expon.cdf) > 2 * dkw_radius(N)


def test_the_number_of_rings_is_poisson(drawn):
    """The largest distance of distribution functions, DKW at false alarm 1e-9."""
    path, _ = drawn["never repeat"]
    np.testing.assert_array_equal(path.rings, np.sum(path.times <= T, axis=1))
    counts, mean = np.arange(K), spent(T)
    seen = np.mean(path.rings[:, None] <= counts, axis=0)
    assert np.max(np.abs(seen - poisson(mean).cdf(counts))) < dkw_radius(N)
    assert np.max(np.abs(seen - poisson(1.3 * mean).cdf(counts))) > 2 * dkw_radius(N)


@pytest.mark.parametrize("name", ["never repeat", "Markov"])
def test_the_label_has_the_law_of_the_matrix_exponential(drawn, name):
    """Row 1 of exp(∫Q): 6.5 standard errors of each share, false alarm 1e-9.

    The clock as it is at time 0 gives other shares at T, by 1.9 times that.
    """
    _, labels = drawn[name]
    q = {"never repeat": (np.ones((4, 4)) - 4 * np.eye(4)) / 3, "Markov": RING}[name]
    np.testing.assert_array_equal(labels[:, 0], 1)
    for k, t in ((1, 0.5), (2, T)):
        law, early = expm(spent(t) * q)[1], expm(0.8 * t * q)[1]
        seen = np.bincount(labels[:, k], minlength=len(q)) / N
        error = 6.5 * np.sqrt(law * (1 - law) / N)
        assert np.all(np.abs(seen - law) < error)
        assert t < T or np.any(np.abs(early - law) > 1.9 * error)


def test_labels_change_at_their_rings(drawn):
    """The ring goes 1, 2, 0, 1, ...; a label holds from its ring on."""
    path, labels = drawn["Markov"]
    np.testing.assert_array_equal(
        path.labels, np.tile(1 + np.arange(K + 1), (N, 1)) % 3
    )
    np.testing.assert_array_equal(labels[:, 2], path.labels[ROWS, path.rings])
    one = sde.IndexPath(*(jnp.asarray(a[0]) for a in path))
    np.testing.assert_array_equal(one.at(one.times), path.labels[0, 1:])
    before = np.nextafter(path.times[0], 0.0)
    np.testing.assert_array_equal(one.at(before), path.labels[0, :-1])


@pytest.mark.slow
def test_too_few_rings_are_said(drawn):
    path, _ = drawn["never repeat"]
    index, key = INDICES["never repeat"], KEYS[0]

    def cut(key):
        return sde.draw_index_path(index, key, t1=T, events=2, label0=1)

    short = jax.jit(jax.vmap(cut))(KEYS)
    np.testing.assert_array_equal(short.times, path.times[:, :2])  # the same rings
    np.testing.assert_array_equal(short.labels, path.labels[:, :3])
    np.testing.assert_array_equal(short.overflow, path.rings >= 2)
    own = sde.draw_index_path(index, key, t1=T)  # with a number and label of its own
    assert not own.overflow and len(own.times) == sde.enough_events(index, 0.0, T)
    np.testing.assert_array_equal(own.times[:K], path.times[0, : len(own.times)])


def test_enough_rings_are_drawn():
    for mean in (0.3, 30.0, 3000.0):
        k = sde.enough_events(sde.UniformIndex(2, mean), 0.0, 1.0)
        assert poisson(mean).sf(k - 1) < 1e-13
    faster = sde.MarkovIndex(RING, 3.0)  # label 0 rings at the rate 6
    assert sde.enough_events(faster, 0.0, 10.0) == int(np.ceil(60 + 8 * 60**0.5 + 10))
    assert CLOCK.integral(0.0, T) == pytest.approx(spent(T), 1e-14)


def test_the_first_label_is_drawn_from_the_stationary_law():
    index = INDICES["weighted"]

    def first(key):
        return sde.draw_index_path(index, key, t1=T, events=1).labels[0]

    seen = np.bincount(jax.jit(jax.vmap(first))(KEYS), minlength=3) / N
    law = np.asarray(index.weights)
    assert np.all(np.abs(seen - law) < 6.5 * np.sqrt(law * (1 - law) / N))


def test_horizons_without_an_end_are_refused():
    clock, key = sde.UniformIndex(2, 1.0), jax.random.key(0)
    for make in (
        lambda: sde.draw_index_path(clock, key, t1=-1.0),
        lambda: sde.draw_index_path(clock, key, t1=1.0, events=0),
        lambda: jax.jit(lambda t1: sde.draw_index_path(clock, key, t1=t1))(1.0),
    ):
        with pytest.raises(BadInput):
            make()
