"""Gauss-Legendre panels that resolve the kernel of a chain on an interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flows import BadInput
from sde.quadrature import GAUSS, POINTS, Panels, nodes_between
from sde.quadrature import rule as rule

REACH = 12.0
"""Standard deviations beyond which a Gaussian is nothing (e^{-72})."""
_ROUGH = 1e-10
_ROUNDS = 30
TO_LEGENDRE = np.linalg.inv(np.polynomial.legendre.legvander(GAUSS, POINTS - 1))
"""Values at the nodes of a panel -> coefficients in Legendre polynomials."""

MeanMap = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""x -> (m(x), s(x)), the mean and the standard deviation of the next state."""


def panels(step: MeanMap, a: float, b: float, resolution: float, most: int) -> Panels:
    """Panels on which the mean map moves by few standard deviations, and is smooth.

    Edges lie at the zeros of the drift, where a taming may have a kink; panels are
    halved until x and m(x) (as far as it can return to the interval) span at most
    16/resolution standard deviations of the noise, and m is a polynomial to rounding.

    Args:
        step: the mean map.
        a: left end.
        b: right end.
        resolution: nodes a standard deviation.
        most: largest number of nodes.

    Raises:
        BadInput: more nodes than `most`: the noise is tiny next to the interval.
    """
    edges = _start(step, a, b)
    span = POINTS / resolution
    done = np.zeros(len(edges) - 1, bool)
    for _ in range(_ROUNDS):
        todo = np.flatnonzero(~done)
        if not todo.size:
            return rule(edges)
        split = _too_wide(step, edges[todo], edges[todo + 1], a, b, span)
        done[todo[~split]] = True
        middle = (edges[todo[split]] + edges[todo[split] + 1]) / 2
        edges = np.insert(edges, todo[split] + 1, middle)
        done = np.insert(done, todo[split], False)
        if (len(edges) - 1) * POINTS > most:
            smallest = float(np.min(step(rule(edges).nodes)[1]))
            raise BadInput(
                f"the kernel on [{a:g}, {b:g}] needs more than {most} nodes: the "
                f"smallest standard deviation of a step is {smallest:.3g} there, "
                f"{smallest / (b - a):.2g} of the box. Take a smaller box, a larger "
                "step or temperature, or fewer nodes a standard deviation."
            )
    raise BadInput(
        f"no panels resolve the kernel near x = {edges[:-1][~done][0]:.6g}: the noise "
        "vanishes there, or the mean map is not smooth on any scale."
    )


def _too_wide(step, left, right, a, b, span) -> np.ndarray:
    """Which panels [left, right] must be halved."""
    nodes = nodes_between(left, right)
    m, s = step(nodes)
    if not np.all(s > 0):
        raise BadInput(
            f"the noise vanishes at x = {nodes[~(s > 0)][0]:.6g}: the law "
            "of y given x has no density there."
        )
    size, width = s.min(axis=1), right - left
    low, high = a - REACH * s.max(), b + REACH * s.max()
    finite = np.nan_to_num(m, nan=np.inf, posinf=np.inf, neginf=-np.inf)
    travel = np.ptp(np.clip(finite, low, high), axis=1)
    inside = np.all((finite > low) & (finite < high), axis=1)
    smooth = np.where(inside[:, None], finite, 0.0) @ TO_LEGENDRE.T
    tail = np.abs(smooth[:, -2:]).max(axis=1) * width / size**2
    wide = np.maximum(width, travel) > span * size
    return wide | (inside & (tail > _ROUGH) & (width > 1e-9 * (b - a)))


def _start(step: MeanMap, a: float, b: float) -> np.ndarray:
    """The ends, and the zeros of the drift m(x) - x between them."""

    def drift(x):
        return np.nan_to_num(step(x)[0] - x, nan=0.0)

    grid = np.linspace(a, b, 257)
    values = drift(grid)
    signs = np.flatnonzero(values[:-1] * values[1:] < 0)
    left, right = grid[signs], grid[signs + 1]
    below = np.sign(values[signs])
    for _ in range(60 if signs.size else 0):
        middle = (left + right) / 2
        same = np.sign(drift(middle)) == below
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    zeros = [*((left + right) / 2), *grid[1:-1][values[1:-1] == 0]]
    edges = np.unique([a, *zeros, b])
    edges = edges[np.insert(np.diff(edges) > 1e-9 * (b - a), 0, True)]
    edges[-1] = b
    return edges
