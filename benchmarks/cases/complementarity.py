"""Complementarity problems a second, beside a convex solver called back from jit."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.protocol import Protocol, Row, measure, ratio
from flows.central import smat, solve_sdcp, svec

CASE = "complementarity: flows.central.solve_sdcp beside cvxpy called back from jit"
TARGET = 1 / 50
BATCH = 64


def problems(k: int, many: int) -> tuple[jax.Array, jax.Array]:
    """Indefinite a and symmetric positive definite B, condition number at most 100."""
    rng, m = np.random.default_rng(k), k * (k + 1) // 2
    a = rng.standard_normal((many, k, k))
    q = np.linalg.qr(rng.standard_normal((many, m, m)))[0]
    values = 10 ** -rng.uniform(0, 2, (many, 1, m))
    return jnp.asarray(a + a.swapaxes(1, 2)), jnp.asarray(q * values) @ q.swapaxes(1, 2)


def convex(k: int):
    """The minimiser of ½⟨X, B[X]⟩ + ⟨a, X⟩ over X ⪰ 0 by cvxpy's default solver.

    The problem is built and compiled once, with a and B as parameters: what is timed
    is the solve.
    """
    import cvxpy

    m = k * (k + 1) // 2
    i, j = np.triu_indices(k)
    x = cvxpy.Variable((k, k), PSD=True)
    linear, root = cvxpy.Parameter((k, k)), cvxpy.Parameter((m, m))
    weights = np.where(i == j, 1.0, np.sqrt(2.0))
    entries = zip(weights, i, j, strict=True)
    vector = cvxpy.hstack([w * x[p, q] for w, p, q in entries])
    loss = 0.5 * cvxpy.sum_squares(root @ vector) + cvxpy.sum(cvxpy.multiply(linear, x))
    problem = cvxpy.Problem(cvxpy.Minimize(loss))

    def solve(a, b):
        linear.value, root.value = np.asarray(a), np.linalg.cholesky(b).T
        problem.solve()
        return np.asarray(x.value, float)

    shape = jax.ShapeDtypeStruct((k, k), jnp.float64)

    def called_back(a, b):
        return jax.pure_callback(solve, shape, a, b, vmap_method="sequential")

    return called_back, problem


def residual(a, b, x) -> float:
    """|X - (X - Y)₊| over |a| + |B||X|, the largest of a batch."""

    def one(a, b, x):
        e, q = jnp.linalg.eigh(x - a - smat(b @ svec(x)))
        gap = x - (q * jnp.maximum(e, 0)[None, :]) @ q.T
        size = jnp.linalg.norm(a) + jnp.linalg.norm(b) * jnp.linalg.norm(x)
        return jnp.linalg.norm(gap) / size

    return float(jnp.max(jax.vmap(one)(a, b, x)))


def in_turn(solve):
    """The solver over a batch, one problem after another."""
    return lambda a, b: jax.lax.map(lambda pair: solve(*pair), (a, b))


def study(protocol: Protocol, k: int, many: int, batched: bool) -> Row:
    """`many` problems in one compiled call: batched, or one after another.

    The loop is what a flow does, which solves one problem a substep.
    """
    called_back, problem = convex(k)
    a, b = arguments = problems(k, many)
    solvers = {"ours": lambda a, b: solve_sdcp(a, b).x, "other": called_back}
    over = jax.vmap if batched else in_turn
    compiled = {name: jax.jit(over(f)) for name, f in solvers.items()}
    ours, other = (f(*arguments) for f in compiled.values())
    good, rough = residual(a, b, ours), residual(a, b, other)
    if not (good < 1e-12 and rough < 1e-4):
        raise RuntimeError(f"not solved: residuals {good:.1e} and {rough:.1e}")
    calls = {n: lambda f=f: f(*arguments) for n, f in compiled.items()}
    first, second = measure(calls, protocol).values()
    name = problem.solver_stats.solver_name.lower()
    return Row(
        CASE,
        f"{k} directions, {many} {'in a batch' if batched else 'one after another'}",
        "solves/s",
        many / first.seconds,
        many / second.seconds,
        ratio(first.cpu, second.cpu),
        TARGET,
        (first.first, second.first),
        max(first.busy, second.busy),
        f"ratio of times; residuals {good:.0e} and, by cvxpy with {name}, {rough:.0e}",
    )


def rows(protocol: Protocol) -> list[Row]:
    if protocol.tiny:
        return [study(protocol, 2, 3, True)]
    cases = [(k, batched) for k in (2, 3, 8) for batched in (False, True)]
    return [study(protocol, k, BATCH, batched) for k, batched in cases]
