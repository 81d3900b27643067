"""Lyapunov functions along a solution: dV/dt in inner products against V itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np

from flows import Fact, Facts, Flow, Objective, from_sympy, solve
from proofs_check import decide
from proofs_check.evidence import Evidence
from proofs_check.inner_products import LyapunovPair, along


def convex_loss(strong: float = 0.0) -> Objective:
    """μ|x|²/2 + √(1+x²) - 1 + y⁴/4, minimised at 0: nearly linear in x, flat in y."""
    import sympy

    x, y = sympy.symbols("x y", real=True)
    f = sympy.sqrt(1 + x**2) - 1 + y**4 / 4
    f += sympy.Rational(str(strong)) * (x**2 + y**2) / 2
    by = "every term is least at 0"
    facts = Facts(minimiser=Fact(np.zeros(2), by), minimum=Fact(0.0, by))
    return from_sympy(f, [x, y], facts=facts)


X0 = jnp.array([6.0, 1.2])
"""A start far out, where the convex loss is nearly linear in x."""
MU = 0.5
"""A modulus of strong convexity for it."""


@dataclass(frozen=True)
class Case:
    """A flow on a loss, from a start, with its Lyapunov function and pair."""

    flow: Flow
    energy: Callable[..., Any]
    pair: LyapunovPair
    start: Any
    t0: float
    t1: float
    rate: float = 0.0


def trajectory(case: Case) -> Iterator[Evidence]:
    """dV/dt in inner products against V itself along a solution, and its sign.

    The ratio of ∫ (dV/dt) dt to the difference of V at the ends, by Gauss-Legendre
    with 48 nodes (12 and 24 for its error) and tolerances 1e-6, 1e-8, 1e-10 of the
    solver; and the largest dV/dt + ρV at the nodes.
    """
    runs = [_solved(case, tolerance) for tolerance in (1e-6, 1e-8, 1e-10)]
    measured = decide.ladder([run[0][-1] for run in runs], further=[runs[-1][0]])
    yield decide.equal(1, measured, delta=1e-6, quantity="∫V'dt / ΔV", route="solved")
    (_, before, _), (_, largest, scale) = runs[1:]
    yield decide.upper_bound(
        0,
        decide.Measurement(largest, bias=max(abs(largest - before), 1e-13 * scale)),
        delta=1e-6,
        scale=scale,
        quantity="largest V' + ρV",
        route="solved",
        note="on one loss, from one start",
    )


def _solved(case: Case, tolerance: float) -> tuple[list[float], float, float]:
    """∫V'dt/ΔV by three quadratures, the largest V' + ρV, and V at the start."""
    rules = [np.polynomial.legendre.leggauss(n) for n in (12, 24, 48)]
    half = (case.t1 - case.t0) / 2
    nodes = [case.t0 + half * (points + 1) for points, _ in rules]
    times = np.sort(np.concatenate([[case.t0], *nodes, [case.t1]]))
    run = solve(
        case.flow,
        case.start,
        case.t0,
        case.t1,
        saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
    )
    value, found = along(
        case.flow, run.times, run.states, case.energy, case.pair.curved
    )
    gap = found.pop("gap")

    def product(a, b):
        return np.sum(a * b, axis=-1)

    _, slope = case.pair.on(gap, found, product, t=times)
    change = float(value[-1] - value[0])
    ratios = [
        half * float(weights @ slope[np.searchsorted(times, at)]) / change
        for at, (_, weights) in zip(nodes, rules, strict=True)
    ]
    return ratios, float(np.max(slope + case.rate * value)), float(value[0])
