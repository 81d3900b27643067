"""A row of the table proved: optimiser and scheme traced, and their steps compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from discretize.correspondence import RETENTION, Correspondence, Exact
from discretize.optimiser import OptaxStep
from flows import BadInput, Objective


class LocalModel(Objective):
    """A loss known at one point: f(c) = f₀, ∇f(x) = g + H (x - c), entry by entry.

    With f₀, g, H and c symbols, a scheme that asks for the gradient anywhere else than
    at c shows an H in its step, so it cannot pass for an optimiser that does not.
    """

    facts: Any
    slope: Float[Array, " n"]
    curvature: Float[Array, " n"]
    centre: Float[Array, " n"]
    level: Float[Array, ""] | float = 0.0

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.slope.shape[0]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f₀ + g·(x - c) + ½ (x - c)·H(x - c)."""
        del batch
        move = x - self.centre
        return self.level + (self.slope * move + 0.5 * self.curvature * move**2).sum()

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """The affine gradient g + H (x - c)."""
        del batch
        return self.slope + self.curvature * (x - self.centre)


def two_steps(
    row: Correspondence,
    hyper: Any,
    x: Any,
    slopes: Any,
    curvatures: Any,
    levels: Any = (0.0, 0.0),
    noise: Any = None,
):
    """Positions after one and two steps, of the optimiser and of the scheme.

    Args:
        row: a row with an `Exact` relation.
        hyper: its hyperparameters (numbers, tracers; symbols under `symbolically`).
        x: start, shape [n].
        slopes: gradients g_0, g_1 at the two visited points, shape [2, n].
        curvatures: slopes of the gradient there, shape [2, n].
        levels: values f_0, f_1 of the loss there, shape [2].
        noise: standard normals of both steps, shape [2, n], where the scheme draws: the
            optimiser and the scheme are given the same.
    """
    scheme = row.scheme_at(hyper)
    if scheme is None:
        raise BadInput(f"{row.name} names no scheme.")
    p, carry = x, None
    h = row.clock(hyper)

    def local(k, centre):
        return LocalModel(None, slopes[k], curvatures[k], centre, levels[k])

    model = row.dynamics(local(0, x), hyper)
    y = row.scheme_start(model, hyper, x)
    memory = scheme.init(model, 0.0, y)
    noisy = scheme.noise_like(model, y) is not None
    optimizer = OptaxStep(row.optimizer, hyper, noisy)
    shown = []
    for k in range(2):
        t = k * h
        seen = _Holder(local(k, p))
        if k == 0:
            carry = optimizer.init(seen, t, p)
        xi = noise[k] if noisy else None
        p, carry, _ = optimizer.step(seen, t, p, h, xi, carry)
        model = row.dynamics(local(k, model.position(y)), hyper)
        y, memory, _ = scheme.step(model, t, y, h, xi, memory)
        shown.append((p, model.position(y)))
    return [a for a, _ in shown], [b for _, b in shown]


class _Holder:
    """What `OptaxStep` asks of a dynamics: an objective."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective


def prove(row: Correspondence) -> Any:
    """Whether two steps of the optimiser are two steps of the scheme, symbolically.

    Hyperparameters, start, both losses, gradients and curvatures are symbols, so it
    holds for every loss; so are the normals of both steps, where the scheme draws. The
    first step sees the initial memory, the second one that the first has filled; steps
    after these two are left to a measurement.

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
    hyper = {n: _symbol(n, row.range_of(n)) for n in names}
    # Two coordinates, so that a norm over all of them is told from an entry.
    x, n = symbol_vector("x", 2, **row.domain), 2
    f = symbol_vector("f", 2)
    g, c, xi = (
        np.array([symbol_vector(f"{name}{k}", n) for k in range(2)], dtype=object)
        for name in ("g", "H", "xi")
    )
    traced = trace(lambda hp, *a: two_steps(row, hp, *a), hyper, x, g, c, f, xi)
    optimiser, scheme = (np.concatenate(side) for side in traced.value)
    if not traced.exact:
        return IdentityResult("undecided", remainder="; ".join(traced.notes))
    return equal_symbolically(optimiser, scheme)


def _symbol(name: str, wanted: str) -> Any:
    """A hyperparameter's symbol; retention factors are b = 1/(1 + r) with r > 0."""
    import sympy

    if name in RETENTION:
        return 1 / (1 + sympy.Symbol(f"r_{name}", positive=True))
    if wanted == "finite":
        return sympy.Symbol(name, real=True)
    return sympy.Symbol(name, positive=True)
