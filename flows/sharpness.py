"""The ends of a Hessian's spectrum, from Hessian-vector products alone."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

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
        if start is None:
            start = np.random.default_rng(0).standard_normal(n)
        if not product(start).any():  # H = 0, on which ARPACK cannot start
            unit = start / np.linalg.norm(start)
            nothing = np.zeros(k)
            return Eigenpairs(nothing, np.stack([unit] * k, axis=1), nothing, count)
        operator = LinearOperator((n, n), matvec=product, dtype=float)  # pyright: ignore
        side = "LA" if k == 1 else "BE"
        try:
            values, vectors = eigsh(operator, k=k, which=side, v0=start, tol=tolerance)  # pyright: ignore
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
