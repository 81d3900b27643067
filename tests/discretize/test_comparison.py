"""What a comparison shows: pictures equal to its numbers, short reprs, errors."""

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import WAVY_START

from discretize import SGD, compare
from discretize.comparison import _norms
from flows import BadInput
from flows.problems import quadratic, wavy


@pytest.fixture(scope="module")
def run():
    with jax.numpy_dtype_promotion("standard"):
        return compare(wavy(), SGD(learning_rate=0.1), jnp.array(WAVY_START), steps=12)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_figure_shows_its_numbers(run):
    before = dict(matplotlib.rcParams)
    fig, data = run.figure()
    left, right = fig.axes
    flow, discrete = left.get_lines()
    np.testing.assert_array_equal(flow.get_ydata(), data["flow_loss"])
    np.testing.assert_array_equal(discrete.get_ydata(), data["loss"])
    np.testing.assert_array_equal(discrete.get_xdata(), run.times)
    np.testing.assert_array_equal(right.get_lines()[1].get_ydata(), run.distance[1:])
    np.testing.assert_array_equal(data["distance"], run.distance)
    np.testing.assert_array_equal(data["times"], run.times)
    gone = np.linalg.norm(run.positions - run.positions[0], axis=1)
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), gone[1:])
    assert dict(matplotlib.rcParams) == before
    assert "optax.sgd(learning_rate=0.1)" in left.get_legend_handles_labels()[1][1]


def test_ones_own_axes(run):
    _, axes = plt.subplots(1, 2)
    assert run.plot(axes[0]) is axes[0]
    assert run.plot_distance(axes[1]) is axes[1]
    assert len(plt.get_fignums()) == 1


def test_losses_and_distances_against_numpy(run):
    f = wavy()
    x = run.positions[7]
    assert run.loss[7] == pytest.approx(float(f.value(jnp.asarray(x))), rel=1e-14)
    y = np.asarray(run.flow.states[7])
    assert run.distance[7] == pytest.approx(np.linalg.norm(x - y), rel=1e-14)
    assert run.flow_loss[7] == pytest.approx(float(f.value(jnp.asarray(y))))
    assert len(run.distance) == len(run.loss) == len(run.times) == 13


def test_params_at(run):
    np.testing.assert_array_equal(run.params_at(0.7), run.positions[7])
    with pytest.raises(BadInput, match=r"t = 0.75 was not saved"):
        run.params_at(0.75)


def test_reprs_are_short(run):
    text = repr(run)
    for word in ("steps", "distance at the end", "finished", "gap to its scheme"):
        assert word in text
    assert len(text.splitlines()) < 14
    assert run._repr_html_().count("<tr") >= 8
    big = compare(
        quadratic(np.linspace(0.5, 1.0, 5000)),
        SGD(learning_rate=0.1),
        jnp.ones(5000),
        steps=2,
        flow=False,
    )
    assert len(repr(big)) < 2000


def test_without_a_flow_the_rest_still_works(run):
    bare = compare(
        wavy(), SGD(learning_rate=0.1), jnp.array(WAVY_START), steps=12, flow=False
    )
    np.testing.assert_array_equal(bare.loss, run.loss)
    assert len(bare.plot().get_lines()) == 1
    assert "distance" not in repr(bare)
    for ask in (lambda: bare.distance, lambda: bare.flow_loss, bare.figure):
        with pytest.raises(BadInput, match="no flow was solved"):
            ask()


def test_norms_do_not_overflow():
    rows = np.array([[3e200, 4e200], [0.0, 0.0], [3.0, 4.0], [1e-200, 0.0]])
    np.testing.assert_allclose(_norms(rows), [5e200, 0.0, 5.0, 1e-200], rtol=1e-15)
