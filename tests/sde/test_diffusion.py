"""Generators of diffusions against hand calculation, their symbolic face, adjoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from sde_helpers import switching, switching_quadratics

import flows
import sde
from flows.symbolic import (
    equal_symbolically,
    numerically,
    symbolically,
    symbols_for_state,
    symbols_like,
)

X, K = sp.symbols("x k", real=True)
QUARTIC = flows.from_sympy(X**4 / 4 - X**2 / 2, [X])
QUADRATIC = flows.from_sympy(K * X**2 / 2, [X], {K: 1.5})
TWO = sp.symbols("a b", real=True)
COUPLED = flows.from_sympy((TWO[0] ** 2 - TWO[1]) ** 2 + TWO[0] * TWO[1] / 3, TWO)
LOSSES = tuple(flows.from_sympy((X - a) ** 2 * (1 + X**2), [X]) for a in (1, -1))


class Geometric(sde.Diffusion):
    """dX = a X dt + b X dB."""

    a: jax.Array
    b: jax.Array

    def vector_field(self, t, y):
        return self.a * y

    def brownian(self, y):
        return 1

    def noise(self, t, y, dw):
        return self.b * y * dw


def position_of(y):
    return getattr(y, "position", y)


def wave(t, y):
    x = position_of(y)
    v = getattr(y, "velocity", x)
    factor = 1.0 + jnp.asarray(getattr(y, "label", 0), dtype=float)
    return factor * jnp.sin(x[0] + t) * x[-1] ** 2 + v[0] ** 3 * x[0]


def l_of(model, t, y):
    return model.generator(wave)(t, y)


def l2_of(model, t, y):
    return model.generator(model.generator(wave))(t, y)


MODELS = {
    "ou": (sde.OrnsteinUhlenbeck([2.0, 0.5], [1.0, -1.0], 0.75), np.zeros(2)),
    "overdamped": (sde.OverdampedLangevin(COUPLED, 0.25), np.zeros(2)),
    "underdamped": (
        sde.UnderdampedLangevin(QUARTIC, 0.5, 0.25),
        sde.LangevinState(np.zeros(1), np.zeros(1)),
    ),
    "quadratics": (
        switching_quadratics([[1.0, 0.0], [-1.0, 2.0], [0.5, 0.5]], 1.5, 0.75),
        sde.SwitchingState(np.zeros(2), 1),
    ),
    "fresh": (
        switching_quadratics([[1.0], [-1.0]], 1.5, 0.75, "fresh_draw"),
        sde.SwitchingState(np.zeros(1), 0),
    ),
    "gradients": (
        switching(flows.finite_sum(LOSSES), 0.75),
        sde.SwitchingState(np.zeros(1), 1),
    ),
    "geometric": (Geometric(jnp.asarray(0.25), jnp.asarray(0.5)), np.zeros(1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_symbolic_generator_is_the_numeric_one(name):
    model, y = MODELS[name]
    t, state = sp.Symbol("t", real=True), symbols_for_state(y)
    symbols = [
        s for a in jax.tree.leaves(state) if isinstance(a, np.ndarray) for s in a
    ]
    formulas = symbolically(l_of, model, t, state)
    rng = np.random.default_rng(0)
    for _ in range(3):
        values = dict(
            zip([t, *symbols], rng.normal(size=1 + len(symbols)), strict=True)
        )
        point = jax.tree.map(
            lambda a, v=values: (
                jnp.asarray([v[s] for s in a]) if isinstance(a, np.ndarray) else a
            ),
            state,
        )
        if hasattr(point, "label"):
            point = point._replace(label=jnp.asarray(point.label))
        here = float(l_of(model, values[t], point))
        assert abs(here - float(numerically(formulas, values))) < 1e-12 * (
            1 + abs(here)
        )


def test_two_applications_to_ornstein_uhlenbeck_match_the_hand_calculation():
    model = symbols_like(sde.OrnsteinUhlenbeck([2.0], [1.0], [0.5]))
    theta, m, d = (a[0] for a in (model.rate, model.mean, model.diffusion))
    t, x = sp.symbols("t x", real=True)

    def twice(model, t, y):
        return model.generator(model.generator(lambda t, y: t * y[0] ** 2))(t, y)

    found = symbolically(twice, model, t, np.array([x], dtype=object))
    # L(t x²) = x² + t (-2θx² + 2θmx + 2D), and once more
    lx2 = -2 * theta * x**2 + 2 * theta * m * x + 2 * d
    by_hand = 2 * lx2 + t * (-2 * theta * lx2 - 2 * theta**2 * m * (x - m))
    assert equal_symbolically(found, by_hand).proved
    assert equal_symbolically(found, by_hand + d / 100).status == "refuted"


def test_the_generator_is_the_rate_of_the_exact_transition():
    """E φ(X_h) = φ + h Lφ + h²/2 L²φ + O(h³), with E by Gauss-Hermite."""
    model, y = sde.OrnsteinUhlenbeck(2.0, 1.0, 0.5), jnp.asarray([0.3])
    xi, w = np.polynomial.hermite_e.hermegauss(40)

    def phi(t, y):
        return jnp.sin(y[0])

    one, two = model.generator(phi), model.generator(model.generator(phi))
    part = model.parts()["O"]

    def rest(h):
        mean = sum(
            wi * float(phi(0, part.exact(0.0, y, h, jnp.asarray([x]))))
            for x, wi in zip(xi, w / w.sum(), strict=True)
        )
        series = phi(0, y) + h * one(0.0, y) + h**2 / 2 * two(0.0, y)
        return abs(mean - float(series))

    # ratio 8 to leading order, corrected by O(h)
    assert 7.3 < rest(0.02) / rest(0.01) < 8.2


def test_ito_noise_of_geometric_motion():
    model = symbols_like(Geometric(jnp.asarray(0.3), jnp.asarray(0.5)))
    x, t = sp.symbols("x t", real=True)

    def l_cube(model, t, y):
        return model.generator(lambda t, y: y[0] ** 3)(t, y)

    found = symbolically(l_cube, model, t, np.array([x], dtype=object))
    ito = (3 * model.a + 3 * model.b**2) * x**3
    assert equal_symbolically(found, ito).proved
    stratonovich = ito + sp.Rational(3, 2) * model.b**2 * x**3
    assert equal_symbolically(found, stratonovich).status == "refuted"


@pytest.mark.slow
def test_the_adjoint_carries_the_lognormal_density():
    """∂ₜp = L*p for the law of geometric Brownian motion."""
    a, b = 0.3, 0.5
    model = Geometric(jnp.asarray(a), jnp.asarray(b))

    def density(t, y):
        z = (jnp.log(y[0]) - (a - b**2 / 2) * t) / (b * jnp.sqrt(t))
        return jnp.exp(-(z**2) / 2) / (y[0] * b * jnp.sqrt(2 * jnp.pi * t))

    for t, x in ((0.5, 0.7), (1.3, 2.0)):
        y = jnp.asarray([x])
        rate = jax.grad(density)(t, y)
        assert abs(model.adjoint(density)(t, y) - rate) < 1e-12
        wrong = Geometric(jnp.asarray(a), jnp.asarray(1.1 * b))
        assert abs(wrong.adjoint(density)(t, y) - rate) > 1e-2


def gibbs(model, t, y):
    def density(t, y):
        return jnp.exp(-model.objective.value(y) / model.temperature)

    return model.adjoint(density)(t, y)


def test_the_gibbs_density_is_stationary_and_a_hotter_one_is_not():
    model = symbols_like(sde.OverdampedLangevin(QUARTIC, 0.5))
    x = np.array([X], dtype=object)
    assert equal_symbolically(symbolically(gibbs, model, 0, x), sp.S.Zero).proved

    def hotter(model, y):
        def density(t, y):
            return jnp.exp(-model.objective.value(y) / (1.1 * model.temperature))

        return model.adjoint(density)(0.0, y)

    assert equal_symbolically(symbolically(hotter, model, x), 0).status == "refuted"


@pytest.mark.slow
def test_the_kinetic_gibbs_density_is_stationary():
    model = sde.UnderdampedLangevin(COUPLED, 0.7, 0.4)

    def density(t, y, scale=1.0):
        energy = COUPLED.value(y.position) + scale * jnp.sum(y.velocity**2) / 2
        return jnp.exp(-energy / 0.4)

    def wrong(t, y):
        return density(t, y, 1.1)

    rng = np.random.default_rng(1)
    for _ in range(5):
        y = sde.LangevinState(*(jnp.asarray(rng.normal(size=2) / 2) for _ in "xv"))
        scale = float(density(0, y))
        # rounding of second derivatives of order 10²
        assert abs(model.adjoint(density)(0.0, y)) < 1e-12 * max(scale, 1)
        assert abs(model.adjoint(wrong)(0.0, y)) > 1e-3 * scale


@pytest.mark.parametrize("name", ["ou", "underdamped"])
def test_parts_add_up_to_the_model_and_one_carries_the_time(name):
    model, y = MODELS[name]
    y = jax.tree.map(lambda a: jnp.asarray(a) + 0.3, y)
    parts = model.parts().values()
    assert sum(part.advances_time for part in parts) == 1
    whole = model.generator(wave)(0.2, y)
    split = sum(part.generator(wave)(0.2, y) for part in parts)
    assert abs(whole - split) < 1e-14 * (1 + abs(whole))
    field = model.vector_field(0.2, y)
    summed = jax.tree.map(lambda *a: sum(a), *(p.vector_field(0.2, y) for p in parts))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-15), field, summed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: sde.OrnsteinUhlenbeck(0.0),
        lambda: sde.OrnsteinUhlenbeck(1.0, diffusion=-1.0),
        lambda: sde.OrnsteinUhlenbeck(np.eye(2)),
        lambda: sde.OrnsteinUhlenbeck(np.nan),
        lambda: sde.OrnsteinUhlenbeck(1j),
        lambda: sde.OrnsteinUhlenbeck("fast"),
        lambda: sde.OverdampedLangevin(QUARTIC, -1.0),
        lambda: sde.UnderdampedLangevin(QUARTIC, 0.0),
        lambda: sde.UnderdampedLangevin(QUARTIC, 1.0, np.inf),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(flows.BadInput):
        make()
