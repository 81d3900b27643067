"""Preconditioned gradient flows: a fixed or moving metric, Newton, natural gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_instance
from flows.dynamics import Flow, parameter, require_range
from flows.errors import BadInput
from flows.objective import Facts, Objective
from flows.second_order import coefficient, coefficient_at, require_coefficient
from flows.types import is_traced


def _matrix_or_function(value: Any) -> Any:
    return value if callable(value) else parameter(value)


class PreconditionedFlow(Flow):
    r"""Preconditioned gradient flow, θ' = -P(t, θ)⁻¹ ∇f(θ).

    State: the position, shape [n]. Unit of time: a step of preconditioned gradient
    descent, θ ← θ - η P⁻¹∇f, takes time η (it is explicit Euler with step η); P has the
    unit of curvature × time, so P = I gives gradient flow and P = ∇²f (the Newton flow,
    `newton_flow`) a dimensionless time. Energy identity: df/dt = -∇f·P⁻¹∇f, which is
    negative where P is positive definite. At ∇f = 0 the flow rests; where P is singular
    the field is not finite, and `solve` and `iterate` raise `NonFiniteState`.

    Reference: Amari, "Natural gradient works efficiently in learning", Neural
    Computation 10 (1998) (a metric P); the rest is elementary.

    Attributes:
        objective: f.
        preconditioner: P: its diagonal (shape [n]), a symmetric matrix (shape [n, n]),
            or a function (t, θ) -> either. A constant P must be positive definite.
    """

    equation: ClassVar[str] = r"\dot\theta = -P(t, \theta)^{-1}\,\nabla f(\theta)"
    objective: Objective
    preconditioner: Any = eqx.field(
        converter=_matrix_or_function, metadata={"symbol": "P"}
    )

    def __check_init__(self):
        if not callable(self.preconditioner):
            _require_metric(self.preconditioner, getattr(self.objective, "size", None))

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-P(t, y)⁻¹ ∇f(y)."""
        p: Any = self.preconditioner
        p = p(t, y) if callable(p) else p
        n = y.shape[0]
        if np.shape(p) not in ((n,), (n, n)):
            raise BadInput(
                f"P(t, x) is a diagonal of shape [{n}] or a matrix of shape "
                f"[{n}, {n}], as an array; got shape {np.shape(p)}."
            )
        return -_solved(p, self.objective.gradient(y))


def _require_metric(p: Any, n: Any) -> None:
    """Refuse a constant that is no positive diagonal or positive definite matrix."""
    if p.shape not in ((n,), (n, n)):
        raise BadInput(
            f"P is a diagonal of shape [{n}], a matrix of shape [{n}, {n}] or a "
            f"function (t, x) -> either; got shape {p.shape}."
        )
    if is_traced(p) or np.asarray(p).dtype == object:
        return
    p = np.asarray(p)
    if not np.all(np.isfinite(p)) or (p.ndim == 2 and not np.array_equal(p, p.T)):
        raise BadInput("a constant P is finite and symmetric; got one that is not.")
    lowest = np.min(np.linalg.eigvalsh(p) if p.ndim == 2 else p)
    if not lowest > 0:
        raise BadInput(
            "a constant P is symmetric and positive definite; got one that is not "
            f"(smallest eigenvalue {lowest:.3g}). A function (t, x) -> P may be any."
        )


def _solved(p: Float[Array, "..."], g: Float[Array, " n"]) -> Float[Array, " n"]:
    """P⁻¹ g for a diagonal or a matrix P."""
    if p.ndim == 1:
        return g / p
    if p.shape[0] == 1:
        return g / p[0]
    if p.shape[0] == 2:  # by Cramer's rule, which has a symbolic face
        a, b, c, d = p[0, 0], p[0, 1], p[1, 0], p[1, 1]
        return jnp.stack([d * g[0] - b * g[1], a * g[1] - c * g[0]]) / (a * d - b * c)
    return jnp.linalg.solve(p, g)


class Hessian(eqx.Module):
    """The function (t, x) -> ∇²f(x), shape [n, n], by n Hessian-vector products."""

    objective: Objective

    def __call__(self, t: Any, x: Float[Array, " n"]) -> Float[Array, "n n"]:
        """∇²f(x)."""
        del t
        return self.objective.hessian(x)


def newton_flow(objective: Objective) -> PreconditionedFlow:
    r"""The Newton flow, θ' = -∇²f(θ)⁻¹ ∇f(θ).

    The gradient obeys g(t) = e^{-t} g(0) exactly, on any loss, as long as the Hessian
    stays invertible: it goes to any critical point, saddles and maxima included. Time
    has no unit; one step of explicit Euler with h = 1 is Newton's method. Dense: O(n³)
    a step.

    Args:
        objective: f.

    Returns:
        A `PreconditionedFlow` with P = ∇²f.

    Raises:
        BadInput: no objective.
    """
    require_instance(
        objective, Objective, "newton_flow takes an objective, such as flows.from_loss"
    )
    return PreconditionedFlow(objective, Hessian(objective))


class DampedHessian(eqx.Module):
    """The function (t, x) -> α(t) I + β(t) ∇²f(x), shape [n, n].

    Attributes:
        objective: f.
        friction: α, a number or a function of time.
        hessian_damping: β, likewise.
    """

    objective: Objective
    friction: Any = eqx.field(
        converter=coefficient, metadata={"nonnegative": True, "symbol": r"\alpha"}
    )
    hessian_damping: Any = eqx.field(
        converter=coefficient, metadata={"nonnegative": True, "symbol": r"\beta"}
    )

    def __call__(self, t: Any, x: Float[Array, " n"]) -> Float[Array, "n n"]:
        """α I + β ∇²f(x)."""
        alpha = coefficient_at(self.friction, t)
        beta = coefficient_at(self.hessian_damping, t)
        eye = jnp.eye(x.shape[0], dtype=x.dtype)
        return alpha * eye + beta * self.objective.hessian(x)


