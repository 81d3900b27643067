"""Tamings: their bounds, symmetries, small steps, and states that overflow."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import (
    Clipping,
    CoordinateTaming,
    NormTaming,
    Polygonal,
    RootTaming,
    StateRootTaming,
    StateTaming,
    TamedEuler,
    Untamed,
    local_defect,
    tamed_power,
)
from flows import BadInput, from_sympy
from flows.symbolic import symbol_vector
from sde import OverdampedLangevin

X = sp.Symbol("X", real=True)
ALL = {
    "untamed": Untamed(),
    "norm": NormTaming(),
    "norm, 1/2": NormTaming(0.5),
    "coordinate": CoordinateTaming(),
    "root": RootTaming(),
    "state root": StateRootTaming(2.0),
    "state": StateTaming(1.0),
    "polygonal": Polygonal(0.1),
    "clipping": Clipping(),
}


@jax.jit
def tame(taming, h, y, *parts):
    return taming(h, y, parts)


def array(*values, dtype=float):
    return jnp.array(values, dtype)


floats = st.floats(-1e200, 1e200, allow_nan=False)
steps = st.floats(1e-8, 1.0)
drifts = st.tuples(floats, floats).map(np.array)
few = settings(max_examples=60, deadline=None)


@few
@given(drifts, st.floats(1e-8, 1e8))
def test_a_step_of_the_norms_taming_is_shorter_than_one(b, h):
    for taming in (ALL["norm"], ALL["root"]):
        step = h * tame(taming, h, jnp.zeros(2), b)
        assert np.linalg.norm(step) <= 1 + 1e-15


@few
@given(drifts, steps, st.floats(1e-12, 1e12))
def test_theopoula_moves_a_coordinate_by_less_than_root_h(b, h, eps):
    """Boosting included, for every drift and every ε, as long as h <= 1."""
    for taming in (Polygonal(eps), ALL["clipping"]):
        step = h * np.abs(tame(taming, h, jnp.zeros(2), b))
        assert np.all(step <= np.sqrt(h) * (1 + 1e-15))


def test_the_bounds_need_their_hypotheses():
    """Euler has none, TheoPouLa's needs h <= 1, TUSLA's a drift of degree 2r + 1."""
    b, y = array(1.0, 1e3), array(0.0, 1.0)
    assert np.abs(tame(ALL["untamed"], 0.1, y, b)).max() * 0.1 > 1
    assert np.abs(tame(Polygonal(1e-3), 4.0, y, array(0.5, 0.1))).max() * 4.0 > 2.0
    assert np.abs(tame(ALL["state"], 0.1, y, b)).max() * 0.1 > 1


@pytest.mark.parametrize("name", ALL)
def test_which_tamings_turn_with_the_coordinates(name):
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s], [s, c]])
    y, b = array(1.5, -0.4), array(-3.0, 1.0)
    turned = tame(ALL[name], 0.1, jnp.asarray(turn @ y), jnp.asarray(turn @ b))
    gap = np.abs(turned - turn @ tame(ALL[name], 0.1, y, b)).max()
    by_coordinate = name in ("coordinate", "polygonal", "clipping")
    if name == "clipping":
        assert gap < 1e-14  # nothing is clipped yet
        far = array(-30.0, 1.0)
        turned = tame(ALL[name], 0.1, y, jnp.asarray(turn @ far))
        gap = np.abs(turned - turn @ tame(ALL[name], 0.1, y, far)).max()
    assert gap > 1e-3 if by_coordinate else gap < 1e-14


@pytest.mark.parametrize("name", ALL)
def test_formulas_of_the_papers(name):
    h, y, b = 0.1, np.array([1.5, -0.4]), np.array([-3.0, 1.0])
    s, n, size = np.sqrt(h), np.linalg.norm(b), np.abs(b)
    expected = {
        "untamed": b,
        "norm": b / (1 + h * n),
        "norm, 1/2": b / (1 + s * n),
        "coordinate": b / (1 + h * size),
        "root": b / np.sqrt(1 + h**2 * n**2),
        "state root": b / np.sqrt(1 + h * (y @ y) ** 2),
        "state": b / (1 + s * (y @ y)),
        "polygonal": b / (1 + s * size) * (1 + s / (0.1 + size)),
        "clipping": np.clip(b, -1 / s, 1 / s),
    }[name]
    found = tame(ALL[name], h, jnp.asarray(y), jnp.asarray(b))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_regulariser_is_tamed_by_the_state():
    y, g, r = array(1.5, -0.4), array(-3.0, 1.0), array(-2.0, 0.5)
    both = tame(Polygonal(0.1, 2.0), 0.1, y, g, r)
    alone = tame(Polygonal(0.1, 2.0), 0.1, y, g)
    factor = 1 + np.sqrt(0.1) * float(y @ y) ** 2
    np.testing.assert_allclose(both - alone, r / factor, rtol=1e-13)
    with pytest.raises(BadInput, match="one part or two"):
        Polygonal()(0.1, y, (g, r, r))


# -- the limit of small steps --------------------------------------------------------

LANGEVIN = OverdampedLangevin(from_sympy(X**4 / 4 - X**2 / 2, [X]), 0.5)
x = sp.Symbol("x0", real=True)
B = x - x**3
LEADING = {
    # the drift that a taming takes away, by the power of h of the local defect
    "norm": (2, -B * abs(B)),
    "norm, 1/2": (Fraction(3, 2), -B * abs(B)),
    "state root": (2, -B * x**4 / 2),
    "polygonal": (Fraction(3, 2), B / (sp.Rational(1, 10) + abs(B)) - B * abs(B)),
}


@functools.cache
def defect(name):
    """Of φ(y) = y, up to h²."""
    state = symbol_vector("x", 1)
    found = local_defect(TamedEuler(ALL[name]), LANGEVIN, lambda t, y: y[0], state, 2)
    return {k: sp.sympify(c).subs(state[0], x) for k, c in found.items()}


@pytest.mark.parametrize("name", LEADING)
def test_what_a_taming_changes_at_leading_order(name):
    """Its half or whole power of h, and the coefficient, beyond Euler's own defect."""
    power, change = LEADING[name]
    tamed, plain = defect(name), defect("untamed")
    assert min(plain) == 2
    assert min(tamed) == power
    difference = tamed[power] - (plain[power] if power == 2 else 0) - change
    for point in (sp.Rational(1, 3), sp.Rational(-7, 3)):
        assert abs(sp.N(difference.subs(x, point), 30)) < 1e-25


