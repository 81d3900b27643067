"""Adam's and RMSProp's flows against formulas by hand and against scipy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import WAVY_START
from scipy.integrate import solve_ivp

from flows import (
    AdamFlow,
    AdamState,
    BadInput,
    RMSPropFlow,
    RMSPropState,
    adam_start,
    solve,
)
from flows.problems import quadratic, wavy

TAU1, TAU2, EPS, EPS_ROOT = 0.4, 1.1, 0.03, 0.02
RNG = np.random.default_rng(5)
X = jnp.array(WAVY_START)
M = jnp.asarray(RNG.standard_normal(2))
V = jnp.asarray(RNG.uniform(0.1, 2.0, 2))


def adam(eps=EPS, eps_root=EPS_ROOT, corrected=True, objective=None):
    return AdamFlow(objective or wavy(), TAU1, TAU2, eps, eps_root, corrected)


def rmsprop(inside=True, eps=EPS):
    return RMSPropFlow(wavy(), TAU2, eps, inside)


def flat(y):
    return np.concatenate([np.asarray(a) for a in y])


@pytest.mark.parametrize("corrected", [True, False])
def test_adam_field_by_hand(corrected):
    f = wavy()
    t, g = 0.7, np.asarray(f.gradient(X))
    m, v = np.asarray(M), np.asarray(V)
    c1, c2 = (1 - np.exp(-t / TAU1), 1 - np.exp(-t / TAU2)) if corrected else (1, 1)
    expected = [
        -(m / c1) / (np.sqrt(v / c2 + EPS_ROOT) + EPS),
        (g - m) / TAU1,
        (g**2 - v) / TAU2,
    ]
    got = adam(corrected=corrected).vector_field(t, AdamState(X, M, V))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_bias_correction_dies_out_and_starts_at_the_gradient():
    late = adam().velocity(60.0, M, V)
    np.testing.assert_allclose(late, adam(corrected=False).velocity(60.0, M, V))
    early = adam().velocity(0.5, M, V)
    assert np.max(np.abs(early - late)) > 0.1
    # At t -> 0 the corrected moments of a fixed gradient are g and g².
    g = np.asarray(wavy().gradient(X))
    for t, gap in ((1e-3, 1e-12), (1e-6, 1e-9)):
        m, v = -np.expm1(-t / TAU1) * g, -np.expm1(-t / TAU2) * g**2
        got = adam().velocity(t, jnp.asarray(m), jnp.asarray(v))
        np.testing.assert_allclose(got, -g / (np.sqrt(g**2 + EPS_ROOT) + EPS), rtol=gap)


def test_eps_inside_and_outside_the_root():
    g = np.asarray(wavy().gradient(X))
    y = RMSPropState(X, V)
    v = np.asarray(V)
    inside = rmsprop().vector_field(0.0, y).position
    outside = rmsprop(inside=False).vector_field(0.0, y).position
    np.testing.assert_allclose(inside, -g / np.sqrt(v + EPS), rtol=1e-14)
    np.testing.assert_allclose(outside, -g / (np.sqrt(v) + EPS), rtol=1e-14)
    assert np.max(np.abs(inside - outside)) > 1e-3
    only_root = adam(eps=0.0, eps_root=EPS, corrected=False).velocity(1.0, M, V)
    only_out = adam(eps=EPS, eps_root=0.0, corrected=False).velocity(1.0, M, V)
    np.testing.assert_allclose(only_root, -np.asarray(M) / np.sqrt(v + EPS), rtol=1e-14)
    np.testing.assert_allclose(
        only_out, -np.asarray(M) / (np.sqrt(v) + EPS), rtol=1e-14
    )
    second = rmsprop().vector_field(0.0, y).second_moment
    np.testing.assert_allclose(second, (g**2 - v) / TAU2, rtol=1e-14)


@pytest.mark.parametrize(
    ("flow", "name", "y"),
    [
        (adam(), "EMA", AdamState(X, M, V)),
        (adam(), "X", AdamState(X, M, V)),
        (rmsprop(), "EMA", RMSPropState(X, V)),
    ],
)
def test_exact_maps_against_scipy(flow, name, y):
    part = flow.parts()[name]
    assert part.has_exact
    n = len(y)

    field = eqx.filter_jit(part.vector_field)

    def rhs(t, flat_y):
        # A part that freezes the time is run at the time of its start.
        at = t if part.advances_time else 0.3
        state = type(y)(*jnp.asarray(flat_y).reshape(n, 2))
        return flat(field(at, state))

    h = 0.8
    reference = solve_ivp(rhs, (0.3, 0.3 + h), flat(y), rtol=1e-10, atol=1e-12)
    got = flat(part.exact(0.3, y, h))
    np.testing.assert_allclose(got, reference.y[:, -1], rtol=1e-8)
    assert np.max(np.abs(got - flat(y))) > 1e-2
    twice = part.exact(0.3, part.exact(0.3, y, h / 2), h / 2)
    np.testing.assert_allclose(flat(twice), got, rtol=1e-13)  # a semigroup


def test_the_position_of_rmsprop_has_no_exact_map():
    part = rmsprop().parts()["X"]
    assert not part.has_exact
    with pytest.raises(ValueError, match="RMSPropPosition has no exact map"):
        part.exact(0.0, RMSPropState(X, V), 0.1)


def test_adam_start_is_second_order_accurate():
    """The error of the start at time t is O(t²), and O(t) if x is left in place."""
    flow = adam()
    field = eqx.filter_jit(flow.vector_field)

    def rhs(t, z):
        return flat(field(t, AdamState(*jnp.asarray(z).reshape(3, 2))))

    # The reference starts so early that its own start costs nothing.
    early = 1e-6
    times = 0.02 * 0.5 ** np.arange(5)[::-1]
    reference = solve_ivp(
        rhs,
        (early, times[-1]),
        flat(adam_start(flow, X, early)),
        t_eval=times,
        rtol=1e-10,
        atol=1e-13,
    ).y
    errors, lazy = [], []
    for t, exact in zip(times, reference.T, strict=True):
        start = adam_start(flow, X, float(t))
        errors.append(np.max(np.abs(flat(start) - exact)))
        lazy.append(np.max(np.abs(flat(start._replace(position=X)) - exact)))
    slopes = np.diff(np.log2(errors))
    np.testing.assert_allclose(slopes, 2.0, atol=0.1)
    np.testing.assert_allclose(np.diff(np.log2(lazy)), 1.0, atol=0.1)


@pytest.mark.parametrize("t", [0.0, -1e-3, float("nan")])
def test_adam_does_not_start_at_time_zero(t):
    with pytest.raises(BadInput, match="positive time"):
        adam_start(adam(), X, t)


def test_a_parameter_is_a_leaf_and_real():
    leaves = jax.tree.leaves(eqx.filter(rmsprop(), eqx.is_inexact_array))
    assert [a.weak_type for a in leaves] == [False, False]
    for wrong in (1j, "fast", None):
        with pytest.raises(BadInput, match="parameter is"):
            RMSPropFlow(wavy(), wrong, EPS)


def test_a_negative_second_moment_gives_no_nan():
    """Runge-Kutta stages may undershoot 0 by rounding."""
    under = jnp.array([-1e-12, -0.5])
    for flow, y in (
        (adam(), AdamState(X, M, under)),
        (rmsprop(), RMSPropState(X, under)),
        (rmsprop(inside=False), RMSPropState(X, under)),
    ):
        assert all(np.isfinite(a).all() for a in flow.vector_field(0.1, y))
    gradient = jax.grad(lambda v: jnp.sum(rmsprop().scale(v)))(under)
    assert np.isfinite(gradient).all()


def test_adam_flow_against_scipy():
    flow = adam(objective=quadratic([1.0, 4.0]))

    def rhs(t, z):
        x, m, v = z.reshape(3, 2)
        g = np.array([1.0, 4.0]) * x
        c1, c2 = -np.expm1(-t / TAU1), -np.expm1(-t / TAU2)
        dx = -(m / c1) / (np.sqrt(np.maximum(v, 0) / c2 + EPS_ROOT) + EPS)
        return np.concatenate([dx, (g - m) / TAU1, (g**2 - v) / TAU2])

    start = adam_start(flow, X, 1e-3)
    run = solve(flow, start, 1e-3, 3.0)
    reference = solve_ivp(rhs, (1e-3, 3.0), flat(start), rtol=1e-10, atol=1e-12).y
    np.testing.assert_allclose(
        flat(jax.tree.map(lambda a: a[-1], run.states)), reference[:, -1], atol=1e-6
    )
