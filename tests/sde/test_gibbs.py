"""Gibbs laws against closed forms, scipy's quadrature and its Gaussian laws."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import gamma, gammainc

from flows import BadInput, from_loss
from flows.problems import (
    norm_power,
    quadratic,
    taylor_polynomial,
    tilted_double_well,
)
from flows.symbolic import symbol_vector, symbols_like
from sde import (
    GibbsLaw,
    LangevinState,
    OrnsteinUhlenbeck,
    OverdampedLangevin,
    UnderdampedLangevin,
    fokker_planck_defect,
    gibbs_law,
    gibbs_log_density,
    is_invariant_density,
)

WELL = tilted_double_well(0.1)


@pytest.mark.parametrize("power", [2, 4, 30])
@pytest.mark.parametrize("temperature", [1.0, 1e-3])
def test_the_excess_of_a_power_is_the_temperature_over_the_power(power, temperature):
    """π ∝ exp(-|x|^p/(pT)): a gamma law of |x|^p, with E_π U = T/p."""
    law = GibbsLaw(norm_power(1.0, power / 2 - 1), temperature)
    assert law.mean_excess() == pytest.approx(temperature / power, rel=1e-12)
    scale = (power * temperature) ** (1 / power)
    z = 2 * scale * gamma(1 + 1 / power)
    assert law.log_normaliser == pytest.approx(np.log(z), abs=1e-12)
    x = scale * np.array([0.2, 0.7, 1.1])
    inside = gammainc(1 / power, (x / scale) ** power)
    np.testing.assert_allclose(2 * law.cdf(x) - 1, inside, rtol=1e-10)
    assert law.error < 1e-11


def test_a_tilted_double_well_against_scipy():
    law = gibbs_law(OverdampedLangevin(WELL, 0.05))
    low, high = law.minima
    assert (low, high) == pytest.approx((-1.04668, 0.94565), abs=1e-5)

    def height(x):
        return np.exp(-(x**4 / 4 - x**2 / 2 + 0.1 * x - law.minimum) / 0.05)

    def integral(f, a=-3.0, b=3.0):
        points = [p for p in law.minima if a < p < b]
        return integrate.quad(f, a, b, points=points, epsabs=0, epsrel=1e-11)[0]

    z = integral(height)
    assert law.density(0.3) == pytest.approx(height(0.3) / z, rel=1e-9)
    second = integral(lambda x: x**2 * height(x)) / z
    assert law.expect(lambda x: x**2) == pytest.approx(second, rel=1e-9)
    right = integral(height, 0.1) / z
    assert 1 - law.cdf(0.1) == pytest.approx(right, rel=1e-8)
    assert law.quantile(1 - right) == pytest.approx(0.1, abs=1e-9)
    draws = law.sample(3, 4000)
    # Dvoretzky-Kiefer-Wolfowitz: a false alarm has probability 1e-9
    ranks = np.sort(law.cdf(draws))
    bound = np.sqrt(np.log(2e9) / (2 * 4000))
    assert np.max(np.abs(ranks - np.arange(1, 4001) / 4000)) < bound
    hotter = np.sort(GibbsLaw(WELL, 0.1).cdf(draws))
    assert np.max(np.abs(hotter - np.arange(1, 4001) / 4000)) > bound


def from_numbers(f, n=1):
    return from_loss(f, jnp.zeros(n))


def test_a_shallow_well_near_the_origin_hides_no_deeper_one_far_away():
    """Wells more than 80 T apart, against sums over a fine grid."""

    def quartic(x):
        return (x - 3) ** 4 / 4 - 9 * (x - 3) ** 2 / 2 - x / 2

    law = GibbsLaw(from_numbers(lambda x: quartic(x[0])), 0.02)
    x = np.linspace(-5.0, 12.0, 200001)
    height = np.exp(-(quartic(x) - quartic(x).min()) / 0.02)
    mean = np.sum(x * height) / np.sum(height)
    assert mean == pytest.approx(6.0269, abs=1e-4)  # 0.029 in the well near 0
    assert law.expect(lambda x: x) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize(
    ("place", "width", "n"), [(30.0, 1.0, 1), (-700.0, 0.1, 1), (30.0, 1.0, 2)]
)
def test_two_gaussian_wells_far_apart(place, width, n):
    """π of the deeper well at `place`: e wⁿ/(1 + e wⁿ), to the e^{-…} of their gap."""
    law = GibbsLaw(
        from_numbers(
            lambda x: jnp.minimum(x @ x, (x - place) @ (x - place) / width**2 - 1),
            n,
        )
    )
    share = np.e * width**n / (1 + np.e * width**n)
    mean = law.expect(lambda x: x.reshape(-1, n)[:, 0])
    assert mean == pytest.approx(place * share, rel=1e-9)
    np.testing.assert_allclose(
        np.ravel(law.minima), np.repeat([place, 0], n), atol=1e-4
    )


def test_a_potential_that_is_infinite_is_a_wall():
    """U = x - log x on x > 0: the gamma law of shape 2."""
    walled = from_numbers(lambda x: jnp.where(x[0] > 0, x[0] - jnp.log(x[0]), jnp.inf))
    law = GibbsLaw(walled)
    assert law.expect(lambda x: x) == pytest.approx(2.0, rel=1e-11)
    assert law.cdf(1.0) == pytest.approx(gammainc(2, 1.0), rel=1e-11)


def test_a_regulariser_counts_in_the_law_and_not_in_the_excess():
    law = gibbs_law(OverdampedLangevin(quadratic([1.0]), 0.5, norm_power(3.0, 0.0)))
    assert law.expect(lambda x: x**2) == pytest.approx(0.5 / 4, rel=1e-11)
    assert law.mean_excess() == pytest.approx(0.5 / 8, rel=1e-11)


def test_two_dimensions():
    law = gibbs_law(UnderdampedLangevin(quadratic([1.0, 4.0]), 2.0, 0.5))
    x = np.array([[0.3, -0.2], [1.0, 0.4]])
    exact = stats.multivariate_normal(cov=np.diag([0.5, 0.125])).pdf(x)
    np.testing.assert_allclose(law.density(x), exact, rtol=1e-11)
    assert law.mean_excess() == pytest.approx(0.5, rel=1e-11)  # n T/2
    with pytest.raises(BadInput, match="one dimension"):
        law.cdf(0.0)
    with pytest.raises(BadInput, match="last axis"):
        law.density(0.0)


@pytest.mark.slow
def test_three_dimensions():
    law = GibbsLaw(norm_power(1.0, 1.0, 3), 0.3)
    assert law.mean_excess() == pytest.approx(3 * 0.3 / 4, rel=1e-10)  # n T/p


def test_what_a_gibbs_law_takes():
    with pytest.raises(BadInput, match="one to three"):
        GibbsLaw(quadratic([1.0] * 4))
    with pytest.raises(BadInput, match="cannot be normalised"):
        GibbsLaw(quadratic([0.0]), 1.0)
    with pytest.raises(BadInput, match="temperature"):
        GibbsLaw(WELL, 0.0)
    with pytest.raises(BadInput, match="OverdampedLangevin"):
        gibbs_law(OrnsteinUhlenbeck(1.0))
    with pytest.raises(BadInput, match="probabilities"):
        GibbsLaw(WELL).quantile(1.5)
    with pytest.raises(BadInput, match="regulariser"):
        GibbsLaw(WELL, regulariser=3)
    with pytest.raises(BadInput, match="cannot be normalised"):
        GibbsLaw(from_numbers(lambda x: x[0] ** 2 - 1e-3 * x[0] ** 4))
    for half in (
        lambda x: jnp.where(x[0] > 0, x[0] ** 2, jnp.nan),
        lambda x: x[0] + jnp.nan,
    ):
        with pytest.raises(BadInput, match="NaN"):
            GibbsLaw(from_numbers(half))


@pytest.mark.parametrize("read", ["cdf", "quantile", "density", "potential"])
def test_places_are_real_numbers(read):
    for wrong in ("a", 1j, [[1.0], [1.0, 2.0]]):
        with pytest.raises(BadInput, match="real numbers"):
            getattr(GibbsLaw(WELL), read)(wrong)


def wrong(dynamics, y):
    return 1.001 * gibbs_log_density(dynamics, y)


def test_the_gibbs_density_of_every_smooth_potential_is_invariant():
    """A polynomial of degree two is any potential at the origin, as L* sees it."""
    loss = symbols_like(taylor_polynomial(1, 2))
    model = symbols_like(OverdampedLangevin(loss, 1.0))
    x = symbol_vector("x", 1)
    assert is_invariant_density(model, gibbs_log_density, x).proved
    refuted = is_invariant_density(model, wrong, x)
    assert refuted.status == "refuted"
    assert refuted.witness


def test_the_kinetic_gibbs_density_is_invariant_at_any_mass():
    loss = symbols_like(taylor_polynomial(1, 2))
    model = symbols_like(UnderdampedLangevin(loss, 1.0, 1.0, 2.0))
    y = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))
    assert is_invariant_density(model, gibbs_log_density, y).proved
    assert is_invariant_density(model, wrong, y).status == "refuted"
    with pytest.raises(BadInput, match="Gibbs density"):
        gibbs_log_density(OrnsteinUhlenbeck(1.0), jnp.zeros(1))


def test_the_defect_of_a_wrong_density_is_the_one_computed_by_hand():
    """For p = exp(-b x²/2) and dX = -X dt + √2 dB: L*p/p = (1 - b)(1 - b x²)."""
    import sympy

    model = OverdampedLangevin(quadratic([1.0]), 1.0)
    x = symbol_vector("x", 1)
    found = fokker_planck_defect(model, lambda m, y: -jnp.sum(y**2), x)
    assert sympy.simplify(found - (1 - 2) * (1 - 2 * x[0] ** 2)) == 0


def test_a_function_takes_all_positions_at_once():
    law = GibbsLaw(WELL)
    assert law.expect(lambda x: 3.0) == pytest.approx(3.0, rel=1e-12)
    with pytest.raises(BadInput, match="all positions at once"):
        law.expect(lambda x: x[:2])
    with pytest.raises(BadInput, match="all positions at once"):
        law.expect(lambda x: x[0] ** 2)  # the square of one position
