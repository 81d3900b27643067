"""Gauss-Legendre panels: a quadrature rule between each two of some edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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


def rule(edges: np.ndarray) -> Panels:
    """Sixteen Gauss-Legendre nodes between each two edges."""
    left, right = edges[:-1], edges[1:]
    weights = (right - left)[:, None] / 2 * WEIGHTS
    return Panels(nodes_between(left, right).ravel(), weights.ravel(), edges)


def nodes_between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The nodes of each panel [left, right], shape [panels, 16]."""
    return (left + right)[:, None] / 2 + (right - left)[:, None] / 2 * GAUSS
