"""The deep linear network of width one, ½ (w_1 ⋯ w_N - A)², and its exact flow."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.dynamics import parameter
from flows.errors import BadInput
from flows.objective import Fact, Facts, stated
from flows.problems.closed_form import SolvedObjective, require_position, require_time
from flows.types import Scalar, is_traced

MOST_STEPS = 200
"""Newton steps at most; about log(A/s(0)) of them are needed."""


class ScalarProduct(SolvedObjective):
    """f(w) = ½ (w_1 ⋯ w_N - A)² (see `scalar_product`).

    Attributes:
        layers: N.
        target: A.
    """

    facts: Facts
    layers: int = eqx.field(static=True)
    target: Float[Array, ""] = eqx.field(converter=parameter, metadata={"symbol": "A"})

    @property
    def size(self) -> int:
        """Number N of layers."""
        return self.layers

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """½ (w_1 ⋯ w_N - A)²."""
        del batch
        require_position(self, x)
        return 0.5 * (_product(x) - self.target) ** 2

    def gradient_flow_map(self, t: Scalar, x0: Float[Array, " n"]) -> Any:
        r"""Every layer times (s(t)/s(0))^{1/N}, s the product, from a balanced start.

        The product moves by s' = N s^{2-2/N} (A - s). In z = A/s - 1 it reads
        z' = -N A^{2-2/N} (1 + z)^{2/N-1} z, so that z(t) = z(0) e^{-θ} where

            N A^{2-2/N} t = ∫_0^θ (1 + z(0) e^{-φ})^{1-2/N} dφ
                          = θ + H(z(0)) - H(z(0) e^{-θ}).

        Two layers: θ = 2At, the logistic curve. More: H is a sum of logarithms over the
        N-th roots of unity, and θ the root of a monotone equation, by Newton's method.
        Derivatives follow from the equation of s itself.

        Args:
            t: time >= 0, in units of 1/curvature.
            x0: a balanced start, |w_1| = ... = |w_N| to rounding, whose product is not
                0 and has the sign of A.

        Raises:
            BadInput: another start.
        """
        require_time(t)
        require_position(self, x0)
        size = jnp.abs(x0)
        spread = jnp.max(size) - jnp.min(size)
        balanced = spread <= 64 * jnp.finfo(x0.dtype).eps * jnp.max(size)
        s0 = _product(x0)
        covered = balanced & (s0 * self.target > 0)
        if not is_traced(covered) and not covered:
            raise BadInput(
                "the closed form starts from balanced layers, |w_1| = ... = |w_N|, "
                "whose product is not 0 and has the sign of the target "
                f"{float(self.target):g}; got {np.asarray(x0)}."
            )
        product = jnp.abs(s0)
        end = product_flow(self.layers)(
            jnp.asarray(t, x0.dtype), product, jnp.abs(self.target)
        )
        moved = x0 * (end / product) ** (1 / self.layers)
        return jnp.where(covered, moved, jnp.nan)


def _product(x):
    # One factor after another: jnp.prod has no derivative that traces into symbols.
    total = x[0]
    for k in range(1, x.shape[0]):
        total = total * x[k]
    return total


def _antiderivative(n: int, z):
    """H of `ScalarProduct.gradient_flow_map`, by x = (1 + z)^{-1/N} = (s/A)^{1/N}.

    H = N x^{2-N}/(N-2) + N log x + Σ_{ω ≠ 1} (ω² - 1) log(1 - x/ω) over ω^N = 1.
    """
    x = (1 + z) ** (-1 / n)
    total = n * x ** (2 - n) / (n - 2) + n * jnp.log(x)
    for k in range(1, n):
        angle = 2 * np.pi * k / n
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        # The real part of (ω² - 1) log(1 - x ω̄); roots come in conjugate pairs.
        log_size = 0.5 * jnp.log1p(x * (x - 2 * cos))
        phase = jnp.arctan2(x * sin, 1 - x * cos)
        real, imaginary = float(np.cos(2 * angle)) - 1, float(np.sin(2 * angle))
        total = total + real * log_size - imaginary * phase
    return total


def product_flow(n: int) -> Any:
    """The function (t, s0, A) ↦ s(t) of s' = N s^{2-2/N} (A - s), for s0, A > 0.

    Args:
        n: number N >= 2 of layers.

    Returns:
        A jax function of scalars, differentiable in t, s0 and A.
    """

    def angle(t, s0, a):
        """θ with z(t) = z(0) e^{-θ}."""
        z0 = a / s0 - 1
        tau = n * a ** (2 - 2 / n) * t
        if n == 2:
            return tau
        power = 1 - 2 / n
        at_start = _antiderivative(n, z0)

        def step(loop):
            k, theta, _ = loop
            z = z0 * jnp.exp(-theta)
            excess = theta + at_start - _antiderivative(n, z) - tau
            move = excess / (1 + z) ** power
            return k + 1, theta - move, jnp.abs(move)

        def unfinished(loop):
            k, theta, move = loop
            tolerance = 2 * jnp.finfo(theta.dtype).eps * (1 + theta)
            return (k < MOST_STEPS) & (move > tolerance)

        # From this end of the bracket Newton's steps all go one way.
        first = tau * (1 + z0) ** (-power)
        start = (jnp.asarray(0), first, jnp.full_like(first, jnp.inf))
        return jax.lax.while_loop(unfinished, step, start)[1]

    def speed(s, a):
        return n * s ** (2 - 2 / n) * (a - s)

    @jax.custom_jvp
    def flow(t, s0, a):
        return a / (1 + (a / s0 - 1) * jnp.exp(-angle(t, s0, a)))

    @flow.defjvp
    def _(primals, tangents):
        t, s0, a = primals
        dt, ds0, da = tangents
        s = flow(t, s0, a)
        # s = A σ(A^{2-2/N} t, s0/A): the derivative in A follows from the scaling, and
        # ∂s/∂s0 = v(s)/v(s0), whose limit at the fixed point is e^{-θ} at z0 = 0.
        power = 2 - 2 / n
        decay = jnp.exp(-angle(t, s0, a)) * (s / s0) ** (power + 1)
        in_t = speed(s, a)
        in_a = (s - decay * s0 + power * t * in_t) / a
        return s, in_t * dt + decay * ds0 + in_a * da

    return flow


def scalar_product(layers: int = 2, target: Scalar = 1.0) -> ScalarProduct:
    """f(w) = ½ (w_1 ⋯ w_N - A)², a deep linear network of width one.

    Facts: minimum 0, wherever the product is A; such a minimiser is |A|^{1/N} in every
    layer, the first with the sign of A. No global L for N >= 2.

    Args:
        layers: N >= 2.
        target: A.

    Raises:
        BadInput: fewer than two layers, or a target that is not finite.
    """
    if layers < 2:
        raise BadInput(f"a product has N >= 2 layers; got {layers}.")
    a = float(np.asarray(target))
    if not np.isfinite(a):
        raise BadInput(f"the target is a finite number; got {target}.")
    point = np.full(layers, abs(a) ** (1 / layers))
    point[0] *= np.sign(a) if a else 1.0
    facts = Facts(
        minimiser=Fact(point, "the product is A there; one of many"),
        minimum=Fact(0.0, "a square"),
    )
    return ScalarProduct(stated(facts), int(layers), parameter(target))
