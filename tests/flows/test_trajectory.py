"""What people ask of a trajectory: curves, parameters, pictures, a short repr."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import Blowup, small_net, tanh_loss

from flows import BadInput, GradientFlow, Trajectory, solve
from flows.problems import quadratic


@pytest.fixture(scope="module")
def net():
    f, params = small_net()
    run = solve(
        GradientFlow(f),
        f.ravel(params),
        0.0,
        1.0,
        saveat=diffrax.SaveAt(ts=jnp.linspace(0, 1, 5), dense=True),
    )
    return f, params, run


def test_loss_and_gradient_norm_against_plain_jax(net):
    f, _, run = net
    data = f.data.tree
    for k in (0, 4):
        params = f.params(run.states[k])
        gradient = jax.grad(tanh_loss)(params, data)
        size = np.sqrt(sum(float(jnp.sum(a**2)) for a in jax.tree.leaves(gradient)))
        assert float(run.loss[k]) == pytest.approx(float(tanh_loss(params, data)))
        assert float(run.gradient_norm[k]) == pytest.approx(size)
    assert np.all(np.diff(run.loss) < 0)


def test_params_at_gives_the_users_own_pytree(net):
    f, params, run = net
    at = run.params_at(0.0)
    assert jax.tree.structure(at) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(at), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)
    between = f.ravel(run.params_at(0.6))  # by dense output
    # Between the saved 0.5 and 0.75, within the curvature h²/8 |x''| of their chord.
    chord = 0.6 * run.states[2] + 0.4 * run.states[3]
    bend = run.states[1] - 2 * run.states[2] + run.states[3]
    gap = np.max(np.abs(between - chord))
    assert 0 < gap < 0.25 * np.max(np.abs(bend))


def test_a_time_that_was_not_saved_is_refused():
    run = Trajectory(jnp.array([0.0, 0.5]), jnp.array([[1.0], [2.0]]), Blowup())
    np.testing.assert_array_equal(run.state_at(0.5), [2.0])
    with pytest.raises(BadInput, match=r"t = 0.3 was not saved.*nearest.*0.5"):
        run.state_at(0.3)
    with pytest.raises(BadInput, match="was not saved"):
        run.state_at(float("nan"))


def test_no_times_at_all_is_said(net):
    _, _, run = net
    empty = Trajectory(jnp.zeros(0), run.states[:0], run.dynamics, end="stopped")
    assert "no saved time" in repr(empty)
    with pytest.raises(BadInput, match="no saved time"):
        empty.state_at(0.0)


def test_without_an_objective_there_is_no_loss():
    run = Trajectory(jnp.zeros(1), jnp.ones((1, 1)), Blowup())
    before = plt.get_fignums()
    for ask in (
        lambda: run.loss,
        lambda: run.gradient_norm,
        lambda: run.params_at(0.0),
        run.plot,
    ):
        with pytest.raises(BadInput, match="Blowup has no objective"):
            ask()
    assert plt.get_fignums() == before  # no empty figure is left behind


def test_plots_go_into_ones_own_axes_and_touch_no_style(net):
    _, _, run = net
    before = dict(matplotlib.rcParams)
    fig, ax = plt.subplots()
    assert run.plot(ax, color="k", label="mine") is ax
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), run.times)
    np.testing.assert_array_equal(line.get_ydata(), run.loss)
    assert line.get_label() == "mine"
    other = run.plot(curve="gradient_norm")
    assert other is not ax
    np.testing.assert_array_equal(other.get_lines()[0].get_ydata(), run.gradient_norm)
    assert "nabla" in other.get_ylabel()
    assert dict(matplotlib.rcParams) == before
    plt.close("all")
    with pytest.raises(BadInput, match="curve is one of loss, gradient_norm"):
        run.plot(curve="sharpness")
    assert fig is not None
    assert not plt.get_fignums()


def test_repr_is_short_for_a_big_state():
    n = 200_000
    flow = GradientFlow(quadratic(np.ones(n)))
    run = Trajectory(jnp.zeros(2), jnp.zeros((2, n)), flow, end="done")
    text = repr(run)
    assert len(text) < 200
    assert "200000 parameters" in text
    assert "done" in text
    assert run._repr_html_().startswith("<code>")
    assert (
        "<x>"
        not in Trajectory(
            jnp.zeros(2), jnp.zeros((2, 1)), flow, end="<x>"
        )._repr_html_()
    )


def test_it_is_a_pytree(net):
    _, _, run = net
    doubled = eqx.filter_jit(lambda r: jax.tree.map(lambda a: 2 * a, r.states))(run)
    np.testing.assert_array_equal(doubled, 2 * run.states)
    seen = []
    eqx.filter_jit(lambda r: seen.append(repr(r)) or r.times[0])(run)
    assert seen == ["Trajectory(GradientFlow, traced)"]


def test_xarray_of_a_vector(net):
    _, _, run = net
    data = run.to_xarray()
    assert data["position"].dims == ("time", "position_0")
    np.testing.assert_array_equal(data["position"].values, run.states)
    np.testing.assert_array_equal(data["time"].values, run.times)
