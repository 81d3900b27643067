"""Strong errors and orders: schemes and a reference on the same Brownian paths."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from discretize.order_fit import fit_order, strong_slope
from discretize.schemes import Milstein
from discretize.taming import RootTaming
from flows import BadInput, Draw, NonFiniteState, Scheme, require_float64
from flows.door import (
    as_floats,
    require_instance,
    require_number,
    require_state,
    require_whole,
)
from flows.types import Scalar
from sde import Diffusion, Noise
from sde.noise import as_key
from sde.starts import Starts, require_step

_CHUNK = 250  # paths held at a time: one shape for most ensembles
_NUMBERS = 4_000_000  # floats of Brownian paths held at a time
_Z95 = 1.96


@dataclass(frozen=True, eq=False, repr=False)
class StrongOrder:
    """Strong errors of one scheme on a ladder of steps, and their slope.

    Attributes:
        h: steps (time), decreasing by one ratio, shape [levels].
        errors: |X_h - X| of every path at every level, at t1 ("end") or the largest at
            the times of the coarsest level ("sup"); X is the reference on the same
            Brownian path. Shape [paths, levels], in the unit of the state.
        norm: "end" or "sup".
        floor: root mean square of what halving the reference's step changes: the
            errors are known to about that.
    """

    h: Float[np.ndarray, " levels"]
    errors: Float[np.ndarray, "paths levels"]
    norm: str
    floor: float

    @property
    def rms(self) -> Float[np.ndarray, " levels"]:
        """Root mean square over the paths, one a level."""
        return np.sqrt(np.mean(self.errors**2, axis=0))

    @property
    def _seen(self) -> bool:
        """Whether every level has an error."""
        return bool(np.all(self.rms > 0))

    @property
    def slope(self) -> float:
        """Least-squares slope of log RMS over log h, without the coarsest level.

        NaN where a level has no error at all, and no logarithm.
        """
        return strong_slope(self.h, self.errors)[0] if self._seen else np.nan

    @property
    def standard_error(self) -> float:
        """Of the slope, over paths (levels share them, which is inside)."""
        return strong_slope(self.h, self.errors)[2] if self._seen else np.nan

    @property
    def bias(self) -> float:
        """What preasymptotic levels and the reference may do to the slope."""
        if not self._seen:
            return np.inf
        return strong_slope(self.h, self.errors, floor=self.floor)[1]

    @property
    def interval(self) -> tuple[float, float]:
        """Slope ± (1.96 standard errors + bias); the line where there is no slope."""
        if not self._seen:
            return -np.inf, np.inf
        half = _Z95 * self.standard_error + self.bias
        return self.slope - half, self.slope + half

    def __repr__(self) -> str:
        low, high = self.interval
        paths, levels = self.errors.shape
        slope = f"{self.slope:.3f} in [{low:.3f}, {high:.3f}]"
        if not self._seen:
            slope = f"no slope, errors of 0 at h = {self.h[self.rms == 0]}"
        return (
            f"StrongOrder({slope}: {levels} levels "
            f"h = {self.h[0]:g} .. {self.h[-1]:g}, {paths} paths, {self.norm})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Draw the root mean square error over h, both axes logarithmic.

        Args:
            ax: matplotlib axes; those of a new figure where None.
            style: passed to `ax.loglog`.

        Returns:
            The axes.
        """
        from flows.drawing import axes

        ax = axes(ax)
        style = {"marker": "o", "label": f"slope {self.slope:.2f}"} | style
        ax.loglog(self.h, self.rms, **style)
        ax.set_xscale("log", base=2)
        ax.minorticks_off()
        ax.set(xlabel="step $h$", ylabel="root mean square error")
        return ax


