"""`simulate_skeletons`: many independent paths of a jump process, as their jumps."""

from __future__ import annotations

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flows.door import as_floats, require_number, require_whole
from flows.dynamics import State
from flows.errors import BadInput, SolveFailed
from flows.types import Scalar
from sde._checks import is_concrete
from sde.chunks import Batches
from sde.index_path import ring_after, ring_words
from sde.jump_process import JumpProcess
from sde.noise import as_key
from sde.skeleton import (
    Skeleton,
    advance,
    begin,
    put,
    require_exact,
    require_start,
    segment,
)
from sde.starts import Starts
from sde.switching import Switching

_FIRST_GUESS = 64
_BLOCK = 8  # segments between two looks at whether all paths have arrived


class Skeletons(eqx.Module):
    """Independent paths of a jump process, each a `Skeleton` of K points.

    Attributes:
        each: the skeletons; arrays hold the paths on their last axis.
        key: the jax key; the same key gives the same paths for any chunk.
    """

    each: Skeleton
    key: Any

    @property
    def paths(self) -> int:
        """Number of paths."""
        return self.each.rings.shape[0]

    @property
    def process(self) -> JumpProcess:
        """What moved."""
        return self.each.process

    @property
    def delays(self) -> Float[Array, "paths K"]:
        """Time from each point to the next; 0 after the path has reached t1."""
        return self.each.delays.T

    @property
    def times(self) -> Float[Array, "paths K"]:
        """The times of the points; t1 after the last jump."""
        return _of_each(_times, self.each)

    @property
    def states(self) -> State:
        """The states at the points, leaves of shape [paths, K, ...].

        The start, those right after each jump, then the state at t1 (which a path of
        exactly `events` jumps has in `final` alone).
        """
        return _paths_first(self.each.states)

    @property
    def final(self) -> State:
        """The states at t1, leaves of shape [paths, ...]."""
        return _paths_first(self.each.final)

    @property
    def rings(self) -> Int[Array, " paths"]:
        """Number of jumps of each path."""
        return self.each.rings

    @property
    def overflow(self) -> Bool[Array, " paths"]:
        """Which paths are cut short (none, where `simulate_skeletons` returned)."""
        return self.each.overflow

    def at(self, times: Any) -> State:
        """The states at times in [t0, t1], by the exact flow from the jump before.

        Args:
            times: one time, or several of shape [times].

        Returns:
            The state, leaves of shape [paths, ...] or [times, paths, ...].

        Raises:
            BadInput: times outside [t0, t1].
        """
        times = as_floats("times", times).astype(self.each.delays.dtype)
        t0, t1 = float(self.each.t0), float(self.each.t1)
        if times.ndim > 1 or not np.all((times >= t0) & (times <= t1)):
            raise BadInput(f"times lie in [{t0:g}, {t1:g}]; got {times}.")
        if not times.ndim:
            return _of_each(Skeleton.at, self.each, jnp.asarray(times))
        return _at_each(self.each, jnp.asarray(times))

    def time_average(self) -> Float[Array, "paths n"]:
        """(1/(t1-t0)) ∫ x dt of each path, exact.

        Raises:
            BadInput: the process does not know its `integral`.
        """
        return _of_each(Skeleton.time_average, self.each)

    def __repr__(self) -> str:
        rings = np.asarray(self.rings)
        leaves = map(np.asarray, jax.tree.leaves(self.final))
        finite = [np.isfinite(a).reshape(self.paths, -1).all(axis=1) for a in leaves]
        lost = np.sum(~np.all(finite, axis=0))
        note = f"; {lost} paths not finite" if lost else ""
        return (
            f"Skeletons({type(self.process).__name__}: {self.paths} paths on "
            f"[{float(self.each.t0):.6g}, {float(self.each.t1):.6g}], "
            f"{rings.mean():.6g} jumps each on average, {rings.max()} at most{note})"
        )


def _times(each: Skeleton) -> Any:
    return each.times


@eqx.filter_jit
def _at_each(each: Skeleton, times: Any) -> Any:
    found = _of_each(lambda one, times: jax.vmap(one.at)(times), each, times)
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), found)


