r"""Expectations of schemes without sampling: E φ(y_k) by powers of an operator.

A scheme whose draws take finitely many values is finitely many maps Φ_q with weights
w_q, and P φ(y) = Σ_q w_q φ(Φ_q(y)) acts on functions given by their values on a grid
that interpolates: trigonometric on the circle (`CircleGrid`), polynomial in a box
(`PolynomialGrid`). E φ(y_k) from y_0 is (P^k φ)(y_0); the error is that of
interpolation alone, and a finer grid measures it.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from flows import BadInput, Draw, Dynamics, Scheme, require_float64
from flows.door import as_floats, require_number, require_whole

MAX_MAPS = 4096


class FiniteLaw(NamedTuple):
    """A law of finitely many values, for each entry of a draw independently.

    Attributes:
        values: shape [q].
        weights: probabilities, shape [q].
    """

    values: Any
    weights: Any


SIGNS = FiniteLaw((-1.0, 1.0), (0.5, 0.5))
"""±1 with equal probability: the moments of a standard normal up to the third."""

FOUR_VALUES = FiniteLaw(
    (-(1.5**0.5), -(0.5**0.5), 0.5**0.5, 1.5**0.5), (0.25, 0.25, 0.25, 0.25)
)
"""±√½, ±√(3/2) with equal probability: mean 0, variance 1, and a square that varies."""


def normal_law(points: int) -> FiniteLaw:
    """Gauss and Hermite's rule: the standard normal's moments up to 2·points - 1."""
    require_whole("points", points)
    values, weights = np.polynomial.hermite_e.hermegauss(points)
    return FiniteLaw(values, weights / np.sum(weights))


class Grid(eqx.Module):
    """Points that carry functions, and the interpolation between them."""

    @property
    @abstractmethod
    def points(self) -> Float[np.ndarray, "m d"]:
        """The nodes."""

    @abstractmethod
    def interpolation(
        self, points: Float[np.ndarray, "p d"]
    ) -> Float[np.ndarray, "p m"]:
        """The matrix from values at the nodes to values at other points."""


class PolynomialGrid(Grid):
    """Chebyshev nodes in a box, with polynomial interpolation in each coordinate.

    Exact for polynomials up to the degrees, inside the box and outside; so a step that
    is polynomial of degree 1 in a coordinate gives exact moments there. A box wide
    enough for the chain's values, and low degrees, keep extrapolation harmless.

    Attributes:
        box: (low, high) for each coordinate.
        degrees: of the polynomials, one for each coordinate.

    Raises:
        BadInput: a box and degrees that do not fit.
    """

    box: tuple[tuple[float, float], ...] = eqx.field(static=True)
    degrees: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self):
        sides = as_floats("box", self.box)
        if sides.shape != (len(self.degrees), 2) or not np.all(
            sides[:, 0] < sides[:, 1]
        ):
            raise BadInput(
                "box holds (low, high) for each coordinate, degrees as many whole "
                f"numbers; got {self.box} and {self.degrees}."
            )
        for degree in self.degrees:
            require_whole("each degree", degree, 0)

    def _nodes(self, degree: int) -> np.ndarray:
        return np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))

    @property
    def points(self) -> Float[np.ndarray, "m d"]:
        """All combinations of the coordinates' Chebyshev nodes."""
        axes = [
            (a + b) / 2 + (b - a) / 2 * self._nodes(degree)
            for (a, b), degree in zip(self.box, self.degrees, strict=True)
        ]
        mesh = np.meshgrid(*axes, indexing="ij")
        return np.stack([a.ravel() for a in mesh], axis=1)

    def interpolation(
        self, points: Float[np.ndarray, "p d"]
    ) -> Float[np.ndarray, "p m"]:
        """Products of the coordinates' Lagrange polynomials."""
        points = np.asarray(points)
        out = np.ones((len(points), 1))
        vander = np.polynomial.chebyshev.chebvander
        for x, (a, b), degree in zip(points.T, self.box, self.degrees, strict=True):
            inverse = np.linalg.inv(vander(self._nodes(degree), degree))
            lagrange = vander((2 * x - a - b) / (b - a), degree) @ inverse
            out = (out[:, :, None] * lagrange[:, None, :]).reshape(len(points), -1)
        return out


def expectation_operator(
    grid: Grid,
    scheme: Scheme,
    dynamics: Dynamics,
    y: Any,
    h: Any,
    law: FiniteLaw,
    t: Any = 0.0,
) -> Float[np.ndarray, "m m"]:
    """The matrix of P φ(y) = E φ(Φ_h(t, y)) on functions given at a grid's nodes.

    Args:
        grid: as many coordinates as the state has floats, in `ravel_pytree`'s order.
        scheme: a scheme without memory.
        dynamics: what it steps.
        y: an example state.
        h: step size.
        law: of each entry of the draws; a deterministic scheme ignores it.
        t: time of the step.

    Raises:
        BadInput: a grid of other coordinates, more than 4096 combinations of draws, a
            law whose weights are no probabilities.
        PrecisionError: float64 is off.
    """
    return _Chain(grid, scheme, dynamics, y, law).operator(t, h)


