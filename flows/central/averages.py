"""Time averages over an oscillation: predicted from Σ, and measured on a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats, require_number
from flows.errors import BadInput
from flows.objective import Objective


def average(
    observable: Callable[[Float[Array, " n"]], Any],
    x: Float[Array, " n"],
    vectors: Float[Array, "n k"],
    covariance: Float[Array, "k k"],
) -> Any:
    r"""E φ(w + δ) ≈ φ(w) + ½⟨∇²φ(w), Σ⟩ for an oscillation δ of covariance Σ = U X Uᵀ.

    Exact for φ of degree <= 3 and a symmetric oscillation, else to O(|Σ|²). By K nested
    Jacobian-vector products; no n × n matrix.

    Reference: Cohen et al., arXiv 2410.24206 (the central flow's predictions).

    Args:
        observable: φ, any jax function of the position; scalars, arrays, pytrees.
        x: position w (weights).
        vectors: U.
        covariance: X, symmetric (weights squared in the basis U).

    Returns:
        The average, of φ(x)'s structure and shapes.
    """
    correction = second_variation(observable, x, vectors, covariance)
    return jax.tree.map(lambda a, b: a + 0.5 * b, observable(x), correction)


def second_variation(
    observable: Callable[[Float[Array, " n"]], Any],
    x: Float[Array, " n"],
    vectors: Float[Array, "n k"],
    covariance: Float[Array, "k k"],
) -> Any:
    """⟨∇²φ(w), Σ⟩ = Σ_j ∇²φ(w)[u_j, (U X)_j], of φ(x)'s structure and shapes.

    Args:
        observable: φ, as for `average`.
        x: position w.
        vectors: U.
        covariance: X, symmetric.
    """

    def along(u, v):
        def slope(z):
            return jax.jvp(observable, (z,), (v,))[1]

        return jax.jvp(slope, (x,), (u,))[1]

    each = jax.vmap(along, in_axes=1)(vectors, vectors @ covariance)
    return jax.tree.map(lambda a: a.sum(axis=0), each)


def covariance_trace(
    vectors: Float[Array, "n k"], covariance: Float[Array, "k k"]
) -> Float[Array, ""]:
    """Tr Σ = E|δ|² (weights squared), for Σ = U X Uᵀ; U need not be orthonormal.

    Args:
        vectors: U.
        covariance: X.
    """
    return jnp.sum((vectors.T @ vectors) * covariance)


def average_loss(
    objective: Objective,
    x: Float[Array, " n"],
    vectors: Float[Array, "n k"],
    covariance: Float[Array, "k k"],
) -> Float[Array, ""]:
    """E L = L + ½⟨H, Σ⟩; at the edge, where H U = 2 P U, that is L + ⟨P, Σ⟩.

    Args:
        objective: L.
        x: position w.
        vectors: U.
        covariance: X.
    """
    return average(objective.value, x, vectors, covariance)


def average_square(
    objective: Objective,
    x: Float[Array, " n"],
    vectors: Float[Array, "n k"],
    covariance: Float[Array, "k k"],
    images: Float[Array, "n k"] | None = None,
) -> Float[Array, " n"]:
    """E g² = g² + diag(H Σ H), entry by entry: what RMSProp's memory ν averages.

    Its sum is E|g|². The gradient's own mean shift ½∇⟨H, Σ⟩ is left out, as in the
    flow of ν: near the edge |H δ|² is larger by a factor |H|/|g|. `average` of
    `lambda x: objective.gradient(x) ** 2` contains it.

    Args:
        objective: L.
        x: position w.
        vectors: U.
        covariance: X.
        images: H U where it is known; else K Hessian-vector products are made.

    Returns:
        Shape [n], in units of g².
    """
    if images is None:
        images = jax.vmap(lambda v: objective.hvp(x, v), in_axes=1, out_axes=1)(vectors)
    return objective.gradient(x) ** 2 + jnp.sum((images @ covariance) * images, axis=1)


def midpoints(positions: Any) -> Any:
    """(w_{k-1} + 2 w_k + w_{k+1})/4 for k = 1, …, T-2: the run without its period 2.

    An oscillation (-1)^k δ cancels, a straight line stays as it is; what is left of a
    smooth path is ¼ of its second difference. Row j belongs to step j + 1.

    Args:
        positions: w_0, …, w_{T-1}, shape [T, n] or [T]; or a `Trajectory` of one run.

    Returns:
        Shape [T-2, n] or [T-2]; jax's array for jax's, else numpy's.

    Raises:
        BadInput: fewer than three positions.
    """
    w = getattr(positions, "positions", positions)
    w = w if isinstance(w, jax.Array) else as_floats("positions", w)
    if w.ndim not in (1, 2) or len(w) < 3:
        raise BadInput(
            "midpoints need the positions of at least three steps, shape [T, n] or "
            f"[T]; got shape {w.shape}."
        )
    return 0.25 * (w[:-2] + 2 * w[1:-1] + w[2:])


def smoothed(values: Any, width: Any = 10.0, ends: str = "reflect") -> np.ndarray:
    """A Gaussian mean over time of what a run did: losses, gradients, covariances.

        v̄_k = Σ_j G_{k-j} v_j,   G_m ∝ exp(-m²/(2 width²)),  |m| <= 4 width.

    Args:
        values: v_0, …, v_{T-1} at successive steps, shape [T, ...].
        width: standard deviation of the window (steps).
        ends: near the ends of the run, "reflect" mirrors the values (v_{-1} = v_0,
            v_{-2} = v_1); "renormalised" takes the mean over the part of the window
            that is there. Either keeps constants; neither keeps a slope at the ends.

    Returns:
        Shape [T, ...].

    Raises:
        BadInput: a width that is no number > 0, no values, or other ends.
    """
    from scipy.ndimage import gaussian_filter1d

    require_number("width", width, positive=True)
    if ends not in ("renormalised", "reflect"):
        raise BadInput(f'ends is "renormalised" or "reflect"; got {ends!r:.60}.')
    v, sigma = as_floats("values", values), float(width)
    if v.ndim == 0 or v.shape[0] == 0:
        raise BadInput(f"values have a leading axis of time; got shape {v.shape}.")
    if ends == "reflect":
        return gaussian_filter1d(v, sigma, axis=0, mode="reflect")
    total = gaussian_filter1d(v, sigma, axis=0, mode="constant")
    weight = gaussian_filter1d(np.ones(len(v)), sigma, mode="constant")
    return total / weight.reshape(-1, *[1] * (v.ndim - 1))
