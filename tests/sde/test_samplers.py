"""Samplers by velocity jumps: waits, flows, laws, bounds, parts."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm
from scipy.stats import hypsecant, norm
from sde_helpers import dkw_distance, dkw_radius

import flows
import sde
from flows import BadInput, SolveFailed
from flows.problems import quadratic, wavy
from sde.samplers.clocks import linear_delay, wave_delay
from sde.samplers.laws import FreshVelocity, OneOf
from sde.samplers.zigzag import FreshSigns

A = np.array([[2.0, 0.8], [0.8, 1.0]])
U = quadratic(A, [0.5, -1.0])
P = np.array([[1.5, 0.3], [0.3, 0.8]])
Y = sde.LangevinState(jnp.array([0.9, -1.7]), jnp.array([1.0, -1.0]))
SAMPLERS = {
    "zig-zag": sde.ZigZag(U, 0.1),
    "bouncy": sde.BouncyParticle(U, 0.7),
    "boomerang": sde.Boomerang(U, 0.7, P),
}
EACH = pytest.mark.parametrize("name", SAMPLERS)
NUMBER = st.integers(-3000, 3000).map(lambda k: k / 1000)
AMOUNT = st.floats(1e-3, 8)
LINEAR, WAVE = jax.jit(linear_delay), jax.jit(wave_delay)


@settings(max_examples=60, deadline=None)
@given(NUMBER, NUMBER, AMOUNT)
def test_a_linear_clock_rings_where_its_integral_says(a, b, e):
    """∫₀ˢ (a + b u)₊ du = e, or the whole integral is below e."""
    s = float(LINEAR(a, b, e))

    def integral(s):
        root = [-a / b] if b and 0 < -a / b < s else []
        ends = np.array([0.0, *root, s])
        mids, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
        return np.sum(np.maximum(a + b * mids, 0) * widths)  # exact on linear pieces

    if np.isinf(s):
        assert b <= 0
        assert a <= 0 or a**2 / (2 * abs(b) + 1e-300) <= e * (1 + 1e-12)
    else:
        assert integral(s) == pytest.approx(e, rel=1e-10)


@settings(max_examples=60, deadline=None)
@given(NUMBER, NUMBER, AMOUNT)
def test_a_wave_clock_rings_where_its_integral_says(p, q, e):
    """∫₀ˢ (p cos 2u + q sin 2u)₊ du = e by quadrature, kinks at the zeros."""
    size = np.hypot(p, q)
    s = float(WAVE(p, q, e))
    if size < 1e-2:
        assert s >= np.pi * (e / size - 1) if size else np.isinf(s)
        return
    zeros = (np.arctan2(q, p) + np.pi / 2 + np.pi * np.arange(-3, 3000)) / 2
    whole = int(s // np.pi)
    inside = [z % np.pi for z in zeros[:3] if 0 < z % np.pi < s - whole * np.pi]

    def rate(u):
        return max(p * np.cos(2 * u) + q * np.sin(2 * u), 0.0)

    rest, _ = quad(rate, 0, s - whole * np.pi, points=inside or None)
    assert whole * size + rest == pytest.approx(e, rel=1e-8, abs=1e-10)


def test_extreme_clocks_stay_finite_or_never_ring():
    assert np.isinf(float(WAVE(0.0, 0.0, 1.0))) and np.isinf(
        float(LINEAR(0.0, 0.0, 1.0))
    )
    # the mean of R cos₊ is R/π; s = 2e/(a + √(a² + 2be)) has no cancellation
    assert float(WAVE(1e-30, 0.0, 1.0)) == pytest.approx(np.pi * 1e30)
    assert float(LINEAR(1.0, 1e-20, 0.5)) == pytest.approx(0.5, rel=1e-15)
    assert float(LINEAR(1e9, 1.0, 1e-3)) == pytest.approx(1e-12, rel=1e-12)


@eqx.filter_jit
def rates_until(model, y, s):
    """Times in [0, s] and the rates along the flow there."""
    grid = jnp.linspace(0.0, s, 4001)
    along = jax.vmap(lambda u: model.rates(u, model.exact(0.0, y, u)))
    return grid, along(grid)


@EACH
def test_waits_integrate_the_rates_along_the_flow(name):
    """∫ of the bounces' rates by the trapezoidal rule: error below 1e-5 here."""
    model = SAMPLERS[name]
    amounts = jnp.asarray([0.7, 1.9][: model.clocks])
    finite = 0
    for y in (Y, Y._replace(velocity=-Y.velocity)):
        delays = np.asarray(model.bounce_delay(y, amounts))
        for channel, (s, amount) in enumerate(zip(delays, amounts, strict=True)):
            if np.isinf(s):
                continue
            grid, rates = rates_until(model, y, s)
            other = 0.1 if name == "zig-zag" else 0.0  # the excess is a clock apart
            total = np.trapezoid(np.asarray(rates)[:, channel] - other, grid)
            assert total == pytest.approx(float(amount), rel=1e-5)
            finite += 1
    assert finite >= 2


