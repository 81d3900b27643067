"""`simulate`: an ensemble of independent paths, in chunks, in one compiled loop."""

from __future__ import annotations

import contextlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_instance
from flows.dynamics import Dynamics, State
from flows.errors import BadInput, SolveFailed
from flows.progress import bar, compiling
from flows.ravel import require_finite
from flows.scheme import Scheme
from flows.types import Scalar
from sde.chunk import run_chunk
from sde.ensemble import Ensemble, Moments, Statistics
from sde.noise import Noise, as_key

_CHUNK = 10_000
_GRID_TOLERANCE = 1e-6


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
    chunk: int | None = None,
    noise: Noise | None = None,
    progress: bool = False,
) -> Ensemble:
    """Simulate independent paths of a process with a scheme that the caller names.

    Path p at step k draws f(key, p, k, component), so results do not depend on `chunk`
    beyond rounding, and path p is `flows.iterate` on `draw_noise(..., path=p)`.

    Args:
        process: any dynamics that the scheme steps.
        y0: start: one state for all paths, or one with a leading axis [paths].
        t1: final time; t1 - t0 is a whole number of steps.
        scheme: the one-step map.
        h: step size (time), positive.
        key: a whole number or a jax key; the result carries it.
        paths: number of paths.
        t0: time of the start.
        save: "final", a sequence of grid times in [t0, t1], or `Statistics`.
        chunk: paths stepped together; about ten thousand where None.
        noise: resolution of the noise (`Noise()`: float32 normals).
        progress: show a bar over chunks. An interrupt keeps the finished chunks,
            whether shown or not, and `end` says so.

    Returns:
        The `Ensemble`. Paths that stop being finite are kept apart and counted.

    Raises:
        BadInput: any argument that cannot be used, a step that does not fit the state.
        PrecisionError: float64 noise while jax computes in float32.
        SolveFailed: a bound of a jump process was exceeded.
    """
    require_instance(process, Dynamics, "simulate takes a process")
    require_instance(scheme, Scheme, "simulate takes a scheme, as Euler()")
    key = as_key(key)
    steps = _steps(t0, t1, h)
    t0, h = float(t0), float(h)
    _whole("paths", paths)
    noise = noise if noise is not None else Noise()
    y, single = _starts(y0, paths)
    _check_step(process, scheme, single)
    marks, functions = _marks(save, t0, h, steps)
    chunk = _chunk_size(paths, chunk)
    first, gaps = marks[0], np.diff(marks)
    t0_, h_ = jnp.asarray(t0, dtype=float), jnp.asarray(h, dtype=float)
    words = jax.random.key_data(key)

    def run(start: int):
        ids = start + np.arange(chunk)
        rows = np.minimum(ids, paths - 1)  # the last chunk is filled up, then cut
        part = jax.tree.map(lambda a: jnp.asarray(np.moveaxis(a[rows], 0, -1)), y)
        real = jnp.asarray(ids < paths)
        args = (jnp.asarray(ids.astype(np.uint32)), real, words, t0_, h_)
        counts = jnp.asarray(np.concatenate([[first], gaps]))
        out = run_chunk(process, scheme, noise, functions, part, args, counts)
        return jax.tree.map(np.asarray, out)

    name = f"{type(scheme).__name__} on {type(process).__name__}"
    pieces, stopped = _all_chunks(run, paths, chunk, name, progress)
    done = min(paths, chunk * len(pieces))
    states, moments, bad = _joined(pieces, done, functions)
    ends = np.where(bad <= steps, t0 + h * bad, np.inf)
    end = f"{steps} steps of {h:.6g}"
    if stopped:
        end = f"interrupted: {done} of {paths} paths finished, {end}"
    times = t0 + h * marks
    failed = np.isfinite(ends)
    return Ensemble(times, states, failed, ends, process, scheme, h, key, end, moments)


def _joined(pieces, done, functions):
    bad = np.concatenate([p[1] for p in pieces])[:done]
    if functions is None:
        shown = [p[0] for p in pieces]
        states = jax.tree.map(
            lambda *a: jnp.asarray(
                np.moveaxis(np.concatenate(a, axis=-1)[..., :done], -1, 1)
            ),
            *shown,
        )
        return states, {}, bad
    moments = {}
    for i, (name, _) in enumerate(functions):
        total = Moments(*pieces[0][0][i])
        for piece in pieces[1:]:
            total = total.merge(Moments(*piece[0][i]))
        moments[name] = total
    return None, moments, bad


def _all_chunks(run, paths, chunk, name, progress):
    pieces = []
    shown = bar(paths, name, "path") if progress else contextlib.nullcontext()
    with shown as ticks, compiling(name, show=False if progress else None):
        try:
            for start in range(0, paths, chunk):
                pieces.append(run(start))
                if ticks is not None:
                    ticks.update(min(chunk, paths - start))
        except KeyboardInterrupt:
            if not pieces:
                raise
            return pieces, True
        except RuntimeError as error:
            if "bound on the jump rates" not in str(error):
                raise
            lines = [s for s in str(error).splitlines() if "bound on the jump" in s]
            raise SolveFailed(lines[0].strip()) from None
    return pieces, False


