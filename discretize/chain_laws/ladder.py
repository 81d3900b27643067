"""The stationary bias of a sampler at a ladder of steps, from transition kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from discretize.chain_laws.affine import AffineStep
from discretize.chain_laws.bias import box_of, cumulative
from discretize.chain_laws.distances import (
    kl_divergence_1d,
    total_variation_1d,
    wasserstein_1d,
)
from discretize.chain_laws.door import require_function
from discretize.chain_laws.kernel import TransitionKernel
from discretize.chain_laws.panels import POINTS
from discretize.chain_laws.stationary import StationaryLaw
from discretize.chain_laws.tilt import as_function, score_of
from flows import BadInput, Scheme
from flows.door import as_floats
from sde import Diffusion
from sde.quadrature import values_at
from sde.wasserstein import Distance

Levels = Float[np.ndarray, " levels"]
Function = Callable[[np.ndarray], Any]

_LEAK = 1e-12
_DEPTH = 45.0
_WIDER = 1.5
_ROUNDS = 8


@dataclass(frozen=True, eq=False, repr=False)
class BiasLadder:
    """Stationary laws of one sampler at several steps, beside the law it aims at.

    Attributes:
        h: steps (time), shape [levels].
        laws: the chain's stationary law at each.
        targets: π at the nodes of each law.
    """

    h: Levels
    laws: tuple[StationaryLaw, ...]
    targets: tuple[np.ndarray, ...]

    def wasserstein(self, order: int = 1) -> tuple[Levels, Levels]:
        """W₁ or W₂ of each law to π, and the error estimate of each (unit of x)."""
        return self._each(lambda x, p, q: wasserstein_1d(x, p, q, order))

    def total_variation(self) -> tuple[Levels, Levels]:
        """TV of each law to π, and the error estimates."""
        return self._each(total_variation_1d)

    def kl(self) -> tuple[Levels, Levels]:
        """KL(chain | π) at each step, and the error estimates."""
        return self._each(kl_divergence_1d)

    def differences(self, f: Function) -> tuple[Levels, Levels]:
        """E_h f - E_π f at each step, signed, and the error estimates."""
        gaps, errors = [], []
        for law, target in zip(self.laws, self.targets, strict=True):
            values = values_at(f, law.nodes)
            gaps.append(float(law.weights @ (values * (law.density - target))))
            size = float(law.weights @ (np.abs(values) * (law.density + target)))
            errors.append(size * (1e-14 + law.rounding))
        return np.array(gaps), np.array(errors)

    def against(self, density: Function) -> BiasLadder:
        """The same laws beside another one.

        Args:
            density: a function of an array of positions; it need not be normalised.
        """
        require_function("density, of an array of positions,", density)
        targets = []
        for law in self.laws:
            values = as_floats("density(nodes)", density(law.nodes))
            targets.append(values / float(law.weights @ values))
        return replace(self, targets=tuple(targets))

    def _each(self, measure: Callable[..., Distance]) -> tuple[Levels, Levels]:
        found = [
            measure(law.nodes, law.density, target)
            for law, target in zip(self.laws, self.targets, strict=True)
        ]
        values, bounds = np.array(found).T
        rounding = np.array([law.rounding for law in self.laws])
        return values, bounds + rounding * values

    def __repr__(self) -> str:
        kinds = {law.kind for law in self.laws}
        return f"<{'/'.join(kinds)} laws at h = {', '.join(f'{h:g}' for h in self.h)}>"


def bias_ladder(
    scheme: Scheme,
    dynamics: Diffusion,
    h: Any,
    *,
    box: tuple[float, float] | None = None,
    resolution: float = 6.0,
) -> BiasLadder:
    """The stationary law of a sampler at several steps, each by one linear solve.

    It is set beside the stationary law of the dynamics, with its regulariser if it has
    one; `against` sets it beside another.

    Args:
        scheme: any scheme that `TransitionKernel` takes.
        dynamics: a diffusion of state [1] with a stationary density on the line.
        h: steps (time), shape [levels].
        box: (a, b), with the law conditioned on staying in it; what a chain without a
            stationary law needs (the unadjusted algorithm with a super-linear drift).
            Default: widened until less than 1e-12 a step leaves.
        resolution: nodes a standard deviation of a step.

    Returns:
        The laws.

    Raises:
        BadInput: no stationary law of the chain and no box, or of the dynamics.
    """
    steps = as_floats("h", h)
    if steps.ndim != 1 or not steps.size:
        raise BadInput(f"h holds the steps, shape [levels]; got shape {steps.shape}.")
    score = as_function(*score_of(dynamics))
    laws, targets = [], []
    for step in steps:
        law = _law(scheme, dynamics, step, box, box_of(score, _DEPTH), resolution)
        laws.append(law)
        targets.append(_density(score, law))
    return BiasLadder(steps, tuple(laws), tuple(targets))


def _law(scheme, dynamics, h, box, start, resolution) -> StationaryLaw:
    if box is not None:
        kernel = TransitionKernel(scheme, dynamics, h, box=box, resolution=resolution)
        return kernel.stationary(quasi=True)
    a, b = _reach(AffineStep(scheme, dynamics, h), start)
    leak = 1.0
    for _ in range(_ROUNDS):
        kernel = TransitionKernel(
            scheme, dynamics, h, box=(a, b), resolution=resolution
        )
        leak = kernel.escape_rate()
        if leak <= _LEAK:
            return kernel.stationary()
        middle, half = (a + b) / 2, _WIDER * (b - a) / 2
        a, b = middle - half, middle + half
    raise BadInput(
        f"{type(scheme).__name__} at h = {h:g} keeps losing mass (still {leak:.3g} "
        f"a step on [{a:.3g}, {b:.3g}]): it has no stationary law, or one of heavy "
        "tails. Give a box, for the law conditioned on staying in it."
    )


def _reach(step: AffineStep, start: tuple[float, float]) -> tuple[float, float]:
    """A box for the chain: where the diffusion of its drift and noise has its mass.

    Taming weakens the drift far out, so that the chain reaches farther than π.
    """

    def score(x):
        mean, deviation = step.at(x)
        return 2 * (mean - x) / deviation**2

    try:
        a, b = box_of(score, _DEPTH)
    except BadInput:  # the loop widens the box of π, and says what it found
        return start
    return min(a, start[0]), max(b, start[1])


def _density(score: Function, law: StationaryLaw) -> np.ndarray:
    """π at the law's nodes, from ∫ π'/π over the panels that they form."""
    whole = law.weights.reshape(-1, POINTS)
    half = whole.sum(axis=1) / 2
    middle = law.nodes.reshape(-1, POINTS).mean(axis=1)
    edges = np.concatenate([middle - half, [middle[-1] + half[-1]]])
    logs = cumulative(edges, score(law.nodes))[0]
    density = np.exp(logs - np.max(logs))
    return density / float(law.weights @ density)
