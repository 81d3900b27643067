"""INNA is Euler, optax.sgd is a point of INNA: recursions, the dictionary, INNAprop."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import (
    HEAVY_BALL_AS_INNA,
    INNA,
    NESTEROV_AS_INNA,
    SGD_AS_INNA,
    from_inertial_newton,
    inna,
    innaprop,
    prove,
    to_inertial_newton,
)
from discretize.inertial_newton import InertialNewtonStep
from discretize.optimizers.inna import InnaState
from flows import InertialNewtonState
from flows.problems import saddle_between_wells
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical, vanishing
from proofs_check.papers import inertial_newton

INNA_PAPER = inertial_newton("the algorithm")
DERIVED = inertial_newton("the algorithm; its dictionary to momentum is derived here")
INNAPROP = Source(
    title="A second-order-like optimizer with adaptive gradient scaling for deep "
    "learning",
    authors="Jérôme Bolte, Ryan Boustany, Edouard Pauwels and Andrei Purica",
    year=2024,
    arxiv="2410.05871",
    location="the algorithm; that it needs no β ≠ γ is derived here",
)
GAMMA, ALPHA, BETA, ETA = sympy.symbols("gamma alpha beta eta", positive=True)
M = 1 / (1 + sympy.Symbol("r", positive=True))  # a momentum in (0, 1)
X, PSI, G0, G1, TRACE = sympy.symbols("x psi g_0 g_1 T", real=True)
START = np.array([0.7, -1.3])


# INNA is explicit Euler.


@claim(
    "inertial.inna-is-euler",
    title="INNA is explicit Euler on the inertial-Newton system in (x, ψ)",
    source=INNA_PAPER,
    statement=r"\psi_{k+1} = \psi_k - \gamma d_k,\ x_{k+1} = x_k - \gamma(d_k +"
    r" \beta\nabla f(x_k)),\quad d_k = (\alpha - \tfrac1\beta)x_k +"
    r" \tfrac1\beta\psi_k",
    hypotheses=(r"$f$ differentiable, $\beta > 0$, $\psi_0 = (1-\alpha\beta)x_0$",),
    grade="proved",
)
def inna_is_euler(ctx: Context) -> Evidence:
    """Two traced steps of the optimiser and of the scheme, every number a symbol."""
    return decide.identity(prove(INNA), name="inna = Euler")


@inna_is_euler.control("a clock 1/1000 too fast")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(INNA, clock=lambda hyper: 1.001 * INNA.clock(hyper))
    return decide.identity(prove(row), name="inna = Euler")


def _sequential(hyper):
    """INNA with x moved by the new ψ."""
    once: Any = INNA.optimizer(hyper)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        after = once.update(updates, state, params)[1]
        seen = InnaState(state.count, after.psi)
        return once.update(updates, seen, params)[0], after

    return optax.GradientTransformation(once.init, update)


@inna_is_euler.control("x moved by the new ψ")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(INNA, optimizer=_sequential)
    return decide.identity(prove(row), name="inna = Euler")


@inna_is_euler.route("bit for bit", grade="measured")
def _(ctx: Context) -> Evidence:
    """200 steps, operation by operation, against the same arithmetic in NumPy."""
    return _bits(0.02, 0.5, 0.1)


def _bits(gamma: float, alpha: float, beta: float) -> Evidence:
    def slope(x):
        return np.array([4 * x[0] * x[0] * x[0] - 8 * x[0], 2 * x[1]])

    def ours(beta):
        optimizer: Any = inna(gamma, alpha, beta)
        x, path = jnp.asarray(START), []
        state = optimizer.init(x)
        for _ in range(200):
            moves, state = optimizer.update(jnp.asarray(slope(x)), state, x)
            x = x + moves
            path.append(np.asarray(x))
        return np.array(path)

    x, psi, path = START, (1 - alpha * beta) * START, []
    for _ in range(200):
        d = (alpha - 1 / beta) * x + (1 / beta) * psi
        x, psi = x + -gamma * (d + beta * slope(x)), psi - gamma * d
        path.append(x)
    found, moved = ours(beta), ours(beta * (1 + 1e-6))
    return decide.exact(
        np.max(np.abs(found - path), axis=1),
        rounding=0.0,
        moved=float(np.max(np.abs(moved - path))),
        delta=1e-6,
    )


# Without ψ.


def _inna_steps(gamma, alpha, beta, x, psi, g0, g1):
    """Two steps of INNA from any (x, ψ): x₁ and x₂."""
    optimizer, state = inna(gamma, alpha, beta), InnaState(jnp.asarray(5), psi)
    return _two(optimizer, state, x, g0, g1)


def _sgd(nesterov: bool | None, eta: Any, m: Any) -> Any:
    """Heavy ball, Nesterov's momentum, or gradient descent (None)."""
    memory = {} if nesterov is None else {"momentum": m, "nesterov": nesterov}
    return optax.sgd(eta, **memory)


