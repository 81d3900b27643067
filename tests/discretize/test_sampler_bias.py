"""Effective potentials and bias constants, against closed forms and exact chains."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from scipy import integrate

from discretize import (
    Clipping,
    Euler,
    NormTaming,
    Polygonal,
    ProjectedEulerMaruyama,
    Splitting,
    StateRootTaming,
    StateTaming,
    TamedEuler,
    TruncatedEuler,
    bias_constants,
    bias_ladder,
    effective_potential,
    step_operators,
)
from flows import BadInput, Scheme, Step
from flows.problems import double_well, norm_power, quadratic
from sde import Diffusion, OrnsteinUhlenbeck, OverdampedLangevin

WELL = OverdampedLangevin(double_well(), 1.0)
X = sp.Symbol("x_0", real=True)
G = X**3 - X
EULER = sp.diff(sp.diff(G, X) / 2 - G**2 / 4, X)


def same(found, wanted):
    """Equal expressions, by values at points where no kink sits."""
    gap = sp.lambdify(X, found.slope - wanted)
    return max(abs(gap(x)) for x in (-2.3, -0.7, 0.4, 1.6)) < 1e-12


@pytest.mark.parametrize(
    ("scheme", "power", "slope"),
    [
        (Euler(), 1, EULER),
        (TamedEuler(NormTaming(0.25)), Fraction(1, 4), -G * sp.Abs(G)),
        (TamedEuler(Clipping()), 1, EULER),
        (ProjectedEulerMaruyama(), 1, EULER),
        (TruncatedEuler(), 1, EULER),
    ],
)
def test_schemes_of_every_power(scheme, power, slope):
    """Roots of h other than √h too; cut-offs that move off leave Euler's potential."""
    found = effective_potential(scheme, WELL)
    assert found.power == power
    assert same(found, slope)
    assert found.exact


def test_the_regulariser_is_tamed_apart():
    model = OverdampedLangevin(double_well(), 1.0, norm_power(0.5, 1.0))
    found = effective_potential(TamedEuler(Polygonal(0.1, 1.0)), model)
    boosted = G / (sp.Rational(1, 10) + sp.Abs(G)) - G * sp.Abs(G)
    assert found.power == Fraction(1, 2)
    assert same(found, boosted - X**5 / 2)


def test_the_closed_form_of_a_potential():
    found = effective_potential(TamedEuler(StateTaming(1.0)), WELL)
    assert sp.expand(found.potential() - (X**4 / 4 - X**6 / 6)) == 0
    with pytest.raises(BadInput, match="no polynomial"):
        effective_potential(TamedEuler(NormTaming()), WELL).potential()


def test_the_operators_of_a_step():
    """E φ(Y_h) of Euler's step: L φ at h, then b²/2 φ'' + bT φ''' + T²/2 φ''''."""
    found = step_operators(Euler(), WELL)
    assert set(found) == {1, 2}
    first = [sp.expand(a) for a in found[Fraction(1)]]
    assert first == [X - X**3, 1]
    wanted = [0, G**2 / 2, -G, sp.Rational(1, 2)]
    gaps = [sp.expand(a - b) for a, b in zip(found[Fraction(2)], wanted, strict=True)]
    assert gaps == [0, 0, 0, 0]


# The Ornstein-Uhlenbeck process: every constant in closed form.


def test_the_linear_chain_is_too_wide_by_a_quarter():
    """Var = (D/θ)/(1 - hθ/2): W₂ = √(D/θ)(hθ/4 + ...), W₁ = √(2/π) W₂."""
    theta, spread = 2.0, 0.7
    process = OrnsteinUhlenbeck(theta, jnp.full(1, 0.4), spread)
    found = bias_constants(Euler(), process)
    sd = np.sqrt(spread / theta)
    assert found.power == 1
    assert found.w2.value == pytest.approx(sd * theta / 4, rel=1e-12)
    assert found.w1.value == pytest.approx(
        np.sqrt(2 / np.pi) * sd * theta / 4, rel=1e-8
    )
    assert found.kl.value == pytest.approx(theta**2 / 16, rel=1e-12)
    # TV = ½ E|z² - 1| θ/4, and E|z² - 1| = 4 φ(1)
    wanted = theta / 2 * np.exp(-0.5) / np.sqrt(2 * np.pi)
    assert found.total_variation.value == pytest.approx(wanted, rel=1e-8)
    variance = found.slope(lambda x: (x - 0.4) ** 2)
    assert variance == pytest.approx(spread / 2, rel=1e-12)
    assert found.slope(lambda x: x) == pytest.approx(0, abs=1e-13)
    assert found.mean(lambda x: x) == pytest.approx(0.4, rel=1e-12)


