"""Stabilised solvers: polynomials, orders, closed forms, peers, transformations."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from numpy.polynomial import chebyshev

from flows import RKC2, ROCK4, GradientFlow, NonFiniteState, solve
from flows.orthogonal import ORDER, method, table
from flows.problems import quadratic
from proofs_check import decide

SOLVERS = [RKC2, ROCK4]
WITH_STATE = diffrax.SaveAt(t1=True, solver_state=True)
SPECTRUM = np.geomspace(1.0, 1e3, 20)
TIMES = np.linspace(0.0, 2.0, 21)
EXACT = np.exp(-np.outer(TIMES, SPECTRUM))
STIFF = GradientFlow(quadratic(SPECTRUM))


def tolerance(rtol):
    return diffrax.PIDController(rtol=rtol, atol=rtol)


def run(solver, rtol=1e-5, flow=STIFF, y0=None, **more):
    y0 = jnp.ones(len(SPECTRUM)) if y0 is None else y0
    more |= {"solver": solver, "stepsize_controller": tolerance(rtol)}
    return solve(
        flow, y0, 0.0, 2.0, saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)), **more
    )


def polynomial(cls, z, reach):
    """R(z) of the method that reaches h ρ = `reach`, and its stages: one step."""
    solver = cls(spectral_radius=1.0, safety=1.0)
    term = diffrax.ODETerm(lambda t, y, a: a * y)
    h, y = jnp.asarray(reach), jnp.ones(len(z))
    rates = jnp.asarray(z) / reach

    @jax.jit
    def step(h):
        state = solver.init(term, 0.0 * h, h, y, rates)
        return solver.step(term, 0.0 * h, h, y, rates, state, False)

    y1, error, _, state, _ = step(h)
    return np.asarray(y1), np.asarray(error), int(state.stages)


@pytest.mark.parametrize("reach", [1.9, 60.0, 2000.0])
def test_rkc2_has_chebyshevs_polynomial(reach):
    """Against T_s computed by numpy's Clenshaw, inside the interval and outside."""
    z = np.concatenate([-np.linspace(0, 1, 401), [-1.3]]) * reach
    found, error, s = polynomial(RKC2, z, reach)
    w0, series = 1 + 2 / 13 / s**2, [0] * s + [1]
    first, second = (
        chebyshev.chebval(w0, chebyshev.chebder(series, k)) for k in (1, 2)
    )
    b, w1 = second / first**2, first / second
    a = 1 - b * chebyshev.chebval(w0, series)
    expected = a + b * chebyshev.chebval(w0 + w1 * z, series)
    np.testing.assert_allclose(found, expected, atol=2e-15 * s**2)
    assert np.abs(found[:-1]).max() <= 1 + 1e-12
    assert reach <= (1 + w0) / w1 <= 0.6667 * s**2
    # The estimate is Sommeijer's: 12 (y0 - y1) + 6 h (F0 + F1), over 15.
    np.testing.assert_allclose(
        error, 0.8 * (1 - found) + 0.4 * z * (1 + found), rtol=1e-9, atol=1e-11 * s**2
    )


@pytest.mark.slow
@pytest.mark.parametrize("reach", [5.0, 60.0, 2000.0])
def test_rock4_is_stable_and_damped(reach):
    z = np.concatenate([-np.linspace(0, 1, 401), [-1.3]]) * reach
    found, _, s = polynomial(ROCK4, z, reach)
    assert np.abs(found[:-1]).max() <= 1 + 1e-12
    assert np.abs(found[:-1][z[:-1] < -4]).max() <= 0.601
    assert np.abs(found[-1]) > 1  # beyond the interval
    known = table(1000)
    assert s == known.stages[np.searchsorted(known.interval, reach)]


