"""Central flows with one critical direction, integrated from event to event."""

from __future__ import annotations

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Bool, Float

from flows.central.flow import CentralFlow, CentralState
from flows.central.linear_response import Response, response, velocity
from flows.central.spectrum import DENSE, Block, cold_block
from flows.door import (
    as_floats,
    require_instance,
    require_number,
    require_pieces,
    require_state,
    require_whole,
)
from flows.errors import BadInput, NonFiniteState, SolveFailed, require_float64
from flows.progress import compiling
from flows.ravel import require_finite
from flows.trajectory import Trajectory
from flows.types import Scalar

_TOUCHING = 1e-9  # relative distance at which a start counts as standing at the edge
_STEPS = 100_000
_FIRST = 1000  # the first step as a part of the whole; to choose it costs compile time


class Sections(NamedTuple):
    """What `solve_sections` has to show at the saved times.

    Attributes:
        at_edge: whether the direction oscillates, shape [times].
        variance: σ² = tr Σ (squared parameter units), shape [times].
        loss_correction: E L - L = ½⟨H, Σ⟩ (loss units), shape [times].
        eigenvalues: the two largest of P⁻¹H, shape [times, 2].
    """

    at_edge: Bool[Array, " times"]
    variance: Float[Array, " times"]
    loss_correction: Float[Array, " times"]
    eigenvalues: Float[Array, "times 2"]


class _Look(NamedTuple):
    """The leading direction at one state."""

    block: Block
    gap: Float[Array, ""]
    rate: Float[Array, ""]
    operator: Float[Array, ""]
    response: Response


def _look(flow: CentralFlow, t: Any, y: CentralState) -> _Look:
    x, rule = y.position, flow.rule
    both = cold_block(flow.objective, x, rule.preconditioner(t, y.memory), 2)
    one = Block(
        both.vectors[:, :1], both.images[:, :1], both.values[:1], both.residuals[:1]
    )
    u = one.vectors[:, 0]
    third = flow.objective.third(x, u, u)[None, :]
    r = response(flow, t, y, flow.objective.gradient(x), one, third)
    gap = rule.edge - both.values[0]
    return _Look(both, gap, r.gap[0, 0], r.operator[0, 0], r)


def _field(t, y, args):
    flow, at_edge, restoring, _ = args
    look = _look(flow, t, y)
    x = -(look.rate + restoring * look.gap) / look.operator
    x = jnp.where(at_edge, x, 0.0)
    return velocity(flow, look.response, x[None])


def _reserves(t, y, args, **_):
    """Two numbers: a section ends where the first, and fails where the second, is 0.

    Below the edge these are the gap c - λ, and nothing; at the edge x, and the gap of
    the second direction.
    """
    flow, at_edge, _, clip = args
    look = _look(flow, t, y)
    x = jnp.where(clip, -look.rate / look.operator, 1.0)
    second = flow.rule.edge - look.block.values[1]
    return jnp.where(at_edge, x, look.gap), jnp.where(at_edge, second, 1.0)


def _condition(t, y, args, **_):
    return jnp.minimum(*_reserves(t, y, args))


@eqx.filter_jit
def _section(y, t, t1, ts, args, solver, controller):
    """The section that begins at (t, y): saved states, its end, why it ended.

    `args` are the flow, whether it is at the edge, γ, and whether σ² >= 0 is asked for.
    """
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(_field),
        solver,
        t,
        t1,
        (t1 - t) / _FIRST,
        y,
        args=args,
        saveat=diffrax.SaveAt(
            subs=[diffrax.SubSaveAt(t1=True), diffrax.SubSaveAt(ts=ts)]
        ),
        stepsize_controller=controller,
        event=diffrax.Event(
            _condition,
            optimistix.Bisection(rtol=1e-14, atol=1e-14, flip="detect"),
            direction=False,
        ),
        max_steps=_STEPS,
        throw=False,
    )
    times: Any = sol.ts
    states: Any = sol.ys
    end = jax.tree.map(lambda a: a[-1], (times[0], states[0]))
    first, second = _reserves(end[0], end[1], args)
    return states[1], end, second < first, sol.result, sol.stats


@eqx.filter_jit
def _begin(flow, t, y):
    look = _look(flow, t, y)
    return look.gap, look.rate, look.operator


