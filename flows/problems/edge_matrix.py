"""A curvature that is a free matrix: several directions at the edge, solved."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats, require_number
from flows.dynamics import parameter, require_range
from flows.errors import BadInput
from flows.objective import Facts, Objective, stated
from flows.types import Scalar


class EdgeMatrix(Objective):
    r"""L = ½ xᵀ(s I + Z) x - ⟨M, Z⟩ + c|Z|²/2 with Z = smat(z): see `edge_matrix`.

    Attributes:
        pull: M, symmetric, shape [k, k].
        sharpness: s > 0.
        curvature: c >= 0.
    """

    facts: Facts
    pull: Float[Array, "k k"] = eqx.field(converter=parameter)
    sharpness: Float[Array, ""] = eqx.field(converter=parameter)
    curvature: Float[Array, ""] = eqx.field(converter=parameter)

    @property
    def directions(self) -> int:
        """Number k of oscillating directions."""
        return self.pull.shape[0]

    @property
    def size(self) -> int:
        """Number of coordinates, k + k(k+1)/2."""
        k = self.directions
        return k + k * (k + 1) // 2

    def split(self, y: Float[Array, " n"]) -> tuple[Any, Any]:
        """The oscillating x of shape [k], and the matrix Z of shape [k, k]."""
        from flows.central.sdcp import smat

        return y[: self.directions], smat(y[self.directions :])

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """L at the position (x, z)."""
        if batch is not None:
            raise BadInput("this loss has no data to batch.")
        across, z = self.split(x)
        curved = self.sharpness * (across @ across) + across @ z @ across
        floor = self.curvature / 2 * jnp.sum(z**2) - jnp.sum(self.pull * z)
        return curved / 2 + floor

    def at_edge(self, threshold: Scalar) -> Float[Array, " n"]:
        """The position x = 0, s I + Z = `threshold` I: all k directions critical."""
        from flows.central.sdcp import svec

        k = self.directions
        shift = jnp.asarray(threshold) - self.sharpness
        z = shift * jnp.eye(k, dtype=self.pull.dtype)
        return jnp.concatenate([jnp.zeros(k, z.dtype), svec(z)])

    def covariance(self, threshold: Scalar) -> Float[Array, "k k"]:
        r"""Σ = 2 (M - c (threshold - s) I)₊, exactly, at `at_edge`.

        There the floor pulls Z by G = M - c Z, so that the curvature moves at the rate
        η (G - Σ/2), which must be ⪯ 0, vanish where Σ does not, and Σ ⪰ 0: Σ is twice
        the positive part of G. Where G has negative eigenvalues, pinning all
        eigenvalues (Σ = 2G) would be no covariance.
        """
        shift = self.curvature * (jnp.asarray(threshold) - self.sharpness)
        e, q = jnp.linalg.eigh((self.pull + self.pull.T) / 2)
        return 2 * (q * jnp.maximum(e - shift, 0)[None, :]) @ q.T


def edge_matrix(
    pull: Any = ((0.3, 0.1), (0.1, 0.2)),
    sharpness: Scalar = 100.0,
    curvature: Scalar = 0.0,
) -> EdgeMatrix:
    r"""L(x, z) = ½ xᵀ(s I + Z) x - ⟨M, Z⟩ + c|Z|²/2, x in R^k, Z = smat(z) symmetric.

    The Hessian in x is a free symmetric matrix. Gradient flow increases it along M; an
    optimiser at the edge of stability lets no eigenvalue pass, and the covariance with
    which it oscillates is known for any number of directions (`EdgeMatrix.covariance`).
    The operator of its complementarity problem is a multiple of the identity, since the
    coordinates `flows.central.svec` are orthonormal.

    Args:
        pull: M, symmetric, shape [k, k].
        sharpness: s > 0, the curvature at Z = 0 (1/time); 2/η starts at the edge.
        curvature: c >= 0 of the floor: it damps what would otherwise oscillate forever.

    Returns:
        The objective; positions are (x, z) of length k + k(k+1)/2.

    Raises:
        BadInput: M not symmetric or not finite, s <= 0, c < 0.
    """
    matrix = as_floats("pull", pull)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] >= 1
    if not square or not np.all(np.isfinite(matrix)) or np.any(matrix != matrix.T):
        raise BadInput(
            f"pull is a symmetric matrix of finite numbers; got {pull!r:.60}."
        )
    require_number("sharpness", sharpness, positive=True)
    require_range("curvature", curvature)
    return EdgeMatrix(stated(Facts()), matrix, sharpness, curvature)