@eqx.filter_jit
def _paths_first(tree: Any) -> Any:
    return jax.tree.map(lambda a: jnp.moveaxis(a, -1, 0), tree)


@eqx.filter_jit
def _of_each(fn: Any, each: Skeleton, *args: Any) -> Any:
    """A function of one skeleton, of each; the process and the times are shared."""
    shared = each.process, each.t0, each.t1
    own = each.delays, each.states, each.final, each.rings, each.overflow
    return jax.vmap(lambda own: fn(Skeleton(*shared, *own), *args), -1)(own)


def simulate_skeletons(
    process: JumpProcess,
    y0: State,
    *,
    t1: Scalar,
    key: Any,
    paths: int,
    t0: Scalar = 0.0,
    events: int | None = None,
    chunk: int | None = None,
) -> Skeletons:
    """Simulate independent paths of a jump process, exact between jumps and at them.

    One compiled loop over jumps, all paths of a chunk at once; the cost grows linearly
    with jumps and paths, and no step size enters. Path p, jump k draw
    f(key, p, k), so results do not depend on `chunk` or `events`, and path p is
    `draw_skeleton(..., path=p)`. The label of a switching process is drawn apart from
    its position: processes of one index and one key (of several masses, say) follow
    the same paths of the label.

    Args:
        process: a jump process with `exact` and `waiting`.
        y0: start: one state for all paths, or one with a leading axis [paths]. The
            label of a switching process may be None: it is then drawn from the
            stationary law of the index.
        t1: end (time).
        key: a whole number or a jax key.
        paths: number of paths.
        t0: start.
        events: the number K of jumps that is held of each path; found where None.
        chunk: paths stepped together; about ten thousand where None.

    Raises:
        BadInput: any argument that cannot be used, a process without an exact flow or
            exact waiting times.
        SolveFailed: a path makes more than `events` jumps before t1, or a waiting time
            is not a number.
    """
    require_exact(process)
    require_start(process, y0)
    require_number("t0", t0)
    require_number("t1", t1)
    require_number("t1 - t0", float(t1) - float(t0), positive=True)
    key = as_key(key)
    batches = Batches(paths, chunk, None)
    starts = Starts.read(y0, paths)
    if events is not None:
        require_whole("events", events, 1)
    held = events or _first_guess(process, float(t0), float(t1))
    from_, to = jnp.asarray(t0, dtype=float), jnp.asarray(t1, dtype=float)
    words, store = jax.random.key_data(key), None
    for start in range(0, paths, batches.chunk):
        rows, ids, _ = batches.ids(start)
        y = starts.rows(rows, batches.place)
        count = min(batches.chunk, paths - start)
        while True:
            found = _run(process, y, ids, words, from_, to, held)
            late = int(np.sum(np.asarray(found[-1])[:count]))
            if not late:
                break
            if np.any(np.isnan(np.asarray(found[0])[:, :count])):
                raise SolveFailed(
                    "a waiting time is not a number: are the rates of "
                    f"{type(process).__name__} finite along its paths?"
                )
            if events is not None:
                raise SolveFailed(
                    f"{late} of the paths {start} to {start + count - 1} make "
                    f"more than {events} jumps before t1 = {float(t1):g}: give more "
                    "`events`, or none, and they are found."
                )
            held *= 2
        if count < batches.chunk:
            found = jax.tree.map(lambda a, n=count: a[..., :n], found)
        store = _kept(store, found, start, paths)
    assert store is not None  # there is a path at least
    return Skeletons(Skeleton(process, from_, to, *store), key)


def _first_guess(process: JumpProcess, t0: float, t1: float) -> int:
    """Jumps to hold at first: seldom too few, and few different numbers to compile."""
    if not isinstance(process, Switching) or not is_concrete(process.index):
        return _FIRST_GUESS
    mean = float(process.index.expected_rings(t0, t1))
    enough = mean + 4.5 * math.sqrt(mean) + 4
    unit = 2 ** max(2, math.floor(math.log2(enough)) - 4)
    return unit * math.ceil(enough / unit)


