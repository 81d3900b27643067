"""Index processes: generators, stationary laws and redraws, all without luck."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_examples import CLOCK, INDICES, RING, WEIGHTS
from scipy.linalg import null_space

import sde
from flows import BadInput

AT, AMOUNT, GRID = 1.2, 2.5, 3000
SPEED = 0.8 * (1 + AT / 2) ** 1.5


def law_of(q):
    """The kernel of Qᵀ, by its singular vectors."""
    (kernel,) = null_space(q.T).T
    return kernel / kernel.sum()


@pytest.fixture(scope="module")
def found():
    """What each index says at one time, in one compiled call."""
    u = np.append((np.arange(GRID) + 0.5) / GRID, [1e-17, 1 - 1e-16])

    @jax.jit
    def of(index, t, u):
        labels = jnp.arange(index.labels)
        delays = jax.vmap(lambda i: index.delay(t, i, AMOUNT))(labels)

        def used(i, s):
            share = index.ring_rate(t, i) / CLOCK(t)
            return share * CLOCK.integral(t, t + s), index.expected_rings(t, t + s)

        return {
            "generator": index.generator_matrix(t),
            "law": index.stationary(),
            "weights": jax.vmap(index.next_weights)(labels),
            "drawn": jax.vmap(
                lambda i: jax.vmap(index.next_label, in_axes=(None, 0))(i, u)
            )(labels),
            "used": jax.vmap(used)(labels, delays),
        }

    values = {name: of(index, AT, u) for name, index in INDICES.items()}
    return jax.tree.map(np.asarray, values)


def test_the_generators_are_those_of_the_conventions(found):
    ones, eye = np.ones((4, 4)), np.eye(4)
    true = {
        "never repeat": (ones - eye) / 3 - eye,
        "fresh draw": ones / 4 - eye,
        "weighted": np.outer(np.ones(3), WEIGHTS) - np.eye(3),
        "Markov": RING,
    }
    for name, facts in found.items():
        q = facts["generator"]
        np.testing.assert_allclose(q, SPEED * true[name], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(facts["law"], law_of(q), rtol=1e-13)


@pytest.mark.parametrize("name", ["never repeat", "fresh draw", "weighted"])
def test_every_centred_function_decays_at_the_stated_rate(found, name):
    """Q has the one eigenvalue -r beside 0; a rate off by N/(N-1) would show."""
    values = np.sort(np.linalg.eigvals(found[name]["generator"]).real)
    rate = float(INDICES[name].relaxation_rate(AT))
    np.testing.assert_allclose(values[:-1], -rate, rtol=1e-13)
    assert abs(values[-1]) < 1e-13


@pytest.mark.parametrize("name", INDICES)
def test_a_label_is_redrawn_by_its_weights(found, name):
    """u on a grid of m midpoints: each count is within 1 of m times its weight."""
    n, weights = INDICES[name].labels, found[name]["weights"]
    for law, drawn in zip(weights, found[name]["drawn"], strict=True):
        counts = np.bincount(drawn[:GRID], minlength=n)
        np.testing.assert_allclose(counts, GRID * law, atol=1.001)
        ends = drawn[GRID:]
        assert np.all((ends >= 0) & (ends < n))
        assert np.all(law[ends] > 0)


@pytest.mark.parametrize("name", INDICES)
def test_the_wait_uses_up_the_integrated_rate(found, name):
    used, bound = found[name]["used"]
    np.testing.assert_allclose(used, AMOUNT, rtol=1e-14)
    assert np.all(used <= bound * (1 + 1e-14))
    assert (np.ptp(bound) == 0) == (name != "Markov")


def test_the_spectral_gap_is_the_slowest_of_the_rates(found):
    """Of a ring, Q's other eigenvalues are complex; of the others all are -r."""
    for name in ("weighted", "Markov"):
        index = INDICES[name]
        values = np.sort(np.linalg.eigvals(found[name]["generator"]).real)
        gap = float(index.spectral_gap(AT))
        np.testing.assert_allclose(gap, -values[-2], rtol=1e-12)
        rate = getattr(index, "relaxation_rate", None)
        assert (rate is None) == (name == "Markov")
        if rate is not None:
            assert gap == pytest.approx(float(rate(AT)), rel=1e-12)


