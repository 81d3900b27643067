"""Fast switching averages: to the flow of the mean loss, at the rate r^{-1/2}."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from flows import quadratic_sum
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import stochastic_gradient_process
from proofs_check.switching_quadratics import example_state, symbolic_process
from sde import (
    StochasticGradientProcess,
    SwitchingState,
    WeightedIndex,
    enough_events,
    moment_equations,
    simulate_skeletons,
    transient_switched_moments,
)

LATZ = stochastic_gradient_process(
    "convergence as the learning rate tends to 0; its order is derived here"
)
TIME = 2.0


def transient_variance(kappa: Any, r: Any, s2: Any, t: Any) -> Any:
    """E|x_t - ā|² from the mean of the centres ā; κ in units of the friction."""
    exp = sympy.exp
    lag = 2 * kappa * (exp(-(kappa + r) * t) - exp(-2 * kappa * t)) / (kappa - r)
    return s2 * kappa / (kappa + r) * (1 - exp(-2 * kappa * t) - lag)


@claim(
    "pdmp.averaging-variance",
    title="The variance about the averaged flow, at every time and every rate",
    source=LATZ,
    statement=r"\mathrm E\,y_t^2 = \frac{s^2k}{k+r}\Bigl[1 - e^{-2kt} - 2k\,"
    r"\frac{e^{-(k+r)t} - e^{-2kt}}{k - r}\Bigr],\quad y = x - \bar a,\ "
    r"k = \frac\kappa\alpha",
    hypotheses=(
        r"$f_i(x) = \kappa(x - a_i)^2/2$, $x_0 = \bar a$",
        "the label starts in its stationary law, of relaxation rate $r$",
    ),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-6,
)
def averaging_variance(ctx: Context) -> Evidence:
    """The formula solves the generator's moment equations; N = 3, all symbols.

    A = Σ_i E[x² 1_i] and D = Σ_i a_i E[x 1_i] close among themselves for centres of
    mean 0, and the formula is their solution with A(0) = D(0) = 0.
    """
    return _solves(sympy.Rational(3, 2))


def _solves(factor: Any) -> Evidence:
    a, b = sympy.symbols("a b", real=True)
    centres = [[a], [b], [-a - b]]
    process = symbolic_process(3, momentum=False, centres=centres)
    system = moment_equations(process, 2, y=example_state(process))
    k = process.objective.curvatures / process.friction
    r, t = factor * process.index.rate, sympy.Symbol("t", positive=True)
    s2 = (a**2 + b**2 + (a + b) ** 2) / 3
    second = transient_variance(k, r, s2, t)
    cross = s2 * k / (k + r) * (1 - sympy.exp(-(k + r) * t))
    labels = range(3)
    of_square, of_cross = (np.zeros(len(system.moments), dtype=object) for _ in "AD")
    for i in labels:
        of_square[system.row(2, label=i)] = sympy.Integer(1)
        of_cross[system.row(1, label=i)] = centres[i][0]
    # the functionals' rates, as combinations of A, D and the labels' probabilities 1/3
    rate_square, rate_cross = (f @ system.matrix for f in (of_square, of_cross))
    known = sum(rate_cross[system.row(0, label=i)] for i in labels) / 3
    left = [
        *(rate_square + 2 * k * (of_square - of_cross)),
        *(rate_cross + (k + r) * of_cross)[3:],
        known,
        sympy.diff(second, t) - 2 * k * (cross - second),
        sympy.diff(cross, t) - k * s2 + (k + r) * cross,
        second.subs(t, 0),
        cross.subs(t, 0),
    ]
    right = [0] * (len(left) - 5) + [k * s2, 0, 0, 0, 0]
    return identical(
        np.array(left, dtype=object),
        np.array([sympy.sympify(x) for x in right], dtype=object),
        "A' = 2k(D - A), D' = k s² - (k + r)D",
    )


@averaging_variance.control("the clock's rate in place of the relaxation rate")
def _(ctx: Context) -> Evidence:
    return _solves(sympy.Integer(1))


@averaging_variance.route("by the matrix exponential", grade="measured")
def _(ctx: Context) -> Evidence:
    """Numbers at one point, by the exponential of the moments' linear system."""
    process = _pair(3.0, curvature=1.3, friction=0.9)
    found = _variances(process, [0.7])[0]
    exact = float(transient_variance(1.3 / 0.9, 3.0, 1.0, 0.7))
    # solved to rounding; the exponential's condition is of the order of rate · time
    return ctx.equal(decide.ladder([found] * 3, condition=100.0), exact)


