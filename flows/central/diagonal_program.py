"""The cheapest diagonal above a symmetric matrix: a barrier, then Newton on KKT."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

MARGIN = 1.05
GROWTH = 20.0
CENTRED = 0.05
NEAR = 0.3
HELD = 0.01
LAST = 1e20
RELATIVE_GAP = 1e-12
NEWTON_STEPS = 60
POLISHING_STEPS = 12


class Program(NamedTuple):
    r"""Minimise Σ c_i p_i + b_i/p_i over p >= 0 with 2 diag(p) - H ⪰ 0; c > 0, b >= 0.

    Attributes:
        hessian: H, shape [n, n].
        cost: c, shape [n].
        resistance: b, shape [n].
    """

    hessian: np.ndarray
    cost: np.ndarray
    resistance: np.ndarray

    def scaled(self, d: np.ndarray) -> Program:
        """The same program in q = p/d."""
        root = np.sqrt(d)
        return Program(
            self.hessian / np.outer(root, root), self.cost * d, self.resistance / d
        )

    def gap(self, p: np.ndarray) -> np.ndarray:
        """2 diag(p) - H."""
        return 2 * np.diag(p) - self.hessian

    def objective(self, p: np.ndarray) -> float:
        """Σ c p + b/p (0/0 is 0, as in the limit)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            second = np.where(self.resistance > 0, self.resistance / p, 0.0)
        return float(self.cost @ p + second.sum())

    def bound(self, z: np.ndarray) -> float:
        """A lower bound of the minimum from any Z ⪰ 0: the dual's value.

        inf_p of the Lagrangian is ⟨Z, H⟩ + 2 Σ √(b_i (c_i - 2 Z_ii)), once Z is
        small enough that no root is of a negative number.
        """
        diagonal = 2 * np.diag(z)
        shrink = max(1.0, float(np.max(diagonal / self.cost)))
        left = np.maximum(self.cost - diagonal / shrink, 0.0)
        inner = float(np.sum(z * self.hessian)) / shrink
        return inner + 2 * float(np.sqrt(self.resistance * left).sum())


class Optimum(NamedTuple):
    """A minimiser of a `Program`, with its multiplier Z = V M Vᵀ.

    Attributes:
        p: shape [n].
        vectors: V, a basis of the kernel of 2 diag(p) - H, shape [n, k].
        multiplier: M ⪰ 0, shape [k, k].
        relative_gap: (value - lower bound)/value, rigorous but for rounding.
        residual: largest violation of the conditions of Karush, Kuhn and Tucker, in
            units of the cost (stationarity, complementarity) and of p (feasibility).
    """

    p: np.ndarray
    vectors: np.ndarray
    multiplier: np.ndarray
    relative_gap: float
    residual: float


def minimise(program: Program) -> Optimum:
    """The minimiser: a barrier's path to a small gap, then Newton's method on KKT.

    The barrier -log det(2 diag(p) - H) - Σ log p is followed until the gap is 1e-12
    of the value; the kernel and the zero entries of p are read off there, and Newton's
    method on the conditions with their second-order term (Overton and Womersley, SIAM
    J. Matrix Anal. Appl. 1995) takes the rest of the digits. Cost O(n³) a step.
    """
    h, c, b = program
    start = MARGIN * (0.5 * np.abs(h).sum(axis=1) + np.sqrt(b / c))
    inside = program.scaled(start)
    q, t = _follow(inside, np.ones_like(start))
    return _polish(program, start * q, t)


def _inside(program: Program, q: np.ndarray) -> bool:
    """Whether 2 diag(q) - H is positive definite, and q > 0."""
    try:
        np.linalg.cholesky(program.gap(q))
    except np.linalg.LinAlgError:
        return False
    return bool(np.min(q) > 0)


