"""A wall of sharpness that a flow meets, follows and leaves, in closed form."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from flows.door import as_floats, require_number
from flows.dynamics import require_range
from flows.errors import BadInput
from flows.objective import Facts, SympyObjective, from_sympy, stated
from flows.types import Scalar

_ROUNDING = 1e-13
_ULPS = np.float64(1e-15)  # the least that brentq takes


class WallState(NamedTuple):
    """The central flow at some times.

    Attributes:
        position: (x, p, q), shape [times, 3].
        variance: σ² of the oscillation in x, shape [times].
        loss: L(w) + σ²/η, the predicted mean loss, shape [times].
        at_edge: whether p = 0, shape [times].
    """

    position: Float[np.ndarray, "times 3"]
    variance: Float[np.ndarray, " times"]
    loss: Float[np.ndarray, " times"]
    at_edge: Bool[np.ndarray, " times"]


class _Piece(NamedTuple):
    """One smooth phase from a time on, in coordinates that decay by themselves."""

    start: float
    at_edge: bool
    p: float
    q: float


class Wall(SympyObjective):
    """L = (2/η + a p) x²/2 - d p + c p²/2 + k q²/2 - m p q (see `wall`).

    Attributes:
        parameters: s = 2/η, a, d, c, k and m.
    """

    @property
    def learning_rate(self) -> Any:
        """η, the step for which the wall stands at p = 0."""
        return 2 / self.parameters["s"]

    def central_path(self, start: Any, t1: Scalar) -> WallPath:
        """The central flow of gradient descent with `learning_rate`, exactly.

        Args:
            start: (p, q) with p <= 0; x is 0.
            t1: end time > 0 (steps).

        Returns:
            The path on [0, t1].

        Raises:
            BadInput: a start beyond the wall, a time that is not positive.
        """
        y = as_floats("start", start)
        if y.shape != (2,) or not np.all(np.isfinite(y)) or y[0] > 0:
            raise BadInput(f"start is (p, q) with p <= 0; got {start!r:.60}.")
        require_number("t1", t1, positive=True)
        values = {name: float(v) for name, v in self.parameters.items()}
        return WallPath(values, (float(y[0]), float(y[1])), float(t1))


class WallPath:
    r"""The central flow along a wall: smooth pieces, each in closed form.

    Below the wall, with y = (p, q), K = [[c, -m], [-m, k]] and b = (d, 0),

        y(t) = e^{-ηKt} y(0) + η ∫_0^t e^{-ηKs} ds b;

    on it, from t_e on, p = 0 and

        q(t) = q_e e^{-ηk(t-t_e)},   σ² = 2 (d + m q)/a,

    until σ² would turn negative, at t_e + log(-m q_e/d)/(ηk).

    Attributes:
        entries: times at which the wall is met, shape [entries] (steps).
        exits: times at which it is left, shape [exits] (steps).
    """

    def __init__(
        self, values: dict[str, float], start: tuple[float, float], t1: float
    ) -> None:
        self._values, self.t1 = values, t1
        c, k, m = (values[name] for name in "ckm")
        self._eta = 2 / values["s"]
        self._rates, self._modes = np.linalg.eigh(np.array([[c, -m], [-m, k]]))
        at_edge = start[0] > -_ROUNDING and self._pull(start[1]) > 0
        self._pieces = [_Piece(0.0, at_edge, *start)]
        while (after := self._next(self._pieces[-1])) is not None:
            self._pieces.append(after)
        entered = [b.start for b in self._pieces[1:] if b.at_edge]
        left = [b.start for b in self._pieces[1:] if not b.at_edge]
        self.entries, self.exits = np.array(entered), np.array(left)

    def _pull(self, q: Any) -> Any:
        """D + m q: the force along p at the wall, a σ²/2 where it is positive."""
        return self._values["d"] + self._values["m"] * q

    def _below(self, piece: _Piece, t: Any) -> np.ndarray:
        """(p, q) below the wall a time t after the piece began, shape [times, 2]."""
        t = np.atleast_1d(t)[:, None]
        z = -self._eta * self._rates[None, :] * t
        start = self._modes.T @ np.array([piece.p, piece.q])
        force = self._eta * self._modes.T @ np.array([self._values["d"], 0.0])
        growth = np.where(z == 0, 1.0, np.expm1(z) / np.where(z == 0, 1.0, z))
        return (np.exp(z) * start + t * growth * force) @ self._modes.T

    def _turn(self, piece: _Piece) -> float:
        """When p turns round after the piece began: p' has two exponentials."""
        start = self._modes.T @ np.array([piece.p, piece.q])
        force = self._modes.T @ np.array([self._values["d"], 0.0])
        slow, fast = self._modes[0] * (force - self._rates * start)
        gap = self._eta * (self._rates[1] - self._rates[0])
        if slow * fast >= 0 or gap == 0:
            return np.inf
        return float(np.log(-fast / slow) / gap)

    def _next(self, piece: _Piece) -> _Piece | None:
        """The piece after this one, or None where this one lasts to the end."""
        left = self.t1 - piece.start
        if piece.at_edge:
            ratio = -self._values["m"] * piece.q
            if self._values["d"] == 0 or ratio / self._values["d"] <= 1:
                return None
            d, k = self._values["d"], self._values["k"]
            wait = np.log(ratio / d) / (self._eta * k) if k else np.inf
            if wait >= left:
                return None
            return _Piece(piece.start + wait, False, 0.0, -d / self._values["m"])
        from scipy.optimize import brentq

        turn = self._turn(piece)
        ends = [0.0, *([turn] if 0 < turn < left else []), left]

        def p(t):
            return self._below(piece, t)[0, 0]

        for a, b in itertools.pairwise(ends):
            if p(a) < 0 and p(b) > _ROUNDING:
                found: Any = brentq(p, a, b, xtol=1e-13, rtol=_ULPS)
                q = self._below(piece, found)[0, 1]
                return _Piece(piece.start + found, True, 0.0, float(q))
        return None

    def at(self, times: Any) -> WallState:
        """Position, σ² and predicted loss at times in [0, t1].

        Args:
            times: shape [times] or one time (steps).

        Raises:
            BadInput: a time outside the path.
        """
        t = np.atleast_1d(as_floats("times", times))
        if not np.all((t >= 0) & (t <= self.t1)):
            raise BadInput(f"times lie in [0, {self.t1:g}]; got {times!r:.60}.")
        starts = np.array([piece.start for piece in self._pieces])
        which = np.searchsorted(starts, t, side="right") - 1
        pq = np.zeros((t.size, 2))
        at_edge = np.zeros(t.size, bool)
        for i, piece in enumerate(self._pieces):
            here = which == i
            since = t[here] - piece.start
            if piece.at_edge:
                rate = self._eta * self._values["k"]
                pq[here, 1] = piece.q * np.exp(-rate * since)
                at_edge[here] = True
            else:
                pq[here] = self._below(piece, since)
        pull = self._pull(pq[:, 1])
        variance = np.where(at_edge, np.maximum(0, 2 * pull / self._values["a"]), 0.0)
        c, k, m, d = (self._values[name] for name in "ckmd")
        p, q = pq.T
        loss = c * p**2 / 2 + k * q**2 / 2 - m * p * q - d * p + variance / self._eta
        return WallState(np.insert(pq, 0, 0.0, axis=1), variance, loss, at_edge)


