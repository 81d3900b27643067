"""When all roots of a polynomial lie inside the unit circle: Jury's conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flows import BadInput

MAX_DEGREE = 4


def jury_conditions(coefficients: Sequence[Any]) -> list[Any]:
    r"""Expressions that are all positive exactly where every root has modulus < 1.

    For p(z) = a_n z^n + ... + a_0 with a_n > 0 these are

        p(1) > 0,   (-1)^n p(-1) > 0,

    and a_k - a_0 > 0, a_k + a_0 > 0 for p and for the reduced polynomials

        p₋(z) = (a_k p(z) - a_0 p*(z)) / z,   p*(z) = z^k p(1/z),

    down to degree 2 (degree 1 is settled by p(±1), since p₋(1) = (a_k - a_0) p(1) and
    p₋(-1) = -(a_k - (-1)^k a_0) p(-1)).

    Reference: Jury, "Theory and Application of the z-Transform Method" (1964), ch. 3;
    Elaydi, "An Introduction to Difference Equations" (3rd ed., 2005), section 5.1.

    Args:
        coefficients: a_n, ..., a_0, highest power first; numbers or sympy expressions,
            of degree 1 to 4, with a_n > 0.

    Returns:
        The conditions, p(1) first and (-1)^n p(-1) second. Numbers stay numbers of
        their own type.

    Raises:
        BadInput: a degree outside 1..4, or a leading coefficient known not to be > 0.
    """
    a = list(coefficients)
    n = len(a) - 1
    if not 1 <= n <= MAX_DEGREE:
        raise BadInput(
            f"Jury's conditions are written out for degrees 1 to {MAX_DEGREE}; this "
            f"polynomial has degree {n}."
        )
    if (a[0] > 0) == False:  # noqa: E712 - a relation of symbols is neither
        raise BadInput(f"the leading coefficient must be positive, not {a[0]}.")
    alternating = [c if k % 2 == 0 else -c for k, c in enumerate(a)]
    conditions = [sum(a[1:], a[0]), sum(alternating[1:], a[0])]
    while n >= 2:
        lead, last = a[0], a[-1]
        conditions += [lead - last, lead + last]
        # p* has the coefficients of p in reverse order; its z^n term is a_0.
        reduced = [lead * c - last * r for c, r in zip(a, reversed(a), strict=True)]
        a = reduced[:-1]
        n -= 1
    return conditions


def spectral_radius(coefficients: Sequence[float]) -> float:
    """The largest modulus of a root, from the eigenvalues of the companion matrix.

    Args:
        coefficients: a_n, ..., a_0, highest power first; numbers with a_n not 0.

    Raises:
        BadInput: a non-finite coefficient, or a_n = 0.
    """
    a = np.asarray([float(c) for c in coefficients])
    if a.size < 2 or not np.all(np.isfinite(a)) or a[0] == 0:
        raise BadInput(
            "a polynomial needs finite coefficients, degree at least 1 and a leading "
            f"coefficient that is not 0; got {a}."
        )
    return float(np.max(np.abs(np.roots(a)), initial=0.0))


def is_stable(coefficients: Sequence[float]) -> bool:
    """Whether all roots have modulus < 1, by Jury's conditions on numbers."""
    return all(c > 0 for c in jury_conditions(coefficients))
