"""Lyapunov functions of gradient flow and the accelerated flows, as jax code.

Each is V(flow, t, y) for `proofs_check.inner_products`; its `weight` is 1, and is moved
by those who look for a check that fails.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from flows import (
    AcceleratedFlow,
    GradientFlow,
    StronglyConvexAcceleratedFlow,
    at_rest,
)
from proofs_check.inner_products import (
    LyapunovPair,
    displacement,
    excess,
    lyapunov_pair,
)


def gradient_flow_energy(flow, t, y, weight: Any = 1):
    """V = c t (f - f*) + |x - x*|²/2, with weight c."""
    return weight * t * excess(flow, y) + jnp.sum(displacement(flow, y) ** 2) / 2


def accelerated_energy(flow, t, y, weight: Any = 1):
    """V = t² (f - f*) + c ((r-1)²/2) |x - x* + t v/(r-1)|²."""
    x, v = y
    k = flow.friction - 1
    away = displacement(flow, x) + t * v / k
    return t**2 * excess(flow, x) + weight * k**2 * jnp.sum(away**2) / 2


def excess_energy(flow, t, y, weight: Any = 1):
    """V = c (f - f*)."""
    del t
    return weight * excess(flow, y)


def strongly_accelerated_energy(flow, t, y, weight: Any = 1):
    """V = f - f* + c (μ/2) |x - x* + v/√μ|²."""
    del t
    x, v = y
    mu = flow.strong_convexity
    away = displacement(flow, x) + v / jnp.sqrt(mu)
    return excess(flow, x) + weight * mu * jnp.sum(away**2) / 2


def gradient_flow_pair(weight: Any = 1) -> LyapunovPair:
    """V and dV/dt of gradient flow, f convex; symbol t."""
    return lyapunov_pair(GradientFlow, gradient_flow_energy, weight=weight)


def accelerated_pair(weight: Any = 1) -> LyapunovPair:
    """V and dV/dt of the accelerated flow, f convex; symbols t, friction."""
    return lyapunov_pair(AcceleratedFlow, accelerated_energy, at_rest, weight=weight)


def excess_pair(weight: Any = 1) -> LyapunovPair:
    """V = f - f* and dV/dt of gradient flow."""
    return lyapunov_pair(GradientFlow, excess_energy, weight=weight)


def strongly_accelerated_pair(weight: Any = 1) -> LyapunovPair:
    """V and dV/dt of the strongly convex flow; symbol strong_convexity."""
    return lyapunov_pair(
        lambda f: StronglyConvexAcceleratedFlow(f, 1.0),
        strongly_accelerated_energy,
        at_rest,
        weight=weight,
    )
