"""Stiff inertial-Newton flows: `solve` by default beside implicit methods of scipy."""

import math
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import expit

from benchmarks.cases.gradient_flow import by_solver, faster
from benchmarks.protocol import Protocol, Row
from benchmarks.work_precision import Problem, Run, measure_curves, scipy_run
from flows import InertialNewtonFlow, at_rest, solve
from flows.problems import ridged_logistic
from flows.stiffness import default_controller, default_solver

DEFAULT = "flows.solve, default"
START = np.array([2.0, -1.5, 1.0])
TOLERANCES = 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10
ERRORS = {1e-6: False, 1e-9: True}
"""Error -> whether targets count: 1e-9 is what `solve` gives at its own tolerances."""
RIVALS = {"Radau, Jacobian": 1 / 5, "Radau": 1 / 5, "LSODA, Jacobian": None}
"""Method of scipy, with the Jacobian or without -> largest ratio of the times."""


CASE = "stiff inertial Newton: time to an error, beside scipy"


def logistic(mass: float, friction: float, damping: float, t1: float) -> Problem:
    """The ridged logistic loss from rest, and the same system in NumPy for scipy."""
    objective = ridged_logistic()
    rows = np.random.default_rng(1).standard_normal((8, 3))
    n, eye = len(START), np.eye(len(START))

    def field(t, y):
        x, v = y[:n], y[n:]
        p = expit(rows @ x)
        pull = rows.T @ (p + damping * p * (1 - p) * (rows @ v)) / 8
        pull = pull + (friction + 0.1 * damping) * v + 0.1 * x
        return np.concatenate([v, -pull / mass])

    def jacobian(t, y):
        x, v = y[:n], y[n:]
        p = expit(rows @ x)
        bend = p * (1 - p)
        turn = bend * (1 - 2 * p) * (rows @ v)
        hessian = (rows.T * bend) @ rows / 8 + 0.1 * eye
        stiff = damping * (rows.T * turn) @ rows / 8 + hessian
        drag = friction * eye + damping * hessian
        return np.block([[0 * eye, eye], [-stiff / mass, -drag / mass]])

    times = np.linspace(0.0, t1, 21)
    start = np.concatenate([START, 0 * START])
    exact = solve_ivp(
        field,
        (0.0, t1),
        start,
        method="Radau",
        jac=jacobian,
        t_eval=times,
        rtol=1e-12,
        atol=1e-14,
    ).y.T
    return Problem(
        f"inertial Newton of mass {mass:g}, friction {friction:g}, Hessian damping "
        f"{damping:g}, T = {t1:g}",
        InertialNewtonFlow(objective, friction, damping, mass),
        field,
        jacobian,
        start,
        times,
        exact[:, :n],
        float(np.linalg.norm(START)),
        1e-2,
    )


def by_default(problem: Problem) -> Callable[[float], Run]:
    """`flows.solve` without a solver: positions."""
    start, times = at_rest(jnp.asarray(START)), jnp.asarray(problem.times)

    def at(rtol):
        atol, span = rtol * problem.atol, (0.0, float(problem.times[-1]))
        chosen = default_solver(problem.flow, start, *span, None)
        if not isinstance(chosen, diffrax.AbstractImplicitSolver):
            raise RuntimeError(f"{problem.name} is not stiff: {chosen}")
        controller = default_controller(chosen, rtol, atol)

        def run():
            found = solve(
                problem.flow,
                start,
                *span,
                stepsize_controller=controller,
                saveat=diffrax.SaveAt(ts=times),
                adjoint=diffrax.ForwardMode(),
            )
            return jax.block_until_ready(found.states.position), math.nan

        return run

    return at


def by_scipy(problem: Problem, name: str, jacobian: bool) -> Callable[[float], Run]:
    """A method of scipy: positions alone."""
    runs = scipy_run(problem, name, jacobian)

    def at(rtol):
        inner = runs(rtol)

        def run() -> tuple[Any, float]:
            states, count = inner()
            return states[:, : len(START)], count

        return run

    return at


def rows(protocol: Protocol) -> list[Row]:
    problems = [logistic(1e-6, 0.5, 1.0, 10.0), logistic(1.0, 0.5, 1e3, 3e3)]
    tolerances, repeats = TOLERANCES, max(3, protocol.repeats // 2)
    if protocol.tiny:
        problems, tolerances, repeats = problems[:1], (1e-4,), 1
    found, lines = [], []
    for problem in problems:
        contenders = {DEFAULT: by_default(problem)}
        for name in RIVALS:
            method, _, jacobian = name.partition(", ")
            contenders[name] = by_scipy(problem, method, bool(jacobian))
        curves = measure_curves(problem, contenders, tolerances, repeats)
        lines += by_solver(problem, curves, kind="")
        if protocol.tiny:
            continue
        for rival, target in RIVALS.items():
            for error, counts in ERRORS.items():
                wanted = target if counts else None
                found.append(
                    faster(problem, curves, DEFAULT, rival, error, wanted, CASE)
                )
    return found + lines
