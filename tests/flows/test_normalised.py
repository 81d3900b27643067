"""Normalised, sign and Polyak flows: closed forms, events, and points where g = 0."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import sympy as sp

from flows import (
    BadInput,
    NonFiniteState,
    NormalisedFlow,
    PolyakFlow,
    SignFlow,
    arrival,
    from_sympy,
    gradient_sign_change,
    polyak_step,
    sign_flow_path,
    solve,
)
from flows.problems import quadratic, wavy

LOOSE = 3e-7
START = jnp.array([3.0, 4.0])
X = sp.Symbol("x", real=True)


@pytest.mark.slow
def test_normalised_flow_arrives_in_the_time_of_its_length():
    run = solve(
        NormalisedFlow(quadratic([2.0, 2.0])), START, 0.0, 9.0, event=arrival(1e-3)
    )
    assert run.end.startswith("event")
    assert float(run.times[-1]) == pytest.approx(5 - 1e-3 / 2, abs=LOOSE)
    speed = np.linalg.norm(np.diff(run.states[:40], axis=0), axis=1)
    np.testing.assert_allclose(speed / np.diff(run.times[:40]), 1.0, atol=LOOSE)


@pytest.mark.slow
def test_it_runs_along_the_curve_of_gradient_flow():
    """x_2 = 4 (x_1/3)^3 for curvatures 1 and 3, at unit speed."""
    run = solve(NormalisedFlow(quadratic([1.0, 3.0])), START, 0.0, 4.0)
    x = np.asarray(run.states)
    np.testing.assert_allclose(x[:, 1], 4 * (x[:, 0] / 3) ** 3, atol=10 * LOOSE)
    length, _ = scipy.integrate.quad(
        lambda s: np.sqrt(1 + (4 * s**2 / 9) ** 2), float(x[-1, 0]), 3.0
    )
    assert length == pytest.approx(4.0, abs=10 * LOOSE)


@pytest.mark.slow
def test_a_small_eps_lets_it_rest_at_the_minimum():
    run = solve(NormalisedFlow(quadratic([2.0, 2.0]), 1e-2), START, 0.0, 6.0)
    assert run.end.startswith("reached")
    assert float(jnp.linalg.norm(run.states[-1])) < 1e-6


@pytest.mark.parametrize(
    "flow",
    [
        NormalisedFlow(quadratic([1.0, 2.0])),
        NormalisedFlow(quadratic([1.0, 2.0]), 0.1),
        SignFlow(quadratic([1.0, 2.0])),
        SignFlow(quadratic([1.0, 2.0]), 0.1),
        PolyakFlow(quadratic([1.0, 2.0])),
        PolyakFlow(quadratic([1.0, 2.0]), -1.0),
    ],
    ids=["normalised", "eps", "sign", "smoothed", "polyak", "polyak above f*"],
)
def test_all_of_them_rest_where_the_gradient_vanishes(flow):
    np.testing.assert_array_equal(flow.vector_field(0.0, jnp.zeros(2)), [0.0, 0.0])
    assert np.max(np.abs(flow.vector_field(0.0, START))) > 0.1  # not everywhere


def test_polyaks_loss_is_an_exponential():
    run = solve(PolyakFlow(wavy(), -2.0), jnp.array([1.2, 0.8]), 0.0, 0.5)
    gap = np.asarray(run.loss) + 2
    np.testing.assert_allclose(
        gap, gap[0] * np.exp(-np.asarray(run.times)), rtol=10 * LOOSE
    )


@pytest.mark.slow
def test_polyak_above_the_aim_ends_in_finite_time():
    """f = 1 + x²/2 aimed at 0: f = 1 is met at t = log f(0)."""
    f = from_sympy(1 + X**2 / 2, [X])
    with pytest.raises(NonFiniteState) as caught:
        solve(PolyakFlow(f), jnp.ones(1), 0.0, 2.0, max_steps=3000)
    assert caught.value.time == pytest.approx(np.log(1.5), abs=1e-4)
    run = solve(PolyakFlow(f), jnp.ones(1), 0.0, 2.0, event=arrival(1e-2))
    assert float(run.times[-1]) == pytest.approx(
        np.log(1.5 / (1 + 0.5e-4)), abs=10 * LOOSE
    )


def test_limit_eps_and_guard_of_the_polyak_field():
    f, x = quadratic([1.0, 1.0]), jnp.array([0.6, 0.8])  # f = 1/2, |g|² = 1
    for arguments, rate in (
        ((0.0,), 0.5),
        ((0.25,), 0.25),
        ((0.0, 0.2), 0.2),
        ((0.0, np.inf, 1.0), 0.25),
        ((0.0, np.inf, 0.0, 2.0), 0.0),
    ):
        field = PolyakFlow(f, *arguments).vector_field(0.0, x)
        np.testing.assert_allclose(field, -rate * x, rtol=1e-14)


def test_polyaks_step():
    f = wavy()
    x = jnp.array([1.2, 0.8])
    value, g = float(f.value(x)), np.asarray(f.gradient(x))
    assert float(polyak_step(f, x)) == pytest.approx(value / (g @ g), rel=1e-13)
    assert float(polyak_step(f, x, -1.0)) == pytest.approx(
        (value + 1) / (g @ g), rel=1e-13
    )
    assert float(polyak_step(quadratic([1.0]), jnp.zeros(1), -1.0)) == 0.0
    assert np.isfinite(jax.jit(jax.grad(lambda x: polyak_step(f, x)))(x)).all()


@pytest.mark.slow
def test_a_sign_flow_stops_where_a_sign_changes():
    """On a separable quadratic |x_i| falls at unit speed: 0 at |x_i(0)|."""
    run = solve(
        SignFlow(quadratic([1.0, 4.0])),
        jnp.array([1.0, -0.5]),
        0.0,
        3.0,
        event=gradient_sign_change(1),
    )
    assert float(run.times[-1]) == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(run.states[-1], [0.5, 0.0], atol=1e-6)


COUPLED = np.array([[2.0, 1.5, 0.0], [1.5, 2.0, 0.3], [0.0, 0.3, 1.0]])


@pytest.mark.slow
def test_the_exact_sliding_path_against_the_smoothed_flow():
    x0, ts = np.array([1.0, -0.3, 0.5]), np.linspace(0, 1.5, 16)
    path = sign_flow_path(quadratic(COUPLED), x0, 1.5)
    gaps = []
    for width in (2e-2, 1e-2):
        run = solve(
            SignFlow(quadratic(COUPLED), width),
            jnp.asarray(x0),
            0.0,
            1.5,
            solver=diffrax.Kvaerno5(),
            saveat=diffrax.SaveAt(ts=jnp.asarray(ts)),
        )
        gaps.append(np.max(np.abs(np.asarray(run.states) - path.at(ts))))
    assert gaps[1] < 0.02
    assert 1.7 < gaps[0] / gaps[1] < 2.3  # of order δ, so the limit is the path
    assert path.sliding.any()


def test_its_pieces_slide_on_zeros_of_the_gradient_and_lower_the_loss():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        m = rng.standard_normal((4, 4))
        a = m @ m.T + 0.3 * np.eye(4)
        a = (a + a.T) / 2
        path = sign_flow_path(quadratic(a), rng.standard_normal(4), 20.0)
        steps = np.diff(path.positions, axis=0) / np.diff(path.times)[:, None]
        assert np.max(np.abs(steps)) < 1 + 1e-9
        for ends in (path.positions[:-1], path.positions[1:]):
            assert np.max(np.abs((ends @ a)[path.sliding]), initial=0) < 1e-9
        # Off the slides, x' = -sign(∂f) in the middle of each piece.
        middle = (path.positions[:-1] + path.positions[1:]) @ a / 2
        free = ~path.sliding
        np.testing.assert_allclose(steps[free], -np.sign(middle)[free], atol=1e-8)
        # df/dt = -|∇f|₁: of the middle, since both are linear on a piece.
        loss = 0.5 * np.einsum("ki,ij,kj->k", path.positions, a, path.positions)
        spent = np.abs(middle).sum(axis=1) * np.diff(path.times)
        np.testing.assert_allclose(-np.diff(loss), spent, atol=1e-9)
        np.testing.assert_allclose(path.positions[-1], 0, atol=1e-9)


def test_a_separable_path_in_closed_form():
    path = sign_flow_path(quadratic([1.0, 5.0]), [1.0, -0.25], 2.0)
    ts = np.linspace(0, 2, 21)
    exact = np.stack([np.maximum(1 - ts, 0), -np.maximum(0.25 - ts, 0)], axis=1)
    np.testing.assert_allclose(path.at(ts), exact, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: sign_flow_path(wavy(), [1.0, 1.0], 1.0), "quadratic"),
        (lambda: sign_flow_path(quadratic([1.0, -1.0]), [1.0, 1.0], 1.0), "definite"),
        (lambda: sign_flow_path(quadratic([1.0]), [1.0, 1.0], 1.0), "start"),
        (lambda: sign_flow_path(quadratic([1.0]), [1.0], 0.0), "t1"),
        (lambda: NormalisedFlow(wavy(), -1.0), "eps"),
        (lambda: SignFlow(wavy(), 0.0), "smoothing"),
        (lambda: PolyakFlow(wavy(), 0.0, 0.0), "limit"),
        (lambda: PolyakFlow(wavy(), eps=-1.0), "eps"),
        (lambda: arrival(0.0), "tolerance"),
        (lambda: gradient_sign_change(-1), "coordinate"),
        (lambda: gradient_sign_change(True), "coordinate"),
    ],
)
def test_bad_input_is_refused(call, word):
    with pytest.raises(BadInput, match=word):
        call()


def test_an_event_on_a_coordinate_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="below 2"):
        flow = SignFlow(quadratic([1.0, 2.0]))
        solve(flow, jnp.ones(2), 0.0, 0.5, event=gradient_sign_change(2))
