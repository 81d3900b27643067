"""Descent on √f and with weight decay: rows, losses, and the edge of stability."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate
import scipy.optimize
import sympy as sp
from helpers import halving_slopes, scipy_end, small_net

from discretize import (
    NORMALISED_GD,
    ROOT_LOSS_SGD,
    WEIGHT_DECAY_SGD,
    OptaxStep,
    Training,
    prove,
    root_loss_sgd,
    self_stabilisation,
)
from discretize.optimizers import scalar_rmsprop
from flows import (
    AdaptiveOscillation,
    BadInput,
    Chart,
    NormalisedOscillation,
    RootLoss,
    RootLossOscillation,
    SelfStabilisation,
    SharpnessReductionFlow,
    WeightDecayed,
    from_sympy,
    iterate,
)
from flows.problems import quadratic, sine_valley


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("row", [ROOT_LOSS_SGD, WEIGHT_DECAY_SGD], ids=lambda r: r.name)
def test_both_rows_are_proved(row):
    assert prove(row).status == "proved"


BROKEN = {
    "the factor 2 forgotten": replace(
        ROOT_LOSS_SGD, clock=lambda hyper: 2 * hyper["learning_rate"]
    ),
    "another minimum": replace(
        ROOT_LOSS_SGD, optimizer=lambda hyper: root_loss_sgd(hyper["learning_rate"])
    ),
    "decay after the step": replace(
        WEIGHT_DECAY_SGD,
        optimizer=lambda hyper: optax.chain(
            optax.sgd(hyper["learning_rate"]),
            optax.add_decayed_weights(-hyper["weight_decay"]),
        ),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rows_are_refuted(name):
    assert prove(BROKEN[name]).status == "refuted"


@eqx.filter_jit
def all_of(objective, x, params):
    """Value, gradient, the same by reverse mode, the loss of the pytree, and back."""
    value, by_jax = jax.value_and_grad(objective.value)(x)
    back = objective.ravel(objective.params(x))
    return value, objective.gradient(x), by_jax, objective.loss_of(params), back


def test_both_losses_and_their_gradients_on_a_network():
    """With weight decay over all leaves of the pytree, and a root above -1."""
    f, params = small_net()
    x = f.ravel(params)
    value = float(f.loss_of(params))
    expected = [
        (RootLoss(f, -1.0), np.sqrt(value + 1)),
        (WeightDecayed(f, 0.3), value + 0.15 * np.sum(np.asarray(x) ** 2)),
    ]
    for made, number in expected:
        found, gradient, by_jax, loss, back = all_of(made, x, params)
        assert float(found) == pytest.approx(number, rel=1e-13)
        assert float(loss) == pytest.approx(number, rel=1e-13)
        np.testing.assert_allclose(gradient, by_jax, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(back, x)
    with pytest.raises(BadInput, match="weight_decay"):
        WeightDecayed(f, -0.1)


def test_descent_on_the_root_rests_at_the_minimum_and_asks_for_the_value():
    f = quadratic([2.0])
    optimizer = root_loss_sgd(0.1)
    x = jnp.array([0.0])
    step, _ = optimizer.update(f.gradient(x), optimizer.init(x), x, value=f.value(x))
    np.testing.assert_array_equal(step, 0.0)
    # elsewhere its length is η√(λ/2), however near
    for far in (1.0, 1e-6):
        x = jnp.array([far])
        g, value = f.gradient(x), f.value(x)
        step, _ = optimizer.update(g, optimizer.init(x), x, value=value)
        np.testing.assert_allclose(step, -0.1, rtol=1e-12)
    with pytest.raises(BadInput, match="value=f"):
        optimizer.update(x, optimizer.init(x), x)
    assert float(RootLoss(f).value(jnp.array([0.0]))) == 0.0
    np.testing.assert_array_equal(RootLoss(f).gradient(jnp.array([0.0])), 0.0)


# Self-stabilisation beside descent.


@pytest.mark.slow
def test_on_its_own_loss_the_cubic_model_is_descent():
    model = SelfStabilisation(0.2, 1.3)
    run = self_stabilisation(
        model.loss(0.1),
        model.start(jnp.array([0.3, 0.1])),
        learning_rate=0.1,
        steps=300,
    )
    np.testing.assert_allclose(np.abs(run.descent[:, 0]), run.cubic[:, 0], rtol=1e-9)
    np.testing.assert_allclose(run.descent[:, 1], run.cubic[:, 1], atol=1e-9)
    assert np.all(np.sign(run.descent[1:, 0]) == -np.sign(run.descent[:-1, 0]))
    np.testing.assert_allclose(np.diff(run.times), 0.1, rtol=1e-9)
    x, y = run.descent.T
    depth = y / np.sqrt(1.3)
    loss = (20 + np.sqrt(1.3) * depth) * x**2 / 2 - 0.2 / np.sqrt(1.3) * depth
    np.testing.assert_allclose(run.loss, loss, atol=1e-9)


def bent(alpha):
    """A valley with third and fourth derivatives that the model does not know."""
    x, z, q, a = sp.symbols("x z q a", real=True)
    width = 20 + z + z**2 / 2
    f = width * x**2 / 2 + x**3 / 3 - x**4 / 6 - a * z + q**2 / 2
    return from_sympy(f, [x, z, q], {a: alpha})


@pytest.mark.slow
def test_elsewhere_it_follows_descent_to_the_root_of_alpha():
    errors = []
    for alpha in (1e-3, 2.5e-4, 6.25e-5, 1.5625e-5):
        size = np.sqrt(2 * alpha)
        run = self_stabilisation(
            bent(alpha),
            jnp.array([0.4 * size, 0.0, 0.0]),
            learning_rate=0.1,
            steps=round(3 / np.sqrt(alpha) / 0.1),
        )
        gap = np.abs(np.abs(run.descent[:, 0]) - run.cubic[:, 0])
        errors.append(gap.max() / size)
    slopes = np.log2(np.array(errors[:-1]) / errors[1:]) / 2  # α falls by 4
    np.testing.assert_allclose(slopes[-1], 0.5, atol=0.05)
    assert np.all(np.diff(np.abs(slopes - 0.5)) < 0)


def test_a_valley_that_widens_by_itself_has_nothing_to_stabilise():
    with pytest.raises(BadInput, match="the sharpness falls"):
        self_stabilisation(
            bent(-0.1), jnp.array([0.1, 0.0, 0.0]), learning_rate=0.1, steps=3
        )


# Along minimisers.


SYMBOLS = sp.symbols("x p q", real=True)
HEIGHT = SYMBOLS[1] * SYMBOLS[2] / 2 + sp.sin(SYMBOLS[1]) / 2
WIDTH = 2 + sp.sin(SYMBOLS[1]) * sp.cos(SYMBOLS[2]) + SYMBOLS[1] / 3
SURFACE = from_sympy(WIDTH * (SYMBOLS[0] - HEIGHT) ** 2 / 2, SYMBOLS)


def surface(y):
    return jnp.stack([y[0] * y[1] / 2 + jnp.sin(y[0]) / 2, y[0], y[1]])


def line(p):
    return jnp.stack([jnp.zeros_like(p[0]), p[0]])


def midpoint(step, objective, x, steps):
    """(w_k + 2 w_{k+1} + w_{k+2})/4, which does not see swings of period 2."""
    run = iterate(step, Training(objective), x, h=1.0, steps=steps, save="last")
    last = run.positions[-1]
    w = iterate(step, Training(objective), last, h=1.0, steps=2).positions
    return np.asarray((w[0] + 2 * w[1] + w[2]) / 4)


@pytest.mark.slow
def test_normalised_descent_follows_its_flow_on_a_surface_to_order_2():
    flow = SharpnessReductionFlow(SURFACE, NormalisedOscillation(), Chart(surface))
    start, errors = np.array([0.4, -0.3]), []
    x = surface(jnp.asarray(start))
    u = jnp.linalg.eigh(SURFACE.hessian(x))[1][:, -1]
    assert float(flow.variance(jnp.asarray(start))) == pytest.approx(0.25)
    for eta in 0.08 * 0.5 ** np.arange(4):
        hyper = {"learning_rate": jnp.asarray(eta), "eps": jnp.asarray(0.0)}
        step = OptaxStep(NORMALISED_GD.optimizer, hyper)
        steps = round(4 / eta**2)
        found = midpoint(step, SURFACE, x + eta / 2 * u, steps)
        exact = surface(jnp.asarray(scipy_end(flow, start, eta**2 * (steps + 1))))
        errors.append(np.linalg.norm(found - np.asarray(exact)))
    np.testing.assert_allclose(halving_slopes(errors), 2, atol=0.05)
    assert errors[0] < 2e-4
    # negative control: half the speed ends elsewhere
    assert (
        np.linalg.norm(scipy_end(flow, start, 2.0) - scipy_end(flow, start, 4.0)) > 0.1
    )


def adaptive(hyper):
    return scalar_rmsprop(hyper["eta"], hyper["decay"], 0.0, hyper["memory"])


def test_scalar_rmsprop_follows_the_adaptive_flow_to_order_2():
    """1 - β₂ = 3η², from the edge and from the flow's own variance."""
    oscillation, errors = AdaptiveOscillation(3.0), []
    flow = SharpnessReductionFlow(sine_valley(), oscillation, Chart(line))
    expected = scipy_end(flow, [0.0], 4.0)[0]
    for eta in 0.08 * 0.5 ** np.arange(4):
        variance = eta**2 * float(
            oscillation.variance(jnp.asarray(2.0), jnp.asarray(0.25))
        )
        decay = 1 - 3 * eta**2
        # ν after the first update is at the edge, (ηλ/2)² with λ = 2
        memory = (eta**2 - (1 - decay) * 4 * variance) / decay
        hyper = {"eta": eta, "decay": decay, "memory": memory}
        step = OptaxStep(adaptive, jax.tree.map(jnp.asarray, hyper))
        run = iterate(
            step,
            Training(sine_valley()),
            jnp.array([np.sqrt(variance), 0.0]),
            h=1.0,
            steps=round(4 / eta**2),
            save="last",
        )
        errors.append(abs(float(run.positions[-1][1]) - expected))
    np.testing.assert_allclose(halving_slopes(errors), 2, atol=0.01)
    # negative control: the limit C → ∞ is another flow
    other = SharpnessReductionFlow(sine_valley(), NormalisedOscillation(), Chart(line))
    assert abs(scipy_end(other, [0.0], 4.0)[0] - expected) > 50 * errors[0]


