"""Chain diagnostics against the exact autocorrelation of an AR(1) chain."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from sde_helpers import EulerMaruyama

import sde
from flows import BadInput, NonFiniteState

pytest.importorskip("arviz")

STEP, CHAINS, DRAWS = 0.25, 40, 2501
RHO = 1 - STEP  # Euler on dX = -X dt + √2 dB is AR(1) with this coefficient
OU = sde.OrnsteinUhlenbeck([1.0], [0.0], 1.0)


def chains(starts, draws=DRAWS):
    return sde.simulate(
        OU,
        jnp.asarray(starts)[:, None],
        t1=STEP * (draws - 1),
        scheme=EulerMaruyama(),
        h=STEP,
        key=1,
        paths=len(starts),
        save="all",
    )


@pytest.fixture(scope="module")
def stationary():
    spread = np.sqrt(2 * STEP / (1 - RHO**2))
    return chains(spread * np.random.default_rng(0).normal(size=CHAINS))


def test_effective_sample_size_is_that_of_the_ar1_chain(stationary):
    """τ = (1 + ρ)/(1 - ρ) = 7.

    The estimate's relative standard error is about √(2(2M + 1)/n) with a window M of
    30: 3.5 per cent. Five of them are granted, so a τ wrong by 20 per cent shows.
    """
    found = sde.effective_sample_size(stationary)
    wanted = CHAINS * DRAWS * (1 - RHO) / (1 + RHO)
    assert found.shape == (1,)
    np.testing.assert_allclose(found, wanted, rtol=0.175)
    shuffled = sde.effective_sample_size(stationary, lambda y: y[0], burn_in=1)
    assert shuffled.shape == () and shuffled < 0.2 * CHAINS * DRAWS  # not independent


def test_r_hat_sees_chains_that_remember_their_starts(stationary):
    assert np.all(np.abs(sde.r_hat(stationary) - 1) < 0.01)
    apart = chains(np.where(np.arange(CHAINS) < CHAINS // 2, 0.0, 50.0), 20)
    assert np.all(sde.r_hat(apart) > 1.5)


def test_the_states_travel_to_arviz(stationary):
    data = stationary.to_arviz(burn_in=501)
    posterior = data.posterior
    assert posterior.sizes["chain"] == CHAINS and posterior.sizes["draw"] == 2000
    np.testing.assert_array_equal(
        np.asarray(posterior["state"])[3], np.asarray(stationary.states)[501:, 3]
    )
    np.testing.assert_allclose(posterior["draw"][0], 501 * STEP)
    assert posterior.attrs["key"] == [0, 1]


def test_diagnostics_refuse_what_they_cannot_use(stationary, monkeypatch):
    with pytest.raises(BadInput, match="burn_in"):
        sde.r_hat(stationary, burn_in=DRAWS)
    with pytest.raises(BadInput, match="4 saved times"):
        sde.r_hat(stationary, burn_in=DRAWS - 3)
    with pytest.raises(BadInput, match="effective sample size"):
        sde.effective_sample_size(stationary, method="median of nothing")
    wild = chains(np.array([0.0, 1.0, 1e308, 1e308]), 8)
    object.__setattr__(
        wild,
        "failures",
        wild.failures._replace(indices=np.array([2]), times=np.ones(1)),
    )
    with pytest.raises(NonFiniteState):
        sde.r_hat(wild)
    assert wild.to_arviz(nonfinite="drop").posterior.sizes["chain"] == 3
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(BadInput, match=r"flowtheory\[diagnostics\]"):
        sde.effective_sample_size(stationary)
