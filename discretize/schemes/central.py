"""Stepping a central flow: explicit Euler with a complementarity problem a substep."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flows import BadInput, Scheme, Step
from flows.central import (
    Block,
    CentralFlow,
    CentralState,
    cold_block,
    hessian_at,
    refresh_block,
    response,
    solve_sdcp,
    svec,
    third_derivatives,
    velocity,
)
from flows.door import require_number, require_whole
from flows.types import is_traced

_WATCHED = 4  # margins from the edge within which a direction is always refreshed


class CentralAux(NamedTuple):
    """What a step of `CentralEuler` has to show.

    Attributes:
        eigenvalues: of P⁻¹H at the step's start, the largest first, shape [K]; near
            the edge Ritz values there, the others those of the predicted midpoint.
        covariance: X in the basis of those directions at the last substep, [K, K].
        trace: tr Σ = E|δ|², mean over the substeps (squared parameter units).
        loss_correction: E L - L = ½⟨H, Σ⟩, mean over the substeps (loss units).
        gradient_correction: E|g|² - |g|² = tr(H Σ H), mean over the substeps.
        critical: number of directions that carry the oscillation.
        residual: largest |P^{-1/2}(H v - P V VᵀH v)| of a direction near the edge: how
            far the basis is from an invariant space, at worst over the step.
        complementarity: largest relative residual of the complementarity problems.
    """

    eigenvalues: Float[Array, " k"]
    covariance: Float[Array, "k k"]
    trace: Float[Array, ""]
    loss_correction: Float[Array, ""]
    gradient_correction: Float[Array, ""]
    critical: Int[Array, ""]
    residual: Float[Array, ""]
    complementarity: Float[Array, ""]


class CentralCarry(NamedTuple):
    """What `CentralEuler` remembers.

    Attributes:
        block: leading eigenvectors in the middle of the last stretch.
        rate: velocity of the state in the last substep.
        odd: whose turn it is among the directions far from the edge.
    """

    block: Block
    rate: CentralState
    odd: Bool[Array, ""]


class CentralEuler(Scheme):
    r"""Explicit Euler for `CentralFlow`, first order in h/substeps.

    In each substep of size δ = h/substeps, with V a basis of the directions near the
    edge and A = c P - H,

        X ⪰ 0,   Y = VᵀAV + δ (d/dt VᵀAV)(X) ⪰ 0,   ⟨X, Y⟩ = 0

    is solved for X, and w and ν then move under Σ = V X Vᵀ: the gap at the substep's
    end is what has to be positive semidefinite, so that errors of one substep are taken
    back by the next. The number of directions near the edge is data: a change of it
    compiles nothing.

    V and ∇³L[v_i, v_j, ·], which turn slowly, are those of the midpoint that the last
    velocity predicts for a stretch of substeps (a whole step, unless `refreshes` says
    more). A substep takes one gradient and a Hessian-vector product for each direction
    near the edge; a stretch two products for each of these and for half of the others,
    in turns, and a third derivative for each pair near the edge. What V turns within
    half a stretch, an angle θ, costs θ² (c - λ) of pinning, λ being the eigenvalues
    that it mixes in.

    Memory: O(block² n), of which O(block n) is kept from step to step. Unit of h:
    optimiser steps. Differentiable in both modes: see `flows.central.perturbation`.

    Reference: Cohen et al., "Understanding Optimization in Deep Learning with Central
    Flows", ICLR 2025, arXiv 2410.24206 (whose public code steps in this way, with
    eigenvectors and third derivatives of each substep's start).

    Attributes:
        block: number K of directions that are followed.
        substeps: substeps a step.
        margin: directions with λ(P⁻¹H) > c (1 - margin) take part, also those that
            would reach that within the next stretch at their last speed.
        refreshes: how often a step the basis and the third derivatives are taken anew;
            divides `substeps`. For curvature that turns fast.
        project_start: True bears a start beyond the edge: the first substep then
            throws the state back onto it.
    """

    block: int = eqx.field(static=True, default=8)
    substeps: int = eqx.field(static=True, default=4)
    margin: float = eqx.field(static=True, default=0.025)
    refreshes: int = eqx.field(static=True, default=1)
    project_start: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        require_whole("block", self.block)
        require_whole("substeps", self.substeps)
        require_whole("refreshes", self.refreshes, 1, self.substeps)
        if self.substeps % self.refreshes:
            raise BadInput(
                f"refreshes divides substeps = {self.substeps}; got {self.refreshes}."
            )
        require_number("margin", self.margin)
        if not 0 < self.margin < 1:
            raise BadInput(f"margin is in (0, 1); got {self.margin}.")

    def init(self, dynamics: Any, t: Any, y: Any) -> CentralCarry:
        """The leading eigenvectors at the start.

        Raises:
            BadInput: no central flow, a start beyond the edge or with P = 0, or so few
                substeps that those of a step of size 1 are unstable at the edge.
        """
        if not isinstance(dynamics, CentralFlow):
            raise BadInput(
                "CentralEuler steps a CentralFlow; for "
                f"{type(dynamics).__name__} use flows.solve or another scheme."
            )
        p = dynamics.rule.preconditioner(t, y.memory)
        if not is_traced(p) and not bool(jnp.all(p > 0)):
            raise BadInput(
                "the preconditioner P is 0 on coordinates that have no gradient at the "
                "start: drop them, or give the rule an eps or initial > 0."
            )
        found = cold_block(dynamics.objective, y.position, p, self.block)
        top, edge = found.values[0], dynamics.rule.edge
        if not (self.project_start or is_traced(top)) and top > edge * (1 + 1e-6):
            raise BadInput(
                f"the start stands beyond the edge: its effective sharpness is "
                f"{float(top):.5g}, the edge is at {float(edge):.5g}. Start below it "
                "(a smaller learning rate, or a stretch of gradient flow first), or "
                "say project_start=True: the flow then begins with a jump."
            )
        if not is_traced(edge) and 2 * self.substeps < edge:
            raise BadInput(
                f"explicit Euler follows curvature {float(edge):.4g} (the edge of "
                f"{type(dynamics.rule).__name__}) for 2/{float(edge):.4g} of a step; "
                f"say substeps={math.ceil(float(edge) - 1e-6)}, got {self.substeps}."
            )
        rest = jax.tree.map(jnp.zeros_like, y)
        return CentralCarry(found, rest, jnp.asarray(False))

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """`substeps` substeps; aux is a `CentralAux`."""
        del noise
        dt, each = h / self.substeps, self.substeps // self.refreshes

        def stretch(loop, k):
            y, carry = loop
            return _stretch(dynamics, self.margin, t + k * dt, y, carry, dt, each)

        ks = each * jnp.arange(self.refreshes, dtype=jnp.asarray(dt).dtype)
        (y, carry), aux = jax.lax.scan(stretch, (y, carry), ks)
        return Step(y, carry, _summary(aux))


def _stretch(flow: CentralFlow, margin, t, y, carry: CentralCarry, dt, substeps):
    """Substeps in one basis, with one set of third derivatives: the midpoint's."""
    rule, f = flow.rule, flow.objective
    half = dt * substeps / 2
    middle = jax.tree.map(lambda a, b: a + half * b, y, carry.rate)
    p = rule.preconditioner(t + half, middle.memory)
    # Directions far from the edge are refreshed in turns, one half at a time.
    values = carry.block.values
    turn = (jnp.arange(values.size) % 2 == 1) == carry.odd
    live = turn | (values > rule.edge * (1 - _WATCHED * margin))
    block = refresh_block(f, middle.position, p, carry.block, live)
    growth = jnp.maximum(block.values - values, 0.0)
    near = block.values + growth > rule.edge * (1 - margin)
    third = third_derivatives(f, middle.position, block.vectors, near)

    def substep(state, k):
        y, _ = state
        images = hessian_at(f, y.position)(block.vectors, near)
        here = block._replace(images=jnp.where(near[None, :], images, block.images))
        rate, aux = _account(flow, t + k * dt, y, dt, here, third, near)
        y = jax.tree.map(lambda a, b: a + dt * b, y, rate)
        return (y, rate), aux

    ks = jnp.arange(substeps, dtype=jnp.asarray(dt).dtype)
    (y, rate), aux = jax.lax.scan(substep, (y, carry.rate), ks)
    return (y, CentralCarry(block, rate, ~carry.odd)), aux


