"""Runge–Kutta–Chebyshev steps: gradient steps accelerated by Chebyshev polynomials."""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from discretize.schemes.euler import add
from flows import BadInput, Scheme, Step
from flows.chebyshev import DAMPING, rkc2
from sde import Diffusion


class Chebyshev(Scheme):
    r"""One Runge–Kutta–Chebyshev step of s stages, at a step size of one's own.

    On y' = λ y with z = hλ the step multiplies y by (T_s are Chebyshev's polynomials)

        order 1:  R(z) = T_s(w₀ + w₁ z)/T_s(w₀),        w₁ = T_s(w₀)/T_s'(w₀),
        order 2:  R(z) = a + b T_s(w₀ + w₁ z),          w₁ = T_s'(w₀)/T_s''(w₀),
                  b = T_s''(w₀)/T_s'(w₀)²,  a = 1 - b T_s(w₀),

    w₀ = 1 + ε/s². It is stable for -(1 + w₀)/w₁ <= z <= 0, an interval that grows like
    2 s² (order 1) and 2 s²/3 (order 2): s gradients move gradient flow by a time of
    order s²/λ_max where s steps of gradient descent move it by 2 s/λ_max. Order 1 is
    Chebyshev's semi-iteration, the fastest first-order method on a quadratic of known
    spectrum; undamped, its first step of one stage is gradient descent.

    For steps and stages chosen by an error estimate, solve with `flows.RKC2` or
    `flows.ROCK4`.

    Reference: van der Houwen and Sommeijer, "On the internal stability of explicit,
    m-stage Runge-Kutta methods for large m-values", Z. Angew. Math. Mech. 60, 1980;
    Golub and Varga, "Chebyshev semi-iterative methods", Numer. Math. 3, 1961.

    Attributes:
        stages: s >= 1 (order 1) or s >= 2 (order 2); unrolled.
        order: 1 or 2.
        damping: ε >= 0; data, or a symbol under tracing. None takes 2/13 for order 2
            and 1/20 for order 1.

    Raises:
        BadInput: stages or order other than these; negative damping.
    """

    stages: int = eqx.field(static=True)
    order: Literal[1, 2] = eqx.field(static=True, default=2)
    damping: Any = None

    def __post_init__(self):
        if self.order not in (1, 2):
            raise BadInput(f"order is 1 or 2; got {self.order!r}.")
        if type(self.stages) is not int or self.stages < self.order:
            raise BadInput(
                f"a method of order {self.order} has a whole number of stages >= "
                f"{self.order}; got {self.stages!r}."
            )
        if self.damping is None:
            self.damping = DAMPING if self.order == 2 else 0.05
        if isinstance(self.damping, int | float) and not 0 <= self.damping < 1e3:
            raise BadInput(f"damping is a number >= 0; got {self.damping}.")
        if isinstance(self.damping, int | float):
            self.damping = jnp.asarray(float(self.damping))

    def arguments(self) -> tuple[Any, Any]:
        """w₀ and w₁."""
        w0 = 1 + self.damping / self.stages**2
        value, first, second = _derivatives(w0, self.stages)
        return w0, first / second if self.order == 2 else value / first

    @property
    def interval(self) -> Any:
        """Length of the stability interval: |R(z)| <= 1 for -interval <= z <= 0."""
        w0, w1 = self.arguments()
        return (1 + w0) / w1

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        del noise
        if isinstance(dynamics, Diffusion):
            raise BadInput("Chebyshev's methods step deterministic models only.")
        slope = dynamics.vector_field(t, y)
        w = self.arguments()
        if self.order == 2:
            field = dynamics.vector_field
            return Step(rkc2(field, t, h, y, slope, w, self.stages, _unrolled), carry)
        return Step(_first_order(dynamics, t, y, h, slope, w, self.stages), carry)


def _first_order(dynamics, t, y, h, slope, w, stages):
    """Stages y_j = μ (y_{j-1} + (w₁/w₀) h F_{j-1}) + (1 - μ) y_{j-2}.

    Here μ = 2 w₀ T_{j-1}/T_j at w₀; on a quadratic, y_j = T_j(w₀ + w₁ z)/T_j(w₀) y_0.
    """
    w0, w1 = w
    rate = w1 / w0
    value, last = w0, 1.0
    before, now = y, add(y, h * rate, slope)
    c0, c1 = 0.0, rate
    for _ in range(1, stages):
        value, last = 2 * w0 * value - last, value
        mu = 2 * w0 * last / value
        moved = add(now, h * rate, dynamics.vector_field(t + c1 * h, now))
        before, now = now, add(before, mu, _difference(moved, before))
        c0, c1 = c1, mu * (c1 + rate) + (1 - mu) * c0
    return now


def _difference(a, b):
    """The tangent a - b, with None where a leaf is no float."""
    return jax.tree.map(lambda p, q: p - q if eqx.is_inexact_array(q) else None, a, b)


def _unrolled(stop, body, carry):
    for j in range(1, stop):
        carry = body(j, carry)
    return carry


def _derivatives(w, s):
    """T_s and its first two derivatives at w, by their recurrences."""
    one, zero = w * 0 + 1, w * 0
    before, now = (one, zero, zero), (w, one, zero)
    for _ in range(1, s):
        (v0, d0, e0), (v, d, e) = before, now
        new = 2 * w * v - v0, 2 * (w * d + v) - d0, 2 * (w * e + 2 * d) - e0
        before, now = now, new
    return now
