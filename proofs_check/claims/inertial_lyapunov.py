"""Energies of the inertial-Newton flow on every loss, convex or not."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from scipy.integrate import solve_ivp

from flows import InertialNewtonFlow, PhaseState, at_rest
from flows.problems import saddle_between_wells
from proofs_check import decide
from proofs_check.certificates import find_certificate
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.energies import (
    dissipation_energy,
    dissipation_pair,
    mechanical_energy,
    mechanical_pair,
    psi_dissipation_pair,
)
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.inequalities import curved
from proofs_check.inner_products import excess, inner
from proofs_check.papers import inertial_newton
from proofs_check.trajectories import Case, trajectory

C = sympy.Symbol("c", positive=True)
A, B, ROOT = sympy.symbols("a b l", positive=True)
K = sympy.Symbol("k", nonnegative=True)
SMALL = sympy.Rational(1, 1000)

FRICTION, DAMPING = 0.5, 0.3
START = (0.3, 1.5)


def _where(pair: Any, damping: Any = B**2, **further: Any) -> dict[Any, Any]:
    """α = a² and β = b², or as given, for the symbols of a pair."""
    values = {"friction": A**2, "hessian_damping": damping, **further}
    symbols = pair.value.free_symbols | pair.derivative.free_symbols
    return {s: values[s.name] for s in symbols if s.name in values}


# E = c f + |v + β∇f|²/2.


def _interval(sign: int, share: Any) -> Evidence:
    """C = 1 + αβ ± 2 √(αβ) share."""
    pair = dissipation_pair(C)
    at = 1 + A**2 * B**2 + sign * 2 * A * B * share
    left = find_certificate(
        pair.derivative, [], _where(pair, c=at), "vg", name="V'", latex=r"\dot V"
    )
    end = "upper" if sign > 0 else "lower"
    return left.evidence(quantity=f"the {end} half of the interval")


def _necessary(sign: int, factor: Any = 1) -> Evidence:
    """On v = √β u, ∇f = ± √α u: E' = √(αβ)(±(c - 1 - αβ) - 2√(αβ)) |u|²."""
    pair = dissipation_pair(C)
    state = {
        inner("v", "v"): B**2,
        inner("g", "g"): A**2,
        inner("g", "v"): sign * A * B,
    }
    found = pair.derivative.subs(_where(pair)).subs(state)
    beyond = sign * (C - 1 - A**2 * B**2) - 2 * factor * A * B
    return identical(
        found,
        A * B * beyond,
        "E' on one state",
        quantity="beyond the interval E' > 0 somewhere",
        route="algebra",
    )


@claim(
    "inertial.dissipation",
    title="c f + |x' + β∇f|²/2 falls along every inertial-Newton flow iff c is in an "
    "interval around 1 + αβ",
    source=inertial_newton("energy of the system; the interval of c derived here"),
    statement=r"\frac{d}{dt}\Bigl[c f + \tfrac12|\dot x + \beta\nabla f|^2\Bigr] ="
    r" -\alpha|\dot x|^2 - \beta|\nabla f|^2 + (c - 1 - \alpha\beta)\langle\nabla f,"
    r"\dot x\rangle \le 0 \text{ for every } f,\,x,\,\dot x \iff"
    r" c \in \bigl[(1-\sqrt{\alpha\beta})^2, (1+\sqrt{\alpha\beta})^2\bigr]",
    hypotheses=(r"$f$ twice differentiable", r"$\alpha > 0$, $\beta > 0$, mass 1"),
    grade="proved",
    delta=1e-6,
    unit="dV/dt (unit of f/time)",
)
def dissipation(ctx: Context) -> Iterator[Evidence]:
    """Squares inside the interval, one state beyond it, and the flow in (x, ψ)."""
    for sign in (1, -1):
        yield _interval(sign, 1 / (1 + K))
        yield _necessary(sign)
    yield _in_psi(1)


