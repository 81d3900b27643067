"""Runs on disk: taken up to the same bits, refused when they are another run's."""

import contextlib
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from discretize import CentralEuler, Euler, OptaxStep, Training
from flows import (
    BadInput,
    CentralFlow,
    Checkpoint,
    GradientFlow,
    NonFiniteState,
    Scheme,
    Step,
    iterate,
)
from flows.central import GradientDescent, ScalarRMSProp
from flows.checkpoint import described
from flows.problems import double_well, quadratic
from sde import OrnsteinUhlenbeck, draw_noise

ITERATE = sys.modules["flows.iterate"]
FLOW = GradientFlow(quadratic(np.array([1.0, 3.0])))
START = jnp.array([1.0, -2.0])
STEPS = 60


class Random(Scheme):
    """A walk whose carry is a random key and a count, shown in aux."""

    def init(self, dynamics, t, y):
        return {"key": jax.random.key(3), "count": jnp.asarray(0)}

    def step(self, dynamics, t, y, h, noise, carry):
        key, now = jax.random.split(carry["key"])
        y = y + h * jax.random.normal(now, y.shape, y.dtype)
        return Step(y, {"key": key, "count": carry["count"] + 1}, (carry["count"], t))


def same(a, b):
    """Equal to the last bit, states, times and aux."""
    trees = [(r.times, r.states, r.aux) for r in (a, b)]
    assert jax.tree.structure(trees[0]) == jax.tree.structure(trees[1])
    for x, y in zip(*map(jax.tree.leaves, trees), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def stopped_at(monkeypatch, pieces):
    """An interrupt (Ctrl-C) while the piece after so many is being computed."""
    seen = []
    real = ITERATE.jax.block_until_ready

    def wait(tree):
        seen.append(1)
        if len(seen) > pieces:
            raise KeyboardInterrupt
        return real(tree)

    patched = monkeypatch.context()

    @contextlib.contextmanager
    def during():
        with patched as m:
            m.setattr(ITERATE.jax, "block_until_ready", wait)
            yield

    return during()


def run_of(case, steps=STEPS, **more):
    if case == "euler":
        return iterate(Euler(), FLOW, START, h=0.01, steps=steps, **more)
    if case == "key":
        return iterate(Random(), FLOW, START, h=0.1, steps=steps, **more)
    if case == "optax":
        # Adam's carry: a count and two moments; the state is a dict
        step = OptaxStep(optax.adam, 0.1)
        model = Training(quadratic(np.array([1.0, 3.0])))
        with jax.numpy_dtype_promotion("standard"):
            return iterate(step, model, START, h=0.1, steps=steps, **more)
    flow = CentralFlow(valley(), GradientDescent(0.1))
    y0 = flow.start(jnp.array([0.0, -0.5]))
    return iterate(CentralEuler(block=2), flow, y0, h=1.0, steps=steps, **more)


@functools.cache
def valley():
    import sympy as sp

    from flows import from_sympy

    x, z = sp.symbols("x z", real=True)
    return from_sympy((20 + 1.5 * z) * x**2 / 2 - 0.3 * z + 0.4 * z**2, [x, z])


@pytest.mark.parametrize(
    "case", ["euler", "key", "optax", pytest.param("central", marks=pytest.mark.slow)]
)
def test_an_interrupted_run_goes_on_to_the_same_bits(case, tmp_path, monkeypatch):
    whole = run_of(case, checkpoint=Checkpoint(tmp_path / "whole", 20))
    part = Checkpoint(tmp_path / "part", 20)
    with stopped_at(monkeypatch, 2):
        cut = run_of(case, checkpoint=part)
    assert cut.end == "interrupted after 40 steps"
    assert len(list((tmp_path / "part").glob("steps-*.npz"))) == 2
    again = run_of(case, checkpoint=part)
    assert again.end == f"{STEPS} steps"
    same(again, whole)
    # what has run is read, not run again
    with stopped_at(monkeypatch, 0):
        same(run_of(case, checkpoint=part), whole)
    if case != "central":  # another compilation
        plain = run_of(case)
        np.testing.assert_allclose(plain.positions, whole.positions, rtol=1e-13)


def test_an_interrupt_before_the_first_piece_is_raised(tmp_path, monkeypatch):
    with stopped_at(monkeypatch, 0), pytest.raises(KeyboardInterrupt):
        run_of("euler", checkpoint=tmp_path / "run")
    same(run_of("euler", checkpoint=tmp_path / "run"), run_of("euler"))


def test_a_longer_run_goes_on_and_a_shorter_one_is_cut(tmp_path):
    place = Checkpoint(tmp_path / "run", 25)
    run_of("euler", 50, checkpoint=place)
    longer = run_of("euler", 75, checkpoint=place)
    names = sorted(p.name for p in (tmp_path / "run").glob("steps-*.npz"))
    assert [n[6:25] for n in names] == [f"{a:09d}-{a + 25:09d}" for a in (0, 25, 50)]
    same(longer, run_of("euler", 75))
    same(run_of("euler", 30, checkpoint=place), run_of("euler", 30))


@pytest.mark.parametrize("save", ["last", pytest.param(6, marks=pytest.mark.slow)])
def test_with_few_states_kept(save, tmp_path, monkeypatch):
    place = Checkpoint(tmp_path / "run", 12)
    with stopped_at(monkeypatch, 3):
        run_of("key", save=save, checkpoint=place)
    again = run_of("key", save=save, checkpoint=place, progress=True)
    same(again, run_of("key", save=save))
    assert again.times.size == (2 if save == "last" else 11)


def test_a_run_of_which_the_last_state_is_kept_can_stop_anywhere(tmp_path):
    place = Checkpoint(tmp_path / "run", 25)
    for steps in (75, 60, 100):
        run = run_of("key", steps, save="last", checkpoint=place)
        same(run, run_of("key", steps, save="last"))


def test_noise_and_step_sizes_are_the_run_s_own(tmp_path, monkeypatch):
    model = OrnsteinUhlenbeck(1.0, jnp.zeros(2), 0.5)
    noise = draw_noise(Euler(), model, START, 7, 40)
    sizes = 0.1 / (1 + np.arange(40))

    def run(noise=noise, sizes=sizes, **more):
        return iterate(Euler(), model, START, h=sizes, noise=noise, **more)

    place = Checkpoint(tmp_path / "run", 10)
    with stopped_at(monkeypatch, 2):
        run(checkpoint=place)
    same(run(checkpoint=place), run())
    other = noise.at[25, 0].add(1.0)
    with pytest.raises(BadInput, match="noise of steps 20 to 30"):
        run(noise=other, checkpoint=place)
    with pytest.raises(BadInput, match="step sizes or noise of steps 30 to 40"):
        run(sizes=np.where(np.arange(40) == 35, 0.1, sizes), checkpoint=place)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"h": 0.02}, "h is 0.01 there and 0.02 here"),
        ({"t0": 1.0}, "t0 is 0.0 there and 1.0 here"),
        ({"y0": jnp.array([1.0, -2.5])}, r"y0 is .* there"),
        ({"save": 10}, "save is all there and 10 here"),
        ({"scheme": Random()}, "scheme is Euler there and Random here"),
        (
            {"dynamics": GradientFlow(quadratic(np.array([1.0, 3.5])))},
            r"smoothness.value is 3.0 there and 3.5 here",
        ),
    ],
)
def test_another_run_is_refused(change, said, tmp_path):
    base = {"scheme": Euler(), "dynamics": FLOW, "y0": START, "h": 0.01, "steps": 20}

    def run(scheme, dynamics, y0, **rest):
        return iterate(scheme, dynamics, y0, checkpoint=tmp_path / "run", **rest)

    run(**base)
    with pytest.raises(BadInput, match=said):
        run(**{**base, **change})
    same(run(**base), iterate(Euler(), FLOW, START, h=0.01, steps=20))


