"""Negative curvature from gradients: the power method, its success, its limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy
from jaxtyping import Array, Float

from discretize import negative_curvature, search_budget
from flows import Facts, Objective, RayleighFlow, curvature_product
from flows.problems import quadratic
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.decide.critical import binomial
from proofs_check.evidence import Evidence, Grade
from proofs_check.identities import identical
from proofs_check.papers import negative_curvature as zhang_li


class CubicSaddle(Objective):
    """f = Σ (λ_i x_i²/2 + ρ x_i³/6): ∇²f has the Lipschitz constant ρ.

    Attributes:
        spectrum: λ, shape [n].
        lipschitz: ρ.
    """

    facts: Facts = eqx.field(init=False, default=Facts())
    spectrum: Float[Array, " n"]
    lipschitz: Any

    @property
    def size(self) -> int:
        """The number n of coordinates."""
        return self.spectrum.shape[0]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x)."""
        del batch
        return jnp.sum(self.spectrum * x**2 / 2 + self.lipschitz * x**3 / 6)


# One product is a difference of gradients, scaled.

X, Y = symbol_vector("x", 2), symbol_vector("y", 2)
RADIUS, RHO, SCALE = sympy.symbols("r rho c", positive=True)
SPECTRUM = symbol_vector("l", 2)


def _product(spectrum, lipschitz, x, y, radius):
    return curvature_product(CubicSaddle(spectrum, lipschitz), x, y, radius)


def _unscaled(spectrum, lipschitz, x, y, radius):
    f = CubicSaddle(spectrum, lipschitz)
    return (f.gradient(x + radius * y) - f.gradient(x)) / radius


@claim(
    "negative_curvature.power-method",
    title="A scaled difference of gradients is homogeneous, on a quadratic it is Hy",
    source=zhang_li("the iteration of the search; the identities are derived here"),
    statement=r"H_r(y) = \tfrac{|y|}{r}\bigl[\nabla f(x + r\tfrac{y}{|y|})"
    r" - \nabla f(x)\bigr]:\ H_r(cy) = cH_r(y),\ c > 0;\quad"
    r" \nabla^2 f = H:\ y - \tfrac1\ell H_r(y) = (I - H/\ell)\,y",
    hypotheses=(
        "two coordinates, all numbers symbols",
        "homogeneity: a cubic; the second part: a quadratic",
    ),
    grade="proved",
    delta=0.01,
)
def power_method(ctx: Context) -> Iterator[Evidence]:
    """The traced product, once on a cubic and once on a quadratic."""
    yield _homogeneous(_product)
    yield _linear(sympy.Integer(0))


def _homogeneous(product) -> Evidence:
    arguments = (SPECTRUM, RHO, X)
    once = exactly(product, *arguments, Y, RADIUS)
    scaled = exactly(product, *arguments, SCALE * Y, RADIUS)
    return identical(list(scaled), list(SCALE * once), "H_r(c y) - c H_r(y)")


def _linear(lipschitz) -> Evidence:
    found = exactly(_product, SPECTRUM, lipschitz, X, Y, RADIUS)
    expected = (SPECTRUM + lipschitz * X) * Y  # ∇²f(x) y
    return identical(list(found), list(expected), "H_r(y) - H y")


@power_method.control("the difference without |y|: not homogeneous")
def _(ctx: Context) -> Evidence:
    return _homogeneous(_unscaled)


@power_method.control("a cubic in place of a quadratic")
def _(ctx: Context) -> Evidence:
    return _linear(RHO)


@power_method.route("fifty steps in thirty dimensions", grade="measured")
def _(ctx: Context) -> Evidence:
    """The search against a matrix power, on a full matrix."""
    rng = ctx.rng()
    a = rng.standard_normal((30, 30))
    h = (a + a.T) / 2
    smooth, start = float(np.abs(np.linalg.eigvalsh(h)).max()), rng.standard_normal(30)
    f = dataclasses.replace(quadratic([1.0]), matrix=jnp.asarray(h))

    def run(start, smooth) -> np.ndarray:
        found = negative_curvature(
            f,
            jnp.zeros(30),
            jnp.asarray(start),
            smoothness=smooth,
            radius=0.5,
            steps=50,
        )
        return np.asarray(found.direction)

    power = np.linalg.matrix_power(np.eye(30) - h / smooth, 50) @ start
    power /= np.linalg.norm(power)
    ulps = [np.nextafter(start, s * np.inf) for s in (1, -1)]
    changes = [np.abs(run(s, smooth) - run(start, smooth)).max() for s in ulps]
    return decide.exact(
        np.abs(run(start, smooth) - power),
        rounding=decide.rounding_allowance([*changes, 50 * np.finfo(float).eps]),
        moved=float(np.abs(run(start, smooth * (1 + ctx.delta)) - power).max()),
        delta=ctx.delta,
    )


# How often the search succeeds.


@eqx.filter_jit
def _searches(f, starts, steps, radius, target):
    def one(start):
        found = negative_curvature(
            f,
            jnp.zeros(f.size),
            start,
            smoothness=1.0,
            radius=radius,
            steps=steps,
            target=target,
        )
        return jnp.sum(found.direction**2 * f.spectrum)  # the true curvature

    return jax.vmap(one)(starts)


def _spectrum(n: int, lowest: float) -> Any:
    return jnp.concatenate([jnp.array([lowest]), jnp.linspace(0.0, 1.0, n - 1)])


