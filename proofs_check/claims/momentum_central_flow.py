"""A central flow for momentum, proposed here: exact orbits, slow drift, digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import CentralEuler
from flows import CentralFlow, iterate
from flows.central import Momentum
from flows.problems import valley, wall
from flows.symbolic import equal_symbolically, exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence

OURS = Source(
    title="Proposed in this package: a central flow for momentum",
    location="no paper; derivation in flows.central.Momentum, after the central flow "
    "of gradient descent of arXiv 2410.24206",
)
EQUATION = (
    r"\dot w = -P^{-1}\left[\nabla L + \tfrac12\nabla\langle H,\Sigma\rangle\right],"
    r"\quad 0 \preceq \Sigma \perp cP - H \succeq 0,\quad P = \frac{1-\beta}{\eta},"
    r"\quad cP = \frac{2(1+\beta)}{\eta}"
)
PROPOSED = "a proposal of this package, in no paper"


def polyak(eta, beta):
    """Heavy ball."""
    return optax.sgd(eta, momentum=beta)


def nesterov(eta, beta):
    """Nesterov's momentum, as optax writes it."""
    return optax.sgd(eta, momentum=beta, nesterov=True)


FORMS: dict[str, Callable] = {"polyak": polyak, "nesterov": nesterov}


def _step(form: str, eta: Any, beta: Any, objective: Any, x: Any, trace: Any) -> Any:
    """One update of optax from a given momentum buffer: (x, buffer)."""
    optimizer = FORMS[form](eta, beta)
    state = optax.tree_utils.tree_set(optimizer.init(x), trace=trace)
    updates, state = optimizer.update(objective.gradient(x), state, x)
    return optax.apply_updates(x, updates), optax.tree_utils.tree_get(state, "trace")


def _oscillating(form: str, eta: Any, beta: Any, x: Any) -> Any:
    """The buffer's entry that goes with a step from x to -x at the edge.

    Heavy ball: x - η v = -x with v the new buffer, and the old one is -v. Nesterov: the
    buffer alternates too, v = g/(1+β), with g = c P x.
    """
    if form == "polyak":
        return -2 * x / eta
    return -2 * x / (eta * (1 + 2 * beta))


# -- exact orbits ---------------------------------------------------------------


def _orbit(form: str, threshold: Callable) -> Iterator[Evidence]:
    """Optax's step from the orbit, minus its mirror image; all numbers symbols."""
    eta, a, depth, k = sympy.symbols("eta a depth k", positive=True)
    beta = 1 / (1 + sympy.Symbol("r", positive=True))
    amplitude = sympy.Symbol("amplitude", positive=True)
    lowest = threshold(eta, beta) - a * depth  # s(z*) = s + a z* is the threshold
    descent = a * amplitude**2 / 2 + k * depth  # x² = 2 (d - k z*)/a

    def image(eta, beta, s, a, d, k, x, z, v):
        objective = valley()
        made = eqx.tree_at(
            lambda o: o.parameters, objective, {"s": s, "a": a, "d": d, "k": k}
        )
        start, trace = jnp.stack([x, z]), jnp.stack([v, jnp.zeros_like(v)])
        return _step(form, eta, beta, made, start, trace)

    v = _oscillating(form, eta, beta, amplitude)
    arguments = (eta, beta, lowest, a, descent, k, amplitude, depth, v)
    new, buffer = exactly(image, *arguments)
    wanted = {"x": (new[0], -amplitude), "z": (new[1], depth)}
    wanted |= {"buffer of x": (buffer[0], -v), "buffer of z": (buffer[1], 0)}
    for name, (found, value) in wanted.items():
        same = equal_symbolically(found, sympy.sympify(value))
        yield decide.identity(same, name=f"{form}, {name}")


@claim(
    "central_flow.momentum-orbit",
    title="Momentum has the orbit that its proposed central flow rests on, exactly",
    source=OURS,
    statement=r"L = s(z)\tfrac{x^2}2 + f(z):\quad x \mapsto -x,\ z = z^*,\quad"
    r" s(z^*) = cP,\quad x^2 = \sigma^2 = -\frac{2f'(z^*)}{s'(z^*)}",
    hypotheses=(
        PROPOSED,
        r"$s$ linear, $f$ quadratic, $0 < \beta < 1$",
        r"Polyak: $cP = 2(1+\beta)/\eta$; Nesterov: $2(1+\beta)/((1+2\beta)\eta)$",
    ),
    grade="proved",
    unit="identity",
)
def momentum_orbit(ctx: Context) -> Iterator[Evidence]:
    """Optax's traced step from the orbit is its mirror image; all numbers symbols."""
    yield from _orbit("polyak", lambda eta, b: 2 * (1 + b) / eta)
    yield from _orbit("nesterov", lambda eta, b: 2 * (1 + b) / ((1 + 2 * b) * eta))


