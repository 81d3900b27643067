"""Floats to rationals: round trips, simplicity, and what is called exact."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.symbolic.rational import (
    rationalise,
    rounding_interval,
    simplest_between,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
finite32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
small = st.fractions(min_value=Fraction(1, 50), max_value=50, max_denominator=400)


@given(finite)
def test_rounds_back_in_float64(x):
    fraction, _ = rationalise(x)
    assert float(fraction) == x


@given(finite32)
def test_rounds_back_in_float32(x):
    fraction, _ = rationalise(x, "float32")
    # In the open rounding interval, or the float itself.
    if fraction != Fraction(x):
        low, high = rounding_interval(abs(Fraction(x)), "float32")
        assert low < abs(fraction) < high


@given(finite.filter(lambda x: x > 0))
def test_rounding_interval_is_that_of_the_float(x):
    low, high = rounding_interval(Fraction(x), "float64")
    up = math.nextafter(x, math.inf)
    if math.isfinite(up):
        assert high == (Fraction(x) + Fraction(up)) / 2
    assert low == (Fraction(x) + Fraction(math.nextafter(x, 0.0))) / 2


@given(st.fractions(max_denominator=1000, min_value=-1000, max_value=1000))
def test_simple_fractions_are_recovered(q):
    assert rationalise(float(q)) == (q, True)


@given(st.integers(-(2**53), 2**53))
def test_integers_are_exact(n):
    assert rationalise(float(n)) == (Fraction(n), True)


@given(st.integers(1, 999), st.integers(-20, 20))
def test_short_decimals_are_exact(digits, exponent):
    text = f"{digits}e{exponent}"
    fraction, exact = rationalise(float(text))
    assert exact
    assert fraction == Fraction(text)


@given(small, small)
def test_simplest_is_of_least_denominator(a, b):
    low, high = min(a, b), max(a, b)
    if low == high:
        return
    found = simplest_between(low, high)
    assert low < found < high
    for q in range(1, found.denominator):
        # No fraction p/q lies strictly between.
        p = (low.numerator * q) // low.denominator + 1
        assert Fraction(p, q) >= high


@pytest.mark.parametrize("value", [0.1, 0.999, 1e-8, 0.044715, 1 / 3, 0.05, 1e-3])
def test_usual_literals_in_both_precisions(value):
    expected = Fraction(1, 3) if value == 1 / 3 else Fraction(str(value))
    assert rationalise(value) == (expected, True)
    assert rationalise(float(np.float32(value)), "float32") == (expected, True)


@pytest.mark.parametrize("exponent", [-52, -300, 80])
def test_powers_of_two_are_exact(exponent):
    value = 2.0**exponent
    assert rationalise(value) == (Fraction(2) ** exponent, exponent < 53)
    assert not rationalise(value * 1.1)[1]


@pytest.mark.parametrize("value", [math.pi, math.sqrt(2), math.log(2), 0.1 + 0.2])
def test_irrational_literals_are_inexact_and_kept(value):
    assert rationalise(value) == (Fraction(value), False)


def test_random_floats_are_rarely_taken_for_simple_ones():
    """At most 40 of 4000 random floats may pass as exact.

    Each does with probability about 10^-3 (expected 4); a rate of 2 in a hundred
    would be caught with probability above 0.99; the false-alarm probability is below
    1e-20.
    """
    for dtype, kind in (("float64", np.float64), ("float32", np.float32)):
        values = np.random.default_rng(0).random(2000, dtype=kind)
        believed = sum(rationalise(float(v), dtype)[1] for v in values)
        assert believed <= 40
