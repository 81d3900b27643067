"""A vanishing mass, a vanishing friction: how far Newton's path is, to first order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flows import (
    Flow,
    InertialNewtonFlow,
    PhaseState,
    PowerSchedule,
    at_rest,
    inertial_oscillation,
    levenberg_marquardt_flow,
    reference,
)
from flows.problems import quadratic, ridged_logistic
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import variable_mass

PAPER = variable_mass(
    "the limits of the flow with a mass that vanishes; orders and constants derived "
    "here"
)
X0 = jnp.array([2.0, -1.5, 1.0])
ALPHA, BETA = 0.5, 1.0
TIMES = np.linspace(0.25, 10.0, 40)
CURVATURES = np.array([0.1, 0.4, 1.5])
CLOSE = np.geomspace(0.05, 30.0, 4000)
"""Times of the closed forms: near enough for the largest distance to 1e-6."""


# On quadratics, by closed forms.


def _first_order(t: np.ndarray) -> np.ndarray:
    """The path of (α I + β A) x' = -A x on every mode, shape [times, modes]."""
    rate = CURVATURES / (ALPHA + BETA * CURVATURES)
    return np.asarray(X0) * np.exp(-np.outer(t, rate))


@functools.cache
def _oscillations(slipped: bool) -> Callable[..., Any]:
    """Mass -> positions at the times `CLOSE`, from rest or from the slow velocity."""
    f = quadratic(CURVATURES)
    slow = -X0 * jnp.asarray(CURVATURES / (ALPHA + BETA * CURVATURES))
    start = PhaseState(X0, slow) if slipped else at_rest(X0)

    def positions(mass):
        flow = InertialNewtonFlow(f, ALPHA, BETA, mass)
        moved = jax.vmap(lambda t: inertial_oscillation(flow, start, t).position)
        return moved(jnp.asarray(CLOSE))

    return jax.jit(positions)


def _mode_of_mass(t: np.ndarray, slipped: bool) -> np.ndarray:
    r"""The first-order term x₁ of x_ε = x_LM + ε x₁ beyond the boundary layer.

    γ x₁' + λ x₁ = -x_LM'' with γ = α + βλ, x₁(0) = (v₀ + λx₀/γ)/γ.
    """
    friction = ALPHA + BETA * CURVATURES
    s = np.outer(t, CURVATURES / friction)
    amplitude = np.asarray(X0) * CURVATURES / friction**2
    return amplitude * ((0.0 if slipped else 1.0) - s) * np.exp(-s)


def _mass_constant(slipped: bool, claimed_slipped: bool | None = None) -> Evidence:
    """Sup over t >= 0.05 of |x_ε - x_LM|/ε on three modes, ε -> 0."""
    masses = 2e-3 * 0.5 ** np.arange(6)
    limit = _first_order(CLOSE)
    run = _oscillations(slipped)
    errors = [
        np.max(np.linalg.norm(np.asarray(run(m)) - limit, axis=1)) for m in masses
    ]
    claimed_slipped = slipped if claimed_slipped is None else claimed_slipped
    law = np.max(np.linalg.norm(_mode_of_mass(CLOSE, claimed_slipped), axis=1))
    return decide.leading_constant(
        law, masses, errors, 1, delta=1e-3, floor=1e-13, route="closed form"
    )


def _friction_constant(factor: float = 1.0) -> Evidence:
    """Sup of |x_LM - x_Newton|/α on three modes, against |x₀ t/λ| e^{-t/β}/β²."""
    frictions = 2e-3 * 0.5 ** np.arange(6)
    t = CLOSE[:, None]
    newton = np.asarray(X0) * np.exp(-t / BETA)
    errors = []
    for alpha in frictions:
        rate = CURVATURES / (alpha + BETA * CURVATURES)
        path = np.asarray(X0) * np.exp(-t * rate)
        errors.append(np.max(np.linalg.norm(path - newton, axis=1)))
    law = np.asarray(X0) / CURVATURES * t * np.exp(-t / BETA) / BETA**2
    claimed = factor * np.max(np.linalg.norm(law, axis=1))
    return decide.leading_constant(
        claimed, frictions, errors, 1, delta=1e-3, floor=1e-13, route="closed form"
    )


# On a loss that is no quadratic, by solutions to rounding.


def _path(flow: Flow, start: Any) -> np.ndarray:
    return np.asarray(reference(flow, start, TIMES, tolerance=1e-12).positions)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.max(np.linalg.norm(one - other, axis=1)))


