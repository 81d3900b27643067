"""The principal flow against gradient descent's own closed form."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import (
    BadInput,
    GradientFlow,
    NonFiniteState,
    PrincipalFlow,
    PrincipalState,
    solve,
)
from flows.principal import principal_log
from flows.problems import quadratic, wavy

TIGHT = diffrax.PIDController(rtol=1e-12, atol=1e-12)


def iterates(flow, x, steps):
    """Real and imaginary parts at whole steps."""
    ts = flow.h * jnp.arange(float(steps + 1))
    run = solve(
        flow,
        flow.start(x),
        0.0,
        ts[-1],
        solver=diffrax.Dopri8(),
        stepsize_controller=TIGHT,
        saveat=diffrax.SaveAt(ts=ts),
    )
    return np.asarray(run.states.position), np.asarray(run.states.imaginary)


@pytest.mark.slow
def test_it_passes_through_gradient_descent_in_a_turned_basis():
    q, _ = np.linalg.qr(np.arange(9.0).reshape(3, 3) + np.eye(3))
    h, matrix = 0.3, q @ np.diag([0.9, 5.1, 7.2]) @ q.T
    matrix = (matrix + matrix.T) / 2
    x = np.array([1.0, -0.7, 0.4])
    real, imaginary = iterates(PrincipalFlow(quadratic(matrix), h), jnp.asarray(x), 5)
    step = np.eye(3) - h * matrix
    expected = [np.linalg.matrix_power(step, k) @ x for k in range(6)]
    np.testing.assert_allclose(real, expected, atol=1e-9)
    np.testing.assert_allclose(imaginary, 0.0, atol=1e-9)
    # negative control: gradient flow does not
    flow = GradientFlow(quadratic(matrix))
    end = solve(flow, jnp.asarray(x), 0.0, 5 * h).positions[-1]
    assert np.linalg.norm(np.asarray(end) - expected[-1]) > 0.1


@settings(max_examples=30, deadline=None)
@given(st.floats(-3.0, 4.0).filter(lambda a: abs(a - 1) > 1e-3))
def test_the_logarithm_is_numpys(a):
    real, turn = (float(v) for v in principal_log(jnp.asarray(a)))
    if abs(a) < 1e-12:
        # log(1 - a)/a = -1 - a/2 - ...; one rounding of it
        assert real == pytest.approx(-1 - a / 2, rel=4e-16, abs=0)
        assert turn == 0.0
        return
    expected = np.log(complex(1 - a)) / a
    assert real == pytest.approx(expected.real, rel=1e-9, abs=1e-12)
    # numpy's branch at a negative real number is +π too
    assert turn == pytest.approx(expected.imag, rel=1e-12)


def test_it_is_smooth_at_zero_where_the_formula_is_0_over_0():
    value = jax.grad(lambda a: principal_log(a)[0])
    for a in (0.0, 1e-9, 0.0199, 0.0201):
        slope = -sum(k * a ** (k - 1) / (k + 1) for k in range(1, 30))
        assert float(value(jnp.asarray(a))) == pytest.approx(slope, rel=1e-11)


def test_as_the_step_shrinks_it_is_gradient_flow():
    x = jnp.array([1.2, 0.8])
    field = PrincipalFlow(wavy(), 1e-9).vector_field(0.0, PrincipalState(x, 0 * x))
    np.testing.assert_allclose(field.position, -wavy().gradient(x), rtol=1e-7)
    np.testing.assert_array_equal(field.imaginary, 0.0)


@pytest.mark.slow
def test_at_the_singular_step_the_floor_decides():
    """At hλ = 1 the mode shrinks by `floor` a step, or the field is infinite."""
    f, x = quadratic([1.0, 0.5]), jnp.array([1.0, 1.0])
    real, _ = iterates(PrincipalFlow(f, 1.0, floor=1e-3), x, 2)
    np.testing.assert_allclose(real[1:, 0], [1e-3, 1e-6], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(real[1:, 1], [0.5, 0.25], rtol=1e-8)
    with pytest.raises(NonFiniteState):
        iterates(PrincipalFlow(f, 1.0, floor=0.0), x, 2)


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="floor"):
        PrincipalFlow(wavy(), 0.1, floor=1.5)
    with pytest.raises(BadInput, match="h is"):
        PrincipalFlow(wavy(), -0.1)