@eqx.filter_jit
def _run(process, y, ids, words, t0, t1, events: int):
    """One chunk; the paths are the last axis of every leaf."""
    horizon = t1 - t0
    y, chain = jax.vmap(
        lambda y, path: begin(process, y, words, path), (-1, 0), (-1, 0)
    )(y, ids)

    def along(k, loop):
        def one(chain, loop):
            return segment(process, chain, k, t0, horizon, loop)

        return jax.vmap(one, (0, -1), -1)(chain, loop)

    def switched(drawn, loop):
        def one(drawn, loop):
            s, y, _ = loop
            delay, label = ring_after(process.index, drawn, t0 + s, y.label)
            jump = lambda t, y: put(y, label)  # noqa: E731
            return advance(process, t0, horizon, loop, delay, jump)

        return jax.vmap(one, -1, -1)(drawn, loop)

    start = jnp.zeros(ids.shape, horizon.dtype), y, jnp.zeros(ids.shape, int)
    if isinstance(process, Switching):
        drawn = jax.vmap(lambda k: ring_words(chain, k))
        return _walk(switched, drawn, start, horizon, events + 1)
    return _walk(along, lambda ks: ks, start, horizon, events + 1)


def _walk(step: Any, drawn: Any, loop: Any, horizon: Any, points: int) -> Any:
    """`sde.skeleton.walk` for all paths of a chunk, until the last of them arrives.

    Args:
        step: (what is drawn for segment k, loop) -> loop and durations.
        drawn: numbers of segments -> what is drawn for each. Drawn ahead of a block of
            segments, it is computed once, and by vector instructions.
        loop: the start: time elapsed, states, jumps.
        horizon: where the paths arrive.
        points: segments at most.
    """
    held = lambda a: jnp.broadcast_to(a, (points, *a.shape))  # noqa: E731
    kept = held(jnp.zeros_like(loop[0])), jax.tree.map(held, loop[1])
    put_row = lambda a, row, k: a.at[k].set(row, mode="promise_in_bounds")  # noqa: E731

    def unfinished(turn):
        k, loop, _ = turn
        return (k < points) & jnp.any(loop[0] < horizon)

    def block(turn):
        first, loop, kept = turn
        ahead = drawn(first + jnp.arange(_BLOCK))

        def one(k, both):
            loop, (delays, states) = both
            here = jax.tree.map(lambda a: a[k - first], ahead)
            after, pace = step(here, loop)
            states = jax.tree.map(lambda a, row: put_row(a, row, k), states, loop[1])
            return after, (put_row(delays, pace, k), states)

        last = jnp.minimum(first + _BLOCK, points)
        loop, kept = jax.lax.fori_loop(first, last, one, (loop, kept))
        return last, loop, kept

    made, loop, (delays, states) = jax.lax.while_loop(
        unfinished, block, (jnp.zeros((), int), loop, kept)
    )
    s, y, rings = loop

    def rest(k, states):
        return jax.tree.map(lambda a, row: put_row(a, row, k), states, y)

    states = jax.lax.fori_loop(made, points, rest, states)
    return delays, states, y, rings, ~(s >= horizon)


def _kept(store: Any, piece: Any, start: int, paths: int) -> Any:
    """The chunks so far in arrays for all paths; memory is touched once a number."""
    if piece[0].shape[-1] == paths:
        return piece
    if store is None:
        store = jax.tree.map(
            lambda a: jnp.zeros((*a.shape[:-1], paths), a.dtype), piece
        )
    more = piece[0].shape[0] - store[0].shape[0]
    store, piece = _longer(store, more), _longer(piece, -more)
    return _placed(store, piece, start)


def _longer(piece: Any, rows: int) -> Any:
    """A chunk that holds more points: they repeat its end."""
    if rows <= 0:
        return piece
    delays, states, final, rings, overflow = piece
    delays = jnp.pad(delays, ((0, rows), (0, 0)))
    states = jax.tree.map(
        lambda a, b: jnp.concatenate([a, jnp.stack([b] * rows)]), states, final
    )
    return delays, states, final, rings, overflow


@functools.partial(jax.jit, donate_argnums=0)
def _placed(store: Any, piece: Any, start: Any) -> Any:
    def into(a, b):
        return jax.lax.dynamic_update_slice_in_dim(a, b, start, axis=-1)

    return jax.tree.map(into, store, piece)
