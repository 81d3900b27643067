"""INNA, momentum as INNA, and the flows that momentum follows in its two scalings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import optax

from discretize.correspondence import Correspondence, Order
from discretize.inertial_newton import (
    modified_inertial_newton,
    modified_start,
    require_momentum,
    to_inertial_newton,
)
from discretize.optimizers.inna import inna
from discretize.rows.common import at_zero, euler_row, position, rate
from discretize.rows.gradient import HEAVY_BALL, SGD
from flows import (
    DampedFlow,
    InertialNewtonPsiFlow,
    InertialNewtonState,
    at_rest,
)
from flows.central import Momentum

INNA_PAPER = "Castera, Bolte, Févotte and Pauwels, arXiv 1905.12278"
POLYAK = "Polyak, USSR Comput. Math. Math. Phys. 4(5), 1964; the scaling derived here"


# INNA, and the optimisers that are points of it.


def _psi(flow: InertialNewtonPsiFlow, x: Any) -> InertialNewtonState:
    """ψ = (1 - αβ) x, which is the velocity -β ∇f."""
    return InertialNewtonState(x, (1 - flow.friction * flow.hessian_damping) * x)


def _psi_at_zero(dynamics, hyper, x):
    del hyper
    return 0.0, _psi(dynamics, x)


def _psi_start(dynamics, hyper, x):
    del hyper
    return _psi(dynamics, x)


def _inna_flow(objective, hyper):
    return InertialNewtonPsiFlow(objective, hyper["alpha"], hyper["beta"])


def _inna(hyper):
    return inna(hyper["learning_rate"], hyper["alpha"], hyper["beta"])


def inna_limit(hyper: Any) -> Any:
    """γ times the largest λ such that INNA is stable at all smaller positive ones.

    Stable: γ < β + α/λ and γλ(2β - γ) < 4 - 2αγ. 0 for αγ >= 2, where at most an
    interval of curvatures is stable (γ > 2β), away from 0 for αγ > 2.
    """
    h, a, b = (hyper[name] for name in ("learning_rate", "alpha", "beta"))
    ahead, free = h - b, 2 * b - h
    room = jnp.maximum(4 - 2 * a * h, 0.0)
    spiral = jnp.where(ahead > 0, a / jnp.where(ahead > 0, ahead, 1.0), jnp.inf)
    flip = jnp.where(free > 0, room / (h * jnp.where(free > 0, free, 1.0)), jnp.inf)
    return jnp.where(room > 0, h * jnp.minimum(spiral, flip), 0.0)


INNA = euler_row(
    name="inna",
    dynamics=_inna_flow,
    optimizer=_inna,
    start=_psi_at_zero,
    scheme_start=_psi_start,
    defaults={"alpha": 0.5, "beta": 0.1},
    ranges={"beta": "> 0"},
    conventions=(
        "time of a step: the learning rate γ",
        "ψ₀ = (1-αβ) x₀, that is the velocity -β ∇f(x₀)",
        "the gradient and ψ both from before the step",
    ),
    limit=inna_limit,
    source=INNA_PAPER,
)
"""INNA is explicit Euler on the inertial-Newton system in (x, ψ)."""


def _sgd_point(nesterov: bool) -> Correspondence:
    def point(hyper):
        return to_inertial_newton(hyper["learning_rate"], hyper["momentum"], nesterov)

    def dynamics(objective, hyper):
        return InertialNewtonPsiFlow(objective, *point(hyper)[1:])

    def optimizer(hyper):
        m = hyper["momentum"]
        return optax.sgd(hyper["learning_rate"], momentum=m, nesterov=nesterov)

    def limit(hyper):
        m = hyper["momentum"]
        return 2.0 * (1.0 + m) / (1.0 + (2.0 * m if nesterov else 0.0))

    def rule(hyper):
        form = "nesterov" if nesterov else "polyak"
        return Momentum(hyper["learning_rate"], hyper["momentum"], form)

    kind, damping = ("nesterov", "(1+m)√η") if nesterov else ("momentum", "√η")
    return replace(
        INNA,
        name=f"optax.sgd({kind}), a point of INNA",
        dynamics=dynamics,
        optimizer=optimizer,
        clock=lambda hyper: point(hyper).step,
        flow_order=Order(0.5, "sup"),
        required=("learning_rate", "momentum"),
        defaults={},
        ranges={},
        conventions=(
            "time of a step: γ = √η",
            f"α = (1-m)/√η, β = {damping}; the order is in η at fixed α",
            "ψ₀ = (1-αβ) x₀, from which optax's zero trace starts",
        ),
        limit=limit,
        rule=rule,
        source=f"{INNA_PAPER}; the dictionary derived here",
    )


HEAVY_BALL_AS_INNA, NESTEROV_AS_INNA = (_sgd_point(n) for n in (False, True))
"""Heavy ball is INNA at β = γ, Nesterov's momentum at β = (2-αγ)γ: exactly."""


