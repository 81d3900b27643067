"""The weight-normalised flow: its invariant, and where it ends."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import (
    WeightNormalisedFlow,
    WeightNormalisedState,
    from_sympy,
    is_conserved,
    null_projector,
    polar,
    reference,
    weight_normalisation_invariant,
    weight_normalised_limit,
)
from flows.problems import least_squares
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence, UpperBound

WU = Source(
    title="Implicit Regularization and Convergence for Weight Normalization",
    authors="Xiaoxia Wu, Edgar Dobriban, Tongzheng Ren, Shanshan Wu, Zhiyuan Li, "
    "Suriya Gunasekar, Rachel Ward and Qiang Liu",
    year=2020,
    arxiv="1911.07956",
    location="weight-normalised flow and rPGD on least squares",
)


class Regression(NamedTuple):
    """Least squares with 8 rows and 20 weights, and a direction to start in."""

    objective: Any
    null: np.ndarray
    solution: np.ndarray
    direction: np.ndarray

    @property
    def norm(self) -> float:
        """g*, the norm of the solution of least norm."""
        return float(np.linalg.norm(self.solution))

    @property
    def unseen(self) -> float:
        """|P u(0)|."""
        return float(np.linalg.norm(self.null @ self.direction))

    def start(self, scale: float, norm: float = 1.0) -> WeightNormalisedState:
        """The state s = scale, w = norm u(0)."""
        return WeightNormalisedState(
            jnp.asarray([scale]), jnp.asarray(norm * self.direction)
        )

    def distance(self, x: Any) -> float:
        """|x - x*|."""
        return float(np.linalg.norm(np.asarray(x) - self.solution))


@functools.cache
def regression() -> Regression:
    """The problem, the same for all claims."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((8, 20))
    objective: Any = least_squares(features, features @ rng.standard_normal(20))
    u = rng.standard_normal(20)
    solution = np.asarray(objective.facts.minimiser.value)
    null = np.asarray(null_projector(features))
    return Regression(objective, null, solution, u / np.linalg.norm(u))


# The invariant.


def ridge_function() -> Any:
    """A generic quadratic of z = a x_0 + b x_1: what f sees of x in one direction."""
    x0, x1, a, b, c, d = sympy.symbols("x0 x1 a b c d", real=True)
    z = a * x0 + b * x1
    return from_sympy(c * z + d * z**2, [x0, x1], {a: 1, b: 2, c: 1, d: 1})


def _unseen(flow: Any) -> Any:
    """The row (-b, a), with which A = (a, b) is annihilated."""
    a, b = (flow.objective.parameters[name] for name in "ab")
    return jnp.stack([-b, a])[None, :]


@claim(
    "gradient_flow.weight-normalisation-invariant",
    title="A growing scale removes what the data do not see",
    source=WU,
    statement=r"x = s u,\ u = w/|w|,\ f(x) = g(Ax),\ P A^\top = 0:\quad"
    r" P u(t) = P u(0)\, \exp\frac{s(0)^2 - s(t)^2}{2 c_s |w|^2}",
    hypotheses=(r"$f$ sees $x$ only through $Ax$", r"$c_s > 0$, $w \ne 0$"),
    grade="proved",
    delta=1e-6,
    unit="|P u(T)| over its prediction",
)
def invariant(ctx: Context) -> Evidence:
    """L Q = 0 in two variables: A, the slope and curvature of g, c_s, s, w symbols."""
    return _invariant(1)


def _invariant(factor) -> Evidence:
    def quantity(flow, y):
        faster = eqx.tree_at(lambda m: m.scale_rate, flow, flow.scale_rate * factor)
        return weight_normalisation_invariant(_unseen(flow))(faster, y)

    flow = WeightNormalisedFlow(ridge_function(), 1.0)
    y = polar(jnp.array([1.0, 2.0]))
    return decide.identity(
        is_conserved(flow, quantity, y, of="model"), name="L (P u e^{s²/2c_s|w|²}) = 0"
    )


