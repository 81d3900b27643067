"""`simulate`: an ensemble of independent paths, in chunks, in one compiled loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from flows.door import require_instance
from flows.dynamics import Dynamics, State
from flows.scheme import Scheme
from flows.types import Scalar
from sde._checks import require_scheme
from sde.brownian import SummedNoise, require_brownian
from sde.chunk import run_chunk
from sde.chunks import Batches, Kept
from sde.ensemble import Ensemble
from sde.grid import gaps_between, grid_ratio, saved_steps, whole_steps
from sde.noise import Noise, as_key, as_noise
from sde.starts import Starts, require_step
from sde.statistics import Statistics


def simulate(
    process: Dynamics,
    y0: State,
    *,
    t1: Scalar,
    scheme: Scheme,
    h: Scalar,
    key: Any,
    paths: int,
    t0: Scalar = 0.0,
    save: Any = "final",
    grid: Scalar | None = None,
    chunk: int | None = None,
    noise: Noise | str | None = None,
    devices: Any = None,
    progress: bool = False,
) -> Ensemble:
    """Simulate independent paths of a process with a scheme that the caller names.

    Path p at step k draws f(key, p, k, component), so results do not depend on `chunk`
    or `devices` beyond rounding, and path p is `flows.iterate` on
    `draw_noise(..., path=p)`. With `grid`, the same key is the same Brownian path for
    every h, as the increments of a step are summed over the grid's cells. Memory holds
    what `save` asks for and one chunk; a start that all paths share is not copied.

    Args:
        process: any dynamics that the scheme steps.
        y0: start: one state for all paths, or one with a leading axis [paths].
        t1: final time; t1 - t0 is a whole number of steps.
        scheme: the one-step map.
        h: step size (time), positive.
        key: a whole number or a jax key; the result carries it.
        paths: number of paths.
        t0: time of the start.
        save: "final", "all" (the start and every step), a sequence of grid times in
            [t0, t1], or `Statistics` (moments and histograms instead of paths).
        grid: step of the grid on which the Brownian path is drawn, of which h is a
            whole multiple; None is h itself. For schemes that draw Brownian increments
            (see `simulate_coupled`).
        chunk: paths stepped together; about ten thousand a device where None.
        noise: where the noise comes from (a `Noise`, its name, or the default).
        devices: None (jax's default device), "all", or a sequence of jax devices over
            which each chunk's paths are split.
        progress: show a bar over chunks. An interrupt keeps the finished chunks,
            whether shown or not, and `end` says so.

    Returns:
        The `Ensemble`. Paths that stop being finite are kept apart and counted.

    Raises:
        BadInput: any argument that cannot be used, a step that does not fit the state.
        PrecisionError: float64 noise while jax computes in float32.
        SolveFailed: a bound of a jump process was exceeded.
    """
    require_pair(process, scheme)
    key = as_key(key)
    steps = whole_steps(t0, t1, h)
    t0, h = float(t0), float(h)
    batches = Batches(paths, chunk, devices)
    starts = Starts.read(y0, paths)
    starts.require(process)
    one = starts.one()
    draws = require_step(process, scheme, one)
    source: Any = as_noise(noise)
    if grid is not None:
        require_brownian(scheme, process, draws, one)
        source = SummedNoise(source, grid_ratio(h, grid, steps))
    statistics = as_statistics(save, one)
    marks = saved_steps(asked(save), t0, h, steps)
    counts = gaps_between(marks, starts.size() * batches.chunk)
    t0_, h_ = jnp.asarray(t0, dtype=float), jnp.asarray(h, dtype=float)
    words = jax.random.key_data(key)

    def run(start: int):
        rows, ids, real = batches.ids(start)
        y = starts.rows(rows, batches.place)
        args = (ids, real, words, t0_, h_)
        return run_chunk(process, scheme, source, statistics, y, args, counts)

    def keep(kept, start, count, result):
        return kept.add(start, count, *result)

    kept = Kept(batches.paths, len(marks), statistics)
    name = f"{type(scheme).__name__} on {type(process).__name__}"
    done, kept = batches.fold(run, keep, kept, name, progress)
    states, found, failures = kept.result(done, t0, h)
    end = end_of(done, batches.paths, steps, h)
    times = t0 + h * marks
    return Ensemble(times, states, failures, process, scheme, h, key, end, found)


def require_pair(process: Any, scheme: Any) -> None:
    """Refuse what is no process, or no scheme."""
    require_instance(process, Dynamics, "simulate takes a process")
    require_instance(scheme, Scheme, "simulate takes a scheme, as Euler()")
    require_scheme(process, scheme)


def as_statistics(save: Any, one: State) -> Any:
    """Names and statistics to stream, looked at on one state; None for states."""
    if not isinstance(save, Statistics):
        return None
    named = save.named()
    for name, statistic in named:
        statistic.require(name, one)
    return named


def asked(save: Any) -> Any:
    """The times that are to be saved: a word, or a sequence."""
    if not isinstance(save, Statistics):
        return save
    return "all" if save.times is None else save.times


def end_of(done: int, paths: int, steps: int, h: float) -> str:
    """Why the run ended, in words."""
    end = f"{steps} steps of {h:.6g}"
    if done == paths:
        return end
    return f"interrupted: {done} of {paths} paths finished, {end}"
