"""Moment equations against closed forms; stationarity with wrong laws as controls."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import sympy as sp
from sde_helpers import switching, switching_quadratics

import flows
import sde
from flows import BadInput
from flows.symbolic import equal_symbolically, symbols_like
from sde import Moment

X, K = sp.symbols("x k", positive=True)
QUADRATIC = flows.from_sympy(K * X**2 / 2, [X], {K: 1.5})
QUARTIC = flows.from_sympy(X**4 / 4 - X**2 / 2, [X])
OU, ONE = sde.OrnsteinUhlenbeck(2.0, 0.5, 0.75), np.zeros(1)
KINETIC, PAIR = (
    sde.UnderdampedLangevin(QUADRATIC, 0.7, 0.4),
    sde.LangevinState(ONE, ONE),
)
SWITCHING = switching_quadratics([[1.0], [-1.0]], 1.3, 0.7)
LABELLED = sde.SwitchingState(ONE, np.asarray(0))
G, C, A = sp.symbols("rate curvatures friction", positive=True)


def symbolic_switching(convention="never_repeat", friction=None):
    model = switching_quadratics([[1.0], [-1.0]], 1.3, 0.7, convention)
    like = symbols_like(model, curvatures={"positive": True})
    whole = np.array([[sp.Integer(1)], [sp.Integer(-1)]], dtype=object)
    like = eqx.tree_at(lambda m: m.objective.centres, like, whole)
    return (
        like if friction is None else eqx.tree_at(lambda m: m.friction, like, friction)
    )


def equal(a, b):
    return equal_symbolically(sp.sympify(a), sp.sympify(b)).proved


def test_moment_equations_of_ornstein_uhlenbeck():
    model = symbols_like(OU)
    system = sde.moment_equations(model, 2, y=ONE)
    theta, m, d = model.rate, model.mean, model.diffusion
    assert system.moments == (Moment((1,)), Moment((2,))) and system.exact
    assert system.name(system.moments[1]) == "E[x_0^2]"
    assert equal(system.matrix[1, 0], 2 * theta * m)
    assert equal(system.matrix[1, 1], -2 * theta)
    assert equal(system.forcing[0], theta * m) and equal(system.forcing[1], 2 * d)
    stationary = system.stationary()
    assert equal(stationary[Moment((2,))], m**2 + d / theta)


def test_the_moment_equations_give_the_exact_transition():
    """m(t) by the matrix exponential, against the Gaussian's mean and variance."""
    system = sde.moment_equations(OU, 4, y=ONE, route="numeric")
    a, b = system.matrix, system.forcing
    big = np.block([[a, b[:, None]], [np.zeros((1, 5))]])
    x, t = 3.0, 0.6
    start = np.array([x, x**2, x**3, x**4, 1.0])
    found = scipy.linalg.expm(t * big) @ start
    mean = 0.5 + np.exp(-2.0 * t) * (x - 0.5)
    variance = 0.75 / 2.0 * (1 - np.exp(-4.0 * t))
    law = sde.gaussian_law([mean], [[variance]])
    exact = [float(law(Moment((k,)))) for k in range(1, 5)]
    np.testing.assert_allclose(found[:4], exact, rtol=1e-11)
    assert abs(system.abscissa() + 2.0) < 1e-10
    assert system.row(3) == 2


def test_kinetic_langevin_has_equipartition():
    stationary = sde.stationary_moments(symbols_like(KINETIC), 2, y=PAIR)
    temperature = sp.Symbol("temperature", positive=True)
    mass = sp.Symbol("mass", positive=True)
    k = sp.Symbol("k", real=True)
    assert equal(stationary[Moment((0, 2))], temperature / mass)
    assert equal(stationary[Moment((2, 0))] * k, temperature)
    assert stationary[Moment((1, 1))] == 0
    numeric = sde.stationary_moments(KINETIC, 2, y=PAIR, route="numeric")
    assert abs(numeric[Moment((2, 0))] - 0.4 / 1.5) < 1e-12
    assert abs(numeric[Moment((0, 2))] - 0.4) < 1e-12


@pytest.mark.parametrize("convention", ["never_repeat", "fresh_draw"])
def test_the_variance_of_the_switching_gradient(convention):
    """Var x = s² κ/(κ + αr) with s² = 1; r depends on the convention."""
    model = symbolic_switching(convention)
    stationary = sde.stationary_moments(model, 2, y=LABELLED)
    r = {"never_repeat": 2 * G, "fresh_draw": G}[convention]
    second = sum(stationary[Moment((2,), i)] for i in (0, 1))
    assert equal(second, C / (C + A * r))
    assert not equal(second, C / (C + A * (3 * G - r)))  # the other convention
    assert stationary[Moment((0,), 0)] == sp.Rational(1, 2)


@pytest.mark.slow
def test_three_labels_in_the_plane_against_the_vector_formula():
    """V = S κ/(κ + r) for a common scalar curvature, S the covariance of the a_i."""
    centres = np.array([[1.0, 0.0], [-1.0, 2.0], [0.5, 0.5]])
    model = switching_quadratics(centres, 1.3, 0.8)
    y = sde.SwitchingState(np.zeros(2), np.asarray(0))
    found = sde.stationary_moments(model, 2, y=y, route="numeric")
    mean = centres.mean(axis=0)
    s = np.cov(centres.T, bias=True)
    exact = s * 1.3 / (1.3 + 1.2) + np.outer(mean, mean)
    for alpha, value in (
        ((2, 0), exact[0, 0]),
        ((1, 1), exact[0, 1]),
        ((0, 2), exact[1, 1]),
        ((1, 0), mean[0]),
    ):
        total = sum(found[Moment(alpha, i)] for i in range(3))
        assert abs(total - value) < 1e-11


