"""What the problems state of themselves, against numerics of other origin."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize

from flows import BadInput
from flows.finite_sums import rows_of
from flows.problems import (
    balanced_factors,
    deep_linear,
    end_to_end,
    exponential,
    imbalance,
    least_squares,
    logistic,
    logistic_regression,
    max_margin,
    quadratic,
    rosenbrock,
    scalar_product,
    separable_exponential,
)

few = settings(max_examples=15, deadline=None, derandomize=True)
RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((6, 3)), RNG.standard_normal(6)
WIDE, SHORT = RNG.standard_normal((2, 4)), RNG.standard_normal(2)
PHI = RNG.standard_normal((3, 4))
FACTOR = RNG.standard_normal((4, 4))
MOMENT = FACTOR @ FACTOR.T + 0.1 * np.eye(4)
CATALOGUE = {
    "quadratic": quadratic([0.5, 2.0, 5.0], centre=[1.0, 0.0, -1.0], rotation=3),
    "logistic": logistic(),
    "exponential": exponential(),
    "rosenbrock": rosenbrock(4, 20.0),
    "least squares": least_squares(X, Y),
    "least squares, wide": least_squares(WIDE, SHORT),
    "logistic regression": logistic_regression(X, np.sign(Y), ridge=0.1),
    "separable": separable_exponential(),
    "scalar product": scalar_product(3, -2.0),
    "linear model": deep_linear(PHI, moment=MOMENT),
    "deep linear": deep_linear(PHI, (2, 5), moment=MOMENT),
}


@eqx.filter_jit
def look(objective, x):
    """f, its gradient, the gradient of its value, and the Hessian's ends at x."""
    hessian = jax.vmap(lambda v: objective.hvp(x, v))(jnp.eye(x.shape[0]))
    ends = jnp.linalg.eigvalsh((hessian + hessian.T) / 2)[jnp.array([0, -1])]
    slope = jax.grad(lambda x: objective.value(x))(x)
    return objective.value(x), objective.gradient(x), slope, ends


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_facts_hold_at_random_points(name):
    """μ <= Hessian <= L, f >= the minimum, and ∇f is the gradient of the value."""
    f = CATALOGUE[name]
    facts = f.facts
    rng = np.random.default_rng(2)
    curvatures = []
    for scale in (0.1, 1.0, 6.0, -6.0):
        x = jnp.asarray(scale * np.abs(rng.standard_normal(f.size)))
        value, gradient, slope, (low, high) = look(f, x)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-10)
        rounding = 1e-12 * max(abs(low), abs(high))
        if facts.smoothness is not None:
            assert max(abs(low), abs(high)) <= facts.smoothness.value + rounding
        if facts.strong_convexity is not None:
            assert low >= facts.strong_convexity.value - rounding
        if facts.minimum is not None:
            assert value >= facts.minimum.value - 1e-14
        curvatures.append(float(high))
    if facts.smoothness is None:  # none is claimed, and none is seen
        assert max(curvatures[2:]) > 5 * curvatures[0]


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_minimiser_has_the_minimum_and_no_slope(name):
    facts = CATALOGUE[name].facts
    if facts.minimiser is None:
        assert facts.minimum is None  # the infimum 0 is not attained
        return
    x = jnp.asarray(facts.minimiser.value)
    value, gradient, _, (low, high) = look(CATALOGUE[name], x)
    assert value == pytest.approx(facts.minimum.value, rel=1e-12, abs=1e-25)
    np.testing.assert_allclose(gradient, np.zeros(len(x)), atol=1e-12 * high)
    assert low >= -1e-10 * high


def test_smoothness_of_the_logistic_losses_is_attained():
    for f in (logistic(), logistic_regression(X, np.sign(Y), ridge=0.3)):
        *_, (_, high) = look(f, jnp.zeros(f.size))
        assert high == pytest.approx(f.facts.smoothness.value, rel=1e-13)
    by_hand = np.linalg.eigvalsh(X.T @ X)[-1] / (4 * 6) + 0.3
    assert f.facts.smoothness.value == pytest.approx(by_hand, rel=1e-13)


