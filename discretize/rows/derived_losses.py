"""Descent on a loss made of another: with weight decay, and on its square root."""

from __future__ import annotations

import optax

from discretize.optimizers.root_loss import root_loss_sgd
from discretize.rows.common import euler_row
from flows import GradientFlow
from flows.derived_losses import RootLoss, WeightDecayed


def _decayed_flow(objective, hyper):
    return GradientFlow(WeightDecayed(objective, hyper["weight_decay"]))


def _decayed_descent(hyper):
    return optax.chain(
        optax.add_decayed_weights(hyper["weight_decay"]),
        optax.sgd(hyper["learning_rate"]),
    )


WEIGHT_DECAY_SGD = euler_row(
    name="optax.add_decayed_weights, optax.sgd",
    dynamics=_decayed_flow,
    optimizer=_decayed_descent,
    defaults={"weight_decay": 1e-4},
    conventions=(
        "time of a step: η; weights shrink by 1 - ηl a step",
        "for plain descent, decoupled weight decay is the penalty (l/2)|x|²",
        "scale-invariant loss: its direction has learning rate η/((1 - ηl)|x|²)",
    ),
    source="Loshchilov and Hutter, arXiv 1711.05101",
)
"""Gradient descent with weight decay is Euler on the flow of f + (l/2)|x|²."""


def _root_flow(objective, hyper):
    return GradientFlow(RootLoss(objective, hyper["f_min"]))


def _root_descent(hyper):
    return root_loss_sgd(hyper["learning_rate"], hyper["f_min"])


ROOT_LOSS_SGD = euler_row(
    name="root_loss_sgd",
    dynamics=_root_flow,
    optimizer=_root_descent,
    defaults={"f_min": 0.0},
    conventions=(
        "time of a step: η, that of gradient flow on √(f - f*)",
        "0 where f <= f*; does not converge: ends in steps of length η√(λ/2)",
    ),
    ranges={"f_min": "finite"},
    source="Arora, Li and Panigrahi, arXiv 2205.09745",
)
"""Gradient descent on √(f - f*) is Euler on its gradient flow."""

DERIVED_LOSS_ROWS = (WEIGHT_DECAY_SGD, ROOT_LOSS_SGD)
