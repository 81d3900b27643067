"""A momentum residual network whose layers descend, beside the damped flow."""

from __future__ import annotations

import optax

from discretize.correspondence import Correspondence, Exact, Order
from discretize.inertial_newton import require_momentum
from discretize.schemes import MomentumEuler
from flows import DampedFlow, at_rest


def _as_optimiser(hyper):
    """N layers of f = -h ∇f and γ = 1 - h/ε, which optax.sgd((1-γ)h, γ) is."""
    h, mass = hyper["step"], hyper["mass"]
    require_momentum(1 - h / mass, "h/ε", h / mass)
    return optax.sgd(h * h / mass, momentum=1 - h / mass)


MOMENTUM_RESNET = Correspondence(
    name="momentum residual network",
    dynamics=lambda objective, hyper: DampedFlow(objective, hyper["mass"], 1.0),
    optimizer=_as_optimiser,
    scheme=MomentumEuler("explicit"),
    clock=lambda hyper: hyper["step"],
    start=lambda dynamics, hyper, x: (0.0, at_rest(x)),
    scheme_start=lambda dynamics, hyper, x: at_rest(x),
    relation=Exact(),
    flow_order=Order(1.0, "sup"),
    required=("step", "mass"),
    ranges={"step": "> 0", "mass": "> 0"},
    rate_name="step",
    conventions=(
        "layers -h ∇f and γ = 1 - h/ε >= 0, at a fixed mass ε; time of a layer: h",
        "a velocity of the network is h times one of the flow; 0 at the start",
        "is optax.sgd(h²/ε, momentum=γ)",
    ),
    # ηλ < 2(1 + γ) of heavy ball with η = h²/ε and γ = 1 - h/ε, as a bound of hλ
    limit=lambda hyper: 4.0 * hyper["mass"] / hyper["step"] - 2.0,
    source="Sander, Ablin, Blondel and Peyré, arXiv 2102.07870; with a step, derived",
)
"""A momentum residual network is semi-implicit Euler on the damped flow, of order 1."""
