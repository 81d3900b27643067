"""Derivatives through leading eigenpairs, apart and clustered."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_net
from test_central_spectrum import quadratic

from flows.central.perturbation import rotation, solve_outside
from flows.central.spectrum import cold_block, refresh_block, ritz


def measured(block, weights, kept=2):
    """A number that depends on the span of the first columns, and on values."""
    v, hv = block.vectors[:, :kept], block.images[:, :kept]
    a, b = weights
    x = jnp.sum(a * (v @ v.T)) + jnp.sum(b * (hv @ hv.T))
    return x + block.values[0] - 2.0 * block.values[1]


@pytest.fixture(scope="module")
def net():
    objective, params = small_net(hidden=7, rows=30)
    x = objective.ravel(params)
    rng = np.random.default_rng(1)
    p = jnp.asarray(np.exp(0.5 * rng.standard_normal(x.size)))
    weights = tuple(jnp.asarray(rng.standard_normal((x.size,) * 2)) for _ in "ab")
    return objective, x, p, weights


def directional(function, arguments, directions, h=1e-5):
    """Central difference and its halving: (value, error estimate)."""

    def at(s):
        moved = (a + s * d for a, d in zip(arguments, directions, strict=True))
        return float(function(*moved))

    coarse, fine = ((at(s) - at(-s)) / (2 * s) for s in (2 * h, h))
    return (4 * fine - coarse) / 3, abs(fine - coarse)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cold", "refresh", "ritz"])
def test_both_modes_agree_with_differences(net, kind):
    """Through the whole basis, P too: 28 parameters, a block of 4."""
    objective, x, p, weights = net
    block = cold_block(objective, x, p, 4)

    def function(x, p):
        if kind == "ritz":
            return measured(ritz(objective, x, p, block), weights)
        if kind == "refresh":
            return measured(refresh_block(objective, x, p, block), weights)
        return measured(cold_block(objective, x, p, 4), weights)

    def true(x, p):  # a refresh has the derivative of the true pairs
        return function(x, p) if kind == "ritz" else exact(x, p)

    exact = eqx.filter_jit(
        lambda x, p: measured(cold_block(objective, x, p, 4), weights)
    )
    rng = np.random.default_rng(2)
    dx = jnp.asarray(rng.standard_normal(x.size))
    dp = p * jnp.asarray(rng.standard_normal(x.size))
    expected, error = directional(eqx.filter_jit(true), (x, p), (dx, dp))
    assert error < 1e-3 * abs(expected)
    gx, gp = jax.jit(jax.grad(function, (0, 1)))(x, p)
    np.testing.assert_allclose(gx @ dx + gp @ dp, expected, rtol=1e-6)
    forward = jax.jit(lambda: jax.jvp(function, (x, p), (dx, dp))[1])()
    np.testing.assert_allclose(forward, gx @ dx + gp @ dp, rtol=1e-9)


def test_parameters_of_the_loss_are_differentiated_too():
    objective = quadratic(np.linspace(2, -1, 12))
    at = 0.3 * jnp.ones(12)

    def top(cubic):
        moved = eqx.tree_at(lambda f: f.cubic, objective, cubic)
        return cold_block(moved, at, 1.0, 3).values[0]

    u = np.linalg.eigh(np.asarray(objective.hessian(at)))[1][:, -1]
    slope = jax.jit(jax.grad(top))(objective.cubic)
    np.testing.assert_allclose(slope, 0.3 * u**2, atol=1e-12)


def projector_through(pairs):
    """x -> a weighted sum over the top two directions' projector times H."""

    def function(x, objective, weights):
        v, hv = pairs(x, objective)
        return jnp.sum(weights * (v[:, :2] @ (v[:, :2].T @ hv[:, :2]) @ v[:, :2].T))

    return function


