"""Non-uniform sampling: what weighted and Markov labels make of a finite sum."""

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
    MarkovIndex,
    StochasticGradientProcess,
    SwitchingState,
    WeightedIndex,
    full_gradient,
    stationary_moments,
    stationary_switched_moments,
    transient_switched_moments,
)

LATZ = stochastic_gradient_process("the process; other index chains derived here")
CENTRES = np.array([[0.0], [1.0], [3.0]])
RING = np.array([[-2.0, 2.0, 0.0], [0.0, -1.0, 1.0], [0.5, 0.0, -0.5]])
CURVATURES = np.array([0.5, 1.0, 2.0])


@claim(
    "pdmp.weighted-sampling",
    title="Sampling with weights p descends Σ p_i f_i, its noise is the variance in p",
    source=LATZ,
    statement=r"I \text{ redrawn from } p \text{ at rate } \gamma,\ "
    r"\alpha\dot x = -\kappa(x - a_I)\ \Rightarrow\ E_\pi x = \sum_i p_i a_i,\ "
    r"\mathrm{Var}_\pi(x) = \frac{\kappa}{\kappa + \alpha\gamma}\,\mathrm{Var}_p(a)",
    hypotheses=(r"$p = (\frac12, \frac13, \frac16)$, $a = (0, 1, 3)$",),
    grade="proved",
)
def weighted(ctx: Context) -> Evidence:
    """The stationary moments from the generator; κ, α and γ are symbols."""
    return _weighted([6, 4, 2])


def _weighted(twelfths: list[int]) -> Evidence:
    """Mean and variance of the process, against those of the given weights."""
    import sympy

    index = WeightedIndex(np.array([0.5, 0.25, 0.25]), 1.0)
    plain = StochasticGradientProcess(quadratic_sum(CENTRES, 1.0), index)
    process: Any = symbols_like(plain, curvatures={"positive": True})
    weights = np.array([sympy.Rational(k, 12) for k in (6, 4, 2)], dtype=object)
    process = eqx.tree_at(lambda p: p.index.weights, process, weights)
    centres = np.array([[0], [1], [3]], dtype=object) * sympy.Integer(1)
    process = eqx.tree_at(lambda p: p.objective.centres, process, centres)
    found = stationary_moments(process, 2, y=SwitchingState(np.zeros(1), 0))
    first, second = (
        sum(v for m, v in found.items() if m.exponents == (k,)) for k in (1, 2)
    )
    p = [sympy.Rational(k, 12) for k in twelfths]
    a = [0, 1, 3]
    mean = sum(w * b for w, b in zip(p, a, strict=True))
    spread = sum(w * b**2 for w, b in zip(p, a, strict=True)) - mean**2
    kappa, rate = process.objective.curvatures, process.index.rate
    share = kappa / (kappa + process.friction * rate)
    left = np.array([first, second - first**2], dtype=object)
    right = np.array([mean, share * spread], dtype=object)
    return identical(left, right, "mean and variance")


@weighted.control("the mean over all data, as if p were uniform")
def _(ctx: Context) -> Evidence:
    return _weighted([4, 4, 4])


@claim(
    "pdmp.markov-averaging",
    title="A fast chain with law π averages the losses to Σ π_i f_i, at order 1/s",
    source=LATZ,
    statement=r"I \text{ of generator } sQ,\ \pi Q = 0,\ \alpha\dot x = -\nabla f_I(x)"
    r"\ \Rightarrow\ |E x(1) - \bar x(1)| = O(1/s),\quad"
    r" \alpha\dot{\bar x} = -\sum_i \pi_i \nabla f_i(\bar x)",
    hypotheses=(
        "a ring of three labels, run one way round (not reversible)",
        r"curvatures $\frac12, 1, 2$",
    ),
    grade="measured",
    unit="order in 1/s",
)
def markov_averaging(ctx: Context) -> Evidence:
    """E x(1) by the matrix exponential of the moment equations, from label 0."""
    return _order(ctx)


def _process(speed: float) -> StochasticGradientProcess:
    losses = quadratic_sum(CENTRES, CURVATURES)
    return StochasticGradientProcess(losses, MarkovIndex(RING, speed))


def _averaged(weights: np.ndarray) -> tuple[float, float]:
    """Curvature and minimiser of Σ w_i f_i."""
    curvature = float(weights @ CURVATURES)
    return curvature, float(weights @ (CURVATURES * CENTRES[:, 0])) / curvature


def _order(ctx: Context, weights: Any = None) -> Evidence:
    speeds = 16.0 * 2.0 ** np.arange(ctx.choose(6, 8))
    law = _stationary_law() if weights is None else weights
    curvature, minimiser = _averaged(law)
    flow = minimiser * (1 - np.exp(-curvature))
    start = SwitchingState(np.zeros(1), 0)
    errors = []
    for speed in speeds:
        found = transient_switched_moments(_process(float(speed)), start, [1.0])
        errors.append(abs(float(found.mean[0, 0]) - flow))
    return decide.order(1, 1 / speeds, np.array(errors), floor=1e-12)


def _stationary_law() -> np.ndarray:
    """π of the ring: in proportion to the mean stays 1/2, 1, 2."""
    return np.array([1.0, 2.0, 4.0]) / 7


@markov_averaging.control(
    "the plain mean (1/N) Σ f_i in place of Σ π_i f_i", expected=0.0
)
def _(ctx: Context) -> Evidence:
    return _order(ctx, np.full(3, 1 / 3))


@markov_averaging.route("stationary mean", grade="measured")
def _(ctx: Context) -> Evidence:
    """E x under the stationary law tends to the zero of `full_gradient`, order 1/s."""
    speeds = 16.0 * 2.0 ** np.arange(ctx.choose(6, 8))
    flow: Any = full_gradient(_process(1.0))  # an affine field
    at_zero, at_one = (
        float(flow.vector_field(0.0, np.full(1, x))[0]) for x in (0, 1.0)
    )
    minimiser = at_zero / (at_zero - at_one)
    found = [stationary_switched_moments(_process(float(s)), 1).mean for s in speeds]
    errors = np.abs(np.array([float(m[0]) for m in found]) - minimiser)
    return decide.order(1, 1 / speeds, errors, floor=1e-12)
