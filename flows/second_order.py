"""Second-order flows: mass, friction, Hessian damping and force, by their coefficients.

One equation, m(t) x'' + a(t) x' + β(t) ∇²f(x) x' + b(t) ∇f(x) = 0; a named model is a
choice of the four functions of time.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax

from flows.door import require_number
from flows.dynamics import Flow, parameter, require_range
from flows.objective import Objective
from flows.phase import PhaseState


class Coefficients(NamedTuple):
    """The coefficients of m x'' + a x' + β ∇²f(x) x' + b ∇f(x) = 0 at one time.

    Attributes:
        mass: m.
        friction: a.
        hessian_damping: β; None where the model has none, and takes no Hessian product.
        force: b.
    """

    mass: Any = 1.0
    friction: Any = 0.0
    hessian_damping: Any = None
    force: Any = 1.0


class SecondOrderFlow(Flow):
    r"""m(t) x'' + a(t) x' + β(t) ∇²f(x) x' + b(t) ∇f(x) = 0.

    State: `PhaseState`, position and velocity of shape [n]. A subclass gives the
    coefficients. The energy b f(x) + m |v|²/2 has the derivative
    b' f + (m'/2 - a) |v|² - β v·∇²f v.
    """

    objective: eqx.AbstractVar[Objective]

    @abstractmethod
    def coefficients(self, t: Any) -> Coefficients:
        """The mass, friction, Hessian damping and force at time t."""

    def vector_field(self, t, y: PhaseState) -> PhaseState:
        """(v, -(a v + β ∇²f(x) v + b ∇f(x))/m)."""
        m, a, beta, b = self.coefficients(t)
        x, v = y
        if beta is None:
            pull = a * v + b * self.objective.gradient(x)
        else:
            g, hv = jax.jvp(self.objective.gradient, (x,), (v,))
            pull = a * v + beta * hv + b * g
        return PhaseState(v, -pull / m)


def coefficient(value: Any) -> Any:
    """A number as a parameter; a function of time (a `Schedule` is one) as it is."""
    return value if callable(value) else parameter(value)


def coefficient_at(value: Any, t: Any) -> Any:
    """The function at t, or the number."""
    return value(t) if callable(value) else value


def require_coefficient(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse a number that is negative, not finite, or 0 where it must be positive.

    Functions of time pass: what they are is seen only along a run.

    Raises:
        BadInput: with the name and the value.
    """
    if callable(value):
        return
    require_number(name, value, positive=positive)
    require_range(name, value)
