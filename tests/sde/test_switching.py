"""Jump processes: exact laws, thinning that fails loudly, conventions."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import beta, halfnorm, norm
from sde_helpers import (
    Age,
    EulerMaruyama,
    dkw_distance,
    dkw_radius,
    switching,
    switching_quadratics,
)

import flows
import sde
from flows import BadInput, SolveFailed

N = 50_000
JUMPS = sde.ExactJumps()
WELL = tuple(
    flows.from_loss(lambda x, a=a: 0.5 * 1.3 * jnp.sum((x - a) ** 2), jnp.zeros(1))
    for a in (1.0, -1.0)
)


def starts(n, labels=2):
    position = jnp.asarray(np.linspace(-0.9, 0.9, n))[:, None]
    return sde.SwitchingState(position, jnp.arange(n) % labels)


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["never_repeat", "fresh_draw"])
def test_the_two_state_law_is_beta(convention):
    """DKW at false alarm 1e-9: 5·10⁴ paths refuse laws further than 0.0293."""
    gamma, kappa = 0.9, 1.3
    model = switching_quadratics([[1.0], [-1.0]], kappa, gamma, convention)
    run = sde.simulate(
        model, starts(N), t1=15.0, scheme=JUMPS, h=5.0, key=1, paths=N
    )  # what is left of the start is e^{-19}, e^{-13.5}
    x = (np.asarray(run.final.position)[:, 0] + 1) / 2
    r = {"never_repeat": 2 * gamma, "fresh_draw": gamma}[convention]
    assert float(model.index.relaxation_rate()) == r
    b, radius = r / (2 * kappa), dkw_radius(N)
    assert dkw_distance(x, beta(b, b).cdf) < radius
    assert dkw_distance(x, beta(2 * b, 2 * b).cdf) > radius  # the other convention
    # the conditional law given the label: density (1 ± x)(1 - x²)^{b-1}
    plus = x[np.asarray(run.final.label) == 0]
    assert dkw_distance(plus, beta(b + 1, b).cdf) < dkw_radius(len(plus))
    assert dkw_distance(plus, beta(b, b + 1).cdf) > dkw_radius(len(plus))


@pytest.mark.slow
def test_the_label_relaxes_at_the_stated_rate():
    """6.2 standard errors: false alarm 1e-9; sees rates off by 4 per cent."""
    centres = [[0.0], [1.0], [2.0]]
    for convention, factor in (("never_repeat", 1.5), ("fresh_draw", 1.0)):
        model = switching_quadratics(centres, 1.0, 0.8, convention)
        r = float(model.index.relaxation_rate())
        assert abs(r - 0.8 * factor) < 1e-15
        y0 = sde.SwitchingState(jnp.zeros(1), jnp.asarray(1))
        run = sde.simulate(model, y0, t1=1.0, scheme=JUMPS, h=0.5, key=2, paths=N)
        stayed = np.mean(np.asarray(run.final.label) == 1)
        p = (1 + 2 * np.exp(-r)) / 3
        error = 6.2 * np.sqrt(p * (1 - p) / N)
        assert abs(stayed - p) < error
        wrong = (1 + 2 * np.exp(-0.8 * 2.5 / factor)) / 3  # the rates exchanged
        assert abs(stayed - wrong) > error


def test_the_exact_flow_solves_the_field():
    model = switching_quadratics([[1.0, 0.5], [-1.0, 2.0]], 1.3, 0.7)
    y = sde.SwitchingState(jnp.asarray([0.2, -0.4]), jnp.asarray(1))

    def field(t, x):
        y_ = y._replace(position=jnp.asarray(x))
        return np.asarray(model.vector_field(t, y_).position)

    out = solve_ivp(field, (0, 0.8), np.asarray(y.position), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        model.exact(0.0, y, 0.8).position, out.y[:, -1], rtol=1e-8
    )


@pytest.mark.slow
def test_runge_kutta_between_jumps_has_order_four():
    """Same noise, hence same jump times: the flow's error is all there is."""
    exact = switching_quadratics([[1.0], [-1.0]], 1.3, 0.9)
    traced = switching(flows.finite_sum(WELL), 0.9)
    arguments = {"t1": 4.0, "h": 2.0, "key": 5, "paths": 200}
    true = sde.simulate(exact, starts(200), scheme=JUMPS, **arguments).final

    def error(substeps):
        scheme = sde.ExactJumps(substeps=substeps)
        out = sde.simulate(traced, starts(200), scheme=scheme, **arguments).final
        np.testing.assert_array_equal(out.label, true.label)
        return np.sqrt(np.mean((out.position - true.position) ** 2))

    coarse, fine = error(6), error(12)
    assert fine < 1e-4 and abs(np.log2(coarse / fine) - 4) < 0.4, (coarse, fine)


@pytest.mark.parametrize("closed_form", [True, False])
def test_thinning_gives_the_law_of_the_age(closed_form):
    """DKW at false alarm 1e-9: 3·10⁴ paths refuse laws further than 0.038."""
    n = 30_000
    run = sde.simulate(
        Age(closed_form), jnp.zeros(1), t1=12.0, scheme=JUMPS, h=1.5, key=7, paths=n
    )
    x, radius = np.asarray(run.final)[:, 0], dkw_radius(n)
    assert dkw_distance(x, halfnorm.cdf) < radius
    assert dkw_distance(x, halfnorm(scale=1.15).cdf) > radius


@pytest.mark.slow
def test_a_wrong_bound_is_an_error_and_no_bias():
    arguments = {"t1": 3.0, "scheme": JUMPS, "h": 1.5, "key": 7, "paths": 100}
    with pytest.raises(SolveFailed, match="bound on the jump rates was exceeded"):
        sde.simulate(Age(factor=0.5), jnp.ones(1), **arguments)
    with pytest.raises(SolveFailed, match="max_events"):
        few = sde.ExactJumps(max_events=1)
        sde.simulate(Age(), jnp.ones(1), **arguments | {"scheme": few})


