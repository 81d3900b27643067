"""Adam and RMSProp as flows with memory."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Flow, Part, parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.types import is_traced


class AdamState(NamedTuple):
    """x, m and v, each of shape [n]; m and v are the raw (biased) moments."""

    position: Float[Array, " n"]
    first_moment: Float[Array, " n"]
    second_moment: Float[Array, " n"]


class RMSPropState(NamedTuple):
    """x of shape [n], and v of shape [n] or (one for all coordinates) [1]."""

    position: Float[Array, " n"]
    second_moment: Float[Array, " m"]


def _ema(old, new, h, tau):
    """The exact flow of m' = (new - m)/τ over time h, `new` held fixed."""
    return jnp.exp(-h / tau) * old - jnp.expm1(-h / tau) * new


def _root(v, eps: Any = 0.0):
    """√(v + ε), with v kept non-negative: Runge-Kutta stages may undershoot 0."""
    return jnp.sqrt(jnp.maximum(v, 0.0) + eps)


class AdamFlow(Flow):
    r"""Adam as an ordinary differential equation with memory.

        x' = -m̂/(√(v̂ + ε_root) + ε),   m' = (∇f(x) - m)/τ₁,   v' = (∇f(x)² - v)/τ₂,
        m̂ = m/(1 - e^{-t/τ₁}),   v̂ = v/(1 - e^{-t/τ₂}),   m(0) = v(0) = 0.

    State: `AdamState`. Unit of time: a step of Adam with learning rate η takes η, and
    its retention factors are β_i = e^{-η/τ_i}, so τ_i = -η/ln β_i. The field is 0/0 at
    t = 0; `adam_start` gives the first-order data at a small positive time. Existence,
    uniqueness and convergence hold for ε > 0 and τ₁ <= 4 τ₂.

    Splitting: part "EMA" moves (m, v) with x frozen, and carries the time; part "X"
    moves x with (m, v, t) frozen. The word EMA(h) X(h) is optax.adam, exactly.

    Reference: Barakat and Bianchi, SIAM J. Optim. 2021, arXiv 1810.02263; da Silva and
    Gazeau, JMLR 21 (2020), arXiv 1810.13108.

    Attributes:
        objective: f.
        tau1: memory of the first moment (time).
        tau2: memory of the second moment (time).
        eps: ε, outside the root (gradient units).
        eps_root: ε_root, inside the root (gradient units squared).
        bias_correction: False sets m̂ = m and v̂ = v.
    """

    equation: ClassVar[str] = (
        r"\dot x = -\frac{\hat m}{\sqrt{\hat v + \epsilon_{\mathrm{root}}} + \epsilon},"
        r"\quad \dot m = \frac{\nabla f(x) - m}{\tau_1},"
        r"\quad \dot v = \frac{\nabla f(x)^2 - v}{\tau_2}"
    )
    objective: Objective
    tau1: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\tau_1"}
    )
    tau2: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\tau_2"}
    )
    eps: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True, "symbol": r"\epsilon"}
    )
    eps_root: Float[Array, ""] = eqx.field(
        converter=parameter,
        metadata={"nonnegative": True, "symbol": r"\epsilon_{\mathrm{root}}"},
    )
    bias_correction: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        # A memory of time 0 is the limit β -> 0: the splitting bears it.
        for name in ("tau1", "tau2", "eps", "eps_root"):
            require_range(name, getattr(self, name))

    def velocity(self, t, m: Float[Array, " n"], v: Float[Array, " n"]):
        """X' as a function of the clock and the moments, shape [n]."""
        if self.bias_correction:
            m = m / -jnp.expm1(-t / self.tau1)
            v = v / -jnp.expm1(-t / self.tau2)
        return -m / (_root(v, self.eps_root) + self.eps)

    def vector_field(self, t, y: AdamState) -> AdamState:
        """(x', m', v') at time t > 0."""
        x, m, v = y
        g = self.objective.gradient(x)
        return AdamState(
            self.velocity(t, m, v), (g - m) / self.tau1, (g**2 - v) / self.tau2
        )

    def parts(self) -> dict[str, Part]:
        """Parts "EMA" (moments and clock) and "X" (position)."""
        return {"EMA": AdamMoments(self), "X": AdamPosition(self)}


class AdamMoments(Part):
    """m and v move with x frozen: exponential averages, exactly. Carries the time."""

    advances_time: ClassVar[bool] = True
    flow: AdamFlow

    def vector_field(self, t, y: AdamState) -> AdamState:
        """(0, m', v')."""
        full = self.flow.vector_field(t, y)
        return full._replace(position=jnp.zeros_like(y.position))

    def exact(self, t, y: AdamState, h, noise=None) -> AdamState:
        """Exactly m ← e^{-h/τ₁} m + (1 - e^{-h/τ₁}) ∇f(x), likewise v with ∇f(x)²."""
        del t, noise
        g = self.flow.objective.gradient(y.position)
        return AdamState(
            y.position,
            _ema(y.first_moment, g, h, self.flow.tau1),
            _ema(y.second_moment, g**2, h, self.flow.tau2),
        )


