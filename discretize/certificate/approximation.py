"""Which step size keeps gradient descent within ε of gradient flow?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from discretize.certificate.balls import (
    BALLS,
    below,
    rational,
    rational_matrix,
    working,
)
from discretize.certificate.enclosure import Enclosure, RationalNet, descend, enclose
from discretize.certificate.spectrum import path_ends
from discretize.certificate.theorem import (
    Step,
    Tube,
    best_radius,
    error_growth,
    step_size,
)
from flows import BadInput, GradientFlow, Objective, require_float64, solve
from flows.door import require_instance, require_number, require_whole

Grade = Literal["estimate", "certified"]


@dataclass(frozen=True)
class Approximation:
    """A step size with |x_k - x(kη)| <= ε for all k <= T/η, and what it rests on.

    Grade "certified": a theorem for this problem; every number was bounded in ball
    arithmetic. Grade "estimate": the curvature was looked at along a grid of times
    only, and its change within the tube is a first-order guess.

    Attributes:
        grade: "certified" or "estimate".
        eps: ε, in the unit of |x|.
        t1: T (unit: 1/curvature).
        start_distance: |x_0 - x(0)| between descent and flow.
        tube: bounds of curvature and slope along the flow.
        step: the theorem's learning rate at ε, with K(t), m, β and γ; as floats.
    """

    grade: Grade
    eps: float
    t1: float
    start_distance: float
    tube: Tube
    step: Step

    @property
    def learning_rate(self) -> float:
        """The largest η that the theorem allows at ε; 0 where it allows none."""
        return float(self.step.learning_rate)

    @property
    def times(self) -> Float[np.ndarray, " ends"]:
        """Ends of the cells (unit: 1/curvature)."""
        return np.asarray(self.tube.times, float)

    @property
    def growth(self) -> Float[np.ndarray, " ends"]:
        """K at `times`: K' = 1 - m K, K(0) = 0, with m that of the ε-tube."""
        return np.array([float(k) for k in self.step.growth])

    def at(self, eps: float) -> Approximation:
        """The same flow with another ε.

        Raises:
            BadInput: ε is no finite number > 0.
        """
        require_number("eps", eps, positive=True)
        return replace(self, eps=float(eps), step=_step(self, float(eps)))

    def allows(self, learning_rate: float) -> bool:
        """Whether the theorem covers this learning rate at ε.

        Raises:
            BadInput: no finite number > 0.
        """
        require_number("learning_rate", learning_rate, positive=True)
        return 0 < learning_rate < self.learning_rate

    def __repr__(self) -> str:
        allowed = self.learning_rate
        what = f"|x_k - x(kη)| <= {self.eps:.3g} up to t = {self.t1:g}"
        if allowed == 0:
            return f"Approximation({self.grade}: no step size gives {what})"
        return f"Approximation({self.grade}: {what} for η < {allowed:.3g})"

    def _repr_html_(self) -> str:
        import html

        return f"<code>{html.escape(repr(self))}</code>"


def _step(found: Any, eps: float) -> Step:
    if found.grade == "estimate":
        return step_size(found.tube, eps, found.start_distance)
    with working():
        exact = step_size(found.tube, eps, found.start_distance, BALLS)
        rate = exact.learning_rate
        parts = [[float(value) for value in part] for part in exact[1:]]
        return Step(max(below(rate), 0.0), *parts)


def approximation(
    objective: Objective,
    params: Any,
    *,
    t1: float,
    eps: float | None = None,
    flow_start: Any = None,
    cells: int = 20,
) -> Approximation:
    """Estimate the step size that keeps descent within ε of the flow up to time T.

    The Hessian's extreme eigenvalues are taken at cells + 1 times of the flow, and are
    assumed to change by |∇³f[v, v, ·]| a unit of distance around it (v their vectors).
    No bound is rigorous; `certify_linear_net` has one that is.

    Args:
        objective: f, three times differentiable.
        params: the start of gradient descent, in the user's pytree.
        t1: T > 0 (unit: 1/curvature).
        eps: ε; the one that allows the largest η where None.
        flow_start: the start of the flow where it is another one.
        cells: of the grid of times.

    Raises:
        BadInput: sizes out of range, or a Hessian that is not finite.
        PrecisionError: float64 is off.
    """
    require_float64("a step size from the curvature")
    require_instance(
        objective, Objective, "an objective comes first, as from_loss(loss, params)"
    )
    require_number("t1", t1, positive=True)
    require_whole("cells", cells, 2)
    x = objective.ravel(params)
    start = x if flow_start is None else objective.ravel(flow_start)
    times = np.linspace(0.0, float(t1), cells + 1)
    run = solve(
        GradientFlow(objective),
        start,
        0.0,
        float(t1),
        saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
    )
    ends = path_ends(objective, run.positions)
    norm = np.maximum(np.abs(ends["low"]), np.abs(ends["high"]))
    tube = Tube(
        times,
        _mean(ends["low"]),
        _larger(norm),
        _larger(np.asarray(run.gradient_norm)),
        np.zeros(cells),
        _larger(ends["rate"]),
        0.0,
    )
    off = float(jnp.linalg.norm(x - start))
    return _found("estimate", tube, float(t1), off, eps)


def _found(grade: Grade, tube: Tube, t1: float, off: float, eps: Any) -> Approximation:
    blank = Step(0.0, [], [], [], [])
    bare = Approximation(grade, 0.0, t1, off, tube, blank)
    return bare.at(best_radius(tube, off) if eps is None else eps)


def _mean(ends: np.ndarray) -> np.ndarray:
    return 0.5 * (ends[1:] + ends[:-1])


def _larger(ends: np.ndarray) -> np.ndarray:
    return np.maximum(ends[1:], ends[:-1])


