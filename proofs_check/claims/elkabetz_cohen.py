"""The approximation theorem: certified step sizes, and what they rest on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import Certificate, certify_linear_net
from discretize.certificate.balls import (
    above,
    ball,
    below,
    eigenvalue_bounds,
    matrix,
    operator_norm,
    rational_matrix,
    working,
)
from discretize.certificate.enclosure import hessian
from discretize.certificate.theorem import Tube, step_size
from flows import Objective, from_loss, from_sympy
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

ELKABETZ = Source(
    title="Continuous vs. Discrete Optimization of Deep Neural Networks",
    authors="Omer Elkabetz and Nadav Cohen",
    year=2021,
    arxiv="2107.06608",
    location="the theorem that bounds descent's distance from gradient flow",
)
DERIVED = dataclasses.replace(ELKABETZ, location="derived here, for that theorem")

Net = tuple[list[list[str]], tuple[list[list[str]], list[list[str]]]]
SMALL: Net = (
    [["1", "0"], ["0", "1/2"]],
    (
        [["3/10", "1/10"], ["-1/5", "2/5"]],
        [["1/4", "0"], ["1/10", "1/2"]],
    ),
)
"""A 2-2-2 network: Φ, then (W₁, W₂) at the start."""
LARGE: Net = (
    [["1", "0", "0"], ["0", "3/5", "0"], ["0", "0", "3/10"]],
    (
        [["3/5", "-4/5", "1/8"], ["-1/6", "-1/7", "-1/16"], ["-3/5", "-1/15", "-1/4"]],
        [["1/3", "-1/5", "-1/3"], ["2/7", "1/11", "-1/3"], ["1/4", "-1/9", "1/5"]],
    ),
)
"""A 3-3-3 network."""


@functools.cache
def certificate(full: bool) -> Certificate:
    """The certified step size: the 3-3-3 network up to T = 6, or 2-2-2 up to T = 2."""
    target, factors = LARGE if full else SMALL
    if full:
        return certify_linear_net(target, factors, t1=6, pieces=60, cells=8)
    return certify_linear_net(target, factors, t1=2, pieces=10, cells=8)


def linear_net_loss(params: Any, phi: Any) -> Any:
    """½ |W₂ W₁ - Φ|² (Frobenius)."""
    w1, w2 = params
    return 0.5 * jnp.sum((w2 @ w1 - phi) ** 2)


@functools.cache
def large_net() -> tuple[Objective, Any]:
    """The 3-3-3 network as a loss in floating point, with its start."""
    target, factors = LARGE
    floats = [np.array(rational_matrix(m), float) for m in (target, *factors)]
    start = (jnp.asarray(floats[1]), jnp.asarray(floats[2]))
    return from_loss(functools.partial(linear_net_loss, phi=floats[0]), start), start


# The theorem.


def _within(ctx: Context, learning_rate: Any = None) -> Evidence:
    """The largest distance of descent from the flow, against ε."""
    found = certificate(ctx.full)
    run = found.descend(learning_rate)
    eps, slack = found.approximation.eps, found.approximation.eps / run.upper.max()
    words = f"the bound is {slack:.3g} times larger than the distance"
    refused = "the certificate refuses this step"
    return decide.upper_bound(
        eps,
        decide.enclosure(run.lower.max(), run.upper.max()),
        delta=ctx.delta,
        note=f"η = {run.learning_rate}: {words if run.eps else refused}",
        data={
            "kind": "curves",
            "x": np.arange(len(run.upper)) * float(run.learning_rate),
            "series": {"distance": run.upper, "ε": np.full(len(run.upper), eps)},
            "xlabel": "time",
        },
    )


def _saddle(ctx: Context, m: float, eps: float, rate: Fraction) -> Evidence:
    """F = -x²/2 + 3y²/2: the flow rests at 0, descent starts at (1/1000, 0), T = 3.

    It is at (1 + η)^k/1000, exactly.
    """
    rest = np.zeros(1)
    times, low, norm = np.array([0.0, 3.0]), np.full(1, m), np.full(1, 3.0)
    tube = Tube(times, low, norm, rest, rest, rest, 0.0)
    allowed = step_size(tube, eps, 1e-3).learning_rate
    value = float((1 + rate) ** int(3 / rate) / 1000)
    found = decide.enclosure(np.nextafter(value, 0), np.nextafter(value, 1))
    if rate >= allowed:
        found = dataclasses.replace(found, obstacle="the theorem refuses this step")
    note = f"saddle, m = {m:g}: η = {float(rate):g} < {allowed:.3g}"
    return decide.upper_bound(eps, found, delta=ctx.delta, note=note)


@claim(
    "gradient_flow.approximation-theorem",
    title="Gradient descent stays within ε of gradient flow at the certified step",
    source=ELKABETZ,
    statement=r"\eta < \inf_{t \le T} \frac{\varepsilon - e^{-\int_0^t m}"
    r"|x_0 - x(0)|}{\beta_t \gamma_t \int_0^t e^{-\int_{t'}^t m} dt'} \;\Rightarrow\;"
    r" |x_k - x(k\eta)| \le \varepsilon\ \ (k\eta \le T)",
    hypotheses=(
        r"$f$ twice continuously differentiable; the flow exists on $[0, T]$",
        r"$\beta_t$, $\gamma_t$: suprema of $\|\nabla^2 f\|$ and $|\nabla f|$ within"
        r" $\varepsilon$ of $x([0, t])$",
        r"$m(t) \le \lambda_{\min}(\nabla^2 f(q))$ for $|q - x(t)| \le \varepsilon$",
    ),
    grade="certified",
    unit="distance",
)
def theorem(ctx: Context) -> Iterator[Evidence]:
    """Linear networks, flow and descent in ball arithmetic; a saddle, exactly."""
    yield _within(ctx)
    yield _saddle(ctx, -1.0, 0.05, Fraction(3, 1000))


@theorem.control("a step of 1.3 times the stability limit")
def _(ctx: Context) -> Evidence:
    largest = float(np.max(certificate(ctx.full).approximation.tube.norm))
    return _within(ctx, Fraction(1.3 * 2 / largest).limit_denominator(1000))


@theorem.control(
    "m replaced by 0 at a saddle", expected=float(Fraction(101, 100) ** 300 / 1000)
)
def _(ctx: Context) -> Evidence:
    return _saddle(ctx, 0.0, 2e-3, Fraction(1, 100))


# The change of curvature.


def _norm_gaps(three) -> list[Any]:
    """Zero each: (3sρ + 3ρ²/2)(u² + v²) less its certificate, and three squares.

    The certificate is a sum of products of factors >= 0; that s d >= X, ρ d >= Y and
    s ρ >= Z is what the squares say.
    """
    w1, w2, a, b, u, v = sympy.symbols("w1 w2 a b u v", positive=True)
    s, rho, d = (sympy.sqrt(p**2 + q**2) for p, q in ((w1, w2), (a, b), (u, v)))
    x, y, z = w2 * u + w1 * v, b * u + a * v, b * w1 + a * w2
    bounded = 2 * x * y + y**2 + 2 * (z + a * b) * u * v
    certificate = (
        2 * (s * d - x) * rho * d + 2 * x * (rho * d - y),
        (rho * d - y) * (rho * d + y),
        (s * rho - z) * d**2 + z * (u - v) ** 2,
        (a - b) ** 2 * d**2 / 2 + a * b * (u - v) ** 2,
    )
    half = sympy.Rational(1, 2)
    bound = (three * s * rho + 3 * half * rho**2) * d**2
    gaps = [
        bound - bounded - sum(certificate),
        (s * d) ** 2 - x**2 - (w2 * v - w1 * u) ** 2,
        (rho * d) ** 2 - y**2 - (b * v - a * u) ** 2,
        (s * rho) ** 2 - z**2 - (b * w2 - a * w1) ** 2,
    ]
    return [sympy.expand(gap) for gap in gaps]


def _attained_gap(three) -> Any:
    """Zero: the change of a scalar network's curvature, less 3sρ + 3ρ²/2."""
    a, rho = sympy.symbols("a rho", positive=True)
    x = symbol_vector("x", 2)
    names = sympy.symbols("y1 y2", real=True)
    net = from_sympy((names[0] * names[1] - sympy.Rational(1, 2)) ** 2 / 2, names)
    f = exactly(lambda net, x: net.value(x), net, x)
    d = sympy.Matrix([1, 1]) / sympy.sqrt(2)
    there, here = (
        sympy.hessian(f, x).subs({y: a + on * rho / sympy.sqrt(2) for y in x})
        for on in (1, 0)
    )
    change = (d.T * (there - here) * d)[0, 0]
    return change - three * sympy.sqrt(2) * a * rho - sympy.Rational(3, 2) * rho**2