class Spreading(Diffusion):
    """dX = -X dt + √(1 + X²/4) dB: noise that depends on the state."""

    def vector_field(self, t, y):
        return -y

    def brownian(self, y):
        return 1

    def noise(self, t, y, dw):
        return jnp.sqrt(1 + y**2 / 4) * dw


def test_noise_that_depends_on_the_state():
    """Euler's second moment closes: m = (1-h)² m + h (1 + m/4), m = 1/(7/4 - h)."""
    found = bias_constants(Euler(), Spreading(), box=(-60.0, 60.0))
    assert found.mean(np.square) == pytest.approx(4 / 7, rel=1e-9)
    assert found.slope(np.square) == pytest.approx((4 / 7) ** 2, rel=1e-7)


# The double well.


def test_constants_against_scipy_quadrature():
    """W₂ and Cov of mTULA's potential by nested adaptive quadrature."""
    found = bias_constants(TamedEuler(StateRootTaming(2.0)), WELL)
    phi = sp.lambdify(X, sp.integrate(sp.expand(EULER - G * X**4 / 2), X))

    def weight(x):
        return np.exp(-((x**2 - 1) ** 2) / 4)

    def integral(f, a=-5.0, b=5.0):
        return integrate.quad(f, a, b, epsabs=1e-13, epsrel=1e-10)[0]

    mass = integral(weight)
    mean = integral(lambda x: phi(x) * weight(x)) / mass
    second = integral(lambda x: x**2 * weight(x)) / mass
    tilted = integral(lambda x: (phi(x) - mean) * (x**2 - second) * weight(x)) / mass
    assert found.slope(np.square) == pytest.approx(-tilted, rel=1e-9)

    def squared(x):  # F₁²/π on x < 0, where F₁ is integrated from the left
        inner = integral(lambda z: (phi(z) - mean) * weight(z), -5.0, x)
        return inner**2 / weight(x) / mass

    assert found.w2.value == pytest.approx(
        np.sqrt(2 * integrate.quad(squared, -3.2, 0.0, epsabs=1e-8)[0]), rel=1e-5
    )
    assert found.w2.bound < 1e-10


def test_the_chain_has_the_predicted_bias():
    """Two steps of TULA: the scaled bias of E x² and W₁ tends to the constants."""
    scheme = TamedEuler(NormTaming())
    found = bias_constants(scheme, WELL)
    ladder = bias_ladder(scheme, WELL, (0.05, 0.025))
    w1, bound = ladder.wasserstein()
    assert np.all(bound < 1e-6 * w1)
    scaled = w1 / ladder.h
    extrapolated = 2 * scaled[1] - scaled[0]
    assert extrapolated == pytest.approx(found.w1.value, rel=2e-3)
    moments, _ = ladder.differences(np.square)
    scaled = moments / ladder.h
    assert 2 * scaled[1] - scaled[0] == pytest.approx(found.slope(np.square), rel=1e-2)
    kl, _ = ladder.kl()
    tv, _ = ladder.total_variation()
    assert np.all(tv <= np.sqrt(kl / 2))  # Pinsker
    away = ladder.against(lambda x: np.exp(-(x**2) / 2))
    assert np.all(away.wasserstein()[0] > 0.05)


def test_untamed_chains_need_a_box():
    with pytest.raises(BadInput, match=r"no stationary law|losing mass"):
        bias_ladder(Euler(), WELL, (0.1,))
    ladder = bias_ladder(Euler(), WELL, (0.1,), box=(-4.0, 4.0))
    assert ladder.laws[0].kind == "quasi-stationary"


class Sluggish(Scheme):
    """Euler with half the drift."""

    def noise_like(self, dynamics, y):
        return Euler().noise_like(dynamics, y)

    def step(self, dynamics, t, y, h, noise, carry):
        drift = dynamics.vector_field(t, y)
        kick = dynamics.noise(t, y, jnp.sqrt(h) * noise)
        return Step(y + 0.5 * h * drift + kick, carry)


def test_what_has_no_bias_constants():
    process = OrnsteinUhlenbeck(1.0, jnp.zeros(1), 1.0)
    with pytest.raises(BadInput, match="no term up to"):
        effective_potential(Splitting("O"), process)
    with pytest.raises(BadInput, match="not consistent"):
        effective_potential(Sluggish(), WELL)
    with pytest.raises(BadInput, match="the loss takes 2"):
        effective_potential(Euler(), OverdampedLangevin(quadratic([1.0, 2.0])))
    with pytest.raises(BadInput, match="multiple of 1/2"):
        effective_potential(Euler(), WELL, upto=Fraction(1, 3))
    with pytest.raises(BadInput, match="without noise"):
        effective_potential(Euler(), OverdampedLangevin(double_well(), 0.0))
    with pytest.raises(BadInput, match="no stationary density"):
        bias_constants(Euler(), OverdampedLangevin(quadratic([-1.0])))
