"""Streamed histograms, Brownian grids and plots against stored paths."""

from functools import partial

import jax.numpy as jnp
import matplotlib.colors
import numpy as np
import pytest
from scipy.stats import norm
from sde_helpers import EulerMaruyama, Exact

import flows
import sde
from flows import BadInput, NonFiniteState

OU = sde.OrnsteinUhlenbeck([2.0, 0.5], [1.0, -1.0], 0.75)
START = jnp.asarray([3.0, 0.0])
SHORT = {"t1": 1.0, "scheme": Exact(), "h": 0.25, "key": 3, "paths": 100}
FIRST = {"fn": lambda y: y[0]}
EDGES = np.array([0.0, 0.7, 1.0, 1.3, 2.0, 3.0])  # the start stands on the last edge
ASKED = sde.Statistics(
    {
        "x": sde.Histogram(EDGES, FIRST["fn"]),
        "log": sde.Histogram([-1.0, 0.0, 1.0], lambda y: jnp.log(y[1])),
        "mean": lambda y: y,
    }
)


@pytest.fixture(scope="module")
def stored():
    return sde.simulate(OU, START, **SHORT, save="all")


@pytest.fixture(scope="module")
def streamed():
    return sde.simulate(OU, START, **SHORT, save=ASKED, chunk=33)


def test_a_streamed_histogram_is_that_of_the_stored_paths(stored, streamed):
    values = np.asarray(stored.states)[..., 0]
    counts = streamed.histogram("x")
    for k, x in enumerate(values):
        np.testing.assert_array_equal(counts.inside[k], np.histogram(x, EDGES)[0])
        assert counts.below[k] == np.sum(x < 0) and counts.above[k] == np.sum(x > 3)
        assert (counts.lowest[k], counts.highest[k]) == (x.min(), x.max())
    assert counts.inside[0, -1] == 100  # the last bin is closed
    assert np.all(counts.total() == 100)
    mass = np.sum(counts.density() * np.diff(EDGES), axis=1)
    np.testing.assert_allclose(mass + (counts.below + counts.above) / 100, 1.0)
    logs = streamed.histogram("log")  # log of a negative number: counted apart
    undefined = np.sum(np.asarray(stored.states)[..., 1] < 0, axis=1)
    np.testing.assert_array_equal(logs.undefined, undefined)
    np.testing.assert_array_equal(logs.total() + logs.undefined, 100)
    assert logs.below[0] == 100 and np.isneginf(logs.lowest[0])  # log 0
    np.testing.assert_allclose(streamed.mean("mean"), stored.mean(), rtol=1e-12)


def test_distances_of_an_ensemble_to_a_law(stored, streamed):
    theta, m = 2.0, 1.0
    mean, spread = m + 2 * np.exp(-theta), np.sqrt(0.75 / theta * -np.expm1(-2 * theta))
    law = norm(mean, spread)
    for order in (1, 2):
        exact = stored.wasserstein(law, **FIRST, order=order)
        x = np.asarray(stored.final[:, 0])
        assert exact == sde.wasserstein(x, law, order=order)
        rough = streamed.wasserstein(law, "x", order=order)
        assert abs(rough.value - exact.value) <= rough.bound + exact.bound
        assert rough.bound < 0.5
        wrong = stored.wasserstein(norm(mean + 1, spread), **FIRST, order=order)
        assert exact.value < 0.3 < 0.7 < wrong.value
    assert stored.wasserstein(3.0 * np.ones(5), **FIRST, at=0).value == 0


def test_statistics_of_failed_paths_are_kept_apart():
    cubic = flows.from_loss(lambda x: jnp.sum(x**4) / 4, jnp.zeros(1))
    model = sde.OverdampedLangevin(cubic, 0.0)
    starts = jnp.asarray(np.where(np.arange(30) % 3 == 0, 20.0, 0.5))[:, None]
    arguments = SHORT | {"scheme": EulerMaruyama(), "t1": 5.0, "h": 0.1, "paths": 30}
    asked = sde.Statistics({"x": sde.Histogram([-1.0, 0.0, 1.0])}, [0.0, 5.0])
    run = sde.simulate(model, starts, **arguments, save=asked, chunk=7)
    for read in (run.histogram, lambda name: run.wasserstein([0.0], name)):
        with pytest.raises(NonFiniteState, match="10 of 30"):
            read("x")
    counts = run.histogram("x", nonfinite="drop")
    np.testing.assert_array_equal(counts.total(), [30, 20])
    np.testing.assert_array_equal(counts.above, [10, 0])
    assert counts.undefined.sum() == 0
    lines = sde.simulate(model, starts, **arguments, save="all")
    ax = lines.plot(kind="paths")
    assert "10 of 30" in ax.get_title()
    drawn = [np.sum(np.isfinite(line.get_ydata())) for line in ax.get_lines()]
    assert drawn[1] == 51 and drawn[0] == round(lines.nonfinite_times[0] / 0.1)


def test_paths_are_drawn_in_colours_that_everybody_tells_apart(stored):
    from flows.drawing import COLOURS

    ax = stored.plot(kind="paths", most=30)
    lines = ax.get_lines()
    assert len(lines) == 30
    for k in (0, 29):
        x = np.asarray(stored.states)[:, k, 0]
        np.testing.assert_array_equal(lines[k].get_ydata(), x)
    used = {matplotlib.colors.to_hex(line.get_color()).upper() for line in lines}
    assert used <= set(COLOURS.values()) and len(used) == 6
    one = stored.plot(kind="paths", color="k", most=2).get_lines()
    assert {line.get_color() for line in one} == {"k"}
    assert len(stored.plot(kind="histogram", fn=FIRST["fn"], bins=7).patches) == 7
    with pytest.raises(BadInput, match="kind"):
        stored.plot(kind="violin")
    with pytest.raises(BadInput, match="most"):
        stored.plot(kind="paths", most=0)
    with pytest.raises(BadInput, match='save="all"'):
        sde.simulate(OU, START, **SHORT).plot(kind="paths")