class AdamPosition(Part):
    """X moves with the moments and the clock frozen: a straight line."""

    flow: AdamFlow

    def vector_field(self, t, y: AdamState) -> AdamState:
        """(x', 0, 0)."""
        zero = jnp.zeros_like(y.position)
        return AdamState(
            self.flow.velocity(t, y.first_moment, y.second_moment), zero, zero
        )

    def exact(self, t, y: AdamState, h, noise=None) -> AdamState:
        """X ← x + h x'(t, m, v)."""
        del noise
        move = h * self.flow.velocity(t, y.first_moment, y.second_moment)
        return y._replace(position=y.position + move)


def adam_start(
    flow: AdamFlow, x: Float[Array, " n"], t: Float[Array, ""] | float
) -> AdamState:
    """The state of Adam's flow at a small time t > 0, right to first order in t.

    m = (1 - e^{-t/τ₁}) ∇f(x), v likewise, and x moved by t times the initial velocity;
    leaving x in place would cost an error of order t.

    Raises:
        BadInput: t is not positive.
    """
    if not is_traced(t) and not t > 0:
        raise BadInput(f"Adam's flow starts at a positive time; got t = {t}.")
    g = flow.objective.gradient(x)
    zero = jnp.zeros_like(x)
    m, v = _ema(zero, g, t, flow.tau1), _ema(zero, g**2, t, flow.tau2)
    return AdamState(x + t * flow.velocity(t, m, v), m, v)


class RMSPropFlow(Flow):
    r"""RMSProp as an ordinary differential equation with memory.

        x' = -∇f(x)/√(v + ε)   (or /(√v + ε)),   v' = (∇f(x)² - v)/τ,   v(0) = v₀.

    Scalar RMSProp (`scalar=True`) keeps one v for all coordinates, with |∇f(x)|² in
    place of the entries' squares.

    State: `RMSPropState`. Unit of time: a step with learning rate η takes η, and its
    retention factor is β = e^{-η/τ}. No bias correction.

    Splitting: part "EMA" moves v with x frozen (exact), and carries the time; part "X"
    moves x with v frozen; it is nonlinear, has no exact map, and is stepped by an inner
    scheme. The word EMA(h) X(h) with explicit Euler inside is optax.rmsprop, exactly.

    Reference: da Silva and Gazeau, JMLR 21 (2020), arXiv 1810.13108 (general system);
    Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in Deep
    Learning with Central Flows", 2024, arXiv 2410.24206 (scalar RMSProp).

    Attributes:
        objective: f.
        tau: memory of the second moment (time).
        eps: ε (gradient units squared inside the root, gradient units outside).
        eps_in_sqrt: whether ε stands inside the root (optax's default).
        scalar: whether one second moment of shape [1] serves all coordinates.
    """

    equation: ClassVar[str] = (
        r"\dot x = -\frac{\nabla f(x)}{\sqrt{v + \epsilon}},"
        r"\quad \dot v = \frac{\nabla f(x)^2 - v}{\tau}"
    )
    objective: Objective
    tau: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\tau"}
    )
    eps: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True, "symbol": r"\epsilon"}
    )
    eps_in_sqrt: bool = eqx.field(static=True, default=True)
    scalar: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        for name in ("tau", "eps"):
            require_range(name, getattr(self, name))

    def square(self, g: Float[Array, " n"]) -> Float[Array, " m"]:
        """What v averages: the squares of the gradient's entries, or their sum."""
        return jnp.sum(g**2)[None] if self.scalar else g**2

    def scale(self, v: Float[Array, " m"]) -> Float[Array, " m"]:
        """The denominator, √(v + ε) or √v + ε."""
        return _root(v, self.eps) if self.eps_in_sqrt else _root(v) + self.eps

    def vector_field(self, t, y: RMSPropState) -> RMSPropState:
        """(x', v')."""
        del t
        g = self.objective.gradient(y.position)
        v = y.second_moment
        return RMSPropState(-g / self.scale(v), (self.square(g) - v) / self.tau)

    def parts(self) -> dict[str, Part]:
        """Parts "EMA" (second moment and clock) and "X" (position)."""
        return {"EMA": RMSPropMoment(self), "X": RMSPropPosition(self)}


class RMSPropMoment(Part):
    """v moves with x frozen: an exponential average, exactly. Carries the time."""

    advances_time: ClassVar[bool] = True
    flow: RMSPropFlow

    def vector_field(self, t, y: RMSPropState) -> RMSPropState:
        """(0, v')."""
        full = self.flow.vector_field(t, y)
        return full._replace(position=jnp.zeros_like(y.position))

    def exact(self, t, y: RMSPropState, h, noise=None) -> RMSPropState:
        """Exactly v ← e^{-h/τ} v + (1 - e^{-h/τ}) ∇f(x)²."""
        del t, noise
        g = self.flow.objective.gradient(y.position)
        v = _ema(y.second_moment, self.flow.square(g), h, self.flow.tau)
        return y._replace(second_moment=v)


class RMSPropPosition(Part):
    """X moves with v frozen: a preconditioned gradient flow."""

    has_exact: ClassVar[bool] = False
    flow: RMSPropFlow

    def vector_field(self, t, y: RMSPropState) -> RMSPropState:
        """(x', 0)."""
        full = self.flow.vector_field(t, y)
        return full._replace(second_moment=jnp.zeros_like(y.second_moment))
