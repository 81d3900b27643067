"""Ensembles: many independent paths, what they show, and which of them failed."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from flows.dynamics import Dynamics
from flows.errors import BadInput, NonFiniteState
from flows.scheme import Scheme
from sde._checks import require_saved, value_of
from sde.chunks import Failures
from sde.plotting import plot
from sde.statistics import Counts, Estimate, Moments, sample_moments
from sde.wasserstein import Distance, wasserstein


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Independent paths of one process at the saved times.

    Attributes:
        times: saved times, shape [times], in the process's unit of time.
        states: the state pytree with leading axes [times, paths]; None where only
            statistics were asked. Rows of failed paths are kept, and not finite.
        failures: number of paths, and which of them stopped being finite, and when.
        process: what moved.
        scheme: what stepped it.
        h: step size (time).
        key: the jax key; the same key gives the same paths for any chunk.
        end: why the run ended, in words.
        statistics: name -> streamed `Moments` or `Counts` over the finite paths.
    """

    times: Any
    states: Any
    failures: Failures
    process: Dynamics
    scheme: Scheme
    h: float
    key: Any
    end: str
    statistics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> int:
        """Number of paths simulated, failed ones included."""
        return self.failures.paths

    @property
    def nonfinite(self) -> Any:
        """Whether each path stopped being finite, shape [paths]."""
        return np.isfinite(self.nonfinite_times)

    @property
    def nonfinite_times(self) -> Any:
        """When each path first was not finite, shape [paths]; inf for the others."""
        times = np.full(self.paths, np.inf)
        times[self.failures.indices] = self.failures.times
        return times

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
            BadInput: an unknown name, no function of a state with real values, or no
                states and no statistics.
            NonFiniteState: failed paths and nonfinite="raise".
        """
        self.refuse_nonfinite(nonfinite)
        if isinstance(fn, str):
            return self._recorded(fn, Moments, "moments").estimate()
        values = self.values(self.process.position if fn is None else fn)
        moments = Moments(*map(np.asarray, sample_moments(values, self.alive())))
        return moments.estimate()

    def mean(self, fn: Any = None, *, nonfinite: str = "raise") -> Any:
        """The mean over paths, shape [times, ...] (see `estimate`)."""
        return self.estimate(fn, nonfinite=nonfinite).value

    def histogram(self, name: str, *, nonfinite: str = "raise") -> Counts:
        """A streamed histogram.

        Args:
            name: of a `Histogram` among the statistics asked.
            nonfinite: "raise" or "drop" (see `estimate`).

        Raises:
            BadInput: an unknown name, or one that recorded moments.
            NonFiniteState: failed paths and nonfinite="raise".
        """
        self.refuse_nonfinite(nonfinite)
        return self._recorded(name, Counts, "a histogram")

    def wasserstein(
        self,
        reference: Any,
        fn: Any = None,
        *,
        order: int = 1,
        at: Any = -1,
        nonfinite: str = "raise",
    ) -> Distance:
        """The Wasserstein distance of a scalar of the paths to a reference law.

        Exact from stored states; from a streamed histogram with a bound of half its
        bins' width (see `sde.wasserstein`).

        Args:
            reference: a quantile function, an object with `ppf`, or a sample.
            fn: scalar function of one state, or the name of a streamed histogram; the
                position where None, which then has one component.
            order: 1 or 2.
            at: index of the saved time.
            nonfinite: "raise" or "drop" (see `estimate`).

        Raises:
            BadInput: an unknown name, time or order, a function that is not scalar.
            NonFiniteState: failed paths and nonfinite="raise".
        """
        if isinstance(fn, str):
            counts = self.histogram(fn, nonfinite=nonfinite)
            return counts.wasserstein(reference, order=order, at=at)
        self.refuse_nonfinite(nonfinite)
        require_saved(at, len(self.times))
        fn = self.process.position if fn is None else fn
        values = np.asarray(self.values(fn, at))
        if values.size != self.paths:
            raise BadInput(
                "a distance is taken of a scalar function of one state; name one, as "
                f"fn=lambda y: y[0]. This one has shape {values.shape[1:]}."
            )
        return wasserstein(values.ravel()[self.alive()[at]], reference, order=order)

    def plot(
        self,
        ax: Any = None,
        *,
        fn: Any = None,
        kind: str | None = None,
        most: int = 100,
        **style: Any,
    ) -> Any:
        """Draw the paths themselves, their mean with a band, or a histogram.

        Failed paths are drawn while they are finite, and left out of means and
        histograms; the title says how many.

        Args:
            ax: matplotlib axes; those of a new figure where None.
            fn: scalar function of one state; the first coordinate where None.
            kind: "paths" (one line a path), "mean" (with a band of one standard
                deviation) or "histogram" (of the last saved time); None is a histogram
                where one time is saved, else the mean.
            most: "paths" draws the first of them, so many at most.
            style: passed to `ax.hist` or `ax.plot`.

        Returns:
            The axes.

        Raises:
            BadInput: another kind, "paths" or "mean" of a single time, a function that
                is not scalar, an ensemble without states.
        """
        return plot(self, ax, fn=fn, kind=kind, most=most, style=style)

    def to_arviz(self, *, burn_in: int = 0, nonfinite: str = "raise") -> Any:
        """The paths for ArviZ: a path is a chain, a saved time a draw.

        Args:
            burn_in: saved times left out at the start.
            nonfinite: "raise" or "drop" (failed chains are left out whole).

        Returns:
            An `InferenceData` (ArviZ before 1.0) or a `DataTree`.

        Raises:
            BadInput: ArviZ is missing, or fewer than four draws are left.
            NonFiniteState: failed paths and nonfinite="raise".
        """
        from sde.diagnostics import to_arviz

        return to_arviz(self, burn_in=burn_in, nonfinite=nonfinite)

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
                f'ask estimate("name") or histogram("name"); recorded: '
                f"{sorted(self.statistics)}."
            )
        return self.states

    def _recorded(self, name: str, kind: type, what: str) -> Any:
        if name not in self.statistics:
            known = ", ".join(sorted(self.statistics)) or "none"
            raise BadInput(f"no statistic named {name!r}; recorded: {known}.")
        found = self.statistics[name]
        if not isinstance(found, kind):
            other = "histogram" if isinstance(found, Counts) else "estimate"
            raise BadInput(f"{name!r} did not record {what}: ask {other}({name!r}).")
        return found

    def values(self, fn: Any, at: int | None = None) -> Any:
        """A function of each stored state, shape [times, paths, ...] (or at one).

        Raises:
            BadInput: what is no function of one state, or returns no real array; an
                ensemble without states.
        """
        states = self._stored()
        one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[2:], a.dtype), states)
        value_of("fn", fn, one)
        if at is None:
            return jax.vmap(jax.vmap(fn))(states)
        return jax.vmap(fn)(jax.tree.map(lambda a: a[at], states))

    def alive(self) -> Any:
        """Which paths are finite at each saved time, shape [times, paths]."""
        times = np.asarray(self.times)[:, None]
        return times < np.asarray(self.nonfinite_times)[None] - self.h / 2

    def refuse_nonfinite(self, nonfinite: str) -> None:
        """Raise where paths failed, unless nonfinite="drop".

        Raises:
            BadInput: another word than "raise" and "drop".
            NonFiniteState: how many failed, and when the first.
        """
        if nonfinite not in ("raise", "drop"):
            raise BadInput(f'nonfinite is "raise" or "drop"; got {nonfinite!r}.')
        failed = len(self.failures.indices)
        if not failed or nonfinite == "drop":
            return
        name, first = type(self.process).__name__, float(np.min(self.failures.times))
        raise NonFiniteState(
            f"{failed} of {self.paths} paths of {name} are not finite, the first from "
            f't = {first:.6g} on. nonfinite="drop" averages over the others (a '
            "conditioned law); a smaller h, or a tamed scheme, may keep them finite.",
            model=name,
            time=first,
        )

    def __repr__(self) -> str:
        failed = len(self.failures.indices)
        note = f"; {failed} paths not finite" if failed else ""
        t = np.asarray(self.times)
        return (
            f"Ensemble({type(self.process).__name__}: {self.paths} paths, {t.size} "
            f"times in [{t[0]:.6g}, {t[-1]:.6g}]; {self.end}{note})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"
