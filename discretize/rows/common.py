"""Clocks and starts that several rows share."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from discretize.correspondence import Correspondence, Exact, Order
from discretize.schemes import Euler


def rate(hyper):
    """The time of a step is the learning rate."""
    return hyper["learning_rate"]


def memory(hyper, name):
    """τ = -η / ln β, so that an average kept for time η retains the factor β."""
    return -hyper["learning_rate"] / jnp.log(hyper[name])


def at_zero(dynamics, hyper, x):
    """The flow starts at time 0, at x."""
    del dynamics, hyper
    return 0.0, x


def position(dynamics, hyper, x):
    """The scheme starts at x."""
    del dynamics, hyper
    return x


def euler_row(**fields: Any) -> Correspondence:
    """A row whose optimiser is explicit Euler of step η on its flow, from x at time 0.

    Args:
        **fields: of the row; name, dynamics, optimizer, conventions and source at
            least. They override what is filled in here.
    """
    filled: dict[str, Any] = {
        "scheme": Euler(),
        "clock": rate,
        "start": at_zero,
        "scheme_start": position,
        "relation": Exact(),
        "flow_order": Order(1.0, "sup"),
        "required": ("learning_rate",),
    }
    return Correspondence(**{**filled, **fields})
