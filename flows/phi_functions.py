"""φ₁(z) = (e^z - 1)/z and φ₂(z) = (e^z - 1 - z)/z², through z = 0; an inverse."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

_NEAR = 1e-2  # below it seven terms of φ₁ are exact in float64
_NEAR_LOG = 1e-5  # below it three terms of log(1 + z)/z are


def expm1_over(q: Any, x: Any = 1.0) -> Any:
    """∫₀ˣ e^{qs} ds = (e^{qx} - 1)/q = x φ₁(qx), which is x at q = 0.

    With a derivative in q at q = 0 too. For q < 0 it is finite at x = ∞, -1/q.
    """
    z = q * x
    small = jnp.abs(z) < _NEAR
    near, safe = jnp.where(small, z, 0.0), jnp.where(small, 1.0, q)
    series = jnp.ones_like(near)
    for k in range(7, 1, -1):
        series = 1 + near / k * series
    return jnp.where(small, x * series, jnp.expm1(jnp.where(small, 0.0, z)) / safe)


def log1p_over(q: Any, x: Any) -> Any:
    """log(1 + qx)/q, the inverse of x ↦ `expm1_over(q, x)`; x at q = 0."""
    z = q * x
    small = jnp.abs(z) < _NEAR_LOG
    near, safe = jnp.where(small, z, 0.0), jnp.where(small, 1.0, q)
    series = x * (1 - near / 2 * (1 - 2 * near / 3))
    return jnp.where(small, series, jnp.log1p(jnp.where(small, 0.0, z)) / safe)


def phi_2(z: Any) -> Any:
    """(e^z - 1 - z)/z² = ∫₀¹ (1 - s) e^{sz} ds, 1/2 at z = 0."""
    small = jnp.abs(z) < 0.3
    safe, near = jnp.where(small, 1.0, z), jnp.where(small, z, 0.0)
    series = jnp.ones_like(near)
    for k in range(14, 2, -1):
        series = 1 + near / k * series
    return jnp.where(small, series / 2, (jnp.expm1(safe) - safe) / safe**2)