def test_one_key_is_one_brownian_path_at_every_step_size():
    """The increments of a step are the sums of those of the grid, by hand."""
    ou = {"t1": 1.5, "scheme": EulerMaruyama(), "key": 3, "paths": 8}
    xi = [
        sde.draw_noise(EulerMaruyama(), OU, START, 3, 12, path=path)
        for path in range(8)
    ]
    fine = np.asarray(jnp.stack(xi)) * np.sqrt(0.125)
    for cells in (1, 3, 4):
        h = 0.125 * cells
        run = sde.simulate(OU, START, **ou, h=h, grid=0.125, save="all")
        y = np.broadcast_to(np.asarray(START), (8, 2))
        for dw in fine.reshape(8, -1, cells, 2).sum(axis=2).swapaxes(0, 1):
            drift = -np.array([2.0, 0.5]) * (y - np.array([1.0, -1.0]))
            y = y + h * drift + np.sqrt(2 * 0.75) * dw
        np.testing.assert_allclose(run.final, y, rtol=1e-12, atol=1e-13)


def test_a_new_step_size_compiles_nothing_in_a_small_ensemble():
    traces = []

    class Counting(EulerMaruyama):
        def step(self, dynamics, t, y, h, noise, carry):
            traces.append(1)
            return super().step(dynamics, t, y, h, noise, carry)

    def run(h):
        del traces[:]
        sde.simulate(
            OU,
            START,
            t1=1.5,
            scheme=scheme,
            h=h,
            key=3,
            paths=8,
            grid=0.125,
            save="all",
        )
        return len(traces)

    scheme = Counting()
    assert run(0.125) > 0
    assert [run(h) for h in (0.25, 0.375, 0.5, 0.125)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sde.Histogram([1.0]), "two numbers"),
        (lambda: sde.Histogram([[0.0, 1.0]]), "vector"),
        (lambda: sde.Histogram([0.0, np.inf]), "two numbers"),
        (lambda: sde.Histogram([0.0, 0.0]), "increase"),
        (lambda: sde.Histogram("edges"), "edges"),
    ],
)
def test_what_is_no_statistic_is_refused(make, words):
    with pytest.raises(BadInput, match=words):
        make()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"save": sde.Statistics({"x": sde.Histogram([0.0, 1.0])})}, "2 components"),
        ({"save": sde.Statistics({"x": sde.Histogram([0.0, 1.0], jnp.cos)})}, "scalar"),
        ({"save": sde.Statistics({"x": lambda y: y["a"]})}, "no function"),
        ({"save": sde.Statistics({"x": lambda y: None})}, "no array"),
        ({"save": sde.Statistics({"x": lambda y: 1j * y})}, "complex"),
        ({"save": sde.Statistics({"x": sde.Histogram(EDGES, lambda y: 1j)})}, "no arr"),
        ({"grid": 0.1, "scheme": EulerMaruyama()}, "Steps that fit: 0.1, 0.2, 0.5"),
        ({"grid": -0.1, "scheme": EulerMaruyama()}, "positive"),
        ({"grid": 0.25}, "Brownian"),
        ({"devices": "two"}, "devices"),
        ({"devices": []}, "devices"),
        ({"noise": "white"}, "noise"),
    ],
)
def test_bad_input_is_refused_at_the_door(change, words):
    with pytest.raises(BadInput, match=words):
        sde.simulate(OU, **{"y0": START, **SHORT, **change})


def test_questions_to_the_wrong_statistic_name_the_right_one(stored, streamed):
    with pytest.raises(BadInput, match="ask histogram"):
        streamed.mean("x")
    with pytest.raises(BadInput, match="ask estimate"):
        streamed.histogram("mean")
    with pytest.raises(BadInput, match="no statistic"):
        streamed.histogram("y")
    with pytest.raises(BadInput, match="scalar"):
        stored.wasserstein([0.0])
    with pytest.raises(BadInput, match="saved times"):
        stored.wasserstein([0.0], **FIRST, at=5)
    for at in (0.5, "x", None, True, 5):
        for read in (streamed.histogram("x").law, partial(stored.wasserstein, [0.0])):
            with pytest.raises(BadInput, match="saved times"):
                read(at=at)
        with pytest.raises(BadInput, match="saved times"):
            streamed.histogram("x").quantile(0.5, at)
    for name in ("x", "mean"):
        with pytest.raises(BadInput, match="merge"):
            streamed.statistics[name].merge(3)


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (3, "fn is no function"),
        (0, "fn is no function"),
        (lambda y: None, "no array"),
        (lambda y: "x", "no array"),
        (lambda y: y * 1j, "complex"),
        (lambda y: y["a"], "fn is no function"),
    ],
)
def test_a_mean_is_that_of_a_real_function_of_one_state(stored, fn, words):
    for read in (stored.estimate, stored.mean):
        with pytest.raises(BadInput, match=words):
            read(fn)
    assert np.all(stored.estimate(lambda y: 2.0).value == 2)
    share = np.mean(np.asarray(stored.final)[:, 0] > 1)
    assert stored.mean(lambda y: y[0] > 1)[-1] == pytest.approx(share)