def _in_psi(factor: Any) -> Evidence:
    """C = 1 + αβ: E' = -α|x'|² - β|∇f|² with x' = -(α - 1/β) x - ψ/β - β∇f."""
    at = sympy.Symbol("c", positive=True)
    pair = psi_dissipation_pair(at)
    symbols = {s.name: s for s in pair.derivative.free_symbols}
    alpha, beta = symbols["friction"], symbols["hessian_damping"]
    velocity = {"e": 1 / beta - alpha, "p": -1 / beta, "g": -factor * beta}
    speed = sum(
        p * q * inner(m, n) for m, p in velocity.items() for n, q in velocity.items()
    )
    left = pair.derivative.subs(at, 1 + alpha * beta)
    right = -alpha * speed - beta * inner("g", "g")
    return identical(
        left,
        right,
        "E' in (x, ψ)",
        quantity="the flow without a Hessian",
        route="algebra",
    )


@dissipation.control("c above the interval by a thousandth of √(αβ)")
def _(ctx: Context) -> Evidence:
    return _interval(1, 1 + SMALL)


@dissipation.control("c below the interval by a thousandth of √(αβ)")
def _(ctx: Context) -> Evidence:
    return _interval(-1, 1 + SMALL)


@dissipation.control("an interval wider by a thousandth")
def _(ctx: Context) -> Evidence:
    return _necessary(1, 1 + SMALL)


@dissipation.control("x' with the factor 1 + 1/1000 before ∇f, in (x, ψ)")
def _(ctx: Context) -> Evidence:
    return _in_psi(1 + SMALL)


def flow() -> InertialNewtonFlow:
    """The flow on the saddle between two wells, α = 1/2 and β = 3/10."""
    return InertialNewtonFlow(saddle_between_wells(), FRICTION, DAMPING)


def start() -> PhaseState:
    """A point near the saddle's stable line, with velocity -∇f."""
    x = jnp.array(START)
    return PhaseState(x, -flow().objective.gradient(x))


