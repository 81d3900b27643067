"""Finite sums: means over rows, and quadratics beside the exponential of a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import flows
from flows import BadInput
from flows.finite_sums import rows_of

A = np.array([[1.0, -0.5], [0.3, 0.2], [-1.5, 0.8]])
TILTS = np.array([[0.4, -0.2], [0.0, 0.7], [-0.3, 0.1]])
# positive, singular (flat along one axis), indefinite; no two commute
ROOTS = np.array([[[1.0, 0.4], [0.4, 0.8]], [[0.6, 0.8], [0.8, -0.6]], np.eye(2)])
HESSIANS = np.stack(
    [
        ROOTS[0] @ ROOTS[0].T,
        np.outer([0.6, 0.8], [0.6, 0.8]),
        np.array([[0.5, 0.9], [0.9, -0.4]]),
    ]
)
X, V = jnp.asarray([0.7, -1.1]), jnp.asarray([-0.4, 0.9])
T, MASS, FRICTION = 1.7, 0.6, 0.9
GENERAL = flows.quadratic_sum(A, HESSIANS, tilts=TILTS)
PLAIN = flows.quadratic_sum(A, HESSIANS)


@jax.jit
def moves(tilted, plain, i, t, x, v, mass, friction):
    """(flow, its integral, damped flow) with tilts, and damped without."""
    return (
        tilted.summand_flow(i, t, x, friction),
        tilted.summand_integral(i, t, x, friction),
        *tilted.summand_damped_flow(i, t, x, v, mass, friction),
        *plain.summand_damped_flow(i, t, x, v, mass, friction),
        plain.summand_damped_integral(i, t, x, v, mass, friction),
    )


def true_moves(i, t, tilt):
    """Of (state, its integral, 1) by scipy's exponential of one matrix."""
    h, c = HESSIANS[i], TILTS[i] * tilt - HESSIANS[i] @ A[i]
    slow = np.zeros((5, 5))
    slow[:2, :2], slow[:2, 4], slow[2:4, :2] = -h / FRICTION, -c / FRICTION, np.eye(2)
    fast = np.zeros((7, 7))
    fast[:2, 2:4], fast[4:6, :2] = np.eye(2), np.eye(2)
    fast[2:4] = np.hstack([-h, -FRICTION * np.eye(2), np.zeros((2, 2)), -c[:, None]])
    fast[2:4] /= MASS
    a = expm(t * slow) @ np.hstack([X, 0, 0, 1])
    b = expm(t * fast) @ np.hstack([X, V, 0, 0, 1])
    return a[:2], a[2:4], b[:2], b[2:4], b[4:6]


@pytest.mark.parametrize("i", [0, 1, 2], ids=["bowl", "valley", "saddle"])
def test_summands_move_as_the_exponential_of_their_matrix(i):
    """Scipy's exponential is good to some 1e-14 of its largest entry, here below 10."""
    for t in (T, 1e-4):
        found = moves(GENERAL, PLAIN, i, t, X, V, MASS, FRICTION)
        true = *true_moves(i, t, 1.0)[:4], *true_moves(i, t, 0.0)[2:]
        for ours, other in zip(found, true, strict=True):
            np.testing.assert_allclose(ours, other, rtol=1e-12, atol=1e-13)
    far = moves(GENERAL, PLAIN, i, T, X, V, MASS, FRICTION)
    assert np.max(np.abs(far[2] - far[4])) > 0.05  # the tilt counts
    assert GENERAL.summand_damped_integral(i, T, X, V, MASS, FRICTION) is None


def test_the_four_ways_to_write_a_curvature_agree():
    eye = np.eye(2)
    ways = (0.8, np.full(3, 0.8), np.full((3, 2), 0.8), np.stack([0.8 * eye] * 3))
    sums = [flows.quadratic_sum(A, h) for h in ways]

    @jax.jit
    def look(sums):
        return [(f.summand_flow(1, T, X, FRICTION), f.gradient(X)) for f in sums]

    for x, slope in look(sums):
        np.testing.assert_allclose(
            x, A[1] + np.exp(-0.8 * T / FRICTION) * (X - A[1]), rtol=1e-14
        )
        np.testing.assert_allclose(slope, 0.8 * (X - A.mean(0)), rtol=1e-14)


