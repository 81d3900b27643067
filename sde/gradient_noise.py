"""Noise of stochastic gradients: its covariance's factor, and how it is drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.objective import Objective
from flows.scheme import Draw
from sde.factors import apply_factor, factor_columns

Vector = Float[Array, " n"]


class GradientNoise(eqx.Module):
    """The noise ∇f_γ(x) - ∇f(x) of a stochastic gradient: mean 0, covariance Σ(x).

    It says two things: a factor, `noise(x, dw)` with covariance Σ(x) for standard
    normal dw, which is what a diffusion takes; and how γ itself is drawn, which is what
    a stochastic optimiser does (`drawn_gradient`). The unit of Σ is that of ∇f squared.
    """

    @abstractmethod
    def brownian(self, x: Vector) -> int:
        """The number m of Brownian motions of the factor."""

    @abstractmethod
    def noise(self, x: Vector, dw: Float[Array, " m"]) -> Vector:
        """Σ(x)^{1/2} dw for some factor of Σ(x): linear in dw."""

    @abstractmethod
    def draws(self, x: Vector) -> Draw:
        """What one γ is made of."""

    @abstractmethod
    def drawn_gradient(self, objective: Objective, x: Vector, draw: Any) -> Vector:
        """∇f_γ(x), with γ made of a draw."""

    def columns(self, x: Vector) -> Float[Array, "m n"]:
        """The columns of the factor, one a row."""
        basis = jnp.eye(self.brownian(x), dtype=x.dtype)
        return jax.vmap(lambda e: self.noise(x, e))(basis)

    def variances(self, x: Vector) -> Vector:
        """The diagonal of Σ(x)."""
        return jnp.sum(self.columns(x) ** 2, axis=0)

    def covariance(self, x: Vector) -> Float[Array, "n n"]:
        """Σ(x) itself: for small n."""
        columns = self.columns(x)
        return columns.T @ columns


class FactorNoise(GradientNoise):
    r"""Gradient noise σ(x) z with E z = 0, E zzᵀ = I, of a user's factor σ.

    Attributes:
        factor: x -> σ(x), of shape [] (σ I), [n] (diagonal) or [n, m]; a jax module
            brings its own parameters.
        law: of the entries of z where it is drawn: "normal", or "sign" (±1 with equal
            probability).

    Raises:
        BadInput: no callable, another law, or (on first use) another shape of σ(x).
    """

    factor: Callable[[Any], Any]
    law: Literal["normal", "sign"] = eqx.field(static=True, default="normal")

    def __check_init__(self):
        if not callable(self.factor):
            raise BadInput(f"factor is a function of x; got {self.factor!r:.60}.")
        if self.law not in ("normal", "sign"):
            raise BadInput(f'law is "normal" or "sign"; got {self.law!r}.')

    def brownian(self, x: Vector) -> int:
        """The columns of σ(x)."""
        out = eqx.filter_eval_shape(self.factor, x)
        shape = getattr(out, "shape", ())
        return factor_columns(tuple(shape), x.shape[0], "factor(x)")

    def noise(self, x: Vector, dw: Float[Array, " m"]) -> Vector:
        """σ(x) dw."""
        return apply_factor(self.factor(x), dw)

    def draws(self, x: Vector) -> Draw:
        """Standard normals, one a column."""
        return Draw("normal", (self.brownian(x),))

    def drawn_gradient(self, objective: Objective, x: Vector, draw: Any) -> Vector:
        """∇f(x) + σ(x) z, with z the draw, or its signs."""
        z = jnp.sign(draw) if self.law == "sign" else draw
        return objective.gradient(x) + self.noise(x, z)
