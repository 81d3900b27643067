"""Sign, normalised and Polyak steps; exponentiated gradient."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax

from discretize.optimizers import exponentiated_gradient
from discretize.rows.common import euler_row
from flows import (
    DualMirrorFlow,
    Entropy,
    NormalisedFlow,
    PolyakFlow,
    SignFlow,
    SimplexEntropy,
)


def _sign_flow(objective, hyper):
    del hyper
    return SignFlow(objective)


def _sign_sgd(hyper):
    return optax.sign_sgd(hyper["learning_rate"])


def _smoothed_sign(dynamics, hyper):
    return SignFlow(dynamics.objective, hyper["smoothing"])


SIGN_SGD = euler_row(
    name="optax.sign_sgd",
    dynamics=_sign_flow,
    optimizer=_sign_sgd,
    defaults={"smoothing": 1e-3},
    conventions=(
        "time of a step: η; sign(0) = 0",
        "the flow is Filippov's; the one solved is g/√(g² + δ²), δ = smoothing",
        "does not converge: ends in a box |x_i - x*_i| <= η on separable quadratics",
    ),
    solved=_smoothed_sign,
    ranges={"smoothing": "> 0"},
    source="Bernstein et al., arXiv 1802.04434; the flow: Cortés, Automatica 42 (2006)",
)
"""Sign descent is explicit Euler on the sign flow."""


def _normalised_flow(objective, hyper):
    return NormalisedFlow(objective, hyper["eps"])


def _normalised_gd(hyper):
    return optax.chain(
        optax.normalize_by_update_norm(eps=hyper["eps"]),
        optax.scale_by_learning_rate(hyper["learning_rate"]),
    )


def _smoothed_norm(dynamics, hyper):
    return NormalisedFlow(dynamics.objective, dynamics.eps + hyper["smoothing"])


NORMALISED_GD = euler_row(
    name="optax.normalize_by_update_norm",
    dynamics=_normalised_flow,
    optimizer=_normalised_gd,
    defaults={"eps": 1e-6, "smoothing": 1e-3},
    conventions=(
        "time of a step: η, the length of its move",
        "g/(|g| + eps), the norm over all parameters; eps = 0 is 0/0 at ∇f = 0",
        "the flow solved has eps + smoothing in place of eps",
        "does not converge: ends oscillating with amplitude <= η",
    ),
    solved=_smoothed_norm,
    source="Cortés, Automatica 42 (2006) (the flow)",
)
"""Normalised gradient descent is explicit Euler on the normalised flow."""

OPTAX_GUARD = float(np.finfo(float).eps)
"""|∇f|² + eps at or below which optax's Polyak step is 0, in every precision."""


def _polyak_flow(objective, hyper):
    limit, minimum, eps = (hyper[n] for n in ("max_learning_rate", "f_min", "eps"))
    return PolyakFlow(objective, minimum, limit, eps, OPTAX_GUARD)


_POLYAK_HYPER = ("max_learning_rate", "f_min", "eps")


def _polyak(hyper):
    return optax.chain(
        optax.scale_by_polyak(**{n: hyper[n] for n in _POLYAK_HYPER}),
        optax.scale_by_learning_rate(hyper["learning_rate"]),
    )


POLYAK = euler_row(
    name="optax.scale_by_polyak",
    dynamics=_polyak_flow,
    optimizer=_polyak,
    defaults={"max_learning_rate": np.inf, "f_min": 0.0, "eps": 0.0},
    conventions=(
        "time of a step: η, without unit; η = 1 is Polyak's step",
        "no clip here; optax's own default max_learning_rate = 1 clips",
        "the step is 0 where |∇f|² + eps <= 2.2e-16",
    ),
    ranges={"max_learning_rate": "> 0, or infinite for none", "f_min": "finite"},
    source="Dherin and Rosca, arXiv 2402.08818",
)
"""A fraction η of Polyak's step is explicit Euler of step η on the Polyak flow."""


def _polyak_sgd(hyper):
    return optax.polyak_sgd(**{n: hyper[n] for n in _POLYAK_HYPER})


def _one(hyper):
    return jnp.ones_like(hyper["f_min"])


POLYAK_SGD = dataclasses.replace(
    POLYAK,
    name="optax.polyak_sgd",
    optimizer=_polyak_sgd,
    clock=_one,
    required=(),
    rate_name=None,
    conventions=(
        "time of a step: 1; optax's scaling stays 1 (in 0.2.8 it divides the step)",
        *POLYAK.conventions[1:],
    ),
)
"""Optax's Polyak step is explicit Euler of step 1 on the Polyak flow."""


def _replicator(objective, hyper):
    del hyper
    return DualMirrorFlow(objective, SimplexEntropy())


def _exponentiated_gradient(hyper):
    return exponentiated_gradient(hyper["learning_rate"])


def _dual(dynamics, hyper, x):
    del hyper
    return dynamics.start(x)


def _dual_at_zero(dynamics, hyper, x):
    return 0.0, _dual(dynamics, hyper, x)


EXPONENTIATED_GRADIENT = euler_row(
    name="exponentiated_gradient",
    dynamics=_replicator,
    optimizer=_exponentiated_gradient,
    start=_dual_at_zero,
    scheme_start=_dual,
    conventions=(
        "time of a step: η; Euler in the dual variable z = log x",
        "all entries together are one probability vector, the start included",
        "where ∇f is constant it is the flow itself, for any η",
    ),
    domain={"positive": True},
    source="Kivinen and Warmuth, Inform. and Comput. 132 (1997)",
)
"""Exponentiated gradient is Euler, in log x, on the replicator equation."""


def _positive_flow(objective, hyper):
    del hyper
    return DualMirrorFlow(objective, Entropy())


def _positive_gradient(hyper):
    return exponentiated_gradient(hyper["learning_rate"], simplex=False)


UNNORMALISED_EXPONENTIATED_GRADIENT = dataclasses.replace(
    EXPONENTIATED_GRADIENT,
    name="exponentiated_gradient(simplex=False)",
    dynamics=_positive_flow,
    optimizer=_positive_gradient,
    conventions=(
        EXPONENTIATED_GRADIENT.conventions[0],
        "entries stay positive, their sum is free",
        EXPONENTIATED_GRADIENT.conventions[2],
    ),
)
"""Without the division it is Euler, in log x, on x_i' = -x_i ∂_i f."""

FIRST_ORDER_ROWS = (
    SIGN_SGD,
    NORMALISED_GD,
    POLYAK,
    POLYAK_SGD,
    EXPONENTIATED_GRADIENT,
    UNNORMALISED_EXPONENTIATED_GRADIENT,
)
