"""Error against work: solvers over tolerances on one flow, and what an error costs."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from flows import Flow, GradientFlow, solve
from flows.problems import digits_mlp, quadratic

OURS = "flows.ROCK4"


@dataclass(frozen=True)
class Problem:
    """A flow with its solution at some times.

    Attributes:
        name: for the page.
        flow: the model.
        field: the same field on numpy arrays, for scipy.
        jacobian: its Jacobian, or None.
        start: shape [n].
        times: shape [k], the first being the start.
        exact: states at those times, shape [k, n].
        scale: errors are relative to it: |start| or |end|.
        atol: absolute over relative tolerance.
    """

    name: str
    flow: Flow
    field: Callable[..., Any]
    jacobian: Callable[..., Any] | None
    start: np.ndarray
    times: np.ndarray
    exact: np.ndarray
    scale: float
    atol: float

    def error(self, states: Any) -> float:
        """Largest distance over the times, relative."""
        gaps = np.linalg.norm(np.asarray(states) - self.exact, axis=1)
        return float(gaps.max() / self.scale)


@dataclass(frozen=True)
class Curve:
    """One solver's runs, a tolerance each.

    Attributes:
        errors: shape [r].
        gradients: evaluations of the field, shape [r]; NaN where Jacobians count too.
        seconds: CPU seconds, shape [r, repeats].
        busy: wall over CPU.
    """

    errors: np.ndarray
    gradients: np.ndarray
    seconds: np.ndarray
    busy: float

    def at(self, error: float, work: np.ndarray) -> float:
        """Work at an error, between the runs by powers; NaN below the smallest error.

        Above the largest error the loosest run is what it costs.
        """
        order = np.argsort(self.errors)
        x, y = np.log(self.errors[order]), np.log(work[order])
        return math.nan if math.log(error) < x[0] else _power(math.log(error), x, y)

    def gradients_at(self, error: float) -> float:
        """Evaluations of the field at an error."""
        return self.at(error, self.gradients)

    def seconds_at(self, error: float) -> np.ndarray:
        """CPU seconds at an error, of each repeat."""
        return np.array([self.at(error, s) for s in self.seconds.T])


def _power(x, xs, ys) -> float:
    return float(np.exp(np.interp(x, xs, ys)))


def stiff_quadratic(kappa: float, n: int = 100, t1: float = 10.0) -> Problem:
    """Eigenvalues log-spaced in [1, κ], start (1, ..., 1): exact solution known."""
    spectrum, times = np.geomspace(1.0, kappa, n), np.linspace(0.0, t1, 101)
    matrix = -np.diag(spectrum)
    return Problem(
        f"quadratic, n = {n}, condition {kappa:g}, T = {t1:g}",
        GradientFlow(quadratic(spectrum)),
        lambda t, y: -spectrum * y,
        lambda t, y: matrix,
        np.ones(n),
        times,
        np.exp(-np.outer(times, spectrum)),
        math.sqrt(n),
        1.0,
    )


def digits(t1: float, rows: int, hidden: int = 16) -> Problem:
    """A tanh network on digits, square loss; solved by Dopri8 at 1e-11 beforehand."""
    objective, params = digits_mlp(rows=rows, hidden=hidden)
    flow, start = GradientFlow(objective), objective.ravel(params)
    gradient = jax.jit(lambda f, y: f.vector_field(0.0, y)).lower(flow, start).compile()
    times = np.linspace(0.0, t1, 21)
    exact = np.asarray(
        solve(
            flow,
            start,
            0.0,
            t1,
            solver=diffrax.Dopri8(),
            stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-13),
            saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
        ).positions
    )
    return Problem(
        f"digits, 64-{hidden}-10 tanh network, {rows} rows, T = {t1:g}",
        flow,
        lambda t, y: np.asarray(gradient(flow, y)),
        None,
        np.asarray(start),
        times,
        exact,
        float(np.linalg.norm(exact[-1])),
        1e-2,
    )


Run = Callable[[], tuple[Any, float]]


def ours(problem: Problem, solver: Any) -> Callable[[float], Run]:
    """`flows.solve` with a diffrax solver, forward mode; states and evaluations."""
    start, times = jnp.asarray(problem.start), jnp.asarray(problem.times)
    tableau = getattr(solver, "tableau", None)
    implicit = isinstance(solver, diffrax.AbstractImplicitSolver)

    def at(rtol):
        controller = diffrax.PIDController(rtol=rtol, atol=rtol * problem.atol)

        def run():
            found = solve(
                problem.flow,
                start,
                0.0,
                float(times[-1]),
                solver=solver,
                stepsize_controller=controller,
                saveat=diffrax.SaveAt(ts=times),
                adjoint=diffrax.ForwardMode(),
                max_steps=1_000_000,
            )
            stats, count = found.stats, math.nan
            if "evaluations" in stats:  # those of rejected steps in proportion
                part = stats["num_steps"] / max(1, stats["num_accepted_steps"])
                count = stats["evaluations"] * part
            elif not implicit and isinstance(tableau, diffrax.ButcherTableau):
                count = stats["num_steps"] * (tableau.num_stages - tableau.fsal) + 2.0
            return jax.block_until_ready(found.states), count

        return run

    return at


def scipy_run(problem: Problem, name: str, jacobian: bool) -> Callable[[float], Run]:
    """A solver of scipy, by name, with or without the Jacobian.

    DOP853 gets a thousandth of the absolute tolerance: at the edge of stability its
    error estimate does not see the small components.
    """
    part = 1e-3 if name == "DOP853" else 1.0
    extra = {"jac": problem.jacobian} if jacobian else {}
    span = (0.0, float(problem.times[-1]))

    def at(rtol):
        def run():
            found = solve_ivp(
                problem.field,
                span,
                problem.start,
                method=name,
                t_eval=problem.times,
                rtol=rtol,
                atol=rtol * problem.atol * part,
                **extra,
            )
            return found.y.T, math.nan if jacobian else float(found.nfev)

        return run

    return at


def measure_curves(
    problem: Problem,
    contenders: Mapping[str, Callable[[float], Run]],
    tolerances: Sequence[float],
    repeats: int,
) -> dict[str, Curve]:
    """Run every contender at every tolerance, in turns; CPU seconds of each."""
    runs = {(c, r): at(r) for c, at in contenders.items() for r in tolerances}
    known = {}
    for key, run in runs.items():  # compiles, and is not timed
        states, count = run()
        known[key] = problem.error(states), count
    cpu, wall = np.empty((2, len(runs), repeats))
    for k in range(repeats):
        for i, run in enumerate(runs.values()):
            w, c = time.perf_counter(), time.process_time()
            run()
            cpu[i, k], wall[i, k] = time.process_time() - c, time.perf_counter() - w
    curves = {}
    for name in contenders:
        rows = [i for i, key in enumerate(runs) if key[0] == name]
        errors, counts = np.array([known[name, r] for r in tolerances]).T
        busy = float(wall[rows].sum() / cpu[rows].sum())
        curves[name] = Curve(errors, counts, cpu[rows], busy)
    return curves
