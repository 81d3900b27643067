"""The compiled loop of coupled step sizes: one noise, several levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from sde.chunk import apart, shown
from sde.noise import halves
from sde.statistics import all_finite


@dataclass(frozen=True)
class Plan:
    """What of the step sizes the loop is compiled for; levels run finest first.

    Attributes:
        feeds: for each level above the finest, the level whose increments it sums: the
            coarsest whose steps divide its own.
        odd: for each level above the finest, whether its steps may end after an odd
            number of finest ones.
        pairs: whether all saved steps are even, so that the loop takes two at a time
            and both values of a pair of normals are used.
    """

    feeds: tuple[int, ...]
    odd: tuple[bool, ...]
    pairs: bool

    @classmethod
    def of(cls, ratios: tuple[int, ...], marks: Any) -> Plan:
        """The plan for steps of `ratios` finest ones (1 first) and saved steps."""
        feeds = []
        for level, ratio in enumerate(ratios[1:], 1):
            feeds.append(max(j for j in range(level) if ratio % ratios[j] == 0))
        odd = tuple(ratio % 2 == 1 for ratio in ratios[1:])
        return cls(tuple(feeds), odd, not np.any(np.asarray(marks) % 2))


def distance(a: Any, b: Any) -> Any:
    """Squared Euclidean distance of two states with trailing path axis, shape [p]."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    squares = [(x - y) ** 2 for x, y in pairs if eqx.is_inexact_array(x)]
    return sum(jnp.sum(s, axis=tuple(range(s.ndim - 1))) for s in squares)


class _Chunk(NamedTuple):
    """What every step of a chunk needs; arrays as in `run_levels`."""

    plan: Plan
    process: Any
    scheme: Any
    t0: Any
    hs: Any
    ratios: Any

    def start(self, y, draws, paths, count_type):
        """The loop's state: a state a level, increments summed, largest distances."""
        levels = len(self.plan.feeds) + 1
        carry = jax.vmap(lambda y: self.scheme.init(self.process, self.t0, y), -1, -1)(
            y
        )
        never = jnp.full((paths,), jnp.iinfo(count_type).max, count_type)
        dtype = self.t0.dtype
        nothing = jax.tree.map(lambda d: jnp.zeros((*d.shape, paths), dtype), draws)
        zero = jnp.zeros((paths,), dtype)
        state = (y, carry, never)
        return (state,) * levels, (nothing,) * (levels - 1), (zero,) * (levels - 1)

    def moved(self, level, k, state, xi):
        """The step of `level` that ends after the finest step k."""
        y, carry, bad = state
        h = self.hs[level]
        t = self.t0 + ((k + 1) // self.ratios[level] - 1).astype(h.dtype) * h

        def single(y, xi, carry):
            out = self.scheme.step(self.process, t, y, h, xi, carry)
            return out.y, out.carry

        y, carry = jax.vmap(single, -1, -1)(y, xi, carry)
        bad = jnp.where(all_finite(y), bad, jnp.minimum(bad, k + 1))
        return y, carry, bad

    def advance(self, k, loop, xi, odd):
        """The finest step k, and the coarser ones that end with it."""
        states, sums, sup = map(list, loop)
        states[0] = self.moved(0, k, states[0], xi)
        _feed(self.plan, sums, 0, xi)
        for level in range(1, len(states)):
            if odd and not self.plan.odd[level - 1]:
                continue
            self.coarse(level, k, states, sums, sup)
        return tuple(states), tuple(sums), tuple(sup)

    def coarse(self, level, k, states, sums, sup):
        """The step of a coarser level, where it is due, in place."""
        ratio, feeds = self.ratios[level], self.plan.feeds
        fed = [c for c in range(1, len(states)) if feeds[c - 1] == level]
        both = (k + 1) % self.ratios[level - 1] == 0

        def due(state, total, children, sup):
            xi = jax.tree.map(lambda a: a / jnp.sqrt(ratio.astype(a.dtype)), total)
            state = self.moved(level, k, state, xi)
            children = [jax.tree.map(jnp.add, c, total) for c in children]
            gap = distance(state[0], states[level - 1][0])
            sup = jnp.where(both, jnp.maximum(sup, gap), sup)
            return state, jax.tree.map(jnp.zeros_like, total), children, sup

        operands = (
            states[level],
            sums[level - 1],
            [sums[c - 1] for c in fed],
            sup[level - 1],
        )
        out = jax.lax.cond((k + 1) % ratio == 0, due, lambda *same: same, *operands)
        states[level], sums[level - 1], children, sup[level - 1] = out
        for c, new in zip(fed, children, strict=True):
            sums[c - 1] = new


@eqx.filter_jit
def run_levels(plan, process, scheme, noise, statistics, y, args, counts, ratios):
    """Step one chunk at every level.

    Args:
        plan: see `Plan`.
        process: what is stepped.
        scheme: what steps it.
        noise: draws the finest increments.
        statistics: as in `run_chunk`.
        y: starts, paths on the last axis.
        args: path numbers, which are real, key words, t0, step sizes [levels].
        counts: finest steps up to each saved time from the one before.
        ratios: steps as multiples of the finest, shape [levels], 1 first.

    Returns:
        For each level what the saved times show; for each level the finest step after
        which a path was not finite; squared distances of neighbouring levels, shape
        [levels - 1, paths]: the largest over common times, and the last.
    """
    ids, real, words, t0, hs = args
    one = jax.tree.map(lambda a: a[..., 0], y)
    draws = scheme.noise_like(process, one)
    once = (hs[0] > 0).astype(counts.dtype)
    chunk = _Chunk(plan, process, scheme, t0, hs, ratios)

    def step(k, loop):
        xi = noise.block(words, ids, k, draws, axis=-1)
        return chunk.advance(k, loop, jax.lax.optimization_barrier(xi), False)

    def two_steps(j, loop):
        made = apart(lambda j: noise.packed(words, ids, j, draws, -1), j, once)
        a, b = halves(draws, made)
        loop = chunk.advance(2 * j, loop, a, True)
        return chunk.advance(2 * j + 1, loop, b, False)

    def until(outer, count):
        k, loop = outer
        last = k + count
        if plan.pairs:
            loop = jax.lax.fori_loop(k // 2, last // 2, two_steps, loop)
        else:
            loop = jax.lax.fori_loop(k, last, step, loop)
        kept = [shown(statistics, y, real & (bad > last)) for y, _, bad in loop[0]]
        return (last, loop), kept

    loop = chunk.start(y, draws, ids.size, counts.dtype)
    first = jnp.zeros((), counts.dtype)
    (_, (states, _, sup)), out = jax.lax.scan(until, (first, loop), counts)
    last = [distance(a[0], b[0]) for a, b in zip(states[1:], states, strict=False)]
    return out, [bad for _, _, bad in states], jnp.stack(sup), jnp.stack(last)


def _feed(plan, sums, level, total):
    """Adds the increment of a level to those that sum it."""
    for c, feed in enumerate(plan.feeds):
        if feed == level:
            sums[c] = jax.tree.map(jnp.add, sums[c], total)
