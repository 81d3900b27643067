r"""The order of a noise-free error, extrapolated, with a width of its own.

For errors e_j = C h_j^p (1 + a_1 h_j^q + ...) at steps h_0 > h_1 > ... of one ratio r,

    s_j = log_r(e_j / e_{j+1}) = p + O(h_j^q),
    t_j = s_j + (s_j - s_{j-1}) / (r^q - 1) = p + O(h_j^{2q}),

and the half-width of t_J is b + c, with b = max(|t_J - t_{J-1}|, |t_J - s_J|) for what
the expansion leaves out, and c the uncertainty of the levels carried through the
weights of t_J. Levels below 100 times their floor do not count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from flows.errors import BadInput

Values = ArrayLike | float | int
FLOOR_FACTOR = 100.0
CONTRACTION = 0.75


@dataclass(frozen=True)
class OrderEstimate:
    """The extrapolated order from the first `levels` levels.

    Attributes:
        levels: number of levels used (at least 4).
        slope: t, the extrapolated order.
        half_width: b + c.
        rounding: c, what the uncertainty of the levels does to t.
        contracting: |s_J - s_{J-1}| <= max(0.75 |s_{J-1} - s_{J-2}|, 4 c).
    """

    levels: int
    slope: float
    half_width: float
    rounding: float
    contracting: bool

    @property
    def interval(self) -> tuple[float, float]:
        """[t - b - c, t + b + c]."""
        return self.slope - self.half_width, self.slope + self.half_width


@dataclass(frozen=True, eq=False, repr=False)
class OrderFit:
    """Order of an error in the step, from a ladder of noise-free levels.

    Attributes:
        slope: the extrapolated order with all kept levels (NaN with fewer than 4).
        half_width: its half-width (infinite with fewer than 4 kept levels).
        local_slopes: s_j between neighbouring kept levels.
        kept: which levels stand above 100 x floor, from the coarsest without a gap.
        constant: C in e = C h^p, extrapolated, with p the multiple of 1/2 nearest
            to `slope` (NaN with fewer than 4 kept levels).
        asymptotic: the last two estimates agree and their slopes contract.
        reason: why not, or "".
        estimates: the estimate with 4, 5, ... kept levels.
    """

    slope: float
    half_width: float
    local_slopes: Float[np.ndarray, "slopes"]
    kept: Bool[np.ndarray, "levels"]
    constant: float
    asymptotic: bool
    reason: str
    estimates: tuple[OrderEstimate, ...]

    @property
    def interval(self) -> tuple[float, float]:
        """[slope - half_width, slope + half_width]."""
        return self.slope - self.half_width, self.slope + self.half_width

    def __str__(self) -> str:
        asymptotic = "yes" if self.asymptotic else f"no ({self.reason})"
        return (
            f"order {self.slope:.4g} ± {self.half_width:.2g}, "
            f"constant {self.constant:.3g}, asymptotic: {asymptotic}"
        )

    __repr__ = __str__


def fit_order(
    h: Values, errors: Values, floor: Values = 0.0, q: float | int = 1
) -> OrderFit:
    """Extrapolate the order of noise-free errors.

    Args:
        h: steps, strictly decreasing by one ratio, shape [levels].
        errors: errors e_j >= 0 at these steps, shape [levels].
        floor: absolute uncertainty of the errors (tolerance of the reference,
            rounding), a number or one for each level; in the unit of `errors`.
        q: the error's relative expansion is in powers of h^q (1, or 1/2 where the
            theory has half powers).

    Returns:
        The fit; too few levels give an infinite half-width, never an exception.

    Raises:
        BadInput: the steps are not a geometric ladder, an error is negative or not
            finite, the floor is negative, or q <= 0.
    """
    h, errors, floor, ratio = _ladder(h, errors, floor, q)
    usable = (errors > 0) & (errors >= FLOOR_FACTOR * floor)
    kept = np.logical_and.accumulate(usable)
    n = int(kept.sum())
    slopes = np.log(errors[: n - 1] / errors[1:n]) / math.log(ratio) if n else errors
    slopes = slopes[: max(n - 1, 0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        blur = np.where(kept, floor / errors, 0.0) / math.log(ratio)
    estimates = tuple(
        _estimate(slopes[: k - 1], blur[:k], ratio**q - 1) for k in range(4, n + 1)
    )
    if not estimates:
        reason = f"{n} of {h.size} levels above {FLOOR_FACTOR:g} x floor; 4 needed"
        return OrderFit(math.nan, math.inf, slopes, kept, math.nan, False, reason, ())
    last = estimates[-1]
    reason = _why_not_asymptotic(estimates)
    p = round(2 * last.slope) / 2
    constant = extrapolate_constant(h[:n], errors[:n], p, q)[-1]
    return OrderFit(
        last.slope,
        last.half_width,
        slopes,
        kept,
        float(constant),
        not reason,
        reason,
        estimates,
    )


def extrapolate_constant(
    h: Float[np.ndarray, "levels"],
    errors: Float[np.ndarray, "levels"],
    p: float | int,
    q: float | int = 1,
) -> Float[np.ndarray, "levels-1"]:
    """Leading constants k_j -> C of e = C h^p (1 + O(h^q)), one for each pair.

    With K_j = e_j / h_j^p, k_j = K_{j+1} + (K_{j+1} - K_j)/(r^q - 1).

    Args:
        h: steps of one ratio r, decreasing.
        errors: errors at these steps (of either sign).
        p: the order, taken as known.
        q: step of the relative expansion, in powers of h.

    Returns:
        The extrapolated constants, coarsest pair first; unit of errors / h^p.
    """
    scaled = errors / h ** float(p)
    ratio = h[:-1] / h[1:]
    return scaled[1:] + (scaled[1:] - scaled[:-1]) / (ratio ** float(q) - 1)


def _ladder(h, errors, floor, q):
    h = np.asarray(h, float)
    errors = np.asarray(errors, float)
    if h.ndim != 1 or h.shape != errors.shape or h.size < 2:
        raise BadInput(
            f"steps and errors are two vectors of one length >= 2, not shapes "
            f"{h.shape} and {errors.shape}."
        )
    if not (np.all(np.isfinite(h)) and h[-1] > 0 and np.all(np.diff(h) < 0)):
        raise BadInput(f"steps must be positive and strictly decreasing, not {h}.")
    ratios = h[:-1] / h[1:]
    if np.ptp(ratios) > 1e-9 * ratios[0]:
        raise BadInput(f"steps must shrink by one ratio, not by {ratios}.")
    bad = ~np.isfinite(errors) | (errors < 0)
    if np.any(bad):
        raise BadInput(
            f"errors must be finite and >= 0; at h = {h[bad]} they are {errors[bad]}."
        )
    floor = np.asarray(floor, float)
    if floor.ndim and floor.shape != h.shape:
        raise BadInput(f"one floor, or one a level; not shape {floor.shape}.")
    if not np.all(floor >= 0):
        raise BadInput(f"the floor must be >= 0, not {floor}.")
    if not q > 0:
        raise BadInput(f"q must be positive, not {q}.")
    return h, errors, np.broadcast_to(floor, h.shape), float(ratios[0])


def _estimate(slopes, blur, growth) -> OrderEstimate:
    """The estimate from all given slopes; blur = uncertainty of log_r e_j."""
    s0, s1, s2 = slopes[-3:]
    previous = s1 + (s1 - s0) / growth
    t = s2 + (s2 - s1) / growth
    # t = s_J (1 + w) - s_{J-1} w with w = 1/growth, in terms of the three last levels
    w = 1 / growth
    weights = np.array([w, 1 + 2 * w, 1 + w])
    c = float(weights @ blur[-3:])
    b = max(abs(t - previous), abs(t - s2))
    contracting = abs(s2 - s1) <= max(CONTRACTION * abs(s1 - s0), 4 * c)
    return OrderEstimate(
        len(slopes) + 1, float(t), float(b + c), c, bool(contracting)
    )  # fmt: skip


def _why_not_asymptotic(estimates: tuple[OrderEstimate, ...]) -> str:
    if len(estimates) < 2:
        return "only 4 levels count: no second estimate to agree with"
    before, last = estimates[-2:]
    if not (before.contracting and last.contracting):
        return "the local slopes do not settle"
    if abs(before.slope - last.slope) > before.half_width + last.half_width:
        return "the last two estimates disagree"
    return ""


def strong_slope(
    h: Values, errors: Values, q: float = 1.0, floor: float = 0.0
) -> tuple[float, float, float]:
    r"""The slope of root-mean-square errors on shared paths, its bias and s.e.

    With y_j = log_r RMS_i e_ij, the slope p^ is the least-squares slope without the
    coarsest level and p' the one without the finest; the allowance for what is not
    asymptotic yet is 1.5 |p^ - p'|/(r^q - 1), and a reference that is off by `floor`
    adds sum_j |w_j| floor/(ln r RMS_j), to leading order. Path i has the influence
    sum_j w_j e_ij^2/(2 ln r mean_i e_ij^2) on a slope sum_j w_j y_j; the standard
    error is their standard deviation over sqrt n, so the correlation between levels
    is inside.

    Args:
        h: steps, decreasing by one ratio r, shape [levels], at least 4.
        errors: finite errors, not 0 at every path, shape [paths, levels].
        q: step of the relative expansion in powers of h.
        floor: root mean square error of the reference, in the unit of the errors.

    Returns:
        Slope, bias allowance, standard error.
    """
    h, square = np.asarray(h, float), np.asarray(errors, float) ** 2
    mean_square = np.mean(square, axis=0)
    ratio = float(h[0] / h[1])
    y = 0.5 * np.log(mean_square) / math.log(ratio)
    x = -np.arange(h.size - 1, dtype=float)  # log_r h, up to a constant
    weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    slope, coarser = float(weights @ y[1:]), float(weights @ y[:-1])
    bias = 1.5 * abs(slope - coarser) / (ratio**q - 1)
    relative = floor / np.sqrt(mean_square[1:])
    bias += float(np.abs(weights) @ relative) / math.log(ratio)
    influence = (square / mean_square)[:, 1:] @ weights / (2 * math.log(ratio))
    error = float(np.std(influence, ddof=1) / math.sqrt(len(influence)))
    return slope, float(bias), error
