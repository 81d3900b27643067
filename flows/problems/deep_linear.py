"""Deep linear networks: a loss of the product W_N ⋯ W_1."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.conserved import balancedness
from flows.errors import BadInput
from flows.objective import Fact, Facts, Objective, stated
from flows.problems.closed_form import require_position
from flows.ravel import Unravel, ravel_params


class MatrixLeastSquares(Objective):
    """φ(W) = ½ tr (W - Φ) Σ (W - Φ)ᵀ, a convex loss of a matrix W of shape [m, n].

    Positions are W row by row, shape [m n]. With inputs x of second moment Σ = E[x xᵀ]
    and outputs Φx it is ½ E|Wx - Φx|²; whitened inputs have Σ = I.

    Attributes:
        target: Φ of shape [m, n].
        moment: Σ of shape [n, n], or None for the identity.
    """

    facts: Facts
    target: Float[Array, "m n"]
    moment: Float[Array, "n n"] | None = None

    @property
    def size(self) -> int:
        """Number m n of entries."""
        return self.target.shape[0] * self.target.shape[1]

    def value(self, x: Float[Array, " mn"], batch: Any = None) -> Float[Array, ""]:
        """½ tr (W - Φ) Σ (W - Φ)ᵀ."""
        residual = self._residual(x)
        return 0.5 * jnp.sum(residual * self._weighed(residual))

    def gradient(self, x: Float[Array, " mn"], batch: Any = None) -> Any:
        """(W - Φ) Σ, row by row."""
        return jnp.reshape(self._weighed(self._residual(x)), (-1,))

    def _residual(self, x):
        require_position(self, x)
        return jnp.reshape(x, self.target.shape) - self.target

    def _weighed(self, residual):
        return residual if self.moment is None else residual @ self.moment


class DeepLinear(Objective):
    """f(W_1, ..., W_N) = φ(W_N ⋯ W_1) for any loss φ of a matrix (see `deep_linear`).

    Parameters: the tuple (W_1, ..., W_N), W_j of shape [d_j, d_{j-1}].

    Attributes:
        loss: φ, on matrices [d_N, d_0] row by row.
        widths: (d_0, ..., d_N).
    """

    facts: Facts
    loss: Objective
    widths: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self):
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise BadInput(f"widths are (d_0, ..., d_N), all >= 1; got {self.widths}.")
        if self.loss.size != self.widths[-1] * self.widths[0]:
            raise BadInput(
                f"the loss takes {self.loss.size} entries, and the product of widths "
                f"{self.widths} has shape [{self.widths[-1]}, {self.widths[0]}]."
            )

    @property
    def size(self) -> int:
        """Number of weights, Σ d_j d_{j-1}."""
        return sum(m * n for m, n in self.shapes)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes of W_1, ..., W_N."""
        return tuple(zip(self.widths[1:], self.widths[:-1], strict=True))

    def params(self, x: Float[Array, " n"]) -> tuple[Any, ...]:
        """The tuple (W_1, ..., W_N)."""
        require_position(self, x)
        factors, start = [], 0
        for m, n in self.shapes:
            factors.append(jnp.reshape(x[start : start + m * n], (m, n)))
            start += m * n
        return tuple(factors)

    def ravel(self, params: Any) -> Float[Array, " n"]:
        """The position of a tuple (W_1, ..., W_N).

        Raises:
            BadInput: wrong shapes or dtypes, or an entry that is not finite.
        """
        unravel: Unravel
        unravel, x = ravel_params(params)
        if unravel.shapes not in (self.shapes, ((self.size,),)):
            raise BadInput(
                f"the factors W_1, ..., W_N have shapes {list(self.shapes)}; got "
                f"{list(unravel.shapes)}."
            )
        return x

    def product(self, x: Float[Array, " n"]) -> Any:
        """The end-to-end matrix W_N ⋯ W_1, shape [d_N, d_0]."""
        return end_to_end(self.params(x))

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """φ(W_N ⋯ W_1)."""
        return self.loss.value(jnp.reshape(self.product(x), (-1,)), batch)

    def loss_of(self, params: Any, batch: Any = None) -> Float[Array, ""]:
        """F at the tuple (W_1, ..., W_N), or at a position."""
        if isinstance(params, tuple):
            return self.loss.value(jnp.reshape(end_to_end(params), (-1,)), batch)
        return self.value(params, batch)


def end_to_end(factors: Sequence[Any]) -> Any:
    """The product W_N ⋯ W_1 of factors (W_1, ..., W_N)."""
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    return product


def imbalance(factors: Sequence[Any]) -> Any:
    """max_j |W_{j+1}ᵀ W_{j+1} - W_j W_jᵀ| (Frobenius): 0 for balanced factors.

    Gradient flow conserves each of these matrices (Arora, Cohen and Hazan, 2018,
    arXiv 1802.06509).
    """
    return jnp.max(jnp.stack([jnp.linalg.norm(b) for b in balancedness(factors)]))


