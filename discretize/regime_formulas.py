"""Roots, codes and boundaries of inertial-Newton modes, in closed form."""

from __future__ import annotations

import enum
import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.types import is_traced

ROUNDING = 64
"""A sign counts as 0 below this many units of rounding of its largest term."""
MANY = 1 << 15
"""From so many modes on every array is computed by a call of its own: XLA vectorises
loops on a CPU that fill one array, and is several times slower where one fills more."""


class Regime(enum.IntEnum):
    """How a mode of curvature λ moves near its critical point.

    μ are the two exponents of the flow, z the two factors of a step (z = 1 + γμ for
    explicit Euler of step γ).
    """

    SADDLE = 0
    """λ < 0: it leaves along one real direction and comes along the other."""
    FLAT = 1
    """λ = 0: one root rests (μ = 0, z = 1), the other decays (rests too if α = 0)."""
    NODE = 2
    """Two different real roots that decay; of a step, neither is negative."""
    DEGENERATE = 3
    """A double root that decays: the edge of the spirals."""
    SPIRAL = 4
    """A complex pair that decays: infinitely many turns around the critical point."""
    FLIP = 5
    """Of a step alone: it decays, with a root z < 0 that changes side every step."""
    MARGINAL = 6
    """A root that neither grows nor decays; λ ≠ 0, or z = -1 at λ = 0 (αγ = 2m)."""
    UNSTABLE_SPIRAL = 7
    """Of a step alone: a growing complex pair although λ > 0."""
    UNSTABLE_FLIP = 8
    """Of a step alone: a root z < -1 although λ >= 0."""
    SOURCE = 9
    """Of a step alone: λ < 0, and it leaves along both directions."""


class RegimeBoundaries(NamedTuple):
    """The curvatures λ other than 0 at which the regime changes.

    NaN (or infinite) where a boundary does not exist or separates nothing; the last
    three are NaN for a flow. Each of the shape to which the parameters broadcast.

    Attributes:
        spiral_low: λ₋ = (α/(√m + √(m-αβ)))², double root; between λ₋ and λ₊ spirals;
            0, the edge of the saddles, where α = 0.
        spiral_high: λ₊ = ((√m + √(m-αβ))/β)², infinite where β = 0.
        flip: (m - γα)/(γ(β-γ)), where a root of the step is 0.
        period_two: (4m - 2γα)/(γ(2β-γ)), where a root of the step is -1.
        growing_spiral: α/(γ-β), where a complex pair of the step has modulus 1.
    """

    spiral_low: Float[Array, "..."]
    spiral_high: Float[Array, "..."]
    flip: Float[Array, "..."]
    period_two: Float[Array, "..."]
    growing_spiral: Float[Array, "..."]


def _window(alpha, beta, m):
    """λ₋ and λ₊, without differences of large numbers."""
    gap = m - alpha * beta
    root = jnp.sqrt(jnp.where(gap >= 0, gap, jnp.nan)) + jnp.sqrt(m)
    return (alpha / root) ** 2, (root / beta) ** 2


def _over(numerator, denominator):
    """The quotient; NaN where the denominator is 0."""
    none = denominator == 0
    return jnp.where(none, jnp.nan, numerator / jnp.where(none, 1.0, denominator))


def flow_boundaries(alpha, beta, m) -> RegimeBoundaries:
    """Where the regime of a flow changes, besides λ = 0."""
    none = jnp.full_like(m, jnp.nan)
    return RegimeBoundaries(*_window(alpha, beta, m), none, none, none)


def step_boundaries(alpha, beta, m, h) -> RegimeBoundaries:
    """Where the regime of a step changes, besides λ = 0."""
    # det = 0: the other root is the trace, and must be positive
    flip = _over(m - h * alpha, h * (beta - h))
    flip = jnp.where((flip > 0) & (2 * m > h * (alpha + beta * flip)), flip, jnp.nan)
    # a root -1: the other one is -det, and must be above -1
    turn = _over(4 * m - 2 * h * alpha, h * (2 * beta - h))
    turn = jnp.where((h - beta) * turn < alpha, turn, jnp.nan)
    # det = 1: on the circle only as a complex pair; there α + βλ = γλ
    grow = _over(alpha, h - beta)
    paired = h * (h * grow) < 4 * m
    grow = jnp.where((grow > 0) & paired, grow, jnp.nan)
    return RegimeBoundaries(*_window(alpha, beta, m), flip, turn, grow)


def _nearest(curvature, boundaries: RegimeBoundaries):
    """The boundary nearest to λ, with 0 among them."""
    best, least = jnp.zeros_like(curvature), jnp.abs(curvature)
    for b in boundaries:
        gap = jnp.abs(curvature - b)
        nearer = gap < least  # not so for NaN
        best, least = jnp.where(nearer, b, best), jnp.where(nearer, gap, least)
    return best


