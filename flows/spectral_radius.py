"""The spectral radius of a field's Jacobian, by a nonlinear power method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

MOST = 50
"""Most iterations of one estimate."""
SETTLED = 0.01
"""An estimate has settled once an iteration moves it by less than this part."""


class Radius(NamedTuple):
    """An estimate of the spectral radius.

    Attributes:
        value: the estimate, 1/time.
        direction: unit vector in which it was found, a pytree like the state.
        evaluations: how often the field was evaluated for it.
    """

    value: Any
    direction: Any
    evaluations: Any


def norm(tree: Any) -> Any:
    """Euclidean norm of a pytree, in the widest of its types."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(a)) for a in jax.tree.leaves(tree)))


def _unit(tree, size):
    return jax.tree.map(lambda a: a / size, tree)


def spectral_radius(
    field: Callable[[Any], Any], y: Any, slope: Any, direction: Any
) -> Radius:
    """Largest |Jv| over unit vectors v that the power method meets at y.

    Each iteration replaces v by (F(y + δv) - F(y))/δ, scaled to length one, with
    δ = √ε max(|y|, √ε): one evaluation of the field, no Jacobian. For a symmetric J
    (a gradient flow's) the estimate rises to the spectral radius; it may stop a few
    percent below, hence a safety factor where it is used. It is a constant for
    differentiation.

    Reference: Sommeijer, Shampine and Verwer, "RKC: an explicit solver for parabolic
    PDEs", J. Comput. Appl. Math. 88, 1998.

    Args:
        field: F, a function of the state alone.
        y: where.
        slope: F(y).
        direction: first guess of v, of any length; where zero, every entry counts.

    Returns:
        The estimate, its direction, and what it cost.
    """
    y, slope, direction = lax.stop_gradient((y, slope, direction))
    size = norm(direction)
    empty = ~(size > 0) | ~jnp.isfinite(size)
    direction = jax.tree.map(lambda a: jnp.where(empty, jnp.ones_like(a), a), direction)
    direction = _unit(direction, norm(direction))
    small = jnp.sqrt(jnp.finfo(size.dtype).eps).astype(size.dtype)
    delta = small * jnp.maximum(norm(y), small)

    def step(carry):
        count, _, value, v = carry
        moved = jax.tree.map(lambda a, b: a + delta * b, y, v)
        image = jax.tree.map(lambda a, b: (a - b) / delta, field(moved), slope)
        length = norm(image)
        turned = jnp.where(length > 0, length, 1)
        v = jax.tree.map(lambda a, b: jnp.where(length > 0, a / turned, b), image, v)
        return count + 1, value, length, v

    def unsettled(carry):
        count, before, value, _ = carry
        still = jnp.abs(value - before) > SETTLED * value
        return (count < 2) | (still & (count < MOST))

    zero = jnp.zeros_like(size)
    start = (jnp.asarray(0, jnp.int32), zero, zero, direction)
    count, _, value, direction = lax.while_loop(unsettled, step, start)
    return Radius(value, direction, count)
