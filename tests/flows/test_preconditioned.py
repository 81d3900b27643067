"""Preconditioned flows against matrix exponentials, Newton's decay, outputs' decay."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import sympy as sp

from flows import (
    BadInput,
    GradientFlow,
    NaturalGradientFlow,
    NonFiniteState,
    PreconditionedFlow,
    SquareLoss,
    from_sympy,
    newton_flow,
    solve,
)
from flows.problems import quadratic, wavy

LOOSE = 3e-7  # the solver's local tolerance is 1e-8
X0 = np.array([1.0, -2.0, 0.5])


def spd(seed, n=3):
    m = np.random.default_rng(seed).standard_normal((n, n))
    a = m @ m.T + 0.5 * np.eye(n)
    return (a + a.T) / 2


def test_a_constant_matrix_against_the_matrix_exponential():
    a, p = spd(0), spd(1)
    run = solve(PreconditionedFlow(quadratic(a), p), jnp.asarray(X0), 0.0, 1.0)
    exact = scipy.linalg.expm(-np.linalg.solve(p, a)) @ X0
    np.testing.assert_allclose(run.states[-1], exact, atol=LOOSE)
    wrong = scipy.linalg.expm(-p @ a) @ X0
    assert np.max(np.abs(run.states[-1] - wrong)) > 0.1


def test_a_diagonal_is_its_matrix_and_a_function_is_its_value():
    a, d = spd(2), np.array([0.5, 1.0, 3.0])
    x = jnp.asarray(X0)
    fields = [
        PreconditionedFlow(quadratic(a), p).vector_field(0.3, x)
        for p in (d, np.diag(d), lambda t, x: jnp.diag(jnp.asarray(d)))
    ]
    for field in fields:
        np.testing.assert_allclose(field, -(a @ X0) / d, rtol=1e-13)
    same = PreconditionedFlow(quadratic(a), np.ones(3)).vector_field(0.0, x)
    np.testing.assert_array_equal(same, GradientFlow(quadratic(a)).vector_field(0.0, x))


def test_two_by_two_agrees_with_the_general_solver():
    p, x = spd(3, 2), jnp.array([0.7, -0.4])
    field = PreconditionedFlow(wavy(), p).vector_field(0.0, x)
    np.testing.assert_allclose(
        field, -np.linalg.solve(p, wavy().gradient(x)), rtol=1e-13
    )


@pytest.mark.slow
def test_a_moving_metric_sees_time_and_place():
    flow = PreconditionedFlow(quadratic([1.0]), lambda t, x: (1 + t) * (1 + x**2))
    # (1 + x²)/x dx = -dt/(1 + t)
    run = solve(flow, jnp.array([0.8]), 0.0, 2.0)
    x = np.asarray(run.states[:, 0])
    kept = np.log(x) + x**2 / 2 + np.log1p(np.asarray(run.times))
    np.testing.assert_allclose(kept, kept[0], atol=LOOSE)


@pytest.mark.slow
def test_newtons_gradient_decays_as_an_exponential():
    x, y = sp.symbols("x y", real=True)
    f = from_sympy(x**2 + x * y + y**2 + sp.exp(x - y) + x**4, [x, y])
    run = solve(newton_flow(f), jnp.array([1.2, 0.8]), 0.0, 2.0)
    g = np.asarray(jax.vmap(f.gradient)(run.states))
    exact = np.exp(-np.asarray(run.times))[:, None] * g[0]
    np.testing.assert_allclose(g, exact, atol=30 * LOOSE)
    assert np.max(np.abs(g - exact * exact / g[0])) > 0.1


@pytest.mark.slow
def test_a_singular_hessian_is_an_error_and_no_nan():
    """wavy has a point of det H = 0 on the way from here."""
    with pytest.raises(NonFiniteState, match="PreconditionedFlow"):
        solve(newton_flow(wavy()), jnp.array([1.2, 0.8]), 0.0, 2.0)


@pytest.mark.parametrize(
    "p",
    [
        np.array([1.0, 0.0, 1.0]),
        np.array([1.0, -1.0, 1.0]),
        np.array([1.0, np.nan, 1.0]),
        np.ones(2),
        np.array([[1.0, 0.5, 0], [0.0, 1, 0], [0, 0, 1]]),
        np.diag([1.0, 1.0, -1.0]),
    ],
)
def test_no_metric_is_refused(p):
    with pytest.raises(BadInput, match=r"definite|diagonal|finite and symmetric"):
        PreconditionedFlow(quadratic(spd(0)), p)


def outputs(x):
    return jnp.tanh(x[:3] + x[3:] * jnp.asarray([0.5, -1.0, 2.0])) * (1 + x[3:])


SIX = jnp.array([0.3, -0.2, 0.1, 0.4, 0.5, -0.3])


@pytest.mark.slow
def test_outputs_of_the_natural_flow_decay_together():
    f = SquareLoss(outputs, [0.4, 0.2, -0.3], 6)
    run = solve(NaturalGradientFlow(f), SIX, 0.0, 1.0)
    residual = np.asarray(jax.vmap(f.residual)(run.states))
    decay = np.exp(-np.asarray(run.times))
    np.testing.assert_allclose(residual, decay[:, None] * residual[0], atol=LOOSE)
    np.testing.assert_allclose(run.loss, run.loss[0] * decay**2, atol=LOOSE)


@pytest.mark.slow
def test_the_natural_field_against_the_pseudo_inverse_of_f():
    f = SquareLoss(outputs, [0.4, 0.2, -0.3], 6)
    field = eqx.filter_jit(NaturalGradientFlow(f).vector_field)(0.0, SIX)
    j = np.asarray(jax.jacobian(outputs)(SIX))
    dense = -np.linalg.pinv(j.T @ j, rcond=1e-12) @ np.asarray(f.gradient(SIX))
    np.testing.assert_allclose(field, dense, rtol=1e-8)
    one = SquareLoss(lambda x: outputs(x)[:1], [0.4], 6)
    j = j[:1]
    field = NaturalGradientFlow(one).vector_field(0.0, SIX)
    np.testing.assert_allclose(field, -np.linalg.pinv(j) @ one.residual(SIX), rtol=1e-9)


def test_a_rank_deficient_jacobian_and_a_vanishing_one():
    def doubled(x):
        return jnp.stack([x[0] + x[1], 2 * (x[0] + x[1])])

    f = SquareLoss(doubled, [1.0, 2.0], 2)
    field = NaturalGradientFlow(f).vector_field(0.0, jnp.zeros(2))
    np.testing.assert_allclose(field, [0.5, 0.5], rtol=1e-12)
    for m in (1, 2):
        flat = SquareLoss(lambda x, m=m: x[:1] * 0 + jnp.zeros(m), np.ones(m), 2)
        still = NaturalGradientFlow(flat).vector_field(0.0, jnp.ones(2))
        np.testing.assert_array_equal(still, [0.0, 0.0])


def test_square_losses_of_the_wrong_shape_are_refused():
    with pytest.raises(BadInput, match="outputs maps"):
        SquareLoss(outputs, [0.0, 1.0], 6)
    with pytest.raises(BadInput, match="no data"):
        SquareLoss(outputs, [0.4, 0.2, -0.3], 6).value(SIX, jnp.arange(2))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: SquareLoss(outputs, [1.0], -2), "n >= 1"),
        (lambda: SquareLoss(lambda x: x @ jnp.ones(3), [1.0], 2), "fails on 2"),
    ],
)
def test_bad_pieces_are_refused(call, word):
    with pytest.raises(BadInput, match=word):
        call()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3,), ()])
def test_a_metric_of_another_shape_is_refused(shape):
    flow = PreconditionedFlow(quadratic([1.0, 3.0]), lambda t, x: jnp.ones(shape))
    with pytest.raises(BadInput, match="diagonal of shape"):
        solve(flow, jnp.ones(2), 0.0, 0.5)


def test_a_start_in_another_precision_is_refused():
    flow = GradientFlow(quadratic([1.0, 3.0]))
    start = jnp.ones(2, jnp.float32)
    with (
        jax.numpy_dtype_promotion("standard"),
        pytest.raises(BadInput, match="one precision"),
    ):
        solve(flow, start, 0.0, 0.5)
