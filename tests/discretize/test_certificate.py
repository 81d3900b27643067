"""Step sizes of the approximation theorem: estimated, and certified."""

import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

from discretize import (
    approximation,
    certify_linear_net,
    error_bound,
    error_growth,
    error_law,
)
from discretize.certificate.balls import (
    BALLS,
    eigenvalue_bounds,
    matrix,
    operator_norm,
    working,
)
from discretize.certificate.enclosure import hessian
from discretize.certificate.spectrum import spectrum_ends
from discretize.certificate.theorem import Tube, step_size
from flows import BadInput, from_sympy
from flows.problems import deep_linear, quadratic, wavy

TARGET = [[1, 0], [0, "1/2"]]
FACTORS = (
    [["3/10", "1/10"], ["-1/5", "2/5"]],
    [["1/4", 0], ["1/10", Fraction(1, 2)]],
)


@pytest.fixture(scope="module")
def certified():
    return certify_linear_net(TARGET, FACTORS, t1=1, pieces=5, cells=4)


def floats(rows):
    return np.array([[float(Fraction(str(v))) for v in row] for row in rows])


def flow_by_scipy(times):
    w1, w2 = map(floats, FACTORS)
    phi = floats(TARGET)

    def field(t, y):
        a, b = y[:4].reshape(2, 2), y[4:].reshape(2, 2)
        r = b @ a - phi
        return -np.concatenate([(b.T @ r).ravel(), (r @ a.T).ravel()])

    start = np.concatenate([w1.ravel(), w2.ravel()])
    found = solve_ivp(
        field, (0, 1), start, method="DOP853", t_eval=times, rtol=1e-13, atol=1e-14
    )
    return found.y.T


def test_the_enclosed_flow_holds_scipys(certified):
    times = [Fraction(k, 7) for k in range(8)]
    expected = flow_by_scipy([float(t) for t in times])
    with working():
        for t, y in zip(times, expected, strict=True):
            pair = certified.enclosure.at(t)
            got = np.array([float(x.mid()) for w in pair for x in w.entries()])
            assert np.linalg.norm(got - y) < certified.enclosure.error + 1e-11
    assert certified.enclosure.error < 1e-9


def test_the_certified_tube_lies_below_the_curvature_of_the_flow(certified):
    """λ_min at random points of the tube, from numpy, is above m there."""
    found = certified.approximation
    rng = np.random.default_rng(0)
    objective = deep_linear(floats(TARGET), (2,))
    middles = (found.times[1:] + found.times[:-1]) / 2
    for i, y in list(enumerate(flow_by_scipy(middles)))[::5]:
        d = rng.normal(size=8)
        q = y + found.eps * d / np.linalg.norm(d)
        ends, _ = spectrum_ends(objective, jnp.asarray(q))
        assert found.step.m[i] <= ends.low
        assert ends.high <= found.step.beta[i]
        assert np.linalg.norm(objective.gradient(jnp.asarray(q))) <= found.step.gamma[i]


def test_descent_keeps_to_the_certified_distance(certified):
    run = certified.descend()
    assert run.eps == certified.approximation.eps
    assert run.upper.max() <= run.eps
    assert np.all(run.lower <= run.upper)
    assert run.slack > 1
    assert "the bound is" in repr(run)
    # the same distances, in floating point
    rate = float(run.learning_rate)
    objective = deep_linear(floats(TARGET), (2,))
    steps = len(run.upper) - 1
    x = flow = jnp.asarray(flow_by_scipy([0.0])[0])
    for _ in range(steps):
        x = x - rate * objective.gradient(x)
    flow = flow_by_scipy([steps * rate])[0]
    assert np.linalg.norm(np.asarray(x) - flow) == pytest.approx(
        run.upper[-1], abs=1e-9
    )


def test_a_step_beyond_stability_is_refused_and_leaves_the_tube(certified):
    run = certified.descend("9/10")
    assert run.eps is None
    assert not certified.approximation.allows(0.9)
    assert "nothing was promised" in repr(run)


