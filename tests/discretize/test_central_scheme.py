"""Explicit Euler for central flows: pinning, entry, exit, compilation, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

from discretize import CentralEuler, OptaxStep, Training
from flows import BadInput, CentralFlow, GradientFlow, from_sympy, iterate
from flows.central import GradientDescent, Momentum, RMSProp, ScalarRMSProp

W, X, Y, Z = sp.symbols("w x y z", real=True)


def warmup(t):
    return 0.1 * (1 + 0.002 * t)


@pytest.fixture(scope="module")
def valley():
    """s(z) x²/2 + f(z): sharpness s = 20 + 1.5 z, a slope that raises it."""
    return from_sympy((20 + 1.5 * Z) * X**2 / 2 - 0.3 * Z + 0.4 * Z**2, [X, Z])


@pytest.fixture(scope="module")
def two_valleys():
    """Two directions that reach the edge 2/η = 20 one after the other."""
    f = (
        (19 + 1.5 * Z) * X**2 / 2
        + (18.5 + 1.5 * W) * Y**2 / 2
        - 0.4 * (Z + W)
        + 0.05 * (Z**2 + W**2)
    )
    return from_sympy(f, [X, Y, Z, W])


def run_of(objective, rule, start, steps, **scheme):
    flow = CentralFlow(objective, rule)
    y0 = flow.start(jnp.array(start))
    return iterate(CentralEuler(**scheme), flow, y0, h=1.0, steps=steps)


@pytest.mark.slow
def test_the_sharpness_stays_at_the_edge_and_the_flow_at_the_exact_orbit(valley):
    run = run_of(valley, GradientDescent(0.1), [0.0, -0.5], 60)
    tops = np.asarray(run.aux.eigenvalues)[:, 0]
    entered = int(np.argmax(np.asarray(run.aux.trace) > 1e-9))
    assert 0 < entered < 40 and np.all(tops[:entered] < 2)
    # the eigenvector does not turn here, and the gap is linear in z: exact pinning
    np.testing.assert_allclose(tops[entered + 1 :], 2.0, atol=1e-12)
    np.testing.assert_allclose(run.aux.trace[-1], 0.4, rtol=1e-10)  # 2α/a
    np.testing.assert_allclose(run.aux.loss_correction[-1], 0.4 / 0.1, rtol=1e-10)
    gradients = (2 / 0.1) ** 2 * 0.4
    np.testing.assert_allclose(run.aux.gradient_correction[-1], gradients, rtol=1e-10)


@pytest.mark.slow
def test_a_schedule_moves_the_edge(valley):
    """Under η(t) the flow follows S = 2/η(t), and σ² feels how fast η moves."""
    start = [0.0, 0.0]
    run = run_of(valley, GradientDescent(warmup), start, 40, substeps=16)
    t = np.asarray(run.times)
    z = np.asarray(run.positions)[:, 1]
    s = 20 + 1.5 * z
    np.testing.assert_allclose(s * warmup(t), 2.0, atol=1e-10)
    # z' = (2/η)'/1.5 = -η (f' + σ²/2 · 1.5)
    eta, rate = warmup(t + 0.5), 0.1 * 0.002
    drift = -2 * rate / eta**2 / 1.5
    z_mid = (2 / eta - 20) / 1.5
    variance = -2 / 1.5 * (drift / eta + (-0.3 + 0.8 * z_mid))
    np.testing.assert_allclose(run.aux.trace, variance[:-1], rtol=2e-3)


@pytest.mark.slow
def test_two_directions_at_the_edge(two_valleys):
    run = run_of(two_valleys, GradientDescent(0.1), [0.0, 0.0, 0.0, 0.0], 200)
    critical = np.asarray(run.aux.critical)
    assert critical[0] == 0 and critical.max() == 2
    tops = np.asarray(run.aux.eigenvalues)[:, :2]
    assert np.max(tops) < 2 + 1e-3
    assert np.all(np.diff(np.asarray(run.loss)) <= 1e-15)
    x = np.asarray(run.aux.covariance)
    assert np.min(np.linalg.eigvalsh(x)) > -1e-12
    assert np.max(run.aux.complementarity) < 1e-9


@pytest.mark.slow
def test_a_change_of_the_number_of_directions_compiles_nothing(two_valleys):
    traces = []

    class Counted(GradientDescent):
        def preconditioner(self, t, memory):
            traces.append(t)
            return super().preconditioner(t, memory)

    def run(eta):
        return run_of(two_valleys, Counted(eta), [0.0, 0.0, 0.0, 0.0], 40, block=4)

    assert np.max(run(0.1).aux.critical) == 2
    inside = [t for t in traces if not isinstance(t, float)]
    del traces[:]
    assert np.max(run(0.09).aux.critical) == 0
    again = [t for t in traces if not isinstance(t, float)]
    assert len(again) < len(inside)


@pytest.mark.slow
def test_gradient_descent_averages_to_the_central_flow(valley):
    """The oscillation of GD around the flow has the predicted variance."""
    import optax

    flow = run_of(valley, GradientDescent(0.1), [0.0, -0.5], 400)
    run = iterate(
        OptaxStep(optax.sgd, 0.1),
        Training(valley),
        jnp.array([1e-3, -0.5]),
        h=0.1,
        steps=400,
    )
    late = np.asarray(run.positions)[-50:]
    np.testing.assert_allclose(np.mean(late[:, 0] ** 2), flow.aux.trace[-1], rtol=1e-3)
    np.testing.assert_allclose(np.mean(late[:, 1]), flow.positions[-1][1], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("ablated", [False, True])
def test_adaptive_rules_are_held_at_the_edge(valley, ablated):
    for rule in (
        ScalarRMSProp(0.05, 0.95, initial=0.3),
        RMSProp(0.05, 0.95, initial=0.3, eps=1e-3),
    ):
        flow = CentralFlow(valley, rule, ablated=ablated)
        y0 = flow.start(jnp.array([0.0, 0.2]))
        run = iterate(CentralEuler(block=2), flow, y0, h=1.0, steps=150)
        tops = np.asarray(run.aux.eigenvalues)[:, 0]
        assert tops[0] < 1.95
        assert np.max(run.aux.trace) > 1e-6
        on = np.asarray(run.aux.trace) > 1e-9
        # one Euler step of 1/4 at relative rates κ = .05: errors of (κ/4)²
        np.testing.assert_allclose(tops[1:][on[:-1]], 2.0, atol=1e-3)


@pytest.mark.slow
def test_a_start_beyond_the_edge_is_refused_or_projected(valley):
    with pytest.raises(BadInput, match="beyond the edge"):
        run_of(valley, GradientDescent(0.1), [0.0, 0.3], 5)
    run = run_of(valley, GradientDescent(0.1), [0.0, 0.3], 5, project_start=True)
    # thrown back onto S = 20, that is z = 0, within the first substep
    np.testing.assert_allclose(run.positions[1][1], 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CentralEuler(block=0), "block"),
        (lambda: CentralEuler(substeps=0), "substeps"),
        (lambda: CentralEuler(margin=0.0), "margin"),
    ],
)
def test_bad_settings_are_refused(make, said):
    with pytest.raises(BadInput, match=said):
        make()


def test_substeps_that_are_unstable_at_the_edge_are_refused(valley):
    rule = Momentum(0.01, 0.9)  # c = 38
    with pytest.raises(BadInput, match="substeps=38"):
        run_of(valley, rule, [0.0, -0.5], 2)


def test_another_model_is_refused(valley):
    flow = GradientFlow(valley)
    with pytest.raises(BadInput, match="CentralFlow"):
        iterate(CentralEuler(), flow, jnp.zeros(2), h=1.0, steps=2)
