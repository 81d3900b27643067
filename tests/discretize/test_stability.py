import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import Euler, ImplicitEuler, RungeKutta, Splitting
from discretize.jury import is_stable, jury_conditions, spectral_radius
from discretize.stability import (
    Stability,
    characteristic_polynomial,
    stability,
    stability_of,
)
from discretize.thresholds import is_certainly_positive
from flows import BadInput, from_loss, from_sympy
from sde import OverdampedLangevin

X, Y = sp.symbols("X Y", real=True)
z, lam = sp.Symbol("z"), sp.Symbol("lambda", positive=True)
eta = sp.Symbol("eta", positive=True)
POSITIVE, UNIT = (0, math.inf), (0, 1)


def bowl():
    """Curvatures 12.3 and 2."""
    return from_sympy(sp.Rational(123, 20) * X**2 + Y**2, [X, Y])


# -- Jury ---------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.floats(-1.6, 1.6, allow_subnormal=False), min_size=1, max_size=4),
    st.integers(0, 2),
)
def test_jury_agrees_with_the_companion_matrix(roots, pairs):
    """Polynomials with known roots, real ones and complex pairs, of degree 1 to 4."""
    chosen = list(map(complex, roots))
    if pairs and len(chosen) >= 2:
        a, b = chosen[0].real, chosen[1].real
        chosen[:2] = [complex(a, b), complex(a, -b)]
    coefficients = np.real(np.poly(chosen))
    radius = max(abs(r) for r in chosen)
    # the conditions are products of up to eight factors: leave the knife's edge out
    if abs(radius - 1) > 1e-4:
        assert is_stable(list(coefficients)) == (radius < 1)


def test_jury_conditions_of_degree_two_are_the_textbook_ones():
    a, b = sp.symbols("a b")
    found = jury_conditions([1, a, b])
    assert [sp.expand(c) for c in found] == [1 + a + b, 1 - a + b, 1 - b, 1 + b]


def test_jury_refuses_what_it_cannot_do():
    with pytest.raises(BadInput, match="degree 5"):
        jury_conditions([1, 0, 0, 0, 0, 0.5])
    with pytest.raises(BadInput, match="leading coefficient"):
        jury_conditions([-1, 0.5])
    with pytest.raises(BadInput, match="finite"):
        spectral_radius([1, math.nan])


# -- limits with symbols --------------------------------------------------------

FAMILIES = {
    "sgd": (lambda eta: optax.sgd(eta), {}, lambda: sp.Integer(2)),
    "momentum": (
        lambda eta, beta: optax.sgd(eta, momentum=beta),
        {"beta": UNIT},
        lambda beta: 2 * (1 + beta),
    ),
    "nesterov": (
        lambda eta, beta: optax.sgd(eta, momentum=beta, nesterov=True),
        {"beta": UNIT},
        lambda beta: (2 + 2 * beta) / (1 + 2 * beta),
    ),
    "adam": (
        lambda eta, b1, b2, eps, root: optax.adam(eta, b1, b2, eps, root),
        {"b1": UNIT, "b2": UNIT, "eps": POSITIVE, "root": POSITIVE},
        lambda b1, b2, eps, root: (2 + 2 * b1) / (1 - b1) * (sp.sqrt(root) + eps),
    ),
    "nadam": (
        lambda eta, b1, b2, eps: optax.nadam(eta, b1, b2, eps),
        {"b1": UNIT, "b2": UNIT, "eps": POSITIVE},
        lambda b1, b2, eps: 2 * eps / (1 - b1) * (1 + b1) / (1 + 2 * b1),
    ),
    "rmsprop": (
        lambda eta, decay, eps: optax.rmsprop(eta, decay, eps),
        {"decay": UNIT, "eps": POSITIVE},
        lambda decay, eps: 2 * sp.sqrt(eps),
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_limits_are_derived_and_proved(name):
    """η λ < the closed form, for all hyperparameters in their ranges."""
    factory, ranges, closed = FAMILIES[name]
    found = stability_of(factory, eta=POSITIVE, **ranges)
    symbols = {s.name: s for s in found.limit.free_symbols}
    known = {k: symbols.get(k, sp.Symbol(k)) for k in ranges}
    assert found.grade == "proved"
    assert sp.simplify(found.limit * symbols["eta"] - closed(**known)) == 0


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 0.999), st.sampled_from([False, True]))
def test_spectral_radius_crosses_one_at_the_limit(beta, nesterov):
    """Companion matrices at λ (1 ± 1e-6): inside below, outside above."""
    name = "nesterov" if nesterov else "momentum"
    found = _family(name)
    limit = float(found.limit.subs({s: v for s, v in _values(found, beta)}))
    inside = found.spectral_radius(limit * (1 - 1e-6), eta=0.1, beta=beta)
    outside = found.spectral_radius(limit * (1 + 1e-6), eta=0.1, beta=beta)
    assert inside < 1 < outside
    # negative control: the limit of gradient descent is another one
    if beta > 1e-3:
        assert found.spectral_radius(2 / 0.1, eta=0.1, beta=beta) != pytest.approx(1)


