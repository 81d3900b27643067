"""What laws of chains, strong and weak errors are asked for by mistake."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import discretize
from discretize import CircleGrid, Euler, TransitionKernel, strong_order
from discretize.chain_laws import (
    bias_constants,
    bias_ladder,
    effective_potential,
    linear_step,
    step_operators,
)
from discretize.chain_laws.bias import constants_of
from discretize.strong import StrongOrder
from flows import BadInput, PrecisionError, Scheme, Step
from flows.problems import double_well, quadratic
from sde import (
    Deterministic,
    Diffusion,
    Gaussian,
    ItoDiffusion,
    LangevinState,
    OrnsteinUhlenbeck,
    OverdampedLangevin,
    UnderdampedLangevin,
)

OU = OrnsteinUhlenbeck(1.0, 0.0, 1.0)
WELL = OverdampedLangevin(double_well(), 1.0)
KINETIC = UnderdampedLangevin(double_well(), 1.0, 1.0)
PLANE = OverdampedLangevin(quadratic([1.0, 2.0]))


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the test run's check of annotations, which would refuse first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Timed(Diffusion):
    """dX = -X (1 + a t) dt + √(2 + b t) dB."""

    a: float = 0.0
    b: float = 0.0

    def vector_field(self, t, y):
        return -y * (1 + self.a * t)

    def brownian(self, y):
        return 1

    def noise(self, t, y, dw):
        return jnp.sqrt(2.0 + self.b * t) * dw


class Fading(Scheme):
    """Euler's step with a correction of order h² that grows with time."""

    def noise_like(self, dynamics, y):
        return Euler().noise_like(dynamics, y)

    def step(self, dynamics, t, y, h, noise, carry):
        drift = dynamics.vector_field(t, y)
        moved = y + h * drift + dynamics.noise(t, y, jnp.sqrt(h) * noise)
        return Step(moved + h**2 * t * y, carry)


@pytest.mark.parametrize(
    ("scheme", "process", "what"),
    [
        (Euler(), Timed(a=100.0), "drift or the noise of Timed"),
        (Euler(), Timed(b=1.0), "drift or the noise of Timed"),
        (Fading(), Timed(), "step of Fading"),
    ],
    ids=["drift", "noise", "step"],
)
def test_what_depends_on_time_has_no_stationary_bias(scheme, process, what):
    """At t = 0 each is that of -X; so is the step that does not grow."""
    with pytest.raises(BadInput, match=f"{what}.*depends on time"):
        effective_potential(scheme, process)
    with pytest.raises(BadInput, match=r"step of .* depends on time"):
        step_operators(scheme, process)


def test_a_field_that_names_the_time_and_does_not_use_it():
    found = effective_potential(Euler(), Timed())
    assert found.power == 1
    assert found.slope == effective_potential(Euler(), OU).slope


@pytest.mark.parametrize("process", [KINETIC, PLANE], ids=["velocity", "plane"])
@pytest.mark.parametrize(
    "asked",
    [
        lambda p: effective_potential(Euler(), p),
        lambda p: step_operators(Euler(), p),
        lambda p: bias_ladder(Euler(), p, [0.1]),
        lambda p: TransitionKernel(Euler(), p, 0.1, box=(-3.0, 3.0)),
    ],
    ids=["potential", "operators", "ladder", "kernel"],
)
def test_a_state_of_more_than_one_number(asked, process):
    with pytest.raises(BadInput, match=r"shape \[1\]|cannot step"):
        asked(process)


def escape(kernel):
    return kernel.escape_rate()


@pytest.fixture(scope="module")
def kernel():
    return TransitionKernel(Euler(), OU, 0.5, box=(-6.0, 6.0))


STARTS = {
    "a law on the plane": Gaussian(jnp.zeros(2), jnp.eye(2)),
    "a law of numbers": Deterministic(jnp.asarray(0.0)),
    "a law of integers": Deterministic(jnp.zeros(1, int)),
    "a law of velocities": Deterministic(LangevinState(jnp.zeros(1), jnp.zeros(1))),
    "text": "a",
    "nothing": None,
    "not a number": np.nan,
    "outside": 7.0,
    "a vector": np.zeros(1),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("asked", ["propagate", "survival"])
def test_starts_of_a_kernel(kernel, asked, start):
    with pytest.raises(BadInput):
        getattr(kernel, asked)(start, 2)


def test_a_density_is_nowhere_negative(kernel):
    density = kernel.propagate(Gaussian(jnp.zeros(1), jnp.eye(1)), 1)
    assert kernel.survival(density, 1) == pytest.approx(1, abs=1e-3)
    for asked in (kernel.propagate, kernel.survival):
        with pytest.raises(BadInput, match="nowhere negative"):
            asked(np.where(kernel.nodes > 1, -1e-3, density), 2)


@pytest.mark.parametrize(
    "asked",
    [
        lambda k: k.expect(np.square, [1.0, 2.0]),
        lambda k: k.expect(np.square, 3),
        lambda k: k.expect(np.square, "a"),
        lambda k: k.expect(3, np.ones_like(k.nodes)),
        lambda k: k.expectations(3, 0.0, 2),
        lambda k: k.stationary(quasi=True).expect(3),
        lambda k: k.ladder(3),
        lambda k: k.ladder(escape, 0.5),
        lambda k: k.ladder(escape, (0.5, -1.0)),
        lambda k: k.widened("a"),
        lambda k: k.widened(0),
        lambda k: k.refined(None),
    ],
)
def test_questions_to_a_kernel(kernel, asked):
    with pytest.raises(BadInput):
        asked(kernel)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"box": (3.0, -3.0)}, "a < b"),
        ({"box": (np.nan, 3.0)}, "a < b"),
        ({"box": "ab"}, "box"),
        ({"box": (0.0, 1e-3)}, r"cuts off a share of 1 "),
        ({"box": (-9.0, 2.0)}, r"cuts off a share of 0\.023"),
        ({"upto": "a"}, "upto"),
        ({"upto": None}, "upto"),
        ({"upto": np.inf}, "upto"),
    ],
)
def test_boxes_and_powers_of_a_bias(change, what):
    """Beyond two deviations lies 0.0228 of a normal law."""
    with pytest.raises(BadInput, match=what):
        bias_constants(Euler(), OU, **change)