@EACH
def test_the_flow_solves_its_field_and_its_integral_is_right(name):
    model, n = SAMPLERS[name], 2

    def field(t, z):
        y = sde.LangevinState(jnp.asarray(z[:n]), jnp.asarray(z[n : 2 * n]))
        d = model.vector_field(t, y)
        return np.concatenate([d.position, d.velocity, z[:n]])

    start = np.concatenate([Y.position, Y.velocity, np.zeros(n)])
    out = solve_ivp(field, (0, 0.8), start, rtol=1e-10, atol=1e-12).y[:, -1]
    after = model.exact(0.0, Y, 0.8)
    np.testing.assert_allclose(after.position, out[:n], rtol=1e-8)
    np.testing.assert_allclose(after.velocity, out[n : 2 * n], rtol=1e-8)
    np.testing.assert_allclose(model.integral(0.0, Y, 0.8), out[2 * n :], rtol=1e-8)


@EACH
def test_bounces_are_reflections_that_keep_the_law_of_the_velocity(name):
    """Twice is the identity, v·g changes sign, v·Pv stays."""
    model = SAMPLERS[name]
    y = Y._replace(velocity=jnp.array([0.3, -1.2]))
    once = model.jump(0.0, y, 0).sample(None)
    twice = model.jump(0.0, once, 0).sample(None)
    np.testing.assert_allclose(twice.velocity, y.velocity, rtol=1e-13)
    assert np.max(np.abs(once.velocity - y.velocity)) > 0.1
    m = P if name == "boomerang" else np.eye(2)
    a, b = (np.asarray(s.velocity) for s in (y, once))
    assert a @ m @ a == pytest.approx(b @ m @ b, rel=1e-13)
    u = np.asarray(y.position) - np.asarray(U.centre)
    g = A @ u - (m @ u if name == "boomerang" else 0)
    j = slice(0, 1) if name == "zig-zag" else slice(None)
    assert a[j] @ g[j] == pytest.approx(-(b[j] @ g[j]), rel=1e-12)


@pytest.mark.slow
@EACH
def test_ensembles_keep_the_gaussian_law(name):
    """Started in the stationary law of x; DKW at 1e-9 refuses laws beyond 0.093."""
    n, model = 5_000, SAMPLERS[name]
    rng = np.random.default_rng(1)
    covariance = np.linalg.inv(A)
    x = rng.multivariate_normal(np.asarray(U.centre), covariance, n)
    v = model.start(jnp.zeros(2), key=3, paths=n).velocity
    y0 = sde.LangevinState(jnp.asarray(x), v)
    run = sde.simulate_skeletons(model, y0, t1=3.0, key=4, paths=n, events=40)
    assert np.mean(np.asarray(run.rings) > 0) > 0.8
    u = np.asarray(run.final.position) - np.asarray(U.centre)
    for direction in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]):
        w = np.asarray(direction)
        sd = np.sqrt(w @ covariance @ w)
        assert dkw_distance(u @ w / sd, norm.cdf) < dkw_radius(n)
        assert dkw_distance(u @ w / sd, norm(scale=1.5).cdf) > dkw_radius(n)


LOG_COSH = flows.from_loss(
    lambda x: jnp.sum(jnp.logaddexp(x, -x)),
    jnp.zeros(2),
    facts=flows.Facts(smoothness=flows.Fact(1.0, "sech² <= 1")),
)
"""The density Π_j sech(x_j)/π."""

THINNED = {
    "zig-zag": sde.ZigZag(LOG_COSH, curvature=1.0),
    "bouncy": sde.BouncyParticle(LOG_COSH, 0.8),
    "boomerang": sde.Boomerang(LOG_COSH, 0.8, [0.5, 0.25], [0.3, 0.0], 1.0),
}


