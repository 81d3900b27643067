"""Complementarity problems: closed forms, other solvers, symmetries, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import BadInput
from flows.central import smat, solve_sdcp, svec

# Every test embeds its problem in these four directions: one compilation for all.
K = 4
M = K * (K + 1) // 2
solve = jax.jit(solve_sdcp)
solve_many = jax.jit(jax.vmap(solve_sdcp))
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None)


def symmetric(rng, k=K):
    a = rng.standard_normal((k, k))
    return a + a.T


def operator(rng, condition=1e2, skew=0.0, m=M):
    """A symmetric positive definite B plus a skew part."""
    q = np.linalg.qr(rng.standard_normal((m, m)))[0]
    s = rng.standard_normal((m, m)) / np.sqrt(m)
    return (q * condition ** -rng.uniform(0, 1, m)) @ q.T + skew * (s - s.T)


def embedded(a, b):
    """The problem as the first directions of K, with rubbish in the others."""
    rng, k = np.random.default_rng(0), len(a)
    big, wide = symmetric(rng), operator(rng)
    i, j = np.triu_indices(K)
    inside = np.flatnonzero((i < k) & (j < k))
    big[:k, :k], wide[np.ix_(inside, inside)] = a, b
    return jnp.asarray(big), jnp.asarray(wide), jnp.arange(K) < k


def require_solution(a, b, found, tolerance=1e-11):
    """Both in the cone, orthogonal, and Y = a + B[X]: in numpy alone."""
    x, y = np.asarray(found.x), np.asarray(found.slack)
    expected = np.asarray(a) + np.asarray(smat(jnp.asarray(b @ svec(found.x))))
    size = np.linalg.norm(a) + np.linalg.norm(b) * np.linalg.norm(x)
    np.testing.assert_allclose(y, expected, atol=1e-14 * size)
    assert np.linalg.eigvalsh(x)[0] >= -1e-14 * np.linalg.norm(x)
    assert np.linalg.eigvalsh(y)[0] >= -tolerance * size
    assert abs(np.sum(x * y)) <= tolerance * size * np.linalg.norm(x)
    assert found.converged


def test_coordinates_are_orthonormal():
    rng = np.random.default_rng(1)
    s, t = (jnp.asarray(symmetric(rng)) for _ in range(2))
    np.testing.assert_allclose(svec(s) @ svec(t), np.trace(s @ t), rtol=1e-14)
    np.testing.assert_allclose(smat(svec(s)), s, rtol=1e-15)
    expected = [s[0, 0], np.sqrt(2) * s[0, 1], s[1, 1]]
    np.testing.assert_allclose(svec(s[:2, :2]), expected, rtol=1e-15)
    skew = jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(svec(skew), np.zeros(3))


def test_shapes_that_do_not_fit():
    with pytest.raises(BadInput, match="m = k"):
        solve_sdcp(jnp.eye(2), jnp.eye(4))
    with pytest.raises(BadInput, match="mask"):
        solve_sdcp(jnp.eye(2), jnp.eye(3), jnp.ones(3, bool))
    with pytest.raises(BadInput, match="length"):
        smat(jnp.ones(5))


@pytest.mark.parametrize("a", [-1.7, 0.0, 0.8])
def test_one_direction_is_a_quotient(a):
    found = solve(*embedded([[a]], [[2.5]]))
    expected = np.zeros((K, K))
    expected[0, 0] = max(0.0, -a / 2.5)
    np.testing.assert_allclose(found.x, expected, rtol=1e-15)
    np.testing.assert_allclose(found.slack[0, 0], max(a, 0.0), atol=1e-15)
    assert found.converged and found.iterations == 0


def test_no_direction_is_nothing():
    a, b, _ = embedded([[-1.0]], [[1.0]])
    found = solve(a, b, jnp.zeros(K, bool))
    assert not found.x.any() and not found.slack.any() and found.converged


@few
@given(seeds)
def test_a_multiple_of_the_identity_is_a_projection(seed):
    rng = np.random.default_rng(seed)
    a, c = symmetric(rng), 10 ** rng.uniform(-4, 4)
    e, q = scipy.linalg.eigh(-a)
    found = solve(jnp.asarray(a), c * jnp.eye(M), jnp.ones(K, bool))
    expected = (q * np.maximum(e, 0)) @ q.T / c
    np.testing.assert_allclose(found.x, expected, atol=1e-13 * np.linalg.norm(a) / c)
    assert found.iterations == 0


@few
@given(seeds, st.sampled_from([0.0, 0.3, 3.0]))
def test_feasible_complementary_and_invariant_to_scale(seed, skew):
    rng = np.random.default_rng(seed)
    a, b = symmetric(rng), operator(rng, skew=skew)
    on = jnp.ones(K, bool)
    found = solve(jnp.asarray(a), jnp.asarray(b), on)
    require_solution(a, b, found)
    assert found.residual < 1e-12
    assert found.iterations <= (20 if skew < 1 else 60)
    s, r = 10 ** rng.uniform(-4, 4, 2)
    scaled = solve(jnp.asarray(s * a), jnp.asarray(r * b), on)
    size = float(jnp.linalg.norm(found.x))
    np.testing.assert_allclose(scaled.x * (r / s), found.x, atol=1e-9 * (1 + size))


@few
@given(seeds)
def test_a_rotated_problem_has_the_rotated_solution(seed):
    rng = np.random.default_rng(seed)
    a, b = symmetric(rng), operator(rng, skew=0.3)
    q = np.linalg.qr(rng.standard_normal((K, K)))[0]
    basis = np.eye(M)
    turn = np.stack(
        [np.asarray(svec(jnp.asarray(q @ smat(jnp.asarray(e)) @ q.T))) for e in basis],
        axis=1,
    )
    on = jnp.ones(K, bool)
    found = solve(jnp.asarray(a), jnp.asarray(b), on)
    other = solve(jnp.asarray(q @ a @ q.T), jnp.asarray(turn @ b @ turn.T), on)
    np.testing.assert_allclose(other.x, q @ np.asarray(found.x) @ q.T, atol=1e-9)


def test_inactive_directions_have_no_part():
    k, m = 2, 3
    rng = np.random.default_rng(k)
    a, b = symmetric(rng, k), operator(rng, skew=0.3, m=m)
    small = solve(jnp.asarray(a), jnp.asarray(b))
    found = solve(*embedded(a, b))
    np.testing.assert_allclose(found.x[:k, :k], small.x, atol=1e-11)
    np.testing.assert_allclose(found.slack[:k, :k], small.slack, atol=1e-11)
    for part in (found.x, found.slack):
        assert not part[k:].any() and not part[:, k:].any()
    require_solution(a, b, small)


@pytest.mark.slow
def test_a_batch_is_its_problems_one_by_one():
    rng = np.random.default_rng(5)
    a = jnp.asarray(np.stack([symmetric(rng) for _ in range(5)]))
    b = jnp.asarray(np.stack([operator(rng, skew=0.3) for _ in range(5)]))
    on = jnp.arange(K)[None, :] < jnp.arange(5)[:, None]
    batch = solve_many(a, b, on)
    for n in range(5):
        alone = solve(a[n], b[n], on[n])
        np.testing.assert_allclose(batch.x[n], alone.x, atol=1e-11)
        assert batch.converged[n] and alone.converged


@pytest.mark.slow
def test_hard_operators_by_the_interior_point_method():
    # Newton's method alone does not solve these in its 12 steps.
    rng = np.random.default_rng(0)
    a = np.stack([symmetric(rng) for _ in range(5)])
    b = np.stack([operator(rng, skew=30.0) for _ in range(5)])
    b[3:] = [operator(rng, condition=1e6) for _ in range(2)]
    found = solve_many(jnp.asarray(a), jnp.asarray(b), jnp.ones((5, K), bool))
    assert (found.iterations > 12).any() and (found.iterations < 60).all()
    assert (found.residual < 1e-12).all()
    for n in range(5):
        require_solution(a[n], b[n], jax.tree.map(lambda f, n=n: f[n], found), 1e-10)


def test_the_minimum_of_a_convex_solver():
    cvxpy = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(7)
    a, b = symmetric(rng), operator(rng, condition=10.0)
    x = cvxpy.Variable((K, K), PSD=True)
    i, j = np.triu_indices(K)
    weight = np.where(i == j, 1.0, np.sqrt(2.0))
    coordinates = cvxpy.hstack(
        [w * x[p, q] for w, p, q in zip(weight, i, j, strict=True)]
    )
    root = np.linalg.cholesky(b).T
    loss = 0.5 * cvxpy.sum_squares(root @ coordinates) + cvxpy.trace(a @ x)
    cvxpy.Problem(cvxpy.Minimize(loss)).solve(solver=cvxpy.CLARABEL)
    found = solve(jnp.asarray(a), jnp.asarray(b), jnp.ones(K, bool)).x
    assert 0 < np.linalg.matrix_rank(found, tol=1e-9) < K  # neither cone's interior
    # The cone solver's gap of 1e-8 leaves about its root in X, flat directions more.
    np.testing.assert_allclose(found, x.value, atol=1e-4 * np.linalg.norm(found))


def test_singular_operators_have_a_solution_or_say_so():
    on = jnp.arange(K) < 2
    one, null = np.diag([1.0, 0.0]), np.diag([1.0, 1.0, 0.0])
    zero = np.zeros((3, 3))
    for a, b, solvable in [
        (np.diag([-1.0, 2.0]), null, True),
        (one, zero, True),
        (0 * one, zero, True),
        (np.diag([-1.0, 2.0]), zero, False),
        (np.diag([1.0, -2.0]), null, False),
    ]:
        found = solve(*embedded(a, b)[:2], on)
        assert bool(found.converged) is solvable
        assert np.isfinite(found.x).all() and np.isfinite(found.slack).all()
        if solvable:
            require_solution(*embedded_alone(a, b, found))


def embedded_alone(a, b, found):
    cut = found._replace(x=found.x[:2, :2], slack=found.slack[:2, :2])
    return a, b, cut


def test_not_a_number_never_converges():
    found = solve(jnp.eye(K) * jnp.nan, jnp.eye(M), jnp.ones(K, bool))
    assert not found.converged


# -- derivatives ---------------------------------------------------------------


@jax.jit
def slopes(a, b, on, da, db, w):
    """The derivative along (da, db) forwards, and the same number backwards."""

    def functional(a, b):
        found = solve_sdcp(a, b, on)
        return jnp.sum(w * found.x) + jnp.sum(jnp.cos(w) * found.slack)

    forward = jax.jvp(functional, (a, b), (da, db))[1]
    ga, gb = jax.grad(functional, argnums=(0, 1))(a, b)
    return forward, jnp.sum(ga * da) + jnp.sum(gb * db), (ga, gb)


def difference(a, b, on, da, db, w, h=1e-5):
    def functional(t):
        found = solve(a + t * da, b + t * db, on)
        return jnp.sum(w * found.x) + jnp.sum(jnp.cos(w) * found.slack)

    return (functional(h) - functional(-h)) / (2 * h)


def problem(case):
    rng = np.random.default_rng(11)
    a, b, active = symmetric(rng), operator(rng, 10.0, skew=0.3), np.ones(K, bool)
    if case == "repeated eigenvalues":  # of Z = -a: two above 0, two below
        q = np.linalg.qr(rng.standard_normal((K, K)))[0]
        a, b = (q * [-1.0, -1.0, 2.0, 2.0]) @ q.T, np.eye(M)
    if case == "two active":
        active = np.array([True, False, True, False])
        a = a - 3 * np.eye(K)
    if case == "one active":
        active, a = np.arange(K) < 1, a - 5 * np.eye(K)
    return jnp.asarray(a), jnp.asarray(b), jnp.asarray(active)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["all active", "repeated eigenvalues", "two active", "one active"]
)
def test_derivatives_are_those_of_differences(case):
    a, b, on = problem(case)
    rng = np.random.default_rng(12)
    da, w = jnp.asarray(symmetric(rng)), jnp.asarray(symmetric(rng))
    db = jnp.asarray(rng.standard_normal((M, M)))
    forward, backward, (ga, gb) = slopes(a, b, on, da, db, w)
    np.testing.assert_allclose(forward, difference(a, b, on, da, db, w), rtol=1e-6)
    np.testing.assert_allclose(backward, forward, rtol=1e-11)
    # What is masked has no influence, hence no derivative.
    i, j = np.triu_indices(K)
    off = ~np.asarray(on)
    assert not ga[off].any() and not ga[:, off].any()
    assert not gb[off[i] | off[j]].any() and not gb[:, off[i] | off[j]].any()


@pytest.mark.slow
def test_single_precision():
    rng = np.random.default_rng(13)
    a, b = symmetric(rng), operator(rng, 10.0)
    single = solve(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
    assert single.x.dtype == jnp.float32 and single.converged
    double = solve(jnp.asarray(a), jnp.asarray(b), jnp.ones(K, bool))
    np.testing.assert_allclose(single.x, double.x, atol=1e-4)
