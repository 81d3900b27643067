"""Small problems with exact facts."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.objective import Fact, Facts, Objective, SympyObjective, from_sympy


class Quadratic(Objective):
    """f(x) = ½ xᵀ A x, minimised at 0 (see `quadratic`).

    Attributes:
        matrix: A of shape [n, n], or its diagonal, of shape [n].
    """

    facts: Facts
    matrix: Float[Array, "..."]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.matrix.shape[0]

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """A x."""
        del batch
        return self.matrix @ x if self.matrix.ndim == 2 else self.matrix * x

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """½ xᵀ A x."""
        return 0.5 * jnp.sum(x * self.gradient(x, batch))


def quadratic(matrix: Any) -> Quadratic:
    """f(x) = ½ xᵀ A x, from a spectrum (shape [n]) or a matrix (shape [n, n]).

    Facts: L and μ are the largest and the smallest eigenvalue; minimiser 0, minimum 0
    where A is positive semi-definite.

    Raises:
        BadInput: a matrix that is not symmetric, or not finite.
    """
    a = np.asarray(matrix, float)
    square = a.ndim == 2 and a.shape[0] == a.shape[1] and np.array_equal(a, a.T)
    if not ((a.ndim == 1 or square) and a.size and np.all(np.isfinite(a))):
        raise BadInput("a spectrum of shape [n] or a symmetric matrix of shape [n, n].")
    eigenvalues = np.sort(a) if a.ndim == 1 else np.linalg.eigvalsh(a)
    by = "largest and smallest eigenvalue of A"
    bounded = eigenvalues[0] >= 0
    facts = Facts(
        smoothness=Fact(float(np.max(np.abs(eigenvalues))), by),
        strong_convexity=Fact(float(eigenvalues[0]), by) if bounded else None,
        minimiser=Fact(np.zeros(len(eigenvalues)), "∇f = A x") if bounded else None,
        minimum=Fact(0.0, "A is positive semi-definite") if bounded else None,
    )
    return Quadratic(facts, jnp.asarray(a))


def double_well(height: float = 0.25) -> SympyObjective:
    """f(x) = height (x² - 1)², with minima at ±1 and a barrier of `height` at 0.

    Facts: minimum 0 at x = 1 (and -1); no global Lipschitz constant of the gradient.
    """
    import sympy

    x, a = sympy.symbols("x a", real=True)
    facts = Facts(minimiser=Fact(np.array([1.0]), "f = 0"), minimum=Fact(0.0, "f >= 0"))
    return from_sympy(a * (x**2 - 1) ** 2, [x], {a: height}, facts=facts)


def two_layer_product(target: float = 1.0) -> SympyObjective:
    """f(a, b) = ½ (ab - target)², the smallest deep linear network.

    Balanced starts (a = b > 0) have the closed form, with s = ab and A = target,
    s(t) = A e^{2At} / (e^{2At} - 1 + A/s(0)).
    """
    import sympy

    a, b, target_ = sympy.symbols("a b A", real=True)
    facts = Facts(minimum=Fact(0.0, "a square"))
    return from_sympy((a * b - target_) ** 2 / 2, [a, b], {target_: target}, facts=facts)


def wavy() -> SympyObjective:
    """f = x²/2 + (xy - 1)²/4 + sin(y)/3 + x²y/5: nothing in it vanishes by accident.

    A smooth two-dimensional loss whose second and third derivatives are all active near
    (1.2, 0.8); for orders of convergence. No facts are known.
    """
    import sympy

    x, y = sympy.symbols("x y", real=True)
    third, fifth = sympy.Rational(1, 3), sympy.Rational(1, 5)
    f = x**2 / 2 + (x * y - 1) ** 2 / 4 + sympy.sin(y) * third + x**2 * y * fifth
    return from_sympy(f, [x, y])
