"""Several directions at the edge of stability: twice the positive part of the pull."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flows import CentralFlow
from flows.central import GradientDescent, complementarity, solve_sdcp
from flows.problems import edge_matrix
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import central_flows

COHEN = central_flows(
    "the differential complementarity problem; the example is derived here"
)
MODEL = (
    r"L = \tfrac12 x^\top\!\Bigl(\tfrac2\eta I + Z\Bigr)x - \langle M, Z\rangle"
    r" + \tfrac c2|Z|^2"
)
ROUNDING = 1e-9  # the problem's: the solver stops at 1e-13, eigenvectors add to it
ETA = 0.02
DEFINITE = ((0.3, 0.1), (0.1, 0.2))
INDEFINITE = ((0.3, 0.2), (0.2, -0.1))


def positive_part(m: Any) -> np.ndarray:
    """M₊."""
    e, q = np.linalg.eigh(np.asarray(m))
    return (q * np.maximum(e, 0)) @ q.T


def distance(found: Any, wanted: Any) -> float:
    """|found - wanted| over |wanted|, Frobenius norms."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


# -- the instantaneous problem --------------------------------------------------------


@jax.jit
def instantaneous(objective: Any, eta: Any) -> Any:
    """Σ of the central flow in x, at Z = 0 where all directions are critical."""
    flow = CentralFlow(objective, GradientDescent(eta))
    found = complementarity(flow, 0.0, flow.start(objective.at_edge(2 / eta)))
    k = objective.directions
    vectors = found.block.vectors[:k]
    return vectors @ found.covariance @ vectors.T


def _instances(ctx: Context) -> Iterator[np.ndarray]:
    """Random symmetric M of scales 1e-4 to 1e4, some definite."""
    rng = ctx.rng("pulls")
    many = ctx.choose(10, 200)
    for n in range(many):
        k = ctx.choose(3, 2 + n % 2)
        a = rng.standard_normal((k, k))
        m = a @ a.T if n % 5 == 4 else a + a.T
        if np.linalg.eigvalsh(m)[-1] < 0:
            m = -m
        yield 10 ** rng.uniform(-4, 4) * m


def _solved(ctx: Context, factor: float) -> Evidence:
    worst = 0.0
    for m in _instances(ctx):
        sigma = instantaneous(edge_matrix(m, 2 / ETA), jnp.asarray(ETA))
        gap = distance(sigma, 2 * factor * positive_part(m))
        worst = max(worst, gap)
    return decide.equal(
        0.0,
        decide.Measurement(worst, bias=ROUNDING),
        delta=ctx.delta,
        scale=1.0,
        quantity="largest |Σ - 2M₊|/|2M₊|",
    )


@claim(
    "central_flow.edge-matrix",
    title="Directions at the edge oscillate with twice the positive part of the pull",
    source=COHEN,
    statement=MODEL + r":\quad \Sigma = 2 M_+\ \text{at}\ Z = 0",
    hypotheses=(
        r"$x \in \mathbb R^k$, $Z$ a free symmetric matrix, $c = 0$",
        r"random $M$ of scales $10^{-4}$ to $10^4$, $k = 3$ (and 2)",
    ),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    unit="relative distance",
)
def edge(ctx: Context) -> Evidence:
    """The central flow's Σ at the edge, through Hessian, third derivatives, solver."""
    return _solved(ctx, 1.0)


@edge.control("2.002 M₊", expected=1 / 1001)
def _(ctx: Context) -> Evidence:
    return _solved(ctx, 1.001)


def _alone(ctx: Context, *, orthonormal: bool) -> Evidence:
    """The solver alone, Y = -M + X/2, in coordinates that are orthonormal or not."""
    worst = 0.0
    solve = ctx.compiled("solve", lambda: jax.jit(solve_sdcp))
    for m in _instances(ctx):
        k = len(m)
        i, j = np.triu_indices(k)
        weight = 1.0 if orthonormal else np.where(i == j, 1.0, 0.5)
        b = jnp.asarray(np.diag(np.full(len(i), 0.5) * weight))
        found = solve(-jnp.asarray(m), b).x
        worst = max(worst, distance(found, 2 * positive_part(m)))
    return decide.equal(
        0.0,
        decide.Measurement(worst, bias=ROUNDING),
        delta=ctx.delta,
        scale=1.0,
        quantity="largest |X - 2M₊|/|2M₊|",
    )