@pytest.mark.slow
def test_a_double_eigenvalue_is_no_obstacle_where_eigh_fails():
    """P_S H P_S for the span S of a double pair: the rule against differences.

    Plain eigh divides by the difference of the two: the control.
    """
    values = np.concatenate([[2.0, 2.0], np.linspace(1.0, -1.0, 8)])
    objective, at = quadratic(values, cubic=0.5), jnp.zeros(10)
    rng = np.random.default_rng(4)
    weights = jnp.asarray(rng.standard_normal((10, 10)))
    direction = jnp.asarray(rng.standard_normal(10))

    def ours(x, f):
        block = cold_block(f, x, 1.0, 4)
        return block.vectors, block.images

    def by_eigh(x, f):
        h = f.hessian(x)
        v = jnp.linalg.eigh(h)[1][:, ::-1]
        return v, h @ v

    function = projector_through(ours)
    apart = eqx.filter_jit(projector_through(by_eigh))
    expected, error = directional(
        lambda x: apart(x, objective, weights), (at,), (direction,), 1e-3
    )
    assert error < 1e-4 * abs(expected)
    slope = jax.jit(jax.grad(function))(at, objective, weights)
    np.testing.assert_allclose(slope @ direction, expected, rtol=1e-6)

    exactly_double = eqx.tree_at(
        lambda f: f.matrix, objective, jnp.diag(jnp.asarray(values))
    )
    fine = jax.grad(function)(at, exactly_double, weights)
    assert np.all(np.isfinite(fine))
    control = jax.grad(projector_through(by_eigh))(at, exactly_double, weights)
    assert not np.all(np.isfinite(control))


@pytest.mark.slow
def test_reading_values_in_a_cluster_misses_the_entries_off_the_diagonal():
    """Σ(V diag(λ) Vᵀ) in place of V VᵀHV Vᵀ: the control of the note in `rotation`."""
    values = np.concatenate([[2.0, 2.0], np.linspace(1.0, -1.0, 8)])
    objective, at = quadratic(values, cubic=0.5), jnp.zeros(10)
    rng = np.random.default_rng(5)
    weights = jnp.asarray(rng.standard_normal((10, 10)))
    direction = jnp.asarray(rng.standard_normal(10))

    def matrix(x, by_values):
        block = cold_block(objective, x, 1.0, 4)
        v, hv = block.vectors[:, :2], block.images[:, :2]
        inner = jnp.diag(block.values[:2]) if by_values else v.T @ hv
        return jnp.sum(weights * (v @ inner @ v.T))

    slope = jax.jit(jax.grad(lambda x, by: matrix(x, by)), static_argnums=1)
    right, wrong = slope(at, False) @ direction, slope(at, True) @ direction
    h = np.asarray(objective.matrix)
    v = np.linalg.eigh(h)[1][:, -2:]
    dh = np.diag(np.asarray(objective.cubic) * np.asarray(direction))
    inside = v @ (v.T @ dh @ v) @ v.T
    others = np.eye(10) - v @ v.T
    resolvent = others @ np.linalg.pinv(2.0 * others - others @ h @ others) @ others
    moved = resolvent @ dh @ v @ v.T
    expected = np.sum(np.asarray(weights) * (inside + 2.0 * (moved + moved.T)))
    np.testing.assert_allclose(right, expected, rtol=1e-8)
    assert abs(wrong - expected) > 1e-2 * abs(expected)


def test_the_rotation_keeps_the_normalisation():
    rng = np.random.default_rng(6)
    dh, dp = rng.standard_normal((2, 4, 4))
    dh, dp = jnp.asarray(dh + dh.T), jnp.asarray(dp + dp.T)
    values = jnp.array([2.0, 2.0 - 1e-7, 1.0, -3.0])
    omega = rotation(dh, dp, values)
    np.testing.assert_allclose(omega + omega.T, -dp, atol=1e-14)
    # VᵀHV stays diagonal except within the cluster of the first two
    moved = omega.T @ jnp.diag(values) + dh + jnp.diag(values) @ omega
    off = np.asarray(moved - jnp.diag(jnp.diag(moved)))
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = dh[0, 1] - 2.0 * dp[0, 1]
    np.testing.assert_allclose(off, expected, atol=1e-6)


def test_the_solve_outside_a_space_stops_at_negative_curvature():
    matrix = jnp.diag(jnp.array([2.0, 1.0, 0.5, -1.0]))
    z = jnp.eye(4)[:, :1]
    b = jnp.array([0.0, 1.0, 2.0, 3.0])
    found = solve_outside(lambda s: matrix @ s, z, jnp.asarray(2.0), b)
    np.testing.assert_allclose(found, [0.0, 1.0, 2.0 / 1.5, 1.0], rtol=1e-9)
    # below an eigenvalue outside the space nothing is divided by zero
    bad = solve_outside(lambda s: matrix @ s, z, jnp.asarray(1.0), b)
    assert np.all(np.isfinite(bad))
    nothing = solve_outside(lambda s: matrix @ s, z, jnp.asarray(2.0), jnp.zeros(4))
    np.testing.assert_array_equal(nothing, 0.0)
