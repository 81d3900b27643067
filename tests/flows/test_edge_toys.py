"""The valley and the wall: exact orbits and paths, against optimisers by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from flows import BadInput
from flows.problems import WallPath, valley, wall

ETA = 0.1
DEEP = (20.0, 1.5, 60.0, 0.8)  # a floor that drives every optimiser to its edge
MIRROR = np.array([-1.0, 1.0])


def slope(w, s, a, d, k):
    """The gradient of the valley, by hand."""
    return np.array([(s + a * w[1]) * w[0], a * w[0] ** 2 / 2 - d + k * w[1]])


def descent(g, v):
    return g, v


def polyak(g, v, b=0.5):
    v = b * v + g
    return v, v


def averaged(g, v, b=0.5):
    v = b * v + (1 - b) * g
    return v, v


def nesterov(g, v, b=0.5):
    v = b * v + g
    return g + b * v, v


@pytest.mark.parametrize(
    ("rule", "edge"), [(descent, 2.0), (polyak, 3.0), (averaged, 6.0), (nesterov, 1.5)]
)
def test_the_orbit_of_period_two_is_exact(rule, edge):
    """A buffer fed by the orbit's own gradients forgets its start; then w repeats."""
    orbit = valley(*DEEP).orbit(edge / ETA)
    w, v = np.asarray(orbit.position), np.zeros(2)
    for k in range(100):
        _, v = rule(slope(w * MIRROR**k, *DEEP), v)
    move, v = rule(slope(w, *DEEP), v)
    there = w - ETA * move
    move, v = rule(slope(there, *DEEP), v)
    assert orbit.amplitude > 1
    np.testing.assert_allclose(there, w * MIRROR, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(there - ETA * move, w, rtol=1e-13, atol=1e-14)


def test_the_orbit_of_scalar_rmsprop_is_exact():
    eta, b = 0.05, 0.95
    problem = valley(4.0, 1.5, 0.3, 0.8)
    orbit = problem.rms_orbit(eta)
    assert orbit.memory is not None
    w, nu = np.asarray(orbit.position), float(orbit.memory)
    # recorded values of an independent prototype
    np.testing.assert_allclose(w, [0.025, 0.3744140625], rtol=1e-14)
    np.testing.assert_allclose(nu, 0.0130052418768, rtol=1e-11)
    g = slope(w, 4.0, 1.5, 0.3, 0.8)
    after = b * nu + (1 - b) * g @ g
    np.testing.assert_allclose(after, nu, rtol=1e-13)
    np.testing.assert_allclose(w - eta * g / np.sqrt(after), w * MIRROR, rtol=1e-13)


def test_a_minimum_before_the_edge_is_no_orbit():
    problem = valley(20.0, 1.5, -0.3, 0.8)
    orbit = problem.orbit(2 / ETA)
    assert float(orbit.amplitude) == 0 == float(problem.variance(2 / ETA))
    np.testing.assert_allclose(problem.gradient(orbit.position), 0.0, atol=1e-15)


@pytest.mark.parametrize("curvature", [0.8, 0.02, 5.0])
def test_multipliers_are_the_eigenvalues_of_the_step(curvature):
    """Of a finite-difference Jacobian of the reflected step at its fixed point."""
    values = (20.0, 1.5, 0.3, curvature)
    problem = valley(*values)
    w = np.asarray(problem.orbit(2 / ETA).position)

    def reflected(w):
        return (w - ETA * slope(w, *values)) * MIRROR

    np.testing.assert_allclose(reflected(w), w, atol=1e-14)
    h = 1e-5
    steps = h * np.eye(2)
    jacobian = [(reflected(w + e) - reflected(w - e)) / (2 * h) for e in steps]
    found = np.sort_complex(np.linalg.eigvals(np.array(jacobian)))
    claimed = np.sort_complex(np.asarray(problem.multipliers(ETA)))
    np.testing.assert_allclose(claimed, found, atol=1e-9)


def test_the_path_along_the_wall():
    """Entry, exit and what lies between, by scipy and by recorded values."""
    path = wall().central_path((-0.3, 2.0), 100.0)
    np.testing.assert_allclose(path.entries, [3.6665333], atol=5e-8)
    np.testing.assert_allclose(path.exits, [63.8359331], atol=5e-7)
    entry, exit = path.entries[0], path.exits[0]
    generator = np.array([[-1.0, 1.0, -0.4], [1.0, -0.5, 0.0], [0, 0, 0]]) * 0.05
    for start, y, ts in [
        (0.0, [-0.3, 2.0, 1.0], [0.0, 1.0, entry]),
        (exit, [0.0, 0.4, 1.0], [exit + 5, 100.0]),
    ]:
        expected = [(expm(generator * (t - start)) @ y)[:2] for t in ts]
        np.testing.assert_allclose(path.at(ts).position[:, 1:], expected, atol=1e-13)
    ts = np.linspace(entry, exit, 7)[1:-1]
    q = path.at(entry).position[0, 2] * np.exp(-0.025 * (ts - entry))
    assert q[0] < 1.8002837
    on = path.at(ts)
    np.testing.assert_allclose(on.position[:, 1:], np.stack([0 * q, q], -1), rtol=1e-13)
    np.testing.assert_allclose(on.variance, q - 0.4, rtol=1e-12)
    np.testing.assert_allclose(on.loss, q**2 / 4 + (q - 0.4) / 0.05, rtol=1e-12)


problems = st.tuples(
    st.floats(0.01, 0.2),
    st.floats(0.3, 3.0),
    st.floats(-1.0, 0.5),
    st.floats(0.0, 2.0),
    st.floats(0.0, 2.0),
    st.floats(-1.5, 1.5),
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(problems, st.floats(-0.5, 0.0), st.floats(-2.0, 2.0), st.floats(0.02, 0.98))
def test_every_path_solves_the_complementarity_problem(values, p0, q0, part):
    """0 <= σ² ⊥ p <= 0, and (p, q)' is the field under σ², at any time."""
    eta, a, d, c, k, m = values
    t1 = 3 / eta
    names = dict(zip("adckm", values[1:], strict=True))
    path = WallPath({"s": 2 / eta, **names}, (p0, q0), t1)
    events = np.concatenate([[0.0], path.entries, path.exits, [t1]])
    ts = np.sort(events)
    ts = ts[:-1] + part * np.diff(ts)  # within each piece
    h = 1e-5 * np.min(np.diff(np.sort(events)))
    if h < 1e-7:
        return
    now, left, right = path.at(ts), path.at(ts - h), path.at(ts + h)
    p, q = now.position[:, 1:].T
    scale = 1 + np.abs(q).max()
    assert np.all(p <= 1e-12 * scale)
    assert np.all(now.variance >= 0)
    assert np.all(now.variance * p == 0)
    rates = (right.position - left.position)[:, 1:] / (2 * h)
    field = [a * now.variance / 2 - d + c * p - m * q, k * q - m * p]
    np.testing.assert_allclose(rates.T, -eta * np.array(field), atol=1e-6 * scale)


def test_a_start_on_the_wall_slides_at_once():
    """Against a small-step solution of the clipped force, itself first order."""
    path = wall().central_path((0.0, 2.0), 90.0)
    assert path.entries.size == 0 and path.exits.size == 1

    def clipped(t, y):
        p, q = y
        force = np.array([0.4 + p - q, 0.5 * q - p])
        if p >= 0:
            force[0] = max(0.0, force[0])
        return -0.05 * force

    ts = np.linspace(0, 90, 10)
    found = solve_ivp(clipped, (0, 90), [0.0, 2.0], t_eval=ts, max_step=0.05)
    np.testing.assert_allclose(path.at(ts).position[:, 1:], found.y.T, atol=5e-3)


def test_bad_input():
    with pytest.raises(BadInput, match="narrowing"):
        valley(narrowing=0.0)
    with pytest.raises(BadInput, match="sharpness"):
        valley(sharpness=-1.0)
    with pytest.raises(BadInput, match="curvature"):
        valley(curvature=-1.0)
    with pytest.raises(BadInput, match="learning_rate"):
        wall(0.0)
    with pytest.raises(BadInput, match="stiffness"):
        wall(stiffness=-1.0)
    with pytest.raises(BadInput, match="coupling"):
        wall(coupling=np.nan)
    with pytest.raises(BadInput, match="p <= 0"):
        wall().central_path((0.1, 1.0), 10.0)
    with pytest.raises(BadInput, match="t1"):
        wall().central_path((-0.1, 1.0), 0.0)
    with pytest.raises(BadInput, match="times lie in"):
        wall().central_path((-0.1, 1.0), 10.0).at(11.0)


def test_parameters_are_leaves():
    """The value at hand-computed points, for other parameters too."""
    x = jnp.array([0.5, -0.2, 1.5])
    for values in [(0.05, 2.0, -0.4, 1.0, 0.5, 1.0), (0.1, 1.0, 0.3, 2.0, 0.1, 0.7)]:
        eta, a, d, c, k, m = values
        by_hand = (2 / eta - 0.2 * a) / 8 + 0.2 * d + c * 0.02 + k * 1.125 + m * 0.3
        np.testing.assert_allclose(wall(*values).value(x), by_hand, rtol=1e-14)
