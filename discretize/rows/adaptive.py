"""Adam, RMSProp and scalar RMSProp."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import optax

from discretize.correspondence import Correspondence, Exact, Order
from discretize.optimizers import scalar_rmsprop
from discretize.rows.common import memory, rate
from discretize.schemes import EXACT_EMA, Euler, Splitting
from flows import AdamFlow, AdamState, RMSPropFlow, RMSPropState, adam_start
from flows.central import RMSProp, ScalarRMSProp


def _adam_flow(objective, hyper):
    return AdamFlow(
        objective,
        memory(hyper, "b1"),
        memory(hyper, "b2"),
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
    clock=rate,
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
    return RMSPropFlow(objective, memory(hyper, "decay"), jnp.asarray(hyper["eps"]))


def _scalar_rmsprop_flow(objective, hyper):
    tau, eps = memory(hyper, "decay"), jnp.asarray(hyper["eps"])
    return RMSPropFlow(objective, tau, eps, scalar=True)


_RMS_HYPER = ("decay", "eps", "initial_scale")


def _rmsprop(hyper):
    return optax.rmsprop(hyper["learning_rate"], **{n: hyper[n] for n in _RMS_HYPER})


def _scalar_rmsprop(hyper):
    return scalar_rmsprop(hyper["learning_rate"], **{n: hyper[n] for n in _RMS_HYPER})


def _rms_rule(hyper, kind):
    eta, decay = hyper["learning_rate"], hyper["decay"]
    inside, start = hyper["eps"], hyper["initial_scale"]
    return kind(eta, decay, eps_root=inside, initial=start)


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
    clock=rate,
    start=_rmsprop_start,
    scheme_start=_rmsprop_state,
    relation=Exact(),
    flow_order=Order(1.0, "sup"),
    rule=lambda hyper: _rms_rule(hyper, RMSProp),
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
    rule=lambda hyper: _rms_rule(hyper, ScalarRMSProp),
    conventions=(
        "time of a step: η; memory τ = -η / ln β",
        "eps inside the root, no bias correction",
        "one ν for all parameters, from initial_scale; the position sees the new ν",
    ),
    source="Cohen et al., arXiv 2410.24206",
)
"""Scalar RMSProp (of this package) is the exact-EMA splitting of its flow."""
