"""Jumps at rates that depend on the state, located by a solver: the law they leave."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flows.problems import norm_power
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from sde import ClockChange, EventLocation, LangevinState, ZigZag, simulate

BIERKENS = Source(
    title="The Zig-Zag process and super-efficient sampling for Bayesian analysis of "
    "big data",
    authors="Joris Bierkens, Paul Fearnhead and Gareth Roberts",
    year=2019,
    arxiv="1607.03188",
    location="the process and its stationary law; the schemes measured here",
)


@claim(
    "pdmp.located-jumps",
    title="Zig-Zag with jumps located by a solver keeps the law of a quartic well",
    source=BIERKENS,
    statement=r"U = x^4/4,\ \lambda = (v\,U'(x))_+:\quad x_0 \sim e^{-U}/Z,\ "
    r"v_0 = \pm1\ \Rightarrow\ x_t \sim e^{-U}/Z",
    hypotheses=(
        r"$\int\lambda$ along the flow is solved for, to tolerances 1e-8 and 1e-10",
        "no bound on the rate, no formula for the wait",
    ),
    grade="estimated",
    delta=0.03,
    full_only=True,
    unit="sup distance of distribution functions",
)
def located_jumps(ctx: Context) -> Evidence:
    """Start in the law itself, so that no burn-in is left: time 3, event location."""
    return _law(ctx, EventLocation(), 1.0)


def _law(ctx: Context, scheme: Any, factor: float) -> Evidence:
    """Positions at time 3 under the rates of factor · U, against e^{-U}.

    A path that is off by d moves the distribution function by less than d/Z at most:
    d is measured, against tolerances a hundred times finer on the same random numbers.
    """
    from scipy.special import gammainc

    rng = ctx.rng("start")
    key = int(ctx.rng("key").integers(2**31))
    process = ZigZag(norm_power(factor, 1.0))

    def final(n: int, scheme: Any, start: Any) -> np.ndarray:
        signs, size = start
        y0 = LangevinState(
            jnp.asarray(signs[0, :n] * size[:n]), jnp.asarray(signs[1, :n])
        )
        run = simulate(process, y0, t1=3.0, scheme=scheme, h=1.0, key=key, paths=n)
        return np.asarray(run.final.position)[:, 0]

    def draw(n: int) -> Any:
        size = (4 * rng.gamma(0.25, size=(n, 1))) ** 0.25
        return rng.choice([-1.0, 1.0], size=(2, n, 1)), size

    finer = eqx.tree_at(
        lambda s: (s.rtol, s.atol), scheme, (scheme.rtol / 100, scheme.atol / 100)
    )
    few = draw(200)
    moved = np.max(np.abs(final(200, scheme, few) - final(200, finer, few)))
    bias = 0.4 * 10 * float(moved)  # 1/Z < 0.4; ten times what 200 paths show
    n = decide.law_sample_size(ctx.delta - 2 * bias)
    x = final(n, scheme, draw(n))
    return decide.law(
        "e^{-x⁴/4}/Z",
        x,
        lambda x: 0.5 * (1 + np.sign(x) * gammainc(0.25, x**4 / 4)),
        delta=ctx.delta,
        bias=bias,
        data={"xlabel": "position x"},
    )


@located_jumps.route("change of clock, with phantom events", grade="estimated")
def _(ctx: Context) -> Evidence:
    return _law(ctx, ClockChange(), 1.0)


@located_jumps.control("the rates of U/2")
def _(ctx: Context) -> Evidence:
    return _law(ctx, EventLocation(), 0.5)
