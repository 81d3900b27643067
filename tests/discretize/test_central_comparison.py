"""`compare` with a central flow: a valley with an exact orbit, doors, panels, disk."""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest

from discretize import (
    ADAM,
    HEAVY_BALL,
    NESTEROV,
    RMSPROP,
    SCALAR_RMSPROP,
    SGD,
    CentralComparison,
    CentralEuler,
    Comparison,
    OptaxStep,
    Outcome,
    Training,
    compare,
    compare_central,
)
from discretize.central_run import stable_side
from discretize.watched import Watched
from flows import BadInput, CentralFlow, NonFiniteState, from_loss, iterate
from flows.central import (
    GradientDescent,
    Momentum,
    RMSProp,
    ScalarRMSProp,
    cold_block,
)
from flows.problems.digits import small_digits, warm_start

RUN = sys.modules["discretize.central_run"]
SCHEME = CentralEuler(block=2)
STEPS = 400


def loss(params):
    """(20 + 1.5 z) x²/2 - 0.3 z + 0.4 z²: the sharpness rises along z."""
    x, z = params["x"], params["z"]
    return (20 + 1.5 * z) * x**2 / 2 - 0.3 * z + 0.4 * z**2


def start(x=1e-3, z=-0.5):
    return {"x": jnp.array(x), "z": jnp.array(z)}


VALLEY = from_loss(loss, start())


@pytest.fixture(autouse=True)
def lenient():
    """optax mixes integers and floats, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@functools.cache
def _descent(folder) -> Any:
    return compare_central(
        VALLEY,
        SGD(learning_rate=0.1),
        start(),
        steps=STEPS,
        scheme=SCHEME,
        stable=False,  # its solver takes long to compile
        checkpoint=folder,
    )


@pytest.fixture
def run(folder, lenient) -> Any:
    return _descent(folder)


def test_descent_in_a_valley_beside_its_flows(run: Any):
    """Exact: z rests at S = 2/η with σ² = 2·0.3/1.5, the loss's mean 4 above."""
    assert {CentralComparison, Comparison} <= set(type(run).__mro__)
    assert run.outcome is Outcome.FINISHED
    assert run.edge == 2.0
    np.testing.assert_array_equal(run.times, np.arange(STEPS + 1))
    assert run.validity.holds
    late = slice(-60, -40)  # away from where the window is cut
    np.testing.assert_allclose(run.squared_oscillation[late], 0.4, rtol=1e-2)
    np.testing.assert_allclose(run.predicted_squared_oscillation[late], 0.4, rtol=1e-9)
    np.testing.assert_allclose(run.corrected_loss[late], 4.0, rtol=1e-9)
    np.testing.assert_allclose(run.smoothed_loss[late], 4.0, rtol=1e-2)
    np.testing.assert_allclose(run.squared_gradient[late], 160.09, rtol=1e-2)
    np.testing.assert_allclose(
        run.predicted_squared_gradient[late], 400 * 0.4 + 0.09, rtol=1e-9
    )
    assert run.central_distance[-1] < 1e-2


@pytest.mark.slow
def test_the_stable_flow_climbs_on():
    """To f' = 0, at z = 3/8, where the sharpness is beyond the edge."""
    pairing = SGD(learning_rate=0.1)
    given = {"steps": STEPS, "dynamics": CentralFlow, "scheme": SCHEME}
    run: Any = compare(VALLEY, pairing, start(), **given)
    np.testing.assert_allclose(run.stable.positions[-1], [0.0, 0.375], atol=1e-6)
    np.testing.assert_allclose(run.stable_distance[-1], 0.375, atol=1e-2)
    assert run.stable.end == f"solved for all {STEPS} steps"
    assert "ratio central/stable" in repr(run)
    assert "stable flow" in run.plot_distance().get_legend_handles_labels()[1]


def test_midpoints_are_second_order(run):
    w = np.asarray(run.positions)
    np.testing.assert_allclose(run.midpoints[4], (w[4] + 2 * w[5] + w[6]) / 4)
    gap = np.asarray(run.flow.positions)[5] - run.midpoints[4]
    assert run.central_distance[4] == pytest.approx(np.linalg.norm(gap), rel=1e-12)


def test_measured_eigenvalues_are_those_of_the_hessian(run):
    steps, values = run.measured
    np.testing.assert_array_equal(steps, np.arange(0, STEPS, 4))
    for k in (0, 3, 50):
        h = np.asarray(VALLEY.hessian(jnp.asarray(run.positions[steps[k]])))
        np.testing.assert_allclose(
            values[k, :2], 0.1 * np.linalg.eigvalsh(h)[::-1], rtol=1e-10
        )


def test_what_is_on_disk_is_read_again(run, folder):
    again = _descent.__wrapped__(folder)
    np.testing.assert_array_equal(again.positions, run.positions)
    np.testing.assert_array_equal(again.corrected_loss, run.corrected_loss)
    assert {p.name for p in folder.iterdir()} == {"optimiser", "central_flow"}


