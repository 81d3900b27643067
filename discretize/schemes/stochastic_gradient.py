"""SGD, RMSProp and Adam with gradient noise, as schemes of their diffusions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp

from flows import BadInput, Scheme, Step
from flows.adaptive import AdamState, RMSPropState
from flows.door import require_instance
from sde import AdamSDE, GradientNoise, RMSPropSDE

_NOISE_WANTED = "StochasticGradient takes a gradient noise, as MinibatchNoise(f, 32)"


class StochasticGradient(Scheme):
    r"""Stochastic gradient descent, x ← x - h ∇f_γ(x), each step with a fresh γ.

    It needs the objective of `dynamics` alone, so it steps gradient flow (order 1 in
    law) and both stochastic modified equations (orders 1 and 2 where h is the learning
    rate that they hold). Unit of time: a step takes h, the learning rate.

    Attributes:
        noise: what draws γ, as `sde.MinibatchNoise(objective, 32)`; None takes the
            gradient noise of the stochastic modified equation that it steps.

    Raises:
        BadInput: no gradient noise, here or (from a step) in the model.
    """

    order: ClassVar[int] = 1
    noise: GradientNoise | None = None

    def __check_init__(self):
        if self.noise is not None:
            require_instance(self.noise, GradientNoise, f"{_NOISE_WANTED} or None")

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """What one γ is made of."""
        return self._noise(dynamics).draws(y)

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of learning rate h."""
        del t
        g = self._noise(dynamics).drawn_gradient(dynamics.objective, y, noise)
        return Step(y - h * g)

    def _noise(self, dynamics: Any) -> GradientNoise:
        noise: Any = self.noise
        if noise is None:
            noise = getattr(dynamics, "gradient_noise", None)
        require_instance(noise, GradientNoise, _NOISE_WANTED)
        return noise


class StochasticRMSProp(Scheme):
    r"""RMSProp with noisy gradients, at the scales of an `RMSPropSDE`.

    With g = ∇f(x) + σ z, σ = σ₀/η, ε = ε₀/η, β = 1 - c₂η² and v = σ²u it is

        x ← x - η g/(√v + ε),   v ← βv + (1 - β) g².

    Unit of time: a step takes h = η². On any other model it is an error.

    Attributes:
        second_moment: which v divides the gradient: "old", before its update, or "new",
            after it, as in optax. Both follow the same diffusion to O(η²).

    Raises:
        BadInput: another word for the second moment, or (from a step) another model.
    """

    second_moment: Literal["old", "new"] = eqx.field(static=True, default="old")

    def __check_init__(self):
        if self.second_moment not in ("old", "new"):
            raise BadInput(
                f'second_moment is "old" or "new"; got {self.second_moment!r}.'
            )

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """What one gradient's noise is made of."""
        require_instance(dynamics, RMSPropSDE, "StochasticRMSProp steps an RMSPropSDE")
        return dynamics.gradient_noise.draws(y.position)

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of learning rate √h."""
        del t
        x, u = y
        g, z = _gradient(dynamics, x, noise)
        new = _second_moment(dynamics, u, g, z, h)
        scale = dynamics.scale(u if self.second_moment == "old" else new)
        move = (h * g + jnp.sqrt(h) * dynamics.sigma0 * z) / scale
        return Step(RMSPropState(x - move, new))


class StochasticAdam(Scheme):
    r"""Adam with noisy gradients, at the scales of an `AdamSDE`.

    With g = ∇f(x) + σ z, σ = σ₀/η, ε = ε₀/η, β_i = 1 - c_iη² and v = σ²u it is
    optax.adam at step k = t/η²,

        m ← β₁m + (1-β₁) g,   v ← β₂v + (1-β₂) g²,   x ← x - η m̂/(√v̂ + ε),

    with m̂ = m/(1 - β₁^{k+1}), v̂ = v/(1 - β₂^{k+1}) where the model corrects the bias.
    Unit of time: a step takes h = η². It is regular at t = 0, unlike its diffusion.

    Raises:
        BadInput: (from a step) another model.
    """

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """What one gradient's noise is made of."""
        require_instance(dynamics, AdamSDE, "StochasticAdam steps an AdamSDE")
        return dynamics.gradient_noise.draws(y.position)

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of learning rate √h."""
        x, m, u = y
        g, z = _gradient(dynamics, x, noise)
        c1, sigma0 = dynamics.c1, dynamics.sigma0
        m = m + c1 * (h * (g - m) + jnp.sqrt(h) * sigma0 * z)
        u = _second_moment(dynamics, u, g, z, h)
        q1, q2 = 1.0, 1.0
        if dynamics.bias_correction:
            steps = (t + h) / h  # k + 1
            q1 = -jnp.expm1(steps * jnp.log1p(-c1 * h))
            q2 = -jnp.expm1(steps * jnp.log1p(-dynamics.c2 * h))
        return Step(AdamState(x + h * dynamics.velocity(q1, q2, m, u), m, u))


def _gradient(dynamics: Any, x: Any, draw: Any) -> tuple[Any, Any]:
    """∇f(x), and z of the noise σz."""
    g = dynamics.objective.gradient(x)
    drawn = dynamics.gradient_noise.drawn_gradient(dynamics.objective, x, draw)
    return g, drawn - g


def _second_moment(dynamics: Any, u: Any, g: Any, z: Any, h: Any) -> Any:
    """U ← u + c₂h((z + √h g/σ₀)² - u), which is v ← βv + (1 - β)(g + σz)²."""
    square = (z + jnp.sqrt(h) * g / dynamics.sigma0) ** 2
    return u + dynamics.c2 * h * (square - u)
