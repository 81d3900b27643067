"""Weight normalisation: gradient descent in scale and direction, and its projection."""

from __future__ import annotations

import dataclasses

from discretize.optimizers import rpgd, weight_normalised_sgd
from discretize.rows.common import euler_row
from discretize.schemes.weight_normalised import ProjectedEuler
from flows import WeightNormalisedFlow, polar


def _flow(objective, hyper):
    return WeightNormalisedFlow(objective, hyper["scale_rate"])


def _descent(hyper):
    return weight_normalised_sgd(
        hyper["learning_rate"], hyper["scale_rate"], hyper["norm"]
    )


def _polar(dynamics, hyper, x):
    del dynamics
    return polar(x, hyper.get("norm", 1.0))


def _polar_at_zero(dynamics, hyper, x):
    return 0.0, _polar(dynamics, hyper, x)


WEIGHT_NORMALISED_SGD = euler_row(
    name="weight_normalised_sgd",
    dynamics=_flow,
    optimizer=_descent,
    start=_polar_at_zero,
    scheme_start=_polar,
    defaults={"scale_rate": 1.0, "norm": 1.0},
    conventions=(
        "time of a step: η for w, whose learning rate is η; that of s is c_s η",
        "x = s w/|w|, one scale for all parameters; s = |x|, |w| = norm at the start",
        "both gradients at the old pair; |w|² grows by η² |∂f/∂w|² a step",
    ),
    ranges={"norm": "> 0"},
    source="Wu et al., arXiv 1911.07956",
)
"""Weight-normalised gradient descent is Euler in (s, w) on its flow."""


def _projected(hyper):
    return rpgd(hyper["learning_rate"], hyper["scale_rate"])


RPGD = dataclasses.replace(
    WEIGHT_NORMALISED_SGD,
    name="rpgd",
    optimizer=_projected,
    scheme=ProjectedEuler(),
    defaults={"scale_rate": 1.0},
    conventions=(
        WEIGHT_NORMALISED_SGD.conventions[0],
        "x = s w with |w| = 1, projected after each step; s = |x| at the start",
        "both moves at the old pair, the gradient not made tangent",
    ),
    ranges={},
)
"""rPGD is projected Euler on the weight-normalised flow with |w| = 1."""

WEIGHT_NORMALISED_ROWS = (WEIGHT_NORMALISED_SGD, RPGD)
