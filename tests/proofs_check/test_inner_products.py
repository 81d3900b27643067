"""Lyapunov functions in inner products, against derivatives taken by hand."""

import dataclasses
import fractions

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import flows
from flows.errors import BadInput
from flows.problems import quadratic
from proofs_check.energies import (
    accelerated_energy,
    accelerated_pair,
    at_rest,
    dissipation_pair,
    gradient_flow_energy,
    gradient_flow_pair,
    mechanical_energy,
    mechanical_pair,
    strongly_accelerated_pair,
)
from proofs_check.inner_products import (
    along,
    convexity,
    displacement,
    excess,
    gap_symbol,
    inner,
    lyapunov_pair,
    squared,
)
from proofs_check.jets import jet
from proofs_check.trajectories import convex_loss

GAP, T = gap_symbol(), sp.Symbol("t", positive=True)
EG, GG, EE, EV, VV = (inner(*pair) for pair in ("eg", "gg", "ee", "ev", "vv"))


def dot(a, b):
    return np.sum(a * b, axis=-1)


def test_gradient_flow_by_hand():
    """d/dt [c t gap + |e|²/2] = c gap - c t |g|² - <e,g>."""
    c = sp.Symbol("c", positive=True)
    pair = gradient_flow_pair(c)
    assert sp.expand(pair.value - c * T * GAP - EE / 2) == 0
    assert sp.expand(pair.derivative - (c * GAP - c * T * GG - EG)) == 0
    assert pair.vectors == ("e", "g")


def test_the_accelerated_flow_by_hand():
    """In V' the terms with v cancel: V' = 2t gap - (r-1) t <e,g>."""
    r = sp.Symbol("friction", positive=True)
    pair = accelerated_pair()
    assert sp.expand(pair.derivative - 2 * T * GAP + (r - 1) * T * EG) == 0
    square = squared(e=r - 1, v=T) / 2
    assert sp.expand(pair.value - T**2 * GAP - square) == 0


def test_the_strongly_convex_flow_by_hand():
    mu = sp.Symbol("strong_convexity", positive=True)
    wanted = -mu * EV - sp.sqrt(mu) * (EG + VV)
    assert sp.expand(strongly_accelerated_pair().derivative - wanted) == 0


def test_the_order_of_a_product_is_no_matter():
    assert inner("v", "e") == inner("e", "v")
    difference = squared(g=1, e=-2) - (GG - 4 * EG + 4 * EE)
    assert sp.expand(difference) == 0
    assert sp.expand(convexity(3) - (EG - GAP - 3 * EE / 2)) == 0


@pytest.fixture(scope="module")
def run():
    """The accelerated flow on a convex loss; V is differentiated numerically."""
    flow = flows.AcceleratedFlow(convex_loss(), 3.5)
    start = flows.accelerated_start(flow, jnp.array([2.0, 0.7]), 0.1)
    # nine points a cluster, for the derivative of a polynomial through them
    centres, h = np.linspace(0.5, 3.0, 6), 0.05
    offsets = h * np.cos(np.pi * np.arange(9) / 8)[::-1]
    times = (centres[:, None] + offsets).ravel()
    saveat = diffrax.SaveAt(ts=jnp.asarray(times))
    controller = diffrax.PIDController(rtol=1e-11, atol=1e-13)
    solved = flows.solve(
        flow, start, 0.1, 3.1, saveat=saveat, stepsize_controller=controller
    )
    return flow, solved, centres, offsets


def test_one_expression_gives_v_and_its_slope_along_a_solution(run):
    flow, solved, centres, offsets = run
    value, found = along(flow, solved.times, solved.states, accelerated_energy)
    times = np.asarray(solved.times)
    pair = accelerated_pair().at(friction=3.5)
    again, slope = pair.on(found.pop("gap"), found, dot, t=times)
    np.testing.assert_allclose(again, value, rtol=1e-12)
    for k in range(len(centres)):
        here = slice(9 * k, 9 * k + 9)
        fit = np.polynomial.Polynomial.fit(offsets, value[here], 8)
        # differences over 0.1 of values known to 1e-10
        assert fit.deriv()(0.0) == pytest.approx(slope[here][4], abs=3e-7)


