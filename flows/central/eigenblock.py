"""Rayleigh–Ritz steps on a block of leading eigenvectors of P⁻¹H."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flows.objective import Objective

DENSE = 300
"""Largest n at which a cold start forms the whole matrix."""

PADDING = -1e15
"""The eigenvalue that fills a block wider than the space."""

GUARDS = 2
"""Trailing pairs of a block whose convergence a cold start does not wait for."""

_ROUNDS = 300  # of a cold start
_DEPENDENT = 1e-6  # squared length below which a unit residual counts as dependent


class Block(NamedTuple):
    """The K leading eigenpairs of the pencil H v = λ P v, the largest λ first.

    Where K exceeds n, the last vectors are 0 and their values `PADDING`.

    Attributes:
        vectors: V as columns with VᵀPV = I, shape [n, K].
        images: H V, shape [n, K].
        values: λ (pure numbers where P carries 1/η), shape [K].
        residuals: |P^{-1/2} (H v - λ P v)|; an eigenvalue lies within it of λ. [K].
    """

    vectors: Float[Array, "n k"]
    images: Float[Array, "n k"]
    values: Float[Array, " k"]
    residuals: Float[Array, " k"]


def column(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """A diagonal, [n] or [], to be multiplied with columns."""
    return p if jnp.ndim(p) == 0 else p[:, None]


def hessian_at(objective: Objective, x: Float[Array, " n"]) -> Callable[..., Any]:
    """V, live -> H(x) times the live columns of V, 0 for the others.

    What depends on x alone is computed once; columns come one by one, so that one
    which is not live costs nothing (except under vmap).
    """
    nothing = jnp.zeros_like(x)
    # hvp is linear in v: its linear part is itself, split from the work on x alone.
    _, product = jax.linearize(lambda v: objective.hvp(x, v), nothing)

    def one(_, column):
        v, alive = column
        return None, jax.lax.cond(alive, product, lambda v: nothing, v)

    return lambda vectors, live: jax.lax.scan(one, None, (vectors.T, live))[1].T


def _complement(
    z: Float[Array, "n k"], r: Float[Array, "n l"]
) -> tuple[Float[Array, "n l"], Bool[Array, " l"]]:
    """An orthonormal basis of what r adds to the orthonormal z; which columns count.

    Columns that are 0, or that depend on the others up to rounding, are left out as 0.
    """
    lengths = jnp.linalg.norm(r, axis=0)
    r = r / jnp.where(lengths > 0, lengths, 1.0)[None, :]
    for _ in range(2):  # twice is enough
        r = r - z @ (z.T @ r)
    squares, turn = jnp.linalg.eigh(r.T @ r)
    counts = squares > _DEPENDENT
    scale = jnp.where(counts, jnp.where(counts, squares, 1.0) ** -0.5, 0.0)
    return r @ (turn * scale[None, :]), counts


def _orthonormal(
    z: Float[Array, "n k"], images: Float[Array, "n k"]
) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
    """Make z orthonormal, column after column, and turn its images along."""
    lower = jnp.linalg.cholesky(z.T @ z)

    def solved(rows):
        solve = jax.scipy.linalg.solve_triangular
        return solve(lower, rows.T, lower=True).T

    return solved(z), solved(images)


def descending(
    matrix: Float[Array, "k k"],
) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Eigenvalues of a symmetric matrix, the largest first, and eigenvectors."""
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    return values[::-1], vectors[:, ::-1]


class Ritz(NamedTuple):
    """Orthonormal z, images M z, Ritz values, and the part of z that is new."""

    z: Float[Array, "n k"]
    images: Float[Array, "n k"]
    values: Float[Array, " k"]
    step: Float[Array, "n k"]

    @property
    def remainder(self) -> Float[Array, "n k"]:
        """M z - z diag(values)."""
        return self.images - self.z * self.values[None, :]


def _rayleigh_ritz(
    z: Float[Array, "n k"],
    images: Float[Array, "n k"],
    inner: Float[Array, "k k"],
    q: Float[Array, "n l"],
    counts: Bool[Array, " l"],
    q_images: Float[Array, "n l"],
) -> Ritz:
    """The K best pairs in span[z, q]; the new images are combinations of the old."""
    k = z.shape[1]
    corner = q.T @ q_images
    cross = z.T @ q_images
    # what is no direction must come last
    size = jnp.sum(jnp.abs(inner)) + jnp.sum(jnp.abs(corner)) + jnp.sum(jnp.abs(cross))
    corner = corner - jnp.diag(jnp.where(counts, 0.0, 1.0 + 2 * size))
    values, turn = descending(jnp.block([[inner, cross], [cross.T, corner]]))
    turn = turn[:, :k]
    step = q @ turn[k:]
    moved = images @ turn[:k] + q_images @ turn[k:]
    return Ritz(z @ turn[:k] + step, moved, values[:k], step)


