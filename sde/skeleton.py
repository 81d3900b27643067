"""Skeletons: a path of a jump process as its jumps, exact between and at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats, require_instance, require_whole
from flows.dynamics import State
from flows.errors import BadInput
from sde._checks import is_concrete, require_label, require_switching_state
from sde.index_path import (
    IndexPath,
    first_label,
    next_ring,
    require_horizon,
)
from sde.jump_process import JumpProcess
from sde.jumps import state_after
from sde.noise import key_words, subkeys, uniform_of
from sde.samplers.velocity import VelocityJumps
from sde.switching import Switching


class Skeleton(eqx.Module):
    """One path of a jump process on [t0, t1]: point 0 is the start, point k jump k.

    A point holds the state right after the jump; the next one, or t1, lies `delays[k]`
    after it. All points after the last jump hold the state at t1, with delays of 0. The
    state at any time follows from the point to its left by the exact flow.

    Attributes:
        process: what moved.
        t0: start (time).
        t1: end.
        delays: time from each point to the next, shape [K].
        states: the states at the points, leaves of shape [K, ...].
        final: the state at t1.
        rings: number of jumps in [t0, t1], at most K - 1.
        overflow: whether K points did not reach t1, so that the path is cut short.
    """

    process: JumpProcess
    t0: Any
    t1: Any
    delays: Any
    states: State
    final: State
    rings: Any
    overflow: Any

    @property
    def times(self) -> Float[Array, " K"]:
        """The times of the points, increasing; t1 after the last jump."""
        zero = jnp.zeros_like(self.delays[0])
        elapsed = jax.lax.scan(lambda s, delay: (s + delay, s), zero, self.delays)[1]
        return self.t0 + elapsed

    def at(self, t: Any) -> State:
        """The state at times t in [t0, t1], right continuous.

        Args:
            t: one time, or several of shape [times]; a traced time is not looked at.

        Returns:
            The state, leaves of shape [...] or [times, ...].

        Raises:
            BadInput: times outside [t0, t1], or of another shape.
        """
        if is_concrete(t, self.t0, self.t1):
            t, t0, t1 = as_floats("t", t), float(self.t0), float(self.t1)
            if not np.all((t >= t0) & (t <= t1)):
                raise BadInput(f"t lies in [{t0:g}, {t1:g}]; got {t}.")
        if jnp.ndim(t) > 1:
            raise BadInput(f"t is one time or a vector of them; got {jnp.shape(t)}.")
        t, times = jnp.asarray(t, self.delays.dtype), self.times
        if jnp.ndim(t):
            return jax.vmap(lambda one: self._at(times, one))(t)
        return self._at(times, t)

    def _at(self, times: Any, t: Any) -> State:
        k = jnp.searchsorted(times, t, side="right") - 1
        y = jax.tree.map(lambda a: a[k], self.states)
        return self.process.exact(times[k], y, t - times[k])

    def time_average(self) -> Float[Array, " n"]:
        """(1/(t1-t0)) ∫ x dt, exact by the integral over each segment.

        Raises:
            BadInput: the process does not know its `integral`.
        """
        integral = jax.vmap(self.process.integral)
        total = integral(self.times, self.states, self.delays)
        if total is None:
            raise BadInput(
                f"{type(self.process).__name__} does not know the integral of its "
                "position between jumps (`JumpProcess.integral`)."
            )
        return jnp.sum(total, axis=0) / (self.t1 - self.t0)


def draw_skeleton(
    process: JumpProcess,
    y0: State,
    key: Any,
    *,
    t1: Any,
    events: int,
    t0: Any = 0.0,
    path: Any = 0,
) -> Skeleton:
    """One path of a jump process, as its jumps: for `jax.vmap`, `jit` and `grad`.

    It looks at no values, so that `overflow` is the caller's to check;
    `sde.simulate_skeletons` does it, and takes many paths at once.

    Args:
        process: a jump process with `exact` and `waiting`.
        y0: start; a switching process whose label is None draws it from the stationary
            law of its index.
        key: a whole number or a jax key.
        t1: end (time).
        events: the number K of jumps that is held.
        t0: start.
        path: which path of the ensemble with this key.

    Raises:
        BadInput: a process without an exact flow or exact waiting times, a start that
            is none of the process's, events below 1, t1 <= t0.
    """
    require_exact(process)
    require_start(process, y0)
    require_whole("events", events, 1)
    require_horizon(t0, t1)
    t0, t1 = (jnp.asarray(t, dtype=float) for t in (t0, t1))
    y, chain = begin(process, y0, key, path)

    def step(k, loop):
        return segment(process, chain, k, t0, t1 - t0, loop)

    return Skeleton(process, t0, t1, *walk(step, y, t1 - t0, events + 1))


def follow_index_path(
    process: Switching, y0: State, path: IndexPath, *, t1: Any, t0: Any = 0.0
) -> Skeleton:
    """The exact path of a switching process along a path of its label.

    Several processes may so follow one path of the label.

    Args:
        process: a switching process with an exact flow.
        y0: start; its label is that of the path.
        path: from `sde.draw_index_path` from t0 to t1, or beyond.
        t1: end (time).
        t0: start.

    Raises:
        BadInput: no switching process, or none with an exact flow; a start that is none
            of the process's; a path with other labels, with rings before t0, or that
            ends before t1 (traced ones pass; `overflow` then says the latter).
    """
    require_instance(process, Switching, "follow_index_path takes a switching process")
    require_exact(process)
    require_start(process, y0)
    require_horizon(t0, t1)
    _require_path(process, path, t0, t1)
    t0, t1 = (jnp.asarray(t, dtype=float) for t in (t0, t1))
    labels = path.labels
    waits = jnp.diff(path.times, prepend=t0)
    waits = jnp.where(jnp.isinf(path.times), jnp.inf, waits)  # inf - inf is no number
    points = waits.shape[0]

    def step(k, loop):
        return advance(
            process, t0, t1 - t0, loop, waits[k], lambda t, y: put(y, labels[k + 1])
        )

    start = put(y0, labels[0])
    return Skeleton(process, t0, t1, *walk(step, start, t1 - t0, points))


def _require_path(process: Switching, path: Any, t0: Any, t1: Any) -> None:
    require_instance(path, IndexPath, "path is one of sde.draw_index_path")
    if jnp.ndim(path.times) != 1:
        raise BadInput("follow_index_path follows one path; map it with jax.vmap.")
    require_label("a label of the path", path.labels, process.labels)
    if not is_concrete(path.times, t0, t1):
        return
    first, last = float(path.times[0]), float(path.times[-1])
    if first < float(t0):
        raise BadInput(f"the path rings at {first:g}, before t0 = {float(t0):g}.")
    if not last > float(t1):
        raise BadInput(
            f"the path of the label ends at {last:g}, before t1 = {float(t1):g}: draw "
            "more events of it, or to t1."
        )


def require_start(process: JumpProcess, y0: Any) -> None:
    """Refuse what is no start of a process; a label may be None, and it is drawn.

    Args:
        process: a jump process.
        y0: one state, or states with a leading axis of paths.

    Raises:
        BadInput: with the state that is wanted.
    """
    if isinstance(process, Switching):
        require_switching_state(process, y0, drawn=True)
    elif isinstance(process, VelocityJumps):
        process.require_inside(y0)


def require_exact(process: Any) -> None:
    """Refuse what has no exact flow or no exact waiting times.

    Raises:
        BadInput: with what is missing.
    """
    require_instance(process, JumpProcess, "a skeleton is that of a jump process")
    kind = type(process)
    lacks = [
        m for m in ("exact", "waiting") if getattr(kind, m) is getattr(JumpProcess, m)
    ]
    if isinstance(process, Switching) and not process.solved:
        lacks = ["exact"]
    if lacks:
        raise BadInput(_lacking(process, lacks))


def _lacking(process: Any, lacks: list[str]) -> str:
    if isinstance(process, Switching):
        instead = (
            "sde.solve_switching solves along a drawn path of the label, to a "
            "tolerance (also where a mass goes to 0, with an implicit solver)."
        )
    else:
        instead = (
            "sde.simulate with sde.ExactJumps takes Runge-Kutta steps between jumps, "
            "and thins them from a bound."
        )
    return (
        f"{type(process).__name__} has no {' and no '.join(f'`{m}`' for m in lacks)}: "
        f"a skeleton is exact between its jumps and at them. {instead}"
    )


def path_key(key: Any, path: Any) -> Any:
    """The key of path `path` of the ensemble with a key.

    `sde.draw_index_path` with it draws the label of that path's skeleton.
    """
    return subkeys(key, jnp.asarray(path).astype(jnp.uint32), 1)[0]


def put(y: Any, label: Any) -> Any:
    """The state with another label."""
    return y._replace(label=jnp.asarray(label).astype(int))


def begin(process: JumpProcess, y0: State, key: Any, path: Any) -> tuple[State, Any]:
    """The start of one path, and the key from which its jumps are drawn.

    A switching process draws as `draw_index_path` does with the path's own key.
    """
    start, chain = subkeys(path_key(key, path), 0, 2)
    if isinstance(process, Switching):
        label = getattr(y0, "label", None)
        y0 = put(y0, first_label(process.index, start) if label is None else label)
    return y0, key_words(chain)


def segment(
    process: JumpProcess, chain: Any, k: Any, t0: Any, horizon: Any, loop: Any
) -> Any:
    """One path's way to jump k, or to the horizon: the body of the loop."""
    s, y, _ = loop
    if isinstance(process, Switching):
        # the label alone jumps, and does not look at the position
        delay, label = next_ring(process.index, chain, k, t0 + s, y.label)
        return advance(process, t0, horizon, loop, delay, lambda t, y: put(y, label))
    first, second, third = subkeys(jnp.stack(chain), k, 3)
    delay = process.waiting(t0 + s, y, first)
    if delay is None:
        raise BadInput(_lacking(process, ["waiting"]))

    def jump(t, y):
        rates = process.rates(t, y)
        return state_after(process, t, y, rates, uniform_of(third), second)

    return advance(process, t0, horizon, loop, delay, jump)


