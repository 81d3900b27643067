"""What a notebook user gets wrong is refused at the door, by an error of our own."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import sympy

import discretize
import flows
from discretize import ADAM, SGD, Euler, compare, convergence, order, prove
from flows import BadInput, GradientFlow, from_loss, from_sympy, iterate, solve
from flows.central import CentralFlow, GradientDescent, complementarity
from flows.ravel import ravel_params
from proofs_check import ClaimResult, check, claim
from sde import OverdampedLangevin, simulate

X, Y = sympy.symbols("x y", real=True)
BOWL = from_sympy(X**2 / 2 + Y**2, [X, Y])
FLOW = GradientFlow(BOWL)
START = np.array([1.0, 1.0])


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the test run's check of annotations, which would refuse first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    "start",
    [np.ones(3), np.ones(1), np.ones((2, 2)), np.float64(1.0), np.array([1, 1])],
    ids=["long", "short", "matrix", "scalar", "integers"],
)
def test_a_start_of_another_shape_than_the_objective(start):
    """Entries beyond the objective's would otherwise stand still, unseen."""
    with pytest.raises(BadInput, match="vector of"):
        solve(FLOW, start, 0.0, 1.0)
    with pytest.raises(BadInput, match="vector of 2 floats"):
        iterate(Euler(), FLOW, start, h=0.1, steps=2)
    with pytest.raises(BadInput):
        process = OverdampedLangevin(BOWL, 1.0)
        simulate(process, start, t1=0.2, scheme=Euler(), h=0.1, key=0, paths=3)


def test_an_objective_looks_at_the_length_of_its_argument():
    net = from_loss(lambda p: p["a"] ** 2 + (p["b"] ** 2).sum(), _params())
    for objective, n in ((BOWL, 2), (net, 3)):
        assert objective.value(jnp.ones(n)) > 0
        for wrong in (jnp.ones(n + 1), jnp.ones(n - 1), [1.0] * n):
            with pytest.raises(BadInput, match=f"vector of {n} floats"):
                objective.value(wrong)  # pyright: ignore


def _params():
    return {"a": 1.0, "b": jnp.ones(2)}


def test_a_python_integer_is_no_parameter_that_stands_still():
    with pytest.raises(BadInput, match=r"\['a'\] is the integer 1.*1\.0"):
        ravel_params({"a": 1, "b": jnp.ones(2)})
    assert ravel_params({"a": 1.0, "flag": True, "f": jnp.tanh})[1].shape == (1,)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"solver": "tsit5"}, "solver is diffrax's"),
        ({"solver": diffrax.Tsit5}, "the class Tsit5"),
        ({"solver": diffrax.Euler()}, "estimates no error"),
        ({"saveat": np.linspace(0, 1, 3)}, "saveat is diffrax's"),
        ({"event": lambda t, y, args, **_: True}, "event is diffrax's"),
        ({"adjoint": diffrax.BacksolveAdjoint()}, "BacksolveAdjoint"),
        ({"dt0": -0.1}, "dt0 is one finite number > 0"),
        ({"dt0": float("nan")}, "dt0 is one finite number > 0"),
        ({"dt0": "a"}, "dt0 is one finite number > 0"),
        ({"stepsize_controller": diffrax.PIDController(-1.0, 1e-6)}, "tolerances"),
        ({"stepsize_controller": diffrax.PIDController(0.0, 0.0)}, "tolerances"),
    ],
)
def test_solve_refuses_what_diffrax_would_trip_over(wrong, words):
    with pytest.raises(BadInput, match=words):
        solve(FLOW, START, 0.0, 1.0, **wrong)


@pytest.mark.parametrize("model", [BOWL, GradientFlow, lambda t, y: -y, None])
def test_only_a_model_moves(model):
    with pytest.raises(BadInput, match="solve integrates a flow"):
        solve(model, START, 0.0, 1.0)
    with pytest.raises(BadInput, match="dynamics is a model"):
        iterate(Euler(), model, START, h=0.1, steps=2)