def _failures(ctx: Context, lowest: float, factor: float, target: float | None) -> Any:
    """Share of searches that found no curvature below -γ/4, and Clopper-Pearson's end.

    γ = √(ρε) = 0.1 with ρ = 1, ε = 0.01; ℓ = 1; radius γ/100ρ.
    """
    gamma, n, trials = 0.1, ctx.choose(30, 300), 200
    steps = math.ceil(factor * search_budget(1.0, gamma, n, failure=FAILURE))
    starts = jnp.asarray(ctx.rng().standard_normal((trials, n)))
    f = CubicSaddle(_spectrum(n, lowest), 1.0)
    found = np.asarray(_searches(f, starts, steps, gamma / 100, target))
    failed = int(np.sum(found > -gamma / 4))
    low, high = binomial(failed, trials, ctx.alpha)
    share = failed / trials
    bias = max(high - share, share - low)
    return Measurement(share, bias=bias, samples=trials, grade=Grade.ESTIMATED)


FAILURE = 0.2


@claim(
    "negative_curvature.success",
    title="Within its budget the search finds a quarter of the negative curvature",
    source=zhang_li("success of the search; this count of steps is derived here"),
    statement=r"\Pr\bigl[e^\top H e > -\tfrac{\gamma}{4}\bigr] \le \delta"
    r" \text{ after } T = \frac{\log\frac{4(1 + \gamma/2\ell)}{(\gamma/\ell)c^2}}{2\log"
    r"\frac{1+\gamma/\ell}{1+\gamma/2\ell}},\ c^2 = \frac{\pi\delta^2}{2n},\quad"
    r" \lambda_{\min} = -\gamma = -\sqrt{\rho\epsilon}",
    hypotheses=(
        r"start uniform on the sphere; $\nabla^2 f \preceq \ell I$",
        r"$\lambda_{\min} = -\gamma$, the others fill $[0, \ell]$; cubic terms $\rho$",
        r"$r = \gamma/(100\rho)$",
    ),
    grade="estimated",
    delta=0.05,
    unit="probability of failure",
)
def success(ctx: Context) -> Evidence:
    """200 searches: by Clopper and Pearson none failing means less than 0.102."""
    found = _failures(ctx, -0.1, 1.0, None)
    return decide.upper_bound(FAILURE, found, delta=ctx.delta, quantity="failures")


@success.route("with momentum, in half the steps", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Accelerated: θ = √(γ/ℓ)/4 and step 1/4ℓ."""
    found = _failures(ctx, -0.1, 0.5, 0.1)
    return decide.upper_bound(FAILURE, found, delta=ctx.delta, quantity="with momentum")


@success.control("no negative curvature: λ_min = 0", expected=1.0)
def _(ctx: Context) -> Evidence:
    found = _failures(ctx, 0.0, 1.0, None)
    return decide.upper_bound(FAILURE, found, delta=ctx.delta)


@success.control("a twentieth of the steps")
def _(ctx: Context) -> Evidence:
    found = _failures(ctx, -0.1, 0.05, None)
    return decide.upper_bound(FAILURE, found, delta=ctx.delta)


# The limit of small steps.


def _against_flow(steps: np.ndarray, factor: float = 1.0) -> tuple[np.ndarray, float]:
    """sup|u_power - u_flow| at common times up to 4, and the constant of its h term."""
    spectrum = np.array([-1.0, 0.3, 1.0])
    f, x = quadratic(spectrum), jnp.zeros(3)
    start = np.array([0.2, -0.5, 0.8])
    start /= np.linalg.norm(start)
    times = np.arange(1, 33) / 8
    flow = np.asarray(RayleighFlow(f, x).exact(factor * times, jnp.asarray(start)))
    errors = []
    for h in steps:
        found = negative_curvature(
            f,
            x,
            jnp.asarray(start),
            smoothness=1 / h,
            radius=1.0,
            steps=1024,  # of one length, for one compilation
            keep=True,
        )
        index = np.round(times / h).astype(int)
        errors.append(np.abs(np.asarray(found.directions)[index] - flow).max())
    bend = spectrum**2 * flow
    bend -= np.sum(flow * bend, axis=1, keepdims=True) * flow
    return np.array(errors), float(np.abs(times[:, None] / 2 * bend).max())


@claim(
    "negative_curvature.sphere-flow",
    title="With small steps the search follows the Rayleigh quotient flow, order 1",
    source=zhang_li("the search; the flow is Oja's, the constant is derived here"),
    statement=r"u_k - u(kh) = -\tfrac{h\,kh}{2}\,(I - uu^\top)H^2u + O(h^2),\quad"
    r" \dot u = -(Hu - (u^\top Hu)u),\ h = 1/\ell",
    hypotheses=(r"$f$ quadratic, $n = 3$, $t \le 4$",),
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def sphere_flow(ctx: Context) -> Iterator[Evidence]:
    """Largest distance over times up to 4, and its leading constant."""
    h = 0.125 * 0.5 ** np.arange(6)
    errors, constant = _against_flow(h)
    yield decide.order(1, h, errors, floor=1e-13, quantity="order")
    yield decide.leading_constant(
        constant, h, errors, 1, delta=0.05, floor=1e-13, quantity="constant"
    )


@sphere_flow.control("the flow at half its speed", expected=0.0)
def _(ctx: Context) -> Evidence:
    h = 0.125 * 0.5 ** np.arange(6)
    errors, _ = _against_flow(h, 0.5)
    return decide.order(1, h, errors, floor=1e-13)