@dissipation.route("along a solution past a saddle, c = 1 + αβ", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    weight = 1 + FRICTION * DAMPING

    def energy(flow, t, y):
        return dissipation_energy(flow, t, y, weight)

    pair = dissipation_pair(sympy.Rational(str(weight)))
    pair = pair.at(friction=FRICTION, hessian_damping=DAMPING)
    yield from trajectory(Case(flow(), energy, pair, start(), 0.0, 1.5))


# The mechanical energy, which needs the Hessian's sign.


@claim(
    "inertial.mechanical-energy",
    title="f + |x'|²/2 falls along the inertial-Newton flow where ∇²f >= -(α/β) I",
    source=inertial_newton("dissipation of the mechanical energy; derived here"),
    statement=r"\frac{d}{dt}\Bigl[f + \tfrac12|\dot x|^2\Bigr] = -\alpha|\dot x|^2 -"
    r" \beta\langle\dot x,\nabla^2 f\,\dot x\rangle \le 0 \text{ if }"
    r" \nabla^2 f \succeq -\tfrac{\alpha}{\beta} I",
    hypotheses=(r"$\alpha \ge 0$, $\beta > 0$, mass 1",),
    grade="proved",
    delta=1e-6,
    unit="dV/dt (unit of f/time)",
)
def mechanical(ctx: Context) -> Iterator[Evidence]:
    """The Hessian product by the stated bound, for H >= 0 and for α >= βl."""
    yield _mechanical(0, 1)
    yield _mechanical(ROOT, 1)


def _mechanical(least: Any, share: Any, stated: bool = True) -> Evidence:
    """The certificate for ∇²f >= -l, with α = share · βl + k, k >= 0."""
    pair = mechanical_pair()
    damping = B**2
    friction = share * damping * least + (K if share == 1 else 0)
    where = _where(pair, damping, friction=friction)
    using = [curved("v", -least)] if stated else []
    found = find_certificate(pair.derivative, using, where, name="V'", latex=r"\dot V")
    return found.evidence(quantity=f"E', Hessian >= -{least}")


@mechanical.control("α a thousandth below βl")
def _(ctx: Context) -> Evidence:
    return _mechanical(ROOT, 1 - SMALL)


@mechanical.control("no bound on the Hessian")
def _(ctx: Context) -> Evidence:
    return _mechanical(0, 1, stated=False)


@mechanical.route("the rise past a saddle, along a solution", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Where the bound fails E rises: by ∫E'dt, and E' > 1/2 somewhere."""
    pair = mechanical_pair().at(friction=FRICTION, hessian_damping=DAMPING)
    rest = at_rest(jnp.array(START))
    identity, sign = trajectory(Case(flow(), mechanical_energy, pair, rest, 0.0, 1.5))
    yield identity
    rise = decide.Measurement(sign.measured, bias=sign.data["bias"])
    yield decide.lower_bound(0.5, rise, delta=0.05, quantity="largest V'")


# The sublinear rate.


@claim(
    "inertial.sublinear-rate",
    title="The least α|x'|² + β|∇f|² up to time t is at most E(0)/t on every loss",
    source=inertial_newton("sublinear rate; the continuous statement derived here"),
    statement=r"\min_{[0,t]}\bigl(\alpha|\dot x|^2 + \beta|\nabla f|^2\bigr) \le"
    r" \frac{E(0)}{t},\qquad E = (1+\alpha\beta)(f - \inf f) +"
    r" \tfrac12|\dot x + \beta\nabla f|^2",
    hypotheses=(
        r"$f$ twice differentiable and bounded below, $\alpha, \beta > 0$",
        r"tried: the saddle between two wells, up to $t = 20$, $(\alpha,\beta) ="
        r" (0.5, 0.3)$",
    ),
    grade="measured",
    delta=1e-6,
    unit="1 (largest ratio of the two sides)",
)
def sublinear_rate(ctx: Context) -> Evidence:
    """The largest ratio at 501 times, by three tolerances of the solver."""
    return _ratio(1.0)


@sublinear_rate.control("the bound E(0)/(4t)")
def _(ctx: Context) -> Evidence:
    return _ratio(4.0)


def _ratio(factor: float) -> Evidence:
    """The running minimum at saved times is at least the minimum over the interval."""
    values = [_largest_ratio(tolerance) for tolerance in (1e-6, 1e-8, 1e-10)]
    return decide.upper_bound(
        1.0,
        decide.ladder([factor * v for v in values]),
        delta=1e-6,
        quantity="largest ratio to the bound",
        route="solved",
        note=f"largest ratio {factor * values[-1]:.3f}, from one start",
    )


@functools.cache
def _field() -> Any:
    """The model's own field on (x, v) as one vector, compiled."""
    model, n = flow(), len(START)

    @jax.jit
    def field(y):
        return jnp.concatenate(model.vector_field(0.0, PhaseState(y[:n], y[n:])))

    return field


@functools.cache
def _largest_ratio(tolerance: float) -> float:
    """The model's field by scipy's Runge–Kutta method of order 8; inf f = -4."""
    field, n = _field(), len(START)
    times = np.linspace(0.0, 20.0, 501)
    run = solve_ivp(
        lambda t, y: np.asarray(field(y)),
        (times[0], times[-1]),
        np.concatenate(start()),
        method="DOP853",
        t_eval=times,
        rtol=tolerance,
        atol=tolerance,
    )
    x, v = run.y[:n].T, run.y[n:].T
    # At rest the field is -∇f.
    g = -np.array([field(np.concatenate([at, np.zeros(n)]))[n:] for at in x])
    lost = FRICTION * np.sum(v**2, axis=1) + DAMPING * np.sum(g**2, axis=1)
    height = float(excess(flow(), jnp.array(START)))
    first = (1 + FRICTION * DAMPING) * height
    first += np.sum((v[0] + DAMPING * g[0]) ** 2) / 2
    return float(np.max(times * np.minimum.accumulate(lost)) / first)
