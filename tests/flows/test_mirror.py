"""Mirror flows against closed forms; the potentials against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from flows import (
    BadInput,
    DualMirrorFlow,
    Entropy,
    EuclideanPotential,
    GradientFlow,
    MirrorFlow,
    SimplexEntropy,
    iterate,
    solve,
)
from flows.mirror import _require_potential
from flows.problems import quadratic, taylor_polynomial, wavy

LOOSE = 3e-7
POTENTIALS = [EuclideanPotential(), Entropy(), SimplexEntropy()]
W = np.array([0.2, 0.3, 0.5])
COST = np.array([1.0, 0.35, 2.2])


@pytest.mark.parametrize("potential", POTENTIALS, ids=lambda p: type(p).__name__)
def test_potentials_against_automatic_differentiation(potential):
    x = jnp.asarray(W)
    g = jnp.asarray(COST)
    # On the simplex all maps are known up to multiples of (1, 1, 1).
    free = isinstance(potential, SimplexEntropy)
    gap = jax.grad(potential.value)(x) - potential.gradient(x)
    assert np.ptp(gap) < 1e-14
    assert free or np.max(np.abs(gap)) < 1e-14
    np.testing.assert_allclose(potential.inverse(potential.gradient(x)), W, rtol=1e-14)
    moved = jax.jvp(potential.inverse, (potential.gradient(x),), (-g,))[1]
    np.testing.assert_allclose(potential.descend(x, g), moved, rtol=1e-13)


def test_divergences_against_scipy():
    p, x = jnp.array([0.6, 0.3, 0.1]), jnp.asarray(W)
    kl = rel_entr(np.asarray(p), W).sum()
    assert float(SimplexEntropy().divergence(p, x)) == pytest.approx(kl, rel=1e-13)
    assert float(Entropy().divergence(2 * p, x)) == pytest.approx(
        rel_entr(2 * np.asarray(p), W).sum() - 2 + 1, rel=1e-13
    )
    assert float(EuclideanPotential().divergence(p, x)) == pytest.approx(
        0.5 * np.sum((np.asarray(p) - W) ** 2), rel=1e-13
    )


def test_a_linear_cost_is_a_softmax():
    f = taylor_polynomial(3, 1, COST)
    run = solve(MirrorFlow(f, SimplexEntropy()), jnp.asarray(W), 0.0, 3.0)
    t = np.asarray(run.times)[:, None]
    np.testing.assert_allclose(
        run.states, softmax(np.log(W) - t * COST, axis=1), atol=LOOSE
    )
    wrong = W * np.exp(-t * COST)
    assert np.max(np.abs(run.states - wrong)) > 0.1


def test_primal_and_dual_are_one_motion():
    """The position of the dual flow moves with the primal field."""
    f, x = quadratic(np.array([[2.0, 1.5, 0.0], [1.5, 2.0, 0.3], [0.0, 0.3, 1.0]])), W
    for potential in POTENTIALS:
        dual = DualMirrorFlow(f, potential)
        z = dual.start(jnp.asarray(x))
        moved = jax.jvp(dual.position, (z,), (dual.vector_field(0.0, z),))[1]
        field = MirrorFlow(f, potential).vector_field(0.0, jnp.asarray(x))
        np.testing.assert_allclose(moved, field, rtol=1e-12, atol=1e-15)


def test_the_euclidean_potential_is_gradient_flow():
    x = jnp.array([1.2, 0.8])
    field = MirrorFlow(wavy(), EuclideanPotential()).vector_field(0.0, x)
    np.testing.assert_array_equal(field, GradientFlow(wavy()).vector_field(0.0, x))


def test_euler_in_the_dual_stays_inside_and_in_the_primal_leaves():
    from discretize import Euler

    f, h = taylor_polynomial(3, 1, COST), 1.6
    dual = DualMirrorFlow(f, SimplexEntropy())
    x0 = jnp.array([0.25, 0.05, 0.7])
    inside = iterate(Euler(), dual, dual.start(x0), h=h, steps=5).positions
    assert np.min(inside) > 0
    np.testing.assert_allclose(np.sum(inside, axis=1), 1.0, rtol=1e-14)
    out = iterate(Euler(), MirrorFlow(f, SimplexEntropy()), x0, h=h, steps=2).positions
    assert np.min(out) < -0.1


@pytest.mark.parametrize(
    ("potential", "x", "word"),
    [
        (SimplexEntropy(), [0.2, 0.2, 0.5], "sums to 1"),
        (SimplexEntropy(), [0.0, 0.5, 0.5], "> 0"),
        (Entropy(), [1.0, -0.1, 2.0], "> 0"),
        (Entropy(), [1.0, np.nan, 2.0], "> 0"),
    ],
)
def test_points_outside_the_domain_are_refused(potential, x, word):
    flow = DualMirrorFlow(quadratic([1.0, 1.0, 1.0]), potential)
    with pytest.raises(BadInput, match=word):
        flow.start(jnp.asarray(x))


def test_starts_outside_the_domain_are_refused_and_ends_start_again():
    from discretize import Euler

    f, half = quadratic([1.0, 3.0]), MirrorFlow(quadratic([1.0, 3.0]), Entropy())
    with pytest.raises(BadInput, match="> 0"):
        solve(half, jnp.array([-0.3, 1.3]), 0.0, 0.5)
    with pytest.raises(BadInput, match="> 0"):
        iterate(Euler(), half, jnp.array([-0.3, 1.3]), h=0.1, steps=2)
    simplex = MirrorFlow(f, SimplexEntropy())
    with pytest.raises(BadInput, match="sums to 1"):
        solve(simplex, jnp.array([0.3, 0.8]), 0.0, 0.5)
    first = solve(simplex, jnp.array([0.3, 0.7]), 0.0, 0.5)
    second = solve(simplex, first.states[-1], 0.5, 1.0)
    whole = solve(simplex, jnp.array([0.3, 0.7]), 0.0, 1.0)
    np.testing.assert_allclose(second.states[-1], whole.states[-1], atol=1e-7)


def test_a_class_is_no_potential():
    with pytest.raises(BadInput, match="SimplexEntropy"):
        _require_potential(SimplexEntropy)
    _require_potential(SimplexEntropy())
