"""Gradient noise: covariances against all batches, and the modified equations."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import sde
from flows import BadInput, from_loss
from flows.problems import double_well, quadratic, wavy

ROWS, SIZE = 5, 3
RNG = np.random.default_rng(0)
DATA = (RNG.normal(size=(ROWS, 3)), RNG.normal(size=ROWS))
X = jnp.array([0.4, -0.3, 0.8])


def loss(w, data):
    inputs, targets = data
    return jnp.mean((jnp.tanh(inputs @ w) - targets) ** 2)


OBJECTIVE = from_loss(loss, X, DATA)


@pytest.fixture(scope="module")
def gradients():
    """The rows' gradients, by hand."""
    inputs, targets = DATA
    p = np.tanh(inputs @ np.asarray(X))
    return 2 * ((p - targets) * (1 - p**2))[:, None] * inputs


@eqx.filter_jit
def everything(noise, x):
    return noise.covariance(x), noise.columns(x), noise.variances(x)


def enumerated(gradients, replacement):
    choose = itertools.product if replacement else itertools.combinations
    batches = (
        choose(range(ROWS), repeat=SIZE) if replacement else choose(range(ROWS), SIZE)
    )
    means = np.array([gradients[list(b)].mean(axis=0) for b in batches])
    centred = means - gradients.mean(axis=0)
    return centred.T @ centred / len(means)


@pytest.mark.parametrize("replacement", [True, False])
def test_covariance_and_factor_are_those_of_all_batches(gradients, replacement):
    noise = sde.MinibatchNoise(OBJECTIVE, SIZE, replacement)
    expected = enumerated(gradients, replacement)
    covariance, columns, variances = everything(noise, X)
    np.testing.assert_allclose(covariance, expected, atol=1e-14)
    assert columns.shape == (ROWS, 3)
    np.testing.assert_allclose(columns.T @ columns, expected, atol=1e-14)
    np.testing.assert_allclose(variances, np.diag(expected), atol=1e-14)
    other = enumerated(gradients, not replacement)
    assert np.max(np.abs(expected - other)) > 0.3 * np.max(np.abs(expected))


def test_a_low_rank_is_the_best_one(gradients):
    """Against numpy's singular values."""
    centred = gradients - gradients.mean(axis=0)
    _, s, right = np.linalg.svd(centred, full_matrices=False)
    noise = sde.MinibatchNoise(OBJECTIVE, SIZE, rank=1)
    columns, captured = (
        np.asarray(a)
        for a in eqx.filter_jit(lambda n, x: (n.columns(x), n.captured(x)))(noise, X)
    )
    best = s[0] ** 2 / (ROWS * SIZE) * np.outer(right[0], right[0])
    np.testing.assert_allclose(columns.T @ columns, best, atol=1e-14)
    share = s[0] ** 2 / np.sum(s**2)
    assert float(captured) == pytest.approx(share, rel=1e-10)
    assert share < 0.95


