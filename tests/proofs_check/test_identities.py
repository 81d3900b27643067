"""Identities as evidence: proved, refuted with a witness, and never of nothing."""

import numpy as np
import pytest
import sympy as sp

from flows import BadInput
from proofs_check.identities import identical, vanishing

X = sp.Symbol("x", real=True)
SQUARE = (X + 1) ** 2


def test_two_sides_are_compared():
    assert identical(SQUARE, X**2 + 2 * X + 1, "square").measured == "proved"
    wrong = identical([SQUARE], [X**2 + 2 * X], "square", quantity="q")
    assert wrong.measured == "refuted" and "witness" in wrong.note
    assert wrong.quantity == "q"


@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_all_expressions_are_looked_at(shape):
    zero = np.full(shape, SQUARE - X**2 - 2 * X - 1, object)
    assert vanishing(zero, "0").measured == "proved"
    zero[(-1,) * len(shape)] = X / 1000
    assert vanishing(zero, "0").measured == "refuted"


def test_nothing_is_no_identity():
    with pytest.raises(BadInput, match="defect: there is no expression"):
        vanishing([], "defect")
