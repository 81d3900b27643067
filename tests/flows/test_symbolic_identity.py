"""Identities: proofs, rigorous refutations, and honest indecision."""

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import BadInput
from flows.symbolic import equal_symbolically, symbol_vector, symbolically
from flows.symbolic.intervals import Enclosures, NoEnclosure

X, Y = sp.symbols("x y", real=True)
A, B, H, T1, T2 = sp.symbols("a b h tau1 tau2", positive=True)
HALF = sp.Rational(1, 2)

TRUE = {
    "binomial": ((X + Y) ** 3, X**3 + 3 * X**2 * Y + 3 * X * Y**2 + Y**3),
    "partial fractions": (1 / (X * (X + 1)), 1 / X - 1 / (X + 1)),
    "root of a square": (sp.sqrt(X**2 * A), sp.Abs(X) * sp.sqrt(A)),
    "root squared": (sp.sqrt(X**2 + A) ** 4, (X**2 + A) ** 2),
    "rationalised": (1 / (sp.sqrt(A) + 1), (sp.sqrt(A) - 1) / (A - 1)),
    "different roots": (sp.cbrt(A) * sp.sqrt(A), A ** sp.Rational(5, 6)),
    "numeric roots": (sp.sqrt(2) * sp.sqrt(3) * sp.sqrt(5), sp.sqrt(30)),
    "exponents": (
        sp.exp(H / T1) * sp.exp(H / T2),
        sp.exp(H * (T1 + T2) / (T1 * T2)),
    ),
    "half steps": (sp.exp(-H / 2) ** 2, sp.exp(-H)),
    "root of 1 - exp": (
        sp.sqrt((1 - sp.exp(-H)) * A),
        sp.sqrt(1 - sp.exp(-H)) * sp.sqrt(A),
    ),
    "powers": (B ** (X + 1), B * B**X),
    "logarithms": (sp.log(A * B**2), sp.log(A) + 2 * sp.log(B)),
    "tanh": (sp.tanh(2 * X), 2 * sp.tanh(X) / (1 + sp.tanh(X) ** 2)),
    "sech": (1 - sp.tanh(X) ** 2, 1 / sp.cosh(X) ** 2),
    "sine": (sp.sin(X + Y), sp.sin(X) * sp.cos(Y) + sp.cos(X) * sp.sin(Y)),
    "odd sine": (sp.sin(X - Y) + sp.sin(Y - X), 0),
    "maximum": (sp.Max(X, Y) * sp.Min(X, Y), X * Y),
    "relu": (sp.Piecewise((X, X > 0), (0, True)), sp.Max(X, 0)),
    "modulus by cases": (sp.Piecewise((X, X >= 0), (-X, True)), sp.Abs(X)),
    "sign": (X * sp.sign(X), sp.Abs(X)),
    "inner argument": (sp.erf((X**2 - 1) / (X - 1)), sp.erf(X + 1)),
}

FALSE = {
    "root of a square": (sp.sqrt(X**2), X),
    "small difference": (X**2 + sp.Rational(1, 10**12), X**2),
    "missing term": ((X + Y) ** 2, X**2 + Y**2),
    "eps inside": (1 / (sp.sqrt(A) + B), 1 / sp.sqrt(A + B**2)),
    "exponent": (sp.exp(H / T1) * sp.exp(H / T2), sp.exp(H / (T1 + T2))),
    "arctan": (sp.atan(X) + sp.atan(1 / X), sp.pi / 2),
    "error function": (sp.erf(X), sp.tanh(X)),
    "branch": (sp.Piecewise((X, X > 0), (0, True)), X),
    "sinh": (sp.sinh(X), sp.cosh(X)),
}

# True, but beyond the normal form: indecision is the honest answer.
OPEN = {
    "recurrence of gamma": (sp.gamma(A + 1), A * sp.gamma(A)),
    "arctan of positives": (sp.atan(A) + sp.atan(1 / A), sp.pi / 2),
    "nested roots": (sp.sqrt(2 + sp.sqrt(3)), (sp.sqrt(6) + sp.sqrt(2)) / 2),
}


@pytest.mark.parametrize("name", TRUE)
def test_true_identities_are_proved(name):
    result = equal_symbolically(*TRUE[name])
    assert result.status == "proved", result.remainder
    assert result.witness is None


