"""The damped oscillator m x'' + α x' + κ x = 0, through critical damping and m -> 0."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flows.errors import BadInput
from flows.phi_functions import expm1_over
from flows.sine_cosine import sine_cosine
from flows.types import is_traced


class Oscillation(NamedTuple):
    """The time-t map of m x'' + α x' + κ x = f, f constant.

    x(t) = xx x + xv v + xf f and v(t) = vx x + vv v + vf f.
    """

    xx: Any
    xv: Any
    xf: Any
    vx: Any
    vv: Any
    vf: Any


def damped_oscillator(
    curvature: Any, mass: Any, friction: Any, t: Any, *, among: Any = None
) -> Oscillation:
    r"""The exact map of a linear damped oscillator, stable for any m > 0.

    With q² = α² - 4κm and the roots l₁ = -2κ/(α + q), l₂ = -(α + q)/(2m):

        xv = s(t) = m (e^{l₁t} - e^{l₂t})/q,  xx = e^{l₁t} - l₁ s,  vv = e^{l₂t} + l₁ s,

    where s = e^{-αt/2m} sin(ωt)/ω for complex roots, and the impulse response gives
    vf = s/m, xf = ∫₀ᵗ s/m. The slow root is written without a difference of large
    numbers, so m = 1e-8 costs no digits, nor does critical damping. Derivatives in all
    arguments are finite, at q = 0 too.

    Args:
        curvature: κ, of either sign or 0 (mass/time²).
        mass: m > 0.
        friction: α >= 0 (mass/time).
        t: the time, >= 0.
        among: curvatures of which `curvature` is one, where they are known (those of
            all labels, say). If all roots are complex, or all are real, and nowhere
            nearly equal, then that branch alone is computed, once that is settled for
            all t and labels.

    Returns:
        The six entries, of the shape to which the arguments broadcast.

    Raises:
        BadInput: a mass that is not positive (a traced one is not looked at).
    """
    if not is_traced(mass) and not np.all(np.asarray(mass) > 0):
        raise BadInput(
            f"mass > 0; got {mass}. Without a mass the motion is x' = -κ x/α."
        )
    branch = None if among is None else _branch_of(among, mass, friction)
    curvature, mass, friction, t = jnp.broadcast_arrays(curvature, mass, friction, t)
    args = curvature, mass, friction, t
    if branch is None:
        rate, grown, decayed, xv = _either(*args)
    else:
        ways = _either, _complex, _real
        rate, grown, decayed, xv = jax.lax.switch(branch, ways, *args)
    xx, vv = grown + rate * xv, decayed - rate * xv
    xf = _displacement(xx, curvature, mass, friction, t)
    return Oscillation(xx, xv, xf, -curvature / mass * xv, vv, xv / mass)


def _branch_of(curvatures, mass, friction):
    """1: complex roots for all, 2: real roots for all, 0: nearly equal ones, or both.

    Roots are nearly equal where their gap is small beside its two parts: there neither
    branch has exact derivatives.
    """
    g = friction / (2 * mass)
    gap = g * g - curvatures / mass
    far = jnp.abs(gap) > 1e-2 * (g * g + jnp.abs(curvatures) / mass)
    turning, apart = jnp.all(far & (gap < 0)), jnp.all(far & (gap > 0))
    return jnp.where(turning, 1, jnp.where(apart, 2, 0))


def _either(curvature, mass, friction, t):
    """A rate l, A, B and s for roots of any kind: xx = A + ls, vv = B - ls."""
    g = friction / (2 * mass)
    gap = g * g - curvature / mass  # (q/2m)², 1/time²
    apart = gap * t * t >= 1e-2  # elsewhere the two roots count as nearly equal
    real = _real_roots(jnp.where(apart, gap, 1.0), curvature, mass, g, t)
    s, cos = _turning(jnp.where(apart, 0.0, -gap), g, t)
    return tuple(
        jnp.where(apart, a, b) for a, b in zip(real, (g, cos, cos, s), strict=True)
    )


def _complex(curvature, mass, friction, t):
    """`_either` for complex roots: α/2m, e^{-αt/2m} cos(ωt) twice, and s."""
    g = friction / (2 * mass)
    squared = curvature / mass - g * g
    omega = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    sine, cosine = sine_cosine(omega * t)
    decay = jnp.exp(-g * t)
    return g, decay * cosine, decay * cosine, decay * (sine / omega)


def _real(curvature, mass, friction, t):
    """`_either` for real roots."""
    g = friction / (2 * mass)
    gap = g * g - curvature / mass
    return _real_roots(jnp.where(gap > 0, gap, 1.0), curvature, mass, g, t)


def _real_roots(gap, curvature, mass, g, t):
    """-l₁, e^{l₁t}, e^{l₂t} and s for two real roots, (l₁ - l₂)² = 4 gap."""
    root = jnp.sqrt(gap)
    slow = curvature / mass / (g + root)
    grown = jnp.exp(-slow * t)
    s = grown * expm1_over(-2 * root, t)
    return slow, grown, jnp.exp(-(g + root) * t), s


def _turning(squared, g, t):
    """The s and e^{-gt} cos(ωt) of ω² = squared, entire in it, of either sign."""
    z = squared * t * t
    small = z < 1e-2
    omega = jnp.sqrt(jnp.where(small, 1.0, z))
    near = jnp.where(small, z, 0.0)
    sinc = 1 - near / 6 * (1 - near / 20 * (1 - near / 42 * (1 - near / 72)))
    cos = 1 - near / 2 * (1 - near / 12 * (1 - near / 30 * (1 - near / 56)))
    decay = jnp.exp(-g * t)
    sine, cosine = sine_cosine(omega)
    sinc = jnp.where(small, sinc, sine / omega)
    return decay * t * sinc, decay * jnp.where(small, cos, cosine)


def _displacement(xx, curvature, mass, friction, t):
    """The entry xf = (1 - xx)/κ, without the cancellation where κ is small."""
    g = friction / (2 * mass)
    gap = g * g - curvature / mass
    root = jnp.sqrt(jnp.where(gap > 0, gap, 1.0))
    slow, fast = -curvature / mass / (g + root), -(g + root)
    brief = (g * t < 0.1) & (jnp.abs(curvature) * t * t < 0.05 * mass)
    soft = ~brief & (gap > 0) & (jnp.abs(slow) < root)
    # ∫ s/m from the roots: [(e^{l₁t} - 1)/l₁ - (e^{l₂t} - 1)/l₂]/(m (l₁ - l₂))
    by_roots = (expm1_over(slow, t) - expm1_over(fast, t)) / (2 * mass * root)
    stiffness = jnp.where(brief | soft, 1.0, curvature)
    by_rest = jnp.where(soft, by_roots, (1 - xx) / stiffness)
    return jnp.where(brief, _taylor(curvature, mass, friction, t, brief), by_rest)


def _taylor(curvature, mass, friction, t, brief, terms: int = 14):
    """Σ cₖ tᵏ of m x'' = 1 - α x' - κ x, x = x' = 0 at first."""
    t = jnp.where(brief, t, 0.0)
    a, b = 0.0, t * t / (2 * mass)
    total = b
    for k in range(2, terms):  # a, b are the terms k - 1 and k
        pull = friction * t * k * b + curvature * t * t * a
        a, b = b, -pull / (mass * k * (k + 1))
        total = total + b
    return total
