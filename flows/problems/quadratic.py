"""Quadratic losses: everything about them is known."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats
from flows.errors import BadInput
from flows.objective import Fact, Facts, stated
from flows.problems.closed_form import SolvedObjective, require_position, require_time
from flows.types import Scalar


class Quadratic(SolvedObjective):
    """f(x) = ½ (x - c)ᵀ A (x - c), stationary at c (see `quadratic`).

    Attributes:
        matrix: A of shape [n, n], or its diagonal, of shape [n].
        centre: c of shape [n], or None for 0.
    """

    facts: Facts
    matrix: Float[Array, "..."]
    centre: Float[Array, " n"] | None = None

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.matrix.shape[0]

    def _from_centre(self, x):
        return x if self.centre is None else x - self.centre

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """A (x - c)."""
        del batch
        u = self._from_centre(x)
        return self.matrix @ u if self.matrix.ndim == 2 else self.matrix * u

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """½ (x - c)ᵀ A (x - c)."""
        return 0.5 * jnp.sum(self._from_centre(x) * self.gradient(x, batch))

    def gradient_flow_map(self, t: Scalar, x0: Float[Array, " n"]) -> Any:
        """The point c + e^{-At} (x0 - c), by the eigenvalues of A.

        Derivatives in A fail where eigenvalues of a full matrix coincide.
        """
        require_time(t)
        require_position(self, x0)
        u, time = self._from_centre(x0), jnp.asarray(t, x0.dtype)
        if self.matrix.ndim == 1:
            moved = jnp.exp(-self.matrix * time) * u
        else:
            eigenvalues, v = jnp.linalg.eigh(self.matrix)
            moved = v @ (jnp.exp(-eigenvalues * time) * (v.T @ u))
        return moved if self.centre is None else self.centre + moved


def quadratic(matrix: Any, centre: Any = None, rotation: int | None = None) -> Any:
    """f(x) = ½ (x - c)ᵀ A (x - c), from a spectrum (shape [n]) or a matrix [n, n].

    Facts: L and μ are the largest and the smallest eigenvalue; minimiser c, minimum 0
    where A is positive semi-definite.

    Args:
        matrix: the spectrum, or A.
        centre: c of shape [n] (default: 0).
        rotation: seed of a random rotation Q (uniform, by the QR factors of a Gaussian
            matrix): A becomes Q A Qᵀ. Not rotated by default.

    Returns:
        A `Quadratic`.

    Raises:
        BadInput: a matrix that is not symmetric, or not finite; a centre of another
            shape.
    """
    a = as_floats("a spectrum or matrix", matrix)
    square = a.ndim == 2 and a.shape[0] == a.shape[1] and np.array_equal(a, a.T)
    if not ((a.ndim == 1 or square) and a.size and np.all(np.isfinite(a))):
        raise BadInput("a spectrum of shape [n] or a symmetric matrix of shape [n, n].")
    eigenvalues = np.sort(a) if a.ndim == 1 else np.linalg.eigvalsh(a)
    n = len(eigenvalues)
    c = None if centre is None else as_floats("a centre", centre)
    if c is not None and not (c.shape == (n,) and np.all(np.isfinite(c))):
        raise BadInput(f"a centre is a finite vector of shape [{n}]; got {centre!r}.")
    if rotation is not None:
        q = random_rotation(n, rotation)
        a = (q * a[None, :]) @ q.T if a.ndim == 1 else q @ a @ q.T
        a = (a + a.T) / 2
    by = "largest and smallest eigenvalue of A"
    bounded = eigenvalues[0] >= 0
    point = np.zeros(n) if c is None else c
    facts = Facts(
        smoothness=Fact(float(np.max(np.abs(eigenvalues))), by),
        strong_convexity=Fact(float(eigenvalues[0]), by) if bounded else None,
        minimiser=Fact(point, "∇f = A (x - c)") if bounded else None,
        minimum=Fact(0.0, "A is positive semi-definite") if bounded else None,
    )
    placed = None if c is None else jnp.asarray(c)
    return Quadratic(stated(facts), jnp.asarray(a), placed)


def random_rotation(n: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix of shape [n, n], uniform (Haar), from a seed."""
    gaussian = np.random.default_rng(seed).standard_normal((n, n))
    q, r = np.linalg.qr(gaussian)
    return q * np.sign(np.diag(r))[None, :]