def _account(flow, t, y: CentralState, dt, block: Block, third, near):
    """The velocity that keeps VᵀAV positive semidefinite over a substep, and aux."""
    v, hv, both = block.vectors, block.images, near[:, None] & near[None, :]
    p = flow.rule.preconditioner(t, y.memory)
    column = p if jnp.ndim(p) == 0 else p[:, None]
    gram, inner = v.T @ (column * v), v.T @ hv
    inner = (inner + inner.T) / 2
    # The matrix, not its eigenvalues: the basis is that of another point, and a
    # derivative within a cluster shows off the diagonal. A direction far from the edge
    # has no part in the problem, whatever its gap.
    eye = jnp.eye(near.size, dtype=v.dtype)
    gap = jnp.where(both, flow.rule.edge * gram - inner, eye)
    r = response(flow, t, y, flow.objective.gradient(y.position), block, third, near)
    found = solve_sdcp(gap + dt * r.gap, dt * r.operator, near)
    rest = (hv - column * (v @ inner)) / jnp.sqrt(column)
    aux = CentralAux(
        jax.lax.stop_gradient(_ritz_values(gram, inner, block.values, both)),
        found.x,
        jnp.sum(found.x * (v.T @ v)),
        0.5 * jnp.sum(found.x * inner),
        jnp.sum(found.x * (hv.T @ hv)),
        jnp.sum(jnp.linalg.eigvalsh(found.x) > 1e-9 * jnp.trace(found.x)),
        jnp.max(jnp.where(near, jnp.linalg.norm(rest, axis=0), 0.0)),
        found.residual,
    )
    return velocity(flow, r, svec(found.x)), aux


def _ritz_values(gram, inner, values, both):
    """Of the pencil (inner, gram) where both directions are near, else the values."""
    eye = jnp.eye(values.size, dtype=values.dtype)
    lower = jnp.linalg.cholesky(jnp.where(both, gram, eye))
    inner = jnp.where(both, inner, jnp.diag(values))
    half = jax.scipy.linalg.solve_triangular(lower, inner, lower=True)
    whole = jax.scipy.linalg.solve_triangular(lower, half.T, lower=True)
    return jnp.linalg.eigvalsh((whole + whole.T) / 2)[::-1]


def _summary(aux: CentralAux) -> CentralAux:
    """One step's account from those of its substeps."""
    aux = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), aux)
    return CentralAux(
        aux.eigenvalues[0],
        aux.covariance[-1],
        jnp.mean(aux.trace),
        jnp.mean(aux.loss_correction),
        jnp.mean(aux.gradient_correction),
        jnp.max(aux.critical),
        jnp.max(aux.residual),
        jnp.max(aux.complementarity),
    )
