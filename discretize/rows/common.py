"""Clocks and starts that several rows share."""

from __future__ import annotations

import jax.numpy as jnp


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
