"""Event-split central flows against closed forms, scipy and first-order stepping."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from flows import BadInput, SolveFailed
from flows.central import (
    CentralFlow,
    GradientDescent,
    RMSProp,
    ScalarRMSProp,
    complementarity,
    solve_sections,
)
from flows.problems import quadratic, valley, wall

START = jnp.array([0.0, -0.3, 2.0])
TIMES = np.linspace(0.0, 100.0, 101)


def along_the_wall(start=START, **options):
    problem = wall()
    flow = CentralFlow(problem, GradientDescent(problem.learning_rate))
    return solve_sections(flow, flow.start(start), 0.0, 100.0, **options)


@pytest.mark.slow
def test_entry_exit_and_variance_are_those_of_the_closed_form():
    """At two tolerances, the error falling with them."""
    path = wall().central_path((-0.3, 2.0), 100.0)
    known = path.at(TIMES)
    for tolerance, bound in [(1e-7, 1e-6), (1e-10, 1e-9)]:
        controller = diffrax.PIDController(rtol=tolerance, atol=tolerance / 100)
        run = along_the_wall(stepsize_controller=controller)
        np.testing.assert_allclose(run.stats["entries"], path.entries, atol=bound)
        np.testing.assert_allclose(run.stats["exits"], path.exits, atol=bound)
        np.testing.assert_allclose(run.positions, known.position, atol=bound)
        np.testing.assert_allclose(run.aux.variance, known.variance, atol=bound)
        predicted = run.loss + run.aux.loss_correction
        np.testing.assert_allclose(predicted, known.loss, rtol=bound, atol=bound)
        np.testing.assert_array_equal(run.aux.at_edge, known.at_edge)
        assert run.aux.eigenvalues[:, 0].max() < 2 * (1 + bound)


@pytest.mark.slow
def test_without_the_sign_condition_the_wall_holds_what_should_leave():
    run = along_the_wall(clip=False)
    known = wall().central_path((-0.3, 2.0), 100.0).at(TIMES)
    assert run.stats["exits"].size == 0
    assert abs(run.positions[-1, 1]) < 1e-10
    assert known.position[-1, 1] < -0.15
    assert run.aux.variance[-1] < -0.1


@pytest.mark.slow
def test_the_edge_draws_back_what_has_drifted():
    """A start 1e-8 below the wall: kept without restoring, taken back with it."""
    start = jnp.array([0.0, -1e-8, 2.0])
    off = [along_the_wall(start, restoring=g).positions[20, 1] for g in (0.0, 1.0)]
    np.testing.assert_allclose(off[0], -1e-8, rtol=1e-3)
    assert abs(off[1]) < 1e-13


def test_bad_input():
    flow = CentralFlow(wall(), GradientDescent(0.05))
    start = flow.start(START)
    with pytest.raises(BadInput, match="beyond the edge"):
        along_the_wall(jnp.array([0.0, 0.1, 2.0]))
    with pytest.raises(BadInput, match="t1 > t0"):
        solve_sections(flow, start, 1.0, 1.0)
    with pytest.raises(BadInput, match="saved times"):
        solve_sections(flow, start, 0.0, 1.0, times=[0.5, 0.4])
    with pytest.raises(BadInput, match="restoring"):
        solve_sections(flow, start, 0.0, 1.0, restoring=-1.0)
    large = CentralFlow(quadratic(np.ones(301)), GradientDescent(0.05))
    with pytest.raises(BadInput, match="n <= 300"):
        solve_sections(large, large.start(jnp.ones(301)), 0.0, 1.0)


@pytest.mark.slow
def test_no_oscillation_holds_a_quadratic_at_the_edge():
    def warming(t):
        return 0.05 * (1 + 0.01 * t)

    flow = CentralFlow(quadratic([30.0, 1.0]), GradientDescent(warming))
    with pytest.raises(SolveFailed, match="does not lower its sharpness"):
        solve_sections(flow, flow.start(jnp.ones(2)), 0.0, 100.0)


@pytest.mark.slow
def test_scalar_rmsprop_in_a_valley():
    """Scipy on the reduced equations: (z, ν) below the edge, z alone at it."""
    eta, b = 0.05, 0.95
    s0, a, d, k = 4.0, 1.5, 0.3, 0.8
    flow = CentralFlow(valley(s0, a, d, k), ScalarRMSProp(eta, decay=b, initial=0.0144))
    start = flow.start(jnp.zeros(2))
    run = solve_sections(flow, start, 0.0, 100.0)

    def below(t, y):
        g = k * y[0] - d
        return [-eta * g / np.sqrt(y[1]), (1 - b) / b * (g**2 - y[1])]

    def reserve(t, y):
        return 2 - eta * (s0 + a * y[0]) / np.sqrt(y[1])

    reserve.terminal = True  # pyright: ignore
    tight = {"rtol": 1e-11, "atol": 1e-13, "dense_output": True}
    first = solve_ivp(
        below, (0, 100), [0.0, float(start.memory)], events=reserve, **tight
    )
    entry = first.t[-1]
    np.testing.assert_allclose(run.stats["entries"], [entry], atol=1e-8)

    def variance(z):
        s, g = s0 + a * z, k * z - d
        push = -b * g * a + (1 - b) * (s**2 / 4 - g**2 / eta**2)
        return push / (b / 2 * a**2 + (1 - b) * s**2 / eta**2)

    def at_edge(t, z):
        return -2 / (s0 + a * z) * (k * z - d + variance(z) * a / 2)

    second = solve_ivp(at_edge, (entry, 100), first.y[:1, -1], **tight)
    late = TIMES[TIMES > entry]
    z = second.sol(late)[0]
    np.testing.assert_allclose(run.positions[-late.size :, 1], z, atol=1e-8)
    np.testing.assert_allclose(run.aux.variance[-late.size :], variance(z), rtol=1e-7)
    early = TIMES[TIMES < entry]
    np.testing.assert_allclose(
        run.positions[: early.size, 1], first.sol(early)[0], atol=1e-8
    )


@pytest.mark.slow
def test_rmsprop_until_a_second_direction_is_critical():
    """Its states solve the complementarity problem; two directions are refused."""
    flow = CentralFlow(
        valley(4.0, 1.5, 0.3, 0.8), RMSProp(0.05, decay=0.95, initial=0.0144)
    )
    start = flow.start(jnp.array([1e-3, 0.0]))
    run = solve_sections(flow, start, 0.0, 70.0)
    (entry,) = run.stats["entries"]
    last = run.state_at(70.0)
    now = complementarity(flow, 70.0, last)
    assert entry < 60 and bool(run.aux.at_edge[-1])
    np.testing.assert_allclose(run.aux.eigenvalues[-1, 0], 2.0, rtol=1e-9)
    v = now.block.vectors[:, 0]
    np.testing.assert_allclose(
        now.covariance[0, 0] * v @ v, run.aux.variance[-1], rtol=1e-6
    )
    with pytest.raises(SolveFailed, match="a second direction"):
        solve_sections(flow, start, 0.0, 100.0)
