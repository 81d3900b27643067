"""The edge matrix: its Hessian, its orbit and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flows import BadInput
from flows.central import svec
from flows.problems import edge_matrix

ETA = 0.02


@pytest.mark.slow
def test_the_hessian_across_is_the_free_matrix():
    f = edge_matrix(np.diag([0.3, -0.1, 0.2]), sharpness=7.0, curvature=0.5)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3, 3))
    z = z + z.T
    y = jnp.concatenate([jnp.zeros(3), svec(jnp.asarray(z))])
    expected = np.zeros((9, 9))
    expected[:3, :3], expected[3:, 3:] = 7 * np.eye(3) + z, 0.5 * np.eye(6)
    np.testing.assert_allclose(f.hessian(y), expected, atol=1e-12)
    floor = 0.25 * np.sum(z**2) - np.trace(np.diag([0.3, -0.1, 0.2]) @ z)
    np.testing.assert_allclose(f.value(y), floor, rtol=1e-13)
    np.testing.assert_array_equal(f.split(y)[1], z)


@pytest.mark.slow
def test_an_orbit_of_rank_one_is_gradient_descents():
    # One positive eigenvalue: descent alternates between x and -x, with the part of Z
    # that nothing pins at rest in the floor's minimum.
    pull, c = np.array([[0.3, 0.2], [0.2, -0.1]]), 0.2
    f = edge_matrix(pull, 2 / ETA, c)
    sigma = np.asarray(f.covariance(2 / ETA))
    e, q = np.linalg.eigh(sigma)
    np.testing.assert_allclose(e[0], 0.0, atol=1e-15)
    x = np.sqrt(e[1]) * q[:, 1]
    y = jnp.concatenate([jnp.asarray(x), svec(jnp.asarray((pull - sigma / 2) / c))])
    new = y - ETA * f.gradient(y)
    np.testing.assert_allclose(new, y.at[:2].multiply(-1), atol=1e-14)
    wrong = y.at[:2].multiply(1.01)
    moved = wrong - ETA * f.gradient(wrong)
    assert jnp.abs(moved - wrong.at[:2].multiply(-1)).max() > 1e-5


def test_below_its_stretch_the_floor_pulls_less():
    f = edge_matrix(((0.3, 0.1), (0.1, 0.2)), sharpness=99.0, curvature=0.05)
    e, q = np.linalg.eigh(np.array([[0.3, 0.1], [0.1, 0.2]]) - 0.05 * np.eye(2))
    np.testing.assert_allclose(
        f.covariance(100.0), 2 * (q * np.maximum(e, 0)) @ q.T, atol=1e-15
    )
    assert f.at_edge(100.0).tolist() == [0.0, 0.0, 1.0, 0.0, 1.0]


def test_new_values_recompile_nothing():
    traces = []

    @jax.jit
    def value(f, y):
        traces.append(1)
        return f.value(y)

    for scale in (1.0, 2.0):
        f = edge_matrix(scale * np.eye(2), 50.0 * scale, 0.1 * scale)
        value(f, f.at_edge(100.0))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"pull": [[1.0, 2.0], [0.0, 1.0]]},
        {"pull": [1.0, 2.0]},
        {"pull": [[np.nan]]},
        {"pull": "M"},
        {"sharpness": 0.0},
        {"curvature": -1.0},
    ],
)
def test_what_is_refused(arguments):
    with pytest.raises(BadInput):
        edge_matrix(**arguments)
    f = edge_matrix()
    with pytest.raises(BadInput):
        f.value(jnp.zeros(f.size), batch=jnp.arange(2))