def test_a_wrong_friction_in_the_expression_is_seen(run):
    flow, solved, _, _ = run
    _, found = along(flow, solved.times, solved.states, accelerated_energy)
    gap, times = found.pop("gap"), np.asarray(solved.times)
    _, right = accelerated_pair().at(friction=3.5).on(gap, found, dot, t=times)
    _, wrong = accelerated_pair().at(friction=3.6).on(gap, found, dot, t=times)
    assert np.max(np.abs(right - wrong)) > 1e-2


def rms_energy(flow, t, y):
    return gradient_flow_energy(flow, t, y.position)


def rms_start(x):
    return flows.RMSPropState(x, x)


REFUSED = {
    "signs": (flows.SignFlow, gradient_flow_energy, "element by element"),
    "second moment": (
        lambda f: flows.RMSPropFlow(f, 0.5, 0.25),
        rms_energy,
        "also has 'second_moment'",
        rms_start,
    ),
    "a third derivative": (
        flows.GradientFlow,
        lambda flow, t, y: jnp.sum(flow.objective.hvp(y, y) ** 2),
        "differentiate",
    ),
    "quartic": (flows.GradientFlow, lambda f, t, y: jnp.sum(y**2) ** 2, "quadratic"),
    "one entry": (flows.GradientFlow, lambda f, t, y: y[0] ** 2, "inner products"),
    "a fixed direction": (flows.GradientFlow, lambda f, t, y: y[0], "inner products"),
    "a cross product": (
        lambda f: flows.AcceleratedFlow(f),
        lambda f, t, y: y.position[0] * y.velocity[1] - y.position[1] * y.velocity[0],
        "inner products",
        at_rest,
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_has_no_inner_products_is_refused(case):
    build, energy, words, *start = case
    with pytest.raises(BadInput, match=words):
        lyapunov_pair(build, energy, *start)


def test_numbers_and_symbols_that_do_not_fit_are_refused():
    pair = accelerated_pair()
    with pytest.raises(BadInput, match=r"no symbol 'mu'.*friction"):
        pair.at(mu=1.0)
    vectors = dict.fromkeys("egv", np.ones(2))
    with pytest.raises(BadInput, match="no number for friction"):
        pair.on(1.0, vectors, dot, t=1.0)


NUMBERS = {
    "a float is its decimal": (0.1, sp.Rational(1, 10)),
    "of any kind": (np.float32(0.1), sp.Rational(1, 10)),
    "a fraction": (fractions.Fraction(1, 3), sp.Rational(1, 3)),
    "text": ("1/3", sp.Rational(1, 3)),
    "a float of sympy": (sp.Float(0.1), sp.Rational(1, 10)),
    "a root": (sp.sqrt(2), sp.sqrt(2)),
}


@pytest.mark.parametrize("case", NUMBERS.values(), ids=NUMBERS)
def test_a_number_is_put_in_exactly(case):
    given, exact = case
    pair = accelerated_pair().at(friction=given)
    assert sp.expand(pair.derivative - 2 * T * GAP + (exact - 1) * T * EG) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        np.nan,
        -np.inf,
        sp.oo,
        sp.nan,
        sp.I,
        1j,
        T,
        "high",
        "1/0",
        None,
        True,
        [1.0, 2.0],
    ],
    ids=str,
)
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(BadInput, match="friction is one finite real number"):
        accelerated_pair().at(friction=wrong)


def test_the_facts_of_a_loss_are_needed():
    loss = flows.from_sympy(sp.Symbol("x", real=True) ** 2, [sp.Symbol("x", real=True)])
    flow, x = flows.GradientFlow(loss), jnp.ones(1)
    with pytest.raises(BadInput, match="needs the minimum"):
        excess(flow, x)
    with pytest.raises(BadInput, match="needs the minimiser"):
        displacement(flow, x)
    known = flows.GradientFlow(quadratic([3.0]))
    assert float(excess(known, x)) == 1.5