_FOUND = {}


def _family(name) -> Stability:
    if name not in _FOUND:
        factory, ranges, _ = FAMILIES[name]
        _FOUND[name] = stability_of(factory, eta=POSITIVE, **ranges)
    return _FOUND[name]


def _values(found, beta):
    table = {"eta": 0.1, "beta": beta}
    return [(s, table[s.name]) for s in found.limit.free_symbols]


def test_adams_polynomial_is_that_of_bock_and_weiss():
    """(z - b2)(z² - (1 + b1 - κ) z + b1) with κ = η λ (1 - b1)/(√root + eps)."""
    found = _family("adam")
    s = {v.name: v for v in found.polynomial.free_symbols}
    scale = sp.sqrt(s["root"]) + s["eps"]
    kappa = s["eta"] * s["lambda"] * (1 - s["b1"]) / scale
    quadratic = s["z"] ** 2 - (1 + s["b1"] - kappa) * s["z"] + s["b1"]
    expected = (s["z"] - s["b2"]) * quadratic
    assert sp.simplify(found.polynomial - expected) == 0


def test_adams_limit_against_the_optimiser_itself():
    """Growth of optax.adam from 1e-100, one per cent inside and outside the limit."""
    options = dict(b1=0.5, b2=0.9, eps=0.0, eps_root=1e-4)
    limit = float(stability(optax.adam(1.0, **options)).limit)
    assert limit == pytest.approx(0.06, rel=1e-9)  # 2 (1 + b1)/(1 - b1) √root

    optimizer = optax.adam(1.0, **options)

    @jax.jit
    def sizes(curvature):
        def body(loop, _):
            x, state = loop
            updates, state = optimizer.update(curvature * x, state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), jnp.abs(x)

        start = jnp.asarray(1e-100)
        return jax.lax.scan(body, (start, optimizer.init(start)), length=600)[1]

    def growth(curvature):
        with jax.numpy_dtype_promotion("standard"):  # optax's power of a count
            x = np.asarray(sizes(jnp.asarray(curvature)))
        return math.log(x[-20:].max() / x[100:120].max())

    assert growth(0.99 * limit) < -1
    assert growth(1.01 * limit) > 1


# -- numbers --------------------------------------------------------------------


def test_the_limit_beside_ones_own_sharpness():
    found = stability(optax.sgd(0.1, momentum=0.9), bowl(), jnp.zeros(2))
    assert found.limit == 38 and found.grade == "proved"
    assert found.ratio == pytest.approx(38 / 12.3)
    assert "limit 38" in str(found) and "12.3" in str(found)
    assert "residual" in str(found) and "stable, 3.1x below" in str(found)
    page = found._repr_html_()
    assert "3.1x below" in page and "characteristic polynomial" in page

    wild = stability(optax.sgd(0.5, momentum=0.9), bowl(), jnp.zeros(2))
    assert "unstable, 1.6x above" in str(wild) and wild.ratio < 1


def test_a_loss_over_a_pytree_without_positive_curvature():
    params = {"w": jnp.ones(3)}
    objective = from_loss(lambda p: -jnp.sum(p["w"] ** 2), params)
    found = stability(optax.sgd(0.1), objective, params)
    assert found.ratio == math.inf and "no direction curves upwards" in str(found)


