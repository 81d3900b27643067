"""The stationary preconditioner against closed forms, duality and a convex solver."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import BadInput, SolveFailed
from flows.central.stationary import (
    first_term_preconditioner,
    optimisation_speed,
    stationary_preconditioner,
    stationary_scalar,
)


def instance(n, seed, spread=0.0):
    """A symmetric H with both signs, and a gradient; rows scaled by 10^±spread."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-spread, spread, n)
    a = rng.standard_normal((n, n))
    return 0.5 * (a + a.T) * np.outer(scale, scale), 0.1 * rng.standard_normal(n)


def dual_value(h, g, eta, found):
    """⟨Z, H⟩ + (2/η) Σ |g_i| √(1 - 2 Z_ii): a lower bound of tr P + η⁻² gᵀP⁻¹g."""
    z = found.vectors @ found.multiplier @ found.vectors.T
    assert np.all(np.linalg.eigvalsh(found.multiplier) > -1e-12)
    left = 1 - 2 * np.diag(z)
    assert np.min(left) > -1e-12
    root = np.sqrt(np.maximum(left, 0.0))
    return np.sum(z * h) + 2 / eta * np.abs(g) @ root


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 12),
    seed=st.integers(0, 2**16),
    eta=st.floats(0.01, 3.0),
    spread=st.sampled_from([0.0, 2.0]),
)
def test_the_minimum_is_certified_by_duality(n, seed, eta, spread):
    h, g = instance(n, seed, spread)
    found = stationary_preconditioner(h, g, eta)
    p = found.preconditioner
    root = np.sqrt(p)
    assert np.linalg.eigvalsh(h / np.outer(root, root))[-1] < 2 + 1e-8
    value = p.sum() + np.sum(g**2 / p) / eta**2
    assert value * (1 - 1e-9) <= dual_value(h, g, eta, found) <= value * (1 + 1e-12)
    assert max(found.residual, found.relative_gap) < 1e-8


def test_the_memory_rests_where_the_oscillation_is_the_multiplier():
    h, g = instance(8, 3)
    eta = 0.3
    found = stationary_preconditioner(h, g, eta)
    sigma = found.vectors @ found.covariance @ found.vectors.T
    p = found.preconditioner
    nu = (eta * p) ** 2
    np.testing.assert_allclose(g**2 + np.diag(h @ sigma @ h), nu, rtol=1e-11)
    expected = eta**2 / 4 * (1 - g**2 / (eta * p) ** 2)
    np.testing.assert_allclose(np.diag(sigma), expected, atol=1e-12)
    assert found.vectors.shape[1] == 2
    assert np.max(np.abs(np.diag(sigma) - eta**2 / 4)) > 1e-3  # the gradient counts


def test_a_diagonal_hessian_decouples():
    h, g, eta = np.diag([3.0, 1.0, -2.0]), np.array([0.1, 0.9, 0.4]), 0.5
    found = stationary_preconditioner(h, g, eta)
    expected = np.maximum(np.diag(h) / 2, np.abs(g) / eta)
    np.testing.assert_allclose(found.preconditioner, expected, rtol=1e-12)
    np.testing.assert_allclose(found.vectors @ found.multiplier @ found.vectors.T, [
        [0.5 * (1 - (0.1 / 0.75) ** 2), 0, 0], [0, 0, 0], [0, 0, 0]
    ], atol=1e-12)  # fmt: skip


def test_two_coordinates_by_hand():
    """H = [[a, b], [b, a]] without gradient: P = (a + |b|)/2, by symmetry."""
    found = first_term_preconditioner([[1.0, -3.0], [-3.0, 1.0]])
    np.testing.assert_allclose(found.preconditioner, [2.0, 2.0], rtol=1e-12)
    # H = [[a, b], [b, c]]: (2P₁ - a)(2P₂ - c) = b², the sum least at equal factors
    found = first_term_preconditioner([[1.0, 3.0], [3.0, 5.0]])
    np.testing.assert_allclose(found.preconditioner, [2.0, 4.0], rtol=1e-12)


def test_multipliers_that_are_not_unique():
    found = stationary_preconditioner(np.eye(5), np.full(5, 0.01), 0.1)
    np.testing.assert_allclose(found.preconditioner, 0.5, rtol=1e-12)
    found = stationary_preconditioner(np.ones((5, 5)), np.full(5, 0.01), 0.1)
    np.testing.assert_allclose(found.preconditioner, 2.5, rtol=1e-12)