def chain_expectation(
    grid: Grid,
    scheme: Scheme,
    dynamics: Dynamics,
    y: Any,
    phi: Any,
    *,
    h: Any,
    steps: int,
    law: FiniteLaw,
    t0: Any = 0.0,
    autonomous: bool = True,
) -> Float[np.ndarray, "..."]:
    """E φ(y_steps) from y_0 = y, without sampling.

    Args:
        grid: as in `expectation_operator`.
        scheme: a scheme without memory.
        dynamics: what it steps.
        y: the start.
        phi: function of the coordinates, points of shape [p, d] -> values of shape
            [p, ...], in numpy.
        h: step size.
        steps: how many.
        law: of each entry of the draws.
        t0: time of the start.
        autonomous: whether the step does not depend on t; False makes an operator at
            every step.

    Returns:
        E φ(y_steps), of the shape that φ gives a point.

    Raises:
        BadInput: as in `expectation_operator`, or fewer than one step.
    """
    require_whole("steps", steps)
    require_number("h", h, positive=True)
    chain = _Chain(grid, scheme, dynamics, y, law)
    values = np.asarray(phi(grid.points), float)
    shape = values.shape[1:]
    values = values.reshape(len(values), -1)
    if autonomous:
        values = _power(chain.operator(t0, h), steps, values)
    else:
        for k in reversed(range(steps)):
            values = chain.operator(t0 + k * h, h) @ values
    start = np.asarray(ravel_pytree(y)[0])[None]
    return (grid.interpolation(start) @ values)[0].reshape(shape)


def _power(operator: np.ndarray, steps: int, values: np.ndarray) -> np.ndarray:
    """P^steps φ: step by step, or by squaring where that is less work."""
    if steps > len(operator) // 8:
        return np.linalg.matrix_power(operator, steps) @ values
    for _ in range(steps):
        values = operator @ values
    return values


class _Chain:
    """A scheme with draws of finitely many values, as weighted maps on a grid."""

    def __init__(self, grid, scheme, dynamics, y, law) -> None:
        require_float64("an expectation operator")
        flat, self.y = ravel_pytree(y)[0], y
        self.grid, self.scheme, self.dynamics = grid, scheme, dynamics
        self.points = grid.points
        if self.points.shape[1] != flat.size:
            raise BadInput(
                f"a grid of {self.points.shape[1]} coordinates for a state of "
                f"{flat.size} floats."
            )
        self.noise, self.weights = _draws(scheme.noise_like(dynamics, y), law)

    def operator(self, t, h) -> np.ndarray:
        t, h = jnp.asarray(t, float), jnp.asarray(h, float)
        points = jnp.asarray(self.points)
        args = (self.y, points, t, h, self.noise)
        images = np.asarray(_images(self.scheme, self.dynamics, *args))
        total = np.zeros((len(points), len(points)))
        for weight, x in zip(self.weights, images, strict=True):
            total += weight * self.grid.interpolation(x)
        return total


@eqx.filter_jit
def _images(scheme, dynamics, y, points, t, h, noise):
    """Where each combination of draws sends each node, shape [q, m, d]."""
    unravel = ravel_pytree(y)[1]  # made here: a new one would compile anew

    def one(z, noise):
        y = unravel(z)
        carry = scheme.init(dynamics, t, y)
        return ravel_pytree(scheme.step(dynamics, t, y, h, noise, carry).y)[0]

    over_nodes = jax.vmap(one, (0, None))
    return jax.vmap(over_nodes, (None, 0))(points, noise)


def _draws(draws: Any, law: FiniteLaw) -> tuple[Any, np.ndarray]:
    """All combinations of a law's values in the entries of draws, and their weights."""
    values, weights = (as_floats("a law", a) for a in law)
    if values.ndim != 1 or values.shape != weights.shape:
        raise BadInput("a law has values and weights of one shape [q].")
    if np.any(weights < 0) or abs(np.sum(weights) - 1) > 1e-12:
        raise BadInput(f"a law's weights are probabilities; got {weights}.")
    leaves, structure = jax.tree.flatten(draws)
    if not all(isinstance(d, Draw) and d.law != "bits" for d in leaves):
        raise BadInput('draws of law "normal" or "uniform" take finitely many values.')
    sizes = [int(np.prod(d.shape, dtype=int)) for d in leaves]
    if len(values) ** sum(sizes) > MAX_MAPS:
        raise BadInput(
            f"{len(values)} values in {sum(sizes)} entries make "
            f"{len(values) ** sum(sizes)} maps; at most {MAX_MAPS}."
        )
    every = list(itertools.product(range(len(values)), repeat=sum(sizes)))
    chosen = np.array(every, int).reshape(len(every), sum(sizes))
    products: Sequence[Any] = np.prod(weights[chosen], axis=1)
    parts, start = [], 0
    for draw, size in zip(leaves, sizes, strict=True):
        part = values[chosen[:, start : start + size]]
        parts.append(jnp.asarray(part.reshape(len(every), *draw.shape)))
        start += size
    return jax.tree.unflatten(structure, parts), np.asarray(products)
