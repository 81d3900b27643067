r"""Weak orders: signed mean errors under noise, fitted without logarithms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from flows.errors import BadInput
from proofs_check.decide.critical import LEVEL, POWER_Z, normal
from proofs_check.evidence import Evidence
from proofs_check.relations import Grade, Order, Real, Values


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of the fit: value, standard error, bias allowance."""

    value: float
    standard_error: float
    bias: float

    def interval(self, z: float) -> tuple[float, float]:
        """Interval value +- (z se + b)."""
        half = z * self.standard_error + self.bias
        return self.value - half, self.value + half

    def excludes_zero(self, z: float) -> bool:
        """Whether 0 lies outside the interval."""
        lo, hi = self.interval(z)
        return lo > 0 or hi < 0

    def width(self, z: float) -> float:
        """Width (z + 2.33) se + 2 b: as large a coefficient shows with power 0.99."""
        return (z + POWER_Z) * self.standard_error + 2 * self.bias


def weak_order(
    p: Real,
    h: Values,
    means: Values,
    covariance: Values,
    *,
    step: Real = 1,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    r"""Mean errors m_j = E phi(numerical) - E phi(exact) are O(h^p), not better.

    Generalised least squares, with the covariance of the m_j as weights, of

        m_j = K h^(p - s) + C h^p + D h^(p + s),   s = step.

    Refuted: K excludes 0 (the order is lower), or C, in the fit without K, contains 0
    although a C of a quarter of the coarsest error would have shown (it is higher).
    Holds: C excludes 0, K contains 0, and a K whose share of the finest error is a
    quarter of C's would have shown. The terms left out of the fit are allowed for by
    1.5 times the move of a coefficient when the coarsest level is dropped.

    Args:
        p: claimed weak order.
        h: steps, strictly decreasing, shape [levels], at least 4.
        means: signed mean errors, shape [levels].
        covariance: covariance of these means (of the means, not of one sample),
            shape [levels, levels], or their variances, shape [levels].
        step: distance s to the rival orders p - s and p + s.
        alpha: level of this check, shared by its two intervals.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; its interval is the hull of the orders on the grid p + s Z which
        the data leave: [p, p], (-inf, p - s], [p + s, inf), or an undecided span.

    Raises:
        BadInput: shapes that do not fit, fewer than four levels, a covariance that
            is not positive definite.
    """
    h, means, covariance = _checked(h, means, covariance)
    p, s, z = float(p), float(step), normal(alpha / 2)
    lower = _coefficient(h, means, covariance, (p - s, p, p + s))
    leading = _coefficient(h, means, covariance, (p, p + s))
    too_low = lower.excludes_zero(z)
    quarter = abs(means[0]) / (4 * h[0] ** p)
    leads = leading.excludes_zero(z)
    too_high = not leads and leading.width(z) <= quarter
    finest = h[-1]
    sharp = lower.width(z) * finest ** (p - s) <= abs(leading.value) * finest**p / 4
    if too_low:
        interval = (-math.inf, p - s)
    elif too_high:
        interval = (p + s, math.inf)
    else:
        interval = (p if sharp else p - s, p if leads else p + s)
    decided = too_low or too_high or (leads and sharp)
    data = {
        "kind": "order",
        "h": h,
        "errors": means,
        "standard_errors": np.sqrt(np.diag(covariance)),
        "p": p,
        "signed": True,
        "K": lower.interval(z),
        "C": leading.interval(z),
    }
    return Evidence(
        **{
            "relation": Order(p, s / 2),
            "measured": p if decided and not (too_low or too_high) else _text(interval),
            "interval": interval,
            "detectable": s if decided else math.inf,
            "delta": s,
            "grade": Grade.ESTIMATED,
            **about,
            "data": {**data, **about.get("data", {})},
        }
    )


def mean_errors(
    errors: Values,
) -> tuple[Float[np.ndarray, "levels"], Float[np.ndarray, "levels levels"]]:
    """Means of signed errors and the covariance of these means.

    Args:
        errors: signed error of every path at every level, shape [paths, levels];
            levels on shared noise keep their correlation.

    Returns:
        means [levels] and covariance of the means [levels, levels].

    Raises:
        BadInput: not a matrix of finite numbers with at least two paths.
    """
    errors = np.asarray(errors, float)
    if errors.ndim != 2 or len(errors) < 2 or not np.all(np.isfinite(errors)):
        raise BadInput("errors must be finite, shape [paths, levels], paths >= 2.")
    return errors.mean(axis=0), np.atleast_2d(np.cov(errors.T)) / len(errors)


def _text(interval: tuple[float, float]) -> str:
    lo, hi = interval
    if lo == -math.inf:
        return f"order <= {hi:g}"
    return f"order >= {lo:g}" if hi == math.inf else f"order in {lo:g}..{hi:g}"


def _checked(h, means, covariance):
    h, means = np.asarray(h, float), np.asarray(means, float)
    covariance = np.asarray(covariance, float)
    if covariance.ndim == 1:
        covariance = np.diag(covariance)
    n = h.size
    if n < 4 or means.shape != (n,) or covariance.shape != (n, n):
        raise BadInput(
            f"at least 4 steps, as many means and their covariance; not {h.shape}, "
            f"{means.shape}, {covariance.shape}."
        )
    if not (np.all(h > 0) and np.all(np.diff(h) < 0)):
        raise BadInput(f"steps must be positive and strictly decreasing, not {h}.")
    if not (np.all(np.isfinite(means)) and np.all(np.isfinite(covariance))):
        raise BadInput("means and covariance must be finite.")
    # a correlation matrix is compared with rounding, so units do not matter
    spread = np.sqrt(np.clip(np.diag(covariance), 0, None))
    if np.any(spread == 0):
        raise BadInput("every mean needs a positive variance.")
    if np.linalg.eigvalsh(covariance / np.outer(spread, spread))[0] <= 1e-13:
        raise BadInput("the covariance of the means is not positive definite.")
    return h, means, covariance


def _coefficient(h, means, covariance, powers) -> Coefficient:
    """First coefficient of the fit in these powers of h."""
    value, se = _generalised(h, means, covariance, powers)
    without_coarsest, _ = _generalised(h[1:], means[1:], covariance[1:, 1:], powers)
    return Coefficient(value, se, 1.5 * abs(value - without_coarsest))


def _generalised(h, means, covariance, powers) -> tuple[float, float]:
    unit = h[0]  # columns in (h/h_0)^power: well scaled
    design = (h[:, None] / unit) ** np.asarray(powers)
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, design)
    target = np.linalg.solve(factor, means)
    q, r = np.linalg.qr(white)
    inverse = np.linalg.inv(r)
    row = inverse[0] / unit ** powers[0]
    return float(row @ (q.T @ target)), float(np.linalg.norm(row))
