"""Momentum residual networks: numpy's loop, optax, the flow's scheme, whole numbers."""

from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import (
    MOMENTUM_RESNET,
    MomentumResNet,
    ReversibleMomentumResNet,
    SemiImplicitEuler,
    as_momentum_resnet,
    stack_layers,
    stored_bits,
)
from discretize.bit_store import Kept, as_ratio, divide, multiply, words_for
from flows import BadInput, MomentumResidualFlow, PhaseState, iterate
from flows.problems import wavy

DEPTH, SIZE, PUSHES = 40, 3, 40


def block(params, x):
    w, b = params
    return jnp.tanh(w @ x + b)


@pytest.fixture(scope="module")
def layers():
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((DEPTH, SIZE, SIZE)), rng.standard_normal((DEPTH, SIZE))
    return jnp.asarray(w), jnp.asarray(b)


X = jnp.array([0.4, -0.3, 0.8])


def by_numpy(layers, gamma, x, v: Any = 0.0):
    """The recursion, eliminated: x + γ (x - x₋₁) + (1 - γ) f."""
    before, x = np.asarray(x) - v, np.asarray(x)
    for w, b in zip(*map(np.asarray, layers), strict=True):
        before, x = x, x + gamma * (x - before) + (1 - gamma) * np.tanh(w @ x + b)
    return x, x - before


@pytest.mark.parametrize("gamma", [0.0, 0.9])
def test_the_network_is_the_two_step_recursion(layers, gamma):
    net = MomentumResNet(block, layers, gamma)
    v = np.array([0.1, 0.2, -0.3])
    found, wanted = net(X, jnp.asarray(v)), by_numpy(layers, gamma, X, v)
    # chaotic layers amplify what the two orders of addition round differently
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    states = net.states(X, jnp.asarray(v))
    assert states.position.shape == (DEPTH + 1, SIZE)
    np.testing.assert_array_equal(states.position[0], X)
    np.testing.assert_allclose(states.position[-1], found.position, atol=1e-10)


def test_the_plain_inverse_undoes_layers_of_much_momentum_alone(layers):
    @eqx.filter_jit
    def error(net):
        return jnp.max(jnp.abs(net.inverse(net(X)).position - X))

    assert error(MomentumResNet(block, layers, 0.99)) < 1e-9
    # a velocity of rounding size, divided by γ in each layer: 2^40 · 1e-16 at least
    assert error(MomentumResNet(block, layers, 0.5)) > 1e-6


def test_a_gradient_field_is_heavy_ball_of_optax():
    gamma, steps, x = 0.8, 20, jnp.array([1.2, 0.8])

    def gradient(x):
        return x + jnp.sin(2 * x)

    found = MomentumResNet(lambda p, x: -gradient(x), jnp.zeros(steps), gamma)(x)
    with jax.numpy_dtype_promotion("standard"):
        optimizer = optax.sgd(1 - gamma, momentum=gamma)
        state = optimizer.init(x)
        y: Any = x
        for _ in range(steps):
            moves, state = optimizer.update(gradient(y), state)
            y = y + moves
    np.testing.assert_allclose(found.position, y, rtol=1e-13)


def test_the_row_is_the_network_whose_layers_descend():
    """Four layers, four steps of the row's scheme and of its optimiser."""
    row: Any = MOMENTUM_RESNET
    hyper, steps = {"step": 0.3, "mass": 1.5}, 4
    f, x = wavy(), jnp.array([1.1, -0.7])

    @jax.jit
    def three(x):
        damped, h = row.dynamics(f, hyper), row.clock(hyper)
        flow = MomentumResidualFlow(lambda t, x: -f.gradient(x), damped.mass)
        net = as_momentum_resnet(flow, steps, steps * h)
        y, z = row.scheme_start(damped, hyper, x), x
        optimizer = row.optimizer(hyper)
        state = optimizer.init(z)
        for _ in range(steps):
            y = row.scheme.step(damped, 0.0, y, h, None, None).y
            moves, state = optimizer.update(f.gradient(z), state)
            z = z + moves
        return net(x), y, z, net.momentum

    found, wanted, other, momentum = three(x)
    assert float(momentum) == pytest.approx(1 - 0.3 / 1.5, rel=1e-15)
    np.testing.assert_allclose(found.position, wanted.position, rtol=1e-14)
    np.testing.assert_allclose(found.velocity / 0.3, wanted.velocity, rtol=1e-13)
    np.testing.assert_allclose(found.position, other, rtol=1e-14)
    assert np.min(np.abs(np.asarray(wanted.position) - x)) > 0.01