def test_a_flow_of_no_objective_or_of_another_state():
    bare = GradientFlow(lambda x: x @ x)  # pyright: ignore
    with pytest.raises(BadInput, match="takes an objective"):
        solve(bare, START, 0.0, 1.0)
    adam = flows.AdamFlow(BOWL, 0.5, 0.5, 1e-8, 0.0)  # pyright: ignore
    with pytest.raises(BadInput, match="AdamFlow has no field at a state like"):
        solve(adam, START, 0.1, 1.0)


def test_iterate_names_the_step_of_a_schedule_that_is_none():
    with pytest.raises(BadInput, match="got 0 at step 2"):
        iterate(Euler(), FLOW, START, h=np.array([0.1, 0.1, 0.0]))
    for h in ("a", None):
        with pytest.raises(BadInput, match="step size"):
            iterate(Euler(), FLOW, START, h=h, steps=2)
    for scheme in ("euler", Euler):
        with pytest.raises(BadInput, match="a scheme is one such as"):
            iterate(scheme, FLOW, START, h=0.1, steps=2)  # pyright: ignore


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": lambda p: p @ p}, "takes an objective first"),
        ({"params": FLOW}, "goes in as dynamics="),
        ({"steps": None, "t1": "a"}, "not one step"),
        ({"rtol": -1.0}, "rtol is one finite number > 0"),
        ({"clock": np.ones(2)}, "time of one step"),
        ({"clock": "a"}, "time of one step"),
    ],
)
def test_compare_refuses(change, words):
    given = {"objective": BOWL, "params": START, "steps": 2} | change
    objective, params = given.pop("objective"), given.pop("params")
    optimizer = SGD(learning_rate=0.1)
    if "clock" in given:
        optimizer, given = optax.sgd(0.1), given | {"dynamics": FLOW}
    with pytest.raises(BadInput, match=words):
        compare(objective, optimizer, params, **given)


def test_compare_counts_with_numpy_integers():
    steps: Any = np.int64(3)
    run = compare(BOWL, SGD(learning_rate=0.1), START, steps=steps, flow=False)
    np.testing.assert_allclose(run.positions[-1], [0.9**3, 0.8**3], rtol=1e-14)


def test_orders_and_proofs_name_what_they_take():
    ladder = 0.1 * 0.5 ** np.arange(4)
    pairing = SGD(learning_rate=0.1)
    with pytest.raises(BadInput, match="row of the table"):
        prove(pairing)  # pyright: ignore
    with pytest.raises(BadInput, match="row of the table"):
        convergence(pairing, BOWL, START, learning_rates=ladder, t1=1.0)  # pyright: ignore
    with pytest.raises(BadInput, match="each learning rate"):
        convergence(SGD, BOWL, START, learning_rates=[0.1, 0.0], t1=1.0)
    with pytest.raises(BadInput, match="t1 is one finite number"):
        order(FLOW, "euler", START, t1="a", hs=ladder)  # pyright: ignore
    with pytest.raises(BadInput, match="ladder"):
        order(FLOW, "euler", START, t1=1.0, hs="abc")  # pyright: ignore
    for wrong in ("0.1", [0.1], None):
        with pytest.raises(BadInput, match="learning_rate is"):
            ADAM(learning_rate=wrong)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: from_sympy(sympy.I * X, [X]), "real"),
        (lambda: from_sympy(X**2, X), "sequence"),
        (lambda: from_sympy(X * Y, [X, Y], {Y: 1.0}), "not both"),
        (lambda: from_sympy(sympy.Integral(sympy.sin(Y**Y), (Y, 0, X)), [X]), "jax"),
        (lambda: flows.latex(3), "takes a model"),
        (lambda: flows.latex(BOWL), "takes a model"),
        (lambda: flows.symbolically(3, X), "function"),  # pyright: ignore
        (lambda: flows.symbolically(lambda z: z if z > 0 else -z, X), "jnp.where"),
        (lambda: flows.ModifiedHeavyBallFlow(BOWL, 0.1, 1.5), r"momentum.*\[0, 1\)"),
        (lambda: flows.AdamFlow(BOWL, -0.5, 0.5, 1e-8, 0.0), "tau1"),
        (lambda: flows.RMSPropFlow(BOWL, float("nan"), 1e-8), "tau"),
        (lambda: check(3), "check takes a claim"),  # pyright: ignore
        (lambda: check("gradient_flow.energy", delta="a"), "delta"),  # pyright: ignore
    ],
)
def test_what_has_no_meaning_is_refused(make, words):
    with pytest.raises(BadInput, match=words):
        make()


