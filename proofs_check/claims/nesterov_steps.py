"""Nesterov's convex method in one sequence: two indices, and no schedule of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training, nag_c, nag_c_momentum, nag_sc
from flows import iterate
from flows.problems import ridged_logistic
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import high_resolution, nesterov_flow

STEPS = 4
RATE = sympy.Symbol("s", positive=True)
FRICTION = sympy.Symbol("r", positive=True)
STRONG = sympy.Symbol("mu", positive=True)


def _moves(build: Callable, hyper: Any, gradients: Any) -> list[Any]:
    """Positions after each step from 0 of an optimiser that meets these gradients."""

    def run(hyper, gradients):
        optimizer = optax.with_extra_args_support(build(*hyper))
        x = jnp.zeros(())
        state, path = optimizer.init(x), []
        for g in gradients:
            update, state = optimizer.update(g, state, x)
            x = optax.apply_updates(x, update)
            path.append(x)
        return path

    return exactly(run, hyper, list(gradients))


def _su(gradients: Any, shift: int = 0) -> list[Any]:
    """y_1, y_2, ... of the two sequences of Su, Boyd and Candès, from 0."""
    x = y = sympy.Integer(0)
    path = []
    for k, g in enumerate(gradients, start=1):
        new = y - RATE * g
        c = nag_c_momentum(k + shift, friction=FRICTION, indexing="su")
        x, y = new, new + c * (new - x)
        path.append(y)
    return path


def _shi(gradients: Any) -> list[Any]:
    """x_1, x_2, ... of the two sequences of Shi, Du, Jordan and Su, from 0."""
    x = y = sympy.Integer(0)
    path = []
    for k, g in enumerate(gradients):
        new = x - RATE * g
        c = nag_c_momentum(k, friction=FRICTION, indexing="shi")
        y, x = new, new + c * (new - y)
        path.append(x)
    return path


@claim(
    "inertial.nag-c-two-indices",
    title="NAG-C keeps its memory by c_{k-1} and looks ahead by c_k",
    source=nesterov_flow("Nesterov's scheme with (k-1)/(k+r-1)"),
    statement=r"x_k = y_{k-1} - s\nabla f(y_{k-1}),\ y_k = x_k + c_k(x_k - x_{k-1})"
    r"\iff d_k = c_{k-1}d_{k-1} - s\nabla f(y_{k-1}),\ y_k - y_{k-1} = c_kd_k"
    r" - s\nabla f(y_{k-1}),\qquad c_k = \frac{k-1}{k+r-1}",
    hypotheses=("any loss: the gradients are symbols", "the first four steps"),
    grade="proved",
    delta=1e-6,
)
def two_indices(ctx: Context) -> Iterator[Evidence]:
    """The traced optimiser against both papers' pairs of sequences."""
    g = symbol_vector("g", STEPS)
    ours = _moves(nag_c, (RATE, FRICTION), g)
    yield identical(ours, _su(g), "y_1, ..., y_4 of Su, Boyd and Candès")
    yield identical(ours, _shi(g), "x_1, ..., x_4 of Shi, Du, Jordan and Su")


def _scheduled(rate, friction):
    """Nesterov's momentum of optax, its one coefficient on NAG-C's schedule."""

    def momentum(k):
        return nag_c_momentum(k, friction=friction, indexing="shi")

    return scheduled_nesterov(rate, momentum)


def scheduled_nesterov(rate: Any, momentum: Callable) -> Any:
    """`optax.sgd(rate, momentum(k), nesterov=True)`, step by step.

    Args:
        rate: learning rate.
        momentum: step k, from 0 -> the coefficient of that step, which optax uses both
            to decay its trace and to look ahead.

    Returns:
        An optax optimiser whose state counts its steps.
    """

    def init_fn(params):
        return jnp.zeros((), jnp.int32), optax.trace(0.0, nesterov=True).init(params)

    def update_fn(updates, state, params=None):
        k, trace = state
        decay = momentum(k.astype(jnp.result_type(float)))
        updates, trace = optax.trace(decay, nesterov=True).update(updates, trace)
        return optax.tree.scale(-rate, updates), (k + 1, trace)

    return optax.GradientTransformation(init_fn, update_fn)