def _lipschitz(bounded, attained) -> Evidence:
    """The bound with one constant by its certificate, and attained with another."""
    left = [*_norm_gaps(bounded), _attained_gap(attained)]
    return identical(
        left, [sympy.Integer(0)] * len(left), "3 s ρ + 3ρ²/2: certificate, and attained"
    )


@claim(
    "gradient_flow.curvature-lipschitz",
    title="How fast the Hessian of a two-layer linear network can turn",
    source=DERIVED,
    statement=r"|q - x| \le \rho \;\Rightarrow\; \|\nabla^2 f(q) - \nabla^2 f(x)\|"
    r" \le 3 s \rho + \tfrac32 \rho^2,\quad s^2 = \|W_1\|^2 + \|W_2\|^2",
    hypotheses=(r"$f = \frac12 |W_2 W_1 - \Phi|^2$ (Frobenius)",),
    grade="proved",
    delta=0.01,
)
def lipschitz(ctx: Context) -> Evidence:
    """By |XY| <= |X||Y| it is an inequality of norms, with a certificate.

    With norms u, v of a direction, a, b of the displacement and w1, w2 of the weights:
    2(w2 u + w1 v)(b u + a v) + (b u + a v)² + 2(b w1 + a w2 + a b) u v is at most
    (3sρ + 3ρ²/2)(u² + v²). Scalar weights w1 = w2 displaced along (1, 1) attain it.
    """
    return _lipschitz(3, 3)


