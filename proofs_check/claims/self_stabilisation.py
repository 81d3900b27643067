"""The cubic model at the edge of stability: closed cycles, and descent that leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import SGD, Euler
from discretize.optimiser import OptaxStep, Training
from flows import SelfStabilisation, iterate
from flows.problems import valley
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import central_flows

DAMIAN = Source(
    title="Self-Stabilization: The Implicit Bias of Gradient Descent at the Edge of "
    "Stability",
    authors="Alex Damian, Eshaan Nichani and Jason D. Lee",
    year=2023,
    arxiv="2209.15594",
    location="the cubic model; what is claimed of it is derived here",
)
COHEN = central_flows("the central flow with one critical eigenvalue")

X = sympy.Symbol("X", positive=True)
Y = sympy.Symbol("Y", real=True)
ETA = sympy.Symbol("eta", positive=True)
ALPHA, BETA = 0.2, 1.0
START = (0.3, 0.0)


class Bent(SelfStabilisation):
    """The model with `factor` times its β X²/2, its energy kept."""

    factor: Any = 1

    def vector_field(self, t, y):
        """(X Y, α - factor β X²/2)."""
        bent = dataclasses.replace(self, beta=self.factor * self.beta)
        return SelfStabilisation.vector_field(bent, t, y)


def symbolic_model(factor: Any = 1) -> Bent:
    """The model with α and β symbols."""
    return symbols_like(Bent(ALPHA, BETA, factor))


def state() -> np.ndarray:
    """(X, Y) as symbols, X > 0."""
    return np.array([X, Y], dtype=object)


def energy_rate(model, y):
    """L E at y."""
    return model.generator(lambda t, y: model.energy(y))(0.0, y)


def sharpness_rate(model, y):
    """L Y at y."""
    return model.generator(lambda t, y: y[1])(0.0, y)


@claim(
    "central_flow.cubic-energy",
    title="The cubic model of self-stabilisation conserves an energy",
    source=DAMIAN,
    statement=r"\dot X = XY,\ \dot Y = \alpha - \tfrac\beta2 X^2:\quad"
    r" \frac{d}{ds}\Bigl[\tfrac12 Y^2 + \tfrac\beta4 X^2 - \alpha\log X\Bigr] = 0",
    hypotheses=(r"$X > 0$", r"time $s = \eta k$"),
    grade="proved",
)
def cubic_energy(ctx: Context) -> Evidence:
    """The generator on E, traced; α and β symbols."""
    return _energy(1)


def _energy(factor) -> Evidence:
    rate = exactly(energy_rate, symbolic_model(factor), state())
    return identical(rate, 0, "L E = 0")


@cubic_energy.control("βX² in place of βX²/2")
def _(ctx: Context) -> Evidence:
    return _energy(2)


# The mean of X² over a cycle, and the central flow's covariance.


@claim(
    "central_flow.cubic-mean",
    title="Over a cycle of the cubic model the mean of X² is exactly δ² = 2α/β",
    source=DAMIAN,
    statement=r"\dot Y = \tfrac\beta2(\delta^2 - X^2),\ \delta^2 = 2\alpha/\beta:"
    r"\quad \oint X^2\,ds = \delta^2\oint ds\ \text{ on every closed orbit}",
    hypotheses=("the orbit is closed, as level sets of the energy are",),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-4,
    unit="mean of X² over δ²",
)
def cubic_mean(ctx: Context) -> Evidence:
    """The generator on Y; around a closed orbit Y returns, so the right side is 0."""
    return _mean(1)


def _mean(factor) -> Evidence:
    model = symbolic_model(factor)
    rate = exactly(sharpness_rate, model, state())
    claimed = model.beta / 2 * (model.variance - X**2)
    return identical(rate, claimed, "L Y = β(δ² - X²)/2")


@cubic_mean.control("βX² in place of βX²/2")
def _(ctx: Context) -> Evidence:
    return _mean(2)


def cycle_mean(factor: float, points: int) -> float:
    """∮ X² ds/∮ ds over δ², by the midpoint rule on an orbit of its own energy."""
    model = SelfStabilisation(ALPHA, factor * BETA)
    energy = model.energy(jnp.array(START))
    low, high = np.log(model.turning_points(energy))
    theta = np.pi * ((np.arange(points) + 0.5) / points - 0.5)
    q = (low + high) / 2 + (high - low) / 2 * np.sin(theta)
    potential = factor * BETA / 4 * np.exp(2 * q) - ALPHA * q
    weight = np.cos(theta) / np.sqrt(float(energy) - potential)
    return float(weight @ np.exp(2 * q) / weight.sum() / (2 * ALPHA / BETA))


def _quadrature(ctx: Context, factor: float) -> Evidence:
    rungs = [cycle_mean(factor, points) for points in (8, 16, 32)]
    note = f"α = {ALPHA}, β = {BETA}, from {START}; 8 to 32 points"
    # the weight is 0/0 at the turning points, and loses digits there
    measured = decide.ladder(rungs, condition=1e4)
    return decide.equal(1.0, measured, delta=ctx.delta, note=note)


@cubic_mean.route("quadrature over the orbit", grade="measured")
def _(ctx: Context) -> Evidence:
    return _quadrature(ctx, 1.0)


@cubic_mean.control("quadrature, βX² in place of βX²/2", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _quadrature(ctx, 2.0)


@claim(
    "central_flow.cubic-is-central",
    title="The central flow's covariance, once settled along u, is δ² = 2α/β",
    source=COHEN,
    statement=r"\langle\dot w, u\rangle = 0,\ \langle\dot w, \nabla S\rangle = 0"
    r"\ \text{ for }\ \dot w = -\eta(g + \tfrac{\sigma^2}{2}\nabla S):\quad"
    r" \sigma^2 = \frac{2\alpha}{\beta},\ \alpha = -\langle g,"
    r" P_u^\perp\nabla S\rangle,\ \beta = |P_u^\perp\nabla S|^2",
    hypotheses=(
        "one critical eigenvalue",
        "the fast motion along $u$, of rate 2 a step, has settled",
    ),
    grade="proved",
)
def cubic_is_central(ctx: Context) -> Evidence:
    """Both conditions solved for σ² and ⟨g, u⟩ in three dimensions, all symbols."""
    return _settled(True)


def _settled(settles: bool) -> Evidence:
    g = sympy.symbols("g0:3", real=True)
    slope = sympy.symbols("d0:3", real=True)  # ∇S; u is the first axis
    variance = sympy.Symbol("v")
    velocity = [a + variance / 2 * b for a, b in zip(g, slope, strict=True)]
    pinned = sum(a * b for a, b in zip(velocity, slope, strict=True))
    unknown = [variance, g[0]] if settles else [variance]
    conditions = [pinned, velocity[0]][: len(unknown)]
    found = sympy.solve(conditions, unknown, dict=True)[0][variance]
    alpha = -(g[1] * slope[1] + g[2] * slope[2])
    beta = slope[1] ** 2 + slope[2] ** 2
    if not settles:
        found = found.subs(g[0], 0)
    return identical(found, 2 * alpha / beta, "σ² = 2α/β")


@cubic_is_central.control("before it has settled, at ⟨g, u⟩ = 0")
def _(ctx: Context) -> Evidence:
    return _settled(False)


# Gradient descent on the model's loss.


@claim(
    "central_flow.cubic-is-descent",
    title="Gradient descent on a straight valley is explicit Euler on the cubic model",
    source=DAMIAN,
    statement=r"f = (\tfrac2\eta + az)\tfrac{x^2}2 - dz,\ y = az:\quad"
    r" (|x_k|, y_k) \text{ are Euler steps of size } \eta \text{ of }"
    r" \dot X = XY,\ \dot Y = \alpha - \tfrac\beta2X^2;\quad"
    r" \alpha = ad,\ \beta = a^2",
    hypotheses=(r"$1 + \eta y_k > 0$",),
    grade="proved",
)
def cubic_is_descent(ctx: Context) -> Evidence:
    """Two steps of optax.sgd and of Euler traced, from (x, z); x changes its sign."""
    return _descent(1)


def descend(objective, eta, x, steps):
    """Positions of optax.sgd after each step."""
    step = OptaxStep(SGD.optimizer, {"learning_rate": eta})
    carry, found = step.init(None, 0.0, x), []
    for _ in range(steps):
        x, carry, _ = step.step(Training(objective), 0.0, x, eta, None, carry)
        found.append(x)
    return found


def _descent(factor) -> Evidence:
    a, d, eta = sympy.symbols("a d eta", positive=True)
    x, z = sympy.symbols("x z", real=True)
    letters = {"s": 2 / eta, "a": a, "d": d, "k": sympy.Integer(0)}
    loss = eqx.tree_at(lambda f: f.parameters, valley(), letters)

    def steps(loss, eta, start):
        a, d = loss.parameters["a"], loss.parameters["d"]
        model, y = Bent(a * d, a**2, factor), start * jnp.stack([jnp.ones_like(a), a])
        euler = []
        for _ in range(2):
            y = Euler().step(model, 0.0, y, eta, None, None).y
            euler.append(y)
        return descend(loss, eta, start, 2), euler

    sgd, euler = exactly(steps, loss, eta, np.array([x, z], dtype=object))
    shown = [np.array([(-1) ** (k + 1) * p[0], a * p[1]]) for k, p in enumerate(sgd)]
    return identical(np.array(shown), np.array(euler), "optax.sgd = Euler")


@cubic_is_descent.control("βX² in place of βX²/2")
def _(ctx: Context) -> Evidence:
    return _descent(2)


@claim(
    "central_flow.cubic-descent-spirals",
    title="Gradient descent spirals out of the cubic model's cycles, at every step",
    source=DAMIAN,
    statement=r"E_{k+1} - E_k = \alpha\,[\eta Y - \log(1+\eta Y)]"
    r" + \eta^2\Bigl[\tfrac\beta4X^2Y^2 + \tfrac12(\alpha-\tfrac\beta2X^2)^2\Bigr]"
    r" > 0\ \text{ except at rest};\quad"
    r" \det D\Phi_\eta(\delta, 0) = 1 + 2\alpha\eta^2",
    hypotheses=(r"$1 + \eta Y > 0$", r"the bracket is $\ge 0$: $\log(1+z) \le z$"),
    grade="proved",
)
def cubic_descent_spirals(ctx: Context):
    """The energy after an Euler step, and the Jacobian of the step at rest, traced."""
    yield _gain(1)
    yield _determinant(2)


def _gain(factor) -> Evidence:
    model = symbolic_model()

    def gain(model, y, eta):
        return model.energy(y + eta * model.vector_field(0.0, y)) - model.energy(y)

    a, b = model.alpha, model.beta
    climb = a * (ETA * Y - sympy.log(1 + ETA * Y))
    square = b * X**2 * Y**2 / 4 + (a - b * X**2 / 2) ** 2 / 2
    found = exactly(gain, model, state(), ETA)
    return identical(found, climb + factor * ETA**2 * square, "E after a step - E")


def _determinant(factor) -> Evidence:
    model = symbolic_model()

    def jacobian(model, eta):
        return jax.jacfwd(lambda y: y + eta * model.vector_field(0.0, y))(model.rest)

    found = sympy.Matrix(exactly(jacobian, model, ETA)).det()
    return identical(found, 1 + factor * model.alpha * ETA**2, "det DΦ at rest")


@cubic_descent_spirals.control("squares 1/1000 larger")
def _(ctx: Context) -> Evidence:
    return _gain(1 + sympy.Rational(1, 1000))


@cubic_descent_spirals.control("det = 1 + αη²")
def _(ctx: Context) -> Evidence:
    return _determinant(1)


@claim(
    "central_flow.cubic-descent-mean",
    title="However far it has spiralled, descent's mean x² is δ²",
    source=DAMIAN,
    statement=r"x_k^2 = \delta^2\Bigl(1 - \frac{y_{k+1}-y_k}{\alpha\eta}\Bigr):\quad"
    r" \frac1K\sum_{k<K} x_k^2 = \delta^2\Bigl(1 - \frac{y_K-y_0}{\alpha\eta K}"
    r"\Bigr)",
    grade="proved",
    delta=1e-3,
    quick_delta=1e-2,
    unit="mean of x² over δ²",
)
def cubic_descent_mean(ctx: Context) -> Evidence:
    """One step of the map solved for x²; the sum telescopes."""
    return _telescopes(1)


def _telescopes(factor) -> Evidence:
    model = symbolic_model(factor)

    def rise(model, y, eta):
        return eta * model.vector_field(0.0, y)[1]

    rise_ = exactly(rise, model, state(), ETA)
    claimed = model.variance * (1 - rise_ / (model.alpha * ETA))
    return identical(X**2, claimed, "x² by y's rise")


@cubic_descent_mean.control("βx² in place of βx²/2")
def _(ctx: Context) -> Evidence:
    return _telescopes(2)


def _whole_cycles(ctx: Context, factor: float) -> Evidence:
    """The mean between the first and the last time that y comes up through 0.

    A rise of y is at most αη, so y_K - y_0 is, and the mean is δ² up to 1/K.
    """
    eta, steps = 0.02, ctx.choose(20_000, 80_000)
    slope = np.sqrt(factor * BETA)
    loss = valley(2 / eta, slope, ALPHA / slope, 0.0)
    step = OptaxStep(SGD.optimizer, {"learning_rate": jnp.asarray(eta)})
    start = jnp.array([START[0], START[1] / slope])
    run = iterate(step, Training(loss), start, h=eta, steps=steps)
    x, y = np.asarray(run.positions).T
    first, *_, last = np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0))
    mean = np.mean(x[first:last] ** 2) / (2 * ALPHA / BETA)
    measured = decide.Measurement(float(mean), bias=1 / (last - first))
    note = f"optax.sgd, η = {eta}, largest |x| {np.abs(x).max():.2f}"
    return decide.equal(1.0, measured, delta=ctx.delta, note=note)


@cubic_descent_mean.route("optax.sgd over whole cycles", grade="measured")
def _(ctx: Context) -> Evidence:
    return _whole_cycles(ctx, 1.0)


@cubic_descent_mean.control("optax.sgd at twice the β", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _whole_cycles(ctx, 2.0)
