"""Laws: expectations against closed forms, samples against their law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm
from sde_helpers import dkw_distance, dkw_radius

import sde
from flows import BadInput
from sde.noise import subkeys


def samples(law, count):
    return jax.jit(jax.vmap(law.sample))(subkeys(5, 0, count))


def test_deterministic():
    y = jnp.asarray([1.0, 2.0])
    law = sde.Deterministic(y)
    assert float(law.expect(lambda y: y[1] ** 2)) == 4.0
    np.testing.assert_array_equal(law.sample(0), y)


def test_finite_expectation_and_frequencies():
    """Each count is binomial: outside its 1e-10 quantiles once in 10⁹ for four."""
    p = np.array([0.1, 0.0, 0.6, 0.3])
    law = sde.Finite(p, {"x": jnp.arange(4.0), "label": jnp.arange(4)})
    assert abs(float(law.expect(lambda y: y["x"] ** 2)) - (2.4 + 2.7)) < 1e-15 * 8
    n = 100_000
    drawn = samples(law, n)
    np.testing.assert_array_equal(drawn["x"].astype(int), drawn["label"])
    counts = np.bincount(np.asarray(drawn["label"]), minlength=4)
    assert counts[1] == 0
    low, high = binom.ppf(1e-10, n, p), binom.isf(1e-10, n, p)
    assert np.all((low <= counts) & (counts <= high))
    uniform = binom.isf(1e-10, n, 0.25)
    assert counts[2] > uniform  # control: equal weights are refused


def test_gaussian_expectation_is_exact_for_polynomials():
    factor = np.array([[1.0, 0.5], [0.0, 2.0]])
    law = sde.Gaussian(jnp.asarray([1.0, -1.0]), jnp.asarray(factor), nodes=4)
    c = factor @ factor.T
    m = np.array([1.0, -1.0])
    # E x²y² = m₁²m₂² + m₁²C₂₂ + m₂²C₁₁ + 4m₁m₂C₁₂ + C₁₁C₂₂ + 2C₁₂²
    exact = m[0] ** 2 * m[1] ** 2 + m[0] ** 2 * c[1, 1] + m[1] ** 2 * c[0, 0]
    exact += 4 * m[0] * m[1] * c[0, 1] + c[0, 0] * c[1, 1] + 2 * c[0, 1] ** 2
    found = law.expect(lambda y: y[0] ** 2 * y[1] ** 2)
    assert abs(found - exact) < 1e-13 * exact
    few = sde.Gaussian(law.mean, law.factor, nodes=2)  # control: degree 4 needs 3
    assert abs(few.expect(lambda y: y[1] ** 4) - law.expect(lambda y: y[1] ** 4)) > 1


def test_gaussian_samples_and_labels():
    """DKW at false alarm 1e-9: 5·10⁴ samples refuse laws further than 0.029."""
    mean = sde.SwitchingState(jnp.asarray([1.0]), jnp.asarray(3))
    law = sde.Gaussian(mean, jnp.asarray([[0.6, 0.8]]))
    drawn = samples(law, 50_000)
    assert np.all(np.asarray(drawn.label) == 3)
    x, radius = np.asarray(drawn.position)[:, 0], dkw_radius(50_000)
    assert dkw_distance(x, norm(1.0, 1.0).cdf) < radius
    assert dkw_distance(x, norm(1.0, 1.4).cdf) > radius


@pytest.mark.parametrize(
    "make",
    [
        lambda: sde.Finite([0.5, 0.6], jnp.zeros((2, 1))),
        lambda: sde.Finite([1.5, -0.5], jnp.zeros((2, 1))),
        lambda: sde.Finite([0.5, 0.5], jnp.zeros((3, 1))),
        lambda: sde.Gaussian(jnp.zeros(2), jnp.zeros((3, 1))),
        lambda: sde.Gaussian(jnp.zeros(8), jnp.eye(8), nodes=12),
        lambda: sde.Gaussian(jnp.zeros(1), jnp.eye(1), nodes=0),
    ],
)
def test_bad_laws_are_refused(make):
    with pytest.raises(BadInput):
        make()
