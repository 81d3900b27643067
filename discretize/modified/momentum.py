"""Heavy ball and Nesterov's momentum beside their modified flow, of any order."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from discretize.modified.multistep import multistep_terms
from discretize.modified.one_step import axpy, check_terms, series_at
from flows import BadInput, DerivedFlow, Flow
from flows.dynamics import parameter, require_range


class ModifiedMomentumFlow(DerivedFlow):
    r"""The modified flow of a momentum method at step h, of p terms.

    With f the field of `flow` (-∇E on gradient flow) and velocity 0 at the start,

        v ← β v + h f(x),   x ← x + v                   (heavy ball),
        v ← β v + h f(x),   x ← x + h f(x) + β v         (Nesterov),

    which are `optax.sgd(h, momentum=β)` and the same with `nesterov=True`. Without v
    they are the two-step methods

        x_{k+1} - x_k = β (x_k - x_{k-1}) + h f_k                       (heavy ball),
        x_{k+1} - x_k = β (x_k - x_{k-1}) + h [(1+β) f_k - β f_{k-1}]   (Nesterov),

    whose slow manifold carries the flow (see `multistep_terms`)

        y' = f/(1-β) + h μ₁/(1-β) f'f + ...,
        μ₁ = -(1+β)/(2(1-β)²)  (heavy ball),  -(1-β+2β²)/(2(1-β)²)  (Nesterov).

    The iterates follow it to order p at a fixed time once the start is shifted by
    `momentum_slip` (which knows the shift to order 2, hence p up to 3). Heavy ball with
    two terms on gradient flow is `flows.ModifiedHeavyBallFlow`.

    State: that of `flow`. Unit of time: a step takes h. Valid for h times the largest
    curvature well below (1-β)².

    Reference: Ghosh, Lyu, Zhang and Wang, ICLR 2023, arXiv 2302.00849 (heavy ball, two
    terms); Hairer, Lubich and Wanner, "Geometric Numerical Integration" (2nd ed.,
    2006), chapter XV; Nesterov's terms and the slips are derived here.

    Attributes:
        flow: f.
        h: step size, the learning rate (time).
        momentum: β in [0, 1).
        terms: p, 1 to 8.
        nesterov: Nesterov's momentum in place of heavy ball.

    Raises:
        BadInput: a parameter out of range.
    """

    equation: ClassVar[str] = r"\dot y = \sum_{k} \mu_k h^k D^k f(y)"
    flow: Flow
    h: Float[Array, ""] = eqx.field(converter=parameter, metadata={"positive": True})
    momentum: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True}
    )
    terms: int = eqx.field(static=True, default=2)
    nesterov: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_terms(self.terms)
        require_range("h", self.h)
        require_range("momentum", self.momentum, below=1.0)

    def vector_field(self, t, y):
        """Σ_j h^{j-1} F_j(t, y)."""
        alpha, beta = two_step(self.momentum, self.nesterov)
        fields = multistep_terms(alpha, beta, self.flow, self.terms)
        return series_at(fields, self.h, t, y)


def two_step(momentum: Any, nesterov: bool = False) -> tuple[list[Any], list[Any]]:
    """Coefficients (α, β) of a momentum method as a linear two-step method.

    Args:
        momentum: β.
        nesterov: Nesterov's momentum in place of heavy ball.
    """
    one = 0 * momentum + 1
    weights = [-momentum, one + momentum] if nesterov else [0 * momentum, one]
    return [momentum, -(one + momentum), one], [*weights, 0 * momentum]


def momentum_slip(
    flow: Flow,
    h: Any,
    momentum: Any,
    y: Any,
    *,
    order: int = 2,
    nesterov: bool = False,
) -> Any:
    r"""Where the shadow orbit of a momentum method starts.

    The velocity starts at 0 and not on the slow manifold; once the fast mode, about
    β^k, has died out, the iterates follow the modified flow from

        y₀ = x₀ - h κ/(1-β)² f(x₀) + h² κ(2+κ)/(1-β)⁴ f'(x₀) f(x₀) + O(h³),

    κ = β for heavy ball and β² for Nesterov's momentum. Derivation: write
    x_k = y(kh) + R^k e with R = β + O(h) the fast root of the two-step method,
    linearised at y₀; the velocity is 0 at the start if x_{-1} = x₀ (heavy ball) or
    x₀ = x_{-1} + h f(x_{-1}) (Nesterov), which gives e; and y₀ = x₀ - e.

    Args:
        flow: f, autonomous.
        h: step size, the learning rate (time).
        momentum: β in [0, 1).
        y: start x₀, a state of the flow.
        order: of the shift in h: 0 (none), 1 or 2.
        nesterov: Nesterov's momentum in place of heavy ball.

    Returns:
        y₀, of y's structure.

    Raises:
        BadInput: another order.
    """
    if order not in (0, 1, 2):
        raise BadInput(f"the slip is known to order 0, 1 or 2 in h; got {order!r}.")
    if order == 0:
        return y
    kappa = momentum**2 if nesterov else momentum
    shift = h * kappa / (1 - momentum) ** 2

    def field(z):
        return flow.vector_field(0.0, z)

    f = field(y)
    slipped = axpy(-shift, f, y)
    if order == 1:
        return slipped
    second = shift * h * (2 + kappa) / (1 - momentum) ** 2
    return axpy(second, jax.jvp(field, (y,), (f,))[1], slipped)