def test_a_ridge_makes_the_logistic_minimum_attained():
    """Scipy finds it, and the curvature there is above μ = ρ."""
    f = CATALOGUE["logistic regression"]

    def value(w):
        loss, slope, *_ = look(f, jnp.asarray(w))
        return float(loss), np.asarray(slope)

    found = minimize(value, np.zeros(3), jac=True, tol=1e-10)
    _, gradient, _, (low, _) = look(f, jnp.asarray(found.x))
    assert np.linalg.norm(gradient) < 1e-8
    assert low > f.facts.strong_convexity.value == 0.1


def test_a_rotation_keeps_the_spectrum_and_moves_the_axes():
    f = CATALOGUE["quadratic"]
    spectrum = np.linalg.eigvalsh(np.asarray(f.matrix))
    np.testing.assert_allclose(spectrum, [0.5, 2.0, 5.0], rtol=1e-13)
    other = quadratic([0.5, 2.0, 5.0], rotation=4)
    assert np.max(np.abs(np.asarray(other.matrix - f.matrix))) > 0.1
    same = quadratic([0.5, 2.0, 5.0], rotation=3)
    np.testing.assert_array_equal(same.matrix, f.matrix)


def test_the_least_norm_solution_has_the_least_norm():
    f = CATALOGUE["least squares, wide"]
    solution = f.facts.minimiser.value
    np.testing.assert_allclose(solution, np.linalg.pinv(WIDE) @ SHORT, rtol=1e-12)
    assert f.facts.minimum.value == 0.0
    assert f.facts.strong_convexity.value == 0.0
    _, _, vt = np.linalg.svd(WIDE)
    other = solution + 0.3 * vt[-1]  # another solution
    assert f.value(jnp.asarray(other)) < 1e-28
    assert np.linalg.norm(other) > np.linalg.norm(solution)


def test_a_bottleneck_cannot_do_better_than_eckart_and_young():
    """Scipy from four starts, for hidden width 1 and correlated inputs."""
    f = deep_linear(PHI, (1,), moment=MOMENT)

    def run(seed):
        start = np.random.default_rng(seed).standard_normal(f.size)

        def value(x):
            loss, slope, *_ = look(f, jnp.asarray(x))
            return float(loss), np.asarray(slope)

        return minimize(value, start, jac=True, method="L-BFGS-B", tol=1e-14).fun

    best = min(run(seed) for seed in range(4))
    assert best == pytest.approx(f.facts.minimum.value, rel=1e-9)
    white = deep_linear(PHI, (1,)).facts.minimum.value
    singular = np.linalg.svd(PHI, compute_uv=False)
    assert white == pytest.approx(0.5 * np.sum(singular[1:] ** 2), rel=1e-13)


def test_a_deep_linear_network_is_its_product():
    f = CATALOGUE["deep linear"]
    assert f.shapes == ((2, 4), (5, 2), (3, 5))
    layers = tuple(jnp.asarray(RNG.standard_normal(s)) for s in f.shapes)
    x = f.ravel(layers)
    w = np.asarray(layers[2]) @ np.asarray(layers[1]) @ np.asarray(layers[0])
    expected = 0.5 * np.trace((w - PHI) @ MOMENT @ (w - PHI).T)
    for value in (f.value(x), f.loss_of(layers), f.loss_of(x)):
        assert float(value) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(f.product(x), w, rtol=1e-13)
    for a, b in zip(f.params(x), layers, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(BadInput, match="shapes"):
        f.ravel(layers[:2])


def test_balanced_factors_are_balanced_and_multiply_up():
    product = RNG.standard_normal((3, 2)) @ RNG.standard_normal((2, 4))
    factors = balanced_factors(product, (2, 5, 3))
    np.testing.assert_allclose(end_to_end(factors), product, rtol=1e-12, atol=1e-13)
    assert imbalance(factors) < 1e-14
    tilted = (2.0 * factors[0], *factors[1:])  # negative control
    assert imbalance(tilted) > 1.0
    with pytest.raises(BadInput, match="rank 2"):
        balanced_factors(product, (1,))


@few
@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(1, 6), st.integers(1, 3)),
        elements=st.integers(-12, 12).map(lambda k: k / 4),
    )
)
def test_the_max_margin_against_all_sets_of_support_vectors(points):
    """The shortest w with x_i·w >= 1 is a combination of active constraints."""
    points = points + np.array([2.0, 0.5, -1.0])[: points.shape[1]]
    best = shortest(points)
    if best is None:
        with pytest.raises(BadInput, match="not separable"):
            max_margin(points)
        return
    found = max_margin(points)
    size = np.linalg.norm(best)
    assert found.margin == pytest.approx(1 / size, rel=1e-7)
    np.testing.assert_allclose(found.direction, best / size, atol=1e-7)
    assert np.min(points @ found.direction) == pytest.approx(found.margin, rel=1e-7)
    # The dual certificate: a convex combination that is margin times the direction.
    np.testing.assert_allclose(
        found.weights @ points, found.margin * found.direction, atol=1e-12
    )
    assert np.all(found.weights >= 0)
    assert np.sum(found.weights) == pytest.approx(1.0, rel=1e-14)


