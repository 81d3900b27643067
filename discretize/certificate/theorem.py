"""Elkabetz and Cohen's step size, from the curvature along a gradient flow.

All that the theorem asks of a flow is in a `Tube`: a partition of [0, T] into cells
with bounds of curvature and slope in each. The arithmetic is the same for floats (a
search, an estimate) and for balls (a certificate).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flows import BadInput


class Tube(NamedTuple):
    """Curvature and slope along a gradient flow, cell by cell.

    On cell i the flow stays within `radius[i]` of a point xᵢ, and

        λ_min(∇²f(q)) >= e_min[i] - L(|q - xᵢ|),   |∇²f(q)| <= norm[i] + L(|q - xᵢ|),
        L(ρ) = linear[i] ρ + quadratic ρ².

    Attributes:
        times: ends of the cells, floats or Fractions, shape [cells + 1] (unit:
            1/curvature).
        e_min: smallest Hessian eigenvalue at xᵢ, or a lower bound (1/time).
        norm: |∇²f(xᵢ)|, or an upper bound (1/time).
        gradient: |∇f(xᵢ)|, or an upper bound.
        radius: distance from xᵢ that the flow keeps to on the cell.
        linear: coefficient of ρ in L.
        quadratic: coefficient of ρ² in L, one number.
    """

    times: np.ndarray
    e_min: Float[np.ndarray, " cells"]
    norm: Float[np.ndarray, " cells"]
    gradient: Float[np.ndarray, " cells"]
    radius: Float[np.ndarray, " cells"]
    linear: Float[np.ndarray, " cells"]
    quadratic: float


class Number(NamedTuple):
    """An arithmetic: how numbers are made, and how bounds are read off them."""

    make: Callable[[Any], Any]
    upper: Callable[[Any], Any]
    lower: Callable[[Any], Any]
    expm1: Callable[[Any], Any]


def _same(x: Any) -> Any:
    return x


def _expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return math.inf


FLOATS = Number(float, _same, _same, _expm1)


class Step(NamedTuple):
    """What the theorem gives at one tube radius ε.

    Attributes:
        learning_rate: η up to which |x_k - x(kη)| <= ε is promised; 0 for none, ∞
            where every step is (an affine loss).
        growth: K at the ends of the cells, K' = 1 - m K, K(0) = 0 (time).
        m: lower bound of the curvature in the ε-tube, on each cell (1/time).
        beta: largest |∇²f| in the tube so far, on each cell (1/time).
        gamma: largest |∇f| in the tube so far, on each cell.
    """

    learning_rate: Any
    growth: list[Any]
    m: list[Any]
    beta: list[Any]
    gamma: list[Any]


def relaxed(z: Any, m: Any, source: Any, h: Any, numbers: Number = FLOATS) -> Any:
    """The solution at time h of z' = source - m z from z: exact for constant m."""
    if m == 0:
        return z + source * h
    gone = numbers.expm1(-m * h)  # e^{-mh} - 1
    return z + gone * (z - source / m)


def error_growth(times: Any, m: Any, source: Any = None) -> Float[np.ndarray, " ends"]:
    """K at `times`, for K' = s - m K with K(0) = 0 and m, s constant on each cell.

    With s = 1 this is ∫₀ᵗ e^{-∫_{t'}^t m} dt': the factor by which a defect made along
    the flow has grown. K <= t where m >= 0; K = (e^{μt} - 1)/μ where m = -μ.

    Args:
        times: ends of the cells, increasing, shape [cells + 1].
        m: on each cell, shape [cells] (1/time).
        source: s on each cell, shape [cells]; 1 where None.

    Raises:
        BadInput: shapes that do not fit, or times that do not increase.
    """
    times, m = np.asarray(times, float), np.asarray(m, float)
    s = np.ones(m.shape) if source is None else np.asarray(source, float)
    if m.ndim != 1 or times.shape != (m.size + 1,) or s.shape != m.shape:
        raise BadInput("error_growth takes times [cells + 1] and m, source [cells].")
    if not np.all(np.diff(times) > 0):
        raise BadInput("times increase.")
    out = [0.0]
    for h, rate, defect in zip(np.diff(times), m, s, strict=True):
        out.append(relaxed(out[-1], float(rate), float(defect), float(h)))
    return np.array(out)


