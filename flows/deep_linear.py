"""The end-to-end flow of a deep linear network."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Flow
from flows.errors import BadInput
from flows.objective import Objective


class DeepLinearFlow(Flow):
    r"""A deep linear network's product W = W_N ⋯ W_1 under gradient flow.

        W' = -Σ_{j=1}^{N} (W Wᵀ)^{(j-1)/N} ∇φ(W) (Wᵀ W)^{(N-j)/N},

    where all layers follow the gradient flow of φ(W_N ⋯ W_1) from a balanced start,
    W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ, and no hidden layer is narrower than the rank of W. A
    singular value with singular vectors u, v moves by s' = -N s^{2-2/N} uᵀ∇φ(W)v; for
    one number and φ = ½(s - A)² that is s' = N s^{2-2/N} (A - s).

    State: W row by row, shape [m n]. Unit of time: 1/curvature, that of the layers'
    gradient flow, one step of gradient descent with learning rate η taking time η.

    Fractional powers come from the singular value decomposition; singular values below
    max(m, n) machine epsilons of the largest are taken as 0, so that a W of lower rank
    keeps its rank. The field is continuous everywhere, but for N >= 3 it is not
    Lipschitz where a singular value vanishes, and jax's derivative of the decomposition
    fails where two coincide: take explicit solvers. Vectors (m or n = 1) need none:

        w' = -|w|^{2-2/N} (g + (N-1) (g·ŵ) ŵ),   ŵ = w/|w|.

    Reference: Arora, Cohen and Hazan, "On the Optimization of Deep Networks: Implicit
    Acceleration by Overparameterization", ICML 2018, arXiv 1802.06509.

    Attributes:
        objective: φ, on matrices row by row.
        shape: (m, n) of W.
        layers: N >= 1.
    """

    equation: ClassVar[str] = (
        r"\dot W = -\sum_{j=1}^{N} (WW^\top)^{\frac{j-1}{N}}\,\nabla\phi(W)\,"
        r"(W^\top W)^{\frac{N-j}{N}}"
    )
    objective: Objective
    shape: tuple[int, int] = eqx.field(static=True)
    layers: int = eqx.field(static=True)

    def __check_init__(self):
        m, n = self.shape
        if m * n != self.objective.size or min(m, n) < 1:
            raise BadInput(
                f"shape (m, n) with m n = {self.objective.size}, the entries of the "
                f"loss's matrix; got {self.shape}."
            )
        if self.layers < 1:
            raise BadInput(f"layers >= 1; got {self.layers}.")

    def vector_field(self, t, y: Float[Array, " mn"]) -> Float[Array, " mn"]:
        """W', row by row."""
        del t
        g = self.objective.gradient(y)
        if self.layers == 1:
            return -g
        if min(self.shape) == 1:
            return _vector_field(y, g, self.layers)
        w, slope = jnp.reshape(y, self.shape), jnp.reshape(g, self.shape)
        return jnp.reshape(_matrix_field(w, slope, self.layers), (-1,))


def _vector_field(w, g, n):
    """-|w|^{2-2/N} (g + (N-1) (g·ŵ) ŵ), 0 at w = 0."""
    square = jnp.sum(w**2)
    zero = square == 0
    safe = jnp.where(zero, 1.0, square)
    along = jnp.sum(g * w) / safe
    field = -(safe ** (1 - 1 / n)) * (g + (n - 1) * along * w)
    return jnp.where(zero, 0.0, field)


def _matrix_field(w, g, n):
    """-Σ_j (W Wᵀ)^{(j-1)/N} G (Wᵀ W)^{(N-j)/N}, by W = U diag(s) Vᵀ."""
    u, s, vt = jnp.linalg.svd(w, full_matrices=False)
    noise = max(w.shape) * jnp.finfo(w.dtype).eps * jnp.max(s)
    s = jnp.where(s <= noise, 0.0, s)
    powers = s[:, None] ** (2 * jnp.arange(n, dtype=w.dtype) / n)[None, :]
    # The first and last terms see all of G, also where W Wᵀ or Wᵀ W vanish.
    last = powers[:, n - 1]
    field = (g @ vt.T * last[None, :]) @ vt + u @ (last[:, None] * (u.T @ g))
    if n > 2:
        # Σ over 2 <= j <= N-1 of s_i^{2(j-1)/N} s_k^{2(N-j)/N}
        weights = powers[:, 1:-1] @ powers[:, n - 2 : 0 : -1].T
        field = field + u @ (weights * (u.T @ g @ vt.T)) @ vt
    return -field
