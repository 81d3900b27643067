"""Worst cases over a class of functions, by PEPit and open semidefinite solvers.

PEPit turns "the worst f of a class" into a semidefinite program over the Gram matrix of
points and gradients. Here the minimiser is put at 0 with f* = 0, which loses nothing:
the classes are closed under translation. Both are imported on first use (the extra
`pepit`; the import costs some two seconds).

Reference: Goujaud, Moucer, Glineur, Hendrickx, Taylor and Dieuleveut, "PEPit:
computer-assisted worst-case analyses of first-order optimization methods in Python",
2022, arXiv 2201.04040.
"""

from __future__ import annotations

import contextlib
import io
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from proofs_check.decide import SdpSolution
from proofs_check.inner_products import LyapunovPair

SOLVERS = ("CLARABEL", "SCS")
REQUIRES = ("PEPit", "clarabel")
"""Packages that a claim with these worst cases needs."""

_SAFETY = 2.0


def function_class(name: str, problem: Any, **parameters: float) -> Any:
    """A function of a class of PEPit, with minimiser 0 and minimum 0.

    Args:
        name: "convex", "strongly_convex" (mu), "smooth_convex" (L),
            "smooth_strongly_convex" (mu, L).
        problem: PEPit's `PEP`.
        **parameters: those of the class.

    Returns:
        PEPit's function.
    """
    import PEPit
    from PEPit import functions

    kinds = {
        "convex": functions.ConvexFunction,
        "strongly_convex": functions.StronglyConvexFunction,
        "smooth_convex": functions.SmoothConvexFunction,
        "smooth_strongly_convex": functions.SmoothStronglyConvexFunction,
    }
    function = problem.declare_function(kinds[name], **parameters)
    origin = (PEPit.null_point, PEPit.null_point, PEPit.null_expression)
    function.add_point(origin)
    return function


def worst_case(
    build: Callable[[Any], None], solvers: Sequence[str] = SOLVERS
) -> list[SdpSolution]:
    """Solve a worst case; the second solver is asked where the first one fails.

    Args:
        build: fills PEPit's problem: functions, points, a normalisation (without one a
            false claim has no finite worst case), the metric to maximise.
        solvers: names of cvxpy's solvers, in the order they are asked.

    Returns:
        The attempts up to the first that ended, for `decide.sdp`.
    """
    attempts = []
    for solver in solvers:
        found = _solve(build, solver)
        attempts.append(found)
        if found.status in ("optimal", "unbounded"):
            break
    return attempts


def _solve(build: Callable[[Any], None], solver: str) -> SdpSolution:
    from cvxpy.error import SolverError
    from PEPit import PEP

    problem = PEP()
    build(problem)
    # An inaccurate end is read off the status, a wide gap off the two values.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            dual = problem.solve(wrapper="cvxpy", solver=solver, verbose=0)
        except SolverError as failed:
            return SdpSolution(f"failed: {failed}", solver=solver)
    wrapper: Any = problem.wrapper
    status = str(wrapper.prob.status)
    if dual is None or status != "optimal":
        return SdpSolution(status, solver=solver)
    return _with_residuals(problem, float(dual), solver)


def _with_residuals(problem: Any, dual: float, solver: str) -> SdpSolution:
    """The certificate rebuilt from the multipliers, clipped to their sign.

    S is what the multipliers leave over in the Gram matrix, so that no residual is
    left there. R, B_i and the violation are twice what the solver's point has.
    """
    from PEPit.tools.expressions_to_matrices import expression_to_matrices

    gram, values = problem.G_value, problem.F_value
    _, left_over, _ = expression_to_matrices(problem.objective)
    left_over = np.array(left_over, float)
    matrix, constant, violation = np.zeros_like(gram), 0.0, 0.0
    for constraint in problem._list_of_constraints_sent_to_wrapper:
        multiplier = float(constraint.eval_dual())
        excess = float(constraint.eval())
        if constraint.equality_or_inequality == "inequality":
            multiplier, excess = max(multiplier, 0.0), max(excess, 0.0)
        in_gram, in_values, number = expression_to_matrices(constraint.expression)
        matrix += multiplier * in_gram
        left_over -= multiplier * in_values
        constant -= multiplier * number
        violation += abs(multiplier * excess)
    slack = max(0.0, -float(np.linalg.eigvalsh(matrix)[0]))
    trace = _SAFETY * float(np.trace(gram))
    indefinite = max(0.0, -float(np.linalg.eigvalsh(gram)[0]))
    violation += indefinite * float(np.trace(np.abs(matrix)))
    return SdpSolution(
        "optimal",
        primal=float(problem.objective.eval()),
        dual=float(constant),
        slack=slack,
        trace=max(trace, 0.0),
        residuals=tuple(left_over),
        bounds=tuple(_SAFETY * np.abs(values)),
        violation=_SAFETY * violation + abs(constant - dual),
        solver=solver,
    )


