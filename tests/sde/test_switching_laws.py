"""Dirichlet mixtures, the stationary laws of switching; fluctuations of fast ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta
from sde_helpers import dkw_distance, dkw_radius

import flows
import sde
from flows import BadInput
from sde import DirichletMixture, Moment

concentrations = st.floats(0.05, 40.0)
TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.3, 0.9]])


@settings(max_examples=15, deadline=None)
@given(concentrations, concentrations, concentrations)
def test_a_coordinate_of_dirichlet_weights_is_beta(a, b, c):
    """Centres (0, 1, 0): X = w_2 ~ Beta(c_2, c_1 + c_3), whatever the three are."""
    law = DirichletMixture([[0.0], [1.0], [0.0]], [a, b, c])
    exact = beta(b, a + c)
    x = np.array([1e-9, 0.03, 0.21, 0.5, 0.77, 0.999])
    np.testing.assert_allclose(law.cdf(x), exact.cdf(x), rtol=0, atol=1e-11)
    scale = max(1.0, np.max(exact.pdf(x)))
    np.testing.assert_allclose(
        law.density(x), exact.pdf(x), rtol=1e-9, atol=1e-10 * scale
    )
    np.testing.assert_array_equal(law.cdf([-0.1, 0.0, 1.0, 1.2]), [0, 0, 1, 1])
    np.testing.assert_array_equal(law.density([-0.1, 1.2]), 0.0)


@pytest.mark.parametrize("pair", [(0.999, 1e-3), (1e-3, 1e-3), (300.0, 20.0)])
def test_skewed_and_large_concentrations_take_no_longer(pair):
    """The tail of the integral decays as u^{-θ}: 300 points, small θ - c_1."""
    law, exact = DirichletMixture([[0.0], [1.0]], pair), beta(*pair[::-1])
    x = np.linspace(0, 1, 302)[1:-1]
    np.testing.assert_allclose(law.cdf(x), exact.cdf(x), rtol=0, atol=1e-12)
    scale = 1e-10 * np.max(exact.pdf(x))
    np.testing.assert_allclose(law.density(x), exact.pdf(x), rtol=1e-9, atol=scale)


@pytest.mark.parametrize("middle", [0.01, 5.0])
def test_at_an_inner_centre(middle):
    """P(2 G_3 <= G_1) whatever sits at 0; X = SY with S, Y independent at 0 gives f."""
    p, q = 1.3, 0.6
    law = DirichletMixture([[-1.0], [0.0], [2.0]], [p, middle, q])
    assert law.cdf(0.0) == pytest.approx(beta(q, p).cdf(1 / 3), abs=1e-13)
    share = (p + q + middle - 1) / (p + q - 1)  # E 1/S
    exact = share * beta(q, p).pdf(1 / 3) / 3
    assert law.density(0.0) == pytest.approx(exact, rel=1e-11)
    fewer = DirichletMixture([[-1.0], [0.0], [2.0]], [0.4, middle, 0.6])
    assert fewer.density(0.0) == np.inf


def test_at_the_outermost_centres():
    """Infinite, the limit or 0, as d = θ - c_i is below, at or above 1."""
    flat = DirichletMixture([[-1.0], [1.0], [1.0]], [1.0, 0.3, 0.7])
    np.testing.assert_allclose(flat.density([-1.0, 0.2, 1.0]), 0.5, rtol=1e-11)
    three = DirichletMixture([[0.0], [1.0], [4.0]], [2.0, 0.5, 0.5])
    assert three.density(0.0) == pytest.approx(1.0, rel=1e-14)
    assert three.density(1e-9) == pytest.approx(1.0, rel=1e-7)
    ends = DirichletMixture([[0.0], [1.0]], [0.8, 1.2]).density([0.0, 1.0])
    np.testing.assert_array_equal(ends, [0.0, np.inf])
    assert np.isnan(flat.cdf(np.nan))
    assert np.isnan(flat.density([np.nan, 0.2])[0])


def test_a_law_in_one_line():
    law = DirichletMixture(TRIANGLE, [1.0, 0.5, 1.0])
    assert repr(law) == "DirichletMixture(3 centres in dimension 2, θ = 2.5)"
    r = sympy.Symbol("r")
    two = DirichletMixture([[1.0], [-1.0]], np.array([r, r]))
    assert repr(two) == "DirichletMixture(2 centres in dimension 1, θ = 2*r)"


def test_three_centres_density_moments_and_quadrature_agree():
    law = DirichletMixture([[-1.0], [0.4], [2.0]], [1.7, 0.6, 2.2])
    for k in range(4):

        def weighted(x, k=k):
            return x**k * float(law.density(x))

        halves = ((-1.0, 0.4), (0.4, 2.0))
        by_density = sum(quad(weighted, *ends, epsabs=1e-10)[0] for ends in halves)
        assert by_density == pytest.approx(law.moment(Moment((k,))), abs=1e-8)
    mean, second = (law.moment(Moment((k,))) for k in (1, 2))
    assert law.mean()[0] == pytest.approx(mean, rel=1e-14)
    assert law.covariance()[0, 0] == pytest.approx(second - mean**2, rel=1e-13)


def test_equal_concentrations_of_one_are_uniform_on_the_triangle():
    """A line across the triangle cuts off an area: piecewise quadratic."""
    law = DirichletMixture(TRIANGLE, np.ones(3))
    direction = np.array([2.0, -1.0])
    low, middle, high = np.sort(TRIANGLE @ direction)
    x = np.linspace(low, high, 9)
    left = (x - low) ** 2 / ((high - low) * (middle - low))
    right = 1 - (high - x) ** 2 / ((high - low) * (high - middle))
    exact = np.where(x < middle, left, right)
    np.testing.assert_allclose(law.along(direction).cdf(x), exact, atol=1e-12)


def test_a_traced_key_is_refused_with_the_reason():
    law = DirichletMixture(TRIANGLE, [0.4, 0.7, 1.5])
    with pytest.raises(BadInput, match="not traced"):
        jax.jit(lambda key: law.sample(key, 4))(jax.random.key(0))


def test_samples_follow_the_law_and_labels_the_weights():
    """DKW at false alarm 1e-9: 10⁴ draws refuse laws further than 0.066."""
    n, c = 10_000, np.array([0.4, 0.7, 1.5])
    law = DirichletMixture(TRIANGLE, c)
    states = law.sample_states(3, n)
    assert states.position.shape == (n, 2)
    u = np.array([1.0, -0.5])
    line, x = law.along(u), np.asarray(states.position) @ u
    grid = np.linspace(*np.quantile(TRIANGLE @ u, [0, 1]), 401)

    def between(law):  # linear interpolation, off by less than a cell's mass
        values = law.cdf(grid)
        return lambda x: np.interp(x, grid, values), np.max(np.diff(values))

    whole, cell = between(line)
    assert dkw_distance(x, whole) < dkw_radius(n) + cell
    for label in range(3):
        here = np.asarray(states.label) == label
        share = c[label] / c.sum()
        assert abs(here.mean() - share) < 6.2 * np.sqrt(share * (1 - share) / n)
        radius = dkw_radius(here.sum())
        exact, cell = between(line.given(label))
        assert dkw_distance(x[here], exact) < radius + cell
        assert dkw_distance(x[here], whole) > radius
    np.testing.assert_array_equal(law.sample(3, n), states.position)


def test_moments_are_those_of_the_two_state_law():
    """The other formula, of products of ratios, for symbols."""
    r, kappa = sympy.symbols("r kappa", positive=True)
    b = r / (2 * kappa)
    law = DirichletMixture(np.array([[1], [-1]], dtype=object), np.array([b, b]))
    known = sde.two_state_law(r, kappa)
    for power in range(6):
        for label in (0, 1):
            m = Moment((power,), label)
            assert sympy.cancel(law.moment(m) - known(m)) == 0


def process_of(objective, index, friction=0.8):
    return sde.StochasticGradientProcess(objective, index, friction)


def test_the_law_of_a_process():
    """Variance s²κ/(κ + αr); tilts move the centres, weights their shares."""
    a = np.array([-1.0, 0.0, 2.5])
    for convention, r in (("never_repeat", 1.8), ("fresh_draw", 1.2)):
        process = process_of(
            flows.quadratic_sum(a[:, None], 1.3), sde.UniformIndex(3, 1.2, convention)
        )
        law = sde.switching_law(process)
        exact = np.var(a) * 1.3 / (1.3 + 0.8 * r)
        assert law.covariance()[0, 0] == pytest.approx(exact, rel=1e-13)
    tilts, p = np.array([[0.2], [0.0], [-0.4]]), np.array([0.2, 0.3, 0.5])
    tilted = flows.quadratic_sum(a[:, None], [1.3] * 3, tilts=tilts)
    process = process_of(tilted, sde.WeightedIndex(p, 1.2))
    law = sde.switching_law(process)
    y = sde.SwitchingState(np.zeros(1), 0)
    for moment, value in sde.stationary_moments(
        process, 2, y=y, route="numeric"
    ).items():
        assert law.moment(moment) == pytest.approx(value, abs=1e-11)


def test_laws_that_are_not_known_are_refused():
    centres = [[1.0], [-1.0]]
    fast = sde.UniformIndex(2, flows.PowerSchedule(1.0))
    well = flows.finite_sum([flows.problems.quadratic([1.0])] * 2)
    q = np.array([[-1.0, 1.0], [2.0, -2.0]])
    good = flows.quadratic_sum(centres, 1.0)
    momentum = sde.StochasticGradientMomentumProcess(good, sde.UniformIndex(2))
    for refused in (
        momentum,
        process_of(flows.quadratic_sum(centres, [1.0, 2.0]), sde.UniformIndex(2)),
        process_of(flows.quadratic_sum(centres, -1.0), sde.UniformIndex(2)),
        process_of(well, sde.UniformIndex(2)),
        process_of(good, fast),
        process_of(good, sde.MarkovIndex(q)),
    ):
        with pytest.raises(BadInput):
            sde.switching_law(refused)
    law = DirichletMixture(TRIANGLE, np.ones(3))
    for bad in (
        lambda: DirichletMixture([1.0, 2.0], [1.0, 1.0]),
        lambda: DirichletMixture(centres, [1.0]),
        lambda: DirichletMixture(centres, [1.0, 0.0]),
        lambda: DirichletMixture([[1.0], [1.0]], [1.0, 1.0]).cdf(1.0),
        lambda: law.cdf(0.5),
        lambda: law.along([1.0]),
        lambda: law.sample(0, 0),
        lambda: DirichletMixture([[1.0], [np.nan]], [1.0, 1.0]),
        lambda: DirichletMixture(centres, ["a", "b"]),
        lambda: DirichletMixture([[1.0], [1.0, 2.0]], [1.0, 1.0]),
        lambda: law.given(3),
        lambda: law.given(0.5),
        lambda: law.moment(Moment((1, 0), 9)),
        lambda: law.moment(Moment((1,))),
    ):
        with pytest.raises(BadInput):
            bad()


def test_fluctuations_have_the_covariance_of_the_gradients():
    """Weighted labels, two coordinates: Σ_j dz_j dz_jᵀ = 2 Cov_p(∇f_I)/α²."""
    a = np.array([[1.0, 0.5], [-1.0, 2.0], [0.0, -1.0]])
    h = np.array([[0.5, 1.0], [2.0, 0.3], [1.0, 1.5]])
    p = np.array([0.2, 0.3, 0.5])
    process = process_of(flows.quadratic_sum(a, h), sde.WeightedIndex(p, 3.0))
    limit = sde.fluctuations(process)
    x, z = np.array([0.3, -0.2]), np.array([1.0, 2.0])
    y = sde.FluctuationState(jnp.asarray(x), jnp.asarray(z))
    columns = np.stack([limit.noise(0.0, y, e).deviation for e in jnp.eye(3)])
    slopes = h * (x - a)
    covariance = np.cov(slopes.T, aweights=p, bias=True)
    np.testing.assert_allclose(columns.T @ columns, 2 * covariance / 0.64, rtol=1e-12)
    field = limit.vector_field(0.0, y)
    np.testing.assert_allclose(field.position, -(p @ slopes) / 0.8, rtol=1e-12)
    np.testing.assert_allclose(field.deviation, -(p @ h) * z / 0.8, rtol=1e-12)


def test_fluctuations_without_one_rate_are_refused():
    q = np.array([[-1.0, 1.0], [2.0, -2.0]])
    good = flows.quadratic_sum([[1.0], [-1.0]])
    with pytest.raises(BadInput, match="relaxation rate"):
        sde.fluctuations(process_of(good, sde.MarkovIndex(q)))
    fast = sde.UniformIndex(2, flows.PowerSchedule(1.0))
    with pytest.raises(BadInput, match="constant rate"):
        sde.fluctuations(sde.StochasticGradientMomentumProcess(good, fast))
    with pytest.raises(BadInput, match="switching process"):
        sde.fluctuations(flows.GradientFlow(good))
