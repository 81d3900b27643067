"""Continuous data: folding, the reflected path's law, the mean loss, refusals."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from sde_helpers import dkw_distance, dkw_radius

import flows
import sde
from discretize import Euler, RungeKutta, Splitting
from flows import BadInput
from sde.continuous_data import fold_into_unit

SIGMA, N = 0.8, 20_000


def towards_datum(x, v):
    return 0.5 * jnp.sum((x - v) ** 2)


MODEL = sde.ContinuousDataProcess(towards_datum, SIGMA, 2.0)
PART = MODEL.parts()["V"]


def test_folding_is_reflection():
    z = np.linspace(-7.3, 8.1, 400)
    true = np.arccos(np.cos(np.pi * z)) / np.pi
    np.testing.assert_allclose(fold_into_unit(jnp.asarray(z)), true, atol=1e-7)
    assert np.all(
        np.asarray(fold_into_unit(jnp.asarray([-3.0, -2.0, 0, 1, 5]))) % 1 == 0
    )


def test_the_reflected_path_has_the_law_of_its_images():
    """Two steps of 0.3 against the sum of images; DKW at false alarm 1e-9."""
    xi = np.random.default_rng(1).normal(size=(2, N, 1))

    def move(v, xi):
        y = sde.ContinuousDataState(jnp.zeros(1), v)
        return PART.exact(0.0, y, 0.3, xi).datum

    move = jax.jit(jax.vmap(move))
    v = move(move(jnp.full((N, 1), 0.15), jnp.asarray(xi[0])), jnp.asarray(xi[1]))
    spread = SIGMA * np.sqrt(0.6)

    def cdf(v):
        law = norm(scale=spread).cdf
        images = [0.15 + 2 * k for k in range(-3, 4)]
        return sum(law(v - a) - law(-v - a) for a in images)

    assert cdf(1.0) == pytest.approx(1.0, abs=1e-12)
    assert dkw_distance(v[:, 0], cdf) < dkw_radius(N)
    wrapped = (0.15 + spread * xi[0, :, 0]) % 1  # a circle in place of the interval
    assert dkw_distance(wrapped, cdf) > dkw_radius(N)


def test_cosines_decay_at_their_rates():
    """L cos(jπv) = -r_j cos(jπv), without slope at the ends."""
    y = sde.ContinuousDataState(jnp.zeros(1), jnp.asarray([0.37]))
    for j in (1, 2):
        image = MODEL.generator(lambda t, y, j=j: jnp.cos(j * jnp.pi * y.datum[0]))
        rate = float(MODEL.relaxation_rate(j))
        assert rate == pytest.approx((j * np.pi * SIGMA) ** 2 / 2, 1e-14)
        true = -rate * np.cos(j * np.pi * 0.37)
        assert float(image(0.0, y)) == pytest.approx(true, 1e-12)


@pytest.mark.slow
def test_the_splitting_has_the_mean_of_its_recursion():
    """E x(1) from x = 0, V = 0: 6.2 standard errors, false alarm 1e-9.

    E V_t = 1/2 - Σ 4/(jπ)² e^{-r_j t} over odd j; x relaxes at κ = 1/α for half a step
    towards the datum before, then towards the one after. The error of the step shows.
    """
    scheme = Splitting("X 1/2, V, X 1/2", RungeKutta(diffrax.Tsit5()))
    y0 = sde.ContinuousDataState(jnp.zeros(1), jnp.zeros(1))
    j, h = np.arange(1, 40_001, 2), 0.25
    rate, k = (j * np.pi * SIGMA) ** 2 / 2, 0.5
    modes = 4 / (j * np.pi) ** 2
    x, decay = 0.0, np.exp(-k * h / 2)
    for t in np.arange(4) * h:
        for at in (t, t + h):
            x = decay * x + (1 - decay) * (0.5 - modes @ np.exp(-rate * at))
    left = modes @ (k * (np.exp(-rate) - np.exp(-k)) / (k - rate))
    limit = 0.5 * (1 - np.exp(-k)) - left
    run = sde.simulate(MODEL, y0, t1=1.0, scheme=scheme, h=h, key=1, paths=200_000)
    final = np.asarray(run.final.position)[:, 0]
    error = 6.2 * np.std(final) / np.sqrt(final.size)
    assert abs(np.mean(final) - x) < error < abs(x - limit) / 5


def test_what_is_no_process_of_data_is_refused():
    for make in (
        lambda: sde.ContinuousDataProcess(1.0),
        lambda: sde.ContinuousDataProcess(towards_datum, 0.0),
        lambda: sde.ContinuousDataProcess(towards_datum, 1.0, -1.0),
    ):
        with pytest.raises(BadInput):
            make()
    y = sde.ContinuousDataState(jnp.zeros(1), jnp.zeros(1))
    arguments = {"t1": 1.0, "h": 0.5, "key": 0, "paths": 2}
    word = Splitting("V, X", RungeKutta(diffrax.Euler()))
    for start, scheme, words in (
        (y._replace(datum=jnp.full(1, 7.3)), word, "in \\[0, 1\\]"),
        (y._replace(datum=jnp.full((2, 1), -1e-9)), word, "in \\[0, 1\\]"),
        (jnp.zeros(1), word, "in \\[0, 1\\]"),
        (y, Euler(), "folding"),
    ):
        with pytest.raises(BadInput, match=words):
            sde.simulate(MODEL, start, scheme=scheme, **arguments)
    with pytest.raises(BadInput, match="folding"):
        sde.draw_noise(Euler(), MODEL, y, 0, 2)
    noise = sde.draw_noise(
        Splitting("V, X", RungeKutta(diffrax.Euler())), MODEL, y, 0, 2
    )
    with pytest.raises(BadInput, match="no exact map"):
        flows.iterate(Splitting("V, X"), MODEL, y, h=0.1, steps=2, noise=noise)
