"""Stepping a central flow: explicit Euler with a complementarity problem a substep."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flows import BadInput, Scheme, Step
from flows.central import (
    Block,
    CentralFlow,
    CentralState,
    cold_block,
    refresh_block,
    response,
    solve_sdcp,
    svec,
    third_derivatives,
    velocity,
)
from flows.door import require_whole
from flows.types import is_traced


class CentralAux(NamedTuple):
    """What a step of `CentralEuler` has to show.

    Attributes:
        eigenvalues: of P⁻¹H at the step's start, the largest first, shape [K].
        covariance: X in the basis of those directions at the last substep, [K, K].
        trace: tr Σ = E|δ|², mean over the substeps (squared parameter units).
        loss_correction: E L - L = ½⟨H, Σ⟩, mean over the substeps (loss units).
        gradient_correction: E|g|² - |g|² = tr(H Σ H), mean over the substeps.
        critical: number of directions that carry the oscillation.
        residual: largest residual of the eigenvectors followed near the edge.
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


class CentralEuler(Scheme):
    r"""Explicit Euler for `CentralFlow`, first order in h/substeps.

    In each substep of size δ = h/substeps, with V the eigenvectors near the edge
    (VᵀPV = I) and e their eigenvalues,

        X ⪰ 0,   Y = diag(c - e) + δ (d/dt VᵀAV)(X) ⪰ 0,   ⟨X, Y⟩ = 0

    is solved for X, and w and ν then move under Σ = V X Vᵀ: the gap A = c P - H at the
    substep's end is what has to be positive semidefinite, so that errors of one substep
    are taken back by the next. The number of directions near the edge is data: a
    change of it compiles nothing.

    Memory: O(block · n). Unit of h: optimiser steps.

    Reference: Cohen et al., "Understanding Optimization in Deep Learning with Central
    Flows", ICLR 2025, arXiv 2410.24206 (whose public code steps in this way).

    Attributes:
        block: number K of directions that are followed.
        substeps: substeps a step.
        margin: directions with λ(P⁻¹H) > c (1 - margin) take part.
        project_start: True bears a start beyond the edge: the first substep then
            throws the state back onto it.
    """

    block: int = eqx.field(static=True, default=8)
    substeps: int = eqx.field(static=True, default=4)
    margin: float = eqx.field(static=True, default=0.025)
    project_start: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        require_whole("block", self.block)
        require_whole("substeps", self.substeps)
        if not 0 < self.margin < 1:
            raise BadInput(f"margin is in (0, 1); got {self.margin}.")

    def init(self, dynamics: Any, t: Any, y: Any) -> Block:
        """The leading eigenvectors at the start.

        Raises:
            BadInput: no central flow, or a start beyond the edge.
        """
        if not isinstance(dynamics, CentralFlow):
            raise BadInput(
                "CentralEuler steps a CentralFlow; for "
                f"{type(dynamics).__name__} use flows.solve or another scheme."
            )
        p = dynamics.rule.preconditioner(t, y.memory)
        found = cold_block(dynamics.objective, y.position, p, self.block)
        top, edge = found.values[0], dynamics.rule.edge
        if not (self.project_start or is_traced(top)) and top > edge * (1 + 1e-6):
            raise BadInput(
                f"the start stands beyond the edge: its effective sharpness is "
                f"{float(top):.5g}, the edge is at {float(edge):.5g}. Start below it "
                "(a smaller learning rate, or a stretch of gradient flow first), or "
                "say project_start=True: the flow then begins with a jump."
            )
        return found

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """`substeps` substeps; aux is a `CentralAux`."""
        del noise
        dt = h / self.substeps

        def substep(loop, k):
            y, block = loop
            y, block, aux = self._substep(dynamics, t + k * dt, y, dt, block)
            return (y, block), aux

        ks = jnp.arange(self.substeps, dtype=jnp.asarray(dt).dtype)
        (y, block), aux = jax.lax.scan(substep, (y, carry), ks)
        return Step(y, block, _summary(aux))

    def _substep(self, flow: CentralFlow, t: Any, y: CentralState, dt: Any, old: Block):
        rule, x = flow.rule, y.position
        edge = rule.edge
        block = refresh_block(flow.objective, x, rule.preconditioner(t, y.memory), old)
        near = block.values > edge * (1 - self.margin)
        third = third_derivatives(flow.objective, x, block.vectors, near)
        r = response(flow, t, y, flow.objective.gradient(x), block, third)
        # a direction far from the edge has no part in the problem, whatever its gap
        gap = jnp.diag(jnp.where(near, edge - block.values, 1.0))
        found = solve_sdcp(gap + dt * r.gap, dt * r.operator, near)
        v = velocity(flow, r, svec(found.x))
        new = jax.tree.map(lambda a, b: a + dt * b, y, v)
        return new, block, _account(flow, block, found, near)


def _account(flow, block, found, near) -> CentralAux:
    images = block.images.T @ block.images
    return CentralAux(
        block.values,
        found.x,
        jnp.sum(found.x * (block.vectors.T @ block.vectors)),
        0.5 * jnp.sum(found.x * (block.vectors.T @ block.images)),
        jnp.sum(found.x * images),
        jnp.sum(jnp.linalg.eigvalsh(found.x) > 1e-9 * jnp.trace(found.x)),
        jnp.max(jnp.where(near, block.residuals, 0.0)),
        found.residual,
    )


def _summary(aux: CentralAux) -> CentralAux:
    """One step's account from those of its substeps."""
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
