"""Separable data: the exponential loss, whose flow runs to the max-margin direction."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.data import Data
from flows.errors import BadInput
from flows.objective import Fact, Facts, Objective, stated

POINTS = ((0.5, 1.5), (2.0, -1.0), (2.0, 1.0))


class MaxMargin(NamedTuple):
    """The direction that separates points best.

    Attributes:
        direction: û = argmax over |u| = 1 of min_i x_i·u, shape [d].
        margin: that maximum, > 0 exactly where the points are separable.
        weights: λ_i >= 0 with Σ λ_i = 1 and Σ λ_i x_i = margin û, shape [N]; the dual
            certificate, positive on support vectors alone.
    """

    is_data = True

    direction: Any
    margin: Any
    weights: Any


def max_margin(points: Any) -> MaxMargin:
    """The max-margin direction of points x_i (labels multiplied in), shape [N, d].

    By duality margin · û is the point nearest to 0 of the points' convex hull, and that
    is the non-negative least squares problem min |Σ α_i x_i|² + (Σ α_i - 1)² up to
    scale: an active-set method solves it in finitely many steps, to rounding.

    Raises:
        BadInput: no points, or points that no direction separates.
    """
    from scipy.optimize import nnls

    x = np.asarray(points, float)
    if not (x.ndim == 2 and x.size and np.all(np.isfinite(x))):
        raise BadInput("points are a finite array of shape [N, d].")
    size = np.max(np.linalg.norm(x, axis=1))
    scaled = x / (size or 1.0)
    system = np.vstack([scaled.T, np.ones(len(x))])
    alpha, _ = nnls(system, np.append(np.zeros(x.shape[1]), 1.0))
    weights = alpha / np.sum(alpha)
    nearest = weights @ scaled
    margin = np.linalg.norm(nearest)
    if not margin > 1e-8:
        raise BadInput(
            "no direction u has x_i·u > 0 for all points: the data are not separable."
        )
    return MaxMargin(nearest / margin, size * margin, weights)


class SeparableExponential(Objective):
    """f(w) = 1/N Σ_i e^{-x_i·w} on separable points (see `separable_exponential`).

    Attributes:
        data: the points x_i with their labels multiplied in, shape [N, d].
        max_margin: direction, margin and dual weights of the points, exactly.
    """

    facts: Facts
    data: Data
    max_margin: MaxMargin

    @property
    def size(self) -> int:
        """Number d of weights."""
        return self.data.tree.shape[1]

    def value(self, x: Float[Array, " d"], batch: Any = None) -> Float[Array, ""]:
        """Mean over rows of e^{-margin}."""
        return jnp.mean(jnp.exp(-(self.data.get(batch) @ x)))

    def gradient(self, x: Float[Array, " d"], batch: Any = None) -> Float[Array, " d"]:
        """-mean of x_i e^{-margin}."""
        points = self.data.get(batch)
        return -(points.T @ jnp.exp(-(points @ x))) / points.shape[0]

    def scaled_gradient(self, log_scale: Any, x: Float[Array, " d"]) -> Any:
        """e^s ∇f(w), exponents added before they are taken."""
        points = self.data.get()
        return -(points.T @ jnp.exp(log_scale - points @ x)) / points.shape[0]


def separable_exponential(points: Any = POINTS) -> SeparableExponential:
    """f(w) = 1/N Σ_i e^{-x_i·w}: classification of separable data.

    Along gradient flow |w| grows like log t/margin, and w/|w| tends to the max-margin
    direction with an error of order 1/log t (Soudry, Hoffer, Nacson, Gunasekar and
    Srebro, "The Implicit Bias of Gradient Descent on Separable Data", 2018,
    arXiv 1710.10345). Facts: convex, not strongly (μ = 0); no global L, and the
    infimum 0 is not attained. Exactly known besides: `max_margin`.

    Late times belong to `flows.LogTimeFlow`.

    Args:
        points: x_i of shape [N, d], labels multiplied in (default: three points of the
            plane).

    Raises:
        BadInput: points that no direction separates.
    """
    best = max_margin(points)
    facts = Facts(strong_convexity=Fact(0.0, "the Hessian tends to 0"))
    data = Data(jnp.asarray(np.asarray(points, float)))
    best = MaxMargin(*(np.asarray(part) for part in best))
    return SeparableExponential(stated(facts), data, best)
