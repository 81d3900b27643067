"""Coefficients of the fourth-order orthogonal Runge–Kutta–Chebyshev methods.

A method of s stages has the stability polynomial R(z) = w(x) P(x)/(w(x₀) P(x₀)),
z = d (x - x₀): w has two pairs of complex zeros next to x₀, P has degree s - 4 and is
orthogonal on [-1, 1] with the weight w²/√(1 - x²), so that w P nearly equioscillates.
The zeros make R agree with the exponential to fourth order and hold |R| below 0.95 from
the second ripple on; they depend on s through 1/s² alone, smoothly.

P's three-term recurrence makes the first s - 4 stages, of any error propagation that
matters being that of Chebyshev's polynomials. Four stages of an ordinary Runge–Kutta
method finish the step. Their ten coefficients are the least in the sum of squares that
meet the eight order conditions of the whole.

Reference: Abdulle, "Fourth order Chebyshev methods with recurrence relation", SIAM J.
Sci. Comput. 23(6), 2002 (the idea). Zeros, finishing stages and error estimate are
computed here and are not that paper's.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

SHIFT = 1.0
"""x₀ = 1 + SHIFT/s²: of all damped methods nearly the longest interval."""
ZEROS = np.array(
    [
        [0.8266297, -30.536728, 895.48108, -3465.5467, 59375.072],
        [22.927731, 71.021589, 639.85522, 4231.6446, 138848.02],
        [15.056297, 62.642762, 443.55415, -2590.4234, 115061.72],
        [8.5313734, 49.448050, 144.65637, -1148.4533, 1000.0362],
    ]
)
"""(1 - zero) s² of w, as powers of 1/s²: real and imaginary part, two pairs.

They solve Σ (x₀ - zero)^-k = 0 for k = 2, 3, 4 over all zeros of w P and
|R| = 0.95 at the far end. What rounding them does to the order is mended by the
finishing stages, which meet the order conditions whatever P is.
"""
FINISH = (0.279, -0.171, 0.488, -0.038, 0.105, 0.629, 0.040, 0.312, 0.208, 0.112)
"""The finishing coefficients for many stages, where their computation starts."""
ORDER = np.array([1, 1 / 2, 1 / 3, 1 / 6, 1 / 4, 1 / 8, 1 / 12, 1 / 24])
"""What the eight trees of order four weigh in the exact solution (see `slope`)."""
ESTIMATE = 1 / 100
"""The error estimate is ESTIMATE z⁴ + O(z⁵) on y' = λ y, z = h λ."""


class Method(NamedTuple):
    """One method of s stages.

    Attributes:
        mu: of shape [s - 4]: stage j is μ_j h F(g_{j-1}) + (1 - κ_j) g_{j-1} + κ_j
            g_{j-2}.
        kappa: of shape [s - 4].
        finish: a₂₁, a₃₁, a₃₂, a₄₁, a₄₂, a₄₃, b₁, ..., b₄ of the last four stages.
        error: weights of their four slopes and of the slope at the end, shape [5].
        interval: length β of the stability interval [-β, 0].
    """

    mu: np.ndarray
    kappa: np.ndarray
    finish: np.ndarray
    error: np.ndarray
    interval: float


def zeros(s: int) -> np.ndarray:
    """The zeros of w above the real axis, shape [2]."""
    a, b, c, e = ZEROS @ (float(s) ** -2.0) ** np.arange(5)
    return 1 - np.array([a + 1j * b, c + 1j * e]) / s**2


