"""`solve`: a flow integrated by diffrax, with its objects passed straight through."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.dynamics import Flow, State
from flows.errors import BadInput, NonFiniteState, SolveFailed
from flows.progress import bar, compiling
from flows.ravel import require_finite
from flows.trajectory import Trajectory

_SEGMENTS = 20


def _field(t, y, flow):
    return flow.vector_field(t, y)


@eqx.filter_jit
def _solve(flow, y0, t0, t1, dt0, solver, controller, saveat, options, resume):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(_field),
        solver,
        t0,
        t1,
        dt0,
        y0,
        args=flow,
        saveat=saveat,
        stepsize_controller=controller,
        throw=False,
        **options,
        **resume,
    )


def solve(
    flow: Flow,
    y0: State,
    t0: float,
    t1: float,
    *,
    dt0: float | None = None,
    solver: diffrax.AbstractSolver | None = None,
    stepsize_controller: diffrax.AbstractStepSizeController | None = None,
    saveat: diffrax.SaveAt | None = None,
    event: diffrax.Event | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    max_steps: int | None = 100_000,
    progress: bool = False,
    throw: bool = True,
) -> Trajectory:
    """Integrate dy/dt = v(t, y) from t0 to t1.

    One compilation serves all values of parameters, times, starts and tolerances.
    Reverse-mode differentiation and vmap work as in diffrax.

    Args:
        flow: the model; its `vector_field` is v.
        y0: start: a flat vector or the model's state NamedTuple.
        t0: start time (the model's unit).
        t1: end time > t0.
        dt0: first step; None lets the controller choose.
        solver: default `diffrax.Tsit5()`. Networks have stiff-looking but explicit-
            friendly flows: an implicit solver would factorise n × n matrices.
        stepsize_controller: default `diffrax.PIDController` with rtol = 1e-8,
            atol = 1e-10 in float64 and 1e-4, 1e-6 in float32.
        saveat: default 101 equal times including both ends.
        event: diffrax's terminating event.
        adjoint: default diffrax's recursive checkpointing.
        max_steps: most steps to take.
        progress: solve in segments behind a bar; an interrupt then keeps what is done.
            Stepping resumes from the solver's own state, but each segment's end clips
            one step. Needs a `saveat` with `ts`.
        throw: whether failing raises; otherwise the finite part is returned and `end`
            says why it ended.

    Returns:
        A `Trajectory`; `.solution` is diffrax's own object.

    Raises:
        BadInput: t1 <= t0, non-finite start or times, a field of another shape than
            the state.
        NonFiniteState: the solution left the finite numbers.
        SolveFailed: another reason, with diffrax's words.
    """
    require_finite(y0, "the start")
    y0 = jax.tree.map(jnp.asarray, y0)
    dtype = jax.tree.leaves(eqx.filter(y0, eqx.is_inexact_array))[0].dtype
    _check_times(t0, t1)
    t0, t1 = jnp.asarray(t0, dtype), jnp.asarray(t1, dtype)
    if saveat is None:
        saveat = diffrax.SaveAt(
            ts=t0 + (t1 - t0) * jnp.linspace(0, 1, 101, dtype=dtype)
        )
    controller = _controller(stepsize_controller, dtype)
    options: dict[str, Any] = {"event": event, "max_steps": max_steps}
    if adjoint is not None:
        options["adjoint"] = adjoint
    if dt0 is not None:
        dt0 = jnp.asarray(dt0, dtype)  # pyright: ignore
    arguments = (solver or diffrax.Tsit5(), controller, saveat, options)
    what = f"solve of {type(flow).__name__}"
    if progress:
        return _segments(flow, y0, t0, t1, dt0, arguments, what, throw)
    traced = any(
        isinstance(a, jax.core.Tracer) for a in jax.tree.leaves((y0, t1, flow))
    )
    with compiling(what, show=False if traced else None):
        solution = _solve(flow, y0, t0, t1, dt0, *arguments, {})
        if traced:
            return Trajectory(solution.ts, solution.ys, flow, solution=solution)  # pyright: ignore
        return _finished(flow, solution, throw, float(t1))


def _finished(flow, solution, throw, t1) -> Trajectory:
    """Trim diffrax's padding, name the reason of the end, refuse silent NaN."""
    ts, ys = solution.ts, solution.ys
    stats = {k: int(v) for k, v in solution.stats.items() if v is not None}
    if ts is None:  # dense output alone
        ts = jnp.stack([solution.t0, solution.t1])
        ys = jax.vmap(solution.evaluate)(ts)
    states = [a for a in jax.tree.leaves(ys) if eqx.is_inexact_array(a)]
    finite = np.isfinite(np.asarray(ts))
    inside = finite.copy()
    for a in states:
        inside &= np.isfinite(np.asarray(a)).reshape(inside.size, -1).all(axis=1)
    good = solution.result == diffrax.RESULTS.successful
    stopped = solution.result == diffrax.RESULTS.event_occurred
    kept = int(np.argmin(inside)) if not inside.all() else inside.size
    if kept < inside.size:
        ts, ys = jax.tree.map(lambda a: a[:kept], (ts, ys))
    last = float(ts[-1]) if kept else float(solution.t0)
    name = type(flow).__name__
    if good:
        end = f"reached t = {t1:.6g}"
    elif stopped:
        end = f"event at t = {last:.6g}"
    else:
        end = f"stopped after t = {last:.6g}: {_words(solution.result)}"
    escaped = bool((finite & ~inside).any())
    if escaped:
        end = f"{name} is no longer finite after t = {last:.6g}"
    if throw and escaped:
        raise NonFiniteState(f"{end}.", model=name, time=last)
    if throw and not (good or stopped):
        raise SolveFailed(f"{name}: {end}")
    return Trajectory(ts, ys, flow, None, end, stats, solution)


def _words(result) -> str:
    return str(diffrax.RESULTS[result]) if not isinstance(result, str) else result


def _controller(controller, dtype):
    if controller is None:
        rtol, atol = (1e-8, 1e-10) if dtype == jnp.float64 else (1e-4, 1e-6)
        controller = diffrax.PIDController(rtol=rtol, atol=atol)
    if isinstance(controller, diffrax.PIDController):
        # Tolerances as data: python floats would be compiled in.
        values = tuple(
            jnp.asarray(v, dtype) for v in (controller.rtol, controller.atol)
        )
        controller = eqx.tree_at(lambda c: (c.rtol, c.atol), controller, values)
    return controller


def _check_times(t0, t1) -> None:
    if any(isinstance(t, jax.core.Tracer) for t in (t0, t1)):
        return
    if not (np.isfinite(t0) and np.isfinite(t1) and t1 > t0):
        raise BadInput(f"times must be finite with t1 > t0; got {t0} and {t1}.")


def _check_field(flow, y0, dtype) -> None:
    t = jax.ShapeDtypeStruct((), dtype)
    out = eqx.filter_eval_shape(lambda f, t, y: f.vector_field(t, y), flow, t, y0)
    moving = eqx.filter(y0, eqx.is_inexact_array)
    same = jax.tree.structure(out) == jax.tree.structure(moving) and all(
        a.shape == b.shape
        for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(moving), strict=True)
    )
    if not same:
        raise BadInput(
            f"{type(flow).__name__} maps a state like {eqx.tree_pformat(y0)} to a "
            f"tangent like {eqx.tree_pformat(out)}: start with a state of the model."
        )


