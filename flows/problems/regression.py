"""Regression on data: least squares and logistic regression."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.data import Data
from flows.door import require_number, require_whole
from flows.dynamics import parameter, require_range
from flows.errors import BadInput
from flows.objective import Fact, Facts, Objective, stated
from flows.phi_functions import expm1_over
from flows.problems.closed_form import SolvedObjective, require_position, require_time
from flows.types import Scalar


class LeastSquares(SolvedObjective):
    """f(w) = 1/(2N) Σ_i (x_i·w - y_i)² (see `least_squares`).

    Attributes:
        data: the pair (X of shape [N, d], y of shape [N]).
    """

    facts: Facts
    data: Data

    @property
    def size(self) -> int:
        """Number d of weights."""
        return self.data.tree[0].shape[1]

    @property
    def rows(self) -> int:
        """Number N of data points."""
        return self.data.rows

    def value(self, x: Float[Array, " d"], batch: Any = None) -> Float[Array, ""]:
        """½ mean over rows (those in `batch`) of the squared residual."""
        features, targets = self._rows(batch)
        return 0.5 * jnp.mean((features @ x - targets) ** 2)

    def gradient(self, x: Float[Array, " d"], batch: Any = None) -> Float[Array, " d"]:
        """Xᵀ(Xw - y)/N over the rows in `batch` (default: all)."""
        features, targets = self._rows(batch)
        return features.T @ (features @ x - targets) / features.shape[0]

    def _rows(self, batch: Any) -> Any:
        """The data X and y, or some of their rows; a single index is a batch of one."""
        features, targets = self.data.get(batch)
        return jnp.atleast_2d(features), jnp.atleast_1d(targets)

    def gradient_flow_map(self, t: Scalar, x0: Float[Array, " d"]) -> Any:
        """w* + e^{-XᵀX t/N} (w0 - w*), w* = X⁺y; what X does not see stays.

        As t → ∞ it tends to w0 + X⁺(y - X w0), the solution nearest to w0.
        """
        require_time(t)
        require_position(self, x0)
        features, targets = self.data.get()
        u, s, vt = jnp.linalg.svd(features, full_matrices=False)
        # z' = force - rate z in the right singular basis, from z = 0
        rate = s**2 / features.shape[0]
        force = s * (u.T @ targets) / features.shape[0] - rate * (vt @ x0)
        time = jnp.asarray(t, x0.dtype)
        return x0 + vt.T @ (expm1_over(-rate, time) * force)


def least_squares(features: Any, targets: Any) -> LeastSquares:
    """f(w) = 1/(2N) Σ_i (x_i·w - y_i)², over-parametrised where d > N.

    Facts: L and μ are the largest and the smallest eigenvalue of XᵀX/N (μ = 0 where
    XᵀX is singular); the minimiser is X⁺y, of all solutions the one of least norm;
    minimum 1/(2N) |y - XX⁺y|², which is 0 where X has full row rank.

    Args:
        features: X of shape [N, d].
        targets: y of shape [N].

    Raises:
        BadInput: shapes that do not fit, or entries that are not finite.
    """
    x, y = _pair(features, targets)
    rows, d = x.shape
    rank = np.linalg.matrix_rank(x)
    singular = np.linalg.svd(x, compute_uv=False)
    solution, *_ = np.linalg.lstsq(x, y, rcond=None)
    lowest = float(singular[d - 1] ** 2 / rows) if rank == d else 0.0
    consistent = rank == rows
    residual = 0.0 if consistent else float(np.sum((y - x @ solution) ** 2) / rows / 2)
    by = "X has full row rank" if consistent else "residual of X⁺y"
    facts = Facts(
        smoothness=Fact(float(singular[0] ** 2 / rows), "largest eigenvalue of XᵀX/N"),
        strong_convexity=Fact(lowest, "smallest eigenvalue of XᵀX/N"),
        minimiser=Fact(solution, "X⁺y, the solution of least norm"),
        minimum=Fact(residual, by),
    )
    return LeastSquares(stated(facts), Data((jnp.asarray(x), jnp.asarray(y))))


class LogisticRegression(Objective):
    """f(w) = mean log(1 + e^{-y_i x_i·w}) + (ρ/2)|w|² (see `logistic_regression`).

    Attributes:
        data: the points y_i x_i, shape [N, d].
        ridge: ρ >= 0.
    """

    facts: Facts
    data: Data
    ridge: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"nonnegative": True, "symbol": r"\rho"}
    )

    @property
    def size(self) -> int:
        """Number d of weights."""
        return self.data.tree.shape[1]

    @property
    def rows(self) -> int:
        """Number N of data points."""
        return self.data.rows

    def value(self, x: Float[Array, " d"], batch: Any = None) -> Float[Array, ""]:
        """Mean over rows (those in `batch`) of log(1 + e^{-margin}), plus (ρ/2)|w|²."""
        margins = self._points(batch) @ x
        losses = jnp.logaddexp(jnp.zeros_like(margins), -margins)
        return jnp.mean(losses) + 0.5 * self.ridge * jnp.sum(x**2)

    def gradient(self, x: Float[Array, " d"], batch: Any = None) -> Float[Array, " d"]:
        """-mean of y_i x_i/(1 + e^{margin}) over rows (those in `batch`), plus ρ w."""
        points = self._points(batch)
        slopes = jax.nn.sigmoid(-(points @ x))
        return self.ridge * x - points.T @ slopes / points.shape[0]

    def _points(self, batch: Any) -> Any:
        """The points, or some of them; a single index is a batch of one."""
        return jnp.atleast_2d(self.data.get(batch))

    def scaled_gradient(self, log_scale: Any, x: Float[Array, " d"]) -> Any:
        """e^s ∇f(w), without forming e^s unless ρ > 0."""
        points = self.data.get()
        slopes = jnp.exp(log_scale + jax.nn.log_sigmoid(-(points @ x)))
        decay = jnp.where(self.ridge > 0, self.ridge * jnp.exp(log_scale), 0.0)
        return decay * x - points.T @ slopes / points.shape[0]


def logistic_regression(
    features: Any, labels: Any, *, ridge: Scalar = 0.0
) -> LogisticRegression:
    """f(w) = 1/N Σ_i log(1 + e^{-y_i x_i·w}) + (ρ/2)|w|², labels y_i = ±1.

    Facts: L = λ_max(XᵀX)/(4N) + ρ (attained at w = 0) and μ = ρ, the best constant
    only where w may run away. Where the data are separable and ρ = 0 the infimum 0 is
    not attained, and w/|w| tends to the max-margin direction (`max_margin`).

    Args:
        features: X of shape [N, d].
        labels: y of shape [N], each -1 or 1.
        ridge: ρ >= 0.

    Raises:
        BadInput: shapes that do not fit, entries that are not finite, labels other
            than -1 and 1, ρ < 0.
    """
    x, y = _pair(features, labels)
    if not np.all(np.abs(y) == 1):
        raise BadInput(f"labels are -1 or 1; got {np.unique(y)}.")
    require_range("ridge", ridge)
    curvature = np.linalg.norm(x, 2) ** 2 / (4 * x.shape[0])
    facts = Facts(
        smoothness=Fact(
            float(curvature + np.asarray(ridge)),
            "largest eigenvalue of XᵀX/(4N) + ρ; σ' <= 1/4, attained at w = 0",
        ),
        strong_convexity=Fact(float(np.asarray(ridge)), "the ridge ρ"),
    )
    points = Data(jnp.asarray(y[:, None] * x))
    return LogisticRegression(stated(facts), points, parameter(ridge))


def ridged_logistic(
    points: int = 8, dimension: int = 3, ridge: float = 0.1, seed: int = 1
) -> LogisticRegression:
    """A small strongly convex loss that is no quadratic: logistic regression, ridged.

    f(w) = 1/N Σ_i log(1 + e^{a_i·w}) + (ρ/2)|w|², a_i standard normal. Facts: those of
    `logistic_regression`, and the minimiser by Newton's method to rounding.

    Args:
        points: N.
        dimension: d.
        ridge: ρ > 0.
        seed: of the points.

    Raises:
        BadInput: counts that are not positive whole numbers, ρ <= 0.
    """
    require_whole("points", points)
    require_whole("dimension", dimension)
    require_number("ridge", ridge, positive=True)
    a = np.random.default_rng(seed).standard_normal((points, dimension))
    objective = logistic_regression(a, -np.ones(points), ridge=ridge)
    w = np.zeros(dimension)
    for _ in range(50):  # it ends long before: f is self-concordant enough
        p = 1 / (1 + np.exp(-(a @ w)))
        hessian = (a.T * (p * (1 - p))) @ a / points + ridge * np.eye(dimension)
        w = w - np.linalg.solve(hessian, a.T @ p / points + ridge * w)
    least = float(np.mean(np.logaddexp(0, a @ w)) + ridge * (w @ w) / 2)
    by = "Newton's method to rounding"
    facts = objective.facts._replace(
        minimiser=Fact(w, by), minimum=Fact(np.float64(least), by)
    )
    return eqx.tree_at(lambda o: o.facts, objective, facts)


def _pair(features: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        x, y = np.asarray(features, float), np.asarray(targets, float)
    except (TypeError, ValueError) as error:
        raise BadInput(f"data are arrays of numbers: {error}") from None
    if not (x.ndim == 2 and x.size and y.shape == x.shape[:1]):
        raise BadInput(
            f"features of shape [N, d] and targets of shape [N]; got {x.shape} and "
            f"{y.shape}."
        )
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise BadInput("features and targets are finite numbers.")
    return x, y
