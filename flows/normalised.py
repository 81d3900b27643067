"""Gradient flows with their speed changed: normalised, sign, Polyak; their events."""

from __future__ import annotations

from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import Flow, maybe_parameter, parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.types import is_traced


class NormalisedFlow(Flow):
    r"""Normalised gradient flow, θ' = -∇f/(|∇f| + ε).

    With ε = 0 it runs along the curves of gradient flow at unit speed, so that time is
    arc length, and arrives in finite time: at 0 of λ|x|²/2 after |x(0)|.
    State: the position, shape [n]. Unit of time: that of length (θ per unit speed);
    a step of normalised gradient descent with learning rate η takes η. Energy
    identity: df/dt = -|∇f|²/(|∇f| + ε), which is -|∇f| for ε = 0.

    Where ∇f = 0 the field is 0: it rests, at minima (the one Filippov solution) and at
    saddles (one of many). With ε = 0 the field jumps there, and an adaptive solver
    stalls beside a minimum: stop it with `event=flows.arrival(tolerance)`, or take
    ε > 0, which only matters where |∇f| is of size ε.

    Reference: Cortés, "Finite-time convergent gradient flows with applications to
    network consensus", Automatica 42 (2006).

    Attributes:
        objective: f.
        eps: ε (gradient units).
    """

    equation: ClassVar[str] = (
        r"\dot\theta = -\frac{\nabla f(\theta)}{|\nabla f(\theta)| + \epsilon}"
    )
    objective: Objective
    eps: Float[Array, ""] = eqx.field(
        converter=parameter,
        metadata={"nonnegative": True, "symbol": r"\epsilon"},
        default=0.0,
    )

    def __check_init__(self):
        require_range("eps", self.eps)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-∇f/(|∇f| + ε), and 0 where that is 0/0."""
        del t
        g = self.objective.gradient(y)
        size = jnp.sqrt(jnp.sum(g**2)) + self.eps
        return -g / jnp.where(size <= 0, 1.0, size)


class SignFlow(Flow):
    r"""Sign gradient flow, θ_i' = -sign(∂_i f), or smoothed, -∂_i f/√((∂_i f)² + δ²).

    State: the position, shape [n]. Unit of time: that of a coordinate (each moves at
    unit speed); a step of sign descent with learning rate η takes η. Energy identity:
    df/dt = -|∇f|₁ (smoothed: -Σ (∂_i f)²/√((∂_i f)² + δ²)).

    The field jumps where a ∂_i f = 0 (sign(0) = 0): the flow is meant in Filippov's
    sense, and often slides on such a surface, θ_i' being the mean of ±1 that keeps
    ∂_i f = 0. Adaptive solvers stall there. Three ways out: δ > 0 (adds an error of
    order δ, and stiffness 1/δ), `event=flows.gradient_sign_change(i)` to stop there,
    or `flows.sign_flow_path` for the exact sliding solution on a quadratic.

    Reference: Cortés, "Finite-time convergent gradient flows with applications to
    network consensus", Automatica 42 (2006); Filippov, "Differential Equations with
    Discontinuous Righthand Sides", Kluwer, 1988.

    Attributes:
        objective: f.
        smoothing: δ > 0 (gradient units), or None for the sign itself.
    """

    equation: ClassVar[str] = r"\dot\theta = -\operatorname{sign}(\nabla f(\theta))"
    objective: Objective
    smoothing: Float[Array, ""] | None = eqx.field(
        converter=maybe_parameter,
        metadata={"positive": True, "symbol": r"\delta"},
        default=None,
    )

    def __check_init__(self):
        if self.smoothing is not None:
            require_range("smoothing", self.smoothing)
            if not is_traced(self.smoothing) and self.smoothing == 0:
                raise BadInput("smoothing is > 0, or None for the sign itself; got 0.")

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-sign(∇f), or its smoothing."""
        del t
        g = self.objective.gradient(y)
        if self.smoothing is None:
            return -jnp.sign(g)
        return -g / jnp.sqrt(g**2 + self.smoothing**2)


