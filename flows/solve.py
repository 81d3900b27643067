"""`solve`: a flow integrated by diffrax, with its objects passed straight through."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_instance, require_number, require_pieces, require_state
from flows.dynamics import Flow, State
from flows.errors import BadInput, NonFiniteState, SolveFailed
from flows.progress import bar, compiling
from flows.ravel import as_array, require_finite
from flows.stabilised import AbstractStabilised
from flows.stiffness import (
    counts,
    default_controller,
    default_solver,
    stability_bound,
    warn_of_dense_solver,
)
from flows.trajectory import Trajectory
from flows.types import Scalar, is_traced

_SEGMENTS = 20


def _field(t, y, flow):
    try:
        out = flow.vector_field(t, y)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{type(flow).__name__} has no field at a state like "
            f"{eqx.tree_pformat(y)}: {error}"
        ) from error
    # Looked at while tracing: broadcasting would hide a wrong shape for good.
    _check_field(flow, y, out)
    return out


@eqx.filter_jit
def _solve(flow, y0, t0, t1, dt0, solver, controller, saveat, options, resume):
    """Diffrax's solution, with the time and the state at which it ended."""
    asked = saveat.subs
    subs = [diffrax.SubSaveAt(t1=True)] + ([] if asked is None else [asked])
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(_field),
        solver,
        t0,
        t1,
        dt0,
        y0,
        args=flow,
        saveat=eqx.tree_at(lambda s: s.subs, saveat, subs, is_leaf=lambda x: x is None),
        stepsize_controller=controller,
        throw=False,
        **options,
        **resume,
    )
    times: Any = sol.ts
    states: Any = sol.ys
    ts, ys = (None, None) if asked is None else (times[1], states[1])
    last = jax.tree.map(lambda a: a[-1], (times[0], states[0]))
    return eqx.tree_at(lambda s: (s.ts, s.ys), sol, (ts, ys)), *last


