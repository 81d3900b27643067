"""Semidefinite complementarity problems of a few directions, in pure JAX."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


class Complementarity(NamedTuple):
    """X, Y = a + B[X], the relative residual, iterations, and whether it converged."""

    x: Float[Array, "k k"]
    slack: Float[Array, "k k"]
    residual: Float[Array, ""]
    iterations: Any
    converged: Any


def svec(s: Float[Array, "k k"]) -> Float[Array, " m"]:
    """Orthonormal coordinates of a symmetric matrix: off-diagonals times √2."""
    i, j = np.triu_indices(s.shape[0])
    return s[i, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def smat(v: Float[Array, " m"]) -> Float[Array, "k k"]:
    """The symmetric matrix of coordinates `svec`."""
    k = int((np.sqrt(8 * v.shape[0] + 1) - 1) / 2)
    i, j = np.triu_indices(k)
    z = v / np.where(i == j, 1.0, np.sqrt(2.0))
    return jnp.zeros((k, k), v.dtype).at[i, j].set(z).at[j, i].set(z)


def solve_sdcp(
    a: Float[Array, "k k"],
    b: Float[Array, "m m"],
    active: Bool[Array, " k"] | None = None,
    *,
    tolerance: float = 1e-13,
    max_iterations: int = 60,
) -> Complementarity:
    """X ⪰ 0, Y = a + B[X] ⪰ 0, ⟨X, Y⟩ = 0 on the active directions."""
    k = a.shape[0]
    active = jnp.ones(k, bool) if active is None else active
    i, j = np.triu_indices(k)
    on = active[i] & active[j]
    bb = jnp.where(on[:, None] & on[None, :], b, 0.0)
    aa = jnp.where(on, svec(a), 0.0)
    sa, sb = jnp.linalg.norm(aa), jnp.linalg.norm(bb)
    sa, sb = jnp.where(sa > 0, sa, 1.0), jnp.where(sb > 0, sb, 1.0)
    aa, bb = aa / sa, bb / sb
    eye = jnp.eye(len(i), dtype=a.dtype)

    def residual(x):
        e, q = jnp.linalg.eigh(smat(x - aa - bb @ x))
        return x - svec((q * jnp.maximum(e, 0.0)[None, :]) @ q.T), e, q

    def slope(e, q):
        p = jnp.maximum(e, 0.0)
        gap = e[:, None] - e[None, :]
        flat = jnp.abs(gap) < 1e-14
        omega = jnp.where(
            flat,
            (e > 0).astype(a.dtype)[:, None],
            (p[:, None] - p[None, :]) / jnp.where(flat, 1.0, gap),
        )
        return jax.vmap(lambda h: svec(q @ (omega * (q.T @ smat(h) @ q)) @ q.T))(eye).T

    def body(state):
        x, f, e, q, n = state
        v = slope(e, q)
        d = jnp.linalg.solve(eye - v @ (eye - bb) + 1e-15 * eye, -f)
        new = x + d
        fn, en, qn = residual(new)
        good = jnp.linalg.norm(fn) <= 0.7 * jnp.linalg.norm(f)
        # extragradient, where Newton does not reduce the residual
        _, e1, q1 = residual(x)
        z = svec((q1 * jnp.maximum(e1, 0.0)[None, :]) @ q1.T)
        w = x - 0.7 * (aa + bb @ z)
        ew, qw = jnp.linalg.eigh(smat(w))
        safe = svec((qw * jnp.maximum(ew, 0.0)[None, :]) @ qw.T)
        fs, es, qs = residual(safe)
        pick = lambda u, s: jnp.where(good, u, s)  # noqa: E731
        return pick(new, safe), pick(fn, fs), pick(en, es), pick(qn, qs), n + 1

    def go_on(state):
        return (jnp.linalg.norm(state[1]) > tolerance) & (state[4] < max_iterations)

    x = jnp.zeros_like(aa)
    x, f, _, _, n = jax.lax.while_loop(go_on, body, (x, *residual(x), 0))
    x = smat(x) * (sa / sb)
    r = jnp.linalg.norm(f)
    return Complementarity(x, a + smat(b @ svec(x)), r, n, r <= tolerance * 1e3)
