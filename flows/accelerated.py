"""Accelerated gradient flows: the continuous limits of Nesterov's methods."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import as_position, require_instance, require_number
from flows.dynamics import parameter, require_range
from flows.objective import Objective
from flows.phase import PhaseState
from flows.second_order import Coefficients, SecondOrderFlow
from flows.types import Scalar


class AcceleratedFlow(SecondOrderFlow):
    r"""Accelerated gradient flow, x'' + (r/t) x' + ∇f(x) = 0 for t > 0.

    State: position and velocity, each of shape [n]. Unit of time: 1/√curvature, so
    that k steps of Nesterov's method with learning rate s take the time k √s. The
    friction is singular at t = 0: start at some t0 > 0, from `accelerated_start`.

    For convex f with a minimiser x*, and r >= 3,

        V = t² (f - f*) + ((r-1)²/2) |x - x* + t x'/(r-1)|²

    never increases, so that f - f* <= (r-1)² |x(0) - x*|² / (2 t²). On f = λ x²/2 the
    solution from rest is x(0) Γ(ν+1) (2/z)^ν J_ν(z), ν = (r-1)/2, z = √λ t.

    Reference: Su, Boyd and Candès, "A Differential Equation for Modeling Nesterov's
    Accelerated Gradient Method: Theory and Insights", JMLR 2016, arXiv 1503.01243.

    Attributes:
        objective: f.
        friction: r > 0 (3 is Nesterov's), without unit.
    """

    equation: ClassVar[str] = r"\ddot x + \frac{r}{t}\,\dot x + \nabla f(x) = 0"
    objective: Objective
    friction: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": "r"}, default=3.0
    )

    def __check_init__(self):
        require_range("friction", self.friction)

    def coefficients(self, t) -> Coefficients:
        """Friction r/t, not finite at t = 0."""
        return Coefficients(friction=self.friction / t)


class StronglyConvexAcceleratedFlow(SecondOrderFlow):
    r"""Accelerated flow of a μ-strongly convex function, x'' + 2√μ x' + ∇f(x) = 0.

    State: position and velocity, each of shape [n]. Unit of time: 1/√curvature. With

        V = f - f* + (μ/2) |x - x* + x'/√μ|²,   V' <= -√μ V,

    so that f - f* = O(e^{-√μ t}). The friction is the critical one of f = μ x²/2.

    Reference: Moucer, Taylor and Bach, "A systematic approach to Lyapunov analyses of
    continuous-time models in convex optimization", 2022, arXiv 2205.12772.

    Attributes:
        objective: f.
        strong_convexity: μ > 0 (1/time²).
    """

    equation: ClassVar[str] = r"\ddot x + 2\sqrt{\mu}\,\dot x + \nabla f(x) = 0"
    objective: Objective
    strong_convexity: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\mu"}
    )

    def __check_init__(self):
        require_range("strong_convexity", self.strong_convexity)

    def coefficients(self, t) -> Coefficients:
        """Friction 2√μ."""
        del t
        return Coefficients(friction=2 * jnp.sqrt(self.strong_convexity))


def accelerated_start(
    flow: AcceleratedFlow, x0: Float[Array, " n"], t0: Scalar
) -> PhaseState:
    """The state at a small time t0 > 0 of the solution that starts at rest in x0.

    The regular solution at the singular time 0 is even in t:

        x(t) = x0 - t²/(2(1+r)) ∇f + t⁴/(8(1+r)(3+r)) ∇²f ∇f + O(t⁶),

    derivatives at x0. With L the curvature, L t0² <= 1e-2 leaves about 1e-8 of |x0|.

    Args:
        flow: the model; its objective and friction count.
        x0: position at time 0, where the velocity is 0.
        t0: start of the numerical solution (unit 1/√curvature).

    Returns:
        Position, up to O(t0⁶), and velocity, up to O(t0⁵).

    Raises:
        BadInput: another flow, a position that is no array of floats, t0 <= 0.
    """
    require_instance(
        flow, AcceleratedFlow, "accelerated_start takes an AcceleratedFlow"
    )
    require_number("t0", t0, positive=True)
    x0, r = as_position("x0", x0), flow.friction
    t = jnp.asarray(t0, x0.dtype)
    g = flow.objective.gradient(x0)
    hg = flow.objective.hvp(x0, g)
    first, second = g / (2 * (1 + r)), hg / (8 * (1 + r) * (3 + r))
    return PhaseState(
        x0 - t**2 * first + t**4 * second, -2 * t * first + 4 * t**3 * second
    )
