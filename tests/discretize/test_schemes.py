"""Each scheme against another route: by hand, by diffrax, by scipy, by optax."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from pendulum import Pendulum, pendulum_start

from discretize import (
    Euler,
    ImplicitEuler,
    RungeKutta,
    SemiImplicitEuler,
    Splitting,
    as_diffrax_solver,
    lie,
    order,
    strang,
)
from flows import (
    BadInput,
    Flow,
    GradientFlow,
    NonFiniteState,
    iterate,
    solve,
)
from flows.problems import quadratic, wavy
from sde import (
    LangevinState,
    OrnsteinUhlenbeck,
    OverdampedLangevin,
    draw_noise,
)

START = jnp.array([1.2, 0.8])
LADDER = 0.1 * 0.5 ** np.arange(6)

# -- orders ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "p"),
    [
        (SemiImplicitEuler(("velocity", "position")), 1),
        (lie("A", "B"), 1),
        (strang("A", "B"), 2),
        (Splitting("A 1/2, B, A 1/2", inner=Euler()), 2),
        (RungeKutta(diffrax.Bosh3()), 3),
    ],
    ids=str,
)
def test_orders_on_the_pendulum(scheme, p):
    found = order(Pendulum(), scheme, pendulum_start(), t1=1.0, hs=LADDER)
    low, high = found.interval
    assert found.asymptotic and low <= p <= high
    assert high - low < 0.2  # narrow enough to refute p ± 1/2


@pytest.mark.slow
def test_a_word_with_unequal_halves_has_order_one():
    """Negative control of Strang: A 1/3, B, A 2/3."""
    scheme = Splitting("A 1/3, B, A 2/3")
    found = order(Pendulum(), scheme, pendulum_start(), t1=1.0, hs=LADDER)
    assert found.interval[1] < 1.5


# -- Euler ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "solver"),
    [
        (Euler(), diffrax.Euler()),
        (RungeKutta(diffrax.Euler()), diffrax.Euler()),
        (RungeKutta(diffrax.Heun()), diffrax.Heun()),
        pytest.param(
            RungeKutta(diffrax.Tsit5()), diffrax.Tsit5(), marks=pytest.mark.slow
        ),
    ],
)
def test_explicit_schemes_are_diffraxs(scheme, solver):
    """The same tableau with constant steps: equal up to rounding."""
    flow = GradientFlow(wavy())
    run = iterate(scheme, flow, START, h=0.05, steps=20)
    other = solve(
        flow,
        START,
        0.0,
        1.0,
        dt0=0.05,
        solver=solver,
        stepsize_controller=diffrax.ConstantStepSize(),
        saveat=diffrax.SaveAt(t1=True),
    )
    np.testing.assert_allclose(run.positions[-1], other.positions[-1], rtol=1e-13)


def test_an_implicit_runge_kutta_method_takes_diffraxs_step():
    flow = GradientFlow(quadratic(np.array([1.0, 300.0])))
    scheme = RungeKutta(diffrax.Kvaerno3())
    run = iterate(scheme, flow, START, h=0.1, steps=10)
    # stiff: explicit methods of three stages blow up beyond hλ = 2.5
    assert abs(float(run.positions[-1, 1])) < 1e-8
    assert float(run.positions[-1, 0]) == pytest.approx(1.2 * np.exp(-1), rel=1e-4)


def test_euler_maruyama_by_hand():
    process = OrnsteinUhlenbeck(2.0, 1.0, 0.5)
    y, h = jnp.array([0.3, -0.2]), 0.1
    xi = draw_noise(Euler(), process, y, 7, 4)
    run = iterate(Euler(), process, y, h=h, steps=4, noise=xi)
    x = np.asarray(y)
    for k in range(4):
        x = x - h * 2.0 * (x - 1.0) + np.sqrt(2 * 0.5 * h) * np.asarray(xi)[k]
        np.testing.assert_allclose(run.states[k + 1], x, rtol=1e-14)


def test_semi_implicit_euler_by_hand():
    """Velocity first, position with the new velocity; and the other way round."""
    y, h = pendulum_start(), 0.1
    x, v = float(y.position[0]), float(y.velocity[0])
    new = v - h * np.sin(x)
    out = SemiImplicitEuler().step(Pendulum(), 0.0, y, h, None, None).y
    np.testing.assert_allclose([*out.velocity, *out.position], [new, x + h * new])
    turned = SemiImplicitEuler(("position", "velocity"))
    out = turned.step(Pendulum(), 0.0, y, h, None, None).y
    first = x + h * v
    np.testing.assert_allclose(
        [*out.position, *out.velocity], [first, v - h * np.sin(first)]
    )


def test_semi_implicit_euler_keeps_the_oscillators_energy_bounded():
    """x²+v² stays within 1/(1 ± h/2) factors; explicit Euler's grows by (1 + h²)ᵏ."""

    class Oscillator(Flow):
        def vector_field(self, t, y):
            return LangevinState(y.velocity, -y.position)

    y = LangevinState(jnp.array([1.0]), jnp.array([0.0]))
    h, steps = 0.1, 2000

    def energies(scheme):
        states = iterate(scheme, Oscillator(), y, h=h, steps=steps).states
        return np.asarray(states.position**2 + states.velocity**2)

    kept = energies(SemiImplicitEuler())
    # x² + v² - h x v is conserved, and |x v| <= (x² + v²)/2
    assert (
        kept.max() <= (1 + h / 2) / (1 - h / 2)
        and kept.min() >= 1 / (1 + h / 2) - 1e-12
    )
    assert energies(Euler())[-1, 0] == pytest.approx((1 + h**2) ** steps, rel=1e-10)