def test_the_figure_shows_its_numbers(run):
    fig, numbers = run.figure()
    assert len(fig.axes) == 4
    losses = {line.get_label(): line for line in fig.axes[0].get_lines()}
    (corrected,) = (v for k, v in losses.items() if "mean that it predicts" in k)
    np.testing.assert_array_equal(corrected.get_ydata(), numbers["corrected_loss"])
    for ax in fig.axes:
        assert ax.get_xlabel() == "step $k$"
        assert ax.get_ylabel()
    assert "central flow" in numbers.caption
    assert len(numbers["central_distance"]) == STEPS - 1


def test_panels_go_into_ones_own_axes(run):
    _, axes = plt.subplots(2, 3)
    draw = [run.plot_loss, run.plot_eigenvalues, run.plot_distance]
    draw += [run.plot_oscillation, run.plot]
    for ax, plot in zip(axes.flat, draw, strict=False):
        assert plot(ax) is ax
    run.plot_oscillation(axes[1, 2], what="gradient")
    predicted = axes[1, 2].get_lines()[1].get_ydata()
    np.testing.assert_array_equal(predicted, run.predicted_squared_gradient)
    assert len(plt.get_fignums()) == 1
    with pytest.raises(BadInput, match="weights"):
        run.plot_oscillation(what="loss")


def test_the_summary_says_how_closely(run):
    text = repr(run)
    for said in ("reaches it at step", "flow to midpoint", "valid for all 400"):
        assert said in text
    assert run._repr_html_().count("<tr") > 10
    end = run.params_at(STEPS)
    assert set(end) == {"x", "z"}


def schedule(count):
    return 0.01 * (1 + 0.02 * count)


@pytest.mark.slow
@pytest.mark.parametrize(
    "pairing",
    [
        SGD(learning_rate=schedule),
        HEAVY_BALL(learning_rate=0.01, momentum=0.8),
        NESTEROV(learning_rate=0.01, momentum=0.8),
        RMSPROP(learning_rate=schedule, decay=0.9, eps=1e-3, initial_scale=0.2),
        SCALAR_RMSPROP(learning_rate=0.02, decay=0.9, eps=1e-2),
    ],
    ids=lambda p: p.row.name,
)
def test_a_row_s_rule_takes_the_optimiser_s_steps(pairing):
    """So P, with its ε in the root, is the optimiser's; another ε is seen."""
    rule = pairing.row.rule(pairing.hyper)
    x = VALLEY.ravel(start(0.3, 0.1))
    memory = rule.memory(VALLEY.gradient(x))
    block = cold_block(VALLEY, x, rule.preconditioner(0.0, memory), 2)
    step = OptaxStep(pairing.row.optimizer, pairing.hyper)
    scheme = Watched(step, rule, block, 5)
    run = iterate(scheme, Training(VALLEY), start(0.3, 0.1), h=1.0, steps=12)
    assert np.max(run.aux.misfit) < 1e-12
    x5 = run.positions[5]
    g = np.asarray(jax.vmap(VALLEY.gradient)(run.positions[:6]))
    if pairing.row is RMSPROP:
        nu = np.full(2, 0.2)
        for row in g:
            nu = 0.9 * nu + 0.1 * row**2
        p = np.sqrt(nu + 1e-3) / schedule(5)
        h = np.asarray(VALLEY.hessian(x5)) / np.sqrt(p[:, None] * p)
        expected = np.linalg.eigvalsh(h)[::-1]
        np.testing.assert_allclose(run.aux.eigenvalues[5], expected, rtol=1e-10)
    assert np.all(np.isnan(np.asarray(run.aux.eigenvalues)[1:5]))


def test_a_rule_of_another_optimiser_is_refused():
    """optax has ε inside the root by default; outside it is another optimiser."""
    optimizer = optax.rmsprop(0.02, decay=0.9, eps=1e-2, initial_scale=0.5)
    rule = RMSProp(0.02, 0.9, eps=1e-2, initial=0.5)
    with pytest.raises(BadInput, match="does not describe this optimiser: at step 0"):
        compare(VALLEY, optimizer, start(), steps=5, dynamics=CentralFlow(VALLEY, rule))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 2}, "steps .* whole number >= 3"),
        ({"steps": True}, "steps .* whole number"),
        ({"steps": None}, "steps .* whole number >= 3"),
        ({"steps": None, "t1": 1.0}, "say steps=<number>; t1 is not for it"),
        ({"clock": 0.1}, "clock is not for it"),
        ({"flow": False}, "flow is not for it"),
        ({"optimizer": ADAM(learning_rate=0.1)}, "no central flow of optax.adam"),
        ({"optimizer": optax.sgd(0.1)}, "bare optax optimiser"),
        ({"params": start(z=0.3)}, "beyond the edge.* 2.045"),
        (
            {"dynamics": CentralFlow(from_loss(loss, start()), GradientDescent(0.1))},
            "another objective",
        ),
    ],
)
def test_bad_input_is_refused_at_the_door(change, said):
    given = {
        "optimizer": SGD(learning_rate=0.1),
        "params": start(),
        "steps": 20,
        "dynamics": CentralFlow,
        "scheme": SCHEME,
        **change,
    }
    optimizer, params = given.pop("optimizer"), given.pop("params")
    with pytest.raises(BadInput, match=said):
        compare(VALLEY, optimizer, params, **given)


