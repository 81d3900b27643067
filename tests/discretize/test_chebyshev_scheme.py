"""Chebyshev's step as a scheme, and the figure that compares solvers."""

import jax.numpy as jnp
import numpy as np
import pytest

from discretize import Chebyshev, Euler
from discretize.figures.stabilised import reach, work_precision
from flows import BadInput, GradientFlow, iterate
from flows.problems import quadratic

SPECTRUM = np.array([1.0, 3.0, 10.0])
FLOW = GradientFlow(quadratic(SPECTRUM))


def test_one_stage_is_gradient_descent():
    x = jnp.asarray([1.0, -2.0, 0.5])
    one, other = (
        iterate(scheme, FLOW, x, h=0.07, steps=3).positions
        for scheme in (Chebyshev(1, 1, damping=0.0), Euler())
    )
    np.testing.assert_allclose(one, other, rtol=1e-14)


def test_undamped_it_is_chebyshevs_semi_iteration():
    """The least possible largest residual, 1/T_s at the end, over the interval."""
    s, low, high = 5, 1.0, 10.0
    w0 = (high + low) / (high - low)
    scheme = Chebyshev(s, 1, damping=(w0 - 1) * s**2)
    _, w1 = scheme.arguments()
    h = 2 / (high - low) / float(w1)
    rates = np.linspace(low, high, 1001)
    flow = GradientFlow(quadratic(rates))
    end = iterate(scheme, flow, jnp.ones(rates.size), h=h, steps=1).positions[-1]
    optimal = 1 / np.cosh(s * np.arccosh(w0))
    assert np.abs(np.asarray(end)).max() == pytest.approx(optimal, rel=1e-10)
    # Gradient descent of the same step, s times, leaves ((κ - 1)/(κ + 1))^s > optimal.
    assert optimal < 0.8 * ((high - low) / (high + low)) ** s


@pytest.mark.parametrize(("order", "s"), [(1, 4), (2, 4), (2, 9)])
def test_its_interval(order, s):
    scheme = Chebyshev(s, order)  # pyright: ignore
    beta = float(scheme.interval)
    rates = np.linspace(0, 1.02, 5101) * beta
    flow = GradientFlow(quadratic(rates))
    end = iterate(scheme, flow, jnp.ones(rates.size), h=1.0, steps=1).positions[-1]
    size = np.abs(np.asarray(end))
    assert size[rates <= beta].max() <= 1 + 1e-12
    grown = 2 * s**2 if order == 1 else 2 / 3 * (s**2 - 1)
    assert 0.9 * grown < beta <= grown
    assert beta > (1.5 if s > 4 or order == 1 else 1.2) * 2 * s  # beyond s Euler steps
    if order == 1:
        assert size[-1] > 1  # beyond its end


def test_bad_input():
    for wrong in ((0, 1), (1, 2), (3, 3), (True, 1)):
        with pytest.raises((BadInput, TypeError)):
            Chebyshev(*wrong)  # pyright: ignore
    with pytest.raises(BadInput):
        Chebyshev(3, 2, damping=-0.1)


def test_the_figure_shows_what_is_measured():
    measured = {
        "Tsit5": ([22000, 22000], [1e-3, 1e-6]),
        "ROCK4": ([800, 1200], [1e-4, 1e-6]),
    }
    fig, numbers = work_precision(measured=measured)
    assert numbers["gradients_ROCK4"].tolist() == [800, 1200]
    ends = [float(numbers[f"end_{name}"]) for name in ("Tsit5", "ROCK4", "RKC2")]
    # Two steps of Tsit5: 2 x 3.5; RKC2: (w0 + 1)/w1 of twelve stages.
    assert ends == pytest.approx([7.0, 43.9, 93.5], abs=0.15)
    assert len(fig.axes) == 2
    z = np.array([0.0, -0.1])
    for size in reach(z).values():
        # RKC2's leading error is z³/15.
        np.testing.assert_allclose(size, np.exp(z), rtol=0, atol=7.2e-5)
