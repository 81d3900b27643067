"""A loss known to second order at one point: what a Lyapunov function may look at."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows import Fact, Facts, Objective
from flows.errors import BadInput


@jax.custom_jvp
def _level(x, gap, slope, curvature):
    """The value f(x) - f* of a jet, with its gradient for derivative."""
    del x, slope, curvature
    return gap


@jax.custom_jvp
def _slope(x, slope, curvature):
    """The gradient ∇f(x) of a jet, with its Hessian for derivative."""
    del x, curvature
    return slope


@jax.custom_jvp
def _curvature(x, curvature):
    """The Hessian ∇²f(x) of a jet, which has no derivative."""
    del x
    return curvature


@_level.defjvp
def _(primals, tangents):
    x, _, slope, curvature = primals
    return _level(*primals), jnp.sum(_slope(x, slope, curvature) * tangents[0])


@_slope.defjvp
def _(primals, tangents):
    x, _, curvature = primals
    return _slope(*primals), _curvature(x, curvature) @ tangents[0]


@_curvature.defjvp
def _(primals, tangents):
    raise BadInput(
        "a Lyapunov function in inner products knows f, ∇f and ∇²f at one point: "
        "nothing here may differentiate ∇²f (a V with the Hessian in it, or the "
        "derivative of a model with the Hessian)."
    )


class Jet(Objective):
    """A loss known at one point x: f(x) - f*, ∇f(x) and ∇²f(x); x* = 0.

    Attributes:
        gap: f(x) - f*.
        slope: ∇f(x), shape [n].
        curvature: ∇²f(x), symmetric, shape [n, n].
    """

    facts: Facts
    gap: Float[Array, ""]
    slope: Float[Array, " n"]
    curvature: Float[Array, "n n"]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.slope.shape[0]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x) - f*, with derivative ∇f(x)·dx."""
        del batch
        return _level(x, self.gap, self.slope, self.curvature)

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """∇f(x), with derivative ∇²f(x) dx."""
        del batch
        return _slope(x, self.slope, self.curvature)


def jet(n: int) -> Jet:
    """A jet on R^n whose numbers are to be replaced by symbols (`symbols_like`)."""
    facts = Facts(
        minimiser=Fact(np.zeros(n), "the origin"), minimum=Fact(0.0, "the zero of f")
    )
    return Jet(facts, jnp.zeros(()), jnp.zeros(n), jnp.zeros((n, n)))
