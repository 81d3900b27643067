"""Step sizes that optimisers survive on a quadratic, by Jury's conditions."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training, stability_of
from flows import iterate
from flows.problems import quadratic
from flows.symbolic import IdentityResult, equal_symbolically
from proofs_check import decide
from proofs_check.claim import Claim, Source, claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.momentum_optimisers import heavy_ball, nesterov

POLYAK = Source(
    title="Some methods of speeding up the convergence of iteration methods",
    authors="Boris T. Polyak",
    year=1964,
    location="USSR Computational Mathematics and Mathematical Physics 4(5), 1-17",
)
NESTEROV = Source(
    title="On the importance of initialization and momentum in deep learning",
    authors="Ilya Sutskever, James Martens, George Dahl and Geoffrey Hinton",
    year=2013,
    location="Nesterov's momentum as optax writes it; the threshold is derived here",
)
COHEN_GD = Source(
    title="Gradient Descent on Neural Networks Typically Occurs at the Edge of "
    "Stability",
    authors="Jeremy M. Cohen, Simran Kaur, Yuanzhi Li, J. Zico Kolter and "
    "Ameet Talwalkar",
    year=2021,
    arxiv="2103.00065",
    location="the condition is classical; the proof is by Jury's conditions",
)
BOCK = Source(
    title="Local Convergence of Adaptive Gradient Descent Optimizers",
    authors="Sebastian Bock and Martin Georg Weiß",
    year=2021,
    arxiv="2102.09804",
    location="the condition on the learning rate, which is sharp",
)


def sgd(eta):
    """Gradient descent."""
    return optax.sgd(eta)


def adam(eta, b1, b2, e):
    """Adam with ε inside the root alone."""
    return optax.adam(eta, b1, b2, eps=0, eps_root=e)


def _derived(factory: Callable, claimed: Callable, factor) -> Evidence:
    """The limit of λ that Jury's conditions give, against the claimed expression."""
    names = inspect.signature(factory).parameters
    ranges: dict[str, Any] = {
        n: (0, 1) if n.startswith("b") else (0, math.inf) for n in names
    }
    found = stability_of(factory, **ranges)
    symbols = {s.name: s for s in found.limit.free_symbols}
    expected = factor * claimed(symbols) / symbols["eta"]
    same = equal_symbolically(found.limit, expected)
    if found.grade != "proved":
        same = IdentityResult("undecided", remainder=found.grade)
    return decide.identity(same, name="derived limit of λ = claimed")


def growth(factory: Callable, values: dict, eta: float, steps: int) -> GrowthRate:
    """Growth per step of |(x_k, x_{k-1})| on x²/2, over the second half of the run.

    It starts at 1e-100, so that squares stay far below any ε inside a root.
    """
    hyper = {"eta": jnp.asarray(eta), **{k: jnp.asarray(v) for k, v in values.items()}}
    run = iterate(
        OptaxStep(_builder(factory), hyper),
        Training(quadratic([1.0])),
        jnp.full(1, 1e-100),
        h=1.0,
        steps=steps,
    )
    x = np.asarray(run.positions)[:, 0]
    size = np.log(np.hypot(x[1:], x[:-1]))
    half, middle = steps // 2, 3 * steps // 4
    rate = (size[-1] - size[half]) / (size.size - 1 - half)
    late = (size[-1] - size[middle]) / (size.size - 1 - middle)
    return GrowthRate(eta, rate, bias=2 * abs(rate - late))


_BUILT: dict[Callable, Callable] = {}


def _builder(factory: Callable) -> Callable:
    """One function a factory: a new one would be compiled anew."""
    return _BUILT.setdefault(factory, lambda hyper: factory(**hyper))


def _threshold_claim(
    name: str,
    title: str,
    source: Source,
    statement: str,
    factory: Callable,
    claimed: Callable,
    values: dict,
) -> Claim:
    @claim(
        f"gradient_flow.threshold-{name}",
        title=title,
        source=source,
        statement=statement,
        hypotheses=(r"$f = \lambda x^2/2$", r"$0 \le \beta < 1$ where there is one"),
        grade="proved",
        delta=0.01,
        unit="η λ",
    )
    def threshold(ctx: Context) -> Evidence:
        """Jury's conditions on the polynomial of optax's traced step, all symbols."""
        return _derived(factory, claimed, 1)

    @threshold.control("limit times 1 + 1/1000")
    def _(ctx: Context) -> Evidence:
        return _derived(factory, claimed, 1 + sympy.Rational(1, 1000))

    @threshold.route("growth of iterates", grade="measured")
    def _(ctx: Context) -> Evidence:
        """The sign of the growth rate a little below and above, λ = 1."""
        c = float(claimed(values))
        ends = decide.bracket_ends(c, ctx.delta)
        # Long against the transients, short against the 230 / rate steps after which
        # a growing run has left the linear regime.
        rates = [growth(factory, values, eta, 1000) for eta in ends]
        return decide.threshold(c, rates, delta=ctx.delta, quantity="growth rate")

    return threshold


THRESHOLDS = (
    _threshold_claim(
        "gd",
        "Gradient descent is stable on a quadratic up to η λ = 2",
        COHEN_GD,
        r"\text{stable} \iff \eta\lambda < 2",
        sgd,
        lambda s: 2,
        {},
    ),
    _threshold_claim(
        "heavy-ball",
        "Heavy ball is stable on a quadratic up to η λ = 2(1 + β)",
        POLYAK,
        r"\text{stable} \iff \eta\lambda < 2(1+\beta)",
        heavy_ball,
        lambda s: 2 * (1 + s["beta"]),
        {"beta": 0.9},
    ),
    _threshold_claim(
        "nesterov",
        "Nesterov's momentum is stable on a quadratic up to 2(1 + β)/(1 + 2β)",
        NESTEROV,
        r"\text{stable} \iff \eta\lambda < \frac{2+2\beta}{1+2\beta}",
        nesterov,
        lambda s: 2 * (1 + s["beta"]) / (1 + 2 * s["beta"]),
        {"beta": 0.9},
    ),
    _threshold_claim(
        "adam",
        "Adam is locally stable up to η λ (1 - β₁)/√ε = 2(1 + β₁)",
        BOCK,
        r"\text{stable} \iff \frac{\eta\lambda(1-\beta_1)}{\sqrt{\epsilon}} <"
        r" 2(1+\beta_1)\quad (\epsilon\ \text{inside the root})",
        adam,
        lambda s: 2 * (1 + s["b1"]) * sympy.sqrt(s["e"]) / (1 - s["b1"]),
        {"b1": 0.9, "b2": 0.99, "e": 1e-2},
    ),
)
