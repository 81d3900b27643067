"""Ensembles: many independent paths, what they show, and which of them failed."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.dynamics import Dynamics
from flows.errors import BadInput, NonFiniteState
from flows.scheme import Scheme


class Estimate(NamedTuple):
    """A Monte Carlo mean over paths.

    Attributes:
        value: the mean, one a saved time (leading axis), then the function's shape.
        standard_error: sample standard deviation / √paths, same shape.
        paths: the number of paths averaged, one a saved time.
    """

    value: Any
    standard_error: Any
    paths: Any


class Moments(NamedTuple):
    """Streamed moments of one function over paths, one a saved time.

    Attributes:
        count: number of finite paths, shape [times].
        mean: their mean, shape [times, ...].
        squares: sum of squared deviations from it, shape [times, ...].
    """

    count: Any
    mean: Any
    squares: Any

    def merge(self, other: Moments) -> Moments:
        """The moments of both samples together.

        Reference: Chan, Golub and LeVeque, The American Statistician 37(3), 1983.
        """
        a, b = (_wide(m.count, m.mean) for m in (self, other))
        total = np.maximum(a + b, 1)
        gap = other.mean - self.mean
        return Moments(
            self.count + other.count,
            self.mean + gap * b / total,
            self.squares + other.squares + gap**2 * a * b / total,
        )

    def estimate(self) -> Estimate:
        """Mean and standard error (NaN where fewer than two paths are finite)."""
        n = _wide(self.count, self.mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.sqrt(self.squares / (n - 1) / n)
            value = np.where(n > 0, self.mean, np.nan)
        return Estimate(value, np.where(n > 1, error, np.nan), self.count)


def _wide(count: Any, like: Any) -> Any:
    return np.asarray(count).reshape(-1, *(1,) * (np.ndim(like) - 1))


@dataclass(frozen=True)
class Statistics:
    """Asks `simulate` for streamed moments instead of stored paths.

    Attributes:
        functions: name -> function of one state, with a scalar or array value.
        times: when to take them (grid times); None is the start and every step.
    """

    functions: Mapping[str, Callable[[Any], Any]]
    times: Any = None

    def __post_init__(self):
        if not self.functions or not all(callable(f) for f in self.functions.values()):
            raise BadInput(
                "Statistics takes a mapping name -> function of a state, e.g. "
                'Statistics({"square": lambda y: y[0] ** 2}).'
            )


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Independent paths of one process at the saved times.

    Attributes:
        times: saved times, shape [times], in the process's unit of time.
        states: the state pytree with leading axes [times, paths]; None where only
            statistics were asked. Rows of failed paths are kept, and not finite.
        statistics: name -> streamed `Moments` over the finite paths.
        nonfinite: whether a path stopped being finite, shape [paths].
        nonfinite_times: when it first did, shape [paths]; inf for the others.
        process: what moved.
        scheme: what stepped it.
        h: step size (time).
        key: the jax key; the same key gives the same paths for any chunk.
        end: why the run ended, in words.
    """

    times: Any
    states: Any
    nonfinite: Any
    nonfinite_times: Any
    process: Dynamics
    scheme: Scheme
    h: float
    key: Any
    end: str
    statistics: Mapping[str, Moments] = field(default_factory=dict)

    @property
    def paths(self) -> int:
        """Number of paths simulated, failed ones included."""
        return int(np.size(self.nonfinite))

    @property
    def final(self) -> Any:
        """The states at the last saved time, with a leading axis [paths]."""
        return jax.tree.map(lambda a: a[-1], self._stored())

    def estimate(self, fn: Any = None, *, nonfinite: str = "raise") -> Estimate:
        """The mean over paths of a function of the state, with its standard error.

        Args:
            fn: function of one state (the position where None), or the name of a
                streamed statistic.
            nonfinite: "raise" refuses an ensemble with failed paths; "drop" averages
                over the paths that are finite at the time, which conditions on
                survival; `paths` of the result counts them.

        Raises:
            BadInput: an unknown name, or no states and no statistics.
            NonFiniteState: failed paths and nonfinite="raise".
        """
        self._refuse_nonfinite(nonfinite)
        if isinstance(fn, str):
            if fn not in self.statistics:
                known = ", ".join(sorted(self.statistics)) or "none"
                raise BadInput(f"no statistic named {fn!r}; recorded: {known}.")
            return self.statistics[fn].estimate()
        values = self._values(fn or self.process.position)
        moments = Moments(*map(np.asarray, sample_moments(values, self._alive())))
        return moments.estimate()

    def mean(self, fn: Any = None, *, nonfinite: str = "raise") -> Any:
        """The mean over paths, shape [times, ...] (see `estimate`)."""
        return self.estimate(fn, nonfinite=nonfinite).value

    def plot(self, ax: Any = None, *, fn: Any = None, **style: Any) -> Any:
        """Draw the mean with a band of one standard deviation, or a histogram.

        A single saved time gives a histogram of the finite paths; more of them the
        mean against time. Failed paths are left out, and the title says how many.

        Args:
            ax: matplotlib axes; those of a new figure where None.
            fn: scalar function of one state; the first coordinate where None.
            style: passed to `ax.hist` or `ax.plot`.

        Returns:
            The axes.
        """
        from flows.drawing import axes

        ax = axes(ax)
        first = fn or (lambda y: self.process.position(y)[0])
        values, alive = np.asarray(self._values(first)), self._alive()
        if values.ndim != 2:
            raise BadInput("plot draws a scalar function of one state.")
        name = type(self.process).__name__
        if len(self.times) == 1:
            style = {"bins": 60, "density": True, "label": name} | style
            ax.hist(values[0][alive[0]], **style)
            ax.set(xlabel=f"value at $t$ = {self.times[0]:.4g}", ylabel="density")
        else:
            shown = np.where(alive, values, np.nan)
            mean, spread = np.nanmean(shown, axis=1), np.nanstd(shown, axis=1)
            style = {"label": name} | style
            (line,) = ax.plot(self.times, mean, **style)
            band = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
            ax.fill_between(self.times, mean - spread, mean + spread, **band)
            ax.set(xlabel="time $t$", ylabel="mean ± standard deviation")
        if failed := int(np.sum(self.nonfinite)):
            ax.set_title(f"{failed} of {self.paths} paths not finite, left out")
        return ax

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over (time, path, component) with key, h and end."""
        import xarray

        named = self._stored()
        named = named._asdict() if hasattr(named, "_asdict") else {"state": named}
        variables: dict[str, Any] = {
            "nonfinite_time": ("path", np.asarray(self.nonfinite_times))
        }
        for name, leaf in named.items():
            axes = ("time", "path", *(f"{name}_{i}" for i in range(leaf.ndim - 2)))
            variables[name] = (axes, np.asarray(leaf))
        words = [int(w) for w in np.asarray(jax.random.key_data(self.key))]
        notes = {"process": type(self.process).__name__, "key": words}
        return xarray.Dataset(
            variables,
            coords={"time": np.asarray(self.times), "path": np.arange(self.paths)},
            attrs=notes | {"h": self.h, "end": self.end},
        )

    def _stored(self) -> Any:
        if self.states is None:
            raise BadInput(
                "this ensemble kept statistics alone: "
                f'ask estimate("name") for one of {sorted(self.statistics)}.'
            )
        return self.states

    def _values(self, fn: Callable[[Any], Any]) -> Any:
        return jax.vmap(jax.vmap(fn))(self._stored())

    def _alive(self) -> Any:
        times = np.asarray(self.times)[:, None]
        return times < np.asarray(self.nonfinite_times)[None] - self.h / 2

    def _refuse_nonfinite(self, nonfinite: str) -> None:
        if nonfinite not in ("raise", "drop"):
            raise BadInput(f'nonfinite is "raise" or "drop"; got {nonfinite!r}.')
        failed = int(np.sum(self.nonfinite))
        if not failed or nonfinite == "drop":
            return
        name, first = type(self.process).__name__, float(np.min(self.nonfinite_times))
        raise NonFiniteState(
            f"{failed} of {self.paths} paths of {name} are not finite, the first from "
            f't = {first:.6g} on. nonfinite="drop" averages over the others (a '
            "conditioned law); a smaller h, or a tamed scheme, may keep them finite.",
            model=name,
            time=first,
        )

    def __repr__(self) -> str:
        failed = int(np.sum(self.nonfinite))
        note = f"; {failed} paths not finite" if failed else ""
        t = np.asarray(self.times)
        return (
            f"Ensemble({type(self.process).__name__}: {self.paths} paths, {t.size} "
            f"times in [{t[0]:.6g}, {t[-1]:.6g}]; {self.end}{note})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def sample_moments(values: Any, alive: Any) -> tuple[Any, Any, Any]:
    """Count, mean and squared deviations over the paths (axis 1) that are alive.

    Args:
        values: shape [times, paths, ...].
        alive: which paths count, shape [times, paths].
    """
    trailing = (1,) * (jnp.ndim(values) - 2)
    values = jnp.asarray(values, dtype=float)
    mask = jnp.reshape(jnp.asarray(alive), (*jnp.shape(alive), *trailing))
    mask = mask & jnp.ones_like(values, dtype=bool)
    size = jnp.maximum(jnp.sum(mask.astype(values.dtype), axis=1), 1)
    mean = jnp.sum(jnp.where(mask, values, 0.0), axis=1) / size
    gap = jnp.where(mask, values - mean[:, None], 0.0)
    return jnp.sum(jnp.asarray(alive), axis=1), mean, jnp.sum(gap**2, axis=1)


def all_finite(y: Any) -> Any:
    """Whether each path of a state with trailing path axis is finite, shape [paths]."""
    leaves = [a for a in jax.tree.leaves(y) if eqx.is_inexact_array(a)]
    checks = [jnp.all(jnp.isfinite(a), axis=tuple(range(a.ndim - 1))) for a in leaves]
    return jnp.all(jnp.stack(checks), axis=0)
