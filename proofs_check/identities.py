"""Identities of traced expressions as evidence: two sides, or what is left over."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.errors import BadInput
from flows.symbolic import equal_symbolically
from proofs_check import decide
from proofs_check.evidence import Evidence


def identical(left: Any, right: Any, name: str, **about: Any) -> Evidence:
    """Whether two sides are equal for every value of their symbols.

    Args:
        left: a tree of expressions or numbers.
        right: a tree of the same structure and shapes.
        name: the identity, for the record.
        **about: see `decide.identity`.

    Raises:
        BadInput: the trees differ in structure or shape.
    """
    return decide.identity(equal_symbolically(left, right), name=name, **about)


def vanishing(expressions: Any, name: str, **about: Any) -> Evidence:
    """Whether all expressions of an array or a list are 0, whatever their symbols.

    Args:
        expressions: one, or a list or array of them.
        name: what they are, for the record.
        **about: see `decide.identity`.

    Raises:
        BadInput: no expression at all, of which everything would be true.
    """
    found = np.ravel(np.asarray(expressions, dtype=object))
    if not found.size:
        raise BadInput(f"{name}: there is no expression to look at.")
    return identical(found, np.zeros(found.shape, int).astype(object), name, **about)
