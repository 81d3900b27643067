"""What several tests share: small problems, a counter of traces, orders by halving."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows import Flow, Objective, from_loss

EPS = float(np.finfo(np.float64).eps)
WAVY_START = (1.2, 0.8)


def tanh_net(params: Any, inputs: Any) -> Any:
    """Inputs [N, 2] to outputs [N]."""
    hidden = jnp.tanh(inputs @ params["w"] + params["b"][None, :])
    return hidden @ params["out"]


def tanh_loss(params: Any, data: Any) -> Any:
    """½ mean of squared residuals."""
    inputs, targets = data
    return 0.5 * jnp.mean((tanh_net(params, inputs) - targets) ** 2)


def small_net(
    hidden: int = 5, rows: int = 12, dtype: Any = jnp.float64, seed: int = 0
) -> tuple[Objective, dict[str, Any]]:
    """A tanh network with 2 inputs, and its start (4 `hidden` parameters)."""
    rng = np.random.default_rng(seed)
    params = {
        "w": rng.standard_normal((2, hidden)) / np.sqrt(2),
        "b": 0.1 * rng.standard_normal(hidden),
        "out": rng.standard_normal(hidden) / np.sqrt(hidden),
    }
    params = {k: jnp.asarray(v, dtype) for k, v in params.items()}
    inputs = rng.standard_normal((rows, 2))
    targets = np.sin(inputs[:, 0]) + 0.3 * inputs[:, 1]
    data = (jnp.asarray(inputs, dtype), jnp.asarray(targets, dtype))
    return from_loss(tanh_loss, params, data), params


class Counted(Flow):
    """x' = -rate x + drive(t), which counts how often jax traces its field."""

    traces: ClassVar[list[int]] = [0]
    rate: Any
    level: Any = 0.0

    def vector_field(self, t, y):
        self.traces[0] += 1
        return -self.rate * y + self.level * jnp.cos(t)


class Blowup(Flow):
    """x' = x², which leaves the finite numbers at t = 1/x(0)."""

    def vector_field(self, t, y):
        del t
        return y**2


class ModuleNet(eqx.Module):
    """An equinox module with a static leaf (its activation)."""

    weight: jax.Array
    bias: jax.Array
    activation: Any = jnp.tanh

    def __call__(self, x: Any) -> Any:
        return self.activation(x @ self.weight + self.bias)


def halving_slopes(errors: Any) -> np.ndarray:
    """log₂ of the ratios of neighbouring errors, the step being halved each time."""
    errors = np.asarray(errors, float)
    return np.log2(errors[:-1] / errors[1:])


def relative_gap(a: Any, b: Any) -> float:
    """max |a - b| over max |b|, over all leaves of two trees of one structure."""
    leaves_a, def_a = jax.tree.flatten(eqx.filter(a, eqx.is_array))
    leaves_b, def_b = jax.tree.flatten(eqx.filter(b, eqx.is_array))
    assert def_a == def_b
    gap = max(
        float(np.max(np.abs(np.asarray(x) - np.asarray(y))))
        for x, y in zip(leaves_a, leaves_b, strict=True)
    )
    return gap / max(float(np.max(np.abs(np.asarray(y)))) for y in leaves_b)


@eqx.filter_jit
def field(flow: Any, y: Any) -> Any:
    """The field at time 0."""
    return flow.vector_field(0.0, y)


def scipy_end(flow: Any, start: Any, t1: float) -> np.ndarray:
    """The state of an autonomous flow at t1, by scipy's DOP853 at tolerance 1e-11."""
    import scipy.integrate

    found = scipy.integrate.solve_ivp(
        lambda t, y: np.asarray(field(flow, jnp.asarray(y))),
        (0.0, t1),
        start,
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    return found.y[:, -1]