def test_a_claim_that_returns_a_number_says_what_it_should():
    mine = claim("mine.number", source="me")(lambda ctx: 1.0)
    found = check(mine)
    assert isinstance(found, ClaimResult)
    assert found.verdict == "error"
    assert "returns float; a check returns" in found.reason


@pytest.mark.slow
def test_a_batch_of_runs_has_the_curves_of_each():
    """Against the runs one by one; what is one run's is refused with the way to it."""
    starts = jnp.array([[1.0, 1.0], [2.0, -1.0], [0.5, 3.0]])
    runs = jax.vmap(lambda y: solve(FLOW, y, 0.0, 1.0))(starts)
    single = [solve(FLOW, y, 0.0, 1.0) for y in starts]
    for curve in ("positions", "loss", "gradient_norm"):
        each = np.stack([getattr(run, curve) for run in single])
        np.testing.assert_allclose(getattr(runs, curve), each, rtol=1e-6, atol=1e-9)
    for ask in (runs.plot, runs.to_xarray, lambda: runs.state_at(0.5)):
        with pytest.raises(BadInput, match="batch of"):
            ask()
    one = jax.tree.map(lambda a: a[1], runs)
    np.testing.assert_allclose(one.state_at(0.5), single[1].state_at(0.5), rtol=1e-6)


def test_a_bare_position_is_no_state_of_a_central_flow():
    flow = CentralFlow(BOWL, GradientDescent(0.3))
    with pytest.raises(BadInput, match="that of flow"):
        complementarity(flow, 0.0, START)
    with pytest.raises(BadInput, match="takes a central flow"):
        complementarity(FLOW, 0.0, START)
    with pytest.raises(BadInput, match="one number; got shape"):
        GradientDescent(np.ones(3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: discretize.NormTaming(-1.0),
        lambda: discretize.NormTaming([1.0, 2.0]),
        lambda: discretize.CoordinateTaming(0.0),
        lambda: discretize.StateTaming(-1.0),
        lambda: discretize.StateRootTaming(np.nan),
        lambda: discretize.Polygonal(0.0),
        lambda: discretize.Polygonal(0.1, -1.0),
    ],
)
def test_a_taming_takes_numbers_in_their_range(make):
    with pytest.raises(BadInput, match=r"exponent|r is|eps"):
        make()


@pytest.mark.parametrize(
    "batches",
    [[[0, 20]], [[-1, 0]], [[0.0, 1.0]], np.zeros((3, 0), int), [0, 1]],
    ids=["beyond", "negative", "floats", "empty", "flat"],
)
def test_training_takes_rows_that_the_data_has(batches):
    data = np.linspace(0.0, 1.0, 20)
    line = from_loss(lambda p, x: jnp.mean((p * x - 1) ** 2), jnp.zeros(()), data)
    with pytest.raises(BadInput, match="batches"):
        discretize.train(line, optax.sgd(0.1), jnp.zeros(()), np.asarray(batches))
    with pytest.raises(BadInput, match="optimizer is optax's"):
        discretize.train(line, ADAM, jnp.zeros(()), np.zeros((1, 2), int))


def test_a_run_is_no_longer_than_the_noise_can_count():
    with pytest.raises(BadInput, match=r"2\*\*32"):
        process = OverdampedLangevin(BOWL, 1.0)
        simulate(process, START, t1=1e15, scheme=Euler(), h=1e-3, key=0, paths=1)
