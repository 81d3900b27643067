"""The Levenberg–Marquardt flow against linear algebra in NumPy, and its limits."""

import jax.numpy as jnp
import numpy as np
import pytest

import flows
from flows.errors import BadInput
from flows.problems import quadratic, ridged_logistic
from tests.flows import ridged

F = ridged_logistic()
X = np.array([2.0, -1.5, 1.0])


def velocity(flow, t=0.0):
    return np.asarray(flow.vector_field(jnp.asarray(t), jnp.asarray(X)))


def test_the_field_solves_the_damped_newton_equation():
    matrix = 0.5 * np.eye(3) + 2.0 * ridged.hessian(X)
    expected = -np.linalg.solve(matrix, ridged.gradient(X))
    found = velocity(flows.levenberg_marquardt_flow(F, 0.5, 2.0))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    varying = flows.levenberg_marquardt_flow(F, lambda t: t, lambda t: 4 * t)
    np.testing.assert_allclose(velocity(varying, 0.5), expected, rtol=1e-12)


def test_its_limits_are_newton_and_gradient_flow():
    newton = velocity(flows.newton_flow(F))
    without = velocity(flows.levenberg_marquardt_flow(F, 0.0, 2.0))
    np.testing.assert_allclose(without, newton / 2, rtol=1e-12)
    steep = velocity(flows.levenberg_marquardt_flow(F, 0.5, 0.0))
    np.testing.assert_allclose(steep, -ridged.gradient(X) / 0.5, rtol=1e-12)


def test_it_is_the_velocity_of_no_acceleration():
    """The slow velocity v = x' of a vanishing mass: α v + β∇²f v + ∇f = 0."""
    v = flows.levenberg_marquardt_flow(F, 0.5, 2.0).vector_field(
        jnp.asarray(0.0), jnp.asarray(X)
    )
    inertial = flows.InertialNewtonFlow(F, 0.5, 2.0)
    moved = inertial.vector_field(0.0, flows.PhaseState(jnp.asarray(X), v))
    np.testing.assert_allclose(moved.velocity, np.zeros(3), atol=1e-14)


def test_bad_input_is_refused():
    f = quadratic([1.0, 2.0])
    with pytest.raises(BadInput, match="friction"):
        flows.levenberg_marquardt_flow(f, -0.1)
    with pytest.raises(BadInput, match="hessian_damping"):
        flows.levenberg_marquardt_flow(f, 0.1, np.nan)
    with pytest.raises(BadInput, match="not both 0"):
        flows.levenberg_marquardt_flow(f, 0, 0.0)
    flows.levenberg_marquardt_flow(f, 0.0, lambda t: t)  # seen only along a run
