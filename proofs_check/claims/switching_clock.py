"""Clocks whose rate changes: the law of their rings, by inversion and by thinning."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows import PowerSchedule, SolveFailed
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Equal, Evidence
from sde import (
    Deterministic,
    ExactJumps,
    JumpProcess,
    UniformIndex,
    draw_index_path,
    enough_events,
    simulate,
)

RATE = (1.0, 2.0, 1.5)  # γ₀, τ and p of the clock
HORIZON = 6.0
RINGS = 24.8  # ∫ (1 + t/2)^1.5 from 0 to 6: 0.8 (4^2.5 - 1)
STEP = 1.0

THINNING = Source(
    title="Simulation of nonhomogeneous Poisson processes by thinning",
    authors="P. A. W. Lewis and G. S. Shedler",
    year=1979,
    location="thinning; that rings are a unit Poisson process in ∫γ is the classical "
    "change of time",
)


class _Counter(JumpProcess):
    """A count that goes up by one at each ring of a clock."""

    rate: PowerSchedule
    ahead: jax.Array = eqx.field(converter=jnp.asarray, default=1.0)  # of the bound

    def vector_field(self, t, y):
        return jnp.zeros_like(y)

    def exact(self, t, y, h):
        return y

    def rates(self, t, y):
        return self.rate(t)[None]

    def jump(self, t, y, channel):
        return Deterministic(y + 1)

    def bound(self, t, y, horizon):
        return self.rate(t + self.ahead * horizon)


def _law(ctx: Context, counts: Any) -> Evidence:
    from scipy.stats import poisson

    law = poisson(RINGS)
    return decide.law(
        f"Poisson({RINGS:g})",
        counts,
        law.cdf,
        left_cdf=lambda k: law.cdf(k - 1),
        delta=ctx.delta,
        data={"xlabel": "number of rings"},
    )


@claim(
    "pdmp.inhomogeneous-clock",
    title="The rings of a clock of rate γ(t) are a unit Poisson process in ∫γ",
    source=THINNING,
    statement=r"\gamma(t) = \gamma_0(1 + t/\tau)^p,\ "
    r"\Lambda(t) = \tfrac{\gamma_0\tau}{p+1}\bigl[(1 + t/\tau)^{p+1} - 1\bigr]"
    r"\ \Rightarrow\ \text{rings in } [0, T] \sim \mathrm{Poisson}(\Lambda(T)),"
    r"\ \text{drawn as } \Lambda^{-1} \text{ of a unit clock}",
    hypotheses=(r"$\gamma_0 = 1$, $\tau = 2$, $p = 3/2$, $T = 6$: $\Lambda = 24.8$",),
    grade="estimated",
    delta=0.01,
    quick_delta=0.04,
    unit="sup distance of distribution functions",
)
def inhomogeneous_clock(ctx: Context) -> Evidence:
    """Numbers of rings of index paths, drawn by inversion of the integrated rate."""
    return _inverted(ctx, PowerSchedule(*RATE))


def _inverted(ctx: Context, rate: PowerSchedule) -> Evidence:
    n = decide.law_sample_size(ctx.delta)
    events = enough_events(UniformIndex(2, PowerSchedule(*RATE)), 0.0, HORIZON)

    def build():
        @jax.jit
        @jax.vmap
        def rings(rate_and_key):
            rate, key = rate_and_key
            index = UniformIndex(2, rate)
            path = draw_index_path(index, key, t1=HORIZON, events=events, label0=0)
            return jnp.where(path.overflow, jnp.nan, path.rings)

        return rings

    keys = jax.random.split(ctx.key(), n)
    rates = jax.tree.map(lambda a: jnp.broadcast_to(a, (n,)), rate)
    return _law(ctx, np.asarray(ctx.compiled("rings", build)((rates, keys))))


@inhomogeneous_clock.control("the clock runs on at its first rate")
def _(ctx: Context) -> Evidence:
    return _inverted(ctx, PowerSchedule(1.0, 2.0, 0.0))


@inhomogeneous_clock.control("the power taken for p + 1/10")
def _(ctx: Context) -> Evidence:
    return _inverted(ctx, PowerSchedule(1.0, 2.0, 1.6))


@inhomogeneous_clock.route("thinning", grade="estimated")
def _(ctx: Context) -> Evidence:
    """The same law, thinned from the rate at the end of each step of `ExactJumps`."""
    n = decide.law_sample_size(ctx.delta)
    return _law(ctx, _thinned(int(ctx.rng("key").integers(2**31)), n, 1.0))


def _thinned(key: int, n: int, ahead: float) -> np.ndarray:
    run = simulate(
        _Counter(PowerSchedule(*RATE), ahead),
        jnp.zeros(1),
        t1=HORIZON,
        scheme=ExactJumps(),
        h=STEP,
        key=key,
        paths=n,
        chunk=400,  # one compilation for every n
    )
    return np.asarray(run.final)[:, 0]


@claim(
    "pdmp.thinning-bound",
    title="Thinning needs a bound of the rate over the whole step, and says so",
    source=THINNING,
    statement=r"\gamma \le b\ \text{on each step}\ \Rightarrow\ E\,\#\text{rings} = "
    r"\Lambda(T);\quad \text{with } b = \gamma(\text{start of the step}):\ "
    r"\textstyle\sum_k h\,\gamma(t_k) < \Lambda(T)",
    hypotheses=(r"$\gamma$ increasing",),
    relation=Equal(RINGS),
    grade="estimated",
    delta=0.01,
    quick_delta=0.02,
    unit="rings in [0, 6]",
)
def thinning_bound(ctx: Context) -> Evidence:
    """Mean number of rings of `ExactJumps` with the rate at the end of each step.

    A count is Poisson: four moments, spread 0.2 of the mean.
    """
    return ctx.mean(lambda seed, n: _thinned(seed, n, 1.0))


@thinning_bound.control("the rate at the start of the step", expected="diverged")
def _(ctx: Context) -> Evidence:
    """`simulate` refuses to go on; that refusal is the divergence."""
    try:
        _thinned(0, 400, 0.0)
    except SolveFailed as refusal:
        if "bound on the jump rates was exceeded" in str(refusal):
            return ctx.diverged(note="refused: the bound was exceeded")
        raise
    return ctx.mean(lambda seed, n: _thinned(seed, n, 0.0))


BELIEVED = float(sum(STEP * (1 + k / 2) ** 1.5 for k in range(6)))


@thinning_bound.control("the same bound, believed", expected=BELIEVED)
def _(ctx: Context) -> Evidence:
    """Thinning without a look at the bound: rings above it are lost in silence."""

    def counts(seed: int, n: int) -> np.ndarray:
        rng, total = np.random.default_rng(seed), np.zeros(n)
        for start in np.arange(0.0, HORIZON, STEP):
            bound = (1 + start / 2) ** 1.5
            proposed = rng.poisson(bound * STEP, n)
            times = start + STEP * rng.random((n, int(proposed.max())))
            kept = rng.random(times.shape) * bound < (1 + times / 2) ** 1.5
            kept &= np.arange(times.shape[1]) < proposed[:, None]
            total += np.sum(kept, axis=1)
        return total

    return ctx.mean(counts)