def recurrence(m: int, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P_{k+1} = (x - a_k) P_k - b_k P_{k-1} for the weight w²/√(1-x²), k < m.

    By Stieltjes's procedure on Chebyshev's nodes, whose sums are exact here.
    """
    n = m + 10
    x = np.cos((2 * np.arange(n) + 1) * np.pi / (2 * n))
    weight = np.prod(np.abs(x[:, None] - w) ** 4, axis=1)
    a, b = np.zeros((2, m + 1))
    before, now = np.zeros(n), np.full(n, 1 / np.sqrt(weight.sum()))
    for k in range(m):
        image = x * now
        a[k] = weight @ (image * now)
        image -= a[k] * now + np.sqrt(b[k]) * before
        b[k + 1] = weight @ (image * image)
        before, now = now, image / np.sqrt(b[k + 1])
    return a[:m], b[:m]


def slope(g: np.ndarray) -> np.ndarray:
    """Weights of h F at a stage whose own weights on the eight trees are g.

    The trees, by their elementary differentials: F, F'F, F''FF, F'F'F, F'''FFF,
    F''F F'F, F'F''FF, F'F'F'F.
    """
    c = g[0]
    return np.array([c**0, c, c**2, g[1], c**3, c * g[1], g[2], g[3]])


def finished(u: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the step's end, shape [8], and of the four slopes, shape [4, 8]."""
    k1 = slope(g)
    k2 = slope(g + u[0] * k1)
    k3 = slope(g + u[1] * k1 + u[2] * k2)
    k4 = slope(g + u[3] * k1 + u[4] * k2 + u[5] * k3)
    k = np.array([k1, k2, k3, k4])
    return g + u[6:] @ k, k


def finish(g: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The smallest coefficients that meet the order conditions after a stage g.

    Gauss and Newton's method for the solution of least length, from u.
    """
    for _ in range(40):
        residual = finished(u, g)[0] - ORDER
        nudged = u + 1e-30j * np.eye(10)
        ends = [finished(v, g)[0] for v in nudged]
        jacobian = np.imag(ends).T / 1e-30
        new = np.linalg.pinv(jacobian) @ (jacobian @ u - residual)
        moved, u = np.abs(new - u).max(), new
        if moved < 1e-12:
            break
    return u


def method(s: int, start: np.ndarray | None = None) -> Method:
    """The method of s >= 5 stages; `start` guesses its finishing coefficients."""
    m, w, x0 = s - 4, zeros(s), 1 + SHIFT / s**2
    a, b = recurrence(m, w)
    ratio, slopes = np.zeros(m), np.zeros(m)
    for k in range(m):  # of P_{k+1}/P_k at x₀, and its logarithmic derivative there
        ratio[k] = x0 - a[k] - (b[k] / ratio[k - 1] if k else 0.0)
        tail = b[k] / ratio[k - 1] * slopes[k - 1] if k else 0.0
        slopes[k] = (1 + tail) / ratio[k]
    d = slopes.sum() + 2 * np.sum(1 / (x0 - w)).real
    mu = 1 / (d * ratio)
    kappa = np.zeros(m)
    kappa[1:] = -b[1:] / (ratio[1:] * ratio[:-1])
    before, g = np.zeros((2, 8))
    for u, k in zip(mu, kappa, strict=True):
        before, g = g, u * slope(g) + (1 - k) * g + k * before
    u = finish(g, np.array(FINISH) if start is None else start)
    end, k = finished(u, g)
    weights = np.vstack([k, slope(end)])
    null = np.linalg.svd(weights[:, :4].T)[2][-1]
    error = ESTIMATE * null / (weights[:, 7] @ null)
    return Method(mu, kappa, u, error, (1 + x0) * d)


class Table(NamedTuple):
    """Methods of growing numbers of stages, their recurrences one behind the other.

    Attributes:
        stages: s, shape [r].
        offset: where each method's recurrence starts in `mu` and `kappa`, shape [r].
        interval: β, shape [r].
        finish: shape [r, 10].
        error: shape [r, 5].
        mu: shape [Σ (s - 4)].
        kappa: shape [Σ (s - 4)].
    """

    stages: np.ndarray
    offset: np.ndarray
    interval: np.ndarray
    finish: np.ndarray
    error: np.ndarray
    mu: np.ndarray
    kappa: np.ndarray


@functools.cache
def table(most: int) -> Table:
    """All s from 5 to 16, then every s a twelfth larger, up to `most`."""
    stages = [s for s in range(5, 17) if s <= most]
    while stages[-1] < most and most > 16:
        stages.append(min(most, int(np.ceil(stages[-1] * 13 / 12))))
    methods, start = [], None
    for s in reversed(stages):  # neighbours have close coefficients
        methods.append(method(s, start))
        start = methods[-1].finish
    methods.reverse()
    lengths = [s - 4 for s in stages]
    return Table(
        np.array(stages),
        np.cumsum([0, *lengths[:-1]]),
        np.array([one.interval for one in methods]),
        np.array([one.finish for one in methods]),
        np.array([one.error for one in methods]),
        np.concatenate([one.mu for one in methods]),
        np.concatenate([one.kappa for one in methods]),
    )
