"""The two-state switching gradient flow: a Beta law and its variance."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from flows import quadratic_sum
from flows.symbolic import symbols_like
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import stochastic_gradient_process
from sde import (
    ExactJumps,
    StochasticGradientProcess,
    SwitchingState,
    UniformIndex,
    is_stationary,
    simulate,
    stationary_moments,
    two_state_law,
)

LATZ = stochastic_gradient_process("the process; its law for two quadratics derived")


CENTRES = np.array([[1.0], [-1.0]])


def _symbolic(convention: str = "never_repeat") -> Any:
    """κ/2 (x ∓ 1)² with symbols for κ and γ, and numbers for the centres."""
    process = _process(1.0, 1.0, convention)

    def free(p):
        return p.objective.curvatures, p.index.rate

    like = symbols_like(process, curvatures={"positive": True})
    return eqx.tree_at(free, process, free(like))


def _process(curvature: float, rate: float, convention: str) -> Any:
    objective = quadratic_sum(CENTRES, curvature)
    return StochasticGradientProcess(objective, UniformIndex(2, rate, convention))


@claim(
    "spine.switch-variance",
    title="Switching between two quadratics leaves the variance κ/(κ + 2γ)",
    source=LATZ,
    statement=r"\dot x = -\kappa(x - a_I),\ a = \pm1,\ I\ \text{flips at rate}\ \gamma"
    r"\ \Rightarrow\ \mathrm{Var}_\pi(x) = \frac{\kappa}{\kappa + 2\gamma}",
    hypotheses=(r"$\kappa, \gamma > 0$", "the label never repeats"),
    grade="proved",
)
def switch_variance(ctx: Context) -> Evidence:
    """The stationary solution of the moment equations; κ and γ are symbols."""
    return _variance("never_repeat")


def _variance(convention: str) -> Evidence:
    process = _symbolic(convention)
    kappa, gamma = process.objective.curvatures, process.index.rate
    moments = stationary_moments(process, 2, y=SwitchingState(np.zeros(1), 0))
    variance = sum(v for m, v in moments.items() if m.exponents == (2,))
    return identical(variance, kappa / (kappa + 2 * gamma), "Var = κ/(κ + 2γ)")


@switch_variance.control("fresh draws, which repeat half of the time")
def _(ctx: Context) -> Evidence:
    return _variance("fresh_draw")


@switch_variance.route("law", grade="proved")
def _(ctx: Context) -> Evidence:
    """∫ L φ dπ = 0 for the Beta law itself, monomials up to degree 6."""
    process = _symbolic()
    law = two_state_law(2 * process.index.rate, process.objective.curvatures)
    found = is_stationary(process, law, 6, y=SwitchingState(np.zeros(1), 0))
    return decide.identity(found, name="∫ L φ dπ = 0")


@claim(
    "spine.switch-law",
    title="The stationary law is Beta(γ/κ, γ/κ) on [-1, 1]",
    source=LATZ,
    statement=r"\tfrac{x+1}{2} \sim \mathrm{Beta}\bigl(\tfrac\gamma\kappa,"
    r"\tfrac\gamma\kappa\bigr)\quad\text{in the stationary state}",
    hypotheses=(r"$\kappa, \gamma > 0$", "the label never repeats"),
    grade="estimated",
    delta=0.02,
    quick_delta=0.04,
    unit="sup distance of distribution functions",
    parameters={"rate": 1.5},
)
def switch_law(ctx: Context) -> Evidence:
    """Final states of independent paths, κ = 1, simulated without a step error.

    Paths start at the centre of their label; what is left of the start after time 20
    moves x by 2 e^{-20} at most, which is the bias allowed for.
    """
    return _law(ctx, "never_repeat")


def _law(ctx: Context, convention: str) -> Evidence:
    from scipy.stats import beta

    rate = float(ctx.parameters["rate"])
    bias = 1e-6
    n = decide.law_sample_size(ctx.delta - 2 * bias)
    process = _process(1.0, rate, convention)
    labels = ctx.rng("labels").integers(0, 2, n)
    start = SwitchingState(1.0 - 2.0 * labels[:, None], labels)
    key = int(ctx.rng("key").integers(2**31))
    run = simulate(
        process, start, t1=20.0, scheme=ExactJumps(), h=1.0, key=key, paths=n
    )
    x = np.asarray(run.final.position)[:, 0]
    return decide.law(
        f"Beta({rate:g}, {rate:g})",
        x,
        lambda x: beta.cdf((x + 1) / 2, rate, rate),
        delta=ctx.delta,
        bias=bias,
        data={"xlabel": "position x"},
    )


@switch_law.control("fresh draws, which repeat half of the time")
def _(ctx: Context) -> Evidence:
    return _law(ctx, "fresh_draw")