def test_batches_without_replacement_are_all_ordered_choices_once_each():
    noise = sde.MinibatchNoise(OBJECTIVE, 2, False)
    u = (np.arange(40) + 0.5) / 40  # divides both into 5 and into 4
    draws = jnp.asarray(np.array(list(itertools.product(u, u))))
    found = np.asarray(jax.jit(jax.vmap(noise.batch))(draws))
    pairs, counts = np.unique(found, axis=0, return_counts=True)
    assert {tuple(p) for p in pairs} == set(itertools.permutations(range(ROWS), 2))
    assert set(counts) == {1600 // 20}
    again = sde.MinibatchNoise(OBJECTIVE, 2).batch(jnp.array([0.25, 0.999]))
    np.testing.assert_array_equal(again, [1, 4])


def test_the_full_batch_without_replacement_has_no_noise():
    noise = sde.MinibatchNoise(OBJECTIVE, ROWS, False)
    assert noise.scale == 0
    assert set(np.asarray(noise.batch(jnp.full(ROWS, 0.7)))) == set(range(ROWS))


def test_the_modified_equations_drift_is_that_of_the_modified_loss():
    """Order 2 against ∇(f + (h/4)|∇f|²) for f = (x² - 1)²/4 by hand; order 1 not."""
    h, x = 0.1, jnp.array([1.2])
    noise = sde.FactorNoise(lambda x: jnp.outer(x, x))
    second = sde.StochasticModifiedEquation(double_well(), noise, h)
    g, slope = 1.2**3 - 1.2, 3 * 1.2**2 - 1
    field = float(second.vector_field(0.0, x)[0])
    assert field == pytest.approx(-g - h / 2 * g * slope, rel=1e-12)
    first = sde.StochasticModifiedEquation(double_well(), noise, h, 1)
    assert float(first.vector_field(0.0, x)[0]) == pytest.approx(-g, rel=1e-12)
    kick = second.noise(0.0, x, jnp.array([2.0]))
    np.testing.assert_allclose(kick, h**0.5 * 1.44 * 2, rtol=1e-14)


def test_moments_of_the_modified_equation_by_its_moment_equations():
    """Linear gradient and noise: d E x²/dt by hand, h = 1/10."""
    model = sde.StochasticModifiedEquation(
        quadratic([2.0]), sde.FactorNoise(lambda x: 0.5 + x), 0.1
    )
    system = sde.moment_equations(model, 2, y=np.ones(1), route="numeric")
    rate = -(2.0 + 0.05 * 4.0)
    matrix = [[rate, 0.0], [0.1, 2 * rate + 0.1]]
    np.testing.assert_allclose(system.matrix, matrix, atol=1e-9)
    np.testing.assert_allclose(system.forcing, [0.0, 0.025], atol=1e-9)


def test_gaussian_moments_against_the_matrix_exponential():
    """Noisy Adam without correction, u = 1: a linear system in (x, m)."""
    noise = sde.FactorNoise(lambda x: jnp.asarray(1.0))
    model = sde.AdamSDE(quadratic([1.0]), noise, 0.5, 2.0, 0.8, 0.1, False)
    start = sde.adaptive.AdamState(*(jnp.array([v]) for v in (1.0, 0.3, 1.0)))
    mean, covariance = sde.gaussian_moments(model, start, [0.0, 1.5])
    a = np.array([[0.0, -1 / 0.6], [2.0, -2.0]])
    spread = np.diag([0.0, 1.0])  # (σ₀ c₁)²
    sylvester = np.kron(a, np.eye(2)) + np.kron(np.eye(2), a)
    block = np.block(
        [[sylvester, np.ravel(spread)[:, None]], [np.zeros((1, 4)), np.zeros((1, 1))]]
    )
    c = (expm(1.5 * block) @ [0, 0, 0, 0, 1.0])[:4].reshape(2, 2)
    np.testing.assert_allclose(mean[1, :2], expm(1.5 * a) @ [1.0, 0.3], atol=1e-10)
    np.testing.assert_allclose(covariance[1, :2, :2], c, atol=1e-10)
    assert covariance[0].max() == 0
    assert mean[0, 0] == 1.0


BAD = {
    "no rows": lambda: sde.MinibatchNoise(double_well(), 2),
    "a batch of none": lambda: sde.MinibatchNoise(OBJECTIVE, 0),
    "a batch beyond the rows": lambda: sde.MinibatchNoise(OBJECTIVE, 6, False),
    "a rank beyond the rows": lambda: sde.MinibatchNoise(OBJECTIVE, 2, rank=6),
    "a factor's shape": lambda: sde.FactorNoise(lambda x: jnp.ones(7)).brownian(X),
    "an order": lambda: sde.StochasticModifiedEquation(
        wavy(), sde.FactorNoise(lambda x: 1.0), 0.1, 3
    ),
    "a negative rate": lambda: sde.StochasticModifiedEquation(
        wavy(), sde.FactorNoise(lambda x: 1.0), -0.1
    ),
    "Adam at time 0": lambda: sde.AdamSDE(
        quadratic([1.0]), sde.FactorNoise(lambda x: 1.0), 0.5, 2.0, 0.8, 0.1
    ).corrections(0.0),
    "σ₀ = 0": lambda: sde.RMSPropSDE(
        quadratic([1.0]), sde.FactorNoise(lambda x: 1.0), 0.0, 0.8, 0.1
    ),
    "times before the start": lambda: sde.gaussian_moments(
        sde.OrnsteinUhlenbeck(1.0), jnp.ones(1), [1.0, 0.5]
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_is_refused(what):
    with pytest.raises(BadInput):
        BAD[what]()
