"""Stochastic modified equations: the diffusions that SGD follows in law."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_instance
from flows.dynamics import parameter
from flows.errors import BadInput
from flows.objective import Objective
from sde._checks import require_positive
from sde.diffusion import Diffusion
from sde.gradient_noise import GradientNoise

Vector = Float[Array, " n"]


class StochasticModifiedEquation(Diffusion):
    r"""The stochastic modified equation of SGD with learning rate h (Itô).

    order 1:  dX = -∇f(X) dt + √h Σ(X)^{1/2} dB,
    order 2:  dX = -∇(f + (h/4)|∇f|²)(X) dt + √h Σ(X)^{1/2} dB.

    SGD, x ← x - h ∇f_γ(x) with independent γ, has E φ(x_k) - E φ(X(kh)) = O(h^order)
    for smooth φ of polynomial growth, up to a fixed time; Σ(x) = Cov ∇f_γ(x) may depend
    on x, and any factor of it has the same law. Gradient flow itself is of order 1 too:
    the first equation improves its constant, not its order.

    State: the position, shape [n]. Unit of time: a step of SGD takes h, t = kh.

    Reference: Li, Tai and E, ICML 2017, arXiv 1511.06251; JMLR 20(40), 2019, arXiv
    1811.01558.

    Attributes:
        objective: f.
        gradient_noise: Σ: `MinibatchNoise` or `FactorNoise`.
        learning_rate: h >= 0 (time).
        order: 1 or 2.

    Raises:
        BadInput: another order, a negative learning rate, no gradient noise.
    """

    equation: ClassVar[str] = (
        r"dX = -\nabla\bigl(f + \tfrac h4|\nabla f|^2\bigr)(X)\,dt"
        r" + \sqrt{h}\,\Sigma(X)^{1/2}\,dB"
    )
    objective: Objective
    gradient_noise: GradientNoise
    learning_rate: Array = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": "h"}
    )
    order: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        require_instance(
            self.objective, Objective, "StochasticModifiedEquation takes an objective"
        )
        if jnp.shape(self.learning_rate) != ():
            shape = jnp.shape(self.learning_rate)
            raise BadInput(f"learning_rate is one number; got shape {shape}.")
        require_instance(
            self.gradient_noise,
            GradientNoise,
            "gradient_noise is a GradientNoise, as MinibatchNoise(objective, 32)",
        )
        require_positive("learning_rate", self.learning_rate, zero=True)
        if self.order not in (1, 2) or isinstance(self.order, bool):
            raise BadInput(f"the order is 1 or 2; got {self.order!r}.")

    def vector_field(self, t: Any, y: Vector) -> Vector:
        """-∇f, at order 2 with -(h/2) ∇²f ∇f."""
        del t
        g = self.objective.gradient(y)
        if self.order == 1:
            return -g
        return -g - self.learning_rate / 2 * self.objective.hvp(y, g)

    def brownian(self, y: Vector) -> int:
        """As many as the factor of Σ takes."""
        return self.gradient_noise.brownian(y)

    def noise(self, t: Any, y: Vector, dw: Float[Array, " m"]) -> Vector:
        """√h Σ(y)^{1/2} dw."""
        del t
        return jnp.sqrt(self.learning_rate) * self.gradient_noise.noise(y, dw)
