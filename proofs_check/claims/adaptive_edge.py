"""Adaptive edge of stability: full-batch Adam on digits settles at its own limit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from discretize import ADAM, edge_along
from flows.problems import small_digits
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.edge_thresholds import COHEN
from proofs_check.context import Context
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence

B2, STEPS, LATE = 0.99, 1200, 600
LOW, HIGH = 0.85, 1.15
RUNS = ((0.0, 5e-4), (0.5, 1e-3), (0.9, 3e-3))
"""β₁ and η of runs that have met the edge well before step 600."""


def _ratios(ctx: Context, b1: float, eta: float) -> np.ndarray:
    """λ_max(P⁻¹H) over the limit of Adam, at steps 600 to 1200."""

    def build():
        row = ADAM(learning_rate=eta, b1=b1, b2=B2)
        objective, params = small_digits()
        every = ctx.choose(40, 20)
        return edge_along(
            row, objective, params, steps=STEPS, every=every, first=LATE
        ).ratio

    return ctx.compiled((b1, eta, ctx.effort), build)


def _at_the_edge(ctx: Context, b1: float, eta: float, unit: float = 1.0) -> Evidence:
    """The median over the late steps in [0.85, 1.15], in units of the limit."""
    late = _ratios(ctx, b1, eta) / unit
    middle = float(np.median(late))
    # what the choice of steps does to the median: every second one of them
    halves = [abs(float(np.median(late[k::2])) - middle) for k in (0, 1)]
    lo, hi = np.percentile(late, [25, 75])
    return decide.within(
        LOW,
        HIGH,
        Measurement(middle, bias=max(halves)),
        delta=ctx.delta,
        scale=1.0,
        quantity=f"β₁ = {b1:g}, η = {eta:g}",
        note=f"quartiles {lo:.2f} and {hi:.2f}",
    )


@claim(
    "central_flow.adaptive-edge",
    title="Full-batch Adam on digits hovers at the edge of its own preconditioner",
    source=COHEN,
    statement=r"\operatorname{median}_{600 \le k \le 1200}\ \frac{\eta(1-\beta_1)}"
    r"{2(1+\beta_1)}\,\lambda_{\max}(P_k^{-1}H_k) \in [0.85,\,1.15]",
    hypotheses=(
        "digits 0, 1 and 2, 200 images, 12 tanh units, square loss, full batch",
        r"$\beta_2 = 0.99$; $(\beta_1, \eta)$ = (0, 5e-4), (0.5, 1e-3), (0.9, 3e-3)",
        r"$P_k = (1-\beta_1^k)(\sqrt{\hat\nu_k} + \epsilon)$",
    ),
    grade="measured",
    delta=0.1,
    quick_delta=0.2,
    unit="of the limit 2(1+β₁)/((1-β₁)η)",
)
def adaptive_edge(ctx: Context) -> Iterator[Evidence]:
    """λ_max(P⁻¹H), by Lanczos, over its limit; β₁ = 0.9 alone in a quick run."""
    for b1, eta in ctx.choose(RUNS[-1:], RUNS):
        yield _at_the_edge(ctx, b1, eta)


@adaptive_edge.control("a smaller learning rate, which is still below the edge")
def _(ctx: Context) -> Evidence:
    return _at_the_edge(ctx, 0.9, 5e-4)


@adaptive_edge.control("gradient descent's limit 2/η for Adam at β₁ = 0.9")
def _(ctx: Context) -> Evidence:
    return _at_the_edge(ctx, 0.9, 3e-3, unit=1 / 19)


@adaptive_edge.control("Polyak's limit 2(1+β₁)/η for Adam at β₁ = 0.9")
def _(ctx: Context) -> Evidence:
    return _at_the_edge(ctx, 0.9, 3e-3, unit=1 / 10)
