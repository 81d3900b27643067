"""Gibbs laws π ∝ exp(-(f + ρ)/T) in few dimensions, normalised by quadrature."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import as_floats, require_instance, require_number, require_whole
from flows.errors import BadInput, require_float64
from flows.objective import Objective
from sde.diffusion import Diffusion
from sde.kinetic import UnderdampedLangevin
from sde.langevin import OverdampedLangevin
from sde.noise import as_key, uniforms
from sde.quadrature import Panels, nodes_between, rule, values_at
from sde.sublevel import Sublevel, sublevel

Function = Callable[[np.ndarray], Any]

DEPTH = 80.0
"""The box ends where π is e^{-80} of its maximum."""
_BLOCK = 4096
_HUGE = 1e300
_PANELS = {1: 64, 2: 4, 3: 2}
_MOST_NODES = {1: 2**19, 2: 2**22, 3: 2**22}


class GibbsLaw:
    r"""The law π(x) = exp(-U(x)/T)/Z with U = f + ρ, in one to three dimensions.

    Z is taken by Gauss-Legendre panels on a box outside which π is below e^{-80} of
    its maximum; panels are halved until Z and E U no longer move. In one dimension
    positions are plain numbers (arrays of any shape), and only panels that matter are
    halved; else positions are arrays whose last axis is n.

    Hypothesis: the box holds the mass. It is searched from the origin outwards, and U
    is probed at finitely many points, up to 2¹⁰ times as far out as the box reaches:
    a well farther away, or too narrow for the probes where it stands (0.2 % of its
    distance in one dimension, some 10 % in two, 25 % in three), is missed unseen, as
    are tails of a U that stays bounded.

    Args:
        objective: f.
        temperature: T = 1/β > 0, in units of f.
        regulariser: ρ, an objective of the same position, or None.
        tolerance: relative error of Z and of E U - min U at which the halving ends.

    Attributes:
        size: n.
        minima: local minima of U found, lowest first: shape [k], or [k, n] for n > 1.
        minimum: min U.
        log_normaliser: log Z = log ∫ exp(-U/T).
        error: relative error of Z on the box, estimated by the last move of the
            quadrature; it knows nothing of mass outside the box.

    Raises:
        BadInput: more than three dimensions, no positive temperature, a U that does
            not rise enough to be normalised, or panels that do not converge.
        PrecisionError: jax computes in float32.
    """

    def __init__(
        self,
        objective: Objective,
        temperature: Any = 1.0,
        regulariser: Any = None,
        *,
        tolerance: float = 1e-12,
    ) -> None:
        require_float64("the normalisation of a Gibbs law")
        require_instance(objective, Objective, "a Gibbs law takes an objective")
        if regulariser is not None:
            require_instance(regulariser, Objective, "a regulariser is an objective")
        require_number("temperature", temperature, positive=True)
        require_number("tolerance", tolerance, positive=True)
        sizes = {o.size for o in (objective, regulariser) if o is not None}
        if len(sizes) > 1 or not sizes <= {1, 2, 3}:
            raise BadInput(
                "a Gibbs law is normalised by quadrature in one to three dimensions; "
                f"got {' and '.join(map(str, sorted(sizes)))}."
            )
        self.objective, self.regulariser = objective, regulariser
        self.temperature, self.size = float(temperature), objective.size
        found = sublevel(self._flat, self.size, DEPTH * self.temperature)
        self.minimum = found.minimum
        self.minima = found.minima[:, 0] if self.size == 1 else found.minima
        self._axes, self.error = self._panels(found, tolerance)
        self.log_normaliser = float(
            np.log(self._mass) - self.minimum / self.temperature
        )

    def potential(self, x: Any) -> Any:
        """U(x) = f(x) + ρ(x); the shape of x (without its last axis for n > 1)."""
        x = self._positions(x)
        return self._flat(x.reshape(-1, self.size)).reshape(x.shape[:-1])

    def log_density(self, x: Any) -> Any:
        """Log π(x), shape as `potential`."""
        return -self.potential(x) / self.temperature - self.log_normaliser

    def density(self, x: Any) -> Any:
        """π(x), shape as `potential`."""
        return np.exp(self.log_density(x))

    def expect(self, f: Function) -> float:
        """E_π f, for a function of arrays of positions: of [m], or [m, n] for n > 1."""
        nodes = self._nodes[:, 0] if self.size == 1 else self._nodes
        return float(self._probabilities @ values_at(f, nodes))

    def mean_excess(self) -> float:
        """E_π f - min f, in units of f: the expected excess risk at this temperature.

        With a regulariser the minimum is that of f alone.
        """
        floor, values = self.minimum, self._values
        if self.regulariser is not None:
            bare = GibbsLaw(self.objective, self.temperature)
            floor, values = bare.minimum, _evaluate(self.objective, None, self._nodes)
        return float(self._probabilities @ np.minimum(values - floor, _HUGE))

    def cdf(self, x: Any) -> Any:
        """π((-∞, x]), one dimension only; the shape of x.

        Raises:
            BadInput: more dimensions, or an x that is no array of numbers.
        """
        x = np.clip(self._scalar("x", x), *self._ends)
        panels = self._axes[0]
        k = np.clip(np.searchsorted(panels.edges, x) - 1, 0, panels.edges.size - 2)
        left = panels.edges[k].ravel()
        cut = rule_to(left, x.ravel())
        part = np.sum(cut[1] * self._unnormalised(cut[0]), axis=-1).reshape(x.shape)
        return self._below[k] + part / self._mass

    def quantile(self, q: Any) -> Any:
        """The x with cdf(x) = q, one dimension only; the shape of q.

        Raises:
            BadInput: a q outside [0, 1].
        """
        q = self._scalar("q", q)
        if not np.all((q >= 0) & (q <= 1)):
            raise BadInput("quantiles are those of probabilities in [0, 1].")
        low, high = (np.full(q.shape, e) for e in self._ends)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def sample(self, key: Any, size: int) -> np.ndarray:
        """Independent draws by inversion, one dimension only; shape [size].

        Args:
            key: a whole number or a jax key.
            size: number of draws.
        """
        require_whole("size", size)
        draws = uniforms(as_key(key), size)
        return self.quantile(np.asarray(draws, float))

    def _scalar(self, name: str, x: Any) -> np.ndarray:
        if self.size > 1:
            raise BadInput("distribution functions are those of one dimension.")
        return as_floats(name, x)

    def _positions(self, x: Any) -> np.ndarray:
        x = as_floats("x", x)
        if self.size == 1:
            return x[..., None]
        if x.ndim < 1 or x.shape[-1] != self.size:
            raise BadInput(f"positions have a last axis of {self.size}; got {x.shape}.")
        return x

    def _flat(self, x: np.ndarray) -> np.ndarray:
        return _evaluate(self.objective, self.regulariser, x)

    def _unnormalised(self, x: np.ndarray) -> np.ndarray:
        """exp(-(U - min U)/T) at numbers x, one dimension."""
        return np.exp(-self._excess(x.reshape(-1, 1))).reshape(x.shape)

    def _panels(self, box: Sublevel, tolerance) -> tuple[list[Panels], float]:
        if self.size == 1:
            return self._adaptive(box, tolerance)
        count, before = _PANELS[self.size], None
        while True:
            edges = np.linspace(box.low, box.high, count + 1)
            axes = [rule(edges[:, k]) for k in range(self.size)]
            now = np.array(self._integrals(axes))
            if before is not None:
                move = float(np.max(np.abs(now - before) / np.abs(now)))
                if move <= tolerance and self._seen(axes):
                    return axes, move
            before, count = now, 2 * count
            if (count * 16) ** self.size > _MOST_NODES[self.size]:
                raise self._unresolved()

    def _seen(self, axes) -> bool:
        """Whether a node stands in each well that counts, 4 T deep at most."""
        wells = self.minima[self._excess(self.minima) < DEPTH / 2]
        columns = [
            axis.nodes[np.argmin(np.abs(axis.nodes - wells[:, k, None]), axis=1)]
            for k, axis in enumerate(axes)
        ]
        near = np.stack(columns, axis=-1)
        return bool(np.all(self._excess(near) - self._excess(wells) < 4))

    def _excess(self, x: np.ndarray) -> np.ndarray:
        """(U - min U)/T at rows x; a huge number for infinity, so that 0·∞ is 0."""
        return np.minimum((self._flat(x) - self.minimum) / self.temperature, _HUGE)

    def _integrals(self, axes) -> tuple[float, float]:
        """∫ e^{-(U - min U)/T} and ∫ (U - min U)/T e^{…}."""
        nodes, weights = _tensor(axes)
        excess = self._excess(nodes)
        mass = weights * np.exp(-excess)
        return float(np.sum(mass)), float(mass @ excess)

    def _adaptive(self, box: Sublevel, tolerance) -> tuple[list[Panels], float]:
        """One dimension: panels that still move when halved are halved."""
        low, high = float(box.low[0]), float(box.high[0])
        grid = np.linspace(low, high, _PANELS[1] + 1)
        # finer and finer towards the minima: a narrow well far from another is seen
        steps = (high - low) * 4.0 ** -np.arange(1, 13)
        around = np.concatenate([-steps, [0.0], steps])
        inner = np.ravel(self.minima[:, None] + around)
        edges = np.unique([*grid, *inner[(low < inner) & (inner < high)]])
        done = np.zeros(edges.size - 1, bool)
        error = 0.0
        while not np.all(done):
            left, right = edges[:-1][~done], edges[1:][~done]
            middle = (left + right) / 2
            whole, halves = self._mass_of(left, right), self._mass_of(left, middle)
            halves = halves + self._mass_of(middle, right)
            total = np.sum(self._mass_of(edges[:-1], edges[1:]), axis=0)
            move = np.max(np.abs(whole - halves) / total, axis=-1)
            fine = move <= tolerance / 64
            error += float(np.sum(move[fine]))
            todo = np.flatnonzero(~done)
            done[todo[fine]] = True
            edges = np.insert(edges, todo[~fine] + 1, middle[~fine])
            done = np.insert(done, todo[~fine], False)
            if edges.size * 16 > _MOST_NODES[1]:
                raise self._unresolved()
        return [rule(edges)], error

    def _mass_of(self, left, right) -> np.ndarray:
        """∫ e^{-(U - min U)/T} and ∫ (U - min U)/T e^{…} over panels, [panels, 2]."""
        nodes, weights = rule_to(left, right)
        excess = self._excess(nodes.reshape(-1, 1)).reshape(nodes.shape)
        mass = weights * np.exp(-excess)
        return np.stack([mass.sum(axis=1), (mass * excess).sum(axis=1)], axis=-1)

    def _unresolved(self) -> BadInput:
        return BadInput(
            f"exp(-U/T) at T = {self.temperature:g} is too sharp for the panels on its "
            "box: raise the temperature or the tolerance."
        )

    @cached_property
    def _rule(self) -> tuple[np.ndarray, np.ndarray]:
        return _tensor(self._axes)

    @property
    def _nodes(self) -> np.ndarray:
        return self._rule[0]

    @cached_property
    def _values(self) -> np.ndarray:
        return self._flat(self._nodes)

    @cached_property
    def _heights(self) -> np.ndarray:
        """Weights times exp(-(U - min U)/T) at the nodes."""
        return self._rule[1] * np.exp(-self._excess(self._nodes))

    @cached_property
    def _mass(self) -> float:
        return float(np.sum(self._heights))

    @cached_property
    def _probabilities(self) -> np.ndarray:
        return self._heights / self._mass

    @cached_property
    def _below(self) -> np.ndarray:
        """π of everything left of each edge, shape [panels + 1]."""
        panels = self._probabilities.reshape(-1, 16).sum(axis=1)
        return np.concatenate([[0.0], np.cumsum(panels)])

    @property
    def _ends(self) -> tuple[float, float]:
        edges = self._axes[0].edges
        return float(edges[0]), float(edges[-1])

    def __repr__(self) -> str:
        return (
            f"<Gibbs law at temperature {self.temperature:g}: log Z = "
            f"{self.log_normaliser:.10g}, relative error {self.error:.1g}>"
        )


def gibbs_law(dynamics: Diffusion) -> GibbsLaw:
    """The stationary law of Langevin dynamics, of the position alone.

    Args:
        dynamics: `OverdampedLangevin` (its regulariser counts), or
            `UnderdampedLangevin`, whose position has the same law at any friction and
            mass.

    Raises:
        BadInput: other dynamics, or what `GibbsLaw` refuses.
    """
    if isinstance(dynamics, OverdampedLangevin):
        return GibbsLaw(dynamics.objective, dynamics.temperature, dynamics.regulariser)
    if isinstance(dynamics, UnderdampedLangevin):
        return GibbsLaw(dynamics.objective, dynamics.temperature)
    raise BadInput(
        "a Gibbs law is that of OverdampedLangevin or UnderdampedLangevin; got "
        f"{type(dynamics).__name__}."
    )


def rule_to(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of one panel for each pair of ends, shapes [k, 16]."""
    from sde.quadrature import WEIGHTS

    return nodes_between(left, right), (right - left)[:, None] / 2 * WEIGHTS


def _tensor(axes: list[Panels]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [m, n] and weights [m] of the product rule."""
    nodes = np.meshgrid(*[a.nodes for a in axes], indexing="ij")
    weights = np.meshgrid(*[a.weights for a in axes], indexing="ij")
    flat = np.stack([x.ravel() for x in nodes], axis=-1)
    return flat, np.prod([w.ravel() for w in weights], axis=0)


def _evaluate(objective, regulariser, x: np.ndarray) -> np.ndarray:
    """F + ρ at the rows of x, in blocks of one size so that it compiles once."""
    out = np.empty(x.shape[0])
    for start in range(0, x.shape[0], _BLOCK):
        part = x[start : start + _BLOCK]
        filled = np.concatenate([part, np.repeat(part[-1:], _BLOCK - len(part), 0)])
        values = _values_at(objective, regulariser, jnp.asarray(filled))
        out[start : start + _BLOCK] = np.asarray(values)[: len(part)]
    return out


@eqx.filter_jit
def _values_at(objective, regulariser, x):
    def one(x):
        value = objective.value(x)
        return value if regulariser is None else value + regulariser.value(x)

    return jax.vmap(one)(x)
