"""Gradient descent on a weight-normalised loss: Euler in (s, w), and what it keeps."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import (
    SGD,
    WEIGHT_NORMALISED_SGD,
    Euler,
    OptaxStep,
    Training,
    compare,
    weight_normalised_sgd,
)
from flows import WeightNormalisedFlow, WeightNormalisedState, polar
from flows import weight_normalised as reparametrised
from flows.problems import taylor_polynomial
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.weight_normalisation import (
    SCALE,
    WU,
    regression,
    ridge_function,
)
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

# Gradient descent in (s, w).


def generic_step(make, scheme, w: Any, clock: float = 1) -> Evidence:
    """One step of the optimiser's transformation and of the scheme, from any (s, w)."""

    def sides(eta, rate, s, w, g):
        f = eqx.tree_at(lambda f: f.coefficients, taylor_polynomial(2, 1), g)
        flow = WeightNormalisedFlow(f, rate)
        y = WeightNormalisedState(s, w)
        x = flow.position(y)
        optimizer = make(eta, rate)
        first, _ = optimizer.init(x)
        updates, (_, z) = optimizer.update(g, (first, y), x)
        new = scheme.step(flow, 0.0, y, clock * eta, None, None).y
        return [*z, x + updates], [*new, flow.position(new)]

    eta, rate = sympy.symbols("eta c_s", positive=True)
    s, g = symbol_vector("s", 1, positive=True), symbol_vector("g", 2)
    optimiser, flow = exactly(sides, eta, rate, s, w, g)
    return identical(optimiser, flow, "(s, w, x) after a step")


@claim(
    "gradient_flow.weight-normalised-descent-is-euler",
    title="Weight-normalised gradient descent is Euler's step on its flow",
    source=WU,
    statement=r"s \leftarrow s - c_s\eta\langle u, r\rangle,\quad"
    r" w \leftarrow w - \eta\tfrac{s}{|w|}(r - u\langle u, r\rangle)"
    r"\;=\; \text{the explicit Euler step of size } \eta",
    hypotheses=(r"$f$ differentiable", r"$w \ne 0$"),
    grade="proved",
    delta=0.001,
)
def is_euler(ctx: Context) -> Evidence:
    """Both traced from a generic (s, w), with generic gradient, η and c_s."""
    return generic_step(weight_normalised_sgd, Euler(), symbol_vector("w", 2))


@is_euler.control("a clock 1/1000 too fast")
def _(ctx: Context) -> Evidence:
    w = symbol_vector("w", 2)
    return generic_step(weight_normalised_sgd, Euler(), w, clock=1.001)


def _same_as_sgd(ctx: Context, wrong: float) -> Evidence:
    """The transformation on f beside optax.sgd on F(s, w) = f(s w/|w|)."""
    problem, eta, steps = regression(), 0.02, ctx.choose(200, 600)
    x0 = 0.2 * problem.direction
    pairs_of_f = reparametrised(problem.objective)

    def of_pairs(start, rate):
        run = compare(
            pairs_of_f,
            SGD(learning_rate=rate),
            polar(jnp.asarray(start)),
            steps=steps,
            flow=False,
            check_sharpness=False,
        )
        s, w = (np.asarray(a) for a in run.discrete.states)
        return s * w / np.linalg.norm(w, axis=1)[:, None]

    pairing = WEIGHT_NORMALISED_SGD(learning_rate=eta * wrong)
    run = compare(
        problem.objective, pairing, x0, steps=steps, flow=False, allow_unstable=True
    )
    pairs, rng = of_pairs(x0, eta), ctx.rng("ulp")
    changes = []
    for _ in range(8):
        nudged = np.nextafter(x0, x0 + rng.choice([-1.0, 1.0], x0.size))
        changes.append(decide.relative_distance(of_pairs(nudged, eta), pairs).max())
    moved = of_pairs(x0, eta * (1 + ctx.delta))
    return decide.exact(
        decide.relative_distance(run.positions, pairs),
        rounding=decide.rounding_allowance(changes),
        moved=float(decide.relative_distance(moved, pairs).max()),
        delta=ctx.delta,
        note=f"{steps} steps, 20 weights, η = {eta:g}",
    )


@is_euler.route("optax.sgd on f(s w/|w|)", grade="measured")
def _(ctx: Context) -> Evidence:
    return _same_as_sgd(ctx, 1.0)


