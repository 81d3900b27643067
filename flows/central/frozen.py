"""The memory of a central flow with its weights held fixed, run until it rests."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.central.flow import CentralFlow, CentralState
from flows.central.linear_response import response, velocity
from flows.central.sdcp import solve_sdcp, svec
from flows.central.spectrum import Block, cold_block, refresh_block
from flows.door import require_number, require_whole
from flows.errors import BadInput, SolveFailed

MARGIN = 0.3
"""Directions with λ(P⁻¹H) > c (1 - MARGIN) take part; P moves far in a round."""
EXCESS = 1e-6
"""Relative excess over the edge that the Rayleigh–Ritz steps may leave."""


class RestingMemory(NamedTuple):
    """Where the memory of a central flow rests at fixed weights.

    Attributes:
        memory: ν, shape [n] or [].
        preconditioner: the diagonal of P(ν), shape [n] or [].
        block: V with VᵀPV = I, and the eigenvalues of P⁻¹H.
        covariance: X, shape [K, K]; Σ = V X Vᵀ is the oscillation at rest.
        rate: max |ν'|/(κ ν), how far from rest it still is.
        excess: max(0, λ_max(P⁻¹H)/c - 1), how far beyond the edge.
    """

    memory: Any
    preconditioner: Any
    block: Block
    covariance: Float[Array, "k k"]
    rate: Float[Array, ""]
    excess: Float[Array, ""]


def rest_memory(
    flow: CentralFlow,
    x: Float[Array, " n"],
    *,
    size: int = 8,
    rounds: int = 500,
    step: float = 0.5,
    tolerance: float = 1e-8,
) -> RestingMemory:
    """Run ν' = κ (s(g, g) + s_H(Σ) - ν) with w = x fixed, at the edge, until it rests.

    For RMSProp the preconditioner found is that of `stationary_preconditioner`, but by
    Hessian-vector products alone: a network's 10⁵ weights take the memory of its block.
    Each round is an Euler step of length `step`/κ with its complementarity problem and
    one Rayleigh–Ritz step of the block, 2 `size` products.

    Args:
        flow: a central flow with `RMSProp` or `ScalarRMSProp`.
        x: the weights.
        size: number of directions that may become critical.
        rounds: most Euler steps.
        step: their length in units of the memory 1/κ, in (0, 1].
        tolerance: `rate` at which it rests; the edge may be passed by 1e-6 + that.

    Returns:
        A `RestingMemory`.

    Raises:
        BadInput: a rule without memory, or with a schedule.
        SolveFailed: it does not rest after `rounds`, or the edge is passed: ask for
            more rounds, a shorter step or more directions. Dead coordinates never
            rest.
    """
    require_whole("size", size)
    require_whole("rounds", rounds)
    require_number("step", step, positive=True)
    if flow.rule.kappa is None or callable(flow.rule.learning_rate):
        raise BadInput(
            "a memory rests under RMSProp or ScalarRMSProp at a constant learning "
            f"rate; got {type(flow.rule).__name__}"
            f"{' with a schedule' if callable(flow.rule.learning_rate) else ''}."
        )
    if step > 1:
        raise BadInput(f"step is in (0, 1]; got {step}.")
    require_number("tolerance", tolerance, positive=True)
    numbers = (jnp.asarray(a) for a in (rounds, step, tolerance))
    found = _run(flow, x, size, *numbers)
    if not (found.rate <= tolerance and found.excess <= EXCESS + tolerance):
        raise SolveFailed(
            f"the memory is not at rest within {rounds} rounds: relative rate "
            f"{float(found.rate):.1e}, beyond the edge by {float(found.excess):.1e}. "
            "More rounds, a shorter step or a larger size may help; coordinates "
            "without gradient and curvature never rest."
        )
    return found


@eqx.filter_jit
def _run(flow: CentralFlow, x, size: int, rounds, step, tolerance) -> RestingMemory:
    f, rule = flow.objective, flow.rule
    g = f.gradient(x)
    square = rule.square(g, g)
    first = cold_block(f, x, jnp.ones(()), size)
    # Just below the edge: P >= (S/2) I, that is λ_max(P⁻¹H) <= c for c = 2.
    floor = rule.rate(0.0) * jnp.maximum(first.values[0], 0.0) / rule.edge
    start = square + floor**2
    third = jnp.zeros((size * (size + 1) // 2, x.size), x.dtype)
    dt = step / rule.kappa

    def renewed(memory, block):
        p = rule.preconditioner(0.0, memory)
        block = refresh_block(f, x, p, block)
        moved, covariance = _rate(flow, x, memory, g, block, third, dt)
        rate = jnp.max(jnp.abs(moved) / (rule.kappa * memory))
        return memory, moved, block, covariance, rate

    def moving(state):
        return (state[1] < rounds) & (state[0][-1] > tolerance)

    def advance(state):
        (memory, moved, block, _, _), k = state
        return renewed(memory + dt * moved, block), k + 1

    state, _ = jax.lax.while_loop(moving, advance, (renewed(start, first), 0))
    memory, _, block, covariance, rate = state
    p = rule.preconditioner(0.0, memory)
    top = cold_block(f, x, p, size).values[0]
    excess = jnp.maximum(0.0, top / rule.edge - 1)
    return RestingMemory(memory, p, block, covariance, rate, excess)


def _rate(flow, x, memory, gradient, block, third, dt):
    """ν' and X: w' counts for nothing, since its force and its drift are left out."""
    edge = flow.rule.edge
    near = block.values > edge * (1 - MARGIN)
    state = CentralState(x, memory)
    r = response(flow, 0.0, state, gradient, block, third)
    gap = jnp.diag(edge - block.values)
    found = solve_sdcp(gap + dt * r.gap, dt * r.operator, near)
    return velocity(flow, r, svec(found.x)).memory, found.x
