"""Nesterov's accelerated methods beside the accelerated and high-resolution flows."""

from __future__ import annotations

import jax.numpy as jnp

from discretize.correspondence import Correspondence, Order
from discretize.optimizers.nesterov import nag_c, nag_sc, nag_sc_momentum
from discretize.rows.common import position
from flows import (
    AcceleratedFlow,
    HighResolutionNesterovFlow,
    PhaseState,
    accelerated_start,
)
from flows.central import Momentum


def _root_rate(hyper):
    """The time of a step is the root of the learning rate."""
    return jnp.sqrt(hyper["learning_rate"])


def _accelerated(objective, hyper):
    return AcceleratedFlow(objective, hyper["friction"])


def _early(dynamics, hyper, x):
    # The friction r/t is singular at 0. With learning rate · curvature <= 1 a tenth of
    # a step leaves the series' error below 1e-8.
    t = 0.1 * _root_rate(hyper)
    return t, accelerated_start(dynamics, x, t)


NAG_C = Correspondence(
    name="nag_c",
    dynamics=_accelerated,
    optimizer=lambda hyper: nag_c(hyper["learning_rate"], hyper["friction"]),
    scheme=None,
    clock=_root_rate,
    start=_early,
    scheme_start=position,
    relation=Order(1.0, "sup"),
    flow_order=Order(1.0, "sup"),
    required=("learning_rate",),
    defaults={"friction": 3.0},
    ranges={"friction": "> 0"},
    conventions=(
        "time of a step: √s, s the learning rate; the order is in √s",
        "the parameters are the look-ahead y_k; descent_point gives x_k",
        "memory c_{k-1}, look-ahead c_k, c_k = (k-1)/(k+r-1); r = friction",
    ),
    limit=lambda hyper: 4.0 / 3.0,  # of Nesterov's momentum as it tends to 1
    source="Su, Boyd and Candès, arXiv 1503.01243",
)
"""NAG-C follows the accelerated flow to first order in √s."""


def _momentum(hyper):
    return nag_sc_momentum(hyper["learning_rate"], hyper["strong_convexity"])


def _high_resolution(objective, hyper):
    return HighResolutionNesterovFlow(
        objective, hyper["strong_convexity"], hyper["learning_rate"]
    )


def _matched(dynamics, hyper, x):
    # x₁ = x₀ + √s v + (s/2) x'' + O(s^{3/2}) with x₁ - x₀ = -2s g/(1 + √(μs)) and
    # x'' = -g + O(√s): the start -2√s g/(1 + √(μs)), the first difference, is off by
    # √s g/2 and leaves an error of first order.
    return 0.0, PhaseState(x, -1.5 * _root_rate(hyper) * dynamics.objective.gradient(x))


def _limit(hyper):
    beta = _momentum(hyper)
    return 2.0 * (1.0 + beta) / (1.0 + 2.0 * beta)


NAG_SC = Correspondence(
    name="nag_sc",
    dynamics=_high_resolution,
    optimizer=lambda hyper: nag_sc(hyper["learning_rate"], hyper["strong_convexity"]),
    scheme=None,
    clock=_root_rate,
    start=_matched,
    scheme_start=position,
    relation=Order(2.0, "sup"),
    flow_order=Order(2.0, "sup"),
    required=("learning_rate", "strong_convexity"),
    ranges={"strong_convexity": "> 0"},
    conventions=(
        "time of a step: √s, s the learning rate; the order is in √s",
        "is optax.sgd(nesterov) of momentum (1 - √(μs))/(1 + √(μs)), μ fixed, μs <= 1",
        "the flow starts with the velocity -(3/2)√s ∇f(x₀), matched to the first step",
    ),
    limit=_limit,
    rule=lambda hyper: Momentum(hyper["learning_rate"], _momentum(hyper), "nesterov"),
    source="Shi, Du, Jordan and Su, arXiv 1810.08907; the matched start derived",
)
"""NAG-SC follows its high-resolution flow, from the matched start, to order 2 in √s."""

NESTEROV_ROWS = (NAG_C, NAG_SC)
