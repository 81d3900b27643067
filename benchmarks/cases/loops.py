"""`flows.iterate` on tiny flows, where nothing hides the loop, beside a scan."""

import functools

import jax
import jax.numpy as jnp

from benchmarks.protocol import (
    Protocol,
    Row,
    Samples,
    compared,
    measure,
    require_same,
)
from discretize import Euler
from flows import GradientFlow, from_loss, iterate

CASE = "flows.iterate beside a scan: gradient flow of a quartic, explicit Euler"
H = 1e-3


def loss(x):
    return jnp.sum(x**4) / 4


@functools.partial(jax.jit, static_argnums=(2, 3))
def scan(x, h, steps: int, every: bool):
    """Times and states, the start left out."""

    def body(x, _):
        x = x - h * jax.grad(loss)(x)
        return x, x if every else None

    last, states = jax.lax.scan(body, x, None, length=steps)
    if not every:
        return h * steps, last
    return h * jnp.arange(1.0, steps + 1), states


def pair(n: int, steps: int, every: bool):
    x = jnp.ones(n)
    flow, scheme = GradientFlow(from_loss(loss, x)), Euler()
    save = "all" if every else "last"

    def ours():
        run = iterate(scheme, flow, x, h=H, steps=steps, save=save)
        return run.times, run.states

    return {"ours": ours, "other": lambda: scan(x, H, steps, every)}


def study(protocol: Protocol, n: int, every: bool) -> list[Row]:
    """Whole runs of two lengths; from the two, the cost of a step and of a call."""
    short, long = (10, 100) if protocol.tiny else (100_000, 1_000_000)
    what = f"d = {n}, saving {'all' if every else 'the last'}"
    calls, found = {}, []
    for steps in (long, short):
        both = pair(n, steps, every)
        calls |= {f"{name} {steps}": call for name, call in both.items()}
    samples = measure(calls, protocol)
    for steps in (long, short):
        (_, states), (_, other) = calls[f"ours {steps}"](), calls[f"other {steps}"]()
        require_same(states[-1], other[-1] if every else other)
    one, two = ([samples[f"{k} {n}"] for n in (long, short)] for k in ("ours", "other"))
    ours, other = (_per_step(a, b, long - short) for a, b in (one, two))
    step = {"ours": ours, "other": other}
    scaled = {"unit": "ns", "scale": 1e9, "target": 1.1}
    found.append(compared(CASE, f"{what}: a step", step, **scaled))
    for steps in (long, short):
        both = {k: samples[f"{k} {steps}"] for k in ("ours", "other")}
        found.append(compared(CASE, f"{what}: {steps:,} steps", both))
    return found


def _per_step(long: Samples, short: Samples, steps: int) -> Samples:
    """The cost of one step: what the longer run costs more."""
    return Samples(
        (long.cpu - short.cpu) / steps, (long.wall - short.wall) / steps, long.first
    )


def rows(protocol: Protocol) -> list[Row]:
    return [
        row
        for n in (1, 10)
        for every in (True, False)
        for row in study(protocol, n, every)
    ]
