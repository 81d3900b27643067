"""Jumps by event location and by change of clock, beside exact ones of the same key."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import halfnorm
from sde_helpers import Age, EulerMaruyama, dkw_distance, dkw_radius

import sde
from flows import BadInput
from sde.noise import uniforms

RUN = {"t1": 6.0, "h": 2.0, "key": 4, "paths": 200}


def exponential(key):
    return -jnp.log(uniforms(key, 1)[0])


class Renewal(Age):
    """The age, renewed at rate 1/2 + x: ∫ of the rate is inverted by a root."""

    def rates(self, t, y):
        return 0.5 + y

    def waiting(self, t, y, key):
        a = 0.5 + y[0]
        return jnp.sqrt(a * a + 2 * exponential(key)) - a


class ZigZag(sde.JumpProcess):
    """x' = v = ±1, flipped at rate (x v)₊; and refreshed by a second clock."""

    def vector_field(self, t, y):
        return y._replace(position=y.velocity, velocity=jnp.zeros_like(y.velocity))

    def exact(self, t, y, h):
        return y._replace(position=y.position + h * y.velocity)

    def rates(self, t, y):
        return jnp.maximum(y.position * y.velocity, 0.0)

    def jump(self, t, y, channel):
        return sde.Deterministic(y._replace(velocity=-y.velocity))

    def waiting(self, t, y, key):
        a = y.position[0] * y.velocity[0]
        return -a + jnp.sqrt(jnp.maximum(a, 0.0) ** 2 + 2 * exponential(key))


def gaps(process, scheme, y0):
    """Distances of the final positions from the exact ones, same key, shape [paths]."""
    exact = sde.simulate(process, y0, scheme=sde.ExactJumps(), **RUN).final
    found = sde.simulate(process, y0, scheme=scheme, **RUN).final
    a, b = (np.asarray(getattr(y, "position", y))[:, 0] for y in (found, exact))
    return np.abs(a - b)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [sde.EventLocation(), sde.ClockChange(phantom=0.0)],
    ids=["event", "clock"],
)
def test_jumps_of_a_renewal_process_are_found(scheme):
    """The rate is linear in time, so the dense output of the solver is exact too."""
    assert np.max(gaps(Renewal(), scheme, jnp.zeros(1))) < 1e-8


@pytest.mark.slow
def test_jumps_behind_a_kink_are_found_to_the_tolerance():
    y0 = sde.LangevinState(jnp.zeros(1), jnp.ones(1))
    fine = np.max(gaps(ZigZag(), sde.EventLocation(), y0))
    coarse = np.max(gaps(ZigZag(), sde.EventLocation(rtol=1e-3, atol=1e-3), y0))
    assert fine < 1e-5 and coarse > 10 * fine


@pytest.mark.slow
def test_phantom_events_change_no_law():
    """Rate 0 right after each jump: the clock stands still but for phantoms.

    DKW at false alarm 1e-9: 2·10⁴ paths refuse laws further than 0.047.
    """
    n = 20_000
    arguments = {"t1": 6.0, "h": 2.0, "key": 7, "paths": n}
    run = sde.simulate(
        Age(), jnp.zeros(1), scheme=sde.ClockChange(1e-5, 1e-7), **arguments
    )
    x, radius = np.asarray(run.final)[:, 0], dkw_radius(n)
    assert dkw_distance(x, halfnorm.cdf) < radius
    assert dkw_distance(x, halfnorm(scale=1.2).cdf) > radius


def test_what_they_do_not_take_is_refused():
    for make in (
        lambda: sde.EventLocation(rtol=0.0),
        lambda: sde.EventLocation(atol=-1.0),
        lambda: sde.EventLocation(max_events=0),
        lambda: sde.ClockChange(rtol=np.nan),
        lambda: sde.ClockChange(phantom=-1.0),
        lambda: sde.ClockChange(phantom=np.inf),
        lambda: sde.ExactJumps(substeps=0),
        lambda: sde.ExactJumps(max_events=0),
    ):
        with pytest.raises(BadInput):
            make()
    assert sde.ClockChange(phantom=2).phantom.dtype == float  # new values, one program
    ou = sde.OrnsteinUhlenbeck(1.0)
    for scheme in (sde.EventLocation(), sde.ClockChange()):
        with pytest.raises(BadInput, match="jump processes"):
            sde.simulate(ou, jnp.zeros(1), scheme=scheme, **RUN)
    with pytest.raises(BadInput):
        sde.simulate(Age(), jnp.zeros(1), scheme=EulerMaruyama(), **RUN)
