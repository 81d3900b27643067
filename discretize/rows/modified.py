"""Optimisers beside their modified flows: gradient descent, momentum, reshuffling."""

from __future__ import annotations

import functools
from typing import Any

import optax

from discretize.correspondence import Correspondence, Exact, Order
from discretize.modified import ModifiedFlow, ModifiedMomentumFlow, momentum_slip
from discretize.modified.one_step import check_terms
from discretize.optimizers.reshuffled import reshuffled_sgd
from discretize.rows.common import at_zero, position, rate
from discretize.schemes import Euler
from discretize.shuffled import MeanEpoch, ShuffledFlow, as_batches
from flows import GradientFlow
from flows.central import Momentum
from flows.door import require_whole

BARRETT = "Barrett and Dherin, arXiv 2009.11162"


def _sgd(hyper):
    return optax.sgd(hyper["learning_rate"])


def sgd_modified(terms: int) -> Correspondence:
    """Gradient descent beside its modified flow of p terms, of order p.

    p = 1 is gradient flow, p = 2 the flow of implicit gradient regularisation.

    Args:
        terms: p, 1 to 8; each further term costs about three times the one before.

    Returns:
        The row: the same one for the same p.

    Raises:
        BadInput: `terms` out of range.
    """
    check_terms(terms)
    return _sgd_modified(int(terms))


@functools.cache
def _sgd_modified(terms: int) -> Correspondence:
    def dynamics(objective, hyper):
        flow = GradientFlow(objective)
        return ModifiedFlow(flow, Euler(), hyper["learning_rate"], terms)

    return Correspondence(
        name=f"optax.sgd, {terms} term{'s' if terms > 1 else ''}",
        dynamics=dynamics,
        optimizer=_sgd,
        scheme=None,
        clock=rate,
        start=at_zero,
        scheme_start=position,
        relation=Order(float(terms), "sup"),
        flow_order=Order(float(terms), "sup"),
        required=("learning_rate",),
        conventions=(
            "time of a step: η",
            "the series in η is asymptotic: keep η times the curvature below 1",
        ),
        limit=lambda hyper: 2.0,
        source=BARRETT,
    )


SGD_MODIFIED = tuple(sgd_modified(p) for p in range(1, 6))
"""Gradient descent beside its modified flow of p = 1, ..., 5 terms, of order p."""


def momentum_modified(terms: int, nesterov: bool = False) -> Correspondence:
    """A momentum method beside its modified flow of p terms, of order p.

    Args:
        terms: p, 1 to 3 (the slip of the start is known to order 2).
        nesterov: Nesterov's momentum in place of heavy ball.

    Returns:
        The row: the same one for the same arguments.

    Raises:
        BadInput: `terms` out of range.
    """
    require_whole("terms (of a momentum method)", terms, 1, 3)
    return _momentum_modified(int(terms), bool(nesterov))


@functools.cache
def _momentum_modified(terms: int, nesterov: bool) -> Correspondence:
    def dynamics(objective, hyper):
        return ModifiedMomentumFlow(
            GradientFlow(objective),
            hyper["learning_rate"],
            hyper["momentum"],
            terms,
            nesterov,
        )

    def start(flow, hyper, x):
        eta, beta = hyper["learning_rate"], hyper["momentum"]
        slip = {"order": terms - 1, "nesterov": nesterov}
        return 0.0, momentum_slip(flow.flow, eta, beta, x, **slip)

    def optimizer(hyper):
        return optax.sgd(
            hyper["learning_rate"], momentum=hyper["momentum"], nesterov=nesterov
        )

    def limit(hyper):
        beta = hyper["momentum"]
        return 2.0 * (1.0 + beta) / (1.0 + (2.0 * beta if nesterov else 0.0))

    def rule(hyper):
        form = "nesterov" if nesterov else "polyak"
        return Momentum(hyper["learning_rate"], hyper["momentum"], form)

    kind = "nesterov" if nesterov else "momentum"
    return Correspondence(
        name=f"optax.sgd({kind}), {terms} term{'s' if terms > 1 else ''}",
        dynamics=dynamics,
        optimizer=optimizer,
        scheme=None,
        clock=rate,
        start=start,
        scheme_start=position,
        relation=Order(float(terms), "end"),
        flow_order=Order(float(terms), "end"),
        required=("learning_rate", "momentum"),
        conventions=(
            "time of a step: η",
            f"velocity 0 at the start, hence a slip, of order {terms - 1} in η",
            "the norm is at the end time: the layer β^k of the first steps is of order"
            " η",
        ),
        limit=limit,
        rule=rule,
        source="derived here; Ghosh, Lyu, Zhang and Wang, arXiv 2302.00849",
    )


NESTEROV = momentum_modified(2, nesterov=True)
"""Nesterov's momentum beside its modified flow of two terms, from the slipped start."""


def shuffled_sgd(batches: Any) -> Correspondence:
    """SGD over reshuffled batches, in the mean over orders, beside its modified flow.

    The optimiser is `reshuffled_sgd(η, batches)`: one update is an epoch, averaged over
    all m! orders. It is the scheme `MeanEpoch`, and follows `ShuffledFlow` to order 2.

    Args:
        batches: row indices, shape [m, b], m at most 7.

    Returns:
        A new row for an objective that is a mean over these rows.

    Raises:
        BadInput: batches of another shape, or too many.
    """
    batches = as_batches(batches)

    def dynamics(objective, hyper):
        return ShuffledFlow(objective, batches, hyper["learning_rate"])

    return Correspondence(
        name="reshuffled_sgd (mean over orders)",
        dynamics=dynamics,
        optimizer=lambda hyper: reshuffled_sgd(hyper["learning_rate"], batches),
        scheme=MeanEpoch(batches),
        clock=lambda hyper: hyper["learning_rate"] * batches.shape[0],
        start=at_zero,
        scheme_start=position,
        relation=Exact(),
        flow_order=Order(2.0, "sup"),
        required=("learning_rate",),
        conventions=(
            "an update is an epoch of m steps, of time mη",
            "each batch once an epoch, in a fresh order; the mean over all orders",
        ),
        source="Smith, Dherin, Barrett and De, arXiv 2101.12176",
    )


MODIFIED_ROWS = (*SGD_MODIFIED[1:], NESTEROV)
