"""optax.sgd as a point of INNA and back; the start of the modified flow."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import (
    HEAVY_BALL_AS_INNA,
    INERTIAL_HEAVY_BALL,
    INNA,
    MODIFIED_HEAVY_BALL,
    MODIFIED_NESTEROV,
    NESTEROV_AS_INNA,
    compare,
    from_inertial_newton,
    modified_inertial_newton,
    modified_start,
    to_inertial_newton,
    to_quasi_hyperbolic,
)
from flows import BadInput
from flows.problems import quadratic, wavy


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_known_points():
    heavy = to_inertial_newton(1e-2, 0.9)
    np.testing.assert_allclose(heavy, (0.1, 1.0, 0.1), rtol=1e-14)
    nesterov = to_inertial_newton(1e-2, 0.9, nesterov=True)
    np.testing.assert_allclose(nesterov, (0.1, 1.0, 0.19), rtol=1e-14)
    # αβ < 1: both have curvatures at which they spiral
    assert float(heavy.friction * heavy.hessian_damping) == pytest.approx(1 - 0.9)
    assert float(nesterov.friction * nesterov.hessian_damping) == pytest.approx(0.19)


@settings(max_examples=12, deadline=None)
@given(st.floats(1e-5, 10), st.just(0.0) | st.floats(1e-3, 1), st.booleans())
def test_there_and_back(eta, m, nesterov):
    point = to_inertial_newton(eta, m, nesterov)
    for said in (None, nesterov):
        found = from_inertial_newton(*point, nesterov=said)
        np.testing.assert_allclose(found.learning_rate, eta, rtol=1e-13)
        # m = 1 - αγ: within the rounding up to which numbers count as equal
        np.testing.assert_allclose(found.momentum, m, rtol=0, atol=1e-8)
        if m > 0 and said is None:
            assert found.nesterov == nesterov


def test_gradient_descent_is_found_at_every_such_point():
    found = from_inertial_newton(0.05, 4.0, 0.25)
    assert (float(found.momentum), found.nesterov) == (0.0, False)
    np.testing.assert_allclose(found.learning_rate, 0.0125, rtol=1e-14)


def test_what_no_sgd_expresses_is_refused():
    with pytest.raises(BadInput, match="is not heavy ball or Nesterov's momentum"):
        from_inertial_newton(0.1, 0.5, 0.3)
    with pytest.raises(BadInput, match="is not Nesterov's momentum"):
        from_inertial_newton(*to_inertial_newton(1e-2, 0.9), nesterov=True)
    with pytest.raises(BadInput, match="negative momentum"):
        from_inertial_newton(0.1, 15.0, 0.1)
    with pytest.raises(BadInput, match=r"momentum is in \[0, 1\]"):
        to_inertial_newton(0.1, 1.5)
    for bad in ((0.0, 0.5, 0.1), (0.1, -0.5, 0.1), (0.1, 0.5, np.inf)):
        with pytest.raises(BadInput):
            from_inertial_newton(*bad)
    with pytest.raises(BadInput, match="β >= γ"):
        modified_inertial_newton(wavy(), 0.2, 0.5, 0.1)
    with pytest.raises(BadInput, match="αγ < 2"):
        modified_inertial_newton(wavy(), 1.0, 2.0, 1.0)


def test_traced_numbers_need_to_be_told():
    def momentum(eta, told):
        return from_inertial_newton(*to_inertial_newton(eta, 0.9), nesterov=told)[1]

    assert float(jax.jit(lambda e: momentum(e, False))(0.01)) == pytest.approx(0.9)
    with pytest.raises(BadInput, match="traced"):
        jax.jit(lambda e: momentum(e, None))(0.01)


def nesterov_by_hand(eta, m, steps, slope, x):
    trace, path = 0.0, []
    for _ in range(steps):
        g = slope(x)
        trace = g + m * trace
        x = x - eta * (g + m * trace)
        path.append(x)
    return np.array(path)


def test_the_row_is_exact_on_a_quadratic():
    """optax beside Euler on the flow in (x, ψ), and both beside plain NumPy."""
    spectrum, start = np.array([0.5, 3.0]), np.array([1.1, -0.7])
    run = compare(
        quadratic(spectrum),
        NESTEROV_AS_INNA(learning_rate=0.1, momentum=0.8),
        jnp.asarray(start),
        steps=80,
        flow=False,
    )
    hand = nesterov_by_hand(0.1, 0.8, 80, lambda x: spectrum * x, start)
    np.testing.assert_allclose(run.positions[1:], hand, rtol=0, atol=1e-14)
    assert np.max(run.exact_gap) < 1e-13
    assert run.times[-1] == pytest.approx(80 * np.sqrt(0.1))


def test_every_point_of_inna_is_quasi_hyperbolic_momentum():
    """Two recursions in NumPy, on a gradient that is not linear."""
    gamma, alpha, beta = 0.1, 0.7, 0.4
    eta, m, nu = map(float, to_quasi_hyperbolic(gamma, alpha, beta))
    assert nu == pytest.approx((1 - 0.28) / 0.93)
    x = y = np.array([1.1, -0.7])
    psi, d = (1 - alpha * beta) * x, 0.0
    for _ in range(60):
        slow = (alpha - 1 / beta) * x + psi / beta
        x, psi = x - gamma * (slow + beta * np.sinh(x)), psi - gamma * slow
        g = np.sinh(y)
        d = m * d + (1 - m) * g
        y = y - eta * ((1 - nu) * g + nu * d)
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-13)
    assert np.max(np.abs(x)) < 0.9
    with pytest.raises(BadInput, match="αγ = 1"):
        to_quasi_hyperbolic(0.5, 2.0, 0.4)
    with pytest.raises(BadInput, match="αγ = 1"):
        to_quasi_hyperbolic(0.47, 1 / 0.47, 0.4)  # 1 - αγ is a rounding
    with pytest.raises(BadInput, match="friction"):
        to_quasi_hyperbolic(0.5, 0.0, 0.4)


def test_the_modified_start_matches_the_first_step():
    """x(γ) of the flow on a quadratic is INNA's x₁ to O(γ³); from rest to O(γ²)."""
    spectrum, x0, alpha = np.array([0.5, 3.0]), np.array([1.1, -0.7]), 0.7
    gaps = []
    for gamma in (0.1, 0.05, 0.025):
        point = (gamma, alpha, (2 - alpha * gamma) * gamma)
        flow = modified_inertial_newton(quadratic(spectrum), *point)
        v0 = modified_start(flow.objective, jnp.asarray(x0), *point).velocity
        mass, friction, damping, _ = map(float, flow.coefficients(0.0))
        row = []
        for v in (np.asarray(v0), np.zeros(2)):
            end = [
                scipy.linalg.expm(
                    gamma
                    * np.array(
                        [[0, 1], [-lam / mass, -(friction + damping * lam) / mass]]
                    )
                )[0]
                @ (x0[i], v[i])
                for i, lam in enumerate(spectrum)
            ]
            first = x0 - gamma * point[2] * spectrum * x0
            row.append(np.linalg.norm(end - first))
        gaps.append(row)
    slopes = np.log2(np.array(gaps)[:-1] / np.array(gaps)[1:])
    np.testing.assert_allclose(slopes[-1], [3, 2], atol=0.25)