@invariant.control("the exponent over 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _invariant(1.001)


def final(flow: Any, y: Any, t1: float, tolerance: float) -> Any:
    """The state at time t1, solved to a tolerance."""
    run = reference(flow, y, t1, tolerance=tolerance)
    return jax.tree.map(lambda a: a[-1], run.states)


TOLERANCES = (1e-8, 1e-10, 1e-12)
ROUNDING = 1e4
"""A condition number: a solve sums some thousand roundings."""


def _measured_invariant(ctx: Context, exponent: float) -> Evidence:
    problem = regression()
    flow, start = WeightNormalisedFlow(problem.objective, 0.7), problem.start(0.2, 0.9)
    ratios = []
    for tolerance in TOLERANCES:
        y = final(flow, start, 10.0, tolerance)
        s = float(y.scale[0])
        u = np.asarray(y.direction) / np.linalg.norm(y.direction)
        factor = np.exp(exponent * (0.2**2 - s**2) / (2 * 0.7 * 0.9**2))
        ratios.append(np.linalg.norm(problem.null @ u) / (problem.unseen * factor))
    ladder = decide.ladder(ratios, condition=ROUNDING)
    return decide.equal(1.0, ladder, delta=ctx.delta, note="8 rows, 20 weights, T = 10")


@invariant.route("least squares", grade="measured")
def _(ctx: Context) -> Evidence:
    return _measured_invariant(ctx, 1.0)


@invariant.control("least squares, without the 2 in the exponent")
def _(ctx: Context) -> Evidence:
    return _measured_invariant(ctx, 2.0)


# The limit.


SCALE = 0.2


def predicted_limit(norm: float, rate: float, scale: float = SCALE) -> float:
    """|x(∞) - x*| from |P u(0)|, g*, s(0), |w|, c_s alone."""
    problem = regression()
    _, distance = weight_normalised_limit(
        problem.norm, scale, problem.unseen, norm=norm, scale_rate=rate
    )
    return distance


def _limit(
    ctx: Context,
    norm: float,
    over: float,
    relation: Any,
    scale: float = SCALE,
    rate: float = 1.0,
) -> Evidence:
    """|x(T) - x*| over a number, at a T when all but rounding has converged."""
    problem = regression()
    flow = WeightNormalisedFlow(problem.objective, rate)

    def measure():
        start, ends = problem.start(scale, norm), []
        for tolerance in TOLERANCES:
            y = final(flow, start, 100.0, tolerance)
            ends.append(problem.distance(flow.position(y)))
        return ends

    ends = ctx.compiled(("limit", norm, scale, rate), measure)
    ladder = decide.ladder(np.array(ends) / over, condition=ROUNDING)
    return ctx.equal(
        ladder,
        relation,
        note=f"8 rows, 20 weights, T = 100, |w| = {norm:g}, c_s = {rate:g}",
    )


@claim(
    "gradient_flow.weight-normalisation-limit",
    title="How far from the solution of least norm weight normalisation ends",
    source=WU,
    statement=r"|x_\infty - x^*| = s_\infty |P u_\infty|,\quad"
    r" s_\infty^2 = |x^*|^2 + s_\infty^2 |P u(0)|^2"
    r" e^{(s(0)^2 - s_\infty^2)/(c_s |w|^2)}",
    hypotheses=(r"$A$ of full row rank", r"$s(0) < |x^*|$", r"$A x_\infty = y$"),
    relation=1.0,
    grade="measured",
    delta=1e-6,
    unit="distance over its prediction",
)
def limit(ctx: Context) -> Iterator[Evidence]:
    """The flow's end against the root of one scalar equation."""
    for norm, rate in ((1.0, 1.0), (1.2, 1.5)):
        yield _limit(ctx, norm, predicted_limit(norm, rate), 1.0, rate=rate)


@limit.control(
    "the prediction of a scale that moves twice as fast",
    expected=predicted_limit(1.0, 1.0) / predicted_limit(1.0, 2.0),
)
def _(ctx: Context) -> Evidence:
    return _limit(ctx, 1.0, predicted_limit(1.0, 2.0), 1.0)


@claim(
    "gradient_flow.weight-normalisation-beats-descent",
    title="Weight normalisation ends nearer to the least-norm solution than gradient "
    "flow, for |w| = 1, not for 1.5",
    source=WU,
    statement=r"\frac{|x_\infty - x^*|}{|P x(0)|} ="
    r" \frac{s_\infty}{s(0)} e^{-(s_\infty^2 - s(0)^2)/(2 c_s |w|^2)} \le 1",
    hypotheses=(r"$s(0) = 0.2$, $|x^*| \approx 3.1$, $|w| = 1$, $c_s = 1$",),
    relation=UpperBound(1.0),
    grade="measured",
    delta=1e-6,
    unit="distance over that of gradient flow, |P x(0)|",
)
def beats(ctx: Context) -> Evidence:
    """The distance at the end over |P x(0)|, which gradient flow keeps."""
    return _limit(ctx, 1.0, SCALE * regression().unseen, UpperBound(1.0))


@beats.control(
    "|w| = 1.5",
    expected=predicted_limit(1.5, 1.0) / (SCALE * regression().unseen),
)
def _(ctx: Context) -> Evidence:
    return _limit(ctx, 1.5, SCALE * regression().unseen, UpperBound(1.0))


@beats.control(
    "a start so small that gradient flow is nearer",
    expected=predicted_limit(1.0, 1.0, 0.01) / (0.01 * regression().unseen),
)
def _(ctx: Context) -> Evidence:
    over = 0.01 * regression().unseen
    return _limit(ctx, 1.0, over, UpperBound(1.0), 0.01)
