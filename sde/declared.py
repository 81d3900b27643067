"""Nonlinear switching flows by diffrax, with every switch declared to the solver."""

from __future__ import annotations

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_instance, require_number, require_pieces, require_whole
from flows.dynamics import State, parameter
from flows.errors import BadInput, SolveFailed
from flows.ravel import require_finite
from flows.types import Scalar, is_traced
from sde._checks import require_label, require_switching_state
from sde.index_path import IndexPath
from sde.switching import Switching

METHODS = ("declared", "segments")
CUT_SHORT = "the path of the label ends before t1: draw more events of it, or to t1."
FAILED = "diffrax stopped before t1, mostly because max_steps ran out."


class SwitchedSolution(NamedTuple):
    """A switching process along given paths of its label.

    Attributes:
        times: where the states stand, shape [times].
        states: the process's state with leading axes [times], or [paths, times].
        steps: steps of the solver, refused ones included, shape [] or [paths].
    """

    times: Float[Array, " times"]
    states: Any
    steps: Any


def solve_switching(
    process: Switching,
    path: IndexPath,
    y0: State,
    *,
    t1: Scalar,
    t0: Scalar = 0.0,
    times: Any = None,
    method: str = "declared",
    solver: diffrax.AbstractSolver | None = None,
    rtol: Scalar | None = None,
    atol: Scalar | None = None,
    max_steps: int = 100_000,
) -> SwitchedSolution:
    r"""Solve x' = v(t, x; I(t)) along a drawn path of the label, for any losses f_i.

    The field jumps with the label. An adaptive solver that is not told where steps over
    short stays and reports success: of 256 paths with some twenty rings each, at
    tolerances of 1e-8, more than a tenth are wrong by over 1e-3, the worst by over
    0.05. Both methods here tell it:

    - "declared": one solve, in which each ring is a time that no step crosses. The
      faster one for an ensemble, whose paths wait for one another once.
    - "segments": one solve for each stay (and each saved time); it starts its step
      size afresh after every ring.

    Where the flow between jumps is known (quadratics), `ExactJumps` costs far less.
    May be differentiated and mapped over; then the caller looks for NaN himself.

    Args:
        process: a switching process, with or without momentum.
        path: of `draw_index_path(process.index, ...)`, from t0 to t1 or beyond; with a
            leading axis [paths] for an ensemble.
        y0: state at t0; its label is not used, and may be None. With a leading axis
            [paths], or one state for all paths.
        t1: end (time).
        t0: start.
        times: where states are wanted, increasing, within [t0, t1]; t1 where None.
        method: "declared" or "segments".
        solver: an adaptive one of diffrax's; default `diffrax.Tsit5()`.
        rtol: relative tolerance of a step; 1e-8 in float64 and 1e-4 in float32 where
            None.
        atol: absolute tolerance of a step; 1e-10 and 1e-6 where None.
        max_steps: most steps of a solve.

    Raises:
        BadInput: what is no such process, path, state, time or method; a path of the
            label that ends before t1.
        SolveFailed: a solve that did not reach t1.
    """
    require_instance(process, Switching, "solve_switching takes a switching process")
    require_instance(path, IndexPath, "path is one of sde.draw_index_path")
    require_finite(y0, "the start")
    require_switching_state(process, y0, drawn=True)
    require_label("a label of the path", path.labels, process.labels)
    batch = _require_states(path, y0)
    y0 = y0._replace(label=None)
    wide = y0.position.dtype == jnp.float64
    rtol = (1e-8 if wide else 1e-4) if rtol is None else rtol
    atol = (1e-10 if wide else 1e-6) if atol is None else atol
    _require_options(method, solver, rtol, atol, max_steps)
    times = _require_times(t0, t1, times)
    start, end, rtol, atol = (parameter(value) for value in (t0, t1, rtol, atol))
    args = (process, path, y0, start, end, times, rtol, atol)
    traced = is_traced(args)
    if not traced and np.any(np.asarray(path.times)[..., -1] <= float(t1)):
        raise BadInput(CUT_SHORT)
    states, steps, failed = _solve(
        *args, method, solver or diffrax.Tsit5(), max_steps, batch
    )
    if traced:
        failed = jnp.any(failed)
        short = jnp.any(path.times[..., -1] <= end)
        states = eqx.error_if(eqx.error_if(states, short, CUT_SHORT), failed, FAILED)
    elif np.any(failed):
        count = np.ndim(failed) and f"{int(np.sum(failed))} of {np.size(failed)} paths"
        raise SolveFailed(f"{FAILED} This befell {count or 'the path'}.")
    return SwitchedSolution(times, states, steps)


