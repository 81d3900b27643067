"""High-resolution flows of heavy ball and Nesterov's methods, and Bregman's family."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import as_position, require_instance, require_number
from flows.dynamics import parameter
from flows.objective import Objective
from flows.phase import PhaseState
from flows.second_order import Coefficients, SecondOrderFlow
from flows.types import Scalar

_MU = {"positive": True, "symbol": r"\mu"}
_S = {"positive": True, "symbol": "s"}


class _StronglyConvexFlow(SecondOrderFlow):
    """What the two flows of strongly convex functions have in common: μ and s."""

    objective: Objective
    strong_convexity: Float[Array, ""] = eqx.field(converter=parameter, metadata=_MU)
    learning_rate: Float[Array, ""] = eqx.field(converter=parameter, metadata=_S)

    def __check_init__(self):
        require_number("strong_convexity", self.strong_convexity, positive=True)
        require_number("learning_rate", self.learning_rate, positive=True)


class HighResolutionHeavyBallFlow(_StronglyConvexFlow):
    r"""x'' + 2√μ x' + (1 + √(μs)) ∇f(x) = 0, of heavy ball with learning rate s.

    State: `PhaseState`. Unit of time: 1/√curvature; a step takes √s. It lacks the
    gradient correction √s ∇²f x' of `HighResolutionNesterovFlow`, the one difference
    between the two methods to this order. Start: `high_resolution_start`. With

        E = (1+√(μs)) (f - f*) + |v|²/4 + |v + 2√μ (x - x*)|²/4,   E' <= -(√μ/4) E.

    Reference: Shi, Du, Jordan and Su, arXiv 1810.08907v3, equation 1.10, lemma 3.2.

    Attributes:
        objective: f, μ-strongly convex.
        strong_convexity: μ > 0 (curvature).
        learning_rate: s > 0 (1/curvature).
    """

    equation: ClassVar[str] = (
        r"\ddot x + 2\sqrt\mu\,\dot x + (1 + \sqrt{\mu s})\,\nabla f(x) = 0"
    )

    def coefficients(self, t) -> Coefficients:
        """Friction 2√μ, force 1 + √(μs)."""
        del t
        root, step = jnp.sqrt(self.strong_convexity), jnp.sqrt(self.learning_rate)
        return Coefficients(friction=2 * root, force=1 + root * step)


class HighResolutionNesterovFlow(_StronglyConvexFlow):
    r"""x'' + 2√μ x' + √s ∇²f(x) x' + (1 + √(μs)) ∇f(x) = 0, of NAG-SC.

    State: `PhaseState`. Unit of time: 1/√curvature; a step takes √s. Start:
    `high_resolution_start`. With q = √(μs) and

        E = (1+q)(f - f*) + |v|²/4 + |v + 2√μ (x - x*) + √s ∇f|²/4,

    E' <= -(√μ/4) E - (√s/2)(|∇f|² + v·∇²f v), for every s > 0.

    Reference: Shi, Du, Jordan and Su, arXiv 1810.08907v3, equation 1.11, lemma 3.1.

    Attributes:
        objective: f, μ-strongly convex.
        strong_convexity: μ > 0 (curvature).
        learning_rate: s > 0 (1/curvature).
    """

    equation: ClassVar[str] = (
        r"\ddot x + 2\sqrt\mu\,\dot x + \sqrt s\,\nabla^2 f(x)\,\dot x"
        r" + (1 + \sqrt{\mu s})\,\nabla f(x) = 0"
    )

    def coefficients(self, t) -> Coefficients:
        """Friction 2√μ, Hessian damping √s, force 1 + √(μs)."""
        del t
        root, step = jnp.sqrt(self.strong_convexity), jnp.sqrt(self.learning_rate)
        return Coefficients(1.0, 2 * root, step, 1 + root * step)


class HighResolutionAcceleratedFlow(SecondOrderFlow):
    r"""x'' + (3/t) x' + √s ∇²f(x) x' + (1 + 3√s/(2t)) ∇f(x) = 0, of NAG-C.

    State: `PhaseState`. Unit of time: 1/√curvature; a step takes √s, and the flow
    starts at t0 = 3√s/2 (`high_resolution_start`). With

        E = t (t + √s/2) (f - f*) + |t v + 2 (x - x*) + t √s ∇f|²/2,   E' <= 0,

    and inf |∇f|² falls like 1/t³.

    Reference: Shi, Du, Jordan and Su, arXiv 1810.08907v3, equation 1.12, theorem 5.

    Attributes:
        objective: f, convex.
        learning_rate: s > 0 (1/curvature).
    """

    equation: ClassVar[str] = (
        r"\ddot x + \frac3t\,\dot x + \sqrt s\,\nabla^2 f(x)\,\dot x"
        r" + \Bigl(1 + \frac{3\sqrt s}{2t}\Bigr)\nabla f(x) = 0"
    )
    objective: Objective
    learning_rate: Float[Array, ""] = eqx.field(converter=parameter, metadata=_S)

    def __check_init__(self):
        require_number("learning_rate", self.learning_rate, positive=True)

    def coefficients(self, t) -> Coefficients:
        """Friction 3/t, Hessian damping √s, force 1 + 3√s/(2t)."""
        step = jnp.sqrt(self.learning_rate)
        return Coefficients(1.0, 3 / t, step, 1 + 3 * step / (2 * t))


def high_resolution_start(
    flow: (
        HighResolutionHeavyBallFlow
        | HighResolutionNesterovFlow
        | HighResolutionAcceleratedFlow
    ),
    x0: Float[Array, " n"],
) -> tuple[Float[Array, ""], PhaseState]:
    """The time and the state in which the paper starts a high-resolution flow.

    Beside NAG-SC this velocity leaves an error of order √s; v = -(3/2)√s ∇f(x0), which
    matches its first step, leaves order s (the row `discretize.NAG_SC` starts so).

    Strongly convex: t = 0, v = -2√s ∇f(x0)/(1 + √(μs)). Convex: t = 3√s/2,
    v = -√s ∇f(x0).

    Args:
        flow: one of the three.
        x0: position, shape [n].

    Returns:
        The time (1/√curvature) and the state.

    Raises:
        BadInput: another flow, a position that is no array of floats.
    """
    kinds = (
        HighResolutionHeavyBallFlow,
        HighResolutionNesterovFlow,
        HighResolutionAcceleratedFlow,
    )
    require_instance(
        flow, kinds, "high_resolution_start takes one of the HighResolution...Flow"
    )
    x0 = as_position("x0", x0)
    s, g = jnp.sqrt(flow.learning_rate), flow.objective.gradient(x0)
    if isinstance(flow, HighResolutionAcceleratedFlow):
        return 1.5 * s, PhaseState(x0, -s * g)
    q = jnp.sqrt(flow.strong_convexity) * s
    return jnp.zeros_like(s), PhaseState(x0, -2 * s * g / (1 + q))


class BregmanFlow(SecondOrderFlow):
    r"""x'' + ((p+1)/t) x' + C p² t^{p-2} ∇f(x) = 0 for t > 0.

    The Euler–Lagrange equation of the Bregman Lagrangian in its polynomial family, with
    the Euclidean distance. With

        E = C t^p (f - f*) + |x - x* + t x'/p|²/2,   E' <= 0 for convex f,

    f - f* = O(t^{-p}). That is a change of time, not a faster method: for equal C the
    solution for p at time t is that for 2 at time t^{p/2}, and an explicit scheme meets
    the stiffness t^{p-2}. p = 2, C = 1/4 is `AcceleratedFlow` with r = 3.

    State: `PhaseState`. Unit of time: (C · curvature)^{-1/p}. Start at t0 > 0 with
    `bregman_start`.

    Reference: Wibisono, Wilson and Jordan, "A Variational Perspective on Accelerated
    Methods in Optimization", PNAS 2016, arXiv 1603.04245.

    Attributes:
        objective: f.
        power: p > 0.
        scale: C > 0.
    """

    equation: ClassVar[str] = (
        r"\ddot x + \frac{p+1}{t}\,\dot x + C p^2 t^{p-2}\,\nabla f(x) = 0"
    )
    objective: Objective
    power: Float[Array, ""] = eqx.field(
        converter=parameter, default=2.0, metadata={"positive": True, "symbol": "p"}
    )
    scale: Float[Array, ""] = eqx.field(
        converter=parameter, default=0.25, metadata={"positive": True, "symbol": "C"}
    )

    def __check_init__(self):
        require_number("power", self.power, positive=True)
        require_number("scale", self.scale, positive=True)

    def coefficients(self, t) -> Coefficients:
        """Friction (p+1)/t, force C p² t^{p-2}."""
        p = self.power
        return Coefficients(
            friction=(p + 1) / t, force=self.scale * p**2 * t ** (p - 2)
        )


def bregman_start(flow: BregmanFlow, x0: Float[Array, " n"], t0: Scalar) -> PhaseState:
    """The state at a small time t0 of the solution that starts in x0 at time 0.

    x = x0 - (C/2) t^p ∇f + (C²/12) t^{2p} ∇²f ∇f + O(t^{3p}), derivatives at x0.

    Args:
        flow: the model.
        x0: position at time 0, shape [n].
        t0: start of the numerical solution.

    Raises:
        BadInput: another flow, a position that is no array of floats, t0 <= 0.
    """
    require_instance(flow, BregmanFlow, "bregman_start takes a BregmanFlow")
    require_number("t0", t0, positive=True)
    x0, p = as_position("x0", x0), flow.power
    t = jnp.asarray(t0, x0.dtype)
    g = flow.objective.gradient(x0)
    first = flow.scale / 2 * g
    second = flow.scale**2 / 12 * flow.objective.hvp(x0, g)
    u = t**p
    return PhaseState(
        x0 - u * first + u**2 * second,
        p * u / t * (-first + 2 * u * second),
    )
