"""The two losses of classification in one variable, log(1 + e^{-w}) and e^{-w}."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.objective import Fact, Facts, stated
from flows.problems.closed_form import SolvedObjective, require_position, require_time
from flows.types import Scalar

NEWTON_STEPS = 12
"""Newton's iteration below doubles its digits from the third step on."""


class Logistic(SolvedObjective):
    """f(w) = log(1 + e^{-w}) in one variable (see `logistic`)."""

    facts: Facts

    @property
    def size(self) -> int:
        """One coordinate."""
        return 1

    def value(self, x: Float[Array, " 1"], batch: Any = None) -> Float[Array, ""]:
        """log(1 + e^{-w})."""
        del batch
        return jnp.logaddexp(jnp.zeros((), x.dtype), -x[0])

    def gradient(self, x: Float[Array, " 1"], batch: Any = None) -> Float[Array, " 1"]:
        """-1/(1 + e^w)."""
        del batch
        return -jax.nn.sigmoid(-x)

    def scaled_gradient(self, log_scale: Any, x: Float[Array, " 1"]) -> Any:
        """e^s f'(w), without forming e^s."""
        return -jnp.exp(log_scale + jax.nn.log_sigmoid(-x))

    def gradient_flow_map(self, t: Scalar, x0: Float[Array, " 1"]) -> Any:
        """The root of w + e^w = t + w0 + e^{w0}, by Newton's method.

        That is w = c - W(e^c) with Lambert's W and c = t + w0 + e^{w0}, which
        overflows for c > 700; here no exponential of c is formed, and any t and w0 do.
        Derivatives follow from w' = 1/(1 + e^w) itself.
        """
        require_time(t)
        require_position(self, x0)
        return _logistic_flow(jnp.asarray(t, x0.dtype), x0)


@jax.custom_jvp
def _logistic_flow(t, w0):
    """Two forms of one convex, increasing equation, each entered right of its root."""
    # From w0 < 0: w + e^w = c.
    low = jnp.minimum(w0, 0.0)
    c = t + low + jnp.exp(low)
    w = jnp.where(c > 1, jnp.log(jnp.maximum(c, 1.0)), c)
    # From w0 >= 0, for d = w - w0: (d - t)/(1 + e^{w0}) + (e^d - 1)/(1 + e^{-w0}) = 0.
    high = jnp.maximum(w0, 0.0)
    p, q = jax.nn.sigmoid(-high), jax.nn.sigmoid(high)
    d = jnp.minimum(t, jnp.log1p(t * jnp.exp(-high)))
    for _ in range(NEWTON_STEPS):
        w = w - (w + jnp.exp(w) - c) / (1 + jnp.exp(w))
        d = d - (p * (d - t) + q * jnp.expm1(d)) / (p + q * jnp.exp(d))
    return jnp.where(w0 < 0, w, w0 + d)


@_logistic_flow.defjvp
def _(primals, tangents):
    t, w0 = primals
    dt, dw0 = tangents
    w = _logistic_flow(t, w0)
    speed = jax.nn.sigmoid(-w)
    ratio = jnp.exp(jax.nn.log_sigmoid(-w) - jax.nn.log_sigmoid(-w0))
    return w, speed * dt + ratio * dw0  # x(t + dt) and v(x(t))/v(x0)


class Exponential(SolvedObjective):
    """f(w) = e^{-w} in one variable (see `exponential`)."""

    facts: Facts

    @property
    def size(self) -> int:
        """One coordinate."""
        return 1

    def value(self, x: Float[Array, " 1"], batch: Any = None) -> Float[Array, ""]:
        """e^{-w}."""
        del batch
        return jnp.exp(-x[0])

    def scaled_gradient(self, log_scale: Any, x: Float[Array, " 1"]) -> Any:
        """e^s f'(w) = -e^{s - w}."""
        return -jnp.exp(log_scale - x)

    def gradient_flow_map(self, t: Scalar, x0: Float[Array, " 1"]) -> Any:
        """log(t + e^{w0})."""
        require_time(t)
        require_position(self, x0)
        return _exponential_flow(jnp.asarray(t, x0.dtype), x0)


@jax.custom_jvp
def _exponential_flow(t, w0):
    # Of two equal forms the one that neither overflows nor cancels.
    low, high = jnp.minimum(w0, 0.0), jnp.maximum(w0, 0.0)
    below = jnp.logaddexp(jnp.log(t), low)
    above = high + jnp.log1p(t * jnp.exp(-high))
    return jnp.where(w0 < 0, below, above)


@_exponential_flow.defjvp
def _(primals, tangents):
    t, w0 = primals
    dt, dw0 = tangents
    w = _exponential_flow(t, w0)
    return w, jnp.exp(-w) * dt + jnp.exp(w0 - w) * dw0


def logistic() -> Logistic:
    """f(w) = log(1 + e^{-w}): the logistic loss of one example, with margin w.

    Facts: L = 1/4, since f'' = σ(w) σ(-w) <= 1/4; convex, not strongly (μ = 0). The
    infimum 0 is not attained.
    """
    facts = Facts(
        smoothness=Fact(0.25, "f'' = σ(w) σ(-w) <= 1/4, attained at w = 0"),
        strong_convexity=Fact(0.0, "f'' tends to 0"),
    )
    return Logistic(stated(facts))


def exponential() -> Exponential:
    """f(w) = e^{-w}: the exponential loss of one example, with margin w.

    Facts: convex, not strongly (μ = 0); no global L. The infimum 0 is not attained.
    """
    return Exponential(stated(Facts(strong_convexity=Fact(0.0, "f'' tends to 0"))))
