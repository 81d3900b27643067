"""Gauss-Legendre panels: a quadrature rule between each two of some edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from flows.door import as_floats
from flows.errors import BadInput

POINTS = 16
"""Nodes a panel."""
GAUSS, WEIGHTS = np.polynomial.legendre.leggauss(POINTS)


class Panels(NamedTuple):
    """A quadrature rule on [a, b].

    Attributes:
        nodes: shape [m], increasing.
        weights: shape [m], positive, of sum b - a.
        edges: of the panels, shape [m/16 + 1].
    """

    nodes: np.ndarray
    weights: np.ndarray
    edges: np.ndarray


def values_at(f: Callable[[np.ndarray], Any], nodes: np.ndarray) -> np.ndarray:
    """The values of f at all nodes, shape [m]; a plain number stands for all of them.

    Args:
        f: function of all positions at once, [m] in one dimension, else [m, n].
        nodes: the positions.

    Raises:
        BadInput: values of another shape.
    """
    m = nodes.shape[:1]
    given = f(nodes)
    values = as_floats("f(positions)", given)
    # A plain number is a constant; an array of shape [] is one entry of the positions.
    constant = isinstance(given, int | float) and not isinstance(given, np.generic)
    if values.shape != m and not constant:
        raise BadInput(
            f"f takes all positions at once, an array of shape {list(nodes.shape)}, "
            f"and gives one value each, shape {list(m)}; got {list(values.shape)}."
        )
    return np.broadcast_to(values, m)


def rule(edges: np.ndarray) -> Panels:
    """Sixteen Gauss-Legendre nodes between each two edges."""
    left, right = edges[:-1], edges[1:]
    weights = (right - left)[:, None] / 2 * WEIGHTS
    return Panels(nodes_between(left, right).ravel(), weights.ravel(), edges)


def nodes_between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The nodes of each panel [left, right], shape [panels, 16]."""
    return (left + right)[:, None] / 2 + (right - left)[:, None] / 2 * GAUSS
