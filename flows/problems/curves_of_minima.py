"""Valleys: losses whose minimisers form a curve, along which the curvature varies."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.objective import Fact, Facts, Objective, SympyObjective, from_sympy


def sine_valley() -> SympyObjective:
    """f(x, z) = (2 + sin z) x²/2: minimisers x = 0, of sharpness 2 + sin z.

    Facts: minimum 0 (f >= 0), attained on the whole line x = 0.
    """
    import sympy

    x, z = sympy.symbols("x z", real=True)
    facts = Facts(minimum=Fact(0.0, "f >= 0"))
    return from_sympy((2 + sympy.sin(z)) * x**2 / 2, [x, z], facts=facts)


class ScaleInvariant(Objective):
    r"""F(w) = f(w/|w|), invariant to the scale of w (see `scale_invariant`).

    ∇F(cw) = ∇F(w)/c and ⟨∇F(w), w⟩ = 0: each step of gradient descent lengthens w.

    Attributes:
        objective: f, of which only the values on the unit sphere matter.
    """

    facts: Facts
    objective: Objective

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return self.objective.size

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(w/|w|)."""
        return self.objective.value(x / jnp.sqrt(jnp.sum(x**2)), batch)


def scale_invariant(objective: Objective) -> ScaleInvariant:
    """The loss f(w/|w|) of a loss f, as of weights before a normalisation layer.

    Args:
        objective: f, of at least two variables.

    Raises:
        BadInput: one variable, whose sphere is two points.
    """
    if objective.size < 2:
        raise BadInput("a scale-invariant loss has at least two variables.")
    # a minimum over R^n need not be attained on the sphere: it stays a lower bound only
    return ScaleInvariant(Facts(), objective)


def spherical_valley() -> SympyObjective:
    r"""f(w) = e^{cos φ} θ₃²/2 with θ = w/|w| and φ = atan2(w₂, w₁): scale-invariant.

    On the unit sphere its minimisers are the circle θ₃ = 0, of sharpness e^{cos φ}:
    the flattest one is at φ = π.

    Facts: minimum 0 (f >= 0), attained on the plane w₃ = 0.
    """
    import sympy

    w: Any = sympy.symbols("w0:3", real=True)
    cosine = w[0] / sympy.sqrt(w[0] ** 2 + w[1] ** 2)
    square = sum(v**2 for v in w)
    facts = Facts(minimum=Fact(0.0, "f >= 0"))
    return from_sympy(sympy.exp(cosine) * w[2] ** 2 / (2 * square), w, facts=facts)
