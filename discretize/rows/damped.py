"""Heavy ball as the damped flow in steps: a mass and a friction for each (η, β)."""

from __future__ import annotations

from dataclasses import replace

from discretize.correspondence import Correspondence, Exact, Order
from discretize.heavy_ball import FRICTIONS, from_heavy_ball
from discretize.rows.gradient import HEAVY_BALL
from discretize.schemes import MomentumEuler
from flows import DampedFlow, at_rest

_MASSES = {
    "implicit": "α²ηβ/(1-β)²",
    "explicit": "α²η/(1-β)²",
    "exponential": "-αh/ln β",
}


def _row(rule: str) -> Correspondence:
    def step(hyper):
        eta, beta, alpha = (
            hyper[name] for name in ("learning_rate", "momentum", "friction")
        )
        return from_heavy_ball(eta, beta, alpha, rule)

    def damped_flow(objective, hyper):
        return DampedFlow(objective, step(hyper).mass, hyper["friction"])

    return replace(
        HEAVY_BALL,
        name=f"optax.sgd(momentum), {rule} friction",
        dynamics=damped_flow,
        scheme=MomentumEuler(rule),
        clock=lambda hyper: step(hyper).h,
        start=lambda dynamics, hyper, x: (0.0, at_rest(x)),
        scheme_start=lambda dynamics, hyper, x: at_rest(x),
        relation=Exact(),
        flow_order=Order(1.0, "sup"),
        defaults={"friction": 1.0},
        ranges={"friction": "> 0", "momentum": "in (0, 1)"},
        conventions=(
            "time of a step: h = αη/(1-β), the friction α chosen",
            f"mass: m = {_MASSES[rule]} (0 < β < 1)",
            "velocity 0 at the start",
            "one fresh row a step has the noise of an index with relaxation rate 2/h",
        ),
        source="Polyak, USSR Comput. Math. Math. Phys. 4(5), 1964; the map derived",
    )


DAMPED_HEAVY_BALL, *_OTHERS = (_row(rule) for rule in FRICTIONS)
"""Heavy ball is semi-implicit Euler, with implicit friction, on the damped flow."""

DAMPED_ROWS = (DAMPED_HEAVY_BALL, *_OTHERS)
"""The same for implicit, explicit and exponential friction."""
