"""Small problems with exact facts."""

from __future__ import annotations

import itertools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.objective import (
    Fact,
    Facts,
    Objective,
    SympyObjective,
    from_sympy,
)


class TaylorPolynomial(Objective):
    """f(x) = Σ_α c_α x^α over monomials of degree 1 to d (see `taylor_polynomial`).

    With symbols for coefficients it is the generic smooth loss to order d at 0: an
    identity between its derivatives there, up to order d, holds for every loss.

    Attributes:
        exponents: the α, each a tuple of n exponents.
        coefficients: c_α in the same order, shape [monomials].
    """

    facts: Facts
    exponents: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    coefficients: Float[Array, " monomials"]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return len(self.exponents[0])

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """Σ_α c_α x^α."""
        del batch
        total = jnp.zeros((), x.dtype)
        for k, alpha in enumerate(self.exponents):
            term = self.coefficients[k]
            for i, power in enumerate(alpha):
                term = term * x[i] ** power if power else term
            total = total + term
        return total


def taylor_polynomial(
    n: int, degree: int, coefficients: Any = None
) -> TaylorPolynomial:
    """A polynomial loss in n variables with one coefficient a monomial.

    Args:
        n: number of coordinates.
        degree: largest degree d; monomials have degree 1 to d.
        coefficients: shape [monomials], in order of degree, then of exponents
            (default: all 0, for `flows.symbols_like` to fill).

    Raises:
        BadInput: n or degree below 1, or a wrong number of coefficients.
    """
    if n < 1 or degree < 1:
        raise BadInput(f"n and degree are at least 1; got {n} and {degree}.")
    exponents = sorted(
        (a for a in itertools.product(range(degree + 1), repeat=n) if sum(a)),
        key=lambda a: (sum(a), a[::-1]),
    )
    exponents = tuple(a for a in exponents if sum(a) <= degree)
    values = np.zeros(len(exponents)) if coefficients is None else coefficients
    values = jnp.asarray(values, jnp.asarray(0.0).dtype)
    if values.shape != (len(exponents),):
        raise BadInput(f"{len(exponents)} coefficients, not shape {values.shape}.")
    return TaylorPolynomial(Facts(), exponents, values)


def double_well(height: float = 0.25) -> SympyObjective:
    """f(x) = height (x² - 1)², with minima at ±1 and a barrier of `height` at 0.

    Facts: minimum 0 at x = 1 (and -1); no global Lipschitz constant of the gradient.
    """
    import sympy

    x, a = sympy.symbols("x a", real=True)
    facts = Facts(minimiser=Fact(np.array([1.0]), "f = 0"), minimum=Fact(0.0, "f >= 0"))
    return from_sympy(a * (x**2 - 1) ** 2, [x], {a: height}, facts=facts)


def wavy() -> SympyObjective:
    """F = x²/2 + (xy - 1)²/4 + sin(y)/3 + x²y/5: nothing in it vanishes by accident.

    A smooth two-dimensional loss whose second and third derivatives are all active near
    (1.2, 0.8), but for ∂³f/∂x³ = 0; for orders of convergence. No facts are known.
    """
    import sympy

    x, y = sympy.symbols("x y", real=True)
    third, fifth = sympy.Rational(1, 3), sympy.Rational(1, 5)
    f = x**2 / 2 + (x * y - 1) ** 2 / 4 + sympy.sin(y) * third + x**2 * y * fifth
    return from_sympy(f, [x, y])