def butcher(s):
    """A and b of the method of s stages, as dense arrays, from its recurrence."""
    one = method(s)
    size = s
    rows = [np.zeros(size), np.zeros(size)]  # stage j as weights of the slopes
    rows[1][0] = one.mu[0]
    for j in range(1, s - 4):
        k = one.kappa[j]
        new = (1 - k) * rows[-1] + k * rows[-2]
        new[j] += one.mu[j]
        rows.append(new)
    g, u, m = rows[-1], one.finish, s - 4
    e = np.eye(size)
    rows.append(g + u[0] * e[m])
    rows.append(g + u[1] * e[m] + u[2] * e[m + 1])
    rows.append(g + u[3] * e[m] + u[4] * e[m + 1] + u[5] * e[m + 2])
    return np.array(rows), g + sum(u[6 + i] * e[m + i] for i in range(4)), one


def trees(a, weights):
    c = a.sum(axis=1)
    one = np.ones_like(c)
    powers = [one, c, c**2, a @ c, c**3, c * (a @ c), a @ c**2, a @ (a @ c)]
    return np.array([weights @ p for p in powers])


@pytest.mark.parametrize("s", [5, 6, 9, 31, 150])
def test_rock4_meets_the_order_conditions(s):
    """The eight rooted trees of order four, on the Butcher tableau written out."""
    a, b, one = butcher(s)
    np.testing.assert_allclose(trees(a, b), ORDER, atol=2e-13)
    # The estimate is of order three: it vanishes on the first four trees alone.
    extended = np.vstack([np.pad(a, ((0, 0), (0, 1))), [*b, 0.0]])
    weights = np.concatenate([np.zeros(s - 4), one.error])
    found = trees(extended, weights)
    np.testing.assert_allclose(found[:4], 0, atol=1e-13)
    assert found[7] == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize("cls", [RKC2, pytest.param(ROCK4, marks=pytest.mark.slow)])
def test_it_follows_the_closed_form(cls):
    """exp(-At) x0 at condition 1000: the error falls with the tolerance."""
    errors = []
    for rtol in (1e-4, 1e-6):
        run_ = run(cls(), rtol)
        errors.append(np.abs(np.asarray(run_.positions) - EXACT).max())
        assert run_.end == "reached t = 2"
        # Tsit5 needs 1.8 λ T = 3600 gradients at any tolerance.
        assert run_.stats["evaluations"] < (1200 if cls is ROCK4 else 2500)
    assert errors[0] < 1e-3
    assert errors[1] < errors[0] / 10


@pytest.mark.slow
def test_it_goes_where_explicit_methods_do_not():
    """Condition 1e5: Tsit5 would need 1.8 λ T = 3.6e5 gradients."""
    spectrum = np.geomspace(1.0, 1e5, len(SPECTRUM))
    found = run(ROCK4(), 1e-6, GradientFlow(quadratic(spectrum)))
    error = np.abs(np.asarray(found.positions) - np.exp(-np.outer(TIMES, spectrum)))
    assert error.max() < 2e-6
    assert found.stats["evaluations"] < 1e4


def cubic(t, y, a):
    """A stiff nonlinear field that depends on time."""
    return -a * (y + 0.3 * y**3) + jnp.cos(t)


RATES = jnp.asarray([1.0, 10.0, 300.0])


def solved(solver, controller, dt0=None, y0=None, a=RATES, **more) -> Any:
    y0 = jnp.asarray([1.0, -1.0, 0.5]) if y0 is None else y0
    return diffrax.diffeqsolve(
        diffrax.ODETerm(cubic),
        solver,
        0.0,
        1.0,
        dt0,
        y0,
        args=a,
        stepsize_controller=controller,
        **more,
    )


@pytest.mark.parametrize("cls", [RKC2, pytest.param(ROCK4, marks=pytest.mark.slow)])
def test_it_agrees_with_scipy(cls):
    from scipy.integrate import solve_ivp

    rates = np.asarray(RATES)
    peer = solve_ivp(
        lambda t, y: -rates * (y + 0.3 * y**3) + np.cos(t),
        (0.0, 1.0),
        [1.0, -1.0, 0.5],
        method="Radau",
        rtol=1e-11,
        atol=1e-12,
    )
    found = solved(cls(), tolerance(1e-8))
    assert found.ys is not None
    np.testing.assert_allclose(found.ys[0], peer.y[:, -1], atol=3e-7)


