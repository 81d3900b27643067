"""Semidefinite complementarity problems of a few directions, in pure JAX."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flows.errors import BadInput

NEWTON = 12  # steps of Newton's method before the interior-point method takes over
START = 1e3  # of the interior-point method: must not be small beside the solution


class Complementarity(NamedTuple):
    """The solution of a complementarity problem, and how good it is.

    Attributes:
        x: X ⪰ 0; 0 in rows and columns of inactive directions, shape [k, k].
        slack: Y = a + B[X] on the active directions, 0 elsewhere, shape [k, k].
        residual: distance of Y from the cone's complementary face, over |a| + |B||X|;
            shape []. It is invariant under a -> s a and B -> r B.
        iterations: Newton and interior-point steps; 0 where a closed form is exact.
        converged: whether the residual is at most the tolerance, and |B||X| not beyond
            all scales of |a|.
    """

    x: Float[Array, "k k"]
    slack: Float[Array, "k k"]
    residual: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def _indices(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and weights of the coordinates of `svec`."""
    i, j = np.triu_indices(k)
    return i, j, np.where(i == j, 1.0, np.sqrt(2.0))


def _order(m: int) -> int:
    """The k with k (k+1)/2 = m."""
    k = (np.sqrt(8 * m + 1) - 1) / 2
    if m < 1 or k != int(k):
        raise BadInput(f"coordinates have length k (k+1)/2 = 1, 3, 6, ...; got {m}.")
    return int(k)


def svec(s: Float[Array, "k k"]) -> Float[Array, " m"]:
    """Orthonormal coordinates of a symmetric matrix, m = k(k+1)/2 of them.

    The upper triangle row by row, off-diagonals times √2: ⟨S, T⟩ = svec(S)·svec(T). Of
    a matrix that is not symmetric the symmetric part is taken.
    """
    i, j, weight = _indices(s.shape[0])
    return (s[i, j] + s[j, i]) * jnp.asarray(weight / 2, s.dtype)


def smat(v: Float[Array, " m"]) -> Float[Array, "k k"]:
    """The symmetric matrix with these coordinates: inverse of `svec`.

    Raises:
        BadInput: a length that is not k(k+1)/2.
    """
    k = _order(v.shape[0])
    i, j, weight = _indices(k)
    place = np.zeros((k, k), int)  # gathering: compilers serialise what is scattered
    place[i, j] = place[j, i] = np.arange(len(i))
    return (v / jnp.asarray(weight, v.dtype))[place]


