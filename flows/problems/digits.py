"""Real data: scikit-learn's handwritten digits and a small network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_whole
from flows.errors import BadInput
from flows.objective import LossObjective, from_loss

Activation = Literal["tanh", "gelu", "identity"]
Loss = Literal["square", "cross_entropy"]


def _gelu(x: Any) -> Any:
    return jax.nn.gelu(x, approximate=False)


def _identity(x: Any) -> Any:
    return x


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": jnp.tanh,
    "gelu": _gelu,
    "identity": _identity,
}


def square_loss(outputs: Any, labels: Any) -> Any:
    """½ mean over rows of |output - one-hot label|²."""
    return 0.5 * jnp.mean(jnp.sum((outputs - labels) ** 2, axis=1))


def cross_entropy(outputs: Any, labels: Any) -> Any:
    """Mean over rows of -log softmax(output)[label]."""
    top = jnp.max(outputs, axis=1, keepdims=True)
    log_sum = jnp.log(jnp.sum(jnp.exp(outputs - top), axis=1)) + top[:, 0]
    return jnp.mean(log_sum - jnp.sum(outputs * labels, axis=1))


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "square": square_loss,
    "cross_entropy": cross_entropy,
}


@dataclass(frozen=True)
class NetworkLoss:
    """The loss of a fully connected network; two of equal fields compile once.

    Attributes:
        layers: number of weight matrices; `params` holds w1, w2, ... and, with biases,
            b1, b2, ...
        activation: between the layers; none after the last.
        loss: of the outputs.
    """

    layers: int
    activation: str
    loss: str

    def outputs(self, params: Any, inputs: Any) -> Any:
        """Outputs [N, 10] at the inputs [N, 64]."""
        x = inputs
        for k in range(1, self.layers + 1):
            x = x @ params[f"w{k}"]
            if f"b{k}" in params:
                x = x + params[f"b{k}"][None, :]
            if k < self.layers:
                x = ACTIVATIONS[self.activation](x)
        return x

    def __call__(self, params: Any, data: Any) -> Any:
        """The loss at `params`, on data (inputs, one-hot labels)."""
        inputs, labels = data
        return LOSSES[self.loss](self.outputs(params, inputs), labels)


def digits_mlp(
    *,
    hidden: int | Sequence[int] = 16,
    rows: int = 1000,
    loss: Loss = "square",
    seed: int = 0,
    activation: Activation = "tanh",
    bias: bool = True,
) -> tuple[LossObjective, dict[str, Any]]:
    """A fully connected network on scikit-learn's handwritten digits, 64-`hidden`-10.

    Weights start N(0, 1/fan_in) from `seed`, biases at 0; pixels are scaled to [0, 1].
    With the defaults there are 1,210 parameters; float64 where jax has it on.

    Args:
        hidden: width of the hidden layer, or the widths of several in order.
        rows: the first so many of the 1,797 images.
        loss: "square" (½ mean |output - one-hot|²) or "cross_entropy".
        seed: of the start.
        activation: "tanh", "gelu" (x Φ(x), by the error function) or "identity" (a
            deep linear network).
        bias: whether layers add a vector.

    Returns:
        The objective (no facts are known of it) and the start as a dict of arrays
        w1, w2, ... (and b1, b2, ...).

    Raises:
        BadInput: scikit-learn is missing, an unknown loss or activation, or sizes out
            of range.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise BadInput(
            "the digits come with scikit-learn: pip install 'flowtheory[digits]'."
        ) from None
    if loss not in LOSSES:
        raise BadInput(f"loss is one of {sorted(LOSSES)}; got {loss!r}.")
    if activation not in ACTIVATIONS:
        known = sorted(ACTIVATIONS)
        raise BadInput(f"activation is one of {known}; got {activation!r}.")
    hidden = (hidden,) if isinstance(hidden, int | np.integer) else tuple(hidden)
    require_whole("rows", rows, 1, 1797)
    for width in hidden:
        require_whole("each width", width)
    if not hidden:
        raise BadInput("hidden has at least one width; got none.")
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    widths = (64, *hidden, 10)
    dtype = jnp.asarray(0.0).dtype
    params = {}
    for k, (n, m) in enumerate(itertools.pairwise(widths), start=1):
        params[f"w{k}"] = jnp.asarray(rng.standard_normal((n, m)) / np.sqrt(n), dtype)
        if bias:
            params[f"b{k}"] = jnp.zeros(m, dtype)
    inputs = jnp.asarray(images[:rows] / 16.0, dtype)
    one_hot = jnp.asarray(np.eye(10)[labels[:rows]], dtype)
    network = NetworkLoss(len(widths) - 1, activation, loss)
    return from_loss(network, params, (inputs, one_hot)), params
