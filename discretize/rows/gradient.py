"""Gradient descent and heavy ball."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from discretize.correspondence import Correspondence, Order
from discretize.rows.common import euler_row, position, rate
from flows import GradientFlow, ModifiedHeavyBallFlow, slip
from flows.central import GradientDescent, Momentum


def _gradient_flow(objective, hyper):
    del hyper
    return GradientFlow(objective)


def _descent(hyper):
    return GradientDescent(hyper["learning_rate"])


def _sgd(hyper):
    return optax.sgd(hyper["learning_rate"])


SGD = euler_row(
    name="optax.sgd",
    dynamics=_gradient_flow,
    optimizer=_sgd,
    conventions=("time of a step: η", "x_k stands beside x(t_k), t_k = Σ η_j"),
    limit=lambda hyper: 2.0,
    rule=_descent,
    source="Elkabetz and Cohen, arXiv 2107.06608",
)
"""Gradient descent is explicit Euler on gradient flow."""


def _heavy_ball_flow(objective, hyper):
    return ModifiedHeavyBallFlow(
        objective, jnp.asarray(hyper["learning_rate"]), jnp.asarray(hyper["momentum"])
    )


def _momentum(hyper):
    return Momentum(hyper["learning_rate"], hyper["momentum"])


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
    clock=rate,
    start=_slipped,
    scheme_start=position,
    relation=Order(2.0, "end"),
    flow_order=Order(2.0, "end"),
    required=("learning_rate", "momentum"),
    conventions=(
        "time of a step: η",
        "velocity 0 at the start, hence the initial slip η β/(1-β)² ∇f(x₀)",
        "the norm is at the end time: the layer β^k of the first steps is of order η",
    ),
    limit=lambda hyper: 2.0 * (1.0 + hyper["momentum"]),
    rule=_momentum,
    source="Ghosh, Lyu, Zhang and Wang, arXiv 2302.00849",
)
"""Heavy ball follows its modified flow, from the slipped start, to order 2."""
