"""Momentum carries a path over a barrier that stops every gradient flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize.figures.double_well_crossing import CRITICAL
from flows import DampedFlow, OverdampedFlow, PhaseState, solve
from flows.problems import double_well
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate, bracket_ends
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum

FRICTIONS = (0.5, 1.0)
END = 40.0  # in units of α
MASSES = (0.1, 0.5, 1.0, 1.1, 1.17, 1.3, 2.0, 5.0, 12.0, 30.0)  # m/α², beside m_c


@claim(
    "pdmp.barrier",
    title="From rest at x = 2 a mass above 1.1363 α² crosses the barrier at 0",
    source=losing_momentum("momentum and non-convex losses; derived here"),
    statement=r"f = \tfrac14(x^2 - 1)^2,\ x(0) = 2,\ v(0) = 0:\quad"
    r" \min_t x(t) < 0 \iff m > m_c = 1.13630705673\,\alpha^2;\quad"
    r" \alpha\dot x = -f'(x)\ \text{never:}\ x^{-2} = 1 - \tfrac34e^{-2t/\alpha}",
    hypotheses=(
        "no switching",
        r"$m/\alpha^2$ on a grid from 0.1 to 30, and just below and above $m_c$",
    ),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-3,
    unit="m/α², time unit 1/curvature",
)
def barrier(ctx: Context) -> Iterator[Evidence]:
    """The smallest position of the damped flow up to the time 40 α, mass by mass.

    Near m_c a path waits at the barrier for -log|m/m_c - 1| times a constant: after
    40 α it has left it at both ends of the bracket. A heavy particle comes back over
    the barrier, and may end in the well it started in: where it ends says nothing.
    """
    for friction in ctx.choose(FRICTIONS[:1], FRICTIONS):
        yield _crossings(ctx, friction, friction)
    yield _gradient_flow()


@eqx.filter_jit
def _lowest(masses, friction, tolerance):
    """The smallest position up to 40 α, from rest at 2, of those 0.1 α apart.

    On such a grid a path is seen beyond the barrier as it stays there for longer.
    """
    start = PhaseState(jnp.full((1,), 2.0), jnp.zeros(1))
    times = jnp.linspace(0.0, END * friction, 401)

    def one(mass):
        flow = DampedFlow(double_well(), mass, friction)
        controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
        run = solve(
            flow,
            start,
            0.0,
            END * friction,
            stepsize_controller=controller,
            saveat=diffrax.SaveAt(ts=times),
        )
        return jnp.min(run.states.position)

    return jax.vmap(one)(masses)


def _crossings(ctx: Context, friction: float, scale: float) -> Evidence:
    """Whether 0 is crossed at masses on both sides of m = CRITICAL · scale²."""
    near = bracket_ends(CRITICAL, ctx.delta)
    masses = np.array(sorted([*near, *MASSES]))
    coarse, fine = (
        np.asarray(_lowest(jnp.asarray(masses) * scale**2, jnp.asarray(friction), tol))
        for tol in map(jnp.asarray, (1e-10, 1e-12))
    )
    rates = [
        GrowthRate(m, -x, bias=2 * abs(x - y) + 1e-9)
        for m, x, y in zip(masses, fine, coarse, strict=True)
    ]
    return decide.threshold(
        CRITICAL, rates, delta=ctx.delta, quantity=f"m_c at friction {friction:g}"
    )


def _gradient_flow() -> Evidence:
    """That x = (1 - ¾ e^{-2t/α})^{-1/2} > 1 solves α x' = -f'(x), x(0) = 2."""
    t, a = sympy.symbols("t alpha", positive=True)
    x = 1 / sympy.sqrt(1 - sympy.Rational(3, 4) * sympy.exp(-2 * t / a))

    def field(x, friction):
        return OverdampedFlow(double_well(), friction).vector_field(0.0, x)

    found = exactly(field, np.array([x], dtype=object), a)[0]
    both = [found, x.subs(t, 0)]
    return identical(
        both, [sympy.diff(x, t), sympy.Integer(2)], "the gradient flow's path, above 1"
    )


@barrier.control("the friction 1/2 with the mass of friction 1")
def _(ctx: Context) -> Evidence:
    return _crossings(ctx, 0.5, 1.0)


@barrier.route("phase plane", grade="measured")
def _(ctx: Context) -> Evidence:
    """The mass whose path ends on the barrier: its stable manifold, run backwards.

    v(x) on the manifold is an odd power series near 0; from x = 1/20 scipy's DOP853
    follows it back to rest. Ladder of three tolerances; α = 1.
    """
    from scipy.optimize import root_scalar

    found = [
        root_scalar(
            lambda m, tol=tol: _turning_point(m, tol) - 2.0,
            bracket=(0.9, 1.4),
            xtol=1e-13,
        ).root
        for tol in (1e-8, 1e-10, 1e-12)
    ]
    return decide.equal(CRITICAL, decide.ladder(found), delta=ctx.delta)


def _turning_point(m: float, tolerance: float) -> float:
    """Where a path that comes to rest on the barrier started from rest."""
    from scipy.integrate import solve_ivp

    slope = -(1 + np.sqrt(1 + 4 * m)) / (2 * m)
    terms = {1: slope}  # of v = Σ c_n xⁿ, from m v v' = -v - x³ + x
    for n in range(3, 20, 2):
        mixed = sum(terms[j] * (n + 1 - j) * terms[n + 1 - j] for j in range(3, n, 2))
        terms[n] = -(m * mixed + (n == 3)) / (m * slope * (n + 1) + 1)
    x = 0.05

    def backward(t, z):
        return [-z[1], (z[1] + z[0] ** 3 - z[0]) / m]

    def velocity(t, z):
        return z[1]

    rest: Any = velocity
    rest.terminal, rest.direction = True, 1
    start = [x, sum(c * x**n for n, c in terms.items())]
    run = solve_ivp(
        backward,
        (0, 100),
        start,
        method="DOP853",
        rtol=tolerance,
        atol=tolerance,
        events=rest,
    )
    return float(run.y_events[0][0][0])
