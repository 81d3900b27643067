"""Ball arithmetic (Arb) for small matrices: every bound here is a proof."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from discretize.certificate.theorem import Number
from flows import BadInput

PRECISION = 128
"""Working precision in bits."""


@contextlib.contextmanager
def working() -> Iterator[Any]:
    """The module `flint` at our working precision.

    Raises:
        BadInput: python-flint is missing.
    """
    try:
        import flint
    except ImportError:
        raise BadInput(
            "rigorous bounds need ball arithmetic: pip install python-flint."
        ) from None
    with flint.ctx.workprec(PRECISION):  # pyright: ignore
        yield flint


def ball(value: Any) -> Any:
    """A ball that holds a Fraction, integer or float (its exact binary value)."""
    from flint import arb, fmpq

    if isinstance(value, Fraction):
        return arb(fmpq(value.numerator, value.denominator))
    return arb(value) if isinstance(value, int | arb) else arb(float(value))


def matrix(rows: Any) -> Any:
    """A matrix of balls, from Fractions or floats row by row."""
    from flint import arb_mat

    rows = [[ball(value) for value in row] for row in rows]
    return arb_mat(len(rows), len(rows[0]), [value for row in rows for value in row])


def _upper(x: Any) -> Any:
    return x.upper()  # exact


def _lower(x: Any) -> Any:
    return x.lower()


def _expm1(x: Any) -> Any:
    return x.expm1()


BALLS = Number(ball, _upper, _lower, _expm1)
"""Ball arithmetic for the theorem; upper and lower ends are exact numbers."""


def above(x: Any) -> float:
    """A float no smaller than any number of the ball.

    Raises:
        BadInput: the ball is unbounded.
    """
    return math.nextafter(_finite(x.upper()), math.inf)


def below(x: Any) -> float:
    """A float no larger than any number of the ball.

    Raises:
        BadInput: the ball is unbounded.
    """
    return math.nextafter(_finite(x.lower()), -math.inf)


def _finite(x: Any) -> float:
    if not x.is_finite():
        raise BadInput("a ball became unbounded: more cells, or a smaller step.")
    return float(x)


def frobenius(*matrices: Any) -> Any:
    """√(Σ |Mᵢ|²), Frobenius norms."""
    from flint import arb

    total = arb(0)
    for m in matrices:
        for entry in m.entries():
            total += entry * entry
    return total.nonnegative_part().sqrt()


def eigenvalue_bounds(symmetric: Any) -> tuple[float, float]:
    """Floats below the smallest and above the largest eigenvalue of a symmetric matrix.

    With V, Λ from floating point: the eigenvalues of VΛVᵀ are those of Λ times factors
    within |VᵀV - 1| of 1 (Ostrowski), and |A - VΛVᵀ| moves them no further (Weyl).
    """
    n = symmetric.nrows()
    a = np.array([[float(symmetric[i, j].mid()) for j in range(n)] for i in range(n)])
    values, vectors = np.linalg.eigh((a + a.T) / 2)
    v, scaled = matrix(vectors), matrix(vectors * values[None, :])
    identity = matrix(np.eye(n))
    skew = frobenius(v.transpose() * v - identity)
    rest = frobenius(symmetric - scaled * v.transpose())
    low, high = ball(values[0]), ball(values[-1])
    return (below(low - abs(low) * skew - rest), above(high + abs(high) * skew + rest))


def operator_norm(m: Any) -> Any:
    """A number no smaller than the spectral norm, by the eigenvalues of MᵀM."""
    return ball(max(eigenvalue_bounds(m.transpose() * m)[1], 0.0)).sqrt().upper()


def rational(value: Any) -> Fraction:
    """An exact rational: a Fraction, an integer, a sympy Rational, or text as "3/10".

    Raises:
        BadInput: a float, or no number: 0.3 is not 3/10.
    """
    exact = not isinstance(value, float | np.floating | bool)
    try:
        if exact and hasattr(value, "numerator"):
            return Fraction(int(value.numerator), int(value.denominator))
        if exact:
            return Fraction(str(value))
    except (ValueError, TypeError, ZeroDivisionError):
        pass
    raise BadInput(
        f'exact data are Fractions, integers or text such as "3/10"; got {value!r:.60}.'
    )


def rational_matrix(rows: Any) -> list[list[Fraction]]:
    """A matrix of exact rationals, from nested sequences.

    Raises:
        BadInput: floats, or rows of different lengths.
    """
    given = rows.tolist() if hasattr(rows, "tolist") else rows
    text = isinstance(given, str) or any(isinstance(row, str) for row in given)
    if not isinstance(given, Sequence) or not given or text:
        raise BadInput("an exact matrix is a sequence of rows of rationals.")
    out = [[rational(value) for value in row] for row in given]
    if len({len(row) for row in out}) != 1 or not out[0]:
        raise BadInput("rows of one length, at least 1.")
    return out
