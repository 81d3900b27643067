"""Both ends of a Hessian's spectrum along a path, by compiled products."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flows import Objective
from flows.sharpness import eigenpairs

DENSE = 64
"""Largest number of parameters for which the whole Hessian is formed."""


class Ends(NamedTuple):
    """The extreme eigenvalues of ∇²f at a point, and how fast they may change.

    Attributes:
        low: smallest (algebraic) eigenvalue (1/time).
        high: largest.
        rate: the larger |∇³f[v, v, ·]| of the two unit eigenvectors v: how much an end
            moves for a unit of |x|, to first order.
        residual: the larger |∇²f v - λ v|: each value is within it of an eigenvalue.
    """

    low: float
    high: float
    rate: float
    residual: float


@eqx.filter_jit
def _turn(objective, x, v):
    return jnp.linalg.norm(objective.third(x, v, v))


def spectrum_ends(
    objective: Objective, x: Any, start: np.ndarray | None = None
) -> tuple[Ends, np.ndarray]:
    """Smallest and largest eigenvalue of ∇²f(x), with a start for the next point.

    The whole matrix up to 64 parameters; beyond, ARPACK's Lanczos from both ends, on
    Hessian-vector products, to a relative accuracy of 1e-5.

    Args:
        objective: f.
        x: position, shape [n].
        start: where Lanczos starts: the sum of the last point's two eigenvectors.

    Raises:
        BadInput: the Hessian is not finite at x, or Lanczos did not converge.
    """
    found = eigenpairs(
        objective, x, "both ends", tolerance=1e-5, dense=DENSE, start=start
    )
    vectors = found.vectors.T
    rates = [float(_turn(objective, x, jnp.asarray(v))) for v in vectors]
    low, high = map(float, found.values)
    ends = Ends(low, high, max(rates), float(found.residuals.max()))
    return ends, vectors[0] + vectors[1]


def path_ends(
    objective: Objective, positions: Any
) -> dict[str, Float[np.ndarray, " t"]]:
    """`spectrum_ends` at each of positions [times, n]; fields as arrays [times]."""
    found, start = [], None
    for x in np.asarray(positions):
        ends, start = spectrum_ends(objective, jnp.asarray(x), start)
        found.append(ends)
    return {k: np.array([getattr(e, k) for e in found]) for k in Ends._fields}
