"""Gradient flow against closed forms; the modified heavy-ball flow against sympy."""

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import sympy as sp
from helpers import WAVY_START
from scipy.special import lambertw

from flows import (
    GradientFlow,
    ModifiedHeavyBallFlow,
    from_sympy,
    slip,
    solve,
)
from flows.problems import quadratic, scalar_product, wavy

# The solver's local tolerance is 1e-8; its global error may be some 30 times that.
LOOSE = 3e-7


@pytest.mark.slow
def test_quadratic_against_the_matrix_exponential():
    rng = np.random.default_rng(0)
    m = rng.standard_normal((4, 4))
    a = m @ m.T
    a = (a + a.T) / 2
    x0 = rng.standard_normal(4)
    run = solve(GradientFlow(quadratic(a)), jnp.asarray(x0), 0.0, 1.5)
    assert run.times.size == 101
    for t, x in zip(run.times[::20], run.states[::20], strict=True):
        exact = scipy.linalg.expm(-a * float(t)) @ x0
        np.testing.assert_allclose(x, exact, atol=LOOSE)


def test_logistic_loss_against_lambert_w():
    """x' = 1/(1 + eˣ) gives x + eˣ = x₀ + e^{x₀} + t."""
    x = sp.Symbol("x", real=True)
    flow = GradientFlow(from_sympy(sp.log(1 + sp.exp(-x)), [x]))
    run = solve(flow, jnp.array([-1.0]), 0.0, 20.0)
    c = -1.0 + np.exp(-1.0) + np.asarray(run.times)
    exact = c - lambertw(np.exp(c)).real
    np.testing.assert_allclose(run.states[:, 0], exact, atol=LOOSE)
    wrong = c - lambertw(np.exp(2 * c)).real
    assert np.max(np.abs(run.states[:, 0] - wrong)) > 0.1


def test_two_layer_product_against_its_closed_form():
    target, s0 = 1.5, 0.09
    flow = GradientFlow(scalar_product(2, target))
    run = solve(flow, jnp.array([0.3, 0.3]), 0.0, 4.0)
    grown = np.exp(2 * target * np.asarray(run.times))
    exact = target * grown / (grown - 1 + target / s0)
    np.testing.assert_allclose(run.states[:, 0] * run.states[:, 1], exact, atol=LOOSE)
    np.testing.assert_allclose(run.states[:, 0], run.states[:, 1], atol=1e-14)
    # Unbalanced layers keep a² - b², exactly in the flow.
    run = solve(flow, jnp.array([0.9, 0.2]), 0.0, 4.0)
    kept = run.states[:, 0] ** 2 - run.states[:, 1] ** 2
    np.testing.assert_allclose(kept, 0.77, atol=LOOSE)


@pytest.mark.slow
def test_energy_identity():
    """dE/dt = -|∇f|², as the generator says it and as the path shows it."""
    f = wavy()
    flow = GradientFlow(f)
    fall = eqx.filter_jit(flow.generator(lambda t, y: f.value(y)))
    for x in np.random.default_rng(3).uniform(-1.5, 1.5, (5, 2)):
        x = jnp.asarray(x)
        square = jnp.sum(f.gradient(x) ** 2)
        assert float(fall(0.0, x)) == pytest.approx(-float(square), rel=1e-13)
    run = solve(
        flow,
        jnp.array(WAVY_START),
        0.0,
        2.0,
        saveat=diffrax.SaveAt(ts=jnp.linspace(0, 2, 401)),
    )
    spent = scipy.integrate.simpson(np.asarray(run.gradient_norm) ** 2, dx=2 / 400)
    assert float(run.loss[0] - run.loss[-1]) == pytest.approx(spent, rel=1e-6)


def test_the_modified_heavy_ball_field_against_sympy():
    f = wavy()
    x, y = f.variables
    eta, beta = sp.Rational(1, 20), sp.Rational(7, 10)
    gradient = sp.Matrix([sp.diff(f.expression, s) for s in (x, y)])
    square = gradient.dot(gradient)
    modified = f.expression / (1 - beta) + eta * (1 + beta) / (4 * (1 - beta) ** 3) * (
        square
    )
    field = sp.lambdify((x, y), [-sp.diff(modified, s) for s in (x, y)])
    flow = ModifiedHeavyBallFlow(f, 0.05, 0.7)
    got = eqx.filter_jit(flow.vector_field)
    for p in np.random.default_rng(4).uniform(-1.5, 1.5, (5, 2)):
        np.testing.assert_allclose(got(0.0, jnp.asarray(p)), field(*p), rtol=1e-12)


def test_its_special_cases():
    f = wavy()
    x = jnp.array(WAVY_START)
    plain = ModifiedHeavyBallFlow(f, 0.0, 0.0).vector_field(0.0, x)
    np.testing.assert_array_equal(plain, GradientFlow(f).vector_field(0.0, x))
    implicit = ModifiedHeavyBallFlow(f, 0.1, 0.0).vector_field(0.0, x)
    g = f.gradient(x)
    np.testing.assert_allclose(implicit, -g - 0.05 * f.hvp(x, g), rtol=1e-14)
    assert float(jnp.max(jnp.abs(implicit - plain))) > 1e-2


def test_slip_against_the_exact_shadow_of_a_quadratic():
    """On λ/2 x² the slow mode of heavy ball starts at x₀ (1 + slip) + O(η²)."""
    lam, beta = 2.0, 0.6
    gaps = []
    for eta in (2e-4, 1e-4, 5e-5):
        # x_{k+1} = (1 + β - ηλ) x_k - β x_{k-1}, x_{-1} = x_0 = 1.
        slow, fast = np.sort(np.roots([1, -(1 + beta - eta * lam), beta]))[::-1]
        exact = (1 - eta * lam - fast) / (slow - fast)
        start = slip(quadratic([lam]), eta, beta, jnp.ones(1))
        gaps.append(abs(float(start[0]) - exact))
        assert abs(exact - 1) > 10 * gaps[-1]  # without the slip
    slopes = np.log2(np.array(gaps[:-1]) / gaps[1:])
    np.testing.assert_allclose(slopes, 2.0, atol=0.1)
