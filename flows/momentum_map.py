"""What ε x'' + x' = Θ x makes of a start at rest: the linear maps it represents."""

from __future__ import annotations

import cmath
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from flows.door import as_floats, require_number
from flows.errors import BadInput
from flows.oscillator import damped_oscillator
from flows.ravel import require_finite
from flows.types import is_traced

_SAME = 1e-8
"""Relative distance at which eigenvalues count as equal: they move by √eps."""

_LARGEST = 1e307
"""Largest multiplier μ: e μ, which bounds Ψ where its rate is sought, is a float."""


def linear_momentum_map(theta: Any, mass: Any, time: Any = 1.0) -> Any:
    r"""Ψ(θ): x(T) = Ψ(θ) x(0) for ε x'' + x' = θ x, x'(0) = 0.

        Ψ(θ) = e^{-a} [cosh w + a sinh(w)/w],  a = T/(2ε),  w = a √(1 + 4εθ),

    with cos and sin where 4εθ < -1, stable through w = 0 and for ε → 0, where it tends
    to e^{θT}. Its range over all real θ is [λ, ∞), λ < 0 of `least_multiplier`.

    Reference: Sander, Ablin, Blondel and Peyré, ICML 2021, arXiv 2102.07870 (section on
    the representation of linear maps).

    Args:
        theta: θ, real (1/time), any shape.
        mass: ε > 0 (time).
        time: T >= 0.

    Returns:
        Ψ(θ), of the shape to which the arguments broadcast.

    Raises:
        BadInput: no real numbers, a mass that is not positive, a negative time (traced
            ones are not looked at).
    """
    theta, mass, time = (
        _real(name, value)
        for name, value in (("theta", theta), ("mass", mass), ("time", time))
    )
    if not is_traced(time) and not np.all(np.asarray(time) >= 0):
        raise BadInput(f"time >= 0; got {time!r:.60}.")
    return damped_oscillator(-theta, mass, 1.0, time).xx


def _real(name: str, value: Any) -> Any:
    """The value, rows of numbers as an array."""
    if not is_traced(value):
        as_floats(name, value)
    return jnp.asarray(value, float) if isinstance(value, list | tuple) else value


def least_multiplier(mass: float, time: float = 1.0) -> float:
    r"""λ(ε) < 0, the least of Ψ(θ) over real θ: what momentum can do to a sign.

    With w = iω the derivative of cos ω + a sin(ω)/ω vanishes where

        ω² sin ω = a (ω cos ω - sin ω),

    first for one ω in (π, 3π/2). There

        λ = -e^{-a} (s + a + a²)/√((s + a)² + a² s),   s = ω²,  a = T/(2ε);

    later stationary values are smaller in size, since that falls with s. λ → -1 as
    ε → ∞, with ε (1 + λ)/T → 1/2, and λ → 0 as ε → 0.

    Args:
        mass: ε > 0 (time).
        time: T > 0.

    Raises:
        BadInput: a number that is not positive.
    """
    a = _half_rate(mass, time)
    s = _turn(a) ** 2
    return -float(np.exp(-a) * (s + a + a * a) / np.sqrt((s + a) ** 2 + a * a * s))


def representing_rate(multiplier: Any, mass: float, time: float = 1.0) -> complex:
    """A θ with Ψ(θ) = μ: real where there is a real one, else complex.

    For real μ >= λ(ε) it is the largest real θ, which is the only one where Ψ grows.
    Otherwise the θ of least modulus that Newton's method finds on the branches of w
    next to 0; Ψ is entire of order 1/2, so every μ is reached.

    Args:
        multiplier: μ, real or complex, of size up to 1e307.
        mass: ε > 0 (time).
        time: T > 0.

    Returns:
        θ (1/time): a float, or a complex number.

    Raises:
        BadInput: a mass or a time that is not positive, a multiplier that is not one
            number of that size.
    """
    a = _half_rate(mass, time)
    mu = _as_multiplier(multiplier)
    if mu.imag == 0 and mu.real >= least_multiplier(mass, time):
        return _real_rate(mu.real, float(mass), float(time))
    roots = [w for start in _starts(mu, a) if (w := _newton(mu, a, start)) is not None]
    if not roots:
        raise BadInput(f"no rate found for the multiplier {multiplier!r}.")
    rates = [((w / a) ** 2 - 1) / (4 * mass) for w in roots]
    return min(rates, key=lambda theta: (round(abs(theta), 9), -theta.imag))


def _as_multiplier(value: Any) -> complex:
    try:
        one = np.ndim(value) == 0 and not isinstance(value, str)
        mu = complex(value) if one else complex(math.nan)
    except (TypeError, ValueError, OverflowError):
        mu = complex(math.nan)
    if not (abs(mu.real) <= _LARGEST and abs(mu.imag) <= _LARGEST):
        raise BadInput(
            "multiplier is one finite number, real or complex, of size up to "
            f"{_LARGEST:g}; got {value!r:.60}."
        )
    return mu


