"""Inertial-Newton flows: second-order dynamics damped by the Hessian (DIN)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from flows.dynamics import Flow, parameter
from flows.objective import Objective
from flows.phase import PhaseState
from flows.second_order import (
    Coefficients,
    SecondOrderFlow,
    coefficient,
    coefficient_at,
    often_relaxed,
    require_coefficients,
    require_coefficients_over,
)

_FRICTION = {"nonnegative": True, "symbol": r"\alpha"}
_DAMPING = {"nonnegative": True, "symbol": r"\beta"}
_MASS = {"positive": True, "symbol": "m"}
_FORCE = {"positive": True, "symbol": "b"}


class InertialNewtonFlow(SecondOrderFlow):
    r"""m x'' + α x' + β ∇²f(x) x' + b ∇f(x) = 0: explicit Hessian damping.

    Each coefficient is a number or a function of time. With numbers and m = b = 1 it
    is the dynamical inertial Newton system (DIN); β = 0 is heavy ball; m → 0 the
    Levenberg–Marquardt flow, and with α → 0 too the Newton flow; an m(t) that is lost
    is the variable-mass system (VM-DIN-AVD).

    State: `PhaseState`. Units: with b = 1, α is time · curvature, β a time, m
    time² · curvature. With m = b = 1, a step of size γ of explicit Euler in the (x, ψ)
    form (`InertialNewtonPsiFlow`) is one of INNA and takes time γ.

    On a mode of curvature λ it is m μ² + (α + βλ) μ + bλ = 0: an oscillator of friction
    α + βλ. Where m = b = 1, E_c = c f + |x' + β∇f|²/2 never increases, whatever f, for
    c between (1 - √(αβ))² and (1 + √(αβ))².

    References: Alvarez, Attouch, Bolte and Redont, "A second-order gradient-like
    dissipative dynamical system with Hessian-driven damping", J. Math. Pures Appl.,
    2002; Attouch, Fadili and Kungurtsev, arXiv 2106.16159 (coefficients that vary);
    Castera, Attouch, Fadili and Ochs, arXiv 2301.08726 (variable mass).

    Attributes:
        objective: f, twice differentiable.
        friction: α >= 0 (viscous).
        hessian_damping: β >= 0.
        mass: m > 0.
        force: b > 0.

    Raises:
        BadInput: a number out of its range.
    """

    equation: ClassVar[str] = (
        r"m\,\ddot x + \alpha\,\dot x + \beta\,\nabla^2 f(x)\,\dot x"
        r" + b\,\nabla f(x) = 0"
    )
    objective: Objective
    friction: Any = eqx.field(converter=coefficient, metadata=_FRICTION)
    hessian_damping: Any = eqx.field(converter=coefficient, metadata=_DAMPING)
    mass: Any = eqx.field(converter=coefficient, default=1.0, metadata=_MASS)
    force: Any = eqx.field(converter=coefficient, default=1.0, metadata=_FORCE)

    def __check_init__(self):
        require_coefficients(self)

    def coefficients(self, t) -> Coefficients:
        """m, α, β and b at time t."""
        return Coefficients(
            coefficient_at(self.mass, t),
            coefficient_at(self.friction, t),
            coefficient_at(self.hessian_damping, t),
            coefficient_at(self.force, t),
        )


class InertialNewtonState(NamedTuple):
    """State of the inertial-Newton flow without a Hessian.

    Attributes:
        position: x, shape [n].
        psi: ψ = (m - αβ) x - βm x' - β² ∇f(x), shape [n], unit of x.
    """

    position: Float[Array, " n"]
    psi: Float[Array, " n"]


class InertialNewtonPsiFlow(Flow):
    r"""The inertial-Newton system in (x, ψ): first order, without a Hessian.

        m x' = -(α - m/β) x - ψ/β - β ∇f(x),
          ψ' = -(α - m/β) x - ψ/β,

    the system m x'' + α x' + β ∇²f x' + ∇f = 0 with ψ = (m - αβ) x - βm x' - β² ∇f(x)
    (constant coefficients). It rests where ∇f = 0 and ψ = (m - αβ) x. f needs one
    derivative only, so that the system also has a meaning where f is not smooth.

    State: `InertialNewtonState`. Unit of time: explicit Euler of step γ, with m = 1, is
    INNA with learning rate γ.

    Reference: Castera, Bolte, Févotte and Pauwels, "An Inertial Newton Algorithm for
    Deep Learning", JMLR 22, 2021, arXiv 1905.12278 (m = 1; the mass worked in here).

    Attributes:
        objective: f.
        friction: α >= 0 (time · curvature; 1/time where m = 1).
        hessian_damping: β > 0 (time).
        mass: m > 0 (time² · curvature).

    Raises:
        BadInput: a number out of its range.
    """

    equation: ClassVar[str] = (
        r"m\,\dot x = -(\alpha - \tfrac m\beta)\,x - \tfrac1\beta\psi"
        r" - \beta\,\nabla f(x),\quad \dot\psi = -(\alpha - \tfrac m\beta)\,x"
        r" - \tfrac1\beta\psi"
    )
    objective: Objective
    friction: Float[Array, ""] = eqx.field(converter=parameter, metadata=_FRICTION)
    hessian_damping: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\beta"}
    )
    mass: Float[Array, ""] = eqx.field(converter=parameter, default=1.0, metadata=_MASS)

    def __check_init__(self):
        require_coefficients(self)

    def vector_field(self, t, y: InertialNewtonState) -> InertialNewtonState:
        """(x', ψ') as above."""
        del t
        alpha, beta, m = self.friction, self.hessian_damping, self.mass
        x, psi = y
        slow = (alpha - m / beta) * x + psi / beta  # = -(m x' + β∇f)
        return InertialNewtonState(
            -(slow + beta * self.objective.gradient(x)) / m, -slow
        )

    def stiff(self, t0: Any, t1: Any) -> bool:
        """As the same system in position and velocity: it has the same rates."""
        return self.phase_flow().stiff(t0, t1)

    def from_phase(self, y: PhaseState) -> InertialNewtonState:
        """(x, ψ) of a position and a velocity: ψ = (m - αβ) x - βm v - β² ∇f(x)."""
        alpha, beta, m = self.friction, self.hessian_damping, self.mass
        x, v = y
        g = self.objective.gradient(x)
        return InertialNewtonState(
            x, (m - alpha * beta) * x - beta * m * v - beta**2 * g
        )

    def to_phase(self, y: InertialNewtonState) -> PhaseState:
        """Position and velocity of (x, ψ): the field's x'."""
        return PhaseState(y.position, self.vector_field(0.0, y).position)

    def phase_flow(self) -> InertialNewtonFlow:
        """The same system in position and velocity."""
        return InertialNewtonFlow(
            self.objective, self.friction, self.hessian_damping, self.mass
        )


class ImplicitHessianFlow(Flow):
    r"""m x'' + α x' + b ∇f(x + β x') = 0: implicit Hessian damping.

    By Taylor's formula the system with explicit damping bβ, up to O(β²); on a quadratic
    the same. Each coefficient is a number or a function of time. No Hessian is taken.

    State: `PhaseState`. Units as for `InertialNewtonFlow`.

    Reference: Attouch, Fadili and Kungurtsev, arXiv 2106.16159 (ISIHD).

    Attributes:
        objective: f.
        friction: α >= 0.
        lookahead: β >= 0 (time).
        mass: m > 0.
        force: b > 0.

    Raises:
        BadInput: a number out of its range.
    """

    equation: ClassVar[str] = (
        r"m\,\ddot x + \alpha\,\dot x + b\,\nabla f(x + \beta\,\dot x) = 0"
    )
    objective: Objective
    friction: Any = eqx.field(converter=coefficient, metadata=_FRICTION)
    lookahead: Any = eqx.field(converter=coefficient, metadata=_DAMPING)
    mass: Any = eqx.field(converter=coefficient, default=1.0, metadata=_MASS)
    force: Any = eqx.field(converter=coefficient, default=1.0, metadata=_FORCE)

    def __check_init__(self):
        require_coefficients(self)

    def vector_field(self, t, y: PhaseState) -> PhaseState:
        """(v, -(α v + b ∇f(x + β v))/m)."""
        m, alpha, _, b = self.coefficients(t)
        x, v = y
        ahead = x + coefficient_at(self.lookahead, t) * v
        return PhaseState(v, -(alpha * v + b * self.objective.gradient(ahead)) / m)

    def stiff(self, t0: Any, t1: Any) -> bool:
        """As the explicit flow of the same friction and of Hessian damping bβ."""
        return often_relaxed(self, t0, t1)

    def require_over(self, t0: Any, t1: Any) -> None:
        """See `require_coefficients_over`."""
        require_coefficients_over(self, t0, t1)

    def coefficients(self, t: Any) -> Coefficients:
        """Those of the flow with explicit damping, m, α, bβ and b at time t."""
        b = coefficient_at(self.force, t)
        return Coefficients(
            coefficient_at(self.mass, t),
            coefficient_at(self.friction, t),
            b * coefficient_at(self.lookahead, t),
            b,
        )


class VanishingInertialNewtonFlow(SecondOrderFlow):
    r"""x'' + (a/t) x' + β ∇²f(x) x' + (1 + β/t) ∇f(x) = 0 for t > 0 (DIN-AVD).

    Asymptotically vanishing friction and constant Hessian damping; start at some
    t0 > 0. For convex f with minimiser x* and a >= 3,

        E = t² (f - f*) + |(a-1)(x - x*) + t (x' + β∇f)|²/2,   E' <= -β t² |∇f|²,

    so that f - f* <= E(t0)/t² and ∫ β t² |∇f|² dt <= E(t0).

    State: `PhaseState`. Unit of time: 1/√curvature.

    Reference: Attouch, Chbani, Fadili and Riahi, Math. Program., arXiv 1907.10536; the
    energy is derived here.

    Attributes:
        objective: f, twice differentiable.
        friction: a > 0, without unit.
        hessian_damping: β >= 0 (time).
    """

    equation: ClassVar[str] = (
        r"\ddot x + \frac{a}{t}\,\dot x + \beta\,\nabla^2 f(x)\,\dot x"
        r" + \Bigl(1 + \frac{\beta}{t}\Bigr)\nabla f(x) = 0"
    )
    objective: Objective
    friction: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": "a"}
    )
    hessian_damping: Float[Array, ""] = eqx.field(
        converter=parameter, metadata=_DAMPING
    )

    def __check_init__(self):
        require_coefficients(self)

    def coefficients(self, t) -> Coefficients:
        """Friction a/t, Hessian damping β, force 1 + β/t."""
        beta = self.hessian_damping
        return Coefficients(1.0, self.friction / t, beta, 1 + beta / t)
