"""Gradient flow with friction and mass: m(t) x'' + α x' + ∇f(x) = 0, and m = 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import Flow, Part, parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.phase import PhaseState
from flows.schedules import Schedule, scheduled, value_at
from flows.second_order import Coefficients, SecondOrderFlow
from flows.types import is_traced


class DampedFlow(SecondOrderFlow):
    r"""The damped gradient system m(t) x'' + α x' + ∇f(x) = 0 (heavy ball).

    State: position and velocity, each of shape [n]. The mass stands outside the
    derivative, so that the energy E = m |v|²/2 + f(x) has E' = (m'/2 - α) |v|²: it
    falls as long as m' <= 2α.

    Units: with α = 1 the time is that of the gradient flow α x' = -∇f to which it tends
    as m -> 0, and m has the unit time² · curvature. On f = κx²/2 with constant m the
    slow rate Re[α - √(α² - 4κm)]/(2m) is largest, 2κ/α, at m = α²/(4κ).

    Parts: "A" moves x (and carries the time), "B" kicks v, "O" is friction; words in
    them such as `discretize.AOBOA` are splittings.

    Reference: Polyak, "Some methods of speeding up the convergence of iteration
    methods", USSR Comput. Math. Math. Phys. 4(5), 1964.

    Attributes:
        objective: f.
        mass: m > 0, a number or a `Schedule`.
        friction: α >= 0; without it and with a constant mass, E is conserved.

    Raises:
        BadInput: a mass that is not positive and finite, a negative friction.
    """

    equation: ClassVar[str] = r"m(t)\,\ddot x + \alpha\,\dot x + \nabla f(x) = 0"
    objective: Objective
    mass: Any = eqx.field(
        converter=scheduled, metadata={"positive": True, "symbol": "m"}
    )
    friction: Float[Array, ""] = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"nonnegative": True, "symbol": r"\alpha"},
    )

    def __check_init__(self):
        require_mass(self.mass)
        require_number("friction", self.friction)
        require_range("friction", self.friction)

    def coefficients(self, t) -> Coefficients:
        """Mass m(t), friction α."""
        return Coefficients(mass=value_at(self.mass, t), friction=self.friction)

    def energy(self, t: Any, y: PhaseState) -> Float[Array, ""]:
        """m(t) |v|²/2 + f(x)."""
        return value_at(self.mass, t) * (y.velocity @ y.velocity) / 2 + (
            self.objective.value(y.position)
        )

    def parts(self) -> Mapping[str, Part]:
        """A: x moves, B: v is kicked, O: friction on v."""
        return {
            "A": FreeMotion(),
            "B": Kick(self.objective, self.mass),
            "O": Friction(self.mass, self.friction),
        }


class FreeMotion(Part):
    """Part A: x' = v, v' = 0. Carries the time. State: a position and a velocity."""

    advances_time: ClassVar[bool] = True

    def vector_field(self, t, y: Any) -> Any:
        """(v, 0)."""
        del t
        return type(y)(y.velocity, jnp.zeros_like(y.velocity))

    def exact(self, t, y: Any, h: Any, noise: Any = None) -> Any:
        """(x + h v, v)."""
        del t, noise
        return y._replace(position=y.position + h * y.velocity)


class Kick(Part):
    """Part B: x' = 0, v' = -∇f(x)/m(t). State: a position and a velocity.

    Attributes:
        objective: f.
        mass: m, a number, a vector (the diagonal of a matrix) or a `Schedule`.
    """

    objective: Objective
    mass: Any = eqx.field(converter=scheduled, default=1.0)

    def vector_field(self, t, y: Any) -> Any:
        """(0, -∇f(x)/m(t))."""
        force = -self.objective.gradient(y.position)
        return type(y)(jnp.zeros_like(y.position), force / value_at(self.mass, t))

    def exact(self, t, y: Any, h: Any, noise: Any = None) -> Any:
        """(x, v - h ∇f(x)/m), the mass as it is at t."""
        del noise
        acceleration = self.vector_field(t, y).velocity
        return y._replace(velocity=y.velocity + h * acceleration)


class Friction(Part):
    """Part O: x' = 0, v' = -α v/m(t). State: a position and a velocity.

    Attributes:
        mass: m, a number or a `Schedule`.
        friction: α.
    """

    mass: Any = eqx.field(converter=scheduled, default=1.0)
    friction: Array = eqx.field(converter=parameter, default=1.0)

    def vector_field(self, t, y: Any) -> Any:
        """(0, -α v/m(t))."""
        rate = self.friction / value_at(self.mass, t)
        return type(y)(jnp.zeros_like(y.position), -rate * y.velocity)

    def exact(self, t, y: Any, h: Any, noise: Any = None) -> Any:
        """(x, e^{-αh/m} v), the mass as it is at t."""
        del noise
        kept = jnp.exp(-self.friction * h / value_at(self.mass, t))
        return y._replace(velocity=kept * y.velocity)


class OverdampedFlow(Flow):
    r"""α x' = -∇f(x): the gradient flow with its time in units of friction/curvature.

    The limit m -> 0 of `DampedFlow`; with α = 1 the `GradientFlow`. State: the
    position, shape [n].

    Attributes:
        objective: f.
        friction: α > 0.

    Raises:
        BadInput: a friction that is not positive and finite.
    """

    equation: ClassVar[str] = r"\alpha\,\dot x = -\nabla f(x)"
    objective: Objective
    friction: Float[Array, ""] = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\alpha"},
    )

    def __check_init__(self):
        require_number("friction", self.friction, positive=True)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-∇f(x)/α."""
        del t
        return -self.objective.gradient(y) / self.friction


def require_mass(mass: Any) -> None:
    """Refuse a mass that is neither a schedule nor one positive number.

    Raises:
        BadInput: with the value.
    """
    if isinstance(mass, Schedule):
        return
    if not is_traced(mass) and mass.ndim:
        raise BadInput(f"mass is one number or a Schedule; got shape {mass.shape}.")
    require_number("mass", mass, positive=True)
