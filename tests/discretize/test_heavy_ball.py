"""Heavy ball is a damped flow in steps: the map to optax and back, and schedules."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flows
from discretize import (
    MomentumEuler,
    SemiImplicitEuler,
    from_heavy_ball,
    matching_index,
    momentum_schedules,
    to_heavy_ball,
)
from discretize.heavy_ball import FRICTIONS
from discretize.rows.damped import DAMPED_ROWS
from flows import BadInput, DampedFlow, PhaseState, PowerSchedule, iterate
from flows.problems import wavy

STEPS = 60
START = jnp.array([1.1, -0.7])
LOSSES = flows.finite_sum([wavy(), flows.problems.quadratic([1.5, 0.4])])
ORDER = jnp.asarray(np.random.default_rng(3).integers(0, 2, STEPS))


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@eqx.filter_jit
def loop(optimizer, minibatches=False):
    """Positions of a plain loop over optax's own updates."""

    def one(carry, label):
        x, state = carry
        slope = LOSSES.gradient(x, label[None]) if minibatches else wavy().gradient(x)
        updates, state = optimizer.update(slope, state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    return jax.lax.scan(one, (START, optimizer.init(START)), ORDER)[1]


@eqx.filter_jit
def heavy_ball(eta, beta, minibatches=False):
    return loop(optax.sgd(eta, momentum=beta), minibatches)


def by_scheme(mass, h, friction, rule):
    flow = DampedFlow(wavy(), mass, friction)
    rest = PhaseState(START, jnp.zeros(2))
    run = iterate(MomentumEuler(rule), flow, rest, h=h, steps=STEPS)
    return np.asarray(run.states.position[1:])


def gap(a, b):
    return np.max(np.abs(a - b)) / np.max(np.abs(b))


@pytest.mark.slow
@pytest.mark.parametrize("rule", FRICTIONS)
def test_from_rest_the_scheme_is_optax_sgd_with_momentum(rule):
    eta, beta = to_heavy_ball(0.2, 0.9, 0.7, rule)
    found = by_scheme(0.9, 0.2, 0.7, rule)
    assert gap(found, heavy_ball(eta, beta)) < 1e-13
    assert gap(found, heavy_ball(eta, beta * 1.001)) > 1e-5


@pytest.mark.slow
def test_minibatches_do_not_change_it():
    """Each step with its own loss: the velocity recursion against optax's trace."""
    eta, beta = to_heavy_ball(0.2, 0.9, 0.7)

    same = heavy_ball(eta, beta, True)
    x, v = np.asarray(START), np.zeros(2)
    slopes = jax.jit(jax.vmap(LOSSES.gradient, (None, 0)))
    for k, label in enumerate(ORDER):
        slope = np.asarray(slopes(x, jnp.arange(2)[:, None]))[label]
        v = 0.9 / (0.9 + 0.14) * v - 0.2 / (0.9 + 0.14) * slope
        x = x + 0.2 * v
        np.testing.assert_allclose(x, same[k], rtol=0, atol=1e-13)


def test_known_values_and_the_common_ratio():
    for rule, mass in zip(FRICTIONS, (9.0, 10.0, -1 / np.log(0.9)), strict=True):
        step = from_heavy_ball(0.1, 0.9, scheme=rule)
        np.testing.assert_allclose(step, (1.0, mass, 1.0), rtol=1e-14)
        eta, beta = to_heavy_ball(0.3, 0.8, 1.7, rule)
        np.testing.assert_allclose(eta / (1 - beta), 0.3 / 1.7, rtol=1e-14)
    assert float(from_heavy_ball(0.1, 0.0).mass) == 0
    assert float(from_heavy_ball(0.1, 0.0, scheme="exponential").mass) == 0


@settings(max_examples=30)
@given(
    st.sampled_from(FRICTIONS),
    st.floats(1e-4, 10),
    st.floats(0.001, 0.999),
    st.floats(0.1, 10),
)
def test_the_map_has_an_inverse(rule, eta, beta, alpha):
    h, mass, friction = from_heavy_ball(eta, beta, alpha, rule)
    back = to_heavy_ball(h, mass, friction, rule)
    # 1 - β cancels: an error ε of β is a relative one of ε/(1 - β) in h
    np.testing.assert_allclose(back.learning_rate, eta, rtol=1e-14 / (1 - beta))
    np.testing.assert_allclose(back.momentum, beta, rtol=0, atol=1e-14)


@pytest.mark.slow
def test_explicit_friction_is_semi_implicit_euler():
    flow = DampedFlow(wavy(), 0.9, 0.7)
    y = PhaseState(START, jnp.array([0.3, 0.2]))
    a = MomentumEuler("explicit").step(flow, 0.0, y, 0.2, None, None).y
    b = SemiImplicitEuler(("velocity", "position")).step(flow, 0.0, y, 0.2, None, None)
    np.testing.assert_allclose(a, b.y, rtol=0, atol=1e-15)


MASS = PowerSchedule(0.9, 2.0, -2.0)


@pytest.fixture(scope="module")
def losing():
    return by_scheme(MASS, 0.05, 0.7, "implicit")


def test_schedules_of_a_decreasing_mass(losing):
    schedules = momentum_schedules(MASS, 0.05, 0.7)
    assert gap(losing, loop(schedules.optimizer())) < 1e-13


@pytest.mark.slow
@pytest.mark.parametrize("rule", FRICTIONS)
def test_listed_masses_give_the_same_schedules(rule):
    values = np.asarray(jax.vmap(MASS)(0.05 * jnp.arange(STEPS)))
    steps = jnp.arange(STEPS)
    a, b = (momentum_schedules(m, 0.05, 0.7, rule) for m in (MASS, values))
    eta, beta = to_heavy_ball(0.05, values[7], 0.7, rule)
    before, _ = to_heavy_ball(0.05, values[6], 0.7, rule)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(jax.vmap(one)(steps), jax.vmap(other)(steps), 1e-12)
    np.testing.assert_allclose(a.learning_rate(7), eta, rtol=1e-14)
    np.testing.assert_allclose(a.momentum(7), beta * before / eta, rtol=1e-13)


def test_beta_itself_is_the_wrong_schedule(losing):
    """Negative control: the trace holds no displacement."""

    def beta(k):
        return MASS(0.05 * k) / (MASS(0.05 * k) + 0.05 * 0.7)

    wrong = momentum_schedules(MASS, 0.05, 0.7)._replace(momentum=beta)
    assert gap(losing, loop(wrong.optimizer())) > 0.01


def test_each_array_is_stepped_in_its_own_precision():
    """A tree of float32 and float64 in one scan, against the recursion in NumPy."""
    masses = np.array([0.9, 0.5, 0.2, 0.1])
    optimizer = momentum_schedules(masses, 0.1, 0.7).optimizer()
    start = {"w": jnp.array([1.1, -0.7], jnp.float32), "b": jnp.array(0.4)}

    def one(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)  # f = |x|²/2
        return (optax.apply_updates(params, updates), state), None

    (end, _), _ = jax.lax.scan(one, (start, optimizer.init(start)), None, 6)
    assert end["w"].dtype == np.float32 and end["b"].dtype == np.float64
    for name, tolerance in (("w", 6 * np.finfo(np.float32).eps), ("b", 1e-15)):
        x, v = np.asarray(start[name], float), 0.0
        for k in range(6):
            mass = masses[min(k, 3)]
            v = (mass * v - 0.1 * x) / (mass + 0.07)
            x = x + 0.1 * v
        np.testing.assert_allclose(end[name], x, rtol=0, atol=tolerance)


def test_masses_may_be_traced():
    def rates(masses):
        return jax.vmap(momentum_schedules(masses, 0.1, 0.7).learning_rate)(steps)

    masses, steps = jnp.array([0.9, 0.5, 0.2]), jnp.arange(5)
    expected = 0.01 / (np.array([0.9, 0.5, 0.2, 0.2, 0.2]) + 0.07)
    np.testing.assert_allclose(jax.jit(rates)(masses), expected, rtol=1e-14)
    with pytest.raises(BadInput, match="masses"):
        jax.jit(rates)(masses[None])


def test_explicit_friction_refuses_masses_whose_velocities_grow():
    """β = 1 - αh/m is -1 at m = αh/2; the velocity recursion grows below."""
    least = 0.7 * 0.1 / 2
    momentum_schedules([0.9, 1.01 * least], 0.1, 0.7, "explicit")
    for rule in ("implicit", "exponential"):
        momentum_schedules([0.9, 0.01 * least], 0.1, 0.7, rule)
    for mass in (least, 0.5 * least):
        with pytest.raises(BadInput, match="explicit friction"):
            momentum_schedules([0.9, mass], 0.1, 0.7, "explicit")
    for mass, grows in ((1.01 * least, False), (0.99 * least, True)):
        assert (abs(float(to_heavy_ball(0.1, mass, 0.7, "explicit")[1])) > 1) == grows


def test_without_mass_it_is_gradient_descent_and_the_learning_rate_rises():
    masses = np.concatenate([[0.9, 0.5, 0.1], np.full(STEPS - 3, 1e-300)])
    rate, momentum = momentum_schedules(masses, 0.05, 0.7)
    rates = np.asarray([rate(k) for k in range(6)])
    assert np.all(np.diff(rates[:4]) > 0)
    np.testing.assert_allclose(rates[3:], 0.05 / 0.7, rtol=1e-14)
    assert float(momentum(40)) < 1e-290


@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("convention", ["never_repeat", "fresh_draw"])
def test_the_matching_index_relaxes_at_2_over_h(count, convention):
    index = matching_index(count, 0.1, convention)
    np.testing.assert_allclose(index.relaxation_rate(), 20.0, rtol=1e-14)


@eqx.filter_jit
def jacobian(rule, mass, friction, h, z):
    def step(z):
        flow = DampedFlow(wavy(), mass, friction)
        y = PhaseState(z[:2], z[2:])
        y = MomentumEuler(rule).step(flow, 0.0, y, h, None, None).y
        return jnp.concatenate(y)

    return jax.jacfwd(step)(z)


@pytest.mark.parametrize("rule", FRICTIONS)
def test_the_jacobian_has_the_determinant_beta_for_each_coordinate(rule):
    z = jnp.array([0.4, -1.0, 0.7, 0.1])
    found = np.asarray(jacobian(rule, 0.9, 0.7, 0.2, z))
    _, beta = to_heavy_ball(0.2, 0.9, 0.7, rule)
    np.testing.assert_allclose(np.linalg.det(found), float(beta) ** 2, rtol=1e-12)


def test_doors():
    with pytest.raises(BadInput, match="implicit, explicit, exponential"):
        to_heavy_ball(0.1, 1.0, scheme="implict")
    with pytest.raises(BadInput, match="mass"):
        to_heavy_ball(0.1, 0.0)
    with pytest.raises(BadInput, match=r"momentum is in \[0, 1\)"):
        from_heavy_ball(0.1, 1.0)
    for row in DAMPED_ROWS:
        with pytest.raises(BadInput, match=r"momentum is a number in \(0, 1\)"):
            row(learning_rate=0.1, momentum=0.0)
    with pytest.raises(BadInput, match="learning_rate"):
        from_heavy_ball(-0.1, 0.5)
    for masses in ([], [1.0, 0.0], [[1.0]], "m"):
        with pytest.raises(BadInput, match="masses"):
            momentum_schedules(masses, 0.1)
    with pytest.raises(BadInput, match="MomentumEuler steps a DampedFlow"):
        flow = flows.GradientFlow(wavy())
        MomentumEuler().step(flow, 0.0, START, 0.1, None, None)
    with pytest.raises(BadInput, match="friction enters by"):
        MomentumEuler("none")
    with pytest.raises(BadInput, match="number of labels"):
        matching_index(1, 0.1)