def _barrier(program: Program, q: np.ndarray, t: float):
    """Value, gradient and Hessian of the centring problem; None outside the cone."""
    if np.min(q) <= 0:
        return None
    try:
        factor = scipy.linalg.cho_factor(program.gap(q), lower=True)
    except np.linalg.LinAlgError:
        return None
    b = program.resistance
    logdet = 2 * np.log(np.diag(factor[0])).sum()
    value = t * program.objective(q) - logdet - np.log(q).sum()
    inverse = scipy.linalg.cho_solve(factor, np.eye(q.size))
    gradient = t * (program.cost - b / q**2) - 2 * np.diag(inverse) - 1 / q
    hessian = 4 * inverse**2 + np.diag(2 * t * b / q**3 + 1 / q**2)
    return value, gradient, hessian


def _follow(program: Program, q: np.ndarray) -> tuple[np.ndarray, float]:
    """The central path from a feasible q; the last point and its t = 2n/gap."""
    n, first = q.size, program.objective(q)
    t = 2 * n / first
    while True:
        q = _centre(program, q, t)
        # Where H ⪯ 0 and b = 0 the minimum is 0, and no gap is small against it.
        small = 2 * n / t <= RELATIVE_GAP * max(program.objective(q), 1e-9 * first)
        # The bound's multiplier 1/(t p) must have left the entries that b holds up.
        held = (1 / (t * q) > HELD * program.cost) & (program.resistance > 0)
        if small and (t > LAST * n / first or not np.any(held)):
            return q, t
        t *= GROWTH


def _centre(program: Program, q: np.ndarray, t: float) -> np.ndarray:
    """Newton's method with backtracking, to a decrement of `CENTRED`."""
    here: Any = _barrier(program, q, t)
    for _ in range(NEWTON_STEPS):
        value, gradient, hessian = here
        # In units of q, for entries of very different size
        gradient, hessian = q * gradient, hessian * np.outer(q, q)
        unit = np.sqrt(np.diag(hessian))
        step = -_solve_definite(hessian / np.outer(unit, unit), gradient / unit) / unit
        slope, step = float(gradient @ step), q * step
        if -slope <= CENTRED**2:
            break
        size, near = 1.0, -slope < NEAR**2
        while size > 1e-12:
            there = _barrier(program, q + size * step, t)
            # Close by, where Newton's step is safe, the value may be all rounding.
            enough = np.inf if near else value + 0.1 * size * slope
            if there is not None and there[0] <= enough:
                # At most half way to the boundary: from nearer to it Newton's method
                # comes back by doublings only.
                if near or _inside(program, q + 2 * size * step):
                    break
            size *= 0.5
        else:
            break
        q, here = q + size * step, there
    return q


