"""Optimisers beside their flows at a ladder of steps: what claims of orders measure."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jax.flatten_util import ravel_pytree

from discretize import Correspondence, Ladder, OptaxStep, Training, convergence
from flows import BadInput, iterate
from flows.problems import ridged_logistic
from proofs_check import decide
from proofs_check.context import Context
from proofs_check.evidence import Evidence

X0 = jnp.array([2.0, -1.5, 1.0])
TIME = 4.0


@eqx.filter_jit
def _field(flow, t, z, like):
    return ravel_pytree(flow.vector_field(t, ravel_pytree(like)[1](z)))[0]


def _solved(flow, t0, y):
    """The flow's state at T as a vector, and its distance to a looser solve's."""
    loose, end = (
        scipy.integrate.solve_ivp(
            lambda t, z: np.asarray(_field(flow, t, z, y)),
            (float(t0), TIME),
            np.asarray(ravel_pytree(y)[0]),
            method="DOP853",
            rtol=tolerance,
            atol=tolerance / 10,
        ).y[:, -1]
        for tolerance in (1e-10, 1e-11)
    )
    return end, float(np.linalg.norm(end - loose))


def ladder(
    ctx: Context,
    row: Correspondence,
    rates: Any,
    *,
    start: Any = None,
    problem: tuple[Any, Any] | None = None,
    norm: str = "end",
    **hyper: Any,
) -> Ladder:
    """Errors of a row's optimiser against its flow at T = 4.

    At quick effort the flow by SciPy, the floor of the errors being what a tolerance
    ten times looser changes in it; at full effort by `discretize.convergence`.

    Args:
        ctx: of the claim; its effort counts.
        row: a row of the table.
        rates: steps, halved from one to the next.
        start: another start of the flow than the row's.
        problem: objective and start; a ridged logistic loss if None.
        norm: "end", or at full effort "sup".
        **hyper: further hyperparameters of the row.

    Raises:
        BadInput: another norm than "end" at quick effort.
    """
    objective, x = problem or (ridged_logistic(), X0)
    options: dict[str, Any] = {"learning_rates": rates, "norm": norm}
    options |= {"t1": TIME, "flow_start": start}
    if ctx.effort == "full":
        return convergence(row, objective, x, **options, **hyper)
    if norm != "end":
        raise BadInput(f'at quick effort the norm is "end"; got {norm!r}.')
    errors, ends = [], {}
    for rate in rates:
        pairing = row(**{str(row.rate_name): rate}, **hyper)
        one = float(pairing.step_sizes(1))
        steps = round(TIME / one)
        run = iterate(
            OptaxStep(row.optimizer, pairing.hyper),
            Training(objective),
            x,
            h=one,
            steps=steps,
            save="last",
        )
        flow = pairing.dynamics(objective)
        t0, y = (start or row.start)(flow, pairing.hyper, x)
        key = tuple(np.asarray(a).tobytes() for a in jax.tree.leaves((flow, t0, y)))
        if key not in ends:  # in some ladders all steps share one flow
            ends[key] = _solved(flow, t0, y)
        gap = np.asarray(run.positions[-1]) - ends[key][0][: x.size]
        errors.append(np.linalg.norm(gap))
    floor = max(change for _, change in ends.values())
    return Ladder(np.asarray(rates), np.array(errors), floor, "end")


def order(p: int, found: Ladder, unit: str = "order in γ") -> Evidence:
    """Whether a ladder's errors are of order p in its steps."""
    about = {"floor": found.floor, "unit": unit}
    return decide.order(p, found.learning_rates, found.errors, **about)