def representing_matrix(matrix: Any, mass: float, time: float = 1.0) -> np.ndarray:
    r"""A real Θ with x(T) = A x(0) for ε x'' + x' = Θ x, x'(0) = 0.

    An eigenvalue of A that is real and at least λ(ε) has a real rate, a complex pair a
    pair of rates, and two equal real eigenvalues below λ(ε) a pair of conjugate rates
    in their plane.

    Args:
        matrix: A, real and diagonalisable, shape [n, n].
        mass: ε > 0 (time).
        time: T > 0.

    Returns:
        Θ, shape [n, n] (1/time).

    Raises:
        BadInput: a real eigenvalue below λ(ε) an odd number of times, which no
            constant Θ reaches (a larger mass may); a matrix that is not square, or not
            diagonalisable to rounding.
    """
    wanted = as_floats("matrix", matrix)
    if wanted.ndim != 2 or wanted.shape[0] != wanted.shape[1] or not wanted.size:
        raise BadInput(f"matrix has shape [n, n]; got {wanted.shape}.")
    require_finite(wanted, "matrix")
    found: Any = np.linalg.eig(wanted)
    values, vectors = (np.asarray(a, complex) for a in found)
    if not np.linalg.cond(vectors) < 1e8:
        raise BadInput("matrix is diagonalisable; the one given is not, to rounding.")
    bound = least_multiplier(mass, time)
    rates = np.zeros(values.size, complex)
    below = [k for k, mu in enumerate(values) if mu.imag == 0 and mu.real < bound]
    for k, mu in enumerate(values):
        if k not in below:
            upper = complex(mu.real, abs(mu.imag))  # conjugate rates of a pair
            theta = representing_rate(upper, mass, time)
            rates[k] = theta if mu.imag >= 0 else np.conj(theta)
    for j, k in _pairs(values, below, bound):
        theta = complex(representing_rate(float(values[j].real), mass, time))
        rates[j], rates[k] = theta, theta.conjugate()
        u, v = np.real(vectors[:, j]), np.real(vectors[:, k])
        vectors[:, j], vectors[:, k] = u + 1j * v, u - 1j * v
    return np.real(np.linalg.solve(vectors.T, (vectors * rates).T).T)


def _pairs(values: Any, below: list[int], bound: float) -> list[tuple[int, int]]:
    """Eigenvalues below the bound, two equal ones at a time."""
    order = sorted(below, key=lambda k: values[k].real)
    scale, pairs = np.max(np.abs(values)), []
    while order:
        j, *order = order
        if not order or abs(values[j] - values[order[0]]) > _SAME * scale:
            raise BadInput(
                f"the eigenvalue {values[j].real:.6g} is below {bound:.6g}, the least "
                "that a constant matrix reaches at this mass; equal ones below it are "
                "reached two at a time, and of these there is an odd number."
            )
        k, *order = order
        pairs.append((j, k))
    return pairs


def _half_rate(mass: Any, time: Any) -> float:
    require_number("mass", mass, positive=True)
    require_number("time", time, positive=True)
    return float(time) / (2 * float(mass))


def _turn(a: float) -> float:
    """The ω in (π, 3π/2) at which cos ω + a sin(ω)/ω is least."""

    def slope(omega):
        # divided by 1 + a, so that neither a -> 0 nor a -> ∞ spoils the scale
        bend = omega * np.cos(omega) - np.sin(omega)
        return (omega**2 * np.sin(omega) - a * bend) / (1 + a)

    return _root(slope, np.pi, 1.5 * np.pi)


def _real_rate(mu: float, mass: float, time: float) -> float:
    a = time / (2 * mass)

    def gap(theta):  # `linear_momentum_map` in plain Python: many calls, one number
        return _value(a * cmath.sqrt(1 + 4 * mass * theta), a)[0].real - mu

    low = -((_turn(a) / a) ** 2 + 1) / (4 * mass)
    if gap(low) >= 0:
        return low
    # w = a + ln eμ, where e^{-a} cosh w > eμ/2; below μ = 1/e it is θ = 0, Ψ = 1
    grown = 1 + math.log(max(mu, math.exp(-1)))
    return _root(gap, low, grown * (2 + grown / a) / (2 * time))


def _root(f: Any, low: float, high: float) -> float:
    """A zero of f between ends of different sign, to rounding."""
    from scipy.optimize import brentq

    found: Any = brentq(f, low, high, xtol=1e-15 * max(abs(low), abs(high)))
    return float(found)


def _starts(mu: complex, a: float) -> list[complex]:
    """Where to look for w: the limits of small and of large mass, and branches."""
    turns = [2j * cmath.pi * k for k in (-2, -1, 0, 1, 2)]
    flow = [a * cmath.sqrt(1 + 2 * (cmath.log(mu) + k) / a) for k in turns if mu]
    # acosh z is log 2z to rounding where z is large, and e^a may overflow
    free = cmath.log(2 * mu) + a if a > 40 else cmath.acosh(mu * cmath.exp(a))
    return [*flow, *(free + k for k in turns)]


def _value(w: complex, a: float) -> tuple[complex, complex]:
    """e^{-a}[cosh w + a sinh(w)/w] and its derivative in w, entire in w."""
    up, down = cmath.exp(w - a) / 2, cmath.exp(-w - a) / 2
    cosh, sinh = up + down, up - down
    if abs(w) > 0.5:
        return cosh + a * sinh / w, sinh + a * (w * cosh - sinh) / w**2
    z, scale = w * w, a * cmath.exp(-a)
    sinc = slope = 0j
    for k in range(9, -1, -1):  # Σ zᵏ/(2k + 1)! and its derivative in z
        sinc, slope = sinc * z + 1 / math.factorial(2 * k + 1), slope * z + sinc
    return cosh + scale * sinc, sinh + scale * 2 * w * slope


def _newton(mu: complex, a: float, w: complex) -> complex | None:
    """A zero of e^{-a}[cosh w + a sinh(w)/w] - μ near w, where Newton finds one."""
    gap = complex(math.inf)
    for _ in range(60):
        if not cmath.isfinite(w) or abs(w.real) - a > 600 or w == 0:
            return None
        value, slope = _value(w, a)
        gap = value - mu
        if slope == 0:
            return None
        move = gap / slope
        w = w - move
        if abs(move) <= 4e-16 * abs(w):
            break
    return w if abs(gap) <= 1e-12 * (1 + abs(mu)) else None