def _solve_definite(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A⁻¹b for A with diagonal 1, positive definite but for rounding."""
    jitter = np.finfo(float).eps
    while True:
        try:
            factor = scipy.linalg.cho_factor(matrix + jitter * np.eye(right.size))
        except np.linalg.LinAlgError:
            jitter *= 100
        else:
            return scipy.linalg.cho_solve(factor, right)


def _polish(program: Program, p: np.ndarray, t: float) -> Optimum:
    """Newton's method on KKT from a point of the central path; its best iterate."""
    # The multiplier of p >= 0 is 1/(t p); with b > 0 that bound is never reached
    zero = (program.resistance == 0) & (program.cost * p < 1 / (t * p))
    # Near the diagonal of the gap, so that no entry swamps the small eigenvalues.
    d = np.where(zero, 0.0, p) + np.maximum(0.0, -0.5 * np.diag(program.hessian))
    d = np.where(d > 0, d, float(np.mean(p)))
    scaled, free = program.scaled(d), ~zero
    eigenvalues, vectors = np.linalg.eigh(scaled.gap(p / d))
    eigenvalues = np.maximum(eigenvalues, np.finfo(float).eps)
    # An eigenvalue λ against its multiplier z = 1/(t λ), in units of the cost there.
    k = int(np.sum(eigenvalues**2 < 1 / (t * (scaled.cost @ vectors**2))))
    q, m = np.where(zero, 0.0, p / d), np.diag(1 / (t * eigenvalues[:k]))
    eigenvalues, vectors, m = _kernel(scaled, q, vectors, m)
    best = _assess(scaled, d, q, vectors[:, :k], m)
    for _ in range(POLISHING_STEPS):
        found = _newton(scaled, q, free, vectors, eigenvalues, m)
        if found is None:
            break
        step, m = found
        # Halve a step that leaves the cone: entries of p are at a bound, or positive
        while np.any(q[free] + step[free] <= 0):
            step = step / 2
        q = q + step
        eigenvalues, vectors, m = _kernel(scaled, q, vectors, m)
        candidate = _assess(scaled, d, q, vectors[:, :k], m)
        better = candidate.residual < best.residual
        best = candidate if better else best
        if not better and best.residual < 1e-10:
            break
    return best


def _kernel(scaled, q, vectors, m):
    """Eigenpairs of the gap at q, and the multiplier M turned into their basis."""
    k = m.shape[0]
    eigenvalues, new = np.linalg.eigh(scaled.gap(q))
    turn = new[:, :k].T @ vectors[:, :k]
    return eigenvalues, new, turn @ m @ turn.T


def _newton(scaled, q, free, vectors, eigenvalues, m):
    """One Newton step of (q, M) with the kernel's own motion; None if singular.

    The kernel V turns with q, which adds 8 Z∘(2 diag(q) - H)⁺ to the Hessian of the
    Lagrangian.
    """
    k = m.shape[0]
    i, j = np.triu_indices(k)
    weight = np.where(i == j, 1.0, np.sqrt(2.0))
    if not (k or free.any()):
        return None
    kernel, rest = vectors[:, :k], vectors[:, k:]
    inverse = (rest / eigenvalues[k:]) @ rest.T
    z = kernel @ m @ kernel.T
    qf, b = q[free], scaled.resistance[free]
    curvature = np.diag(2 * b / qf**3) + 8 * (z * inverse)[np.ix_(free, free)]
    rows = (2 * weight * kernel[:, i] * kernel[:, j])[free].T  # of svec(Vᵀ 2 diag V)
    matrix = np.block([[curvature, -rows.T], [-rows, np.zeros((len(i), len(i)))]])
    slack = np.where(i == j, eigenvalues[:k][i], 0.0)
    right = np.concatenate([b / qf**2 - scaled.cost[free], slack])
    # Entries of q may differ by many orders: in units of q, then columns near 1.
    unit = np.concatenate([qf, np.ones(len(i))])
    matrix = matrix * np.outer(unit, unit)
    length = np.sqrt(np.abs(matrix).max(axis=0, initial=1e-300))
    unit, matrix = unit / length, matrix / np.outer(length, length)
    # Least squares, because multipliers need not be unique.
    found: Any = scipy.linalg.lstsq(matrix, right * unit, lapack_driver="gelsy")
    answer = found[0] * unit
    if not np.all(np.isfinite(answer)):
        return None
    step = np.zeros_like(q)
    step[free] = answer[: qf.size]
    new = np.zeros((k, k))
    new[i, j] = new[j, i] = answer[qf.size :] / weight
    return step, new


def _assess(scaled, d, q, vectors, m) -> Optimum:
    """The candidate in the original variables p = d q, with its gap and residual."""
    z = vectors @ m @ vectors.T
    smallest = float(np.linalg.eigvalsh(m)[0]) if m.size else 0.0
    if smallest < 0:
        w, u = np.linalg.eigh(m)
        z = vectors @ ((u * np.maximum(w, 0)) @ u.T) @ vectors.T
    with np.errstate(divide="ignore", invalid="ignore"):
        second = np.where(scaled.resistance > 0, scaled.resistance / q**2, 0.0)
    slope = (scaled.cost - second - 2 * np.diag(z)) / scaled.cost
    slope = np.where(q > 0, np.abs(slope), np.maximum(-slope, 0.0))
    below = max(0.0, -float(np.linalg.eigvalsh(scaled.gap(q))[0]))
    unit = float(np.mean(scaled.cost))
    residual = max(float(np.max(slope)), below, max(0.0, -smallest) / unit)
    value = scaled.objective(q)
    gap = (value - scaled.bound(z)) / value if value > 0 else 0.0
    root = np.sqrt(d)[:, None]
    return Optimum(d * q, vectors / root, m, gap, residual)
