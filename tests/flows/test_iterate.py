"""The one compiled loop: what it keeps, what it counts, what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from discretize import Euler, Splitting
from flows import BadInput, GradientFlow, NonFiniteState, Scheme, Step, iterate
from flows.problems import double_well, quadratic
from sde import OrnsteinUhlenbeck, draw_noise

SPECTRUM = np.array([1.0, 3.0])
FLOW = GradientFlow(quadratic(SPECTRUM))
START = jnp.array([1.0, -2.0])


def by_hand(h, steps):
    out = [np.asarray(START)]
    for size in np.broadcast_to(h, steps):
        out.append(out[-1] - size * SPECTRUM * out[-1])
    return np.stack(out)


class Counting(Scheme):
    """Moves by h, shows its own count, and remembers it."""

    def init(self, dynamics, t, y):
        return jnp.asarray(0)

    def step(self, dynamics, t, y, h, noise, carry):
        return Step(y + h, carry + 1, {"count": carry, "time": t})


def test_keeps_every_state_with_its_time():
    run = iterate(Euler(), FLOW, START, h=0.1, steps=20, t0=2.0)
    np.testing.assert_allclose(run.states, by_hand(0.1, 20), rtol=1e-14)
    np.testing.assert_allclose(run.times, 2.0 + 0.1 * np.arange(21), rtol=1e-15)
    assert run.end == "20 steps"


@pytest.mark.parametrize(("save", "rows"), [("last", [0, 20]), (5, range(0, 21, 5))])
def test_keeps_what_is_asked(save, rows):
    run = iterate(Euler(), FLOW, START, h=0.1, steps=20, save=save)
    np.testing.assert_allclose(run.states, by_hand(0.1, 20)[list(rows)], rtol=1e-14)
    np.testing.assert_allclose(run.times, 0.1 * np.array(list(rows)), rtol=1e-15)


def test_one_step_size_a_step():
    sizes = 0.1 / (1 + np.arange(10))
    run = iterate(Euler(), FLOW, START, h=sizes)
    np.testing.assert_allclose(run.states, by_hand(sizes, 10), rtol=1e-14)
    np.testing.assert_allclose(run.times[1:], np.cumsum(sizes), rtol=1e-14)
    last = iterate(Euler(), FLOW, START, h=sizes, save="last")
    np.testing.assert_allclose(last.states[-1], run.states[-1], rtol=1e-15)


def test_memory_and_aux_travel_along():
    run = iterate(Counting(), FLOW, START, h=0.5, steps=4)
    np.testing.assert_array_equal(run.aux["count"], np.arange(4))
    np.testing.assert_allclose(run.aux["time"], 0.5 * np.arange(4))


def test_times_are_products_and_do_not_drift():
    run = iterate(Euler(), FLOW, START, h=0.1, steps=10_000, save=10_000)
    assert float(run.times[-1]) == pytest.approx(1000.0, rel=1e-15)


def test_new_values_compile_nothing():
    traces = []

    class Traced(Scheme):
        def step(self, dynamics, t, y, h, noise, carry):
            traces.append(1)
            return Step(y + h * dynamics.vector_field(t, y))

    for h, scale in ((0.1, 1.0), (0.2, 2.0), (0.05, 3.0)):
        iterate(
            Traced(), GradientFlow(quadratic(scale * SPECTRUM)), START, h=h, steps=7
        )
    first = len(traces)
    iterate(Traced(), FLOW, 2 * START, h=0.3, steps=7)
    assert len(traces) == first
    for steps in (3, 5, 9):
        iterate(Traced(), FLOW, START, h=0.1, steps=steps, save="last")
    second = len(traces)
    iterate(Traced(), FLOW, START, h=0.2, steps=50, save="last")
    assert len(traces) == second


def test_noise_is_an_argument():
    model = OrnsteinUhlenbeck(1.0, jnp.zeros(2), 0.5)
    noise = draw_noise(Euler(), model, START, 7, 5)
    run = iterate(Euler(), model, START, h=0.1, steps=5, noise=noise)
    x = np.asarray(START)
    for k in range(5):
        x = x - 0.1 * x + np.sqrt(2 * 0.5 * 0.1) * np.asarray(noise[k])
        np.testing.assert_allclose(run.states[k + 1], x, rtol=1e-14)
    with pytest.raises(BadInput, match="draw_noise"):
        iterate(Euler(), model, START, h=0.1, steps=5)
    with pytest.raises(BadInput, match="noise of shape"):
        iterate(Euler(), model, START, h=0.1, steps=4, noise=noise)
    with pytest.raises(BadInput, match="draws no noise"):
        iterate(Euler(), FLOW, START, h=0.1, steps=5, noise=noise)


def test_a_blow_up_is_named_by_model_step_and_time():
    """Euler on (x² - 1)²/4 from 10 with h = 1 cubes itself away in a few steps."""
    flow, start = GradientFlow(double_well()), jnp.array([10.0])
    x, k = 10.0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(x):
            x, k = x - np.float64(1.0) * (np.float64(x) ** 3 - x), k + 1
    for save in ("all", "last"):
        with pytest.raises(NonFiniteState, match="GradientFlow") as caught:
            iterate(Euler(), flow, start, h=1.0, steps=50, save=save)
        assert caught.value.step == k
        assert caught.value.time == pytest.approx(float(k))
    run = iterate(Euler(), flow, start, h=1.0, steps=50, throw=False)
    assert run.end.startswith("diverged")
    assert run.times.size == k
    assert np.all(np.isfinite(run.states))


def test_progress_changes_nothing(capsys):
    plain = iterate(Euler(), FLOW, START, h=0.01, steps=203)
    shown = iterate(Euler(), FLOW, START, h=0.01, steps=203, progress=True)
    np.testing.assert_allclose(shown.states, plain.states, rtol=1e-14)
    np.testing.assert_allclose(shown.times, plain.times, rtol=1e-14)
    assert "step" in capsys.readouterr().err


def test_an_interrupt_keeps_what_is_done(monkeypatch):
    import contextlib

    from flows import iterate as _  # noqa: F401

    module = __import__("sys").modules["flows.iterate"]

    class Bar:
        def __init__(self):
            self.seen = 0

        def update(self, n):
            self.seen += 1
            if self.seen == 3:
                raise KeyboardInterrupt

    @contextlib.contextmanager
    def bar(*args, **kwargs):
        yield Bar()

    monkeypatch.setattr(module, "bar", bar)
    run = iterate(Euler(), FLOW, START, h=0.01, steps=200, progress=True)
    assert run.end.startswith("interrupted after")
    done = run.times.size - 1
    assert 0 < done < 200
    np.testing.assert_allclose(run.states, by_hand(0.01, 200)[: done + 1], rtol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h": 0.0}, "positive"),
        ({"h": -0.1}, "positive"),
        ({"h": np.nan}, "positive"),
        ({"h": np.ones((2, 2))}, "vector"),
        ({"steps": 0}, "whole number"),
        ({"save": 3}, "divisor"),
        ({"y0": np.array([np.nan, 1.0])}, "non-finite"),
    ],
)
def test_bad_input(change, message):
    arguments = {"h": 0.1, "steps": 10, "y0": START, **change}
    with pytest.raises(BadInput, match=message):
        iterate(Euler(), FLOW, arguments.pop("y0"), **arguments)


def test_a_step_that_changes_the_state_is_refused():
    class Growing(Scheme):
        def step(self, dynamics, t, y, h, noise, carry):
            return Step(jnp.concatenate([y, y]))

    with pytest.raises(BadInput, match="maps a state like"):
        iterate(Growing(), FLOW, START, h=0.1, steps=3)


def test_a_word_of_other_parts_is_refused():
    with pytest.raises(BadInput, match="speaks of the parts"):
        iterate(Splitting("A, B"), FLOW, START, h=0.1, steps=3)


@pytest.mark.parametrize("save", ["all", "last"])
def test_gradients_pass_through(save):
    """d/dx of (1 - hλ)^n x is (1 - hλ)^n."""

    def end(x):
        return iterate(Euler(), FLOW, x, h=0.1, steps=10, save=save).states[-1]

    jacobian = jax.jacrev(end)(START)
    np.testing.assert_allclose(
        jacobian, np.diag((1 - 0.1 * SPECTRUM) ** 10), rtol=1e-13
    )


def test_maps_over_step_sizes():
    def end(h):
        return iterate(Euler(), FLOW, START, h=h, steps=10).states[-1]

    sizes = jnp.array([0.05, 0.1])
    ends = eqx.filter_jit(jax.vmap(end))(sizes)
    for h, found in zip(sizes, ends, strict=True):
        np.testing.assert_allclose(found, by_hand(float(h), 10)[-1], rtol=1e-13)
