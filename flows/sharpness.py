"""The top of a Hessian's spectrum, from Hessian-vector products alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
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
    return jax.vmap(lambda v: objective.hvp(x, v))(jnp.eye(x.size, dtype=x.dtype))


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
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    n = x.size
    count = 0

    def product(v):
        nonlocal count
        count += 1
        out = np.asarray(_hvp(objective, x, jnp.asarray(v.reshape(-1), x.dtype)))
        if not np.all(np.isfinite(out)):
            raise BadInput("the Hessian is not finite at this point.")
        return out.astype(float)

    if n <= 16:
        h = np.asarray(_hessian(objective, x), float)
        if not np.all(np.isfinite(h)):
            raise BadInput("the Hessian is not finite at this point.")
        count = n
        values, vectors = np.linalg.eigh((h + h.T) / 2)
        value, vector = float(values[-1]), vectors[:, -1]
        image = h @ vector
    else:
        start = np.random.default_rng(0).standard_normal(n)
        if not product(start).any():  # H = 0, on which ARPACK cannot start
            return Sharpness(0.0, start / np.linalg.norm(start), 0.0, count)
        operator = LinearOperator((n, n), matvec=product, dtype=float)  # pyright: ignore
        try:
            values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=tolerance)  # pyright: ignore
        except ArpackError as error:
            raise BadInput(f"Lanczos did not converge: {error}") from None
        value, vector = float(values[0]), vectors[:, 0]
        image = product(vector)
    residual = float(np.linalg.norm(image - value * vector))
    return Sharpness(value, vector, residual, count)
