"""Symbols in models and states, and LaTeX of models."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import flows
from flows.errors import BadInput
from flows.symbolic import (
    latex,
    latex_of,
    symbol_vector,
    symbolically,
    symbols_for_state,
    symbols_like,
)


class Inner(eqx.Module):
    tau: jax.Array
    matrix: jax.Array


class Held(eqx.Module):
    is_data: ClassVar[bool] = True
    rows: jax.Array


class Model(eqx.Module):
    first: Inner
    second: Inner
    data: Held
    rate: jax.Array = eqx.field(metadata={"positive": True, "symbol": r"\rho"})
    parameters: dict[str, jax.Array]
    pair: tuple[jax.Array, ...]
    count: int = 3
    kind: str = eqx.field(static=True, default="plain")


@pytest.fixture
def model():
    one = jnp.asarray(1.0)
    inner = Inner(one, jnp.eye(2))
    return Model(inner, inner, Held(jnp.ones(4)), one, {"c": one}, (one, one))


def test_symbols_are_named_after_their_fields(model):
    s = symbols_like(model)
    assert s.rate == sp.Symbol("rate", positive=True)
    assert s.first.tau.name == "first_tau"
    assert s.second.tau.name == "second_tau"
    assert s.first.matrix[0, 1].name == "first_matrix_0_1"
    assert s.parameters["c"] == sp.Symbol("c", real=True)
    assert [p.name for p in s.pair] == ["pair_0", "pair_1"]


def test_data_integers_and_static_fields_stay(model):
    s = symbols_like(model)
    assert s.data is model.data
    assert s.count == 3
    assert s.kind == "plain"


def test_keyword_assumptions_replace_those_of_the_field(model):
    s = symbols_like(model, rate={"negative": True}, c={"positive": True})
    assert s.rate.is_negative
    assert s.parameters["c"].is_positive
    assert symbols_like(model, tau={"positive": True}).second.tau.is_positive


def test_bad_assumptions_are_refused(model):
    with pytest.raises(BadInput, match="no parameter speed"):
        symbols_like(model, speed={"positive": True})
    with pytest.raises(BadInput, match="contradict"):
        symbols_like(model, rate={"positive": True, "negative": True})


def test_known_facts_of_an_objective_stay_numbers():
    fact = flows.Fact(2.0, "given")
    x, c = sp.symbols("x c", real=True)
    objective = flows.from_sympy(
        c * x**2, [x], {c: 1.0}, facts=flows.Facts(smoothness=fact)
    )
    s = symbols_like(objective)
    assert s.facts.smoothness.value == 2.0
    assert s.parameters["c"] == c
    assert symbolically(s.gradient, symbol_vector("y", 1))[0] == 2 * c * sp.Symbol(
        "y_0", real=True
    )


class State(NamedTuple):
    position: Any
    velocity: Any
    label: Any


def test_states_of_symbols():
    y = symbols_for_state(
        State(jnp.ones(2), jnp.ones(2), jnp.array(1)), velocity={"positive": True}
    )
    assert [s.name for s in y.position] == ["position_0", "position_1"]
    assert y.velocity[0].is_positive
    assert y.label == 1
    assert symbols_for_state(jnp.ones(2))[1].name == "x_1"


# -- LaTeX -----------------------------------------------------------------------------

X, C = sp.symbols("x c", real=True)


def test_latex_of_expressions_and_arrays():
    assert latex_of(X**2) == "x^{2}"
    assert "matrix" in latex_of(np.array([X, C], dtype=object))


def test_gradient_flow_of_a_small_objective_is_traced():
    objective = flows.from_sympy(C * X**4, [X], {C: 1.0})
    assert latex(flows.GradientFlow(objective)) == r"\dot{x} = - 4 c x^{3}"


def test_large_or_opaque_models_show_their_general_equation():
    def loss(p):
        return jnp.sum(p**2)

    objective = flows.from_loss(loss, jnp.ones(30))
    flow = flows.GradientFlow(objective)
    assert latex(flow) == flows.GradientFlow.equation
    assert latex(flow, jnp.ones(30)) == flows.GradientFlow.equation
    assert latex(flows.Dynamics.__subclasses__()[0]) != ""


def test_structured_states_use_standard_letters():
    objective = flows.from_sympy(X**2, [X])
    one = jnp.asarray(1.0)
    flow = flows.AdamFlow(objective, one, one, one, one)
    assert latex(flow) == flows.AdamFlow.equation
    text = latex(flow, flows.AdamState(jnp.ones(1), jnp.ones(1), jnp.ones(1)))
    assert r"\dot{m_{1}} &= \frac{- m_{1} + 2 x_{1}}{\tau_1}" in text


class Noisy(eqx.Module):
    sigma: jax.Array = eqx.field(metadata={"symbol": r"\sigma"})

    def vector_field(self, t, y):
        return jnp.stack([-y[0] + y[1], jnp.zeros_like(y[0])])

    def noise(self, t, y, dw):
        return jnp.stack([jnp.zeros_like(y[0]), -self.sigma * y[0] * dw[0]])

    def brownian(self, y):
        return 1


def test_noise_is_shown_with_its_increments():
    text = latex(Noisy(jnp.asarray(1.0)), jnp.ones(2))
    drift, noise = text.split(r"\\")
    assert r"\mathrm{d}t" in drift
    assert r"\mathrm{d}B" not in drift
    assert noise.strip().startswith(
        r"\mathrm{d}x_{1} &= - \sigma x_{0}\,\mathrm{d}B_{1}"
    )


def test_a_model_without_a_field_cannot_be_shown_at_a_state():
    class Bare(eqx.Module):
        pass

    assert latex(Bare()) == r"\text{Bare}"
    with pytest.raises(AttributeError):
        latex(Bare(), jnp.ones(2))