def solve_sdcp(
    a: Float[Array, "k k"],
    b: Float[Array, "m m"],
    active: Bool[Array, " n"] | None = None,
    *,
    tolerance: float = 1e-13,
    max_iterations: int = 60,
) -> Complementarity:
    r"""X ⪰ 0, Y = a + B[X] ⪰ 0, ⟨X, Y⟩ = 0 in the active directions.

    B acts in the coordinates of `svec` and is monotone, ⟨X, B[X]⟩ > 0; it need not be
    symmetric. Where it is, X minimises ½⟨X, B[X]⟩ + ⟨a, X⟩ over X ⪰ 0.

    The unknown is Z = X - Y, whose positive and negative parts are X and Y: both are
    feasible and complementary whatever Z is, and what is solved is the normal map

        Z₋ - a - B[Z₊] = 0

    by semismooth Newton steps, from the Z that is exact where B is a multiple of the
    identity, with a scaled by |a| and B by its mean eigenvalue. At most one active
    direction is a closed form. Where 12 Newton steps do not reach the tolerance, a
    primal-dual interior-point method starts anew: 20 to 35 steps, whatever the
    condition number or the skew part of B.

    Runs under `jit`, `vmap` and on accelerators; sizes are fixed and the number of
    active directions is data. Differentiable in a and B, forwards and backwards, by the
    implicit function theorem, also where eigenvalues of Z repeat; where an eigenvalue
    of Z is 0 (no strict complementarity) the derivative is one-sided. The residual has
    the derivative 0.

    A singular B ⪰ 0 gives no NaN: a solution is found where there is one (of several,
    one of them; its derivative then means little), and otherwise `converged` is False.

    Reference: D. Sun and J. Sun, "Semismooth matrix-valued functions", Math. Oper. Res.
    27 (2002), for Newton's method; F. Alizadeh, J.-P. Haeberly and M. Overton, SIAM J.
    Optim. 8 (1998), for the interior-point directions.

    Args:
        a: symmetric (the symmetric part is taken), shape [k, k].
        b: B, shape [m, m] with m = k(k+1)/2.
        active: directions that take part, shape [k]; all where None.
        tolerance: for the residual, at least 64 rounding units.
        max_iterations: of the interior-point method.

    Raises:
        BadInput: shapes that do not fit, or no floats.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    k = a.shape[0] if a.ndim else 0
    m = k * (k + 1) // 2
    if a.shape != (k, k) or b.shape != (m, m):
        raise BadInput(
            f"a is [k, k] and b is [m, m] with m = k (k+1)/2; got {a.shape}, {b.shape}."
        )
    if not all(jnp.issubdtype(c.dtype, jnp.floating) for c in (a, b)):
        raise BadInput(f"a and b hold floats; got {a.dtype} and {b.dtype}.")
    on = jnp.ones(k, bool) if active is None else jnp.asarray(active)
    if on.shape != (k,):
        raise BadInput(f"active is a mask of shape ({k},); got {on.shape}.")
    i, j, _ = _indices(k)
    live = on[i] & on[j]
    vector = jnp.where(live, svec(a), 0)
    operator = jnp.where(live[:, None] & live[None, :], b, 0)
    tolerance = max(tolerance, 64 * float(jnp.finfo(vector.dtype).eps))
    x, residual, steps = _solution(vector, operator, live, tolerance, max_iterations)
    # X beyond all scales runs along a null direction of B: there is no solution.
    reach = jnp.linalg.norm(operator) * jnp.linalg.norm(x)
    bounded = reach <= jnp.linalg.norm(vector) * jnp.finfo(x.dtype).eps ** (-2 / 3)
    return Complementarity(
        smat(x),
        smat(vector + operator @ x),
        residual,
        steps.astype(int),
        (residual <= tolerance) & bounded,
    )


class _Scaled(NamedTuple):
    """A problem of size 1: a/|a| and B over its mean eigenvalue; X has the unit |a|/c.

    Inactive coordinates have a = 1 on the diagonal and B = 1: X = 0 solves them.
    """

    a: Any
    b: Any
    norm: Any  # |B|
    unit: Any


def _scaled(a: Any, b: Any, live: Any) -> _Scaled:
    i, j, _ = _indices(_order(a.shape[0]))
    size = jnp.linalg.norm(a)
    size = jnp.where(size > 0, size, 1)
    mean = jnp.trace(b) / jnp.maximum(jnp.sum(live), 1).astype(a.dtype)
    mean = jnp.where(mean > 0, mean, 1)
    rest = jnp.where(live, 0, 1).astype(a.dtype)
    scaled = b / mean
    return _Scaled(
        a / size + jnp.where(i == j, rest, 0),
        scaled + jnp.diag(rest),
        jnp.linalg.norm(scaled),
        size / mean,
    )


def _kronecker(p: Any, q: Any) -> Any:
    """The matrix of H -> (P H Qᵀ + Q H Pᵀ)/2 in coordinates."""
    i, j, weight = _indices(p.shape[0])
    straight = p[i][:, i] * q[j][:, j] + p[j][:, j] * q[i][:, i]
    crossed = p[i][:, j] * q[j][:, i] + p[j][:, i] * q[i][:, j]
    return (straight + crossed) * jnp.asarray(weight[:, None] * weight / 4, p.dtype)


def _turned(v: Any, q: Any) -> Any:
    """Coordinates of Qᵀ V Q."""
    return svec(q.T @ smat(v) @ q)


class _Point(NamedTuple):
    """Z = X - Y in its eigenbasis: X and Y are diagonal there.

    Attributes:
        x: coordinates of X in the given basis.
        basis: Q, the eigenvectors of Z.
        omega: the derivative of Z -> Z₊, diagonal in the eigenbasis: divided
            differences of e -> max(e, 0), which exist at repeated eigenvalues too.
        gap: Y - a - B[X] in the eigenbasis.
        residual: its relative size.
    """

    x: Any
    basis: Any
    omega: Any
    gap: Any
    residual: Any


def _point(z: Any, problem: _Scaled) -> _Point:
    i, j, _ = _indices(_order(z.shape[0]))
    e, q = jnp.linalg.eigh(smat(z))
    positive, negative = jnp.maximum(e, 0), jnp.maximum(-e, 0)
    above, below = positive[i] + positive[j], negative[i] + negative[j]
    both = above + below
    omega = jnp.where(both > 0, above / jnp.where(both > 0, both, 1), 0)
    x = svec((q * positive[None, :]) @ q.T)
    gap = svec(jnp.diag(negative)) - _turned(problem.a + problem.b @ x, q)
    size = 1 + problem.norm * jnp.linalg.norm(positive)
    return _Point(x, q, omega, gap, jnp.linalg.norm(gap) / size)


def _linearised(point: _Point, problem: _Scaled) -> Any:
    """I - Ω + B Ω in the eigenbasis: minus the derivative of the normal map in Z."""
    w, omega = _kronecker(point.basis, point.basis), point.omega
    tiny = 4 * jnp.finfo(omega.dtype).eps  # finite where B is singular
    return jnp.diag(1 - omega + tiny) + (w.T @ problem.b @ w) * omega[None, :]


def _newton(problem: _Scaled, tolerance: float) -> tuple[Any, Any, Any]:
    """X, residual and steps of the semismooth Newton method; the best X met."""

    def body(state):
        z, x, residual, n, _ = state
        point = _point(z, problem)
        better = point.residual < residual
        x = jnp.where(better, point.x, x)
        residual = jnp.where(better, point.residual, residual)
        step = jnp.linalg.solve(_linearised(point, problem), point.gap)
        finite = jnp.isfinite(point.residual)
        return z + _turned(step, point.basis.T), x, residual, n + 1, finite

    def unfinished(state):
        _, _, residual, n, finite = state
        return (residual > tolerance) & (n < NEWTON) & finite

    # The first pass takes no step: -1 of them before it.
    n, good = jnp.asarray(-1, jnp.int32), jnp.asarray(True)
    infinite = jnp.full_like(problem.norm, jnp.inf)
    start = (-problem.a, jnp.zeros_like(problem.a), infinite, n, good)
    return jax.lax.while_loop(unfinished, body, start)[1:4]


def _reach(x: Any, d: Any) -> Any:
    """At most 1: nine tenths of the t at which X + t D leaves the cone."""
    e, q = jnp.linalg.eigh(smat(x))
    root = q / jnp.sqrt(jnp.maximum(e, jnp.finfo(x.dtype).tiny))[None, :]
    lowest = jnp.linalg.eigvalsh(root.T @ smat(d) @ root)[0]
    return jnp.where(lowest < -0.9, -0.9 / jnp.minimum(lowest, -0.9), 1.0)


def _interior(problem: _Scaled, found: Any, tolerance: float, most: int) -> Any:
    """Newton's method on XY + YX = 2 σμ I from inside the cone, μ = ⟨X, Y⟩/k -> 0.

    Continues from `found` = (X, residual, steps) where that has not converged: only the
    best X is kept, the path starts far inside the cone.
    """
    a, b, *_ = problem
    k = _order(a.shape[0])
    unit = jnp.eye(k, dtype=a.dtype)
    one = svec(unit)

    def body(state):
        (x, y), t, best, residual, n, taken = state
        multiply = _kronecker(smat(x), unit)
        lack = a + b @ x - y
        # Aim lower after long steps: the last ones then converge superlinearly.
        centre = jnp.clip((1 - t) ** 2, 1e-6, 0.5)
        target = centre * (x @ y / k) * one - multiply @ (y + lack)
        dx = jnp.linalg.solve(_kronecker(smat(y), unit) + multiply @ b, target)
        pair, change = jnp.stack([x, y]), jnp.stack([dx, lack + b @ dx])
        t = jnp.min(jax.vmap(_reach)(pair, change))
        x, y = pair + t * change
        point = _point(x - y, problem)
        better = point.residual < residual
        best = jnp.where(better, point.x, best)
        residual = jnp.where(better, point.residual, residual)
        return (x, y), t, best, residual, n + 1, taken + 1

    def unfinished(state):
        (x, y), _, _, residual, _, taken = state
        finite = jnp.isfinite(jnp.sum(x) + jnp.sum(y))
        return (residual > tolerance) & (taken < most) & finite

    x, residual, n = found
    inside = (START * one, START * one)
    start = (inside, jnp.ones_like(residual), x, residual, n, jnp.zeros_like(n))
    return jax.lax.while_loop(unfinished, body, start)[2:5]


def _single(problem: _Scaled) -> tuple[Any, Any, Any]:
    """At most one active direction: x = max(0, -a/b)."""
    k = _order(problem.a.shape[0])
    i, j, _ = _indices(k)
    a, b = problem.a, jnp.diag(problem.b)
    x = jnp.where((i == j) & (b > 0), jnp.maximum(-a, 0) / jnp.where(b > 0, b, 1), 0)
    gap = jnp.where(i == j, jnp.minimum(a + b * x, 0), 0)
    return x, jnp.max(jnp.abs(gap)), jnp.asarray(0, jnp.int32)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _solution(a: Any, b: Any, live: Any, tolerance: float, most: int) -> Any:
    """(x, residual, steps) of the problem restricted to live coordinates."""
    problem = _scaled(a, b, live)

    def several(problem):
        found = _newton(problem, tolerance)
        return _interior(problem, found, tolerance, most)

    if a.shape[0] == 1:
        x, residual, n = _single(problem)
    else:
        few = jnp.sum(live) <= 1
        x, residual, n = jax.lax.cond(few, _single, several, problem)
    x = jnp.where(live, x, 0) * problem.unit
    return x, residual, n.astype(a.dtype)


@_solution.defjvp
def _solution_jvp(tolerance: float, most: int, primals: Any, tangents: Any) -> Any:
    """The derivative of X by the implicit function theorem, at Z = X - Y."""
    a, b, live = primals
    da, db, _ = tangents
    x, residual, n = _solution(a, b, live, tolerance, most)
    problem = _scaled(a, b, live)
    scaled = x / problem.unit
    slack = problem.a + problem.b @ scaled
    point = _point(scaled - slack, problem)
    # In units of |a| and c: d(a + B x)/|a| at fixed Z moves Z, and Z moves X.
    size = jnp.linalg.norm(a)
    forced = (da + db @ x) / jnp.where(size > 0, size, 1)
    moved = jnp.linalg.solve(
        _linearised(point, problem), -_turned(jnp.where(live, forced, 0), point.basis)
    )
    dx = _turned(point.omega * moved, point.basis.T) * problem.unit
    primal = x, residual, n
    zero = jnp.zeros_like(residual), jnp.zeros_like(n)
    return primal, (jnp.where(live, dx, 0), *zero)
