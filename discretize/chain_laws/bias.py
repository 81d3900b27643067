r"""The stationary bias of a sampler to leading order: its constants, by quadrature.

With π_h = π (1 + h^p g + ...) and g = -(Φ - E_π Φ)/T (`discretize.chain_laws.tilt`),
F₁(x) = ∫_{-∞}^x π g, and as h → 0

    W₁/h^p → ∫ |F₁| dx,        W₂/h^p → (∫ F₁²/π dx)^½,
    TV/h^p → ½ E_π |g|,        KL/h^{2p} → ½ E_π g²,
    (E_h f - E_π f)/h^p → E_π[f g] = -Cov_π(f, Φ)/T.

π is had from the drift and the noise alone, log π = ∫ π'/π. F₁ is accumulated from both
tails: a one-sided sum leaves rounding where π is nothing, and F₁²/π explodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from discretize.chain_laws.distances import root_between
from discretize.chain_laws.door import require_function, require_interval
from discretize.chain_laws.panels import POINTS, rule
from discretize.chain_laws.tilt import (
    EffectivePotential,
    as_function,
    effective_potential,
)
from flows import BadInput, Scheme
from sde import Diffusion
from sde.quadrature import values_at
from sde.wasserstein import Distance

Vector = Float[np.ndarray, " m"]
Function = Callable[[np.ndarray], Any]

DEPTH = 75.0
"""The box ends where log π is this far below its maximum."""
MOST_CUT = 1e-12
"""The share of π that a given box may leave out."""
_WIDEST = 1e4
_PANELS = 96
_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(POINTS)


def _antiderivatives() -> np.ndarray:
    """∫_{-1}^{x_i} of the interpolant on a panel, as a matrix [POINTS, POINTS]."""
    legendre = np.polynomial.legendre
    to_series = np.linalg.inv(legendre.legvander(_GAUSS, POINTS - 1))
    integrals = legendre.legint(np.eye(POINTS), lbnd=-1)
    return legendre.legval(_GAUSS, integrals).T @ to_series


_INTEGRALS = _antiderivatives()


@dataclass(frozen=True, eq=False, repr=False)
class BiasConstants:
    """Leading constants of a sampler's stationary bias, each with an error estimate.

    Attributes:
        power: p; the bias is of order h^p (h: step, time).
        w1: lim W₁/h^p, (unit of x)/time^p.
        w2: lim W₂/h^p, the same unit.
        total_variation: lim TV/h^p.
        kl: lim KL/h^{2p}.
        effective: Φ as expressions.
        nodes: positions, shape [m].
        weights: of the quadrature, shape [m].
        density: π at the nodes, shape [m].
        potential: Φ - E_π Φ at the nodes, shape [m].
        temperature: T.
    """

    power: Fraction
    w1: Distance
    w2: Distance
    total_variation: Distance
    kl: Distance
    effective: EffectivePotential
    nodes: Vector
    weights: Vector
    density: Vector
    potential: Vector
    temperature: float

    def slope(self, f: Function) -> float:
        """The limit of (E_h f - E_π f)/h^p: -Cov_π(f, Φ)/T, f of positions."""
        values = self._values(f)
        mass = self.weights * self.density
        return -float(mass @ (values * self.potential)) / self.temperature

    def mean(self, f: Function) -> float:
        """E_π f."""
        return float((self.weights * self.density) @ self._values(f))

    def _values(self, f: Function) -> Vector:
        require_function("f, of an array of positions,", f)
        return values_at(f, self.nodes)

    def __repr__(self) -> str:
        return (
            f"<bias of order h^{self.power}: W1 {self.w1.value:.5g}, "
            f"W2 {self.w2.value:.5g}, TV {self.total_variation.value:.5g}, "
            f"KL {self.kl.value:.5g} (of h^{2 * self.power})>"
        )


def bias_constants(
    scheme: Scheme,
    dynamics: Diffusion,
    *,
    box: tuple[float, float] | None = None,
    upto: Fraction | int = 2,
) -> BiasConstants:
    """The leading power and constants of a sampler's stationary bias, in one dimension.

    Nothing is simulated and no chain is solved: the step is expanded in √h from its own
    trace, and the constants are integrals over π.

    Args:
        scheme: a one-step scheme, as `TamedEuler(Polygonal(0.1))`.
        dynamics: a diffusion of state [1] with a stationary density on the line.
        box: (a, b) with all of π but a share of 1e-12; found where None.
        upto: the largest power looked at (`effective_potential`).

    Returns:
        The constants.

    Raises:
        BadInput: as `effective_potential`; no stationary density on the line; a box
            that cuts off more of it.
    """
    return constants_of(effective_potential(scheme, dynamics, upto=upto), box)


def constants_of(
    effective: EffectivePotential, box: tuple[float, float] | None = None
) -> BiasConstants:
    """The constants of a given effective potential; see `bias_constants`."""
    score = as_function(effective.score, effective.x)
    a, b = box_of(score) if box is None else _whole(score, box)
    slope = as_function(effective.slope, effective.x)
    temperature = float(effective.temperature)
    kinks = [as_function(e, effective.x) for e in effective.kinks]
    fine, coarse = (
        _measured(score, slope, temperature, _edges(a, b, kinks, panels))
        for panels in (_PANELS, _PANELS // 2)
    )
    (values, law), (others, _) = fine, coarse
    w1, w2, total_variation, kl = (
        Distance(v, abs(v - w) + 1e-13 * abs(v))
        for v, w in zip(values, others, strict=True)
    )
    nodes, weights, density, potential = law
    return BiasConstants(
        effective.power,
        w1,
        w2,
        total_variation,
        kl,
        effective,
        nodes,
        weights,
        density,
        potential,
        temperature,
    )


def _measured(score, slope, temperature, edges) -> tuple[list[float], tuple]:
    """[W₁, W₂, TV, KL] on these panels; nodes, weights, π, Φ - E Φ."""
    nodes, weights, density = _stationary(score, edges)
    phi = cumulative(edges, slope(nodes))[0]
    mass = weights * density
    phi = phi - mass @ phi
    flux = _flux(edges, density, phi)
    # the panels end where F₁ or Φ - E Φ changes sign, so that |·| is smooth on each
    turns = [*_crossings(nodes, flux, density), *_crossings(nodes, phi, density)]
    edges = _merged(edges, turns)
    nodes, weights, density = _stationary(score, edges)
    phi = cumulative(edges, slope(nodes))[0]
    mass = weights * density
    phi = phi - mass @ phi
    flux = _flux(edges, density, phi)
    seen = density > 0
    ratio = np.zeros_like(flux)
    ratio[seen] = flux[seen] ** 2 / density[seen]
    values = [
        float(weights @ np.abs(flux)) / temperature,
        float(np.sqrt(weights @ ratio)) / temperature,
        float(mass @ np.abs(phi)) / temperature / 2,
        float(mass @ phi**2) / temperature**2 / 2,
    ]
    return values, (nodes, weights, density, phi)


def _stationary(score, edges) -> tuple[Vector, Vector, Vector]:
    """Nodes, weights and π ∝ exp(∫ π'/π) on these panels."""
    nodes, weights, _ = rule(edges)
    logs = cumulative(edges, score(nodes))[0]
    density = np.exp(logs - np.max(logs))
    return nodes, weights, density / (weights @ density)


def _flux(edges, density, phi) -> Vector:
    """∫_{-∞}^x π (Φ - E Φ), from whichever end is nearer in mass."""
    left, right = cumulative(edges, density * phi)
    below, above = cumulative(edges, density)
    return np.where(below <= above, left, -right)


def cumulative(edges: np.ndarray, values: Vector) -> tuple[Vector, Vector]:
    """∫ from the left end to each node, and from each node to the right end.

    Args:
        edges: of the panels, shape [k + 1].
        values: of the integrand at the nodes of `panels.rule(edges)`, shape [16 k].
    """
    half = np.diff(edges)[:, None] / 2
    inside = values.reshape(half.size, POINTS)
    whole = half[:, 0] * (inside @ _WEIGHTS)
    until = half * (inside @ _INTEGRALS.T)
    after = half * (inside @ _INTEGRALS[::-1, ::-1].T)
    before = np.concatenate([[0.0], np.cumsum(whole)[:-1]])[:, None]
    behind = np.concatenate([np.cumsum(whole[::-1])[::-1][1:], [0.0]])[:, None]
    return (before + until).ravel(), (behind + after).ravel()


def box_of(score: Function, depth: float = DEPTH) -> tuple[float, float]:
    """The interval where log π is within `depth` of its maximum.

    Args:
        score: π'/π, a function of an array of positions.
        depth: how far log π falls.

    Raises:
        BadInput: π does not fall off within |x| <= 1e4.
    """
    reach = 1.0
    while reach <= _WIDEST:
        edges = np.linspace(-reach, reach, 101)
        with np.errstate(all="ignore"):
            logs = cumulative(edges, np.nan_to_num(score(rule(edges).nodes)))[0]
        logs = logs - np.max(logs)
        if max(logs[0], logs[-1]) < -depth:
            inside = rule(edges).nodes[logs > -depth]
            step = edges[1] - edges[0]
            return float(inside[0] - step), float(inside[-1] + step)
        reach *= 2
    raise BadInput(
        f"no stationary density: exp(∫ 2v/σ²)/σ² does not fall off within |x| <= "
        f"{_WIDEST:g}. Give a box, if the process lives on one."
    )


def _whole(score: Function, box: tuple[float, float]) -> tuple[float, float]:
    """The ends of a box that holds all of π, or `BadInput`."""
    a, b = require_interval(box)
    cut = _cut(score, a, b)
    if not cut <= MOST_CUT:
        raise BadInput(
            f"the box ({a:g}, {b:g}) cuts off a share of {cut:.2g} of the stationary "
            f"density, more than {MOST_CUT:g}: take a wider one, or none, to have it "
            "found."
        )
    return a, b


def _cut(score: Function, a: float, b: float) -> float:
    """The share of π beyond the ends (an estimate where its tails are heavy).

    Where π'/π is infinite, as at 0 for a process of positive numbers, the line ends.
    """
    ends = np.array([a, b])
    with np.errstate(all="ignore"):
        last = ~np.isfinite(score(ends))
    try:
        found = np.array(box_of(score))
    except BadInput:  # heavy tails, or no line: what is beyond is had from the slopes
        found = ends
    low, high = np.where(last, ends, [min(a, found[0]), max(b, found[1])])
    edges = _merged(np.linspace(low, high, 4 * _PANELS + 1), [a, b])
    with np.errstate(all="ignore"):
        nodes, weights, density = _stationary(score, edges)
        if found is not ends:
            outside = (nodes < a) | (nodes > b)
            return float((weights * density)[outside].sum())
        fall = score(nodes[[0, -1]]) * [1, -1]
        beyond = np.where(fall > 0, density[[0, -1]] / fall, 1.0)
    return min(1.0, float(np.sum(np.where(last, 0.0, beyond))))


def _edges(a: float, b: float, kinks: list[Function], panels: int) -> np.ndarray:
    """Equal panels, cut at the kinks."""
    grid = np.linspace(a, b, 4001)
    found: list[float] = []
    for kink in kinks:
        values = kink(grid)
        found += [*_roots(kink, grid, values), *grid[values == 0]]
    return _merged(np.linspace(a, b, panels + 1), found)


def _roots(function: Function, grid: Vector, values: Vector) -> list[float]:
    turns = np.flatnonzero(values[1:] * values[:-1] < 0)
    return [root_between(function, grid[i], grid[i + 1]) for i in turns]


def _crossings(nodes: Vector, values: Vector, density: Vector) -> list[float]:
    """Where values change sign between nodes that carry mass, by straight lines."""
    carries = density[1:] > 1e-14 * np.max(density)
    turns = np.flatnonzero((values[1:] * values[:-1] < 0) & carries)
    low, high = values[turns], values[turns + 1]
    return list(nodes[turns] + (nodes[turns + 1] - nodes[turns]) * low / (low - high))


def _merged(edges: np.ndarray, more: list[float]) -> np.ndarray:
    """Edges with more of them between; two within rounding are one."""
    both = np.unique(np.concatenate([edges, more]))
    gap = 1e-12 * (edges[-1] - edges[0])
    return both[np.insert(np.diff(both) > gap, 0, True)]
