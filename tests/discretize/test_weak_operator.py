"""Expectations without sampling: against all paths, closed forms and each other."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import discretize
import sde
from discretize.weak_operator import FOUR_VALUES, SIGNS
from flows import BadInput, GradientFlow, from_sympy
from flows.adaptive import RMSPropState
from flows.problems import quadratic

S = sp.Symbol("x", real=True)
LANDSCAPE = from_sympy(-sp.cos(S) - sp.Rational(3, 20) * sp.cos(2 * S), [S])


def spread(x):
    return 0.8 + 0.3 * jnp.cos(x)


NOISE = sde.FactorNoise(spread, "sign")
SGD = discretize.StochasticGradient(NOISE)
ONE = sde.FactorNoise(lambda x: jnp.asarray(1.0))


def second(h):
    return sde.StochasticModifiedEquation(LANDSCAPE, NOISE, h)


def all_paths(step, y, law, steps):
    """End points and probabilities of every sequence of draws, in numpy."""
    ends, weights = y, np.ones(1)
    for _ in range(steps):
        pairs = zip(law.values, law.weights, strict=True)
        moved = [(step(ends, z), w * weights) for z, w in pairs]
        ends = np.concatenate([m[0] for m in moved], axis=-1)
        weights = np.concatenate([m[1] for m in moved])
    return ends, weights


def test_sgd_on_the_circle_against_all_of_its_paths():
    """2^10 paths by hand."""
    h = 0.1

    def step(x, z):
        g = np.sin(x) + 0.3 * np.sin(2 * x)
        return x - h * (g + z * (0.8 + 0.3 * np.cos(x)))

    ends, weights = all_paths(step, np.array([1.2]), SIGNS, 10)
    grid = discretize.CircleGrid(65)
    y, flow = jnp.array([1.2]), GradientFlow(LANDSCAPE)
    operator = discretize.expectation_operator(grid, SGD, flow, y, h, SIGNS)
    start = grid.interpolation(np.array([[1.2]]))[0]
    values = np.cos(3 * grid.points[:, 0])
    found = start @ np.linalg.matrix_power(operator, 10) @ values
    exact = np.sum(weights * np.cos(3 * ends))
    assert found == pytest.approx(exact, abs=2e-10)
    biased = np.sum(weights * np.cos(3 * (ends - 1e-6)))
    assert abs(found - biased) > 1e-7


@pytest.mark.slow
def test_weak_errors_halve_twice_with_the_second_equation():
    errors = discretize.weak_errors(
        SGD,
        GradientFlow(LANDSCAPE),
        second,
        np.sin,
        1.2,
        t1=1.0,
        hs=[0.1, 0.05],
        law=SIGNS,
    )
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_drift_and_noise_on_the_circle_against_the_closed_form():
    """b and s constant: E sin kX(t) = e^{-k²s²t/2} sin k(x + bt)."""
    model = sde.ItoDiffusion(
        lambda t, y: jnp.full_like(y, 0.7), lambda t, y: jnp.asarray(0.9)
    )
    grid = discretize.CircleGrid(9)
    x = grid.points[:, 0]
    moved = discretize.circle_semigroup(grid, model, 1.3) @ np.sin(2 * x)
    exact = np.exp(-0.5 * 0.81 * 4 * 1.3) * np.sin(2 * (x + 0.7 * 1.3))
    np.testing.assert_allclose(moved, exact, atol=1e-12)
    np.testing.assert_allclose(
        grid.derivative(2) @ np.cos(4 * x), -16 * np.cos(4 * x), atol=1e-11
    )


def test_the_leading_error_of_euler_on_a_rotation():
    """Constant coefficients: the defect is that of the noise's fourth moment.

    One step of Euler-Maruyama with normal noise and constant coefficients is exact, so
    the defect of two-valued noise is the fourth cumulant's: R = -2 s⁴/24 ∂⁴ at h².
    """
    s, t1 = 0.9, 1.0
    model = sde.ItoDiffusion(
        lambda t, y: jnp.full_like(y, 0.7), lambda t, y: jnp.asarray(s)
    )
    grid = discretize.CircleGrid(9)
    limit = discretize.circle_generator(grid, model)
    defect = -2 * s**4 / 24 * grid.derivative(4)
    leading = discretize.leading_weak_error(limit, defect, t1)
    start = grid.interpolation(np.array([[0.4]]))[0]
    predicted = start @ leading @ np.sin(grid.points[:, 0])
    errors = discretize.weak_errors(
        discretize.Euler(),
        model,
        lambda h: model,
        np.sin,
        0.4,
        t1=t1,
        hs=[0.02, 0.01],
        law=SIGNS,
        grid=grid,
    )
    scaled = errors / [0.02, 0.01]
    assert 2 * scaled[1] - scaled[0] == pytest.approx(predicted, rel=1e-3)
    exact = discretize.weak_errors(
        discretize.Euler(),
        model,
        lambda h: model,
        np.sin,
        0.4,
        t1=t1,
        hs=[0.05],
        law=discretize.normal_law(8),
        grid=grid,
    )
    assert abs(exact[0]) < 1e-12


def test_rmsprop_in_a_box_against_all_of_its_paths():
    """4^5 paths in two coordinates; degrees too low are seen to be off."""
    h, y = 0.04, RMSPropState(jnp.array([1.0]), jnp.array([0.8]))
    model = sde.RMSPropSDE(quadratic([1.0]), ONE, 0.5, 0.8, 0.1)

    def step(y, z):
        x, u = y
        move = (h * x + h**0.5 * 0.5 * z) / (0.5 * np.sqrt(u) + 0.1)
        new = u + 0.8 * h * ((z + h**0.5 * x / 0.5) ** 2 - u)
        return np.stack([x - move, new])

    ends, weights = all_paths(step, np.array([[1.0], [0.8]]), FOUR_VALUES, 5)
    exact = weights @ np.stack([ends[0] ** 2, ends[1]], axis=1)

    def found(degrees):
        grid = discretize.PolynomialGrid(((-2.0, 2.0), (0.6, 1.3)), degrees)
        return discretize.chain_expectation(
            grid,
            discretize.StochasticRMSProp(),
            model,
            y,
            lambda p: np.stack([p[:, 0] ** 2, p[:, 1]], axis=1),
            h=h,
            steps=5,
            law=FOUR_VALUES,
        )

    np.testing.assert_allclose(found((6, 9)), exact, atol=1e-7)
    assert np.max(np.abs(found((2, 2)) - exact)) > 1e-5


def test_a_power_by_squaring_is_the_power_step_by_step():
    """A linear chain, whose second moment is also a closed form."""
    grid = discretize.PolynomialGrid(((-1.0, 1.0),), (2,))
    model, noise = quadratic([1.0]), sde.FactorNoise(lambda x: jnp.asarray(0.6))
    for steps in (2, 40):
        found = discretize.chain_expectation(
            grid,
            discretize.StochasticGradient(noise),
            GradientFlow(model),
            jnp.array([1.5]),
            lambda p: p[:, 0] ** 2,
            h=0.1,
            steps=steps,
            law=SIGNS,
        )
        factor = 0.81**steps
        still = 0.01 * 0.36 / (1 - 0.81)
        exact = factor * 1.5**2 + still * (1 - factor)
        assert found == pytest.approx(exact, rel=1e-11)


def test_the_normal_rule_has_the_moments_of_a_normal():
    law = discretize.normal_law(5)
    moments = [np.sum(law.weights * np.power(law.values, k)) for k in range(10)]
    np.testing.assert_allclose(moments, [1, 0, 1, 0, 3, 0, 15, 0, 105, 0], atol=1e-11)
    values, weights = np.array(FOUR_VALUES.values), np.array(FOUR_VALUES.weights)
    assert weights @ values**2 == pytest.approx(1)
    assert np.ptp(values**2) > 0.5


CIRCLE = {"t1": 1.0, "hs": [0.1], "law": SIGNS}
BAD = {
    "even nodes": lambda: discretize.CircleGrid(64),
    "a box of another dimension": lambda: discretize.PolynomialGrid(
        ((0.0, 1.0),), (2, 2)
    ),
    "an empty box": lambda: discretize.PolynomialGrid(((1.0, 1.0),), (2,)),
    "no whole number of steps": lambda: discretize.weak_errors(
        SGD,
        GradientFlow(LANDSCAPE),
        second,
        np.sin,
        0.0,
        **{**CIRCLE, "hs": [0.3]},
    ),
    "a drift that is not periodic": lambda: discretize.circle_generator(
        discretize.CircleGrid(9), GradientFlow(quadratic([1.0]))
    ),
    "weights that do not add up": lambda: discretize.expectation_operator(
        discretize.CircleGrid(9),
        SGD,
        GradientFlow(LANDSCAPE),
        jnp.ones(1),
        0.1,
        discretize.FiniteLaw((-1.0, 1.0), (0.5, 0.6)),
    ),
    "a grid of other coordinates": lambda: discretize.expectation_operator(
        discretize.PolynomialGrid(((0.0, 1.0),) * 2, (1, 1)),
        SGD,
        GradientFlow(LANDSCAPE),
        jnp.ones(1),
        0.1,
        SIGNS,
    ),
    "too many maps": lambda: discretize.expectation_operator(
        discretize.CircleGrid(9),
        discretize.StochasticGradient(sde.FactorNoise(lambda x: jnp.ones((1, 13)))),
        GradientFlow(LANDSCAPE),
        jnp.ones(1),
        0.1,
        SIGNS,
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_is_refused(what):
    with pytest.raises(BadInput):
        BAD[what]()


def test_every_combination_of_draws_is_one_map():
    """Two entries of two values: four maps, with products of the weights."""
    noise = sde.FactorNoise(lambda x: jnp.array([[0.3, 0.4]]))
    law = discretize.FiniteLaw((-0.5, 2.0), (0.8, 0.2))
    grid = discretize.PolynomialGrid(((-1.0, 1.0),), (3,))
    found = discretize.chain_expectation(
        grid,
        discretize.StochasticGradient(noise),
        GradientFlow(quadratic([1.0])),
        jnp.array([0.5]),
        lambda p: p[:, 0] ** 3,
        h=0.1,
        steps=1,
        law=law,
    )
    exact = sum(
        w * v * (0.5 - 0.1 * (0.5 + 0.3 * a + 0.4 * b)) ** 3
        for (a, w), (b, v) in itertools.product(zip(*law, strict=True), repeat=2)
    )
    assert found == pytest.approx(exact, rel=1e-13)
