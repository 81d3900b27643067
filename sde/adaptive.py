"""The diffusions that RMSProp and Adam follow where gradient noise dominates."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.adaptive import AdamFlow, AdamState, RMSPropFlow, RMSPropState
from flows.door import require_instance
from flows.dynamics import parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.types import is_traced
from sde._checks import is_concrete, require_positive
from sde.diffusion import Diffusion
from sde.gradient_noise import GradientNoise

Vector = Float[Array, " n"]


def _symbol(name: str) -> Any:
    return eqx.field(converter=parameter, metadata={"positive": True, "symbol": name})


class RMSPropSDE(Diffusion):
    r"""RMSProp with dominating gradient noise, as a diffusion (Itô).

        dX = -P⁻¹ (∇f(X) dt + σ₀ Σ(X)^{1/2} dB),   du = c₂ (diag Σ(X) - u) dt,
        P = σ₀ diag(u)^{1/2} + ε₀.

    The optimiser is x ← x - η g/(√v + ε), v ← βv + (1 - β) g², with the gradient
    g = ∇f(x) + σ z, Cov z = Σ(x); u = v/σ², σ₀ = ση, ε₀ = εη, c₂ = (1 - β)/η² (see
    `adaptive_scales`). Held fixed as η → 0, E φ(x_k) - E φ(X(kη²)) = O(η²) for smooth
    φ where E z³ = 0; skewed noise leaves an error of order η.

    State: `RMSPropState`, whose second moment is u. Unit of time: a step takes η²,
    t = kη².

    Reference: Malladi, Lyu, Panigrahi and Arora, NeurIPS 2022, arXiv 2205.10287.

    Attributes:
        objective: f.
        gradient_noise: Σ, of the noise in units of σ.
        sigma0: σ₀ > 0.
        c2: c₂ > 0 (1/time).
        eps0: ε₀ >= 0.

    Raises:
        BadInput: a parameter out of range, no gradient noise.
    """

    equation: ClassVar[str] = (
        r"dX = -P^{-1}\bigl(\nabla f(X)\,dt + \sigma_0\Sigma(X)^{1/2}dB\bigr),\quad"
        r" du = c_2\bigl(\operatorname{diag}\Sigma(X) - u\bigr)dt,\quad"
        r" P = \sigma_0\sqrt{u} + \epsilon_0"
    )
    objective: Objective
    gradient_noise: GradientNoise
    sigma0: Array = _symbol(r"\sigma_0")
    c2: Array = _symbol("c_2")
    eps0: Array = _symbol(r"\epsilon_0")

    def __check_init__(self):
        _require_parameters(self)

    def scale(self, u: Vector) -> Vector:
        """P(u) = σ₀ √u + ε₀, shape [n]."""
        flow = RMSPropFlow(self.objective, 1 / self.c2, self.eps0, False)
        return flow.scale(self.sigma0**2 * u)

    def vector_field(self, t: Any, y: RMSPropState) -> RMSPropState:
        """(-P⁻¹ ∇f, c₂ (diag Σ - u))."""
        del t
        x, u = y
        drift = -self.objective.gradient(x) / self.scale(u)
        return RMSPropState(drift, self.c2 * (self.gradient_noise.variances(x) - u))

    def brownian(self, y: RMSPropState) -> int:
        """As many as the factor of Σ takes."""
        return self.gradient_noise.brownian(y.position)

    def noise(self, t: Any, y: RMSPropState, dw: Float[Array, " m"]) -> RMSPropState:
        """(-σ₀ P⁻¹ Σ^{1/2} dw, 0)."""
        del t
        x, u = y
        kick = self.sigma0 * self.gradient_noise.noise(x, dw) / self.scale(u)
        return RMSPropState(-kick, jnp.zeros_like(u))


class AdamSDE(Diffusion):
    r"""Adam with dominating gradient noise, as a diffusion (Itô).

        dX = -(√q₂(t)/q₁(t)) P⁻¹ m dt,   dm = c₁(∇f(X) - m) dt + σ₀ c₁ Σ(X)^{1/2} dB,
        du = c₂(diag Σ(X) - u) dt,   P = σ₀ diag(u)^{1/2} + ε₀ √q₂(t),
        q_i(t) = 1 - e^{-c_i t}.

    The drift of X is that of `flows.AdamFlow` with memories 1/c_i and v = σ₀² u. Scales
    and error as for `RMSPropSDE`, with c₁ = (1 - β₁)/η² beside c₂ = (1 - β₂)/η².

    The drift is singular at t = 0, where q₁ = 0 and m is pure noise: start at t₀ > 0,
    from a state of discrete Adam there (`simulate` takes one start for each path), or
    without bias correction, q₁ = q₂ = 1, which is regular.

    State: `AdamState`, raw moments, the second one being u = v/σ². Unit of time: a step
    takes η², t = kη².

    Reference: Malladi, Lyu, Panigrahi and Arora, NeurIPS 2022, arXiv 2205.10287.

    Attributes:
        objective: f.
        gradient_noise: Σ, of the noise in units of σ.
        sigma0: σ₀ > 0.
        c1: c₁ > 0 (1/time).
        c2: c₂ > 0 (1/time).
        eps0: ε₀ >= 0.
        bias_correction: False sets q₁ = q₂ = 1.

    Raises:
        BadInput: a parameter out of range, no gradient noise, a time t <= 0.
    """

    equation: ClassVar[str] = (
        r"dX = -\frac{\sqrt{q_2}}{q_1}P^{-1}m\,dt,\quad"
        r" dm = c_1(\nabla f(X) - m)dt + \sigma_0c_1\Sigma(X)^{1/2}dB,\quad"
        r" du = c_2(\operatorname{diag}\Sigma(X) - u)dt,\quad"
        r" P = \sigma_0\sqrt{u} + \epsilon_0\sqrt{q_2},\quad q_i = 1 - e^{-c_it}"
    )
    objective: Objective
    gradient_noise: GradientNoise
    sigma0: Array = _symbol(r"\sigma_0")
    c1: Array = _symbol("c_1")
    c2: Array = _symbol("c_2")
    eps0: Array = _symbol(r"\epsilon_0")
    bias_correction: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        _require_parameters(self)
        require_positive("c1", self.c1)

    def velocity(self, q1: Any, q2: Any, m: Vector, u: Vector) -> Vector:
        """X' = -(m/q₁)/(σ₀ √(u/q₂) + ε₀), for given bias corrections q₁, q₂."""
        flow = AdamFlow(self.objective, 1 / self.c1, 1 / self.c2, self.eps0, 0.0, False)
        return flow.velocity(0.0, m / q1, self.sigma0**2 * u / q2)

    def corrections(self, t: Any) -> tuple[Any, Any]:
        """(q₁(t), q₂(t)); (1, 1) without bias correction.

        Raises:
            BadInput: a concrete time that is not positive.
        """
        if not self.bias_correction:
            one = jnp.ones_like(self.c1)
            return one, one
        if is_concrete(t) and not is_traced(t) and not t > 0:
            raise BadInput(
                f"Adam's diffusion with bias correction lives at times t > 0; got {t}. "
                "Start it at t0 > 0 from a state of Adam there."
            )
        return -jnp.expm1(-self.c1 * t), -jnp.expm1(-self.c2 * t)

    def vector_field(self, t: Any, y: AdamState) -> AdamState:
        """(x', c₁(∇f - m), c₂(diag Σ - u)) at time t > 0."""
        x, m, u = y
        return AdamState(
            self.velocity(*self.corrections(t), m, u),
            self.c1 * (self.objective.gradient(x) - m),
            self.c2 * (self.gradient_noise.variances(x) - u),
        )

    def brownian(self, y: AdamState) -> int:
        """As many as the factor of Σ takes."""
        return self.gradient_noise.brownian(y.position)

    def noise(self, t: Any, y: AdamState, dw: Float[Array, " m"]) -> AdamState:
        """(0, σ₀ c₁ Σ^{1/2} dw, 0)."""
        del t
        kick = self.sigma0 * self.c1 * self.gradient_noise.noise(y.position, dw)
        return AdamState(jnp.zeros_like(kick), kick, jnp.zeros_like(kick))


def _require_parameters(model: Any) -> None:
    require_instance(
        model.gradient_noise,
        GradientNoise,
        "gradient_noise is a GradientNoise, as FactorNoise(lambda x: 1.0)",
    )
    require_positive("sigma0", model.sigma0)
    require_positive("c2", model.c2)
    require_range("eps0", model.eps0)
