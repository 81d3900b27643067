"""The end-to-end flow of deep linear networks, against matrices done by scipy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from flows import BadInput, DeepLinearFlow, GradientFlow
from flows.problems import balanced_factors, deep_linear, quadratic

RNG = np.random.default_rng(0)


def power(a, exponent):
    """A symmetric power by scipy; the zeroth is the identity also of a singular A."""
    if exponent == 0:
        return np.eye(len(a))
    return fractional_matrix_power(a, exponent).real


def by_the_formula(w, g, n):
    """-Σ_j (W Wᵀ)^{(j-1)/N} G (Wᵀ W)^{(N-j)/N}."""
    return -sum(
        power(w @ w.T, (j - 1) / n) @ g @ power(w.T @ w, (n - j) / n)
        for j in range(1, n + 1)
    )


@eqx.filter_jit
def field(flow, y):
    return flow.vector_field(0.0, y)


def network(w, layers, target=None):
    """The flow of ½|W - Φ|², with layers wide enough, and its layers' objective."""
    phi = RNG.standard_normal(w.shape) if target is None else target
    objective = deep_linear(phi, (4,) * (layers - 1))
    return DeepLinearFlow(objective.loss, w.shape, layers), objective, w - phi


@pytest.mark.parametrize("layers", [2, 3, 5])
def test_square_matrices_against_scipys_powers(layers):
    w = RNG.standard_normal((3, 3))
    flow, _, g = network(w, layers)
    expected = by_the_formula(w, g, layers)
    found = field(flow, jnp.asarray(w.ravel()))
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("shape", "layers"),
    [((2, 4), 2), ((4, 2), 3), ((1, 3), 3), ((3, 1), 2), ((1, 1), 3)],
)
def test_the_product_of_balanced_layers_moves_by_it(shape, layers):
    """d(W_N ⋯ W_1)/dt by the chain rule, for matrices, vectors and a number."""
    w = RNG.standard_normal(shape)
    flow, objective, _ = network(w, layers)
    x = objective.ravel(balanced_factors(w, objective.widths[1:-1]))

    @eqx.filter_jit
    def rate(objective, x):
        return jax.jvp(objective.product, (x,), (-objective.gradient(x),))[1]

    expected = np.asarray(rate(objective, x)).ravel()
    found = field(flow, jnp.asarray(w.ravel()))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    # Negative control: another number of layers moves otherwise.
    other = DeepLinearFlow(objective.loss, shape, layers + 1)
    moved = np.asarray(field(other, jnp.asarray(w.ravel())))
    assert np.max(np.abs(moved - found)) > 1e-2


@pytest.mark.parametrize("layers", [2, 4])
def test_a_matrix_of_lower_rank_keeps_its_rank(layers):
    """Rounding in the vanished singular values is not raised to a small power."""
    w = np.outer([1.0, 2.0, -1.0], [0.5, 1.0, 3.0])
    flow, objective, _ = network(w, layers)
    x = objective.ravel(balanced_factors(w, objective.widths[1:-1]))
    velocity = objective.params(-objective.gradient(x))
    layers_ = objective.params(x)
    expected = sum(
        chain([velocity[k] if k == i else layers_[k] for k in range(layers)])
        for i in range(layers)
    )
    found = field(flow, jnp.asarray(w.ravel()))
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-12, atol=1e-12)
    # To first order the kernel and the cokernel stay apart: no new direction.
    left = np.eye(3) - np.outer([1, 2, -1], [1, 2, -1]) / 6
    right = np.eye(3) - np.outer([2, 4, 12], [2, 4, 12]) / 164
    new = left @ np.asarray(found).reshape(3, 3) @ right
    np.testing.assert_allclose(new, np.zeros((3, 3)), atol=1e-12)


def chain(factors):
    product = np.asarray(factors[0])
    for factor in factors[1:]:
        product = np.asarray(factor) @ product
    return product


def test_zero_is_a_saddle_of_two_layers_or_more():
    for shape in ((2, 2), (1, 3)):
        w = np.zeros(shape)
        for layers, speed in ((1, True), (2, False), (3, False)):
            flow, _, _ = network(w, layers)
            moved = field(flow, jnp.zeros(w.size))
            assert np.all(np.isfinite(moved))
            assert bool(np.any(np.asarray(moved) != 0)) is speed


def test_one_layer_is_gradient_flow_and_one_number_the_scalar_law():
    loss = quadratic([1.0, 2.0, 3.0, 4.0])
    x = jnp.asarray(RNG.standard_normal(4))
    flow = DeepLinearFlow(loss, (2, 2), 1)
    np.testing.assert_array_equal(field(flow, x), field(GradientFlow(loss), x))
    s, target = 0.3, 1.5
    flow = DeepLinearFlow(deep_linear([[target]], (1, 1)).loss, (1, 1), 3)
    expected = 3 * s ** (4 / 3) * (target - s)
    assert float(field(flow, jnp.array([s]))[0]) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("shape", "layers"), [((2, 3), 2), ((4, 0), 2), ((2, 2), 0), ((2, 2), -1)]
)
def test_shapes_that_do_not_fit_are_refused(shape, layers):
    with pytest.raises(BadInput):
        DeepLinearFlow(quadratic(np.ones(4)), shape, layers)
