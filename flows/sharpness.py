"""The ends of a Hessian's spectrum, from Hessian-vector products alone."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.errors import BadInput


class Sharpness(NamedTuple):
    """The largest (algebraic) eigenvalue of a Hessian.

    Attributes:
        value: λ_max (1/time for a gradient flow).
        vector: its unit eigenvector, shape [n].
        residual: |H v - λ v|; an eigenvalue of H lies within it of `value`.
        products: Hessian-vector products spent.
    """

    value: float
    vector: np.ndarray
    residual: float
    products: int

    def __repr__(self) -> str:
        return (
            f"Sharpness({self.value:.6g}, residual {self.residual:.1e}, "
            f"{self.products} Hessian-vector products)"
        )


@eqx.filter_jit
def _hvp(objective, x, v):
    return objective.hvp(x, v)


@eqx.filter_jit
def _hessian(objective, x):
    return objective.hessian(x)


class Eigenpairs(NamedTuple):
    """Eigenvalues at the ends of a Hessian's spectrum, increasing.

    Attributes:
        values: λ (1/time for a gradient flow), shape [k].
        vectors: unit eigenvectors as columns, shape [n, k].
        residuals: |H v - λ v|; an eigenvalue of H lies within it of λ. Shape [k].
        products: Hessian-vector products spent.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    products: int


def eigenpairs(
    objective: Any,
    x: Any,
    which: Literal["top", "both ends"],
    *,
    tolerance: float,
    dense: int,
    start: np.ndarray | None = None,
) -> Eigenpairs:
    """The largest eigenvalue of ∇²f(x), or the smallest and the largest one.

    ARPACK's Lanczos on Hessian-vector products; the whole matrix for small n.

    Args:
        objective: an `Objective`.
        x: position, shape [n].
        which: "top" (k = 1) or "both ends" (k = 2).
        tolerance: relative accuracy asked of the eigenvalues.
        dense: largest n for which the whole matrix is formed.
        start: vector that Lanczos starts from, shape [n]; a fixed random one if None.

    Raises:
        BadInput: the Hessian is not finite at x, or Lanczos did not converge.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    n, count = x.size, 0
    k = {"top": 1, "both ends": 2}[which]

    def product(v):
        nonlocal count
        count += 1
        return _finite(_hvp(objective, x, jnp.asarray(v.reshape(-1), x.dtype)))

    if n <= dense:
        h = _finite(_hessian(objective, x))
        values, vectors = np.linalg.eigh((h + h.T) / 2)
        ends = [0, -1][-k:]
        values, vectors, count = values[ends], vectors[:, ends], n
        images = h @ vectors
    else:
        v0 = np.random.default_rng(0).standard_normal(n) if start is None else start
        if not product(v0).any():  # H = 0, on which ARPACK cannot start
            unit = v0 / np.linalg.norm(v0)
            nothing = np.zeros(k)
            return Eigenpairs(nothing, np.stack([unit] * k, axis=1), nothing, count)
        operator = LinearOperator((n, n), matvec=product, dtype=float)  # pyright: ignore
        side = "LA" if k == 1 else "BE"
        try:
            values, vectors = eigsh(operator, k=k, which=side, v0=v0, tol=tolerance)  # pyright: ignore
        except ArpackError as error:
            raise BadInput(f"Lanczos did not converge: {error}") from None
        images = np.stack([product(v) for v in vectors.T], axis=1)
    residuals = np.linalg.norm(images - values[None, :] * vectors, axis=0)
    return Eigenpairs(values, vectors, residuals, count)


def _finite(value: Any) -> np.ndarray:
    out = np.asarray(value, float)
    if not np.all(np.isfinite(out)):
        raise BadInput("the Hessian is not finite at this point.")
    return out


def sharpness(objective: Any, x: Any, *, tolerance: float = 1e-8) -> Sharpness:
    """λ_max(∇²f(x)) by ARPACK's Lanczos on Hessian-vector products.

    No n × n matrix is formed beyond n = 16. At a kink (ReLU) the Hessian is the
    one of the branch that jax differentiates.

    Args:
        objective: an `Objective`.
        x: position, shape [n].
        tolerance: relative accuracy asked of the eigenvalue.

    Raises:
        BadInput: the Hessian is not finite at x, or Lanczos did not converge.
    """
    found = eigenpairs(objective, x, "top", tolerance=tolerance, dense=16)
    value, residual = float(found.values[0]), float(found.residuals[0])
    return Sharpness(value, found.vectors[:, 0], residual, found.products)


class _Rescaled(eqx.Module):
    """An objective's Hessian as D H D, with D = P^(-1/2) diagonal."""

    objective: Any
    scale: Float[Array, " n"]

    def hvp(self, x, v):
        """D H D v."""
        return self.scale * self.objective.hvp(x, self.scale * v)

    def hessian(self, x):
        """D H D."""
        return self.scale[:, None] * self.objective.hessian(x) * self.scale[None, :]


def effective_sharpness(
    objective: Any, params: Any, preconditioner: Any, *, tolerance: float = 1e-8
) -> Sharpness:
    """λ_max(P⁻¹H), the sharpness in the geometry of a diagonal preconditioner P.

    An adaptive optimiser x ← x - η P⁻¹ m that has P held is its plain form on a loss of
    this sharpness: its stability limit (`discretize.edge`) is one on λ_max(P⁻¹H).
    Computed by Lanczos on P^(-1/2) H P^(-1/2), which is symmetric and has the same
    eigenvalues; nothing of size n × n is formed beyond n = 16.

    Reference: Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", 2022,
    arXiv 2207.14484 ("preconditioned sharpness").

    Args:
        objective: an `Objective`.
        params: where: the user's pytree.
        preconditioner: the diagonal of P, positive: a pytree like `params`, a vector of
            shape [n], or one number.
        tolerance: relative accuracy asked of the eigenvalue.

    Returns:
        A `Sharpness`: `value` in the unit of H/P, `vector` v with P⁻¹H v = λ v and
        vᵀPv = 1, `residual` |P^(-1/2)(H v - λ P v)|: an eigenvalue lies within it.

    Raises:
        BadInput: a P that is not positive and finite, or of another shape; and as
            `sharpness`.
    """
    x = objective.ravel(params)
    p = _diagonal(objective, preconditioner, x)
    if not (np.all(np.isfinite(p)) and np.all(p > 0)):
        raise BadInput(
            "the diagonal of P is positive and finite; coordinates whose gradient was "
            "always 0 (dead pixels) need an ε in the optimiser, or dropping."
        )
    scale = 1 / np.sqrt(p)
    rescaled = _Rescaled(objective, jnp.asarray(scale, x.dtype))
    found = eigenpairs(rescaled, x, "top", tolerance=tolerance, dense=16)
    value, residual = float(found.values[0]), float(found.residuals[0])
    return Sharpness(value, scale * found.vectors[:, 0], residual, found.products)


def _diagonal(objective: Any, preconditioner: Any, x: Any) -> np.ndarray:
    """P as a vector of shape [n]."""
    leaves = jax.tree.leaves(preconditioner)
    if len(leaves) == 1 and np.shape(leaves[0]) in ((), x.shape):
        return np.broadcast_to(np.asarray(leaves[0], float), x.shape)
    try:
        return np.asarray(objective.ravel(preconditioner), float)
    except BadInput as error:
        raise BadInput(
            "the diagonal of P is a pytree like the parameters, a vector of shape "
            f"[{x.size}] or one number: {error}"
        ) from None
