"""The bias of the stationary mean, where curvatures differ; momentum makes it small."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from flows import quadratic_sum
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum
from proofs_check.switching_quadratics import (
    example_state,
    symbolic_process,
    total,
)
from sde import (
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    UniformIndex,
    stationary_moments,
    stationary_switched_moments,
)

SOURCE = losing_momentum("the process; the bias of its mean is derived here")
CURVATURES, CENTRES, FRICTION, MASS = (0.5, 3.0), (-1.0, 1.0), 0.9, 0.7


def stationary_bias(curvatures: Any, slopes: Any, speed: Any) -> Any:
    """E X - x*: Σ κ_i g_i/(R + κ_i) over R Σ κ_i/(R + κ_i).

    Args:
        curvatures: κ_i, one a label.
        slopes: g_i = ∇f_i(x*), of sum 0.
        speed: R = αr, or αr + mr² with momentum.
    """
    pairs = list(zip(curvatures, slopes, strict=True))
    top = sum(k * g / (speed + k) for k, g in pairs)
    return top / (speed * sum(k / (speed + k) for k in curvatures))


def _minimiser(curvatures: Any, centres: Any) -> tuple[Any, list[Any]]:
    """The x* of the mean loss, and ∇f_i(x*)."""
    pairs = list(zip(curvatures, centres, strict=True))
    best = sum(k * a for k, a in pairs) / sum(curvatures)
    return best, [k * (best - a) for k, a in pairs]


def _exact(momentum: bool, convention: str = "never_repeat") -> Evidence:
    c = sympy.Symbol("c", real=True)
    process = symbolic_process(
        3,
        momentum=momentum,
        convention=convention,
        common=False,
        centres=[[0], [1], [c]],
    )
    found = stationary_moments(process, 1, y=example_state(process))
    mean = total(found, 1, 0) if momentum else total(found, 1)
    r = sympy.Rational(3, 2) * process.index.rate
    speed = process.friction * r + (process.mass * r**2 if momentum else 0)
    curvatures = list(process.objective.curvatures)
    best, slopes = _minimiser(curvatures, list(process.objective.centres[:, 0]))
    claimed = best + stationary_bias(curvatures, slopes, speed)
    name = "E X with momentum" if momentum else "E X without momentum"
    return identical(mean, claimed, name)


@claim(
    "pdmp.stationary-bias",
    title="Different curvatures bias the stationary mean; momentum shrinks the bias",
    source=SOURCE,
    statement=r"\mathbb E X - x^* = \frac{\sum_i \kappa_ig_i/(R + \kappa_i)}"
    r"{R\,\sum_i \kappa_i/(R + \kappa_i)},\quad g_i = \nabla f_i(x^*),\quad R ="
    r" \alpha r\ \text{ or, with momentum, }\ R = \alpha r + mr^2;\qquad \mathbb E X"
    r" - x^* \sim \frac{\mathrm{Cov}_i(\kappa_i, g_i)}{\bar\kappa R}\ \text{ as }"
    r" R \to \infty",
    hypotheses=(
        r"$f_i = \kappa_i(x - a_i)^2/2$, $\kappa_i > 0$",
        "uniform sampling; three labels in the proof",
    ),
    grade="proved",
    delta=1e-3,
    unit="position",
)
def bias(ctx: Context) -> Any:
    """Means of the generator's moments, with and without momentum, all symbols."""
    yield _exact(momentum=False)
    if ctx.full:
        yield _exact(momentum=True)


@bias.control("fresh draws, whose relaxation rate is 2/3 of it")
def _(ctx: Context) -> Evidence:
    return _exact(momentum=False, convention="fresh_draw")


@bias.control("the mean at the minimiser, as for one common curvature")
def _(ctx: Context) -> Evidence:
    process = symbolic_process(2, momentum=False, common=False, centres=[[1], [-1]])
    found = stationary_moments(process, 1, y=example_state(process))
    best, _ = _minimiser(list(process.objective.curvatures), [1, -1])
    return identical(total(found, 1), best, "E X = x*")


@bias.route("two labels with momentum", grade="proved")
def _(ctx: Context) -> Evidence:
    """In closed form: -κ₁κ₂(a₁ - a₂)(κ₁ - κ₂)/((κ₁ + κ₂)(R(κ₁ + κ₂) + 2κ₁κ₂))."""
    process = symbolic_process(2, momentum=True, common=False, centres=[[1], [-1]])
    found = stationary_moments(process, 1, y=example_state(process))
    k, l = process.objective.curvatures  # noqa: E741
    r = 2 * process.index.rate
    speed = process.friction * r + process.mass * r**2
    best, _ = _minimiser([k, l], [1, -1])
    claimed = -2 * k * l * (k - l) / ((k + l) * (speed * (k + l) + 2 * k * l))
    return identical(total(found, 1, 0), best + claimed, "E X - x*, two labels")


def _measured(r: Any, momentum: bool) -> np.ndarray:
    """|E X - x*| by the linear solver, one a relaxation rate."""
    losses = quadratic_sum(np.array(CENTRES)[:, None], np.array(CURVATURES))
    best = _minimiser(CURVATURES, CENTRES)[0]
    out = []
    for rate in r:
        index = UniformIndex(2, rate / 2)
        process: Any = StochasticGradientProcess(losses, index, FRICTION)
        if momentum:
            process = StochasticGradientMomentumProcess(losses, index, MASS, FRICTION)
        mean = stationary_switched_moments(process, 1).mean[0]
        out.append(abs(float(mean) - best))
    return np.array(out)


@bias.route("order in the relaxation rate", grade="measured")
def _(ctx: Context) -> Any:
    """Bias of order 1 in 1/r without momentum, of order 2 with a fixed mass."""
    slopes = _minimiser(CURVATURES, CENTRES)[1]
    covariance = np.cov(CURVATURES, slopes, bias=True)[0, 1]
    constant = abs(covariance) / np.mean(CURVATURES)
    r = 32.0 * 2.0 ** np.arange(7)
    for momentum, p, c in ((False, 1, constant / FRICTION), (True, 2, constant / MASS)):
        errors = _measured(r, momentum)
        about = {"floor": 1e-14, "quantity": "bias, momentum" if momentum else "bias"}
        yield decide.order(p, 1 / r, errors, **about)
        about["quantity"] += ", constant"
        yield decide.leading_constant(c, 1 / r, errors, p, delta=ctx.delta, **about)
