"""A reference solution: a flow solved until little but rounding is left."""

from __future__ import annotations

import diffrax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from flows.door import require_number
from flows.dynamics import Flow, State
from flows.errors import require_float64
from flows.solve import solve
from flows.trajectory import Trajectory
from flows.types import Scalar


def reference(
    flow: Flow,
    y0: State,
    times: ArrayLike,
    *,
    t0: Scalar = 0.0,
    tolerance: float = 1e-13,
) -> Trajectory:
    """The states of a flow at given times, by Dopri8 at one tight tolerance.

    What an order, a closed form or a ladder of tolerances is held against; for
    everything else `solve` is the faster choice. One compilation serves all tolerances,
    and all lists of times of one length.

    Args:
        flow: the model.
        y0: its state at t0, in float64.
        times: increasing, shape [times], or one time > t0 (the flow's unit).
        t0: start time.
        tolerance: relative and absolute (the state's unit), of each step.

    Returns:
        A `Trajectory`, whose states have the leading axis [times].

    Raises:
        BadInput: a tolerance that is not positive, and what `solve` refuses.
        PrecisionError: float64 is off.
        NonFiniteState, SolveFailed: as in `solve`.
    """
    require_float64("a reference solution")
    require_number("tolerance", tolerance, positive=True)
    ts = jnp.atleast_1d(jnp.asarray(times, float))
    return solve(
        flow,
        y0,
        t0,
        ts[-1],
        solver=diffrax.Dopri8(),
        # A step ends at each time: between steps an interpolant is less accurate.
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=tolerance, atol=tolerance), step_ts=ts
        ),
        saveat=diffrax.SaveAt(ts=ts),
    )