@eqx.filter_jit
def _account(flow, times, states, at_edge):
    def one(t, y, active):
        look = _look(flow, t, y)
        x = jnp.where(active, -look.rate / look.operator, 0.0)
        u, hu = look.block.vectors[:, 0], look.block.images[:, 0]
        return Sections(active, x * (u @ u), 0.5 * x * (u @ hu), look.block.values)

    return jax.vmap(one)(times, states, at_edge)


def solve_sections(
    flow: CentralFlow,
    y0: CentralState,
    t0: Scalar,
    t1: Scalar,
    *,
    times: Any = None,
    solver: diffrax.AbstractSolver | None = None,
    stepsize_controller: diffrax.AbstractStepSizeController | None = None,
    restoring: Scalar = 1.0,
    clip: bool = True,
    max_sections: int = 100,
) -> Trajectory:
    r"""A central flow with one critical direction, to a solver's own accuracy.

    The flow is smooth between its entries to and exits from the edge of stability, and
    so is integrated in sections by a method of high order; events end them:

    - below the edge: Σ = 0, until the largest eigenvalue λ of P⁻¹H reaches c;
    - at the edge: Σ = x u uᵀ with x in closed form, until it would turn negative,

        x = -(α + γ (c - λ))/β,   d/dt (c - λ) = α + β x.

    α is the rate at which the gap c - λ would close without oscillation, β the answer
    of the gap to a unit of it. The term in γ, which is 0 on the exact solution, takes
    the drift of a numerical one off the edge back at rate γ.

    Meant for small n: each evaluation of the field forms the Hessian (n <= 300) and its
    spectrum. `discretize.CentralEuler` has neither limit, and is of first order.

    Reference: the flow is that of Cohen et al., ICLR 2025, arXiv 2410.24206; the term
    in γ that of Baumgarte, Computer Methods in Applied Mechanics and Engineering 1
    (1972) 1-16.

    Args:
        flow: the central flow, of any rule.
        y0: its state at t0, as `flow.start(x)`, not beyond the edge; float64.
        t0: start time (steps).
        t1: end time > t0.
        times: where to save, increasing in [t0, t1] (default: 101 equal times).
        solver: an explicit solver (default `diffrax.Tsit5()`).
        stepsize_controller: default PID with rtol = 1e-10, atol = 1e-12.
        restoring: γ >= 0 (1/steps).
        clip: False ignores the condition σ² >= 0, so that the edge, once met, is never
            left: the wrong model, kept to show what the condition does.
        max_sections: most sections.

    Returns:
        A `Trajectory` whose `aux` is a `Sections`, and whose `stats` hold "entries" and
        "exits", the times of the events.

    Raises:
        BadInput: another model, a start beyond the edge, times out of order.
        PrecisionError: float64 is off.
        SolveFailed: a second direction reaches the edge, no oscillation can hold the
            first one there (β <= 0), or the solver or the number of sections ran out.
        NonFiniteState: the flow left the finite numbers.
    """
    require_float64("event-split integration")
    require_instance(flow, CentralFlow, "solve_sections integrates a CentralFlow")
    require_pieces(solver, stepsize_controller, None, None, None)
    require_whole("max_sections", max_sections)
    for name, value in (("t0", t0), ("t1", t1), ("restoring", restoring)):
        require_number(name, value)
    require_finite(y0, "the start")
    require_state(flow, y0)
    if flow.objective.size > DENSE:
        raise BadInput(
            f"sections form the Hessian, for n <= {DENSE}; this objective has "
            f"{flow.objective.size} parameters: use discretize.CentralEuler."
        )
    if float(restoring) < 0:
        raise BadInput(f"restoring is a rate >= 0; got {restoring}.")
    ts = _times(times, t0, t1)
    y = jax.tree.map(lambda a: jnp.asarray(a, float), y0)
    controller = stepsize_controller or diffrax.PIDController(rtol=1e-10, atol=1e-12)
    if isinstance(controller, diffrax.PIDController):  # floats would be compiled in
        controller = eqx.tree_at(
            lambda c: (c.rtol, c.atol), controller, replace_fn=jnp.asarray
        )
    model = (flow, jnp.asarray(restoring, float), jnp.asarray(clip))
    method = (solver or diffrax.Tsit5(), controller)
    with compiling(f"sections of {type(flow).__name__}"):
        return _run(model, y, (float(t0), float(t1)), ts, method, max_sections)