@momentum_orbit.control("gradient descent's threshold 2/η")
def _(ctx: Context) -> Evidence:
    return next(_orbit("polyak", lambda eta, b: 2 / eta))


@momentum_orbit.control("Polyak's threshold for Nesterov's form")
def _(ctx: Context) -> Evidence:
    return next(_orbit("nesterov", lambda eta, b: 2 * (1 + b) / eta))


# -- slow drift along a wall ------------------------------------------------------

ETA, DESCENT, NARROWING, STIFFNESS, COUPLING = 0.05, 0.1, 2.0, 3.0, 0.05


def _rule(form: str, beta: float) -> Momentum:
    return Momentum(ETA, beta, form=form)  # pyright: ignore


def _wall(rule: Momentum, slow: float) -> Any:
    """A wall at the rule's own edge, pressed on by a variable of curvature `slow`."""
    threshold = float(rule.edge * rule.preconditioner(0.0, None))
    return wall(2 / threshold, NARROWING, DESCENT, STIFFNESS, slow, COUPLING)


def _variance(q: Any) -> Any:
    return 2 * (DESCENT + COUPLING * q) / NARROWING


def _largest_error(form: str) -> Callable:
    """(objective, β, rate of q, steps) -> sup over the run of |x²/σ²(t) - 1|."""

    @eqx.filter_jit
    def run(objective, beta, rate, steps):
        x = jnp.stack([jnp.sqrt(_variance(1.0)), jnp.asarray(0.0), jnp.asarray(1.0)])
        k = objective.parameters["k"]
        trace = jnp.stack(
            [_oscillating(form, ETA, beta, x[0]), jnp.asarray(0.0), k / (1 - beta)]
        )

        def body(i, loop):
            x, trace, worst = loop
            x, trace = _step(form, ETA, beta, objective, x, trace)
            sigma = _variance(jnp.exp(-rate * (i + 1)))
            return x, trace, jnp.maximum(worst, jnp.abs(x[0] ** 2 / sigma - 1))

        return jax.lax.fori_loop(0, steps, body, (x, trace, jnp.asarray(0.0)))[2]

    return run


def _drift(ctx: Context, form: str, beta: float, wrong: float = 1.0) -> Evidence:
    """The order of sup|x²/σ² - 1| in the speed of the drift, over a fixed descent."""
    rule = _rule(form, beta)
    p = float(rule.preconditioner(0.0, None))
    speeds = 0.05 * 0.5 ** np.arange(ctx.choose(6, 8))
    run = ctx.compiled(("drift", form), lambda: _largest_error(form))
    errors = []
    for k in speeds:
        steps = round(2 * p / k)  # until q has fallen to exp(-2)
        rate = wrong * k / p
        errors.append(float(run(_wall(rule, k), jnp.asarray(beta), rate, steps)))
    return decide.order(1, speeds, errors, floor=1e-12, quantity=f"{form}, β = {beta}")


@claim(
    "central_flow.momentum-drift",
    title="Momentum's oscillation follows its proposed central flow as drift slows",
    source=OURS,
    statement=EQUATION + r";\quad \sup_t\left|\frac{x_k^2}{\sigma^2(k)} - 1\right|"
    r" = O(k_q),\quad q(t) = e^{-k_q t/P}",
    hypotheses=(
        PROPOSED,
        r"a wall of sharpness at $cP$, pressed on by $q$ of curvature $k_q$",
        "the start on the orbit, with its buffer",
    ),
    grade="measured",
    unit="order in the curvature of q",
)
def momentum_drift(ctx: Context) -> Iterator[Evidence]:
    """Polyak at β = 1/2; at effort full also β = 0.9, and Nesterov's form."""
    yield _drift(ctx, "polyak", 0.5)
    if ctx.full:
        yield _drift(ctx, "polyak", 0.9)
        yield _drift(ctx, "nesterov", 0.5)


@momentum_drift.control("the speed of gradient descent, P = 1/η", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _drift(ctx, "polyak", 0.5, wrong=0.5)


@momentum_drift.route("the stepped central flow", grade="measured")
def _(ctx: Context) -> Evidence:
    """Tr Σ of `CentralEuler` on the wall, at 4, 8 and 16 substeps, after 100 steps."""
    rule, k = _rule("polyak", 0.5), 0.05
    p = float(rule.preconditioner(0.0, None))
    flow = CentralFlow(_wall(rule, k), rule)
    values = []
    for substeps in (4, 8, 16):
        scheme = CentralEuler(block=1, substeps=substeps)
        start = flow.start(jnp.array([0.0, 0.0, 1.0]))
        run = iterate(scheme, flow, start, h=1.0, steps=100)
        values.append(float(run.aux.trace[-1]))  # pyright: ignore
    mean = float(np.mean(_variance(np.exp(-k * (99 + (np.arange(16) + 0.5) / 16) / p))))
    return decide.equal(mean, decide.ladder(values), delta=1e-3, quantity="tr Σ")
