"""Second-order flows on quadratics: the exact map against matrix exponentials."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.linalg import expm

import flows
from flows import BadInput, inertial_oscillation
from flows.problems import quadratic, wavy

CENTRE = np.array([1.0, 0.0, -2.0])
TILTED = quadratic([0.2, 1.0, 30.0], CENTRE, rotation=3)
START = flows.PhaseState(jnp.array([2.0, -1.0, 0.5]), jnp.array([0.0, 3.0, -1.0]))


def exponential(coefficients, t):
    """The state at t by the exponential of the 2n × 2n matrix of the system."""
    m, a, beta, b = coefficients
    h, one = np.asarray(TILTED.matrix), np.eye(3)
    system = np.block([[0 * one, one], [-b * h / m, -(a * one + beta * h) / m]])
    x, v = np.split(
        expm(t * system) @ np.concatenate([START.position - CENTRE, START.velocity]), 2
    )
    return CENTRE + x, v


@pytest.mark.parametrize(
    ("flow", "coefficients"),
    [
        (flows.InertialNewtonFlow(TILTED, 0.5, 0.1, 2.0, 1.5), (2.0, 0.5, 0.1, 1.5)),
        (flows.InertialNewtonFlow(TILTED, 0.5, 1.0, 1e-3), (1e-3, 0.5, 1.0, 1.0)),
        (flows.ImplicitHessianFlow(TILTED, 0.5, 0.1, 2.0, 1.5), (2, 0.5, 0.15, 1.5)),
        (flows.DampedFlow(TILTED, 0.3, 0.7), (0.3, 0.7, 0.0, 1.0)),
        (
            flows.HighResolutionNesterovFlow(TILTED, 0.09, 0.16),
            (1.0, 0.6, 0.4, 1.12),
        ),
    ],
    ids=["DIN", "small mass", "implicit", "damped", "Nesterov"],
)
def test_a_rotated_quadratic(flow, coefficients):
    found = inertial_oscillation(flow, START, 1.3)
    for one, other in zip(found, exponential(coefficients, 1.3), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
    wrong = exponential(coefficients, 1.3 * (1 + 1e-6))
    assert np.max(np.abs(found.position - wrong[0])) > 1e-8  # what the test can see


def test_a_mass_of_1e_12_costs_no_digits():
    """Curvature 2 and friction 5 against 60 digits: the roots are -0.4 and -5e12."""
    flow = flows.InertialNewtonFlow(quadratic([2.0] * 3), 0.5, 2.25, 1e-12)
    start = flows.PhaseState(jnp.ones(3), jnp.full(3, 3.0))
    x, v = inertial_oscillation(flow, start, 0.7)
    with mpmath.workdps(60):
        m, a, k, t = mpmath.mpf(1e-12), mpmath.mpf(5), mpmath.mpf(2), mpmath.mpf(0.7)
        root = mpmath.sqrt(a**2 - 4 * m * k)
        slow, fast = (-a + root) / (2 * m), (-a - root) / (2 * m)
        second = (3 - slow) / (fast - slow)
        first = 1 - second
        exact = first * mpmath.exp(slow * t) + second * mpmath.exp(fast * t)
        speed = first * slow * mpmath.exp(slow * t)
        speed += second * fast * mpmath.exp(fast * t)
    np.testing.assert_allclose(x, float(exact), rtol=1e-14)
    np.testing.assert_allclose(v, float(speed), rtol=1e-14)


def test_what_has_no_closed_form_is_refused():
    start = flows.PhaseState(jnp.zeros(2), jnp.zeros(2))
    with pytest.raises(BadInput, match=r"quadratic\(\.\.\.\)"):
        inertial_oscillation(flows.InertialNewtonFlow(wavy(), 1.0, 1.0), start, 1.0)
    with pytest.raises(BadInput, match="vary with time"):
        inertial_oscillation(flows.AcceleratedFlow(TILTED), START, 1.0)
    late = flows.InertialNewtonFlow(
        TILTED, lambda t: jnp.where(t < 100.0, 1.0, 2.0), 1.0
    )
    with pytest.raises(BadInput, match="vary with time"):
        inertial_oscillation(late, START, 1.0)
    flow = flows.InertialNewtonFlow(TILTED, 1.0, 1.0)
    with pytest.raises(BadInput, match="t is one finite time >= 0"):
        inertial_oscillation(flow, START, -1.0)
    with pytest.raises(BadInput, match="vector of 3 floats"):
        inertial_oscillation(flow, start, 1.0)
