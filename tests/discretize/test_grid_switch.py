"""Switching processes on a grid: labels, minibatches, exact stationary moments."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg

import sde
from discretize import (
    AOBOA,
    Euler,
    GridSwitch,
    MomentumEuler,
    matching_index,
    switched_law,
    to_heavy_ball,
)
from flows import (
    BadInput,
    DampedFlow,
    PhaseState,
    PowerSchedule,
    iterate,
    quadratic_sum,
    solve,
)
from flows.problems import wavy

CENTRES = np.array([[-1.0], [0.0], [1.5], [2.5]])
SPREAD = float(np.var(CENTRES))
KAPPA, MASS, ALPHA = 1.3, 0.7, 0.9
INDEX = sde.UniformIndex(4, 2.0)
RATE = 8 / 3
LOSSES = quadratic_sum(CENTRES, KAPPA)
WITH = sde.StochasticGradientMomentumProcess(LOSSES, INDEX, MASS, ALPHA)
WITHOUT = sde.StochasticGradientProcess(LOSSES, INDEX, ALPHA)
GENERATOR = np.array([[-1.0, 0.7, 0.3], [0.2, -0.5, 0.3], [1.5, 0.0, -1.5]])


def variance(scheme, process, h):
    return float(switched_law(scheme, process, h).covariance[0, 0])


@pytest.mark.parametrize(
    ("index", "power"),
    [
        (INDEX, 0.0),
        pytest.param(
            sde.UniformIndex(5, PowerSchedule(1.0, 2.0, 1.5), "fresh_draw"),
            1.5,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            sde.WeightedIndex([0.2, 0.5, 0.3], PowerSchedule(1.0, 2.0, 1.5)),
            1.5,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            sde.MarkovIndex(GENERATOR, PowerSchedule(1.0, 2.0, -0.5)),
            -0.5,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["never repeat", "fresh draw", "weighted", "generator"],
)
def test_labels_on_a_grid_follow_the_exponential_of_the_generator(index, power):
    """Against scipy's expm; the inverse distribution by exact measures of cells."""
    t, h, u = 0.4, 0.3, (jnp.arange(20_000.0) + 0.5) / 20_000
    ends = (1 + np.array([t, t + h]) / 2) ** (power + 1)
    pace = 2 * (ends[1] - ends[0]) / (power + 1) / (1 + t / 2) ** power
    expected = scipy.linalg.expm(np.asarray(index.generator_matrix(t)) * pace)[1]
    np.testing.assert_allclose(index.transition(t, h, 1), expected, rtol=1e-12)
    later = jax.vmap(lambda u: index.later_label(t, h, 1, u))(u)
    shares = np.bincount(np.asarray(later), minlength=index.labels) / u.size
    np.testing.assert_allclose(shares, expected, atol=2 / u.size)
    fresh = jax.vmap(lambda u: index.stationary_label(1, u))(u)
    shares = np.bincount(np.asarray(fresh), minlength=index.labels) / u.size
    np.testing.assert_allclose(shares, index.stationary(), atol=2 / u.size)


def optax_path(optimizer, labels, start):
    x, state, path = start, optimizer.init(start), []
    for label in labels:
        updates, state = optimizer.update(LOSSES.gradient(x, label[None]), state, x)
        x = optax.apply_updates(x, updates)
        path.append(np.asarray(x))
    return np.array(path)


@pytest.mark.slow
def test_fresh_labels_are_the_minibatches_of_optax():
    """SGD, and SGD with momentum, on the rows that the scheme drew."""
    h, steps, start = 0.1, 12, jnp.array([0.4])
    without = sde.StochasticGradientProcess(LOSSES, INDEX)
    states = (
        (without, Euler(), sde.SwitchingState(start, jnp.asarray(2)), optax.sgd(h)),
        (
            WITH,
            MomentumEuler(),
            sde.SwitchingMomentumState(start, jnp.zeros(1), jnp.asarray(2)),
            optax.sgd(*to_heavy_ball(h, MASS, ALPHA)),
        ),
    )
    for process, inner, y0, optimizer in states:
        scheme = GridSwitch(inner, "fresh")
        noise = sde.draw_noise(scheme, process, y0, 5, steps)
        run = iterate(scheme, process, y0, h=h, steps=steps, noise=noise).states
        with jax.numpy_dtype_promotion("standard"):
            same = optax_path(optimizer, run.label[:-1], start)
        np.testing.assert_allclose(run.position[1:], same, rtol=0, atol=1e-14)
        assert len(set(np.asarray(run.label).tolist())) > 2


