"""Reverse mode through central flows: basis, complementarity problem and loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from helpers import small_net

from discretize import CentralEuler
from flows import CentralFlow, from_sympy, iterate
from flows.central import GradientDescent

X, Z = sp.symbols("x z", real=True)


@pytest.mark.slow
def test_learning_rate_and_start_in_a_valley_by_closed_form():
    """S = 20 + a z, loss α, κ: z* = (2/η - 20)/a and σ² = 2 (α - κ z*)/a at the edge.

    Their derivatives in η are -2/(a η²) and 4 κ/(a² η²); the start is forgotten but for
    what it has left of itself while below the edge, which is nothing.
    """
    a, alpha, kappa, eta = 1.5, 0.3, 0.8, 0.1
    valley = from_sympy((20 + a * Z) * X**2 / 2 - alpha * Z + kappa * Z**2 / 2, [X, Z])

    def end(x, eta):
        flow = CentralFlow(valley, GradientDescent(eta))
        scheme = CentralEuler(block=1, substeps=2)
        run = iterate(scheme, flow, flow.start(x), h=1.0, steps=20)
        return run.states.position[-1][1] + 0.3 * run.aux.trace[-1]

    start = jnp.array([0.0, -0.2])
    value, (by_start, by_rate) = eqx.filter_jit(jax.value_and_grad(end, (0, 1)))(
        start, jnp.asarray(eta)
    )
    z = (2 / eta - 20) / a
    np.testing.assert_allclose(value, z + 0.6 * (alpha - kappa * z) / a, rtol=1e-12)
    expected = (-2 / a + 0.3 * 4 * kappa / a**2) / eta**2
    np.testing.assert_allclose(by_rate, expected, rtol=1e-10)
    np.testing.assert_allclose(by_start, 0.0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("block", "rtol"), [(14, 1e-7), (4, 1e-3)])
def test_a_network_entering_and_leaving_the_edge(block, rtol):
    """28 parameters, against central differences, in the start and in η.

    A block of 14 is refreshed from the whole matrix: the basis is exact and so is its
    derivative. A block of 4 is carried by one Rayleigh–Ritz step, whose derivative is
    taken to be that of the true basis: off by the order of the residuals.
    """
    objective, params = small_net(hidden=7, rows=30)
    weights, along = np.random.default_rng(0).standard_normal((2, 28))

    @jax.jit
    def warm(x):
        return jax.lax.fori_loop(
            0, 100, lambda _, x: x - 0.02 * objective.gradient(x), x
        )

    def end(x, eta):
        flow = CentralFlow(objective, GradientDescent(eta))
        scheme = CentralEuler(block=block, substeps=2)
        run = iterate(scheme, flow, flow.start(x), h=0.25, steps=14)
        return run.states.position[-1] @ jnp.asarray(weights) + run.aux.trace[-3], run

    x, eta = warm(0.5 * objective.ravel(params)), jnp.asarray(2 / 1.2)
    function = jax.jit(lambda x, eta: end(x, eta)[0])
    trace = np.asarray(end(x, eta)[1].aux.trace)
    assert trace[0] == 0 and np.max(trace) > 0.01 and trace[-1] == 0
    gx, ge = jax.jit(jax.grad(function, (0, 1)))(x, eta)
    h = 1e-5
    by_rate = (function(x, eta + h) - function(x, eta - h)) / (2 * h)
    np.testing.assert_allclose(ge, by_rate, rtol=rtol)
    d = jnp.asarray(along)
    by_start = (function(x + h * d, eta) - function(x - h * d, eta)) / (2 * h)
    np.testing.assert_allclose(gx @ d, by_start, rtol=rtol)
