"""Optimisers at the edge on manifolds of minimisers: they move to flatter ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import NORMALISED_GD, ROOT_LOSS_SGD, Correspondence
from discretize.optimiser import OptaxStep, Training
from flows import (
    AdaptiveOscillation,
    Chart,
    NormalisedOscillation,
    RootLossOscillation,
    SharpnessReductionFlow,
    WeightDecayOscillation,
    from_sympy,
    iterate,
)
from flows.problems import (
    sine_valley,
)
from flows.symbolic import (
    exactly,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import Claim, Source, claim
from proofs_check.claims.self_stabilisation import COHEN
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

ARORA = Source(
    title="Understanding Gradient Descent on Edge of Stability in Deep Learning",
    authors="Sanjeev Arora, Zhiyuan Li and Abhishek Panigrahi",
    year=2022,
    arxiv="2205.09745",
    location="the limiting flows of normalised descent and of descent on the root",
)
# The variance of an oscillation whose step size adapts.


@claim(
    "central_flow.adaptive-variance",
    title="Scalar RMSProp on minimisers oscillates with variance η²C/(4C + 2|∇log λ|²)",
    source=dataclasses.replace(
        COHEN, location="the central flow of scalar RMSProp; its limit is derived here"
    ),
    statement=r"1-\beta_2 = C\eta^2,\ g_\perp = -\tfrac{\sigma^2}2\nabla_\perp S,"
    r"\ g_\Gamma = 0:\quad \lim_{\eta\to0} \frac{\sigma^2}{\eta^2} ="
    r" \frac{C}{4C + 2|P_\Gamma\nabla\log S|^2}",
    hypotheses=(
        r"one critical eigenvalue $S$",
        r"motion across $\Gamma$ has settled: $\dot w \in T\Gamma$",
    ),
    grade="proved",
)
def adaptive_variance(ctx: Context) -> Evidence:
    """d/dt(η S/√ν) = 0 along the central flow, solved for σ² and expanded in η."""
    return _adaptive(AdaptiveOscillation, 1)


def _adaptive(oscillation, speed) -> Evidence:
    """`speed` multiplies the memory's rate κ."""
    names = "eta C S a b r"
    eta, c, top, along, across, r = sympy.symbols(names, positive=True)
    # ∇S has length `along` on Γ and `across` off it; σ² = r η²; at the edge √ν = ηS/2
    b2 = 1 - c * eta**2
    kappa = speed * (1 - b2) / b2
    nu, variance = (eta * top / 2) ** 2, r * eta**2
    gradient = variance / 2 * across  # |g|: it holds the motion across Γ at rest
    velocity = -2 / top * variance / 2 * along  # along ∇_Γ S
    rate = velocity * along  # dS/dt
    memory = kappa * (gradient**2 + top**2 * variance - nu)  # dν/dt
    pinned = rate / top - memory / (2 * nu)  # d log(ηS/√ν)/dt = 0
    leading = sympy.limit(sympy.together(pinned / eta**2), eta, 0)
    (found,) = sympy.solve(leading, r)
    model = symbols_like(oscillation(2.0))
    claimed = exactly(
        lambda m, s, a: m.variance(s, (a / s) ** 2), model, top, along
    ).subs({symbol: c for symbol in jax.tree.leaves(model)})
    return identical(found, claimed, "σ²/η²")


@adaptive_variance.control("a memory twice as fast")
def _(ctx: Context) -> Evidence:
    return _adaptive(AdaptiveOscillation, 2)


@adaptive_variance.route("weight decay: C = 2, time unit hl = η²/2", grade="proved")
def _(ctx: Context) -> Evidence:
    return _decay_is_adaptive(2)


def _decay_is_adaptive(coefficient) -> Evidence:
    slope = sympy.Symbol("s", positive=True)
    decay = exactly(lambda s: WeightDecayOscillation().variance(s, s), slope)
    adaptive = exactly(
        lambda m, s: m.variance(s, s), AdaptiveOscillation(1.0 * coefficient), slope
    )
    return identical(decay, coefficient * adaptive, "σ² of weight decay over hl")


@adaptive_variance.control("weight decay read with C = 1")
def _(ctx: Context) -> Evidence:
    return _decay_is_adaptive(1)


def line(p):
    """The minimisers (0, z) of a valley."""
    return jnp.stack([jnp.zeros_like(p[0]), p[0]])


# Normalised descent, and descent on the root of the loss.


