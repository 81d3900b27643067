"""Lyapunov functions of gradient flow and second-order flows, as jax code.

Each is V(flow, t, y) for `proofs_check.inner_products`; its `weight` is 1, and is
moved, like other constants, by those who look for a check that fails.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp

from flows import (
    AcceleratedFlow,
    BregmanFlow,
    GradientFlow,
    HighResolutionAcceleratedFlow,
    HighResolutionHeavyBallFlow,
    HighResolutionNesterovFlow,
    InertialNewtonFlow,
    InertialNewtonPsiFlow,
    InertialNewtonState,
    StronglyConvexAcceleratedFlow,
    VanishingInertialNewtonFlow,
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


@functools.cache
def gradient_flow_pair(weight: Any = 1) -> LyapunovPair:
    """V and dV/dt of gradient flow, f convex; symbol t."""
    return lyapunov_pair(GradientFlow, gradient_flow_energy, weight=weight)


@functools.cache
def accelerated_pair(weight: Any = 1) -> LyapunovPair:
    """V and dV/dt of the accelerated flow, f convex; symbols t, friction."""
    return lyapunov_pair(AcceleratedFlow, accelerated_energy, at_rest, weight=weight)


@functools.cache
def excess_pair(weight: Any = 1) -> LyapunovPair:
    """V = f - f* and dV/dt of gradient flow."""
    return lyapunov_pair(GradientFlow, excess_energy, weight=weight)


@functools.cache
def strongly_accelerated_pair(weight: Any = 1) -> LyapunovPair:
    """V and dV/dt of the strongly convex flow; symbol strong_convexity."""
    return lyapunov_pair(
        lambda f: StronglyConvexAcceleratedFlow(f, 1.0),
        strongly_accelerated_energy,
        at_rest,
        weight=weight,
    )


# Second-order flows, with and without a Hessian.


def dissipation_energy(flow, t, y, weight: Any):
    """E = c (f - f*) + |v + β∇f|²/2 of the inertial-Newton flow."""
    del t
    x, v = y
    away = v + flow.hessian_damping * flow.objective.gradient(x)
    return weight * excess(flow, x) + jnp.sum(away**2) / 2


def psi_dissipation_energy(flow, t, y, weight: Any):
    """The same in (x, ψ): E = c (f - f*) + |(α - 1/β)(x - x*) + p/β|²/2.

    p is ψ less its value at rest, (1 - αβ) x*.
    """
    del t
    alpha, beta = flow.friction, flow.hessian_damping
    away = (alpha - 1 / beta) * displacement(flow, y.position) + y.psi / beta
    return weight * excess(flow, y.position) + jnp.sum(away**2) / 2


def mechanical_energy(flow, t, y):
    """E = f - f* + |v|²/2."""
    del t
    return excess(flow, y.position) + jnp.sum(y.velocity**2) / 2


def vanishing_energy(flow, t, y, power: Any = 2):
    """E = t^k (f - f*) + |(a-1)(x - x*) + t (v + β∇f)|²/2, with power k = 2."""
    x, v = y
    away = (flow.friction - 1) * displacement(flow, x)
    away = away + t * (v + flow.hessian_damping * flow.objective.gradient(x))
    return t**power * excess(flow, x) + jnp.sum(away**2) / 2


def bregman_energy(flow, t, y, lost: Any = 0):
    """E = C t^{p-k} (f - f*) + |x - x* + t v/p|²/2, with k = 0 powers lost."""
    x, v = y
    p = flow.power
    away = displacement(flow, x) + t * v / p
    level = flow.scale * t**p * t ** (-lost)
    return level * excess(flow, x) + jnp.sum(away**2) / 2


def high_resolution_heavy_ball_energy(flow, t, y):
    """E = (1+√(μs))(f - f*) + |v|²/4 + |v + 2√μ (x - x*)|²/4."""
    del t
    x, v = y
    away = v + 2 * jnp.sqrt(flow.strong_convexity) * displacement(flow, x)
    return _with_kinetic(flow, y, away)


def high_resolution_nesterov_energy(flow, t, y, correction: Any = 1):
    """E = (1+√(μs))(f - f*) + |v|²/4 + |v + 2√μ (x - x*) + c√s ∇f|²/4, with c = 1."""
    del t
    x, v = y
    away = v + 2 * jnp.sqrt(flow.strong_convexity) * displacement(flow, x)
    step = jnp.sqrt(flow.learning_rate)
    away = away + correction * step * flow.objective.gradient(x)
    return _with_kinetic(flow, y, away)


def _with_kinetic(flow, y, away):
    q = jnp.sqrt(flow.strong_convexity) * jnp.sqrt(flow.learning_rate)
    kinetic = jnp.sum(y.velocity**2) + jnp.sum(away**2)
    return (1 + q) * excess(flow, y.position) + kinetic / 4


def high_resolution_accelerated_energy(flow, t, y, correction: Any = 1):
    """E = t (t + √s/2)(f - f*) + |t v + 2(x - x*) + c t√s ∇f|²/2, with c = 1."""
    x, v = y
    step = jnp.sqrt(flow.learning_rate)
    away = t * v + 2 * displacement(flow, x)
    away = away + correction * t * step * flow.objective.gradient(x)
    return t * (t + step / 2) * excess(flow, x) + jnp.sum(away**2) / 2


@functools.cache
def dissipation_pair(weight: Any) -> LyapunovPair:
    """The inertial-Newton flow of mass and force 1; symbols friction, hessian_damping.

    The pair of `dissipation_energy`.
    """
    return _inertial_pair(dissipation_energy, weight=weight)


@functools.cache
def psi_dissipation_pair(weight: Any) -> LyapunovPair:
    """The same of the flow in (x, ψ), with p = ψ."""
    pair = lyapunov_pair(
        lambda f: InertialNewtonPsiFlow(f, 1.0, 1.0),
        psi_dissipation_energy,
        lambda x: InertialNewtonState(x, x),
        weight=weight,
    )
    return pair.at(mass=1)


@functools.cache
def mechanical_pair() -> LyapunovPair:
    """E = f - f* + |v|²/2 along the inertial-Newton flow of mass and force 1."""
    return _inertial_pair(mechanical_energy)


def _inertial_pair(energy: Any, **constants: Any) -> LyapunovPair:
    pair = lyapunov_pair(
        lambda f: InertialNewtonFlow(f, 1.0, 1.0), energy, at_rest, **constants
    )
    return pair.at(mass=1, force=1)


@functools.cache
def vanishing_pair(power: Any = 2) -> LyapunovPair:
    """The flow with vanishing damping; symbols t, friction, hessian_damping."""
    return lyapunov_pair(
        lambda f: VanishingInertialNewtonFlow(f, 3.0, 1.0),
        vanishing_energy,
        at_rest,
        power=power,
    )


@functools.cache
def bregman_pair(lost: Any = 0) -> LyapunovPair:
    """Bregman's family; symbols t, power, scale."""
    return lyapunov_pair(BregmanFlow, bregman_energy, at_rest, lost=lost)


@functools.cache
def high_resolution_heavy_ball_pair() -> LyapunovPair:
    """Heavy ball to high resolution; symbols strong_convexity, learning_rate."""
    return lyapunov_pair(
        lambda f: HighResolutionHeavyBallFlow(f, 1.0, 1.0),
        high_resolution_heavy_ball_energy,
        at_rest,
    )


@functools.cache
def high_resolution_nesterov_pair(correction: Any = 1) -> LyapunovPair:
    """NAG-SC to high resolution; symbols strong_convexity, learning_rate."""
    return lyapunov_pair(
        lambda f: HighResolutionNesterovFlow(f, 1.0, 1.0),
        high_resolution_nesterov_energy,
        at_rest,
        correction=correction,
    )


@functools.cache
def high_resolution_accelerated_pair(correction: Any = 1) -> LyapunovPair:
    """NAG-C to high resolution; symbols t, learning_rate."""
    return lyapunov_pair(
        lambda f: HighResolutionAcceleratedFlow(f, 1.0),
        high_resolution_accelerated_energy,
        at_rest,
        correction=correction,
    )