@eqx.filter_jit
def _pulls(objective, positions):
    def pull(x):
        return jnp.linalg.norm(objective.hvp(x, objective.gradient(x)))

    return jax.lax.map(pull, positions)


def error_bound(
    objective: Objective, times: Any, positions: Any
) -> Float[np.ndarray, " times"]:
    """½ ∫₀ᵗ e^{-∫ λ_min} |∇²f ∇f| dt' >= |c(t)|, after the fact, along a path.

    Times η it bounds the first-order distance of gradient descent from the flow. An
    estimate: the curvature is looked at on the grid alone.

    Args:
        objective: f.
        times: increasing from 0, shape [times] (unit: 1/curvature).
        positions: x(t), shape [times, n].
    """
    ends = path_ends(objective, positions)
    pulls = np.asarray(_pulls(objective, jnp.asarray(positions)))
    return error_growth(times, _mean(ends["low"]), 0.5 * _mean(pulls))


class Descent(NamedTuple):
    """Gradient descent beside a certified flow, each distance enclosed.

    Attributes:
        learning_rate: η, exact.
        eps: what the theorem promised at this η, or None where it promises nothing.
        lower: |x_k - x(kη)| is at least this, shape [steps + 1].
        upper: and at most this, shape [steps + 1].
    """

    learning_rate: Fraction
    eps: float | None
    lower: Float[np.ndarray, " steps"]
    upper: Float[np.ndarray, " steps"]

    @property
    def slack(self) -> float:
        """How many times larger ε is than the largest distance (NaN without ε)."""
        return math.nan if self.eps is None else self.eps / float(self.upper.max())

    def __repr__(self) -> str:
        eta, steps = float(self.learning_rate), len(self.upper) - 1
        what = f"Descent(η = {eta:.3g}, {steps} steps"
        found = f"largest distance {self.upper.max():.3g}"
        if self.eps is None:
            return f"{what}: {found}; nothing was promised)"
        return f"{what}: {found}; the bound is {self.slack:.3g} times larger)"


@dataclass(frozen=True)
class Certificate:
    """A certified `Approximation` of a linear network, with the enclosed flow.

    Attributes:
        approximation: ε and the learning rate that is certified for it.
        enclosure: the flow, enclosed.
    """

    approximation: Approximation
    enclosure: Enclosure

    @property
    def learning_rate(self) -> Fraction:
        """The largest certified 1/N, an exact rational; 0 where there is none."""
        rate = self.approximation.learning_rate
        if rate == 0:
            return Fraction(0)
        return Fraction(1, math.floor(1 / Fraction(rate)) + 1)

    def at(self, eps: float) -> Certificate:
        """The same flow with another ε."""
        return replace(self, approximation=self.approximation.at(eps))

    def descend(self, learning_rate: Any = None) -> Descent:
        """Run gradient descent in balls, and enclose its distance from the flow.

        Args:
            learning_rate: η, rational; the certified one where None.

        Raises:
            BadInput: no certified step size, or one that is not exact and positive.
        """
        rate = self.learning_rate if learning_rate is None else rational(learning_rate)
        if not 0 < rate <= self.enclosure.t1:
            raise BadInput(f"a learning rate in (0, T]; got {rate}.")
        promised = self.approximation.allows(float(rate))
        with working():
            lower, upper = descend(self.enclosure, rate)
        eps = self.approximation.eps if promised else None
        return Descent(rate, eps, lower, upper)

    def __repr__(self) -> str:
        return (
            f"Certificate({self.approximation!r}, η = {self.learning_rate}, the flow "
            f"known to {self.enclosure.error:.1e})"
        )


def certify_linear_net(
    target: Sequence[Sequence[Any]],
    factors: tuple[Any, Any],
    *,
    t1: Any,
    eps: float | None = None,
    pieces: int = 40,
    cells: int = 8,
) -> Certificate:
    """Prove a step size for f(W₁, W₂) = ½ |W₂ W₁ - Φ|² and a rational start.

    The flow is enclosed in ball arithmetic (see `Enclosure`), with λ_min, |∇²f| and
    |∇f| bounded on every cell, and with the tube's |∇²f(q) - ∇²f(x)| <= 3 s ρ + 1.5 ρ²
    at |q - x| <= ρ, s² = |W₁|² + |W₂|² (spectral norms). The result is a theorem:
    |x_k - x(kη)| <= ε for all k <= T/η.

    Args:
        target: Φ, rows of exact rationals (Fractions, integers, "3/10"; no floats).
        factors: (W₁, W₂) at the start, the same.
        t1: T > 0, rational (unit: 1/curvature).
        eps: ε; the one that allows the largest η where None.
        pieces: Taylor polynomials that the path is made of.
        cells: on each piece, where curvature is bounded; more are sharper.

    Raises:
        BadInput: floats, shapes that do not fit, too few pieces, or python-flint is
            missing.
    """
    require_whole("pieces", pieces)
    require_whole("cells", cells)
    if not isinstance(factors, tuple | list) or len(factors) != 2:
        raise BadInput(f"factors are the pair (W₁, W₂); got {factors!r:.60}.")
    net = RationalNet(rational_matrix(target), *(rational_matrix(w) for w in factors))
    time = rational(t1)
    shapes = [(len(m), len(m[0])) for m in (net.second, net.first, net.target)]
    (d2, inner), (d1, d0), wanted = shapes
    if inner != d1 or wanted != (d2, d0):
        raise BadInput(f"W₂ W₁ - Φ needs fitting shapes; got {shapes}.")
    if time <= 0:
        raise BadInput(f"t1 is a time T > 0; got {t1}.")
    with working():
        found = enclose(net, time, pieces, cells)
    approximate = _found("certified", found.tube, float(time), 0.0, eps)
    return Certificate(approximate, found)