@eqx.filter_jit
def _solve(
    process, path, y0, t0, t1, times, rtol, atol, method, solver, max_steps, batch
):
    """States, steps and whether the solve failed; mapped over paths where batched."""

    def one(path, y0):
        options = {
            "solver": solver,
            "stepsize_controller": diffrax.PIDController(rtol=rtol, atol=atol),
            "max_steps": max_steps,
        }
        solve = _declared if method == "declared" else _segments
        ys, steps, failed = solve(process, path, y0, t0, t1, times, options)
        return ys._replace(label=path.at(times)), steps, failed

    if batch is None:
        return one(path, y0)
    return jax.vmap(one, in_axes=(0, 0 if batch else None))(path, y0)


def _declared(process, path, y0, t0, t1, times, options):
    """One solve; no step crosses a ring, and the first stage after it is made anew."""

    def field(t, y, args):
        process, path = args
        return process.vector_field(t, y._replace(label=path.at(t)))

    controller = diffrax.ClipStepSizeController(
        options.pop("stepsize_controller"), jump_ts=path.times
    )
    solution = _run(
        field,
        (t0, t1, y0, (process, path)),
        diffrax.SaveAt(ts=times),
        options | {"stepsize_controller": controller},
    )
    return solution.ys, solution.stats["num_steps"], _unfinished(solution)


def _segments(process, path, y0, t0, t1, times, options):
    """One solve between any two neighbours among rings and saved times."""
    rings = jnp.clip(path.times, t0, t1)
    marks = jnp.sort(jnp.concatenate([t0[None], rings, times, t1[None]]))

    def field(t, y, args):
        process, label = args
        return process.vector_field(t, y._replace(label=label))

    def segment(y, ends):
        start, end = ends
        solution = _run(
            field,
            (start, end, y, (process, path.at(start))),
            diffrax.SaveAt(t1=True),
            options,
        )
        y = jax.tree.map(lambda a: a[-1], solution.ys)
        return y, (y, solution.stats["num_steps"], _unfinished(solution))

    _, (ys, steps, failed) = jax.lax.scan(segment, y0, (marks[:-1], marks[1:]))
    at = jnp.searchsorted(marks, times)
    ys = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[at], y0, ys)
    return ys, jnp.sum(steps), jnp.any(failed)


def _run(field, problem, saveat, options) -> Any:
    t0, t1, y0, args = problem
    term = diffrax.ODETerm(field)
    return diffrax.diffeqsolve(
        term, t0=t0, t1=t1, dt0=None, y0=y0, args=args, saveat=saveat, throw=False,
        **options,
    )  # fmt: skip


def _unfinished(solution: Any) -> Any:
    return solution.result != diffrax.RESULTS.successful


def _require_options(method, solver, rtol, atol, max_steps) -> None:
    if method not in METHODS:
        raise BadInput(f'method is "declared" or "segments"; got {method!r:.60}.')
    require_pieces(solver, None, None, None, None)
    if solver is not None and not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        raise BadInput(
            f"{type(solver).__name__} estimates no error, so its steps cannot adapt: "
            "take one that does, as diffrax.Tsit5()."
        )
    require_number("rtol", rtol, positive=True)
    require_number("atol", atol, positive=True)
    require_whole("max_steps", max_steps)


def _require_states(path: IndexPath, y0: Any) -> bool | None:
    """None for one path; else whether the start has an axis of paths."""
    many, head = np.shape(path.times)[:-1], np.shape(y0.position)[:-1]
    if len(many) > 1 or head not in ((), many):
        raise BadInput(
            "y0 is one state for all paths or, with many paths of the label, has their "
            f"leading axis; got positions of shape {np.shape(y0.position)} for paths "
            f"of shape {many}."
        )
    return None if not many else head == many


def _require_times(t0: Any, t1: Any, times: Any) -> Any:
    if not is_traced((t0, t1)):
        for name, value in (("t0", t0), ("t1", t1)):
            require_number(name, value)
        require_number("t1 - t0", t1 - t0, positive=True)
    if times is None:
        return parameter(t1)[None]
    if is_traced((t0, t1, times)):
        return times
    ts = np.asarray(times, dtype=float)
    inside = ts.ndim == 1 and ts.size and t0 <= ts[0] and ts[-1] <= t1
    if not inside or np.any(np.diff(ts) < 0):
        raise BadInput(f"times increase within [{t0}, {t1}]; got {times!r:.80}.")
    return parameter(ts)
