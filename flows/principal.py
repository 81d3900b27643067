"""The principal flow: gradient descent's own flow, oscillations included."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Flow, parameter, require_range
from flows.objective import Objective

_SERIES = 0.02  # below it log(1 - a)/a is summed as a series, for its derivatives' sake
_TERMS = 10


class PrincipalState(NamedTuple):
    """A complex position x + iy by its real parts.

    Attributes:
        position: x, the parameters, shape [n].
        imaginary: y, shape [n]; 0 at the start.
    """

    position: Float[Array, " n"]
    imaginary: Float[Array, " n"]


class PrincipalFlow(Flow):
    r"""The principal flow of gradient descent with step h.

    With λ_i, u_i the eigenvalues and eigenvectors of the Hessian,

        θ' = Σ_i [log(1 - hλ_i)/(hλ_i)] (u_i·∇f) u_i.

    On a quadratic each mode is multiplied by 1 - hλ in time h, so it passes through
    every iterate of gradient descent, for every hλ other than 1: where hλ > 1 the
    logarithm is log|hλ - 1| + iπ, the flow turns in the complex plane once every two
    steps and is real at whole ones; where hλ > 2 it grows. So Re log(1 - hλ) changes
    its sign at the edge of stability hλ = 2, and the imaginary part sets in at hλ = 1.

    On other losses it keeps those terms of the modified equation that are built of H
    and ∇f alone (-∇f - (h/2) H∇f - (h²/3) H²∇f - ...); its defect after one step begins
    with -(h³/12) T[∇f, ∇f], T = ∇³f. Off the real axis, at θ = x + iy, the eigenvalues
    and eigenvectors are those of the Hessian at x, and the gradient is
    ∇f(x) + i ∇²f(x) y: exact on quadratics, first order in y elsewhere.

    The whole Hessian is formed and decomposed: for n up to some hundreds.

    State: `PrincipalState`; start with imaginary part 0 (`PrincipalFlow.start`). Unit
    of time: a step of gradient descent takes h.

    Reference: Rosca, Wu, Qin and Dherin, "On a continuous time model of gradient
    descent dynamics and instability in deep learning", TMLR 2023, arXiv 2302.01952.

    Attributes:
        objective: f.
        h: step size of gradient descent (time).
        floor: the least |1 - hλ| that the logarithm sees: at hλ = 1 gradient descent
            reaches the minimum of that mode in one step, and the flow would have to
            be infinitely fast. With the default 1e-12 the mode loses twelve digits a
            step; with 0 the field is infinite there, and `solve` raises.

    Raises:
        BadInput: a parameter out of range.
    """

    equation: ClassVar[str] = (
        r"\dot\theta = \sum_i \frac{\log(1 - h\lambda_i)}{h\lambda_i}"
        r" (u_i^\top\nabla f)\, u_i"
    )
    objective: Objective
    h: Float[Array, ""] = eqx.field(converter=parameter, metadata={"positive": True})
    floor: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True}, default=1e-12
    )

    def __check_init__(self):
        require_range("h", self.h)
        require_range("floor", self.floor, below=1.0)

    def start(self, x: Float[Array, " n"]) -> PrincipalState:
        """The state at a real position."""
        return PrincipalState(x, jnp.zeros_like(x))

    def vector_field(self, t, y: PrincipalState) -> PrincipalState:
        """Real and imaginary part of the field."""
        del t
        x, imaginary = y
        gradient = self.objective.gradient(x)
        eigenvalues, u = _eigen(self.objective.hessian(x))
        real, turn = principal_log(self.h * eigenvalues, self.floor)
        # in the eigenbasis, where the complex factor acts entry by entry
        g, gi = gradient @ u, eigenvalues * (imaginary @ u)
        return PrincipalState(u @ (real * g - turn * gi), u @ (real * gi + turn * g))


def principal_log(a: Any, floor: Any = 1e-12) -> tuple[Any, Any]:
    """Real and imaginary part of log(1 - a)/a, principal branch (-1 at a = 0).

    Args:
        a: real numbers hλ, any shape (no unit).
        floor: the least |1 - a| that the logarithm sees.

    Returns:
        Two arrays of a's shape.
    """
    small = jnp.abs(a) < _SERIES
    # both branches are finite everywhere, lest a derivative meet 0/0
    safe = jnp.where(small, jnp.full_like(a, 0.5), a)
    size = jnp.maximum(jnp.abs(1 - safe), floor)
    series = jnp.full_like(a, -1 / _TERMS)
    for k in range(_TERMS - 1, 0, -1):
        series = a * series - 1 / k  # -(1 + a/2 + a²/3 + ...)
    real = jnp.where(small, series, jnp.log(size) / safe)
    turn = jnp.where(a > 1, jnp.pi / safe, jnp.zeros_like(a))
    return real, turn


def _eigen(hessian: Float[Array, "n n"]) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors; one coordinate needs no decomposition."""
    if hessian.shape[0] == 1:
        return hessian[0], jnp.ones_like(hessian)
    return jnp.linalg.eigh(hessian)
