"""Corridors, where gradient descent is gradient flow, and Polyak's step in them."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import SGD, Euler, compare, decrease_defect, modified_terms
from flows import GradientFlow, corridor_meter, from_sympy
from flows.problems import quadratic
from flows.symbolic import (
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.variant_flows import DHERIN, MORE, jet
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical, vanishing

CORRIDORS = dataclasses.replace(DHERIN, location="definition and characterisation")

X, Y, P = sympy.symbols("x y p", real=True)


def _losses() -> dict:
    """Name -> (a loss, a generic point of it), points with symbols."""
    r = sympy.Symbol("r", positive=True)
    a, b = symbol_vector("c", 2, nonzero=True, real=True)
    point = symbol_vector("x", 2)
    line, root = sympy.exp(X), sympy.sqrt(1 + X**2)
    return {
        "|x|": (from_sympy(sympy.sqrt(X**2 + Y**2), [X, Y]), _circle(r)),
        "affine": (symbols_like(from_sympy(P * X + 2 * Y, [X, Y], {P: 0.3})), point),
        "softplus": (from_sympy(sympy.log(1 + line), [X]), point[:1]),
        "sqrt(1 + x²)": (from_sympy(root, [X]), point[:1]),
        "anisotropic quadratic": (quadratic([1.0, 3.0]), np.array([a, b])),
        "isotropic quadratic": (quadratic([2.0, 2.0]), np.array([a, b])),
    }


def _circle(radius):
    """Every point but one of the circle: radius (1 - m², 2m)/(1 + m²)."""
    m = sympy.Symbol("m", real=True)
    unit = np.array([1 - m**2, 2 * m], dtype=object) / (1 + m**2)
    return radius * unit


@claim(
    "gradient_flow.acceleration",
    title="Gradient flow accelerates by Hg = ½ ∇|g|²: it coasts where |g| is constant",
    source=CORRIDORS,
    statement=r"\ddot\theta = \nabla^2 f\,\nabla f = \tfrac12\nabla|\nabla f|^2",
    hypotheses=(r"$f$ twice continuously differentiable",),
    grade="proved",
)
def acceleration(ctx: Context) -> Evidence:
    """L(-g), the traced Hg and the derivative of |g|²/2, for a generic jet at 0."""
    return _acceleration(sympy.Rational(1, 2))


def _acceleration(half) -> Evidence:
    f, x = jet(2), symbol_vector("x", 2)
    g = exactly(lambda f, x: f.gradient(x), f, x)
    at_zero = dict.fromkeys(x, 0)
    square = sympy.Add(*(g**2))
    slope = [half * square.diff(v).subs(at_zero) for v in x]

    def second(f):
        flow, zero = GradientFlow(f), jnp.zeros(2)
        rates = [
            flow.generator(lambda t, x, i=i: flow.vector_field(t, x)[i])(0.0, zero)
            for i in range(2)
        ]
        return jnp.stack([*rates, *f.hvp(zero, f.gradient(zero))])

    claimed = np.array([*slope, *slope], dtype=object)
    return identical(exactly(second, f), claimed, "θ'' = Hg = ½∇|g|²")


@acceleration.control("coefficient (1 + 1/1000)/2")
def _(ctx: Context) -> Evidence:
    return _acceleration(MORE / 2)


@claim(
    "gradient_flow.corridor",
    title="In a corridor flow, descent of any step and modified flow are one line",
    source=CORRIDORS,
    statement=r"f = |x|\ \text{or affine}:\quad \nabla^2 f\,\nabla f = 0,\quad"
    r" \theta(t) = \theta_0 - t\nabla f(\theta_0),\quad"
    r" \theta_k = \theta(kh)\ \forall h,\quad f_2 = f_3 = 0",
    hypotheses=(r"the path stays in the region, away from the tip of $|x|$",),
    grade="proved",
    delta=1e-3,
)
def corridor(ctx: Context):
    """Each of the four on |x| and on an affine loss, points and steps symbols."""
    for name in ("|x|", "affine"):
        yield _coasts(name)
        yield _straight(name)
        yield _no_correction(name)


def _coasts(name: str) -> Evidence:
    f, x = _losses()[name]
    found = exactly(lambda f, x: f.hvp(x, f.gradient(x)), f, x)
    return vanishing(found, f"{name}: Hg = 0")


def _straight(name: str) -> Evidence:
    """The velocity along the line, three steps h of descent, and the loss."""
    f, x = _losses()[name]
    h, rest = sympy.symbols("h s", positive=True)
    if name == "|x|":  # so that the line has not come to the tip at 0
        x = _circle(3 * h + rest)

    def gaps(f, x, h):
        g = f.gradient(x)
        turned, step = f.gradient(x - 3 * h * g) - g, x
        for _ in range(3):
            step = step - h * f.gradient(step)
        fall = f.value(x - 3 * h * g) - (f.value(x) - 3 * h * jnp.sum(g**2))
        return jnp.stack([*turned, *(step - (x - 3 * h * g)), fall])

    return vanishing(exactly(gaps, f, x, h), f"{name}: x₃ = x(3h), on a line")


def _no_correction(name: str) -> Evidence:
    f, x = _losses()[name]

    def corrections(f, x):
        fields = modified_terms(Euler(), GradientFlow(f), 3)
        return jnp.stack([*fields[1](0.0, x), *fields[2](0.0, x)])

    return vanishing(exactly(corrections, f, x), f"{name}: f₂ = f₃ = 0")


def _corridor_control(name: str) -> None:
    @corridor.control(name)
    def _(ctx: Context) -> Evidence:
        return _coasts(name)


for _name in (
    "softplus",
    "sqrt(1 + x²)",
    "anisotropic quadratic",
    "isotropic quadratic",
):
    _corridor_control(_name)


def _descent(ctx: Context, objective, delta: float) -> Evidence:
    """Seven steps of optax.sgd from (3, 4) against x₀ - kη x₀/|x₀|."""
    x0 = np.array([3.0, 4.0])

    def run(start, eta=0.7):
        return compare(
            objective, SGD(learning_rate=eta), start, steps=7, flow=False
        ).positions

    found, k = run(x0), np.arange(8)[:, None]
    line = x0 - 0.7 * k * x0 / 5
    rng = ctx.rng("ulp")
    nudged = (np.nextafter(x0, x0 + rng.choice([-1.0, 1.0], 2)) for _ in range(8))
    changes = [decide.relative_distance(run(x), found).max() for x in nudged]
    moved = run(x0, 0.7 * (1 + delta))
    return decide.exact(
        decide.relative_distance(found, line),
        rounding=decide.rounding_allowance(changes),
        moved=float(decide.relative_distance(found, moved).max()),
        delta=delta,
        note="|x| in the plane, η = 0.7",
    )


@corridor.route("optax on |x|, seven steps of 0.7", grade="measured")
def _(ctx: Context) -> Evidence:
    return _descent(ctx, from_sympy(sympy.sqrt(X**2 + Y**2), [X, Y]), ctx.delta)


@corridor.control("sqrt(1 + |x|²), seven steps of 0.7")
def _(ctx: Context) -> Evidence:
    loss = from_sympy(sympy.sqrt(1 + X**2 + Y**2), [X, Y])
    return _descent(ctx, loss, ctx.delta)


@claim(
    "gradient_flow.corridor-trap",
    title="An isotropic quadratic is straight and no corridor",
    source=CORRIDORS,
    statement=r"f=\tfrac\lambda2|x|^2:\quad Hg - \frac{g\cdot Hg}{|g|^2}g = 0,\quad"
    r" \frac{|Hg|}{|g|} = \lambda,\quad f_2 = -\tfrac12\lambda^2x",
    hypotheses=(r"$x \ne 0$",),
    grade="proved",
)
def trap(ctx: Context) -> Evidence:
    """The squares of the corridor meter's two rates, and f₂; λ and x symbols."""
    return _trap((1, 1))