def _descent_flow(objective, hyper):
    return InertialNewtonPsiFlow(objective, 1 / hyper["beta"], hyper["beta"])


SGD_AS_INNA = replace(
    INNA,
    name="optax.sgd, a point of INNA",
    dynamics=_descent_flow,
    optimizer=lambda hyper: optax.sgd(hyper["learning_rate"]),
    clock=lambda hyper: hyper["learning_rate"] / hyper["beta"],
    defaults={"beta": 1.0},
    conventions=(
        "time of a step: η/β, the damping β chosen",
        "αβ = 1; ψ starts at 0 and stays there",
    ),
    limit=lambda hyper: 2.0,
    source=f"{INNA_PAPER}; the dictionary derived here",
)
"""Gradient descent is INNA at αβ = 1, with η = γβ: exactly."""


# Momentum beside its flows. The step γ = √η at fixed friction α, m = 1 - αγ.


def _inertial_point(hyper, nesterov: bool):
    h, a = hyper["step"], hyper["friction"]
    return h, a, (2 - a * h) * h if nesterov else h


def _inertial_scaling(nesterov: bool) -> Correspondence:
    """The row of order 2 beside the modified flow."""

    def dynamics(objective, hyper):
        return modified_inertial_newton(objective, *_inertial_point(hyper, nesterov))

    def optimizer(hyper):
        h, a = hyper["step"], hyper["friction"]
        require_momentum(1 - a * h, "αγ", a * h)
        return optax.sgd(h**2, momentum=1 - a * h, nesterov=nesterov)

    def start(flow, hyper, x):
        point = _inertial_point(hyper, nesterov)
        return 0.0, modified_start(flow.objective, x, *point)

    kind, damping = ("nesterov", "mγ") if nesterov else ("momentum", "0")
    return Correspondence(
        name=f"optax.sgd({kind}), modified inertial flow",
        dynamics=dynamics,
        optimizer=optimizer,
        scheme=None,
        clock=lambda hyper: hyper["step"],
        start=start,
        scheme_start=position,
        relation=Order(2.0, "sup"),
        flow_order=Order(2.0, "sup"),
        required=("step", "friction"),
        ranges={"step": "> 0"},
        rate_name="step",
        conventions=(
            "η = γ², m = 1 - αγ >= 0 at fixed friction α; time of a step: γ",
            f"mass 1 - αγ/2, Hessian damping {damping}",
            "the flow starts at the velocity that matches the first step to O(γ²)",
        ),
        source="derived here; compare Shi, Du, Jordan and Su, arXiv 1810.08907",
    )


MODIFIED_HEAVY_BALL, MODIFIED_NESTEROV = (_inertial_scaling(n) for n in (False, True))
"""Momentum follows its modified inertial flow to order 2 in γ = √η."""

INERTIAL_HEAVY_BALL = replace(
    MODIFIED_HEAVY_BALL,
    name="optax.sgd(momentum), inertial scaling",
    dynamics=lambda objective, hyper: DampedFlow(objective, 1.0, hyper["friction"]),
    start=lambda dynamics, hyper, x: (0.0, at_rest(x)),
    relation=Order(1.0, "sup"),
    flow_order=Order(1.0, "sup"),
    conventions=(
        "η = γ², m = 1 - αγ >= 0 at fixed friction α; time of a step: γ",
        "velocity 0 at the start",
    ),
    source=POLYAK,
)
"""Heavy ball with m = 1 - α√η follows x'' + α x' + ∇f = 0, to order 1 in √η."""


HEAVY_BALL_AS_DESCENT = replace(
    HEAVY_BALL,
    name="optax.sgd(momentum), gradient-flow scaling",
    dynamics=SGD.dynamics,
    clock=lambda hyper: rate(hyper) / (1 - hyper["momentum"]),
    start=at_zero,
    relation=Order(1.0, "sup"),
    flow_order=Order(1.0, "sup"),
    conventions=(
        "time of a step: η/(1-m), the momentum m fixed",
        "of order 1 only once the mass ηm/(1-m)² is far below 1/curvature",
    ),
    source=POLYAK,
)
"""Heavy ball with fixed momentum follows gradient flow, to order 1 in η."""

INERTIAL_ROWS = (
    INNA,
    HEAVY_BALL_AS_INNA,
    NESTEROV_AS_INNA,
    SGD_AS_INNA,
    MODIFIED_HEAVY_BALL,
    MODIFIED_NESTEROV,
    INERTIAL_HEAVY_BALL,
    HEAVY_BALL_AS_DESCENT,
)
