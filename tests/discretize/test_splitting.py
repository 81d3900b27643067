"""Splitting words: reading them, fitting them to a model, what they are."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from pendulum import Pendulum, pendulum_start

from discretize import (
    BAOAB,
    EXACT_EMA,
    Euler,
    Splitting,
    lie,
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


def _stationary(scheme, k, temperature, h):
    """Stationary covariance of a linear step z ← M z + N ξ: C = M C Mᵀ + N Nᵀ."""
    flow = UnderdampedLangevin(quadratic(np.array([k])), 1.3, temperature)
    zero = LangevinState(jnp.zeros(1), jnp.zeros(1))
    draws = scheme.noise_like(flow, zero)
    size = len([d for d in draws if d is not None])

    def step(z, xi):
        noise, rest = [], iter(xi)
        for d in draws:
            noise.append(None if d is None else next(rest)[None])
        y = LangevinState(z[:1], z[1:])
        return jnp.concatenate(scheme.step(flow, 0.0, y, h, noise, None).y)

    m, n = jax.jacobian(step, (0, 1))(jnp.zeros(2), jnp.zeros(size))
    return scipy.linalg.solve_discrete_lyapunov(np.asarray(m), np.asarray(n @ n.T))


@pytest.mark.parametrize("h", [0.1, 0.5, 1.2])
def test_baoabs_stationary_variances(h):
    """Position T/k exactly, velocity T (1 - h²k/4): Leimkuhler and Matthews 2013."""
    k, temperature = 1.7, 0.6
    found = _stationary(BAOAB, k, temperature, h)
    assert found[0, 0] == pytest.approx(temperature / k, rel=1e-12)
    assert found[1, 1] == pytest.approx(temperature * (1 - h**2 * k / 4), rel=1e-12)
    # negative control: OBABO has the velocity right and the position wrong
    obabo = Splitting("O 1/2, B 1/2, A, B 1/2, O 1/2")
    other = _stationary(obabo, k, temperature, h)
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
