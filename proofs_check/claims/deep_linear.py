"""Deep linear networks: the flow of the product, and its singular values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import DeepLinearFlow, Facts, GradientFlow, solve
from flows.problems import (
    DeepLinear,
    balanced_factors,
    deep_linear,
    scalar_product,
    taylor_polynomial,
)
from flows.problems.scalar_product import product_flow
from flows.symbolic import (
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

ARORA = Source(
    title="On the Optimization of Deep Networks: Implicit Acceleration by "
    "Overparameterization",
    authors="Sanjeev Arora, Nadav Cohen and Elad Hazan",
    year=2018,
    arxiv="1802.06509",
    location="end-to-end dynamics of balanced linear networks",
)


def products_rate(objective: Any, x: Any) -> Any:
    """d/dt of the end-to-end matrix under the gradient flow of the layers."""
    velocity = GradientFlow(objective).vector_field(0.0, x)
    return jax.jvp(objective.product, (x,), (velocity,))[1]


# One number per layer.


@claim(
    "gradient_flow.scalar-product",
    title="A balanced product of N numbers moves by s' = N s^{2-2/N} (A - s)",
    source=ARORA,
    statement=r"f = \tfrac12 (w_1\cdots w_N - A)^2,\ w_1 = \dots = w_N = r > 0:"
    r"\quad \dot s = N s^{2-2/N}(A - s),\quad s = r^N",
    hypotheses=(r"balanced: $|w_1| = \dots = |w_N|$",),
    grade="proved",
)
def scalar(ctx: Context) -> Iterator[Evidence]:
    """L s traced for N = 2, 3, 4 at a balanced point, r and A symbols."""
    for n in (2, 3, 4):
        yield _scalar(n, 1)


def _scalar(n: int, stretch: Any) -> Evidence:
    """The rate of the product, the first layer `stretch` times the others."""
    r = sympy.Symbol("r", positive=True)
    model = symbols_like(dataclasses.replace(scalar_product(n), facts=Facts()))
    a = model.target
    w = np.array([stretch * r] + [r] * (n - 1), dtype=object)

    def rate(f, x):
        def product(t, x):
            s = x[0]
            for k in range(1, n):
                s = s * x[k]
            return s

        return GradientFlow(f).generator(product)(0.0, x)

    s = stretch * r**n
    claimed = n * s ** (2 - sympy.Rational(2, n)) * (a - s)
    return identical(exactly(rate, model, w), claimed, f"N = {n}", quantity=f"N = {n}")


@scalar.control("one layer twice as large as the others")
def _(ctx: Context) -> Evidence:
    return _scalar(3, 2)


# The end-to-end flow.


@claim(
    "gradient_flow.deep-linear-chain",
    title="The product of layers moves by a preconditioned gradient",
    source=ARORA,
    statement=r"\dot W = -\sum_{j=1}^N (W_N\cdots W_{j+1})(W_N\cdots W_{j+1})^\top\,"
    r"\nabla\phi(W)\,(W_{j-1}\cdots W_1)^\top (W_{j-1}\cdots W_1),"
    r"\quad = -\sum_j (WW^\top)^{\frac{j-1}{N}} \nabla\phi(W)"
    r" (W^\top W)^{\frac{N-j}{N}}\ \text{where balanced}",
    hypotheses=(
        r"$\phi$ differentiable (its gradient at the point a matrix of symbols)",
        r"$2\times 2$ layers, $N = 2, 3$",
    ),
    grade="proved",
)
def chain(ctx: Context) -> Iterator[Evidence]:
    """The layers' flow traced: any layers, and balanced ones; symbols throughout."""
    for n in ctx.choose((2,), (2, 3)):
        yield _layers(n, range(n))
        yield _chain(n, 1)


def _layers(n: int, terms: Sequence[int]) -> Evidence:
    """The sum over j in `terms` (from 0) for layers without any relation."""
    entries = symbol_vector("x", 4 * n)
    layers = [sympy.Matrix(2, 2, list(w)) for w in np.split(entries, n)]
    # Only ∇φ at the point enters: a linear φ stands for every loss.
    phi = symbols_like(taylor_polynomial(4, 1))
    found = exactly(products_rate, DeepLinear(Facts(), phi, (2,) * (n + 1)), entries)
    slope, claimed = sympy.Matrix(2, 2, list(phi.coefficients)), sympy.zeros(2, 2)
    for j in terms:
        after, before = sympy.eye(2), sympy.eye(2)
        for w in layers[j + 1 :]:
            after = w * after
        for w in layers[:j]:
            before = w * before
        claimed -= after * after.T * slope * before.T * before
    name = f"N = {n}, any layers"
    return identical(np.array(found), np.array(claimed), name, quantity=name)


