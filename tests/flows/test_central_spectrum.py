"""Leading eigenpairs of P⁻¹H: against dense solvers, along a path, in clusters."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from helpers import small_net

from flows import Facts, Objective, from_sympy
from flows.central import eigenblock
from flows.central.spectrum import PADDING, Block, cold_block, refresh_block, ritz


def pairs(objective, x, p, size):
    """The leading pairs of H v = λ P v, the largest first, by scipy."""
    h = np.asarray(objective.hessian(x))
    d = np.diag(np.broadcast_to(p, x.shape))
    values, vectors = scipy.linalg.eigh((h + h.T) / 2, d)
    return values[::-1][:size], vectors[:, ::-1][:, :size]


@pytest.fixture(scope="module")
def net():
    """48 parameters, its start, and a P that varies by a factor of e^4."""
    objective, params = small_net(hidden=12, rows=30)
    x = objective.ravel(params)
    p = jnp.asarray(np.exp(np.random.default_rng(1).standard_normal(x.size)))
    return objective, x, p


@pytest.fixture
def iterative(monkeypatch):
    """Small matrices by products, too; tolerances of their own keep caches apart."""
    monkeypatch.setattr(eigenblock, "DENSE", 0)


class Quadratic(Objective):
    """½ xᵀ H x + ⅙ Σ c_i x_i³ with a count of products at run time."""

    facts: Facts
    matrix: Any
    cubic: Any
    count: Any = eqx.field(static=True, default=None)

    @property
    def size(self) -> int:
        return self.cubic.size

    def value(self, x, batch=None):
        del batch
        return x @ self.matrix @ x / 2 + jnp.sum(self.cubic * x**3) / 6

    def hvp(self, x, v, batch=None):
        del batch
        if self.count is None:
            return self.matrix @ v + self.cubic * x * v
        counted = _counted(self.count)
        return self.matrix @ counted(v) + self.cubic * x * v


def _counted(count):
    """The identity, which counts how often a (tangent) vector passes at run time."""

    @jax.custom_jvp
    def pass_by(v):
        return v

    def look(v):
        count.append(1)
        return v

    @pass_by.defjvp
    def _(primals, tangents):
        (dv,) = tangents
        seen = jax.pure_callback(look, jax.ShapeDtypeStruct(dv.shape, dv.dtype), dv)
        return primals[0], seen

    return pass_by


def quadratic(values, seed=0, cubic=0.1, count=None):
    """Eigenvalues at x = 0 as given, in a random basis."""
    rng = np.random.default_rng(seed)
    n = len(values)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    matrix = q @ np.diag(values) @ q.T
    c = cubic * rng.standard_normal(n)
    return Quadratic(Facts(), jnp.asarray(matrix), jnp.asarray(c), count)


def check(block: Block, objective, x, p, atol, kept=4):
    """Values, normalisation, images and residuals of a block against scipy."""
    k = block.values.size
    values, _ = pairs(objective, x, p, k)
    found, v = np.asarray(block.values), np.asarray(block.vectors)
    np.testing.assert_allclose(found[:kept], values[:kept], atol=atol)
    diagonal = np.broadcast_to(p, x.shape)[:, None]
    np.testing.assert_allclose(v.T @ (diagonal * v), np.eye(k), atol=1e-9)
    hv = np.asarray(objective.hessian(x)) @ v
    np.testing.assert_allclose(block.images, hv, atol=1e-9 * np.max(np.abs(hv)))
    rest = np.linalg.norm((hv - diagonal * v * found) / np.sqrt(diagonal), axis=0)
    np.testing.assert_allclose(block.residuals, rest, atol=1e-9)
    assert np.all(np.abs(values - found) <= rest + 1e-12)


@pytest.mark.slow
def test_a_cold_start_by_the_matrix(net):
    objective, x, p = net
    check(cold_block(objective, x, p, 4), objective, x, p, 1e-12)
    check(cold_block(objective, x, 2.5, 4), objective, x, 2.5, 1e-12)


@pytest.mark.slow
def test_a_cold_start_by_products(net, iterative):
    objective, x, p = net
    found = cold_block(objective, x, p, 4, 1e-7)
    assert np.max(found.residuals[:2]) <= 1e-7 * found.values[0]
    # errors are squares of residuals over gaps
    check(found, objective, x, p, 1e-12, kept=2)


@pytest.mark.slow
def test_the_largest_and_not_the_largest_in_magnitude(iterative):
    values = np.concatenate([[3.0, 2.0, 1.5, 1.0, 0.5], -np.linspace(50, 1, 40)])
    objective = quadratic(values)
    found = cold_block(objective, jnp.zeros(45), 1.0, 4, 1e-9)
    np.testing.assert_allclose(found.values[:2], [3.0, 2.0], rtol=1e-12)


@pytest.mark.slow
def test_a_cluster_is_found_as_a_space(iterative):
    values = np.concatenate([[2.0, 2.0, 2.0 - 1e-9, 1.0], np.linspace(0.5, -0.5, 36)])
    objective, x = quadratic(values), jnp.zeros(40)
    found = cold_block(objective, x, 1.0, 6, 1e-9)
    np.testing.assert_allclose(found.values[:4], values[:4], atol=1e-12)
    _, v = np.linalg.eigh(np.asarray(objective.matrix))
    true = v[:, -3:] @ v[:, -3:].T
    mine = found.vectors[:, :3] @ found.vectors[:, :3].T
    np.testing.assert_allclose(mine, true, atol=1e-8)
    again = eqx.filter_jit(refresh_block)(
        objective, x, 1.0, found
    )  # residuals are rounding here
    np.testing.assert_allclose(again.values[:4], values[:4], atol=1e-12)
    assert all(np.all(np.isfinite(leaf)) for leaf in again)


@pytest.mark.slow
def test_tracking_a_moving_path(net):
    """100 steps of descent with P moving too: one Rayleigh–Ritz step each."""
    objective, x, p = net
    block = cold_block(objective, x, p, 4)
    stale = block
    refresh, update = eqx.filter_jit(refresh_block), eqx.filter_jit(ritz)
    errors, bounds, left_behind = [], [], []
    gradient = eqx.filter_jit(lambda x: objective.gradient(x))
    for step in range(100):
        x = x - 0.02 * gradient(x)
        diagonal = p * (1 + 0.1 * np.sin(step / 10))
        block = refresh(objective, x, diagonal, block)
        if step % 10 == 9:
            values, _ = pairs(objective, x, diagonal, 4)
            errors.append(np.abs(block.values - values)[:2])
            bounds.append(block.residuals[:2])
            kept = update(objective, x, diagonal, stale)
            left_behind.append(np.abs(kept.values - values)[:2])
    errors, bounds = np.asarray(errors), np.asarray(bounds)
    assert np.all(errors <= bounds + 1e-12)
    assert np.max(errors) < 1e-6 * float(block.values[0])
    # without the residual directions the span is left behind
    assert np.max(left_behind) > 1e3 * np.max(errors)


def test_a_refresh_in_place_converges(net):
    objective, x, p = net
    rng = np.random.default_rng(2)
    true = cold_block(objective, x, p, 4)
    v = true.vectors + 0.02 * rng.standard_normal(true.vectors.shape)
    block = true._replace(vectors=v)
    refresh = eqx.filter_jit(refresh_block)
    for _ in range(12):
        block = refresh(objective, x, p, block)
    np.testing.assert_allclose(block.values[:2], true.values[:2], rtol=1e-11)
    assert np.max(block.residuals[:2]) < 1e-6


@pytest.mark.slow
def test_ritz_values_are_second_order_in_what_the_span_misses(net):
    objective, x, p = net
    block = cold_block(objective, x, p, 4)
    direction = -objective.gradient(x)
    update = eqx.filter_jit(ritz)
    errors = []
    for h in (0.04, 0.02, 0.01):
        y = x + h * direction
        found = update(objective, y, p, block)
        errors.append(abs(found.values[0] - pairs(objective, y, p, 1)[0][0]))
        v = found.vectors
        inner = v.T @ found.images
        np.testing.assert_allclose(inner, jnp.diag(found.values), atol=1e-10)
        np.testing.assert_allclose(v.T @ (p[:, None] * v), np.eye(4), atol=1e-10)
    assert errors[0] > 1e-9
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.2)
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.2)


def test_products_are_counted():
    """At most 2K a refresh, two for a live column alone, K for Ritz values."""
    count = []
    objective = quadratic(np.linspace(2, -1, 30), count=count)
    x, p = 0.3 * jnp.ones(30), 1.0
    v = jnp.asarray(np.linalg.qr(np.random.default_rng(3).standard_normal((30, 4)))[0])
    refresh, update = eqx.filter_jit(refresh_block), eqx.filter_jit(ritz)
    start = Block(v, objective.matrix @ v, jnp.ones(4), jnp.ones(4))
    for live, expected in (
        ([True] * 4, 8),
        ([True, True, False, False], 4),
        ([False] * 4, 0),
    ):
        count.clear()
        jax.block_until_ready(refresh(objective, x, p, start, jnp.array(live)))
        assert len(count) == expected
        count.clear()
        jax.block_until_ready(update(objective, x, p, start, jnp.array(live)))
        assert len(count) == expected // 2


@pytest.mark.slow
def test_live_columns_are_true_beside_stale_ones(net):
    """Refreshing two of four columns carries those along; the others stay behind."""
    objective, x, p = net
    block = cold_block(objective, x, p, 4)
    refresh = eqx.filter_jit(refresh_block)
    live = jnp.array([True, True, False, False])
    for _ in range(10):
        x = x - 0.02 * objective.gradient(x)
        block = refresh(objective, x, p, block, live)
    values, _ = pairs(objective, x, p, 4)
    errors = np.abs(np.asarray(block.values) - values)
    assert np.max(errors[:2]) < 1e-6 < 1e-4 < np.max(errors[2:])
    off = np.asarray(objective.hessian(x) @ block.vectors - block.images)
    lengths = np.linalg.norm(off, axis=0)
    assert np.max(lengths[:2]) < 0.05 * np.max(lengths[2:])


@pytest.mark.slow
def test_a_block_wider_than_the_space_is_padded():
    import sympy as sp

    x, z = sp.symbols("x z")
    toy = from_sympy((20 + 1.5 * z) * x**2 / 2 + 0.4 * z**2, [x, z])
    at, p = jnp.array([0.1, -0.3]), jnp.asarray(10.0)
    start = cold_block(toy, 1.1 * at, p, 5)
    for block in (
        cold_block(toy, at, p, 5),
        eqx.filter_jit(refresh_block)(toy, at, p, start),
        eqx.filter_jit(ritz)(toy, at, p, start),
    ):
        values, _ = pairs(toy, at, p, 2)
        np.testing.assert_allclose(block.values[:2], values, rtol=1e-12)
        np.testing.assert_array_equal(block.values[2:], PADDING)
        np.testing.assert_array_equal(block.vectors[:, 2:], 0.0)
        np.testing.assert_array_equal(block.images[:, 2:], 0.0)
        np.testing.assert_array_equal(block.residuals[2:], 0.0)
