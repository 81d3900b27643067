"""The sharpness against dense eigenvalues; its residual is honest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_net

from flows import BadInput, from_loss
from flows.problems import quadratic
from flows.sharpness import sharpness


def dense(f, x):
    return np.asarray(jax.jit(jax.jacfwd(f.gradient))(x))


@pytest.mark.parametrize("hidden", [3, 8])  # n = 12 is dense inside, n = 32 Lanczos
def test_against_dense_eigenvalues(hidden):
    f, params = small_net(hidden=hidden)
    x = f.ravel(params)
    h = dense(f, x)
    values = np.linalg.eigvalsh(h)
    found = f.sharpness(params)
    assert found.value == pytest.approx(values[-1], rel=1e-8)
    assert np.linalg.norm(found.vector) == pytest.approx(1.0, abs=1e-12)
    true_residual = np.linalg.norm(h @ found.vector - found.value * found.vector)
    assert found.residual == pytest.approx(true_residual, abs=1e-12)
    assert np.min(np.abs(values - found.value)) <= found.residual + 1e-14
    assert "Hessian-vector products" in repr(found)
    if f.size > 16:
        assert found.products < 3 * f.size


def test_a_loose_tolerance_shows_in_the_residual():
    f = quadratic(np.linspace(0.99, 1.0, 200))
    tight = sharpness(f, jnp.ones(200), tolerance=1e-10)
    loose = sharpness(f, jnp.ones(200), tolerance=1e-1)
    assert tight.value == pytest.approx(1.0, abs=1e-9)
    assert loose.products < tight.products
    assert loose.residual > 100 * tight.residual
    # Weyl: some eigenvalue lies within the residual.
    assert abs(loose.value - 1.0) < 0.01 + loose.residual


def test_the_largest_is_algebraic_not_in_modulus():
    assert sharpness(quadratic([-5.0, 1.0, 2.0]), jnp.ones(3)).value == 2.0
    many = np.concatenate([[-50.0], np.linspace(-1, 3, 30)])
    assert sharpness(quadratic(many), jnp.ones(31)).value == pytest.approx(3.0)


def test_a_flat_loss_has_sharpness_zero():
    f = from_loss(lambda p: jnp.sum(p), jnp.ones(20))
    found = f.sharpness(jnp.ones(20))
    assert found.value == 0.0
    assert found.residual == 0.0


def test_float32_is_accepted():
    f, params = small_net(hidden=8, dtype=jnp.float32)
    g, wide = small_net(hidden=8)
    assert f.sharpness(params, tolerance=1e-4).value == pytest.approx(
        g.sharpness(wide).value, rel=1e-4
    )


@pytest.mark.parametrize("n", [3, 20])
def test_a_hessian_that_is_not_finite_is_refused(n):
    f = from_loss(lambda p: jnp.sum(jnp.abs(p) ** 1.5), jnp.ones(n))
    with pytest.raises(BadInput, match="not finite"):
        f.sharpness(jnp.zeros(n))
