"""(e^{qx} - 1)/q and its kin beside 60 digits, through 0 and far out."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from flows import BadInput
from flows.oscillator import damped_oscillator
from flows.phi_functions import expm1_over, log1p_over, phi_2

Z = np.array([-40.0, -2.0, -0.31, -0.29, -0.011, -0.009, -1e-6, 0, 1e-9, 9e-3, 0.3, 5])
X = 1.7


@jax.jit
def look(z):
    slope = jax.vmap(jax.grad(expm1_over), (0, None))(z / X, X)
    return expm1_over(z / X, X), slope, phi_2(z)


def test_they_agree_with_sixty_digits():
    """The slope in q loses some eps/|z| where the series ends, at 0.01."""
    found, slope, second = look(jnp.asarray(Z))
    hair = mp.mpf(1e-25)  # beside 0, where the formulas have no value
    for z, *ours in zip(Z, found, slope, second, strict=True):
        with mp.workdps(60):
            z = mp.mpf(float(z)) or hair
            q = z / X
            first = mp.expm1(z) / q
            true = first, (X * mp.exp(z) - first) / q, (mp.expm1(z) - z) / z**2
        for a, b, rtol in zip(ours, true, (4e-16, 1e-13, 4e-15), strict=True):
            assert abs(float(a) / float(b) - 1) < rtol, (z, a, b)


def test_the_logarithm_undoes_it_and_far_out_it_is_finite():
    q = jnp.asarray([-0.8, -1e-7, 0.0, 1e-4, 0.9])

    @jax.jit
    def there_and_back(q):
        return log1p_over(q, expm1_over(q, X)), expm1_over(q[0], jnp.inf)

    back, far = there_and_back(q)
    np.testing.assert_allclose(back, X, rtol=4e-15)
    assert abs(float(far) - 1.25) < 1e-15


def test_an_oscillator_without_mass_is_refused():
    for mass in (0.0, -1.0, np.nan, np.array([1.0, 0.0])):
        with pytest.raises(BadInput, match="mass > 0"):
            damped_oscillator(1.0, mass, 1.0, 0.5)
