"""Second-order flows on quadratics: a damped oscillator in every eigendirection."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from flows.door import require_state
from flows.errors import BadInput
from flows.inertial_newton import ImplicitHessianFlow
from flows.oscillator import damped_oscillator
from flows.phase import PhaseState
from flows.problems.closed_form import require_time
from flows.problems.quadratic import Quadratic
from flows.second_order import SecondOrderFlow
from flows.types import Scalar


def inertial_oscillation(
    flow: SecondOrderFlow | ImplicitHessianFlow, y0: PhaseState, t: Scalar
) -> PhaseState:
    r"""The exact state at time t of a second-order flow with constant coefficients.

    On f = ½ (x - c)ᵀA(x - c) the coordinate along an eigenvector of A of eigenvalue λ
    obeys m u'' + (a + βλ) u' + bλ u = 0: an oscillator of friction a + βλ and curvature
    bλ (`damped_oscillator`), stable for every m > 0, however small. Implicit and
    explicit Hessian damping are the same here.

    Args:
        flow: m x'' + a x' + β∇²f x' + b∇f = 0 with a `flows.problems.quadratic` for f.
        y0: position and velocity at time 0, each of shape [n].
        t: the time >= 0 (the flow's unit).

    Returns:
        Position and velocity at time t.

    Raises:
        BadInput: another flow or loss, coefficients that vary with time, a start of
            another length, a time that is negative or not finite.
    """
    known = isinstance(flow, SecondOrderFlow | ImplicitHessianFlow)
    if not (known and isinstance(flow.objective, Quadratic)):
        raise BadInput(
            "the closed form is of a second-order flow, such as InertialNewtonFlow, of "
            f"a flows.problems.quadratic(...); got {flow!r:.80}."
        )
    require_state(flow, y0)
    require_time(t)
    if _varies(flow):
        raise BadInput(
            f"{type(flow).__name__} has coefficients that vary with time, hence no "
            "closed form here: use flows.solve."
        )
    f: Any = flow.objective
    m, a, beta, b = flow.coefficients(0.0)
    curvatures, vectors = f.matrix, None
    if f.matrix.ndim == 2:
        curvatures, vectors = jnp.linalg.eigh(f.matrix)
    friction = a if beta is None else a + beta * curvatures
    t = jnp.asarray(t, y0.position.dtype)
    step = damped_oscillator(b * curvatures, m, friction, t)
    x = y0.position if f.centre is None else y0.position - f.centre
    x, v = (z if vectors is None else vectors.T @ z for z in (x, y0.velocity))
    x, v = step.xx * x + step.xv * v, step.vx * x + step.vv * v
    x, v = (z if vectors is None else vectors @ z for z in (x, v))
    return PhaseState(x if f.centre is None else f.centre + x, v)


def _varies(flow: Any) -> bool:
    """Whether a coefficient is computed from the time."""

    def numbers(t):
        return [c for c in flow.coefficients(t) if c is not None]

    traced = jax.make_jaxpr(numbers)(jnp.asarray(1.0)).jaxpr
    (time,) = traced.invars
    read = [v for equation in traced.eqns for v in equation.invars]
    return any(v is time for v in [*read, *traced.outvars])
