"""Stiffness: the default solver, a warning of dense matrices, advice after a stall."""

from __future__ import annotations

import warnings
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from flows.spectral_radius import spectral_radius
from flows.stabilised import AbstractStabilised

LARGE = 300
"""Entries of a state from which an implicit solver is warned of."""
SMALL = 100
"""Entries of a state up to which a stiff flow gets an implicit solver by default."""


class DenseSolverWarning(UserWarning):
    """An implicit solver on a state so large that its Newton matrices dominate."""


def default_solver(
    flow: Any, y0: Any, t0: Any, t1: Any, controller: Any
) -> diffrax.AbstractSolver:
    """Tsit5; Kvaerno4 for a small state of a flow that calls itself stiff.

    Of diffrax's implicit methods Kvaerno4 costs least at equal error on stiff
    second-order flows: Kvaerno5 has half of its steps rejected there, and errors far
    above its tolerance. A state of more than `SMALL` entries never gets an implicit
    method, and a controller without tolerances neither: its root finder needs them
    (None stands for `default_controller`).
    """
    kind = diffrax.AbstractAdaptiveStepSizeController
    adaptive = controller is None or isinstance(controller, kind)
    if adaptive and _entries(y0) <= SMALL and flow.stiff(t0, t1):
        return diffrax.Kvaerno4()
    return diffrax.Tsit5()


def default_controller(
    solver: diffrax.AbstractSolver, rtol: Any, atol: Any
) -> diffrax.PIDController:
    """Diffrax's controller; beside an implicit solver one that damps its own swings.

    There the last two errors count (pcoeff = 0.3, icoeff = 0.4): Kvaerno4 then has a
    tenth of its steps rejected in place of a third.
    """
    if isinstance(solver, diffrax.AbstractImplicitSolver):
        return diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=0.3, icoeff=0.4)
    return diffrax.PIDController(rtol=rtol, atol=atol)


def _entries(y0: Any) -> int:
    return sum(a.size for a in jax.tree.leaves(eqx.filter(y0, eqx.is_inexact_array)))


def warn_of_dense_solver(solver: Any, flow: Any, y0: Any) -> None:
    """Warn of an implicit solver that factorises n × n matrices with n >= LARGE.

    One whose root finder solves linear systems iteratively (lineax's CG, GMRES, ...)
    stays unmentioned.
    """
    if not isinstance(solver, diffrax.AbstractImplicitSolver):
        return
    import lineax

    linear = getattr(solver.root_finder, "linear_solver", None)
    iterative = lineax.CG, lineax.GMRES, lineax.BiCGStab
    size = _entries(y0)
    if size < LARGE or isinstance(linear, iterative):
        return
    name = type(solver).__name__
    warnings.warn(
        f"{name} is implicit: its steps build and factorise {size} x {size} Newton "
        f"matrices ({size} Jacobian-vector products and about {size**3 / 1.5:.1g} "
        f"operations each) of {type(flow).__name__}, often hundreds of times slower "
        "than an explicit method on a network. Take the default Tsit5, or "
        "solver=flows.ROCK4() where the flow is stiff.",
        DenseSolverWarning,
        stacklevel=4,
    )


def stability_bound(solver: Any, flow: Any, t: Any, y: Any, step: float) -> str:
    """Advice where a solve's mean step is what stability allows, else no text.

    An explicit Runge–Kutta method is stable up to h ρ of 2 to 7, with ρ the spectral
    radius of the field's Jacobian. Steps of 1 to 10 over ρ are held by it, in all
    likelihood; shorter ones are asked for by the tolerance.
    """
    if isinstance(solver, diffrax.AbstractImplicitSolver | AbstractStabilised):
        return ""

    def field(z):
        return flow.vector_field(t, z)

    if any(not eqx.is_inexact_array(a) for a in jax.tree.leaves(y)):
        return ""
    slope = field(y)
    radius = float(spectral_radius(field, y, slope, slope).value)
    if not 1 < step * radius < 10:
        return ""
    return (
        f" The flow is stiff: its steps, {step:.2g} on average, are as long as "
        f"stability allows (times the spectral radius {radius:.3g} of the Jacobian: "
        f"{step * radius:.2g}). Take solver=flows.ROCK4(), whose steps are not held so."
    )


def counts(solution: Any) -> dict[str, int]:
    """Evaluations that a stabilised solver counted, as entries of `stats`."""
    state = getattr(solution, "solver_state", None)
    names = "evaluations", "power_iterations"
    if state is None or not all(hasattr(state, n) for n in names):
        return {}
    return {n: int(jnp.max(getattr(state, n))) for n in names}
