"""The accelerated flows against their solutions on quadratics and their energies."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gamma, jv

import flows
from flows.errors import BadInput
from flows.problems import quadratic, wavy

TIMES = np.linspace(0.5, 8.0, 6)
CURVATURES = np.array([1.0, 2.5])
X0 = jnp.array([1.0, -2.0])


def solved(flow, start, t0, times):
    saveat = diffrax.SaveAt(ts=jnp.asarray(times))
    controller = diffrax.PIDController(rtol=1e-10, atol=1e-12)
    return flows.solve(
        flow, start, t0, times[-1], saveat=saveat, stepsize_controller=controller
    )


def bessel(t, r):
    """The solution from rest on λ x²/2: shape [times, curvatures]."""
    nu, z = (r - 1) / 2, np.sqrt(CURVATURES) * np.asarray(t)[:, None]
    return np.asarray(X0) * gamma(nu + 1) * (2 / z) ** nu * jv(nu, z)


@pytest.mark.parametrize("r", [3.0, 4.0, 1.5])
def test_a_quadratic_gives_bessel_functions(r):
    flow = flows.AcceleratedFlow(quadratic(CURVATURES), r)
    start = flows.accelerated_start(flow, X0, 0.01)
    run = solved(flow, start, 0.01, TIMES)
    np.testing.assert_allclose(run.positions, bessel(TIMES, r), atol=2e-8)


def test_a_start_without_the_series_is_seen():
    """Rest at t0 in place of t = 0 is off by O(t0²)."""
    flow = flows.AcceleratedFlow(quadratic(CURVATURES), 3.0)
    start = flows.PhaseState(X0, jnp.zeros(2))
    run = solved(flow, start, 0.3, TIMES)
    assert np.max(np.abs(run.positions - bessel(TIMES, 3.0))) > 1e-3


@pytest.mark.slow
def test_the_start_has_the_orders_that_it_names():
    """Doubled times: 2⁶ in the position and 2⁵ in the velocity, on a wavy loss."""
    flow = flows.AcceleratedFlow(wavy(), 3.0)
    x0 = jnp.array([1.2, 0.8])
    early = flows.accelerated_start(flow, x0, 0.005)
    times = [0.1, 0.2]
    run = solved(flow, early, 0.005, times)
    gaps = []
    for k, t in enumerate(times):
        series = flows.accelerated_start(flow, x0, t)
        gaps.append(
            (
                np.linalg.norm(series.position - run.states.position[k]),
                np.linalg.norm(series.velocity - run.states.velocity[k]),
            )
        )
    orders = np.log2(np.array(gaps[1]) / np.array(gaps[0]))
    np.testing.assert_allclose(orders, [6.0, 5.0], atol=0.2)


@pytest.mark.parametrize("t0", [0.0, -1.0, np.inf])
def test_the_singular_time_is_refused(t0):
    flow = flows.AcceleratedFlow(wavy())
    with pytest.raises(BadInput, match="t0 is one finite number > 0"):
        flows.accelerated_start(flow, jnp.zeros(2), t0)


@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(BadInput, match="friction"):
        flows.AcceleratedFlow(wavy(), wrong)
    with pytest.raises(BadInput, match="strong_convexity"):
        flows.StronglyConvexAcceleratedFlow(wavy(), wrong)


def test_strong_convexity_is_critical_damping_of_its_own_curvature():
    """λ = μ: x = x0 (1 + √μ t) e^{-√μ t}; λ = 5μ oscillates at the same rate."""
    mu = 0.6
    flow = flows.StronglyConvexAcceleratedFlow(quadratic([mu, 5 * mu]), mu)
    run = solved(flow, flows.PhaseState(X0, jnp.zeros(2)), 0.0, TIMES)
    rate, turn = np.sqrt(mu), np.sqrt(4 * mu)
    decay = np.exp(-rate * TIMES)
    critical = 1.0 * (1 + rate * TIMES) * decay
    swing = -2.0 * decay * (np.cos(turn * TIMES) + rate / turn * np.sin(turn * TIMES))
    np.testing.assert_allclose(run.positions, np.stack([critical, swing], 1), atol=1e-8)
