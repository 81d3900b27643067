"""Leading eigenpairs of P⁻¹H: found once, carried along a path, differentiable."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flows.central.eigenblock import DENSE as DENSE
from flows.central.eigenblock import GUARDS as GUARDS
from flows.central.eigenblock import PADDING as PADDING
from flows.central.eigenblock import Block as Block
from flows.central.eigenblock import (
    Ritz,
    block_of,
    column,
    descending,
    hessian_at,
    solve_cold,
    step_block,
)
from flows.central.perturbation import perturbed, rotation
from flows.objective import Objective


@eqx.filter_custom_jvp
def _cold_differentiable(objective, x, p, size, tolerance):
    return solve_cold(objective, x, p, size, tolerance)


@_cold_differentiable.def_jvp
def _(primals, tangents):
    objective, x, p, size, tolerance = primals
    block = _cold_differentiable(objective, x, p, size, tolerance)
    live = jnp.full(size, True)
    return block, perturbed(objective, x, p, block, live, tangents[:3])


@eqx.filter_custom_jvp
def _refresh_differentiable(objective, x, p, old, live):
    return step_block(objective, x, p, old, live)


@_refresh_differentiable.def_jvp
def _(primals, tangents):
    objective, x, p, old, live = primals
    block = _refresh_differentiable(objective, x, p, old, live)
    return block, perturbed(objective, x, p, block, live, tangents[:3])


_cold_jit = eqx.filter_jit(_cold_differentiable)


def cold_block(
    objective: Objective,
    x: Float[Array, " n"],
    p: Any,
    size: int,
    tolerance: float = 1e-6,
) -> Block:
    """The `size` largest eigenpairs of H v = λ P v at x, H = ∇²f(x), from nothing.

    From the whole matrix up to n = `DENSE` (or 5 `size`); beyond that by LOBPCG from a
    fixed random start, with O(n size) memory. The largest eigenvalues are meant, not
    the largest magnitudes. It stops when the residuals of all but the last `GUARDS`
    pairs are below `tolerance` times the largest eigenvalue, or after 300 rounds:
    `residuals` say how far it came.

    Differentiable in the objective's parameters, x and p, in both modes; see
    `flows.central.perturbation` for what may be asked of a derivative in a cluster.

    Reference: Knyazev, "Toward the Optimal Preconditioned Eigensolver", SIAM J. Sci.
    Comput. 23, 2001.

    Args:
        objective: f.
        x: position.
        p: diagonal of P > 0, shape [n] or [].
        size: K.
        tolerance: of the residuals, relative.

    Returns:
        A `Block`.
    """
    return _cold_jit(objective, x, jnp.asarray(p), size, tolerance)


def refresh_block(
    objective: Objective,
    x: Float[Array, " n"],
    p: Any,
    block: Block,
    live: Bool[Array, " k"] | None = None,
) -> Block:
    """The block carried on to a new x and P by one Rayleigh–Ritz step.

    In the span of V and of the residuals of the live columns: at most 2K
    Hessian-vector products, and two for a live column alone. Directions that are not
    live keep their old image, which counts only among themselves, so that the live
    ones are turned by true products; refresh all of them now and then. For n <= 2K
    the whole matrix is used.

    Differentiable as `cold_block` is: the derivative is that of the true eigenpairs at
    (x, p), whatever block the step set out from, and 0 for columns that are not live.

    Args:
        objective: f.
        x: position.
        p: diagonal of P > 0, shape [n] or [].
        block: the block at a nearby position.
        live: which columns to refresh, shape [K]; None for all.

    Returns:
        A `Block`; the residuals of columns not live are those of their old images.
    """
    if live is None:
        live = jnp.full(block.values.shape, True)
    return _refresh_differentiable(objective, x, jnp.asarray(p), block, live)


@eqx.filter_custom_jvp
def _turn(gram, inner):
    """Values and C with Cᵀ gram C = I, Cᵀ inner C diagonal, for gram near I."""
    none = jnp.diag(gram) <= 0  # padding
    lower = jnp.linalg.cholesky(gram + jnp.diag(jnp.where(none, 1.0, 0.0)))
    half = jax.scipy.linalg.solve_triangular(lower, inner, lower=True)
    whole = jax.scipy.linalg.solve_triangular(lower, half.T, lower=True)
    values, turn = descending(whole + jnp.diag(jnp.where(none, PADDING, 0.0)))
    return values, jax.scipy.linalg.solve_triangular(lower.T, turn, lower=False)


@_turn.def_jvp
def _(primals, tangents):
    gram, inner = primals
    d_gram, d_inner = (
        jnp.zeros_like(a) if d is None else d
        for a, d in zip(primals, tangents, strict=True)
    )
    values, c = _turn(gram, inner)
    dp, dh = c.T @ d_gram @ c, c.T @ d_inner @ c
    rates = jnp.diag(dh) - values * jnp.diag(dp)
    return (values, c), (rates, c @ rotation(dh, dp, values))


def ritz(
    objective: Objective,
    x: Float[Array, " n"],
    p: Any,
    block: Block,
    live: Bool[Array, " k"] | None = None,
) -> Block:
    """The best pairs at a new x and P within the span of the old vectors.

    A product for a live column, half of what `refresh_block` takes: the values are
    those of V's span, off by the square of what the span has turned away.
    Differentiable; images of columns not live are the old ones.

    Args:
        objective: f.
        x: position.
        p: diagonal of P > 0, shape [n] or [].
        block: the block at a nearby position.
        live: which columns to multiply, shape [K]; None for all.
    """
    if live is None:
        live = jnp.full(block.values.shape, True)
    v, root = block.vectors, column(jnp.sqrt(jnp.asarray(p)))
    images = jnp.where(live[None, :], hessian_at(objective, x)(v, live), block.images)
    inner = v.T @ images
    inner = jnp.where(live[None, :], inner, inner.T)
    values, turn = _turn(v.T @ (root**2 * v), inner)
    z = Ritz((root * v) @ turn, images / root @ turn, values, jnp.zeros_like(v))
    return block_of(z, root)
