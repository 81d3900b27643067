"""The square-root scaling rule of adaptive optimisers, exactly and over a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from discretize.weak_operator import FOUR_VALUES
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.sde_adaptive import (
    LAW,
    QUADRATIC,
    coarser,
    expected,
    rmsprop_chain,
)
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import adaptive_sdes
from sde import (
    AdaptiveHyperparameters,
    AdaptiveScales,
    adaptive_scales,
    square_root_scaling,
)

RULE = (
    r"B \to \kappa B:\quad \eta \to \sqrt\kappa\,\eta,\quad "
    r"1-\beta_i \to \kappa(1-\beta_i),\quad \epsilon \to \epsilon/\sqrt\kappa"
)
Rule = Callable[[AdaptiveHyperparameters, Any], AdaptiveHyperparameters]


def unchanged(hyper: AdaptiveHyperparameters, kappa) -> AdaptiveHyperparameters:
    """No rule: the larger batch's noise alone."""
    return hyper._replace(noise_scale=hyper.noise_scale / kappa**0.5)


def linear_scaling(hyper: AdaptiveHyperparameters, kappa) -> AdaptiveHyperparameters:
    """SGD's rule, η → κη."""
    new = unchanged(hyper, kappa)
    return new._replace(learning_rate=kappa * hyper.learning_rate)


def same_memory(hyper: AdaptiveHyperparameters, kappa) -> AdaptiveHyperparameters:
    """The square-root rule without its change of β."""
    new = square_root_scaling(hyper, kappa)
    return new._replace(beta1=hyper.beta1, beta2=hyper.beta2)


def _scales(rule: Rule) -> Evidence:
    import sympy as sp

    hyper = AdaptiveHyperparameters(*sp.symbols("eta beta2 eps sigma beta1", real=True))
    positive = sp.symbols("eta sigma", positive=True)
    hyper = hyper._replace(learning_rate=positive[0], noise_scale=positive[1])
    kappa = sp.Symbol("kappa", positive=True)
    new = [sp.sympify(s) for s in adaptive_scales(rule(hyper, kappa))]
    old = [sp.sympify(s) for s in adaptive_scales(hyper)]
    return identical(
        np.array(new, object), np.array(old, object), "σ₀, c₂, ε₀, c₁ of both batches"
    )


@claim(
    "sde_models.square-root-rule",
    title="The square-root scaling rule keeps the diffusion of RMSProp and Adam",
    source=adaptive_sdes("the square-root scaling rule"),
    statement=RULE + r"\quad\text{leaves } \sigma\eta,\ \epsilon\eta,\ "
    r"(1-\beta_i)/\eta^2 \text{ as they are, as } \sigma \to \sigma/\sqrt\kappa",
    hypotheses=(r"$\kappa, \eta, \sigma > 0$", "gradient noise dominates"),
    grade="proved",
)
def square_root_rule(ctx: Context) -> Evidence:
    """All hyperparameters and κ are symbols."""
    del ctx
    return _scales(square_root_scaling)


@square_root_rule.control("the linear rule")
def _(ctx: Context) -> Evidence:
    return _scales(linear_scaling)


@square_root_rule.control("β unchanged")
def _(ctx: Context) -> Evidence:
    return _scales(same_memory)


# Over a fixed number of passes through the data.

KAPPA = 4
SCALES = AdaptiveScales(sigma0=0.5, c2=0.8, eps0=0.1, c1=0.0)


def scaled_square(rule: Rule | None, eta: float, fine: bool = True) -> float:
    """E x² of RMSProp at the end: of learning rate η, or of κη scaled by a rule.

    The small batch takes 2/η² steps, the large one κ times fewer.
    """
    hyper = SCALES.hyperparameters(eta)
    steps = round(2 / eta**2)
    if rule is not None:
        hyper, steps = rule(hyper, KAPPA), steps // KAPPA
    scales = adaptive_scales(hyper)
    chain = rmsprop_chain(sigma0=scales.sigma0, c2=scales.c2, eps0=scales.eps0)
    chain = chain._replace(time=steps * hyper.learning_rate**2)
    chain = chain if fine else coarser(chain)
    return float(expected(chain, steps, FOUR_VALUES, lambda p: p[:, 0] ** 2))


def _difference(rule: Rule) -> Evidence:
    etas = np.sqrt(2 / (400 * 2 ** np.arange(6)))

    def gaps(fine):
        pairs = [
            (scaled_square(rule, e, fine), scaled_square(None, e, fine)) for e in etas
        ]
        return np.diff(pairs, axis=1)[:, 0]

    found = gaps(True)
    floor = np.abs(found - gaps(False)) + 1e-12
    return decide.order(2, etas, np.abs(found), floor=floor, q=2, quantity="E x²")


@claim(
    "sde_models.square-root-rule-order",
    title="Under the square-root rule RMSProp of both batches agrees to O(η²)",
    source=adaptive_sdes("the square-root scaling rule; follows from the diffusion"),
    statement=RULE + r":\quad \mathbb{E}\,x_{k/\kappa}^2 - \mathbb{E}\,x_k^2"
    r" = O(\eta^2),\quad k\eta^2 = 2",
    hypotheses=(r"$\kappa = 4$", QUADRATIC, LAW),
    grade="measured",
    delta=0.75,
    unit="order in η (time unit: η², a step)",
)
def square_root_rule_order(ctx: Context) -> Evidence:
    """E x² by powers of the chains' operators on a grid."""
    del ctx
    return _difference(square_root_scaling)


@square_root_rule_order.route("at η = 0.1, within 5 %", grade="measured")
def _(ctx: Context) -> Evidence:
    """The relative difference of E x²; the linear rule's is above 50 %."""
    base, new = scaled_square(None, 0.1), scaled_square(square_root_scaling, 0.1)
    coarse = scaled_square(square_root_scaling, 0.1, fine=False)
    error = abs(coarse - new) / base + 1e-9
    value = new / base - 1
    return decide.within(
        -0.05,
        0.05,
        decide.enclosure(value - error, value + error),
        delta=ctx.delta,
        grade="measured",
    )


def _wrong(name: str, rule: Rule) -> None:
    @square_root_rule_order.control(name, expected=0.0)
    def _(ctx: Context) -> Evidence:
        return _difference(rule)


_wrong("the linear rule, η → κη", linear_scaling)
_wrong("nothing but the batch changed", unchanged)
_wrong("β unchanged", same_memory)
