"""Second-order flows against the equation in NumPy, and their coefficients."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import flows
from flows.errors import BadInput
from flows.problems import ridged_logistic, wavy
from tests.flows import ridged

F = ridged_logistic()
X, V, T = np.array([2.0, -1.5, 1.0]), np.array([0.3, -0.7, 1.1]), 1.7

# Flow, and (m, a, β, b) at t = T worked out by hand.
FLOWS = {
    "inertial newton": (
        flows.InertialNewtonFlow(F, 0.5, 0.3, 2.0, 1.5),
        (2.0, 0.5, 0.3, 1.5),
    ),
    "all functions of time": (
        flows.InertialNewtonFlow(
            F, lambda t: 3 / t, lambda t: t, lambda t: 1 / t, lambda t: 1 + t
        ),
        (1 / 1.7, 3 / 1.7, 1.7, 2.7),
    ),
    "vanishing friction": (
        flows.VanishingInertialNewtonFlow(F, 3.0, 0.4),
        (1.0, 3 / 1.7, 0.4, 1 + 0.4 / 1.7),
    ),
    "heavy ball, high resolution": (
        flows.HighResolutionHeavyBallFlow(F, 0.09, 0.16),
        (1.0, 0.6, 0.0, 1.12),
    ),
    "Nesterov, high resolution": (
        flows.HighResolutionNesterovFlow(F, 0.09, 0.16),
        (1.0, 0.6, 0.4, 1.12),
    ),
    "accelerated, high resolution": (
        flows.HighResolutionAcceleratedFlow(F, 0.16),
        (1.0, 3 / 1.7, 0.4, 1 + 0.6 / 1.7),
    ),
    "Bregman": (flows.BregmanFlow(F, 4.0, 0.3), (1.0, 5 / 1.7, 0.0, 4.8 * 1.7**2)),
    "accelerated": (flows.AcceleratedFlow(F, 4.0), (1.0, 4 / 1.7, 0.0, 1.0)),
    "strongly convex": (
        flows.StronglyConvexAcceleratedFlow(F, 0.09),
        (1.0, 0.6, 0.0, 1.0),
    ),
    "damped": (flows.DampedFlow(F, 0.3, 0.7), (0.3, 0.7, 0.0, 1.0)),
}


@pytest.mark.parametrize("name", FLOWS)
def test_the_field_is_the_equation(name):
    flow, (m, a, beta, b) = FLOWS[name]
    y = flows.PhaseState(jnp.asarray(X), jnp.asarray(V))
    x, v = flow.vector_field(jnp.asarray(T), y)
    pull = a * V + beta * ridged.hessian(X) @ V + b * ridged.gradient(X)
    np.testing.assert_array_equal(x, V)
    np.testing.assert_allclose(v, -pull / m, rtol=1e-13)


def test_implicit_damping_looks_ahead():
    flow = flows.ImplicitHessianFlow(F, lambda t: 3 / t, 0.4, 2.0, lambda t: 1 + t)
    y = flows.PhaseState(jnp.asarray(X), jnp.asarray(V))
    moved = flow.vector_field(jnp.asarray(T), y).velocity
    pull = 3 / T * V + (1 + T) * ridged.gradient(X + 0.4 * V)
    np.testing.assert_allclose(moved, -pull / 2, rtol=1e-13)


def test_the_energy_changes_as_the_docstring_says():
    """(b f + m |v|²/2)' with b = 1 + t and m = 1/t, by the flow's generator."""
    flow, (_, a, beta, _) = FLOWS["all functions of time"]

    def energy(t, y):
        speed = y.velocity @ y.velocity
        return (1 + t) * F.value(y.position) + speed / (2 * t)

    y = flows.PhaseState(jnp.asarray(X), jnp.asarray(V))
    found = flow.generator(energy)(jnp.asarray(T), y)
    mass_lost = -1 / T**2
    expected = ridged.value(X) + (mass_lost / 2 - a) * V @ V
    expected -= beta * V @ ridged.hessian(X) @ V
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert abs(expected - beta * V @ V) > 0.1  # the oracle sees the Hessian


def test_at_rest_is_velocity_zero():
    x, v = flows.at_rest(jnp.asarray(X))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(v, np.zeros(3))


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_coefficients_out_of_range_are_refused(wrong):
    f = wavy()
    refused = {
        "friction": lambda: flows.InertialNewtonFlow(f, wrong, 1.0),
        "hessian_damping": lambda: flows.InertialNewtonFlow(f, 1.0, wrong),
        "mass": lambda: flows.InertialNewtonFlow(f, 1.0, 1.0, wrong),
        "force": lambda: flows.InertialNewtonFlow(f, 1.0, 1.0, 1.0, wrong),
        "lookahead": lambda: flows.ImplicitHessianFlow(f, 1.0, wrong),
        "strong_convexity": lambda: flows.HighResolutionNesterovFlow(f, wrong, 0.1),
        "learning_rate": lambda: flows.HighResolutionAcceleratedFlow(f, wrong),
        "power": lambda: flows.BregmanFlow(f, wrong),
        "scale": lambda: flows.BregmanFlow(f, 2.0, wrong),
    }
    for name, build in refused.items():
        with pytest.raises(BadInput, match=name):
            build()
    with pytest.raises(BadInput, match="mass"):
        flows.InertialNewtonFlow(f, 1.0, 1.0, 0.0)
    with pytest.raises(BadInput, match="hessian_damping is one finite number > 0"):
        flows.InertialNewtonPsiFlow(f, 1.0, 0.0)


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ({"mass": lambda t: 1 - t}, "mass 0 at t = 1 between t0 = 0 and t1 = 2"),
        ({"mass": lambda t: -1.0}, "mass -1 at t = 0"),
        ({"mass": lambda t: 1 / (2 - t)}, "mass inf at t = 2"),
        ({"friction": lambda t: 3 / t}, "friction inf at t = 0"),
        ({"hessian_damping": lambda t: np.log(t - 1)}, "hessian_damping nan at t = 0"),
        ({"force": lambda t: jnp.sqrt(1 - t)}, "force nan at t = 1.25"),
    ],
)
def test_functions_that_leave_their_range_are_refused(coefficients, message):
    numbers: dict[str, Any] = {"friction": 1.0, "hessian_damping": 0.5} | coefficients
    flow, y = flows.InertialNewtonFlow(F, **numbers), flows.at_rest(jnp.asarray(X))
    with pytest.raises(BadInput, match=f"InertialNewtonFlow has the {message}"):
        flows.solve(flow, y, 0.0, 2.0)
    numbers["lookahead"] = numbers.pop("hessian_damping")
    flow = flows.ImplicitHessianFlow(F, **numbers)
    with pytest.raises(BadInput, match="ImplicitHessianFlow has the"):
        flows.solve(flow, y, 0.0, 2.0)


def test_functions_in_their_range_are_not_refused():
    """A negative friction is one, and so is whatever closes over a traced number."""
    flow = flows.InertialNewtonFlow(F, lambda t: -0.5, 0.5, lambda t: 1 - t)
    flow.require_over(0.0, 0.9)
    with pytest.raises(BadInput, match="mass"):
        flow.require_over(0.0, 1.0)
    asked = []

    def traced(rate):
        flow = flows.InertialNewtonFlow(F, 0.5, 0.5, lambda t: rate - t)
        flow.require_over(0.0, 2.0)
        asked.append(flow.stiff(0.0, 2.0))
        return rate

    jax.eval_shape(traced, jnp.ones(()))
    assert asked == [False]


def test_a_start_at_rest_is_of_floats(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    wrong: Any
    for wrong in ([1.0, 2.0], np.array([1, 2]), "x", None, 1.0):
        with pytest.raises(BadInput, match="x is an array of floats"):
            flows.at_rest(wrong)


@pytest.mark.slow
def test_a_solution_against_radau():
    """DIN of mass 0.05, α = 0.5, β = 1, in both forms, against scipy's Radau."""
    flow = flows.InertialNewtonPsiFlow(F, 0.5, 1.0, 0.05)

    def field(t, y):
        pull = 0.5 * y[3:] + ridged.hessian(y[:3]) @ y[3:] + ridged.gradient(y[:3])
        return np.concatenate([y[3:], -pull / 0.05])

    times = np.array([0.5, 2.0, 5.0])
    start = np.concatenate([X, V])
    options = {"method": "Radau", "rtol": 1e-10, "atol": 1e-12, "t_eval": times}
    exact = solve_ivp(field, (0.0, 5.0), start, **options).y.T
    y = flows.PhaseState(jnp.asarray(X), jnp.asarray(V))
    saveat = diffrax.SaveAt(ts=jnp.asarray(times))
    by_phase = flows.solve(flow.phase_flow(), y, 0.0, 5.0, saveat=saveat).states
    by_psi = flows.solve(flow, flow.from_phase(y), 0.0, 5.0, saveat=saveat).states
    np.testing.assert_allclose(by_phase.position, exact[:, :3], atol=1e-7)
    np.testing.assert_allclose(by_phase.velocity, exact[:, 3:], atol=1e-7)
    np.testing.assert_allclose(by_psi.position, exact[:, :3], atol=1e-7)
    # Negative control: the flow of first order that it tends to is told apart.
    limit = flows.levenberg_marquardt_flow(F, 0.5, 1.0)
    run = flows.solve(limit, jnp.asarray(X), 0.0, 5.0, saveat=saveat)
    assert np.max(np.abs(run.states - exact[:, :3])) > 1e-2
