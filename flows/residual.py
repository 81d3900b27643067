"""Residual networks of infinite depth: the neural ODE, and the one with momentum."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import Flow, parameter
from flows.errors import BadInput
from flows.phase import PhaseState


def _require_field(field: Any) -> None:
    if not callable(field):
        raise BadInput(
            "field is a function (t, x) -> F(t, x) with values of the shape of x; got "
            f"{field!r:.60}."
        )


def _force(field: Any, t: Any, x: Any) -> Any:
    """F(t, x), of the shape of x: a smaller one would be spread over all entries."""
    force = jnp.asarray(field(t, x))
    if force.shape != jnp.shape(x):
        raise BadInput(
            f"field gives F(t, x) of the shape {jnp.shape(x)} of x; got {force.shape}."
        )
    return force


class ResidualFlow(Flow):
    r"""The neural ODE x' = F(t, x): residual layers x ← x + h F(t, x) as h → 0.

    State: x, shape [n]. Unit of time: that of F. Its solutions do not cross: in one
    dimension the time-T map is increasing, and of linear fields F = Θ(t) x it has a
    positive determinant.

    Attributes:
        field: F, a function (t, x) → F(t, x), shape [n]; an `equinox.Module` with
            parameters is one.

    Raises:
        BadInput: a field that cannot be called, or has values of another shape.
    """

    equation: ClassVar[str] = r"\dot x = F(t, x)"
    field: Any

    def __check_init__(self):
        _require_field(self.field)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """F(t, x)."""
        return _force(self.field, t, y)


class MomentumResidualFlow(Flow):
    r"""The momentum residual network of infinite depth, ε x'' + x' = F(t, x).

    State: `PhaseState`. Units: the time is that of F, and the mass ε a time; ε → 0 is
    the neural ODE x' = F (`limit`). Where F = -∇f it is `DampedFlow(f, ε)`. Solutions
    may cross in x, since they do not in (x, v): what time T can make of a point is
    more than a neural ODE can (`linear_momentum_map`).

    Semi-implicit Euler of step h is the network of `discretize.MomentumResNet` with
    momentum γ = 1 - h/ε and layers hF.

    Reference: Sander, Ablin, Blondel and Peyré, "Momentum Residual Neural Networks",
    ICML 2021, arXiv 2102.07870.

    Attributes:
        field: F, a function (t, x) → F(t, x), shape [n].
        mass: ε > 0 (a time).

    Raises:
        BadInput: a field that cannot be called or has values of another shape, a mass
            that is not positive.
    """

    equation: ClassVar[str] = r"\varepsilon\,\ddot x + \dot x = F(t, x)"
    field: Any
    mass: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\varepsilon"}
    )

    def __check_init__(self):
        _require_field(self.field)
        require_number("mass", self.mass, positive=True)

    def vector_field(self, t, y: PhaseState) -> PhaseState:
        """(v, (F(t, x) - v)/ε)."""
        x, v = y
        return PhaseState(v, (_force(self.field, t, x) - v) / self.mass)

    def limit(self) -> ResidualFlow:
        """The neural ODE x' = F(t, x) to which it tends as ε → 0."""
        return ResidualFlow(self.field)
