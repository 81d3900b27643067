"""INNA and INNAprop against plain NumPy, with the starts of the public code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from discretize import inna, innaprop, stability
from discretize.rows.inertial import inna_limit
from flows import BadInput, InertialNewtonPsiFlow, InertialNewtonState
from flows.problems import quadratic

PARAMS = {"w": np.array([[1.0, -2.0], [0.5, 3.0]]), "b": np.array([0.1, -0.2])}
SPECTRUM = {"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([0.5, 5.0])}
STEPS = 25


@pytest.fixture(autouse=True)
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def gradient(params):
    return {name: SPECTRUM[name] * params[name] for name in params}


@functools.partial(jax.jit, static_argnames=("build", "steps"))
def loop(build, numbers, params, steps):
    optimizer = build(*numbers)

    def one(carry, _):
        params, state = carry
        slopes = {k: (SPECTRUM[k] * p).astype(p.dtype) for k, p in params.items()}
        updates, state = optimizer.update(slopes, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, optimizer.init(params))
    return jax.lax.scan(one, start, None, length=steps)[0][0]


def by_optax(build, numbers=(), steps=STEPS, params=PARAMS):
    params = {name: jnp.asarray(a) for name, a in params.items()}
    return loop(build, tuple(map(float, numbers)), params, steps)


@functools.cache
def started(start):
    return lambda: inna(start=start, initial_speed=0.7)


def scheduled():
    return inna(optax.linear_schedule(0.1, 0.0, STEPS))


def decaying():
    return inna(0.1, decay_power=0.5, weight_decay=0.03)


def keras():
    return inna(start="keras", weight_decay=0.01)


def by_hand(start="pytorch", speed=1.0, power=0.0, decay=0.0, numbers=(0.1, 0.5, 0.1)):
    rate, alpha, beta = numbers
    x = PARAMS
    psi = {n: (1 - alpha * beta) * x[n] for n in x}
    for k in range(STEPS):
        g, h = gradient(x), (rate(k) if callable(rate) else rate) / (k + 1) ** power
        if (start, k) in (("tensorflow", 0), ("keras", 1)):
            psi = {n: psi[n] - beta**2 * g[n] + beta * speed * g[n] for n in x}
        d = {n: (alpha - 1 / beta) * x[n] + psi[n] / beta for n in x}
        psi = {n: psi[n] - h * d[n] for n in x}
        x = {n: x[n] - h * (d[n] + beta * g[n] + decay * x[n]) for n in x}
    return x


def same(found, hand, atol=1e-12):
    # twenty-five steps, in which ψ/β cancels against x/β: some hundred roundings
    for name in PARAMS:
        np.testing.assert_allclose(found[name], hand[name], rtol=0, atol=atol)


@pytest.mark.parametrize("start", ["pytorch", "tensorflow", "keras"])
def test_the_starts_of_the_public_code(start):
    found = by_optax(started(start))
    same(found, by_hand(start, speed=0.7))
    others = {"pytorch", "tensorflow", "keras"} - {start}
    for other in others:
        gap = by_hand(other, speed=0.7)["w"] - found["w"]
        assert np.max(np.abs(gap)) > 1e-3


def test_weight_decay_and_decreasing_steps():
    same(by_optax(decaying), by_hand(power=0.5, decay=0.03))
    hand = by_hand(numbers=(lambda k: 0.1 * (1 - k / STEPS), 0.5, 0.1))
    same(by_optax(scheduled), hand, 1e-6)


@pytest.mark.parametrize("start", ["pytorch", "tensorflow"])
def test_psi_starts_with_the_velocity_that_is_said(start):
    """The flow's own velocity at the (x, ψ) from which the first step is taken."""
    alpha, beta, speed = 0.4, 0.3, 0.8
    x = jnp.array([1.1, -0.7])

    @jax.jit
    def first(x):
        flow = InertialNewtonPsiFlow(quadratic([2.0, 3.0]), alpha, beta)
        slope = flow.objective.gradient(x)
        optimizer = inna(1e-9, alpha, beta, start=start, initial_speed=speed)
        _, state = optimizer.update(slope, optimizer.init(x), x)
        return flow.to_phase(InertialNewtonState(x, state.psi)).velocity

    wanted = -(beta if start == "pytorch" else speed) * np.array([2.2, -2.1])
    np.testing.assert_allclose(first(x), wanted, atol=1e-7)  # a step of 1e-9 is in it


def test_each_array_is_stepped_in_its_own_precision():
    params = {"w": PARAMS["w"].astype(np.float32), "b": PARAMS["b"]}
    for optimizer in (keras(), innaprop()):
        updates, state = jax.eval_shape(
            lambda p, o=optimizer: o.update(p, o.init(p), p), params
        )
        kept = getattr(state, "psi", None) or state[1].psi
        for tree in (updates, kept):
            assert {k: a.dtype for k, a in tree.items()} == {"w": "f4", "b": "f8"}
    found, wanted = (by_optax(keras, params=p) for p in (params, PARAMS))
    np.testing.assert_allclose(found["b"], wanted["b"], rtol=1e-13)
    np.testing.assert_allclose(found["w"], wanted["w"], rtol=0, atol=1e-4)