def thinned(model, n=5_000):
    """Positions at time 2 of an ensemble started in the stationary law."""
    x = hypsecant.rvs(size=(n, 2), random_state=2)
    v = model.start(jnp.zeros(2), key=5, paths=n).velocity
    y0 = sde.LangevinState(jnp.asarray(x), v)
    jumps = sde.ExactJumps()
    run = sde.simulate(model, y0, t1=2.0, scheme=jumps, h=0.5, key=6, paths=n)
    return np.asarray(run.final.position)


@pytest.mark.slow
@pytest.mark.parametrize("name", THINNED)
def test_thinning_samples_what_is_no_gaussian(name):
    """DKW at false alarm 1e-9: 5·10³ paths refuse laws beyond 0.093."""
    model = THINNED[name]
    assert not model.solved and model.waiting(0.0, Y, None) is None
    x = thinned(model)
    for k in range(2):
        assert dkw_distance(x[:, k], hypsecant.cdf) < dkw_radius(len(x))
        assert dkw_distance(x[:, k], hypsecant(scale=1.6).cdf) > dkw_radius(len(x))


def test_a_curvature_that_is_too_small_is_an_error_and_no_bias():
    with pytest.raises(SolveFailed, match="bound on the jump rates was exceeded"):
        thinned(sde.ZigZag(LOG_COSH, curvature=0.2))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_bounds_hold_along_the_flow(seed):
    rng = np.random.default_rng(seed)
    y = sde.LangevinState(
        jnp.asarray(rng.normal(0, 2, 2)), jnp.asarray(rng.choice([-1.0, 1.0], 2))
    )
    for model, along in ALONG:
        rates, bound = along(model, y)
        assert np.max(rates) <= float(bound)


@eqx.filter_jit
def rates_and_bound(model, y):
    grid = jnp.linspace(0.0, 1.5, 40)
    rates = jax.vmap(lambda u: jnp.sum(model.rates(u, model.exact(0.0, y, u))))(grid)
    return rates, model.bound(0.0, y, 1.5)


ALONG = [
    (model, rates_and_bound)
    for model in (*THINNED.values(), sde.Boomerang(LOG_COSH, 0.8, P))
]


def test_a_bound_of_the_users_own_and_none_at_all():
    loss = flows.from_loss(lambda x: jnp.sum(x**4), jnp.zeros(2))
    assert sde.ZigZag(loss).bound(0.0, Y, 1.0) is None

    def cubic(y, horizon):
        reach = jnp.abs(y.position) + horizon * jnp.abs(y.velocity)
        return jnp.sum(4 * jnp.abs(y.velocity) * reach**3)

    own = sde.ZigZag(loss, 0.25, rate_bound=cubic)
    assert float(own.bound(0.0, Y, 1.0)) == pytest.approx(4 * (1.9**3 + 2.7**3) + 0.5)


def test_parts_are_the_laws_of_jumps_at_rest():
    h = 0.7
    signs = sde.ZigZag(U, jnp.array([0.2, 0.0]))
    turns: Any = signs.parts()["B"]
    found = np.asarray(turns.turn_probability(Y, h))
    slope = np.asarray(Y.velocity * U.gradient(Y.position))
    for s, excess, p in zip(slope, (0.2, 0.0), found, strict=True):
        here, back = max(s, 0) + excess, max(-s, 0) + excess
        q = np.array([[-here, here], [back, -back]])
        assert p == pytest.approx(expm(h * q)[0, 1], rel=1e-12, abs=1e-15)
    still: Any = sde.ZigZag(U).parts()["B"]
    never = still.turn_probability(Y._replace(position=jnp.array([0.5, -1.0])), h)
    np.testing.assert_array_equal(never, 0.0)
    for name in ("bouncy", "boomerang"):
        model = SAMPLERS[name]
        y = Y if float(model.rates(0.0, Y)[0]) else Y._replace(velocity=-Y.velocity)
        bounce, fresh = model.parts()["B"], model.parts()["R"]
        p = 1 - np.exp(-h * float(model.rates(0.0, y)[0]))
        assert 0.05 < p < 0.95
        for u, moved in ((p * 0.99, True), (p * 1.01, False)):
            after = bounce.exact(0.0, y, h, jnp.array([u]))
            wanted = model.bounced(y) if moved else y.velocity
            np.testing.assert_array_equal(after.velocity, wanted)
        p, xi = 1 - np.exp(-0.7 * h), jnp.array([0.3, -2.0])
        drawn = fresh.exact(0.0, y, h, (jnp.array([p * 0.99]), xi)).velocity
        kept = fresh.exact(0.0, y, h, (jnp.array([p * 1.01]), xi)).velocity
        np.testing.assert_array_equal(kept, y.velocity)
        factor = np.linalg.inv(np.linalg.cholesky(P)).T if name == "boomerang" else 1
        np.testing.assert_allclose(drawn, factor @ xi if name == "boomerang" else xi)


