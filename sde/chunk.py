"""One chunk of an ensemble: the compiled loop over steps, and what it keeps."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from sde.noise import Noise, halves
from sde.statistics import all_finite

# From here on two steps are compiled as one: quicker to run, slower to compile.
_LONG = 1_000_000


def run_chunk(process, scheme, noise, statistics, y, args, counts):
    """Step one chunk; the paths are the last axis of every leaf.

    That axis is long whatever the state, and the compiler vectorises over the last
    one: noise and drift then run at one speed for any number of components.
    """
    marks = np.cumsum(np.asarray(counts))
    layout = "single"
    if isinstance(noise, Noise) and args[0].size * int(marks[-1]) >= _LONG:
        layout = "uneven" if np.any(marks % 2) else "even"
    return _run(layout, process, scheme, noise, statistics, y, args, counts)


@eqx.filter_jit
def _run(layout, process, scheme, noise, statistics, y, args, counts):
    ids, real, words, t0, h = args
    once = (h > 0).astype(counts.dtype)
    one = jax.tree.map(lambda a: a[..., 0], y)
    draws = scheme.noise_like(process, one)
    carry = jax.vmap(lambda y: scheme.init(process, t0, y), -1, -1)(y)

    def advance(k, loop, xi):
        y, carry, bad = loop
        t = t0 + k.astype(h.dtype) * h

        def single(y, xi, carry):
            out = scheme.step(process, t, y, h, xi, carry)
            return out.y, out.carry

        y, carry = jax.vmap(single, -1, -1)(y, xi, carry)
        bad = jnp.where(all_finite(y), bad, jnp.minimum(bad, k + 1))
        return y, carry, bad

    def step(k, loop):
        return advance(k, loop, noise.block(words, ids, k, draws, axis=-1))

    def two_steps(j, loop):
        made = apart(lambda j: noise.packed(words, ids, j, draws, -1), j, once)
        a, b = halves(draws, made)
        return advance(2 * j + 1, advance(2 * j, loop, a), b)

    def steps(first, last, loop):
        if layout == "single":
            return jax.lax.fori_loop(first, last, step, loop)
        if layout == "uneven":
            even = jnp.minimum(first + first % 2, last)
            loop = jax.lax.fori_loop(first, even, step, loop)
            first = even
        loop = jax.lax.fori_loop(first // 2, last // 2, two_steps, loop)
        if layout == "uneven":
            rest = jnp.maximum(last - last % 2, first)
            loop = jax.lax.fori_loop(rest, last, step, loop)
        return loop

    def until(loop, count):
        k, rest = loop
        rest = steps(k, k + count, rest)
        y, _, bad = rest
        k, (y, _, bad) = k + count, rest
        return (k, rest), shown(statistics, y, real & (bad > k))

    start = (jnp.zeros((), counts.dtype), (y, carry, _never(counts, ids)))
    (_, (_, _, bad)), out = jax.lax.scan(until, start, counts)
    return out, bad


def apart(make, j, once):
    """make(j) in memory of its own, before anything is computed from it.

    A compiler for CPUs otherwise makes the noise anew within each loop that looks at
    it. It does not look into a loop whose number of passes, `once` = 1, it is not told.
    """

    def on_cpu(j, once):
        zeros = jax.tree.map(
            lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(make, j)
        )
        return jax.lax.fori_loop(j, j + once, lambda j, _: make(j), zeros)

    def elsewhere(j, once):
        del once
        return make(j)

    return jax.lax.platform_dependent(j, once, cpu=on_cpu, default=elsewhere)


def _never(counts, ids):
    return jnp.full(ids.shape, jnp.iinfo(counts.dtype).max, counts.dtype)


def shown(statistics, y, alive):
    """What a saved time keeps: the states, or the arrays of each statistic."""
    if statistics is None:
        return y
    return [statistic.of(y, alive) for _, statistic in statistics]
