"""Runge–Kutta methods, by diffrax's tableaus; and schemes as diffrax solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from discretize.schemes.euler import add
from flows import BadInput, Scheme, Step
from sde import Diffusion

TOLERANCE = 1e-12


class RungeKutta(Scheme):
    """One step of a diffrax Runge–Kutta solver, at a step size of the caller's choice.

    Explicit methods are stepped from their Butcher tableau,

        k_i = v(t + c_i h, y + h Σ_j a_ij k_j),   y ← y + h Σ_i b_i k_i,

    unrolled over the stages, so that they have a symbolic face. Others (implicit ones)
    take diffrax's own step; where their root finder leaves its tolerance to a step
    size controller, it gets 1e-12 (relative and absolute) here.

    Attributes:
        solver: a diffrax solver, e.g. `diffrax.Heun()`, `diffrax.Kvaerno3()`.
    """

    solver: diffrax.AbstractSolver = eqx.field(converter=lambda s: _with_tolerance(s))

    @property
    def order(self) -> int:
        """The method's order on smooth flows."""
        order = self.solver.order(diffrax.ODETerm(_field))
        if order is None:
            raise BadInput(f"{self.solver} states no order.")
        return int(order)

    @property
    def _tableau(self) -> diffrax.ButcherTableau | None:
        tableau = getattr(self.solver, "tableau", None)
        if isinstance(self.solver, diffrax.AbstractERK) and isinstance(
            tableau, diffrax.ButcherTableau
        ):
            return tableau
        return None

    def init(self, dynamics, t, y):
        """Diffrax's solver state for implicit methods; nothing for explicit ones."""
        if isinstance(self.solver, diffrax.Euler) or self._tableau is not None:
            return None
        h = jnp.asarray(1.0, _dtype(y))
        term = diffrax.ODETerm(_field)
        t = jnp.asarray(t, h.dtype)
        return self.solver.init(term, t, t + h, y, dynamics)

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        del noise
        if isinstance(dynamics, Diffusion):
            raise BadInput("Runge–Kutta here steps deterministic models only.")
        if isinstance(self.solver, diffrax.Euler):
            return Step(add(y, h, dynamics.vector_field(t, y)))
        tableau = self._tableau
        if tableau is None:
            y1, _, _, carry, result = self.solver.step(
                diffrax.ODETerm(_field),
                t,
                t + h,
                y,
                dynamics,
                carry,
                jnp.asarray(False),
            )
            good = result == diffrax.RESULTS.successful
            y1 = jax.tree.map(lambda a: jnp.where(good, a, jnp.nan), y1)
            return Step(y1, carry)
        slopes = [dynamics.vector_field(t, y)]
        for row, c in zip(tableau.a_lower, tableau.c, strict=True):
            stage = _combine(y, h, row, slopes)
            slopes.append(dynamics.vector_field(t + float(c) * h, stage))
        return Step(_combine(y, h, tableau.b_sol, slopes))


def _with_tolerance(solver):
    finder = getattr(solver, "root_finder", None)
    if finder is None or isinstance(getattr(finder, "rtol", None), float):
        return solver
    if not isinstance(finder, diffrax.VeryChord):
        raise BadInput(
            f"give the root finder of {type(solver).__name__} tolerances, as in "
            "root_finder=diffrax.VeryChord(rtol=1e-12, atol=1e-12)."
        )
    exact = diffrax.VeryChord(rtol=TOLERANCE, atol=TOLERANCE)
    return eqx.tree_at(lambda s: s.root_finder, solver, exact)


def _combine(y, h, weights, slopes):
    for weight, slope in zip(weights, slopes, strict=False):
        if float(weight) != 0.0:
            y = add(y, h * float(weight), slope)
    return y


def _field(t, y, dynamics):
    return dynamics.vector_field(t, y)


def _dtype(y):
    return jax.tree.leaves(eqx.filter(y, eqx.is_inexact_array))[0].dtype


class _SchemeSolver(diffrax.AbstractSolver):
    """A scheme behind diffrax's solver protocol; `args` carries the dynamics."""

    scheme: Scheme
    term_structure: ClassVar = diffrax.ODETerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.LocalLinearInterpolation

    def order(self, terms):
        del terms
        return getattr(self.scheme, "order", None)

    def init(self, terms, t0, t1, y0, args):
        del terms, t1
        if self.scheme.noise_like(args, y0) is not None:
            raise BadInput(
                "schemes that draw noise run through flows.iterate or sde.simulate."
            )
        return self.scheme.init(args, t0, y0)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del terms, made_jump
        out = self.scheme.step(args, t0, y0, t1 - t0, None, solver_state)
        dense = dict(y0=y0, y1=out.y)
        return out.y, None, dense, out.carry, diffrax.RESULTS.successful

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)


def as_diffrax_solver(scheme: Scheme) -> diffrax.AbstractSolver:
    """A deterministic scheme as a diffrax solver, for `flows.solve`.

    Use it with `diffrax.ConstantStepSize()` (there is no error estimate) and `dt0`.
    What a step shows in `aux` is lost: diffrax has no place for it. Between steps the
    solution is interpolated linearly. In `diffrax.diffeqsolve` itself, pass the
    dynamics as `args`.
    """
    if not isinstance(scheme, Scheme):
        raise BadInput(f"expected a scheme, got {type(scheme).__name__}.")
    return _SchemeSolver(scheme)
