"""Stabilised explicit Runge–Kutta methods: s stages reach a step of order s²/λ_max."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from flows.orthogonal import table
from flows.stabilised import AbstractStabilised, add, radius_of

DAMPING = 2 / 13
"""ε of `RKC2`: |R| stays below 1 - ε/3 inside the stability interval."""


class RKC2(AbstractStabilised):
    r"""Runge–Kutta–Chebyshev of order two: s stages, stable for h ρ <= 0.65 (s² - 1).

    For flows whose Jacobian has a real negative spectrum, or nearly: gradient flow on
    anything. ρ is its spectral radius, the sharpness λ_max of a loss. An ordinary
    explicit method is held to steps of about 3/ρ however slow the solution is; here a
    step h costs about √(1.5 h ρ) evaluations. No Jacobian, no linear solve. On a
    quadratic, the step is

        R_s(z) = a_s + b_s T_s(w₀ + w₁ z),   z = -h λ,

    with Chebyshev's polynomial T_s: an accelerated first-order method, as seen from the
    flow (`discretize.Chebyshev` is that step, at a size of one's own).

    Take `ROCK4` for errors below about 1e-3, and this one for rough solutions. On
    spectra far from the real axis (heavy ball, games) neither is stable.

    It stands where any diffrax solver stands, in `flows.solve` and in
    `diffrax.diffeqsolve`, with a `PIDController`. `flows.solve` shows its evaluations
    in `.stats`. Forward mode differentiates it (`adjoint=diffrax.ForwardMode()`);
    reverse mode needs reverse=True.

    Reference: van der Houwen and Sommeijer 1980; Sommeijer, Shampine and Verwer, "RKC:
    an explicit solver for parabolic PDEs", J. Comput. Appl. Math. 88, 1998.

    Attributes:
        spectral_radius: ρ (1/time) as a number, as a function (t, y) -> ρ, or None to
            estimate it by a power method, one evaluation of the field an iteration.
        safety: factor on ρ, >= 1: an estimate may lie a few percent low.
        every: accepted steps after which ρ is estimated anew.
        max_stages: a step that needs more is rejected; with a constant step size the
            state becomes NaN.
        reverse: run the stages as a scan of length max_stages, so that reverse mode
            goes through. Keep max_stages small then: a step's memory is max_stages
            states.

    Raises:
        BadInput: safety below 1, counts that are not whole numbers, a negative radius.
    """

    spectral_radius: Any = eqx.field(converter=radius_of, default=None)
    safety: float = eqx.field(static=True, default=1.1)
    every: int = eqx.field(static=True, default=25)
    max_stages: int = eqx.field(static=True, default=10_000)
    reverse: bool = eqx.field(static=True, default=False)

    @property
    def _least_stages(self) -> int:
        return 2

    def order(self, terms):
        """2."""
        del terms
        return 2

    def error_order(self, terms):
        """3: the estimate is h³/15 times the third derivative, to leading order."""
        del terms
        return 3

    def _method(self, reach):
        s = jnp.ceil(jnp.sqrt(1 + reach / (2 / 3 * (1 - 2 / 15 * DAMPING))))
        s = jnp.clip(s, 2, self.max_stages + 1).astype(jnp.int32)
        fits = (s <= self.max_stages) & jnp.isfinite(reach)
        s = jnp.where(fits, s, 2)
        return fits, s, s

    def _advance(self, field, t, h, y, slope, method):
        y1 = rkc2(field, t, h, y, slope, arguments(method, h), method, self._loop)
        end = field(t + h, y1)
        moved = jax.tree.map(lambda a, b: 0.8 * (a - b), y, y1)
        return y1, end, add(moved, (0.4 * h, slope), (0.4 * h, end))


def rkc2(field, t, h, y, slope, w, s, loop):
    """The state after one step of s stages (see `RKC2`).

    Stage j is, with b_j = T_j''(w₀)/T_j'(w₀)² and a_j = 1 - b_j T_j(w₀),

        y_j = (1 - μ - ν) y_0 + μ y_{j-1} + ν y_{j-2} + m h (F_{j-1} - a_{j-1} F_0),
        μ = 2 w₀ b_j/b_{j-1},   ν = -b_j/b_{j-2},   m = 2 w₁ b_j/b_{j-1}.

    Args:
        field: F(t, y).
        t: time of the start.
        h: the step (time).
        y: the start, a pytree.
        slope: F(t, y).
        w: w₀ and w₁.
        s: number of stages, at least 2.
        loop: (stop, body, carry) -> carry, for j = 1, ..., stop - 1.
    """
    w0, w1 = w
    b = 1 / (4 * w0**2)
    one, zero = jnp.ones_like(h), jnp.zeros_like(h)

    def stage(_, carry):
        now, before, (t1, t0), (d1, d0), (e1, e0), (b1, b0), (c1, c0) = carry
        # T_j and its first two derivatives at w₀ (t, d, e), and stage j's time c.
        value = 2 * w0 * t1 - t0
        first = 2 * (w0 * d1 + t1) - d0
        second = 2 * (w0 * e1 + 2 * d1) - e0
        b = second / first**2
        mu, nu, weight = 2 * w0 * b / b1, -b / b0, 2 * w1 * b / b1
        a1 = 1 - b1 * t1
        k = field(t + c1 * h, now)
        base = jax.tree.map(lambda a: (1 - mu - nu).astype(a.dtype) * a, y)
        pull = (-weight * a1 * h, slope)
        new = add(base, (mu, now), (nu, before), (weight * h, k), pull)
        c = mu * c1 + nu * c0 + weight * (1 - a1)
        return new, now, (value, t1), (first, d1), (second, e1), (b, b1), (c, c1)

    y1 = add(y, (w1 * b * h, slope))
    scalars = (w0, one), (one, zero), (zero, zero), (b, b), (w1 * b, zero)
    return loop(s, stage, (y1, y, *scalars))[0]


def arguments(s, h):
    """w₀ = 1 + ε/s² and w₁ = T_s'(w₀)/T_s''(w₀), without cancellation."""
    n = s.astype(h.dtype)
    excess = DAMPING / n**2
    w0 = 1 + excess
    angle = 2 * jnp.arcsinh(jnp.sqrt(excess / 2))  # w₀ = cosh angle
    root = jnp.sinh(angle)
    first = n * jnp.sinh(n * angle) / root
    second = (n**2 * jnp.cosh(n * angle) - w0 * first) / root**2
    return w0, first / second


class ROCK4(AbstractStabilised):
    r"""Orthogonal Runge–Kutta–Chebyshev of order four: stable for h ρ <= 0.32 s².

    The explicit method for stiff gradient flows: it is for what `RKC2` is for, and much
    more accurate. A step h costs about √(3.1 h ρ) evaluations, at least 5. Inside the
    stability interval |R| is below 0.6 (beyond its first descent), so stiff modes die
    out within a few steps. Coefficients, and where they differ from Abdulle's, are
    explained in `flows.orthogonal`.

    It is used as `RKC2` is, with the same attributes and the same adjoints. The first
    use in a process computes its coefficients, which takes about a second.

    Reference: Abdulle, "Fourth order Chebyshev methods with recurrence relation", SIAM
    J. Sci. Comput. 23(6), 2002.

    Attributes:
        spectral_radius: ρ (1/time) as a number, as a function (t, y) -> ρ, or None to
            estimate it.
        safety: factor on ρ, >= 1.
        every: accepted steps after which ρ is estimated anew.
        max_stages: a step that needs more is rejected.
        reverse: run the stages as a scan of length max_stages, for reverse mode.

    Raises:
        BadInput: as `RKC2`.
    """

    spectral_radius: Any = eqx.field(converter=radius_of, default=None)
    safety: float = eqx.field(static=True, default=1.1)
    every: int = eqx.field(static=True, default=25)
    max_stages: int = eqx.field(static=True, default=1000)
    reverse: bool = eqx.field(static=True, default=False)

    @property
    def _least_stages(self) -> int:
        return 5

    def order(self, terms):
        """4."""
        del terms
        return 4

    def error_order(self, terms):
        """4: the estimate compares with a method of order three."""
        del terms
        return 4

    def _method(self, reach):
        known = table(self.max_stages)
        row = jnp.searchsorted(jnp.asarray(known.interval, reach.dtype), reach)
        fits = (row < known.stages.size) & jnp.isfinite(reach)
        row = jnp.where(fits, row, 0).astype(jnp.int32)
        return fits, jnp.asarray(known.stages, jnp.int32)[row], row

    def _advance(self, field, t, h, y, slope, method):
        known, row = table(self.max_stages), method

        def at(values, i):
            return jnp.asarray(values, h.dtype)[i]

        offset = jnp.asarray(known.offset, jnp.int32)[row]
        inner = jnp.asarray(known.stages - 4, jnp.int32)[row]

        def stage(j, carry):
            now, before, c1, c0 = carry
            mu, kappa = at(known.mu, offset + j), at(known.kappa, offset + j)
            k = field(t + c1 * h, now)
            new = add(now, (-kappa, now), (kappa, before), (mu * h, k))
            return new, now, c1 + kappa * (c0 - c1) + mu, c1

        c = at(known.mu, offset)
        first = add(y, (c * h, slope)), y, c, jnp.zeros_like(h)
        g, _, c, _ = self._loop(inner, stage, first)
        u, e = at(known.finish, row), at(known.error, row)
        k1 = field(t + c * h, g)
        k2 = field(t + (c + u[0]) * h, add(g, (u[0] * h, k1)))
        stage3 = add(g, (u[1] * h, k1), (u[2] * h, k2))
        k3 = field(t + (c + u[1] + u[2]) * h, stage3)
        stage4 = add(g, (u[3] * h, k1), (u[4] * h, k2), (u[5] * h, k3))
        k4 = field(t + (c + u[3] + u[4] + u[5]) * h, stage4)
        slopes = k1, k2, k3, k4
        y1 = add(g, *[(h * u[6 + i], k) for i, k in enumerate(slopes)])
        end = field(t + h, y1)
        nothing = jax.tree.map(jnp.zeros_like, y)
        estimate = [(h * e[i], k) for i, k in enumerate((*slopes, end))]
        return y1, end, add(nothing, *estimate)