def _two_steps(row: Correspondence, oscillation, unit) -> Evidence:
    """The limit of (z₂ - z₀)/η² from x₀ = c η unit, 0 < c < 1, beside 2 z'.

    The loss is (s + a z + b z²/2) x²/2 with all letters symbols, z₀ = 0.
    """
    x, z, s, a, b, eta, r = sympy.symbols("x z s a b eta r", positive=True)
    made = from_sympy(
        (s + a * z + b * z**2 / 2) * x**2 / 2, [x, z], {s: 1.0, a: 1.0, b: 1.0}
    )
    letters = {"s": s, "a": a, "b": b}
    loss = eqx.tree_at(lambda f: f.parameters, made, letters)
    hyper = {name: sympy.Integer(0) for name in row.defaults} | {"learning_rate": eta}

    def moved(loss, hyper, x):
        step, start = OptaxStep(row.optimizer, hyper), x
        carry = step.init(None, 0.0, x)
        for _ in range(2):
            x, carry, _ = step.step(Training(loss), 0.0, x, 0.0, None, carry)
        return (x - start)[1]

    def field(loss, z):
        flow = SharpnessReductionFlow(loss, oscillation, Chart(line))
        return flow.vector_field(0.0, z)[0]

    start = np.array([eta * unit(s) * r / (1 + r), sympy.Integer(0)], dtype=object)
    move = exactly(moved, loss, hyper, start)
    # the branch f > f* of the root's guard: the loss is positive for small η
    move = move.replace(sympy.Piecewise, lambda *branches: branches[0][0])
    limit = sympy.limit(move / eta**2, eta, 0)
    drift = exactly(field, loss, np.array([sympy.Integer(0)], dtype=object))
    return identical(limit, 2 * drift, "2 z'")


def normalised_end() -> float:
    """z(4) of z' = -cos z/(4(2 + sin z)): 2 arcosh(sec z) - log cos z = 1, z < 0."""
    from scipy.optimize import brentq

    def time(z):
        return -2 * np.log((1 + np.sin(z)) / np.cos(z)) + np.log(np.cos(z)) - 1

    root: Any = brentq(time, -1.5, 0.0, xtol=1e-15)
    return float(root)


def root_end() -> float:
    """z(4) of z' = -cos z/8: the Gudermannian of -1/2."""
    return float(-2 * np.arctan(np.tanh(0.25)))


def _ladder(ctx: Context, row: Correspondence, end: float) -> Evidence:
    """Order in η of z's error at τ = 4 on (2 + sin z) x²/2, from x = η/2."""
    etas, errors = 0.08 * 0.5 ** np.arange(ctx.choose(5, 6)), []
    for eta in etas:
        hyper = dict.fromkeys(row.defaults, 0.0) | {"learning_rate": eta}
        step = OptaxStep(row.optimizer, jax.tree.map(jnp.asarray, hyper))
        run = iterate(
            step,
            Training(sine_valley()),
            jnp.array([eta / 2, 0.0]),
            h=1.0,
            steps=round(4 / eta**2),
            save="last",
        )
        errors.append(abs(float(run.positions[-1][1]) - end))
    note = f"to η = {etas[-1]:.2g}; last error {errors[-1]:.1e}"
    return decide.order(2.0, etas, np.array(errors), floor=1e-10, note=note)


def _minimisers_claim(
    name: str, title: str, rate: str, row: Correspondence, pair: tuple, unit
) -> Claim:
    """`pair`: oscillation and z(4), the optimiser's and the other's (a control)."""
    own, other = (oscillation for oscillation, _ in pair)
    end, wrong = (closed for _, closed in pair)

    @claim(
        f"central_flow.{name}",
        title=title,
        source=ARORA,
        statement=rf"f = \tfrac12 s(z)x^2:\quad z_{{k+2}} - z_k = 2\eta^2\,z'(\tau) +"
        rf" O(\eta^4),\ {rate},\ \tau = \eta^2k;\quad z_k - z(\eta^2k) = O(\eta^2)",
        hypotheses=(
            "an oscillation of period 2 about $x = 0$, of any share of its two ends",
        ),
        grade="proved",
        delta=0.75,
        unit="order in η",
    )
    def minimisers(ctx: Context) -> Evidence:
        """Two steps of the optimiser traced, s a quadratic of symbols; their limit."""
        return _two_steps(row, own, unit)

    @minimisers.control("the other one's variance, two steps")
    def _(ctx: Context) -> Evidence:
        return _two_steps(row, other, unit)

    @minimisers.route("z at τ = 4: order 2 in η", grade="measured")
    def _(ctx: Context) -> Evidence:
        return _ladder(ctx, row, end())

    @minimisers.control("the other one's variance, z at τ = 4", expected=0.0)
    def _(ctx: Context) -> Evidence:
        return _ladder(ctx, row, wrong())

    return minimisers


_BOTH = (
    (NormalisedOscillation(), normalised_end),
    (RootLossOscillation(), root_end),
)
MINIMISERS = (
    _minimisers_claim(
        "normalised-on-minimisers",
        "Normalised descent moves along minimisers by -(1/4) ∇log λ",
        r"z' = -\tfrac14\,(\log s)'",
        NORMALISED_GD,
        _BOTH,
        lambda s: 1,
    ),
    _minimisers_claim(
        "root-on-minimisers",
        "Descent on √f moves along minimisers by -(1/8) ∇λ",
        r"z' = -\tfrac18\,s'",
        ROOT_LOSS_SGD,
        _BOTH[::-1],
        lambda s: sympy.sqrt(s / 2),
    ),
)
