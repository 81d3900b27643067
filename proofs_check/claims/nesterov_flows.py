"""The constants of the accelerated flow: over convex functions and over quadratics."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy
from scipy.integrate import solve_ivp

from discretize.figures.accelerated_methods import bessel_gap
from flows import (
    AcceleratedFlow,
    Flow,
    PhaseState,
    from_sympy,
)
from flows.problems import quadratic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import nesterov_flow

Build = Callable[..., Flow]


@functools.cache
def _acceleration(build: Build, names: tuple[str, ...]) -> Callable:
    """X'' of a flow on λ x²/2, traced from the model and compiled by numpy."""
    symbols = sympy.symbols("t lambda x v", real=True)
    parameters = sympy.symbols(names, positive=True)

    def run(t, curvature, x, v, parameters):
        one = dataclasses.replace(quadratic([1.0]), matrix=jnp.reshape(curvature, (1,)))
        state = PhaseState(jnp.reshape(x, (1,)), jnp.reshape(v, (1,)))
        return build(one, *parameters).vector_field(t, state).velocity[0]

    found = exactly(run, *symbols, list(parameters))
    return sympy.lambdify([*symbols, *parameters], found, modules="numpy")


def oscillations(
    build: Build, spectrum: Any, times: Any, velocity: Any = 0.0, **parameters: float
) -> tuple[np.ndarray, np.ndarray]:
    """X and v of a flow on Σ λ x²/2 from ones, by scipy on the traced equation.

    Args:
        build: (objective, *parameters) -> flow.
        spectrum: λ, shape [modes].
        times: increasing, the start first, shape [times].
        velocity: v at the start, shape [modes] or ().
        **parameters: of the flow, in the order in which `build` takes them.

    Returns:
        Positions and velocities, shape [times, modes], to about 1e-11.
    """
    field = _acceleration(build, tuple(parameters))
    curvatures, n = np.asarray(spectrum, float), len(spectrum)
    numbers = tuple(parameters.values())

    def both(t, z):
        return np.r_[z[n:], field(t, curvatures, z[:n], z[n:], *numbers)]

    start = np.r_[np.ones(n), np.broadcast_to(velocity, n)]
    run = solve_ivp(
        both,
        (times[0], times[-1]),
        start,
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-13,
    )
    return run.y[:n].T, run.y[n:].T


def decay_rates(build: Build, spectrum: Any, **parameters: float) -> np.ndarray:
    """The slowest rate -max Re r of each mode λ of a flow with constant coefficients.

    From the traced equation x'' = a x + c v: the eigenvalues of its matrix.

    Args:
        build: (objective, *parameters) -> flow.
        spectrum: λ, shape [modes].
        **parameters: of the flow, in the order in which `build` takes them.

    Returns:
        The rates (1/time), shape [modes].
    """
    field = _acceleration(build, tuple(parameters))
    curvatures, numbers = np.asarray(spectrum, float), tuple(parameters.values())
    a, c = (field(0.0, curvatures, *z, *numbers) for z in ((1.0, 0.0), (0.0, 1.0)))
    c = np.broadcast_to(c, a.shape)
    zero, one = np.zeros_like(a), np.ones_like(a)
    matrices = np.moveaxis(np.array([[zero, one], [a, c]]), -1, 0)
    return -np.linalg.eigvals(matrices).real.max(axis=-1)


# The constant of the accelerated flow.


def _straight(friction: Any, bend: Any = 1) -> Evidence:
    """X = x0 - c t²/(2(r+1)) solves the flow of f = c x, r, c and t symbols."""
    t, c, x0 = sympy.symbols("t c x0", positive=True)
    x = x0 - bend * c * t**2 / (2 * (friction + 1))
    place = sympy.Symbol("x", real=True)
    line = from_sympy(place, [place])

    def run(t, c, x, v, friction):
        # f = x in the time √c t has the velocity v/√c
        flow = AcceleratedFlow(line, friction)
        root = jnp.sqrt(c)
        state = PhaseState(jnp.reshape(x, (1,)), jnp.reshape(v / root, (1,)))
        return c * flow.vector_field(root * t, state).velocity[0]

    found = exactly(run, t, c, x, sympy.diff(x, t), friction)
    return identical([found], [sympy.diff(x, t, 2)], "x'' of x₀ - ct²/(2(r+1))")


def _constants(share: Any = 1) -> Evidence:
    """At c t² = (r+1) x0: t² f = (r+1)/2 x0², and (r-1)²/2 - (r+1)/2 = r(r-3)/2."""
    r = 3 + sympy.Symbol("b", nonnegative=True)
    u, x0 = sympy.symbols("u x0", positive=True)  # u = c t²
    gap = u * (x0 - u / (2 * (r + 1)))  # t² f
    top = (r + 1) * x0
    pairs = [
        (sympy.diff(gap, u).subs(u, top), sympy.Integer(0)),
        (gap.subs(u, top), share * (r + 1) / 2 * x0**2),
        ((r - 1) ** 2 / 2 - (r + 1) / 2, r * (r - 3) / 2),
    ]
    left, right = (list(side) for side in zip(*pairs, strict=True))
    return identical(left, right, "largest t²f")


@claim(
    "inertial.accelerated-flow-constant",
    title="The constant 2 of the accelerated flow is sharp for r = 3, reached by c|x|",
    source=nesterov_flow("rate of the flow with friction r/t; sharpness derived here"),
    statement=r"f = c|x|:\ x(t) = x_0 - \tfrac{ct^2}{2(r+1)},\quad"
    r" \max_t\frac{t^2 f(x(t))}{x_0^2} = \frac{r+1}2 \le \frac{(r-1)^2}2\ (r\ge3),"
    r"\quad\text{equal iff } r = 3",
    hypotheses=(
        r"before the corner, which the path reaches at $t^2 = 2(r+1)x_0/c$",
        r"$r \ge 3$: below, the value on $c|x|$ is the larger one, so no such bound",
        r"smooth $f$: corners of width $\to 0$",
    ),
    grade="proved",
)
def flow_constant(ctx: Context) -> Iterator[Evidence]:
    """The closed form put into the traced flow, and its largest t² f."""
    yield _straight(sympy.Symbol("r", positive=True))
    yield _constants()


@flow_constant.control("a path that falls 1/1000 faster")
def _(ctx: Context) -> Evidence:
    return _straight(sympy.Symbol("r", positive=True), sympy.Rational(1001, 1000))


@flow_constant.control("a constant smaller by 1/1000")
def _(ctx: Context) -> Evidence:
    return _constants(sympy.Rational(999, 1000))


def bessel_constant(friction: float) -> tuple[float, float]:
    """Where `bessel_gap` is largest, and that value, by mpmath (r >= 2)."""
    import mpmath

    nu = mpmath.mpf(friction - 1) / 2
    with mpmath.workdps(30):
        # (u^{1-ν} J_ν)' = 0, first beyond 0
        def slope(u):
            return u * mpmath.besselj(nu, u, 1) + (1 - nu) * mpmath.besselj(nu, u)

        at = mpmath.findroot(slope, (1.2 + friction / 10, 1.9 + friction / 4))
        x = mpmath.gamma(nu + 1) * (2 / at) ** nu * mpmath.besselj(nu, at)
        return float(at), float(at**2 * x**2 / 2)


@claim(
    "inertial.accelerated-flow-quadratics",
    title="On quadratics t²(f - f*)/|x_0 - x*|² stays below 0.677, 0.856, 1.036",
    source=nesterov_flow("Bessel solution of the flow; the constants computed here"),
    statement=r"\sup_{\lambda,t}\frac{t^2\lambda x^2}{2x_0^2} = \max_u"
    r"\tfrac{u^2}{2}\Gamma(\nu+1)^2\bigl(\tfrac2u\bigr)^{2\nu}J_\nu(u)^2,\ \nu ="
    r" \tfrac{r-1}2:\quad 0.67713,\ 0.85615,\ 1.03637\ (r = 3, 4, 5)",
    hypotheses=("quadratics, every spectrum", r"$r \ge 3$; from rest"),
    grade="measured",
    delta=1e-6,
    unit="|x|²",
)
def flow_quadratics(ctx: Context) -> Iterator[Evidence]:
    """The traced flow solved to the peak, against mpmath; no later peak is higher."""
    for friction in (3, 4, 5):
        at, constant = bessel_constant(friction)
        yield _peak(friction, at, constant, ctx.delta)
        later = bessel_gap(np.linspace(0.01, 400.0, 20001), friction)
        yield decide.upper_bound(
            constant,
            decide.Measurement(float(later.max()), bias=1e-12),
            delta=ctx.delta,
            quantity=f"t²f, r = {friction}, up to √λ t = 400",
            route="scipy",
        )


def _peak(friction: float, at: float, constant: float, delta: float) -> Evidence:
    first = 0.02  # the series' error is O(t⁶)
    values = []
    for t0 in (4 * first, 2 * first, first):
        x, v = early(friction, t0)
        times = np.array([t0, at])
        path, _ = oscillations(AcceleratedFlow, [1.0], times, v / x, r=friction)
        values.append(float(at**2 * (x * path[-1, 0]) ** 2 / 2))
    return decide.equal(
        constant,
        decide.ladder(values, bias=1e-10),
        delta=delta,
        quantity=f"t²f, r = {friction}",
        route="solved",
    )


def early(friction: float, t: float, curvature: Any = 1.0) -> tuple[Any, Any]:
    """Position and velocity on λx²/2 at a small time, from 1 at rest, up to t⁶."""
    a = curvature / (2 * (1 + friction))
    b = curvature**2 / (8 * (1 + friction) * (3 + friction))
    return 1 - a * t**2 + b * t**4, -2 * a * t + 4 * b * t**3


@flow_quadratics.control("friction 2, where the peaks are all 1/2", expected=0.5)
def _(ctx: Context) -> Evidence:
    _, constant = bessel_constant(3)
    return _peak(2, np.pi / 2, constant, ctx.delta)
