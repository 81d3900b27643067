"""Weight normalisation: gradient flow in a scale and a direction, x = s w/|w|."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import Flow, parameter, require_range
from flows.errors import BadInput
from flows.objective import Facts, Objective
from flows.ravel import ravel_params
from flows.types import Scalar, is_traced


class WeightNormalisedState(NamedTuple):
    """The scale s, of shape [1], and the direction w, of shape [n] (or a pytree)."""

    scale: Any
    direction: Any


def tree_norm(tree: Any) -> Float[Array, ""]:
    """The Euclidean norm over all entries of a pytree."""
    return jnp.sqrt(tree_dot(tree, tree))


def tree_dot(a: Any, b: Any) -> Float[Array, ""]:
    """The inner product over all entries of two pytrees of one structure."""
    products = jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), a, b))
    return functools.reduce(jnp.add, products)


def polar(x: Any, norm: Scalar = 1.0) -> WeightNormalisedState:
    """The scale s = |x| and the direction w = norm · x/|x| of a vector or pytree.

    Args:
        x: a vector of shape [n], or a pytree of parameters.
        norm: |w| > 0. A smaller norm makes the direction turn faster, as 1/norm².

    Raises:
        BadInput: x = 0, which has no direction, or a norm that is not positive.
    """
    require_number("the norm of the direction", norm, positive=True)
    size = tree_norm(x)
    if not is_traced(size) and np.asarray(size).dtype != object and not size > 0:
        raise BadInput("weight normalisation needs a start other than 0: no direction.")
    return WeightNormalisedState(
        jnp.reshape(size, (1,)), jax.tree.map(lambda a: norm * a / size, x)
    )


class WeightNormalisedFlow(Flow):
    r"""Gradient flow in the scale and the direction of x = s w/|w|.

        s' = -c_s ⟨u, r⟩,   w' = -(s/|w|) (r - u ⟨u, r⟩),
        u = w/|w|,  r = ∇f(s u).

    |w| stays what it was, c. Unit of time: 1/curvature; a step of gradient descent
    with learning rate η on w, and c_s η on s, takes time η. c_s = 1 is gradient flow of
    `weight_normalised(f)`, c_s = 0 holds the scale, and on |w| = 1 the flow is that of
    reparametrised projected gradient descent (rPGD). On |w| = c, times 1/c² of those
    on |w| = 1 turn the direction as far.

    If f sees x only through A x, and P projects on the null space of A, then
    P u(t) = P u(0) exp((s(0)² - s(t)²)/(2 c_s c²)): a growing scale removes what the
    data do not see (`weight_normalisation_invariant`).

    Stability of an explicit step: η < 2/((s/c)² L) in w, c_s η < 2/L in s.

    Reference: Salimans and Kingma, "Weight Normalization", NeurIPS 2016, arXiv
    1602.07868; Wu, Dobriban, Ren, Wu, Li, Gunasekar, Ward and Liu, "Implicit
    Regularization and Convergence for Weight Normalization", NeurIPS 2020, arXiv
    1911.07956.

    Attributes:
        objective: f.
        scale_rate: c_s >= 0, the rate of s beside the rate 1 of w.
    """

    equation: ClassVar[str] = (
        r"\dot s = -c_s \langle u, r\rangle,\quad"
        r" \dot w = -\tfrac{s}{|w|}\,(r - u\langle u, r\rangle),\quad"
        r" u = \tfrac{w}{|w|},\ r = \nabla f(s u)"
    )
    objective: Objective
    scale_rate: Float[Array, ""] = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"nonnegative": True, "symbol": "c_s"},
    )

    def __check_init__(self):
        require_range("scale_rate", self.scale_rate)

    def start(self, x: Float[Array, " n"], norm: Scalar = 1.0) -> WeightNormalisedState:
        """The state s = |x|, w = norm · x/|x| (see `polar`).

        Raises:
            BadInput: x = 0, or a norm that is not positive.
        """
        return polar(x, norm)

    def position(self, y: WeightNormalisedState) -> Float[Array, " n"]:
        """The point x = s w/|w|."""
        return y.scale * (y.direction / tree_norm(y.direction))

    def vector_field(self, t, y: WeightNormalisedState) -> WeightNormalisedState:
        """(s', w')."""
        del t
        norm = tree_norm(y.direction)
        u = y.direction / norm
        r = self.objective.gradient(y.scale * u)
        along = jnp.sum(u * r)
        turn = -(y.scale / norm) * (r - along * u)
        return WeightNormalisedState(-self.scale_rate * along[None], turn)


class WeightNormalised(Objective):
    """F(s, w) = f(s w/|w|), an objective over scale and direction.

    Parameters: `WeightNormalisedState(scale, direction)`, the direction in the pytree
    of f, the scale of shape [1]. Gradient descent on it (optax.sgd, or any optimiser)
    is weight normalisation with one scale for all parameters. No facts are known of F:
    it is not convex, and its curvature grows as 1/|w|².

    Attributes:
        objective: f.
    """

    facts: Facts
    objective: Objective

    @property
    def size(self) -> int:
        """Number n + 1 of parameters."""
        return self.objective.size + 1

    def value(self, x: Float[Array, " m"], batch: Any = None) -> Float[Array, ""]:
        """f(s w/|w|) at x = (s, w)."""
        if jnp.shape(x) != (self.size,):
            raise BadInput(f"(s, w) is a vector of {self.size} floats; got {x!r:.60}.")
        w = x[1:]
        return self.objective.value(x[0] * w / tree_norm(w), batch)

    def params(self, x: Float[Array, " m"]) -> WeightNormalisedState:
        """The scale, and the direction in the pytree of f."""
        return WeightNormalisedState(x[:1], self.objective.params(x[1:]))

    def ravel(self, params: Any) -> Float[Array, " m"]:
        """The vector (s, w) of a state, or of a vector of length n + 1.

        Raises:
            BadInput: another structure, or a non-finite entry.
        """
        if not isinstance(params, WeightNormalisedState):
            return super().ravel(params)
        _, scale = ravel_params(params.scale)
        if scale.shape != (1,):
            raise BadInput(f"the scale has shape [1]; got {scale.shape}.")
        return jnp.concatenate([scale, self.objective.ravel(params.direction)])

    def loss_of(self, params: Any, batch: Any = None) -> Float[Array, ""]:
        """F at a state (or at a vector (s, w))."""
        if not isinstance(params, WeightNormalisedState):
            return self.value(params, batch)
        factor = params.scale[0] / tree_norm(params.direction)
        x = jax.tree.map(lambda a: factor * a, params.direction)
        return self.objective.loss_of(x, batch)


def weight_normalised(objective: Any) -> WeightNormalised:
    """F(s, w) = f(s w/|w|): your loss, reparametrised (see `WeightNormalised`).

    `polar(params)` is a start. Gradient flow of F is `WeightNormalisedFlow(f)`.

    Args:
        objective: f, such as `from_loss(loss, params)`.

    Raises:
        BadInput: something that is no objective.
    """
    if not isinstance(objective, Objective):
        raise BadInput(
            "weight_normalised takes an objective, such as "
            f"flows.from_loss(loss, params); got {objective!r:.60}."
        )
    return WeightNormalised(Facts(), objective)


def weight_normalised_limit(
    least_norm: Scalar,
    scale: Scalar,
    unseen: Scalar,
    *,
    norm: Scalar = 1.0,
    scale_rate: Scalar = 1.0,
) -> tuple[float, float]:
    r"""Where the weight-normalised flow ends on least squares, (s_∞, |x_∞ - x*|).

    With x* = A⁺y of norm g* and P the projector on the null space of A, A x_∞ = y
    leaves x_∞ = x* + s_∞ P u_∞, so that by the invariant of the flow

        s_∞² = g*² + s_∞² |P u(0)|² exp((s(0)² - s_∞²)/(c_s |w|²)).

    Gradient flow from the same point ends at the distance s(0) |P u(0)|.

    Reference: the invariant is that of Wu et al., NeurIPS 2020, arXiv 1911.07956.

    Args:
        least_norm: g* = |x*|, the least norm of a solution.
        scale: s(0), in (0, g*].
        unseen: |P u(0)| in [0, 1): the part of the direction that A does not see.
        norm: |w|.
        scale_rate: c_s > 0.

    Raises:
        BadInput: numbers outside these ranges.
    """
    from scipy.optimize import brentq

    require_number("norm", norm, positive=True)
    require_number("scale_rate", scale_rate, positive=True)
    g, s0, p, c, rate = map(float, (least_norm, scale, unseen, norm, scale_rate))
    if not (0 < s0 <= g < np.inf and 0 <= p < 1):
        raise BadInput(
            "0 < scale <= least_norm and 0 <= unseen < 1; got scale = "
            f"{scale}, least_norm = {least_norm}, unseen = {unseen}."
        )

    def left(s):
        return p * np.exp((s0**2 - s**2) / (2 * rate * c**2))

    def gap(s):
        return s**2 * (1 - left(s) ** 2) - g**2

    # Beyond s(0) the gap grows; at the upper end left(s) <= p makes it >= 0.
    s: Any = brentq(gap, s0, 2 * g / np.sqrt(1 - p**2), xtol=1e-15)
    return float(s), float(s * left(s))


def sphere_multiplier(hessian: Any, minimiser: Any, radius: Scalar) -> float:
    r"""The Lagrange multiplier μ of the least ½ (x-x*)ᵀH(x-x*) on the sphere |x| = s.

    There ∇f(s u) = -μ u, hence |(s H + μ)⁻¹ H x*| = 1. For s below the norm of the
    solution of least norm μ > 0, and with its scale held at s every step of rPGD ends
    up dividing P u by 1 + η s μ (P on the null space of H).

    Args:
        hessian: H, symmetric and positive semi-definite, shape [n, n].
        minimiser: x*, shape [n].
        radius: s > 0, below the least norm |H⁺H x*|.

    Raises:
        BadInput: a radius at or above the least norm, where μ <= 0.
    """
    from scipy.optimize import brentq

    curvatures, basis = np.linalg.eigh(np.asarray(hessian, float))
    small = curvatures <= 1e-12 * np.max(curvatures)
    inside = np.where(small, 0.0, basis.T @ np.asarray(minimiser, float))
    least, size = float(np.linalg.norm(inside)), float(radius)
    if not 0 < size < least:
        raise BadInput(f"0 < radius < {least:.6g}, the least norm; got {radius}.")
    curvatures = np.where(small, 0.0, curvatures)
    pull = curvatures * inside

    def excess(mu):
        return np.linalg.norm(pull / np.where(small, 1.0, size * curvatures + mu)) - 1

    mu: Any = brentq(excess, 0.0, np.linalg.norm(pull), xtol=1e-15)
    return float(mu)
