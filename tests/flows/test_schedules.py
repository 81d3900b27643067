"""Schedules beside mpmath: integrals, inverses, limits of the formulas, refusals."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flows
from flows import BadInput
from flows.schedules import delay_after, integral_over, is_constant, scheduled, value_at

POWERS = (-2.5, -1.0, -1 + 1e-9, -1 - 1e-7, -0.5, 0.0, 1e-12, 1.5, 3.0)
GROWTHS = (-0.7, -1e-9, 0.0, 1e-11, 0.4)
integral = jax.jit(lambda schedule, t0, t1: schedule.integral(t0, t1))
delay = jax.jit(lambda schedule, t, amount: schedule.delay(t, amount))


WAVY = flows.CustomSchedule(lambda t: 2 + jnp.sin(t), lambda t: 2 * t - jnp.cos(t))
"""γ(t) = 2 + sin t, whose integral has no inverse in closed form."""


@pytest.mark.parametrize("power", POWERS)
def test_the_integral_of_a_power_to_the_last_digits(power):
    schedule = flows.PowerSchedule(1.3, 2.0, power)
    for t0, t1 in ((0.0, 6.0), (3.0, 3.0 + 1e-9), (100.0, 1e4)):
        with mpmath.workdps(40):
            p, start = mpmath.mpf(power), 1 + mpmath.mpf(t0) / 2
            end = 1 + mpmath.mpf(t1) / 2
            ends = mpmath.log(end / start)
            if p != -1:
                ends = (end ** (p + 1) - start ** (p + 1)) / (p + 1)
            true = mpmath.mpf(1.3) * 2 * ends
        # t1 - t0 is rounded to eps t1, which the short interval magnifies
        slack = 4e-15 * max(1.0, t1 * 1e-1 / (t1 - t0))
        assert float(integral(schedule, t0, t1)) == pytest.approx(float(true), slack)


@pytest.mark.parametrize("growth", GROWTHS)
def test_the_integral_of_an_exponential_to_the_last_digits(growth):
    schedule = flows.ExponentialSchedule(0.8, growth)
    for t0, t1 in ((0.0, 5.0), (2.0, 30.0)):
        with mpmath.workdps(40):
            g, span = mpmath.mpf(growth), mpmath.mpf(t1) - t0
            mean = mpmath.expm1(g * span) / g if g else span
            true = mpmath.mpf(0.8) * mpmath.exp(g * t0) * mean
        assert float(integral(schedule, t0, t1)) == pytest.approx(float(true), 4e-15)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([-1.0, -0.4, 0.0, 0.7, 2.0]) | st.floats(-0.9, 3.0),
    st.floats(0.0, 1e4),
    st.floats(1e-6, 1e3),
)
def test_the_delay_inverts_the_integral_of_a_power(power, t, amount):
    schedule = flows.PowerSchedule(1.3, 2.0, power)
    wait = float(delay(schedule, t, amount))
    if not np.isfinite(wait) or t + wait > 1e15:  # e^{1000} at p = -1
        return
    with mpmath.workdps(40):
        p, a = mpmath.mpf(power) + 1, 2 + mpmath.mpf(t)
        share = mpmath.mpf(amount) / (mpmath.mpf(1.3) * 2 * (a / 2) ** p)
        log = mpmath.log1p(p * share) / p if p else share
        true = a * mpmath.expm1(log)
    assert wait == pytest.approx(float(true), 1e-13 * max(1.0, float(log)))


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 50.0), st.floats(1e-3, 200.0))
def test_the_delay_without_a_formula_is_found_by_bisection(t, amount):
    wait = float(delay(WAVY, t, amount))
    with mpmath.workdps(30):

        def short(s):
            end, start = mpmath.mpf(t) + s, mpmath.mpf(t)
            return 2 * s - mpmath.cos(end) + mpmath.cos(start) - amount

        true = mpmath.findroot(short, wait)
    # the difference of two antiderivatives has the rounding of 2 t over γ >= 1
    assert abs(wait - float(true)) <= 8e-16 * (2 * t + amount + 1)


def test_a_fading_clock_may_never_ring_again():
    """∫ γ over all times is τ γ₀/(-p-1) = 2 here, and γ₀/(-g) = 4."""
    power = flows.PowerSchedule(1.5, 2.0, -2.5)
    fading = flows.ExponentialSchedule(2.0, -0.5)
    for schedule, total in ((power, 2.0), (fading, 4.0)):
        assert float(delay(schedule, 0.0, total * 1.0001)) == np.inf
        late = float(delay(schedule, 0.0, total * 0.9999))
        assert np.isfinite(late)
        assert float(integral(schedule, 0.0, late)) == pytest.approx(
            0.9999 * total, 1e-12
        )
    gone = flows.CustomSchedule(lambda t: jnp.exp(-t), lambda t: -jnp.exp(-t))
    assert float(delay(gone, 0.0, 1.5)) == np.inf
    assert float(delay(gone, 0.0, 0.5)) == pytest.approx(np.log(2), 1e-15)


def test_derivatives_are_right_where_the_formula_changes():
    """d/dp of ∫ and of the delay at p = -1 and p = 0, by mpmath's differences."""

    @jax.jit
    @jax.jacobian
    def slopes(p):
        schedule = flows.PowerSchedule(1.3, 2.0, p)
        return jnp.stack([schedule.integral(1.0, 4.0), schedule.delay(1.0, 4.0)])

    def true(p, name):
        a, q = mpmath.mpf(3), p + 1
        gamma = mpmath.mpf(1.3) * (a / 2) ** p
        if name == "integral":
            return (
                gamma
                * a
                * mpmath.quad(lambda s: (1 + s / a) ** p / a, [0, mpmath.mpf(3)])
            )
        share = 4 / (gamma * a)
        log = mpmath.log1p(q * share) / q if q else share
        return a * mpmath.expm1(log)

    for p in (-1.0, 0.0, 0.5):
        for name, found in zip(("integral", "delay"), slopes(p), strict=True):
            with mpmath.workdps(30):
                slope = mpmath.diff(lambda p, n=name: true(p, n), p)
            assert float(found) == pytest.approx(float(slope), 1e-9), (p, name)


def test_constants_pass_through_the_same_functions():
    rate, clock = scheduled(2.5), scheduled(flows.PowerSchedule(2.5, 1.0, 0.0))
    assert is_constant(rate) and not is_constant(clock)
    for value in (rate, clock):
        assert float(value_at(value, 3.0)) == 2.5
        assert float(integral_over(value, 1.0, 3.0)) == pytest.approx(5.0, 1e-15)
        assert float(delay_after(value, 1.0, 5.0)) == pytest.approx(2.0, 1e-15)


def test_what_is_no_schedule_is_refused():
    for make in (
        lambda: flows.PowerSchedule(0.0),
        lambda: flows.PowerSchedule(1.0, -2.0),
        lambda: flows.PowerSchedule(1.0, 2.0, np.nan),
        lambda: flows.ExponentialSchedule(-1.0, 0.1),
        lambda: flows.ExponentialSchedule(1.0, np.inf),
        lambda: flows.CustomSchedule(jnp.cos, jnp.sin),  # not positive
        lambda: flows.CustomSchedule(lambda t: 1 + t, lambda t: t + t**2),
        lambda: flows.CustomSchedule(lambda t: jnp.ones(2), lambda t: 2 * t),
        lambda: flows.CustomSchedule(1.0, 2.0),
    ):
        with pytest.raises(BadInput):
            make()
