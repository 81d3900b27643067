"""Langevin optimisers: each is tamed Euler on overdamped Langevin dynamics."""

from __future__ import annotations

import jax.numpy as jnp

from discretize.correspondence import Order
from discretize.optimizers import sgld, theopoula, tula, tusla
from discretize.rows.common import euler_row
from discretize.schemes import TamedEuler
from discretize.taming import NormTaming, Polygonal, StateTaming, Untamed
from flows.problems import norm_power
from sde import DriftFlow, OverdampedLangevin

CONVENTIONS = (
    "time of a step: λ; β = 1/temperature, infinite for no noise",
    "exact on the same noise; the flow solved beside it is the one without noise",
)
RANGES = {"beta": "> 0, or infinite for none", "eps": "> 0"}


def _plain(objective, hyper):
    return OverdampedLangevin(objective, 1 / hyper["beta"])


def _regularised(objective, hyper):
    penalty = norm_power(hyper["eta"], hyper["r"], objective.size)
    return OverdampedLangevin(objective, 1 / hyper["beta"], penalty)


def _without_noise(dynamics, hyper):
    del hyper
    return DriftFlow(dynamics)


def _given(hyper, *names):
    """Hyperparameters of these names, as keyword arguments."""
    return {name: hyper[name] for name in names}


def _sgld(hyper):
    return sgld(**_given(hyper, "learning_rate", "beta"))


def _untamed_euler(hyper):
    del hyper
    return TamedEuler(Untamed())


SGLD = euler_row(
    name="sgld",
    dynamics=_plain,
    optimizer=_sgld,
    scheme=_untamed_euler,
    flow_order=Order(1.0, "end"),
    defaults={"beta": 1e12},
    conventions=(*CONVENTIONS, "explodes where ∇f grows faster than linearly"),
    limit=lambda hyper: 2.0,
    ranges=RANGES,
    solved=_without_noise,
    source="Welling and Teh, ICML 2011",
)
"""SGLD on full-batch gradients is Euler on overdamped Langevin dynamics."""


def _tula(hyper):
    return tula(**_given(hyper, "learning_rate", "beta"))


def _norm_tamed_euler(hyper):
    return TamedEuler(NormTaming(jnp.ones_like(hyper["beta"])))


TULA = euler_row(
    name="tula",
    dynamics=_plain,
    optimizer=_tula,
    scheme=_norm_tamed_euler,
    flow_order=Order(1.0, "end"),
    defaults={"beta": 1e12},
    conventions=(*CONVENTIONS, "the norm is over all parameters"),
    ranges=RANGES,
    solved=_without_noise,
    source="Brosse, Durmus, Moulines and Sabanis, arXiv 1710.05559",
)
"""TULA is Euler with the drift b/(1 + λ|b|)."""


def _tusla(hyper):
    return tusla(**_given(hyper, "learning_rate", "beta", "eta", "r"))


def _state_tamed_euler(hyper):
    return TamedEuler(StateTaming(hyper["r"]))


TUSLA = euler_row(
    name="tusla",
    dynamics=_regularised,
    optimizer=_tusla,
    scheme=_state_tamed_euler,
    flow_order=Order(0.5, "end"),
    defaults={"beta": 1e12, "eta": 1e-5, "r": 0.5},
    conventions=(*CONVENTIONS, "|θ| is the norm over all parameters"),
    ranges=RANGES,
    solved=_without_noise,
    source="Lovas, Lytras, Rásonyi and Sabanis, arXiv 2006.14514",
)
"""TUSLA is Euler with drift and regulariser over 1 + √λ|θ|^{2r}."""


def _theopoula(hyper):
    return theopoula(**_given(hyper, "learning_rate", "eps", "beta", "eta", "r"))


def _polygonal_euler(hyper):
    return TamedEuler(Polygonal(hyper["eps"], hyper["r"]))


THEOPOULA = euler_row(
    name="theopoula",
    dynamics=_regularised,
    optimizer=_theopoula,
    scheme=_polygonal_euler,
    flow_order=Order(0.5, "end"),
    defaults={"eps": 0.1, "beta": 1e12, "eta": 0.0, "r": 3.0},
    conventions=(
        *CONVENTIONS,
        "the regulariser stands outside taming and boosting",
        "coordinates are tamed one by one: not rotation invariant",
    ),
    ranges=RANGES,
    solved=_without_noise,
    source="Lim and Sabanis, arXiv 2105.13937",
)
"""TheoPouLa is Euler with the polygonal drift."""

LANGEVIN_ROWS = (SGLD, TULA, TUSLA, THEOPOULA)
