"""The stationary Fokker-Planck equation L*π = 0, decided symbolically."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from flows.door import require_instance
from flows.dynamics import State
from flows.errors import BadInput
from flows.symbolic import IdentityResult, equal_symbolically, exactly
from sde.diffusion import Diffusion
from sde.kinetic import UnderdampedLangevin
from sde.langevin import OverdampedLangevin

LogDensity = Callable[[Diffusion, State], Any]
"""(dynamics, y) -> log p(y), up to a constant, in jax code."""


def gibbs_log_density(dynamics: Diffusion, y: State) -> Any:
    """-H(y)/T, the unnormalised log-density that Langevin dynamics keep; shape [].

    H = f + ρ for the overdamped dynamics, f(x) + v·Mv/2 for the underdamped.

    Raises:
        BadInput: other dynamics.
    """
    if isinstance(dynamics, UnderdampedLangevin):
        kinetic = jnp.sum(dynamics.mass * y.velocity**2) / 2
        energy = dynamics.objective.value(y.position) + kinetic
    elif isinstance(dynamics, OverdampedLangevin):
        energy = dynamics.objective.value(y)
        if dynamics.regulariser is not None:
            energy = energy + dynamics.regulariser.value(y)
    else:
        raise BadInput(
            "the Gibbs density is that of OverdampedLangevin or UnderdampedLangevin; "
            f"got {type(dynamics).__name__}."
        )
    return -energy / dynamics.temperature


def fokker_planck_defect(dynamics: Diffusion, log_density: LogDensity, y: State) -> Any:
    """(L*p)/p at y for p = exp(log_density): 0 everywhere where p is stationary.

    L*p involves a potential by its gradient and Hessian only, so that a polynomial
    with symbols for coefficients (`flows.problems.taylor_polynomial`, of degree 2)
    stands for every smooth potential, and the origin for every point.

    Args:
        dynamics: the model; it may hold symbols (`flows.symbolic.symbols_like`).
        log_density: (dynamics, y) -> log p(y), as `gibbs_log_density`. Symbols reach it
            through its arguments only.
        y: a symbolic state (`flows.symbolic.symbols_for_state`).

    Returns:
        The expression.

    Raises:
        BadInput: dynamics without noise, or a trace that is not exact.
    """
    require_instance(dynamics, Diffusion, "L* is the adjoint of a diffusion")

    def defect(dynamics, y):
        def density(t, y):
            del t
            return jnp.exp(log_density(dynamics, y))

        return dynamics.adjoint(density)(0.0, y) * jnp.exp(-log_density(dynamics, y))

    return exactly(defect, dynamics, y)


def is_invariant_density(
    dynamics: Diffusion, log_density: LogDensity, y: State
) -> IdentityResult:
    """Decide L*p = 0 for p = exp(log_density), for all values of the symbols.

    Args:
        dynamics: as in `fokker_planck_defect`.
        log_density: as in `fokker_planck_defect`.
        y: a symbolic state.

    Returns:
        "proved", "refuted" with a witness, or "undecided".
    """
    import sympy

    found = fokker_planck_defect(dynamics, log_density, y)
    return equal_symbolically(sympy.sympify(found), sympy.S.Zero)