def test_the_modified_start_takes_floats_and_an_objective(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    f, point, wrong = quadratic([0.5, 3.0]), (0.1, 0.7, 0.2), np.array([1, 2])
    with pytest.raises(BadInput, match="x0 is an array of floats"):
        modified_start(f, wrong, *point)  # pyright: ignore
    with pytest.raises(BadInput, match="modified_start takes an objective"):
        modified_start(type(f), jnp.ones(2), *point)  # pyright: ignore


def test_rows_refuse_a_momentum_of_one_and_say_what_they_take():
    with pytest.raises(BadInput, match="momentum"):
        HEAVY_BALL_AS_INNA(learning_rate=0.1, momentum=1.0)
    with pytest.raises(BadInput, match="takes learning_rate, alpha, beta"):
        INNA(learning_rate=0.1, momentum=0.9)
    with pytest.raises(BadInput, match="beta is a number > 0"):
        INNA(learning_rate=0.1, beta=0.0)
    for row in (MODIFIED_HEAVY_BALL, MODIFIED_NESTEROV, INERTIAL_HEAVY_BALL):
        with pytest.raises(BadInput, match=r"αγ = 1.5 > 1 .* negative momentum"):
            row(step=0.1, friction=15.0)
        assert row(step=0.1, friction=10.0)
    pairing = MODIFIED_NESTEROV(step=0.1, friction=0.7)
    assert float(pairing.step_sizes(1)) == pytest.approx(0.1)
    optimizer = pairing.row.optimizer(pairing.hyper)
    assert isinstance(optimizer, optax.GradientTransformation)