def test_the_rows_layers_are_shorter_than_its_mass_and_its_limit_is_sharp():
    with pytest.raises(BadInput, match=r"h/ε = 1.5 > 1 .* negative momentum"):
        MOMENTUM_RESNET(step=0.3, mass=0.2)
    assert MOMENTUM_RESNET(step=0.3, mass=0.3)
    limit = MOMENTUM_RESNET.limit
    assert limit is not None
    for h, mass in ((0.3, 1.5), (0.1, 0.2), (0.3, 0.3)):
        for factor, stable in ((0.999, True), (1.001, False)):
            curvature = factor * limit({"step": h, "mass": mass}) / h
            eta, kept = h * h / mass, 1 - h / mass
            roots = np.roots([1, -(1 + kept - eta * curvature), kept])
            assert (np.max(np.abs(roots)) < 1) == stable


@pytest.mark.slow
def test_a_discretised_flow_is_semi_implicit_euler():
    def field(t, x):
        return jnp.stack([jnp.sin(x[1]) - x[0], jnp.cos(t) * x[0]])

    flow, steps, x = MomentumResidualFlow(field, 0.3), 20, jnp.array([1.0, -0.5])
    h = 2.0 / steps
    net = as_momentum_resnet(flow, steps, 2.0)
    run = iterate(
        SemiImplicitEuler(), flow, PhaseState(x, jnp.zeros(2)), h=h, steps=steps
    )
    found = net(x)
    np.testing.assert_allclose(found.position, run.positions[-1], rtol=1e-13)
    np.testing.assert_allclose(found.velocity / h, run.states.velocity[-1], rtol=1e-13)
    assert float(net.mass) == pytest.approx(0.3 / h)


def test_a_discretised_flow_has_layers_shorter_than_its_mass():
    with pytest.raises(BadInput, match="more layers"):
        as_momentum_resnet(MomentumResidualFlow(lambda t, x: x, 0.3), 5, 2.0)


def maclaurin(value, store, taken, given):
    """The exchange in Python's whole numbers."""
    store = store * taken + value % taken
    value = value // taken * given + store % given
    return value, store // given


@eqx.filter_jit
def there_and_back(value, ratio):
    kept = Kept(value, jnp.zeros((4, *value.shape), jnp.uint16))
    after = jax.lax.fori_loop(0, PUSHES, lambda k, kept: multiply(kept, ratio), kept)
    return after, jax.lax.fori_loop(
        0, PUSHES, lambda k, kept: divide(kept, ratio), after
    )


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(st.integers(-(2**40), 2**40), min_size=4, max_size=4),
)
def test_the_store_is_that_of_whole_numbers(values):
    ratio = Fraction(29, 37)
    n, d = ratio.numerator, ratio.denominator
    after, before = there_and_back(jnp.array(values), ratio)
    for k, value in enumerate(values):
        exact = value, 0
        for _ in range(PUSHES):
            exact = maclaurin(*exact, d, n)
        store = sum(int(w) << (16 * j) for j, w in enumerate(after.store[:, k]))
        assert (int(after.value[k]), store) == exact
        assert store.bit_length() <= 16 * words_for(ratio, PUSHES)
        assert stored_bits(after.store)[k] == pytest.approx(np.log2(1 + store))
    np.testing.assert_array_equal(before.value, values)
    assert not np.any(before.store)


