"""How a system at the edge answers an oscillation, and what that makes of Σ."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from flows.central.flow import CentralFlow, CentralState, require_central_state
from flows.central.sdcp import Complementarity, smat, solve_sdcp, svec
from flows.central.spectrum import Block, cold_block
from flows.door import require_instance, require_number, require_whole
from flows.objective import Objective


class Response(NamedTuple):
    """State and gap A = c P - H, linear in an oscillation X of the basis V (VᵀPV = I).

    In the coordinates x = svec(X), m = K(K+1)/2 of them:

        w' = drift - ½ P⁻¹ thirdᵀ x,   ν' = memory_rate + squaresᵀ x,
        d/dt svec(VᵀAV) = svec(gap) + operator x   (V held fixed).

    Attributes:
        drift: -P⁻¹g, shape [n].
        memory_rate: κ (s(g, g) - ν), of ν's shape; None without memory.
        third: D_ij = ∇³L[v_i, v_j, ·], shape [m, n].
        squares: κ s(H v_i, H v_j), shape [m, n] or [m]; None without memory.
        gap: shape [K, K].
        operator: B, shape [m, m]; at the edge, where H V = c P V, symmetric and
            positive semidefinite.
        inverse: the diagonal of P⁻¹, shape [n] or [].
    """

    drift: Float[Array, " n"]
    memory_rate: Any
    third: Float[Array, "m n"]
    squares: Any
    gap: Float[Array, "k k"]
    operator: Float[Array, "m m"]
    inverse: Float[Array, "..."]


def _pairs(k: int, dtype: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Indices i <= j in the order of `svec`, and its weights 1 and √2."""
    i, j = np.triu_indices(k)
    return i, j, jnp.asarray(np.where(i == j, 1.0, np.sqrt(2.0)), dtype)


def third_derivatives(
    objective: Objective,
    x: Float[Array, " n"],
    vectors: Float[Array, "n k"],
    live: Bool[Array, " k"],
) -> Float[Array, "m n"]:
    """D_ij = ∇³L(x)[v_i, v_j, ·] in the coordinates of `svec`; 0 for pairs not live.

    A loop, so that a pair which is not live costs nothing (except under vmap). Reverse
    mode over two forward ones takes two thirds of the time of `objective.third`.
    """

    def along(u, v):
        def first(x):
            return jax.jvp(objective.value, (x,), (u,))[1]

        return lambda x: jax.jvp(first, (x,), (v,))[1]

    def one(_, pair):
        a, b, weight = pair

        def contract():
            return weight * jax.grad(along(vectors[:, a], vectors[:, b]))(x)

        alive = live[a] & live[b]
        return None, jax.lax.cond(alive, contract, lambda: jnp.zeros_like(x))

    i, j, weight = _pairs(vectors.shape[1], x.dtype)
    return jax.lax.scan(one, None, (jnp.asarray(i), jnp.asarray(j), weight))[1]


def response(
    flow: CentralFlow,
    t: Any,
    y: CentralState,
    gradient: Float[Array, " n"],
    block: Block,
    third: Float[Array, "m n"],
    near: Bool[Array, " k"] | None = None,
) -> Response:
    """The response at (t, y) to an oscillation in the block's directions.

    `near` says which of them take part, the first ones: rows of `third` that are 0 are
    then not multiplied where there are no more than two (except under vmap).
    """
    rule, v, hv = flow.rule, block.vectors, block.images
    i, j, weight = _pairs(v.shape[1], v.dtype)
    inverse = 1 / rule.preconditioner(t, y.memory)
    by_time, by_memory = rule.slope(t, y.memory)
    drift = -gradient * inverse
    rate = rule.memory_rate(y.memory, rule.square(gradient, gradient))
    p_rate = by_time if rate is None else by_time + by_memory * rate
    # d/dt VᵀAV = c Vᵀ P' V - D[·, w']
    gap = rule.edge * v.T @ _scaled(p_rate, v.T).T - smat(third @ drift)
    operator = jnp.zeros((len(weight), len(weight)), v.dtype)
    if not flow.ablated:
        operator = 0.5 * _gram(third, inverse, near)
    squares = None
    if rate is not None:
        form = jax.vmap(rule.square, in_axes=1)
        squares = rule.kappa * _weighted(weight, form(hv[:, i], hv[:, j]))
        # P acts entry by entry on ν, so the slope of vᵀPv is that of P times s(v, v).
        slope = _weighted(weight, _scaled(by_memory, form(v[:, i], v[:, j])))
        m = len(weight)
        operator += rule.edge * slope.reshape(m, -1) @ squares.reshape(m, -1).T
    return Response(drift, rate, third, squares, gap, operator, inverse)