@is_euler.control("optax.sgd with η (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _same_as_sgd(ctx, 1.001)


# What every step keeps.


@claim(
    "gradient_flow.weight-norm-growth",
    title="Gradient descent on a weight-normalised loss lengthens w, by Pythagoras",
    source=WU,
    statement=r"F(s, w) = f(s w/|w|):\quad"
    r" |w_{k+1}|^2 = |w_k|^2 + \eta^2\,|\nabla_w F(s_k, w_k)|^2",
    hypotheses=(r"$f$ differentiable", r"$w \ne 0$"),
    grade="proved",
    delta=0.001,
)
def growth(ctx: Context) -> Evidence:
    """A step of optax.sgd traced from a generic (s, w), the gradient of f generic."""
    return _growth(1)


def _growth(factor: float, momentum: float | None = None) -> Evidence:
    def sides(f, eta, s, w):
        objective = reparametrised(f)
        y = WeightNormalisedState(s, w)
        step = OptaxStep(lambda rate: optax.sgd(rate, momentum), eta)
        carry = step.init(None, 0.0, y)
        z = y
        for _ in range(1 if momentum is None else 2):
            y, (z, carry, _) = z, step.step(Training(objective), 0, z, 0, None, carry)
        slope = jax.grad(objective.loss_of)(y).direction
        before, after = jnp.sum(y.direction**2), jnp.sum(z.direction**2)
        return after, before + factor * eta**2 * jnp.sum(slope**2)

    f = symbols_like(taylor_polynomial(2, 1))
    eta = sympy.Symbol("eta", positive=True)
    s, w = symbol_vector("s", 1), symbol_vector("w", 2)
    found = exactly(sides, f, eta, s, w)
    return identical(*found, name="|w|² after a step")


@growth.control("η² times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _growth(1.001)


@growth.control("heavy ball, second step")
def _(ctx: Context) -> Evidence:
    return _growth(1, 0.5)


@growth.route("400 steps on least squares", grade="measured")
def _(ctx: Context) -> Evidence:
    """|w_k|² beside |w_0|² + η² Σ |∂F/∂w|² over all steps before."""
    problem, eta = regression(), 0.02
    objective, start = reparametrised(problem.objective), problem.start(SCALE)

    def lengths(start, eta):
        pairing = SGD(learning_rate=eta)
        run = compare(
            objective, pairing, start, steps=400, flow=False, check_sharpness=False
        )
        slopes = jax.vmap(jax.grad(objective.value))(run.discrete.positions)[:-1, 1:]
        grown = eta**2 * np.cumsum(np.sum(np.asarray(slopes) ** 2, axis=1))
        w = np.asarray(run.discrete.states.direction)
        squares = np.sum(w**2, axis=1)
        return squares, squares[0] + np.concatenate([[0.0], grown])

    squares, claimed = lengths(start, eta)
    rng, changes = ctx.rng("ulp"), []
    for _ in range(8):
        w = np.asarray(start.direction)
        w = np.nextafter(w, w + rng.choice([-1.0, 1.0], w.size))
        nudged, _ = lengths(start._replace(direction=jnp.asarray(w)), eta)
        changes.append(decide.relative_distance(nudged, squares).max())
    moved, _ = lengths(start, eta * (1 + ctx.delta))
    return decide.exact(
        decide.relative_distance(squares, claimed),
        rounding=decide.rounding_allowance(changes),
        moved=float(decide.relative_distance(moved, squares).max()),
        delta=ctx.delta,
    )


@claim(
    "gradient_flow.unseen-part-stays",
    title="Gradient descent never moves what the data do not see",
    source=dataclasses.replace(WU, location="gradient descent beside WN; elementary"),
    statement=r"f(x) = g(Ax),\ P A^\top = 0:\quad P x_{k+1} = P x_k",
    hypotheses=(r"$f$ sees $x$ only through $Ax$",),
    grade="proved",
)
def unseen_part(ctx: Context) -> Evidence:
    """A step of optax.sgd traced, A and g generic, in two variables."""
    return _unseen_part(optax.sgd)


def _unseen_part(make) -> Evidence:
    def sides(f, eta, x):
        step = OptaxStep(make, eta)
        carry = step.init(None, 0.0, x)
        z = step.step(Training(f), 0.0, x, 0.0, None, carry).y
        a, b = (f.parameters[name] for name in "ab")
        return -b * z[0] + a * z[1], -b * x[0] + a * x[1]

    f = symbols_like(ridge_function())
    eta = sympy.Symbol("eta", positive=True)
    found = exactly(sides, f, eta, symbol_vector("x", 2))
    return identical(*found, name="P x after a step")


@unseen_part.control("Adam: the step has another direction than the gradient")
def _(ctx: Context) -> Evidence:
    return _unseen_part(functools.partial(optax.adam, b1=0.5, b2=0.75))


@unseen_part.control("sign descent")
def _(ctx: Context) -> Evidence:
    return _unseen_part(optax.sign_sgd)