@pytest.mark.parametrize("bad", [0.0, 1.0, 0.123456789, -0.5, "half", None, np.nan])
def test_a_ratio_is_of_small_whole_numbers(bad):
    with pytest.raises(BadInput, match="momentum"):
        as_ratio(bad)


def test_a_ratio_is_read_off_a_float():
    assert as_ratio(0.9) == as_ratio(jnp.asarray(0.9)) == Fraction(9, 10)
    assert as_ratio(1 / 3) == Fraction(1, 3)


def test_words_are_as_many_as_the_bits_ask_for():
    assert words_for(Fraction(1, 2), 1000) == -(-1002 // 16)
    assert words_for(Fraction(99, 100), 100) == 1


@pytest.fixture(scope="module")
def reversible(layers):
    return ReversibleMomentumResNet(block, layers, 0.9)


@eqx.filter_jit
def forward(net, x):
    return net.forward(x)


@eqx.filter_jit
def inverse(net, y):
    return net.inverse(y)


def test_the_way_back_is_exact_bit_for_bit(reversible, layers):
    end = forward(reversible, X)
    start = inverse(reversible, end)
    assert not np.any(start.velocity.store)
    assert not np.any(start.velocity.value)
    np.testing.assert_array_equal(start.position, np.round(np.asarray(X) * 2.0**48))
    # forgetting what the store holds loses the input
    empty = end._replace(velocity=end.velocity._replace(store=0 * end.velocity.store))
    lost = inverse(reversible, empty)
    assert np.max(np.abs(np.asarray(lost.position) / 2.0**48 - X)) > 1e-12
    # 10 units of 2^-48 a layer, amplified by chaotic layers
    wanted = by_numpy(layers, 0.9, X)
    np.testing.assert_allclose(reversible.state(end).position, wanted[0], atol=1e-8)


def test_gradients_are_those_of_reverse_mode(reversible, layers):
    plain = MomentumResNet(block, layers, 0.9)

    @eqx.filter_jit
    def slopes(layers, net, x, v):
        def loss(layers, x, v):
            y = eqx.tree_at(lambda n: n.layers, net, layers)(x, v)
            return jnp.sum(y.position**2) + jnp.sum(y.velocity * x)

        return jax.grad(loss, argnums=(0, 1, 2))(layers, x, v)

    v = jnp.array([0.1, 0.2, -0.3])
    found, wanted = slopes(layers, reversible, X, v), slopes(layers, plain, X, v)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7 * np.max(np.abs(b)))


def test_numbers_beyond_the_fixed_point_become_nan(reversible):
    end = reversible.state(forward(reversible, jnp.array([1e5, 0.0, 0.0])))
    assert np.all(np.isnan(end.position))


def shift(params, x):
    return params + 0 * x


def test_a_velocity_beyond_the_fixed_point_is_seen_where_the_position_is_within():
    # the velocity reaches 2.7 · 2^14; in integers it would wrap to -1.3 · 2^14
    size, layers = 2.0**14, jnp.full(2, 9.9 * 2.0**14)
    x, v = jnp.array([-0.99 * size]), jnp.array([0.99 * size])
    end = eqx.filter_jit(lambda net: net(x, v))(
        ReversibleMomentumResNet(shift, layers, 0.9)
    )
    assert np.all(np.isnan(end))
    exact = -0.99 + (0.9 * 0.99 + 0.99) * 1.9 + 0.99
    plain = MomentumResNet(shift, layers, 0.9)(x, v)
    np.testing.assert_allclose(plain.position, exact * size, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "bits", "limit"),
    [
        ("float64", None, 2.0**14),
        ("float32", None, 2.0**8),
        ("float64", 60, 4.0),
        ("float32", 28, 4.0),
    ],
)
def test_the_range_ends_where_the_documentation_says(name, bits, limit):
    below = np.nextafter(np.array(limit, name), np.array(0, name))
    net = ReversibleMomentumResNet(shift, jnp.zeros(1, name), 0.9, bits)
    x = jnp.array([[below], [limit], [0.0], [0.0]], name)
    v = jnp.array([[0.0], [0.0], [-below], [-limit]], name)
    fits = eqx.filter_jit(jax.vmap(lambda x, v: net.forward(x, v).fits))(x, v)
    np.testing.assert_array_equal(fits, [True, False, True, False])


