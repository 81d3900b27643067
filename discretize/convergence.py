"""The order of a row of the table against its flow, on a loss of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from discretize.compare import compare
from discretize.correspondence import Correspondence, Order
from discretize.optimiser import OptaxStep, Training
from discretize.order_fit import OrderFit, fit_order
from flows import BadInput, Objective, iterate, reference, require_float64
from flows.door import require_number
from flows.types import Scalar


class Ladder(NamedTuple):
    """Errors of an optimiser against its flow at a ladder of learning rates.

    Attributes:
        learning_rates: η, decreasing, shape [levels].
        errors: |x_k - x(t_k)| in the asked norm, shape [levels].
        floor: uncertainty of the errors: the reference's tolerance and rounding.
        norm: "end" (last step), "sup" (all steps) or "sup_after" (after a layer).
    """

    learning_rates: Float[np.ndarray, " levels"]
    errors: Float[np.ndarray, " levels"]
    floor: float
    norm: str

    def fit(self) -> OrderFit:
        """The extrapolated order, with its interval and leading constant."""
        return fit_order(self.learning_rates, self.errors, self.floor)


def convergence(
    row: Correspondence,
    objective: Objective,
    params: Any,
    *,
    learning_rates: ArrayLike,
    t1: Scalar,
    norm: str | None = None,
    flow_start: Callable[..., tuple[Any, Any]] | None = None,
    hyper: Callable[[Any], dict[str, Any]] | None = None,
    tolerance: float = 1e-12,
    **fixed: Any,
) -> Ladder:
    """Errors of a row's optimiser against its flow as the learning rate shrinks.

    The time t1 is fixed, so a step of time η is taken t1/η times. In the norm "end" one
    compilation serves the whole ladder.

    Args:
        row: a row of the table.
        objective: f.
        params: the start, in the user's pytree.
        learning_rates: decreasing by one ratio; the time of a step at each divides t1.
        t1: the time at which (or up to which) the two are compared.
        norm: "end", "sup" or "sup_after"; default: that of the row.
        flow_start: another start of the flow than the row's, (dynamics, hyper, x) ->
            (t, state): what a negative control breaks.
        hyper: η -> further hyperparameters, where they move with η (retention factors
            e^{-η/τ} at fixed memory τ).
        tolerance: of the reference solve (Dopri8), relative and absolute.
        fixed: further hyperparameters.

    Returns:
        The ladder; `.fit()` gives the order.

    Raises:
        BadInput: a learning rate that does not divide t1, an unknown norm, noise.
        PrecisionError: float64 is off.
    """
    require_float64("an order of convergence")
    _require_row(row)
    require_number("t1", t1, positive=True)
    t1 = float(t1)
    for eta in np.atleast_1d(np.asarray(learning_rates, object)):
        require_number("each learning rate", eta, positive=True)
    relation = row.flow_order
    norm = norm or relation.norm
    if norm not in ("end", "sup", "sup_after"):
        raise BadInput(f'norm is "end", "sup" or "sup_after"; got {norm!r}.')
    x = objective.ravel(params)
    errors = []
    for eta in np.asarray(learning_rates, float):
        values = {**fixed, **(hyper(eta) if hyper else {})}
        pairing = row(**{str(row.rate_name): eta}, **values)
        one = float(pairing.step_sizes(1))  # the time of a step need not be η
        steps = round(t1 / one)
        if steps < 1 or abs(steps * one - t1) > 1e-9 * t1:
            raise BadInput(
                f"the learning rate {eta} (a step of time {one:g}) does not divide "
                f"t1 = {t1}."
            )
        model = pairing.dynamics(objective)
        t0, y0 = (flow_start or row.start)(model, pairing.hyper, x)
        noisy = pairing.own_scheme(model, x).noisy
        _require_cold(row, model, noisy)
        if norm == "end":
            times, positions = _end(objective, pairing, params, t1, steps)
        else:
            run = compare(
                objective,
                pairing,
                params,
                steps=steps,
                rtol=1e-5,
                check_sharpness=False,
                key=0 if noisy else None,
            )
            times, positions = run.times[1:], run.positions[1:]
        field = pairing.solved(model)
        gap = positions - _reference(field, y0, t0, times, tolerance)
        errors.append(_norm(np.linalg.norm(gap, axis=1), norm, relation))
    scale = float(np.max(np.abs(np.asarray(x))))
    floor = 10 * tolerance * max(scale, 1.0)
    return Ladder(np.asarray(learning_rates, float), np.array(errors), floor, norm)


def _require_row(row) -> None:
    """Refuse what is no row, or a row whose step cannot shrink."""
    if not isinstance(row, Correspondence):
        raise BadInput(
            f"convergence takes a row of the table without its numbers, such as SGD; "
            f"got {row!r:.60}."
        )
    if row.rate_name is None:
        raise BadInput(f"{row.name} has no learning rate that could shrink.")


def _require_cold(row, model, noisy) -> None:
    """Refuse noise: on one path there is no order to see against the drift alone."""
    if noisy and float(getattr(model, "temperature", np.inf)) != 0:
        raise BadInput(
            f"{row.name} draws noise, and its flow is the drift alone: pass beta=inf "
            "for the order without noise."
        )


def _end(objective, pairing, params, t1, steps):
    run = iterate(
        OptaxStep(pairing.row.optimizer, pairing.hyper),
        Training(objective),
        objective.params(objective.ravel(params)),
        h=t1 / steps,
        steps=steps,
        save="last",
    )
    return np.array([t1]), np.asarray(run.positions[-1:])


def _reference(model, y0, t0, times, tolerance):
    ts = jnp.asarray(times)
    run = reference(model, y0, ts, t0=t0, tolerance=tolerance)
    return np.asarray(jax.vmap(model.position)(run.states))


def _norm(distances, norm: str, relation: Order) -> float:
    if norm == "end":
        return float(distances[-1])
    first = int(relation.layer * len(distances)) if norm == "sup_after" else 0
    return float(np.max(distances[first:]))