def _steps(t0, t1, h) -> int:
    for name, value in (("t0", t0), ("t1", t1), ("h", h)):
        try:
            good = np.ndim(value) == 0 and bool(np.isfinite(value))
        except TypeError:
            good = False
        if not good:
            raise BadInput(f"{name} is one finite number; got {value!r}.")
    if h <= 0:
        raise BadInput(f"the step size h is positive; got h = {h}.")
    ratio = (t1 - t0) / h
    steps = round(ratio)
    if steps < 1:
        raise BadInput(f"t1 lies at least one step after t0; got t0={t0}, t1={t1}.")
    if abs(ratio - steps) > _GRID_TOLERANCE:
        near = (t1 - t0) / steps
        raise BadInput(
            f"t1 - t0 is a whole number of steps; got {ratio:.6g} of them. "
            f"The nearest step size that fits is h = {near:.12g}."
        )
    return steps


def _whole(name: str, value: Any) -> None:
    good = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not good or not 1 <= value < 2**32:
        raise BadInput(f"{name} is a whole number of at least 1; got {value!r}.")


def _chunk_size(paths: int, chunk: int | None) -> int:
    if chunk is None:
        return -(-paths // -(-paths // _CHUNK))  # equal chunks
    _whole("chunk", chunk)
    return min(chunk, paths)


def _starts(y0, paths) -> tuple[Any, Any]:
    """The starts as numpy arrays with a leading axis [paths], and one state."""
    require_finite(y0, "the start y0")
    y0 = jax.tree.map(np.asarray, y0)
    leaves = jax.tree.leaves(y0)
    position = np.asarray(getattr(y0, "position", leaves[0] if leaves else 0))
    if not np.issubdtype(position.dtype, np.floating):
        raise BadInput(
            "y0 holds floating-point positions (a flat vector, or the process's state "
            f"NamedTuple of them); got {y0!r}."
        )
    axes = position.ndim
    if axes not in (1, 2) or (axes == 2 and any(len(a) != paths for a in leaves)):
        shapes = [a.shape for a in leaves]
        raise BadInput(
            f"y0 is one state of flat vectors, or one with a leading axis of length "
            f"paths={paths}; got leaves of shapes {shapes}."
        )

    def typed(a):
        kind = float if np.issubdtype(a.dtype, np.floating) else int
        a = a.astype(jnp.asarray(kind()).dtype)
        return a if axes == 2 else np.broadcast_to(a, (paths, *a.shape))

    batch = jax.tree.map(typed, y0)
    return batch, jax.tree.map(lambda a: jnp.asarray(a[0]), batch)


def _check_step(process, scheme, y) -> None:
    def one(process, y):
        t = jnp.zeros(())
        noise = Noise().block(0, jnp.zeros(1, jnp.uint32), 0, draws)
        noise = jax.tree.map(lambda a: a[0], noise)
        return scheme.step(process, t, y, t + 1, noise, scheme.init(process, t, y)).y

    what = f"{type(scheme).__name__} cannot step {type(process).__name__} from {y}"
    try:
        draws = scheme.noise_like(process, y)
        out = eqx.filter_eval_shape(one, process, y)
    except BadInput:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(f"{what}: {error}") from error

    same = jax.tree.structure(out) == jax.tree.structure(y) and all(
        a.shape == b.shape and a.dtype == b.dtype
        for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(y), strict=True)
    )
    if not same:
        raise BadInput(f"{what}: the step returns a state like {out}.")


def _marks(save, t0, h, steps) -> tuple[np.ndarray, Any]:
    """Indices of the saved steps, increasing, and the functions to stream."""
    functions = None
    if isinstance(save, Statistics):
        functions = tuple(save.functions.items())
        save = t0 + h * np.arange(steps + 1) if save.times is None else save.times
    if isinstance(save, str):
        if save != "final":
            raise BadInput(f'save is "final", times or Statistics; got {save!r}.')
        return np.array([steps]), functions
    try:
        times = np.asarray(save, dtype=float)
    except (TypeError, ValueError):
        raise BadInput(f'save is "final", times or Statistics; got {save!r}.') from None
    index = np.rint((times - t0) / h)
    near = np.abs(t0 + h * index - times) <= _GRID_TOLERANCE * h
    inside = (index >= 0) & (index <= steps)
    if times.ndim != 1 or not times.size or not np.all(near & inside):
        raise BadInput(
            f"saved times are a vector of grid times t0 + k h in [{t0}, "
            f"{t0 + h * steps:.6g}] with h = {h}; got {save!r}."
        )
    index = index.astype(int)
    if np.any(np.diff(index) <= 0):
        raise BadInput("saved times increase strictly.")
    return index, functions
