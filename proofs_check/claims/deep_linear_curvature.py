"""Curvature of deep linear networks: their Hessian and how negative it can be."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flows import Facts
from flows.problems import (
    DeepLinear,
    deep_linear,
    end_to_end,
    taylor_polynomial,
)
from flows.symbolic import equal_symbolically, exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.relations import UpperBound

ELKABETZ = Source(
    title="Continuous vs. Discrete Optimization of Deep Neural Networks",
    authors="Omer Elkabetz and Nadav Cohen",
    year=2021,
    arxiv="2107.06608",
    location="curvature of deep linear networks; with the operator norm, derived here",
)


def second_variation(objective: DeepLinear, x: Any, d: Any, factor: Any = 2) -> Any:
    """φ''[V, V] + 2 <∇φ, Σ_{i<j} W_N..D_j..D_i..W_1>, with V the variation of W.

    V = Σ_i W_N..D_i..W_1. `factor` stands for the 2 (a control's 2.002).
    """
    layers, moves = objective.params(x), objective.params(d)
    n = len(layers)

    def replaced(places):
        chosen = [moves[k] if k in places else layers[k] for k in range(n)]
        return jnp.reshape(end_to_end(chosen), (-1,))

    first: Any = sum(replaced({i}) for i in range(n))
    crossed: Any = sum(
        replaced(set(pair)) for pair in itertools.combinations(range(n), 2)
    )
    w = jnp.reshape(objective.product(x), (-1,))
    along = jnp.sum(first * objective.loss.hvp(w, first))
    return along + factor * jnp.sum(objective.loss.gradient(w) * crossed)


@claim(
    "gradient_flow.deep-linear-hessian",
    title="The Hessian of a deep linear network, in any direction",
    source=ELKABETZ,
    statement=r"\nabla^2 f[D, D] = \phi''[V, V] + 2\Bigl\langle\nabla\phi,"
    r" \sum_{i<j} W_N\cdots D_j\cdots D_i\cdots W_1\Bigr\rangle,\quad"
    r" V = \sum_i W_N\cdots D_i\cdots W_1",
    hypotheses=(r"$f = \phi(W_N\cdots W_1)$, $\phi$ twice differentiable",),
    grade="proved",
)
def hessian(ctx: Context) -> Iterator[Evidence]:
    """D·∇²f D traced for a generic quadratic φ; layers and D all symbols."""
    for widths in ctx.choose(((2, 2, 1), (1, 2, 1, 1)), ((2, 2, 2), (2, 2, 1, 2))):
        yield _hessian(widths, 2)


def _hessian(widths: tuple[int, ...], factor: Any) -> Evidence:
    # Derivatives of φ up to the second enter: a generic quadratic stands for all.
    phi = symbols_like(taylor_polynomial(widths[-1] * widths[0], 2))
    model = DeepLinear(Facts(), phi, widths)
    x, d = symbol_vector("x", model.size), symbol_vector("d", model.size)

    def traced(f, x, d):
        return jnp.sum(d * f.hvp(x, d))

    claimed = exactly(lambda f, x, d: second_variation(f, x, d, factor), model, x, d)
    found = equal_symbolically(exactly(traced, model, x, d), claimed)
    name = f"widths {widths}"
    return decide.identity(found, name=name, quantity=name)


@hessian.control("the mixed term with 2 (1 + 1/1000)")
def _(ctx: Context) -> Evidence:
    return _hessian((2, 2, 1), 2.002)


# How negative it can be.


@eqx.filter_jit
def negativity(objective: DeepLinear, x: Any, order: str) -> Any:
    """-e_min over the bound (N-1) |∇φ| max_{|J|=N-2} Π_{j in J} |W_j|_op.

    The norm of ∇φ is the Frobenius norm (`order` "fro") or the operator norm ("op").
    """
    layers = objective.params(x)
    n = len(layers)
    slope = objective.loss.gradient(jnp.reshape(objective.product(x), (-1,)))
    slope = jnp.reshape(slope, (objective.widths[-1], objective.widths[0]))
    norms = [jnp.linalg.norm(w, 2) for w in layers]
    largest = jnp.stack(
        [
            jnp.prod(jnp.stack([norms[j] for j in chosen] or [jnp.ones(())]))
            for chosen in itertools.combinations(range(n), n - 2)
        ]
    )
    size = jnp.linalg.norm(slope, 2 if order == "op" else "fro")
    hessian = objective.hessian(x)
    lowest = jnp.linalg.eigvalsh((hessian + hessian.T) / 2)[0]
    return -lowest / ((n - 1) * size * jnp.max(largest))


WIDTHS = {2: (3, 3, 3), 3: (3, 2, 3, 2), 4: (2, 3, 2, 2, 2)}


@claim(
    "gradient_flow.deep-linear-curvature",
    title="The curvature of a deep linear network is bounded below by its residual",
    source=ELKABETZ,
    statement=r"\lambda_{\min}(\nabla^2 f) \ge -(N-1)\,\|\nabla\phi(W)\|_{op}"
    r"\max_{|J|=N-2}\prod_{j\in J}\|W_j\|_{op},"
    r"\qquad \|\cdot\|_{op} \le \|\cdot\|_F",
    relation=UpperBound(1.0),
    hypotheses=(r"$f = \phi(W_N\cdots W_1)$, $\phi$ convex",),
    grade="measured",
    delta=1e-8,
    unit="-λ_min over its bound",
)
def curvature(ctx: Context) -> Iterator[Evidence]:
    """Random networks of 2, 3 and 4 layers, and layers near 0, where it is sharp."""
    for n, widths in WIDTHS.items():
        for order, name in (("fro", "Frobenius norm"), ("op", "operator norm")):
            found = max(_random(ctx, widths, order))
            note = f"widths {widths}, {ctx.choose(20, 200)} random networks"
            yield ctx.equal(_rounded(found), quantity=f"N = {n}, {name}", note=note)
    for n in WIDTHS:
        yield decide.equal(
            1.0, _near_zero(n), delta=1e-6, quantity=f"N = {n}, sharp near 0"
        )


def _rounded(value: float, bias: float = 0.0) -> decide.Measurement:
    """A ratio of one eigenvalue: rounding is that of a symmetric eigensolver."""
    return decide.Measurement(float(value), bias=bias + 1e-12)


def _random(ctx: Context, widths: tuple[int, ...], order: str) -> list[float]:
    rng = ctx.rng("networks")
    shape = (widths[-1], widths[0])
    template = deep_linear(np.ones(shape), widths[1:-1])
    found = []
    for _ in range(ctx.choose(20, 200)):
        target = jnp.asarray(rng.standard_normal(shape))
        loss = dataclasses.replace(template.loss, target=target)
        objective = dataclasses.replace(template, loss=loss)
        x = jnp.asarray(rng.uniform(0.05, 1.0) * rng.standard_normal(template.size))
        found.append(float(negativity(objective, x, order)))
    return found


def _near_zero(n: int) -> decide.Measurement:
    """One number a layer, all equal to r: 1 - O(r^N), extrapolated to r = 0."""
    objective = deep_linear(np.ones((1, 1)), (1,) * (n - 1))

    def ratio(r):
        return float(negativity(objective, jnp.full(n, r), "op"))

    # 1 - ratio is of order r^N: the three radii are a ladder.
    return decide.ladder([ratio(r) for r in (1e-2, 1e-4, 1e-5)], condition=1e3)


@curvature.control("half of the bound, layers near 0", expected=2.0)
def _(ctx: Context) -> Evidence:
    found = _near_zero(3)
    return ctx.equal(_rounded(2 * found.value, 2 * found.bias))


@curvature.control("without the factor N - 1, four layers near 0", expected=3.0)
def _(ctx: Context) -> Evidence:
    found = _near_zero(4)
    return ctx.equal(_rounded(3 * found.value, 3 * found.bias))


@curvature.control("φ concave", expected=None)
def _(ctx: Context) -> Evidence:
    concave = DeepLinear(
        Facts(), taylor_polynomial(1, 2, np.array([0.5, -2.0])), (1, 1, 1)
    )
    found = negativity(concave, jnp.array([0.7, 0.9]), "op")
    return ctx.equal(_rounded(float(found)))
