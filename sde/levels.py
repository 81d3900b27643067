"""The compiled loop of coupled step sizes: one noise, several levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    levels = range(len(plan.feeds) + 1)
    once = (hs[0] > 0).astype(counts.dtype)

    def moved(level, k, state, xi):
        """The step of `level` that ends after the finest step k."""
        y, carry, bad = state
        h = hs[level]
        t = t0 + ((k + 1) // ratios[level] - 1).astype(h.dtype) * h

        def single(y, xi, carry):
            out = scheme.step(process, t, y, h, xi, carry)
            return out.y, out.carry

        y, carry = jax.vmap(single, -1, -1)(y, xi, carry)
        bad = jnp.where(all_finite(y), bad, jnp.minimum(bad, k + 1))
        return y, carry, bad

    def advance(k, loop, xi, odd):
        states, sums, sup = loop
        states, sums, sup = list(states), list(sums), list(sup)
        states[0] = moved(0, k, states[0], xi)
        _feed(plan, sums, 0, xi)
        for level in levels[1:]:
            if odd and not plan.odd[level - 1]:
                continue
            _coarse(level, k, states, sums, sup)
        return tuple(states), tuple(sums), tuple(sup)

    def _coarse(level, k, states, sums, sup):
        ratio = ratios[level]
        fed = [c for c in levels[1:] if plan.feeds[c - 1] == level]
        both = (k + 1) % ratios[level - 1] == 0

        def due(state, total, children, sup):
            xi = jax.tree.map(lambda a: a / jnp.sqrt(ratio.astype(a.dtype)), total)
            state = moved(level, k, state, xi)
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

    def step(k, loop):
        xi = noise.block(words, ids, k, draws, axis=-1)
        return advance(k, loop, jax.lax.optimization_barrier(xi), False)

    def two_steps(j, loop):
        made = apart(lambda j: noise.packed(words, ids, j, draws, -1), j, once)
        a, b = halves(draws, made)
        return advance(2 * j + 1, advance(2 * j, loop, a, True), b, False)

    def until(outer, count):
        k, loop = outer
        last = k + count
        if plan.pairs:
            loop = jax.lax.fori_loop(k // 2, last // 2, two_steps, loop)
        else:
            loop = jax.lax.fori_loop(k, last, step, loop)
        kept = [shown(statistics, y, real & (bad > last)) for y, _, bad in loop[0]]
        return (last, loop), kept

    carry = jax.vmap(lambda y: scheme.init(process, t0, y), -1, -1)(y)
    never = jnp.full(ids.shape, jnp.iinfo(counts.dtype).max, counts.dtype)
    nothing = jax.tree.map(lambda d: jnp.zeros((*d.shape, ids.size), t0.dtype), draws)
    zero = jnp.zeros(ids.shape, t0.dtype)
    loop = (
        ((y, carry, never),) * len(levels),
        (nothing,) * (len(levels) - 1),
        (zero,) * (len(levels) - 1),
    )
    first = jnp.zeros((), counts.dtype)
    (_, (states, _, sup)), out = jax.lax.scan(until, (first, loop), counts)
    last = [distance(a[0], b[0]) for a, b in zip(states[1:], states, strict=False)]
    return out, [bad for _, _, bad in states], jnp.stack(sup), jnp.stack(last)


def _feed(plan, sums, level, total):
    """Adds the increment of a level to those that sum it."""
    for c, feed in enumerate(plan.feeds):
        if feed == level:
            sums[c] = jax.tree.map(jnp.add, sums[c], total)