@edge.route("the solver alone", grade="measured")
def _(ctx: Context) -> Evidence:
    return _alone(ctx, orthonormal=True)


@edge.control("coordinates without √2")
def _(ctx: Context) -> Evidence:
    return _alone(ctx, orthonormal=False)


# -- the time average of gradient descent ---------------------------------------------


def _averages(objective: Any, eta: Any, steps: int) -> Any:
    """⟨x xᵀ⟩ and ⟨Z⟩ over `steps` steps, after as many; and Z's mean velocity."""
    k = 2
    y = objective.at_edge(2 / eta).at[:k].set(jnp.array([0.3, -0.2]))

    def step(carry, _):
        y, square, mean = carry
        mean = mean + objective.split(y)[1]
        square = square + y[:k, None] * y[None, :k]
        return (y - eta * objective.gradient(y), square, mean), None

    zero = jnp.zeros((k, k))
    (y, *_), _ = jax.lax.scan(step, (y, zero, zero), None, length=steps)
    (end, *sums), _ = jax.lax.scan(step, (y, zero, zero), None, length=steps)
    moved = objective.split(end)[1] - objective.split(y)[1]
    return *(total / steps for total in sums), moved / (eta * steps)


descend = jax.jit(_averages, static_argnums=2)


def _run(pull: Any, c: float, steps: int) -> list[np.ndarray]:
    objective = edge_matrix(pull, 2 / ETA, c)
    return [np.asarray(a) for a in descend(objective, jnp.asarray(ETA), steps)]


def _definite(ctx: Context, factor: float) -> Evidence:
    """The distance from 2M₊, where both directions oscillate.

    Summing the steps of Z gives ⟨xxᵀ⟩ = 2(M - c⟨Z⟩) - 2⟨ΔZ⟩/η exactly. The last two
    terms are what the limits of no damping and long time leave out: their size is the
    allowance, and it is small only where Z stays at the edge.
    """
    c, steps = ctx.choose((0.0125, 60_000), (0.003125, 2_000_000))
    square, mean, velocity = _run(DEFINITE, c, steps)
    wanted = 2 * factor * positive_part(DEFINITE)
    left_out = 2 * (c * np.linalg.norm(mean) + np.linalg.norm(velocity))
    allowance = float(left_out / np.linalg.norm(wanted)) + ROUNDING
    return decide.equal(
        0.0,
        decide.Measurement(distance(square, wanted), bias=allowance),
        delta=ctx.delta,
        scale=1.0,
        quantity="rank 2: |⟨xxᵀ⟩ - 2M₊|/|2M₊|",
    )


def _indefinite(ctx: Context, wanted: np.ndarray) -> Evidence:
    """An orbit of period 2 attracts: twice as many steps must change nothing."""
    first, gap = (
        distance(_run(INDEFINITE, 0.2, n)[0], wanted) for n in (30_000, 60_000)
    )
    return decide.equal(
        0.0,
        decide.Measurement(gap, bias=abs(gap - first) + ROUNDING),
        delta=ctx.delta,
        scale=1.0,
        quantity="rank 1: |⟨xxᵀ⟩ - 2M₊|/|2M₊|",
    )


@claim(
    "central_flow.edge-matrix-average",
    title="Gradient descent's time average of xxᵀ is twice the pull's positive part",
    source=COHEN,
    statement=MODEL + r":\quad \langle x x^\top\rangle \to 2 M_+",
    hypotheses=(
        r"$\eta = 0.02$; $M$ definite and $c$ small, or indefinite and $c = 0.2$",
        r"$M$ definite: an exact sum bounds what finite $c$ and time leave over; the"
        r" check is that this bound is small",
    ),
    grade="measured",
    delta=5e-3,
    quick_delta=5e-2,
    unit="relative distance",
)
def average(ctx: Context) -> Iterator[Evidence]:
    """Two directions oscillate where M is definite, one where it is not."""
    yield _definite(ctx, 1.0)
    yield _indefinite(ctx, 2 * positive_part(INDEFINITE))


@average.control(
    "all eigenvalues pinned: 2M",
    expected=float(
        np.linalg.norm(positive_part(-np.asarray(INDEFINITE)))
        / np.linalg.norm(INDEFINITE)
    ),
)
def _(ctx: Context) -> Evidence:
    return _indefinite(ctx, 2 * np.asarray(INDEFINITE))


@average.control("M₊ instead of 2M₊", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _definite(ctx, 0.5)
