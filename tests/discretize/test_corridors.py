"""The corridor meter, the defect of one step, and the figures' numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from helpers import halving_slopes

from discretize import decrease_defect
from discretize.figures import corridors, first_order_flows
from flows import corridor_meter, from_sympy
from flows.problems import quadratic, wavy

X, Y = sp.symbols("x y", real=True)
CONE = from_sympy(sp.sqrt(X**2 + Y**2), [X, Y])
POINT = jnp.array([1.2, 0.8])


def test_the_meter_against_its_definition():
    f = wavy()
    gradient = [sp.diff(f.expression, v) for v in f.variables]
    at = dict(zip(f.variables, POINT.tolist(), strict=True))
    g = np.array([float(e.subs(at)) for e in gradient])
    hessian = np.array(
        [[float(sp.diff(e, v).subs(at)) for v in f.variables] for e in gradient]
    )
    hg, size = hessian @ g, np.linalg.norm(g)
    meter = corridor_meter(f, POINT)
    assert float(meter.rate) == pytest.approx(np.linalg.norm(hg) / size, rel=1e-12)
    across = hg - (g @ hg) / (g @ g) * g
    assert float(meter.turning) == pytest.approx(
        np.linalg.norm(across) / size, rel=1e-12
    )


def test_the_meter_tells_corridors_from_straight_orbits():
    inside, straight = (corridor_meter(f, POINT) for f in (CONE, quadratic([2.0, 2.0])))
    assert float(inside.rate) < 1e-15
    assert float(straight.rate) == pytest.approx(2.0, rel=1e-14)
    assert float(straight.turning) < 1e-15
    bent = corridor_meter(quadratic([1.0, 3.0]), POINT)
    assert float(bent.turning) > 0.1
    still = corridor_meter(quadratic([1.0, 3.0]), jnp.zeros(2))
    assert (float(still.rate), float(still.turning)) == (0.0, 0.0)


def test_the_defect_is_half_h_squared_g_h_g():
    f, hs = wavy(), 0.02 * 0.5 ** np.arange(4)
    g = f.gradient(POINT)
    leading = 0.5 * float(g @ f.hvp(POINT, g))
    defects = np.array([float(decrease_defect(f, POINT, h)) for h in hs])
    assert abs(halving_slopes(defects)[-1] - 2) < 0.02
    assert halving_slopes(np.abs(defects - leading * hs**2))[-1] > 2.9
    for h in (0.1, 1.0, 1.4):
        assert abs(float(decrease_defect(CONE, POINT, h))) < 1e-15


@pytest.mark.slow
def test_corridor_orbits():
    fig, numbers = corridors.corridor_orbits(steps=4)
    assert len(fig.axes) == 2
    line = (1 - 0.7 * np.arange(5) / 5)[:, None] * [3.0, 4.0]
    np.testing.assert_allclose(numbers["inside_descent"], line, rtol=1e-13)
    np.testing.assert_allclose(numbers["inside_flow"], line, rtol=1e-8)
    flow = np.exp(-0.7 * np.arange(5)[:, None] * [0.3, 1.8]) * [3.0, 4.0]
    np.testing.assert_allclose(numbers["outside_flow"], flow, atol=1e-7)
    assert np.max(np.abs(numbers["outside_descent"] - flow)) > 1


@pytest.mark.slow
def test_corridor_loss():
    _, numbers = corridors.corridor_loss(eta=0.5, t1=4.0)
    t = numbers["times"]
    np.testing.assert_allclose(numbers["cone_loss"], 5 - t, atol=1e-7)
    np.testing.assert_allclose(numbers["cone_descent"], 5 - t, atol=1e-12)
    np.testing.assert_allclose(
        numbers["isotropic_loss"], 2.5 * np.exp(-0.4 * t), atol=1e-7
    )
    np.testing.assert_allclose(numbers["isotropic_rate"], 0.2, rtol=1e-9)
    np.testing.assert_allclose(numbers["cone_rate"], 0.0, atol=1e-12)
    assert np.all(np.diff(numbers["bowl_rate"]) > 0)


@pytest.mark.slow
def test_polyak_on_digits():
    _, numbers = corridors.polyak_on_digits(steps=60, rates=(0.1, 1.0))
    best = np.minimum.accumulate(numbers["polyak"])
    assert best[-1] < numbers["constant_1"][-1] / 5
    assert numbers["constant_1"][-1] < numbers["constant_0.1"][-1]
    assert np.max(numbers["step_size"]) > 10


def test_sign_flow_slides():
    _, numbers = first_order_flows.sign_flow_slides()
    np.testing.assert_array_equal(
        numbers["sliding"], [[False, False], [False, True], [True, True]]
    )
    corner = numbers["flow"][1]
    assert corner @ [1.5, 2.0] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(numbers["flow"][2], 0.0, atol=1e-12)


def test_replicator_on_the_simplex():
    _, numbers = first_order_flows.replicator_on_the_simplex()
    np.testing.assert_allclose(numbers["descent"], numbers["flow"], atol=1e-14)
    assert np.min(numbers["descent"]) > 0
    assert np.min(numbers["primal"]) < -0.1