def test_a_scheme_is_for_central_flows():
    with pytest.raises(BadInput, match="for dynamics=CentralFlow"):
        compare(VALLEY, SGD(learning_rate=0.01), start(), steps=3, scheme=SCHEME)


@pytest.mark.slow
def test_an_optimiser_that_diverges_is_refused():
    """Far out z is thrown to where the curvature in x is negative."""
    scheme = CentralEuler(block=2, project_start=True)
    with pytest.raises(NonFiniteState, match="no longer finite after step"):
        compare(
            VALLEY,
            SGD(learning_rate=0.1),
            start(x=1e3),
            steps=30,
            dynamics=CentralFlow,
            scheme=scheme,
        )


def test_an_interrupt_keeps_the_optimiser(monkeypatch):
    real, calls = RUN.iterate, []

    def stop(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(RUN, "iterate", stop)
    run: Any = compare(
        VALLEY,
        SGD(learning_rate=0.1),
        start(),
        steps=20,
        dynamics=CentralFlow,
        scheme=SCHEME,
    )
    assert run.outcome is Outcome.INTERRUPTED
    assert run.flow is None
    assert len(run.loss) == 21
    assert "interrupted" in repr(run)
    with pytest.raises(BadInput, match="no flow was solved"):
        _ = run.central_distance
    with pytest.raises(BadInput, match="no stable flow"):
        _ = run.stable_distance


@pytest.mark.slow
def test_the_stable_flow_is_given_up_where_it_grows_too_stiff():
    """RMSProp's memory decays with the gradient: P⁻¹H grows without bound."""
    flow = CentralFlow(VALLEY, ScalarRMSProp(0.1, 0.5, initial=1.0))
    y0 = flow.start(jnp.array([0.0, 0.0]))
    p = flow.rule.preconditioner(0.0, y0.memory)
    block = cold_block(VALLEY, y0.position, p, 2)
    run = stable_side(flow.stable, y0, 60, block)
    assert "effective sharpness" in run.end
    assert "is above 100" in run.end
    assert run.aux[-1] > 100
    assert run.aux[0] == pytest.approx(20 * 0.1 / np.sqrt(0.5 + 0.5 * 0.09), rel=1e-12)
    assert run.times.size < 61


def test_an_empty_buffer_lags_behind():
    """At a constant gradient the optimiser ends where its flow does."""
    slope = from_loss(lambda x: x @ jnp.array([1.0, -2.0]), jnp.zeros(2))
    g = np.array([1.0, -2.0])
    for nesterov in (False, True):
        optimizer = optax.sgd(0.1, momentum=0.7, nesterov=nesterov)
        rule = Momentum(0.1, 0.7, "nesterov" if nesterov else "polyak")
        run = iterate(
            OptaxStep(lambda _, o=optimizer: o, None),
            Training(slope),
            jnp.zeros(2),
            h=1.0,
            steps=60,
            save="last",
        )
        flowed = (RUN._lag(rule) - 60) * 0.1 * g / (1 - 0.7)
        np.testing.assert_allclose(run.positions[-1], flowed, rtol=1e-7)


def test_the_steps_by_default_are_as_fine_as_the_edge_asks(monkeypatch):
    """Four substeps would be unstable at the edge 18 of heavy ball with β = 0.8."""

    def begun(*args, **kwargs):
        raise InterruptedError

    monkeypatch.setattr(RUN, "iterate", begun)
    pairing = HEAVY_BALL(learning_rate=0.01, momentum=0.8)
    with pytest.raises(InterruptedError):
        compare_central(VALLEY, pairing, start(), steps=20)


@pytest.mark.slow
def test_a_network_on_digits_with_scalar_rmsprop():
    """The central flow stays ten times as close as the stable one."""
    f, params = small_digits()
    params = warm_start(f, params, 1.0)
    g = f.gradient(f.ravel(params))
    pairing = SCALAR_RMSPROP(
        learning_rate=0.06, decay=0.97, eps=0.0, initial_scale=float(g @ g)
    )
    run: Any = compare(f, pairing, params, steps=150, dynamics=CentralFlow)
    assert run.validity.holds
    assert run.central_distance[-1] < 0.15 * run.stable_distance[-1]
    tops = run.eigenvalues[:, 0]
    on = np.asarray(run.central.aux.critical) > 0
    assert np.max(np.abs(tops[on][1:] - 2)) < 1e-3
    # the optimiser oscillates about the edge, and settles toward it
    steps, measured = run.measured
    assert np.median(measured[steps > 60, 0]) == pytest.approx(2.0, abs=0.15)
    n = len(run.corrected_loss)
    errors = [
        np.median(np.abs(curve[60:n] / run.smoothed_loss[60:n] - 1))
        for curve in (run.corrected_loss, run.flow_loss)
    ]
    assert errors[0] < 0.7 * errors[1]