def wall(
    learning_rate: Scalar = 0.05,
    narrowing: Scalar = 2.0,
    descent: Scalar = -0.4,
    stiffness: Scalar = 1.0,
    curvature: Scalar = 0.5,
    coupling: Scalar = 1.0,
) -> Wall:
    r"""L = (2/η + a p) x²/2 - d p + c p²/2 + k q²/2 - m p q: a wall at p = 0.

    The sharpness is 2/η + a p, so that gradient descent with step η meets its edge of
    stability at p = 0. A slow variable q presses against it with force d + m q: while
    that is positive the flow slides along the wall, oscillating with variance
    σ² = 2 (d + m q)/a; when q has decayed (d < 0) it lets go. Entry, exit and all in
    between are known in closed form (`Wall.central_path`).

    Args:
        learning_rate: η > 0 (1/curvature).
        narrowing: a > 0.
        descent: d; below 0 for a flow that leaves the wall again.
        stiffness: c >= 0 of p.
        curvature: k >= 0 of q.
        coupling: m of p with q.

    Returns:
        The objective; positions are (x, p, q).

    Raises:
        BadInput: an argument that is no finite number, η or a not positive, c or k
            below 0.
    """
    import sympy

    for name, value in (("learning_rate", learning_rate), ("narrowing", narrowing)):
        require_number(name, value, positive=True)
    for name, value in (("descent", descent), ("coupling", coupling)):
        require_number(name, value)
    for name, value in (("stiffness", stiffness), ("curvature", curvature)):
        require_range(name, value)
    x, p, q, s, a, d, c, k, m = sympy.symbols("x p q s a d c k m", real=True)
    expression = (s + a * p) * x**2 / 2 - d * p + c * p**2 / 2 + k * q**2 / 2
    values = {s: 2 / float(learning_rate), a: narrowing, d: descent}
    values |= {c: stiffness, k: curvature, m: coupling}
    made = from_sympy(expression - m * p * q, [x, p, q], values)
    return Wall(stated(Facts()), made.expression, made.variables, made.parameters)
