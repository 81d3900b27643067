"""The weight-normalised flow against scipy, its invariant, and where it ends."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from helpers import small_net

import flows
from flows import BadInput, WeightNormalisedState
from flows.problems import least_squares, quadratic, wavy

X = jnp.array([1.2, 0.8])
RNG = np.random.default_rng(4)
FEATURES = RNG.standard_normal((3, 6))
TARGETS = FEATURES @ RNG.standard_normal(6)
DIRECTION = RNG.standard_normal(6)
REGRESSION = least_squares(FEATURES, TARGETS)


def solved(flow, y, t1, tolerance=1e-11):
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    saveat = diffrax.SaveAt(ts=jnp.linspace(0.0, t1, 9))
    solver = diffrax.Dopri8()
    return flows.solve(
        flow, y, 0.0, t1, solver=solver, stepsize_controller=controller, saveat=saveat
    )


def test_the_flow_is_gradient_flow_of_the_reparametrised_loss():
    """At c_s = 1, by the chain rule; the loss differentiated by central differences."""

    def loss(z):
        x, y = z[0] * z[1:] / np.linalg.norm(z[1:])
        return x**2 / 2 + (x * y - 1) ** 2 / 4 + np.sin(y) / 3 + x**2 * y / 5

    z = np.array([1.4, 0.7, -0.9])
    slope: Any = scipy.optimize.approx_fprime(z, loss, 1e-7)
    y = WeightNormalisedState(jnp.asarray(z[:1]), jnp.asarray(z[1:]))
    for rate in (1.0, 0.3):
        field = flows.WeightNormalisedFlow(wavy(), rate).vector_field(0.0, y)
        np.testing.assert_allclose(field.scale, -rate * slope[:1], atol=1e-6)
        np.testing.assert_allclose(field.direction, -slope[1:], atol=1e-6)


def test_the_reparametrised_objective_has_the_flow_as_its_gradient_flow():
    objective = flows.weight_normalised(wavy())
    y = flows.polar(X, 0.7)
    field = flows.WeightNormalisedFlow(wavy()).vector_field(0.0, y)
    x = objective.ravel(y)
    assert objective.size == 3
    np.testing.assert_allclose(
        -objective.gradient(x), jnp.concatenate(field), rtol=1e-13
    )
    back = objective.params(x)
    np.testing.assert_array_equal(back.direction, y.direction)
    assert float(objective.loss_of(y)) == pytest.approx(float(wavy().value(X)))
    assert float(objective.loss_of(x)) == pytest.approx(float(wavy().value(X)))


def test_a_networks_pytree_keeps_its_structure():
    net, params = small_net()
    objective = flows.weight_normalised(net)
    start = flows.polar(params)
    assert jax.tree.structure(start.direction) == jax.tree.structure(params)
    assert float(objective.loss_of(start)) == pytest.approx(float(net.loss_of(params)))
    x = objective.ravel(start)
    assert float(objective.value(x)) == pytest.approx(float(net.loss_of(params)))
    again = objective.params(x).direction
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(start[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def invariant_along(flow, run):
    """P u exp(s²/(2 c_s |w|²)) by hand, at the run's times."""
    null = np.eye(6) - np.linalg.pinv(FEATURES) @ FEATURES
    s, w = (np.asarray(a) for a in run.states)
    norms = np.linalg.norm(w, axis=1)[:, None]
    growth = np.exp(s**2 / (2 * float(flow.scale_rate) * norms**2))
    return (w / norms) @ null * growth


@pytest.mark.slow
def test_the_norm_and_the_unseen_part_are_kept_as_the_theorem_says():
    flow = flows.WeightNormalisedFlow(REGRESSION, 0.6)
    y = flow.start(jnp.asarray(0.1 * DIRECTION), 1.2)
    run = solved(flow, y, 6.0)
    norms = np.linalg.norm(run.states.direction, axis=1)
    np.testing.assert_allclose(norms, 1.2, rtol=1e-10)
    kept = invariant_along(flow, run)
    np.testing.assert_allclose(kept, kept[[0]].repeat(9, 0), rtol=1e-8, atol=1e-12)
    # Negative control: the unseen part itself is not constant.
    scale = np.asarray(run.states.scale)[:, 0]
    assert scale[-1] > 2 * scale[0]


