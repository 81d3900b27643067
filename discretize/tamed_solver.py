"""Taming inside diffrax: one-stage solvers whose drift is tamed before each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from discretize.schemes.brownian import flattened, noise_columns
from discretize.schemes.tamed import require_taming
from discretize.taming import NormTaming, Taming
from flows import BadInput
from flows.door import require_instance
from sde import Diffusion

ONE_STAGE = (diffrax.Euler, diffrax.ItoMilstein)
"""The solvers that evaluate the drift once a step, at its start."""


class DriftParts(eqx.Module):
    """A drift as its parts: what `Diffusion.drift_parts` returns, for diffrax."""

    parts: tuple[Any, ...]


class PartsTerm(diffrax.AbstractTerm):
    """The drift of a diffusion as a diffrax term; its parts are summed where untamed.

    Attributes:
        dynamics: the diffusion.
    """

    dynamics: Diffusion

    def vf(self, t: Any, y: Any, args: Any) -> DriftParts:
        """The drift's parts at (t, y)."""
        del args
        return DriftParts(self.dynamics.drift_parts(t, y))

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        """t1 - t0."""
        return t1 - t0

    def prod(self, vf: DriftParts, control: Any) -> Any:
        """(Σ parts)(t1 - t0)."""
        first, *rest = vf.parts
        for part in rest:
            first = jax.tree.map(lambda a, b: a + b, first, part)
        return jax.tree.map(lambda a: control * a, first)


class TamedTerm(diffrax.AbstractTerm):
    """A drift term whose product with the step tames: b_h(y) · control, h = |control|.

    The vector field of this term is the pair (y, parts), for tamings look at both.

    Attributes:
        term: the drift term that is tamed.
        taming: (h, y, drift parts) -> tamed drift.
    """

    term: diffrax.AbstractTerm
    taming: Taming

    def vf(self, t: Any, y: Any, args: Any) -> tuple[Any, tuple[Any, ...]]:
        """The state and the drift's parts there."""
        drift = self.term.vf(t, y, args)
        return y, drift.parts if isinstance(drift, DriftParts) else (drift,)

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        """The inner term's control, the signed step."""
        return self.term.contr(t0, t1, **kwargs)

    def prod(self, vf: tuple[Any, tuple[Any, ...]], control: Any) -> Any:
        """The move control · b_h(y), h = |control|, so backwards in time too."""
        y, parts = vf
        x, back = flattened(y)
        drift = tuple(flattened(part)[0] for part in parts)
        return back(control * self.taming(jnp.abs(control), x, drift))


class TamedSolver(diffrax.AbstractItoSolver):
    """A one-stage diffrax solver with a tamed drift (made by `tamed_solver`)."""

    solver: diffrax.AbstractItoSolver
    taming: Taming
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.LocalLinearInterpolation

    def order(self, terms):
        """Order 1 as a solver of differential equations."""
        del terms
        return 1

    def strong_order(self, terms):
        """The inner solver's; a taming that changes the drift by O(√h) has 1/2."""
        return self.solver.strong_order(terms)

    def init(self, terms, t0, t1, y0, args):
        """The inner solver's state."""
        return self.solver.init(self._tamed(terms), t0, t1, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        """One step of the inner solver on the tamed terms."""
        terms = self._tamed(terms)
        return self.solver.step(terms, t0, t1, y0, args, solver_state, made_jump)

    def func(self, terms, t0, y0, args):
        """The untamed field."""
        return self.solver.func(terms, t0, y0, args)

    def _tamed(self, terms):
        if not isinstance(terms, diffrax.MultiTerm):
            if isinstance(self.solver, diffrax.ItoMilstein):
                raise BadInput("ItoMilstein takes MultiTerm(drift term, noise term).")
            return TamedTerm(terms, self.taming)
        drift, *rest = terms.terms
        return diffrax.MultiTerm(TamedTerm(drift, self.taming), *rest)


def tamed_solver(solver: Any = None, taming: Taming | None = None) -> TamedSolver:
    r"""A one-stage diffrax solver that tames the drift, for `diffrax.diffeqsolve`.

    With Euler it is the tamed Euler scheme, with ItoMilstein the tamed Milstein scheme
    (commutative noise). The step is diffrax's own t1 - t0, whatever the controller
    makes it. Terms are the user's: `ODETerm`, or `MultiTerm(ODETerm, ControlTerm)` with
    the drift first; or those of `diffrax_terms`, whose parts TheoPouLa tames apart.

    A solver of several stages is refused: it adds drifts of several states, and a
    sum of tamed stages is neither bounded as a step nor known to converge.

    Args:
        solver: `diffrax.Euler()` (where None) or `diffrax.ItoMilstein()`.
        taming: a taming; `NormTaming()` where None.

    Raises:
        BadInput: another solver, or a taming that is none.
    """
    solver = diffrax.Euler() if solver is None else solver
    taming = NormTaming() if taming is None else taming
    require_taming(taming, "tamed_solver")
    if type(solver) not in ONE_STAGE:
        names = " or ".join(f"diffrax.{s.__name__}()" for s in ONE_STAGE)
        raise BadInput(
            f"taming bounds the one drift of a step, so it takes a one-stage Ito "
            f"solver, {names}; {type(solver).__name__} is none."
        )
    return TamedSolver(solver, taming)


def diffrax_terms(
    dynamics: Diffusion, brownian: diffrax.AbstractBrownianPath
) -> diffrax.MultiTerm:
    """A diffusion as diffrax's terms: (drift in its parts, σ as an n × m matrix).

    For a state that is one vector. Any Ito solver of diffrax takes them; with
    `tamed_solver` the drift is tamed. diffrax forgets the dynamics' name in its errors,
    and exploding paths do not always raise: use `throw=False` and look at the result.

    Args:
        dynamics: a diffusion on vectors.
        brownian: `diffrax.VirtualBrownianTree(t0, t1, tol, shape=(m,), key=...)`; its
            `tol` lies below the finest step.

    Raises:
        BadInput: no diffusion.
    """
    require_instance(dynamics, Diffusion, "diffrax_terms takes a diffusion")

    def columns(t, y, args):
        del args
        return noise_columns(dynamics, t, y).T

    return diffrax.MultiTerm(
        PartsTerm(dynamics), diffrax.ControlTerm(columns, brownian)
    )
