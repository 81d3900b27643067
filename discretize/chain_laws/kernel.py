"""The law of a chain in one dimension, by quadrature instead of Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from discretize.chain_laws.affine import AffineStep, density_of, exit_of
from discretize.chain_laws.door import require_function, require_interval
from discretize.chain_laws.panels import REACH, panels
from discretize.chain_laws.stationary import StationaryLaw, leading
from flows import BadInput, Dynamics, Scheme
from flows.door import as_floats, require_number, require_whole
from flows.errors import require_float64
from sde import Law
from sde.quadrature import values_at

Function = Callable[[np.ndarray], Any]
Start = Any
"""A point, a density at the nodes (shape [m]), or a law of states of shape [1]."""

DENSE = 4000
"""Nodes up to which the matrix is kept whole (128 MB); above, only its band is."""
MOST = 60_000
_RESOLUTION = 6.0
_COMES_BACK = 1e-8
_LEAK = 1e-9


class TransitionKernel:
    r"""The exact law of a chain on an interval, for steps affine in one normal.

    A step x ↦ m(x) + s(x) ξ with ξ ~ N(0, 1) carries a density p to

        p⁺(y) = ∫ p(x) k(y|x) dx,   k(y|x) = exp(-(y - m(x))²/(2 s(x)²))/(s(x) √(2π)),

    and the integral is taken by Gauss-Legendre panels on the box (Nyström's method).
    Mass that leaves the box is gone, and counted. Every quantity converges faster than
    any power of the number of nodes; `ladder` shows by how much it still moves.

    Reference: the method is Nyström's (Acta Mathematica 54, 1930; Atkinson, The
    Numerical Solution of Integral Equations of the Second Kind, 1997, chapter 4).

    Args:
        scheme: any scheme whose step on a state of shape [1] is affine in one standard
            normal: Euler, the tamed schemes, the exact Ornstein-Uhlenbeck step, …
        dynamics: what it steps.
        h: step size (time).
        nodes: at least this many nodes; None for six a standard deviation of a step
            (fewer standard deviations a panel where m is steep).
        box: (a, b), the interval; it has to be given.
        resolution: nodes a standard deviation.

    Attributes:
        nodes: x_i, shape [m], increasing.
        weights: w_i of the quadrature, shape [m].
        mean: m(x_i), shape [m].
        deviation: s(x_i), shape [m].
        leaving: probability to be outside the box after one step from x_i, shape [m].

    Raises:
        BadInput: a state that is not one number, a step that is not affine in one
            normal, that depends on time or keeps a memory, noise that vanishes or is
            tiny next to the box.
        PrecisionError: jax computes in float32.
    """

    def __init__(
        self,
        scheme: Scheme,
        dynamics: Dynamics,
        h: Any,
        nodes: int | None = None,
        box: Sequence[float] | None = None,
        *,
        resolution: float = _RESOLUTION,
    ) -> None:
        require_float64("the kernel of a chain")
        self.step = AffineStep(scheme, dynamics, h)
        self.box = require_interval(box)
        require_number("resolution", resolution, positive=True)
        self.resolution = float(resolution)
        if nodes is not None:
            require_whole("nodes", nodes, lowest=16, highest=MOST)
            smallest = float(np.min(self.step.at(np.linspace(*self.box, 257))[1]))
            wanted = nodes * smallest / (self.box[1] - self.box[0])
            self.resolution = max(self.resolution, wanted)
        rule = panels(self.step.at, *self.box, self.resolution, MOST)
        self.nodes, self.weights = rule.nodes, rule.weights
        self.mean, self.deviation = self.step.at(self.nodes)
        self.leaving = self._leaving(self.mean, self.deviation)

    def refined(self, factor: float) -> TransitionKernel:
        """The kernel on the same box with `factor` times the resolution."""
        require_number("factor", factor, positive=True)
        return self._like(self.box, self.resolution * factor)

    def widened(self, factor: float) -> TransitionKernel:
        """The kernel on a box `factor` times as wide about the same centre."""
        require_number("factor", factor, positive=True)
        a, b = self.box
        middle, half = (a + b) / 2, factor * (b - a) / 2
        return self._like((middle - half, middle + half), self.resolution)

    def _like(self, box, resolution) -> TransitionKernel:
        step = self.step
        return TransitionKernel(
            step.scheme, step.dynamics, step.h, box=box, resolution=resolution
        )

    def ladder(
        self,
        quantity: Callable[[TransitionKernel], float],
        factors: Sequence[float] = (0.5, 0.7, 1.0),
    ) -> list[float]:
        """A quantity of the kernel at several resolutions, coarsest first.

        Args:
            quantity: kernel -> number.
            factors: of the resolution, increasing; 1 is this kernel itself.

        Returns:
            The numbers; the last move is an estimate of the error of the last but one.
        """
        require_function("quantity, kernel -> number,", quantity)
        every = as_floats("factors", factors)
        if every.ndim != 1:
            raise BadInput(f"factors holds numbers > 0, as (0.5, 1.0); got {factors}.")
        return [float(quantity(self if f == 1 else self.refined(f))) for f in every]

    @cached_property
    def matrix(self) -> Any:
        """k(x_i | x_j), shape [m, m]; sparse (its band) above 4000 nodes."""
        if self.nodes.size <= DENSE:
            return _gaussian(self.nodes[:, None], self.mean, self.deviation)
        from scipy import sparse

        reach = REACH * self.deviation
        low = np.searchsorted(self.nodes, self.mean - reach)
        high = np.searchsorted(self.nodes, self.mean + reach)
        ends = np.concatenate([[0], np.cumsum(high - low)])
        column = np.repeat(np.arange(self.nodes.size), high - low)
        row = np.arange(ends[-1]) - np.repeat(ends[:-1] - low, high - low)
        values = _gaussian(self.nodes[row], self.mean[column], self.deviation[column])
        shape = (self.nodes.size, self.nodes.size)
        return sparse.csc_array((values, row, ends), shape=shape)

    def density_after(self, start: Start) -> np.ndarray:
        """The density at the nodes one step after a start, shape [m]."""
        start = self._start(start)
        if isinstance(start, Law):
            return density_of(self.step, start, self.nodes)
        if start.ndim == 0:
            return _gaussian(self.nodes, *self.step.at(start[None]))
        return self.matrix @ (self.weights * start)

    def propagate(self, start: Start, steps: int) -> np.ndarray:
        """The density of the chain at the nodes after some steps, shape [m].

        Its mass ∑ w_i p_i is the probability of having stayed in the box.

        Args:
            start: a point, a density at the nodes, or a law (`sde.Gaussian`, …).
            steps: number of steps, >= 0 (>= 1 from a point or a law).

        Raises:
            BadInput: a start outside the box or of another shape, a law of states of
                another shape than [1], a density that is negative somewhere.
        """
        return self._run(start, steps)[0]

    def expectations(self, f: Function, start: Start, steps: int) -> np.ndarray:
        """E f(X_k) over the mass inside the box, for k = 1, …, steps; shape [steps].

        Args:
            f: a function of arrays of positions, elementwise.
            start: as in `propagate`.
            steps: number of steps, >= 1.
        """
        values = self.weights * self._values(f)
        return self._run(start, steps, lambda p: float(values @ p))[1]

    def survival(self, start: Start, steps: int) -> float:
        """The probability of having stayed in the box at every one of the steps."""
        return 1.0 - self.exit_probability(start, steps)

    def exit_probability(self, start: Start, steps: int) -> float:
        """The probability to have left the box by then: sums of positive terms only.

        Probabilities far below rounding of 1 keep their digits.
        """
        require_whole("steps", steps)
        start = self._start(start)
        if isinstance(start, Law):
            first = float(exit_of(self.step, start, self.box))
        elif start.ndim == 0:
            first = float(self._leaving(*self.step.at(start[None]))[0])
        else:
            first = float(self.weights @ (start * self.leaving))
        if steps == 1:
            return first
        outward = self.weights * self.leaving
        later = self._run(start, steps - 1, lambda p: float(outward @ p))[1]
        return first + math.fsum(later)

    def explosion_probability(self, start: Start, steps: int) -> float:
        """P(explosion within the steps), on a box whose outside is lost for good.

        A chain at the threshold of explosion may still be thrown back, so that killing
        it there overestimates; the box has to reach beyond, to where it never returns.
        "By then" means out of this box: from there |x| grows doubly exponentially, and
        a wider box (or waiting for an overflow) only delays the count by a few steps.

        Args:
            start: as in `propagate`.
            steps: number of steps, >= 1.

        Raises:
            BadInput: from an end of the box the chain comes back with a probability
                above 1e-8.
        """
        m, s = self.step.at(np.asarray(self.box))
        back = 1.0 - self._leaving(m, s)
        if np.any(back > _COMES_BACK):
            raise BadInput(
                f"from the ends of the box {self.box} the chain comes back with "
                f"probability {back.max():.3g}: leaving it is no explosion. Take a "
                "wider box, or `exit_probability` for the exit from this one."
            )
        return self.exit_probability(start, steps)

    def escape_rate(self) -> float:
        """Probability a step to leave the box, in the law conditioned on staying."""
        return self.stationary(quasi=True).leak

    def expect(self, f: Function, density: np.ndarray) -> float:
        """∫ f p over the box for a density p at the nodes."""
        p = self._density(as_floats("the density", density))
        return float(self.weights @ (self._values(f) * p))

    def stationary(self, *, quasi: bool = False) -> StationaryLaw:
        r"""The stationary law of the chain, from one linear solve.

        Args:
            quasi: where the chain has no stationary law on the line (it explodes, as
                the unadjusted algorithm with a super-linear drift), or mass leaves the
                box, give the law conditioned on staying in the box: the leading
                eigenvector, ∫ p k = (1 - leak) p, labelled "quasi-stationary".

        Raises:
            BadInput: no stationary law, or a box that loses mass; the message says
                which. `quasi=True` accepts both.
        """
        law = self._leading
        if law.kind == "stationary" or quasi:
            return law
        if self._explodes:
            raise BadInput(
                "this chain has no stationary law: beyond the box its mean map moves "
                f"outwards, and it explodes sooner or later (from {self.box} at the "
                f"rate {law.leak:.3g} a step). stationary(quasi=True) gives the law "
                "conditioned on staying in the box; a tamed scheme has a law."
            )
        raise BadInput(
            f"mass {law.leak:.3g} a step leaves the box {self.box}: take a wider box. "
            "stationary(quasi=True) gives the law conditioned on staying in it."
        )

    @cached_property
    def _leading(self) -> StationaryLaw:
        kept = leading(self.matrix, self.nodes, self.weights, self.leaving)
        good = kept.leak <= _LEAK and not self._explodes
        return kept._replace(kind="stationary" if good else "quasi-stationary")

    @cached_property
    def _explodes(self) -> bool:
        """Whether the mean map moves outwards beyond the box, on either side."""
        a, b = self.box
        away = (b - a) / 2 * 2.0 ** np.arange(0, 7)
        middle = (a + b) / 2
        far = np.concatenate([middle - away, middle + away])
        m = self.step.at(far)[0]
        out = np.abs(m - middle) > np.abs(far - middle)
        return bool(np.any(out & ~np.isnan(m)))

    def _run(self, start, steps, watch=None) -> tuple[np.ndarray, np.ndarray]:
        require_whole("steps", steps, lowest=0)
        if steps == 0:
            start = self._start(start)
            if isinstance(start, Law) or start.ndim == 0:
                raise BadInput("a point or a law has a density after one step, not 0.")
            return start, np.zeros(0)
        p, seen = self.density_after(start), np.zeros(steps)
        for k in range(steps):
            if k:
                p = self.matrix @ (self.weights * p)
            if watch is not None:
                seen[k] = watch(p)
        return p, seen

    def _leaving(self, m: np.ndarray, s: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr

        a, b = self.box
        with np.errstate(over="ignore", invalid="ignore"):
            out = ndtr((a - m) / s) + ndtr((m - b) / s)
        return np.where(np.isnan(m), 1.0, out)  # overflow: inf - inf

    def _values(self, f: Function) -> np.ndarray:
        require_function("f, of an array of positions,", f)
        return values_at(f, self.nodes)

    def _start(self, start: Start) -> Any:
        """A law, a point of the box as an array of shape [], or a density [m]."""
        if isinstance(start, Law):
            return start
        values = as_floats("the start", start)
        if values.ndim:
            return self._density(values)
        if not self.box[0] <= values <= self.box[1]:
            raise BadInput(
                f"a start is a law, a density at the nodes, or a point inside the box: "
                f"{start!r:.60} lies outside the box {self.box}."
            )
        return values

    def _density(self, p: np.ndarray) -> np.ndarray:
        if p.shape != self.nodes.shape or not np.all(np.isfinite(p)):
            raise BadInput(
                f"a density is given by its {self.nodes.size} finite values at the "
                f"nodes; got shape {p.shape}."
            )
        if np.any(p < 0):
            raise BadInput(
                f"a density is nowhere negative; the least is {p.min():.3g}."
            )
        return p

    def __repr__(self) -> str:
        s = self.deviation
        spread = f"{s.min():.3g}"
        if s.max() > (1 + 1e-9) * s.min():
            spread += f" to {s.max():.3g}"
        a, b = self.box
        return (
            f"<kernel of {type(self.step.scheme).__name__}, h = {self.step.h:g}, on "
            f"[{a:g}, {b:g}]: {self.nodes.size} nodes, step deviation {spread}>"
        )


def _gaussian(y: Any, m: Any, s: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        value = np.exp(-0.5 * ((y - m) / s) ** 2) / (s * math.sqrt(2 * np.pi))
    return np.nan_to_num(value, nan=0.0)  # a mean that overflowed to nan is far away
