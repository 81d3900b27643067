"""High-resolution flows and Bregman's family: starts, time change, limits."""

from typing import Any

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.special import j1, jvp

import flows
from flows.errors import BadInput
from flows.problems import quadratic, ridged_logistic
from tests.flows import ridged

F = ridged_logistic()
X, V = np.array([2.0, -1.5, 1.0]), np.array([0.3, -0.7, 1.1])


@pytest.mark.parametrize(
    ("flow", "t0", "speed"),
    [
        # 2√s/(1 + √(μs)) with √μ = 0.3, √s = 0.4
        (flows.HighResolutionHeavyBallFlow(F, 0.09, 0.16), 0.0, 0.8 / 1.12),
        (flows.HighResolutionNesterovFlow(F, 0.09, 0.16), 0.0, 0.8 / 1.12),
        (flows.HighResolutionAcceleratedFlow(F, 0.16), 0.6, 0.4),
    ],
)
def test_the_starts_of_the_paper(flow, t0, speed):
    found, state = flows.high_resolution_start(flow, jnp.asarray(X))
    assert float(found) == pytest.approx(t0, abs=1e-15)
    np.testing.assert_array_equal(state.position, X)
    np.testing.assert_allclose(state.velocity, -speed * ridged.gradient(X), rtol=1e-13)


def test_a_vanishing_step_gives_the_flows_of_low_resolution():
    y, t = flows.PhaseState(jnp.asarray(X), jnp.asarray(V)), jnp.asarray(1.7)
    pairs = (
        (
            flows.HighResolutionNesterovFlow(F, 0.09, 1e-20),
            flows.StronglyConvexAcceleratedFlow(F, 0.09),
        ),
        (flows.HighResolutionAcceleratedFlow(F, 1e-20), flows.AcceleratedFlow(F)),
    )
    for fine, plain in pairs:
        moved = (g.vector_field(t, y).velocity for g in (fine, plain))
        np.testing.assert_allclose(*moved, rtol=1e-9)


@pytest.mark.parametrize("p", [1.0, 4.0, 6.0])
def test_the_bregman_power_is_a_change_of_time(p):
    """y(t) = x(t^{p/2}) of the solution x for p = 2 solves the equation for p.

    With τ = t^{p/2}: y' = τ' x', y'' = τ'² x'' + τ'' x'.
    """
    t = 1.7
    tau, rate = t ** (p / 2), p / 2 * t ** (p / 2 - 1)
    bend = p / 2 * (p / 2 - 1) * t ** (p / 2 - 2)
    slow = flows.PhaseState(jnp.asarray(X), jnp.asarray(V))
    x2 = flows.BregmanFlow(F, 2.0, 0.3).vector_field(jnp.asarray(tau), slow).velocity
    fast = flows.PhaseState(jnp.asarray(X), rate * jnp.asarray(V))
    y2 = flows.BregmanFlow(F, p, 0.3).vector_field(jnp.asarray(t), fast).velocity
    np.testing.assert_allclose(y2, rate**2 * x2 + bend * V, rtol=1e-12)
    other = flows.BregmanFlow(F, p, 0.31).vector_field(jnp.asarray(t), fast).velocity
    assert np.max(np.abs(other - y2)) > 1e-4  # the scale C counts


def test_power_two_is_the_accelerated_flow():
    y, t = flows.PhaseState(jnp.asarray(X), jnp.asarray(V)), jnp.asarray(1.7)
    fields = (
        g.vector_field(t, y).velocity
        for g in (flows.BregmanFlow(F), flows.AcceleratedFlow(F, 3.0))
    )
    np.testing.assert_allclose(*fields, rtol=1e-14)


@pytest.mark.parametrize("p", [2.0, 4.0])
def test_the_bregman_start_is_the_series_of_the_bessel_solution(p):
    """On λx²/2: x = 2 J₁(z)/z, z = 2√(Cλ) t^{p/2}; two times give the orders."""
    curvatures, scale = np.array([0.5, 1.0, 3.0]), 0.3
    flow = flows.BregmanFlow(quadratic(curvatures), p, scale)

    def gaps(t):
        z = 2 * np.sqrt(scale * curvatures) * t ** (p / 2)
        x = X * 2 * j1(z) / z
        v = X * 2 * (jvp(1, z) / z - j1(z) / z**2) * z * p / (2 * t)
        start = flows.bregman_start(flow, jnp.asarray(X), t)
        return np.max(np.abs(start.position - x)), np.max(np.abs(start.velocity - v))

    coarse, fine = gaps(0.2 ** (2 / p)), gaps(0.1 ** (2 / p))
    orders = np.log(np.divide(coarse, fine)) / np.log(2 ** (2 / p))
    np.testing.assert_allclose(orders, [3 * p, 3 * p - 1], atol=0.1)


STARTS: dict[str, Any] = {
    "high_resolution_start": flows.high_resolution_start,
    "bregman_start": lambda flow, x: flows.bregman_start(flow, x, 0.1),
    "accelerated_start": lambda flow, x: flows.accelerated_start(flow, x, 0.1),
}


@pytest.mark.parametrize("name", STARTS)
def test_starts_take_floats_and_a_flow_of_theirs(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    flow, other = flows.BregmanFlow(F), flows.HighResolutionAcceleratedFlow(F, 0.1)
    if name == "high_resolution_start":
        flow, other = other, flow
    if name == "accelerated_start":
        flow = flows.AcceleratedFlow(F)
    start = STARTS[name]
    for wrong in (np.array([2, -1, 1]), [2.0, -1.0, 1.0]):
        with pytest.raises(BadInput, match="x0 is an array of floats"):
            start(flow, wrong)
    for wrong in (other, type(flow), None):
        with pytest.raises(BadInput, match=name):
            start(wrong, jnp.asarray(X))


@pytest.mark.parametrize("t0", [0.0, -1.0, np.nan])
def test_the_singular_time_is_refused(t0):
    with pytest.raises(BadInput, match="t0 is one finite number > 0"):
        flows.bregman_start(flows.BregmanFlow(F), jnp.asarray(X), t0)