def test_balls_and_floats_give_one_step_size(certified):
    tube, eps = certified.approximation.tube, certified.approximation.eps
    with working():
        exact = float(step_size(tube, eps, 0.0, BALLS).learning_rate.mid())
    assert exact == pytest.approx(step_size(tube, eps).learning_rate, rel=1e-9)
    assert certified.learning_rate <= exact


def test_the_best_radius_beats_its_neighbours(certified):
    best = certified.approximation
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert best.at(factor * best.eps).learning_rate < best.learning_rate


def test_exact_data_are_exact():
    with pytest.raises(BadInput, match="exact data"):
        certify_linear_net([[0.3]], ([["1"]], [["1"]]), t1=1)
    with pytest.raises(BadInput, match="fitting shapes"):
        certify_linear_net([["1", "2"]], ([["1"]], [["1"]]), t1=1)
    with pytest.raises(BadInput, match="pieces"):
        certify_linear_net([["1"]], ([["1"]], [["1"]]), t1=1, pieces=0)


def test_too_few_pieces_are_noticed():
    with pytest.raises(BadInput, match="more pieces"):
        certify_linear_net(TARGET, FACTORS, t1=40, pieces=2, cells=1)


def test_eigenvalue_bounds_hold_the_eigenvalues():
    a = np.array([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]])
    with working():
        low, high = eigenvalue_bounds(matrix(a))
        norm = float(operator_norm(matrix([[3.0, 0.0], [4.0, 0.0]])))
    exact = 2 - np.sqrt(2), 2 + np.sqrt(2)
    assert low <= exact[0] == pytest.approx(low, abs=1e-12)
    assert high >= exact[1] == pytest.approx(high, abs=1e-12)
    assert norm == pytest.approx(5.0, rel=1e-12)


def test_the_hessian_in_balls_is_that_of_the_loss():
    rng = np.random.default_rng(1)
    w1, w2, phi = (rng.integers(-8, 9, s) / 8 for s in ((3, 2), (2, 3), (2, 2)))
    objective = deep_linear(phi, (3,))
    x = objective.ravel((jnp.asarray(w1), jnp.asarray(w2)))
    with working():
        h = hessian((matrix(w1), matrix(w2)), matrix(phi))
        got = np.array([float(v.mid()) for v in h.entries()]).reshape(12, 12)
    for i in range(12):
        np.testing.assert_allclose(got[i], objective.hvp(x, jnp.eye(12)[i]), atol=1e-14)


def test_growth_has_its_closed_forms():
    times = np.linspace(0, 3, 13)
    flat, saddle = (
        error_growth(times, np.zeros(12)),
        error_growth(times, np.full(12, -1)),
    )
    np.testing.assert_allclose(flat, times, rtol=1e-14)
    np.testing.assert_allclose(saddle, np.expm1(times), rtol=1e-13)
    convex = error_growth(times, np.linspace(0, 5, 12))
    assert np.all(convex <= times)
    with pytest.raises(BadInput, match="increase"):
        error_growth([0.0, 0.0], [1.0])


def test_the_theorem_on_a_quadratic_by_hand():
    """f = x²/2 from 1, ε: m = β = 1, γ = 1 + ε, K(T) = 1 - e^{-T}."""
    tube = Tube(np.linspace(0, 2, 2001), *np.array([[1.0] * 2000] * 3), 0, 0, 0.0)
    tube = tube._replace(radius=np.zeros(2000), linear=np.zeros(2000))
    eps = 0.1
    expected = eps / ((1 + eps) * -np.expm1(-2.0))
    # |∇f| is bounded over the tube by 1 + β ε
    assert step_size(tube, eps).learning_rate == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_the_estimate_covers_an_error_at_the_start():
    x, y = quadratic([1.0, 2.0]), jnp.array([1.0, -1.0])
    near = approximation(x, y, t1=1.0, eps=0.1, cells=4)
    far = approximation(x, y, t1=1.0, eps=0.1, flow_start=y + 0.2, cells=4)
    assert near.learning_rate > 0
    assert far.learning_rate == 0
    assert "no step size" in repr(far)
    assert near.allows(0.9 * near.learning_rate)
    assert not near.allows(1.1 * near.learning_rate)


