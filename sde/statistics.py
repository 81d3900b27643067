"""Statistics of an ensemble that are streamed: moments and histograms, which merge."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import as_floats, require_instance
from flows.errors import BadInput
from sde._checks import require_saved, value_of
from sde.wasserstein import Distance, QuantileLaw, as_law, wasserstein


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

    def merge(self, other: Any) -> Moments:
        """The moments of both samples together.

        Reference: Chan, Golub and LeVeque, The American Statistician 37(3), 1983.

        Raises:
            BadInput: what is no `Moments`.
        """
        require_instance(other, Moments, "moments merge with Moments")
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


class Quantile(NamedTuple):
    """A quantile read off a histogram, and the bin that holds the sample's own.

    Attributes:
        value: linear within the bin.
        lower: lower end of the bin.
        upper: upper end of the bin.
    """

    value: Any
    lower: Any
    upper: Any


class Counts(NamedTuple):
    """A streamed histogram of one function over paths, one a saved time.

    What falls outside the edges is counted, and the extremes are kept, so that
    distances and quantiles have bounds whatever the edges.

    Attributes:
        edges: edges of the bins, increasing, shape [bins + 1].
        inside: paths in each bin, shape [times, bins]; a bin is [left, right), the
            last one closed.
        below: paths under the first edge, shape [times].
        above: paths over the last edge, shape [times].
        undefined: finite paths on which the function is NaN, shape [times].
        lowest: the smallest value, shape [times] (inf where there is none).
        highest: the largest value, shape [times] (-inf where there is none).
    """

    edges: Any
    inside: Any
    below: Any
    above: Any
    undefined: Any
    lowest: Any
    highest: Any

    def merge(self, other: Any) -> Counts:
        """The histogram of both samples together.

        Raises:
            BadInput: what is no `Counts`, or other edges.
        """
        require_instance(other, Counts, "a histogram merges with Counts")
        if not np.array_equal(self.edges, other.edges):
            raise BadInput("histograms merge over the same edges alone.")
        return Counts(
            self.edges,
            self.inside + other.inside,
            self.below + other.below,
            self.above + other.above,
            self.undefined + other.undefined,
            np.minimum(self.lowest, other.lowest),
            np.maximum(self.highest, other.highest),
        )

    def total(self) -> Any:
        """Paths with a value, shape [times]."""
        return np.sum(self.inside, axis=1) + self.below + self.above

    def density(self) -> Any:
        """Counts / (total · width), shape [times, bins]: 1/(unit of the function)."""
        total = np.maximum(self.total(), 1)
        return self.inside / (total[:, None] * np.diff(self.edges)[None])

    def law(self, at: Any = -1) -> QuantileLaw:
        """The histogram at one saved time as a law, uniform in each bin.

        The outer intervals reach to the extremes.

        Args:
            at: index of the saved time.

        Raises:
            BadInput: no such time, or no path with a value.
        """
        require_saved(at, len(self.below))
        mass = np.concatenate(
            [[self.below[at]], self.inside[at], [self.above[at]]]
        ).astype(float)
        if not mass.sum():
            raise BadInput("no path has a value at this time.")
        outer = [self.lowest[at]], self.edges, [self.highest[at]]
        # the extremes also trim the bins that they stand in
        points = np.clip(np.concatenate(outer), self.lowest[at], self.highest[at])
        low, high = points[:-1][mass > 0], points[1:][mass > 0]
        return QuantileLaw(mass[mass > 0] / mass.sum(), low, high)

    def quantile(self, q: Any, at: Any = -1) -> Quantile:
        """Quantiles of the sample, with the bin in which they lie.

        Args:
            q: probabilities in [0, 1], any shape.
            at: index of the saved time.

        Raises:
            BadInput: a probability outside [0, 1], or no such time.
        """
        q = as_floats("q", q)
        if not np.all((q >= 0) & (q <= 1)):
            raise BadInput(f"q holds probabilities in [0, 1]; got {q!r:.60}.")
        law = self.law(at)
        ends = np.cumsum(law.mass)
        bins = np.minimum(np.searchsorted(ends, q * ends[-1]), len(ends) - 1)
        low, high, mass = (a[bins] for a in (law.low, law.high, law.mass))
        share = np.clip((q * ends[-1] - (ends[bins] - mass)) / mass, 0, 1)
        return Quantile(low + share * (high - low), low, high)

    def wasserstein(self, reference: Any, *, order: int = 1, at: Any = -1) -> Distance:
        """Wasserstein distance of the paths to a reference law, with a bound.

        Args:
            reference: a quantile function, an object with `ppf`, a sample, or another
                histogram (see `sde.wasserstein`).
            order: 1 or 2.
            at: index of the saved time.
        """
        if isinstance(reference, Counts):
            reference = reference.law()
        return wasserstein(self.law(at), as_law(reference), order=order)


class Statistic(eqx.Module):
    """What is kept of all paths at a saved time, instead of the paths.

    A subclass needs two maps: `of` runs in the compiled loop, `result` outside it; the
    results of two chunks are joined by their own `merge`.
    """

    @abstractmethod
    def of(self, y: Any, alive: Any) -> Any:
        """Arrays of fixed shape from a state with trailing path axis.

        Args:
            y: the state, paths on the last axis of each leaf.
            alive: which paths count, shape [paths].
        """

    @abstractmethod
    def result(self, kept: Any) -> Any:
        """What `of` returned, stacked over the saved times, with a method `merge`."""

    @abstractmethod
    def require(self, name: str, y: Any) -> None:
        """Refuse a state (one path, abstract) on which the statistic has no sense."""


class MeanOf(Statistic):
    """Count, mean and squared deviations of a function of one state (`Moments`)."""

    fn: Callable[[Any], Any]

    def of(self, y, alive):
        """The three arrays of `Moments`."""
        values = jax.vmap(self.fn, -1, 0)(y)[None]
        return [a[0] for a in sample_moments(values, alive[None])]

    def result(self, kept) -> Moments:
        """The `Moments`."""
        return Moments(*kept)

    def require(self, name, y):
        """One real array for a value."""
        value_of(f"the statistic {name!r}", self.fn, y)


class Histogram(Statistic):
    """Asks for a histogram of a scalar function of the state over fixed edges.

    Use: `Statistics({"x": Histogram(np.linspace(-3, 3, 601))})`. What falls outside is
    counted below and above. The result is `Counts`: densities, quantiles, Wasserstein
    distances, at a resolution that the edges set.

    Attributes:
        edges: edges of the bins, finite, increasing, shape [bins + 1].
        fn: function of one state; None is the position, which then has one component.

    Raises:
        BadInput: edges that do not increase.
    """

    edges: Any = eqx.field(converter=lambda e: as_floats("edges", e))
    fn: Callable[[Any], Any] | None = None

    def __check_init__(self):
        e = self.edges
        if e.ndim != 1 or e.size < 2 or not np.all(np.isfinite(e)):
            raise BadInput(f"edges is a vector of two numbers or more; got {e!r:.80}.")
        if not np.all(np.diff(e) > 0):
            raise BadInput(f"edges increase strictly; got {e!r:.80}.")
        if self.fn is not None and not callable(self.fn):
            raise BadInput(f"fn is a function of one state; got {self.fn!r:.60}.")

    def _scalar(self, y):
        if self.fn is None:
            return jnp.reshape(getattr(y, "position", y), ())
        return self.fn(y)

    def of(self, y, alive):
        """Counts below, in the bins and above; NaNs; the extremes."""
        values = jax.vmap(self._scalar, -1, 0)(y).astype(float)
        edges = jnp.asarray(self.edges, values.dtype)
        bins = edges.shape[0] - 1
        place = jnp.searchsorted(edges, values, side="right")
        place = jnp.where(values == edges[-1], bins, place)
        known = alive & ~jnp.isnan(values)
        counts = jnp.zeros(bins + 2, int).at[place].add(known.astype(int))
        undefined = jnp.sum(alive & ~known)
        lowest = jnp.min(jnp.where(known, values, jnp.inf))
        highest = jnp.max(jnp.where(known, values, -jnp.inf))
        return counts, undefined, lowest, highest

    def result(self, kept) -> Counts:
        """The `Counts`."""
        counts, undefined, lowest, highest = (np.asarray(a) for a in kept)
        inside, below, above = counts[:, 1:-1], counts[:, 0], counts[:, -1]
        edges = np.asarray(self.edges)
        return Counts(edges, inside, below, above, undefined, lowest, highest)

    def require(self, name, y):
        """A scalar."""
        if self.fn is None:
            shape = np.shape(getattr(y, "position", y))
            if np.prod(shape) != 1:
                raise BadInput(
                    f"the histogram {name!r} has no function, and the position has "
                    f"{shape[0]} components: name one, as Histogram(edges, lambda y: "
                    "y[0])."
                )
        elif (value := value_of(f"the statistic {name!r}", self.fn, y)).shape != ():
            raise BadInput(
                f"a histogram takes a scalar function of one state; {name!r} returns "
                f"shape {value.shape}."
            )


@dataclass(frozen=True)
class Statistics:
    """Asks `simulate` for streamed statistics instead of stored paths.

    Attributes:
        functions: name -> function of one state with a scalar or array value (its
            mean and standard error are kept), or `Histogram(edges, function)`.
        times: when to take them (grid times); None is the start and every step.
    """

    functions: Mapping[str, Callable[[Any], Any] | Statistic]
    times: Any = None

    def __post_init__(self):
        good = isinstance(self.functions, Mapping) and all(
            callable(f) or isinstance(f, Statistic) for f in self.functions.values()
        )
        if not good or not self.functions:
            raise BadInput(
                "Statistics takes a mapping name -> function of a state or Histogram, "
                'e.g. Statistics({"square": lambda y: y[0] ** 2}).'
            )

    def named(self) -> tuple[tuple[str, Statistic], ...]:
        """Names and statistics, a bare function as its moments."""
        return tuple(
            (name, f if isinstance(f, Statistic) else MeanOf(f))
            for name, f in self.functions.items()
        )


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
