"""A row of the table proved: optimiser and scheme traced, and their steps compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from discretize.correspondence import Correspondence, Exact
from discretize.optimiser import OptaxStep
from flows import BadInput, Objective


class LocalModel(Objective):
    """A loss known at one point: ∇f(x) = g + H (x - c), entry by entry.

    With g, H and c symbols, a scheme that asks for the gradient anywhere else than at
    c shows an H in its step, so it cannot pass for an optimiser that does not.
    """

    facts: Any
    slope: Float[Array, " n"]
    curvature: Float[Array, " n"]
    centre: Float[Array, " n"]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.slope.shape[0]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """g·(x - c) + ½ (x - c)·H(x - c)."""
        del batch
        move = x - self.centre
        return (self.slope * move + 0.5 * self.curvature * move**2).sum()

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """The affine gradient g + H (x - c)."""
        del batch
        return self.slope + self.curvature * (x - self.centre)


def two_steps(row: Correspondence, hyper: Any, x: Any, slopes: Any, curvatures: Any):
    """Positions after one and two steps, of the optimiser and of the scheme.

    Args:
        row: a row with an `Exact` relation.
        hyper: its hyperparameters (numbers, tracers; symbols under `symbolically`).
        x: start, shape [n].
        slopes: gradients g_0, g_1 at the two visited points, shape [2, n].
        curvatures: slopes of the gradient there, shape [2, n].
    """
    if row.scheme is None:
        raise BadInput(f"{row.name} names no scheme.")
    optimizer = OptaxStep(row.optimizer, hyper)
    p, carry = x, None
    h = row.clock(hyper)
    model = row.dynamics(LocalModel(None, slopes[0], curvatures[0], x), hyper)
    y = row.scheme_start(model, hyper, x)
    memory = row.scheme.init(model, 0.0, y)
    shown = []
    for k in range(2):
        t = k * h
        local = LocalModel(None, slopes[k], curvatures[k], p)
        if k == 0:
            carry = optimizer.init(_Holder(local), t, p)
        p, carry, _ = optimizer.step(_Holder(local), t, p, h, None, carry)
        here = model.position(y)
        model = row.dynamics(LocalModel(None, slopes[k], curvatures[k], here), hyper)
        y, memory, _ = row.scheme.step(model, t, y, h, None, memory)
        shown.append((p, model.position(y)))
    return [a for a, _ in shown], [b for _, b in shown]


class _Holder:
    """What `OptaxStep` asks of a dynamics: an objective."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective


def prove(row: Correspondence) -> Any:
    """Whether two steps of the optimiser are two steps of the scheme, symbolically.

    Hyperparameters, start, both gradients and both curvatures are symbols, so it holds
    for every loss. The first step sees the initial memory, the second one that the
    first has filled; steps after these two are left to a measurement.

    Args:
        row: a row whose relation is `Exact`.

    Returns:
        The `Identity` of `flows.symbolic`: proved, refuted with a witness, undecided.

    Raises:
        BadInput: the row does not claim exactness.
    """
    from flows.symbolic import (
        IdentityResult,
        equal_symbolically,
        symbol_vector,
        trace,
    )

    if not isinstance(row, Correspondence):
        raise BadInput(
            f"prove takes a row of the table, such as ADAM; got {row!r:.60}."
        )
    if not isinstance(row.relation, Exact):
        raise BadInput(f"{row.name} claims {row.relation}, not exactness.")
    names = (*row.required, *row.defaults)
    hyper = {n: _symbol(n) for n in names}
    # Two coordinates, so that a norm over all of them is told from an entry.
    x, n = symbol_vector("x", 2), 2
    g, c = (
        np.array([symbol_vector(f"{name}{k}", n) for k in range(2)], dtype=object)
        for name in ("g", "H")
    )
    traced = trace(lambda hp, x, g, c: two_steps(row, hp, x, g, c), hyper, x, g, c)
    optimiser, scheme = (np.concatenate(side) for side in traced.value)
    if not traced.exact:
        return IdentityResult("undecided", remainder="; ".join(traced.notes))
    return equal_symbolically(optimiser, scheme)


def _symbol(name: str) -> Any:
    """A hyperparameter's symbol; retention factors are b = 1/(1 + r) with r > 0."""
    import sympy

    if name in ("b1", "b2", "decay", "momentum"):
        return 1 / (1 + sympy.Symbol(f"r_{name}", positive=True))
    return sympy.Symbol(name, positive=True)