def _rotation(name: str) -> Any:
    """Every rotation of the plane but one, with a rational parameter."""
    t = sympy.Symbol(name, real=True)
    return sympy.Matrix([[1 - t**2, -2 * t], [2 * t, 1 - t**2]]) / (1 + t**2)


def _chain(n: int, stretch: Any) -> Evidence:
    """W_j = U_j diag(p, q) U_{j-1}ᵀ, the first `stretch` times that."""
    p, q = sympy.symbols("p q", positive=True)
    bases = [_rotation(f"t{j}") for j in range(n + 1)]
    layers = [bases[j + 1] * sympy.diag(p, q) * bases[j].T for j in range(n)]
    layers[0] = stretch * layers[0]
    x = np.array([entry for w in layers for entry in w], dtype=object)
    # Only ∇φ at the point enters: a linear φ stands for every loss.
    phi = symbols_like(taylor_polynomial(4, 1))
    model = DeepLinear(Facts(), phi, (2,) * (n + 1))
    found = sympy.Matrix(exactly(products_rate, model, x))
    slope = sympy.Matrix(2, 2, list(phi.coefficients))
    seen = bases[n].T * slope * bases[0]
    # The matrix powers on the right in the singular bases, W = U_N S U_0ᵀ.
    s = [(stretch * a**n) ** sympy.Rational(1, n) for a in (p, q)]
    weights = sympy.Matrix(
        2,
        2,
        lambda i, k: sum(s[i] ** (2 * j) * s[k] ** (2 * (n - 1 - j)) for j in range(n)),
    )
    claimed = -bases[n] * weights.multiply_elementwise(seen) * bases[0].T
    name = f"N = {n}"
    return identical(np.array(found), np.array(claimed), name, quantity=name)


@chain.control("the first layer held fixed, any layers")
def _(ctx: Context) -> Evidence:
    return _layers(2, [1])


@chain.control("the first layer twice as large")
def _(ctx: Context) -> Evidence:
    return _chain(2, 2)


WIDTHS = {2: (4, 3, 2), 3: (3, 4, 3, 2)}


def _run(flow: Any, start: Any, t1: float, tolerance: float) -> Any:
    run = solve(
        flow,
        start,
        0.0,
        t1,
        stepsize_controller=diffrax.PIDController(
            rtol=tolerance, atol=1e-2 * tolerance
        ),
        saveat=diffrax.SaveAt(t1=True),
    )
    return run.positions[-1]


@claim(
    "gradient_flow.deep-linear-end-to-end",
    title="The end-to-end flow is that of the layers, from a balanced start",
    source=ARORA,
    statement=r"W_N(t)\cdots W_1(t) = W(t),\quad \dot W = -\sum_{j=1}^{N}"
    r"(WW^\top)^{\frac{j-1}{N}}\,\nabla\phi(W)\,(W^\top W)^{\frac{N-j}{N}}",
    hypotheses=(
        r"balanced start: $W_{j+1}^\top W_{j+1} = W_j W_j^\top$",
        r"no hidden layer narrower than the rank of $W$",
    ),
    grade="measured",
    delta=1e-7,
    quick_delta=1e-5,
    unit="1 + the difference of an entry over the largest entry",
)
def end_to_end_flow(ctx: Context) -> Iterator[Evidence]:
    """Two and three layers of unequal widths, both flows integrated to t = 2."""
    for n in ctx.choose((3,), (2, 3)):
        yield _end_to_end(ctx, n, 1.0)