@two_indices.control("optax's momentum on the schedule k/(k+r)")
def _(ctx: Context) -> Evidence:
    g = symbol_vector("g", STEPS)
    return identical(_moves(_scheduled, (RATE, FRICTION), g), _su(g), "optax, k/(k+r)")


@two_indices.control("the coefficient one step ahead")
def _(ctx: Context) -> Evidence:
    g = symbol_vector("g", STEPS)
    return identical(_moves(nag_c, (RATE, FRICTION), g), _su(g, shift=1), "c_{k+1}")


def _along(build: Callable, hyper: Any, steps: int = 200) -> np.ndarray:
    """Positions of an optimiser on a logistic loss; s = 0.01."""
    step = OptaxStep(build, tuple(jnp.asarray(h) for h in hyper))
    start = jnp.array([2.0, -1.5, 1.0])
    training = Training(ridged_logistic())
    return np.asarray(iterate(step, training, start, h=1.0, steps=steps).positions)


def _nag_c(hyper):
    return nag_c(*hyper)


def _one_index(hyper):
    return _scheduled(*hyper)


def _two_sequences(rate: float, steps: int = 200) -> np.ndarray:
    """The formula in numpy, on the same loss."""
    objective = ridged_logistic()
    points, ridge = -np.asarray(objective.data.tree), float(objective.ridge)
    x = y = np.array([2.0, -1.5, 1.0])
    path = [y]
    for k in range(1, steps + 1):
        p = 1 / (1 + np.exp(-(points @ y)))
        new = y - rate * (points.T @ p / len(points) + ridge * y)
        x, y = new, new + (k - 1) / (k + 2) * (new - x)
        path.append(y)
    return np.array(path)


def _gap(path: np.ndarray, delta: float) -> Evidence:
    reference, scale = _two_sequences(0.01), 2.0
    moved = np.abs(_two_sequences(0.01 * (1 + delta)) - reference).max() / scale
    # 200 steps of a few dozen roundings each, none of them amplified
    return decide.exact(
        np.abs(path - reference).max(axis=1) / scale,
        rounding=200 * 24 * float(np.finfo(float).eps),
        moved=float(moved),
        delta=delta,
        route="logistic loss, s = 0.01",
    )


@two_indices.route("200 steps on a logistic loss against numpy", grade="measured")
def _(ctx: Context) -> Evidence:
    return _gap(_along(_nag_c, (0.01, 3.0)), ctx.delta)


@two_indices.control("the same for optax's momentum on the schedule")
def _(ctx: Context) -> Evidence:
    return _gap(_along(_one_index, (0.01, 3.0)), ctx.delta)


# No schedule at all.


def _equations(build: Callable, coefficients: Any, target: Any) -> list[Any]:
    """What it takes for the optimiser to move like the target, gradient by gradient."""
    g = symbol_vector("g", len(target))
    made = _moves(build, (sympy.Integer(1), coefficients), g)
    wanted = [e.subs({RATE: 1, FRICTION: 3}) for e in _su(g)]
    rest = [sympy.expand(a - b) for a, b in zip(made, wanted, strict=True)]
    found = [sympy.expand(e).coeff(symbol) for e in rest for symbol in g]
    return [e for e in found if e != 0]


def _listed(rate, coefficients):
    """Optax's Nesterov momentum, the coefficient of step k being the k-th given."""

    def init_fn(params):
        return 0, optax.trace(0.0, nesterov=True).init(params)

    def update_fn(updates, state, params=None):
        k, trace = state
        one = optax.trace(coefficients[k], nesterov=True)
        updates, trace = one.update(updates, trace)
        return optax.tree.scale(-rate, updates), (k + 1, trace)

    return optax.GradientTransformation(init_fn, update_fn)