def _segments(flow, y0, t0, t1, dt0, arguments, what, throw) -> Trajectory:
    """The solve in pieces at the saved times, resumed from the solver's own state."""
    solver, controller, saveat, options = arguments
    ts = getattr(saveat.subs, "ts", None)
    if ts is None:
        raise BadInput("progress=True needs saveat=diffrax.SaveAt(ts=...).")
    pieces, resume, stats = [], {}, {}
    groups = np.array_split(np.asarray(ts), min(_SEGMENTS, len(ts)))
    start, y = t0, y0
    end = f"reached t = {float(t1):.6g}"
    with bar(len(groups), what, "part") as shown:
        try:
            for i, group in enumerate(groups):
                stop = t1 if i == len(groups) - 1 else jnp.asarray(group[-1], t1.dtype)
                if float(stop) <= float(start):  # the group holds t0 alone
                    pieces.append((group, jax.tree.map(lambda a: a[None], y)))
                    shown.update()
                    continue
                piece, y, resume = _segment(
                    flow,
                    y,
                    start,
                    stop,
                    dt0,
                    (solver, controller, options),
                    group,
                    resume,
                )
                pieces.append((piece.times, piece.states))
                stats = {k: stats.get(k, 0) + v for k, v in piece.stats.items()}
                start = stop
                shown.update()
                if not piece.end.startswith("reached"):
                    end = piece.end
                    break
        except KeyboardInterrupt:
            if not pieces:
                raise
            end = f"interrupted after t = {float(start):.6g}"
    times, states = jax.tree.map(lambda *a: jnp.concatenate(a), *pieces)
    if throw and not end.startswith(("reached", "interrupted", "event")):
        raise SolveFailed(f"{type(flow).__name__}: {end}")
    return Trajectory(times, states, flow, None, end, stats)


def _segment(flow, y, start, stop, dt0, arguments, group, resume):
    solver, controller, options = arguments
    subs = [diffrax.SubSaveAt(ts=jnp.asarray(group)), diffrax.SubSaveAt(t1=True)]
    saveat = diffrax.SaveAt(
        subs=subs, solver_state=True, controller_state=True, made_jump=True
    )
    sol = _solve(flow, y, start, stop, dt0, solver, controller, saveat, options, resume)
    last = jax.tree.map(lambda a: a[-1], sol.ys[1])
    resume = {
        "solver_state": sol.solver_state,
        "controller_state": sol.controller_state,
        "made_jump": sol.made_jump,
    }
    shown = eqx.tree_at(lambda s: (s.ts, s.ys), sol, (sol.ts[0], sol.ys[0]))
    return _finished(flow, shown, False, float(stop)), last, resume
