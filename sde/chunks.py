"""Paths in chunks: where they run, what is kept of them, bars and interrupts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_whole
from flows.errors import BadInput, SolveFailed
from flows.progress import bar, compiling

_CHUNK = 10_000


class Failures(NamedTuple):
    """The paths that stopped being finite; nothing is held for the others.

    Attributes:
        paths: number of paths in all.
        indices: those that failed, increasing, shape [failed].
        times: the time from which each is not finite, shape [failed].
    """

    paths: int
    indices: np.ndarray
    times: np.ndarray


class Batches:
    """A number of paths in chunks of one size, on one device or split over several.

    Attributes:
        paths: number of paths.
        chunk: paths stepped together; the last chunk is filled up, then cut.
    """

    def __init__(self, paths: Any, chunk: Any, devices: Any) -> None:
        require_whole("paths", paths, 1, 2**32 - 1)
        self.paths = int(paths)
        self._sharding, count = _sharding(devices)
        if chunk is None:
            pieces = -(-paths // (_CHUNK * count))
            chunk = -(-paths // pieces)  # equal chunks
        require_whole("chunk", chunk)
        self.chunk = -(-min(chunk, paths) // count) * count

    def place(self, a: Any) -> Any:
        """An array on the device, its last axis (the paths) split over several."""
        if self._sharding is None:
            return jnp.asarray(a)
        return jax.device_put(a, self._sharding(np.ndim(a)))

    def ids(self, start: int) -> tuple[Any, Any, Any]:
        """Of a chunk: rows of the starts, path numbers, which of them are real."""
        ids = start + np.arange(self.chunk)
        rows = np.minimum(ids, self.paths - 1)
        real = self.place(ids < self.paths)
        return rows, self.place(ids.astype(np.uint32)), real

    def fold(self, run: Callable, keep: Callable, kept: Any, name: str, progress: bool):
        """Run every chunk and keep it; an interrupt leaves out the unfinished one.

        Args:
            run: start -> what the compiled loop returns.
            keep: (kept, start, number of paths, that result) -> kept, of which the old
                value stays good.
            kept: before the first chunk.
            name: for the bar.
            progress: whether to show it.

        Returns:
            The number of paths that are finished, and what is kept of them.

        Raises:
            KeyboardInterrupt: before the first chunk is finished.
            SolveFailed: a bound of a jump process was exceeded.
        """
        state = (0, kept)
        shown = bar(self.paths, name, "path") if progress else contextlib.nullcontext()
        with shown as ticks, compiling(name, show=False if progress else None):
            try:
                for start in range(0, self.paths, self.chunk):
                    count = min(self.chunk, self.paths - start)
                    out = jax.tree.map(np.asarray, run(start))
                    state = (start + count, keep(state[1], start, count, out))
                    if ticks is not None:
                        ticks.update(count)
            except KeyboardInterrupt:
                if not state[0]:
                    raise
            except RuntimeError as error:
                if "bound on the jump rates" not in str(error):
                    raise
                lines = [s for s in str(error).splitlines() if "bound on the jump" in s]
                raise SolveFailed(lines[0].strip()) from None
        return state


def _sharding(devices: Any) -> tuple[Any, int]:
    """(number of axes) -> sharding of the last axis, and the number of devices."""
    if devices is None:
        return None, 1
    if isinstance(devices, str) and devices == "all":
        devices = jax.devices()
    if isinstance(devices, jax.Device):
        devices = [devices]
    good = isinstance(devices, Sequence) and not isinstance(devices, str)
    if not good or not devices or not all(isinstance(d, jax.Device) for d in devices):
        raise BadInput(
            'devices is None, "all", or a sequence of jax devices as jax.devices(); '
            f"got {devices!r:.60}."
        )
    if len(set(devices)) < len(devices):
        raise BadInput(f"devices names one twice: {devices!r:.100}.")
    mesh = jax.sharding.Mesh(np.array(devices), ("paths",))

    def split(axes: int):
        spec = jax.sharding.PartitionSpec(*[None] * (axes - 1), "paths")
        return jax.sharding.NamedSharding(mesh, spec)

    return split, len(devices)


@dataclass(frozen=True)
class Kept:
    """What a run keeps of its chunks: states, or merged statistics; and failures.

    States are written into one array as they come, statistics are merged at once:
    memory does not grow with the number of chunks.

    Attributes:
        paths: number of paths to come.
        rows: number of saved times.
        statistics: names and `Statistic`s; None keeps the states.
        states: the array of the states, None before the first chunk.
        merged: name -> result.
        failed: path numbers and failing steps, one pair a chunk with failures.
    """

    paths: int
    rows: int
    statistics: Any = None
    states: Any = None
    merged: Mapping[str, Any] = field(default_factory=dict)
    failed: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    def add(self, start: int, count: int, out: Any, bad: Any) -> Kept:
        """With one chunk more.

        Args:
            start: its first path.
            count: its paths; more columns are filling.
            out: what the saved times show, times first, paths last.
            bad: the step after which a path was not finite; the largest integer: never.
        """
        out = jax.tree.map(lambda a: a[: self.rows], out)
        states, merged = self.states, self.merged
        if self.statistics is None:
            states = self._written(start, count, out)
        else:
            merged = {
                name: statistic.result(kept)
                for (name, statistic), kept in zip(self.statistics, out, strict=True)
            }
            if self.merged:
                merged = {n: self.merged[n].merge(new) for n, new in merged.items()}
        (found,) = np.nonzero(bad[:count] < np.iinfo(bad.dtype).max)
        new = ((start + found, bad[found]),) if found.size else ()
        return replace(self, states=states, merged=merged, failed=self.failed + new)

    def _written(self, start, count, out):
        states = self.states
        if states is None:
            states = jax.tree.map(
                lambda a: np.empty((len(a), self.paths, *a.shape[1:-1]), a.dtype), out
            )

        def put(whole, a):
            whole[:, start : start + count] = np.moveaxis(a[..., :count], -1, 1)

        jax.tree.map(put, states, out)
        return states

    def result(self, done: int, t0: float, h: float) -> tuple[Any, Any, Failures]:
        """States (None with statistics), statistics, and the paths that failed.

        Args:
            done: paths that are finished.
            t0: start.
            h: time between two of the steps that `bad` counts.
        """
        states = self.states
        if states is not None:
            # device_put compiles nothing for a new shape, and need not copy
            states = jax.tree.map(
                lambda a: jax.device_put(np.ascontiguousarray(a[:, :done])), states
            )
        none = np.zeros(0, int)
        index = np.concatenate([none, *(i for i, _ in self.failed)])
        steps = np.concatenate([none, *(s for _, s in self.failed)])
        return states, self.merged, Failures(done, index, t0 + h * steps)