@pytest.mark.slow
def test_root_descent_moves_along_a_surface_as_its_flow():
    """Its share of the two sides is free, so iterates are projected on the surface."""
    flow = SharpnessReductionFlow(SURFACE, RootLossOscillation(), Chart(surface))
    start, errors = np.array([0.4, -0.3]), []
    x = surface(jnp.asarray(start))
    values, vectors = jnp.linalg.eigh(SURFACE.hessian(x))
    for eta in (0.08, 0.02):
        hyper = {"learning_rate": jnp.asarray(eta), "f_min": jnp.asarray(0.0)}
        step = OptaxStep(ROOT_LOSS_SGD.optimizer, hyper)
        away = eta * jnp.sqrt(values[-1] / 8) * vectors[:, -1]
        steps = round(4 / eta**2)
        run = iterate(
            step, Training(SURFACE), x + away, h=1.0, steps=steps, save="last"
        )
        last = np.asarray(run.positions[-1])
        nearest = scipy.optimize.least_squares(
            lambda y, last=last: np.asarray(surface(jnp.asarray(y))) - last,
            last[1:],
            xtol=1e-14,
        ).x
        errors.append(np.linalg.norm(nearest - scipy_end(flow, start, 4.0)))
    # O(η²): a quarter of the step, a sixteenth of the error, up to the share's phase
    assert errors[1] < errors[0] / 8
    assert errors[0] < 2e-3
