from fractions import Fraction

import diffrax
import jax.numpy as jnp
import pytest
import sympy as sp

from discretize import (
    BAOAB,
    EXACT_EMA,
    Euler,
    RungeKutta,
    SemiImplicitEuler,
    Splitting,
    lie,
    local_defect,
    local_order,
    splitting_defect,
    strang,
)
from discretize.series import coefficients
from flows import (
    AdamFlow,
    AdamState,
    BadInput,
    Draw,
    GradientFlow,
    Scheme,
    Step,
    from_sympy,
)
from flows.symbolic import equal_symbolically, symbol_vector, symbols_like
from sde import (
    LangevinState,
    OrnsteinUhlenbeck,
    OverdampedLangevin,
    UnderdampedLangevin,
)

X, Y = sp.symbols("X Y", real=True)
K = sp.Symbol("k")
s = sp.Symbol("s", positive=True)


def gradient_flow():
    return GradientFlow(from_sympy(X**4 / 4 + X * Y**2, [X, Y]))


def langevin():
    """Kinetic Langevin dynamics on k x²/2, all parameters symbols."""
    quadratic = from_sympy(K * X**2 / 2, [X], {K: 1.0})
    return symbols_like(UnderdampedLangevin(quadratic))


def langevin_state():
    return LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))


MOMENTS = {
    "x²": lambda t, y: y.position[0] ** 2,
    "v²": lambda t, y: y.velocity[0] ** 2,
    "xv": lambda t, y: y.position[0] * y.velocity[0],
}


# -- series ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        sp.sqrt(1 - sp.exp(-2 * s**2)),
        (sp.exp(s) - 1) / s,
        sp.cos(s) * sp.log(1 + s),
        1 / (1 + sp.sqrt(s**2 + s**3) / s),
        sp.atan(X + s) + (2 + s) ** X,
    ],
)
def test_series_agree_with_sympys(expression):
    expected = sp.series(expression, s, 0, 5).removeO()
    found = sum(c * s**k for k, c in enumerate(coefficients(expression, s, 4)))
    point = {s: sp.Rational(1, 7), X: sp.Rational(2, 3)}
    assert abs(sp.N((expected - found).subs(point), 30)) < 1e-25


def test_series_resolve_kinks_by_signs_only():
    a = sp.Symbol("a", positive=True)
    assert coefficients(sp.Max(a - s, 0) + sp.Abs(s - a), s, 2) == [2 * a, -2, 0]
    for bad in (sp.Max(X + s, 0), 1 / s, sp.sqrt(s), sp.Piecewise((s, X > 0), (0, 1))):
        with pytest.raises(BadInput):
            coefficients(bad, s, 2)


# -- flows ----------------------------------------------------------------------


def test_eulers_leading_defect_is_half_v_prime_v():
    """φ = coordinate i: the defect of Euler is -h²/2 (v'v)_i + O(h³)."""
    flow, y = gradient_flow(), symbol_vector("x", 2)
    v = sp.Matrix([-(y[0] ** 3) - y[1] ** 2, -2 * y[0] * y[1]])
    expected = -(v.jacobian(list(y)) * v) / 2
    for i in range(2):
        found = local_defect(Euler(), flow, lambda t, y, i=i: y[i], y, 2)
        assert list(found) == [Fraction(2)]
        assert sp.expand(found[Fraction(2)] - expected[i]) == 0
    # negative control: with the sign turned it is not
    assert sp.expand(found[Fraction(2)] + expected[1]) != 0


@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        (Euler(), 1),
        (RungeKutta(diffrax.Heun()), 2),
        (RungeKutta(diffrax.Midpoint()), 2),
        (RungeKutta(diffrax.Bosh3()), 3),
    ],
)
def test_orders_of_runge_kutta_methods(scheme, order):
    flow = GradientFlow(from_sympy(X**4 / 4, [X]))
    assert local_order(scheme, flow, symbol_vector("x", 1), order + 1) == order
    assert local_order(scheme, flow, symbol_vector("x", 1), order) is None


def test_semi_implicit_euler_has_order_one():
    flow = langevin()
    found = local_defect(Splitting("A, B, O"), flow, MOMENTS["x²"], langevin_state(), 2)
    assert min(found) == 2
    with pytest.raises(BadInput, match="noise"):
        local_order(SemiImplicitEuler(), flow, langevin_state(), 2)


# -- diffusions -----------------------------------------------------------------