def test_variance_of_heavy_ball_with_a_correlated_index():
    """A closed form in (ηκ, β, ρ), and for independent rows the classical one."""
    h = 0.1
    eta, beta = (float(a) for a in to_heavy_ball(h, MASS, ALPHA))
    k, rho = eta * KAPPA, np.exp(-RATE * h)
    top = 1 + rho - k * rho + beta * (1 - rho**2) + beta * k * rho
    top = k * SPREAD * (top - beta**2 * rho * (1 + rho))
    bottom = (1 - beta) * (2 + 2 * beta - k)
    bottom *= 1 - rho + k * rho - beta * rho * (1 - rho)
    found = variance(GridSwitch(MomentumEuler()), WITH, h)
    np.testing.assert_allclose(found, top / bottom, rtol=1e-12)
    fresh = k * SPREAD * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - k))
    found = variance(GridSwitch(MomentumEuler(), "fresh"), WITH, h)
    np.testing.assert_allclose(found, fresh, rtol=1e-12)


def test_the_exact_flow_on_a_grid():
    h, rho, kept = 0.1, np.exp(-KAPPA / ALPHA * 0.1), np.exp(-RATE * 0.1)
    frozen = SPREAD * (1 - rho) * (1 + rho * kept) / ((1 + rho) * (1 - rho * kept))
    np.testing.assert_allclose(variance(GridSwitch(), WITHOUT, h), frozen, rtol=1e-12)
    tanh = SPREAD * np.tanh(KAPPA / ALPHA * h / 2)
    found = variance(GridSwitch(labels="fresh"), WITHOUT, h)
    np.testing.assert_allclose(found, tanh, rtol=1e-12)


@pytest.mark.slow
def test_an_ensemble_has_the_moments_of_the_law():
    """4096 paths at 6.1 standard errors (false alarm 2e-9) see 19 % of a variance.

    The standard error of a sample variance is σ²√((kurtosis - 1)/n); the kurtosis of a
    bounded switching noise through a linear filter is at most that of a Gaussian.
    """
    paths, h = 4096, 0.1
    labels = jnp.asarray(np.random.default_rng(0).integers(0, 4, paths))
    y0 = sde.SwitchingMomentumState(
        jnp.full((paths, 1), 0.75), jnp.zeros((paths, 1)), labels
    )
    scheme = GridSwitch(MomentumEuler())
    run = sde.simulate(WITH, y0, t1=15.0, h=h, scheme=scheme, key=1, paths=paths)
    law = switched_law(scheme, WITH, h)
    z = np.concatenate([run.final.position, run.final.velocity], axis=1)
    for i in range(2):
        radius = 6.11 * law.covariance[i, i] * np.sqrt(2 / paths)
        assert abs(np.var(z[:, i]) - law.covariance[i, i]) < radius


def test_the_matching_index_has_the_noise_of_fresh_rows():
    """r = 2/h, to first order in h; the control r = 1/h has twice as much."""
    h = 0.02
    fresh = variance(GridSwitch(MomentumEuler(), "fresh"), WITH, h)

    def by_switching(index):
        process = sde.StochasticGradientMomentumProcess(LOSSES, index, MASS, ALPHA)
        return variance(GridSwitch(), process, h / 8)

    matched = by_switching(matching_index(4, h)) / fresh
    slower = by_switching(matching_index(4, 2 * h)) / fresh
    assert abs(matched - 1) < h
    assert abs(slower - 2) < 2 * h


