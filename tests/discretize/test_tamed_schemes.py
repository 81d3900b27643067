"""Tamed, truncated, projected, balanced and Milstein schemes; taming in diffrax."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import (
    BalancedEuler,
    Euler,
    Milstein,
    NormTaming,
    Polygonal,
    ProjectedEulerMaruyama,
    TamedCoefficientsEuler,
    TamedEuler,
    TruncatedEuler,
    diffrax_terms,
    tamed_solver,
)
from flows import BadInput, GradientFlow
from flows.problems import double_well, norm_power, quadratic
from sde import (
    ItoDiffusion,
    LangevinState,
    OverdampedLangevin,
    UnderdampedLangevin,
)


def drift(t, y):
    return y - y * jnp.sum(y**2)


def diagonal(t, y):
    return 0.5 * y**2


def full(t, y):
    return jnp.array([[1.0, 0.0], [0.0, y[0]]])


DIAGONAL = ItoDiffusion(drift, diagonal)
Y, XI = np.array([1.5, -0.4]), np.array([0.3, -1.2])
H = 0.1


@eqx.filter_jit
def stepped(scheme, process, h, y, xi):
    return scheme.step(process, 0.0, y, h, xi, None).y


def one(scheme, y=Y, xi=XI, h=H):
    return np.asarray(stepped(scheme, DIAGONAL, h, jnp.asarray(y), jnp.asarray(xi)))


def parts(y):
    """Drift, σ's diagonal, and the columns' norms, in numpy."""
    return y - y * (y @ y), 0.5 * y**2


def kick(y):
    return parts(y)[1] * np.sqrt(H) * XI


FORMULAS = {
    "tamed": (TamedEuler(), lambda y, b, s: y + H * b / (1 + H * norm(b)) + kick(y)),
    "both": (
        TamedCoefficientsEuler(0.25),
        lambda y, b, s: y + (H * b + kick(y)) / (1 + H**0.25 * (norm(b) + s @ s)),
    ),
    "balanced": (
        BalancedEuler(),
        lambda y, b, s: (
            y + (H * b + kick(y)) / (1 + H * norm(b) + np.abs(kick(y)).sum())
        ),
    ),
    "milstein": (
        Milstein(NormTaming()),
        lambda y, b, s: (
            y
            + H * b / (1 + H * norm(b))
            + kick(y)
            + 0.5 * s * y * (H * XI**2 - H)  # σσ' = σ y for σ = y²/2
        ),
    ),
}


def norm(b):
    return np.linalg.norm(b)


@pytest.mark.parametrize("name", FORMULAS)
def test_one_step_is_the_papers_formula(name):
    scheme, formula = FORMULAS[name]
    np.testing.assert_allclose(one(scheme), formula(Y, *parts(Y)), rtol=1e-14)


@pytest.mark.parametrize(
    ("scheme", "radius", "state_moves"),
    [
        (TruncatedEuler(3.0, 0.5), 0.5 * H ** (-1 / 12), False),
        (ProjectedEulerMaruyama(4.0), H ** (-1 / 6), True),
    ],
)
def test_coefficients_are_seen_within_a_ball(scheme, radius, state_moves):
    for y in (0.1 * Y, 40 * Y):
        seen = y * min(1.0, radius / norm(y))
        b, _ = parts(seen)
        expected = (seen if state_moves else y) + H * b + kick(seen)
        np.testing.assert_allclose(one(scheme, y), expected, rtol=1e-13)
    # within the ball both are Euler's step, outside neither is
    inside, outside = (one(scheme, c * Y) - one(Euler(), c * Y) for c in (0.1, 40))
    assert norm(inside) < 1e-15
    assert norm(outside) > 1


vectors = st.tuples(*[st.floats(-1e30, 1e30)] * 2).map(np.array)


@settings(max_examples=40, deadline=None)
@given(vectors, st.tuples(*[st.floats(-10, 10)] * 2).map(np.array))
def test_a_balanced_step_is_shorter_than_one_with_its_noise(y, xi):
    moved = one(BalancedEuler(), y, xi) - y
    assert norm(moved) <= 1 + 1e-15 * norm(y)


def test_a_deterministic_flow_is_tamed_too():
    flow, y = GradientFlow(double_well()), jnp.array([3.0])
    for scheme in (TamedEuler(), Milstein(NormTaming()), TamedCoefficientsEuler(0.5)):
        new = stepped(scheme, flow, H, y, None)
        b, power = (
            -24.0,
            H ** (0.5 if isinstance(scheme, TamedCoefficientsEuler) else 1),
        )
        np.testing.assert_allclose(new, [3 + H * b / (1 + power * 24)], rtol=1e-14)


def test_the_norm_is_over_the_whole_state():
    """On kinetic dynamics |b|² = |v|² + |∇f + γv|², and x is moved by a tamed v."""
    process = UnderdampedLangevin(quadratic([1.0, 3.0]), 1.5, 0.6)
    state = LangevinState(jnp.array([0.3, 0.8]), jnp.array([2.0, -1.0]))
    new = stepped(TamedEuler(), process, H, state, jnp.zeros(2))
    b = process.vector_field(0.0, state)
    size = norm(np.concatenate(b))
    for got, old, rate in zip(new, state, b, strict=True):
        np.testing.assert_allclose(got, old + H * rate / (1 + H * size), rtol=1e-13)


# -- Milstein's door -----------------------------------------------------------------


def test_milstein_refuses_noise_that_does_not_commute():
    process = ItoDiffusion(drift, full)
    with pytest.raises(BadInput, match="does not commute"):
        Milstein().noise_like(process, jnp.zeros(2))
    assert Milstein().noise_like(DIAGONAL, jnp.asarray(Y)).shape == (2,)


def test_commutative_noise_with_cross_terms_takes_the_double_sum():
    """σ = y ⊗ (1, ½): Dσ_k·σ_j = a_j a_k y, against the formula with two indices."""
    a = np.array([1.0, 0.5])

    def outer(t, y):
        return jnp.outer(y, jnp.asarray(a))

    process = ItoDiffusion(drift, outer)
    new = stepped(Milstein(), process, H, jnp.asarray(Y), jnp.asarray(XI))
    dw = np.sqrt(H) * XI
    double = sum(
        a[j] * a[k] * (dw[j] * dw[k] - H * (j == k)) for j in (0, 1) for k in (0, 1)
    )
    expected = Y + H * parts(Y)[0] + Y * (a @ dw) + 0.5 * Y * double
    np.testing.assert_allclose(new, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TamedCoefficientsEuler(0.7), r"\(0, 0.5\]"),
        (lambda: ProjectedEulerMaruyama(1.0), "growth"),
        (lambda: TruncatedEuler(scale=-1.0), "scale"),
    ],
)
def test_parameters_outside_their_range_are_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()


# -- diffrax -------------------------------------------------------------------------


def diffrax_step(solver, terms, t0, t1, y):
    return solver.step(terms, t0, t1, jnp.asarray(y), None, None, False)[0]


def test_the_solver_tames_forwards_and_backwards():
    flow = diffrax.ODETerm(lambda t, y, args: drift(t, y))
    b = parts(Y)[0]
    step = H * b / (1 + H * norm(b))
    forwards = diffrax_step(tamed_solver(), flow, 0.0, H, Y)
    backwards = diffrax_step(tamed_solver(), flow, H, 0.0, Y)
    np.testing.assert_allclose(forwards, Y + step, rtol=1e-14)
    np.testing.assert_allclose(backwards, Y - step, rtol=1e-14)
    untamed = diffrax_step(diffrax.Euler(), flow, 0.0, H, Y)
    assert norm(np.asarray(untamed) - forwards) > 0.01


def test_drift_parts_reach_the_taming_in_our_scheme_and_in_diffrax():
    well = quadratic([1.0, 3.0])
    process = OverdampedLangevin(well, 0.18, norm_power(0.3, 2.0, 2))
    path = diffrax.UnsafeBrownianPath(shape=(2,), key=jax.random.key(3))
    terms, taming = diffrax_terms(process, path), Polygonal(0.1, 2.0)
    dw = np.asarray(path.evaluate(0.0, H))
    found = diffrax_step(tamed_solver(taming=taming), terms, 0.0, H, Y)
    y, xi = jnp.asarray(Y), jnp.asarray(dw / np.sqrt(H))
    ours = stepped(TamedEuler(taming), process, H, y, xi)
    g, s = np.array([1.0, 3.0]) * Y, np.sqrt(H)
    drift = -g / (1 + s * np.abs(g)) * (1 + s / (0.1 + np.abs(g)))
    drift -= 0.3 * Y * (Y @ Y) ** 2 / (1 + s * (Y @ Y) ** 2)
    expected = Y + H * drift + np.sqrt(0.36) * dw
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(ours, expected, rtol=1e-14)
    # negative control: the parts merged before they are tamed
    plain = diffrax.MultiTerm(
        diffrax.ODETerm(lambda t, y, args: process.vector_field(t, y)), terms.terms[1]
    )
    merged = diffrax_step(tamed_solver(taming=taming), plain, 0.0, H, Y)
    assert norm(np.asarray(merged) - expected) > 0.01


@pytest.mark.parametrize(
    "solver", [diffrax.Heun(), diffrax.Tsit5(), diffrax.ShARK(), diffrax.SEA()]
)
def test_solvers_of_several_stages_are_refused(solver):
    with pytest.raises(BadInput, match="one-stage"):
        tamed_solver(solver)


def test_milstein_in_diffrax_wants_a_noise_term():
    flow = diffrax.ODETerm(lambda t, y, args: drift(t, y))
    with pytest.raises(BadInput, match="MultiTerm"):
        diffrax_step(tamed_solver(diffrax.ItoMilstein()), flow, 0.0, H, Y)
