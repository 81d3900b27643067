"""Several step sizes on the same Brownian paths: exact laws of the gaps, doors."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from sde_helpers import EulerMaruyama, Exact

import flows
import sde
from flows import BadInput, Draw, NonFiniteState

OU = sde.OrnsteinUhlenbeck([2.0], [1.0], 0.75)
START = jnp.asarray([3.0])
H = (0.25, 0.125, 0.0625)
SHORT = {"t1": 1.0, "scheme": EulerMaruyama(), "key": 3, "paths": 40}
AT_TWO = sde.Statistics({"x": lambda y: y[0]}, times=[0.5, 1.0])


@pytest.fixture(scope="module")
def levels():
    return sde.simulate_coupled(OU, START, h=H, **SHORT, save="all", chunk=16)


def test_a_level_is_the_ensemble_of_its_step_on_the_finest_grid(levels):
    assert isinstance(levels, tuple) and len(levels) == 3
    np.testing.assert_array_equal(levels.h, H)
    alone = [sde.simulate(OU, START, h=h, grid=H[-1], **SHORT, save="all") for h in H]
    for k, (level, own) in enumerate(zip(levels, alone, strict=True)):
        np.testing.assert_array_equal(level.times, alone[0].times)
        states = np.asarray(own.states)[:: 2**k]
        np.testing.assert_allclose(level.states, states, rtol=1e-13)
        assert level.h == H[k] and level.end == own.end
    # the largest difference over the coarser grid, and not only over the saved times
    for k in range(2):
        fine = np.asarray(alone[k + 1].states)[::2]
        sup = np.max(np.abs(np.asarray(alone[k].states) - fine), axis=(0, 2))
        np.testing.assert_allclose(levels.gaps.sup[:, k], sup, rtol=1e-11)
    assert "h = 0.25, 0.125, 0.0625" in repr(levels)


def test_gaps_have_the_variance_of_their_brownian_increments():
    """Both levels are linear in the fine increments, so the gap's law is Gaussian.

    The mean square of n gaps has a relative standard error of √(2/n); six of them are
    granted, a false alarm of 2e-9, so a variance off by 12 per cent shows. Increments
    drawn anew for each level would give 30 times as much.
    """
    n, d, theta = 5_000, 0.75, 2.0

    def weights(h):
        m, steps = round(h / H[-1]), round(1 / h)
        powers = (1 - theta * h) ** np.arange(steps)[::-1]
        return np.repeat(powers, m) * np.sqrt(2 * d * H[-1])

    run = sde.simulate_coupled(
        OU, START * 0 + 1.0, h=H, **SHORT | {"paths": n, "chunk": 1250}, save=AT_TWO
    )
    found = run.gaps.root_mean_square("final")
    for k in range(2):
        a, b = weights(H[k]), weights(H[k + 1])
        exact = np.sum((a - b) ** 2)
        np.testing.assert_allclose(found.value[k] ** 2, exact, rtol=6 * np.sqrt(2 / n))
        assert np.sum(a**2) + np.sum(b**2) > 30 * exact
        np.testing.assert_allclose(
            found.standard_error[k], found.value[k] / np.sqrt(2 * n), rtol=0.15
        )
        mean = run[k].estimate("x")  # the start is the fixed point of the mean
        assert np.all(np.abs(mean.value - 1) < 6.2 * mean.standard_error)
    assert run.gaps.sup is None and run[0].states is None
    sup = run.gaps.root_mean_square("sup")
    assert np.all(sup.value > found.value) and np.all(sup.paths == n)


def test_step_sizes_need_not_divide_each_other():
    """Steps of 3 and 2 cells, saved and compared where both grids have a time."""
    at = SHORT | {"t1": 1.2}
    run = sde.simulate_coupled(OU, START, h=[0.3, 0.2, 0.1], **at, save="all")
    np.testing.assert_allclose(run[0].times, [0.0, 0.6, 1.2])
    alone = [
        np.asarray(sde.simulate(OU, START, h=h, grid=0.1, **at, save="all").states)
        for h in (0.3, 0.2)
    ]
    for level, states, every in zip(run, alone, (2, 3), strict=False):
        np.testing.assert_allclose(level.states, states[::every], rtol=1e-13)
    gap = np.abs(alone[0][::2] - alone[1][::3]).max(axis=(0, 2))
    np.testing.assert_allclose(run.gaps.sup[:, 0], gap, rtol=1e-11)


@pytest.mark.slow
def test_failed_paths_are_kept_apart_at_every_level():
    """From 3 a step of 0.25 of Euler's method explodes on x' = -x³, 0.125 does not."""
    cubic = flows.from_loss(lambda x: jnp.sum(x**4) / 4, jnp.zeros(1))
    model = sde.OverdampedLangevin(cubic, 0.0)
    starts = jnp.asarray(np.where(np.arange(9) % 3 == 0, 3.0, 0.5))[:, None]
    at = SHORT | {"t1": 5.0, "paths": 9}
    run = sde.simulate_coupled(model, starts, h=[0.25, 0.125], **at, chunk=4)
    assert [level.nonfinite.sum() for level in run] == [3, 0]
    assert np.all(np.isinf(run.gaps.sup[::3, 0]))
    assert np.all(np.isfinite(np.delete(run.gaps.sup[:, 0], [0, 3, 6])))
    with pytest.raises(NonFiniteState, match="3 of 9"):
        run.gaps.root_mean_square()
    dropped = run.gaps.root_mean_square(nonfinite="drop")
    np.testing.assert_array_equal(dropped.paths, [6])
    kept = np.delete(run.gaps.sup[:, 0], [0, 3, 6])
    np.testing.assert_allclose(dropped.value[0], np.sqrt(np.mean(kept**2)))
    with pytest.raises(NonFiniteState):
        run[0].mean()
    assert np.all(np.isfinite(run[1].mean()))
    first = run[0].nonfinite_times[0]
    assert first == sde.simulate(model, starts, h=0.25, **at).nonfinite_times[0]


def test_an_interrupt_keeps_the_finished_chunks_of_all_levels(levels, monkeypatch):
    module = sys.modules["sde.coupled"]
    true, calls = module.run_levels, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(*args)

    monkeypatch.setattr(module, "run_levels", interrupted)
    run = sde.simulate_coupled(OU, START, h=H, **SHORT, save="all", chunk=16)
    assert run.gaps.paths == 32 and run.gaps.sup.shape == (32, 2)
    for level, whole in zip(run, levels, strict=True):
        assert level.paths == 32 and "interrupted: 32 of 40" in level.end
        np.testing.assert_allclose(level.states, whole.states[:, :32], rtol=1e-13)
    np.testing.assert_allclose(run.gaps.sup, levels.gaps.sup[:32], rtol=1e-11)


class Uniforms(EulerMaruyama):
    def noise_like(self, dynamics, y):
        return Draw("uniform", (1,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"h": 0.25}, "two step sizes"),
        ({"h": [0.25]}, "two step sizes"),
        ({"h": [0.125, 0.25]}, "decreases"),
        ({"h": [0.25, 0.25]}, "decreases"),
        ({"h": [0.5, 0.2]}, "5/2"),
        ({"h": [0.3, 0.1]}, "whole number of steps"),
        ({"h": [0.5, 0.0]}, "positive"),
        ({"h": "fine"}, "h is an array"),
        ({"save": [0.125, 1.0]}, "grid of h = 0.25"),
        ({"save": "every"}, "save"),
        ({"scheme": Exact()}, "letter O"),
        ({"scheme": Uniforms()}, "Brownian"),
        ({"paths": 0}, "paths"),
    ],
)
def test_bad_input_is_refused_at_the_door(change, words):
    arguments = {"h": H, **SHORT, **change}
    with pytest.raises(BadInput, match=words):
        sde.simulate_coupled(OU, START, **arguments)


def test_words_of_gaps_are_checked(levels):
    with pytest.raises(BadInput, match="sup"):
        levels.gaps.root_mean_square("mean")
    with pytest.raises(BadInput, match="drop"):
        levels.gaps.root_mean_square(nonfinite="ignore")