def test_injected_and_scheduled_hyperparameters():
    injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.5)
    assert stability(injected).limit == 30
    cosine = optax.cosine_decay_schedule(0.1, 100, alpha=0.5)
    assert float(stability(optax.sgd(cosine)).limit) == pytest.approx(40, rel=1e-12)
    clipped = optax.chain(optax.clip(1.0), optax.sgd(0.1))
    assert stability(clipped).limit == 20


@pytest.mark.parametrize(
    ("optimizer", "word"),
    [
        (optax.sign_sgd(0.1), "not differentiable"),
        (optax.lion(0.1), "not differentiable"),
        (optax.lamb(0.1), "not differentiable"),
        (optax.adam(0.1, eps=0.0), "not differentiable"),
        (optax.adagrad(0.1), "only accumulates"),
        (optax.lbfgs(0.1), "has shape"),
        (optax.noisy_sgd(0.1, key=0), "rng_key"),
    ],
)
def test_methods_without_a_linear_part_are_refused(optimizer, word):
    with pytest.raises(BadInput, match=word):
        stability(optimizer)


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="together"):
        stability(optax.sgd(0.1), bowl())
    with pytest.raises(BadInput, match="expected an optax optimiser"):
        stability("sgd")
    with pytest.raises(BadInput, match="belong to schemes"):
        stability(optax.sgd(0.1), h=0.1)
    with pytest.raises(BadInput, match="positive step size"):
        stability(Euler(), h=-1.0)
    with pytest.raises(BadInput, match="at a step size"):
        stability(Euler(), bowl(), jnp.zeros(2))
    with pytest.raises(BadInput, match="the range of eta"):
        stability_of(lambda eta: optax.sgd(eta), eta=(1, 2))
    with pytest.raises(BadInput, match="draws noise"):
        stability(Euler(), flow=lambda f: OverdampedLangevin(f))
    with pytest.raises(BadInput, match="no sharpness"):
        _ = stability(optax.sgd(0.1)).ratio
    with pytest.raises(BadInput, match="give it a value"):
        _family("momentum").spectral_radius(1.0, eta=0.1)


# -- schemes --------------------------------------------------------------------


def test_schemes_on_the_real_axis():
    assert stability(Euler()).limit == 2
    assert stability(RungeKutta(diffrax.Heun())).limit == 2
    # order 3, three stages: |1 - x + x²/2 - x³/6| = 1 at 2.5127453266
    third = stability(RungeKutta(diffrax.Bosh3()))
    assert float(third.limit) == pytest.approx(2.5127453266, abs=1e-9)
    # Hairer and Wanner, Solving ODEs II, table IV.2.1: 3.3066 for Dormand and Prince
    fifth = stability(RungeKutta(diffrax.Dopri5()))
    assert float(fifth.limit) == pytest.approx(3.3066, abs=1e-4)
    for found in (third, fifth):
        limit = float(found.limit)
        assert found.spectral_radius(limit * (1 - 1e-6)) < 1
        assert found.spectral_radius(limit * (1 + 1e-6)) > 1


def test_a_step_size_gives_a_limit_on_the_curvature():
    found = stability(Euler(), bowl(), jnp.zeros(2), h=0.1)
    assert found.limit == 20 and found.unit == "λ" and found.ratio > 1
    polynomial = characteristic_polynomial(Euler(), h=sp.Rational(1, 10))
    assert sp.expand(polynomial - (z - 1 + lam / 10)) == 0


@pytest.mark.slow
def test_implicit_euler_has_no_limit():
    found = stability(ImplicitEuler())
    assert found.limit == math.inf and found.grade == "measured"
    assert "infinite" in str(found)
    with pytest.raises(BadInput, match="measured"):
        found.spectral_radius(1.0)


def test_a_scheme_needs_parts_that_the_flow_has():
    with pytest.raises(BadInput):
        stability(Splitting("A, B"))


# -- certificates ----------------------------------------------------------------


def test_certificates_of_positivity_are_sound():
    a, b = sp.Symbol("a", positive=True), sp.Symbol("b", nonnegative=True)
    ranges = {a: "positive", b: "unit"}
    for yes in (a, 1 - b, 1 - b**2 + a, a / (1 - b), sp.sqrt(a) * (1 + b), 2 - b):
        assert is_certainly_positive(yes, ranges)
    for no in (b, -a, a - 1, b - 1, sp.Rational(1, 2) - b, b * a, sp.Integer(0)):
        assert not is_certainly_positive(no, ranges)