def step_size(
    tube: Tube, eps: Any, start_distance: Any = 0.0, numbers: Number = FLOATS
) -> Step:
    r"""The largest step size that the approximation theorem allows for this ε.

        η < inf_t (ε - e^{-∫m} |x_0 - x(0)|) / (β γ ∫ e^{-∫_{t'}^t m} dt')

    with m(t) below every Hessian eigenvalue in the ε-ball about x(t), and β, γ the
    largest |∇²f|, |∇f| in the ε-tube up to t. Proof: the polygon v of gradient descent
    obeys d|v - x|/dt <= -m |v - x| + η β γ while it stays in the tube, and by Gronwall
    it does.

    Reference: Elkabetz and Cohen, NeurIPS 2021, arXiv 2107.06608.

    Args:
        tube: curvature and slope along the flow.
        eps: ε > 0, in the unit of |x|.
        start_distance: |x_0 - x(0)| between descent and flow.
        numbers: the arithmetic; balls make every rounding count.
    """
    make, upper = numbers.make, numbers.upper
    eps, off = make(eps), make(start_distance)
    k, decay = make(0.0), make(1.0)  # K and e^{-∫m}
    beta = gamma = make(0.0)
    rate: Any = None
    out = Step(0.0, [k], [], [], [])
    quadratic, zero = make(tube.quadratic), make(0.0)
    for i in range(len(tube.e_min)):
        h = make(tube.times[i + 1]) - make(tube.times[i])
        rho = make(tube.radius[i]) + eps
        slack = make(tube.linear[i]) * rho + quadratic * rho * rho
        m = numbers.lower(make(tube.e_min[i]) - slack)
        bound = upper(make(tube.norm[i]) + slack)
        slope = upper(make(tube.gradient[i]) + bound * rho)
        beta, gamma = max(beta, bound), max(gamma, slope)
        # K and the decay are monotone on a cell, so the worst is at one of its ends.
        later = upper(relaxed(k, m, make(1.0), h, numbers))
        shrunk = upper(relaxed(decay, m, make(0.0), h, numbers))
        room = eps - max(decay, shrunk) * off
        missed = beta * gamma * max(k, later)  # per η
        if missed == 0:  # an affine loss: any step
            allowed = make(math.inf) if room > 0 else zero
        else:
            allowed = numbers.lower(room / missed)
        # What overflowed compares False, and counts as no room.
        allowed = allowed if allowed > 0 else zero
        rate = allowed if rate is None else min(rate, allowed)
        k, decay = later, shrunk
        for values, value in zip(out[1:], (k, m, beta, gamma), strict=True):
            values.append(value)
    return out._replace(learning_rate=zero if rate is None else rate)


def best_radius(
    tube: Tube, start_distance: float = 0.0, decades: tuple[float, float] = (-4.0, 1.0)
) -> float:
    """The ε whose step size is largest.

    A large ε weakens m, a small one shrinks the numerator; between them log η is
    searched on a grid of log ε, then by golden section.

    Args:
        tube: curvature and slope along the flow.
        start_distance: |x_0 - x(0)|.
        decades: of the search, log10 ε.
    """
    from scipy.optimize import minimize_scalar

    def cost(log_eps: float) -> float:
        eta = step_size(tube, 10.0**log_eps, start_distance).learning_rate
        return -math.log(min(eta, 1e300)) if eta > 0 else 1e3

    grid = np.linspace(*decades, 21)
    costs = [cost(float(x)) for x in grid]
    i = min(max(int(np.argmin(costs)), 1), len(grid) - 2)
    found = minimize_scalar(
        cost, bounds=(grid[i - 1], grid[i + 1]), options={"xatol": 1e-3}
    )
    return float(10.0**found.x)
