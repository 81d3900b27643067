"""Paths of an index process, drawn ahead of the flow that they switch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flows.door import require_instance, require_number, require_whole
from flows.errors import BadInput, SolveFailed
from sde._checks import is_concrete, require_label
from sde.index import Index
from sde.noise import key_words, subkeys, threefry, uniform_of
from sde.noise_variables import Words


class IndexPath(NamedTuple):
    """A path of the label on [t0, t1].

    Attributes:
        times: ring times, increasing, shape [K]; those after `rings` lie beyond t1.
        labels: the label before the first ring and after each, shape [K + 1].
        rings: number of rings in [t0, t1].
        overflow: whether K rings did not reach t1, so that the path is cut short.
    """

    times: Float[Array, " K"]
    labels: Int[Array, " K1"]
    rings: Int[Array, ""]
    overflow: Any

    def __repr__(self) -> str:
        shape = jnp.shape(self.times)
        many = f"{shape[0]} paths, " if len(shape) == 2 else ""
        return f"IndexPath({many}{shape[-1]} rings drawn)"

    def at(self, t: Any) -> Any:
        """The labels at times t (right continuous), of t's shape."""
        return self.labels[jnp.searchsorted(self.times, t, side="right")]


def enough_events(index: Index, t0: float, t1: float) -> int:
    """⌈Λ + 8√Λ + 10⌉, Λ the expected number of rings: exceeded with chance < 1e-13."""
    expected = float(index.expected_rings(t0, t1))
    return math.ceil(expected + 8 * math.sqrt(expected) + 10)


def first_label(index: Index, start: Any) -> Int[Array, ""]:
    """A label of the stationary law, from a key that serves nothing else."""
    return index.stationary_label(jnp.zeros((), int), uniform_of(start))


def next_ring(
    index: Index, chain: Words, k: Any, t: Any, label: Any
) -> tuple[Float[Array, ""], Any]:
    """The wait for ring k after (t, label), and the label after it.

    One call of the generator, a word of 32 bits each: waits lie within 1.2e-10 and 22.9
    mean waits, and their law is off by 2^-33 in distribution.
    """
    return ring_after(index, ring_words(chain, k), t, label)


def ring_words(chain: Words, k: Any) -> Words:
    """The two words from which ring k is made, of the shape of the chain's."""
    counter = jnp.broadcast_arrays(
        jnp.asarray(k).astype(jnp.uint32), jnp.zeros_like(chain[0])
    )
    return threefry(chain, (counter[0], counter[1]))


def ring_after(
    index: Index, words: Words, t: Any, label: Any
) -> tuple[Float[Array, ""], Any]:
    """The wait for the ring of these words after (t, label), and the next label."""
    wait, choice = map(_uniform, words)
    delay = index.delay(t, label, -jnp.log(wait))
    return delay, index.next_label(label, choice)


def _uniform(word: Any) -> Float[Array, ""]:
    """U(0, 1) at the midpoints of 2^32 cells."""
    return (word.astype(float) + 0.5) * 2.0**-32


def draw_index_path(
    index: Index,
    key: Any,
    *,
    t1: Any,
    t0: Any = 0.0,
    events: int | None = None,
    label0: Any = None,
) -> IndexPath:
    """A path of the label: waits by inversion of the clock's integrated rate.

    May be mapped over keys (`jax.vmap`); `events` is then given.

    Args:
        index: the process of the label.
        key: a jax key; ring k uses its part k alone.
        t1: end (time).
        t0: start.
        events: the number K of rings that is drawn; enough for [t0, t1] where None.
        label0: the label at t0; drawn from the stationary law where None.

    Raises:
        BadInput: no index, a horizon that is not positive, events below 1, a label0
            out of {0, ..., N-1}.
        SolveFailed: K rings do not reach t1. Under a transformation of jax no value is
            looked at, and the path's `overflow` says it.
    """
    require_instance(index, Index, "index is an Index, as UniformIndex(2)")
    require_label("label0", label0, index.labels, drawn=True)
    require_horizon(t0, t1)
    if events is None:
        if not is_concrete(t0, t1, index):
            raise BadInput("give `events` where times or rates are traced.")
        events = enough_events(index, float(t0), float(t1))
    require_whole("events", events, 1)
    start, chain = subkeys(key, 0, 2)
    chain = key_words(chain)
    if label0 is None:
        label0 = first_label(index, start)
    label0 = jnp.asarray(label0, dtype=int)
    t0 = jnp.asarray(t0, dtype=float)

    def ring(at, k):
        t, label = at
        delay, label = next_ring(index, chain, k, t, label)
        # a clock that has run out rings no more
        t = jnp.where(jnp.isinf(t), jnp.inf, t + delay)
        return (t, label), (t, label)

    _, (times, labels) = jax.lax.scan(ring, (t0, label0), jnp.arange(events))
    labels = jnp.concatenate([label0[None], labels])
    # a time that is no number reaches nothing
    path = IndexPath(times, labels, jnp.sum(times <= t1), ~(times[-1] > t1))
    if is_concrete(path.overflow) and path.overflow:
        raise SolveFailed(
            f"{events} rings do not reach t1 = {float(t1):g}: give more `events`, or "
            "none, and enough are drawn."
        )
    return path


def require_horizon(t0: Any, t1: Any) -> None:
    """Refuse times that are no finite numbers, and t1 <= t0 (traced ones pass).

    Raises:
        BadInput: with the time.
    """
    require_number("t0", t0)
    require_number("t1", t1)
    require_number("t1 - t0", t1 - t0, positive=True)
