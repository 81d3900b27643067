"""Stochastic optimisers as schemes: against optax, by hand, and by simulation."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import sde
from discretize import (
    PolynomialGrid,
    StochasticAdam,
    StochasticGradient,
    StochasticRMSProp,
    chain_expectation,
)
from discretize.weak_operator import SIGNS
from flows import BadInput, GradientFlow, from_loss, iterate
from flows.adaptive import AdamState, RMSPropState
from flows.problems import double_well, quadratic

ETA, SCALES = 0.1, sde.AdaptiveScales(0.5, 0.8, 0.1, 2.0)
HYPER = SCALES.hyperparameters(ETA)
ONE = sde.FactorNoise(lambda x: jnp.asarray(1.0))
X, STEPS = np.array([1.0]), 6
DRAWS = np.random.default_rng(1).normal(size=(STEPS, 1))


@pytest.fixture
def lenient():
    """Optax mixes types that the strict promotion of this suite refuses."""
    import jax

    with jax.numpy_dtype_promotion("standard"):
        yield


def by_optax(optimizer):
    """Gradients x + σz of x²/2, σ = σ₀/η, fed to an optimiser of optax."""
    x = jnp.asarray(X)
    state = optimizer.init(x)
    for z in DRAWS:
        g = x + HYPER.noise_scale * z
        updates, state = optimizer.update(g, state, x)
        x = optax.apply_updates(x, updates)
    return float(x[0])


def end(scheme, model, start):
    run = iterate(scheme, model, start, h=ETA**2, steps=STEPS, noise=jnp.asarray(DRAWS))
    return float(run.states.position[-1, 0])


def test_adam_is_optax_adam_with_its_bias_corrections(lenient):
    optimizer = optax.adam(ETA, HYPER.beta1, HYPER.beta2, HYPER.eps)
    start = AdamState(jnp.asarray(X), jnp.zeros(1), jnp.zeros(1))
    scales = (SCALES.sigma0, SCALES.c1, SCALES.c2, SCALES.eps0)
    model = sde.AdamSDE(quadratic([1.0]), ONE, *scales)
    found, exact = end(StochasticAdam(), model, start), by_optax(optimizer)
    assert found == pytest.approx(exact, rel=1e-12)
    plain = sde.AdamSDE(quadratic([1.0]), ONE, *scales, False)
    assert abs(end(StochasticAdam(), plain, start) - exact) > 1e-3


def test_rmsprop_is_optax_rmsprop_with_the_new_moment(lenient):
    u0 = 0.8
    optimizer = optax.rmsprop(
        ETA,
        decay=HYPER.beta2,
        eps=HYPER.eps,
        eps_in_sqrt=False,
        initial_scale=u0 * HYPER.noise_scale**2,
    )
    scales = (SCALES.sigma0, SCALES.c2, SCALES.eps0)
    model = sde.RMSPropSDE(quadratic([1.0]), ONE, *scales)
    start = RMSPropState(jnp.asarray(X), jnp.array([u0]))
    exact = by_optax(optimizer)
    assert end(StochasticRMSProp("new"), model, start) == pytest.approx(exact, 1e-12)
    assert abs(end(StochasticRMSProp(), model, start) - exact) > 1e-4


def test_scales_and_hyperparameters_are_inverse_and_the_rule_keeps_them():
    np.testing.assert_allclose(sde.adaptive_scales(HYPER), SCALES, rtol=1e-13)
    scaled = sde.square_root_scaling(HYPER, 4)
    np.testing.assert_allclose(sde.adaptive_scales(scaled), SCALES, rtol=1e-13)
    assert scaled.learning_rate == pytest.approx(0.2)
    with pytest.raises(BadInput):
        sde.square_root_scaling(HYPER, 0)
    with pytest.raises(BadInput):
        sde.adaptive_scales(HYPER._replace(learning_rate=-1.0))


def test_a_step_of_sgd_is_the_batch_gradient():
    rows = (np.array([1.0, -2.0, 0.5, 3.0]), np.array([0.3, 1.0, -1.0, 0.2]))

    def loss(w, data):
        a, b = data
        return jnp.mean((a * w[0] - b) ** 2)

    f = from_loss(loss, jnp.ones(1), rows)
    scheme = StochasticGradient(sde.MinibatchNoise(f, 2))
    draw = jnp.array([0.3, 0.9])  # rows 1 and 3
    run = iterate(
        scheme, GradientFlow(f), jnp.ones(1), h=0.1, steps=1, noise=draw[None]
    )
    a, b = rows
    slope = np.mean(2 * a[[1, 3]] * (a[[1, 3]] - b[[1, 3]]))
    assert float(run.states[-1, 0]) == pytest.approx(1 - 0.1 * slope, rel=1e-14)


def test_simulated_sgd_has_the_variance_of_the_recursion():
    """4,000 paths of ±1 noise; E x² = 0.3205, s.d. of x² 0.347.

    Six standard errors: a false alarm in 1e-9 of runs, and an error of 0.05 is seen.
    """
    noise = sde.FactorNoise(lambda x: 0.6 + 0.3 * x, "sign")
    model = sde.StochasticModifiedEquation(quadratic([1.0]), noise, 0.25)
    exact = chain_expectation(
        PolynomialGrid(((-2.0, 2.0),), (2,)),
        StochasticGradient(),
        model,
        jnp.array([1.5]),
        lambda p: p[:, 0] ** 2,
        h=0.25,
        steps=4,
        law=SIGNS,
    )
    run = sde.simulate(
        model,
        jnp.array([1.5]),
        t1=1.0,
        scheme=StochasticGradient(),
        h=0.25,
        key=0,
        paths=4000,
    )
    squares = np.asarray(run.final)[:, 0] ** 2
    error = 6 * squares.std() / 4000**0.5
    assert exact == pytest.approx(0.3204537624621963, rel=1e-12)  # all 16 paths
    assert abs(squares.mean() - exact) < error
    assert error < 0.04


def test_schemes_refuse_models_that_are_not_theirs():
    y = jnp.ones(1)
    with pytest.raises(BadInput, match="gradient noise"):
        StochasticGradient().noise_like(GradientFlow(double_well()), y)
    with pytest.raises(BadInput, match="RMSPropSDE"):
        StochasticRMSProp().noise_like(GradientFlow(double_well()), y)
    with pytest.raises(BadInput, match="AdamSDE"):
        StochasticAdam().noise_like(GradientFlow(double_well()), y)
