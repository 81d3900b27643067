"""One chunk of an ensemble: the compiled loop over steps, and what it keeps."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from sde.ensemble import all_finite, sample_moments


@eqx.filter_jit
def run_chunk(process, scheme, noise, functions, y, args, counts):
    """Step one chunk; the paths are the last axis of every leaf.

    That axis is long whatever the state, and the compiler vectorises over the last
    one: noise and drift then run at one speed for any number of components.
    """
    ids, real, words, t0, h = args
    one = jax.tree.map(lambda a: a[..., 0], y)
    draws = scheme.noise_like(process, one)
    carry = jax.vmap(lambda y: scheme.init(process, t0, y), -1, -1)(y)

    def step(k, loop):
        y, carry, bad = loop
        t = t0 + k.astype(h.dtype) * h
        xi = noise.block(words, ids, k, draws, axis=-1)

        def single(y, xi, carry):
            out = scheme.step(process, t, y, h, xi, carry)
            return out.y, out.carry

        y, carry = jax.vmap(single, -1, -1)(y, xi, carry)
        bad = jnp.where(all_finite(y), bad, jnp.minimum(bad, k + 1))
        return y, carry, bad

    def until(loop, count):
        k, rest = loop
        rest = jax.lax.fori_loop(k, k + count, step, rest)
        return (k + count, rest), _shown(functions, rest, real, k + count)

    start = (jnp.zeros((), counts.dtype), (y, carry, _never(counts, ids)))
    (_, (_, _, bad)), out = jax.lax.scan(until, start, counts)
    return out, bad


def _never(counts, ids):
    return jnp.full(ids.shape, jnp.iinfo(counts.dtype).max, counts.dtype)


def _shown(functions, loop, real, k):
    """What a saved time keeps: the states, or count, mean and squares a function."""
    y, _, bad = loop
    if functions is None:
        return y
    alive = (real & (bad > k))[None]
    out = []
    for _, fn in functions:
        values = jax.vmap(fn, -1, 0)(y)[None]
        out.append([a[0] for a in sample_moments(values, alive)])
    return out
