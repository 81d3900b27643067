"""A rigorous enclosure of gradient flow on a two-layer linear network.

f(W₁, W₂) = ½ |W₂ W₁ - Φ|² (Frobenius) with rational data. On each of N equal pieces the
flow is a Taylor polynomial p with float coefficients; ball arithmetic bounds its defect
p' + ∇f(p), and Gronwall's inequality with the curvature about p the distance to the
true flow.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from discretize.certificate.balls import (
    BALLS,
    above,
    ball,
    below,
    eigenvalue_bounds,
    frobenius,
    matrix,
    operator_norm,
)
from discretize.certificate.theorem import Tube, relaxed
from flows import BadInput

ORDER = 14
QUADRATIC = 1.5
CAP = 1e-6
"""Distance to the flow within which the curvature is bounded (and which is checked)."""

Rows = list[list[Fraction]]
Pair = tuple[Any, Any]


class RationalNet(NamedTuple):
    """½ |W₂ W₁ - Φ|² with its start, all rational.

    Attributes:
        target: Φ, shape [d₂, d₀].
        first: W₁ at the start, shape [d₁, d₀].
        second: W₂ at the start, shape [d₂, d₁].
    """

    target: Rows
    first: Rows
    second: Rows

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(len(m) * len(m[0]) for m in (self.first, self.second))


class Piece(NamedTuple):
    """p(τ) = Σ c_k τ^k on a piece of the path, τ = (t - start)/length in [0, 1].

    Attributes:
        first: coefficients of W₁, shape [ORDER + 1, d₁, d₀].
        second: of W₂, shape [ORDER + 1, d₂, d₁].
        error: |p - flow| on the piece is at most this.
    """

    first: Float[np.ndarray, "k m n"]
    second: Float[np.ndarray, "k p m"]
    error: float


class Enclosure(NamedTuple):
    """The flow on [0, T], enclosed.

    Attributes:
        net: the problem.
        t1: T, rational.
        pieces: equal pieces of the path.
        tube: rigorous bounds of curvature and slope, for `step_size`.
    """

    net: RationalNet
    t1: Fraction
    pieces: list[Piece]
    tube: Tube

    @property
    def error(self) -> float:
        """The largest distance of the pieces from the flow."""
        return max(piece.error for piece in self.pieces)

    def at(self, t: Fraction) -> Pair:
        """(W₁, W₂) of the pieces at a rational time in [0, T], in balls.

        Raises:
            BadInput: a time outside.
        """
        if not 0 <= t <= self.t1:
            raise BadInput(f"the flow is enclosed on [0, {self.t1}], not at {t}.")
        length = self.t1 / len(self.pieces)
        j = min(int(t / length), len(self.pieces) - 1)
        return _point(_coefficients(self.pieces[j]), ball(t / length - j))


def residual(weights: Pair, phi: Any) -> Any:
    """R = W₂ W₁ - Φ."""
    return weights[1] * weights[0] - phi


def gradient(weights: Pair, phi: Any) -> Pair:
    """(W₂ᵀ R, R W₁ᵀ)."""
    r = residual(weights, phi)
    return weights[1].transpose() * r, r * weights[0].transpose()


def hessian(weights: Pair, phi: Any) -> Any:
    """The Hessian of f in balls, in the order (W₁ row by row, W₂ row by row).

    H[D, D] = |W₂ D₁ + D₂ W₁|² + 2 <R, D₂ D₁>.
    """
    w1, w2 = weights
    r = residual(weights, phi)
    left, right = w2.transpose() * w2, w1 * w1.transpose()
    (d1, d0), d2 = (w1.nrows(), w1.ncols()), w2.nrows()
    zero = ball(0)
    inner = [(i, j) for i in range(d1) for j in range(d0)]
    outer = [(a, k) for a in range(d2) for k in range(d1)]

    def mixed(i, j, a, k):
        return w2[a, i] * w1[k, j] + (r[a, j] if k == i else zero)

    top = [
        [left[i, k] if j == m else zero for k, m in inner]
        + [mixed(i, j, a, k) for a, k in outer]
        for i, j in inner
    ]
    bottom = [
        [mixed(i, j, a, k) for i, j in inner]
        + [right[k, m] if a == b else zero for b, m in outer]
        for a, k in outer
    ]
    return matrix(top + bottom)


def _taylor(w1: np.ndarray, w2: np.ndarray, phi: np.ndarray, h: float):
    """Float coefficients c_k h^k of the flow from (w1, w2)."""
    a, b, r = [w1], [w2], [w2 @ w1 - phi]
    for k in range(ORDER):
        da = np.sum([b[i].T @ r[k - i] for i in range(k + 1)], axis=0)
        db = np.sum([r[i] @ a[k - i].T for i in range(k + 1)], axis=0)
        a.append(-h / (k + 1) * da)
        b.append(-h / (k + 1) * db)
        r.append(np.sum([b[i] @ a[k + 1 - i] for i in range(k + 2)], axis=0))
    return np.array(a), np.array(b)


def _coefficients(piece: Piece) -> tuple[list[Any], list[Any]]:
    return [matrix(c) for c in piece.first], [matrix(c) for c in piece.second]


def _point(coefficients: tuple[list[Any], list[Any]], tau: Any) -> Pair:
    out = []
    for terms in coefficients:
        value = terms[-1]
        for c in reversed(terms[:-1]):
            value = value * tau + c
        out.append(value)
    return out[0], out[1]


def _times(a: list[Any], b: list[Any]) -> list[Any]:
    """Product of two polynomials whose coefficients are matrices."""
    out: list[Any] = [None] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            term = x * y
            out[i + j] = term if out[i + j] is None else out[i + j] + term
    return out


def _defect(coefficients: tuple[list[Any], list[Any]], phi: Any, h: Any) -> Any:
    """An upper bound of sup |dp/dτ + h ∇f(p)| on [0, 1]: Σ |coefficient|."""
    a, b = coefficients
    r = _times(b, a)
    r[0] = r[0] - phi
    slopes = (
        _times([x.transpose() for x in b], r),
        _times(r, [x.transpose() for x in a]),
    )
    total = ball(0)
    for k in range(len(slopes[0])):
        parts = [s[k] * h for s in slopes]
        if k < ORDER:
            parts = [
                p + c[k + 1] * ball(k + 1)
                for p, c in zip(parts, coefficients, strict=True)
            ]
        total += frobenius(*parts)
    return total.upper()


class _Cell(NamedTuple):
    """Bounds about a point of the path; the fields of a `Tube`."""

    e_min: float
    norm: float
    gradient: float
    radius: float
    linear: float


def _cell(coefficients, phi, tau, reach) -> _Cell:
    """Bounds about p(τ); on the cell p stays within `reach` of it."""
    weights = _point(coefficients, tau)
    low, high = eigenvalue_bounds(hessian(weights, phi))
    w1, w2 = (operator_norm(w) for w in weights)
    spread = (w1 * w1 + w2 * w2).sqrt()
    return _Cell(
        low,
        max(abs(low), abs(high)),
        above(frobenius(*gradient(weights, phi))),
        above(reach),
        above(3 * spread),
    )


def enclose(net: RationalNet, t1: Fraction, pieces: int, cells: int) -> Enclosure:
    """Enclose the flow, and bound curvature and slope along it.

    Args:
        net: the problem with its start.
        t1: T > 0 (unit: 1/curvature).
        pieces: Taylor polynomials on [0, T].
        cells: of the tube, on each piece.

    Raises:
        BadInput: the enclosure grew beyond `CAP`: more pieces are needed.
    """
    phi = matrix(net.target)
    target = np.array(net.target, float)
    w1, w2 = np.array(net.first, float), np.array(net.second, float)
    length = t1 / pieces
    h = ball(length)
    off = frobenius(
        matrix(net.first) - matrix(w1), matrix(net.second) - matrix(w2)
    ).upper()
    path, found, cap = [], [], ball(CAP)
    for _ in range(pieces):
        piece = Piece(*_taylor(w1, w2, target, float(length)), 0.0)
        coefficients = _coefficients(piece)
        defect = _defect(coefficients, phi, h) / h
        speed = sum(
            (
                ball(k) * frobenius(coefficients[0][k], coefficients[1][k])
                for k in range(1, ORDER + 1)
            ),
            ball(0),
        )
        worst = off
        for i in range(cells):
            tau = ball(Fraction(2 * i + 1, 2 * cells))
            cell = _cell(coefficients, phi, tau, speed / (2 * cells))
            rho = ball(cell.radius) + cap
            slack = ball(cell.linear) * rho + ball(QUADRATIC) * rho * rho
            m = (ball(cell.e_min) - slack).lower()
            off = relaxed(off, m, defect, h / cells, BALLS).upper()
            worst = max(worst, off)
            found.append(cell)
        if not worst < cap:  # the first exit from the tube would be here
            raise BadInput(
                f"the enclosure is wider than {CAP:g}: ask for more pieces than "
                f"{pieces}."
            )
        path.append(piece._replace(error=above(worst)))
        end = _point(coefficients, ball(1))
        w1, w2 = (_middle(w) for w in end)
        off = (off + frobenius(end[0] - matrix(w1), end[1] - matrix(w2))).upper()
    return Enclosure(net, t1, path, _tube(t1, path, found, cells))


def _middle(m: Any) -> np.ndarray:
    entries = [float(x.mid()) for x in m.entries()]
    return np.array(entries).reshape(m.nrows(), m.ncols())


def _tube(t1: Fraction, path: list[Piece], found: list[_Cell], cells: int) -> Tube:
    n = len(found)
    columns = {
        name: np.array([getattr(c, name) for c in found]) for name in _Cell._fields
    }
    errors = np.repeat([piece.error for piece in path], cells)
    columns["radius"] = np.nextafter(columns["radius"] + errors, np.inf)
    times = np.array([t1 * i / n for i in range(n + 1)], dtype=object)
    return Tube(times, **columns, quadratic=QUADRATIC)


def descend(enclosure: Enclosure, rate: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """|x_k - x(kη)| of gradient descent, for k = 0 ... T/η: lower and upper bounds.

    Descent is run in balls from the net's own start, so that rounding counts.

    Args:
        enclosure: of the flow.
        rate: η > 0.

    Returns:
        Two arrays of shape [steps + 1].
    """
    net, eta = enclosure.net, ball(rate)
    phi = matrix(net.target)
    weights: Pair = (matrix(net.first), matrix(net.second))
    pieces = [_coefficients(piece) for piece in enclosure.pieces]
    length = enclosure.t1 / len(pieces)
    lower, upper = [0.0], [0.0]
    for k in range(1, int(enclosure.t1 / rate) + 1):
        g = gradient(weights, phi)
        weights = (weights[0] - g[0] * eta, weights[1] - g[1] * eta)
        where = k * rate / length
        j = min(int(where), len(pieces) - 1)
        p = _point(pieces[j], ball(where - j))
        gap = frobenius(weights[0] - p[0], weights[1] - p[1])
        error = ball(enclosure.pieces[j].error)
        lower.append(max(below(gap - error), 0.0))
        upper.append(above(gap + error))
    return np.array(lower), np.array(upper)