def advance(
    process: JumpProcess,
    t0: Any,
    horizon: Any,
    loop: Any,
    delay: Any,
    jump: Callable[[Any, State], State],
) -> tuple[Any, Any]:
    """The flow over the delay and a jump, or over what is left; and that duration."""
    s, y, rings = loop
    left = horizon - s
    ends = delay >= left
    later = jnp.where(ends, horizon, s + delay)
    # the difference of two times as they are held: durations sum to times, undrifted
    pace = jnp.where(ends, left, later - s)
    moved: Any = process.exact(t0 + s, y, pace)
    if moved is None:
        raise BadInput(_lacking(process, ["exact"]))
    after = jump(t0 + later, moved)
    # at the horizon it stays to the last bit, however many segments follow
    y = jax.tree.map(
        lambda a, b, c: jnp.where(left <= 0, a, jnp.where(ends, b, c)), y, moved, after
    )
    return (later, y, rings + (~ends).astype(rings.dtype)), pace


def walk(
    step: Callable[[Any, Any], Any],
    y: State,
    horizon: Any,
    points: int,
    paths: tuple[int, ...] = (),
) -> Any:
    """`points` segments from y: delays, states, final, rings, overflow.

    Points come first and paths last. What is summed is the time elapsed, in
    [0, horizon], whatever the clock showed at the start. A wait that is no number is
    an overflow: the path reaches nothing. Each turn hands out the state that it starts
    from: one that it has just made would be computed twice.
    """

    def body(loop, k):
        after, pace = step(k, loop)
        return after, (pace, loop[1])

    start = (jnp.zeros(paths, horizon.dtype), y, jnp.zeros(paths, int))
    (s, y, rings), (delays, states) = jax.lax.scan(body, start, jnp.arange(points))
    return delays, states, y, rings, ~(s >= horizon)
