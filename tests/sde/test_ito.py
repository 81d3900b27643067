"""`ItoDiffusion`: every form of noise, its doors, and Black and Scholes' moments."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import sde
from flows import BadInput, exactly
from flows.symbolic import symbol_vector, symbols_like

Y = jnp.array([1.5, -0.5])
DW = jnp.array([0.3, -0.7])


def drift(t, y):
    return jnp.sin(t) - y


MATRIX = np.array([[0.5, 0.2, 0.0], [0.1, 0.0, 0.4]])
FORMS = {
    "scalar": (lambda t, y: jnp.asarray(0.5), 0.5 * np.eye(2)),
    "diagonal": (lambda t, y: y**2, np.diag([2.25, 0.25])),
    "matrix": (lambda t, y: jnp.asarray(MATRIX), MATRIX),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_its_matrix(form):
    function, matrix = FORMS[form]
    model = sde.ItoDiffusion(drift, function)
    m = matrix.shape[1]
    assert model.brownian(Y) == m
    columns = [model.noise(0.0, Y, e) for e in jnp.eye(m)]
    np.testing.assert_array_equal(np.stack(columns, axis=1), matrix)


class Pair(NamedTuple):
    position: Any
    other: Any


def test_a_pytree_state_in_each_form():
    y = Pair(jnp.array([1.0, 2.0]), jnp.array([3.0]))

    def still(t, y):
        return jax.tree.map(jnp.zeros_like, y)

    tree = sde.ItoDiffusion(still, lambda t, y: Pair(y.position, 2 * y.other))
    kick = tree.noise(0.0, y, jnp.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(kick.position, [1.0, 20.0])
    np.testing.assert_array_equal(kick.other, [600.0])
    assert tree.brownian(y) == 3

    one = sde.ItoDiffusion(still, lambda t, y: jnp.array([[1.0], [2.0], [3.0]]))
    assert one.brownian(y) == 1
    np.testing.assert_array_equal(one.noise(0.0, y, jnp.ones(1)).other, [3.0])

    def kicks(t, y, dw):
        return Pair(dw[0] * y.position, dw[1:])

    product = sde.ItoDiffusion(still, noise_function=kicks, brownian_motions=2)
    assert product.brownian(y) == 2
    np.testing.assert_array_equal(product.noise(0.0, y, DW).other, [-0.7])


class Growth(eqx.Module):
    rate: Any

    def __call__(self, t, y):
        return self.rate * y


def test_moments_of_geometric_brownian_motion_from_users_functions():
    """d E X = μ E X, d E X² = (2μ + s²) E X²: traced with symbols for μ and s."""
    model = sde.ItoDiffusion(Growth(jnp.asarray(0.3)), Growth(jnp.asarray(0.5)))
    symbolic = symbols_like(model)
    mu, s = symbolic.drift.rate, symbolic.diffusion.rate
    system = sde.moment_equations(symbolic, 2, y=np.ones(1))
    assert sp.simplify(system.matrix[0, 0] - mu) == 0
    assert sp.simplify(system.matrix[1, 1] - 2 * mu - s**2) == 0
    assert system.matrix[0, 1] == 0


@pytest.mark.slow
def test_its_adjoint_keeps_a_gaussian():
    """dX = -X dt + √2 dB keeps N(0, 1), and not N(0, 2)."""
    model = sde.ItoDiffusion(lambda t, y: -y, lambda t, y: jnp.sqrt(2.0))

    def flux(x, width):
        def density(t, y):
            return jnp.exp(-jnp.sum(y**2) / (2 * width))

        return model.adjoint(density)(0.0, x)

    x = symbol_vector("x", 1)
    assert sp.simplify(exactly(lambda x: flux(x, 1.0), x)) == 0
    assert sp.simplify(exactly(lambda x: flux(x, 2.0), x)) != 0


BAD = {
    "both": lambda: sde.ItoDiffusion(drift, drift, noise_function=drift),
    "neither": lambda: sde.ItoDiffusion(drift),
    "count missing": lambda: sde.ItoDiffusion(drift, noise_function=drift),
    "count superfluous": lambda: sde.ItoDiffusion(drift, drift, brownian_motions=2),
    "shape of the drift": lambda: sde.ItoDiffusion(
        lambda t, y: y[:1], lambda t, y: y
    ).brownian(Y),
    "shape of σ": lambda: sde.ItoDiffusion(drift, lambda t, y: jnp.ones(3)).brownian(Y),
    "shape of the product": lambda: sde.ItoDiffusion(
        drift, noise_function=lambda t, y, dw: dw, brownian_motions=3
    ).brownian(Y),
    "an affine product": lambda: sde.ItoDiffusion(
        drift, noise_function=lambda t, y, dw: 1.0 + dw, brownian_motions=2
    ).brownian(Y),
    "a quadratic product": lambda: sde.ItoDiffusion(
        drift, noise_function=lambda t, y, dw: dw**2, brownian_motions=2
    ).brownian(Y),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_diffusion_is_refused(what):
    with pytest.raises(BadInput):
        BAD[what]()
