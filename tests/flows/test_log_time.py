"""The logarithmic clock, against closed forms and the flow it slows."""

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from flows import BadInput, GradientFlow, LogTimeFlow, solve
from flows.problems import (
    exponential,
    logistic,
    logistic_regression,
    quadratic,
    separable_exponential,
    wavy,
)

POINTS = [[1.0, 0.5], [0.5, -2.0], [2.0, 1.0]]
KNOWN = {
    "logistic": (logistic(), [0.3]),
    "exponential": (exponential(), [0.3]),
    "separable": (separable_exponential(), [0.3, 0.4]),
    "regression": (logistic_regression(POINTS, np.ones(3)), [0.3, 0.4]),
    "with a ridge": (logistic_regression(POINTS, np.ones(3), ridge=0.2), [0.3, 0.4]),
}


@eqx.filter_jit
def field(flow, s, y):
    return flow.vector_field(s, y)


@pytest.mark.parametrize("name", KNOWN)
def test_the_scaled_gradient_is_the_gradient_times_its_scale(name):
    f, x = KNOWN[name]
    for s in (-3.0, 0.0, 5.0):
        found = f.scaled_gradient(jnp.asarray(s), jnp.asarray(x))
        expected = np.exp(s) * np.asarray(f.gradient(jnp.asarray(x)))
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 2.5])
def test_the_field_is_the_flow_times_the_rate_of_the_clock(offset):
    """By the general rule and by the scaled gradient, which takes no e^s."""
    x, s = jnp.array([0.3, 0.4]), jnp.asarray(1.2)
    for f in (wavy(), separable_exponential()):
        flow = LogTimeFlow(GradientFlow(f), offset)
        expected = -np.exp(1.2) * np.asarray(f.gradient(x))
        np.testing.assert_allclose(field(flow, s, x), expected, rtol=1e-13)
        assert float(flow.clock(flow.time(s))) == pytest.approx(1.2, rel=1e-14)


@pytest.mark.slow
def test_both_clocks_arrive_at_one_point():
    """The orbit is the flow's: s = log(1 + t) at t = e² - 1."""
    f, x = wavy(), jnp.array([1.2, 0.8])
    slow = solve(LogTimeFlow(GradientFlow(f)), x, 0.0, 2.0).positions[-1]
    slope = eqx.filter_jit(f.gradient)

    def plain(t):
        run = solve_ivp(
            lambda t, y: -np.asarray(slope(jnp.asarray(y))),
            (0.0, t),
            np.asarray(x),
            method="DOP853",
            rtol=1e-10,
            atol=1e-12,
        )
        return run.y[:, -1]

    np.testing.assert_allclose(slow, plain(np.exp(2.0) - 1), rtol=1e-6)
    assert np.max(np.abs(plain(2.0) - slow)) > 1e-3  # negative control: t = s


@pytest.mark.slow
def test_late_times_against_the_closed_form():
    f = logistic()
    flow = LogTimeFlow(GradientFlow(f))
    run = solve(
        flow,
        jnp.array([-1.0]),
        0.0,
        60.0,
        solver=diffrax.Kvaerno5(),
        saveat=diffrax.SaveAt(ts=jnp.array([1.0, 20.0, 60.0])),
    )
    for s, x in zip(run.times, run.positions, strict=True):
        exact = f.gradient_flow_map(flow.time(s), jnp.array([-1.0]))
        np.testing.assert_allclose(x, exact, rtol=1e-6)


def test_no_exponential_of_the_clock_overflows():
    """At s = 2000 the support vectors' tail is e^{s - x·w}, an exponent of order 1."""
    f = separable_exponential()
    u = f.max_margin
    w = jnp.asarray(2000.0 * u.direction / u.margin)
    moved = np.asarray(field(LogTimeFlow(GradientFlow(f)), jnp.asarray(2000.0), w))
    assert np.all(np.isfinite(moved))
    assert np.linalg.norm(moved) > 0.1
    # Negative control: the gradient alone underflows to 0 there, and e^s overflows.
    assert np.all(np.asarray(f.gradient(w)) == 0)
    assert np.isinf(jnp.exp(jnp.asarray(2000.0)))


@pytest.mark.slow
def test_a_small_margin_is_stiff_and_a_large_one_is_not():
    """Steps of an explicit solver grow like (R/γ)²; an implicit one does not mind."""

    def steps(height, solver):
        f = separable_exponential([[height, 1.0], [height, -1.2]])
        run = solve(
            LogTimeFlow(GradientFlow(f)),
            jnp.zeros(2),
            0.0,
            40.0,
            solver=solver,
            saveat=diffrax.SaveAt(t1=True),
        )
        return run.stats["num_steps"]

    explicit = [steps(height, diffrax.Tsit5()) for height in (0.3, 0.03)]
    implicit = [steps(height, diffrax.Kvaerno5()) for height in (0.3, 0.03)]
    assert explicit[1] > 30 * explicit[0]
    assert implicit[1] < 3 * implicit[0]
    assert LogTimeFlow(GradientFlow(separable_exponential())).stiff(0.0, 40.0)


def test_a_start_of_another_length_is_refused():
    flow = LogTimeFlow(GradientFlow(quadratic([1.0, 2.0])))
    with pytest.raises(BadInput, match="no field"):
        solve(flow, jnp.zeros(3), 0.0, 1.0)
    with pytest.raises(BadInput, match="offset"):
        LogTimeFlow(GradientFlow(wavy()), -1.0)
