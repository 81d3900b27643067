"""`optax.sgd` with momentum as points of INNA, and back; the flow that INNA follows."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from flows import BadInput, InertialNewtonFlow, Objective, PhaseState
from flows.door import as_position, require_instance, require_number
from flows.dynamics import parameter, require_range
from flows.types import is_traced

ROUNDING = 1e-9
"""Relative difference up to which two numbers of a user count as equal."""


class InertialNewtonStep(NamedTuple):
    """A step of INNA, explicit Euler on `flows.InertialNewtonPsiFlow`.

    Attributes:
        step: γ, the time of a step.
        friction: α (1/time).
        hessian_damping: β (time).
    """

    step: Any
    friction: Any
    hessian_damping: Any


class SgdSettings(NamedTuple):
    """What `optax.sgd(learning_rate, momentum, nesterov)` takes.

    Attributes:
        learning_rate: η (1/curvature, in the flow's unit time²).
        momentum: m.
        nesterov: whether the gradient is taken ahead.
    """

    learning_rate: Any
    momentum: Any
    nesterov: bool


def to_inertial_newton(
    learning_rate: Any, momentum: Any = 0.0, nesterov: bool = False
) -> InertialNewtonStep:
    r"""The point of INNA that `optax.sgd(learning_rate, momentum, nesterov)` is.

        heavy ball   γ = √η,   α = (1-m)/√η,   β = √η,
        Nesterov     γ = √η,   α = (1-m)/√η,   β = (1+m) √η.

    From ψ = (1-αβ) x, where `inna` starts, the positions are equal from the first step
    on, in exact arithmetic. m = 0 is gradient descent, whose other points γβ = η,
    αβ = 1 give the same iterates. αβ = 1 - m or 1 - m², below 1 where there is
    momentum: both methods have curvatures at which they spiral.

    The numbers may be traced; symbolically the map is
    `flows.symbolic.exactly(to_inertial_newton, eta, m)`.

    Args:
        learning_rate: η > 0.
        momentum: m in [0, 1].
        nesterov: as in optax.

    Raises:
        BadInput: a number out of its range.
    """
    require_number("learning_rate", learning_rate, positive=True)
    require_number("momentum", momentum)
    if not is_traced(momentum) and not 0 <= float(momentum) <= 1:
        raise BadInput(f"momentum is in [0, 1]; got {momentum}.")
    eta, m = parameter(learning_rate), parameter(momentum)
    step = jnp.sqrt(eta)
    return InertialNewtonStep(
        step, (1 - m) / step, (1 + m) * step if nesterov else step
    )


def from_inertial_newton(
    step: Any, friction: Any, hessian_damping: Any, nesterov: bool | None = None
) -> SgdSettings:
    r"""The `optax.sgd` that INNA is at (γ, α, β), where it is one.

    Without ψ INNA is

        x_{k+2} = x_{k+1} + (1-αγ)(x_{k+1} - x_k) - βγ g_{k+1} + (β-γ)γ g_k,

    three numbers where sgd has two: heavy ball is β = γ, Nesterov's momentum
    β = (2-αγ)γ, with η = γ² and m = 1 - αγ in both, and gradient descent αβ = 1, with
    η = γβ.

    Args:
        step: γ > 0.
        friction: α >= 0.
        hessian_damping: β > 0.
        nesterov: which of the two it is; None finds out from the numbers, and is needed
            only where they are traced.

    Raises:
        BadInput: numbers out of range, a point that is not one of these (or not the
            one that was said), αγ > 1 (a negative momentum), traced numbers without
            `nesterov`.
    """
    point = (step, friction, hessian_damping)
    _require_point(*point)
    gamma, alpha, beta = (parameter(a) for a in point)
    eta, kept = gamma**2, 1 - alpha * gamma
    if is_traced(point):
        if nesterov is None:
            raise BadInput("of traced numbers say nesterov=True or nesterov=False.")
        return SgdSettings(eta, kept, nesterov)
    names = ["heavy ball", "Nesterov's momentum"]
    fits = [_equal(beta, gamma), _equal(beta, (1 + kept) * gamma)]
    if nesterov is None and _equal(alpha * beta, 1.0):
        return SgdSettings(gamma * beta, jnp.zeros_like(eta), False)
    if not (any(fits) if nesterov is None else fits[int(nesterov)]):
        wanted = " or ".join(names) if nesterov is None else names[int(nesterov)]
        raise BadInput(
            f"INNA at γ = {float(gamma):g}, α = {float(alpha):g}, β = {float(beta):g} "
            f"is not {wanted}: heavy ball is β = γ, Nesterov's momentum "
            f"β = (2-αγ)γ = {float((1 + kept) * gamma):g}, gradient descent αβ = 1; "
            "to_quasi_hyperbolic takes any point."
        )
    require_momentum(kept, "αγ", alpha * gamma)
    found = not fits[0] if nesterov is None else nesterov
    return SgdSettings(eta, jnp.maximum(kept, 0.0), found)


class QuasiHyperbolic(NamedTuple):
    """Quasi-hyperbolic momentum, d ← m d + (1-m) g, x ← x - η ((1-ν) g + ν d).

    Attributes:
        learning_rate: η.
        momentum: m.
        mixture: ν, the weight of the momentum: 1 for heavy ball, m for Nesterov's
            momentum, 0 for gradient descent.
    """

    learning_rate: Any
    momentum: Any
    mixture: Any


def to_quasi_hyperbolic(
    step: Any, friction: Any, hessian_damping: Any
) -> QuasiHyperbolic:
    r"""The quasi-hyperbolic momentum that INNA is at (γ, α, β): any point, exactly.

        η = γ/α,   m = 1 - αγ,   ν = (1-αβ)/(1-αγ),

    from d = 0 and ψ = (1-αβ) x on. Where `from_inertial_newton` has no answer this is
    the two-buffer method that frameworks know.

    Reference: Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning",
    ICLR 2019, arXiv 1810.06801 (the method); that INNA is it is derived here.

    Args:
        step: γ > 0.
        friction: α > 0.
        hessian_damping: β > 0.

    Raises:
        BadInput: a number out of its range; αγ = 1, where INNA is no such method but
            for αβ = 1.
    """
    point = (step, friction, hessian_damping)
    _require_point(*point)
    require_number("friction", friction, positive=True)
    gamma, alpha, beta = (parameter(a) for a in point)
    kept = 1 - alpha * gamma
    if not is_traced(kept) and abs(float(kept)) <= ROUNDING:
        raise BadInput(f"αγ = 1 leaves no momentum to mix; got γ = {step}.")
    return QuasiHyperbolic(gamma / alpha, kept, (1 - alpha * beta) / kept)


def modified_inertial_newton(
    objective: Objective, step: Any, friction: Any, hessian_damping: Any
) -> InertialNewtonFlow:
    r"""The flow that INNA at (γ, α, β) follows to order 2 where β is of the order of γ.

        (1 - αγ/2) x'' + α x' + (β-γ) ∇²f x' + ∇f = 0,

    from `modified_start`. Heavy ball (β = γ) loses the Hessian damping, Nesterov's
    momentum keeps mγ of it: that is what tells them apart. In general there is one term
    more, -(βγ/2) d²∇f/dt², of order γ where β is fixed: then this is no better than the
    plain flow, and
    `ModifiedFlow(InertialNewtonPsiFlow(f, α, β), Euler(), γ, 2)` is of order 2.

    Args:
        objective: f.
        step: γ > 0, with αγ < 2.
        friction: α >= 0.
        hessian_damping: β >= γ.

    Raises:
        BadInput: numbers out of range.
    """
    _require_modified(step, friction, hessian_damping)
    gamma, alpha, beta = (parameter(a) for a in (step, friction, hessian_damping))
    left = beta - gamma
    if not is_traced(left):
        left = jnp.maximum(left, 0.0)  # β = γ may come with a rounding
    return InertialNewtonFlow(objective, alpha, left, 1 - alpha * gamma / 2)


def modified_start(
    objective: Objective,
    x0: Float[Array, " n"],
    step: Any,
    friction: Any,
    hessian_damping: Any,
) -> PhaseState:
    r"""Where `modified_inertial_newton` starts beside INNA with ψ = (1-αβ) x.

    The first step of INNA is x₁ - x₀ = -γβ ∇f, and a solution with acceleration a has
    x(γ) - x₀ = γv + γ²a/2 + O(γ³), so that

        v = -β ∇f - (γ/2) a,   a = -∇f + αβ ∇f + β² ∇²f ∇f,   up to O(γ²).

    Args:
        objective: f.
        x0: position, shape [n].
        step: γ.
        friction: α.
        hessian_damping: β.

    Returns:
        Position and velocity.

    Raises:
        BadInput: no objective, a position that is no array of floats, numbers out of
            range.
    """
    require_instance(objective, Objective, "modified_start takes an objective")
    _require_point(step, friction, hessian_damping)
    x0 = as_position("x0", x0)
    gamma, alpha, beta = (
        jnp.asarray(a, x0.dtype) for a in (step, friction, hessian_damping)
    )
    g = objective.gradient(x0)
    acceleration = (alpha * beta - 1) * g + beta**2 * objective.hvp(x0, g)
    return PhaseState(x0, -beta * g - gamma / 2 * acceleration)


def require_momentum(momentum: Any, name: str, value: Any) -> None:
    """Refuse a momentum below 0, beyond rounding (traced ones pass).

    Args:
        momentum: m = 1 - a, or a number of its sign.
        name: of a.
        value: a.

    Raises:
        BadInput: with a, which is above 1.
    """
    if not is_traced(momentum) and float(momentum) < -ROUNDING:
        raise BadInput(f"{name} = {float(value):g} > 1 would be a negative momentum.")


def _equal(a: Any, b: Any) -> bool:
    return bool(jnp.abs(a - b) <= ROUNDING * jnp.maximum(jnp.abs(a), jnp.abs(b)))


def _require_point(step: Any, friction: Any, hessian_damping: Any) -> None:
    require_number("step", step, positive=True)
    require_number("friction", friction)
    require_range("friction", friction)
    require_number("hessian_damping", hessian_damping, positive=True)


def _require_modified(step: Any, friction: Any, hessian_damping: Any) -> None:
    _require_point(step, friction, hessian_damping)
    if is_traced((step, friction, hessian_damping)):
        return
    if not friction * step < 2:
        raise BadInput(
            f"the mass 1 - αγ/2 is positive for αγ < 2; got {friction * step}."
        )
    if hessian_damping < step * (1 - ROUNDING):
        raise BadInput(
            f"the damping β - γ is not negative for β >= γ; got β = {hessian_damping}, "
            f"γ = {step}."
        )