def balanced_factors(product: Any, hidden: Sequence[int]) -> tuple[Any, ...]:
    """Balanced factors (W_1, ..., W_N) with a given product, by its singular values.

    With W = U S Vᵀ they are W_1 = E S^{1/N} Vᵀ, E S^{1/N} Eᵀ in between, and
    W_N = U S^{1/N} Eᵀ, where E pads with zeros to a hidden width.

    Args:
        product: W of shape [d_N, d_0].
        hidden: widths d_1, ..., d_{N-1}.

    Raises:
        BadInput: a hidden width below the rank of W.
    """
    w = np.asarray(product, float)
    hidden = tuple(int(d) for d in hidden)
    if w.ndim != 2 or not np.all(np.isfinite(w)):
        raise BadInput("the product is a finite matrix.")
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    rank = int(np.linalg.matrix_rank(w))
    if min(hidden, default=rank) < rank:
        raise BadInput(f"hidden widths {hidden} below the rank {rank} of the product.")
    root = s[:rank] ** (1 / (len(hidden) + 1))
    widths = (w.shape[1], *hidden, w.shape[0])
    factors = []
    for k, (n, m) in enumerate(itertools.pairwise(widths)):
        left = u[:, :rank] if k == len(hidden) else np.eye(m, rank)
        right = vt[:rank] if k == 0 else np.eye(rank, n)
        factors.append(jnp.asarray((left * root[None, :]) @ right))
    return tuple(factors)


def deep_linear(
    target: Any, hidden: Sequence[int] = (), *, moment: Any = None
) -> DeepLinear:
    """f(W_1, ..., W_N) = ½ tr (W - Φ) Σ (W - Φ)ᵀ, W = W_N ⋯ W_1.

    Facts: the minimum over all weights is ½ Σ_{i > r} σ_i(Φ Σ^{1/2})², with r the
    smallest width (Eckart and Young, 1936); 0 where no width is below the rank. A
    minimiser: balanced factors of that best approximation. No global L for N >= 2.

    Args:
        target: Φ of shape [d_N, d_0].
        hidden: widths d_1, ..., d_{N-1}; none is a linear model, N = 1.
        moment: Σ = E[x xᵀ] of the inputs, symmetric positive definite (default: the
            identity, whitened inputs).

    Raises:
        BadInput: shapes that do not fit, or a Σ that is not positive definite.
    """
    phi = np.asarray(target, float)
    if phi.ndim != 2 or not phi.size or not np.all(np.isfinite(phi)):
        raise BadInput(f"the target is a finite matrix; got shape {phi.shape}.")
    m, n = phi.shape
    widths = (n, *(int(d) for d in hidden), m)
    sigma = np.eye(n) if moment is None else np.asarray(moment, float)
    if sigma.shape != (n, n) or not np.allclose(sigma, sigma.T, rtol=1e-12):
        raise BadInput(f"the inputs' second moment is symmetric, of shape [{n}, {n}].")
    eigenvalues, q = np.linalg.eigh(sigma)
    if not eigenvalues[0] > 0:
        raise BadInput("the inputs' second moment is positive definite.")
    loss = MatrixLeastSquares(
        stated(
            Facts(
                smoothness=Fact(float(eigenvalues[-1]), "largest eigenvalue of Σ"),
                strong_convexity=Fact(float(eigenvalues[0]), "smallest eigenvalue"),
                minimiser=Fact(phi.ravel(), "∇φ = (W - Φ) Σ"),
                minimum=Fact(0.0, "a square"),
            )
        ),
        jnp.asarray(phi),
        None if moment is None else jnp.asarray(sigma),
    )
    root = (q * np.sqrt(eigenvalues)[None, :]) @ q.T
    u, s, vt = np.linalg.svd(phi @ root, full_matrices=False)
    rank = min(widths)
    best = (u[:, :rank] * s[None, :rank]) @ vt[:rank] @ np.linalg.inv(root)
    by = f"Eckart-Young: the best approximation of Φ Σ^(1/2) of rank <= {rank}"
    factors = balanced_factors(best if rank < min(m, n) else phi, hidden)
    point = np.concatenate([np.asarray(w).ravel() for w in factors])
    facts = Facts(
        minimiser=Fact(point, f"{by}; one of many"),
        minimum=Fact(0.5 * float(np.sum(s[rank:] ** 2)), by),
        smoothness=loss.facts.smoothness if len(widths) == 2 else None,
        strong_convexity=loss.facts.strong_convexity if len(widths) == 2 else None,
    )
    return DeepLinear(stated(facts), loss, widths)