class ZigZag(sde.JumpProcess):
    """x' = v, v_j flips at rate (x_j v_j)₊: standard normal x in the end."""

    def vector_field(self, t, y):
        return y._replace(position=y.velocity, velocity=jnp.zeros_like(y.velocity))

    def exact(self, t, y, h):
        return y._replace(position=y.position + h * y.velocity)

    def rates(self, t, y):
        return jnp.maximum(y.position * y.velocity, 0.0)

    def jump(self, t, y, channel):
        flipped = y.velocity.at[channel].multiply(-1.0)
        return sde.Deterministic(y._replace(velocity=flipped))

    def bound(self, t, y, horizon):
        return jnp.sum(jnp.maximum(y.position * y.velocity + horizon, 0.0))


def test_several_clocks_sample_a_normal_law_in_two_dimensions():
    """DKW at false alarm 1e-9 a test: 3·10⁴ paths refuse laws beyond 0.038."""
    n = 30_000
    y0 = sde.LangevinState(jnp.asarray([0.5, -0.5]), jnp.asarray([1.0, -1.0]))
    run = sde.simulate(ZigZag(), y0, t1=12.0, scheme=JUMPS, h=1.0, key=9, paths=n)
    x, v = np.asarray(run.final.position), np.asarray(run.final.velocity)
    radius = dkw_radius(n)
    for k in range(2):
        assert dkw_distance(x[:, k], norm.cdf) < radius
        assert dkw_distance(x[:, k], norm(scale=1.2).cdf) > radius
    assert set(np.unique(v)) == {-1.0, 1.0}
    products = (x[:, 0] * x[:, 1], x[:, 0] * v[:, 0], v[:, 0] * v[:, 1])
    correlations = [np.mean(p) for p in products]
    assert np.max(np.abs(correlations)) < 6.2 / np.sqrt(n)


def test_a_step_counts_its_jumps():
    model = switching_quadratics([[1.0], [-1.0]], 1.0, 50.0)
    y = sde.SwitchingState(jnp.zeros(1), jnp.asarray(0))
    xi = sde.draw_noise(JUMPS, model, y, 0, 20)
    run = flows.iterate(JUMPS, model, y, h=1.0, steps=20, noise=xi)
    jumps = int(np.sum(run.aux.jumps))
    # Poisson of mean 1000: beyond 6.2 standard deviations once in 10⁹
    assert abs(jumps - 1000) < 6.2 * np.sqrt(1000)
    assert int(run.states.label[-1]) == jumps % 2
    np.testing.assert_array_equal(run.aux.proposals, run.aux.jumps + 1)


def in_batches(batches):
    index = sde.UniformIndex(2, 1.0)
    return sde.StochasticGradientProcess(flows.finite_sum(WELL), index, 1.0, batches)


def test_a_batch_is_the_mean_of_its_rows_a_row_twice_counted_twice():
    """-1.3 (x - mean of ±1 over the rows [0, 0] and [0, 1])."""
    model = in_batches([[0, 0], [0, 1]])
    for label, centre in ((0, 1.0), (1, 0.0)):
        slope = model.gradient(label, jnp.full(1, 0.4))
        np.testing.assert_allclose(slope, 1.3 * (0.4 - centre), rtol=1e-13)


def test_bad_switching_is_refused():
    three = flows.from_loss(lambda x: jnp.sum(x**2), jnp.zeros(3))
    for make in (
        lambda: switching_quadratics([[1.0], [-1.0]], 1.0, 0.0),
        lambda: switching_quadratics([[1.0], [-1.0]], 1.0, -1.0),
        lambda: switching_quadratics([[1.0], [-1.0]], 1.0, [1.0, 2.0]),
        lambda: switching_quadratics([[1.0], [-1.0]], [1.0, 2.0, 3.0], 1.0),
        lambda: switching_quadratics([[1.0], [-1.0]], 1.0, 1.0, "sometimes"),
        lambda: switching_quadratics([1.0, -1.0], 1.0, 1.0),
        lambda: switching_quadratics([[1.0]], 1.0, 1.0),
        lambda: switching_quadratics([[1.0], [np.nan]], 1.0, 1.0),
        lambda: switching(flows.finite_sum(WELL[:1]), 1.0),
        lambda: switching(flows.finite_sum((WELL[0], three)), 1.0),
        lambda: sde.ExactJumps(substeps=0),
        lambda: in_batches([[0, 1], [1]]),
        lambda: in_batches(np.zeros((2, 0), int)),
        lambda: in_batches([[0.0], [1.0]]),
        lambda: in_batches([["a"], ["b"]]),
        lambda: in_batches([[0], [2]]),
    ):
        with pytest.raises(BadInput):
            make()


def test_processes_that_cannot_be_simulated_are_refused():
    class Blind(Age):
        def bound(self, t, y, horizon):
            return None

    arguments = {"t1": 1.0, "h": 0.5, "key": 0, "paths": 2}
    with pytest.raises(BadInput, match="neither `waiting` nor `bound`"):
        sde.simulate(Blind(), jnp.zeros(1), scheme=JUMPS, **arguments)
    ou = sde.OrnsteinUhlenbeck(1.0)
    with pytest.raises(BadInput, match="jump processes"):
        sde.simulate(ou, jnp.zeros(1), scheme=JUMPS, **arguments)
    with pytest.raises(BadInput, match="cannot step"):
        sde.simulate(Age(), jnp.zeros(1), scheme=EulerMaruyama(), **arguments)
