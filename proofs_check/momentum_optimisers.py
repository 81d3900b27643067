"""Momentum methods of optax as functions of their hyperparameters."""

from __future__ import annotations

from typing import Any

import optax


def heavy_ball(eta: Any, beta: Any) -> optax.GradientTransformation:
    """Heavy ball (Polyak)."""
    return optax.sgd(eta, momentum=beta)


def nesterov(eta: Any, beta: Any) -> optax.GradientTransformation:
    """Nesterov's momentum, as optax writes it."""
    return optax.sgd(eta, momentum=beta, nesterov=True)


def averaged(eta: Any, beta: Any) -> optax.GradientTransformation:
    """Descent along an exponential mean of gradients."""
    return optax.chain(optax.ema(beta, debias=False), optax.scale_by_learning_rate(eta))