def test_bits_leave_room_for_a_range():
    for bits in (0, 61):
        with pytest.raises(BadInput, match="bits"):
            ReversibleMomentumResNet(shift, jnp.zeros(1), 0.9, bits)
    net = ReversibleMomentumResNet(shift, jnp.zeros(1, "float32"), 0.9, 29)
    with pytest.raises(BadInput, match=r"bits for float32 .* 1 to 28"):
        net(jnp.ones(1, "float32"))


@pytest.mark.parametrize("kind", [MomentumResNet, ReversibleMomentumResNet])
def test_inputs_and_values_are_floats_of_one_kind(kind):
    net, x = kind(shift, jnp.zeros(2), 0.9), jnp.ones(3)
    for bad in (jnp.arange(3), [1, 2], np.full(3, 1j), "x", None):
        with pytest.raises(BadInput, match="x is an array of floats"):
            net(bad)
    for v in (x.astype("float32"), jnp.ones(2), jnp.arange(3)):
        with pytest.raises(BadInput, match=r"velocity|v is an array"):
            net(x, v)
    values = [lambda p, x: x[0], lambda p, x: x[None], lambda p, x: x.astype("float32")]
    for block in (*values, lambda p, x: 1.0, lambda p, x: (x, x)):
        with pytest.raises(BadInput, match="block gives"):
            kind(block, jnp.zeros(2), 0.9)(x)
    with jax.numpy_dtype_promotion("standard"), pytest.raises(BadInput, match="dtype"):
        net(x.astype("float32"))
    with pytest.raises(BadInput, match="State, as"):
        net.inverse((x, x))


def test_numbers_in_a_list_are_an_input():
    net = MomentumResNet(shift, jnp.zeros(2), 0.5)
    np.testing.assert_array_equal(net([1.0, 2.0], [4.0, 0.0]).position, [4.0, 2.0])


def test_a_discretised_flow_takes_the_precision_of_its_input():
    flow = MomentumResidualFlow(lambda t, x: -(1 + t) * x, 1.0)
    net = as_momentum_resnet(flow, 10)
    single, double = net(jnp.ones(2, "float32")), net(jnp.ones(2))
    assert single.position.dtype == "float32"
    np.testing.assert_allclose(single.position, double.position, rtol=1e-5)


def test_layers_are_stacked_and_checked(layers):
    singles = [(layers[0][k], layers[1][k]) for k in range(DEPTH)]
    np.testing.assert_array_equal(stack_layers(singles)[0], layers[0])
    with pytest.raises(BadInput, match="structure"):
        stack_layers([(jnp.ones(2),), (jnp.ones(3),)])
    with pytest.raises(BadInput, match="at least one"):
        stack_layers([])
    with pytest.raises(BadInput, match="leading axis"):
        MomentumResNet(block, (jnp.ones((2, 3)), jnp.ones((4, 3))))
    with pytest.raises(BadInput, match="block"):
        MomentumResNet(3.0, layers)
    with pytest.raises(BadInput, match="momentum"):
        MomentumResNet(block, layers, 1.0)
    with pytest.raises(BadInput, match="shape"):
        MomentumResNet(block, layers)(X, jnp.ones(2))
    with pytest.raises(BadInput, match="no such inverse"):
        MomentumResNet(block, layers, 0.0).inverse(PhaseState(X, X))