def strong_order(
    process: Diffusion,
    schemes: Scheme | Mapping[str, Scheme],
    y0: Any,
    *,
    t1: Scalar,
    hs: ArrayLike,
    key: Any,
    paths: int,
    t0: Scalar = 0.0,
    norm: str = "end",
    reference: Scheme | None = None,
    refine: int = 16,
) -> Any:
    """Strong orders of schemes, all on the same Brownian paths, with intervals.

    The fine path of B is drawn once and every level sums its increments: the paths are
    those of `simulate(..., h=h, grid=min(hs)/refine)` with the same key. Cost: paths ×
    (t1 - t0)/min(hs) × refine steps of the reference, and the noise for them.

    Args:
        process: the diffusion.
        schemes: a scheme whose noise is one Brownian increment a step, or a mapping
            name -> scheme.
        y0: start, a vector or the process's state NamedTuple of vectors.
        t1: final time (the process's unit).
        hs: steps, decreasing by one whole ratio, each dividing t1 - t0; four or more.
        key: a whole number or a jax key.
        paths: number of paths, two or more.
        t0: time of the start.
        norm: "end" or "sup" (see `StrongOrder`).
        reference: what is taken for exact, at step min(hs)/refine. Default: Milstein's
            scheme with a taming that changes the drift by O(h²), of order 1, for
            commutative noise.
        refine: even, 4 or more.

    Returns:
        A `StrongOrder`, or a dictionary name -> `StrongOrder`.

    Raises:
        BadInput: steps that are no ladder, no scheme or one with other noise, a start
            that the process does not take, noise that does not commute and no
            reference.
        NonFiniteState: a path of a scheme is not finite; a strong error is a mean over
            all paths.
        PrecisionError: float64 is off.
    """
    require_float64("a strong order")
    require_instance(process, Diffusion, "strong_order takes a diffusion")
    named = schemes if isinstance(schemes, Mapping) else {"scheme": schemes}
    if not named:
        raise BadInput("schemes names one scheme or more; the mapping is empty.")
    reference = Milstein(RootTaming()) if reference is None else reference
    y0 = _start(process, y0)
    for scheme in (*named.values(), reference):
        _require_increments(scheme, process, y0)
    require_number("t0", t0)
    require_number("t1", t1)
    require_whole("paths", paths, 2, 2**32 - 1)
    require_whole("refine", refine, 4)
    if refine % 2 or norm not in ("end", "sup"):
        raise BadInput(
            f'refine is even and norm is "end" or "sup"; got {refine}, {norm!r}.'
        )
    hs, strides, total = _ladder(hs, float(t1) - float(t0), refine)
    marks = int(total // strides[0]) if norm == "sup" else 1
    grid = (float(t0), float(hs[-1] / refine), marks)
    words = jax.random.key_data(as_key(key))
    chunk = min(paths, _CHUNK, max(1, _NUMBERS // (total * process.brownian(y0))))
    parts: dict[str, list[Any]] = {name: [] for name in named}
    moved = []
    for start in range(0, paths, chunk):
        # the last chunk is filled up, then cut
        ids = jnp.asarray(start + np.arange(chunk), dtype=jnp.uint32)
        brownian = _brownian(Noise(), words, ids, process.brownian(y0), total, grid[1])
        exact = _states(reference, process, y0, brownian, grid, 1)
        moved.append(_gap(_states(reference, process, y0, brownian, grid, 2), exact))
        for name, scheme in named.items():
            levels = [
                _gap(_states(scheme, process, y0, brownian, grid, stride), exact)
                for stride in strides
            ]
            parts[name].append(np.stack(levels, axis=-1))
    floor = float(np.sqrt(np.mean(np.concatenate(moved)[:paths] ** 2)))
    found = {
        name: _order(name, process, t1, hs, np.concatenate(p)[:paths], norm, floor)
        for name, p in parts.items()
    }
    return found if isinstance(schemes, Mapping) else found["scheme"]


def _order(name, process, t1, hs, errors, norm, floor) -> StrongOrder:
    lost = int(np.sum(~np.all(np.isfinite(errors), axis=1)))
    if lost or not np.isfinite(floor):
        what = "the reference" if not np.isfinite(floor) else name
        raise NonFiniteState(
            f"{lost} of {len(errors)} paths of {type(process).__name__} are not finite "
            f"at t = {float(t1):g} under {what}: smaller steps, or a tamed scheme.",
            model=type(process).__name__,
            time=float(t1),
        )
    return StrongOrder(hs, errors, norm, floor)


def _start(process, y0) -> Any:
    """The start in float64, for which a diffusion's increments have a number."""
    start = Starts.read(y0, 1)
    if not start.single:
        raise BadInput(f"y0 is one state for all paths; got {y0!r:.80}.")
    y0 = start.one()
    require_state(process, y0)
    return y0


def _require_increments(scheme, process, y0) -> None:
    require_instance(scheme, Scheme, "a scheme is one such as TamedEuler()")
    draws = require_step(process, scheme, y0)
    if draws != Draw("normal", (process.brownian(y0),)):
        raise BadInput(
            f"{type(scheme).__name__} draws other noise than one Brownian increment a "
            "step: its steps of several sizes cannot share a Brownian path."
        )


def _ladder(hs, span, refine):
    """The steps, how many fine steps each takes, and how many there are in all."""
    hs = as_floats("hs", hs)
    if hs.ndim != 1 or hs.size < 4:
        raise BadInput(f"hs is a decreasing ladder of four steps or more; got {hs}.")
    fit_order(hs, hs)  # refuses steps that are no ladder
    strides = np.rint(hs / hs[-1]).astype(int) * refine
    total = round(float(span / hs[-1])) * refine
    exact = np.allclose(strides * (hs[-1] / refine), hs, rtol=1e-9)
    if not exact or total < 1 or abs(total * hs[-1] / refine - span) > 1e-9 * span:
        raise BadInput(f"the ladder {hs} does not divide the time {span:g}.")
    if np.any(total % strides):
        raise BadInput(f"the ladder {hs} does not divide the time {span:g}.")
    return hs, strides, total


@eqx.filter_jit
def _brownian(noise, words, ids, m: int, steps: int, h):
    """B at the fine times, shape [steps + 1, m, paths]; the first is 0."""

    def add(b, k):
        xi = noise.block(words, ids, k, Draw("normal", (m,)), axis=-1)
        b = b + jnp.sqrt(h) * xi
        return b, b

    start = jnp.zeros((m, ids.shape[0]))
    _, path = jax.lax.scan(add, start, jnp.arange(steps, dtype=jnp.uint32))
    return jnp.concatenate([start[None], path])


def _states(scheme, process, y0, brownian, grid, stride):
    t0, h, marks = grid
    steps = (brownian.shape[0] - 1) // (stride * marks)
    numbers = (jnp.asarray(t0), jnp.asarray(h * stride), stride, steps)
    return _walk(scheme, process, y0, brownian, marks, *map(jnp.asarray, numbers))


@eqx.filter_jit
def _walk(scheme, process, y0, brownian, marks: int, t0, h, stride, steps):
    """States after every `steps` steps of size h, shape [marks, ..., paths].

    Step size, stride and number of steps are data: one compilation a scheme.
    """
    paths = brownian.shape[-1]
    y = jax.tree.map(lambda a: jnp.broadcast_to(a[..., None], (*a.shape, paths)), y0)
    carry = jax.vmap(lambda y: scheme.init(process, t0, y), -1, -1)(y)

    def at(k):
        return jax.lax.dynamic_index_in_dim(brownian, k * stride, keepdims=False)

    def step(k, loop):
        xi = (at(k + 1) - at(k)) / jnp.sqrt(h)

        def single(y, xi, carry):
            out = scheme.step(process, t0 + k.astype(h.dtype) * h, y, h, xi, carry)
            return out.y, out.carry

        y, carry = loop
        return jax.vmap(single, -1, -1)(y, xi, carry)

    def until(loop, mark):
        loop = jax.lax.fori_loop(mark * steps, (mark + 1) * steps, step, loop)
        return loop, loop[0]

    return jax.lax.scan(until, (y, carry), jnp.arange(marks, dtype=steps.dtype))[1]


def _gap(found, exact) -> np.ndarray:
    """The largest Euclidean distance over the marks, one a path."""
    square = sum(
        jnp.sum((a - b) ** 2, axis=tuple(range(1, a.ndim - 1)))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True)
    )
    return np.sqrt(np.max(np.asarray(square), axis=0))
