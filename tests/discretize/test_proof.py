"""Rows proved by tracing; broken rows refuted."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
import pytest

from discretize import ADAM, HEAVY_BALL, RMSPROP, SGD, Euler, Splitting, lie, prove
from discretize.proof import LocalModel, two_steps
from flows import AdamFlow, AdamState, BadInput, RMSPropFlow


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("row", [SGD, ADAM, RMSPROP], ids=lambda r: r.name)
def test_exact_rows_are_proved(row):
    assert prove(row).status == "proved"


def adam_flow(**swap):
    def dynamics(objective, hyper):
        eta = hyper["learning_rate"]
        memory = {n: -eta / jnp.log(hyper[n]) for n in ("b1", "b2")}
        values = {**hyper, **memory}
        return AdamFlow(
            objective,
            *(values[swap.get(n, n)] for n in ("b1", "b2", "eps", "eps_root")),
            bias_correction=swap.get("bias_correction", True),
        )

    return dynamics


def rms_outside(objective, hyper):
    tau = -hyper["learning_rate"] / jnp.log(hyper["decay"])
    return RMSPropFlow(objective, tau, hyper["eps"], eps_in_sqrt=False)


def slow_sgd(hyper):
    return optax.sgd(hyper["learning_rate"] * 1.0000001)


def nesterov_adam(hyper):
    names = ("b1", "b2", "eps", "eps_root")
    return optax.nadam(hyper["learning_rate"], **{n: hyper[n] for n in names})


def biased_start(dynamics, hyper, x):
    return AdamState(x, jnp.zeros_like(x), jnp.ones_like(x))


BROKEN = {
    "same, the control of the controls": (replace(ADAM, dynamics=adam_flow()), True),
    "eps in the wrong place": (
        replace(ADAM, dynamics=adam_flow(eps="eps_root", eps_root="eps")),
        False,
    ),
    "betas exchanged": (replace(ADAM, dynamics=adam_flow(b1="b2", b2="b1")), False),
    "no bias correction": (
        replace(ADAM, dynamics=adam_flow(bias_correction=False)),
        False,
    ),
    "another start of v": (replace(ADAM, scheme_start=biased_start), False),
    "another optimiser": (replace(ADAM, optimizer=nesterov_adam), False),
    "eps outside the root": (replace(RMSPROP, dynamics=rms_outside), False),
    "old second moment": (
        replace(RMSPROP, scheme=Splitting("X, EMA", inner=Euler())),
        False,
    ),
    "a learning rate 1e-7 off": (replace(SGD, optimizer=slow_sgd), False),
    "a clock that is off": (
        replace(SGD, clock=lambda h: 2 * h["learning_rate"]),
        False,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rows_are_refuted(name):
    row, good = BROKEN[name]
    found = prove(row)
    assert found.status == ("proved" if good else "refuted")
    if not good:
        low, high = found.gap
        assert low > 0 or high < 0
        assert found.witness


def test_adam_with_the_old_moments_is_not_proved():
    """Its first step is 0/0, so that there is no number to refute it with."""
    assert prove(replace(ADAM, scheme=lie("X", "EMA"))).status != "proved"


def test_a_row_that_claims_no_exactness_is_refused():
    with pytest.raises(BadInput, match="not exactness"):
        prove(HEAVY_BALL)
    with pytest.raises(BadInput, match="names no scheme"):
        two_steps(HEAVY_BALL, {}, jnp.ones(1), jnp.ones((2, 1)), jnp.ones((2, 1)))


def test_an_inexact_trace_proves_nothing():
    """√2 is no simple rational: even a true identity stays undecided."""
    root = 2.0**0.5

    def optimizer(hyper):
        return optax.sgd(hyper["learning_rate"] * root)

    row = replace(SGD, optimizer=optimizer, clock=lambda h: h["learning_rate"] * root)
    assert prove(row).status == "undecided"


def test_the_local_model():
    local = LocalModel(None, *(jnp.array([a]) for a in (2.0, 3.0, 0.5)))
    x = jnp.array([0.7])
    assert local.size == 1
    assert float(local.value(x)) == pytest.approx(0.4 + 1.5 * 0.04)
    assert float(local.gradient(x)[0]) == pytest.approx(2.6)
    assert float(jax.grad(local.value)(x)[0]) == pytest.approx(2.6)
