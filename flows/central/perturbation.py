"""How leading eigenpairs answer a change of the pencil, also where they cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.central.eigenblock import Block, column
from flows.objective import Objective

APART = 1e-3
"""Eigenvalues closer than this share of the largest one count as one cluster."""

_ACCURACY = 1e-10  # relative residual at which conjugate gradients stop
_ITERATIONS = 500
_FLAT = 1e-8  # share of the largest curvature below which one counts as none


def rotation(
    dh: Float[Array, "k k"], dp: Float[Array, "k k"], values: Float[Array, " k"]
) -> Float[Array, "k k"]:
    r"""ω in the part V ω of dV, for eigenvectors of H v = λ P v with VᵀPV = I.

        ω_ij = -½ dP_ij + (dH_ij - ½ (λ_i + λ_j) dP_ij) / (λ_j - λ_i),

    with dH = Vᵀ(dH)V, dP = Vᵀ(dP)V. Its symmetric part -½ dP keeps VᵀPV = I; the
    antisymmetric part keeps VᵀHV diagonal, and is infinite where two eigenvalues meet:
    there the vectors, each by itself, have no derivative. Within a cluster the second
    term is therefore left out. V then turns as little as it can, and VᵀHV leaves the
    diagonal to first order.

    Why this is right for whatever depends on the cluster's span alone: let V(s) be the
    true basis and V(s) Q(s) the one this rule moves, Q orthogonal within clusters and
    Q(0) = I. A function F of V, VᵀHV and VᵀPV with F(VQ, QᵀVᵀHVQ, …) = F(V, VᵀHV, …)
    takes the same value along both, hence has the same derivative. A covariance
    Σ = V X Vᵀ from a complementarity problem in VᵀHV is such a function. One that reads
    `values` in place of VᵀHV is not: it would miss the entries off the diagonal.

    Args:
        dh: Vᵀ (dH) V.
        dp: Vᵀ (dP) V.
        values: λ.
    """
    gaps = values[None, :] - values[:, None]
    apart = jnp.abs(gaps) > APART * jnp.abs(values[0])
    mean = (values[None, :] + values[:, None]) / 2
    turn = (dh - mean * dp) / jnp.where(apart, gaps, 1.0)
    return jnp.where(apart, turn, 0.0) - dp / 2


class _State(NamedTuple):
    s: Array
    rest: Array
    direction: Array
    square: Array  # |rest|²
    largest: Array  # curvature of a unit direction so far
    count: Any
    convex: Array


def _conjugate_gradients(
    product: Callable[[Array], Array], b: Float[Array, " n"]
) -> Float[Array, " n"]:
    """S⁻¹ b for a positive definite S; b = 0 costs nothing.

    Stops at a direction without curvature instead of dividing by it: the pairs at the
    end of a block may have eigenvalues at or above them outside the block.
    """
    enough = _ACCURACY**2 * (b @ b)

    def unfinished(state):
        return (state.square > enough) & (state.count < _ITERATIONS) & state.convex

    def improve(state):
        d = state.direction
        image = product(d)
        curvature, length = d @ image, d @ d
        largest = jnp.maximum(state.largest, curvature / length)
        convex = curvature > _FLAT * largest * length
        step = jnp.where(convex, state.square, 0.0) / jnp.where(convex, curvature, 1.0)
        rest = state.rest - step * image
        square = rest @ rest
        on = rest + square / state.square * d
        s, count = state.s + step * d, state.count + 1
        return _State(s, rest, on, square, largest, count, convex)

    nothing = jnp.zeros_like(b)
    start = _State(nothing, b, b, b @ b, nothing[0], 0, jnp.asarray(True))
    return jax.lax.while_loop(unfinished, improve, start).s


def solve_outside(
    multiply: Callable[[Array], Array],
    z: Float[Array, "n k"],
    shift: Float[Array, ""],
    b: Float[Array, " n"],
) -> Float[Array, " n"]:
    """The s ⟂ z with (shift - M) s = b, for b ⟂ z and M below `shift` outside z.

    By conjugate gradients; linear in b and transposable, so that reverse mode passes
    with one more solve.

    Args:
        multiply: s -> M s, M symmetric with the invariant space z.
        z: orthonormal columns.
        shift: λ.
        b: right side.
    """

    def outside(s):
        return s - z @ (z.T @ s)

    def product(s):
        s = outside(s)
        return outside(shift * s - multiply(s))

    solved = jax.lax.custom_linear_solve(
        product, outside(b), _conjugate_gradients, symmetric=True
    )
    return outside(solved)


def _rate(function: Any, primals: Any, tangents: Any, like: Any) -> Any:
    """Derivative of function(*primals) along tangents (None: constant)."""
    if not jax.tree.leaves(tangents):
        return jnp.zeros_like(like)
    return eqx.filter_jvp(function, primals, tangents)[1]


def perturbed(
    objective: Objective, x: Any, p: Any, block: Block, live: Any, tangents: Any
) -> Block:
    """The block's derivative along tangents (dobjective, dx, dp), live columns alone.

    dV = V ω + z with ω from `rotation` and, outside the block, column by column,
    (λ_j P - H) z_j = (dH - λ_j dP) v_j.
    """
    d_objective, dx, dp = tangents
    root, values = column(jnp.sqrt(p)), block.values
    v, hv = block.vectors, block.images
    z = v * root
    dp = jnp.zeros_like(p) if dp is None else dp

    def curvature(j):
        """(dH) v_j."""
        return _rate(
            lambda f, x: f.hvp(x, v[:, j]), (objective, x), (d_objective, dx), x
        )

    def one(_, j):
        dhv = jax.lax.cond(live[j], curvature, lambda j: jnp.zeros_like(x), j)
        return None, dhv

    columns = jnp.arange(values.size)
    dhv = jax.lax.scan(one, None, columns)[1].T
    dpv = column(dp) * v
    inside = v.T @ dhv  # H is symmetric: a column not live has its row
    inside = jnp.where(live[None, :], inside, inside.T)
    omega = rotation(inside, v.T @ dpv, values)
    # P^{-1/2} (dH - λ dP) v, without its part in the block
    force = jnp.where(live[None, :], (dhv - dpv * values[None, :]) / root, 0.0)
    force = force - z @ (z.T @ force)
    _, product = jax.linearize(lambda u: objective.hvp(x, u), jnp.zeros_like(x))
    flat = jnp.sqrt(p)

    def outside(_, column):
        shift, b = column
        return None, solve_outside(lambda s: product(s / flat) / flat, z, shift, b)

    s = jax.lax.scan(outside, None, (values, force.T))[1].T
    dv = v @ omega + s / root
    # H z_j follows from the equation solved: no further product.
    images = dhv + hv @ omega + root * (s * values[None, :] - force)
    dv, images = (jnp.where(live[None, :], a, 0.0) for a in (dv, images))
    d_values = jnp.diag(inside) - values * jnp.sum(v * dpv, axis=0)
    return Block(
        dv, images, jnp.where(live, d_values, 0.0), jnp.zeros_like(block.residuals)
    )
