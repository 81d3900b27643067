"""Linear maps of momentum residual flows: which ones a start at rest can reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from flows import (
    MomentumResidualFlow,
    PhaseState,
    least_multiplier,
    linear_momentum_map,
    representing_matrix,
)
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import vanishing
from proofs_check.papers import momentum_resnets

REPRESENTATION = "section on the representation of linear maps"
T = sympy.Symbol("t", positive=True)
EPS, RATE, A, S, OMEGA = sympy.symbols("epsilon q a s omega", positive=True)


@claim(
    "momentum_resnet.linear-map",
    title="The linear map of ε x'' + x' = θx from rest, in closed form",
    source=momentum_resnets(REPRESENTATION),
    statement=r"x(T) = e^{-a}\Bigl[\cosh w + a\frac{\sinh w}{w}\Bigr]x(0),\quad"
    r" a = \frac{T}{2\varepsilon},\ w = a\sqrt{1 + 4\varepsilon\theta}",
    hypotheses=(
        r"$x'(0) = 0$",
        r"$\theta$ real; cos and sin for $4\varepsilon\theta<-1$",
    ),
    grade="proved",
)
def linear_map(ctx: Context) -> Iterator[Evidence]:
    """The formula put into the traced flow, on either side of equal roots."""
    yield _solves(turning=False)
    yield _solves(turning=True)


def _solves(turning: bool, weight: Any = 1) -> Evidence:
    """The formula less the traced field, and at the start; q = |w|/a."""
    a, sign = T / (2 * EPS), -1 if turning else 1
    theta = (sign * RATE**2 - 1) / (4 * EPS)
    even, odd = (sympy.cos, sympy.sin) if turning else (sympy.cosh, sympy.sinh)
    x = sympy.exp(-a) * (even(RATE * a) + weight * odd(RATE * a) / RATE)
    v = sympy.diff(x, T)

    def field(x, v, theta, eps):
        flow = MomentumResidualFlow(lambda t, x: theta * x, 1.0)
        flow = eqx.tree_at(lambda f: f.mass, flow, eps)
        return tuple(flow.vector_field(0.0, PhaseState(x, v)))

    position, velocity = sympy.symbols("x v", real=True)
    moved = exactly(field, position, velocity, theta, EPS)
    moved = [e.subs({position: x, velocity: v}) for e in moved]
    gaps = [
        v - moved[0],
        (sympy.diff(v, T) - moved[1]).rewrite(sympy.exp),
        x.subs(T, 0) - 1,
        v.subs(T, 0),
    ]
    return vanishing(
        [sympy.expand(g) for g in gaps], "cos and sin" if turning else "cosh"
    )


@linear_map.control("the second term multiplied by 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _solves(turning=True, weight=sympy.Rational(1001, 1000))


@claim(
    "momentum_resnet.turning-values",
    title="Of the map's turning values the first is the largest in size",
    source=momentum_resnets(f"{REPRESENTATION}; derived here"),
    statement=r"\Psi = e^{-a}[\cos\omega + \tfrac{a}{\omega}\sin\omega],\ "
    r"\Psi' = 0:\quad e^{2a}\Psi^2 = \frac{(s + a + a^2)^2}{(s + a)^2 + a^2 s},\ "
    r"s = \omega^2,\quad \text{which falls with } s",
    hypotheses=(r"$4\varepsilon\theta = -1 - s/a^2$, $a > 0$",),
    grade="proved",
)
def turning_values(ctx: Context) -> Iterator[Evidence]:
    """The square where the derivative vanishes; its slope has one sign."""
    yield _turning_square(A**2 * S)
    top, bottom = (S + A + A**2) ** 2, (S + A) ** 2 + A**2 * S
    slope = sympy.diff(top, S) * bottom - top * sympy.diff(bottom, S)
    # all coefficients negative: the certificate
    certificate = -(A**2) * (S + A + A**2) * (S + 3 * A + A**2)
    yield vanishing([sympy.expand(slope - certificate)], "slope of the square")


def _turning_square(part: Any) -> Evidence:
    """At tan ω = aω/(ω² + a): (cos ω + a sin ω/ω)², cos² = 1/(1 + tan²)."""
    tangent = A * OMEGA / (OMEGA**2 + A)
    # the derivative -sin ω + a (ω cos ω - sin ω)/ω² over cos ω
    slope = -tangent + A * (OMEGA - tangent) / OMEGA**2
    square = (1 + A * tangent / OMEGA) ** 2 / (1 + tangent**2)
    claimed = ((S + A + A**2) ** 2 / ((S + A) ** 2 + part)).subs(S, OMEGA**2)
    gaps = [sympy.together(slope), sympy.together(square - claimed)]
    return vanishing(gaps, "square of a turning value")


@turning_values.control("a² s multiplied by 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _turning_square(A**2 * S * sympy.Rational(1001, 1000))


LEAST = -0.6134986031674047  # of ε = 1; the control's wrong value


_map = jax.jit(linear_momentum_map)


def _least(ctx: Context, claimed: float, mass: float = 1.0) -> Evidence:
    """The least of Ψ over θ = (u|u|/a² - 1)/(4ε): a grid of u, then scipy's search.

    -u is the angle ω that the solution turns by. The search's error is quadratic in the
    tolerance of u, 1e-7 with a second derivative below 1, and above that is rounding.
    """
    a = 1 / (2 * mass)

    def psi(u: Any) -> np.ndarray:
        theta = (u * np.abs(u) / a**2 - 1) / (4 * mass)
        return np.asarray(_map(theta, mass))

    grid = np.linspace(-4 * np.pi, 1.0, 401)
    lowest, step = float(grid[np.argmin(psi(grid))]), float(grid[1] - grid[0])
    found: Any = minimize_scalar(
        lambda u: float(psi(np.full(401, u))[0]),
        bounds=(lowest - step, lowest + step),
        method="bounded",
        options={"xatol": 1e-7},
    )
    value = Measurement(float(found.fun), bias=1e-13)
    return decide.equal(claimed, value, delta=ctx.delta, quantity=f"least, ε = {mass}")


@claim(
    "momentum_resnet.least-multiplier",
    title="A constant θ reaches the multipliers from a negative λ(ε) on, not all signs",
    source=momentum_resnets(f"{REPRESENTATION}; λ(ε) derived here"),
    statement=r"\Psi_\varepsilon(\mathbb R) = [\lambda(\varepsilon), \infty),\quad"
    r" \lambda(\varepsilon) = -e^{-a}\frac{s + a + a^2}{\sqrt{(s + a)^2 + a^2 s}},\ "
    r"s = \omega^2,\ \omega^2\sin\omega = a(\omega\cos\omega - \sin\omega),\ "
    r"\omega \in (\pi, \tfrac{3\pi}2);\quad \varepsilon(1 + \lambda) \to \tfrac12",
    hypotheses=(r"$T = 1$", r"the least measured at $\varepsilon = 0.1, 1, 10$"),
    grade="measured",
    delta=1e-6,
)
def least(ctx: Context) -> Iterator[Evidence]:
    """The minimum over θ at three masses; and the limit of large mass."""
    for mass in (0.1, 1.0, 10.0):
        yield _least(ctx, least_multiplier(mass), mass)
    h = 0.1 * 0.5 ** np.arange(8)
    errors = np.array([1 + least_multiplier(float(1 / x)) for x in h])
    yield decide.leading_constant(
        0.5, h, errors, 1, delta=ctx.delta, floor=1e-14, quantity="ε (1 + λ)"
    )


@least.control("every sign by a constant θ: the least is -1", expected=LEAST)
def _(ctx: Context) -> Evidence:
    return _least(ctx, -1.0)


# Maps reached: the flow itself, by scipy, at three tolerances.


def _reached(field: Any, mass: float | None, x: Any, entry: int = 0) -> Measurement:
    """x(1)[entry] of ε x'' + x' = F from rest in x; of x' = F where mass is None."""
    x = np.asarray(x, float)
    flow = MomentumResidualFlow(field, 1.0 if mass is None else mass)
    n = x.size

    @jax.jit
    def rhs(t, y):
        if mass is None:
            return flow.limit().vector_field(t, y)
        return jnp.concatenate(flow.vector_field(t, PhaseState(y[:n], y[n:])))

    start = x if mass is None else np.concatenate([x, 0 * x])
    ends = [
        solve_ivp(
            lambda t, y: np.asarray(rhs(t, y)),
            (0.0, 1.0),
            start,
            method="DOP853",
            rtol=rtol,
            atol=rtol / 10,
        ).y[entry, -1]
        for rtol in (1e-5, 1e-8, 1e-11)
    ]
    return decide.ladder(ends)


def _by(theta: np.ndarray):
    return lambda t, x: jnp.asarray(theta) @ x


NEGATIVE = np.diag([-0.1, -0.2])


@claim(
    "momentum_resnet.representable",
    title="Momentum represents linear maps without a real logarithm",
    source=momentum_resnets(f"{REPRESENTATION}; the examples computed here"),
    statement=r"x(1) = A x(0):\quad A = \mathrm{diag}(-0.1, -0.2),\ \varepsilon = 1:\ "
    r"\Theta = \mathrm{diag}(-4.1658, -4.7798);\qquad A = -2I_2:\ \text{a conjugate"
    r" pair},\ \theta = -7.6068 \pm 11.6601i",
    hypotheses=(
        r"real eigenvalues $\ge \lambda(\varepsilon)$, or twice the same one below",
        r"$x'(0) = 0$, $\varepsilon = 1$",
    ),
    grade="measured",
    delta=1e-6,
)
def representable(ctx: Context) -> Iterator[Evidence]:
    """The flow of the representing matrix, solved."""
    theta = representing_matrix(NEGATIVE, 1.0)
    for k, wanted in enumerate((-0.1, -0.2)):
        found = _reached(_by(theta), 1.0, np.eye(2)[k], k)
        yield decide.equal(wanted, found, delta=ctx.delta, quantity=f"entry {k + 1}")
    theta = representing_matrix(-2 * np.eye(2), 1.0)
    for k, wanted in enumerate((-2.0, 0.0)):
        found = _reached(_by(theta), 1.0, [1.0, 0.0], k)
        yield decide.equal(
            wanted, found, delta=ctx.delta, scale=1.0, quantity=f"-2 I, entry {k + 1}"
        )


@representable.control("no mass: x' = Θx", expected=float(np.exp(-4.16575989221471)))
def _(ctx: Context) -> Evidence:
    theta = representing_matrix(NEGATIVE, 1.0)
    found = _reached(_by(theta), None, np.eye(2)[0])
    return decide.equal(-0.1, found, delta=ctx.delta, scale=1.0)


# A rate that varies in time reverses the sign.

PATH = [
    1,
    0,
    -2,
    sympy.Rational(-136, 9),
    sympy.Rational(88, 3),
    sympy.Rational(-128, 9),
]
TOP, BOTTOM = [320, 912, -924, -36], [64, -100, 18, 18, 9]


def _reversing(t: Any, x: Any) -> Any:
    """Θ(t) x, Θ = (320t³ + 912t² - 924t - 36)/(64t⁴ - 100t³ + 18t² + 18t + 9)."""
    top = ((TOP[0] * t + TOP[1]) * t + TOP[2]) * t + TOP[3]
    bottom = (((BOTTOM[0] * t + BOTTOM[1]) * t + BOTTOM[2]) * t + BOTTOM[3]) * t
    return top / (bottom + BOTTOM[4]) * x


@claim(
    "momentum_resnet.reversal",
    title="A rate that varies in time takes x to -x, through 0",
    source=momentum_resnets("one dimension; the path constructed here"),
    statement=r"\ddot c + \dot c = \Theta(t)c,\quad c = 1 - 2t^2 - \tfrac{136}9t^3"
    r" + \tfrac{88}3t^4 - \tfrac{128}9t^5,\quad c(0) = 1,\ \dot c(0) = 0,\ c(1) = -1",
    hypotheses=(r"$\varepsilon = 1$",),
    grade="proved",
    delta=1e-6,
)
def reversal(ctx: Context) -> Iterator[Evidence]:
    """The path solves the traced flow; Θ has no pole; the flow solved ends in -1."""
    yield _path(1)
    poles = sympy.Poly(BOTTOM, T).count_roots(0, 1)
    yield vanishing([poles], "poles of Θ in [0, 1]")
    found = _reached(_reversing, 1.0, [1.0])
    yield decide.equal(-1.0, found, delta=ctx.delta, quantity="x(1)")


def _path(mass: Any) -> Evidence:
    c: Any = sum(coefficient * T**k for k, coefficient in enumerate(PATH))
    v = sympy.diff(c, T)

    def force(t, x):
        return _reversing(t, x)

    pull = exactly(force, T, sympy.Integer(1)) * c
    residual = sympy.cancel(mass * sympy.diff(v, T) + v - pull)
    gaps = [residual, c.subs(T, 0) - 1, v.subs(T, 0), c.subs(T, 1) + 1]
    return vanishing(gaps, "path")


@reversal.control("twice the mass")
def _(ctx: Context) -> Evidence:
    return _path(2)
