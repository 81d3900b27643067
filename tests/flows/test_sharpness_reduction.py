"""Flows along minimisers against closed forms, two charts of one surface."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import sympy as sp
from helpers import field, scipy_end
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import (
    AdaptiveOscillation,
    BadInput,
    Chart,
    HessianKernel,
    NormalisedOscillation,
    RootLossOscillation,
    SharpnessReductionFlow,
    WeightDecayOscillation,
    from_sympy,
)
from flows.problems import (
    quadratic,
    scale_invariant,
    sine_valley,
    spherical_valley,
)


def line(p):
    return jnp.stack([jnp.zeros_like(p[0]), p[0]])


def circle(p):
    return jnp.stack([jnp.cos(p[0]), jnp.sin(p[0]), jnp.zeros_like(p[0])])


def root_of(time, t1, low, high):
    return scipy.optimize.brentq(lambda z: time(z) - t1, low, high, xtol=1e-14)


def normalised_time(z):
    """∫ -4 (2 + sin z)/cos z dz from 0: 2 gd⁻¹(z) - log cos z, times -4."""
    return -4 * (2 * np.arctanh(np.sin(z)) - np.log(np.cos(z)))


def adaptive_time(z, c=3.0):
    """∫ -(4c + 2 (log s)'²)/(c (log s)') dz from 0, s = 2 + sin z."""
    # (log s)' = cos z/(2 + sin z) integrates to log(1 + sin z/2)
    return normalised_time(z) - 2 / c * np.log(1 + np.sin(z) / 2)


def sphere_time(phi, start=0.5):
    """∫ (4 + sin²)/(2 sin) dφ from `start`."""

    def primitive(phi):
        return 2 * np.log(np.tan(phi / 2)) - np.cos(phi) / 2

    return primitive(phi) - primitive(start)


VALLEYS = {
    "normalised": (NormalisedOscillation(), root_of(normalised_time, 4, -1.5, 0)),
    "root": (RootLossOscillation(), -2 * np.arctan(np.tanh(0.25))),
    "adaptive": (AdaptiveOscillation(3.0), root_of(adaptive_time, 4, -1.5, 0)),
}


@pytest.mark.parametrize("name", VALLEYS)
def test_a_valleys_flow_in_closed_form_by_chart_and_by_kernel(name):
    oscillation, expected = VALLEYS[name]
    chart = SharpnessReductionFlow(sine_valley(), oscillation, Chart(line))
    kernel = SharpnessReductionFlow(sine_valley(), oscillation, HessianKernel(1))
    assert scipy_end(chart, [0.0], 4.0)[0] == pytest.approx(expected, abs=1e-10)
    assert scipy_end(kernel, [0.0, 0.0], 4.0) == pytest.approx(
        [0.0, expected], abs=1e-10
    )


@pytest.mark.slow
def test_the_flow_on_the_sphere_in_closed_form_by_chart_and_by_kernel():
    expected = root_of(sphere_time, 6.0, 0.5, np.pi - 1e-9)
    f, oscillation = spherical_valley(), WeightDecayOscillation()
    chart = SharpnessReductionFlow(f, oscillation, Chart(circle))
    assert scipy_end(chart, [0.5], 6.0)[0] == pytest.approx(expected, abs=1e-9)
    kernel = SharpnessReductionFlow(f, oscillation, HessianKernel(1, sphere=True))
    w = scipy_end(kernel, np.asarray(circle(jnp.array([0.5]))), 6.0)
    assert np.linalg.norm(w) == pytest.approx(1.0, abs=1e-9)
    assert np.arctan2(w[1], w[0]) == pytest.approx(expected, abs=1e-9)
    # negative control: without the sphere it would shrink |w| to flatten nothing
    free = SharpnessReductionFlow(f, oscillation, HessianKernel(1))
    drift = field(free, jnp.array([0.6, 0.8, 0.0]))
    assert abs(float(drift @ jnp.array([0.6, 0.8, 0.0]))) > 0.1


# A curved surface of minimisers: x = h(p, q), of sharpness s (1 + |∇h|²).

SYMBOLS = sp.symbols("x p q", real=True)
HEIGHT = SYMBOLS[1] * SYMBOLS[2] / 2 + sp.sin(SYMBOLS[1]) / 2
WIDTH = 2 + sp.sin(SYMBOLS[1]) * sp.cos(SYMBOLS[2]) + SYMBOLS[1] / 3
SURFACE = from_sympy(WIDTH * (SYMBOLS[0] - HEIGHT) ** 2 / 2, SYMBOLS)


def surface(y):
    return jnp.stack([y[0] * y[1] / 2 + jnp.sin(y[0]) / 2, y[0], y[1]])


def exact_fields():
    """-∇log λ in the metric of the surface, and λ, from sympy alone."""
    p, q = SYMBOLS[1:]
    slope = sp.Matrix([HEIGHT.diff(p), HEIGHT.diff(q)])
    sharpness = WIDTH * (1 + slope.dot(slope))
    metric = sp.eye(2) + slope * slope.T
    gradient = sp.Matrix([sp.log(sharpness).diff(v) for v in (p, q)])
    raised = metric.inv() * gradient
    return sp.lambdify((p, q), [list(raised), gradient.dot(raised), sharpness])


EXACT = exact_fields()
CHART = SharpnessReductionFlow(SURFACE, AdaptiveOscillation(0.7), Chart(surface))
KERNEL = SharpnessReductionFlow(SURFACE, AdaptiveOscillation(0.7), HessianKernel(1))


@settings(max_examples=25, deadline=None)
@given(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2))
def test_on_a_surface_both_descriptions_are_the_riemannian_gradient(p, q):
    raised, slope, sharpness = EXACT(p, q)
    variance = 0.7 / (4 * 0.7 + 2 * slope)
    y = jnp.array([p, q])
    expected = -variance * np.array(raised)
    np.testing.assert_allclose(field(CHART, y), expected, atol=1e-11)
    inside = np.asarray(field(KERNEL, surface(y)))
    np.testing.assert_allclose(inside[1:], expected, atol=1e-11)
    # the velocity is tangent: it moves x as h says
    lifted = jax.jvp(surface, (y,), (jnp.asarray(expected),))[1]
    np.testing.assert_allclose(inside, lifted, atol=1e-11)
    assert sharpness > 0


@eqx.filter_jit
def look(flow, y):
    return flow.position(y), flow.sharpness(y), flow.variance(y)


def test_sharpness_and_variance_along_the_flow():
    oscillation, _ = VALLEYS["root"]
    flow = SharpnessReductionFlow(sine_valley(), oscillation, Chart(line))
    y = jnp.array([0.7])
    position, sharpness, variance = look(flow, y)
    np.testing.assert_allclose(position, [0.0, 0.7])
    assert float(sharpness) == pytest.approx(2 + np.sin(0.7))
    assert float(variance) == pytest.approx((2 + np.sin(0.7)) / 8)
    # -σ² ∇log λ, downhill
    assert float(field(flow, y)[0]) == pytest.approx(-np.cos(0.7) / 8)


def test_what_is_no_minimiser_is_refused():
    kernel = SharpnessReductionFlow(
        sine_valley(), NormalisedOscillation(), HessianKernel(1)
    )
    kernel.require_inside(jnp.array([0.0, 0.3]))
    with pytest.raises(BadInput, match="starts at a minimiser"):
        kernel.require_inside(jnp.array([1e-3, 0.3]))
    sphere = SharpnessReductionFlow(
        spherical_valley(), WeightDecayOscillation(), HessianKernel(1, sphere=True)
    )
    with pytest.raises(BadInput, match="unit sphere"):
        sphere.require_inside(jnp.array([2.0, 1.0, 0.0]))
    with pytest.raises(BadInput, match="codimension"):
        HessianKernel(0)
    with pytest.raises(BadInput, match="coefficient"):
        AdaptiveOscillation(-1.0)


def at(x, objective):
    return objective.value(x)


def test_a_scale_invariant_loss_sees_the_direction_alone():
    """The sphere's valley, written on the sphere and extended by the helper."""
    w = sp.symbols("w0:3", real=True)
    on_sphere = sp.exp(w[0] / sp.sqrt(w[0] ** 2 + w[1] ** 2)) * w[2] ** 2 / 2
    x, both = np.array([0.3, -0.8, 0.5]), eqx.filter_jit(jax.value_and_grad(at))
    value, slope = both(jnp.asarray(x), spherical_valley())
    for scale in (1.0, 2.5):
        made = scale_invariant(from_sympy(on_sphere, w))
        found, g = both(jnp.asarray(scale * x), made)
        assert float(found) == pytest.approx(float(value), rel=1e-13)
        assert abs(np.asarray(g) @ x) < 1e-15
        np.testing.assert_allclose(scale * np.asarray(g), slope, rtol=1e-13)
    with pytest.raises(BadInput, match="two variables"):
        scale_invariant(quadratic([1.0]))