def coupled(t, y, args=None):
    """A nonlinear field of three parts with forcing, for numpy and jax."""
    lib = np if isinstance(y, np.ndarray) else jnp
    x, v, w = y[0], y[1], y[2]
    parts = [
        -x + v**2,
        -2 * v + x * w + lib.sin(3 * t),
        -w - 3 * x**2 + lib.cos(2 * t),
    ]
    return lib.stack(parts)


@pytest.mark.parametrize(("cls", "order"), [(RKC2, 2), (ROCK4, 4)])
def test_its_order(cls, order):
    """Slopes of the end error under halved steps of as many stages, against scipy."""
    from scipy.integrate import solve_ivp

    y0, sizes = [1.0, -1.0, 0.5], 0.25 * 0.5 ** np.arange(7)
    peer = solve_ivp(
        coupled, (0.0, 2.0), y0, method="DOP853", rtol=1e-13, atol=1e-14
    ).y[:, -1]

    @jax.jit
    def error(h):
        solver = cls(spectral_radius=12 / h)  # h ρ = 12: one number of stages for all
        control = diffrax.ConstantStepSize()
        term = diffrax.ODETerm(coupled)
        found: Any = diffrax.diffeqsolve(
            term, solver, 0.0, 2.0, h, jnp.asarray(y0), stepsize_controller=control
        )
        return jnp.linalg.norm(found.ys[0] - peer)

    errors = np.array([float(error(jnp.asarray(h))) for h in sizes])
    assert decide.order(order, sizes, errors, floor=1e-13).verdict == "holds"
    assert decide.order(order + 1, sizes, errors, floor=1e-13).verdict == "refuted"


# Transformations.


def test_one_trace_for_new_values():
    traces = []

    def field(t, y, a):
        traces.append(1)
        return -a * y

    @jax.jit
    def end(rtol, radius, a):
        found: Any = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            ROCK4(spectral_radius=radius),
            0.0,
            1.0,
            None,
            jnp.ones(3),
            args=a,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
        )
        return found.ys[0]

    first = end(jnp.asarray(1e-4), jnp.asarray(300.0), RATES)
    count = len(traces)
    second = end(jnp.asarray(1e-7), jnp.asarray(600.0), 2 * RATES)
    assert len(traces) == count
    np.testing.assert_allclose(first, np.exp(-RATES), atol=1e-4)
    np.testing.assert_allclose(second, np.exp(-2 * RATES), atol=1e-7)
    # So too for numbers given to the solver: they are data.
    leaves = jax.tree.leaves(RKC2(spectral_radius=3.0))
    assert [float(a) for a in leaves] == [3.0]


@pytest.mark.slow
def test_each_lane_of_vmap_has_its_own_stages():
    rates = jnp.stack([RATES, 30 * RATES])

    def one(a):
        found = solved(
            ROCK4(),
            tolerance(1e-6),
            a=a,
            saveat=WITH_STATE,
        )
        return found.ys[0], found.solver_state.stages, found.solver_state.evaluations

    lanes = jax.jit(jax.vmap(one))(rates)
    alone = [jax.jit(one)(a) for a in rates]
    for i in range(2):
        np.testing.assert_allclose(lanes[0][i], alone[i][0], rtol=1e-10, atol=1e-13)
        assert int(lanes[2][i]) == int(alone[i][2])
    assert int(lanes[1][1]) > int(lanes[1][0])


