"""The search for negative curvature against NumPy, and descents that escape."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize import (
    CurvatureDescent,
    PerturbedDescent,
    escape_step,
    negative_curvature,
    search_budget,
)
from flows import BadInput, GradientFlow, InertialNewtonPsiFlow, iterate
from flows.problems import quadratic, saddle_between_wells
from flows.sphere import as_direction

ANGLE = 0.3
TURN = np.array(
    [[np.cos(ANGLE), np.sin(ANGLE), 0], [-np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
)
H = TURN @ np.diag([-0.4, 0.3, 1.0]) @ TURN.T
START = np.array([0.2, 1.0, -0.7])


def run(target=None, keep=False):
    f = dataclasses.replace(quadratic(np.ones(3)), matrix=jnp.asarray(H))
    return negative_curvature(
        f,
        jnp.array([0.1, 0.0, 0.2]),
        jnp.asarray(START),
        smoothness=1.0,
        radius=0.1,
        steps=12,
        target=target,
        keep=keep,
    )


def nesterov(q):
    """The accelerated iterates without any rescaling, and where gradients are taken."""
    before, y = START, START
    theta, looks = math.sqrt(q) / 4, []
    for _ in range(13):
        z = y + (1 - theta) * (y - before)
        looks.append(z)
        before, y = y, z - H @ z / 4
    return np.array(looks)


def quotients(looks):
    return np.einsum("ti,ij,tj->t", looks, H, looks) / np.sum(looks**2, axis=1)


@pytest.mark.parametrize("target", [None, 0.4])
def test_the_search_is_a_power_method_with_or_without_momentum(target):
    found = run(target, keep=True)
    if target is None:
        power = np.eye(3) - H
        looks = np.array([np.linalg.matrix_power(power, k) @ START for k in range(13)])
    else:
        looks = nesterov(target)
    units = looks / np.linalg.norm(looks, axis=1, keepdims=True)
    np.testing.assert_allclose(found.directions, units, atol=1e-12)
    np.testing.assert_allclose(found.rayleigh, quotients(looks), atol=1e-12)
    np.testing.assert_array_equal(found.direction, found.directions[-1])
    assert found.curvature == found.rayleigh[-1] < -0.3
    assert found.gradients == 14
    # the wrong momentum would have been seen
    assert np.abs(quotients(nesterov(0.1)) - np.asarray(found.rayleigh)).max() > 1e-3


def test_whole_numbers_and_a_known_gradient_change_nothing():
    f = dataclasses.replace(quadratic(np.ones(3)), matrix=jnp.asarray(H))
    given = {"smoothness": 1, "radius": 1, "steps": 3}
    found = negative_curvature(f, [1, 0, 2], [1, 1, 1], **given)
    g = H @ np.array([1.0, 0.0, 2.0])
    known = negative_curvature(f, [1, 0, 2], [1, 1, 1], at_x=g, **given)
    power = np.linalg.matrix_power(np.eye(3) - H, 3) @ np.ones(3)
    for search in (found, known):
        np.testing.assert_allclose(
            search.direction, power / np.linalg.norm(power), atol=1e-13
        )
    assert (found.gradients, known.gradients) == (5, 4)


@pytest.mark.parametrize(("size", "dtype"), [(1e-200, float), (1e30, np.float32)])
def test_a_start_of_any_size_keeps_its_direction(size, dtype):
    start, largest = as_direction("start", [size, -size / 2], 2, dtype)
    np.testing.assert_array_equal(start, [1, -0.5])
    assert largest == dtype(size)


def test_a_budget_for_a_curvature_far_below_the_smoothness():
    """q = 1e-20: (1 + q)/(1 + q/2) is 1 in double precision; T = log(4/q c²)/q."""
    q, n, failure = 1e-20, 10, 0.01
    expected = math.log(4 / (q * math.pi * failure**2 / (2 * n))) / q
    assert search_budget(1.0, q, n, failure) == pytest.approx(expected, rel=1e-12)


def test_the_budget_is_enough_for_the_worst_start_it_allows():
    """A start with the component c of the theorem, the rest on the mode at -γ/2."""
    gamma, n, failure = 0.05, 40, 0.1
    steps = search_budget(1.0, gamma, n, failure)
    c = failure * math.sqrt(math.pi / (2 * n))

    def after(steps):
        grown = c * (1 + gamma) ** steps
        other = math.sqrt(1 - c**2) * (1 + gamma / 2) ** steps
        return -(gamma * grown**2 - 1.0 * other**2) / (grown**2 + other**2)

    assert after(steps) <= -gamma / 4 < after(steps // 2)
    assert search_budget(1.0, gamma, 10 * n, failure) > steps
    # The share of starts below c: by quadrature of the density of one coordinate.
    u = np.linspace(0, c, 2001)
    density = (1 - u**2) ** ((n - 3) / 2)
    whole = math.gamma((n - 1) / 2) * math.sqrt(math.pi) / math.gamma(n / 2)
    share = 2 * np.trapezoid(density, u) / whole
    assert 0.9 * failure < share <= failure


stepped = jax.jit(escape_step)


@settings(max_examples=20, deadline=None)
# XLA takes a subnormal slope for 0, hence -2 to 2 in steps of 1/8
@given(
    st.floats(1e-3, 10.0),
    st.floats(1e-3, 10.0),
    st.integers(-16, 16).map(lambda k: k / 8),
)
def test_an_escape_step_goes_downhill_by_its_length(accuracy, lipschitz, slope):
    e = jnp.array([0.6, 0.8])
    x = jnp.array([1.0, -1.0])
    new = stepped(x, slope * e, e, accuracy=accuracy, hessian_lipschitz=lipschitz)
    length = math.sqrt(accuracy / lipschitz) / 4
    sign = 1.0 if slope * float(e @ e) >= 0 else -1.0
    np.testing.assert_allclose(new, x - sign * length * e, rtol=1e-12)


SADDLE = GradientFlow(saddle_between_wells())
# On |x| <= 3/2 the curvatures lie below 30, and |f'''| <= 36.
SCHEMES = {
    "search": CurvatureDescent(0.01, 36.0, 30),
    "with momentum": CurvatureDescent(0.01, 36.0, 30, accelerated=True),
    "push": PerturbedDescent(0.01, 1e-3, 50),
}


def descend(scheme, seed, start=(0.0, 0.0)):
    x = jnp.asarray(start)
    shape = scheme.noise_like(SADDLE, x).shape
    noise = jnp.asarray(np.random.default_rng(seed).standard_normal((120, *shape)))
    return iterate(scheme, SADDLE, x, h=1 / 30, steps=120, noise=noise)


@pytest.mark.parametrize(
    "name", ["search", "push", pytest.param("with momentum", marks=pytest.mark.slow)]
)
def test_descents_leave_the_saddle_and_end_in_a_minimum(name):
    found = descend(SCHEMES[name], 0)
    x = np.asarray(found.positions)
    np.testing.assert_allclose(np.abs(x[-1]), [math.sqrt(2), 0], atol=3e-3)
    escaped, gradients = np.asarray(found.aux.escaped), np.asarray(found.aux.gradients)
    assert escaped[0]
    plain = np.flatnonzero(~escaped)[1]
    g = np.asarray(SADDLE.objective.gradient(found.positions[plain]))
    np.testing.assert_allclose(x[plain + 1], x[plain] - g / 30, atol=1e-14)
    if name == "push":
        assert 0 < np.linalg.norm(x[1]) < 1.3e-3
        assert escaped.sum() >= 2  # it cannot tell a minimum from a saddle
    else:
        # one step of length ¼ √(ε/ρ), a last search that finds nothing, then rest
        np.testing.assert_allclose(np.linalg.norm(x[1]), math.sqrt(0.01 / 36) / 4)
        assert escaped.sum() == 1
        assert gradients[0] == 32
        assert gradients[-1] == 0
        np.testing.assert_allclose(found.aux.curvature[0], -8, rtol=0.01)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"accuracy": -0.1}, "accuracy is"),
        ({"hessian_lipschitz": 0.0}, "hessian_lipschitz is"),
        ({"direction": [3.0, 4.0]}, "length 1; got one of 5"),
        ({"direction": [1.0]}, "direction is a vector of 2"),
        ({"gradient": [1.0, np.nan]}, "gradient is a vector of finite"),
        ({"x": [[1.0, 1.0]]}, "x is a vector of 2"),
    ],
)
def test_a_step_along_a_direction_looks_at_what_it_is_given(changed, match):
    given = {"x": [1, -1], "gradient": [0, 0], "direction": [0.6, 0.8]}
    given |= {"accuracy": 1.0, "hessian_lipschitz": 1.0}
    np.testing.assert_allclose(escape_step(**given), [0.85, -1.2], rtol=1e-15)
    with pytest.raises(BadInput, match=match):
        escape_step(**(given | changed))


def test_a_push_is_uniform_in_its_ball():
    """Mean of |ξ|²/r² in 2 dimensions is 1/2: 4000 draws, false alarm 1e-9.

    The variance of |ξ|²/r² is 1/12, so an error of 0.05 would be seen.
    """
    scheme = PerturbedDescent(1.0, 1.0, 1)
    noise = jnp.asarray(np.random.default_rng(3).standard_normal((4000, 4)))

    @jax.jit
    @jax.vmap
    def push(noise):
        return scheme.step(SADDLE, 0.0, jnp.zeros(2), 0.0, noise, jnp.asarray(1)).y

    squares = np.sum(np.asarray(push(noise)) ** 2, axis=1)
    assert squares.max() <= 1.0
    assert abs(squares.mean() - 0.5) < 6.11 * math.sqrt(1 / 12 / 4000)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"smoothness": 0.0}, "smoothness is"),
        ({"radius": -1.0}, "radius is"),
        ({"target": np.inf}, "target is"),
        ({"steps": 0}, "steps is"),
        ({"x": jnp.zeros(3)}, "x is a vector of 2"),
        ({"start": jnp.zeros(2)}, "other than 0"),
        ({"start": [np.inf, 1.0]}, "start is a vector of finite"),
        ({"x": [np.nan, 1.0]}, "x is a vector of finite"),
        ({"at_x": jnp.zeros(3)}, "at_x is a vector of 2"),
        ({"target": 1.5}, "at most the smoothness"),
    ],
)
def test_bad_input_at_the_door(changed, match):
    given = {"x": jnp.zeros(2), "start": jnp.ones(2)}
    given |= {"smoothness": 1.0, "radius": 0.1, "steps": 5, **changed}
    x, start = given.pop("x"), given.pop("start")
    with pytest.raises(BadInput, match=match):
        negative_curvature(SADDLE.objective, x, start, **given)


def test_more_bad_input():
    with pytest.raises(BadInput, match="target <= smoothness"):
        search_budget(1.0, 2.0, 10)
    with pytest.raises(BadInput, match="0 < failure < 1"):
        search_budget(1.0, 0.5, 10, 1.0)
    with pytest.raises(BadInput, match="failure is"):
        search_budget(1.0, 0.5, 10, "x")
    with pytest.raises(BadInput, match="not traced"):
        jax.jit(lambda q: search_budget(1.0, q, 10))(0.5)
    with pytest.raises(BadInput, match="hessian_lipschitz is"):
        CurvatureDescent(0.1, -36.0, 5)
    with pytest.raises(BadInput, match="accuracy is"):
        CurvatureDescent(-0.1, 36.0, 5)
    with pytest.raises(BadInput, match="accelerated is"):
        CurvatureDescent(0.1, 36.0, 5, accelerated="no")
    with pytest.raises(BadInput, match="radius is"):
        PerturbedDescent(0.1, 0.0, 5)
    with pytest.raises(BadInput, match="accuracy is"):
        PerturbedDescent([0.1, 0.2], 1.0, 5)
    with pytest.raises(BadInput, match="search is"):
        CurvatureDescent(0.1, 1.0, 0)
    with pytest.raises(BadInput, match="wait is"):
        PerturbedDescent(0.1, 1.0, 0)
    flow = InertialNewtonPsiFlow(SADDLE.objective, 0.5, 1.0)
    for name in ("search", "push"):
        with pytest.raises(BadInput, match="steps GradientFlow"):
            SCHEMES[name].step(flow, 0.0, jnp.zeros(2), 0.1, jnp.ones(2), False)