def test_different_curvatures_move_the_mean_and_may_have_no_moments():
    index = sde.UniformIndex(2, 1.0)
    uneven = quadratic_sum([[-1.0], [1.0]], [0.5, 3.0])
    process = sde.StochasticGradientProcess(uneven, index)
    law = switched_law(GridSwitch(), process, 1e-4)
    # -κ₁κ₂(a₁-a₂)(κ₁-κ₂)/(2(κ₁+κ₂)(γ(κ₁+κ₂)+κ₁κ₂)) from the minimiser 5/7
    bias = -1.5 * 2.0 * 2.5 / (7.0 * 5.0)
    # the grid's bias is of the order h² = 1e-8
    np.testing.assert_allclose(law.mean[0], 5 / 7 + bias, rtol=1e-6)
    process = sde.StochasticGradientProcess(
        quadratic_sum([[-1.0], [1.0]], [2.0, -1.5]), index
    )
    with pytest.raises(BadInput, match="spectral radius"):
        switched_law(GridSwitch(), process, 0.1)


def test_a_clock_that_changes_has_no_stationary_law_but_fresh_labels_do():
    """The law at time 0 is not that of later times; fresh labels see no clock."""
    faster = PowerSchedule(2.0, 1.0, 1.0)
    kept = (
        sde.UniformIndex(4, faster),
        sde.WeightedIndex([0.1, 0.2, 0.3, 0.4], faster),
    )
    for index in kept:
        process = sde.StochasticGradientProcess(LOSSES, index, ALPHA)
        with pytest.raises(BadInput, match="no stationary law"):
            switched_law(GridSwitch(), process, 0.1)
    process = sde.StochasticGradientProcess(LOSSES, kept[0], ALPHA)
    found = variance(GridSwitch(labels="fresh"), process, 0.1)
    expected = SPREAD * np.tanh(KAPPA / ALPHA * 0.05)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_doors():
    y = sde.SwitchingState(jnp.zeros(1), jnp.asarray(0))
    steep = sde.StochasticGradientMomentumProcess(
        LOSSES, INDEX, PowerSchedule(1.0, 1.0, -1.0)
    )
    z = sde.SwitchingMomentumState(jnp.zeros(1), jnp.zeros(1), jnp.asarray(0))
    u = jnp.full(1, 0.5)
    cases = (
        ("labels is", lambda: GridSwitch(labels="old")),
        (
            "steps a switching process",
            lambda: GridSwitch().step(DampedFlow(wavy(), 1.0), 0.0, z, 0.1, u, None),
        ),
        ("known exactly", lambda: GridSwitch().step(steep, 0.0, z, 0.1, u, None)),
        (
            "draws noise",
            lambda: GridSwitch(GridSwitch()).step(WITHOUT, 0.0, y, 0.1, u, None),
        ),
        (
            "depends on time",
            lambda: switched_law(GridSwitch(MomentumEuler()), steep, 0.1),
        ),
    )
    for message, call in cases:
        with pytest.raises(BadInput, match=message):
            call()


@pytest.mark.slow
def test_symmetric_splittings_are_of_order_2_where_the_mass_changes():
    """AOBOA sees m(t) at the step's middle, BAOAB at its ends; Euler's kin is first."""
    flow = DampedFlow(wavy(), PowerSchedule(0.9, 2.0, -1.0), 0.7)
    y0 = PhaseState(jnp.array([1.1, -0.7]), jnp.array([0.3, 0.0]))
    tight = diffrax.PIDController(rtol=1e-10, atol=1e-12)
    exact = solve(flow, y0, 0.0, 2.0, stepsize_controller=tight).states
    for scheme, order in ((AOBOA, 2), (MomentumEuler(), 1)):
        errors = []
        for steps in (40, 80, 160):
            run = iterate(scheme, flow, y0, h=2.0 / steps, steps=steps, save="last")
            end = jax.tree.map(lambda a: a[-1], run.states)
            errors.append(float(jnp.linalg.norm(end.position - exact.position[-1])))
        slopes = np.log2(np.array(errors[:-1]) / errors[1:])
        # the last slope is within its own drift of the order, and far from its rival
        assert abs(slopes[-1] - order) <= 2 * abs(slopes[-1] - slopes[0]) + 0.02
        assert abs(slopes[-1] - order) < 0.25
