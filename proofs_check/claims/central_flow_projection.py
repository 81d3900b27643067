"""Gradient descent's central flow as a projection; averages at the edge."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from jaxtyping import Array, Float

from flows import Objective
from flows.central import (
    Block,
    CentralFlow,
    CentralState,
    GradientDescent,
    RMSProp,
    average_loss,
    average_square,
    response,
    solve_sdcp,
    svec,
    velocity,
)
from flows.problems import quadratic
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.central_flow_algebra import CENTRAL, SOLVED, positive
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical


def descent(eta, gradient, third, k, n):
    """The response of gradient descent at the edge, k directions; `third` is [m, n].

    The directions are the first k axes; only g and D_ij = ∇³L[u_i, u_j, ·] matter, the
    latter in the coordinates of `svec` and with |u_i| = 1.
    """
    rule = GradientDescent(eta)
    v = jnp.eye(n)[:, :k] * jnp.sqrt(eta)  # so that VᵀPV = I
    block = Block(v, 2 / eta * v, jnp.full(k, 2.0), jnp.zeros(k))
    flow = CentralFlow(quadratic(np.ones(n)), rule)
    state = CentralState(jnp.zeros(n), None)
    return flow, response(flow, 0.0, state, gradient, block, eta * third)


# The projected form.


def _moved(eta, g, third, factor):
    """W' with one direction at the edge, σ² multiplied by `factor`."""
    flow, r = descent(eta, g, third[None, :], 1, 2)
    x = -factor * r.gap[0, 0] / r.operator[0, 0]
    return velocity(flow, r, jnp.reshape(x, (1,))).position


def _projected(factor) -> Evidence:
    (eta,) = positive("eta")
    g, third = symbol_vector("g", 2), symbol_vector("t", 2)
    moved = exactly(_moved, eta, g, third, factor)
    projection = -eta * (g - third * (g @ third) / (third @ third))
    return identical(
        np.array([g @ moved, *moved]),
        np.array([-(moved @ moved) / eta, *projection]),
        "dL/dt = -|w'|²/η, and w' = η Proj(-g)",
    )


@claim(
    "central_flow.projected-gd",
    title="Gradient descent's central flow is projected gradient flow",
    source=CENTRAL,
    statement=r"\dot w = \eta\operatorname{Proj}_T(-g),\quad"
    r" T = \{v : U^\top \nabla^3L[v]\,U \preceq 0\},\quad"
    r"\frac{dL}{dt} = -\frac1\eta\Bigl|\frac{dw}{dt}\Bigr|^2",
    hypotheses=(
        r"$L \in C^3$; $U$ spans the eigenspace of $2/\eta$",
        r"proved for one critical direction with $\sigma^2 > 0$; measured for 2 and 3",
    ),
    grade="proved",
    delta=1e-6,
)
def projected_gd(ctx: Context) -> Evidence:
    """The traced velocity against the projection onto {⟨∇S, v⟩ = 0}, all symbols."""
    return _projected(sympy.Integer(1))