def _trap(spectrum) -> Evidence:
    lam = sympy.Symbol("lambda", positive=True)
    x = symbol_vector("x", 2, positive=True)
    matrix = lam * np.array(spectrum, dtype=object)

    def rates(matrix, x):
        f = dataclasses.replace(quadratic([1.0, 1.0]), matrix=matrix)
        meter = corridor_meter(f, x)
        second = modified_terms(Euler(), GradientFlow(f), 2)[1](0.0, x)
        return jnp.stack([meter.rate**2, meter.turning**2, *second])

    claimed = np.array([lam**2, 0, *(-(lam**2) * x / 2)], dtype=object)
    return identical(exactly(rates, matrix, x), claimed, "rate λ, turning 0")


@trap.control("eigenvalues λ and λ (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _trap((1, MORE))


@claim(
    "gradient_flow.corridor-decrease",
    title="One step misses the linear decrease by h²/2 g·Hg",
    source=CORRIDORS,
    statement=r"f(x - hg) = f(x) - h|g|^2 + \tfrac{h^2}{2} g^\top H g + O(h^3)",
    hypotheses=(r"$f$ three times differentiable",),
    grade="proved",
)
def decrease(ctx: Context) -> Evidence:
    """The traced defect of a generic jet, to second order in h."""
    return _decrease(sympy.Rational(1, 2))


def _decrease(half) -> Evidence:
    f, h = jet(3), sympy.Symbol("h", positive=True)
    zero = jnp.zeros(2)
    defect = sympy.expand(exactly(lambda f, h: decrease_defect(f, zero, h), f, h))
    power = exactly(
        lambda f: jnp.sum(f.gradient(zero) * f.hvp(zero, f.gradient(zero))), f
    )
    found = np.array([defect.coeff(h, k) for k in range(3)], dtype=object)
    claimed = np.array([0, 0, half * power], dtype=object)
    return identical(found, claimed, "defect = h²/2 gHg")


@decrease.control("coefficient (1 + 1/1000)/2")
def _(ctx: Context) -> Evidence:
    return _decrease(MORE / 2)
