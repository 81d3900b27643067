"""Stationary laws: ∫ L φ dπ = 0 for every monomial φ up to a degree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flows.dynamics import Dynamics, State
from flows.errors import BadInput
from flows.symbolic import IdentityResult, equal_symbolically
from sde.moments import Moment, generator_images

MomentFunction = Callable[[Moment], Any]
"""A law, known by its moments: `Moment` -> E_π[y^α] (or E_π[y^α 1{label = i}])."""


def stationarity_defects(
    dynamics: Dynamics, law: MomentFunction, degree: int, *, y: State
) -> dict[Moment, Any]:
    """∫ L φ dπ for every monomial φ up to a degree: all 0 where π is stationary.

    The moments need not close: L φ may be of any degree, as long as it is a
    polynomial.

    Args:
        dynamics: the model; it may hold symbols.
        law: the moments of π, as expressions (see `gaussian_law`,
            `two_state_law`).
        degree: highest total degree of φ.
        y: an example state, for its shapes.

    Returns:
        The expression ∫ L φ dπ for each φ.

    Raises:
        BadInput: L φ is no polynomial.
    """
    images = generator_images(dynamics, degree, y=y)
    return {
        phi: sum((c * law(target) for target, c in image.items()), start=0)
        for phi, image in images.items()
    }


def is_stationary(
    dynamics: Dynamics, law: MomentFunction, degree: int, *, y: State
) -> IdentityResult:
    """Decide ∫ L φ dπ = 0 for every monomial φ up to a degree.

    "proved" is proved for these φ and all values of the symbols; a law may pass up to
    one degree and fail above it. "refuted" comes with a witness.

    Args:
        dynamics: the model; it may hold symbols.
        law: the moments of π.
        degree: highest total degree of φ.
        y: an example state.

    Raises:
        BadInput: L φ is no polynomial.
    """
    import sympy

    defects = stationarity_defects(dynamics, law, degree, y=y)
    left = np.array([sympy.sympify(d) for d in defects.values()], dtype=object)
    return equal_symbolically(left, np.zeros(len(left), dtype=object) * sympy.S.Zero)


def gaussian_law(mean: Any, covariance: Any) -> MomentFunction:
    """The moments of a Gaussian law, by Isserlis' theorem.

    Args:
        mean: shape [n], numbers or expressions.
        covariance: shape [n, n], numbers or expressions.

    Raises:
        BadInput: shapes that do not fit.
    """
    mean, covariance = np.asarray(mean, object), np.asarray(covariance, object)
    n = mean.shape[0] if mean.ndim == 1 else -1
    if covariance.shape != (n, n):
        raise BadInput(
            "a Gaussian law takes a mean of shape [n] and a covariance of shape "
            f"[n, n]; got {mean.shape} and {covariance.shape}."
        )

    def moment(alpha: tuple[int, ...]) -> Any:
        if not sum(alpha):
            return 1
        k = next(i for i, a in enumerate(alpha) if a)
        rest = _less(alpha, k)
        out = mean[k] * moment(rest)
        for j, a in enumerate(rest):  # E[x_k g] = m_k E g + Σ_j C_kj E ∂_j g
            if a:
                out = out + a * covariance[k, j] * moment(_less(rest, j))
        return out

    return lambda m: moment(m.exponents)


def two_state_law(relaxation_rate: Any, curvature: Any) -> MomentFunction:
    """The stationary law of x' = -κ(x - a_I) with centres (1, -1), in moments.

    With b = r/(2κ) the density of (x, label ±) is ∝ (1 ± x)(1 - x²)^{b-1}, so that
    (x + 1)/2 ~ Beta(b, b), and E[x^k 1_±] = (M_k ± M_{k+1})/2 with
    M_{2m} = Π_{j<m} (1/2 + j)/(b + 1/2 + j), M_odd = 0. Label 0 is the centre +1.

    Args:
        relaxation_rate: r of the label (1/time); 2γ for "never_repeat".
        curvature: κ (1/time).
    """
    import sympy

    b = sympy.sympify(relaxation_rate) / (2 * sympy.sympify(curvature))

    def even(k: int) -> Any:
        if k % 2:
            return sympy.S.Zero
        half = sympy.Rational(1, 2)
        return sympy.prod([(half + j) / (b + half + j) for j in range(k // 2)])

    def moment(m: Moment) -> Any:
        (k,) = m.exponents
        sign = 1 if m.label == 0 else -1
        return (even(k) + sign * even(k + 1)) / 2

    return moment


def _less(alpha: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*alpha[:k], alpha[k] - 1, *alpha[k + 1 :])
