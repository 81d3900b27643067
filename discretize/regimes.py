"""Nodes, spirals, flips and saddles of inertial-Newton flows and of their steps."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int8

from flows import BadInput
from flows.types import is_traced

ROUNDING = 64
"""A sign counts as 0 below this many units of rounding of its largest term."""
MANY, PARTS = 1 << 15, 7
"""From so many modes on every array is computed by a call of its own: XLA vectorises
loops on a CPU that fill one array, and is four times slower where one fills several."""


class Regime(enum.IntEnum):
    """How a mode of curvature λ moves near its critical point.

    μ are the two exponents of the flow, z the two factors of a step (z = 1 + γμ for
    explicit Euler of step γ).
    """

    SADDLE = 0
    """λ < 0: it leaves along one real direction and comes along the other."""
    FLAT = 1
    """λ = 0: one root rests (μ = 0, z = 1), the other decays."""
    NODE = 2
    """Two different real roots that decay; of a step, neither is negative."""
    DEGENERATE = 3
    """A double root that decays: the edge of the spirals."""
    SPIRAL = 4
    """A complex pair that decays: infinitely many turns around the critical point."""
    FLIP = 5
    """Of a step alone: it decays, with a root z < 0 that changes side every step."""
    MARGINAL = 6
    """λ ≠ 0 and a root that neither grows nor decays."""
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
        spiral_low: λ₋ = (α/(√m + √(m-αβ)))², double root; between λ₋ and λ₊ spirals.
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


class Regimes(NamedTuple):
    """Regimes of many modes, every array of the shape to which the inputs broadcast.

    Attributes:
        regime: codes, the values of `Regime`.
        eigenvalues: of the flow μ (1/time), of a step z; last axis 2. Real ones in
            falling order, the slow root first; of a pair the upper one first.
        rate: decay per unit of time of the slower root, -max Re μ, or -log max|z| / γ;
            negative where it grows.
        boundary: the curvature λ nearest to the given one at which the regime changes,
            the other parameters held; 0 is always one.
        distance: |λ - boundary|, unit of λ.
    """

    regime: Int8[Array, "..."]
    eigenvalues: Complex[Array, "... 2"]
    rate: Float[Array, "..."]
    boundary: Float[Array, "..."]
    distance: Float[Array, "..."]

    def count(self) -> dict[str, int]:
        """How many modes are in each regime, by name; regimes without any are out."""
        codes, many = np.unique(np.asarray(self.regime), return_counts=True)
        return {Regime(int(c)).name: int(n) for c, n in zip(codes, many, strict=True)}


def regimes(
    curvature: Any,
    friction: Any,
    hessian_damping: Any,
    *,
    mass: Any = 1.0,
    step: Any = None,
) -> Regimes:
    r"""How modes of curvature λ move under inertial-Newton damping, flow or step.

    On f = λx²/2 the flow m x'' + α x' + β ∇²f x' + ∇f = 0 has the exponents of

        m μ² + (α + βλ) μ + λ = 0,

    and explicit Euler of step γ in its (x, ψ) form (INNA, where m = 1) multiplies by
    z = 1 + γμ. For λ > 0 the flow is a stable spiral where αβ < m and λ₋ < λ < λ₊, a
    stable node elsewhere; for λ < 0 a saddle. A step is stable where λ > 0,

        (γ-β) λ < α   and   4m - 2γα > γ(2β-γ) λ,

    a spiral exactly where the flow is one, and a flip where a root is negative. The
    arguments broadcast against each other; a million modes are one compiled call.
    Optax's SGD of learning rate η and momentum b is the point γ = √η, α = (1-b)/γ with
    β = γ (heavy ball) or β = (1+b)γ (Nesterov).

    Reference: the window λ± for m = 1: Castera, "Inertial Newton Algorithms Avoiding
    Strict Saddle Points", JOTA 199 (2023), arXiv 2111.04596; mass, steps and
    boundaries are derived here.

    Args:
        curvature: λ, eigenvalues of a Hessian, any sign.
        friction: α >= 0 (time · curvature; 1/time where m = 1).
        hessian_damping: β >= 0 (time).
        mass: m > 0 (time² · curvature).
        step: γ > 0 (time); None for the flow.

    Returns:
        Codes, eigenvalues, rates and the nearest boundaries, in jax's default float.
        A sign below 64 units of rounding of its largest term counts as 0.

    Raises:
        BadInput: a parameter out of its range, or shapes that do not broadcast.
    """
    values = _parameters(friction, hessian_damping, mass, step)
    curvature = _floats("curvature", curvature)
    _require_broadcast(curvature, *values)
    arrays = (curvature, *values)
    every = _flow if step is None else _step
    if is_traced(arrays) or max(a.size for a in arrays) < MANY:
        code, upper, lower, imaginary, *rest = _in_blocks(every, arrays)
    else:
        code, upper, lower, imaginary, *rest = (
            every(*arrays, which=which) for which in range(PARTS)
        )
    return Regimes(code, _pairs(upper, lower, imaginary), *rest)


def regime_boundaries(
    friction: Any, hessian_damping: Any, *, mass: Any = 1.0, step: Any = None
) -> RegimeBoundaries:
    """The curvatures at which `regimes` changes, in closed form (0 is one more).

    Args:
        friction: α >= 0.
        hessian_damping: β >= 0.
        mass: m > 0.
        step: γ > 0; None for the flow.

    Raises:
        BadInput: as `regimes`.
    """
    values = _parameters(friction, hessian_damping, mass, step)
    _require_broadcast(*values)
    found = _boundaries_of_flow if step is None else _boundaries
    return RegimeBoundaries(*_in_blocks(found, values))


def critical_mass(curvature: Any, friction: Any, hessian_damping: Any) -> Array:
    """The mass m* = (α + βλ)²/(4λ) of the fastest slow root, at a curvature λ > 0.

    There the two roots meet and the rate is 2λ/(α + βλ): twice that of the
    Levenberg–Marquardt flow (m -> 0). A lighter mode is slowed by its small root, a
    heavier one by its inertia.

    Args:
        curvature: λ > 0.
        friction: α >= 0.
        hessian_damping: β >= 0.

    Raises:
        BadInput: a number out of its range.
    """
    stiffness = _floats("curvature", curvature, "> 0")
    alpha, beta = (
        _floats("friction", friction, ">= 0"),
        _floats("hessian_damping", hessian_damping, ">= 0"),
    )
    _require_broadcast(stiffness, alpha, beta)
    stiffness, alpha, beta = jnp.broadcast_arrays(stiffness, alpha, beta)
    return (alpha + beta * stiffness) ** 2 / (4 * stiffness)


def _parameters(friction, hessian_damping, mass, step) -> tuple[Array, ...]:
    values = (
        _floats("friction", friction, ">= 0"),
        _floats("hessian_damping", hessian_damping, ">= 0"),
        _floats("mass", mass, "> 0"),
    )
    return values if step is None else (*values, _floats("step", step, "> 0"))


def _floats(name: str, value: Any, wanted: str = "") -> Array:
    """The value as jax floats; refused where it is not finite, or out of its range."""
    if is_traced(value):
        return jnp.asarray(value, float)
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        numbers = np.asarray(np.nan)
    inside = {"": True, ">= 0": np.all(numbers >= 0), "> 0": np.all(numbers > 0)}
    if not (inside[wanted] and np.all(np.isfinite(numbers))):
        raise BadInput(
            f"{name} holds finite real numbers{' ' if wanted else ''}{wanted}; got "
            f"{value!r:.60}."
        )
    return jnp.asarray(value if isinstance(value, jax.Array) else numbers, float)


def _require_broadcast(*values: Array) -> None:
    shapes = [v.shape for v in values]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise BadInput(
            "curvature, friction, hessian_damping, mass and step broadcast against "
            f"each other; got the shapes {', '.join(map(str, shapes))}."
        ) from None


def _in_blocks(function: Callable[..., Any], arrays: Sequence[Array]) -> list[Array]:
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


def _window(alpha, beta, m):
    """λ₋ and λ₊, without differences of large numbers."""
    gap = m - alpha * beta
    root = jnp.sqrt(jnp.where(gap >= 0, gap, jnp.nan)) + jnp.sqrt(m)
    return (alpha / root) ** 2, (root / beta) ** 2


def _over(numerator, denominator):
    """The quotient; NaN where the denominator is 0."""
    none = denominator == 0
    return jnp.where(none, jnp.nan, numerator / jnp.where(none, 1.0, denominator))


@jax.jit
def _boundaries_of_flow(alpha, beta, m) -> RegimeBoundaries:
    alpha, beta, m = jnp.broadcast_arrays(alpha, beta, m)
    none = jnp.full_like(m, jnp.nan)
    return RegimeBoundaries(*_window(alpha, beta, m), none, none, none)


@jax.jit
def _boundaries(alpha, beta, m, h) -> RegimeBoundaries:
    alpha, beta, m, h = jnp.broadcast_arrays(alpha, beta, m, h)
    # det = 0: the other root is the trace, and must be positive
    flip = _over(m - h * alpha, h * (beta - h))
    flip = jnp.where((flip > 0) & (2 * m > h * (alpha + beta * flip)), flip, jnp.nan)
    # a root -1: the other one is -det, and must be above -1
    turn = _over(4 * m - 2 * h * alpha, h * (2 * beta - h))
    turn = jnp.where((h - beta) * turn < alpha, turn, jnp.nan)
    # det = 1: on the circle only as a complex pair
    grow = _over(alpha, h - beta)
    paired = (alpha + beta * grow) ** 2 < 4 * m * grow
    grow = jnp.where((grow > 0) & paired, grow, jnp.nan)
    return RegimeBoundaries(*_window(alpha, beta, m), flip, turn, grow)


def _nearest(curvature, boundaries: RegimeBoundaries):
    """The boundary nearest to λ, with 0 among them, and how far it is."""
    best, least = jnp.zeros_like(curvature), jnp.abs(curvature)
    for b in boundaries:
        gap = jnp.abs(curvature - b)
        nearer = gap < least  # not so for NaN
        best, least = jnp.where(nearer, b, best), jnp.where(nearer, gap, least)
    return best, least


def _sign(terms) -> Array:
    """-1, 0 or 1: the sign of a sum, 0 where rounding may have made it."""
    total, size = sum(terms), sum(jnp.abs(t) for t in terms)
    near = jnp.abs(total) <= ROUNDING * jnp.finfo(total.dtype).eps * size
    return jnp.where(near, 0, jnp.sign(total)).astype(jnp.int8)


def _roots(curvature, alpha, beta, m):
    """Sign of the discriminant, real parts (falling) and imaginary part of μ."""
    damping = alpha + beta * curvature
    terms = damping**2, -4 * m * curvature
    kind = _sign(terms)
    disc = jnp.where(kind == 0, 0.0, sum(terms))
    root = jnp.sqrt(jnp.abs(disc))
    # the sum of two numbers of one sign: one root from it, the other by Vieta
    q = -(damping + jnp.copysign(root, damping)) / 2
    ratio = curvature / jnp.where(q == 0, 1.0, q)
    falls = damping >= 0
    real = jnp.where(falls, ratio, q / m), jnp.where(falls, q / m, ratio)
    middle = -damping / (2 * m)
    pair = kind < 0
    upper, lower = (jnp.where(kind <= 0, middle, r) for r in real)
    return kind, upper, lower, jnp.where(pair, root / (2 * m), 0.0)


def _coded(cases: list[tuple[Any, Regime]], otherwise: Regime) -> Array:
    """The code of the first case that is true."""
    code = jnp.int8(otherwise)
    for holds, regime in reversed(cases):
        code = jnp.where(holds, jnp.int8(regime), code)
    return code


def _pairs(upper, lower, imaginary) -> Array:
    """Complex numbers upper + i imaginary and lower - i imaginary, last axis 2."""
    if is_traced(upper) or upper.size >= MANY:
        return _stacked(upper, lower, imaginary)
    upper, lower, imaginary = map(np.asarray, (upper, lower, imaginary))
    pair = np.stack([upper + 1j * imaginary, lower - 1j * imaginary], axis=-1)
    return jnp.asarray(pair)


@jax.jit
def _stacked(upper, lower, imaginary) -> Array:
    pair = [jax.lax.complex(upper, imaginary), jax.lax.complex(lower, -imaginary)]
    return jnp.stack(pair, axis=-1)


@functools.partial(jax.jit, static_argnames="which")
def _flow(curvature, alpha, beta, m, which=None):
    """Code, three parts of the roots, rate, boundary and distance; or one of them."""
    curvature, alpha, beta, m = jnp.broadcast_arrays(curvature, alpha, beta, m)
    kind, upper, lower, imaginary = _roots(curvature, alpha, beta, m)
    code = _coded(
        [
            (curvature < 0, Regime.SADDLE),
            (curvature == 0, Regime.FLAT),
            (alpha + beta * curvature == 0, Regime.MARGINAL),
            (kind < 0, Regime.SPIRAL),
            (kind == 0, Regime.DEGENERATE),
        ],
        Regime.NODE,
    )
    boundary, distance = _nearest(curvature, _boundaries_of_flow(alpha, beta, m))
    found = code, upper, lower, imaginary, 0.0 - upper, boundary, distance
    return found if which is None else found[which]


@functools.partial(jax.jit, static_argnames="which")
def _step(curvature, alpha, beta, m, h, which=None):
    """As `_flow`, of a step."""
    curvature, alpha, beta, m, h = jnp.broadcast_arrays(curvature, alpha, beta, m, h)
    kind, upper, lower, imaginary = _roots(curvature, alpha, beta, m)
    slow, fast, turn = h * upper, h * lower, h * imaginary
    # signs of p(-1), of det - 1 and of the smaller root
    at_minus_one = _sign(
        (4 * m, -2 * h * alpha, -2 * h * beta * curvature, h * h * curvature)
    )
    excess = _sign((h * curvature, -beta * curvature, -alpha))
    code = _coded(
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
            (fast < -1, Regime.FLIP),
        ],
        Regime.NODE,
    )
    # the largest |z|: of a pair √det, of real roots 1 + slow or -(1 + fast)
    squared = h * ((h - beta) * curvature - alpha) / m
    real = jnp.maximum(slow, -2 - fast)
    pair = kind < 0
    growth = jnp.log1p(jnp.where(pair, squared, real)) * jnp.where(pair, 0.5, 1.0)
    boundary, distance = _nearest(curvature, _boundaries(alpha, beta, m, h))
    found = code, 1 + slow, 1 + fast, turn, -growth / h, boundary, distance
    return found if which is None else found[which]
