"""Normalised and sign flows: arrival, sliding, and how their steps hover."""

from __future__ import annotations

import dataclasses

import diffrax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import (
    NORMALISED_GD,
    SIGN_SGD,
    Correspondence,
)
from discretize.optimiser import OptaxStep, Training
from flows import (
    NormalisedFlow,
    SignFlow,
    arrival,
    iterate,
    sign_flow_path,
    solve,
)
from flows.problems import quadratic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.variant_flows import (
    CORTES,
    Faster,
    ratio,
)
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

BERNSTEIN = Source(
    title="signSGD: Compressed Optimisation for Non-Convex Problems",
    authors="Jeremy Bernstein, Yu-Xiang Wang, Kamyar Azizzadenesheli and Anima "
    "Anandkumar",
    year=2018,
    arxiv="1802.04434",
    location="the algorithm; its hovering is derived here",
)

# Normalised: arrival, and what its discretisation does there.

SPECTRUM, START = np.array([1.0, 3.0]), np.array([3.0, 4.0])


def arc_length(spectrum: np.ndarray, x0: np.ndarray, tolerance: float) -> float:
    """Length of the orbit of x' = -Ax (A diagonal) from x0 to |Ax| = tolerance."""
    from scipy.integrate import quad
    from scipy.optimize import brentq

    def speed(t):
        return np.linalg.norm(spectrum * np.exp(-spectrum * t) * x0)

    last = brentq(lambda t: speed(t) - tolerance, 0.0, 60.0, xtol=1e-14)
    return quad(speed, 0.0, last, epsabs=1e-13, epsrel=1e-13, limit=400)[0]


@claim(
    "gradient_flow.normalised-arrival",
    title="Normalised flow takes its arc length in time, and arrives",
    source=CORTES,
    statement=r"\dot\theta = -\nabla f/|\nabla f|:\quad T = \int_0^\infty"
    r" |\nabla f(x(s))|\,ds,\ \dot x = -\nabla f(x);\quad"
    r" f=\tfrac\lambda2|x|^2:\ T = |x(0)|",
    hypotheses=(r"quadratic $f$ with $A > 0$",),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-4,
    unit="arrival time over the length of gradient flow's orbit",
)
def normalised_arrival(ctx: Context):
    """The time of |∇f| = 10^{-3}, against the closed-form orbit's length by quad."""
    yield _arrival(ctx, SPECTRUM)
    yield _arrival(ctx, np.array([2.0, 2.0]))


def _arrival(ctx: Context, spectrum, factor: float = 1.0) -> Evidence:
    tolerance = 1e-3
    isotropic = np.ptp(spectrum) == 0  # then it is a straight line to 0
    length = np.linalg.norm(START) - tolerance / spectrum[0]
    length = length if isotropic else arc_length(spectrum, START, tolerance)
    flow = Faster(NormalisedFlow(quadratic(spectrum)), jnp.asarray(factor))
    event = arrival(tolerance)
    return ratio(
        ctx, flow, START, 12.0, lambda run: run.times[-1] / length, event=event
    )