def solve(
    flow: Flow,
    y0: State,
    t0: Scalar,
    t1: Scalar,
    *,
    dt0: Scalar | None = None,
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
        solver: default `diffrax.Tsit5()`; `diffrax.Kvaerno4()` where the flow calls
            itself stiff between t0 and t1 (a mass that is small beside the friction,
            say), its state has at most 100 entries, and what decides is not traced.
            Where λ_max (t1 - t0) of a gradient flow is above about 1000,
            `flows.ROCK4()` needs several times fewer gradients. Implicit solvers
            factorise n × n matrices: never for networks.
        stepsize_controller: default `diffrax.PIDController` with rtol = 1e-8,
            atol = 1e-10 in float64 and 1e-4, 1e-6 in float32 (with pcoeff = 0.3 and
            icoeff = 0.4 beside an implicit solver: fewer steps are rejected).
        saveat: default 101 equal times including both ends.
        event: diffrax's terminating event; its time and state stand last in the result.
        adjoint: default diffrax's recursive checkpointing; not `BacksolveAdjoint`.
        max_steps: most steps to take.
        progress: solve in segments behind a bar; an interrupt then keeps what is done.
            Stepping resumes from the solver's own state, but each segment's end clips
            one step. Needs a `saveat` with `ts`.
        throw: whether failing raises; otherwise the finite part is returned and `end`
            says why it ended.

    Returns:
        A `Trajectory`; `.solution` is diffrax's own object. Its `.stats` tell the
            steps, and for `flows.ROCK4` and `flows.RKC2` the evaluations of the field.

    Raises:
        BadInput: t1 <= t0, non-finite start or times, saved times outside [t0, t1], a
            start of another length than the objective, a field of another shape than
            the state, a random model, objects that are not diffrax's, coefficients
            of a second-order flow out of their range.
        NonFiniteState: the solution left the finite numbers, or grew so fast that it
            was about to: |y|/|v| below 1e-6 of t1 - t0 where the solver gave up.
        SolveFailed: another reason, with diffrax's words; where steps were held by
            stability until they ran out, with what to do.

    Warns:
        DenseSolverWarning: an implicit solver on a state of 300 entries or more.
    """
    require_pieces(solver, stepsize_controller, saveat, event, adjoint)
    y0, dtype = _start(flow, y0)
    _check_times(t0, t1)
    if dt0 is not None:
        require_number("dt0", dt0, positive=True)
    t0, t1 = as_array(t0, dtype), as_array(t1, dtype)
    flow.require_over(t0, t1)
    saveat = _saveat(saveat, t0, t1)
    if isinstance(solver, AbstractStabilised):  # its state counts evaluations
        saveat = eqx.tree_at(lambda s: s.solver_state, saveat, True)
    if dt0 is None and isinstance(stepsize_controller, diffrax.ConstantStepSize):
        raise BadInput("a constant step size needs dt0=<the step>.")
    solver = solver or default_solver(flow, y0, t0, t1, stepsize_controller)
    controller = _controller(stepsize_controller, dtype, solver)
    _check_estimate(solver, controller)
    warn_of_dense_solver(solver, flow, y0)
    options: dict[str, Any] = {"event": event, "max_steps": max_steps}
    if adjoint is not None:
        options["adjoint"] = adjoint
    if dt0 is not None:
        dt0 = as_array(dt0, dtype)  # pyright: ignore
    arguments = (solver, controller, saveat, options)
    what = f"solve of {type(flow).__name__}"
    traced = is_traced((flow, y0, t0, t1, dt0, arguments))
    if progress and not traced:
        return _segments(flow, y0, t0, t1, dt0, arguments, what, throw)
    with compiling(what, show=False if traced else None):
        solution, last, y = _solve(flow, y0, t0, t1, dt0, *arguments, {})
        if traced:
            return Trajectory(solution.ts, solution.ys, flow, solution=solution)  # pyright: ignore
        return _finished(flow, solution, float(t1), last, y, throw, arguments[0])


def _blows_up(flow, t, y, span) -> bool:
    """Whether |y|/|v|, the time in which y doubles, is nothing beside the whole."""
    size, speed = (
        np.linalg.norm([float(jnp.linalg.norm(a)) for a in jax.tree.leaves(tree)])
        for tree in (eqx.filter(y, eqx.is_inexact_array), flow.vector_field(t, y))
    )
    calm = np.isfinite(size) and np.isfinite(speed) and size > 1e-6 * span * speed
    return not calm


def _finished(flow, solution, t1, t, y, throw, solver) -> Trajectory:
    """Trim diffrax's padding, name the reason of the end, refuse silent NaN.

    The run ended at time t in the state y.
    """
    ts, ys = solution.ts, solution.ys
    stats = {k: int(v) for k, v in solution.stats.items() if v is not None}
    stats |= counts(solution)
    if ts is None:  # dense output alone
        ts = jnp.stack([solution.t0, solution.t1])
        ys = jax.vmap(solution.evaluate)(ts)
    states = [a for a in jax.tree.leaves(ys) if eqx.is_inexact_array(a)]
    finite = np.isfinite(np.asarray(ts))
    inside = finite.copy()
    for a in states:
        inside &= np.isfinite(np.asarray(a)).reshape(inside.size, -1).all(axis=1)
    kept = int(np.argmin(inside)) if not inside.all() else inside.size
    if kept < inside.size:
        ts, ys = jax.tree.map(lambda a: a[:kept], (ts, ys))
    stop, name = float(t), type(flow).__name__
    moving = [a for a in jax.tree.leaves(y) if eqx.is_inexact_array(a)]
    escaped = not all(np.isfinite(np.asarray(a)).all() for a in moving)
    escaped = escaped or bool((finite & ~inside).any())
    error: Exception | None = None
    if escaped:
        stop = float(ts[-1]) if kept else float(solution.t0)
        end = f"{name} is no longer finite after t = {stop:.6g}"
        error = NonFiniteState(f"{end}.", model=name, time=stop)
    elif solution.result == diffrax.RESULTS.successful:
        end = f"reached t = {t1:.6g}"
    elif solution.result == diffrax.RESULTS.event_occurred:
        end = f"event at t = {stop:.6g}"
        if not kept or float(ts[-1]) < stop:  # where it happened is what one asks for
            ts, ys = jax.tree.map(
                lambda a, b: jnp.concatenate([a, b[None]]), (ts, ys), (t, y)
            )
    elif _blows_up(flow, t, y, max(t1 - float(solution.t0), abs(stop))):
        end = f"{name} leaves the finite numbers at t = {stop:.6g}"
        error = NonFiniteState(f"{end}.", model=name, time=stop)
    else:
        end = f"stopped after t = {stop:.6g}: {_words(solution.result)}"
        if solution.result == diffrax.RESULTS.max_steps_reached:
            step = (stop - float(solution.t0)) / max(1, stats["num_accepted_steps"])
            end += stability_bound(solver, flow, t, y, step)
        error = SolveFailed(f"{name}: {end}")
    if throw and error is not None:
        raise error
    return Trajectory(ts, ys, flow, None, end, stats, solution)


def _words(result) -> str:
    return str(diffrax.RESULTS[result]) if not isinstance(result, str) else result


def _controller(controller, dtype, solver):
    if controller is None:
        rtol, atol = (1e-8, 1e-10) if dtype == jnp.float64 else (1e-4, 1e-6)
        controller = default_controller(solver, rtol, atol)
    if isinstance(controller, diffrax.PIDController):
        # Tolerances as data: python floats would be compiled in.
        values = tuple(as_array(v, dtype) for v in (controller.rtol, controller.atol))
        controller = eqx.tree_at(lambda c: (c.rtol, c.atol), controller, values)
    return controller


def _check_estimate(solver, controller) -> None:
    adaptive = isinstance(controller, diffrax.PIDController)
    if solver is None or not adaptive:
        return
    if not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        raise BadInput(
            f"{type(solver).__name__} estimates no error, so its steps cannot adapt: "
            "give dt0=<the step> and stepsize_controller=diffrax.ConstantStepSize()."
        )


def _start(flow, y0):
    """The start as arrays, and its float type."""
    require_instance(
        flow, Flow, "solve integrates a flow, such as flows.GradientFlow(objective)"
    )
    name = type(flow).__name__
    if hasattr(flow, "brownian") or hasattr(flow, "rates"):
        raise BadInput(
            f"{name} is random, and `solve` would drop its noise: use sde.simulate."
        )
    require_finite(y0, "the start")
    plain = isinstance(y0, list | tuple) and not hasattr(y0, "_fields")
    y0 = y0 if plain else jax.tree.map(jnp.asarray, y0)
    floats = jax.tree.leaves(eqx.filter(y0, eqx.is_inexact_array))
    if plain or not floats:
        raise BadInput(
            f"{name} starts from a vector of floats, such as jnp.array([1.0, 2.0]), or "
            f"from its state; got {y0!r:.80}."
        )
    require_state(flow, y0)
    return y0, floats[0].dtype


def _check_times(t0, t1) -> None:
    if is_traced((t0, t1)):
        return
    try:
        a, b = float(t0), float(t1)
    except (TypeError, ValueError):
        raise BadInput(f"times are two numbers; got {t0!r} and {t1!r}.") from None
    if not (np.isfinite(a) and np.isfinite(b) and b > a):
        raise BadInput(f"times must be finite with t1 > t0; got {t0} and {t1}.")


def _saveat(saveat, t0, t1) -> diffrax.SaveAt:
    """The default of 101 times, or the given one with its times looked at."""
    if saveat is None:
        grid = np.linspace(0, 1, 101, dtype=t0.dtype)
        return diffrax.SaveAt(ts=t0 + (t1 - t0) * grid)
    if not isinstance(saveat.subs, diffrax.SubSaveAt | None):
        raise BadInput("a trajectory has one list of times: a `saveat` without `subs`.")
    ts = getattr(saveat.subs, "ts", None)
    if ts is None or is_traced((ts, t0, t1)):
        return saveat
    ts = np.asarray(ts)
    if not (ts.size and t0 <= ts[0] and ts[-1] <= t1 and np.all(np.diff(ts) >= 0)):
        raise BadInput(
            f"saved times increase within [t0, t1] = [{float(t0):.6g}, "
            f"{float(t1):.6g}]; got {ts}."
        )
    return saveat


def _check_field(flow, y, out) -> None:
    moving = eqx.filter(y, eqx.is_inexact_array)
    same = jax.tree.structure(out) == jax.tree.structure(moving) and all(
        jnp.shape(a) == b.shape
        for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(moving), strict=True)
    )
    if not same:
        raise BadInput(
            f"{type(flow).__name__} maps a state like {eqx.tree_pformat(y)} to a "
            f"tangent like {eqx.tree_pformat(out)}: start with a state of the model."
        )
    for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(moving), strict=True):
        kind = jnp.asarray(a).dtype
        if jnp.issubdtype(kind, jnp.inexact) and not np.can_cast(kind, b.dtype):
            raise BadInput(
                f"{type(flow).__name__} computes in {kind} and starts in {b.dtype}: "
                "give the start, the parameters and the data in one precision."
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
                span = (start, stop, dt0)
                # One length for all groups, so that they share one compilation.
                grid = np.pad(group, (0, len(groups[0]) - len(group)), mode="edge")
                piece, y, resume = _segment(
                    flow, y, span, (solver, controller, options), grid, resume, throw
                )
                n, run = len(group), (piece.times, piece.states)
                pieces.append(jax.tree.map(lambda a, n=n: a[:n], run))
                for k, v in piece.stats.items():
                    stats[k] = stats.get(k, 0) + v if k.startswith("num_") else v
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
    return Trajectory(times, states, flow, None, end, stats)


def _segment(flow, y, span, arguments, grid, resume, throw):
    start, stop, dt0 = span
    solver, controller, options = arguments
    saveat = diffrax.SaveAt(
        ts=jnp.asarray(grid), solver_state=True, controller_state=True, made_jump=True
    )
    sol, last, y = _solve(
        flow, y, start, stop, dt0, solver, controller, saveat, options, resume
    )
    resume = {
        "solver_state": sol.solver_state,
        "controller_state": sol.controller_state,
        "made_jump": sol.made_jump,
    }
    return _finished(flow, sol, float(stop), last, y, throw, solver), y, resume