def test_taming_by_a_root_leaves_eulers_defect():
    assert defect("root") == defect("untamed")


# -- overflow ------------------------------------------------------------------------


def single(taming):
    """The same taming with parameters in float32."""
    return jax.tree.map(lambda a: a.astype(jnp.float32), taming)


@pytest.mark.parametrize("name", ["norm", "norm, 1/2", "root", "state root"])
def test_float32_answers_a_huge_drift_with_its_float64_step(name):
    """Squares overflow beyond 1.8e19; the tamed drift must not turn to 0 or NaN."""
    y, b = np.array([3e11, -4e11]), np.array([-6e30, 8e30])
    h = np.float32(0.1)
    small = jnp.asarray(y, jnp.float32), jnp.asarray(b, jnp.float32)
    found = tame(single(ALL[name]), h, *small)
    expected = tame(ALL[name], float(h), jnp.asarray(y), jnp.asarray(b))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=3e-6)


@pytest.mark.slow
def test_a_tamed_step_from_afar_has_a_derivative():
    @jax.jit
    def step(y):
        return single(RootTaming())(np.float32(0.1), y, (-(y**3),))[0]

    slope = jax.grad(step)(array(2e9, -1e9, dtype=jnp.float32))
    assert np.all(np.isfinite(slope))


power = jax.jit(tamed_power)


@few
@given(st.floats(-1e30, 1e30), st.floats(0.0, 14.0), st.floats(1e-6, 1.0))
def test_the_tamed_power_is_finite_in_float32(size, r, h):
    y = jnp.array([0.6 * size, -0.8 * size], jnp.float32)
    r, h = np.float32(r), np.float32(h)
    found = power(y, r, h)
    assert found.dtype == jnp.float32
    log_power = 2 * float(r) * np.log(max(abs(size), 1e-300))
    with np.errstate(over="ignore"):
        expected = np.asarray(y, float) / (np.exp(-log_power) + np.sqrt(float(h)))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-30)


def test_the_plain_quotient_overflows_where_the_tamed_power_does_not():
    """Negative control: r = 14 leaves float32 beyond |y| = 24."""
    y, s = np.float32(30.0), np.float32(np.sqrt(0.1))
    with np.errstate(over="ignore", invalid="ignore"):
        plain = y**28
        assert not np.isfinite(y * plain / (1 + s * plain))
    found = power(jnp.array([y, 0 * y]), np.float32(14), np.float32(0.1))
    np.testing.assert_allclose(found[0], 30 / np.sqrt(0.1), rtol=1e-5)