def test_the_flow_against_scipy():
    flow = flows.WeightNormalisedFlow(REGRESSION, 0.6)
    y = flow.start(jnp.asarray(0.1 * DIRECTION))

    def field(t, z):
        u = z[1:] / np.linalg.norm(z[1:])
        r = FEATURES.T @ (z[0] * FEATURES @ u - TARGETS) / 3
        turn = z[0] * (r - u * (u @ r)) / np.linalg.norm(z[1:])
        return np.concatenate([[-0.6 * (u @ r)], -turn])

    start = np.concatenate([np.asarray(a) for a in y])
    found = scipy.integrate.solve_ivp(
        field, (0.0, 3.0), start, rtol=1e-10, atol=1e-12
    ).y[:, -1]
    end = solved(flow, y, 3.0)
    last = np.concatenate([np.asarray(a)[-1] for a in end.states])
    np.testing.assert_allclose(last, found, atol=1e-8)


@pytest.mark.parametrize(("norm", "rate"), [(1.0, 1.0), (1.5, 0.5)])
def test_the_limit_is_where_the_flow_ends(norm, rate):
    flow = flows.WeightNormalisedFlow(REGRESSION, rate)
    x0 = 0.1 * DIRECTION
    run = solved(flow, flow.start(jnp.asarray(x0), norm), 400.0, 1e-10)
    solution = np.linalg.pinv(FEATURES) @ TARGETS
    null = np.eye(6) - np.linalg.pinv(FEATURES) @ FEATURES
    unseen = np.linalg.norm(null @ x0) / np.linalg.norm(x0)
    s, distance = flows.weight_normalised_limit(
        np.linalg.norm(solution),
        np.linalg.norm(x0),
        unseen,
        norm=norm,
        scale_rate=rate,
    )
    assert float(run.states.scale[-1, 0]) == pytest.approx(s, rel=1e-7)
    end = np.asarray(run.positions[-1])
    assert np.linalg.norm(end - solution) == pytest.approx(distance, rel=1e-6)


def test_the_multiplier_is_that_of_the_least_loss_on_the_sphere():
    solution = np.linalg.pinv(FEATURES) @ TARGETS
    hessian = FEATURES.T @ FEATURES / 3
    radius = 0.4 * np.linalg.norm(solution)
    mu = flows.sphere_multiplier(hessian, solution, radius)

    def loss(w):
        gap = radius * w / np.linalg.norm(w) - solution
        return gap @ hessian @ gap / 2

    best = scipy.optimize.minimize(loss, solution, tol=1e-12).x
    u = best / np.linalg.norm(best)
    gradient = hessian @ (radius * u - solution)
    np.testing.assert_allclose(gradient, -mu * u, atol=1e-5)
    with pytest.raises(BadInput, match="the least norm"):
        flows.sphere_multiplier(hessian, solution, 1.5 * np.linalg.norm(solution))


def test_starts_and_parameters_out_of_range_are_refused():
    with pytest.raises(BadInput, match="no direction"):
        flows.polar(jnp.zeros(2))
    with pytest.raises(BadInput, match="norm of the direction"):
        flows.polar(X, 0.0)
    with pytest.raises(BadInput, match="scale_rate"):
        flows.WeightNormalisedFlow(wavy(), -1.0)
    with pytest.raises(BadInput, match="takes an objective"):
        flows.weight_normalised(lambda x: x)
    objective = flows.weight_normalised(quadratic([1.0, 2.0]))
    with pytest.raises(BadInput, match="vector of 3"):
        objective.value(X)
    with pytest.raises(BadInput, match="scale has shape"):
        objective.ravel(WeightNormalisedState(jnp.ones(2), X))
    with pytest.raises(BadInput, match="0 < scale <= least_norm"):
        flows.weight_normalised_limit(1.0, 2.0, 0.5)