def shortest(points):
    """By enumeration: each set of active constraints, its multipliers >= 0."""
    for size in range(1, points.shape[1] + 1):
        for chosen in itertools.combinations(range(len(points)), size):
            active = points[list(chosen)]
            gram = active @ active.T
            if np.linalg.cond(gram) > 1e12:
                continue
            multipliers = np.linalg.solve(gram, np.ones(size))
            w = active.T @ multipliers
            if np.all(multipliers >= 0) and np.all(points @ w >= 1 - 1e-9):
                return w
    return None


@pytest.mark.parametrize(
    "call",
    [
        lambda: quadratic([1.0, 2.0], centre=[1.0]),
        lambda: rosenbrock(1),
        lambda: rosenbrock(2, -1.0),
        lambda: scalar_product(1),
        lambda: scalar_product(2, np.nan),
        lambda: least_squares(X, Y[:-1]),
        lambda: least_squares([[np.inf]], [1.0]),
        lambda: logistic_regression(X, Y),
        lambda: logistic_regression(X, np.sign(Y), ridge=-1.0),
        lambda: deep_linear([1.0, 2.0]),
        lambda: deep_linear(PHI, (0,)),
        lambda: deep_linear(PHI, moment=-np.eye(4)),
        lambda: deep_linear(PHI, moment=np.eye(3)),
        lambda: separable_exponential([[1.0, 0.0], [-1.0, 0.0]]),
        lambda: max_margin([]),
        lambda: rosenbrock(3).value(jnp.ones(2)),
        lambda: scalar_product(3).value(jnp.ones(2)),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(BadInput):
        call()


def test_rosenbrock_against_scipy():
    from scipy.optimize import rosen, rosen_der

    f, x = rosenbrock(5), RNG.standard_normal(5)
    assert float(f.value(jnp.asarray(x))) == pytest.approx(rosen(x), rel=1e-13)
    np.testing.assert_allclose(f.gradient(jnp.asarray(x)), rosen_der(x), rtol=1e-11)


def test_batches_average_to_the_whole():
    """Each data loss is the mean of its rows."""
    x = jnp.asarray(RNG.standard_normal(3))
    for f in (least_squares(X, Y), logistic_regression(X, np.sign(Y), ridge=0.2)):
        halves = [f.value(x, jnp.arange(3)), f.value(x, jnp.arange(3, 6))]
        assert float(sum(halves)) / 2 == pytest.approx(float(f.value(x)), rel=1e-13)
        slopes = [f.gradient(x, jnp.arange(3)), f.gradient(x, jnp.arange(3, 6))]
        np.testing.assert_allclose(sum(slopes) / 2, f.gradient(x), rtol=1e-12)


def test_data_losses_are_finite_sums_of_their_rows():
    """One row by its index or as a batch of one, beside numpy."""
    x, i, ridge = np.array([0.3, -0.7, 1.1]), 4, 0.2
    squares = least_squares(X, Y)
    classes = logistic_regression(X, np.sign(Y), ridge=ridge)
    assert (rows_of(squares), rows_of(classes)) == (6, 6)
    residual, margin = X[i] @ x - Y[i], np.sign(Y[i]) * X[i] @ x
    pull = -np.sign(Y[i]) * X[i] / (1 + np.exp(margin))
    true = [
        (squares, residual**2 / 2, residual * X[i]),
        (
            classes,
            np.log1p(np.exp(-margin)) + ridge / 2 * x @ x,
            pull + ridge * x,
        ),
    ]
    for f, value, slope in true:
        for batch in (i, jnp.asarray([i])):
            found = jax.jit(lambda x, b, f=f: (f.value(x, b), f.gradient(x, b)))
            ours = found(jnp.asarray(x), batch)
            np.testing.assert_allclose(ours[0], value, rtol=1e-13)
            np.testing.assert_allclose(ours[1], slope, rtol=1e-13)
