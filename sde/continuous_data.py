"""Gradient flow on continuous data: the datum in force is a reflected Brownian path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import Part, parameter
from flows.errors import BadInput
from flows.scheme import Draw
from flows.types import is_traced
from sde._checks import require_positive
from sde.diffusion import Diffusion, NoisyPart


class ContinuousDataState(NamedTuple):
    """A position and the datum in force.

    Attributes:
        position: x, shape [n].
        datum: V in [0, 1]ᵏ, shape [k].
    """

    position: Any
    datum: Any


def fold_into_unit(z: Any) -> Any:
    """The number z reflected at 0 and 1 into [0, 1]: a wave of period 2.

    A Brownian motion, folded, is the Brownian motion reflected at both ends.
    """
    return jnp.abs(z - 2 * jnp.round(z / 2))


class ContinuousDataProcess(Diffusion):
    r"""α x' = -∇ₓ f(x, V), with data V that diffuse in a box, reflected at its sides.

    Stochastic gradient descent on the mean loss F(x) = ∫ f(x, v) dv over [0, 1]ᵏ, its
    index a reflected Brownian motion of volatility σ. Generator:
    L φ = -α⁻¹ ∇ₓf·∇ₓφ + (σ²/2) Σ ∂²φ/∂v², for φ without slope across the sides of the
    box. In one dimension the modes cos(jπv) relax at the rates r_j = j²π²σ²/2: there
    is not one relaxation rate, as for uniform switching, but a ladder of them.

    The folded path is exact on any grid. Parts: "X" moves x for the datum at hand
    (without an exact map: a splitting takes an inner scheme for it), "V" moves the
    datum exactly. Under `Splitting("X 1/2, V, X 1/2", inner=...)` the variance of x is
    right to order 2; schemes that step the whole noise would leave the box, and are
    refused.

    Reference: Jin, Latz, Liu and Schönlieb, "A Continuous-time Stochastic Gradient
    Descent Method for Continuous Data", JMLR 24, 2023, arXiv 2112.03754.

    Attributes:
        loss: f, a jax function of (x, v) of shapes [n] and [k], a scalar.
        volatility: σ > 0, in 1/√time.
        friction: α > 0.

    Raises:
        BadInput: a loss that is no function, a volatility or friction that is not
            positive; (from a simulation) a datum outside of the box, a scheme that is
            no splitting.
    """

    equation: ClassVar[str] = (
        r"\alpha\,\dot x = -\nabla_x f(x, V_t),\quad dV = \sigma\,dB"
        r"\ \text{reflected in}\ [0, 1]^k"
    )
    loss: Any = eqx.field(static=True)
    volatility: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\sigma"},
    )
    friction: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\alpha"},
    )

    def __check_init__(self):
        if not callable(self.loss):
            raise BadInput(f"loss is a function of (x, v); got {self.loss!r:.60}.")
        require_positive("volatility", self.volatility)
        require_number("friction", self.friction, positive=True)

    def require_inside(self, y: Any) -> None:
        """Refuse what is no state with a datum in the box.

        Raises:
            BadInput: with the state that is wanted.
        """
        right = isinstance(y, ContinuousDataState)
        if right and (is_traced(y) or np.all(np.abs(np.asarray(y.datum) - 0.5) <= 0.5)):
            return
        raise BadInput(
            "a start is ContinuousDataState(position, datum), the datum in [0, 1]ᵏ; "
            f"got {y!r:.80}."
        )

    def require_scheme(self, scheme: Any) -> None:
        """Refuse a scheme that is no splitting: the datum would leave the box.

        Raises:
            BadInput: with a splitting.
        """
        if not hasattr(scheme, "parts_of"):
            raise BadInput(
                f"{type(scheme).__name__} steps the datum's noise without folding it "
                "into the box: take a splitting, as Splitting('X 1/2, V, X 1/2', "
                "inner=RungeKutta(diffrax.Heun()))."
            )

    def vector_field(self, t, y: ContinuousDataState) -> ContinuousDataState:
        """(-∇ₓ f(x, v)/α, 0)."""
        del t
        pull = jax.grad(self.loss)(y.position, y.datum)
        return ContinuousDataState(-pull / self.friction, jnp.zeros_like(y.datum))

    def brownian(self, y: ContinuousDataState) -> int:
        """One a coordinate of the datum."""
        return y.datum.shape[0]

    def noise(self, t, y: ContinuousDataState, dw: Float[Array, " k"]) -> Any:
        """(0, σ dw), inside the box."""
        del t
        return ContinuousDataState(jnp.zeros_like(y.position), self.volatility * dw)

    def relaxation_rate(self, mode: Any = 1) -> Any:
        """r_j = j²π²σ²/2, at which cos(jπv) decays (1/time)."""
        return (mode * jnp.pi * self.volatility) ** 2 / 2

    def parts(self) -> Mapping[str, Part]:
        """X: the position moves (and carries time), V: the datum moves."""
        return {"X": FrozenDatum(self), "V": ReflectedDatum(self.volatility)}


class FrozenDatum(Part):
    """Part X: α x' = -∇ₓ f(x, v) with v at rest. Carries the time.

    Attributes:
        process: whose loss and friction these are.
    """

    advances_time: ClassVar[bool] = True
    has_exact: ClassVar[bool] = False
    process: ContinuousDataProcess

    def vector_field(self, t, y: ContinuousDataState) -> ContinuousDataState:
        """(-∇ₓ f(x, v)/α, 0)."""
        return self.process.vector_field(t, y)


class ReflectedDatum(NoisyPart):
    """Part V: dV = σ dB reflected in [0, 1]ᵏ, x at rest; exact by folding.

    Attributes:
        volatility: σ.
    """

    volatility: Array

    def vector_field(self, t, y: ContinuousDataState) -> ContinuousDataState:
        """No drift."""
        del t
        return jax.tree.map(jnp.zeros_like, y)

    def brownian(self, y: ContinuousDataState) -> int:
        """One a coordinate of the datum."""
        return y.datum.shape[0]

    def noise(self, t, y: ContinuousDataState, dw: Float[Array, " k"]) -> Any:
        """(0, σ dw), inside the box."""
        del t
        return ContinuousDataState(jnp.zeros_like(y.position), self.volatility * dw)

    def noise_like(self, y: ContinuousDataState) -> Draw:
        """Standard normals, one a coordinate of the datum."""
        return Draw("normal", tuple(y.datum.shape))

    def exact(self, t, y: ContinuousDataState, h: Any, noise: Any = None) -> Any:
        """(x, v + σ√h ξ folded into the box), with ξ = `noise`."""
        del t
        moved = y.datum + self.volatility * jnp.sqrt(h) * noise
        return ContinuousDataState(y.position, fold_into_unit(moved))