@normalised_arrival.control("twice as fast", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _arrival(ctx, SPECTRUM, 2.0)


def hovering(row: Correspondence, objective, starts, steps: int = 400, **hyper):
    """|x_k|_∞ and |x_k| of the last 50 steps over η, the largest over the starts."""
    pairing = row(**hyper)
    scheme = OptaxStep(row.optimizer, pairing.hyper)
    eta, found = hyper["learning_rate"], []
    for x in starts:
        run = iterate(scheme, Training(objective), jnp.asarray(x), h=eta, steps=steps)
        found.append(np.asarray(run.positions)[-50:])
    last = np.array(found)
    norms = np.linalg.norm(last, axis=-1).max(axis=1)
    return float(np.abs(last).max()) / eta, norms / eta


STARTS = np.array([[0.33, -0.71], [1.2, 0.85], [-0.47, 0.06], [-1.03, -1.31]])
# Each step is an isometry of the distance, so that roundings only add up.
ADDED_ROUNDINGS = 400 * 4 * np.finfo(float).eps / 0.1


@claim(
    "gradient_flow.normalised-hovers",
    title="Normalised gradient descent ends oscillating with amplitude η/2 to η",
    source=dataclasses.replace(
        CORTES, location="the flow; what its descent does is derived here"
    ),
    statement=r"f = \tfrac\lambda2|x|^2:\quad |x_{k+1}| = \bigl||x_k| - \eta\bigr|,"
    r"\quad \tfrac12\eta \le \max(|x_k|, |x_{k+1}|) \le \eta\ \text{in the end}",
    hypotheses=(r"isotropic quadratic", r"$\epsilon = 0$"),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    unit="amplitude over η",
)
def normalised_hovers(ctx: Context):
    """The largest and the smallest amplitude of four starts."""
    yield from _hovers(ctx, 0.0)


def _hovers(ctx: Context, eps: float):
    _, norms = hovering(
        NORMALISED_GD, quadratic([2.0, 2.0]), STARTS, learning_rate=0.1, eps=eps
    )
    for value in (norms.max(), norms.min()):
        measured = decide.Measurement(float(value), bias=ADDED_ROUNDINGS)
        yield decide.within(0.5, 1.0, measured, delta=ctx.delta, note="four starts")


@normalised_hovers.control("ε = ηλ: it converges")
def _(ctx: Context) -> Evidence:
    return next(_hovers(ctx, 0.2))


# Sign.


@claim(
    "gradient_flow.sign-box",
    title="Sign descent ends in the box |x_i| <= η on separable quadratics",
    source=BERNSTEIN,
    statement=r"f = \tfrac12\sum_i \lambda_i x_i^2:\quad |x_{k,i}| \le \eta"
    r"\ \text{from some } k \text{ on}",
    hypotheses=(r"$f$ separable",),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    unit="largest coordinate over η",
)
def sign_box(ctx: Context) -> Evidence:
    """The largest coordinate of the last steps of four runs."""
    return _box(ctx, quadratic(SPECTRUM))


def _box(ctx: Context, objective) -> Evidence:
    largest, _ = hovering(SIGN_SGD, objective, STARTS, learning_rate=0.1)
    measured = decide.Measurement(largest, bias=ADDED_ROUNDINGS)
    return decide.upper_bound(1.0, measured, delta=ctx.delta, note="four starts")


@sign_box.control("coordinates coupled by 0.9")
def _(ctx: Context) -> Evidence:
    return _box(ctx, quadratic([[1.0, 0.9], [0.9, 1.0]]))


COUPLED = np.array([[2.0, 1.5, 0.0], [1.5, 2.0, 0.3], [0.0, 0.3, 1.0]])


@claim(
    "gradient_flow.sign-sliding",
    title="The smoothed sign flow tends to the sliding solution, to order 1 in δ",
    source=dataclasses.replace(
        CORTES, location="Filippov solutions; the rate is measured here"
    ),
    statement=r"\dot x_i = -\partial_i f/\sqrt{(\partial_i f)^2 + \delta^2}:\quad"
    r" x_\delta(T) - x_0(T) = O(\delta)",
    hypotheses=(r"$f = \tfrac12x^\top A x$, $A > 0$, here of three variables",),
    grade="measured",
    delta=0.25,
    unit="order in δ",
)
def sign_sliding(ctx: Context) -> Evidence:
    """Against the exact path, at a time when two of three coordinates slide."""
    return _sliding(ctx, sign_flow_path)


def _sliding(ctx: Context, path) -> Evidence:
    objective, x0, t1 = quadratic(COUPLED), np.array([1.0, -0.3, 0.5]), 0.6
    widths = 0.04 * 0.5 ** np.arange(ctx.choose(6, 8))
    exact = path(objective, x0, t1).positions[-1]

    def end(width):
        run = solve(
            SignFlow(objective, width),
            jnp.asarray(x0),
            0.0,
            t1,
            solver=diffrax.Kvaerno5(),
            stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-10),
            saveat=diffrax.SaveAt(t1=True),
        )
        return np.asarray(run.states[-1])

    errors = [float(np.linalg.norm(end(width) - exact)) for width in widths]
    return decide.order(1, widths, np.array(errors), floor=1e-8)


def _stuck(objective, x0, t1):
    """The slide ignored: a coordinate stands still once its ∂_i f has met 0."""
    path = sign_flow_path(objective, x0, t1)
    speed = np.sign(np.asarray(objective.matrix) @ x0)
    met = [path.times[np.argmax(slides)] for slides in path.sliding.T]
    end = x0 - speed * np.minimum(np.where(path.sliding.any(axis=0), met, t1), t1)
    return path._replace(positions=end[None])


@sign_sliding.control("a coordinate stands still where it should slide", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _sliding(ctx, _stuck)


@claim(
    "gradient_flow.sign-before-sliding",
    title="Before the first change of a sign, sign descent is its flow, for any step",
    source=BERNSTEIN,
    statement=r"\mathrm{sign}(\nabla f(x_j)) = s\ (j < k):\quad x_k = x_0 - k\eta s"
    r" = x(k\eta)",
    hypotheses=(r"no $\partial_i f$ has changed its sign",),
    grade="proved",
)
def before_sliding(ctx: Context) -> Evidence:
    """Two steps on a diagonal quadratic from (2η + a, -2η - b), a, b > 0."""
    return _before(2)


def _before(away) -> Evidence:
    eta, a, b, p, q = sympy.symbols("eta a b p q", positive=True)
    x0 = np.array([away * eta + a, -away * eta - b], dtype=object)

    def two(eta, x, matrix):
        flow = SignFlow(dataclasses.replace(quadratic([1.0, 1.0]), matrix=matrix))
        for _ in range(2):
            x = x + eta * flow.vector_field(0.0, x)
        return x

    found = exactly(two, eta, x0, np.array([p, q], dtype=object))
    claimed = x0 - 2 * eta * np.array([1, -1], dtype=object)
    return identical(found, claimed, "x₂ = x(2η)")


@before_sliding.control("a start less than one step from the change")
def _(ctx: Context) -> Evidence:
    return _before(0)
