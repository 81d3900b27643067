"""The order of a scheme on a flow of one's own, with its interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from discretize.order_fit import OrderFit, fit_order
from discretize.schemes import Euler, ImplicitEuler, RungeKutta, SemiImplicitEuler
from flows import (
    BadInput,
    Flow,
    NonFiniteState,
    Scheme,
    iterate,
    reference,
    require_float64,
)
from flows.door import require_number
from flows.types import Scalar

SCHEMES: dict[str, Callable[[], Scheme]] = {
    "euler": Euler,
    "semi-implicit euler": SemiImplicitEuler,
    "implicit euler": ImplicitEuler,
    "heun": lambda: RungeKutta(diffrax.Heun()),
    "midpoint": lambda: RungeKutta(diffrax.Midpoint()),
    "tsit5": lambda: RungeKutta(diffrax.Tsit5()),
}
"""Schemes that `order` knows by name."""

_TOLERANCE = 1e-13


def order(
    flow: Flow,
    scheme: Scheme | str,
    y0: Any,
    *,
    t1: Scalar,
    hs: ArrayLike,
    t0: Scalar = 0.0,
    norm: str = "end",
    reference: Callable[[Any], Any] | None = None,
) -> OrderFit:
    """The order of a scheme at a fixed time, extrapolated from a ladder of steps.

    Errors are Euclidean over all parts of the state, at t1 ("end") or their largest
    over the steps ("sup"). Cost: Σ (t1 - t0)/h steps, and one solve.

    Args:
        flow: the model.
        scheme: a deterministic scheme, or one of the names in `SCHEMES`.
        y0: start, in float64.
        t1: the fixed time (the flow's unit).
        hs: steps, decreasing by one ratio, each dividing t1 - t0; four at the least.
        t0: time of the start.
        norm: "end" or "sup".
        reference: t -> exact state at time t; default: a solve by Dopri8 at relative
            tolerance 1e-13, whose uncertainty is the floor below which levels are left
            out.

    Returns:
        The fit: order with half-width, local slopes, leading constant, whether the
        steps are small enough (`asymptotic`), and if not, why.

    Raises:
        BadInput: an unknown name, steps that do not divide the time, or a level at
            which the scheme diverges (the message names it).
        PrecisionError: float64 is off.
    """
    require_float64("an order of convergence")
    scheme = _named(scheme)
    if norm not in ("end", "sup"):
        raise BadInput(f'norm is "end" or "sup"; got {norm!r}.')
    require_number("t0", t0)
    require_number("t1", t1)
    t0, span = float(t0), float(t1) - float(t0)
    try:
        hs = np.asarray(hs, float)
    except (TypeError, ValueError):
        raise BadInput(f"hs is a decreasing ladder of steps; got {hs!r:.60}.") from None
    if hs.ndim != 1 or hs.size < 4 or not np.all(np.isfinite(hs)) or np.any(hs <= 0):
        raise BadInput(f"hs is a decreasing ladder of four steps or more; got {hs}.")
    levels = []
    for h in hs:
        steps = round(span / h)
        if steps < 1 or abs(steps * h - span) > 1e-9 * span:
            raise BadInput(f"the step {h} does not divide the time {span}.")
        levels.append(_path(scheme, flow, y0, h, steps, t0, norm))
    times = np.unique(np.concatenate([np.round(t, 12) for _, t in levels]))
    true = jax.vmap(reference)(times) if reference else _solved(flow, y0, t0, times)
    errors = []
    for found, ts in levels:
        at = np.searchsorted(times, np.round(ts, 12))
        gap = jax.tree.map(lambda a, b, at=at: a - b[at], found, true)
        errors.append(float(np.max(_norms(gap))))
    scale = max(1.0, float(np.max(_norms(true))))
    floor = 10 * (_TOLERANCE if reference is None else np.finfo(float).eps) * scale
    return fit_order(hs, errors, floor)


def _named(scheme: Scheme | str) -> Scheme:
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            names = ", ".join(SCHEMES)
            raise BadInput(f"no scheme named {scheme!r}; known by name: {names}.")
        return SCHEMES[scheme]()
    return scheme


def _path(scheme, flow, y0, h, steps, t0, norm):
    """States of the scheme: the last one, or all after the start; and their times."""
    save = "last" if norm == "end" else "all"
    try:
        run = iterate(scheme, flow, y0, h=h, steps=steps, t0=t0, save=save)
    except NonFiniteState as error:
        raise BadInput(
            f"the level h = {h:g} diverges ({error}); start the ladder lower."
        ) from None
    return jax.tree.map(lambda a: a[1:], run.states), np.asarray(run.times[1:])


def _solved(flow, y0, t0, times):
    run = reference(flow, y0, times, t0=t0, tolerance=_TOLERANCE)
    return run.states


def _norms(states) -> Float[np.ndarray, " times"]:
    """Euclidean norms of a stack of states, over all their parts."""
    squares = [
        np.sum(np.asarray(a).reshape(a.shape[0], -1) ** 2, axis=1)
        for a in jax.tree.leaves(states)
    ]
    return np.sqrt(np.sum(squares, axis=0))