def _sgd_steps(nesterov, eta, m, x, trace, g0, g1):
    """Two steps of optax.sgd from any trace, where there is one."""
    optimizer = _sgd(nesterov, eta, m)
    state = jax.tree.map(lambda leaf: trace, optimizer.init(x))
    return _two(optimizer, state, x, g0, g1)


def _two(optimizer, state, x, g0, g1):
    moves, state = optimizer.update(g0, state, x)
    x1 = x + moves
    return x1, x1 + optimizer.update(g1, state, x1)[0]


def _defect(pair, point):
    """x₂ less what the recursion without ψ makes of x and x₁."""
    x1, x2 = pair
    gamma, alpha, beta = point
    return x2 - (
        x1
        + (1 - alpha * gamma) * (x1 - X)
        - beta * gamma * G1
        + (beta - gamma) * gamma * G0
    )


@claim(
    "inertial.inna-recursion",
    title="INNA and momentum obey one two-step recursion, from any memory",
    source=DERIVED,
    statement=r"x_{k+2} = x_{k+1} + (1-\alpha\gamma)(x_{k+1} - x_k) - \beta\gamma"
    r"\nabla f(x_{k+1}) + (\beta-\gamma)\gamma\nabla f(x_k)",
    hypotheses=(
        "any ψ, any trace, any gradients",
        r"heavy ball: $\gamma = \beta = \sqrt\eta$, $\alpha = (1-m)/\sqrt\eta$; "
        r"Nesterov: $\beta = (1+m)\sqrt\eta$",
        r"gradient descent: $\alpha\beta = 1$, $\gamma\beta = \eta$",
    ),
    grade="proved",
)
def inna_recursion(ctx: Context) -> Iterator[Evidence]:
    """Traced steps of `inna` and of optax.sgd; with equal starts, induction does it."""
    point = (GAMMA, ALPHA, BETA)
    yield vanishing(
        _defect(exactly(_inna_steps, *point, X, PSI, G0, G1), point), "recursion, INNA"
    )
    for nesterov in (False, True):
        yield _sgd_recursion(nesterov, nesterov)
    yield _descent_recursion(1)


def _descent_recursion(product: Any) -> Evidence:
    pair = exactly(_sgd_steps, None, GAMMA * BETA, M, X, TRACE, G0, G1)
    return vanishing(_defect(pair, (GAMMA, product / BETA, BETA)), "recursion, descent")


def _sgd_recursion(nesterov: bool, damping: bool) -> Evidence:
    pair = exactly(_sgd_steps, nesterov, ETA, M, X, TRACE, G0, G1)
    point = exactly(to_inertial_newton, ETA, M, damping)
    name = "Nesterov's momentum" if nesterov else "heavy ball"
    return vanishing(_defect(pair, point), f"recursion, {name}")


@inna_recursion.control("Nesterov's momentum with the damping of heavy ball")
def _(ctx: Context) -> Evidence:
    return _sgd_recursion(True, False)