def levenberg_marquardt_flow(
    objective: Objective, friction: Any, hessian_damping: Any = 1.0
) -> PreconditionedFlow:
    r"""The Levenberg–Marquardt flow, (α I + β ∇²f(x)) x' = -∇f(x).

    The limit of `InertialNewtonFlow` as its mass goes to 0; α = 0 is the Newton flow
    with its time in units of β, along which g(t) = e^{-t/β} g(0). α and β may be
    functions of time. Dense: O(n³) a step.

    Reference: Castera, Attouch, Fadili and Ochs, arXiv 2301.08726.

    Args:
        objective: f.
        friction: α >= 0 (time · curvature).
        hessian_damping: β >= 0 (time), not 0 beside α = 0.

    Returns:
        A `PreconditionedFlow` with P = α I + β ∇²f.

    Raises:
        BadInput: no objective, a number that is negative or not finite, or two that
            are 0.
    """
    require_instance(
        objective, Objective, "levenberg_marquardt_flow takes an objective"
    )
    require_coefficient("friction", friction)
    require_coefficient("hessian_damping", hessian_damping)
    numbers = [a for a in (friction, hessian_damping) if not callable(a)]
    if len(numbers) == 2 and not is_traced(numbers) and not any(map(float, numbers)):
        raise BadInput("friction and hessian_damping are not both 0.")
    metric = DampedHessian(objective, friction, hessian_damping)
    return PreconditionedFlow(objective, metric)


class SquareLoss(Objective):
    """f(x) = ½ |y(x) - y*|², for a model's outputs y.

    Attributes:
        outputs: x (shape [n]) -> y (shape [m]); any jax function.
        targets: y*, shape [m].
        n: number of parameters.
    """

    facts: Facts = eqx.field(init=False, default=Facts())
    outputs: Callable[..., Any]
    targets: Float[Array, " m"] = eqx.field(converter=parameter)
    n: int = eqx.field(static=True)

    def __check_init__(self):
        whole = isinstance(self.n, int | np.integer) and self.n >= 1
        if not callable(self.outputs) or not whole:
            raise BadInput(
                "a square loss is SquareLoss(outputs, targets, n): a function, a "
                f"vector and the number n >= 1 of parameters; got {self.outputs!r:.40} "
                f"and n = {self.n!r:.40}."
            )
        if np.ndim(self.targets) != 1:
            raise BadInput(
                f"targets are a vector of outputs; got shape {np.shape(self.targets)}."
            )
        try:
            made = jax.eval_shape(self.outputs, jnp.zeros(self.n))
        except (TypeError, ValueError, LookupError) as error:
            raise BadInput(f"outputs fails on {self.n} parameters: {error}") from error
        if getattr(made, "shape", None) != np.shape(self.targets):
            raise BadInput(
                f"outputs maps {self.n} parameters to a vector of shape "
                f"{np.shape(self.targets)}, as the targets; it gave {made}."
            )

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return self.n

    def residual(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        """y(x) - y*."""
        return self.outputs(x) - self.targets

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """½ |y(x) - y*|²."""
        if batch is not None:
            raise BadInput("a square loss of outputs has no data to batch.")
        return 0.5 * jnp.sum(self.residual(x) ** 2)


class NaturalGradientFlow(Flow):
    r"""Natural gradient flow of a square loss, θ' = -F⁺∇f, with F = JᵀJ, J = ∂y/∂θ.

    Since F⁺∇f = J⁺(y - y*), it is computed from the singular values of J, those
    below rcond times the largest being dropped. Outputs obey y' = -JJ⁺(y - y*); where J
    has full row rank that is y' = -(y - y*), so f(t) = e^{-2t} f(0) for *any*
    parametrisation. With more outputs than parameters it only falls in the range of J.
    At ∇f = 0 the flow rests (it may do so with y ≠ y*, where y - y* is orthogonal to
    the range of J); J = 0 gives the field 0.

    State: the position, shape [n]. Time has no unit. Energy identity:
    df/dt = -|JJ⁺(y - y*)|².

    Reference: Amari, "Natural gradient works efficiently in learning", Neural
    Computation 10 (1998).

    Attributes:
        objective: f, a `SquareLoss`.
        rcond: cut-off for singular values of J, relative to the largest.
    """

    equation: ClassVar[str] = (
        r"\dot\theta = -F(\theta)^{+}\,\nabla f(\theta),\quad F = J^\top J"
    )
    objective: SquareLoss
    rcond: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True}, default=1e-10
    )

    def __check_init__(self):
        require_range("rcond", self.rcond, below=1.0)
        if not isinstance(self.objective, SquareLoss):
            raise BadInput(
                "natural gradient flow takes a square loss of a model's outputs, "
                f"SquareLoss(outputs, targets, n); got {self.objective!r:.60}."
            )

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-J⁺ (y - y*)."""
        del t
        j, r = jax.jacrev(self.objective.outputs)(y), self.objective.residual(y)
        if r.shape == (1,):  # J⁺ = Jᵀ/|J|², which has a symbolic face
            square = jnp.sum(j**2)
            return -j[0] * r[0] / jnp.where(square <= 0, 1.0, square)
        u, s, v = jnp.linalg.svd(j, full_matrices=False)
        kept = s > self.rcond * jnp.max(s)
        inverse = jnp.where(kept, 1.0 / jnp.where(kept, s, 1.0), 0.0)
        return -v.T @ (inverse * (u.T @ r))