@pytest.mark.slow
def test_estimate_and_certificate_agree_about(certified):
    objective = deep_linear(floats(TARGET), (2,))
    start = tuple(jnp.asarray(floats(w)) for w in FACTORS)
    found = approximation(objective, start, t1=1.0, eps=certified.approximation.eps)
    ratio = found.learning_rate / certified.approximation.learning_rate
    assert 1 < ratio < 3  # the estimate has no slack for the grid, the proof has


def test_lanczos_meets_the_dense_spectrum():
    spectrum = np.concatenate([[-0.5], np.linspace(0.1, 2, 78), [3.0]])
    ends, _ = spectrum_ends(quadratic(spectrum), jnp.ones(80))
    assert (ends.low, ends.high) == pytest.approx((-0.5, 3.0), abs=1e-6)
    assert ends.residual < 1e-3


@pytest.mark.slow
def test_the_error_law_predicts_descent_and_its_bound_holds():
    objective, start = wavy(), jnp.array([0.4, -0.3])
    times = np.linspace(0, 1, 41)
    law = error_law(objective, start, times=times)
    gaps = []
    for eta in (0.01, 0.005):
        x = start
        for _ in range(round(1 / eta)):
            x = x - eta * objective.gradient(x)
        gaps.append((np.asarray(x) - law.positions[-1]) / eta)
    extrapolated = 2 * gaps[1] - gaps[0]
    np.testing.assert_allclose(extrapolated, law.coefficients[-1], rtol=1e-2, atol=1e-4)
    bound = error_bound(objective, times, law.positions)
    assert law.distance(1.0)[-1] <= bound[-1] * (1 + 1e-3)


def test_a_hessian_that_is_not_finite_is_refused():
    import sympy

    x = sympy.Symbol("x", real=True)
    cusp = from_sympy(sympy.Abs(x) ** sympy.Rational(3, 2), [x])
    with pytest.raises(BadInput, match="not finite"):
        spectrum_ends(cusp, jnp.zeros(1))


@pytest.mark.slow
def test_an_affine_loss_allows_every_step():
    x, y = sympy.symbols("x y", real=True)
    loss, start = from_sympy(3 * x - 4 * y, [x, y]), jnp.full(2, 0.5)
    found = approximation(loss, start, t1=1.0)
    assert found.learning_rate == np.inf
    assert found.allows(100.0)
    # but none where the start is farther off than ε, as nothing pulls it back
    off = approximation(loss, start, t1=1.0, eps=0.1, flow_start=jnp.zeros(2))
    assert off.learning_rate == 0


@pytest.mark.parametrize("eps", [1e3, 1e30, 1e150, 1e300])
def test_a_tube_too_wide_for_the_numbers_allows_nothing(certified, eps):
    for found in (certified, certified.approximation.at(eps)):
        assert "η < -" not in repr(found)
    assert certified.at(eps).learning_rate == 0
    tube = certified.approximation.tube
    assert step_size(tube, eps).learning_rate == 0  # floats overflow: K = ∞


def test_the_enclosure_ends_at_its_last_time(certified):
    for t in (Fraction(-1, 2), Fraction(3, 2)):
        with pytest.raises(BadInput, match="enclosed on"):
            certified.enclosure.at(t)


def test_the_enclosure_of_a_scalar_net_holds_its_closed_form():
    # w₁ = w₂ and s = w₁ w₂: s' = 2 s (1 - s) from 1/4
    found = certify_linear_net([[1]], ([["1/2"]], [["1/2"]]), t1="7/3", pieces=8)
    for t in (Fraction(1, 3), Fraction(1), Fraction(7, 3)):
        with working():
            w1, w2 = found.enclosure.at(t)
        grown = math.exp(2 * t)
        s = grown / (grown + 3)
        gap = abs(float(w1[0, 0].mid() * w2[0, 0].mid()) - s)
        assert gap <= 3 * found.enclosure.error + 1e-15
