"""Second moments of switching quadratics with momentum: five equations that close."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import PowerSchedule, quadratic_sum
from flows.symbolic import exactly, symbols_for_state
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum
from proofs_check.switching_quadratics import example_state, symbolic_process
from sde import (
    ExactJumps,
    StochasticGradientMomentumProcess,
    SwitchingMomentumState,
    UniformIndex,
    simulate,
    transient_switched_moments,
)

MOMENTUM = losing_momentum("the process; its moments are derived here")

CENTRES = np.array([[-1.0], [0.0], [1.5], [2.5]])
CURVATURE, MASS, FRICTION, RATE = 1.3, 0.7, 0.9, 2.0
SPREAD = float(CENTRES.var())


def four_wells(rate: Any = RATE, mass: Any = MASS) -> StochasticGradientMomentumProcess:
    """Four quadratics of one curvature, with momentum."""
    losses = quadratic_sum(CENTRES, CURVATURE)
    return StochasticGradientMomentumProcess(
        losses, UniformIndex(4, rate), mass, FRICTION
    )


def _centre(velocity: float = 0.0) -> SwitchingMomentumState:
    return SwitchingMomentumState(
        jnp.full(1, CENTRES.mean()), jnp.full(1, velocity), jnp.zeros((), int)
    )


# The closed system.


def _products(name: str) -> Any:
    """A = y², B = yv, C = v², D = yξ, E = vξ and ξ² as functions of (x, v, label)."""

    def of(process: Any) -> Any:
        centres = process.objective.centres[:, 0]
        mean = jnp.mean(centres)

        def phi(t: Any, state: Any) -> Any:
            del t
            y, v = state.position[0] - mean, state.velocity[0]
            xi = centres[state.label] - mean
            return {
                "A": y * y,
                "B": y * v,
                "C": v * v,
                "D": y * xi,
                "E": v * xi,
                "q": xi * xi,
            }[name]

        return phi

    return of


def _traced(process: Any, state: Any) -> Any:
    """φ and Lφ of the six products at one state."""
    out = {}
    for name in "ABCDEq":
        phi = _products(name)(process)
        out[name] = phi(0.0, state), process.generator(phi)(0.0, state)
    return out


def _closure(labels: int, convention: str, relaxation: Any = None) -> Evidence:
    process = symbolic_process(labels, momentum=True, convention=convention)
    kappa, m, alpha = process.objective.curvatures, process.mass, process.friction
    gamma, centres = process.index.rate, process.objective.centres[:, 0]
    factor = sympy.Rational(labels, labels - 1)
    r = gamma * (factor if convention == "never_repeat" else 1)
    r = r if relaxation is None else relaxation(gamma)
    spread = sum((a - sum(centres) / labels) ** 2 for a in centres) / labels
    left, right = [], []
    for label in range(labels):
        state = symbols_for_state(example_state(process, label))
        seen = exactly(_traced, process, state)
        a, b, c, d, e, q = (seen[name][0] for name in "ABCDEq")
        left += [seen[name][1] for name in "ABCDEq"]
        right += [
            2 * b,
            c - kappa / m * (a - d) - alpha / m * b,
            2 * kappa / m * (e - b) - 2 * alpha / m * c,
            e - r * d,
            kappa / m * (q - d) - alpha / m * e - r * e,
            -r * (q - spread),
        ]
    return identical(
        np.array(left, object),
        np.array(right, object),
        f"L of six products, N = {labels}, {convention}",
    )


@claim(
    "pdmp.moment-equations",
    title="Five moments of a switching quadratic with momentum close",
    source=MOMENTUM,
    statement=r"A' = 2B,\ B' = C - \tfrac\kappa m(A - D) - \tfrac\alpha m B,\ "
    r"C' = \tfrac{2\kappa}m(E - B) - \tfrac{2\alpha}m C,\ D' = E - rD,\ "
    r"E' = \tfrac\kappa m(s^2 - D) - \tfrac\alpha m E - rE\quad\text{for}\quad"
    r" A = \mathbb E y^2,\ B = \mathbb E yv,\ C = \mathbb E v^2,\ D = \mathbb E y\xi,"
    r"\ E = \mathbb E v\xi,\quad y = x - \bar a,\ \xi = a_I - \bar a",
    hypotheses=(
        r"$f_i = \kappa(x - a_i)^2/2$",
        r"uniform sampling of relaxation rate $r$; mass and rates may change in time",
        r"stationary label (else $q' = -r(q - s^2)$ for $q = \mathbb E\xi^2$)",
    ),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-4,
    unit="E y² in squared position",
)
def equations(ctx: Context) -> Any:
    """The generator on six products, at every label; all parameters are symbols."""
    for labels in ctx.choose((3,), (2, 3, 4)):
        for convention in ("never_repeat", "fresh_draw"):
            yield _closure(labels, convention)


@equations.control("the rate of the clock in place of the relaxation rate")
def _(ctx: Context) -> Evidence:
    return _closure(3, "never_repeat", lambda gamma: gamma)


def _five(t: float, rate: Any, mass: Any, start: Any, tolerance: float) -> float:
    """E y²(t) by the five equations, integrated by scipy."""
    from scipy.integrate import solve_ivp

    k, alpha = CURVATURE, FRICTION

    def rhs(t, m):
        a, b, c, d, e = m
        r, mu = rate(t), mass(t)
        return [
            2 * b,
            c - k / mu * (a - d) - alpha / mu * b,
            2 * k / mu * (e - b) - 2 * alpha / mu * c,
            e - r * d,
            k / mu * (SPREAD - d) - alpha / mu * e - r * e,
        ]

    run = solve_ivp(rhs, (0.0, t), start, method="DOP853", rtol=tolerance, atol=1e-13)
    return float(run.y[0, -1])


TOLERANCES = (1e-5, 1e-7, 1e-9, 1e-11)


@equations.route("matrix exponential", grade="measured")
def _(ctx: Context) -> Any:
    """E y² at two times against the five equations, N = 4 labels."""
    times = np.array([0.5, 2.0])
    found = transient_switched_moments(
        four_wells(), _centre(), times, weights="stationary"
    )
    r = RATE * 4 / 3
    for t, value in zip(times, found.covariance[:, 0, 0], strict=True):
        rungs = [
            _five(t, lambda _: r, lambda _: MASS, np.zeros(5), tol)
            for tol in TOLERANCES
        ]
        yield decide.equal(
            float(value),
            decide.ladder(rungs),
            delta=ctx.delta,
            quantity=f"E y² at t = {t:g}",
        )


@equations.route("losing momentum", grade="measured")
def _(ctx: Context) -> Evidence:
    """A mass 1/(1 + t) and a clock of rate 0.75 (1 + t), at t = 10."""
    process = four_wells(PowerSchedule(0.75, 1.0, 1.0), PowerSchedule(1.0, 1.0, -1.0))
    start_at = [4.0, 0.0, 0.0, 0.0, 0.0]
    references = [
        _five(10.0, lambda t: 1 + t, lambda t: 1 / (1 + t), start_at, tol)
        for tol in TOLERANCES
    ]
    start = _centre()._replace(position=jnp.full(1, CENTRES.mean() + 2.0))
    runs = [
        transient_switched_moments(
            process, start, [10.0], weights="stationary", tolerance=tol
        )
        for tol in (1e-6, 1e-8, 1e-10)
    ]
    mean = CENTRES.mean()
    rungs = [float(m.second[0, 0, 0] - 2 * mean * m.mean[0, 0] + mean**2) for m in runs]
    return decide.equal(
        references[-1],
        decide.ladder(rungs, further=[references]),
        delta=ctx.delta,
        quantity="E y² at t = 10",
    )


@equations.route("Monte Carlo", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Simulated paths with every jump at its own time; four moments are bounded."""
    process = four_wells()
    claimed = transient_switched_moments(
        process, _centre(), [2.0], weights="stationary"
    )

    def squares(seed: int, n: int) -> Any:
        labels = np.random.default_rng(seed).integers(0, 4, n)
        start = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), _centre())
        run = simulate(
            process,
            start._replace(label=jnp.asarray(labels)),
            t1=2.0,
            scheme=ExactJumps(),
            h=2.0,
            key=seed,
            paths=n,
        )
        return (np.asarray(run.final.position)[:, 0] - CENTRES.mean()) ** 2

    value = float(claimed.covariance[0, 0, 0])
    return ctx.mean(squares, value, delta=0.03, quantity="E y² at t = 2, sampled")