def _times(times: Any, t0: Any, t1: Any) -> np.ndarray:
    if not float(t1) > float(t0):
        raise BadInput(f"times run forward, t1 > t0; got {t0} and {t1}.")
    ts = np.linspace(float(t0), float(t1), 101) if times is None else np.asarray(times)
    ts = np.atleast_1d(as_floats("times", ts))
    inside = ts.size and t0 <= ts[0] and ts[-1] <= t1
    if ts.ndim != 1 or not inside or np.any(np.diff(ts) <= 0):
        raise BadInput(f"saved times increase within [{t0}, {t1}]; got {ts}.")
    return ts


def _run(model, y, span, ts, method, max_sections) -> Trajectory:
    (flow, restoring, clip), (t, t1) = model, span
    at_edge = _start_phase(flow, t, y)
    events: dict[bool, list[float]] = {True: [], False: []}  # entries, exits
    parts, kept, steps = [], 0, 0
    for _ in range(max_sections):
        grid = np.maximum(ts, t)  # of one length, so that all sections share a program
        args = (flow, jnp.asarray(at_edge), restoring, clip)
        states, (end, y), crowded, result, stats = _section(
            y, jnp.asarray(t), jnp.asarray(t1), jnp.asarray(grid), args, *method
        )
        steps += int(stats["num_steps"])
        stop = kept + int(np.sum(ts[kept:] <= float(end)))
        here = slice(kept, stop)
        parts.append((jax.tree.map(lambda a, s=here: a[s], states), at_edge))
        kept, t = stop, float(end)
        _require_finite(flow, y, t)
        if result == diffrax.RESULTS.successful:
            break
        if result != diffrax.RESULTS.event_occurred:
            raise SolveFailed(f"stopped after t = {t:.6g}: {diffrax.RESULTS[result]}")
        if bool(crowded):
            raise SolveFailed(
                f"a second direction reaches the edge at t = {t:.6g}: with several "
                "critical directions use discretize.CentralEuler."
            )
        at_edge = not at_edge
        events[at_edge].append(t)
        if at_edge:
            _require_answer(flow, t, y)
    else:
        raise SolveFailed(f"more than {max_sections} sections before t = {t:.6g}.")
    states = jax.tree.map(lambda *a: jnp.concatenate(a), *(part for part, _ in parts))
    flags = [np.full(len(s.position), flag) for s, flag in parts]
    aux = _account(flow, jnp.asarray(ts), states, jnp.asarray(np.concatenate(flags)))
    stats = {
        "num_steps": steps,
        "entries": np.array(events[True]),
        "exits": np.array(events[False]),
    }
    return Trajectory(
        jnp.asarray(ts), states, flow, aux, f"reached t = {t1:.6g}", stats
    )


def _require_finite(flow, y, t) -> None:
    if not all(np.isfinite(np.asarray(a)).all() for a in jax.tree.leaves(y)):
        name = type(flow).__name__
        raise NonFiniteState(
            f"{name} is no longer finite after t = {t:.6g}.", model=name, time=t
        )


def _start_phase(flow, t, y) -> bool:
    """Whether the flow begins at the edge."""
    gap, rate, _ = (float(a) for a in _begin(flow, jnp.asarray(t), y))
    edge = float(flow.rule.edge)
    if gap < -_TOUCHING * edge:
        raise BadInput(
            f"the start stands beyond the edge: its effective sharpness is "
            f"{edge - gap:.6g}, the edge is at {edge:.6g}. Start below it."
        )
    at_edge = gap < _TOUCHING * edge and rate < 0
    if at_edge:
        _require_answer(flow, t, y)
    return at_edge


def _require_answer(flow, t, y) -> None:
    """Refuse an edge at which oscillating does not lower the effective sharpness."""
    answer = float(_begin(flow, jnp.asarray(t), y)[2])
    if not answer > 0:
        raise SolveFailed(
            f"at t = {t:.6g} the edge is reached by a direction whose oscillation does "
            f"not lower its sharpness (its effect is {answer:.3g}, not > 0): there is "
            "no central flow beyond."
        )