def innaprop_by_hand(rate, alpha, beta, sigma, eps, decay):
    """The form that eliminates d in favour of the new ψ."""
    x = PARAMS
    psi = {n: (1 - alpha * beta) * x[n] for n in x}
    nu = {n: 0.0 for n in x}
    for k in range(1, STEPS + 1):
        g = gradient(x)
        nu = {n: sigma * nu[n] + (1 - sigma) * g[n] ** 2 for n in x}
        scaled = {n: g[n] / (np.sqrt(nu[n] / (1 - sigma**k)) + eps) for n in x}
        x = {n: (1 - rate * decay) * x[n] for n in x}
        gap = rate / (beta - rate)
        psi = {
            n: psi[n] + rate * ((1 / beta - alpha) * x[n] - psi[n] / beta) for n in x
        }
        x = {
            n: (1 + gap * (1 - alpha * beta)) * x[n]
            - gap * psi[n]
            - rate * beta * scaled[n]
            for n in x
        }
    return x


def test_innaprop_is_the_authors_form_away_from_equal_damping():
    numbers = (0.05, 0.1, 0.9, 0.99, 1e-8, 0.01)
    same(by_optax(innaprop, numbers), innaprop_by_hand(*numbers), 1e-11)


def test_innaprop_is_defined_where_that_form_is_not():
    rest = (0.1, 0.05, 0.999, 1e-8, 0.01)
    at, near = (by_optax(innaprop, (h, *rest)) for h in (0.05, 0.05 + 1e-9))
    same(at, near, 1e-6)
    with np.errstate(all="ignore"), pytest.raises(ZeroDivisionError):
        innaprop_by_hand(0.05, *rest)


def test_the_limit_is_that_of_the_step_itself():
    """Spectral radius of the 2×2 step, below and beyond."""
    points = np.array(
        [
            (0.1, 0.5, 0.1),
            (0.1, 0.5, 0.3),
            (0.3, 0.5, 0.1),
            (1.0, 0.5, 0.2),
            (1, 2.5, 1),
        ]
    )
    names = ("learning_rate", "alpha", "beta")
    limits = jax.jit(inna_limit)(dict(zip(names, jnp.asarray(points.T), strict=True)))
    for (h, a, b), limit in zip(points[:-1], limits, strict=False):
        for factor, stable in ((0.999, True), (1.001, False)):
            lam = factor * limit / h
            move = np.array([[a - 1 / b + b * lam, 1 / b], [a - 1 / b, 1 / b]])
            radius = np.max(np.abs(np.linalg.eigvals(np.eye(2) - h * move)))
            assert (radius < 1) == stable
    assert limits[-1] == 0  # αγ > 2


def test_a_stable_interval_away_from_0_is_no_limit():
    """αγ = 3: stable for 2.5 < λ < 3.33 alone, from the radius of the step."""
    h, a, b = 1.0, 3.0, 0.1
    for lam, stable in ((0.01, False), (2.49, False), (2.51, True), (3.33, True)):
        move = np.array([[a - 1 / b + b * lam, 1 / b], [a - 1 / b, 1 / b]])
        radius = np.max(np.abs(np.linalg.eigvals(np.eye(2) - h * move)))
        assert (radius < 1) == stable
    assert inna_limit({"learning_rate": h, "alpha": a, "beta": b}) == 0


@pytest.mark.slow
def test_the_limit_is_that_of_the_traced_optimiser():
    limit = stability(inna(0.1, 0.5, 0.3)).limit
    hyper = {"learning_rate": 0.1, "alpha": 0.5, "beta": 0.3}
    np.testing.assert_allclose(float(limit), float(inna_limit(hyper)) / 0.1, rtol=1e-12)


def test_doors():
    with pytest.raises(BadInput, match="pytorch, tensorflow, keras; got 'torch'"):
        inna(start="torch")
    for bad in ({"alpha": -0.1}, {"beta": 0.0}, {"learning_rate": 0.0}):
        with pytest.raises(BadInput, match=next(iter(bad))):
            inna(**bad)
        with pytest.raises(BadInput, match=next(iter(bad))):
            innaprop(**bad)
    for bad in (
        {"decay_power": -1.0},
        {"weight_decay": "a"},
        {"initial_speed": np.nan},
    ):
        with pytest.raises(BadInput, match=next(iter(bad))):
            inna(**bad)
    for wrong in (-1, 1, 2, np.nan, "a"):
        with pytest.raises(BadInput, match="decay"):
            innaprop(decay=wrong)
    for wrong in (-1, 0, np.nan, None):
        with pytest.raises(BadInput, match="eps is one finite number > 0"):
            innaprop(eps=wrong)
    for optimizer in (inna(), innaprop()):
        with pytest.raises(BadInput, match="params"):
            optimizer.update(jnp.zeros(2), optimizer.init(jnp.zeros(2)))