def _inconsistent(equations: list[Any], unknowns: Any) -> Evidence:
    """Whether 1 lies in their ideal: then no choice, complex ones included, solves."""
    basis = sympy.groebner(equations, *unknowns, order="lex")
    _, rest = basis.reduce(sympy.Integer(1))
    return identical([rest], [sympy.Integer(0)], "1 in the ideal (Gröbner basis)")


@claim(
    "inertial.nag-c-no-schedule",
    title="No schedule of its momentum makes optax's Nesterov momentum NAG-C",
    source=high_resolution("NAG-C with k/(k+3); derived here"),
    statement=r"\nexists\,(m_k):\ \texttt{sgd(s, momentum=}m_k\texttt{, nesterov=True)}"
    r" = \text{NAG-C}:\quad m_k = c_{k+1},\ m_k^2 = c_{k+1}c_k"
    r" \text{ contradict each other at } k = 1",
    hypotheses=(
        "any loss: the gradients of the first steps are symbols",
        "constant learning rate",
    ),
    grade="proved",
)
def no_schedule(ctx: Context) -> Evidence:
    """The equations on m_0, ..., m_3 from the traced steps have no common zero."""
    m = sympy.symbols("m0:4")
    return _inconsistent(_equations(_listed, list(m), [0] * STEPS), m)


@no_schedule.control("two steps without the memory: solved by m = (0, 1/4)")
def _(ctx: Context) -> Evidence:
    m = sympy.symbols("m0:2")
    equations = _equations(_listed, list(m), [0] * 2)
    kept = [e for e in equations if sympy.degree(e, m[1]) < 2]
    return _inconsistent(kept, m)


@no_schedule.control("two coefficients a step: decay and look-ahead apart")
def _(ctx: Context) -> Evidence:
    m = sympy.symbols("m0:8")
    return _inconsistent(_equations(_two_coefficients, list(m), [0] * STEPS), m)


def _two_coefficients(rate, coefficients):
    """Momentum whose trace decays by m_{2k}, and which looks ahead by m_{2k+1}."""

    def init_fn(params):
        return 0, jnp.zeros_like(params)

    def update_fn(updates, state, params=None):
        k, trace = state
        trace = coefficients[2 * k] * trace + updates
        ahead = updates + coefficients[2 * k + 1] * trace
        return -rate * ahead, (k + 1, trace)

    return optax.GradientTransformation(init_fn, update_fn)


@claim(
    "inertial.nag-sc-is-sgd-nesterov",
    title="NAG-SC is optax.sgd(nesterov=True) with momentum (1-√(μs))/(1+√(μs))",
    source=high_resolution("NAG-SC; derived here"),
    statement=r"\mathrm{NAG\text{-}SC}(s,\mu) = \texttt{sgd(s, momentum=m, "
    r"nesterov=True)},\ m = \frac{1-\sqrt{\mu s}}{1+\sqrt{\mu s}};\qquad"
    r" x_1 = x_0 - \frac{2s\nabla f(x_0)}{1+\sqrt{\mu s}}",
    hypotheses=("any loss: the gradients are symbols", "the first four steps"),
    grade="proved",
)
def is_sgd(ctx: Context) -> Iterator[Evidence]:
    """Both traced, s and μ symbols; and the first step, as the paper starts."""
    g = symbol_vector("g", STEPS)
    ours = _moves(nag_sc, (RATE, STRONG), g)
    yield identical(ours, _moves(_constant, (RATE, STRONG), g), "NAG-SC = optax.sgd")
    first = -2 * RATE * g[0] / (1 + sympy.sqrt(STRONG * RATE))
    yield identical([ours[0]], [first], "first step")


def _constant(rate, strong, nesterov: bool = True):
    root = jnp.sqrt(strong * rate)
    return optax.sgd(rate, momentum=(1 - root) / (1 + root), nesterov=nesterov)


@is_sgd.control("heavy ball with the same momentum")
def _(ctx: Context) -> Evidence:
    g = symbol_vector("g", STEPS)
    heavy = _moves(lambda *hyper: _constant(*hyper, nesterov=False), (RATE, STRONG), g)
    return identical(_moves(nag_sc, (RATE, STRONG), g), heavy, "heavy ball")
