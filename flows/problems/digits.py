"""Real data: scikit-learn's handwritten digits and a small tanh network."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from flows.errors import BadInput
from flows.objective import LossObjective, from_loss


def mlp(params: Any, inputs: Any) -> Any:
    """A tanh network: inputs [N, 64] to outputs [N, 10]."""
    hidden = jnp.tanh(inputs @ params["w1"] + params["b1"][None, :])
    return hidden @ params["w2"] + params["b2"][None, :]


def square_loss(params: Any, data: Any) -> Any:
    """½ mean over rows of |output - one-hot label|²."""
    inputs, labels = data
    return 0.5 * jnp.mean(jnp.sum((mlp(params, inputs) - labels) ** 2, axis=1))


def cross_entropy(params: Any, data: Any) -> Any:
    """Mean over rows of -log softmax(output)[label]."""
    inputs, labels = data
    out = mlp(params, inputs)
    top = jnp.max(out, axis=1, keepdims=True)
    log_sum = jnp.log(jnp.sum(jnp.exp(out - top), axis=1)) + top[:, 0]
    return jnp.mean(log_sum - jnp.sum(out * labels, axis=1))


def digits_mlp(
    *,
    hidden: int = 16,
    rows: int = 1000,
    loss: Literal["square", "cross_entropy"] = "square",
    seed: int = 0,
) -> tuple[LossObjective, dict[str, Any]]:
    """A 64-`hidden`-10 tanh network on scikit-learn's handwritten digits.

    Weights start N(0, 1/fan_in) from `seed`, biases at 0; pixels are scaled to [0, 1].
    With the defaults there are 1,210 parameters; float64 where jax has it on.

    Args:
        hidden: width of the hidden layer.
        rows: the first so many of the 1,797 images.
        loss: "square" (½ mean |output - one-hot|²) or "cross_entropy".
        seed: of the start.

    Returns:
        The objective (no facts are known of it) and the start as a dict of arrays.

    Raises:
        BadInput: scikit-learn is missing, an unknown loss, or sizes out of range.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise BadInput(
            "the digits come with scikit-learn: pip install 'flowtheory[digits]'."
        ) from None
    losses = {"square": square_loss, "cross_entropy": cross_entropy}
    if loss not in losses:
        raise BadInput(f"loss is one of {sorted(losses)}; got {loss!r}.")
    if not (1 <= rows <= 1797 and hidden >= 1):
        raise BadInput(f"1 <= rows <= 1797 and hidden >= 1; got {rows} and {hidden}.")
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    params = {
        "w1": rng.standard_normal((64, hidden)) / 8.0,
        "b1": np.zeros(hidden),
        "w2": rng.standard_normal((hidden, 10)) / np.sqrt(hidden),
        "b2": np.zeros(10),
    }
    dtype = jnp.asarray(0.0).dtype
    params = {name: jnp.asarray(p, dtype) for name, p in params.items()}
    inputs = jnp.asarray(images[:rows] / 16.0, dtype)
    one_hot = jnp.asarray(np.eye(10)[labels[:rows]], dtype)
    return from_loss(losses[loss], params, (inputs, one_hot)), params
