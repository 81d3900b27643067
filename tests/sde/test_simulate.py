"""Ensembles: laws, independence of the chunk, failed paths, interrupts, bad input."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from sde_helpers import EulerMaruyama, Exact, dkw_distance, dkw_radius

import flows
import sde
from flows import BadInput, NonFiniteState, Scheme, Step

OU = sde.OrnsteinUhlenbeck([2.0, 0.5], [1.0, -1.0], 0.75)
START = jnp.asarray([3.0, 0.0])
SHORT = {"t1": 1.0, "scheme": Exact(), "h": 0.25, "key": 3, "paths": 100}
CUBIC = flows.from_loss(lambda x: jnp.sum(x**4) / 4, jnp.zeros(1))


def ou_law(t):
    theta, m = np.array([2.0, 0.5]), np.array([1.0, -1.0])
    mean = m + np.exp(-theta * t) * (np.asarray(START) - m)
    return mean, np.sqrt(0.75 / theta * (1 - np.exp(-2 * theta * t)))


def test_the_law_of_ornstein_uhlenbeck_is_the_exact_gaussian():
    """DKW at false alarm 1e-9 a test; 10⁵ paths refuse laws further than 0.021."""
    run = sde.simulate(OU, START, **SHORT | {"paths": 100_000})
    mean, spread = ou_law(1.0)
    radius = dkw_radius(run.paths)
    for k in range(2):
        x = run.final[:, k]
        assert dkw_distance(x, norm(mean[k], spread[k]).cdf) < radius
        # controls: the mean off by 0.06 and the spread by 10 per cent
        assert dkw_distance(x, norm(mean[k] + 0.06, spread[k]).cdf) > radius
        assert dkw_distance(x, norm(mean[k], 1.1 * spread[k]).cdf) > radius
    estimate = run.estimate()
    assert np.all(np.abs(estimate.value[0] - mean) < 6.2 * estimate.standard_error[0])
    np.testing.assert_allclose(
        estimate.standard_error[0], spread / np.sqrt(run.paths), rtol=0.02
    )


def test_states_do_not_depend_on_the_chunk():
    whole = sde.simulate(OU, START, **SHORT, save=[0.0, 0.5, 1.0])
    assert whole.states.shape == (3, 100, 2)
    for chunk in (1, 7, 100, 1000):
        part = sde.simulate(OU, START, **SHORT, save=[0.0, 0.5, 1.0], chunk=chunk)
        gap = np.max(np.abs(part.states - whole.states))
        assert gap <= 4 * np.finfo(float).eps * np.max(np.abs(whole.states))
    other = sde.simulate(OU, START, **SHORT | {"key": 4})
    assert np.min(np.abs(other.final - whole.final)) > 0


def test_a_path_is_the_iteration_of_the_scheme_on_its_noise():
    run = sde.simulate(OU, START, **SHORT, save=[0.25, 0.75, 1.0])
    xi = sde.draw_noise(Exact(), OU, START, 3, 4, path=42)
    alone = flows.iterate(Exact(), OU, START, h=0.25, steps=4, noise=xi)
    np.testing.assert_allclose(
        run.states[:, 42], np.asarray(alone.states)[[1, 3, 4]], rtol=1e-15
    )
    np.testing.assert_array_equal(run.times, [0.25, 0.75, 1.0])


def test_time_starts_at_t0_and_reaches_the_scheme():
    class Clock(Scheme):
        def step(self, dynamics, t, y, h, noise, carry):
            return Step(y + h * t, carry)

    run = sde.simulate(OU, START, t0=2.0, **SHORT | {"t1": 3.0, "scheme": Clock()})
    drift = 0.25 * (2.0 + 2.25 + 2.5 + 2.75)
    np.testing.assert_allclose(run.final[0], np.asarray(START) + drift, rtol=1e-15)
    assert run.times == [3.0]


def test_memory_travels_with_its_path():
    class Doubling(Scheme):
        def init(self, dynamics, t, y):
            return {"last": y, "count": jnp.zeros((), dtype=int)}

        def step(self, dynamics, t, y, h, noise, carry):
            new = 2 * y - carry["last"] + carry["count"].astype(float)
            return Step(new, {"last": y, "count": carry["count"] + 1})

    starts = jnp.arange(10.0).reshape(5, 2)
    arguments = SHORT | {"scheme": Doubling(), "paths": 5, "chunk": 3}
    run = sde.simulate(OU, starts, **arguments)
    # differences grow 0, 1, 3, 6 over the four steps
    np.testing.assert_allclose(run.final, starts + 10.0)


@pytest.mark.slow
def test_streamed_moments_are_those_of_stored_paths():
    functions = {"x": lambda y: y, "square": lambda y: y[0] ** 2}
    stored = sde.simulate(OU, START, **SHORT, save=np.arange(5) / 4)
    for chunk in (None, 33):
        run = sde.simulate(
            OU, START, **SHORT, save=sde.Statistics(functions), chunk=chunk
        )
        np.testing.assert_array_equal(run.times, stored.times)
        for name, fn in functions.items():
            for a, b in zip(run.estimate(name), stored.estimate(fn), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        with pytest.raises(BadInput, match="statistics alone"):
            _ = run.final
        with pytest.raises(BadInput, match="no statistic"):
            run.mean("cube")
    at = sde.Statistics(functions, times=[0.5, 1.0])
    run = sde.simulate(OU, START, **SHORT, save=at)
    np.testing.assert_allclose(run.mean("x"), stored.mean()[[2, 4]], rtol=1e-12)


def exploding():
    model = sde.OverdampedLangevin(CUBIC, 0.0)
    starts = np.where(np.arange(30) % 3 == 0, 20.0, 0.5)[:, None]  # 20 > √(2/h)
    return model, jnp.asarray(starts)


def test_failed_paths_are_counted_and_never_averaged_in_silence():
    model, starts = exploding()
    arguments = SHORT | {"scheme": EulerMaruyama(), "t1": 5.0, "h": 0.1, "paths": 30}
    run = sde.simulate(model, starts, **arguments, save=[0.0, 5.0], chunk=4)
    np.testing.assert_array_equal(run.nonfinite, np.arange(30) % 3 == 0)
    x, steps = np.float64(20.0), 0
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(x):
            x, steps = x - 0.1 * x**3, steps + 1
    np.testing.assert_allclose(run.nonfinite_times[::3], 0.1 * steps)
    assert np.all(np.isinf(run.nonfinite_times[1::3]))
    with pytest.raises(NonFiniteState, match="10 of 30") as caught:
        run.mean()
    assert caught.value.model == "OverdampedLangevin"
    estimate = run.estimate(nonfinite="drop")
    np.testing.assert_array_equal(estimate.paths, [30, 20])
    assert np.all(np.isfinite(estimate.value)) and abs(estimate.value[1, 0]) < 0.5
    assert "10 paths not finite" in repr(run)
    streamed = sde.simulate(
        model, starts, **arguments, save=sde.Statistics({"x": lambda y: y}, [0.0, 5.0])
    )
    with pytest.raises(NonFiniteState):
        streamed.mean("x")
    dropped = streamed.estimate("x", nonfinite="drop")
    np.testing.assert_allclose(dropped.value, estimate.value, rtol=1e-12)
    with pytest.raises(BadInput, match="drop"):
        run.mean(nonfinite="ignore")
    assert "10 of 30" in run.plot().get_title()


def test_an_interrupt_keeps_the_finished_chunks(monkeypatch):
    module = sys.modules["sde.simulate"]
    true, calls = module.run_chunk, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(*args)

    whole = sde.simulate(OU, START, **SHORT)
    monkeypatch.setattr(module, "run_chunk", interrupted)
    run = sde.simulate(OU, START, **SHORT, chunk=30)
    assert run.paths == 60 and "interrupted: 60 of 100" in run.end
    np.testing.assert_allclose(run.final, whole.final[:60], rtol=1e-15)
    calls[:] = [1, 1]
    with pytest.raises(KeyboardInterrupt):
        sde.simulate(OU, START, **SHORT, chunk=30)


def test_new_values_compile_nothing():
    traces = []

    class Counting(EulerMaruyama):
        def step(self, dynamics, t, y, h, noise, carry):
            traces.append(1)
            return super().step(dynamics, t, y, h, noise, carry)

    scheme = Counting()

    def run(key, h, t1, temperature):
        del traces[:]
        model = sde.OverdampedLangevin(CUBIC, temperature)
        arguments = {"h": h, "t1": t1, "key": key, "paths": 100, "chunk": 30}
        sde.simulate(model, jnp.ones(1), scheme=scheme, **arguments)
        return len(traces)

    first = run(0, 0.1, 1.0, 0.5)
    later = [run(1, 0.05, 1.0, 0.5), run(2, 0.1, 3.0, 2.0)]
    assert later == [0, 0] and first > 1


def test_what_an_ensemble_shows(capsys):
    run = sde.simulate(OU, START, **SHORT, save=[0.5, 1.0], progress=True)
    assert "100" in capsys.readouterr().err
    assert repr(run) == (
        "Ensemble(OrnsteinUhlenbeck: 100 paths, 2 times in [0.5, 1]; 4 steps of 0.25)"
    )
    assert repr(run)[:20] in run._repr_html_()
    line = run.plot().get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), run.mean(lambda y: y[0]), rtol=1e-12)
    final = sde.simulate(OU, START, **SHORT)
    ax = final.plot(fn=lambda y: y[1], bins=11)
    area = sum(p.get_height() * p.get_width() for p in ax.patches)
    assert len(ax.patches) == 11 and abs(area - 1) < 1e-12
    with pytest.raises(BadInput, match="scalar"):
        run.plot(fn=lambda y: y)
    data = run.to_xarray()
    assert dict(data.sizes) == {"time": 2, "path": 100, "state_0": 2}
    np.testing.assert_array_equal(data["state"], run.states)
    assert data.attrs["key"] == [0, 3] and data.attrs["h"] == 0.25
    again = sde.simulate(OU, START, **SHORT | {"key": run.key}, save=[0.5, 1.0])
    np.testing.assert_array_equal(again.states, run.states)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"h": 0.0}, "positive"),
        ({"h": -0.1}, "positive"),
        ({"h": np.nan}, "finite number"),
        ({"h": 0.3}, "h = 0.333333333333"),
        ({"t1": 0.0}, "after t0"),
        ({"t1": np.inf}, "finite number"),
        ({"key": None}, "key is missing"),
        ({"paths": 0}, "paths"),
        ({"paths": True}, "paths"),
        ({"chunk": 0}, "chunk"),
        ({"save": "every"}, "final"),
        ({"save": [0.1]}, "grid times"),
        ({"save": [0.5, 2.0]}, "grid times"),
        ({"save": [1.0, 0.5]}, "increase"),
        ({"save": object()}, "final"),
        ({"y0": jnp.asarray([np.nan, 0.0])}, "non-finite"),
        ({"y0": jnp.zeros((7, 2))}, "leading axis"),
        ({"y0": jnp.zeros(3)}, "cannot step"),
        ({"y0": jnp.asarray([1, 2])}, "floating-point"),
        ({"y0": jnp.zeros(())}, "flat vectors"),
        ({"y0": {}}, "floating-point"),
        ({"scheme": Exact("A")}, "cannot step"),
    ],
)
def test_bad_input_is_refused_at_the_door(change, words):
    with pytest.raises(BadInput, match=words):
        sde.simulate(OU, **{"y0": START, **SHORT, **change})


def test_statistics_need_functions():
    with pytest.raises(BadInput, match="mapping"):
        sde.Statistics({})


def test_float32_starts_are_widened():
    start = np.asarray(START, np.float32)
    run = sde.simulate(OU, start, **SHORT)
    assert run.final.dtype == jnp.float64
    np.testing.assert_array_equal(run.final, sde.simulate(OU, START, **SHORT).final)
    assert isinstance(run.key, jax.Array)
