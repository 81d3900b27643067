"""The Rayleigh quotient flow against scipy's matrix exponential and its identities."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from flows import BadInput, RayleighFlow, curvature_product, rayleigh_quotient
from flows.problems import quadratic, saddle_between_wells, wavy

H = np.array([[0.5, 0.4, -0.2], [0.4, -0.8, 0.3], [-0.2, 0.3, 0.1]])
U0 = np.array([0.6, -0.2, 1.1])


def of_matrix(matrix):
    return dataclasses.replace(quadratic(np.ones(len(matrix))), matrix=matrix)


def test_exact_is_the_normalised_matrix_exponential():
    flow = RayleighFlow(of_matrix(jnp.asarray(H)), jnp.zeros(3))
    times = np.array([0.0, 0.7, 30.0, 3000.0])
    found = np.asarray(jax.jit(lambda u: flow.exact(times, u))(jnp.asarray(U0)))
    np.testing.assert_allclose(found[0], U0, rtol=1e-14)
    for t, u in zip(times[:3], found[:3], strict=True):
        moved = expm(-t * H) @ U0
        moved *= np.linalg.norm(U0) / np.linalg.norm(moved)
        np.testing.assert_allclose(u, moved, rtol=1e-12, atol=1e-14)
    # after 3000 time units e^{-Ht} itself would have overflowed
    lowest = np.linalg.eigh(H)[1][:, 0] * np.linalg.norm(U0)
    np.testing.assert_allclose(np.abs(found[3]), np.abs(lowest), rtol=1e-12)


def test_exact_of_a_start_without_the_lowest_mode_of_whole_numbers_and_backwards():
    """Curvatures -1, 0.5 and 2 along the axes, by hand."""
    flow = RayleighFlow(of_matrix(jnp.diag(jnp.array([-1.0, 0.5, 2.0]))), jnp.zeros(3))
    soon, late, back = flow.exact([0.05, 3000.0, -3000.0], [0, 3, 4])
    moved = np.array([0, 3 * math.exp(-0.025), 4 * math.exp(-0.1)])
    np.testing.assert_allclose(soon, 5 * moved / np.linalg.norm(moved), rtol=1e-14)
    np.testing.assert_allclose(late, [0, 5, 0], rtol=1e-14)
    # backwards the highest curvature wins
    np.testing.assert_allclose(back, [0, 0, 5], rtol=1e-14)


@pytest.mark.parametrize(
    ("t", "u0", "match"),
    [
        (1.0, [0.0, 0.0], "other than 0"),
        (1.0, [1.0, 0.0, 0.0], "vector of 2"),
        (1.0, [np.nan, 1.0], "finite"),
        (np.inf, [1.0, 0.0], "finite time"),
    ],
)
def test_exact_takes_a_direction_and_finite_times(t, u0, match):
    with pytest.raises(BadInput, match=match):
        RayleighFlow(wavy(), jnp.zeros(2)).exact(t, u0)


@pytest.mark.parametrize("radius", [None, 0.3])
def test_the_field_integrates_to_the_exact_solution(radius):
    """By scipy; on a quadratic a difference of gradients is an exact product."""
    flow = RayleighFlow(of_matrix(jnp.asarray(H)), jnp.array([0.3, 1.0, -2.0]), radius)
    field = jax.jit(lambda u: flow.vector_field(0.0, u))
    run = solve_ivp(
        lambda t, u: np.asarray(field(u)), (0, 4.0), U0, rtol=1e-9, atol=1e-11
    )
    exact = expm(-4 * H) @ U0
    exact *= np.linalg.norm(U0) / np.linalg.norm(exact)
    np.testing.assert_allclose(run.y[:, -1], exact, atol=1e-7)


def test_the_length_is_kept_and_the_quotient_falls_as_stated():
    flow = RayleighFlow(wavy(), jnp.array([0.4, -0.3]))

    @jax.jit
    def look(u):
        v = flow.vector_field(0.0, u)
        r, slope = jax.jvp(flow.curvature, (u,), (v,))
        return v, r, slope, flow.objective.hessian(flow.point)

    u = np.array([0.3, -2.0])
    v, r, slope, hessian = (np.asarray(a) for a in look(jnp.asarray(u)))
    assert abs(u @ v) < 1e-14
    np.testing.assert_allclose(slope, -2 * (v @ v) / (u @ u), rtol=1e-12)
    assert slope < -0.1
    np.testing.assert_allclose(r, u @ hessian @ u / (u @ u), rtol=1e-14)


def test_a_difference_of_gradients_errs_by_half_rho_r():
    """On x⁴ - 4x² + y² along x from 0.2: ∇³f = 24 x, so (24 · 0.2 r/2 + 4 r²) |y|²."""
    f, x, y = saddle_between_wells(), np.array([0.2, 0.1]), np.array([3.0, 0.0])
    r = 1e-2

    @jax.jit
    def products(x, y):
        known = curvature_product(f, x, y, r, f.gradient(x))
        return curvature_product(f, x, y), curvature_product(f, x, y, r), known

    exact, found, known = (np.asarray(a) for a in products(x, y))
    np.testing.assert_allclose(exact, [3 * (12 * 0.04 - 8), 0], rtol=1e-14)
    expected = [3 * (24 * 0.2 * r / 2 + 4 * r**2), 0]
    np.testing.assert_allclose(found - exact, expected, atol=1e-12)
    np.testing.assert_array_equal(known, found)
    quotient = rayleigh_quotient(jnp.asarray(y), jnp.asarray(exact))
    assert quotient == pytest.approx(12 * 0.04 - 8)


def test_bad_input_at_the_door():
    f = wavy()
    with pytest.raises(BadInput, match="vector of 2 floats"):
        RayleighFlow(f, jnp.zeros(3))
    for radius in (-1.0, 0.0, np.nan):
        with pytest.raises(BadInput, match="radius is"):
            RayleighFlow(f, jnp.zeros(2), radius)
    with pytest.raises(BadInput, match="radius=None"):
        RayleighFlow(f, jnp.zeros(2), 0.1).exact(1.0, jnp.ones(2))
