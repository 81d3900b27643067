r"""Fluctuations of fast switching about the flow that averaging leaves."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_instance
from flows.errors import BadInput
from flows.schedules import is_constant, value_at
from sde.diffusion import Diffusion
from sde.index import UniformIndex, WeightedIndex
from sde.switching import (
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    Switching,
)

Vector = Float[Array, " n"]


class FluctuationState(NamedTuple):
    """The averaged flow and the scaled deviation from it.

    Attributes:
        position: x̄, shape [n].
        deviation: Z, the limit of √r (x - x̄), shape [n].
    """

    position: Any
    deviation: Any


class FluctuationMomentumState(NamedTuple):
    """The averaged damped flow and the scaled deviation from it.

    Attributes:
        position: x̄, shape [n].
        velocity: v̄, shape [n].
        deviation: Z, the limit of √r (x - x̄), shape [n].
        deviation_velocity: V, the limit of √r (v - v̄), shape [n].
    """

    position: Any
    velocity: Any
    deviation: Any
    deviation_velocity: Any


class Fluctuations(Diffusion):
    r"""The central limit theorem of fast switching, without momentum.

    With F = Σ_i π_i f_i and Σ(x) = Cov_π ∇f_I(x),

        α x̄' = -∇F(x̄),   α dZ = -∇²F(x̄) Z dt + √(2Σ(x̄)) dB,

    and √r (x - x̄) tends to Z in law as the relaxation rate r of the label grows: the
    label's autocorrelation e^{-rt} has the integral 1/r, hence the noise 2Σ/r. At a
    minimum of a quadratic F of curvature κ the variance is Σ/(ακr).

    State: `FluctuationState`; Z in the unit of x per √time.

    Attributes:
        process: the switching process; its index is uniform or weighted.

    Raises:
        BadInput: an index without one relaxation rate.
    """

    equation: ClassVar[str] = (
        r"\alpha\,dZ = -\nabla^2F(\bar x)\,Z\,dt + \sqrt{2\Sigma(\bar x)}\,dB"
    )
    process: StochasticGradientProcess

    def __check_init__(self):
        _require_one_rate(self.process)

    def vector_field(self, t, y: FluctuationState) -> FluctuationState:
        """(-∇F(x̄)/α, -∇²F(x̄) Z/α)."""
        del t
        slope, bend = _slopes(self.process, y.position, y.deviation)
        alpha = self.process.friction
        return FluctuationState(-slope / alpha, -bend / alpha)

    def brownian(self, y: FluctuationState) -> int:
        """One a label."""
        del y
        return self.process.labels

    def noise(self, t, y: FluctuationState, dw: Any) -> FluctuationState:
        """(0, √(2Σ) dw/α)."""
        del t
        push = _push(self.process, y.position, dw)
        return FluctuationState(jnp.zeros_like(push), push / self.process.friction)


class MomentumFluctuations(Diffusion):
    r"""The central limit theorem of fast switching, with momentum.

    With F = Σ_i π_i f_i and Σ(x) = Cov_π ∇f_I(x),

        x̄' = v̄,  m(t) v̄' = -∇F(x̄) - α v̄,
        dZ = V dt,  m(t) dV = -(∇²F(x̄) Z + α V) dt + √(2Σ(x̄)) dB,

    and √r (x - x̄, v - v̄) tends to (Z, V) in law as the relaxation rate r grows. At a
    minimum of a quadratic F of curvature κ, Var Z = Σ/(ακ), without the mass, and
    Var V = Σ/(αm): a kinetic Langevin process of temperature Σ/α.

    State: `FluctuationMomentumState`.

    Attributes:
        process: the switching process; its index is uniform or weighted.

    Raises:
        BadInput: an index without one relaxation rate.
    """

    equation: ClassVar[str] = (
        r"dZ = V\,dt,\quad m\,dV = -(\nabla^2F(\bar x)\,Z + \alpha V)\,dt"
        r" + \sqrt{2\Sigma(\bar x)}\,dB"
    )
    process: StochasticGradientMomentumProcess

    def __check_init__(self):
        _require_one_rate(self.process)

    def vector_field(self, t, y: FluctuationMomentumState) -> Any:
        """(v̄, -(∇F + α v̄)/m, V, -(∇²F Z + α V)/m)."""
        slope, bend = _slopes(self.process, y.position, y.deviation)
        mass, alpha = value_at(self.process.mass, t), self.process.friction
        return FluctuationMomentumState(
            y.velocity,
            -(slope + alpha * y.velocity) / mass,
            y.deviation_velocity,
            -(bend + alpha * y.deviation_velocity) / mass,
        )

    def brownian(self, y: FluctuationMomentumState) -> int:
        """One a label."""
        del y
        return self.process.labels

    def noise(self, t, y: FluctuationMomentumState, dw: Any) -> Any:
        """(0, 0, 0, √(2Σ) dw/m)."""
        push = _push(self.process, y.position, dw) / value_at(self.process.mass, t)
        rest = jnp.zeros_like(push)
        return FluctuationMomentumState(rest, rest, rest, push)


def fluctuations(process: Any) -> Diffusion:
    """The Gaussian fluctuations of a switching process about `full_gradient`.

    `Fluctuations` of a `StochasticGradientProcess`, `MomentumFluctuations` of a
    `StochasticGradientMomentumProcess`: the limit of √r (process - flow) as the
    relaxation rate r grows, so that process ≈ flow + Z/√r. The clock's own rate does
    not enter.

    Raises:
        BadInput: no switching process, or an index without one constant relaxation
            rate.
    """
    require_instance(process, Switching, "fluctuations takes a switching process")
    if isinstance(process, StochasticGradientMomentumProcess):
        return MomentumFluctuations(process)
    assert isinstance(process, StochasticGradientProcess)
    return Fluctuations(process)


def _require_one_rate(process: Switching) -> None:
    index: Any = process.index
    if not isinstance(index, UniformIndex | WeightedIndex):
        raise BadInput(
            "the limit is scaled by one relaxation rate r: take a UniformIndex or a "
            f"WeightedIndex; got {type(index).__name__}."
        )
    if not is_constant(index.rate):
        raise BadInput("the limit of fast switching takes a clock of constant rate.")


def _slopes(process: Switching, x: Vector, z: Vector) -> Any:
    """∇F(x) and ∇²F(x) z."""
    return eqx.filter_jvp(process.mean_objective().gradient, (x,), (z,))


def _push(process: Switching, x: Vector, dw: Float[Array, " labels"]) -> Vector:
    """Σ_i √(2π_i) (∇f_i - ∇F)(x) dw_i, of covariance 2Σ(x) dt."""
    labels = jnp.arange(process.labels)
    slopes = jax.vmap(lambda i: process.gradient(i, x))(labels)
    weights = process.index.stationary()
    away = slopes - (weights @ slopes)[None]
    return (jnp.sqrt(2 * weights) * dw) @ away