def flow_worst_case(
    pair: LyapunovPair,
    name: str,
    *,
    normalisation: str = "<=",
    solvers: Sequence[str] = SOLVERS,
    **parameters: float,
) -> list[SdpSolution]:
    """The largest dV/dt over a class of functions and all states with V <= 1 or V = 1.

    The expressions are those of the flow's own generator, in inner products of PEPit's
    points: the position (x* = 0), the gradient there, the velocity. A Hessian product
    Ha is one more point, of which only ⟨a, Ha⟩ >= μ|a|² is asked (μ = 0 where the class
    has none): the value is then an upper bound of the worst case.

    Args:
        pair: V and dV/dt with a number for every symbol (`LyapunovPair.at`).
        name: see `function_class`.
        normalisation: "<=" for V <= 1, "==" for V = 1.
        solvers: see `worst_case`.
        **parameters: those of the class.

    Returns:
        The attempts, for `decide.sdp`.
    """

    def build(problem: Any) -> None:
        function = function_class(name, problem, **parameters)
        x = problem.set_initial_point()
        slope, level = function.oracle(x)
        vectors = {"e": x, "g": slope}
        if "v" in pair.vectors:
            vectors["v"] = problem.set_initial_point()
        for a in pair.curved:
            vectors["H" + a] = problem.set_initial_point()
            least = parameters.get("mu", 0.0) * vectors[a] ** 2
            problem.add_constraint(vectors["H" + a] * vectors[a] >= least)
        value, derivative = pair.on(level, vectors, operator.mul)
        condition = value <= 1 if normalisation == "<=" else value == 1
        problem.set_initial_condition(condition)
        problem.set_performance_metric(derivative)

    return worst_case(build, solvers)


def gradient_descent_worst_case(
    steps: int,
    *,
    smoothness: float = 1.0,
    rate: float = 1.0,
    solvers: Sequence[str] = SOLVERS,
) -> list[SdpSolution]:
    """The largest f(x_n) - f* of gradient descent: f convex, L-smooth, |x_0 - x*| <= 1.

    Args:
        steps: n.
        smoothness: L.
        rate: the learning rate, in units of 1/L.
        solvers: see `worst_case`.

    Returns:
        The attempts, for `decide.sdp`.
    """

    def build(problem: Any) -> None:
        function = function_class("smooth_convex", problem, L=smoothness)
        x = problem.set_initial_point()
        problem.set_initial_condition(x**2 <= 1)
        for _ in range(steps):
            x = x - (rate / smoothness) * function.gradient(x)
        problem.set_performance_metric(function(x))

    return worst_case(build, solvers)


def nesterov_worst_case(
    steps: int,
    *,
    smoothness: float = 1.0,
    rate: float = 1.0,
    shift: float = 2.0,
    solvers: Sequence[str] = SOLVERS,
) -> list[SdpSolution]:
    """The largest f(x_n) - f* of Nesterov's method, where |x_0 - x*| <= 1.

    x_k = y_{k-1} - s ∇f(y_{k-1}), y_k = x_k + ((k-1)/(k + shift)) (x_k - x_{k-1}),
    from y_0 = x_0; f convex and L-smooth.

    Args:
        steps: n.
        smoothness: L.
        rate: the learning rate s, in units of 1/L.
        shift: 2 in Nesterov's method (index of Su, Boyd and Candès).
        solvers: see `worst_case`.

    Returns:
        The attempts, for `decide.sdp`.
    """

    def build(problem: Any) -> None:
        function = function_class("smooth_convex", problem, L=smoothness)
        x = y = problem.set_initial_point()
        problem.set_initial_condition(x**2 <= 1)
        for k in range(1, steps + 1):
            before, x = x, y - (rate / smoothness) * function.gradient(y)
            y = x + (k - 1) / (k + shift) * (x - before)
        problem.set_performance_metric(function(x))

    return worst_case(build, solvers)


def heavy_ball_worst_case(
    steps: int,
    *,
    strong: float,
    smoothness: float,
    rate: float,
    momentum: float,
    solvers: Sequence[str] = SOLVERS,
) -> list[SdpSolution]:
    """The largest f(x_n) - f* of heavy ball from rest, where f(x_0) - f* <= 1.

    x_{k+1} = x_k - s ∇f(x_k) + m (x_k - x_{k-1}), f μ-strongly convex and L-smooth.

    Args:
        steps: n.
        strong: μ.
        smoothness: L.
        rate: the learning rate s (1/curvature).
        momentum: m.
        solvers: see `worst_case`.

    Returns:
        The attempts, for `decide.sdp`.
    """

    def build(problem: Any) -> None:
        function = function_class(
            "smooth_strongly_convex", problem, mu=strong, L=smoothness
        )
        x = before = problem.set_initial_point()
        problem.set_initial_condition(function(x) <= 1)
        for _ in range(steps):
            step = momentum * (x - before) - rate * function.gradient(x)
            before, x = x, x + step
        problem.set_performance_metric(function(x))

    return worst_case(build, solvers)
