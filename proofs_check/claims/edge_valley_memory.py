"""A valley that narrows: the orbits of momentum and of scalar RMSProp."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize.optimizers import scalar_rmsprop
from flows.central import ScalarRMSProp
from flows.problems import valley
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.edge_valley import (
    COHEN,
    MORE,
    STATEMENT,
    generic,
    image_of_step,
    run,
    same,
)
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.momentum_optimisers import averaged, heavy_ball, nesterov


def scalar_rms(eta, decay):
    """Scalar RMSProp without ε."""
    return scalar_rmsprop(eta, decay, eps=0.0)


def rms(eta, decay):
    """RMSProp without ε."""
    return optax.rmsprop(eta, decay, eps=0.0)


# -- momentum settles on it -------------------------------------------------------

EDGES: dict[Callable, Callable] = {
    heavy_ball: lambda b: 2 * (1 + b),
    averaged: lambda b: 2 * (1 + b) / (1 - b),
    nesterov: lambda b: 2 * (1 + b) / (1 + 2 * b),
}


def _momentum(ctx: Context, build: Callable, weak: bool, edge: Any = None) -> Evidence:
    """x² at the end, coupling weak or strong, from off the orbit with buffer 0."""
    b = 0.9
    eta, a, d, k = (0.02, 1.0, 0.02, 0.3) if weak else (0.1, 1.5, 0.3, 0.8)
    known = 2 * d / a
    problem = valley((edge or EDGES[build])(b) / eta, a, d, k)
    start = [1.1 * np.sqrt(known), 0.0]
    x = run(build, {"eta": eta, "beta": b}, problem, start, 40_000)[:, 0]
    if not np.all(np.isfinite(x)) or np.max(np.abs(x)) > 1e6:
        return ctx.diverged(known)
    values = (x[[10_000, 20_000, 40_000]] ** 2).tolist()
    name = inspect.getdoc(build) or ""
    return decide.equal(
        known,
        decide.ladder(
            values, condition=1e4
        ),  # each step's rounding lasts for thousands
        delta=ctx.delta,
        quantity=f"x², {name}",
    )


@claim(
    "central_flow.valley-momentum",
    title="With momentum and weak coupling the orbit at the own threshold attracts",
    source=COHEN,
    statement=STATEMENT + r":\quad x_k^2 \to -\frac{2f'(z^*)}{s'(z^*)},\quad s(z^*) ="
    r" \tfrac{2(1+\beta)}{\eta}\ (\text{Polyak}),\ \tfrac{2(1+\beta)}{(1-\beta)\eta}"
    r"\ (\text{mean}),\ \tfrac{2(1+\beta)}{(1+2\beta)\eta}\ (\text{Nesterov})",
    hypotheses=(r"$\beta = 0.9$, $\eta = 0.02$, $a = 1$, $d = 0.02$, $k = 0.3$",),
    grade="measured",
    delta=1e-6,
    unit="x²",
)
def valley_momentum(ctx: Context) -> Iterator[Evidence]:
    """Runs of optax from off the orbit."""
    for build in EDGES:
        yield _momentum(ctx, build, weak=True)


@valley_momentum.control("strong coupling, Polyak", expected="diverged")
def _(ctx: Context) -> Evidence:
    return _momentum(ctx, heavy_ball, weak=False)


# The edge is then met at z = -0.095, where the floor pushes harder: 2 (d + 0.095 k)/a.
@valley_momentum.control("a valley 5e-4 sharper than the threshold", expected=0.097)
def _(ctx: Context) -> Evidence:
    return _momentum(ctx, heavy_ball, weak=True, edge=lambda b: 2.001 * (1 + b))


# -- scalar RMSProp ---------------------------------------------------------------


def _rms_orbit(factor: Any) -> Iterator[Evidence]:
    eta, s0, s1 = sympy.symbols("eta s_0 s_1", positive=True)
    decay = 1 / (1 + sympy.Symbol("r", positive=True))
    f, start = generic(s0, factor * eta / 2, s1, s1 * eta**2 / 8)
    memory = (eta * s0 / 2) ** 2
    hyper = {"eta": eta, "decay": decay}
    new, after = image_of_step(scalar_rms, hyper, [memory], f, start)
    yield same(new, [-start[0], 0], "(x, z*) ↦ (-x, z*)")
    yield same(after, [memory], "ν stays")


@claim(
    "central_flow.valley-scalar-rmsprop",
    title="Scalar RMSProp in a valley has an exact orbit of amplitude η/2",
    source=COHEN,
    statement=STATEMENT + r":\quad x^2 = \frac{\eta^2}{4},\quad \nu = \Bigl("
    r"\frac{\eta\, s(z^*)}{2}\Bigr)^2,\quad f'(z^*) = -\frac{s'(z^*)\,\eta^2}{8}",
    hypotheses=(r"$s'(z^*) > 0$", r"any $\beta_2 \in (0, 1)$, $\epsilon = 0$"),
    grade="proved",
    delta=1e-6,
    unit="x²; gradient units squared for ν",
)
def valley_scalar_rmsprop(ctx: Context) -> Iterator[Evidence]:
    """The traced step on cubic s and f, η, β₂ and s(z*) symbols."""
    yield from _rms_orbit(1)


@valley_scalar_rmsprop.control("amplitude times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return next(_rms_orbit(MORE))


def _rms_runs(ctx: Context, build: Callable, decay: float) -> Iterator[Evidence]:
    """x², z and the ν that z implies, after 4000, 6000 and 8000 steps."""
    eta = 0.05
    problem = valley(4.0, 1.5, 0.3, 0.8)
    x = run(build, {"eta": eta, "decay": decay}, problem, [0.01, 0.3], 8000)
    orbit = problem.rms_orbit(eta)
    known = {"x²": float(orbit.amplitude**2), "z*": float(orbit.depth)}
    for i, (name, value) in enumerate(known.items()):
        found = x[[4000, 6000, 8000], i] ** (2 - i)
        yield decide.equal(
            value,
            decide.ladder(found.tolist(), condition=10.0),
            delta=ctx.delta,
            quantity=f"{name}, β₂ = {decay:g}",
        )


@valley_scalar_rmsprop.route("runs settle on it", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _rms_runs(ctx, scalar_rms, 0.95)
    yield from _rms_runs(ctx, scalar_rms, 0.9)


@valley_scalar_rmsprop.control("one ν for each coordinate")
def _(ctx: Context) -> Iterator[Evidence]:
    yield from _rms_runs(ctx, rms, 0.95)


# -- where the central flow of scalar RMSProp rests ---------------------------------


def _rest(variance: Any, eta: Any, s0: Any, s1: Any) -> Iterator[Evidence]:
    """The central flow's velocity at the edge, z* such that the floor balances σ²."""
    kappa = sympy.Symbol("kappa", positive=True)
    f, start = generic(s0, sympy.Integer(0), s1, s1 * variance / 2)

    def velocity(eta, kappa, f, y, variance, memory):
        rule = ScalarRMSProp(eta, decay=1 / (1 + kappa))
        u = jnp.array([1.0, 0.0])
        g, hu = f.gradient(y), f.hvp(y, u)
        force = g + variance / 2 * f.third(y, u, u)
        square = rule.square(g, g) + variance * rule.square(hu, hu)
        return force / rule.preconditioner(0.0, memory), rule.memory_rate(
            memory, square
        )

    memory = (eta * s0 / 2) ** 2
    force, rate = exactly(velocity, eta, kappa, f, start, variance, memory)
    yield same(force, [0, 0], "w' = 0")
    yield same([rate], [0], "ν' = 0")


