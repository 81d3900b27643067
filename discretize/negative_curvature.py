"""Directions of negative curvature from gradients alone, and the step along one."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows import Objective, curvature_product, rayleigh_quotient
from flows.door import require_number, require_whole
from flows.errors import BadInput
from flows.sphere import as_direction, as_vector
from flows.types import is_traced


class CurvatureSearch(NamedTuple):
    """What a search for negative curvature at a point x found.

    Attributes:
        direction: unit vector e, shape [n]: the last direction that was looked along.
        curvature: e·H_r e, the curvature of f along e by differences of gradients.
        rayleigh: the curvature at each direction looked along, shape [steps + 1]; its
            last entry is `curvature`.
        directions: those directions, shape [steps + 1, n], or None if not kept.
        gradients: gradients spent: steps + 1, and one more where ∇f(x) was not given.
    """

    direction: Float[Array, " n"]
    curvature: Float[Array, ""]
    rayleigh: Float[Array, " looks"]
    directions: Float[Array, "looks n"] | None
    gradients: int


def negative_curvature(
    objective: Objective,
    x: Any,
    start: Any,
    *,
    smoothness: Any,
    radius: Any,
    steps: int,
    target: Any = None,
    keep: bool = False,
    at_x: Any = None,
) -> CurvatureSearch:
    r"""Look for a direction of negative curvature at x with gradients alone.

    Without a target, the power method on I - H/ℓ by differences of gradients,

        y ← y - H_r(y)/ℓ,   H_r(y) = |y| [∇f(x + r y/|y|) - ∇f(x)]/r,

    with y kept at length 1 (H_r is homogeneous, so that this changes no direction). On
    a quadratic the direction after T steps is exactly that of (I - H/ℓ)^T y₀: explicit
    Euler of step 1/ℓ on u' = -Hu brought back to the sphere, of which
    `flows.RayleighFlow` is the limit for small steps. The mode of curvature -γ grows
    by 1 + γ/ℓ a step.

    With a target γ > 0, Nesterov's momentum tuned to it,

        z = y + (1 - θ)(y - y₋),   y₊ = z - H_r(z)/4ℓ,   θ = √(γ/ℓ)/4,

    under which that mode grows by 1 + 0.39 √(γ/ℓ) a step. There the Rayleigh quotients
    are those of the look-ahead z, where gradients are taken; they need not decrease.

    Reference: Zhang and Li, "Escape saddle points by a simple gradient-descent based
    algorithm", NeurIPS 2021, arXiv 2111.14069.

    Args:
        objective: f.
        x: the point, shape [n]; its precision is that of the search.
        start: y₀, any vector but 0, shape [n]; a standard normal one has a uniform
            direction, see `search_budget`.
        smoothness: ℓ, a Lipschitz constant of ∇f near x (curvature).
        radius: r (unit of x), far above ε(ℓ|x| + |∇f(x)|)/γ with ε the rounding unit,
            and far below γ/ρ where ∇²f has the Lipschitz constant ρ.
        steps: T.
        target: γ (curvature), at most ℓ, for the accelerated form; None for the plain
            one.
        keep: whether all directions are kept.
        at_x: ∇f(x), shape [n], where it is known already.

    Returns:
        A `CurvatureSearch`. Where its curvature is not negative, none was found.

    Raises:
        BadInput: vectors of another shape or not finite, a start of length 0, numbers
            that are not positive, or a target above the smoothness.
    """
    numbers = {"smoothness": smoothness, "radius": radius, "target": target}
    for name, value in numbers.items():
        if not (name == "target" and value is None):
            require_number(name, value, positive=True)
    require_whole("steps", steps)
    if not (target is None or is_traced((target, smoothness)) or target <= smoothness):
        raise BadInput(
            "target is a curvature, at most the smoothness; got "
            f"target={target}, smoothness={smoothness}."
        )
    # arrays, since a Python number would be compiled in
    x = as_vector("x", x, objective.size)
    start, _ = as_direction("start", start, x.size, x.dtype)
    at_x = None if at_x is None else as_vector("at_x", at_x, x.size, x.dtype)
    smoothness, radius, target = (
        None if value is None else jnp.asarray(value, x.dtype)
        for value in (smoothness, radius, target)
    )
    return _search(
        objective, x, at_x, start, smoothness, radius, int(steps), target, keep
    )


def momentum_step(target: Any, smoothness: Any) -> tuple[Any, Any]:
    """(θ, h): the friction √(γ/ℓ)/4 of the accelerated search, and its step 1/4ℓ.

    Args:
        target: γ (curvature).
        smoothness: ℓ (curvature).

    Returns:
        A number, and 1/curvature.
    """
    return (target / smoothness) ** 0.5 / 4, 1 / (4 * smoothness)


def momentum_growth(ratio: Any) -> tuple[Any, Any]:
    """Factors (w₊, w₋) a step of the mode of curvature -γ in the accelerated search.

    The roots of w² - (1 + q/4)[(2 - θ) w - (1 - θ)], q = γ/ℓ: a start at rest has the
    share w₊(1 - w₋)/(w₊ - w₋) of the growing one, seen in the look-ahead.

    Args:
        ratio: q, in (0, 1].

    Returns:
        Two numbers, or arrays like q.
    """
    friction, h = momentum_step(ratio, 1)
    grow = 1 + ratio * h
    b = grow * (2 - friction)
    root = (b**2 - 4 * grow * (1 - friction)) ** 0.5
    return (b + root) / 2, (b - root) / 2


@eqx.filter_jit
def _search(objective, x, known, start, smoothness, radius, steps, target, keep):
    at_x = objective.gradient(x) if known is None else known
    friction, h = 0.0, 1 / smoothness
    if target is not None:
        friction, h = momentum_step(target, smoothness)

    def look(z):
        u = z / jnp.linalg.norm(z)
        hu = curvature_product(objective, x, u, radius, at_x)
        return u, hu, (rayleigh_quotient(u, hu), u if keep else None)

    def plain(u, _):
        u, hu, shown = look(u)
        return u - h * hu, shown

    def ahead(pair):
        before, y = pair
        return y + (1 - friction) * (y - before)

    def accelerated(pair, _):
        z = ahead(pair)
        u, hu, shown = look(z)
        size = jnp.linalg.norm(z)  # z = |z| u: both iterates shrink alike
        return (pair[1] / size, u - h * hu), shown

    first = start / jnp.linalg.norm(start)
    if target is None:
        last, shown = jax.lax.scan(plain, first, length=steps)
    else:
        pair, shown = jax.lax.scan(accelerated, (first, first), length=steps)
        last = ahead(pair)
    e, _, end = look(last)
    rayleigh, path = jax.tree.map(lambda a, b: jnp.append(a, b[None], 0), shown, end)
    spent = steps + 1 + (known is None)
    return CurvatureSearch(e, end[0], rayleigh, path, spent)


def search_budget(smoothness: Any, target: Any, n: int, failure: Any = 0.01) -> int:
    r"""Steps after which the plain search has found curvature -γ/4, but for bad luck.

    If the lowest curvature is -γ or below and the others at most ℓ, then from a
    direction uniform on the sphere the Rayleigh quotient is below -γ/4 after

        T = log(4 (ℓ + γ/2)/(γ c²)) / 2 log[(1 + γ/ℓ)/(1 + γ/2ℓ)],  c² = π δ²/2n,

    steps with probability 1 - δ at least: modes above -γ/2 fall behind that of -γ, in
    which the start has a component of at least c but with probability c √(2n/π). This
    is exact for the power method itself; differences of gradients change it by ρ r/2.

    Args:
        smoothness: ℓ (curvature).
        target: γ (curvature), 0 < γ <= ℓ.
        n: dimension.
        failure: δ, in (0, 1).

    Returns:
        T, rounded up; of order (ℓ/γ) log(ℓ n/γδ²).

    Raises:
        BadInput: numbers out of these ranges, or traced ones.
    """
    if is_traced((smoothness, target, n, failure)):
        raise BadInput(
            "search_budget counts the steps of a loop, which are known before jit: it "
            "takes numbers, not traced values."
        )
    require_number("smoothness", smoothness, positive=True)
    require_number("target", target, positive=True)
    require_number("failure", failure, positive=True)
    require_whole("n", n)
    if not (0 < failure < 1 and target <= smoothness):
        raise BadInput(
            "search_budget takes 0 < failure < 1 and target <= smoothness; got "
            f"failure={failure}, target={target}, smoothness={smoothness}."
        )
    q = float(target) / float(smoothness)
    behind = math.log(math.pi / (2 * n)) + 2 * math.log(failure)  # log c²
    needed = math.log(4 * (1 + q / 2)) - math.log(q) - behind
    # (1 + q)/(1 + q/2) = 1 + q/(2 + q), which does not cancel for small q
    return math.ceil(needed / (2 * math.log1p(q / (2 + q))))


def escape_step(
    x: Any,
    gradient: Any,
    direction: Any,
    *,
    accuracy: Any,
    hessian_lipschitz: Any,
) -> Float[Array, " n"]:
    r"""The point x - σ ¼ √(ε/ρ) e with σ the sign of ∇f·e (+ at 0).

    Where e·∇²f(x) e <= -√(ρε)/4 for a unit vector e, and ∇²f has the Lipschitz
    constant ρ, the step lowers f by √(ε³/ρ)/192 at least; a cubic attains it.

    Reference: Zhang and Li, arXiv 2111.14069 (who show a decrease by √(ε³/ρ)/384).

    Args:
        x: the point, shape [n].
        gradient: ∇f(x), shape [n].
        direction: unit vector e, shape [n].
        accuracy: ε > 0, in unit of a gradient.
        hessian_lipschitz: ρ > 0, in unit of f over that of x cubed.

    Returns:
        The new point, shape [n].

    Raises:
        BadInput: vectors of different shapes or not finite, a direction whose length
            is not 1 (to 1 %), or numbers that are not positive.
    """
    require_number("accuracy", accuracy, positive=True)
    require_number("hessian_lipschitz", hessian_lipschitz, positive=True)
    x = as_vector("x", x, np.size(x))
    gradient = as_vector("gradient", gradient, x.size, x.dtype)
    direction = as_vector("direction", direction, x.size, x.dtype)
    size = 1 if is_traced(direction) else float(jnp.linalg.norm(direction))
    if abs(size - 1) > 0.01:
        raise BadInput(f"direction is a vector of length 1; got one of {size:g}.")
    length = jnp.sqrt(accuracy / hessian_lipschitz) / 4
    sign = jnp.where(jnp.sum(gradient * direction) >= 0, 1.0, -1.0)
    return x - (sign * length).astype(x.dtype) * direction
