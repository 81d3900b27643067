"""Underdamped (kinetic) Langevin dynamics, and the parts its splittings are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.damped import FreeMotion, Kick
from flows.dynamics import Part, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.scheme import Draw
from sde._checks import require_positive
from sde.diffusion import Diffusion, NoisyPart

Vector = Float[Array, " n"]


class LangevinState(NamedTuple):
    """Position and velocity.

    Attributes:
        position: x, shape [n].
        velocity: v, shape [n], in (unit of x)/time.
    """

    position: Any
    velocity: Any


class UnderdampedLangevin(Diffusion):
    r"""Underdamped (kinetic) Langevin dynamics.

    dx = v dt,   M dv = -∇f(x) dt - γ M v dt + √(2γTM) dB,

    so that dv = -M⁻¹∇f(x) dt - γ v dt + √(2γT/M) dB. State: `LangevinState`. γ is the
    friction (1/time), T the temperature (1/β, units of f), M the mass, a number or the
    diagonal of a matrix. Stationary law ∝ exp(-(f(x) + v·Mv/2)/T). With M = 1 the unit
    of time is that of 1/√curvature: momentum with learning rate η takes a step of time
    √η.

    Parts: "A" moves x (and carries time), "B" kicks v, "O" is the exact
    Ornstein-Uhlenbeck flow of v with its noise; "BAOAB" and its kin are words in them.
    Joint part: "U", the exact flow of A and O together.

    Reference: Leimkuhler and Matthews, Applied Mathematics Research eXpress 2013,
    arXiv 1203.5428.

    Attributes:
        objective: f.
        friction: γ > 0.
        temperature: T >= 0.
        mass: M > 0, a number or a vector of shape [n].

    Raises:
        BadInput: a friction or mass that is not positive, a negative temperature, or a
            mass of more than one axis.
    """

    equation: ClassVar[str] = (
        r"dx = v\,dt,\quad M\,dv = -\nabla f(x)\,dt - \gamma M v\,dt"
        r" + \sqrt{2\gamma T M}\,dB"
    )
    objective: Objective
    friction: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\gamma"},
    )
    temperature: Array = eqx.field(
        converter=parameter, default=1.0, metadata={"positive": True, "symbol": "T"}
    )
    mass: Array = eqx.field(
        converter=parameter, default=1.0, metadata={"positive": True, "symbol": "M"}
    )

    def __check_init__(self):
        require_positive("friction", self.friction)
        require_positive("temperature", self.temperature, zero=True)
        require_positive("mass", self.mass)
        if len(shape := jnp.shape(self.mass)) > 1:
            raise BadInput(f"the mass is a number or a vector; got shape {shape}.")

    def vector_field(self, t, y: LangevinState) -> LangevinState:
        """(v, -M⁻¹∇f(x) - γ v)."""
        del t
        force = -self.objective.gradient(y.position)
        return LangevinState(y.velocity, force / self.mass - self.friction * y.velocity)

    def brownian(self, y: LangevinState) -> int:
        """One a coordinate of the velocity."""
        return y.velocity.shape[0]

    def noise(self, t, y: LangevinState, dw: Vector) -> LangevinState:
        """(0, √(2γT/M) dw)."""
        return self._bath.noise(t, y, dw)

    @property
    def _bath(self) -> VelocityBath:
        return VelocityBath(self.friction, self.temperature, self.mass)

    def parts(self) -> Mapping[str, Part]:
        """A: x moves, B: v is kicked, O: friction and noise on v."""
        return {
            "A": FreeMotion(),
            "B": Kick(self.objective, self.mass),
            "O": self._bath,
        }

    def joint_parts(self) -> Mapping[str, Part]:
        """U: A and O together, without a force."""
        return {"U": FreeLangevin(self.friction, self.temperature, self.mass)}


class VelocityBath(NoisyPart):
    """Part O: dv = -γ v dt + √(2γT/M) dB with x at rest; exact Gaussian transition.

    Attributes:
        friction: γ (1/time).
        temperature: T.
        mass: M.
    """

    friction: Array
    temperature: Array
    mass: Array = eqx.field(converter=parameter, default=1.0)

    def vector_field(self, t, y: LangevinState) -> LangevinState:
        """(0, -γ v)."""
        del t
        return LangevinState(jnp.zeros_like(y.position), -self.friction * y.velocity)

    def brownian(self, y: LangevinState) -> int:
        """One a coordinate of the velocity."""
        return y.velocity.shape[0]

    def noise(self, t, y: LangevinState, dw: Vector) -> LangevinState:
        """(0, √(2γT/M) dw)."""
        del t
        kick = jnp.sqrt(2 * self.friction * self.temperature / self.mass) * dw
        return LangevinState(jnp.zeros_like(y.position), kick)

    def noise_like(self, y: LangevinState) -> Draw:
        """Standard normals, one a coordinate of the velocity."""
        return Draw("normal", tuple(y.velocity.shape))

    def exact(self, t, y: LangevinState, h: Any, noise: Any = None) -> LangevinState:
        """(x, e^{-γh} v + √(T/M (1 - e^{-2γh})) ξ), with ξ = `noise`."""
        del t
        variance = self.temperature / self.mass
        spread = jnp.sqrt(-variance * jnp.expm1(-2 * self.friction * h))
        velocity = jnp.exp(-self.friction * h) * y.velocity + spread * noise
        return LangevinState(y.position, velocity)


class FreeLangevin(NoisyPart):
    r"""Joint part U = A + O: dx = v dt, dv = -γ v dt + √(2γT/M) dB, solved exactly.

    With c = e^{-γh}, the law of (x, v) after time h is Gaussian with mean
    (x + (1 - c)v/γ, c v) and, a coordinate,

        Var v = T/M (1 - c²),   Cov(x, v) = T/M (1 - c)²/γ,
        Var x = T/(Mγ²) (2γh - 4(1 - c) + 1 - c²).

    It is drawn from two normals a coordinate through the Cholesky factor with v first;
    given v, the variance of x is 4T/(Mγ²) (γh/2 - tanh(γh/2)), which is evaluated
    without cancellation for small γh.

    Reference: the joint law is classical (Chandrasekhar, Reviews of Modern Physics 15,
    1943); splittings that use it: Sanz-Serna and Zygalakis, "Wasserstein distance
    estimates for the distributions of numerical approximations to ergodic stochastic
    differential equations", JMLR 22(242), 2021 (UBU).

    Attributes:
        friction: γ (1/time).
        temperature: T.
        mass: M.
    """

    advances_time: ClassVar[bool] = True
    joins: ClassVar[tuple[str, ...]] = ("A", "O")
    friction: Array
    temperature: Array
    mass: Array = eqx.field(converter=parameter, default=1.0)

    def vector_field(self, t, y: LangevinState) -> LangevinState:
        """(v, -γ v)."""
        del t
        return LangevinState(y.velocity, -self.friction * y.velocity)

    def brownian(self, y: LangevinState) -> int:
        """One a coordinate of the velocity."""
        return y.velocity.shape[0]

    def noise(self, t, y: LangevinState, dw: Vector) -> LangevinState:
        """(0, √(2γT/M) dw)."""
        bath = VelocityBath(self.friction, self.temperature, self.mass)
        return bath.noise(t, y, dw)

    def noise_like(self, y: LangevinState) -> Draw:
        """Standard normals, shape [2, n]."""
        return Draw("normal", (2, *y.velocity.shape))

    def exact(self, t, y: LangevinState, h: Any, noise: Any = None) -> LangevinState:
        """A draw of (x, v) after time h from the normals `noise` of shape [2, n]."""
        del t
        g, first, second = self.friction, noise[0], noise[1]
        left, half = -jnp.expm1(-g * h), g * h / 2  # 1 - c, γh/2
        scale = jnp.sqrt(self.temperature / self.mass)
        along = left * jnp.sqrt(jnp.tanh(half)) * first
        across = 2 * jnp.sqrt(tanh_gap(half)) * second
        position = y.position + (left * y.velocity + scale * (along + across)) / g
        spread = scale * jnp.sqrt(-jnp.expm1(-2 * g * h))
        velocity = jnp.exp(-g * h) * y.velocity + spread * first
        return LangevinState(position, velocity)

    def response(self, h: Any, acceleration: Vector) -> LangevinState:
        """What a constant acceleration adds to (x, v) in time h.

        ((γh - 1 + c)/γ² a, (1 - c)/γ a) with c = e^{-γh}; as γh -> 0, (h²/2 a, h a).
        """
        g = self.friction
        half, t = g * h / 2, jnp.tanh(g * h / 2)
        # γh - 1 + e^{-γh} as a sum of positive terms
        moved = (2 * tanh_gap(half) + g * h * t) / ((1 + t) * g**2)
        return LangevinState(
            moved * acceleration, -jnp.expm1(-g * h) / g * acceleration
        )


def tanh_gap(z: Any) -> Any:
    """The gap z - tanh z for z >= 0, to full relative accuracy (z³/3 for small z).

    Below 1 by Lambert's continued fraction tanh z = z/(1 + z²/(3 + z²/(5 + ⋯))), whose
    terms are positive: z - tanh z = z³/(z² + 3 + z²/(5 + ⋯)).
    """
    square = z * z
    tail = 17.0
    for odd in (15, 13, 11, 9, 7, 5, 3):
        tail = odd + square / tail
    near = z * square / (square + tail)
    return jnp.where(z < 1, near, z - jnp.tanh(z))
