"""Modified flows of multistep and momentum methods, and the logarithm of a step."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from helpers import WAVY_START, halving_slopes

from discretize import (
    Euler,
    ModifiedFlow,
    ModifiedMomentumFlow,
    StepLogarithm,
    modified_terms,
    momentum_modified,
    momentum_slip,
    multistep_terms,
)
from flows import BadInput, GradientFlow, ModifiedHeavyBallFlow, solve
from flows.problems import quadratic, wavy
from sde import OverdampedLangevin

START = jnp.array(WAVY_START)


def flow():
    return GradientFlow(wavy())


def at(field, y=START):
    return np.asarray(field(jnp.asarray(0.0), y))


def test_explicit_euler_is_a_multistep_method():
    """Bernoulli's recursion and the one over compositions, to the third term."""
    one = modified_terms(Euler(), flow(), 3)
    other = multistep_terms([-1.0, 1.0], [1.0, 0.0], flow(), 3)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(at(a), at(b), rtol=1e-12)


@pytest.mark.slow
def test_adams_bashforth_has_no_second_term():
    """Order 2: f₂ = 0 and f₃ = -(5/12) D²f, by the method's error constant 5/12."""
    terms = multistep_terms([0.0, -1.0, 1.0], [-0.5, 1.5, 0.0], flow(), 3)
    np.testing.assert_allclose(at(terms[1]), 0.0, atol=1e-14)

    def f(x):
        return flow().vector_field(0.0, x)

    def df(x):
        return jax.jvp(f, (x,), (f(x),))[1]

    second = jax.jvp(df, (START,), (f(START),))[1]
    np.testing.assert_allclose(at(terms[2]), -5 / 12 * second, rtol=1e-12)
    assert np.max(np.abs(second)) > 0.1


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_heavy_ball_has_the_flow_of_two_terms(beta):
    one = ModifiedMomentumFlow(flow(), 0.03, beta, 2)
    two = ModifiedHeavyBallFlow(wavy(), 0.03, beta)
    t = jnp.asarray(0.0)
    expected = two.vector_field(t, START)
    np.testing.assert_allclose(one.vector_field(t, START), expected, rtol=1e-12)
    other = ModifiedMomentumFlow(flow(), 0.03, beta, 2, nesterov=True)
    same = np.allclose(other.vector_field(t, START), expected, rtol=1e-6)
    assert same == (beta == 0)


def companion(a, beta, nesterov):
    """One step of (x, x₋₁) on x' = -a x/h."""
    if nesterov:
        return np.array([[(1 + beta) * (1 - a), -beta * (1 - a)], [1.0, 0.0]])
    return np.array([[1 + beta - a, -beta], [1.0, 0.0]])


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_terms_are_the_logarithm_of_the_slow_root(nesterov):
    """On a quadratic F = log(r₊)/h; numpy's eigenvalues are the oracle."""
    beta, hs, gaps = 0.4, 0.08 * 0.5 ** np.arange(4), []
    for h in hs:
        roots = np.linalg.eigvals(companion(h * 1.5, beta, nesterov))
        model = ModifiedMomentumFlow(
            GradientFlow(quadratic([1.5])), h, beta, 4, nesterov
        )
        rate = float(model.vector_field(jnp.asarray(0.0), jnp.ones(1))[0])
        gaps.append(abs(rate - np.log(max(roots.real)) / h))
    slopes = halving_slopes(gaps)
    assert abs(2 * slopes[-1] - slopes[-2] - 4) < 0.1  # the first term left out


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_slip_is_the_amplitude_of_the_slow_root(nesterov, order):
    """x_k = A r₊^k + B r₋^k: A by numpy from the start, velocity 0."""
    beta, hs, gaps = 0.4, 0.02 * 0.5 ** np.arange(4), []
    model = GradientFlow(quadratic([1.5]))
    for h in hs:
        a = h * 1.5
        roots, vectors = scipy.linalg.eig(companion(a, beta, nesterov))
        before = 1 / (1 - a) if nesterov else 1.0  # x₋₁ with velocity 0 after it
        weights = np.linalg.solve(vectors, [1.0, before])
        slow = int(np.argmax(roots.real))
        amplitude = (weights[slow] * vectors[0, slow]).real
        y0 = momentum_slip(model, h, beta, jnp.ones(1), order=order, nesterov=nesterov)
        gaps.append(abs(float(y0[0]) - amplitude))
    slopes = halving_slopes(gaps)
    assert abs(2 * slopes[-1] - slopes[-2] - (order + 1)) < 0.05


def test_the_logarithm_is_exact_where_the_differences_end():
    """On x' = -x the step multiplies by 1 - h: the series of log(1 - h)/h, by hand."""
    h, model = 0.2, GradientFlow(quadratic([1.0]))
    for p in (1, 3, 8):
        rate = StepLogarithm(model, Euler(), h, p).vector_field(
            jnp.asarray(0.0), jnp.ones(1)
        )
        expected = sum((-1) ** (k + 1) / k * (-h) ** k for k in range(1, p + 1)) / h
        np.testing.assert_allclose(rate, expected, rtol=1e-12)


def test_the_logarithm_agrees_with_the_terms_to_their_order():
    gaps = []
    for h in 0.02 * 0.5 ** np.arange(4):
        pair = (cls(flow(), Euler(), h, 3) for cls in (StepLogarithm, ModifiedFlow))
        a, b = (at(model.vector_field) for model in pair)
        gaps.append(np.linalg.norm(a - b))
    slopes = halving_slopes(gaps)
    assert abs(2 * slopes[-1] - slopes[-2] - 3) < 0.1


@pytest.mark.slow
def test_the_flows_can_be_solved_and_differentiated_in_h():
    def end(h):
        model = ModifiedMomentumFlow(GradientFlow(quadratic([1.0])), h, 0.5, 2)
        run = solve(model, jnp.ones(1), 0.0, 1.0, saveat=diffrax.SaveAt(t1=True))
        return run.states[-1, 0]

    h, beta = 0.05, 0.5  # y' = -y/(1-β) - h (1+β)/(2(1-β)³) y
    curve = (1 + beta) / (2 * (1 - beta) ** 3)
    value, slope = jax.value_and_grad(end)(h)
    expected = np.exp(-1 / (1 - beta) - h * curve)
    np.testing.assert_allclose([value, slope], [expected, -curve * expected], rtol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="1 to 8"):
        StepLogarithm(flow(), Euler(), 0.1, 9)
    with pytest.raises(BadInput, match=r"\[0, 1\)"):
        ModifiedMomentumFlow(flow(), 0.1, 1.0)
    with pytest.raises(BadInput, match="one length"):
        multistep_terms([-1.0, 1.0], [1.0], flow(), 2)
    with pytest.raises(BadInput, match="sum to 0"):
        multistep_terms([-1.0, 2.0], [1.0, 0.0], flow(), 2)
    with pytest.raises(BadInput, match="simple root"):
        multistep_terms([1.0, -2.0, 1.0], [0.0, 1.0, 0.0], flow(), 2)
    with pytest.raises(BadInput, match="order 0, 1 or 2"):
        momentum_slip(flow(), 0.1, 0.5, START, order=3)
    with pytest.raises(BadInput, match="from 1 to 3"):
        momentum_modified(4)
    noisy = StepLogarithm(OverdampedLangevin(wavy()), Euler(), 0.1, 2)
    with pytest.raises(BadInput, match="draws noise"):
        noisy.vector_field(jnp.asarray(0.0), START)