def _flow_nearest(curvature, *parameters):
    return _nearest(curvature, flow_boundaries(*parameters))


def _step_nearest(curvature, *parameters):
    return _nearest(curvature, step_boundaries(*parameters))


def _distance(curvature, boundary):
    return jnp.abs(curvature - boundary)


def _sign(terms) -> Array:
    """-1, 0 or 1: the sign of a sum, 0 where rounding may have made it, 1 of NaN."""
    total = functools.reduce(operator.add, terms)
    size = sum(jnp.abs(t) for t in terms)
    # an infinite sum is not near 0, although inf <= inf
    near = jnp.abs(total) < ROUNDING * jnp.finfo(total.dtype).eps * size
    near = near | (total == 0)
    return jnp.where(near, 0, jnp.where(total < 0, -1, 1)).astype(jnp.int8)


def _roots(curvature, alpha, beta, m):
    """Sign of the discriminant, real parts (falling) and imaginary part of μ."""
    # mμ² + 2pμ ± s² with s = √(m|λ|); in units of the larger one no square overflows
    p = (alpha + beta * curvature) / 2
    s = jnp.sqrt(m) * jnp.sqrt(jnp.abs(curvature))
    size = jnp.maximum(jnp.abs(p), s)
    unit = jnp.where(size == 0, 1.0, size)
    square, damped = (jnp.minimum(jnp.abs(p), s) / unit) ** 2, jnp.abs(p) >= s
    spring = jnp.where(damped, square, 1.0)
    terms = jnp.where(damped, 1.0, square), jnp.where(curvature > 0, -spring, spring)
    kind = _sign(terms)
    root = unit * jnp.sqrt(jnp.abs(jnp.where(kind == 0, 0.0, sum(terms))))
    # the sum of two numbers of one sign: one root from it, the other by Vieta
    q = -(p + jnp.copysign(root, p))
    ratio = curvature / jnp.where(q == 0, 1.0, q)
    falls = p >= 0
    real = jnp.where(falls, ratio, q / m), jnp.where(falls, q / m, ratio)
    upper, lower = (jnp.where(kind <= 0, -p / m, r) for r in real)
    return kind, upper, lower, jnp.where(kind < 0, root / m, 0.0)


def _upper(*mode):
    return _roots(*mode)[1]


def _lower(*mode):
    return _roots(*mode)[2]


def _imaginary(*mode):
    return _roots(*mode)[3]


def _coded(cases: list[tuple[Any, Regime]], otherwise: Regime) -> Array:
    """The code of the first case that is true."""
    code = jnp.int8(otherwise)
    for holds, regime in reversed(cases):
        code = jnp.where(holds, jnp.int8(regime), code)
    return code


def _flow_code(curvature, alpha, beta, m):
    kind = _roots(curvature, alpha, beta, m)[0]
    return _coded(
        [
            (curvature < 0, Regime.SADDLE),
            (curvature == 0, Regime.FLAT),
            (alpha + beta * curvature == 0, Regime.MARGINAL),
            (kind < 0, Regime.SPIRAL),
            (kind == 0, Regime.DEGENERATE),
        ],
        Regime.NODE,
    )


def _step_code(curvature, alpha, beta, m, h, lower):
    kind = _roots(curvature, alpha, beta, m)[0]
    # signs of p(-1) and of det - 1
    at_minus_one = _sign(
        (4 * m, -2 * h * alpha, -2 * h * beta * curvature, h * h * curvature)
    )
    excess = _sign((h * curvature, -beta * curvature, -alpha))
    return _coded(
        [
            ((curvature <= 0) & (at_minus_one == 0), Regime.MARGINAL),
            ((curvature < 0) & (at_minus_one < 0), Regime.SOURCE),
            (curvature < 0, Regime.SADDLE),
            ((curvature == 0) & (at_minus_one < 0), Regime.UNSTABLE_FLIP),
            (curvature == 0, Regime.FLAT),
            ((kind < 0) & (excess > 0), Regime.UNSTABLE_SPIRAL),
            ((excess > 0) | (at_minus_one < 0), Regime.UNSTABLE_FLIP),
            ((excess == 0) | (at_minus_one == 0), Regime.MARGINAL),
            (kind < 0, Regime.SPIRAL),
            (kind == 0, Regime.DEGENERATE),
            (_sign((1.0, h * lower)) < 0, Regime.FLIP),
        ],
        Regime.NODE,
    )


def _step_rate(curvature, alpha, beta, m, h, upper, lower, imaginary):
    """-log max|z| / γ: of a pair |z| is √det, of real roots 1 + γμ₊ or -(1 + γμ₋)."""
    squared = h * ((h - beta) * curvature - alpha) / m
    real = jnp.maximum(h * upper, -2 - h * lower)
    pair = imaginary > 0
    growth = jnp.log1p(jnp.where(pair, squared, real))
    return growth * jnp.where(pair, -0.5, -1.0) / h


