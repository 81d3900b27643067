"""Gradient flow in closed form, and what holds of it for every loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from discretize import SGD, OptaxStep
from flows import Facts, GradientFlow, Objective, solve
from flows.problems import (
    deep_linear,
    double_well,
    exponential,
    least_squares,
    logistic,
    quadratic,
    rosenbrock,
    scalar_product,
    taylor_polynomial,
)
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.relations import UpperBound

SAXE = Source(
    title="Exact solutions to the nonlinear dynamics of learning in deep linear "
    "neural networks",
    authors="Andrew M. Saxe, James L. McClelland and Surya Ganguli",
    year=2014,
    arxiv="1312.6120",
    location="products of layers; the others are elementary",
)
ELEMENTARY = Source(title="Elementary properties of gradient flow, derived here")


class SideBySide(Objective):
    """Σ_i f_i(x_i) on separate coordinates: flows that share one compilation."""

    facts: Facts
    parts: tuple[Objective, ...]

    @property
    def size(self) -> int:
        """Number of all coordinates."""
        return sum(part.size for part in self.parts)

    def split(self, x: Any) -> list[Any]:
        """The coordinates x_i of each loss, along the last axis."""
        ends = np.cumsum([part.size for part in self.parts])[:-1]
        return jnp.split(x, ends, axis=-1)

    def value(self, x: Any, batch: Any = None) -> Any:
        """The sum."""
        pairs = zip(self.parts, self.split(x), strict=True)
        return sum(part.value(block, batch) for part, block in pairs)

    def gradient(self, x: Any, batch: Any = None) -> Any:
        """The gradients, one after another."""
        pairs = zip(self.parts, self.split(x), strict=True)
        return jnp.concatenate([part.gradient(block, batch) for part, block in pairs])


def paths(
    objectives: Sequence[Objective], starts: Any, times: Any, tolerance: float
) -> list[np.ndarray]:
    """Gradient flow's positions [times, n] of each objective, by an explicit solver."""
    together = SideBySide(Facts(), tuple(objectives))
    run = solve(
        GradientFlow(together),
        jnp.concatenate([jnp.asarray(start, float) for start in starts]),
        0.0,
        float(times[-1]),
        stepsize_controller=diffrax.PIDController(
            rtol=tolerance, atol=1e-4 * tolerance
        ),
        saveat=diffrax.SaveAt(ts=jnp.asarray(times, float)),
    )
    return [np.asarray(block) for block in together.split(run.positions)]


def ladder_of_tolerances(ctx: Context) -> tuple[float, ...]:
    """Three tolerances for a ladder, smaller at effort full."""
    return (1e-8, 1e-10, 1e-12) if ctx.full else (1e-7, 1e-9, 1e-11)


# Closed forms.

TIME = 1.0
PROBLEMS: dict[str, tuple[Any, list[float]]] = {
    "quadratic": (
        quadratic([0.5, 2.0, 10.0], centre=[1.0, 0.5, -1.0], rotation=0),
        [1.0, -2.0, 0.5],
    ),
    "least squares": (
        least_squares([[1.0, 2.0, 0.5], [-1.0, 0.5, 2.0]], [1.0, -0.5]),
        [0.3, 0.4, -0.5],
    ),
    "logistic": (logistic(), [-1.0]),
    "exponential": (exponential(), [-1.0]),
    "two-layer product": (scalar_product(2, 1.5), [0.1, 0.1]),
    "three-layer product": (scalar_product(3, -1.5), [0.4, -0.4, 0.4]),
    "four-layer product": (scalar_product(4, 0.75), [1.2, 1.2, -1.2, -1.2]),
}


@claim(
    "gradient_flow.closed-forms",
    title="Gradient flow meets its closed forms",
    source=SAXE,
    statement=r"x(t) = x_* + e^{-At}(x_0 - x_*);\quad"
    r" w + e^w = t + w_0 + e^{w_0};\quad w = \log(t + e^{w_0});\quad"
    r" \dot s = N s^{2-2/N}(A - s),\ s = w_1\cdots w_N,\quad"
    r" s(t) = \frac{A e^{2At}}{e^{2At} - 1 + A/s_0}\ (N = 2)",
    hypotheses=(r"products start balanced: $|w_1| = \dots = |w_N|$",),
    grade="measured",
    delta=1e-8,
    quick_delta=1e-7,
    unit="ratio of each coordinate to its closed form",
)
def forms(ctx: Context) -> Iterator[Evidence]:
    """Each coordinate over its closed form, with a ladder of three tolerances."""
    for name in PROBLEMS:
        yield _form(ctx, name)


def _ends(ctx: Context, bend: np.ndarray) -> dict[str, np.ndarray]:
    """Positions [tolerances, n] at the end; the three layers' start times `bend`."""
    objectives, starts = zip(*PROBLEMS.values(), strict=True)
    begin = [np.asarray(start) for start in starts]
    begin[list(PROBLEMS).index("three-layer product")] *= bend
    runs = [
        paths(objectives, begin, [TIME], tolerance)
        for tolerance in ladder_of_tolerances(ctx)
    ]
    return {
        name: np.concatenate([run[i] for run in runs])
        for i, name in enumerate(PROBLEMS)
    }


def _form(
    ctx: Context, name: str, scale: float = 1.0, bend: tuple[float, ...] = (1, 1, 1)
) -> Evidence:
    ends = ctx.compiled((ctx.effort, bend), lambda: _ends(ctx, np.array(bend)))
    objective, start = PROBLEMS[name]
    exact = np.asarray(objective.gradient_flow_map(TIME, jnp.asarray(start)))
    ratios = ends[name] / (scale * exact)[None, :]
    worst = int(np.argmax(np.abs(ratios[-1] - 1)))
    return decide.equal(
        1.0,
        decide.ladder(ratios[:, worst]),
        delta=ctx.delta,
        quantity=name,
        data={"kind": "constant"},
    )


