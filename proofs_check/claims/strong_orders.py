"""Strong orders of tamed schemes: what taming keeps, and where it costs an order."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import (
    Euler,
    Milstein,
    NormTaming,
    ProjectedEulerMaruyama,
    RootTaming,
    TamedEuler,
    strong_order,
)
from flows import Scheme
from flows.problems import double_well
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence, Order
from proofs_check.identities import identical
from proofs_check.papers import tamed_euler, tamed_milstein
from sde import Diffusion, ItoDiffusion, OverdampedLangevin

SABANIS = Source(
    title="A note on tamed Euler approximations",
    authors="Sotirios Sabanis",
    year=2013,
    location="Electronic Communications in Probability 18; the exponent 1/2. That it "
    "costs half an order under additive noise is measured here",
)
QUICK_PATHS, FULL_PATHS = 500, 2000  # at first; a top-up takes 8 times as many


def additive() -> Diffusion:
    """The double well with noise 0.7 dB: dX = (X - X³) dt + 0.7 dB."""
    return OverdampedLangevin(double_well(), 0.245)


def _well(t, y):
    return y - y**3


def _state(t, y):
    return y


def multiplicative() -> Diffusion:
    """The double well with noise X dB."""
    return ItoDiffusion(_well, _state)


def _orders(
    ctx: Context, process: Diffusion, schemes: dict[str, Scheme], p: float, **ladder
) -> Iterator[Evidence]:
    """Evidence of order p for each scheme, on more paths until all are sharp enough."""
    paths = first = ctx.choose(QUICK_PATHS, FULL_PATHS)
    while True:
        found = strong_order(
            process, schemes, t1=1.0, key=ctx.key(), paths=paths, **ladder
        )
        evidence = [
            decide.strong_order(
                p, run.h, run.errors, floor=run.floor, route=name, unit=ctx.unit
            )
            for name, run in found.items()
        ]
        if paths >= 8 * first or all(e.data["sufficient"] for e in evidence):
            break
        paths *= 2
    yield from evidence


def _ladder(ctx: Context, coarsest: int) -> np.ndarray:
    return 0.5 ** np.arange(coarsest, coarsest + ctx.choose(5, 6))


# Additive noise.


@claim(
    "langevin.strong-order-additive",
    title="Under additive noise Euler, tamed by O(h), and projected Euler have order 1",
    source=tamed_euler("order 1/2 in general; order 1 is that of additive noise"),
    statement=r"\bigl(E|X^h_{T} - X_T|^2\bigr)^{1/2} = O(h),\quad"
    r" dX = (X - X^3)\,dt + 0.7\,dB,\ X_0 = 2,\ T = 1",
    hypotheses=(r"additive noise", r"$b_h = b + O(h)$"),
    relation=Order(1.0),
    grade="estimated",
    delta=0.75,
    unit="order in h (time)",
    checks=4,
)
def additive_order(ctx: Context) -> Iterator[Evidence]:
    """Euler, taming by h|b|, by a root, and projection, on the same Brownian paths.

    The reference is Milstein's scheme with a taming of O(h²) at a 32nd of the finest
    step: what it may shift the slopes by is part of the intervals.
    """
    schemes = {
        "Euler": Euler(),
        "tamed Euler": TamedEuler(),
        "tamed by a root": TamedEuler(RootTaming()),
        "projected": ProjectedEulerMaruyama(),
    }
    yield from _additive(ctx, schemes, 1.0)


def _additive(ctx, schemes, p) -> Iterator[Evidence]:
    ladder = {"hs": _ladder(ctx, 4), "refine": 32}
    yield from _orders(ctx, additive(), schemes, p, y0=jnp.array([2.0]), **ladder)


@additive_order.control("taming by √h|b|", expected=0.5, checks=1)
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _additive(ctx, {"√h|b|": TamedEuler(NormTaming(0.5))}, 1.0)


@claim(
    "langevin.taming-half-order",
    title="Taming by √h|b| costs half an order under additive noise",
    source=SABANIS,
    statement=r"b_h = \frac{b}{1 + \sqrt h\,|b|}:\quad"
    r"\bigl(E|X^h_{T} - X_T|^2\bigr)^{1/2} \sim C\sqrt h",
    hypotheses=(r"additive noise", r"$dX = (X - X^3)\,dt + 0.7\,dB$"),
    relation=Order(0.5),
    grade="estimated",
    delta=0.75,
    unit="order in h (time)",
)
def half_order(ctx: Context) -> Iterator[Evidence]:
    """The bias -√h b|b| of the drift dominates: "taming never costs order" is wrong."""
    yield from _additive(ctx, {"√h|b|": TamedEuler(NormTaming(0.5))}, 0.5)


@half_order.control("taming by h|b|", expected=1.0)
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _additive(ctx, {"h|b|": TamedEuler()}, 0.5)


@claim(
    "langevin.tamed-milstein-additive",
    title="Under additive noise tamed Milstein is tamed Euler",
    source=tamed_milstein("the scheme; the statement is immediate"),
    statement=r"\sigma' = 0 \Rightarrow \tfrac12\sigma\sigma'(\Delta B^2 - h) = 0",
    hypotheses=(r"additive noise", r"any drift, any step"),
    grade="proved",
)
def milstein_is_euler(ctx: Context) -> Evidence:
    """Both steps traced, on the double well with a symbol for its temperature."""
    return _same_step(symbols_like(additive()))


def _same_step(process: Diffusion) -> Evidence:
    h = sympy.Symbol("h", positive=True)
    x, xi = symbol_vector("x", 1), symbol_vector("xi", 1)

    def step(scheme, process, x, h, xi):
        return scheme.step(process, 0.0, x, h, xi, None).y

    euler = exactly(step, TamedEuler(), process, x, h, xi)
    milstein = exactly(step, Milstein(NormTaming()), process, x, h, xi)
    return identical(milstein, euler, "one step")


@milstein_is_euler.control("noise X dB")
def _(ctx: Context) -> Evidence:
    return _same_step(multiplicative())


# Multiplicative noise.


@claim(
    "langevin.strong-order-multiplicative",
    title="Under noise X dB Euler and tamed Euler have strong order 1/2",
    source=tamed_euler("Theorem on strong convergence of order 1/2"),
    statement=r"\bigl(E\max_k|X^h_{t_k} - X_{t_k}|^2\bigr)^{1/2} = O(\sqrt h),\quad"
    r" dX = (X - X^3)\,dt + X\,dB,\ X_0 = 1,\ T = 1",
    hypotheses=(r"$b$ one-sided Lipschitz of polynomial growth, $\sigma$ Lipschitz",),
    relation=Order(0.5),
    grade="estimated",
    delta=0.75,
    unit="order in h (time)",
    checks=2,
)
def multiplicative_order(ctx: Context) -> Iterator[Evidence]:
    """Errors at the times of the coarsest level, their largest a path.

    Coarse levels show slopes near 0.63: the allowance for them is part of the interval.
    """
    schemes = {"Euler": Euler(), "tamed Euler": TamedEuler()}
    yield from _multiplicative(ctx, schemes, 0.5, refine=8)


def _multiplicative(ctx, schemes, p, refine) -> Iterator[Evidence]:
    ladder = {"hs": _ladder(ctx, 5), "refine": refine, "norm": "sup"}
    yield from _orders(ctx, multiplicative(), schemes, p, y0=jnp.ones(1), **ladder)


@multiplicative_order.control("tamed Milstein", expected=1.0)
def _(ctx: Context) -> Iterator[Evidence]:
    schemes = {"tamed Milstein": Milstein(NormTaming())}
    yield from _multiplicative(ctx, schemes, 0.5, refine=16)


@claim(
    "langevin.tamed-milstein-order",
    title="Under noise X dB tamed Milstein has strong order 1",
    source=tamed_milstein("the theorem on strong order 1"),
    statement=r"\bigl(E\max_k|X^h_{t_k} - X_{t_k}|^2\bigr)^{1/2} = O(h),\quad"
    r" dX = (X - X^3)\,dt + X\,dB",
    hypotheses=(r"commutative noise", r"$b$ one-sided Lipschitz, polynomial growth"),
    relation=Order(1.0),
    grade="estimated",
    delta=0.75,
    unit="order in h (time)",
)
def milstein_order(ctx: Context) -> Iterator[Evidence]:
    """Against Milstein's scheme, tamed by O(h²), at a 32nd of the finest step."""
    schemes = {"tamed Milstein": Milstein(NormTaming())}
    yield from _multiplicative(ctx, schemes, 1.0, refine=32)


@milstein_order.control("tamed Euler", expected=0.5)
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _multiplicative(ctx, {"tamed Euler": TamedEuler()}, 1.0, refine=8)
