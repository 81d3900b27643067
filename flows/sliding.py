"""The sign flow of a quadratic, exactly: straight pieces, sliding included."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from flows.errors import BadInput
from flows.problems import Quadratic

_ROUNDING = 1e-12


class SignPath(NamedTuple):
    """A piecewise straight path: vertices, and which ∂_i f it slides on between them.

    Attributes:
        times: of the vertices, shape [vertices] (unit: that of a coordinate).
        positions: there, shape [vertices, n].
        sliding: whether ∂_i f = 0 on the piece that follows, shape [vertices - 1, n].
    """

    times: Float[np.ndarray, " vertices"]
    positions: Float[np.ndarray, "vertices n"]
    sliding: Bool[np.ndarray, "pieces n"]

    def at(self, times: Any) -> Float[np.ndarray, "times n"]:
        """Positions at any times within the path, shape [times, n]."""
        columns = [np.interp(times, self.times, x) for x in self.positions.T]
        return np.stack(columns, axis=-1)


def sign_flow_path(objective: Any, x0: Any, t1: float) -> SignPath:
    r"""The Filippov solution of x' = -sign(∇f) for f = ½ xᵀAx, A positive definite.

    On each piece x' = -s is constant: s_i = sign(∂_i f) where ∂_i f ≠ 0, and on the
    surfaces ∂_i f = 0 that have been met s_i in [-1, 1] is such that the gradient,
    moving by -As, leaves 0 only in the direction of s_i: the optimality conditions of

        minimise sᵀ A s  over  s_i in [-1, 1], the others fixed,

    which has one solution. Pieces end where some ∂_i f reaches 0: an event at a known
    time, so nothing is discretised and the path is exact up to rounding.

    Reference: Filippov, "Differential Equations with Discontinuous Righthand Sides",
    Kluwer, 1988 (the notion of solution); the reduction is derived here.

    Args:
        objective: a `flows.problems.quadratic` with positive definite A.
        x0: start, shape [n].
        t1: end time > 0.

    Returns:
        The path, up to t1 (at rest once at 0).

    Raises:
        BadInput: another kind of objective, an A that is not positive definite, a start
            of another shape, a time that is not positive.
    """
    a, x = _checked(objective, x0, t1)
    root = np.linalg.cholesky(a)
    signs = np.sign(a @ x)
    t, times, positions, sliding = 0.0, [0.0], [x], []
    while t < t1:
        speed, slides = _velocity(a, root, signs)
        g = np.where(slides, 0.0, a @ x)
        signs = np.where(slides, 0.0, np.where(signs == 0, speed, signs))
        wait, entry = _next_event(g, -a @ speed, signs)
        step = min(wait, t1 - t)
        t, x = (t1 if wait >= t1 - t else t + step), x - step * speed
        if wait <= t1 - times[-1]:
            signs[entry] = 0.0
        times.append(t)
        positions.append(x)
        sliding.append(slides)
    return SignPath(np.array(times), np.array(positions), np.array(sliding))


def _checked(objective, x0, t1):
    if not isinstance(objective, Quadratic):
        raise BadInput(
            "the exact sign flow is that of flows.problems.quadratic(A); a general "
            f"loss takes SignFlow(f, smoothing=...); got {objective!r:.60}."
        )
    a = np.asarray(objective.matrix, float)
    a = np.diag(a) if a.ndim == 1 else a
    if not np.min(np.linalg.eigvalsh(a)) > 0:
        raise BadInput("A is positive definite; this one is not.")
    x = np.asarray(x0, float)
    if x.shape != (len(a),) or not np.all(np.isfinite(x)):
        raise BadInput(f"the start is a vector of {len(a)} finite numbers; got {x0!r}.")
    if not (np.isfinite(t1) and t1 > 0):
        raise BadInput(f"t1 is a finite time > 0; got {t1}.")
    return a, x


def _velocity(a, root, signs):
    """S of the next piece, and which entries keep ∂_i f = 0."""
    from scipy.optimize import lsq_linear

    zero = signs == 0
    speed = signs.astype(float)
    if zero.any():
        moved = root.T[:, ~zero] @ speed[~zero]
        # BVLS is an active-set method: exact but for the linear algebra.
        found = lsq_linear(root.T[:, zero], -moved, bounds=(-1, 1), method="bvls")
        speed[zero] = found.x
    pull = np.abs(a @ speed) > _ROUNDING * np.max(np.abs(a))
    leaves = (np.abs(speed) > 1 - _ROUNDING) & pull
    return speed, zero & ~leaves


def _next_event(g, slope, signs):
    """Time until an entry of the gradient reaches 0, and which one."""
    falling = signs * slope < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        waits = np.where(falling, np.abs(g / slope), np.inf)
    entry = int(np.argmin(waits))
    return float(waits[entry]), entry