def _gram(third: Any, inverse: Any, near: Any) -> Float[Array, "m m"]:
    """D P⁻¹ Dᵀ, from the pairs of the first two directions where these are all."""

    def full(rows):
        return rows @ _scaled(inverse, rows).T

    if near is None or near.size <= 2:
        return full(third)
    few = np.array([0, 1, near.size])  # pairs 00, 01 and 11 in the order of `svec`

    def small(rows):
        nothing = jnp.zeros((len(rows), len(rows)), rows.dtype)
        return nothing.at[np.ix_(few, few)].set(full(rows[few]))

    return jax.lax.cond(jnp.any(near[2:]), full, small, third)


def _scaled(diagonal: Any, rows: Any) -> Any:
    """Rows (numbers, for a scalar memory) times a diagonal of shape [n] or []."""
    return rows * (diagonal if jnp.ndim(diagonal) == 0 else diagonal[None, :])


def _weighted(weight: Float[Array, " m"], rows: Any) -> Any:
    return rows * (weight if rows.ndim == 1 else weight[:, None])


def velocity(flow: CentralFlow, r: Response, x: Float[Array, " m"]) -> CentralState:
    """(w', ν') under the oscillation x = svec(X)."""
    force = 0.0 if flow.ablated else 0.5 * r.inverse * (x @ r.third)
    rate = None if r.squares is None else r.memory_rate + x @ r.squares
    return CentralState(r.drift - force, rate)


class Instant(NamedTuple):
    """The central flow at one state.

    Attributes:
        velocity: (w', ν').
        covariance: X, shape [K, K]; Σ = V X Vᵀ.
        block: V, H V and the eigenvalues of P⁻¹H.
        critical: which directions stand at the edge, shape [K].
        gap_rate: d/dt VᵀAV on them, shape [K, K].
        problem: the solver's own account.
    """

    velocity: CentralState
    covariance: Float[Array, "k k"]
    block: Block
    critical: Bool[Array, " k"]
    gap_rate: Float[Array, "k k"]
    problem: Complementarity


def complementarity(
    flow: CentralFlow,
    t: Any,
    y: CentralState,
    *,
    tolerance: float = 1e-6,
    size: int = 8,
) -> Instant:
    """Σ and the velocity at one state: the differential complementarity problem.

        X ⪰ 0,   Y = d/dt (VᵀAV) ⪰ 0,   ⟨X, Y⟩ = 0   on the critical space,

    which are the directions with λ(P⁻¹H) >= c (1 - tolerance). It asks that the state
    not stand beyond the edge.

    Args:
        flow: the central flow.
        t: time (steps).
        y: the state.
        tolerance: relative distance from the edge that counts as critical.
        size: how many directions are looked at.

    Returns:
        An `Instant`.

    Raises:
        BadInput: a flow that is no central flow, or a bare position.
    """
    require_instance(flow, CentralFlow, "complementarity takes a central flow")
    require_central_state(y)
    require_number("tolerance", tolerance, positive=True)
    require_whole("size", size)
    x = y.position
    p = flow.rule.preconditioner(t, y.memory)
    block = cold_block(flow.objective, x, p, size)
    critical = block.values >= flow.rule.edge * (1 - tolerance)
    third = third_derivatives(flow.objective, x, block.vectors, critical)
    r = response(flow, t, y, flow.objective.gradient(x), block, third)
    found = solve_sdcp(r.gap, r.operator, critical)
    rate = r.gap + smat(r.operator @ svec(found.x))
    moved = velocity(flow, r, svec(found.x))
    return Instant(moved, found.x, block, critical, rate, found)
