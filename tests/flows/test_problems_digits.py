"""Digits networks that meet the edge of stability, and their warm start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from sklearn.datasets import load_digits

from flows import BadInput
from flows.problems import digits_mlp, gelu_digits, small_digits, warm_start


def test_the_benchmarks_have_their_sizes():
    objective, params = gelu_digits()
    assert objective.ravel(params).size == 1930
    assert {k: v.shape for k, v in params.items() if k[0] == "w"} == {
        "w1": (64, 20), "w2": (20, 20), "w3": (20, 10)
    }  # fmt: skip
    objective, params = small_digits()
    assert objective.ravel(params).size == 627
    weak = small_digits(gain=0.35)[1]
    for name in params:
        np.testing.assert_allclose(weak[name], params[name] / 2, rtol=1e-14)


def test_the_small_loss_is_that_of_a_network_written_in_numpy():
    images, labels = load_digits(return_X_y=True)
    rows = np.isin(labels, (0, 1, 2))
    x, y = images[rows][:200] / 16, labels[rows][:200]
    x = x[:, x.std(axis=0) > 0.05]
    x = x - x.mean(axis=0)
    x /= np.sqrt((x**2).mean())
    targets = np.eye(3)[y]
    targets -= targets.mean(axis=0)
    rng = np.random.default_rng(0)
    w1 = 0.7 * rng.standard_normal((48, 12)) / np.sqrt(48)
    w2 = 0.7 * rng.standard_normal((12, 3)) / np.sqrt(12)
    expected = 0.5 * np.mean(np.sum((np.tanh(x @ w1) @ w2 - targets) ** 2, axis=1))
    objective, params = small_digits()
    found = float(objective.value(objective.ravel(params)))
    assert found == pytest.approx(expected, rel=1e-13)
    raw, start = digits_mlp(hidden=12, rows=200, classes=(0, 1, 2))
    assert float(raw.value(raw.ravel(start))) != pytest.approx(expected, rel=1e-2)


def test_a_warm_start_is_gradient_flow_up_to_eulers_error():
    objective, params = small_digits(gain=0.3)
    gradient = jax.jit(lambda x: objective.gradient(x))
    x = np.asarray(objective.ravel(params))
    flow = scipy.integrate.solve_ivp(
        lambda t, w: -np.asarray(gradient(jnp.asarray(w))),
        (0.0, 0.5),
        x,
        rtol=1e-9,
        atol=1e-11,
    ).y[:, -1]
    found = np.asarray(objective.ravel(warm_start(objective, params, 0.5)))
    coarse = x
    for _ in range(25):
        coarse = coarse - 0.02 * np.asarray(gradient(jnp.asarray(coarse)))
    gone = np.linalg.norm(flow - x)
    error = np.linalg.norm(found - flow)
    assert 1e-6 * gone < error < 0.02 * gone
    # first order: half the step, half the error
    assert error == pytest.approx(np.linalg.norm(coarse - flow) / 2, rel=0.1)


@pytest.mark.parametrize("time", [0.0, -1.0, np.nan, 0.001])
def test_a_warm_start_of_no_step_is_refused(time):
    with pytest.raises(BadInput, match=r"0\.01 or more"):
        warm_start(*small_digits(), time)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": (1, 1)}, "different digits"),
        ({"classes": (10,)}, "different digits"),
        ({"classes": (0, 1), "rows": 400}, "rows"),
        ({"min_std": 2.0}, "no pixel varies"),
        ({"gain": -1.0}, "gain"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        digits_mlp(**options)
