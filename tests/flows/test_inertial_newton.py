"""The inertial-Newton system without a Hessian, beside the one with it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import flows
from flows.problems import ridged_logistic
from tests.flows import ridged

F: Any = ridged_logistic()
NUMBER = st.floats(-3, 3)
FACTOR = st.floats(0.125, 3)
POINT = st.tuples(*[NUMBER] * 6)


@eqx.filter_jit
def both_forms(alpha, beta, m, z):
    """The state in both forms, there and back; (x', ψ') by chain rule and by field."""
    flow = flows.InertialNewtonPsiFlow(F, alpha, beta, m)
    y = flows.PhaseState(z[:3], z[3:])
    phase = flow.phase_flow().vector_field(0.0, y)
    mapped, moved = jax.jvp(flow.from_phase, (y,), (phase,))
    return mapped, moved, flow.vector_field(0.0, mapped), flow.to_phase(mapped)


@settings(max_examples=30, deadline=None)
@given(FACTOR, FACTOR, FACTOR, POINT)
def test_both_forms_are_one_system(alpha, beta, m, z):
    z = np.array(z)
    a, b, c = map(jnp.asarray, (alpha, beta, m))
    mapped, moved, field, back = both_forms(a, b, c, z)
    x, v = z[:3], z[3:]
    psi = (m - alpha * beta) * x - beta * m * v - beta**2 * ridged.gradient(x)
    np.testing.assert_allclose(mapped.psi, psi, rtol=1e-12, atol=1e-13)
    for a, b in ((moved, field), (back, (x, v))):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_the_two_usual_starts():
    """ψ = (1 - αβ) x is v = -β∇f; less (β² - β)∇f it is v = -∇f."""
    alpha, beta = 0.5, 0.3
    flow = flows.InertialNewtonPsiFlow(F, alpha, beta)
    x = np.array([2.0, -1.5, 1.0])
    g, plain = ridged.gradient(x), (1 - alpha * beta) * x
    for psi, speed in ((plain, beta), (plain - (beta**2 - beta) * g, 1.0)):
        state = flows.InertialNewtonState(jnp.asarray(x), jnp.asarray(psi))
        velocity = flow.to_phase(state).velocity
        np.testing.assert_allclose(velocity, -speed * g, rtol=1e-12)


def test_it_rests_at_critical_points_alone():
    flow = flows.InertialNewtonPsiFlow(F, 0.5, 0.3, 2.0)
    best = jnp.asarray(F.facts.minimiser.value)
    resting = flows.InertialNewtonState(best, (2.0 - 0.15) * best)
    for part in flow.vector_field(0.0, resting):
        np.testing.assert_allclose(part, np.zeros(3), atol=1e-14)
    moved = flows.InertialNewtonState(best + 0.1, (2.0 - 0.15) * (best + 0.1))
    assert np.linalg.norm(flow.vector_field(0.0, moved).position) > 1e-3


def test_without_hessian_damping_and_force_it_is_the_damped_flow():
    y = flows.PhaseState(jnp.array([2.0, -1.5, 1.0]), jnp.array([0.3, -0.7, 1.1]))
    plain = flows.DampedFlow(F, 0.3, 0.7).vector_field(0.0, y)
    same = flows.InertialNewtonFlow(F, 0.7, 0.0, 0.3).vector_field(0.0, y)
    np.testing.assert_allclose(same.velocity, plain.velocity, rtol=1e-14)