@inna_recursion.control("gradient descent at αβ = 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _descent_recursion(sympy.Rational(1001, 1000))


@inna_recursion.control("γ multiplied by 1 + 1/1000 in the recursion")
def _(ctx: Context) -> Evidence:
    pair = exactly(_inna_steps, GAMMA, ALPHA, BETA, X, PSI, G0, G1)
    wrong = (GAMMA * sympy.Rational(1001, 1000), ALPHA, BETA)
    return vanishing(_defect(pair, wrong), "recursion, INNA")


# The dictionary.


@claim(
    "inertial.sgd-is-inna",
    title="Heavy ball, Nesterov's momentum and gradient descent are points of INNA",
    source=DERIVED,
    statement=r"\gamma = \sqrt\eta,\ \alpha = \tfrac{1-m}{\sqrt\eta},\ \beta ="
    r" \sqrt\eta\ \text{(heavy ball)},\ (1+m)\sqrt\eta\ \text{(Nesterov)};\quad"
    r" \alpha\beta = 1,\ \gamma\beta = \eta\ \text{(gradient descent)}",
    hypotheses=(
        r"$\psi_0 = (1-\alpha\beta)x_0$ beside optax's zero trace",
        r"$0 < m < 1$",
    ),
    grade="proved",
)
def sgd_is_inna(ctx: Context) -> Iterator[Evidence]:
    """The first steps, traced; `inertial.inna-recursion` carries all three on."""
    for row in (HEAVY_BALL_AS_INNA, NESTEROV_AS_INNA, SGD_AS_INNA):
        yield decide.identity(prove(row), name=row.name)


@sgd_is_inna.control("heavy ball with 0.9 of its β")
def _(ctx: Context) -> Evidence:
    def bent(objective, hyper):
        flow: Any = HEAVY_BALL_AS_INNA.dynamics(objective, hyper)
        return dataclasses.replace(flow, hessian_damping=0.9 * flow.hessian_damping)

    row = dataclasses.replace(HEAVY_BALL_AS_INNA, dynamics=bent)
    return decide.identity(prove(row), name=row.name)


@sgd_is_inna.control("ψ started at x")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(
        HEAVY_BALL_AS_INNA,
        scheme_start=lambda flow, hyper, x: InertialNewtonState(x, x),
    )
    return decide.identity(prove(row), name=row.name)


@sgd_is_inna.route("there and back", grade="proved")
def _(ctx: Context) -> Iterator[Evidence]:
    """from_inertial_newton(to_inertial_newton(η, m)) is (η, m); αβ is 1 - m, 1 - m²."""
    for nesterov in (False, True):
        point = exactly(to_inertial_newton, ETA, M, nesterov)
        back = functools.partial(from_inertial_newton, nesterov=nesterov)
        eta, m, _ = exactly(back, *point)
        product = 1 - M**2 if nesterov else 1 - M
        gaps = [eta - ETA, m - M, point.friction * point.hessian_damping - product]
        yield vanishing(gaps, f"(η, m) and αβ, nesterov={nesterov}")


@sgd_is_inna.route("300 steps", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """optax.sgd beside inna in float64 on a loss with a saddle and two wells."""
    for nesterov in (False, True, None):
        yield _long_run(nesterov)


EIGHT = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])


def _scan(optimizer: Any, x0: Any) -> Any:
    objective = saddle_between_wells()

    def one(carry, _):
        x, state = carry
        moves, state = optimizer.update(objective.gradient(x), state, x)
        return (x + moves, state), x + moves

    return jax.lax.scan(one, (x0, optimizer.init(x0)), None, 300)[1]


@functools.partial(jax.jit, static_argnums=0)
def _sgd_run(nesterov: bool | None, eta: Any, m: Any, x0: Any) -> Any:
    return _scan(_sgd(nesterov, eta, m), x0)


@jax.jit
def _inna_runs(point: Any, starts: Any) -> Any:
    return jax.vmap(lambda x0: _scan(inna(*point), x0))(starts)


