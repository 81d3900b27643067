"""Floats to rationals: the simplest fraction that rounds back to a float."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

_PRECISION = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
_LEAST_EXPONENT = {"float64": -1074, "float32": -149, "float16": -24, "bfloat16": -133}


def simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of least denominator in the open interval (low, high), low ≥ 0.

    A walk down the Stern-Brocot tree by continued fractions.
    """
    whole = low.numerator // low.denominator
    if whole + 1 < high:
        return Fraction(whole + 1)
    if low == whole:
        # (whole, high) with high ≤ whole + 1: whole + 1/k with the least k.
        gap = high - whole
        return whole + Fraction(1, gap.denominator // gap.numerator + 1)
    inner = simplest_between(1 / (high - whole), 1 / (low - whole))
    return whole + 1 / inner


def rounding_interval(x: Fraction, dtype: str) -> tuple[Fraction, Fraction]:
    """The open interval of reals that round to the float x > 0 of this dtype."""
    precision, least = _PRECISION[dtype], _LEAST_EXPONENT[dtype]
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    if Fraction(2) ** exponent > x:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - precision + 1, least)
    # Below a power of two the floats lie twice as dense.
    at_power = x == Fraction(2) ** exponent and exponent - precision + 1 > least
    return x - unit / (4 if at_power else 2), x + unit / 2


def _short_decimal(value: Any, precision: int) -> Fraction | None:
    """The decimal a person would have typed, where it is short; else None."""
    text = np.format_float_scientific(value, unique=True, trim="-")
    digits = len(text.split("e")[0].replace(".", "").lstrip("-"))
    short = int(precision * math.log10(2)) - 2
    return Fraction(text) if digits <= short else None


@lru_cache(maxsize=65536)
def _rationalise(value: float, dtype: str) -> tuple[Fraction, bool]:
    x = Fraction(value)
    precision = _PRECISION[dtype]
    if x.denominator == 1 and abs(x) <= 2**precision:
        return x, True
    if abs(x.numerator) == 1:  # a power of two, such as the machine epsilon
        return x, True
    low, high = rounding_interval(abs(x), dtype)
    candidate = simplest_between(max(low, Fraction(0)), high)
    # A random float has numerator * denominator near 2^precision; a thousandth of
    # that happens by chance for about one float in a thousand.
    if candidate.numerator * candidate.denominator <= 2**precision // 1000:
        return (candidate if value > 0 else -candidate), True
    scalar = np.dtype(dtype).type(value) if dtype != "bfloat16" else np.float64(value)
    decimal = _short_decimal(scalar, precision)
    return (decimal, True) if decimal is not None else (x, False)


def rationalise(value: float, dtype: str = "float64") -> tuple[Fraction, bool]:
    """The simplest rational that rounds to `value`, and whether it is to be believed.

    Integers and fractions of small height (numerator times denominator at most a
    thousandth of 2^precision) are taken as meant; so are powers of two and decimals
    of few digits (13 for float64, 5 for float32: 1e-8, 0.999). Any other float (√2, π,
    a random number) is kept as the dyadic fraction it is, and called inexact.

    Args:
        value: a finite float, representable in `dtype`.
        dtype: "float64", "float32", "float16" or "bfloat16".

    Returns:
        The fraction, and True where it is exact in the sense above.
    """
    return _rationalise(float(value), dtype)
