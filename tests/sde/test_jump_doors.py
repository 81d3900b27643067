"""Starts and paths that jump processes refuse: labels, lengths, classes of states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flows
import sde
from flows import BadInput
from sde._checks import require_label, require_switching_state

PAIR = flows.quadratic_sum([[-1.0], [1.0]])
INDEX = sde.UniformIndex(2, 2.0)
SLOW = sde.StochasticGradientProcess(PAIR, INDEX)
MOVING = sde.StochasticGradientMomentumProcess(PAIR, INDEX)
S, M, ONE = sde.SwitchingState, sde.SwitchingMomentumState, jnp.zeros(1)


@pytest.mark.parametrize("label", [2, 7, -1, 0.7, True, "a", [0, 2]])
def test_labels_are_those_of_the_losses(label):
    with pytest.raises(BadInput, match="is an integer in"):
        require_label("the label", label, 2)


def test_right_labels_pass():
    for label in (0, np.int32(1), jnp.asarray([0, 1, 1])):
        require_label("the label", label, 2)
    require_label("the label", None, 2, drawn=True)
    jax.jit(lambda i: (require_label("the label", i, 2), i)[1])(7)  # not looked at
    with pytest.raises(BadInput):
        jax.jit(lambda i: (require_label("the label", i, 2), i)[1])(0.5)


@pytest.mark.parametrize(
    ("process", "y"),
    [
        (SLOW, S(jnp.zeros(3), 0)),
        (SLOW, S(jnp.zeros((4, 2)), 0)),
        (SLOW, S(jnp.zeros(()), 0)),
        (SLOW, S(np.zeros(1, int), 0)),
        (SLOW, M(ONE, ONE, 0)),
        (SLOW, ONE),
        (MOVING, S(jnp.zeros(2), 0)),
        (MOVING, M(ONE, jnp.zeros(2), 0)),
        (SLOW, S(jnp.zeros((3, 1)), np.zeros(2, int))),
        (SLOW, S(ONE, np.zeros(2, int))),
    ],
)
def test_states_are_those_of_the_process(process, y):
    with pytest.raises(BadInput):
        require_switching_state(process, y, drawn=True)


def test_right_states_pass():
    require_switching_state(SLOW, S(ONE, None), drawn=True)
    require_switching_state(MOVING, M(ONE, ONE, 1))
    many = jnp.zeros((3, 1))
    require_switching_state(SLOW, S(many, np.array([0, 1, 0])))
    require_switching_state(SLOW, S(many, 1))
    with pytest.raises(BadInput, match="simulate_skeletons"):
        require_switching_state(SLOW, S(ONE, None))


@pytest.mark.parametrize(
    "y",
    [
        S(ONE, 7),
        S(jnp.zeros(3), 0),
        S(ONE, None),
        M(ONE, ONE, 0),
        S(jnp.zeros((4, 1)), np.array([0, 1, 0, 2])),
    ],
)
def test_simulate_looks_at_its_start(y):
    with pytest.raises(BadInput):
        sde.simulate(SLOW, y, t1=1.0, h=1.0, scheme=sde.ExactJumps(), key=0, paths=4)
