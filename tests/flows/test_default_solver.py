"""Which solver `solve` takes by itself: explicit, but for small stiff states."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flows
from flows.problems import quadratic, ridged_logistic, wavy
from flows.stiffness import SMALL, default_solver

CONTROL: Any = diffrax.PIDController(rtol=1e-8, atol=1e-8)
F = ridged_logistic()  # L = 0.288
REST = flows.at_rest(jnp.ones(3))


def implicit(flow, y=REST, t1=10.0, controller: Any = CONTROL, t0=0.0):
    solver = default_solver(flow, y, jnp.asarray(t0), jnp.asarray(t1), controller)
    return isinstance(solver, diffrax.AbstractImplicitSolver)


@pytest.mark.parametrize(
    ("flow", "stiff"),
    [
        (flows.InertialNewtonFlow(F, 0.5, 1.0, 1e-2), False),
        (flows.InertialNewtonFlow(F, 0.5, 1.0, 1e-5), True),  # a small mass
        (flows.InertialNewtonFlow(F, 0.0, 1e5, 1.0), True),  # β L large
        (flows.InertialNewtonFlow(wavy(), 0.0, 1e5, 1.0), False),  # L unknown
        (flows.InertialNewtonFlow(F, 0.0, 0.0, 1e-5), False),  # no friction: it swings
        (flows.InertialNewtonFlow(F, 0.5, 1.0, lambda t: jnp.exp(-2 * t)), True),
        (flows.InertialNewtonPsiFlow(F, 0.5, 1.0, 1e-5), True),
        (flows.ImplicitHessianFlow(F, 0.5, 1.0, 1e-5), True),
        (flows.DampedFlow(F, 1e-5), True),
        (flows.DampedFlow(F, 1.0), False),
    ],
)
def test_friction_that_acts_often_makes_it_implicit(flow, stiff):
    assert implicit(flow) == stiff
    assert not implicit(flow, t1=1e-5)  # a short time is never stiff


def test_a_singular_friction_at_the_start_is_not_stiff():
    assert not implicit(flows.AcceleratedFlow(F), t0=1e-6, t1=1000.0)


def test_large_states_fixed_steps_and_traced_parameters_stay_explicit():
    def many(n):
        return flows.InertialNewtonFlow(quadratic(np.ones(n)), 0.5, 1.0, 1e-6)

    at_most = SMALL // 2  # a state is a position and a velocity
    assert implicit(many(at_most), flows.at_rest(jnp.ones(at_most)))
    assert not implicit(many(at_most + 1), flows.at_rest(jnp.ones(at_most + 1)))
    flow = flows.InertialNewtonFlow(F, 0.5, 1.0, 1e-5)
    assert not implicit(flow, controller=diffrax.ConstantStepSize())
    seen = []

    def traced(m):
        seen.append(implicit(flows.InertialNewtonFlow(F, 0.5, 1.0, m)))
        return m

    jax.eval_shape(traced, 1e-5)
    assert seen == [False]


@pytest.mark.slow
def test_a_small_mass_is_solved_in_few_steps():
    """Mass 1e-5 on a quadratic against its closed form; steps beside Tsit5's."""
    flow = flows.InertialNewtonFlow(quadratic([0.1, 1.0, 3.0]), 0.5, 1.0, 1e-5)
    runs = [
        flows.solve(flow, REST, 0.0, 4.0, solver=s, max_steps=10**7)
        for s in (None, diffrax.Tsit5())
    ]
    exact = jax.vmap(lambda t: flows.inertial_oscillation(flow, REST, t).position)
    exact = exact(runs[0].times)
    for run in runs:
        np.testing.assert_allclose(run.positions, exact, atol=1e-7)
    few, many = (run.stats["num_steps"] for run in runs)
    assert 50 * few < many