@jax.jit
def _regrouped(point: Any, x0: Any) -> Any:
    """INNA in another order of summation: d = αx + (ψ - x)/β."""
    gamma, alpha, beta = point

    def init(params: Any) -> Any:
        return params - alpha * beta * params

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        d = alpha * params + (state - params) / beta
        return -gamma * d - gamma * beta * updates, state - gamma * d

    return _scan(optax.GradientTransformation(init, update), x0)


def _long_run(nesterov: bool | None) -> Evidence:
    eta, m, delta = 1e-3, 0.9, 1e-3
    descent = InertialNewtonStep(*np.array([eta / 0.3, 1 / 0.3, 0.3]))
    point = descent if nesterov is None else to_inertial_newton(eta, m, nesterov)
    sgd = np.asarray(_sgd_run(nesterov, eta, m, jnp.asarray(START)))
    starts = START + np.spacing(np.abs(START)) * np.array([[0, 0], *EIGHT])
    ours, *shifted = np.asarray(_inna_runs(point, jnp.asarray(starts)))
    other = np.asarray(_regrouped(point, jnp.asarray(START)))
    bent = point._replace(hessian_damping=(1 + delta) * point.hessian_damping)
    moved = np.asarray(_inna_runs(bent, jnp.asarray(starts)))[0]
    changes = np.array([run - ours for run in (*shifted, other)])
    return decide.exact(
        np.max(np.abs(sgd - ours), axis=1),
        rounding=decide.rounding_allowance(changes),
        moved=float(np.max(np.abs(moved - sgd))),
        delta=delta,
        note=f"nesterov={nesterov}",
    )


# INNAprop.


@claim(
    "inertial.innaprop-form",
    title="INNAprop is INNA on scaled gradients; the authors' form is undefined at β=γ",
    source=INNAPROP,
    statement=r"\psi^+ = (1-\tfrac\gamma\beta)\psi + \gamma(\tfrac1\beta - \alpha)x,"
    r"\quad x^+ = \bigl(1 + \tfrac{\gamma(1-\alpha\beta)}{\beta-\gamma}\bigr)x -"
    r" \tfrac{\gamma}{\beta-\gamma}\psi^+ - \gamma\beta G",
    hypotheses=(
        r"$\beta \ne \gamma$ in the formula, not in the optimiser",
        r"$x$ the decayed parameters $(1-\gamma w)x$",
        r"$G = g/(\sqrt{\hat\nu} + \epsilon)$",
    ),
    grade="proved",
)
def innaprop_form(ctx: Context) -> Iterator[Evidence]:
    """One traced update, two parameters' worth of symbols, against the formula."""
    yield _innaprop(1)


def _innaprop(factor: Any) -> Evidence:
    w, eps, nu, r = sympy.symbols("w epsilon nu r_s", positive=True)
    sigma = 1 / (1 + r)

    def update(gamma, alpha, beta, w, eps, sigma, x, psi, g, nu):
        optimizer: Any = innaprop(gamma, alpha, beta, sigma, eps, w)
        scaled, memory = optimizer.init(x)
        state = (scaled._replace(nu=nu), memory._replace(psi=psi))
        moves, (_, after) = optimizer.update(g, state, x)
        return x + moves, after.psi

    point = (GAMMA, ALPHA, BETA)
    found = exactly(update, *point, w, eps, sigma, X, PSI, G0, nu)
    seen = (1 - GAMMA * w) * X
    mean = sigma * nu + (1 - sigma) * G0**2
    slope = G0 / (sympy.sqrt(mean / (1 - sigma)) + eps)
    psi = (1 - GAMMA / BETA) * PSI + GAMMA * (1 / BETA - ALPHA) * seen
    ahead = GAMMA / (BETA - GAMMA)
    x = (1 + factor * ahead * (1 - ALPHA * BETA)) * seen - ahead * psi
    return identical(
        np.array(list(found), dtype=object),
        np.array([x - GAMMA * BETA * slope, psi], dtype=object),
        "(x⁺, ψ⁺)",
    )


@innaprop_form.control("the factor of x times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _innaprop(sympy.Rational(1001, 1000))
