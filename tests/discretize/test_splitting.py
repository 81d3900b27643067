"""Splitting words: reading them, fitting them to a model, what they are."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pendulum import Pendulum, pendulum_start

from discretize import (
    BAOAB,
    BUB,
    EXACT_EMA,
    OBABO,
    UBU,
    Euler,
    Splitting,
    lie,
    local_defect,
    splitting_defect,
    stationary_covariance,
    strang,
)
from discretize.schemes.splitting import parse
from flows import (
    AdamFlow,
    AdamState,
    BadInput,
    RMSPropFlow,
    RMSPropState,
    iterate,
)
from flows.problems import quadratic, wavy
from flows.symbolic import equal_symbolically, symbol_vector
from sde import (
    LangevinState,
    UnderdampedLangevin,
)

START = jnp.array([1.2, 0.8])

# -- words ------------------------------------------------------------------------

weights = st.fractions(min_value=Fraction(1, 9), max_value=2, max_denominator=9)
names = st.sampled_from(["A", "B", "O", "EMA", "X"])


@given(st.lists(st.tuples(names, weights), min_size=1, max_size=6))
def test_words_read_back_what_they_print(letters):
    word = Splitting(tuple(letters))
    assert parse(str(word)) == tuple(letters) == word.word


def test_words_are_read_with_fractions_and_decimals():
    assert parse("B ½, A 0.5, O") == (
        ("B", Fraction(1, 2)),
        ("A", Fraction(1, 2)),
        ("O", Fraction(1)),
    )
    assert str(BAOAB) == "B 1/2, A 1/2, O, A 1/2, B 1/2"
    assert strang("A", "B", "O").word[2] == ("O", 1)


@pytest.mark.parametrize("bad", ["", "A, ", "A half", "A 1/0", "A,,B"])
def test_words_that_cannot_be_read(bad):
    with pytest.raises(BadInput, match="cannot read"):
        parse(bad)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("A, C", "speaks of the parts"),
        ("A 1/2, B", "sum to 1"),
        ("A, B, A", "sum to 1"),
    ],
)
def test_words_that_do_not_fit_the_model(word, message):
    with pytest.raises(BadInput, match=message):
        Splitting(word).step(Pendulum(), 0.0, pendulum_start(), 0.1, None, None)
    with pytest.raises(BadInput, match="two parts"):
        strang("A")


def test_a_part_without_an_exact_map_needs_an_inner_scheme():
    flow = RMSPropFlow(wavy(), jnp.asarray(0.5), jnp.asarray(1e-3))
    y = RMSPropState(START, jnp.ones(2))
    with pytest.raises(BadInput, match="name an inner scheme"):
        lie("EMA", "X").step(flow, 0.0, y, 0.1, None, None)
    out = lie("EMA", "X", inner=Euler()).step(flow, 0.0, y, 0.1, None, None).y
    g = flow.objective.gradient(START)
    v = np.exp(-0.2) + (1 - np.exp(-0.2)) * g**2
    np.testing.assert_allclose(out.second_moment, v, rtol=1e-14)
    np.testing.assert_allclose(out.position, START - 0.1 * g / np.sqrt(v + 1e-3))


def test_strang_is_time_reversible_and_lie_is_not():
    y, h = pendulum_start(), 0.3

    def there_and_back(scheme):
        out = scheme.step(Pendulum(), 0.0, y, h, None, None).y
        return scheme.step(Pendulum(), 0.0, out, -h, None, None).y

    back = there_and_back(strang("A", "B"))
    np.testing.assert_allclose(back.position, y.position, rtol=1e-14)
    np.testing.assert_allclose(back.velocity, y.velocity, rtol=1e-14)
    assert abs(float((there_and_back(lie("A", "B")).velocity - y.velocity)[0])) > 1e-3


@pytest.mark.parametrize("h", [0.1, 0.5, 1.2])
def test_baoabs_stationary_variances(h):
    """Position T/k exactly, velocity T (1 - h²k/4): Leimkuhler and Matthews 2013."""
    k, temperature = 1.7, 0.6
    model = UnderdampedLangevin(quadratic([k]), 1.3, temperature)
    found = stationary_covariance(BAOAB, model, h).covariance
    assert found[0, 0] == pytest.approx(temperature / k, rel=1e-12)
    assert found[1, 1] == pytest.approx(temperature * (1 - h**2 * k / 4), rel=1e-12)
    # negative control: OBABO has the velocity right and the position wrong
    other = stationary_covariance(OBABO, model, h).covariance
    assert abs(other[0, 0] / (temperature / k) - 1) > 1e-3


def test_exact_ema_is_adam():
    """200 steps beside optax.adam, each reading its own state: 1e-14."""
    eta, b1, b2, eps = 0.01, 0.9, 0.99, 1e-8
    flow = AdamFlow(
        wavy(),
        jnp.asarray(-eta / np.log(b1)),
        jnp.asarray(-eta / np.log(b2)),
        jnp.asarray(eps),
        jnp.asarray(0.0),
    )
    y = AdamState(START, jnp.zeros(2), jnp.zeros(2))
    run = iterate(EXACT_EMA, flow, y, h=eta, steps=200)
    optimizer = optax.adam(eta, b1, b2, eps)

    @jax.jit
    def train(x):
        def body(loop, _):
            x, state = loop
            updates, state = optimizer.update(flow.objective.gradient(x), state)
            return (optax.apply_updates(x, updates), state), x

        return jax.lax.scan(body, (x, optimizer.init(x)), length=201)[1]

    with jax.numpy_dtype_promotion("standard"):  # optax's power of a count
        path = train(START)
    np.testing.assert_allclose(run.positions, path, rtol=0, atol=1e-14)
    # negative control: explicit factors b = 1 - η/τ are another optimiser
    assert np.max(np.abs(run.positions[:100] - path[1:101])) > 1e-3


# -- words with U -------------------------------------------------------------------


def test_u_counts_for_both_parts_that_it_joins():
    model = UnderdampedLangevin(quadratic([1.0]), 1.3, 0.6)
    zero = LangevinState(jnp.zeros(1), jnp.zeros(1))
    draws = UBU.noise_like(model, zero)
    assert draws[1] is None and draws[0].shape == draws[2].shape == (2, 1)
    mixed = Splitting("A 1/2, U 1/2, B, O 1/2")
    assert [d and d.shape for d in mixed.noise_like(model, zero)] == [
        None,
        (2, 1),
        None,
        (1,),
    ]
    for word in ("U, B, O", "U 1/2, B", "A, U, B", "U, B, U"):
        with pytest.raises(BadInput, match="sum to 1"):
            Splitting(word).noise_like(model, zero)
    with pytest.raises(BadInput, match=r"\['A', 'B', 'O'\] \(and \['U'\]"):
        Splitting("U, C").noise_like(model, zero)


@pytest.mark.slow
@pytest.mark.parametrize("word", [UBU, BUB])
def test_words_with_u_have_order_two_by_maps_and_by_generators(word):
    """No defect at h, h²; at h³ the traced maps and L_U = L_A + L_O agree."""
    model = UnderdampedLangevin(quadratic([1.5]), 2.0, 0.5)
    y = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))

    def energy(t, y):
        return y.velocity[0] ** 2

    maps = local_defect(word, model, energy, y, 3)
    generators = splitting_defect(word, model, energy, y, 3)
    assert list(maps) == list(generators) == [3]
    assert equal_symbolically(maps[3], generators[3]).proved
    # negative control: Lie's word is of order 1
    assert min(splitting_defect(lie("U", "B"), model, energy, y, 3)) == 2
