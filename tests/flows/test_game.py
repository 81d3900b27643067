"""Games: rotation, contraction, and what is refused."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from flows import BadInput, Game, GameFlow, Trajectory, min_max, solve

MATRIX = np.array([[1.0, 0.5], [-0.3, 2.0]])


def bilinear(x, y, p):
    return x @ p["a"] @ y


def regularised(x, y, p):
    return bilinear(x, y, p) + 0.5 * p["mu"] * (x @ x - y @ y)


GAME = min_max(regularised, 2, a=MATRIX, mu=0.0)


def with_mu(mu):
    return eqx.tree_at(lambda g: g.parameters["mu"], GAME, jnp.asarray(mu, float))


@pytest.mark.slow
def test_a_bilinear_game_rotates():
    game = GAME
    z0 = jnp.array([1.0, -0.5, 0.3, 2.0])
    expected = np.concatenate([MATRIX @ z0[2:], -MATRIX.T @ z0[:2]])
    np.testing.assert_allclose(game.operator(z0), expected, rtol=1e-14)
    assert float(z0 @ game.operator(z0)) == pytest.approx(0.0, abs=1e-14)
    run = solve(GameFlow(game), z0, 0.0, 5.0)
    norms = np.linalg.norm(run.states, axis=1)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-6)
    zero = np.zeros((2, 2))
    full = np.block([[zero, MATRIX], [-MATRIX.T, zero]])
    np.testing.assert_allclose(
        run.states[-1], scipy.linalg.expm(-5.0 * full) @ z0, atol=1e-6
    )
    assert np.linalg.norm(run.states[-1] - z0) > 0.5  # it does move


@pytest.mark.slow
def test_a_strongly_monotone_game_contracts_at_its_rate():
    mu = 0.7
    flow = GameFlow(with_mu(mu))
    runs = [
        solve(flow, jnp.asarray(z), 0.0, 3.0).states
        for z in np.random.default_rng(0).standard_normal((2, 4))
    ]
    gap = np.linalg.norm(runs[0] - runs[1], axis=1)
    times = np.linspace(0, 3, 101)
    np.testing.assert_allclose(gap, gap[0] * np.exp(-mu * times), rtol=1e-5)


def test_new_parameters_are_data():
    game = min_max(regularised, 2, a=MATRIX, mu=1.0)
    traces = []

    @eqx.filter_jit
    def field(flow, z):
        traces.append(1)
        return flow.vector_field(0.0, z)

    z = jnp.ones(4)
    first = field(GameFlow(game), z)
    second = field(
        GameFlow(eqx.tree_at(lambda g: g.parameters["mu"], game, 2 * jnp.ones(()))), z
    )
    assert len(traces) == 1
    np.testing.assert_allclose(second - first, -np.ones(4), rtol=1e-14)


def test_the_operator_of_a_game_by_hand_and_its_projection():
    game = Game(
        lambda z, p: z - p["c"],
        {"c": jnp.array([2.0, 0.0])},
        lambda z: jnp.clip(z, -1, 1),
    )
    np.testing.assert_array_equal(game.operator(jnp.ones(2)), [-1.0, 1.0])
    np.testing.assert_array_equal(game.projection(jnp.array([3.0, 0.5])), [1.0, 0.5])
    free = Game(lambda z, p: z)
    np.testing.assert_array_equal(free.projection(jnp.array([3.0])), [3.0])


def test_what_is_no_game_is_refused():
    with pytest.raises(BadInput, match="not a game"):
        Game(lambda z, p: z[:1]).operator(jnp.ones(2))
    with pytest.raises(BadInput, match="no objective"):
        _ = Trajectory(
            jnp.zeros(1), jnp.ones((1, 4)), GameFlow(Game(lambda z, p: z))
        ).loss


@pytest.mark.parametrize("n_min", [0, -1, 4, 7])
def test_a_player_without_coordinates_is_refused(n_min):
    with pytest.raises(BadInput, match="coordinates"):
        min_max(lambda x, y, p: jnp.sum(x) - jnp.sum(y), n_min).operator(jnp.ones(4))


def test_a_payoff_that_is_no_scalar_is_refused():
    with pytest.raises(BadInput, match="scalar"):
        min_max(lambda x, y, p: x * y, 2).operator(jnp.ones(4))