def test_a_loss_of_the_same_name_with_other_code_is_refused(tmp_path):
    from flows import from_loss

    def of(power):
        def loss(x):
            return (x @ x) ** power

        return GradientFlow(from_loss(loss, START))

    def named(code):
        scope = {}
        exec(f"def loss(x): return {code}", scope)
        return GradientFlow(from_loss(scope["loss"], START))

    iterate(Euler(), of(1), START, h=0.01, steps=5, checkpoint=tmp_path / "a")
    with pytest.raises(BadInput, match=r"loss\(power\) is 1 there and 2 here"):
        iterate(Euler(), of(2), START, h=0.01, steps=5, checkpoint=tmp_path / "a")
    iterate(Euler(), named("x @ x"), START, h=0.01, steps=5, checkpoint=tmp_path / "b")
    with pytest.raises(BadInput, match="loss at the start is 5"):
        iterate(
            Euler(),
            named("2 * (x @ x)"),
            START,
            h=0.01,
            steps=5,
            checkpoint=tmp_path / "b",
        )


def test_a_damaged_piece_is_named_and_half_written_ones_are_passed_by(tmp_path):
    place = Checkpoint(tmp_path / "run", 20)
    whole = run_of("euler", checkpoint=place)
    folder = tmp_path / "run"
    middle = folder / "steps-000000020-000000040.npz"
    content = middle.read_bytes()
    middle.write_bytes(content[:100])
    with pytest.raises(BadInput, match=r"cannot be read.*taken up at step 20"):
        run_of("euler", checkpoint=place)
    middle.unlink()
    (folder / f".{middle.name}.123").write_bytes(content[:100])
    same(run_of("euler", checkpoint=place), whole)
    (folder / "run.json").write_text("{")
    with pytest.raises(BadInput, match="no account of a run"):
        run_of("euler", checkpoint=place)
    (folder / "run.json").unlink()
    with pytest.raises(BadInput, match=r"without run\.json"):
        run_of("euler", checkpoint=place)