@lipschitz.control("coefficient 3 (1 - 1/1000): the attained case is above it")
def _(ctx: Context) -> Evidence:
    return _lipschitz(3, sympy.Rational(2997, 1000))


@lipschitz.control("coefficient 3 (1 - 1/1000) in the certificate")
def _(ctx: Context) -> Evidence:
    return _lipschitz(sympy.Rational(2997, 1000), 3)


@lipschitz.route("random networks", grade="certified")
def _(ctx: Context) -> Evidence:
    """Random rational 2-3-2 networks, and the attained case, in ball arithmetic."""
    rng = ctx.rng("networks")
    low, high = 0.0, 0.0
    with working():
        for trial in range(20):
            shapes = ((1, 1), (1, 1)) if trial == 0 else ((3, 2), (2, 3))
            here, move = (
                [
                    np.ones(s) if trial == 0 else rng.integers(-64, 65, s) / 64.0
                    for s in shapes
                ]
                for _ in range(2)
            )
            x, d = [matrix(w) for w in here], [matrix(w) for w in move]
            phi = matrix(np.full((shapes[1][0], shapes[0][1]), 0.5))
            q = (x[0] + d[0], x[1] + d[1])
            turn = hessian(q, phi) - hessian((x[0], x[1]), phi)
            ends = eigenvalue_bounds(turn)
            rho = ball(float(sum(np.sum(w**2) for w in move))).sqrt()
            s = (operator_norm(x[0]) ** 2 + operator_norm(x[1]) ** 2).sqrt()
            bound = 3 * s * rho + 3 * rho**2 / 2
            ratio = ball(max(abs(ends[0]), abs(ends[1]))) / bound
            high = max(high, above(ratio))
            low = max(low, below(_attained(turn) / bound))
    found = decide.enclosure(low, high)
    return decide.upper_bound(1.0, found, delta=ctx.delta, quantity="change / bound")


def _attained(symmetric: Any) -> Any:
    """A Rayleigh quotient: a spectral norm is no smaller than its absolute value."""
    n = symmetric.nrows()
    entries = [float(v.mid()) for v in symmetric.entries()]
    values, vectors = np.linalg.eigh(np.array(entries).reshape(n, n))
    v = matrix(vectors[:, [int(np.argmax(np.abs(values)))]])
    return abs((v.transpose() * symmetric * v)[0, 0]) / (v.transpose() * v)[0, 0]


# The radius of the tube.


def _radius(ctx: Context, tube: Tube, factor: float) -> Evidence:
    """η at the best ε, over η at ε times `factor`, in ball arithmetic."""
    found = certificate(ctx.full).approximation
    exact = dataclasses.replace(found, tube=tube)
    best, other = exact.at(found.eps).step, exact.at(factor * found.eps).step
    ratio = float(best.learning_rate) / float(other.learning_rate)
    return decide.lower_bound(
        1.0,
        decide.enclosure(ratio * (1 - 1e-12), ratio * (1 + 1e-12)),
        delta=ctx.delta,
        quantity=f"ε = {found.eps:.3g} against {factor:g} ε",
    )


@claim(
    "gradient_flow.optimal-tube",
    title="One radius of the tube allows the largest step",
    source=DERIVED,
    statement=r"\eta(\varepsilon^*) > \eta(\tfrac25 \varepsilon^*),\quad"
    r" \eta(\varepsilon^*) > \eta(\tfrac52 \varepsilon^*)",
    hypotheses=(r"$f = \frac12 |W_2 W_1 - \Phi|^2$",),
    grade="certified",
    unit="ratio of learning rates",
)
def radius(ctx: Context) -> Iterator[Evidence]:
    """A wide tube weakens m, a narrow one leaves no room: both give smaller steps."""
    tube = certificate(ctx.full).approximation.tube
    yield _radius(ctx, tube, 2.5)
    yield _radius(ctx, tube, 0.4)


@radius.control("curvature that does not change within the tube")
def _(ctx: Context) -> Evidence:
    tube = certificate(ctx.full).approximation.tube
    still = tube._replace(linear=np.zeros(tube.linear.shape), quadratic=0.0)
    return _radius(ctx, still, 2.5)