def test_one_hessian_product_has_one_symbol():
    assert inner("g", "Hv") == inner("Hv", "g") == inner("v", "Hg")
    assert inner("v", "Hv").name == "<v,Hv>"
    assert inner("Hv", "Hg").name == "<Hg,Hv>"
    assert inner("v", "HHv") == inner("Hv", "Hv")
    for wrong in (("v", ""), ("HHv", "Hv"), ("v", "gv")):
        with pytest.raises(BadInput, match="no inner product"):
            inner(*wrong)


def test_inertial_newton_by_hand():
    """E = c f + |v + βg|²/2: the Hessian of the model cancels that of E."""
    c = sp.Symbol("c", positive=True)
    a, b = sp.symbols("friction hessian_damping", nonnegative=True)
    pair = dissipation_pair(c)
    wanted = -a * VV - b * GG + (c - 1 - a * b) * inner("g", "v")
    assert sp.expand(pair.derivative - wanted) == 0
    assert pair.curved == ()
    contrast = mechanical_pair()
    assert sp.expand(contrast.derivative + a * VV + b * inner("v", "Hv")) == 0
    assert contrast.curved == ("v",)


def test_products_with_the_hessian_squared():
    """Along x' = -(2g + 6h Hg), d/dt |g|²/2 = -2 ⟨g, Hg⟩ - 6h ⟨Hg, Hg⟩."""

    def slopes(flow, t, y):
        return jnp.sum(flow.objective.gradient(y) ** 2) / 2

    def build(objective):
        return flows.ModifiedHeavyBallFlow(objective, 0.125, 0.5)

    pair = lyapunov_pair(build, slopes).at(learning_rate="0.125", momentum="0.5")
    wanted = -2 * inner("g", "Hg") - sp.Rational(3, 4) * inner("Hg", "Hg")
    assert sp.expand(pair.derivative - wanted) == 0
    assert pair.curved == ("g",)


def test_hessian_products_along_states_are_those_of_the_loss():
    hessian = np.array([[2.0, 0.5], [0.5, 1.0]])
    flow = flows.InertialNewtonFlow(quadratic(hessian), 0.7, 0.4)
    x = jnp.array([[0.3, -0.8], [1.1, 0.4]])
    states = flows.PhaseState(x, x[::-1])
    value, found = along(flow, jnp.zeros(2), states, mechanical_energy, ("v",))
    wanted = found["v"] @ hessian
    np.testing.assert_allclose(found["Hv"], wanted, rtol=1e-14)
    pair = mechanical_pair().at(friction=0.7, hessian_damping=0.4)
    again, slope = pair.on(found.pop("gap"), found, dot)
    np.testing.assert_allclose(again, value, rtol=1e-14)
    lost = 0.7 * dot(found["v"], found["v"]) + 0.4 * dot(found["v"], wanted)
    np.testing.assert_allclose(slope, -lost, rtol=1e-14)


def test_a_jet_has_a_hessian_and_no_third_derivative():
    curvature = jnp.array([[2.0, 0.5], [0.5, -1.0]])
    slope = jnp.array([1.0, -2.0])
    point = dataclasses.replace(jet(2), slope=slope, curvature=curvature)
    x, v = jnp.array([0.3, 0.4]), jnp.array([1.0, 3.0])
    np.testing.assert_array_equal(point.hvp(x, v), curvature @ v)
    reverse = jax.vjp(point.gradient, x)[1](v)[0]
    np.testing.assert_array_equal(reverse, curvature @ v)
    with pytest.raises(BadInput, match="differentiate"):
        point.third(x, v, v)


def test_a_jet_has_its_value_and_its_slope():
    slope = jnp.array([1.0, -2.0, 0.5])
    point = dataclasses.replace(jet(3), gap=jnp.asarray(0.7), slope=slope)
    assert point.size == 3
    x = jnp.arange(3.0)
    assert float(point.value(x)) == 0.7
    np.testing.assert_array_equal(jax.grad(point.value)(x), slope)
    np.testing.assert_array_equal(point.gradient(x), slope)