@forms.control("exact ends off by 1e-6", expected=1 / (1 + 1e-6))
def _(ctx: Context) -> Evidence:
    return _form(ctx, "logistic", 1 + 1e-6)


@forms.control("three layers of the same product, not balanced")
def _(ctx: Context) -> Evidence:
    return _form(ctx, "three-layer product", bend=(2.0, 0.5, 1.0))


# Gradient descent on a quadratic.


@claim(
    "gradient_flow.gd-quadratic",
    title="On a quadratic, gradient descent multiplies by I - ηA",
    source=ELEMENTARY,
    statement=r"x_k = x_* + (I - \eta A)^k (x_0 - x_*)\ \text{(optax.sgd)},\qquad"
    r" f = \tfrac12 (x - x_*)^\top A (x - x_*)",
    grade="proved",
    delta=0.001,
)
def gd_quadratic(ctx: Context) -> Evidence:
    """Three steps of optax.sgd traced; A (2 × 2), centre, start and η are symbols."""
    return _three_steps(1)


def _descend(f: Objective, x: Any, eta: Any, steps: int) -> Any:
    optimizer = OptaxStep(SGD.optimizer, {"learning_rate": eta})
    flow = GradientFlow(f)
    carry = optimizer.init(flow, 0.0, x)
    for _ in range(steps):
        x, carry, _ = optimizer.step(flow, 0.0, x, eta, None, carry)
    return x


def _three_steps(factor: Any) -> Evidence:
    import sympy

    eta, x = sympy.Symbol("eta", real=True), symbol_vector("x", 2)
    model = symbols_like(quadratic(np.eye(2), centre=[1.0, 1.0]))
    matrix, centre = sympy.Matrix(model.matrix), model.centre
    symmetric: dict[Any, Any] = {model.matrix[1, 0]: model.matrix[0, 1]}
    found = exactly(lambda f, x, eta: _descend(f, x, eta, 3), model, x, eta)
    power = (sympy.eye(2) - factor * eta * matrix) ** 3
    u = power * sympy.Matrix(x - centre)
    pairs = [(found[i], centre[i] + u[i]) for i in range(2)]
    found, expected = (
        np.array([side.subs(symmetric) for side in sides], dtype=object)
        for sides in zip(*pairs, strict=True)
    )
    return identical(found, expected, "three steps of optax.sgd", route="traced")


@gd_quadratic.control("η (1 + 1/1000) in the power")
def _(ctx: Context) -> Evidence:
    import sympy

    return _three_steps(1 + sympy.Rational(1, 1000))


# What holds for every loss.


LANDSCAPES: dict[str, tuple[Any, list[float]]] = {
    "Rosenbrock's valley": (rosenbrock(2, 10.0), [-0.5, 1.0]),
    "double well": (double_well(), [0.05]),
    "two-layer linear network": (
        deep_linear(np.diag([1.0, 0.5]), (2,)),
        [0.3, -0.1, 0.2, 0.1, 0.2, 0.3, -0.2, 0.4],
    ),
    "an affine loss": (taylor_polynomial(2, 1, [3.0, -4.0]), [0.5, 0.5]),
}


@claim(
    "gradient_flow.length",
    title="The distance gone is at most √(time × energy spent)",
    source=ELEMENTARY,
    statement=r"|x(t) - x(s)| \le \sqrt{(t-s)\,(f(x(s)) - f(x(t)))}"
    r" \le \sqrt{(t-s)\,(f(x(0)) - \inf f)}",
    relation=UpperBound(1.0),
    hypotheses=(r"$f$ continuously differentiable and bounded below",),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-5,
    unit="distance over its bound",
)
def length(ctx: Context) -> Iterator[Evidence]:
    """The largest ratio over pairs of times; equality on an affine loss."""
    ratios = _ratios(ctx)
    for name, values in ratios.items():
        # Differences of the energy at neighbouring times lose a digit or two.
        found = decide.ladder(values, condition=100.0)
        note = "every pair of 21 times in [0, 4]"
        yield ctx.equal(found, quantity=name, note=note)
    found = decide.ladder(ratios["an affine loss"], condition=100.0)
    yield decide.equal(1.0, found, delta=ctx.delta, quantity="equality is attained")


def _ratios(ctx: Context) -> dict[str, list[float]]:
    """The largest ratio of each landscape, one a tolerance."""
    objectives, starts = zip(*LANDSCAPES.values(), strict=True)
    times = np.linspace(0.0, 4.0, 21)

    def largest(objective, x):
        energy = np.asarray(jax.vmap(objective.value)(jnp.asarray(x)))
        i, j = np.triu_indices(len(times), 1)
        gone = np.linalg.norm(x[j] - x[i], axis=1)
        return np.max(gone / np.sqrt((times[j] - times[i]) * (energy[i] - energy[j])))

    def measure():
        runs = [paths(objectives, starts, times, t) for t in ladder_of_tolerances(ctx)]
        return {
            name: [largest(objectives[k], run[k]) for run in runs]
            for k, name in enumerate(LANDSCAPES)
        }

    return ctx.compiled(("ratios", ctx.effort), measure)


@length.control("half of the energy spent", expected=np.sqrt(2.0))
def _(ctx: Context) -> Evidence:
    ratios = np.sqrt(2.0) * np.array(_ratios(ctx)["an affine loss"])
    return ctx.equal(decide.ladder(ratios, condition=100.0))
