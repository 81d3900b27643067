"""optax's own updates, traced through two steps with symbolic hyperparameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy as sp

from flows.symbolic import (
    equal_symbolically,
    numerically,
    symbol_vector,
    symbolically,
    trace,
)

ETA, B1, B2, EPS = sp.symbols("eta b1 b2 eps", positive=True)
G, K, P = (symbol_vector(name, 2) for name in "gkp")
VALUES = dict(
    zip(
        [ETA, B1, B2, EPS, *G, *K, *P],
        [0.25, 0.75, 0.875, 0.0625, 0.5, -1.25, 2.0, 0.375, 1.5, -0.5],
        strict=True,
    )
)
OPTIMISERS = {
    "sgd": lambda eta, b1, b2, eps: optax.sgd(eta),
    "momentum": lambda eta, b1, b2, eps: optax.sgd(eta, momentum=b1),
    "nesterov": lambda eta, b1, b2, eps: optax.sgd(eta, momentum=b1, nesterov=True),
    "adam": lambda eta, b1, b2, eps: optax.adam(eta, b1, b2, eps),
    "nadam": lambda eta, b1, b2, eps: optax.nadam(eta, b1, b2, eps),
    "adamw": lambda eta, b1, b2, eps: optax.adamw(eta, b1, b2, eps),
    "rmsprop": lambda eta, b1, b2, eps: optax.rmsprop(eta, b1, eps),
    "adabelief": lambda eta, b1, b2, eps: optax.adabelief(eta, b1, b2, eps),
    "lion": lambda eta, b1, b2, eps: optax.lion(eta, b1, b2),
    "adagrad": lambda eta, b1, b2, eps: optax.adagrad(eta, eps=eps),
    "adamax": lambda eta, b1, b2, eps: optax.adamax(eta, b1, b2, eps),
    "amsgrad": lambda eta, b1, b2, eps: optax.amsgrad(eta, b1, b2, eps),
    "sign": lambda eta, b1, b2, eps: optax.sign_sgd(eta),
}
# Two steps are below 100 operations; differences lose at most two digits more.
TOLERANCE = 100 * 100 * 2.0**-53


@pytest.fixture(autouse=True)
def optax_promotes():
    """optax itself raises beta to an integer power: not strict about dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def two_steps(build):
    def steps(eta, b1, b2, eps, g, k, p):
        optimiser = build(eta, b1, b2, eps)
        state = optimiser.init(p)
        for gradient in (g, k):
            updates, state = optimiser.update(gradient, state, p)
            p = optax.apply_updates(p, updates)
        return p, state

    return steps


@pytest.mark.parametrize("name", OPTIMISERS)
def test_two_traced_steps_agree_with_running_them(name):
    steps = two_steps(OPTIMISERS[name])
    arguments = (ETA, B1, B2, EPS, G, K, P)
    result = trace(steps, *arguments)
    assert result.exact
    numbers = [
        jnp.asarray([VALUES[s] for s in a]) if isinstance(a, np.ndarray) else VALUES[a]
        for a in arguments
    ]
    expected = steps(*numbers)
    got = numerically(result.value, VALUES)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)


def root(v):
    return np.frompyfunc(sp.sqrt, 1, 1)(v)


def adam_by_hand(inside=False):
    first, second = (1 - B1) * G, (1 - B2) * G**2
    p = P
    for n, gradient in ((1, None), (2, K)):
        if gradient is not None:
            first = B1 * first + (1 - B1) * gradient
            second = B2 * second + (1 - B2) * gradient**2
        m, v = first / (1 - B1**n), second / (1 - B2**n)
        p = p - ETA * m / (root(v + EPS**2) if inside else root(v) + EPS)
    return p


def test_two_steps_of_adam_are_proved_equal_to_the_formula():
    traced, _ = symbolically(two_steps(OPTIMISERS["adam"]), ETA, B1, B2, EPS, G, K, P)
    assert equal_symbolically(traced, adam_by_hand()).proved


def test_adam_with_eps_inside_the_root_is_refuted():
    traced, _ = symbolically(two_steps(OPTIMISERS["adam"]), ETA, B1, B2, EPS, G, K, P)
    result = equal_symbolically(traced, adam_by_hand(inside=True))
    assert result.status == "refuted"
    low, high = result.gap
    assert low * high > 0


def test_the_step_count_stays_an_integer():
    _, state = symbolically(two_steps(OPTIMISERS["adam"]), ETA, B1, B2, EPS, G, K, P)
    assert state[0].count == 2
    assert state[0].count.dtype == np.int32