@pytest.mark.parametrize("name", FALSE)
def test_false_identities_are_refuted_with_a_witness(name):
    a, b = FALSE[name]
    result = equal_symbolically(a, b)
    assert result.status == "refuted"
    low, high = result.gap
    assert low * high > 0
    at_witness = float((a - b).subs(result.witness).evalf(30))
    assert low <= at_witness <= high


@pytest.mark.parametrize("name", OPEN)
def test_indecision_is_said(name):
    result = equal_symbolically(*OPEN[name])
    assert result.status == "undecided"
    assert result.points == 20


def test_witnesses_respect_the_hypotheses():
    # False only for negative values: a positive symbol gives a proof.
    assert equal_symbolically(sp.Abs(A), A).proved
    refuted = equal_symbolically(sp.Abs(X), X)
    assert refuted.witness[X] < 0


def test_trees_and_arrays_are_compared_entry_by_entry():
    x = symbol_vector("x", 2)
    left = symbolically(lambda x: {"f": jnp.sum(x) ** 2, "g": 2 * x}, x)
    right = {"f": sp.expand((x[0] + x[1]) ** 2), "g": x + x}
    assert equal_symbolically(left, right).proved
    right["g"] = np.array([2 * x[0], 3 * x[1]], dtype=object)
    assert equal_symbolically(left, right).status == "refuted"


def test_conditions_are_compared():
    assert equal_symbolically(sp.Gt(X, Y), sp.Gt(X, Y)).proved
    assert equal_symbolically(sp.Gt(X, Y), sp.Lt(X, Y)).status == "refuted"


def test_bad_sides_are_refused():
    with pytest.raises(BadInput, match="structure"):
        equal_symbolically([X], [X, Y])
    with pytest.raises(BadInput, match="exact"):
        equal_symbolically(X, np.pi)
    with pytest.raises(BadInput, match="condition"):
        equal_symbolically(X, sp.Gt(X, Y))
    with pytest.raises(BadInput, match="samples"):
        equal_symbolically(X, X, samples=0)


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_a_perturbed_identity_is_never_proved(p, q, r):
    a = (p * X + q * Y) ** 2 / r
    b = sp.expand(a)
    assert equal_symbolically(a, b).proved
    assert equal_symbolically(a, b + X * sp.Rational(1, 10**9)).status == "refuted"


# -- enclosures ------------------------------------------------------------------------

VALUES = [
    sp.atan(sp.Rational(7, 3)),
    sp.erf(sp.Rational(5, 4)),
    sp.erfc(-2),
    sp.tanh(sp.Rational(-3, 2)),
    sp.sqrt(2) ** sp.sqrt(3),
    sp.tan(1),
    sp.log(3) - sp.cosh(1) + sp.sinh(2),
    sp.Max(sp.sqrt(2), sp.Rational(3, 2)) + sp.Min(sp.pi, 3),
    sp.floor(10 * sp.pi, evaluate=False) + sp.ceiling(sp.E * 10, evaluate=False),
    sp.Piecewise((1, sp.Lt(sp.pi, 3, evaluate=False)), (sp.E, True)),
    sp.sign(sp.sin(4)) + sp.Abs(sp.cos(3)),
]


@pytest.mark.parametrize("value", VALUES)
def test_enclosures_hold_the_value_tightly(value):
    enclose = Enclosures()
    ball = enclose(value)
    exact = sp.N(value, 70)
    low = sp.Rational(*map(int, _ratio(ball.a)))
    high = sp.Rational(*map(int, _ratio(ball.b)))
    assert low <= exact <= high
    assert high - low < sp.Rational(1, 10**50)


def _ratio(end):
    sign, mantissa, exponent, _ = end._mpi_[0]
    mantissa = -int(mantissa) if sign else int(mantissa)
    return (mantissa * 2**exponent, 1) if exponent >= 0 else (mantissa, 2**-exponent)


@pytest.mark.parametrize(
    "undefined", [sp.log(X), sp.sqrt(X), 1 / (X + 1), sp.gamma(X), sp.erf(9 * X)]
)
def test_what_cannot_be_enclosed_is_refused(undefined):
    with pytest.raises(NoEnclosure):
        Enclosures()(undefined, {X: -1})