def test_implicit_euler_on_a_quadratic_and_against_scipy():
    spectrum = np.array([1.0, 50.0])
    run = iterate(
        ImplicitEuler(), GradientFlow(quadratic(spectrum)), START, h=1.0, steps=3
    )
    np.testing.assert_allclose(
        run.positions[-1], np.asarray(START) / (1 + spectrum) ** 3, rtol=1e-10
    )
    flow = GradientFlow(wavy())
    out = ImplicitEuler().step(flow, 0.0, START, 0.3, None, None)

    def residual(z):
        return z - START - 0.3 * flow.vector_field(0.0, jnp.asarray(z))

    other = scipy.optimize.fsolve(residual, np.asarray(START), xtol=1e-13)
    np.testing.assert_allclose(out.y, other, rtol=1e-10)
    assert int(out.aux["newton_steps"]) >= 1


def test_an_implicit_step_that_is_not_solved_is_reported():
    class Walled(Flow):
        """y₁ = y + h (1 + y₁²) has no real root for 4 h (y + h) > 1."""

        def vector_field(self, t, y):
            return 1 + y**2

    with pytest.raises(NonFiniteState, match="after step 1"):
        iterate(ImplicitEuler(), Walled(), jnp.array([1.0]), h=5.0, steps=3)


@pytest.mark.parametrize(
    ("scheme", "word"),
    [
        (SemiImplicitEuler(), "one vector"),
        (ImplicitEuler(), "deterministic"),
        (RungeKutta(diffrax.Heun()), "deterministic"),
    ],
)
def test_schemes_refuse_what_they_cannot_step(scheme, word):
    flow = OverdampedLangevin(wavy())
    if word == "one vector":
        flow = GradientFlow(wavy())
    with pytest.raises(BadInput, match=word):
        scheme.step(flow, 0.0, START, 0.1, None, None)
    with pytest.raises(BadInput, match="no ordering"):
        SemiImplicitEuler(("velocity",)).step(
            Pendulum(), 0.0, pendulum_start(), 0.1, None, None
        )


# -- diffrax's protocol -------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme",
    [strang("A", "B"), SemiImplicitEuler(), RungeKutta(diffrax.Midpoint())],
    ids=["strang", "semi-implicit", "midpoint"],
)
def test_a_scheme_as_a_diffrax_solver_takes_the_same_steps(scheme):
    y = pendulum_start()
    run = iterate(scheme, Pendulum(), y, h=0.125, steps=8)
    other = solve(
        Pendulum(),
        y,
        0.0,
        1.0,
        dt0=0.125,
        solver=as_diffrax_solver(scheme),
        stepsize_controller=diffrax.ConstantStepSize(),
        saveat=diffrax.SaveAt(steps=True),
        max_steps=8,
    )
    for a, b in zip(run.states, other.states, strict=True):
        np.testing.assert_allclose(a[1:], b, rtol=1e-14)


def test_the_adapter_refuses_noise():
    flow = OverdampedLangevin(wavy())
    with pytest.raises(BadInput, match="draw noise"):
        diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: args.vector_field(t, y)),
            as_diffrax_solver(Euler()),
            0.0,
            1.0,
            0.1,
            START,
            args=flow,
        )
