"""A wall of sharpness: entry, sliding and exit, against the closed form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import CentralEuler
from flows import CentralFlow, iterate
from flows.central import GradientDescent, solve_sections
from flows.problems import wall
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.edge_valley import COHEN, descent, run
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

STATEMENT = (
    r"L = \bigl(\tfrac2\eta + ap\bigr)\tfrac{x^2}2 - dp + \tfrac c2p^2"
    r" + \tfrac k2q^2 - mpq"
)
START, T1 = (-0.3, 2.0), 100.0
SLIDING, LEFT = 30.0, 80.0  # times (steps) on the wall, and after the exit


def _flow() -> CentralFlow:
    problem = wall()
    return CentralFlow(problem, GradientDescent(problem.learning_rate))


def _start(flow: CentralFlow) -> Any:
    return flow.start(jnp.array([0.0, *START]))


# -- the closed form ----------------------------------------------------------------


@claim(
    "central_flow.wall-closed-form",
    title="Along a wall of sharpness the central flow is solved by exponentials",
    source=COHEN,
    statement=STATEMENT + r":\quad \dot w = -\eta\nabla(L + \tfrac12\langle H,\Sigma"
    r"\rangle)\ \text{has}\ \dot x = \dot p = 0,\ \dot q = -\eta k q\ \text{at}\ x = p"
    r" = 0,\ \sigma^2 = \frac{2(d + mq)}{a}",
    hypotheses=(r"$x = 0$, $a > 0$, $d + mq > 0$",),
    grade="proved",
    unit="identity",
)
def closed_form(ctx: Context) -> Evidence:
    """-η (∇L + σ²/2 ∂ₓₓ∇L) of the traced loss, at p = 0 with that σ²."""
    return _field_at_the_wall(1)


def _field_at_the_wall(factor: Any) -> Evidence:
    f = symbols_like(wall())
    q = sympy.Symbol("q", real=True)
    values = f.parameters
    sigma = factor * 2 * (values["d"] + values["m"] * q) / values["a"]

    def field(f, y, sigma):
        u = jnp.array([1.0, 0.0, 0.0])
        return -2 / f.parameters["s"] * (f.gradient(y) + sigma / 2 * f.third(y, u, u))

    y = np.array([sympy.Integer(0), sympy.Integer(0), q], dtype=object)
    found = exactly(field, f, y, sigma)
    claimed = np.array([0, 0, -2 / values["s"] * values["k"] * q], dtype=object)
    return identical(found, claimed, "(x, p, q)' = (0, 0, -η k q)")


@closed_form.control("σ² times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _field_at_the_wall(1 + sympy.Rational(1, 1000))


# -- sections between events ----------------------------------------------------------


@claim(
    "central_flow.wall-sections",
    title="Integrated from event to event, the central flow enters and leaves on time",
    source=COHEN,
    statement=STATEMENT + r":\quad t_{\rm exit} = t_{\rm entry} + \frac{1}{\eta k}"
    r"\log\frac{-m\, q(t_{\rm entry})}{d},\quad 0 \le \sigma^2 \perp p \le 0",
    hypotheses=(r"$\eta = 0.05$, $a = 2$, $d = -0.4$, $c = m = 1$, $k = 1/2$",),
    grade="measured",
    delta=1e-6,
    unit="steps for times",
)
def sections(ctx: Context) -> Iterator[Evidence]:
    """Entry, exit, σ² and predicted loss on the wall, p after it, by tolerance."""
    path = wall().central_path(START, T1)
    sliding, left = path.at(SLIDING), path.at(LEFT)
    runs, on, off = _sections(clip=True), round(SLIDING), round(LEFT)  # saved each step
    columns = {
        "entry": (path.entries[0], [r.stats["entries"][0] for r in runs]),
        "exit": (path.exits[0], [r.stats["exits"][0] for r in runs]),
        "σ² on the wall": (sliding.variance[0], [r.aux.variance[on] for r in runs]),
        "predicted loss": (
            sliding.loss[0],
            [r.loss[on] + r.aux.loss_correction[on] for r in runs],
        ),
        "p after the exit": (left.position[0, 1], [r.positions[off, 1] for r in runs]),
    }
    for name, (known, values) in columns.items():
        measured = decide.ladder([float(v) for v in values], condition=100.0)
        yield decide.equal(float(known), measured, delta=ctx.delta, quantity=name)


def _sections(clip: bool) -> list[Any]:
    flow = _flow()
    return [
        solve_sections(
            flow,
            _start(flow),
            0.0,
            T1,
            stepsize_controller=diffrax.PIDController(rtol=tol, atol=tol / 100),
            clip=clip,
        )
        for tol in (1e-7, 1e-9, 1e-11)
    ]


@sections.control("σ² allowed below 0: p is dragged along the wall", expected=0.0)
def _(ctx: Context) -> Evidence:
    known = wall().central_path(START, T1).at(LEFT).position[0, 1]
    p = [float(r.positions[round(LEFT), 1]) for r in _sections(clip=False)]
    # the drift off the edge is taken back at each tolerance: p is rounding throughout
    measured = decide.Measurement(p[-1], bias=max(abs(v) for v in p) + 1e-12)
    return decide.equal(float(known), measured, delta=ctx.delta)


# -- first-order stepping -------------------------------------------------------------


PHASES = 4


def _ends(quantity: str, levels: int) -> tuple[Any, Any, Any]:
    """Steps, values at the end and known values, the latter [levels, phases].

    Where in a step the events fall changes the error in its second order, erratically
    in h: so there are grids that start at 0, h/4, h/2, 3h/4 on the exact path.
    """
    flow, path = _flow(), wall().central_path(START, T1)
    t1 = LEFT if quantity == "p" else SLIDING
    h = 0.5 ** np.arange(1, levels + 1)
    scheme = CentralEuler(block=1, substeps=1)
    values, known = np.zeros((2, levels, PHASES))
    for i, size in enumerate(h):
        for j, offset in enumerate(size / PHASES * np.arange(PHASES)):
            start = flow.start(jnp.asarray(path.at(offset).position[0]))
            found: Any = iterate(
                scheme, flow, start, h=size, steps=round(t1 / size), save="last"
            )
            end = path.at(t1 + offset)
            pair = {
                "p": (found.positions[-1, 1], end.position[0, 1]),
                "σ²": (found.aux.trace[-1], end.variance[0]),
            }
            values[i, j], known[i, j] = (float(v) for v in pair[quantity])
    return h, values, known


def _euler(ctx: Context, quantity: str, wrong: float = 1.0) -> Evidence:
    """The mean error at a fixed time over a ladder of steps h = 1/2, 1/4, ..."""
    levels = ctx.choose(6, 8)
    h, values, known = ctx.compiled((quantity, levels), lambda: _ends(quantity, levels))
    errors = np.abs(np.mean(values - wrong * known, axis=1))
    about = f"{quantity} {'on the wall' if quantity == 'σ²' else 'after the exit'}"
    return decide.order(1, h, errors, floor=1e-13, quantity=about)


@claim(
    "central_flow.wall-euler",
    title="Euler steps with a complementarity problem each are of first order",
    source=COHEN,
    statement=r"|\sigma^2_h(t) - \sigma^2(t)| + |w_h(t) - w(t)| = O(h)\quad"
    r"\text{through entry and exit}",
    hypotheses=("the wall, solved in closed form", "one substep a step"),
    grade="measured",
    delta=0.25,
    unit="order in h (steps)",
)
def euler(ctx: Context) -> Iterator[Evidence]:
    """σ² while sliding, and p after the exit."""
    yield _euler(ctx, "σ²")
    yield _euler(ctx, "p")


@euler.control("the wall never left: p = 0 after the exit", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _euler(ctx, "p", wrong=0.0)


@euler.control("σ² = (d + m q)/a, half of it", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _euler(ctx, "σ²", wrong=0.5)


# -- gradient descent itself --------------------------------------------------------


def _descent(ctx: Context, factor: float = 1.0) -> Evidence:
    """The order of sup |x²/σ² - 1| in the curvature of q, over η k t <= 1."""
    eta, a, d, m = 0.05, 2.0, 0.1, 0.05
    slow = 0.1 * 0.5 ** np.arange(ctx.choose(6, 8))
    steps = round(1 / (eta * slow[-1]))
    errors = []
    for k in slow:
        problem = wall(eta, a, d, 3.0, k, m)
        x = run(descent, {"eta": eta}, problem, [np.sqrt(2 * (d + m) / a), 0, 1], steps)
        t = np.arange(round(1 / (eta * k)) + 1)
        sigma = factor * 2 * (d + m * np.exp(-eta * k * t)) / a
        errors.append(float(np.max(np.abs(x[t, 0] ** 2 / sigma - 1))))
    return decide.order(1, slow, errors, floor=1e-12)


@claim(
    "central_flow.wall-descent",
    title="Gradient descent's x² follows the central flow's σ² as drift slows",
    source=COHEN,
    statement=STATEMENT + r":\quad \sup_{\eta k t \le 1}\left|\frac{x_t^2}"
    r"{\sigma^2(t)} - 1\right| = O(k),\quad \sigma^2 ="
    r" \frac{2(d + m e^{-\eta k t})}{a}",
    hypotheses=(
        r"$\eta = 0.05$, $a = 2$, $d = 0.1$, $c = 3$, $m = 0.05$",
        r"start on the orbit: $p = 0$, $x = \sigma$, $q = 1$",
    ),
    grade="measured",
    delta=0.25,
    unit="order in the curvature k of q",
)
def wall_descent(ctx: Context) -> Evidence:
    """Runs of optax.sgd."""
    return _descent(ctx)


@wall_descent.control("σ² = (d + m q)/a, half of it", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _descent(ctx, 0.5)
