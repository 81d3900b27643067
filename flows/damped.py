"""Gradient flow with friction and mass: m(t) x'' + α x' + ∇f(x) = 0, and m = 0."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from flows.accelerated import AcceleratedState
from flows.door import require_number
from flows.dynamics import Flow, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.schedules import Schedule, scheduled, value_at
from flows.types import is_traced


class DampedFlow(Flow):
    r"""The damped gradient system m(t) x'' + α x' + ∇f(x) = 0 (heavy ball).

    State: position and velocity, each of shape [n]. The mass stands outside the
    derivative, so that the energy E = m |v|²/2 + f(x) has E' = (m'/2 - α) |v|²: it
    falls as long as m' <= 2α.

    Units: with α = 1 the time is that of the gradient flow α x' = -∇f to which it tends
    as m -> 0, and m has the unit time² · curvature. On f = κx²/2 with constant m the
    slow rate Re[α - √(α² - 4κm)]/(2m) is largest, 2κ/α, at m = α²/(4κ).

    Reference: Polyak, "Some methods of speeding up the convergence of iteration
    methods", USSR Comput. Math. Math. Phys. 4(5), 1964.

    Attributes:
        objective: f.
        mass: m > 0, a number or a `Schedule`.
        friction: α > 0.

    Raises:
        BadInput: a mass or friction that is not positive and finite.
    """

    equation: ClassVar[str] = r"m(t)\,\ddot x + \alpha\,\dot x + \nabla f(x) = 0"
    objective: Objective
    mass: Any = eqx.field(
        converter=scheduled, metadata={"positive": True, "symbol": "m"}
    )
    friction: Float[Array, ""] = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\alpha"},
    )

    def __check_init__(self):
        require_mass(self.mass)
        require_number("friction", self.friction, positive=True)

    def vector_field(self, t, y: AcceleratedState) -> AcceleratedState:
        """(v, -(α v + ∇f(x))/m(t))."""
        x, v = y
        pull = self.friction * v + self.objective.gradient(x)
        return AcceleratedState(v, -pull / value_at(self.mass, t))

    def energy(self, t: Any, y: AcceleratedState) -> Float[Array, ""]:
        """m(t) |v|²/2 + f(x)."""
        return value_at(self.mass, t) * (y.velocity @ y.velocity) / 2 + (
            self.objective.value(y.position)
        )


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