def _pair(r: float, curvature: float = 1.0, friction: float = 1.0, share: float = 0.5):
    """Centres ±1, s² = 1; the label forgets itself at the rate r, x₀ is their mean."""
    objective = quadratic_sum([[1.0], [-1.0]], curvature)
    index = WeightedIndex([share, 1 - share], r)
    return StochasticGradientProcess(objective, index, friction)


def _variances(process: Any, times: Any) -> np.ndarray:
    """E x_t² from x₀ = 0 and a stationary label, at times."""
    start = SwitchingState(jnp.zeros(1), jnp.asarray(0))
    moments = transient_switched_moments(process, start, times, weights="stationary")
    return np.asarray(moments.second)[:, 0, 0]


@claim(
    "pdmp.averaging-order",
    title="Fast switching follows the averaged flow with the error r^{-1/2}",
    source=LATZ,
    statement=r"\bigl(\mathrm E|x_T - \bar x_T|^2\bigr)^{1/2} \sim "
    r"\sqrt{\tfrac{s^2\kappa}{\alpha}(1 - e^{-2\kappa T/\alpha})}\;r^{-1/2},\quad "
    r"\bigl(\mathrm E\sup_{t\le T}|x_t - \bar x_t|^2\bigr)^{1/2} = O(r^{-1/2})",
    hypotheses=(
        r"$f_i(x) = \kappa(x - a_i)^2/2$, $x_0 = \bar a$",
        "the flow is that of the losses' mean under the label's stationary law",
    ),
    grade="measured",
    delta=0.01,
    unit="order in 1/r",
)
def averaging_order(ctx: Context) -> Iterator[Evidence]:
    """At T = 2 from the moment equations, on a ladder of rates, with the constant.

    √(E y²) expands in whole powers of 1/r.
    """
    rates, errors = _ladder(0.5)
    yield decide.order(0.5, 1 / rates, errors, floor=1e-12)
    exact = float(np.sqrt(1 - np.exp(-2 * TIME)))
    yield decide.leading_constant(
        exact, 1 / rates, errors, 0.5, floor=1e-12, delta=ctx.delta
    )


def _ladder(share: float) -> tuple[np.ndarray, np.ndarray]:
    rates = 10.0 * 2.0 ** np.arange(7)
    found = [_variances(_pair(r, share=share), [TIME])[0] for r in rates]
    return rates, np.sqrt(np.array(found))


@averaging_order.control(
    "a label that prefers one loss, the flow of the plain mean", expected=0.0
)
def _(ctx: Context) -> Evidence:
    rates, errors = _ladder(0.8)
    return decide.order(0.5, 1 / rates, errors, floor=1e-12)


@averaging_order.route("sup over time", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Paths without a step error; between rings |x - ā| has its maximum at an end.

    Every rate has its own paths, and the influence of all enters the standard error.
    """
    paths = ctx.choose(300, 4000)
    rates = ctx.choose(8.0, 20.0) * 4.0 ** np.arange(4)
    start, errors = SwitchingState(jnp.zeros(1), None), []
    held = enough_events(_pair(float(rates[-1])).index, 0.0, TIME)  # one compilation
    for level, rate in enumerate(rates):
        key = int(ctx.rng("key", level).integers(2**31))
        process = _pair(float(rate))
        run = simulate_skeletons(
            process, start, t1=TIME, key=key, paths=paths, events=held
        )
        errors.append(np.max(np.abs(np.asarray(run.states.position)[..., 0]), axis=1))
    return decide.strong_order(0.5, 1 / rates, np.stack(errors, axis=1), q=0.5)