def test_euler_maruyama_on_ornstein_uhlenbeck():
    """E X² after one step, by hand: defect h² θ (θ x² (1 - 2) + 2 D) for mean 0."""
    process = OrnsteinUhlenbeck(1.0, 0.0, 1.0)
    process = symbols_like(process)
    x = symbol_vector("x", 1)
    theta, m, d = process.rate, process.mean, process.diffusion
    found = local_defect(Euler(), process, lambda t, y: y[0] ** 2, x, 2)
    h = sp.Symbol("h")
    step = sp.expand((x[0] - h * theta * (x[0] - m)) ** 2 + 2 * d * h)
    decay = sp.exp(-theta * h)
    exact = (m + decay * (x[0] - m)) ** 2 + d / theta * (1 - decay**2)
    by_hand = sp.series(step - exact, h, 0, 3).removeO().coeff(h, 2)
    assert list(found) == [Fraction(2)]
    assert sp.simplify(found[Fraction(2)] - by_hand) == 0
    family = [lambda t, y, p=p: y[0] ** p for p in (1, 2)]
    assert local_order(Euler(), process, x, 2, family=family) == 1
    # the exact transition has no defect at all
    assert local_defect(Splitting("O"), process, lambda t, y: y[0] ** 3, x, 3) == {}


class Tamed(Scheme):
    """y + h v/(1 + √h |v|) + σ √h ξ: taming with the root of the step."""

    def noise_like(self, dynamics, y):
        return Draw("normal", y.shape)

    def step(self, dynamics, t, y, h, noise, carry):
        v = dynamics.vector_field(t, y)
        root = jnp.sqrt(h)
        kick = dynamics.noise(t, y, root * noise)
        return Step(y + h * v / (1 + root * jnp.abs(v)) + kick, carry)


@pytest.mark.slow
def test_taming_by_the_root_of_h_leaves_half_powers():
    flow = symbols_like(OverdampedLangevin(from_sympy(X**2 / 2, [X]), 1.0))
    x = symbol_vector("x", 1, positive=True)
    found = local_defect(Tamed(), flow, lambda t, y: y[0], x, 2)
    assert min(found) == Fraction(3, 2)
    assert sp.simplify(found[Fraction(3, 2)] - x[0] ** 2) == 0
    assert local_order(Tamed(), flow, x, 2) == Fraction(1, 2)
    # without taming the half power is gone
    assert Fraction(3, 2) not in local_defect(Euler(), flow, lambda t, y: y[0], x, 2)


# -- splittings, by two routes ----------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("word", "power"),
    [(lie("A", "B", "O"), 2), (strang("B", "A", "O"), 3), (BAOAB, 3)],
    ids=["lie", "strang", "baoab"],
)
def test_both_routes_agree(word, power, moment):
    """The step's series against products of generators; first defect where due."""
    flow, y, phi = langevin(), langevin_state(), MOMENTS[moment]
    one = local_defect(word, flow, phi, y, power)
    two = splitting_defect(word, flow, phi, y, power)
    assert list(one) == list(two) == [power]
    assert equal_symbolically(one[power], two[power]).proved


def test_the_routes_tell_the_order_of_the_letters():
    """Negative control: A B O and B A O differ already at h²."""
    flow, y, phi = langevin(), langevin_state(), MOMENTS["x²"]
    one = local_defect(lie("A", "B", "O"), flow, phi, y, 2)
    two = splitting_defect(lie("O", "B", "A"), flow, phi, y, 2)
    assert not equal_symbolically(one[2], two[2]).proved


@pytest.mark.slow
def test_both_routes_agree_on_adams_splitting():
    """Time-dependent parts, bias correction, roots; every parameter a symbol."""
    quadratic = from_sympy(K * X**2 / 2, [X], {K: 1.0})
    numbers = map(jnp.asarray, (1.0, 1.0, 1e-8, 0.1))
    flow = symbols_like(AdamFlow(quadratic, *numbers))
    y = AdamState(
        symbol_vector("x", 1),
        symbol_vector("m", 1),
        symbol_vector("v", 1, positive=True),
    )
    t = sp.Symbol("t", positive=True)
    for phi in (
        lambda t, y: y.position[0],
        lambda t, y: y.first_moment[0],
        lambda t, y: y.second_moment[0],
    ):
        one = local_defect(EXACT_EMA, flow, phi, y, 2, t)
        two = splitting_defect(EXACT_EMA, flow, phi, y, 2, t)
        assert list(one) == list(two) == [2]
        assert equal_symbolically(one[2], two[2]).proved


def test_bad_input_is_refused():
    flow, y = langevin(), langevin_state()
    phi = MOMENTS["x²"]
    with pytest.raises(BadInput, match="multiple of 1/2"):
        local_defect(BAOAB, flow, phi, y, Fraction(1, 3))
    with pytest.raises(BadInput, match="inner scheme"):
        splitting_defect(Splitting("A, B, O", inner=Euler()), flow, phi, y, 2)

    class Bits(Tamed):
        def noise_like(self, dynamics, y):
            return Draw("bits", (2,))

    with pytest.raises(BadInput, match="bits"):
        local_defect(
            Bits(), gradient_flow(), lambda t, y: y[0], symbol_vector("x", 2), 1
        )