def test_values_and_gradients_are_means_over_the_rows_asked():
    def value(i, x):
        u = x - A[i]
        return u @ HESSIANS[i] @ u / 2 + TILTS[i] @ u

    def slope(i, x):
        return HESSIANS[i] @ (x - A[i]) + TILTS[i]

    asked = ([0, 1, 2], [2], [1, 1, 2])

    @jax.jit
    def look(f, x):
        batches = [None, jnp.asarray(asked[1]), jnp.asarray(asked[2])]
        both = [(f.value(x, batch), f.gradient(x, batch)) for batch in batches]
        return both, jax.grad(f.value)(x)

    both, traced = look(GENERAL, X)
    for rows, (found, gradient) in zip(asked, both, strict=True):
        true = np.mean([value(i, X) for i in rows])
        assert abs(float(found) - true) < 1e-14
        true = np.mean([slope(i, X) for i in rows], axis=0)
        np.testing.assert_allclose(gradient, true, rtol=1e-13)
    np.testing.assert_allclose(traced, both[0][1], rtol=1e-13)


def test_a_finite_sum_is_the_mean_of_its_losses():
    losses = [flows.from_loss(lambda x, a=a: jnp.sum((x - a) ** 4), X) for a in A]
    f = flows.finite_sum(losses)
    assert (f.rows, f.size, rows_of(f)) == (3, 2, 3)
    pairs = jnp.asarray([0, 2])

    @jax.jit
    def look(x):
        return f.value(x, pairs), f.gradient(x, pairs), f.gradient(x, 1)

    x = np.asarray(X)
    value, mean, single = look(X)
    np.testing.assert_allclose(f.gradient(X), jax.grad(f.value)(X), rtol=1e-13)
    assert abs(
        float(value) / np.mean([np.sum((x - A[i]) ** 4) for i in (0, 2)]) - 1
    ) < (1e-14)
    true = np.mean([4 * (x - A[i]) ** 3 for i in (0, 2)], axis=0)
    np.testing.assert_allclose(mean, true, rtol=1e-13)
    np.testing.assert_allclose(single, 4 * (x - A[1]) ** 3, rtol=1e-13)


def test_one_label_evaluates_one_loss():
    """The others would count up; under a map over labels all are evaluated."""
    seen = []

    def loss(x, i):
        jax.debug.callback(lambda: seen.append(i))
        return (i + 1) * jnp.sum(x**2)

    f = flows.finite_sum(
        [flows.from_loss(lambda x, i=i: loss(x, i), X) for i in (0, 1)]
    )
    for label in (1, jnp.asarray([1])):
        np.testing.assert_allclose(f.gradient(X, label), 4 * X, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(f.gradient)(X, jnp.asarray([1])), 4 * X)
    jax.effects_barrier()
    assert seen == [1, 1, 1]
    many = jax.vmap(f.gradient, (None, 0))(X, jnp.asarray([1, 0]))
    np.testing.assert_allclose(many, [4 * X, 2 * X], rtol=1e-14)


def test_quadratics_are_differentiated_in_their_numbers():
    """d/dκ of ½ κ |x - a|² is ½ |x - a|², d/da is -κ (x - a), through the door."""

    @jax.jit
    @jax.grad
    def slopes(numbers):
        return flows.quadratic_sum(*numbers[:2], tilts=numbers[2]).value(X)

    centres, curvatures, tilts = slopes((A, np.full(3, 0.8), 0 * A))
    u = np.asarray(X) - A
    np.testing.assert_allclose(centres, -0.8 * u / 3, rtol=1e-13)
    np.testing.assert_allclose(curvatures, np.sum(u**2, axis=1) / 6, rtol=1e-13)
    np.testing.assert_allclose(tilts, u / 3, rtol=1e-13)


def test_sums_that_cannot_be_are_refused():
    skew = np.stack([[[1.0, 0.5], [0.0, 1.0]]] * 3)
    line = flows.from_loss(lambda x: jnp.sum(x), np.zeros(3))
    plane = flows.from_loss(lambda x: jnp.sum(x), np.zeros(2))
    for make, words in (
        (lambda: flows.quadratic_sum(A[0]), "centres"),
        (lambda: flows.quadratic_sum(A * np.nan), "centres"),
        (lambda: flows.quadratic_sum(A, np.ones(2)), "curvatures"),
        (lambda: flows.quadratic_sum(A, np.inf), "curvatures"),
        (lambda: flows.quadratic_sum(A, skew), "symmetric"),
        (lambda: flows.quadratic_sum(A, tilts=np.ones(3)), "tilts"),
        (lambda: flows.finite_sum([]), "at least one"),
        (lambda: flows.finite_sum([line, plane]), "one size"),
        (lambda: flows.finite_sum([jnp.sum]), "are objectives"),
        (lambda: flows.finite_sum(jnp.sum), "are objectives"),
        (lambda: flows.finite_sum(PLAIN), "finite sum as it stands"),
        (lambda: flows.finite_sum([plane]).value(X, 1), "indices 0, ..., 0"),
        (lambda: jax.jit(flows.quadratic_sum)(A, HESSIANS), "not traced"),
        (lambda: rows_of(plane), "rows"),
        (lambda: rows_of(3.0), "rows"),
    ):
        with pytest.raises(BadInput, match=words):
            make()