def _end_to_end(ctx: Context, n: int, stretch: float) -> Evidence:
    """The first layer of the start `stretch` times larger, the last as much smaller."""
    widths = WIDTHS[n]
    rng = np.random.default_rng(n)
    shape = (widths[-1], widths[0])
    target, start = (scale * rng.standard_normal(shape) for scale in (1.0, 0.5))
    objective = deep_linear(target, widths[1:-1])
    layers = list(balanced_factors(start, widths[1:-1]))
    layers[0], layers[-1] = stretch * layers[0], layers[-1] / stretch

    begin = objective.ravel(tuple(layers))

    def ends(tolerance):
        x = _run(GradientFlow(objective), begin, 2.0, tolerance)
        flow = DeepLinearFlow(objective.loss, shape, n)
        w = np.asarray(_run(flow, jnp.asarray(start.ravel()), 2.0, tolerance))
        gap = np.asarray(objective.product(x)).ravel() - w
        return 1 + gap / np.max(np.abs(w))

    def measure():
        ladder = (1e-7, 1e-8, 1e-10) if ctx.full else (1e-6, 1e-7, 1e-8)
        return np.array([ends(tolerance) for tolerance in ladder])

    found = ctx.compiled((n, stretch, ctx.effort), measure)
    worst = int(np.argmax(np.abs(found[-1] - 1)))
    return decide.equal(
        1.0,
        decide.ladder(found[:, worst]),
        delta=ctx.delta,
        quantity=f"N = {n}",
        note=f"widths {widths}, t = 2",
    )


@end_to_end_flow.control("an unbalanced start with the same product")
def _(ctx: Context) -> Evidence:
    return _end_to_end(ctx, 3, 1.5)


# Singular values.


@claim(
    "gradient_flow.deep-linear-singular-values",
    title="Singular values of an aligned network follow the scalar law",
    source=ARORA,
    statement=r"\dot s_i = -N s_i^{2-2/N}\, u_i^\top \nabla\phi(W)\, v_i;\qquad"
    r" \phi = \tfrac12|W-\Phi|^2,\ W(0), \Phi\ \text{aligned}:\ "
    r"\dot s_i = N s_i^{2-2/N}(\sigma_i - s_i)",
    hypotheses=(
        r"balanced start",
        r"$W(0)$ and $\Phi$ share their singular vectors (second part)",
    ),
    grade="measured",
    delta=1e-7,
    quick_delta=1e-5,
    unit="ratio of each singular value to its closed form",
)
def singular_values(ctx: Context) -> Iterator[Evidence]:
    """Layers' flow at t = 1.5 against the closed form of the scalar product."""
    for n in ctx.choose((3,), (2, 3, 4)):
        yield from _singular_values(ctx, n)


def _singular_values(
    ctx: Context, n: int, tilt: float = 0.0, depth: int | None = None
) -> Iterator[Evidence]:
    """The target turned by `tilt` on the left; the law of `depth` layers."""
    rng = np.random.default_rng(5)
    u, _ = np.linalg.qr(rng.standard_normal((2, 2)))
    v, _ = np.linalg.qr(rng.standard_normal((3, 2)))
    cos, sin = np.cos(tilt), np.sin(tilt)
    turned = u @ np.array([[cos, -sin], [sin, cos]])
    sigma, s0 = np.array([1.5, 0.6]), np.array([0.3, 0.1])
    objective = deep_linear((turned * sigma[None, :]) @ v.T, (3,) * (n - 1))
    start = objective.ravel(
        balanced_factors((u * s0[None, :]) @ v.T, objective.widths[1:-1])
    )

    def values(tolerance):
        x = _run(GradientFlow(objective), start, 1.5, tolerance)
        return np.linalg.svd(np.asarray(objective.product(x)), compute_uv=False)

    def measure():
        ladder = (1e-8, 1e-9, 1e-10) if ctx.full else (1e-6, 1e-7, 1e-8)
        return np.array([values(tolerance) for tolerance in ladder])

    found = ctx.compiled((n, tilt, ctx.effort), measure)
    law = product_flow(depth or n)
    for i in range(2):
        exact = float(law(1.5, s0[i], sigma[i]))
        yield decide.equal(
            1.0,
            decide.ladder(found[:, i] / exact),
            delta=ctx.delta,
            quantity=f"N = {n}, singular value {i}",
        )


@singular_values.control("a target whose singular vectors are turned by 0.3")
def _(ctx: Context) -> Evidence:
    return next(_singular_values(ctx, 3, tilt=0.3))


@singular_values.control("the law of one layer more")
def _(ctx: Context) -> Evidence:
    return next(_singular_values(ctx, 3, depth=4))
