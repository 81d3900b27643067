"""The cubic model against scipy, mpmath and exact orbits; α and β by differences."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import sympy as sp
from helpers import small_net
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import BadInput, SelfStabilisation, cubic_model, from_sympy
from flows.central import (
    CentralFlow,
    GradientDescent,
    complementarity,
    covariance_trace,
)

MODEL = SelfStabilisation(0.2, 1.3)
START = np.array([0.3, 0.1])


def by_hand(t, y, a=0.2, b=1.3):
    return [y[0] * y[1], a - b * y[0] ** 2 / 2]


def by_scipy(t1, events=None, **options):
    options = {"rtol": 1e-12, "atol": 1e-13, "method": "DOP853"} | options
    return scipy.integrate.solve_ivp(
        by_hand, (0.0, t1), START, events=events, **options
    )


def test_the_orbit_of_scipy_is_the_flows_and_keeps_its_energy():
    reference = by_scipy(25.0, t_eval=np.linspace(0.0, 25.0, 60)).y.T
    x, y = reference.T
    energy = y**2 / 2 + 1.3 * x**2 / 4 - 0.2 * np.log(x)
    np.testing.assert_allclose(energy, energy[0], rtol=1e-10)
    assert np.ptp(x) > 0.5  # and it is no rest
    for state in reference[::20]:
        here = jnp.asarray(state)
        np.testing.assert_allclose(MODEL.vector_field(0.0, here), by_hand(0.0, state))
        assert float(MODEL.energy(here)) == pytest.approx(energy[0], rel=1e-10)


POSITIVE = st.floats(0.01, 100.0)


@settings(max_examples=30, deadline=None)
@given(POSITIVE, POSITIVE, st.floats(1e-3, 50.0))
def test_turning_points_have_the_energy_and_enclose_the_rest(a, b, more):
    model = SelfStabilisation(a, b)
    energy = float(model.energy(model.rest)) + a * more
    low, high = model.turning_points(energy)
    assert low < float(model.rest[0]) < high
    for x in (low, high):
        found = float(model.energy(jnp.array([x, 0.0])))
        assert found == pytest.approx(energy, rel=1e-10, abs=1e-10 * a * (1 + more))


def exact_period(model, energy):
    """2 ∫ dq/√(2(E - V(q))) in 30 digits, V = βe^{2q}/4 - αq."""
    with mp.workdps(30):
        a, b = mp.mpf(float(model.alpha)), mp.mpf(float(model.beta))
        energy = mp.mpf(energy)

        def gap(q):
            return energy - b / 4 * mp.e ** (2 * q) + a * q

        low, high = (
            mp.findroot(gap, mp.log(x)) for x in model.turning_points(float(energy))
        )
        middle, half = (low + high) / 2, (high - low) / 2

        def weight(theta):
            q = middle + half * mp.sin(theta)
            return half * mp.cos(theta) / mp.sqrt(2 * gap(q))

        # the integrand is 0/0 at both ends: a rule that stays away from them
        pieces = mp.linspace(-mp.pi / 2, mp.pi / 2, 5)
        return float(2 * mp.quad(weight, pieces, method="gauss-legendre"))


@pytest.mark.parametrize("more", [1e-2, 0.3, 4.0])
def test_the_period_by_quadrature_in_thirty_digits(more):
    energy = float(MODEL.energy(MODEL.rest)) + more
    assert MODEL.period(energy) == pytest.approx(exact_period(MODEL, energy), rel=1e-8)


def test_the_period_is_the_time_between_crossings():
    def crossing(t, y):
        return y[1]

    crossing.direction = 1
    found = by_scipy(60.0, events=crossing).t_events[0]
    period = MODEL.period(MODEL.energy(jnp.asarray(START)))
    np.testing.assert_allclose(np.diff(found), period, rtol=1e-9)
    # small cycles are harmonic, of frequency √(2α); this one is longer
    small = 2 * np.pi / np.sqrt(0.4)
    least = float(MODEL.energy(MODEL.rest))
    assert MODEL.period(least + 1e-6) == pytest.approx(small, rel=1e-5)
    assert period > 1.04 * small


def test_what_is_no_model_and_no_orbit_is_refused():
    with pytest.raises(BadInput, match="alpha is > 0"):
        SelfStabilisation(-0.1, 1.0)
    with pytest.raises(BadInput, match="beta is > 0"):
        SelfStabilisation(0.1, 0.0)
    with pytest.raises(BadInput, match="the least is"):
        MODEL.turning_points(MODEL.energy(MODEL.rest) - 1e-6)
    with pytest.raises(BadInput, match="learning_rate"):
        MODEL.loss(0.0)


def test_the_models_own_loss_gives_the_model_back():
    loss, y = MODEL.loss(0.1), jnp.array([0.4, -0.2])
    model = cubic_model(loss, MODEL.start(y))
    assert float(model.alpha) == pytest.approx(0.2, rel=1e-12)
    assert float(model.beta) == pytest.approx(1.3, rel=1e-12)
    x, height = np.asarray(model.coordinates(MODEL.start(y), 0.1))
    assert abs(x) == pytest.approx(0.4, rel=1e-12)
    assert height == pytest.approx(-0.2, rel=1e-10)
    assert float(model.flow.beta) == float(model.beta)


@pytest.fixture(scope="module")
def network():
    objective, params = small_net(hidden=3, rows=8)
    return objective, cubic_model(objective, objective.ravel(params))


@pytest.mark.slow
def test_alpha_and_beta_of_a_network_by_differences_of_its_eigenvalue(network):
    """The gradient of λ_max by central differences of the dense spectrum."""
    objective, model = network
    hessian = jax.jit(lambda x: objective.hessian(x))

    def top(x):
        return np.linalg.eigvalsh(hessian(jnp.asarray(x)))[-1]

    x, u = np.asarray(model.point), np.asarray(model.direction)
    h = 1e-4
    slope = np.array(
        [(top(x + h * e) - top(x - h * e)) / (2 * h) for e in np.eye(len(x))]
    )
    g = np.asarray(objective.gradient(model.point))
    across = slope - (slope @ u) * u
    assert abs(g @ u) < 1e-9 * np.linalg.norm(g)
    # differences: h² relative, and rounding/h
    np.testing.assert_allclose(model.slope, across, atol=1e-6 * np.linalg.norm(slope))
    assert float(model.alpha) == pytest.approx(-g @ across, rel=1e-4)
    assert float(model.beta) == pytest.approx(across @ across, rel=1e-5)
    # negative control: the part along u matters
    assert float(model.beta) < 0.999 * slope @ slope


def test_the_point_is_where_nothing_oscillates(network):
    """Moved along u, the same α; measured where it stands, α would be another."""
    objective, model = network
    u = model.direction
    pushed = cubic_model(objective, model.point + 0.05 * u)
    assert float(pushed.alpha) == pytest.approx(float(model.alpha), rel=0.02)
    raw = objective.gradient(model.point + 0.05 * u)
    assert abs(float(raw @ u)) > 0.04 * float(model.sharpness)


def test_a_hilltop_has_no_edge():
    x = sp.Symbol("x", real=True)
    with pytest.raises(BadInput, match="no edge"):
        cubic_model(from_sympy(-(x**2), [x]), jnp.array([0.1]))


@pytest.mark.slow
@pytest.mark.parametrize("settled", [True, False])
def test_the_central_flow_has_the_models_variance_once_settled(settled):
    """A loss with ∂³f/∂u³ = 6; its linear term along u decides ⟨w', u⟩ = 0."""
    x, z, q, pull = sp.symbols("x z q pull", real=True)
    a, b, d = 1.5, -0.4, 0.3
    expected = 2 * a * d / (a**2 + b**2)
    f = (20 + sp.Rational(3, 2) * z - sp.Rational(2, 5) * q) * x**2 / 2
    f = f + x**3 - sp.Rational(3, 10) * z + pull * x
    loss = from_sympy(f, [x, z, q], {pull: -3 * expected if settled else 0.0})
    model = cubic_model(loss, jnp.array([1e-3, 0.0, 0.0]))
    flow = CentralFlow(loss, GradientDescent(0.1))
    here = complementarity(flow, 0.0, flow.start(jnp.zeros(3)), size=3)
    found = float(covariance_trace(here.block.vectors, here.covariance))
    if settled:
        assert found == pytest.approx(expected, rel=1e-9)
        # the model is measured at ⟨∇f, u⟩ = 0, a step of σ²/40 ∂³f away
        assert float(model.flow.variance) == pytest.approx(expected, rel=0.1)
    else:
        # there ∇S counts with its part along u
        assert found == pytest.approx(expected * 2.41 / (2.41 + 36), rel=1e-9)
        assert float(model.flow.variance) == pytest.approx(expected, rel=1e-6)
