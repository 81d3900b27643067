"""Switching quadratics with symbols in every parameter, for proofs about moments."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from flows import quadratic_sum
from flows.symbolic import exactly, symbols_like
from sde import (
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
)


def symbolic_process(
    labels: int,
    *,
    momentum: bool,
    convention: str = "never_repeat",
    common: bool = True,
    **given: Any,
) -> Any:
    """κ_i/2 (x - a_i)², i < labels, in one dimension, with positive symbols.

    Args:
        labels: N.
        momentum: with a mass m, or without.
        convention: of the uniform index.
        common: one curvature κ for all labels, or one each.
        **given: values in place of symbols: `centres` (of shape [N, n]),
            `curvatures`, `rate`, `mass`, `friction`.
    """
    curvatures = 1.0 if common else np.ones(labels)
    losses = quadratic_sum(np.zeros((labels, 1)), curvatures)
    index = UniformIndex(labels, 1.0, convention)
    if momentum:
        plain: Any = StochasticGradientMomentumProcess(losses, index, 1.0, 1.0)
    else:
        plain = StochasticGradientProcess(losses, index, 1.0)
    process = symbols_like(plain, curvatures={"positive": True})
    places = {
        "centres": lambda p: p.objective.centres,
        "curvatures": lambda p: p.objective.curvatures,
        "rate": lambda p: p.index.rate,
        "mass": lambda p: p.mass,
        "friction": lambda p: p.friction,
    }
    for name, value in given.items():
        process = eqx.tree_at(places[name], process, exact_entries(value))
    return process


def exact_entries(value: Any) -> Any:
    """An array with numbers among its expressions, all of them sympy's."""
    import sympy

    if np.ndim(value) == 0:
        return sympy.sympify(value)
    flat = np.ravel(np.asarray(value, dtype=object))
    entries = np.array([sympy.sympify(v) for v in flat], dtype=object)
    return entries.reshape(np.shape(value))


def example_state(process: Any, label: int = 0) -> Any:
    """The state at the origin, for its shapes; of as many coordinates as a centre."""
    zero = np.zeros(process.objective.centres.shape[1])
    if isinstance(process, StochasticGradientMomentumProcess):
        return SwitchingMomentumState(zero, zero, label)
    return SwitchingState(zero, label)


def total(moments: Any, *exponents: int) -> Any:
    """E[y^α] from moments split by the label."""
    return sum(v for m, v in moments.items() if m.exponents == exponents)


def forward_defects(process: Any, position: Any, densities: Any) -> Any:
    r"""∇·(v_i p_i) - Σ_j Q_ji p_j over p_0, each label i: 0 where π is stationary.

    Where besides no mass flows through the ends of the support (v_i p_i -> 0 there),
    ∫ Lφ dπ = 0 for every smooth φ(x, i) of compact support, by parts: π is stationary.

    Args:
        process: the process without momentum; it may hold symbols.
        position: n symbols x.
        densities: p_i(x), one expression a label, up to one common factor.

    Returns:
        The defects, of shape [N].
    """
    import sympy

    def field(process: Any, x: Any, label: int) -> Any:
        return process.vector_field(0.0, SwitchingState(x, label)).position

    fields = [exactly(field, process, position, i) for i in range(len(densities))]
    chain = exactly(lambda p: p.index.generator_matrix(0.0), process)
    defects = []
    for i, density in enumerate(densities):
        change = sum(
            sympy.diff(v * density, x) for v, x in zip(fields[i], position, strict=True)
        )
        change -= sum(chain[j, i] * p for j, p in enumerate(densities))
        defects.append(sympy.simplify(sympy.expand(change / densities[0])))
    return np.array(defects, dtype=object)
