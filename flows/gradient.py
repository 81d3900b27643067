"""Gradient flow and its first relatives."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from flows.dynamics import Flow, parameter, require_range
from flows.objective import Objective


class GradientFlow(Flow):
    r"""Gradient flow, θ' = -∇f(θ).

    State: the position, shape [n]. Unit of time: that of 1/curvature, so that one step
    of gradient descent with learning rate η takes time η (it is explicit Euler with
    step η). Energy identity: df/dt = -|∇f|².

    Reference: Elkabetz and Cohen, "Continuous vs. Discrete Optimization of Deep Neural
    Networks", NeurIPS 2021, arXiv 2107.06608
    (gradient descent as a numerical solution of gradient flow).
    """

    equation: ClassVar[str] = r"\dot\theta = -\nabla f(\theta)"
    objective: Objective

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-∇f(y)."""
        del t
        return -self.objective.gradient(y)


class ModifiedHeavyBallFlow(Flow):
    r"""The modified flow of gradient descent with (heavy-ball) momentum.

    y' = -∇[ f/(1-β) + η(1+β)/(4(1-β)³) |∇f|² ], whose time-η map is one step of

        v ← β v - η ∇f(x),   x ← x + v,   v = 0 at the start,

    up to O(η³), once the start is shifted by the initial slip (`slip`). State: the
    position, shape [n]. Unit of time: a step takes η. β = 0 is the modified flow of
    gradient descent, with modified loss f + (η/4)|∇f|².

    Valid for η λ_max well below (1-β)²; the fast mode decays like β^k.

    Reference: Barrett and Dherin, ICLR 2021, arXiv 2009.11162 (β = 0); Ghosh, Lyu,
    Zhang and Wang, ICLR 2023, arXiv 2302.00849 (β > 0).

    Attributes:
        objective: f.
        learning_rate: η > 0.
        momentum: β in [0, 1).
    """

    equation: ClassVar[str] = (
        r"\dot y = -\nabla\Bigl[\tfrac{f}{1-\beta}"
        r" + \tfrac{\eta(1+\beta)}{4(1-\beta)^3}|\nabla f|^2\Bigr]"
    )
    objective: Objective
    learning_rate: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True}
    )
    momentum: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True}
    )

    def __check_init__(self):
        require_range("learning_rate", self.learning_rate)
        require_range("momentum", self.momentum, below=1.0)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-∇f/(1-β) - η(1+β)/(2(1-β)³) ∇²f ∇f."""
        del t
        eta, beta = self.learning_rate, self.momentum
        g, hg = jax.jvp(
            self.objective.gradient, (y,), (self.objective.gradient(y),)
        )  # (∇f, ∇²f ∇f)
        return -g / (1 - beta) - eta * (1 + beta) / (2 * (1 - beta) ** 3) * hg


def slip(
    objective: Objective,
    learning_rate: Float[Array, ""] | float,
    momentum: Float[Array, ""] | float,
    x: Float[Array, " n"],
) -> Float[Array, " n"]:
    """Where the shadow orbit of heavy ball starts: x + η β/(1-β)² ∇f(x) + O(η²).

    The velocity starts at 0 and not on the slow manifold; after the fast mode β^k has
    died out, the iterates follow the modified flow from this point.
    """
    return x + learning_rate * momentum / (1 - momentum) ** 2 * objective.gradient(x)
