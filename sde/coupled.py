"""`simulate_coupled`: several step sizes on the same Brownian paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flows.door import as_floats
from flows.dynamics import Dynamics, State
from flows.errors import BadInput, NonFiniteState
from flows.scheme import Scheme
from flows.types import Scalar
from sde.brownian import require_brownian
from sde.chunks import Batches, Kept
from sde.ensemble import Ensemble
from sde.grid import gaps_between, multiples, saved_steps, whole_steps
from sde.levels import Plan, run_levels
from sde.noise import Noise, as_key, as_noise
from sde.simulate import as_statistics, asked, end_of, require_pair
from sde.starts import Starts, require_step
from sde.statistics import Estimate, Moments


class Gaps(NamedTuple):
    """Differences of neighbouring step sizes on the same paths, streamed over time.

    Attributes:
        h: the coarser step size of each pair, decreasing, shape [levels - 1].
        sup: for each path the largest |Y^h_t - Y^{h'}_t| over the times that both grids
            have (Euclidean over the whole state), inf where a level failed, shape
            [paths, levels - 1]; None with `Statistics`.
        sup_squared: moments of its square over the paths of which both levels stayed
            finite, a pair in place of a time.
        final_squared: those of |Y^h_{t1} - Y^{h'}_{t1}|².
        paths: number of paths.
    """

    h: np.ndarray
    sup: Any
    sup_squared: Moments
    final_squared: Moments
    paths: int

    def root_mean_square(
        self, which: str = "sup", *, nonfinite: str = "raise"
    ) -> Estimate:
        """Strong differences √E|·|², one a pair, with standard errors.

        Args:
            which: "sup" (over time) or "final".
            nonfinite: "raise", or "drop" the paths that failed at either level, which
                conditions on survival; `paths` of the result counts the others.

        Raises:
            BadInput: another word.
            NonFiniteState: failed paths and nonfinite="raise".
        """
        if which not in ("sup", "final"):
            raise BadInput(f'which is "sup" or "final"; got {which!r}.')
        if nonfinite not in ("raise", "drop"):
            raise BadInput(f'nonfinite is "raise" or "drop"; got {nonfinite!r}.')
        moments = self.sup_squared if which == "sup" else self.final_squared
        failed = self.paths - np.asarray(moments.count)
        if np.any(failed) and nonfinite == "raise":
            raise NonFiniteState(
                f"up to {failed.max()} of {self.paths} paths are not finite at one of "
                'two neighbouring step sizes. nonfinite="drop" leaves them out.',
                model="coupled paths",
                time=float("nan"),
            )
        square = moments.estimate()
        root = np.sqrt(square.value)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = square.standard_error / (2 * root)
        return Estimate(root, error, square.paths)


class Coupled(tuple[Ensemble, ...]):
    """Ensembles on the same Brownian paths, one a step size, coarsest first.

    Attributes:
        gaps: differences of neighbouring step sizes (`Gaps`).
    """

    gaps: Gaps

    def __new__(cls, levels: Sequence[Ensemble], gaps: Gaps) -> Coupled:
        """The levels, coarsest first."""
        self = super().__new__(cls, levels)
        self.gaps = gaps
        return self

    @property
    def h(self) -> np.ndarray:
        """Step sizes (time), decreasing, shape [levels]."""
        return np.array([level.h for level in self])

    def __repr__(self) -> str:
        sizes = ", ".join(f"{level.h:.4g}" for level in self)
        return f"Coupled(h = {sizes}; {self[-1]!r})"


def simulate_coupled(
    process: Dynamics,
    y0: State,
    *,
    t1: Scalar,
    scheme: Scheme,
    h: Any,
    key: Any,
    paths: int,
    t0: Scalar = 0.0,
    save: Any = "final",
    chunk: int | None = None,
    noise: Noise | str | None = None,
    devices: Any = None,
    progress: bool = False,
) -> Coupled:
    r"""Simulate the same Brownian paths with several step sizes at once.

    Level h = m δ, with δ the finest step, draws m^{-1/2} Σ_{j<m} ξ_j of the standard
    normals ξ_j that the finest level draws: √h ξ is then the increment of one Brownian
    path. The normals are drawn once for all levels, and path p at any level is that of
    `simulate(..., h=h, grid=δ)` with the same key (to rounding).

    This couples schemes whose draws are Brownian increments: one normal for each
    Brownian motion of the process (Euler, Milstein, the tamed schemes). It is refused
    elsewhere. An exact Ornstein-Uhlenbeck part (a letter O of a splitting) draws the
    normal of ∫₀ʰ e^{-γ(h-s)} dB, whose coarse value is a weighted sum of the fine ones,
    with weights that the scheme does not tell, and a word with O twice draws for parts
    of a step. Uniform variables, words and indices of minibatches do not add up at all.

    Args:
        process: the diffusion.
        y0: start: one state for all paths, or one with a leading axis [paths].
        t1: final time; t1 - t0 is a whole number of each of the steps.
        scheme: the one-step map.
        h: step sizes (time), two or more, decreasing; whole multiples of the last.
        key: a whole number or a jax key.
        paths: number of paths.
        t0: time of the start.
        save: "final", "all" (the start and every time that all grids have), a sequence
            of times that all grids have, or `Statistics`.
        chunk: paths stepped together; about ten thousand a device where None.
        noise: where the noise comes from (see `simulate`).
        devices: over which each chunk's paths are split (see `simulate`).
        progress: show a bar over chunks; an interrupt keeps the finished ones at every
            level.

    Returns:
        A tuple of `Ensemble`, one a step size in the order of h, with `.gaps`: the
        differences of neighbouring levels, their largest over time among them, so that
        strong orders need no stored trajectories.

    Raises:
        BadInput: any argument that cannot be used; draws that are not increments.
        PrecisionError: float64 noise while jax computes in float32.
    """
    require_pair(process, scheme)
    key = as_key(key)
    sizes = _sizes(h)
    steps = [whole_steps(t0, t1, size) for size in sizes]
    ratios = multiples(sizes)
    t0, fine = float(t0), sizes[-1]
    batches = Batches(paths, chunk, devices)
    starts = Starts.read(y0, paths)
    starts.require(process)
    one = starts.one()
    require_brownian(scheme, process, require_step(process, scheme, one), one)
    noise = as_noise(noise)
    statistics = as_statistics(save, one)
    common = int(np.lcm.reduce(ratios))
    marks = saved_steps(asked(save), t0, fine, steps[-1], every=common)
    _require_common(marks, ratios, sizes, t0)
    counts = gaps_between(marks, starts.size() * batches.chunk)
    upwards = ratios[::-1]  # the loop has the finest level first
    plan = Plan.of(upwards, marks)
    t0_ = jnp.asarray(t0, dtype=float)
    hs, words = jnp.asarray(sizes[::-1], dtype=float), jax.random.key_data(key)

    def run(start: int):
        rows, ids, real = batches.ids(start)
        y = starts.rows(rows, batches.place)
        args = (ids, real, words, t0_, hs)
        return run_levels(
            plan, process, scheme, noise, statistics, y, args, counts, np.array(upwards)
        )

    empty = Kept(batches.paths, len(marks), statistics)
    name = f"{type(scheme).__name__} on {type(process).__name__}"
    kept = _Levels((empty,) * len(sizes), statistics is None)
    done, kept = batches.fold(run, _Levels.add, kept, name, progress)
    levels, times = [], t0 + fine * marks
    for size, count, level in zip(sizes, steps, kept.levels[::-1], strict=True):
        states, found, failures = level.result(done, t0, fine)
        end = end_of(done, batches.paths, count, size)
        levels.append(
            Ensemble(times, states, failures, process, scheme, size, key, end, found)
        )
    return Coupled(levels, kept.gaps(np.array(sizes[:-1]), done))


class _Levels(NamedTuple):
    """What is kept of the chunks, finest level first."""

    levels: tuple[Kept, ...]
    stores: bool
    sups: tuple[np.ndarray, ...] = ()
    squares: tuple[Moments, Moments] | None = None

    def add(self, start: int, count: int, result: Any) -> _Levels:
        """With one chunk more."""
        outs, bads, sup, last = result
        levels = tuple(
            level.add(start, count, out, bad)
            for level, out, bad in zip(self.levels, outs, bads, strict=True)
        )
        never = np.iinfo(bads[0].dtype).max
        good = np.stack([a == never for a in bads])[:, :count]
        good = good[1:] & good[:-1]
        sup, last = sup[:, :count], last[:, :count]
        squares = _moments(sup, good), _moments(last, good)
        if self.squares is not None:
            (a, b), (c, d) = self.squares, squares
            squares = a.merge(c), b.merge(d)
        sups = self.sups
        if self.stores:
            sups = (*sups, np.where(good, np.sqrt(sup), np.inf).T[:, ::-1])
        return _Levels(levels, self.stores, sups, squares)

    def gaps(self, h: np.ndarray, done: int) -> Gaps:
        """The differences, coarsest pair first."""
        assert self.squares is not None  # at least one chunk is finished
        sup_squared, final_squared = (
            Moments(m.count[::-1], m.mean[::-1], m.squares[::-1]) for m in self.squares
        )
        sup = np.concatenate(self.sups) if self.stores else None
        return Gaps(h, sup, sup_squared, final_squared, done)


def _moments(values: Any, good: Any) -> Moments:
    count = good.sum(axis=1)
    mean = np.sum(values, axis=1, where=good) / np.maximum(count, 1)
    squares = np.sum((values - mean[:, None]) ** 2, axis=1, where=good)
    return Moments(count, mean, squares)


def _sizes(h: Any) -> tuple[float, ...]:
    sizes = as_floats("h", h)
    if sizes.ndim != 1 or sizes.size < 2:
        raise BadInput(
            f"h is a sequence of two step sizes or more, decreasing; got {h!r:.60}."
        )
    return tuple(float(size) for size in sizes)


def _require_common(marks, ratios, sizes, t0) -> None:
    for ratio, size in zip(ratios, sizes, strict=True):
        if off := [m for m in marks if m % ratio]:
            raise BadInput(
                f"saved times lie on the grid of every step size; {off[0]} steps of "
                f"the finest after t0 = {t0} is no time of the grid of h = {size:.6g}."
            )