@projected_gd.control("σ² multiplied by 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _projected(sympy.Rational(1001, 1000))


def _instances(ctx: Context, per_size: int):
    """(k, g, D, X, w') of random instances with k = 2 and 3 critical directions."""
    rng, n, eta = ctx.rng("instances"), 8, 0.05

    def solved(g, third, k):
        flow, r = descent(eta, g, third, k, n)
        x = solve_sdcp(r.gap, r.operator).x
        full = velocity(flow, r, svec(x)).position
        doubled = velocity(flow, r, 2 * svec(x)).position
        return x, full, doubled

    for k in ctx.choose((2,), (2, 3)):
        run = ctx.compiled(k, lambda k=k: jax.jit(lambda a, b: solved(a, b, k)))
        for _ in range(per_size):
            g, third = (
                rng.standard_normal(n),
                rng.standard_normal((k * (k + 1) // 2, n)),
            )
            x, full, doubled = run(g, third)
            yield k, eta, g, third, np.asarray(x), np.asarray(full), np.asarray(doubled)


def _dissipation(ctx: Context, *, doubled: bool) -> Evidence:
    """The ratio -η L'/|w'|² furthest from 1 over random instances."""
    ratios, ranks = [], []
    for _, eta, g, _, x, full, twice in _instances(ctx, ctx.choose(8, 100)):
        moved = twice if doubled else full
        ratios.append(-eta * (g @ moved) / (moved @ moved))
        ranks.append(np.linalg.matrix_rank(x, tol=1e-8))
    worst = max(ratios, key=lambda r: abs(r - 1))
    return decide.equal(
        1.0,
        decide.Measurement(worst, bias=SOLVED),
        delta=ctx.delta,
        note=f"rank of X: {sorted(set(map(int, ranks)))}",
    )


@projected_gd.route("energy with 2 and 3 directions", grade="measured")
def _(ctx: Context) -> Evidence:
    return _dissipation(ctx, doubled=False)


@projected_gd.control("energy with Σ doubled")
def _(ctx: Context) -> Evidence:
    return _dissipation(ctx, doubled=True)


def projection(g, third, k) -> tuple[np.ndarray, float]:
    """The v nearest to -g with smat(D v) ⪯ 0 by a cone solver, and how near it came.

    ½|v + g|² is strongly convex, so that a duality gap δ leaves an error <= √(2δ).
    """
    import scipy.sparse as sp

    clarabel: Any = importlib.import_module("clarabel")
    # The solver lists the triangle by columns, `svec` by rows.
    i, j = np.triu_indices(k)
    rows = sp.csc_matrix(third[np.lexsort((i, j))])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    cones = [clarabel.PSDTriangleConeT(k)]
    eye, zero = sp.eye(g.size, format="csc"), np.zeros(len(i))
    solver = clarabel.DefaultSolver(eye, g, rows, zero, cones, settings)
    found = solver.solve()
    gap = abs(found.obj_val - found.obj_val_dual)
    return np.asarray(found.x), float(np.sqrt(2 * gap))


@projected_gd.route(
    "projection by a cone solver", grade="measured", requires=("clarabel",)
)
def _(ctx: Context) -> Evidence:
    """Largest |w'/η - Proj(-g)|/|g|; the clipped directions are among the instances."""
    gaps, errors = [], []
    for k, eta, g, third, _, full, _ in _instances(ctx, 30):
        projected, error = projection(g, third, k)
        gaps.append(np.linalg.norm(full / eta - projected) / np.linalg.norm(g))
        errors.append(error / np.linalg.norm(g))
    return decide.equal(
        0.0,
        decide.Measurement(max(gaps), bias=max(errors)),
        delta=1e-3,
        scale=1.0,
        note="allowance: the cone solver's own duality gap",
    )


# Averages at the edge.


class Jet(Objective):
    """L(w) = g·w + ½ wᵀHw: any loss at one point, to second order."""

    facts: Any
    slope: Float[Array, " n"]
    matrix: Float[Array, "n n"]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.slope.shape[0]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """L(x)."""
        del batch
        return self.slope @ x + 0.5 * x @ (self.matrix @ x)


def _averages(p, g, u, v, c, x, off, wrong_images):
    """E g² - g², E L - L and diag Σ; H = 2P - c m mᵀ - off u uᵀ, where m ⟂ u, v."""
    m = jnp.cross(u, v)
    h = 2 * jnp.diag(p) - c * jnp.outer(m, m) - off * jnp.outer(u, u)
    basis, covariance = jnp.stack([u, v], axis=1), jnp.stack([x[:2], x[1:]])
    objective, at = Jet(None, g, h), jnp.zeros(3)
    images = basis if wrong_images else None
    square = average_square(objective, at, basis, covariance, images) - g**2
    loss = average_loss(objective, at, basis, covariance)
    return square, loss, jnp.diag(basis @ covariance @ basis.T)


def _edge_averages(off: Any = 0, wrong_images=False) -> Evidence:
    p = symbol_vector("p", 3, positive=True)
    (eta,) = positive("eta")
    square, loss, diagonal = exactly(
        functools.partial(_averages, wrong_images=wrong_images),
        p,
        symbol_vector("g", 3),
        symbol_vector("u", 3),
        symbol_vector("v", 3),
        sympy.Symbol("c", real=True),
        symbol_vector("x", 3),
        off,
    )
    nu = (eta * p) ** 2
    rms = exactly(lambda e, q: RMSProp(e, 0.9).preconditioner(0.0, q), eta, nu)
    return identical(
        np.array([*square, loss, *rms]),
        np.array([*(4 / eta**2 * nu * diagonal), p @ diagonal, *p]),
        "E g² - g² = (4/η²) ν diag Σ; E L - L = ⟨P, Σ⟩",
    )


@claim(
    "central_flow.edge-averages",
    title="At the edge the oscillation adds (4/η²) ν diag Σ to g² and ⟨P, Σ⟩ to L",
    source=CENTRAL,
    statement=r"\operatorname{diag}(H\Sigma H) = \frac4{\eta^2}\,\nu\odot"
    r"\operatorname{diag}\Sigma,\quad \tfrac12\langle H,\Sigma\rangle ="
    r" \langle P,\Sigma\rangle,\quad P = \tfrac1\eta\operatorname{diag}\sqrt\nu",
    hypotheses=(
        r"$HU = 2PU$, $\Sigma = UXU^\top$; here $n = 3$ and two directions",
        r"gradient descent is $\nu = 1$: $\operatorname{tr}(H\Sigma H) ="
        r" (4/\eta^2)\operatorname{tr}\Sigma$, $\langle P,\Sigma\rangle ="
        r" \operatorname{tr}\Sigma/\eta$",
    ),
    grade="proved",
)
def edge_averages(ctx: Context) -> Evidence:
    """The library's averages traced on the jet g·w + ½wᵀHw, all entries symbols."""
    return _edge_averages()


@edge_averages.control("H U replaced by U in the squares")
def _(ctx: Context) -> Evidence:
    return _edge_averages(wrong_images=True)


@edge_averages.control("a thousandth below the edge")
def _(ctx: Context) -> Evidence:
    return _edge_averages(off=sympy.Rational(1, 1000))