def test_what_has_diverged_is_not_written(tmp_path):
    flow, start = GradientFlow(double_well()), jnp.array([10.0])
    place = Checkpoint(tmp_path / "run", 2)
    with pytest.raises(NonFiniteState) as caught:
        iterate(Euler(), flow, start, h=1.0, steps=50, checkpoint=place)
    run = iterate(Euler(), flow, start, h=1.0, steps=50, checkpoint=place, throw=False)
    assert run.end.startswith("diverged")
    assert run.times.size == caught.value.step
    last = sorted((tmp_path / "run").glob("steps-*.npz"))[-1]
    with np.load(last) as file:
        assert np.all(np.isfinite(file["rows-1"]))


def test_bad_checkpoints(tmp_path):
    for wrong in (3, True, ["run"]):
        with pytest.raises(BadInput, match="path of a folder"):
            run_of("euler", checkpoint=wrong)
    with pytest.raises(BadInput, match="every is a whole number"):
        Checkpoint("run", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        run_of("euler", checkpoint=tmp_path / "file")
    with pytest.raises(BadInput, match="outside jit"):
        jax.jit(
            lambda x: (
                iterate(
                    Euler(), FLOW, x, h=0.1, steps=3, checkpoint=tmp_path / "jit"
                ).states
            )
        )(START)


def test_a_description_has_numbers_and_no_addresses():
    rule = ScalarRMSProp(optax.cosine_decay_schedule(0.1, 50), 0.9)
    flow = CentralFlow(valley(), rule)
    lines = dict(described(flow, "flow"))
    assert lines["flow.rule"] == "ScalarRMSProp"
    assert lines["flow.rule.decay"] == "0.9"
    assert lines["flow.rule.learning_rate(init_value)"] == "0.1"
    assert "1.5*z" in lines["flow.objective.expression"]
    assert not any("0x" in text for text in lines.values())