def _mass_order(friction_of_limit: float = ALPHA, lost: bool = False) -> Evidence:
    """Order in ε of the distance to the Levenberg–Marquardt path, from rest."""
    f, masses = ridged_logistic(), 0.02 * 0.5 ** np.arange(6)
    limit = _path(levenberg_marquardt_flow(f, friction_of_limit, BETA), X0)

    def path(mass):
        law = PowerSchedule(mass, 1.0, -1.0) if lost else mass
        return _path(InertialNewtonFlow(f, ALPHA, BETA, law), at_rest(X0))

    errors = [_distance(path(m), limit) for m in masses]
    return decide.order(1, masses, errors, floor=1e-10, route="solved")


def _friction_order(power: float = 1.0) -> Evidence:
    """Order in α of the distance from the Levenberg–Marquardt to the Newton path."""
    f, frictions = ridged_logistic(), 4e-3 * 0.5 ** np.arange(6)
    newton = _path(levenberg_marquardt_flow(f, 0.0, BETA), X0)
    errors = [
        _distance(_path(levenberg_marquardt_flow(f, a**power, BETA), X0), newton)
        for a in frictions
    ]
    about = {"floor": 1e-10, "q": power, "route": "solved"}
    return decide.order(1, frictions, errors, **about)


@claim(
    "inertial.small-mass",
    title="Inertial Newton of small mass ε is within O(ε) of Levenberg–Marquardt",
    source=PAPER,
    statement=r"\sup_t|x_\varepsilon - x_{\rm LM}| = O(\varepsilon);\quad"
    r" f = \tfrac12\sum\lambda_i x_i^2,\ \gamma_i = \alpha+\beta\lambda_i,"
    r"\ s_i = \lambda_i t/\gamma_i:\quad x_\varepsilon - x_{\rm LM} ="
    r" \varepsilon\,\tfrac{\lambda_i x_i(0)}{\gamma_i^2}\,(c - s_i)\,e^{-s_i}"
    r" + O(\varepsilon^2),\ c = 1\ \text{from rest},\ c = 0\ \text{from}\ "
    r"\dot x_{\rm LM}(0)",
    hypotheses=(
        r"$\varepsilon\ddot x + \alpha\dot x + \beta\nabla^2\!f\,\dot x = -\nabla f$",
        r"$\alpha + \beta\lambda_{\min} > 0$, of order 1",
        "outside the boundary layer of length ε/γ",
    ),
    grade="measured",
    delta=0.75,
    unit="order in ε; sup |x_ε - x_LM|/ε (unit of x over that of ε)",
)
def small_mass(ctx: Context) -> Iterator[Evidence]:
    """The order on the ridged logistic loss; the constant on a quadratic."""
    yield _mass_order()
    yield _mass_constant(slipped=False)
    yield _mass_constant(slipped=True)


@small_mass.control("the limit has friction 2α", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _mass_order(2 * ALPHA)


@small_mass.control("from rest, with the constant of the slow start")
def _(ctx: Context) -> Evidence:
    return _mass_constant(slipped=False, claimed_slipped=True)


@small_mass.route("a mass that is lost, ε/(1 + t)", grade="measured")
def _(ctx: Context) -> Evidence:
    return _mass_order(lost=True)


@claim(
    "inertial.small-friction",
    title="Levenberg–Marquardt of small friction α is within O(α) of Newton's path",
    source=PAPER,
    statement=r"\sup_t|x_{\rm LM} - x_{\rm Newton}| = O(\alpha);\quad"
    r" f = \tfrac12\sum\lambda_i x_i^2:\quad x_{\rm LM} - x_{\rm Newton} ="
    r" \alpha\,\tfrac{x_i(0)}{\beta\lambda_i}\,\tfrac t\beta e^{-t/\beta}"
    r" + O(\alpha^2)",
    hypotheses=(
        r"$f$ $\mu$-strongly convex",
        r"$\alpha \ll \beta\mu$",
    ),
    grade="measured",
    delta=0.75,
    unit="order in α; sup |x_LM - x_Newton|/α (unit of x over that of α)",
)
def small_friction(ctx: Context) -> Iterator[Evidence]:
    """The order on the ridged logistic loss; the constant on a quadratic."""
    yield _friction_order()
    yield _friction_constant()


@small_friction.control("friction √α", expected=0.5)
def _(ctx: Context) -> Evidence:
    return _friction_order(0.5)


@small_friction.control("the constant times 1.01")
def _(ctx: Context) -> Evidence:
    return _friction_constant(1.01)
