"""Minibatch noise: the covariance of an objective's batch gradients, and batches."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flows.door import require_whole
from flows.errors import BadInput
from flows.finite_sums import rows_of
from flows.objective import Objective
from flows.scheme import Draw
from sde.gradient_noise import GradientNoise

Vector = Float[Array, " n"]


class MinibatchNoise(GradientNoise):
    r"""The noise of batch gradients of a finite sum f = (1/N) Σ_i f_i.

    A batch of B rows drawn with replacement has

        Σ(x) = S(x)/B,   S = (1/N) Σ_i (∇f_i - ∇f)(∇f_i - ∇f)ᵀ,

    and without replacement Σ = S/B · (N - B)/(N - 1), which is 0 for the full batch.
    The factor takes one Brownian motion a row,

        Σ^{1/2} dw = √(c/N) Σ_i (dw_i - mean(dw)) ∇f_i,   c = 1/B or (N-B)/(B(N-1)),

    one backward pass through the losses of all rows, without an n × n or n × N matrix.
    With `rank` r it keeps the r leading principal directions, at the cost of the N
    gradients and an N × N eigenproblem, and takes r motions.

    Attributes:
        objective: f, whose `value` takes `batch` indices.
        batch_size: B.
        replacement: whether a batch may hold a row twice.
        rank: r, or None for all N.

    Raises:
        BadInput: an objective without rows, a batch size or rank beyond them.
    """

    objective: Objective
    batch_size: int = eqx.field(static=True)
    replacement: bool = eqx.field(static=True, default=True)
    rank: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        n = rows_of(self.objective)
        require_whole("batch_size", self.batch_size, 1, None if self.replacement else n)
        if not isinstance(self.replacement, bool):
            raise BadInput(f"replacement is True or False; got {self.replacement!r}.")
        if self.rank is not None:
            require_whole("rank", self.rank, 1, n)

    @property
    def rows(self) -> int:
        """N."""
        return rows_of(self.objective)

    @property
    def scale(self) -> float:
        """c, the variance of a batch mean over that of a row."""
        n, b = self.rows, self.batch_size
        return 1 / b if self.replacement else (n - b) / (b * max(n - 1, 1))

    def brownian(self, x: Vector) -> int:
        """N, or the rank."""
        del x
        return self.rank or self.rows

    def row_gradients(self, x: Vector) -> Float[Array, "N n"]:
        """∇f_1(x), ..., ∇f_N(x)."""
        return jax.vmap(lambda i: self.objective.gradient(x, i))(self._each())

    def noise(self, x: Vector, dw: Float[Array, " m"]) -> Vector:
        """√(c/N) Σ_i w_i ∇f_i(x), with w = dw centred (or U_r dw)."""
        w = dw if self.rank is None else self._directions(x) @ dw
        w = (w - jnp.mean(w)) * jnp.sqrt(jnp.asarray(self.scale / self.rows, dw.dtype))

        def losses(x):
            return jax.vmap(lambda i: self.objective.value(x, i))(self._each())

        return jax.vjp(losses, x)[1](w)[0]

    def variances(self, x: Vector) -> Vector:
        """The diagonal of Σ(x), of all rows whatever the rank."""
        return self.scale * jnp.var(self.row_gradients(x), axis=0)

    def covariance(self, x: Vector) -> Float[Array, "n n"]:
        """Σ(x), of all rows whatever the rank: for small n."""
        g = self.row_gradients(x)
        centred = g - jnp.mean(g, axis=0, keepdims=True)
        return self.scale / self.rows * centred.T @ centred

    def captured(self, x: Vector) -> Float[Array, ""]:
        """The share of tr Σ(x) that the rank keeps, in [0, 1]; 1 where Σ(x) = 0."""
        values = jnp.linalg.eigvalsh(self._gram(x))
        kept = jnp.sum(values[-self.rank :] if self.rank else values)
        whole = jnp.sum(values)
        return jnp.where(whole > 0, kept / jnp.where(whole > 0, whole, 1.0), 1.0)

    def draws(self, x: Vector) -> Draw:
        """B uniform variables."""
        del x
        return Draw("uniform", (self.batch_size,))

    def batch(self, draw: Float[Array, " B"]) -> Int[Array, " B"]:
        """The rows of a batch: ⌊N u⌋; without replacement, by Fisher and Yates."""
        n, b = self.rows, self.batch_size
        if self.replacement:
            return jnp.minimum((draw * n).astype(int), n - 1)
        first = jnp.arange(b)
        left = n - first
        place = (draw * left.astype(draw.dtype)).astype(int)
        swaps = first + jnp.minimum(place, left - 1)

        def swap(order, pair):
            i, j = pair
            a, b = order[i], order[j]
            return order.at[i].set(b).at[j].set(a), None

        return jax.lax.scan(swap, jnp.arange(n), (first, swaps))[0][:b]

    def drawn_gradient(self, objective: Objective, x: Vector, draw: Any) -> Vector:
        """∇f on a batch of rows."""
        return objective.gradient(x, self.batch(draw))

    def _each(self) -> Int[Array, "N 1"]:
        return jnp.arange(self.rows)[:, None]

    def _gram(self, x: Vector) -> Float[Array, "N N"]:
        g = self.row_gradients(x)
        centred = g - jnp.mean(g, axis=0, keepdims=True)
        return centred @ centred.T

    def _directions(self, x: Vector) -> Float[Array, "N r"]:
        return jnp.linalg.eigh(self._gram(x))[1][:, self.rows - self.brownian(x) :]