def test_the_scalar_program():
    """Against a fine grid of p, at the edge and where the gradient alone holds it."""
    for s, norm, eta in ((2.0, 0.01, 0.1), (2.0, 0.5, 0.1), (-1.0, 0.5, 0.1)):
        found = stationary_scalar(s, norm, eta)
        p = np.linspace(max(s / 2, 1e-3), 10, 200_001)
        best = p[np.argmin(p + (norm / eta) ** 2 / p)]
        np.testing.assert_allclose(found.preconditioner, best, atol=1e-4)
        nu = (eta * found.preconditioner) ** 2
        kept = norm**2 + 4 * found.preconditioner**2 * found.covariance_trace
        np.testing.assert_allclose(kept, nu, rtol=1e-12)  # ν = |g|² + tr HΣH
    with pytest.raises(BadInput, match="decays to 0"):
        stationary_scalar(-1.0, 0.0, 0.1)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 8), seed=st.integers(0, 2**16))
def test_the_first_term_alone_is_cheaper_and_faster(n, seed):
    h, g = instance(n, seed)
    full = stationary_preconditioner(h, g, 0.1).preconditioner
    first = first_term_preconditioner(h).preconditioner
    assert first.sum() <= full.sum() * (1 + 1e-10)
    speed = optimisation_speed(g, full)
    assert speed <= optimisation_speed(g, first) * (1 + 1e-10)
    np.testing.assert_allclose(speed, np.sum(g**2 / full), rtol=1e-14)


def test_speed_of_a_multiple_of_the_identity():
    assert optimisation_speed([3.0, 4.0], 2.0) == 12.5
    assert optimisation_speed([3.0, 0.0], [1.0, 0.0]) == 9.0
    assert optimisation_speed([3.0, 1.0], [1.0, 0.0]) == math.inf
    for bad in ([1.0, -1.0], [1.0], [1.0, np.nan]):
        with pytest.raises(BadInput):
            optimisation_speed([3.0, 1.0], bad)


def test_dead_coordinates_are_named():
    h, g = np.diag([2.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0])
    with pytest.raises(BadInput, match=r"dead coordinates \(1\)"):
        stationary_preconditioner(h, g, 0.1)
    concave = np.array([[2.0, 0.1], [0.1, -1.0]])  # not a zero row, yet P₁ → 0
    with pytest.raises(BadInput, match=r"dead coordinates \(1\)"):
        stationary_preconditioner(concave, [1.0, 0.0], 0.1)
    first = first_term_preconditioner(concave)
    # 2P₀ - 2 = 0.1²/1 at P₁ = 0
    np.testing.assert_allclose(first.preconditioner, [1.005, 0.0], rtol=1e-12)
    with pytest.raises(BadInput, match="no covariance"):
        _ = first.covariance
    assert np.all(stationary_preconditioner(concave, [1, 1e-6], 0.1).preconditioner > 0)


@pytest.mark.parametrize(
    ("h", "g", "eta"),
    [
        (np.eye(2), np.ones(3), 0.1),
        ([[1.0, 2.0], [0.0, 1.0]], np.ones(2), 0.1),
        (np.full((2, 2), np.nan), np.ones(2), 0.1),
        (np.eye(2), np.ones(2), 0.0),
        (np.eye(2), np.ones(2), math.nan),
    ],
)
def test_the_door(h, g, eta):
    with pytest.raises(BadInput):
        stationary_preconditioner(h, g, eta)


def test_a_minimum_that_is_not_reached_is_an_error(monkeypatch):
    monkeypatch.setattr("flows.central.diagonal_program.POLISHING_STEPS", 0)
    monkeypatch.setattr("flows.central.diagonal_program.RELATIVE_GAP", 1e-3)
    with pytest.raises(SolveFailed, match="relative"):
        stationary_preconditioner(*instance(6, 0), 0.3)


def test_against_a_convex_solver():
    cvxpy = pytest.importorskip("cvxpy")
    for seed, eta in ((0, 0.3), (1, math.inf)):
        h, g = instance(6, seed)
        found = stationary_preconditioner(h, g, eta)
        p = cvxpy.Variable(6)
        value = cvxpy.sum(p)
        if math.isfinite(eta):
            value += cvxpy.sum(cvxpy.multiply(g**2 / eta**2, cvxpy.inv_pos(p)))
        problem = cvxpy.Problem(
            cvxpy.Minimize(value), [2 * cvxpy.diag(p) - h >> 0, p >= 0]
        )
        problem.solve(solver="CLARABEL")
        q = found.preconditioner
        ours = q.sum()
        if math.isfinite(eta):
            ours += np.sum(g**2 / q) / eta**2
        # the solver's own relative gap is 1e-8
        np.testing.assert_allclose(ours, problem.value, rtol=1e-6)
        np.testing.assert_allclose(q, p.value, atol=1e-3 * q.max())
