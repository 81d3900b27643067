"""Langevin dynamics of the position alone: Ornstein-Uhlenbeck, overdamped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Part, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.scheme import Draw
from sde._checks import require_positive
from sde.diffusion import Diffusion, NoisyPart

Vector = Float[Array, " n"]


def _decayed(rate: Any, h: Any) -> Any:
    """∫₀ʰ e^{-2 rate s} ds = (1 - e^{-2 rate h}) / (2 rate), shape of `rate`."""
    return -jnp.expm1(-2 * rate * h) / (2 * rate)


class OrnsteinUhlenbeck(Diffusion):
    r"""The Ornstein-Uhlenbeck process, dX = -θ (X - m) dt + √(2D) dB.

    State: a vector of shape [n]. θ is a scalar or a vector of shape [n] (one rate a
    coordinate), in 1/time; D is a scalar or a vector, in (unit of X)²/time. Law of X(t)
    from x: Gaussian, mean m + e^{-θt}(x - m), variance (D/θ)(1 - e^{-2θt}) a
    coordinate; stationary law N(m, D/θ). The one part, "O", is that exact transition.

    Reference: Uhlenbeck and Ornstein, Physical Review 36, 1930.

    Attributes:
        rate: θ > 0.
        mean: m, a number or a vector of shape [n].
        diffusion: D > 0.

    Raises:
        BadInput: a rate or diffusion that is not positive, or parameters of more than
            one axis.
    """

    equation: ClassVar[str] = r"dX = -\theta (X - m)\,dt + \sqrt{2D}\,dB"
    rate: Array = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\theta"}
    )
    mean: Array = eqx.field(converter=parameter, default=0.0, metadata={"symbol": "m"})
    diffusion: Array = eqx.field(
        converter=parameter, default=1.0, metadata={"positive": True, "symbol": "D"}
    )

    def __check_init__(self):
        require_positive("rate", self.rate)
        require_positive("diffusion", self.diffusion)
        for name in ("rate", "mean", "diffusion"):
            if (shape := jnp.shape(getattr(self, name))) and len(shape) != 1:
                raise BadInput(f"{name} is a number or a vector; got shape {shape}.")

    def vector_field(self, t, y: Vector) -> Vector:
        """-θ (y - m)."""
        del t
        return -self.rate * (y - self.mean)

    def brownian(self, y: Vector) -> int:
        """One a coordinate."""
        return y.shape[0]

    def noise(self, t, y: Vector, dw: Vector) -> Vector:
        """√(2D) dw."""
        del t, y
        return jnp.sqrt(2 * self.diffusion) * dw

    def parts(self) -> Mapping[str, Part]:
        """The whole process as one part, "O"."""
        return {"O": GaussianTransition(self)}


class GaussianTransition(NoisyPart):
    """The whole Ornstein-Uhlenbeck process as a part: its exact Gaussian transition.

    Attributes:
        process: the process.
    """

    advances_time: ClassVar[bool] = True
    process: OrnsteinUhlenbeck

    def vector_field(self, t, y: Vector) -> Vector:
        """-θ (y - m)."""
        return self.process.vector_field(t, y)

    def brownian(self, y: Vector) -> int:
        """One a coordinate."""
        return self.process.brownian(y)

    def noise(self, t, y: Vector, dw: Vector) -> Vector:
        """√(2D) dw."""
        return self.process.noise(t, y, dw)

    def noise_like(self, y: Vector) -> Draw:
        """Standard normals, one a coordinate."""
        return Draw("normal", tuple(y.shape))

    def exact(self, t, y: Vector, h: Any, noise: Any = None) -> Vector:
        """X(h) = m + e^{-θh}(y - m) + √(D/θ (1 - e^{-2θh})) ξ, ξ = `noise`."""
        del t
        p = self.process
        spread = jnp.sqrt(2 * p.diffusion * _decayed(p.rate, h))
        return p.mean + jnp.exp(-p.rate * h) * (y - p.mean) + spread * noise


class OverdampedLangevin(Diffusion):
    r"""Overdamped Langevin dynamics, dX = -∇(f + ρ)(X) dt + √(2T) dB.

    State: the position, shape [n]. T is the temperature (1/β), in units of f; the unit
    of time is that of 1/curvature, so that one step of the unadjusted Langevin
    algorithm with learning rate η (explicit Euler) takes time η. Stationary law
    π ∝ exp(-(f + ρ)/T) where that can be normalised; E_π⟨x, ∇(f + ρ)⟩ = n T. The
    regulariser ρ is a drift part of its own (`drift_parts`): TheoPouLa tames it apart.

    Reference: Roberts and Tweedie, Bernoulli 2(4), 1996.

    Attributes:
        objective: f.
        temperature: T >= 0.
        regulariser: ρ, an objective of the same position; None for none.

    Raises:
        BadInput: a negative temperature, or a regulariser that is no objective.
    """

    equation: ClassVar[str] = r"dX = -\nabla f(X)\,dt + \sqrt{2T}\,dB"
    objective: Objective
    temperature: Array = eqx.field(
        converter=parameter, default=1.0, metadata={"positive": True, "symbol": "T"}
    )
    regulariser: Objective | None = None

    def __check_init__(self):
        require_positive("temperature", self.temperature, zero=True)
        if self.regulariser is not None and not isinstance(self.regulariser, Objective):
            raise BadInput(
                f"the regulariser is an objective or None; got {self.regulariser!r}."
            )

    def vector_field(self, t, y: Vector) -> Vector:
        """-∇(f + ρ)(y)."""
        return sum(self.drift_parts(t, y)[1:], self.drift_parts(t, y)[0])

    def drift_parts(self, t, y: Vector) -> tuple[Vector, ...]:
        """(-∇f(y), -∇ρ(y)); the first alone where there is no regulariser."""
        del t
        drift = -self.objective.gradient(y)
        if self.regulariser is None:
            return (drift,)
        return drift, -self.regulariser.gradient(y)

    def brownian(self, y: Vector) -> int:
        """One a coordinate."""
        return y.shape[0]

    def noise(self, t, y: Vector, dw: Vector) -> Vector:
        """√(2T) dw."""
        del t, y
        return jnp.sqrt(2 * self.temperature) * dw
