"""The table of correspondences. A new optimiser is one row here."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import optax

from discretize.correspondence import Correspondence, Exact, Order
from discretize.optimizers import scalar_rmsprop
from discretize.schemes import EXACT_EMA, Euler, Splitting
from flows import (
    AdamFlow,
    AdamState,
    GradientFlow,
    ModifiedHeavyBallFlow,
    RMSPropFlow,
    RMSPropState,
    adam_start,
    slip,
)


def _rate(hyper):
    return hyper["learning_rate"]


def _memory(hyper, name):
    """τ = -η / ln β, so that an average kept for time η retains the factor β."""
    return -hyper["learning_rate"] / jnp.log(hyper[name])


def _at_zero(dynamics, hyper, x):
    del dynamics, hyper
    return 0.0, x


def _position(dynamics, hyper, x):
    del dynamics, hyper
    return x


def _gradient_flow(objective, hyper):
    del hyper
    return GradientFlow(objective)


def _sgd(hyper):
    return optax.sgd(hyper["learning_rate"])


SGD = Correspondence(
    name="optax.sgd",
    dynamics=_gradient_flow,
    optimizer=_sgd,
    scheme=Euler(),
    clock=_rate,
    start=_at_zero,
    scheme_start=_position,
    relation=Exact(),
    flow_order=Order(1.0, "sup"),
    required=("learning_rate",),
    conventions=("time of a step: η", "x_k stands beside x(t_k), t_k = Σ η_j"),
    limit=lambda hyper: 2.0,
    source="Elkabetz and Cohen, arXiv 2107.06608",
)
"""Gradient descent is explicit Euler on gradient flow."""


def _heavy_ball_flow(objective, hyper):
    return ModifiedHeavyBallFlow(
        objective, jnp.asarray(hyper["learning_rate"]), jnp.asarray(hyper["momentum"])
    )


def _heavy_ball(hyper):
    return optax.sgd(hyper["learning_rate"], momentum=hyper["momentum"])


def _slipped(dynamics, hyper, x):
    eta, beta = hyper["learning_rate"], hyper["momentum"]
    return 0.0, slip(dynamics.objective, eta, beta, x)


HEAVY_BALL = Correspondence(
    name="optax.sgd(momentum)",
    dynamics=_heavy_ball_flow,
    optimizer=_heavy_ball,
    scheme=None,
    clock=_rate,
    start=_slipped,
    scheme_start=_position,
    relation=Order(2.0, "end"),
    flow_order=Order(2.0, "end"),
    required=("learning_rate", "momentum"),
    conventions=(
        "time of a step: η",
        "velocity 0 at the start, hence the initial slip η β/(1-β)² ∇f(x₀)",
        "the norm is at the end time: the layer β^k of the first steps is of order η",
    ),
    limit=lambda hyper: 2.0 * (1.0 + hyper["momentum"]),
    source="Ghosh, Lyu, Zhang and Wang, arXiv 2302.00849",
)
"""Heavy ball follows its modified flow, from the slipped start, to order 2."""


def _adam_flow(objective, hyper):
    return AdamFlow(
        objective,
        _memory(hyper, "b1"),
        _memory(hyper, "b2"),
        jnp.asarray(hyper["eps"]),
        jnp.asarray(hyper["eps_root"]),
    )


def _adam(hyper):
    names = ("b1", "b2", "eps", "eps_root")
    return optax.adam(hyper["learning_rate"], **{n: hyper[n] for n in names})


def _adam_flow_start(dynamics, hyper, x):
    # The field is 0/0 at t = 0; the first-order data at t leave an error of order t².
    t = 1e-4 * hyper["learning_rate"]
    return t, adam_start(dynamics, x, t)


def _adam_scheme_start(dynamics, hyper, x):
    del dynamics, hyper
    return AdamState(x, jnp.zeros_like(x), jnp.zeros_like(x))


ADAM = Correspondence(
    name="optax.adam",
    dynamics=_adam_flow,
    optimizer=_adam,
    scheme=EXACT_EMA,
    clock=_rate,
    start=_adam_flow_start,
    scheme_start=_adam_scheme_start,
    relation=Exact(),
    flow_order=Order(1.0, "sup"),
    required=("learning_rate",),
    defaults={"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0},
    conventions=(
        "time of a step: η; memories τ_i = -η / ln β_i",
        "eps outside the root, eps_root inside",
        "both moments bias-corrected by 1 - β_i^(k+1), and start at 0",
        "the position sees the new moments",
    ),
    source="Barakat and Bianchi, arXiv 1810.02263",
)
"""Adam is the exact-EMA Lie splitting of its flow."""


def _rmsprop_flow(objective, hyper):
    return RMSPropFlow(objective, _memory(hyper, "decay"), jnp.asarray(hyper["eps"]))


def _scalar_rmsprop_flow(objective, hyper):
    memory, eps = _memory(hyper, "decay"), jnp.asarray(hyper["eps"])
    return RMSPropFlow(objective, memory, eps, scalar=True)


_RMS_HYPER = ("decay", "eps", "initial_scale")


def _rmsprop(hyper):
    return optax.rmsprop(hyper["learning_rate"], **{n: hyper[n] for n in _RMS_HYPER})


def _scalar_rmsprop(hyper):
    return scalar_rmsprop(hyper["learning_rate"], **{n: hyper[n] for n in _RMS_HYPER})


def _rmsprop_state(dynamics, hyper, x):
    square = dynamics.square(x)  # for its shape: one a coordinate, or one for all
    return RMSPropState(x, jnp.full_like(square, hyper["initial_scale"]))


def _rmsprop_start(dynamics, hyper, x):
    return 0.0, _rmsprop_state(dynamics, hyper, x)


RMSPROP = Correspondence(
    name="optax.rmsprop",
    dynamics=_rmsprop_flow,
    optimizer=_rmsprop,
    scheme=Splitting("EMA, X", inner=Euler()),
    clock=_rate,
    start=_rmsprop_start,
    scheme_start=_rmsprop_state,
    relation=Exact(),
    flow_order=Order(1.0, "sup"),
    required=("learning_rate",),
    defaults={"decay": 0.9, "eps": 1e-8, "initial_scale": 0.0},
    conventions=(
        "time of a step: η; memory τ = -η / ln β",
        "eps inside the root (optax's default), no bias correction",
        "v starts at initial_scale; the position sees the new v",
    ),
    source="da Silva and Gazeau, arXiv 1810.13108",
)
"""RMSProp is the exact-EMA Lie splitting of its flow, with Euler on the position."""

SCALAR_RMSPROP = dataclasses.replace(
    RMSPROP,
    name="scalar_rmsprop",
    dynamics=_scalar_rmsprop_flow,
    optimizer=_scalar_rmsprop,
    conventions=(
        "time of a step: η; memory τ = -η / ln β",
        "eps inside the root, no bias correction",
        "one ν for all parameters, from initial_scale; the position sees the new ν",
    ),
    source="Cohen et al., arXiv 2410.24206",
)
"""Scalar RMSProp (of this package) is the exact-EMA splitting of its flow."""

ROWS = (SGD, HEAVY_BALL, ADAM, RMSPROP, SCALAR_RMSPROP)


def correspondences() -> Any:
    """The table of rows: optimiser, dynamics, scheme, relation, conventions."""
    from flows.display import Table

    rows = []
    for row in ROWS:
        scheme = "the flow itself" if row.scheme is None else _scheme_name(row.scheme)
        model = _model_name(row)
        conventions = "; ".join(row.conventions)
        rows.append((row.name, model, scheme, str(row.relation), conventions))
    columns = ("optimiser", "dynamics", "scheme", "relation", "conventions")
    return Table(columns, rows)


def _scheme_name(scheme):
    if isinstance(scheme, Splitting):
        inner = f", {type(scheme.inner).__name__} inside" if scheme.inner else ""
        return f"splitting {scheme}{inner}"
    return type(scheme).__name__


def _model_name(row):
    from flows.problems import quadratic

    hyper = {**dict.fromkeys(row.required, 0.5), **row.defaults}
    return type(row.dynamics(quadratic([1.0]), hyper)).__name__