def _as_shown(upper, lower, imaginary, h=None) -> tuple[Any, Any, Any]:
    """Parts of the roots μ of a flow, or of those of a step, z = 1 + γμ."""
    if h is None:
        return upper, lower, imaginary
    return 1 + h * upper, 1 + h * lower, h * imaginary


def _every(one: Callable[..., Any], curvature, alpha, beta, m, h=None) -> list[Any]:
    """Code, three parts of the roots μ, rate, nearest boundary and distance.

    Args:
        one: calls a function of arrays that has one result.
        curvature: λ.
        alpha: α.
        beta: β.
        m: m.
        h: γ; None for the flow.
    """
    mode = curvature, alpha, beta, m
    upper, lower, imaginary = (one(f, *mode) for f in (_upper, _lower, _imaginary))
    if h is None:
        nearest = one(_flow_nearest, *mode)
        code, rate = one(_flow_code, *mode), 0.0 - upper
    else:
        nearest = one(_step_nearest, *mode, h)
        code = one(_step_code, *mode, h, lower)
        rate = one(_step_rate, *mode, h, upper, lower, imaginary)
    distance = one(_distance, curvature, nearest)
    return [code, upper, lower, imaginary, rate, nearest, distance]


def _here(function: Callable[..., Any], *arrays: Any) -> Any:
    return function(*jnp.broadcast_arrays(*arrays))


_alone = jax.jit(_here, static_argnums=0)


@jax.jit
def _together(*arrays: Any) -> list[Any]:
    code, upper, lower, imaginary, *rest = _every(_here, *jnp.broadcast_arrays(*arrays))
    return [code, *_as_shown(upper, lower, imaginary, *arrays[4:]), *rest]


def every(arrays: Sequence[Array]) -> list[Any]:
    """Code, eigenvalues, rate, nearest boundary and distance of modes.

    Args:
        arrays: λ, α, β, m and, of a step, γ.
    """
    if is_traced(arrays) or max(a.size for a in arrays) < MANY:
        code, upper, lower, imaginary, *rest = in_blocks(_together, arrays)
        return [code, _pairs(upper, lower, imaginary), *rest]
    code, upper, lower, imaginary, *rest = _every(_alone, *arrays)
    return [code, _stacked(upper, lower, imaginary, *arrays[4:]), *rest]


def in_blocks(function: Callable[..., Any], arrays: Sequence[Array]) -> list[Array]:
    """The function on few modes, filled up to a block: a new number compiles nothing.

    Blocks have 256, 1024, 4096, ... entries. Traced arrays are passed on as they are.
    """
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    size = math.prod(shape)
    if is_traced(arrays) or size >= MANY:
        return list(function(*arrays))
    block = 256
    while block < size:
        block *= 4
    filled = []
    for a in arrays:
        numbers = np.ones(block, a.dtype)
        numbers[:size] = np.broadcast_to(np.asarray(a), shape).ravel()
        filled.append(jnp.asarray(numbers))
    # cut in NumPy: a slice of jax would be compiled for every size
    found = [np.asarray(a)[:size].reshape(shape) for a in function(*filled)]
    return [jnp.asarray(a) for a in found]


def _pairs(upper, lower, imaginary) -> Array:
    """Complex numbers upper + i imaginary and lower - i imaginary, last axis 2."""
    if is_traced(upper) or upper.size >= MANY:
        return _stacked(upper, lower, imaginary)
    upper, lower, imaginary = map(np.asarray, (upper, lower, imaginary))
    pair = np.stack([upper + 1j * imaginary, lower - 1j * imaginary], axis=-1)
    return jnp.asarray(pair)


@jax.jit
def _stacked(*parts: Any) -> Array:
    upper, lower, imaginary = _as_shown(*parts)
    real = jnp.stack([upper, lower], axis=-1)
    return jax.lax.complex(real, jnp.stack([imaginary, -imaginary], axis=-1))


@jax.jit
def _all_flow_boundaries(*parameters: Any) -> RegimeBoundaries:
    return flow_boundaries(*jnp.broadcast_arrays(*parameters))


@jax.jit
def _all_step_boundaries(*parameters: Any) -> RegimeBoundaries:
    return step_boundaries(*jnp.broadcast_arrays(*parameters))


def boundaries(parameters: Sequence[Array]) -> RegimeBoundaries:
    """Boundaries of many parameters: α, β, m and, of a step, γ."""
    found = _all_flow_boundaries if len(parameters) == 3 else _all_step_boundaries
    return RegimeBoundaries(*in_blocks(found, parameters))
