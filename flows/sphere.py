"""Rayleigh quotient flow on the sphere: how gradients alone find negative curvature."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats, require_number
from flows.dynamics import Flow, parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.types import is_traced


def _radius(value: Any) -> Any:
    return None if value is None else parameter(value)


def as_vector(name: str, value: Any, size: int, dtype: Any = None) -> Any:
    """A vector of numbers as a jax array of floats.

    Args:
        name: of the argument.
        value: array or list of `size` real numbers; finite, if they are not traced.
        size: n.
        dtype: of the result; None for the value's own, the default one for integers.

    Returns:
        Vector of shape [n].

    Raises:
        BadInput: another shape, or anything but finite real numbers.
    """
    numbers = value if is_traced(value) else as_floats(name, value)
    if np.shape(numbers) != (size,):
        raise BadInput(
            f"{name} is a vector of {size} floats, as many as there are coordinates; "
            f"got shape {np.shape(numbers)}."
        )
    if not (is_traced(numbers) or np.all(np.isfinite(numbers))):
        raise BadInput(f"{name} is a vector of finite numbers; got {value!r:.60}.")
    own = getattr(value, "dtype", float)
    floating = jnp.issubdtype(own, jnp.floating)
    return jnp.asarray(numbers, dtype or jnp.result_type(own if floating else float))


def as_direction(name: str, value: Any, size: int, dtype: Any) -> Any:
    """The vector over its largest entry, which cannot under- or overflow, and that.

    Args:
        name: of the argument.
        value: as for `as_vector`, and not 0 (a traced 0 makes NaN).
        size: n.
        dtype: of the results.

    Returns:
        The vector whose largest entry is 1 or -1, shape [n], and the largest, shape [].

    Raises:
        BadInput: as `as_vector`, or 0.
    """
    if is_traced(value):
        vector = as_vector(name, value, size, dtype)
        largest = jnp.max(jnp.abs(vector))
        return vector / largest, largest
    as_vector(name, value, size)
    numbers = as_floats(name, value)  # before its precision changes
    largest = np.max(np.abs(numbers))
    if largest == 0:
        raise BadInput(f"{name} is a direction: a finite vector other than 0.")
    return jnp.asarray(numbers / largest, dtype), jnp.asarray(largest, dtype)


def curvature_product(
    objective: Objective,
    x: Float[Array, " n"],
    y: Float[Array, " n"],
    radius: Any = None,
    at_x: Float[Array, " n"] | None = None,
) -> Float[Array, " n"]:
    r"""H_r y = |y| [∇f(x + r y/|y|) - ∇f(x)]/r, or ∇²f(x) y without a radius.

    The difference quotient is scaled so that H_r(c y) = c H_r(y) for c > 0. It is
    ∇²f(x) y on a quadratic, and within |y| ρ r/2 of it where ∇²f has the Lipschitz
    constant ρ. In floating point it also carries an error of order
    |y| ε (|∇f(x)| + ℓ|x|)/r, by the rounding of gradients and of x + r y/|y|, where
    ℓ = |∇²f|: r must not be small against ε (|∇f| + ℓ|x|) over the curvature looked
    for. At a critical point the second term is the one that counts.

    Args:
        objective: f.
        x: the point, shape [n].
        y: vector, shape [n], not 0 where a radius is given.
        radius: r > 0 (unit of x), or None for the exact product by automatic
            differentiation.
        at_x: ∇f(x) where it is known already; then one gradient is taken.

    Returns:
        Vector of shape [n], in unit of curvature times that of y.
    """
    if radius is None:
        return objective.hvp(x, y)
    before = objective.gradient(x) if at_x is None else at_x
    size = jnp.sqrt(jnp.sum(y**2))
    return size * (objective.gradient(x + radius * y / size) - before) / radius


def rayleigh_quotient(u: Float[Array, " n"], hu: Float[Array, " n"]) -> Any:
    """R = u·Hu/u·u, the curvature in the direction of u."""
    return jnp.sum(u * hu) / jnp.sum(u * u)


class RayleighFlow(Flow):
    r"""u' = -(H u - R(u) u) with H = ∇²f(x) held: Oja's flow on the sphere.

    R(u) = u·Hu/u·u is the Rayleigh quotient. |u| is constant and
    R' = -2 |Hu - R u|²/|u|²: half the Riemannian gradient flow of R on the sphere. Its
    solution is u(t) = |u₀| e^{-Ht} u₀/|e^{-Ht} u₀|, which tends to the direction of the
    lowest curvature in which u₀ has a component, like e^{-(λ₂ - λ₁) t}. With a radius,
    Hu is the scaled difference of two gradients (`curvature_product`).

    State: the direction u, shape [n], not the parameters x, which stay where they are.
    Unit of time: 1/curvature. Explicit Euler of step h on u' = -Hu, brought back to the
    sphere, is the power method on I - hH: h = 1/ℓ is the negative-curvature search of
    `discretize.negative_curvature`.

    Reference: Oja, "A simplified neuron model as a principal component analyzer",
    J. Math. Biology 15, 1982 (the flow); Zhang and Li, arXiv 2111.14069 (the search by
    gradients).

    Attributes:
        objective: f, twice differentiable.
        point: x, shape [n].
        radius: r > 0 of the differences, or None for exact products.

    Raises:
        BadInput: a point of another shape, or a radius that is no positive number.
    """

    equation: ClassVar[str] = (
        r"\dot u = -\Bigl(H u - \frac{u^\top H u}{u^\top u}\,u\Bigr),"
        r"\quad H = \nabla^2 f(x)"
    )
    objective: Objective
    point: Float[Array, " n"] = eqx.field(converter=parameter)
    radius: Float[Array, ""] | None = eqx.field(
        converter=_radius, default=None, metadata={"positive": True, "symbol": "r"}
    )

    def __check_init__(self):
        size = getattr(self.objective, "size", None)
        if self.point.shape != (size,):
            raise BadInput(
                f"the point is a vector of {size} floats, as many as the objective has "
                f"parameters; got shape {self.point.shape}."
            )
        if self.radius is not None:
            require_range("radius", self.radius)
            require_number("radius", self.radius, positive=True)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-(H u - R(u) u)."""
        del t
        hu = curvature_product(self.objective, self.point, y, self.radius)
        return rayleigh_quotient(y, hu) * y - hu

    def curvature(self, u: Float[Array, " n"]) -> Float[Array, ""]:
        """R(u), in unit of f over that of x squared."""
        hu = curvature_product(self.objective, self.point, u, self.radius)
        return rayleigh_quotient(u, hu)

    def exact(self, t: Any, u0: Any) -> Float[Array, "*times n"]:
        """The solution |u₀| e^{-Ht} u₀/|e^{-Ht} u₀| from the whole Hessian, O(n³).

        Args:
            t: time or times (1/curvature), shape [] or [times]; any sign.
            u0: direction at time 0, a vector of n finite numbers other than 0; taken
                in the precision of the point.

        Returns:
            Directions, shape [n] or [times, n].

        Raises:
            BadInput: the flow has a radius: differences of gradients have no
                exponential; a time that is not finite; or no such direction.
        """
        if self.radius is not None:
            raise BadInput("the exact solution is that of exact products: radius=None.")
        dtype = self.point.dtype
        start, largest = as_direction("u0", u0, self.point.size, dtype)
        if not is_traced(t):
            t = as_floats("t", t)
            if not np.all(np.isfinite(t)):
                raise BadInput(f"t is a finite time, or an array of them; got {t}.")
        values, vectors = jnp.linalg.eigh(self.objective.hessian(self.point))
        part = vectors.T @ start
        # e^{-λt} times the component is ±e^{log|component| - λt}: the largest
        # exponent cancels, so that nothing overflows and not all vanishes.
        there = part != 0
        heights = jnp.log(jnp.where(there, jnp.abs(part), 1))
        heights = jnp.where(there, heights, -jnp.inf)
        fallen = jnp.multiply.outer(jnp.asarray(t, dtype), values)
        height = jnp.broadcast_to(heights, fallen.shape) - fallen
        grown = jnp.exp(height - jnp.max(height, axis=-1, keepdims=True))
        moved = jnp.einsum("...i,i,ji->...j", grown, jnp.sign(part), vectors)
        scale = largest * jnp.linalg.norm(start)
        return scale * moved / jnp.linalg.norm(moved, axis=-1, keepdims=True)
