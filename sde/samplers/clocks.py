"""Clocks whose integrated rate is inverted in closed form."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

_MANY_TURNS = 2.0**50


def linear_delay(start: Any, slope: Any, amount: Any) -> Any:
    """The time s with ∫₀ˢ (a + b u)₊ du = e, or inf where the integral stays below.

    With e a draw of Exp(1) it is the first ring of a clock of rate (a + b u)₊. No
    cancellation: s = 2e/(a + √(a² + 2be)) for a > 0, s = -a/b + √(2e/b) for a <= 0 < b.

    Args:
        start: a, any shape.
        slope: b, of that shape.
        amount: e > 0, of that shape.
    """
    positive, rising = start > 0, slope > 0
    b = jnp.where(rising, slope, 1.0)
    later = jnp.where(rising, jnp.sqrt(2 * amount / b) - start / b, jnp.inf)
    square = start**2 + 2 * slope * amount
    reached = positive & (square >= 0)
    root = jnp.sqrt(jnp.where(reached, square, 1.0))
    now = 2 * amount / jnp.where(reached, start + root, 1.0)
    return jnp.where(positive, jnp.where(reached, now, jnp.inf), later)


def wave_delay(cosine: Any, sine: Any, amount: Any) -> Any:
    """The time s with ∫₀ˢ (p cos 2u + q sin 2u)₊ du = e; inf for p = q = 0.

    The rate is R cos(2u - φ)₊ with R = |(p, q)|, whose integral over a period π is R:
    whole periods are counted, the rest is an arcsine.

    Args:
        cosine: p.
        sine: q.
        amount: e > 0.
    """
    size = jnp.hypot(cosine, sine)
    still = size == 0
    phase = -jnp.arctan2(jnp.where(still, 0.0, sine), jnp.where(still, 1.0, cosine))
    turns = amount / jnp.where(still, 1.0, size)
    # ∫ cos₊ from -π/2 to an angle in [-π, π]
    before = jnp.sin(jnp.clip(phase, -np.pi / 2, np.pi / 2)) + 1
    total = before + 2 * turns
    whole = jnp.floor(total / 2)
    rest = jnp.clip(total - 2 * whole - 1, -1.0, 1.0)
    delay = (2 * np.pi * whole + jnp.arcsin(rest) - phase) / 2
    delay = jnp.where(turns < _MANY_TURNS, delay, np.pi * turns)
    return jnp.where(still, jnp.inf, delay)