def test_laws_integrate_what_they_sample():
    def phi(y):
        return jnp.prod(y.velocity) + jnp.sum(y.velocity**2 * y.position)

    factor = jnp.asarray(np.linalg.inv(np.linalg.cholesky(P)).T)
    covariance = np.linalg.inv(P)
    exact = covariance[0, 1] + np.diag(covariance) @ np.asarray(Y.position)
    fresh = FreshVelocity(Y, factor, 4)
    assert float(fresh.expect(phi)) == pytest.approx(exact, rel=1e-12)
    assert float(FreshSigns(Y).expect(phi)) == pytest.approx(float(jnp.sum(Y.position)))
    for choice, law in ((True, fresh), (False, FreshSigns(Y))):
        either = OneOf(fresh, FreshSigns(Y), jnp.asarray(choice))
        assert float(either.expect(phi)) == float(law.expect(phi))
        key = jax.random.key(1)
        np.testing.assert_array_equal(
            either.sample(key).velocity, law.sample(key).velocity
        )
    large = FreshVelocity(sde.LangevinState(jnp.zeros(20), jnp.zeros(20)), factor[0, 0])
    with pytest.raises(BadInput, match="evaluations"):
        large.expect(phi)  # sampling it is no trouble
    assert large.sample(jax.random.key(0)).velocity.shape == (20,)


def test_bad_samplers_are_refused():
    for make in (
        lambda: sde.ZigZag(U, -0.1),
        lambda: sde.ZigZag(U, [0.1, 0.1, 0.1]),
        lambda: sde.ZigZag(wavy(), 0.0, -1.0),
        lambda: sde.BouncyParticle(U, -1.0),
        lambda: sde.Boomerang(U, -1.0),
        lambda: sde.Boomerang(U, 1.0, [1.0, -1.0]),
        lambda: sde.Boomerang(U, 1.0, [[1.0, 2.0], [2.0, 1.0]]),
        lambda: sde.Boomerang(U, 1.0, [[1.0, 0.5], [0.0, 1.0]]),
        lambda: sde.Boomerang(U, 1.0, [1.0, 1.0, 1.0]),
        lambda: sde.Boomerang(U, 1.0, centre=[0.0]),
    ):
        with pytest.raises(BadInput):
            make()


def test_starts_of_samplers_are_those_of_their_objective():
    sampler, many = sde.ZigZag(U), np.zeros((4, 2))
    sampler.require_inside(sde.LangevinState(many, many))
    for y in (
        sde.LangevinState(jnp.zeros(3), jnp.ones(3)),
        sde.LangevinState(jnp.zeros(2), jnp.ones(3)),
        sde.LangevinState(np.zeros(2, int), np.ones(2, int)),
        sde.SwitchingState(jnp.zeros(2), 0),
        jnp.zeros(2),
    ):
        with pytest.raises(BadInput, match="LangevinState"):
            sampler.require_inside(y)
    for position, paths in (
        (jnp.zeros(3), 2),
        (many, 2),
        ([np.nan, 0.0], 2),
        (many[0], 0),
    ):
        with pytest.raises(BadInput):
            sampler.start(position, key=0, paths=paths)
    whole = jax.eval_shape(lambda: sampler.start([1, 2], key=0, paths=3))
    assert whole.position.dtype == whole.velocity.dtype == float  # of whole numbers


@pytest.mark.parametrize("matrix", [[-1.0], [1.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]])
@pytest.mark.parametrize("kind", [sde.ZigZag, sde.BouncyParticle, sde.Boomerang])
def test_a_quadratic_that_is_no_density_is_refused(kind, matrix):
    with pytest.raises(BadInput, match="positive eigenvalues"):
        kind(quadratic(matrix))