@pytest.mark.slow
def test_both_routes_give_one_matrix():
    for model, y in ((OU, ONE), (KINETIC, PAIR), (SWITCHING, LABELLED)):
        exact = sde.moment_equations(model, 3, y=y)
        fitted = sde.moment_equations(model, 3, y=y, route="numeric")
        assert exact.moments == fitted.moments and exact.symbolic
        assert not fitted.symbolic and not fitted.exact
        for a, b in (
            (exact.matrix, fitted.matrix),
            (exact.forcing, fitted.forcing),
        ):
            np.testing.assert_allclose(a.astype(float), b, atol=1e-9)


@pytest.mark.parametrize("route", ["symbolic", "numeric"])
def test_what_does_not_close_names_the_monomial_that_leaks(route):
    model = sde.OverdampedLangevin(QUARTIC, 0.5)
    with pytest.raises(BadInput, match=r"_0\^3 \(coefficient -(1|0\.99)"):
        sde.moment_equations(model, 1, y=ONE, route=route)
    wave = flows.from_loss(lambda x: jnp.cos(x[0]), jnp.zeros(1))
    with pytest.raises(BadInput, match="no polynomial"):
        sde.moment_equations(sde.OverdampedLangevin(wave), 2, y=ONE, route=route)


def test_moments_that_do_not_exist_are_refused():
    """Curvatures 2 and -1: second moments exist iff γ > 2·2·1/(2 - 1) = 4."""
    losses = tuple(
        flows.from_loss(lambda x, k=k: k / 2 * jnp.sum((x - k) ** 2), jnp.zeros(1))
        for k in (2.0, -1.0)
    )
    slow, fast = (switching(flows.finite_sum(losses), gamma) for gamma in (3.9, 4.1))
    with pytest.raises(BadInput, match="not stable"):
        sde.stationary_moments(slow, 2, y=LABELLED, route="numeric")
    found = sde.stationary_moments(fast, 2, y=LABELLED, route="numeric")
    assert found[Moment((2,), 0)] > 0 and found[Moment((2,), 1)] > 0
    first = sde.moment_equations(slow, 1, y=LABELLED, route="numeric")
    assert first.abscissa() < 0


def test_the_gaussian_is_stationary_and_a_wrong_one_is_not():
    model = symbols_like(OU, mean={"positive": True})
    m, variance = model.mean, model.diffusion / model.rate
    for scale, status in ((1, "proved"), (2, "refuted")):
        law = sde.gaussian_law([m], [[scale * variance]])
        assert sde.is_stationary(model, law, 4, y=ONE).status == status
    shifted = sde.gaussian_law([2 * m], [[variance]])
    assert sde.is_stationary(model, shifted, 1, y=ONE).status == "refuted"


def test_the_kinetic_gaussian_is_stationary():
    model = symbols_like(KINETIC)
    temperature, k = model.temperature, sp.Symbol("k", real=True)
    for kinetic, status in ((temperature, "proved"), (temperature / 2, "refuted")):
        variances = [[temperature / k, 0], [0, kinetic / model.mass]]
        law = sde.gaussian_law([0, 0], variances)
        assert sde.is_stationary(model, law, 3, y=PAIR).status == status


def test_the_two_state_law_is_stationary_and_a_wrong_rate_is_not():
    model = symbolic_switching(friction=sp.Integer(1))
    defects = sde.stationarity_defects(
        model, sde.two_state_law(2 * G, C), 3, y=LABELLED
    )
    assert len(defects) == 8 and all(sp.simplify(d) == 0 for d in defects.values())
    for r, status in ((2 * G, "proved"), (G, "refuted")):
        law = sde.two_state_law(r, C)
        assert sde.is_stationary(model, law, 4, y=LABELLED).status == status


def test_the_laws_moments_against_quadrature():
    from scipy.integrate import quad

    law, b = sde.two_state_law(2.6, 1.0), 1.3
    mass = quad(lambda x: (1 - x**2) ** (b - 1), -1, 1)[0]
    for label, sign in ((0, 1), (1, -1)):
        for k in range(5):
            value = quad(
                lambda x, k=k, s=sign: x**k * (1 + s * x) * (1 - x**2) ** (b - 1), -1, 1
            )[0]
            assert abs(float(law(Moment((k,), label))) - value / (2 * mass)) < 1e-7
    gauss = sde.gaussian_law([1.0, -1.0], [[1.25, 1.0], [1.0, 4.0]])
    # E x²y² by hand, as m₁²m₂² + m₁²C₂₂ + m₂²C₁₁ + 4m₁m₂C₁₂ + C₁₁C₂₂ + 2C₁₂²
    assert gauss(Moment((2, 2))) == 1 + 4 + 1.25 - 4 + 5 + 2


def test_bad_requests():
    for change in ({"degree": 0}, {"degree": 1.5}, {"route": "guess"}):
        arguments = {"degree": 2, "y": ONE} | change
        with pytest.raises(BadInput):
            sde.moment_equations(OU, **arguments)
    system = sde.moment_equations(OU, 1, y=ONE)
    with pytest.raises(BadInput, match="numeric"):
        system.abscissa()
    with pytest.raises(BadInput, match="no moment"):
        system.row(2)
    with pytest.raises(BadInput, match="covariance"):
        sde.gaussian_law([0.0], [1.0])
    with pytest.raises(BadInput, match="label"):
        sde.moment_equations(OU, 1, y=LABELLED)
