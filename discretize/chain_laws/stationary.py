"""Leading eigenvectors of positive kernels: stationary and quasi-stationary laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from discretize.chain_laws.door import require_function
from discretize.chain_laws.panels import TO_LEGENDRE
from sde.quadrature import GAUSS, POINTS, values_at

_SOLVES = 6
_POLISH = 40
_ENOUGH = 1e-13


class StationaryLaw(NamedTuple):
    """The law that a chain keeps (conditioned on staying in the box, if it leaves).

    Attributes:
        nodes: shape [m].
        weights: of the quadrature, shape [m].
        density: p at the nodes, shape [m], of mass ∑ w p = 1.
        leak: probability a step to leave the box.
        residual: ∫ |p⁺ - (1 - leak) p| after one more step.
        rounding: machine epsilon times the condition number of the linear solve: the
            relative error that rounding may have caused. It is large where the chain
            is metastable.
        kind: "stationary", or "quasi-stationary" on the box.
    """

    nodes: np.ndarray
    weights: np.ndarray
    density: np.ndarray
    leak: float
    residual: float
    rounding: float
    kind: str

    def expect(self, f: Callable[[np.ndarray], Any]) -> float:
        """∫ f p, for a function f of arrays of positions."""
        require_function("f, of an array of positions,", f)
        return float(self.weights @ (values_at(f, self.nodes) * self.density))

    def cdf(self, x: Any) -> Any:
        """The mass left of x, by the panels' polynomials; the shape of x."""
        x = np.asarray(x, float)
        half = self.weights.reshape(-1, POINTS).sum(axis=1) / 2
        left = self.nodes[::POINTS] - half * (1 + GAUSS[0])
        k = np.clip(np.searchsorted(left, x, side="right") - 1, 0, left.size - 1)
        u = np.clip((x - left[k]) / half[k] - 1, -1.0, 1.0)
        panels = self.density.reshape(-1, POINTS)
        series = panels @ TO_LEGENDRE.T
        whole = np.sum((self.weights * self.density).reshape(panels.shape), axis=1)
        before = np.concatenate([[0.0], np.cumsum(whole)])
        part = half[k] * np.sum(_integrals(u) * series[k], axis=-1)
        return before[k] + part

    def probability(self, low: float, high: float = np.inf) -> float:
        """The mass of [low, high]."""
        return float(np.diff(self.cdf([low, high]))[0])

    def __repr__(self) -> str:
        return (
            f"<{self.kind} law on [{self.nodes[0]:.4g}, {self.nodes[-1]:.4g}]: "
            f"{self.nodes.size} nodes, leak {self.leak:.3g} a step, residual "
            f"{self.residual:.2g}, rounding {self.rounding:.2g}>"
        )


def leading(
    matrix: Any, nodes: np.ndarray, weights: np.ndarray, leaving: np.ndarray
) -> StationaryLaw:
    """The eigenvector of largest eigenvalue 1 - leak of p ↦ ∫ k(·|x) p(x) dx.

    Inverse iteration with the shift 1 (one bordered linear solve, exact where no mass
    leaves), repeated with a better shift where mass does leave; then a few steps of
    the chain itself, whose sums of positive terms give the tails their relative digits.

    Args:
        matrix: k(x_i | x_j), dense or sparse, shape [m, m].
        nodes: shape [m].
        weights: shape [m].
        leaving: probability to leave the box from each node, shape [m].
    """
    p = matrix @ weights / np.sum(weights)
    leak, residual, rounding = 0.0, np.inf, np.inf
    for _ in range(_SOLVES):
        solution, condition = _bordered(matrix, weights, 1 - leak, p)
        q = np.abs(solution)
        q = q / (weights @ q)
        found = float(weights @ (q * leaving))
        moved = matrix @ (weights * q)
        defect = float(weights @ np.abs(moved - (1 - found) * q))
        if defect >= residual / 2:
            break
        p, leak, residual = q, found, defect
        rounding = np.finfo(float).eps * condition
        if residual < _ENOUGH:
            break
    for _ in range(_POLISH):
        p = matrix @ (weights * p)
        p = p / (weights @ p)
    leak = float(weights @ (p * leaving))
    after = matrix @ (weights * p)
    residual = float(weights @ np.abs(after - (1 - leak) * p))
    return StationaryLaw(nodes, weights, p, leak, residual, rounding, "")


def _integrals(u: np.ndarray) -> np.ndarray:
    """∫_{-1}^u of the Legendre polynomials of degree 0 to 15, shape [..., 16]."""
    p = np.polynomial.legendre.legvander(u, POINTS)
    n = np.arange(1, POINTS)
    rest = (p[..., 2:] - p[..., :-2]) / (2 * n + 1)
    return np.concatenate([u[..., None] + 1, rest], axis=-1)


def _bordered(matrix, weights, shift, border) -> tuple[np.ndarray, float]:
    """Solve (K - shift) p ∝ border with ∑ w p = 1; also the system's condition."""
    from scipy.sparse import issparse, linalg

    sparse_algebra: Any = linalg  # its stubs do not know these signatures

    n = weights.size
    whole = _sparse if issparse(matrix) else _dense
    norm, solve = whole(matrix, weights, shift, border)
    last = np.zeros(n + 1)
    last[n] = 1.0
    solution = solve(last, False)
    inverse = sparse_algebra.LinearOperator(
        (n + 1, n + 1),
        matvec=lambda v: solve(np.ravel(v), False),
        rmatvec=lambda v: solve(np.ravel(v), True),
        dtype=float,
    )
    return solution[:n], norm * float(sparse_algebra.onenormest(inverse))


def _dense(matrix, weights, shift, border):
    from scipy.linalg import lu_factor, lu_solve

    n = weights.size
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = matrix
    system[:n, :n] *= weights
    system[np.arange(n), np.arange(n)] -= shift
    system[:n, n], system[n, :n] = -border, weights
    norm = float(np.abs(system).sum(axis=0).max())
    factors = lu_factor(system, overwrite_a=True, check_finite=False)
    return norm, lambda v, transposed: lu_solve(factors, v, trans=int(transposed))


def _sparse(matrix, weights, shift, border):
    from scipy import sparse
    from scipy.sparse.linalg import splu

    n = weights.size
    inner = matrix @ sparse.diags_array(weights) - shift * sparse.eye_array(n)
    system = sparse.block_array(
        [[inner, -border[:, None]], [weights[None, :], None]], format="csc"
    )
    norm = float(abs(system).sum(axis=0).max())
    factors = splu(system)
    return norm, lambda v, transposed: factors.solve(v, "T" if transposed else "N")