def test_a_box_with_all_of_the_law_changes_nothing():
    found, given = (bias_constants(Euler(), OU, box=b) for b in (None, (-9.0, 8.0)))
    assert given.w1.value == pytest.approx(found.w1.value, rel=1e-11)
    with pytest.raises(BadInput, match="function"):
        found.slope(3)  # pyright: ignore


def heavy(t, y):
    """With unit noise, π ∝ (1 + x²)^{-2}."""
    return -2 * y / (1 + y**2)


def positive(t, y):
    """With unit noise, π ∝ x² exp(-x²) on x > 0."""
    return 1 / y - y


def unit(t, y):
    return jnp.ones_like(y)


def test_a_box_where_no_interval_is_found():
    """Tails x^{-4} hold (4/3π) b^{-3} = 4.2e-7, and 3/4 of it by the slope at b."""
    with pytest.raises(BadInput, match=r"share of 3\.2e-07"):
        bias_constants(Euler(), ItoDiffusion(heavy, unit), box=(-100.0, 100.0))
    root = ItoDiffusion(positive, unit)
    law = constants_of(effective_potential(Euler(), root), (0.0, 8.0))
    assert law.mean(np.square) == pytest.approx(1.5, rel=1e-6)
    with pytest.raises(BadInput, match="cuts off"):
        bias_constants(Euler(), root, box=(0.5, 8.0))


ONE = ItoDiffusion(lambda t, y: -y, lambda t, y: 0.5 * y)
HS = 0.5 ** np.arange(1, 5)
RUN = {"t1": 1.0, "hs": HS, "key": 0, "paths": 2, "refine": 4}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"y0": None}, "flat vector"),
        ({"y0": 1.0}, "flat vectors"),
        ({"y0": [1.0]}, "flat vectors"),
        ({"y0": np.ones(1, int)}, "floating-point"),
        ({"y0": np.ones((1, 1))}, "one state"),
        ({"y0": "a"}, "floating-point"),
        ({"hs": "a"}, "hs"),
        ({"hs": None}, "hs"),
        ({"schemes": {}}, "empty"),
        ({"schemes": None}, "a scheme is one"),
        ({"process": PLANE}, "vector of 2"),
    ],
    ids=lambda wrong: "-".join(wrong) if isinstance(wrong, dict) else None,
)
def test_the_door_of_strong_orders(change, what):
    given = {"process": ONE, "schemes": Euler(), "y0": jnp.ones(1)} | RUN
    with pytest.raises(BadInput, match=what):
        strong_order(**{**given, **change})


def test_a_start_in_single_precision_is_taken_in_double():
    single, double = (
        strong_order(ONE, Euler(), np.ones(1, kind), **RUN) for kind in ("f4", "f8")
    )
    np.testing.assert_array_equal(single.errors, double.errors)


def test_errors_of_zero_have_no_slope():
    found = StrongOrder(HS, np.zeros((2, 4)), "end", 0.0)
    assert "no slope" in repr(found)
    assert np.isnan(found.slope)
    assert np.isnan(found.standard_error)
    assert found.interval == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("process", "y"),
    [
        (OU, "a"),
        (OU, [0.0]),
        (OU, 1.0),
        (PLANE, jnp.zeros(3)),
        (PLANE, LangevinState(jnp.zeros(2), jnp.zeros(2))),
        (UnderdampedLangevin(quadratic([1.0, 2.0]), 1.0, 1.0), jnp.zeros(2)),
    ],
    ids=["text", "list", "number", "length", "velocity", "no velocity"],
)
def test_example_states_of_a_linear_step(process, y):
    with pytest.raises(BadInput):
        linear_step(Euler(), process, 0.1, y)


def test_an_example_state_of_integers_is_one_of_zeros():
    assert linear_step(Euler(), OU, 0.1, np.ones(3, int)).matrix.shape == (3, 3)


def test_a_quadratic_in_single_precision_is_not_called_nonlinear():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(PrecisionError, match="jax_enable_x64"):
            linear_step(Euler(), PLANE, 0.1)
    finally:
        jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": None},
        {"scheme": Euler},
        {"dynamics": None},
        {"process": None},
        {"process": lambda h: None},
        {"phi": 3},
        {"phi": lambda x: "a"},
        {"x0": "a"},
        {"t1": 0.0},
        {"t1": "a"},
        {"hs": "a"},
        {"hs": [0.0]},
        {"hs": 0.1},
        {"law": None},
        {"grid": 65},
    ],
    ids=lambda wrong: "-".join(wrong) if isinstance(wrong, dict) else None,
)
def test_the_door_of_weak_errors(change):
    given = {"scheme": Euler(), "dynamics": OU, "process": lambda h: OU, "phi": np.sin}
    given |= {"x0": 0.3, "t1": 0.1, "hs": [0.1], "grid": CircleGrid(3)}
    with pytest.raises(BadInput):
        discretize.weak_errors(**{"law": discretize.normal_law(2), **given, **change})