def _dense(objective: Objective, x: Any, p: Any, size: int) -> Block:
    """From the whole matrix, padded where n < size."""
    n = x.size
    h = objective.hessian(x)
    h = (h + h.T) / 2
    root = jnp.sqrt(jnp.broadcast_to(p, (n,)))
    values, vectors = descending(h / (root[:, None] * root[None, :]))
    kept = min(n, size)
    v = vectors[:, :kept] / root[:, None]
    images = h @ v
    rest = (images - root[:, None] ** 2 * v * values[None, :kept]) / root[:, None]
    wide = ((0, 0), (0, size - kept))
    return Block(
        jnp.pad(v, wide),
        jnp.pad(images, wide),
        jnp.pad(values[:kept], wide[1:], constant_values=PADDING),
        jnp.pad(jnp.linalg.norm(rest, axis=0), wide[1:]),
    )


def block_of(ritz: Ritz, root: Any) -> Block:
    """The pairs of P^{-1/2} H P^{-1/2} as pairs of the pencil."""
    residuals = jnp.linalg.norm(ritz.remainder, axis=0)
    return Block(ritz.z / root, ritz.images * root, ritz.values, residuals)


def _multiply(objective: Objective, x: Any, root: Any) -> Callable[..., Any]:
    """(columns, live) -> P^{-1/2} H P^{-1/2} columns."""
    hessian = hessian_at(objective, x)
    return lambda z, live: hessian(z / root, live) / root


def solve_cold(
    objective: Objective, x: Any, p: Any, size: int, tolerance: Any
) -> Block:
    """LOBPCG (Knyazev 2001) from a fixed random start, on an orthonormal basis."""
    if x.size <= max(DENSE, 5 * size):
        return _dense(objective, x, p, size)
    root = column(jnp.sqrt(p))
    multiply, all_live = _multiply(objective, x, root), jnp.full(size, True)
    start = jax.random.normal(jax.random.key(0), (x.size, size), x.dtype)
    z = jnp.linalg.qr(start)[0]
    images = multiply(z, all_live)
    values, turn = descending(z.T @ images)
    first = Ritz(z @ turn, images @ turn, values, jnp.zeros_like(z))

    def error(ritz):
        lengths = jnp.linalg.norm(ritz.remainder, axis=0)
        return jnp.max(lengths[: max(1, size - GUARDS)]) / jnp.max(jnp.abs(ritz.values))

    def unfinished(state):
        ritz, rounds = state
        return (rounds < _ROUNDS) & (error(ritz) > tolerance)

    def improve(state):
        ritz, rounds = state
        z, images = _orthonormal(ritz.z, ritz.images)  # rounding gathers otherwise
        both = jnp.concatenate([ritz.remainder, ritz.step], axis=1)
        q, counts = _complement(z, both)
        q_images = multiply(q, counts)
        found = _rayleigh_ritz(z, images, z.T @ images, q, counts, q_images)
        return found, rounds + 1

    ritz, _ = jax.lax.while_loop(unfinished, improve, (first, 0))
    z, _ = _orthonormal(ritz.z, ritz.images)
    images = multiply(z, all_live)  # combinations of images gather rounding too
    values, turn = descending(z.T @ images)
    return block_of(Ritz(z @ turn, images @ turn, values, ritz.step), root)


def step_block(
    objective: Objective, x: Any, p: Any, old: Block, live: Bool[Array, " k"]
) -> Block:
    """One Rayleigh–Ritz step in the span of the old block and its live residuals."""
    k = old.vectors.shape[1]
    if x.size <= 2 * k:
        return _dense(objective, x, p, k)
    root = column(jnp.sqrt(p))
    multiply = _multiply(objective, x, root)
    # P has changed since: orthonormal again, the old images turned along.
    z, stale = _orthonormal(old.vectors * root, old.images / root)
    images = jnp.where(live[None, :], multiply(z, live), stale)
    inner = z.T @ images
    # H is symmetric: between a live and a stale direction the live one's image counts.
    inner = jnp.where(live[None, :], inner, inner.T)
    rest = jnp.where(live[None, :], images - z @ inner, 0.0)
    q, counts = _complement(z, rest)
    q_images = multiply(q, counts)
    return block_of(_rayleigh_ritz(z, images, inner, q, counts, q_images), root)
