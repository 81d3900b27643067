"""Generator matrices Q of Markov chains on labels: doors, and their stationary laws."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats
from flows.errors import BadInput


def stationary_law(q: Any) -> Float[Array, " N"]:
    """π with πQ = 0 and Σπ = 1.

    Args:
        q: Q, shape [N, N]: rates >= 0 off the diagonal, rows of sum 0, one closed
            class.
    """
    q = jnp.asarray(q)
    system = q.T.at[-1].set(1.0)
    return jnp.linalg.solve(system, jnp.zeros_like(q[0]).at[-1].set(1.0))


def spectral_gap(q: Any) -> Float[Array, ""]:
    """The distance of Q's other eigenvalues from the imaginary axis (1/time).

    0 is a simple eigenvalue where Q has one closed class. On the CPU.

    Args:
        q: as for `stationary_law`.
    """
    return -jnp.sort(jnp.real(jnp.linalg.eigvals(jnp.asarray(q))))[-2]


def recurrent(q: Any) -> np.ndarray:
    """Which labels are in the closed class: those reached from all others, shape [N].

    Args:
        q: as for `stationary_law`, concrete.
    """
    q = np.asarray(q)
    return np.all(_reached(q - np.diag(np.diag(q)) > 0), axis=0)


def require_generator(value: Any) -> None:
    """Refuse what is no generator of a chain with one stationary law.

    Rows may miss the sum 0 by the rounding of the array's own type.

    Args:
        value: a concrete array of real numbers.

    Raises:
        BadInput: another shape, negative rates, rows whose sum is not 0, a label that
            is never left, several closed classes.
    """
    q = as_floats("a generator matrix", value)
    square = q.ndim == 2 and q.shape[0] == q.shape[1] and q.shape[0] >= 2
    if not square or not np.all(np.isfinite(q)):
        raise BadInput(f"a generator matrix has shape [N, N], N >= 2; got {q.shape}.")
    dtype = np.asarray(value).dtype
    eps = np.finfo(dtype if np.issubdtype(dtype, np.floating) else q.dtype).eps
    n = q.shape[0]
    apart = q - np.diag(np.diag(q))
    slack = 8 * n * eps * np.max(np.abs(q))
    if np.any(apart < 0) or np.any(np.abs(q.sum(axis=1)) > slack):
        raise BadInput(
            f"a generator matrix has rates >= 0 off its diagonal and rows of sum 0; "
            f"got {q}."
        )
    if np.any(np.diag(q) == 0):
        raise BadInput(f"every label is left at a positive rate; got {q}.")
    if not np.any(recurrent(q)):
        raise BadInput(f"the labels of {q} fall into several closed classes.")


def _reached(steps: np.ndarray) -> np.ndarray:
    """Which labels are reached from which, in any number of steps, by squaring."""
    n = len(steps)
    reach = steps | np.eye(n, dtype=bool)
    for _ in range(math.ceil(math.log2(n))):
        counts = reach.astype(float)  # whole numbers up to n
        reach = counts @ counts > 0
    return reach