class PolyakFlow(Flow):
    r"""The flow of Polyak's step (corridor learning rate), θ' = -(f - f*) ∇f/|∇f|².

    In full, θ' = -min((f - f*)/(|∇f|² + ε), limit) ∇f. With ε = 0 and no limit,
    f(t) - f* = (f(0) - f*) e^{-t} exactly, for every loss, as long as ∇f ≠ 0 (from
    below f* it climbs). State: the position, shape [n]. Time has no unit: gradient
    descent with Polyak's step, which is optax.polyak_sgd without its limit, is explicit
    Euler with h = 1.

    Where |∇f|² + ε <= guard the field is 0. Beside a critical point that is not the
    minimum (f > f*) the speed (f - f*)/|∇f| has no bound, the flow gets there in the
    finite time log((f(0) - f*)/(f - f*)) and ends: `solve` says so, or stops before it
    with `event=flows.arrival(tolerance)`.

    Reference: Dherin and Rosca, "Corridor Geometry in Gradient-Based Optimization",
    2024, arXiv 2402.08818; Polyak, "Introduction to Optimization", 1987 (the step).

    Attributes:
        objective: f.
        minimum: f*, the value that is aimed at (loss units).
        limit: largest (f - f*)/|∇f|² that is used (time of gradient flow).
        eps: ε, added to |∇f|² (gradient units squared).
        guard: |∇f|² + ε at or below which nothing moves (gradient units squared).
    """

    equation: ClassVar[str] = (
        r"\dot\theta = -\frac{f(\theta) - f^*}{|\nabla f(\theta)|^2}\nabla f(\theta)"
    )
    objective: Objective
    minimum: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"symbol": "f^*"}, default=0.0
    )
    limit: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True}, default=np.inf
    )
    eps: Float[Array, ""] = eqx.field(
        converter=parameter,
        metadata={"nonnegative": True, "symbol": r"\epsilon"},
        default=0.0,
    )
    guard: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True}, default=0.0
    )

    def __check_init__(self):
        for name in ("eps", "guard"):
            require_range(name, getattr(self, name))
        concrete = not is_traced(self.limit) and np.asarray(self.limit).dtype != object
        if concrete and not self.limit > 0:
            raise BadInput(f"limit is > 0 (infinite for none); got {self.limit}.")

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-min((f - f*)/(|∇f|² + ε), limit) ∇f, and 0 at or below the guard."""
        del t
        g = self.objective.gradient(y)
        size = jnp.sum(g**2) + self.eps
        still = size <= self.guard
        gap = self.objective.value(y) - self.minimum
        rate = jnp.minimum(gap / jnp.where(still, 1.0, size), self.limit)
        return -jnp.where(still, 0.0, rate) * g


def polyak_step(
    objective: Objective, x: Float[Array, " n"], minimum: Any = 0.0
) -> Float[Array, ""]:
    """Polyak's step (f - f*)/|∇f|² at x, the corridor learning rate for f* = 0.

    Args:
        objective: f.
        x: position, shape [n].
        minimum: f*, the value that is aimed at.

    Returns:
        The step size (time of gradient flow); 0 where ∇f = 0.
    """
    square = jnp.sum(objective.gradient(x) ** 2)
    still = square <= 0
    gap = objective.value(x) - minimum
    return jnp.where(still, 0.0, gap / jnp.where(still, 1.0, square))


class _GradientAbove(eqx.Module):
    """|∇f| - tolerance along a flow with an objective."""

    tolerance: Float[Array, ""]

    def __call__(self, t, y, args, **unused):
        del t, unused
        g = args.objective.gradient(args.position(y))
        return jnp.sqrt(jnp.sum(g**2)) - self.tolerance.astype(g.dtype)


class _GradientEntry(eqx.Module):
    """∂_i f along a flow with an objective."""

    coordinate: int = eqx.field(static=True)

    def __call__(self, t, y, args, **unused):
        del t, unused
        g = args.objective.gradient(args.position(y))
        if self.coordinate >= g.shape[0]:  # jax would read the last entry
            raise BadInput(
                f"coordinate is below {g.shape[0]}, the number of parameters; got "
                f"{self.coordinate}."
            )
        return g[self.coordinate]


def _located(condition: Any) -> diffrax.Event:
    import optimistix

    return diffrax.Event(condition, optimistix.Bisection(rtol=1e-12, atol=1e-12))


def arrival(tolerance: Any = 1e-6) -> diffrax.Event:
    """An event for `solve`: the flow has come to |∇f| = tolerance.

    For flows that end at a critical point in finite time, where their field jumps.

    Args:
        tolerance: > 0 (gradient units).

    Raises:
        BadInput: a tolerance that is not positive.
    """
    require_number("tolerance", tolerance, positive=True)
    return _located(_GradientAbove(parameter(tolerance)))


def gradient_sign_change(coordinate: int) -> diffrax.Event:
    """An event for `solve`: ∂_i f changes its sign, where a sign flow may slide.

    Args:
        coordinate: i.

    Raises:
        BadInput: no whole number >= 0.
    """
    whole = isinstance(coordinate, int | np.integer) and coordinate >= 0
    if not whole or isinstance(coordinate, bool):
        raise BadInput(f"coordinate is a whole number >= 0; got {coordinate!r}.")
    return _located(_GradientEntry(int(coordinate)))