@pytest.mark.slow
@pytest.mark.parametrize("cls", SOLVERS)
def test_derivatives(cls):
    """Of exp(-a) in a: forward mode, reverse mode with bounded stages, refusal else."""

    def end(a, solver, adjoint):
        found: Any = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, a: -a * y),
            solver,
            0.0,
            1.0,
            None,
            jnp.ones(2),
            args=a * jnp.asarray([1.0, 40.0]),
            stepsize_controller=tolerance(1e-8),
            adjoint=adjoint,
        )
        return found.ys[0, 0]

    a, exact = jnp.asarray(1.0), -np.exp(-1.0)
    bounded = cls(reverse=True, max_stages=30)
    checkpointing, ahead = diffrax.RecursiveCheckpointAdjoint(), diffrax.ForwardMode()
    forward = jax.jvp(lambda a: end(a, cls(), ahead), (a,), (jnp.ones_like(a),))[1]
    reverse = jax.grad(lambda a: end(a, bounded, checkpointing))(a)
    allowed = 2e-6 if cls is ROCK4 else 1e-4
    assert float(forward) == pytest.approx(exact, abs=allowed)
    assert float(reverse) == pytest.approx(float(forward), rel=1e-8)
    with pytest.raises(ValueError, match="Reverse-mode"):
        jax.grad(lambda a: end(a, cls(), checkpointing))(a)


def test_evaluations_are_counted():
    calls = []

    def field(t, y, a):
        jax.debug.callback(lambda: calls.append(1))
        return -a * y

    found: Any = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        ROCK4(),
        0.0,
        0.5,
        1e-3,
        jnp.ones(3),
        args=RATES,
        stepsize_controller=tolerance(1e-4),
        saveat=WITH_STATE,
    )
    jax.effects_barrier()
    assert int(found.stats["num_rejected_steps"]) == 0
    assert len(calls) == int(found.solver_state.evaluations)


@pytest.mark.slow
def test_float32_and_pytrees():
    y0 = {"a": jnp.ones(2, jnp.float32), "b": jnp.ones((), jnp.float32)}
    rates = {"a": jnp.asarray([1.0, 500.0], jnp.float32), "b": jnp.float32(2.0)}
    found: Any = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, a: jax.tree.map(lambda p, q: -p * q, a, y)),
        ROCK4(),
        jnp.float32(0.0),
        jnp.float32(1.0),
        None,
        y0,
        args=rates,
        stepsize_controller=diffrax.PIDController(
            rtol=jnp.float32(1e-4), atol=jnp.float32(1e-5)
        ),
    )
    ys = jax.tree.map(lambda y: y[0], found.ys)
    assert {leaf.dtype for leaf in jax.tree.leaves(ys)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(ys["a"], np.exp([-1.0, -500.0]), atol=3e-5)
    assert float(ys["b"]) == pytest.approx(np.exp(-2.0), abs=3e-5)


# Through flows.solve.


@pytest.mark.slow
def test_events_and_segments():
    newton = optimistix.Newton(1e-8, 1e-8)
    event = diffrax.Event(lambda t, y, args, **_: y[0] - 0.5, newton)
    found = run(ROCK4(), event=event)
    assert float(found.times[-1]) == pytest.approx(np.log(2), abs=1e-4)
    whole, parts = run(ROCK4()), run(ROCK4(), progress=True)
    np.testing.assert_allclose(parts.positions, whole.positions, atol=1e-5)
    assert parts.stats["evaluations"] >= whole.stats["evaluations"] / 2


@pytest.mark.slow
def test_given_radii():
    """A number or a function; one too small is unstable, and the estimate sees it."""
    for radius in (1e3, lambda t, y: 1e3 + 0 * t):
        found = run(ROCK4(spectral_radius=radius))
        assert np.abs(np.asarray(found.positions) - EXACT).max() < 1e-4
        assert found.stats["power_iterations"] == 0
    low = run(ROCK4(spectral_radius=100.0))
    assert low.stats["num_rejected_steps"] > 30
    assert np.abs(np.asarray(low.positions) - EXACT).max() < 1e-4


@pytest.mark.slow
def test_too_long_a_step_is_rejected():
    found = run(ROCK4(max_stages=8))
    assert found.stats["num_rejected_steps"] > 5
    assert np.abs(np.asarray(found.positions) - EXACT).max() < 1e-4
    with pytest.raises(NonFiniteState):
        solve(
            STIFF,
            jnp.ones(len(SPECTRUM)),
            0.0,
            2.0,
            dt0=1.0,
            solver=ROCK4(max_stages=8),
            stepsize_controller=diffrax.ConstantStepSize(),
        )
