"""Losing momentum: a mass that goes to 0, a clock that speeds up, and the energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flows import DampedFlow, PhaseState, PowerSchedule, quadratic_sum
from flows.problems import double_well
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Equal, Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum
from sde import (
    MomentSystem,
    StochasticGradientMomentumProcess,
    SwitchingMomentumState,
    UniformIndex,
    moment_equations,
)

PAPER = losing_momentum("the process; the constants are derived here")
LOST = (1.0, 1.0, -1.0)  # m = 1/(1 + t), a PowerSchedule
FASTER = (0.5, 1.0, 1.0)  # γ of two labels, so that r = 2γ = 1 + t
KAPPA, ALPHA, SPREAD = 2.0, 0.5, 9 / 4  # Var(a) of a = ±3/2


@claim(
    "pdmp.losing-momentum",
    title="Losing momentum while switching faster: E|x - x*|² falls like s²κ/(αr(t))",
    source=PAPER,
    statement=r"m(t)\ddot x + \alpha\dot x = -\kappa(x - a_I),\ m = \tfrac1{1+t},\ "
    r"r = 1 + t\ \Rightarrow\ r(t)\,E\,(x - \bar a)^2 \to "
    r"\frac{\kappa}{\alpha}\,\mathrm{Var}(a)",
    hypotheses=(
        r"$\kappa = 2$, $\alpha = 1/2$, $a = \pm 3/2$, $x_0 = 2$",
        "schedules that are powers of time: where r grows like e^{ct}, c > 2κ/α, the "
        "start is not forgotten fast enough",
    ),
    relation=Equal(1.0),
    grade="measured",
    delta=2e-5,
    quick_delta=1e-2,
    unit="κ Var(a)/α",
)
def losing(ctx: Context) -> Evidence:
    """The moment equations with m(t) and r(t), from the generator, to late times."""
    return _limit(ctx, PowerSchedule(*LOST), PowerSchedule(*FASTER))


@losing.route("a constant mass", grade="measured")
def _(ctx: Context) -> Evidence:
    """The same limit at m = 1: the noise of a fast index does not see the mass."""
    return _limit(ctx, 1.0, PowerSchedule(*FASTER))


TIMES = 10.0 * 4.0 ** np.arange(6)


def _limit(
    ctx: Context,
    mass: Any,
    rate: Any,
    convention: str = "never_repeat",
    claimed: Callable[[Any], Any] = lambda t: 1 + t,
) -> Evidence:
    """The limit of r(t) E x² α/(κ Var a), from x = 2, v = 0 and a uniform label.

    Times grow fourfold; extrapolated twice, values lose their terms in 1/t and 1/t².
    """
    losses = quadratic_sum(np.sqrt(SPREAD) * np.array([[1.0], [-1.0]]), KAPPA)
    index = UniformIndex(2, rate, convention)
    process = StochasticGradientMomentumProcess(losses, index, mass, ALPHA)
    example = SwitchingMomentumState(np.zeros(1), np.zeros(1), 0)
    system = moment_equations(process, 2, y=example)
    start = [
        0.5 * 2.0 ** m.exponents[0] * (m.exponents[1] == 0) for m in system.moments
    ]
    rows, unit = [system.row(2, 0, label=i) for i in (0, 1)], KAPPA * SPREAD / ALPHA
    late, later = (
        claimed(TIMES) * _solved(system, start, tolerance)[rows].sum(axis=0) / unit
        for tolerance in ctx.choose((1e-5, 1e-6), (1e-6, 1e-8))
    )
    solved = 17 / 15 * 5 / 3 * float(np.max(np.abs(late - later)))
    limits = later
    for ratio in (4, 16):
        limits = (ratio * limits[1:] - limits[:-1]) / (ratio - 1)
    data = {"t": TIMES.tolist(), "r E x² α/(κ Var a)": later.tolist()}
    return ctx.equal(decide.ladder(limits, bias=solved), data=data)


def _solved(system: MomentSystem, start: Any, tolerance: float) -> np.ndarray:
    """The moments at `TIMES` by Radau's method: m -> 0 makes them stiff."""
    import sympy
    from scipy.integrate import solve_ivp

    t = sympy.Symbol("t", real=True)
    matrix = sympy.lambdify(t, sympy.Matrix(system.matrix), "numpy")
    forcing = np.asarray(system.forcing, float)
    run = solve_ivp(
        lambda t, m: matrix(t) @ m + forcing,
        (0.0, TIMES[-1]),
        start,
        method="Radau",
        t_eval=TIMES,
        jac=lambda t, m: matrix(t),
        rtol=tolerance,
        atol=1e-3 * tolerance,
    )
    return run.y


@losing.control("the mass is lost, the clock keeps its rate: r = 2", expected=1 / 3)
def _(ctx: Context) -> Evidence:
    """αr/(κ + αr)."""
    return _limit(ctx, PowerSchedule(*LOST), 1.0, claimed=lambda t: 2.0)


@losing.control("γ = (1 + t)/2 with fresh draws, half the relaxation", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _limit(ctx, PowerSchedule(*LOST), PowerSchedule(*FASTER), "fresh_draw")


@claim(
    "pdmp.mass-energy",
    title="Between jumps m|v|²/2 + f changes at the rate (m'/2 - α)|v|²",
    source=PAPER,
    statement=r"m(t)\dot v = -\nabla f(x) - \alpha v\ \Rightarrow\ "
    r"\frac{d}{dt}\Bigl[\tfrac{m}{2}|v|^2 + f(x)\Bigr] = "
    r"\bigl(\tfrac{m'}{2} - \alpha\bigr)|v|^2",
    hypotheses=(r"$m(t) = m_0(1 + t/\tau)^p$, $f$ the double well",),
    grade="proved",
)
def mass_energy(ctx: Context) -> Evidence:
    """The generator of the damped flow on its energy; α, m₀, τ, p, t are symbols."""
    return _energy_rate(1)


def _energy_rate(sign: int) -> Evidence:
    import sympy

    model: Any = symbols_like(DampedFlow(double_well(), PowerSchedule(1.0, 1.0, -1.0)))
    t = sympy.Symbol("t", positive=True)
    y = PhaseState(symbol_vector("x", 1), symbol_vector("v", 1))
    rate = exactly(lambda m, t, y: m.generator(m.energy)(t, y), model, t, y)
    m0, tau, p = model.mass.initial, model.mass.scale, model.mass.power
    slope = m0 * p / tau * (1 + t / tau) ** (p - 1)
    claimed = (sign * slope / 2 - model.friction) * y.velocity[0] ** 2
    return identical(rate, claimed, "E' = (m'/2 - α)v²")


@mass_energy.control("the mass inside the derivative, (m v)' in place of m v'")
def _(ctx: Context) -> Evidence:
    return _energy_rate(-1)