@pytest.mark.parametrize("convention", ["never_repeat", "fresh_draw"])
def test_an_index_is_made_from_its_relaxation_rate(convention):
    """Q = r(1/N - 1) entry by entry, for both conventions, numbers and schedules."""
    still = sde.UniformIndex.relaxing(4, 2.5, convention)
    q = 2.5 * (np.ones((4, 4)) / 4 - np.eye(4))
    np.testing.assert_allclose(still.generator_matrix(), q, rtol=1e-14)
    assert float(still.relaxation_rate()) == pytest.approx(2.5, rel=1e-15)
    index = sde.UniformIndex.relaxing(4, CLOCK, convention)
    assert float(index.relaxation_rate(AT)) == pytest.approx(SPEED, rel=1e-14)
    wait = float(index.delay(AT, 0, AMOUNT))
    assert float(index.expected_rings(AT, AT + wait)) == pytest.approx(AMOUNT, 1e-14)
    for make in (
        lambda: sde.UniformIndex.relaxing(1, 2.0, convention),
        lambda: sde.UniformIndex.relaxing(4, -1.0, convention),
        lambda: sde.UniformIndex.relaxing(4, 2.0, "never"),
    ):
        with pytest.raises(BadInput):
            make()


def test_generators_of_single_precision_and_of_many_labels():
    """Rows of float32 miss 0 by its own rounding; walks of 200 steps are found."""
    q = np.random.default_rng(0).exponential(size=(40, 40)).astype(np.float32)
    np.fill_diagonal(q, 0)
    np.fill_diagonal(q, -q.sum(axis=1))
    assert np.max(np.abs(q.astype(float).sum(axis=1))) > 1e-9
    assert sde.MarkovIndex(q).matrix.dtype == np.float32
    with pytest.raises(BadInput, match="rows of sum 0"):
        sde.MarkovIndex(q.astype(float))
    ring = np.roll(np.eye(200), 1, axis=1) - np.eye(200)
    assert sde.MarkovIndex(ring).labels == 200
    with pytest.raises(BadInput, match="closed classes"):
        sde.MarkovIndex(np.kron(np.eye(2), ring))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_the_stationary_law_of_any_generator(seed):
    q = np.random.default_rng(seed).exponential(size=(5, 5))
    q = q - np.diag(q.sum(axis=1))
    index = sde.MarkovIndex(q, 1.7)
    np.testing.assert_allclose(index.stationary(), law_of(q), rtol=1e-10)


def test_what_is_no_index_is_refused():
    twice = np.kron(np.eye(2), [[-1.0, 1.0], [1.0, -1.0]])
    for make in (
        lambda: sde.UniformIndex(1),
        lambda: sde.UniformIndex(3, 1.0, "never"),
        lambda: sde.UniformIndex(3, [1.0, 2.0]),
        lambda: sde.WeightedIndex([0.5, 0.4]),
        lambda: sde.WeightedIndex([1.0]),
        lambda: sde.WeightedIndex([1.2, -0.2]),
        lambda: sde.WeightedIndex(WEIGHTS, -1.0),
        lambda: sde.MarkovIndex(RING, 0.0),
        lambda: sde.MarkovIndex(-RING),
        lambda: sde.MarkovIndex(RING[:2]),
        lambda: sde.MarkovIndex(RING + 1e-6),
        lambda: sde.MarkovIndex([[-1.0, 1.0], [0.0, 0.0]]),  # never leaves label 1
        lambda: sde.MarkovIndex(twice),
    ):
        with pytest.raises(BadInput):
            make()