@claim(
    "central_flow.valley-scalar-rmsprop-rest",
    title="In a valley the central flow of scalar RMSProp rests near the exact orbit",
    source=dataclasses.replace(COHEN, location="the flow; the gap is derived here"),
    statement=STATEMENT
    + r":\quad \frac{\eta^2}{4} - \sigma^2 = \Bigl(\frac{s'\sigma^2}"
    r"{2s}\Bigr)^2\ \text{at rest, where the orbit has}\ x^2 = \frac{\eta^2}{4}",
    hypotheses=(r"at the edge, $\nu = (\eta s/2)^2$", r"$f' = -s'\sigma^2/2$"),
    grade="proved",
    unit="identity",
)
def scalar_rmsprop_rest(ctx: Context) -> Iterator[Evidence]:
    """ν' with E|g|² = |g|² + σ²s², to second order in the oscillation; η² solved for.

    The orbit's own |g|² has no part along z, the flow's has f'²: hence the gap.
    """
    s0, s1, variance = sympy.symbols("s_0 s_1 sigma", positive=True)
    eta = 2 * sympy.sqrt(variance + (s1 * variance / (2 * s0)) ** 2)
    yield from _rest(variance, eta, s0, s1)


@scalar_rmsprop_rest.control("the orbit's amplitude, σ² = η²/4")
def _(ctx: Context) -> Evidence:
    eta, s0, s1 = sympy.symbols("eta s_0 s_1", positive=True)
    *_, memory = _rest(eta**2 / 4, eta, s0, s1)
    return memory
