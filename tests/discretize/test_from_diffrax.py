"""Solvers of diffrax as schemes: the same steps, the right temperature, areas."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from discretize import Euler, FromDiffrax, stationary_covariance
from discretize.schemes.from_diffrax import coarser, levy_areas
from flows import BadInput, Draw, iterate
from flows.problems import double_well, quadratic
from sde import (
    LangevinState,
    OverdampedLangevin,
    UnderdampedLangevin,
    draw_noise,
    simulate,
)

H, STEPS = 0.125, 16
WELL = UnderdampedLangevin(double_well(), 1.0, 0.25)
START = LangevinState(jnp.array([1.0]), jnp.array([0.0]))
QUICSORT = FromDiffrax(diffrax.QUICSORT(0.01))
SHARK = FromDiffrax(diffrax.ShARK())


class Table(diffrax.AbstractBrownianPath):
    """A Brownian path read from the areas of its steps of length H."""

    noise: Any
    levy_area: Any = eqx.field(static=True)
    t0: Any = 0.0
    t1: Any = H * STEPS

    def evaluate(self, t0, t1=None, left=True, use_levy=False):
        row = jnp.round(t0 / H).astype(int)
        areas = levy_areas(self.noise[row], H)
        return areas if use_levy else areas.W


def solved(solver, terms, y0):
    """The end of `diffeqsolve` with constant steps."""
    out = diffrax.diffeqsolve(
        terms, solver, 0.0, H * STEPS, H, y0, args=None, max_steps=2 * STEPS
    )
    return [
        np.asarray(leaf)[0] for leaf in (out.ys if type(y0) is tuple else (out.ys,))
    ]


@pytest.mark.slow
def test_a_kinetic_solver_is_stepped_as_diffeqsolve_steps_it():
    noise = draw_noise(QUICSORT, WELL, START, 7, STEPS)
    assert QUICSORT.noise_like(WELL, START) == Draw("normal", (3, 1))
    run = iterate(QUICSORT, WELL, START, h=H, steps=STEPS, noise=noise)
    path = Table(noise, diffrax.SpaceTimeTimeLevyArea)
    with_temperature = diffrax.MultiTerm(
        diffrax.UnderdampedLangevinDriftTerm(
            1.0, 0.25, lambda x, args: 4.0 * (x**3 - x)
        ),
        diffrax.UnderdampedLangevinDiffusionTerm(1.0, 0.25, path),
    )
    x, v = solved(QUICSORT.solver, with_temperature, tuple(START))
    np.testing.assert_allclose(run.states.position[-1], x, rtol=1e-13)
    np.testing.assert_allclose(run.states.velocity[-1], v, rtol=1e-13)
    # negative control: without the space-time area the path is another one
    other = iterate(
        QUICSORT, WELL, START, h=H, steps=STEPS, noise=noise.at[:, 1].set(0.0)
    )
    assert abs(float(other.states.position[-1, 0]) - x[0]) > 1e-6


@pytest.mark.slow
def test_shark_is_stepped_as_diffeqsolve_steps_it():
    model, y0 = OverdampedLangevin(double_well(), 0.25), jnp.array([1.0])
    noise = draw_noise(SHARK, model, y0, 7, STEPS)
    assert noise.shape == (STEPS, 2, 1)
    run = iterate(SHARK, model, y0, h=H, steps=STEPS, noise=noise)
    path = Table(noise, diffrax.SpaceTimeLevyArea)
    terms = diffrax.MultiTerm(
        diffrax.ODETerm(lambda t, y, args: y - y**3),
        diffrax.ControlTerm(lambda t, y, args: jnp.sqrt(0.5) * jnp.eye(1), path),
    )
    (x,) = solved(diffrax.ShARK(), terms, y0)
    np.testing.assert_allclose(run.states[-1], x, rtol=1e-13)


@pytest.mark.parametrize(
    ("scheme", "model", "rate"),
    [
        (QUICSORT, UnderdampedLangevin(quadratic([1.5]), 2.0, 0.25, 1.3), 8.0),
        (SHARK, OverdampedLangevin(quadratic([1.5]), 0.25), 4.0),
    ],
)
def test_stationary_moments_have_the_models_temperature(scheme, model, rate):
    """E x² -> T/k as h^3 (QUICSORT), h^2 (ShARK); the naive u = 1, F = f has T = 1."""
    values = [
        stationary_covariance(scheme, model, h).covariance[0, 0] for h in (0.1, 0.05)
    ]
    errors = np.array(values) * 1.5 / 0.25 - 1
    assert abs(errors[1]) < 1e-3
    assert errors[0] / errors[1] == pytest.approx(rate, rel=0.1)


@pytest.mark.slow
def test_an_ensemble_has_the_gibbs_second_moment():
    """4000 paths, 6 standard errors: false alarm 2e-9, sees 0.05 in E x²."""

    def weight(x, power):
        return x**power * np.exp(-((x**2 - 1) ** 2))  # f/T = (x² - 1)²

    top, bottom = (scipy.integrate.quad(weight, -4, 4, args=(p,))[0] for p in (2, 0))
    run = simulate(WELL, START, t1=10.0, scheme=QUICSORT, h=0.1, key=3, paths=4000)
    square = np.asarray(run.final.position[:, 0]) ** 2
    bound = 6 * square.std() / np.sqrt(4000)
    assert abs(square.mean() - top / bottom) < bound < 0.06
    # negative control: what u = 1, F = f would give
    assert abs(square.mean() - 1.013) > bound


def test_coarser_normals_are_the_areas_of_the_same_path():
    """A polygon (fine areas 0) against Simpson's rule, exact for it piece by piece."""
    rng, m = np.random.default_rng(2), 6
    noise = np.zeros((2 * m, 3, 1))
    noise[:, 0, 0] = rng.standard_normal(2 * m)
    found = levy_areas(coarser(jnp.asarray(noise), m)[1], m * 1.0)
    grid = np.linspace(0, m, 2 * m + 1)
    w = np.interp(grid, np.arange(m + 1), np.cumsum([0, *noise[m:, 0, 0]]))
    bridge = w - grid / m * w[-1]
    area = scipy.integrate.simpson(bridge, x=grid) / m
    second = scipy.integrate.simpson(bridge * (m / 2 - grid), x=grid) / m**2
    np.testing.assert_allclose(found.W[0], w[-1], rtol=1e-13)
    np.testing.assert_allclose(found.H[0], area, rtol=1e-12)
    np.testing.assert_allclose(found.K[0], second, rtol=1e-12)


def test_coarser_normals_are_standard_again():
    """The map is linear with orthonormal rows, so normals stay normals."""
    basis = jnp.eye(15).reshape(5, 3, 15)
    rows = np.asarray(coarser(basis, 5))[0]
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-15)
    with pytest.raises(BadInput, match="coarse"):
        coarser(basis, 2)


def test_what_cannot_be_stepped_is_refused():
    with pytest.raises(BadInput, match="stochastic Runge-Kutta"):
        FromDiffrax(diffrax.Tsit5())
    with pytest.raises(BadInput, match="stochastic Runge-Kutta"):
        FromDiffrax(Euler())
    with pytest.raises(BadInput, match="QUICSORT steps UnderdampedLangevin"):
        QUICSORT.noise_like(OverdampedLangevin(double_well()), jnp.zeros(1))
    with pytest.raises(BadInput, match="ShARK steps OverdampedLangevin"):
        SHARK.noise_like(WELL, START)
    with pytest.raises(BadInput, match="positive temperature"):
        QUICSORT.noise_like(UnderdampedLangevin(double_well(), 1.0, 0.0), START)
