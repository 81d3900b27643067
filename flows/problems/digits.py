"""Real data: scikit-learn's handwritten digits and a small network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_whole
from flows.dynamics import require_range
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
    classes: Sequence[int] = tuple(range(10)),
    standardise: bool = False,
    min_std: float = 0.0,
    gain: float = 1.0,
) -> tuple[LossObjective, dict[str, Any]]:
    """A fully connected network on scikit-learn's handwritten digits, 64-`hidden`-10.

    Weights start gain · N(0, 1/fan_in) from `seed`, layer by layer, biases at 0; pixels
    are scaled to [0, 1]. With the defaults there are 1,210 parameters; float64 where
    jax has it on.

    Args:
        hidden: width of the hidden layer, or the widths of several in order.
        rows: the first so many of the 1,797 images (of those in `classes`).
        loss: "square" (½ mean |output - one-hot|²) or "cross_entropy".
        seed: of the start.
        activation: "tanh", "gelu" (x Φ(x), by the error function) or "identity" (a
            deep linear network).
        bias: whether layers add a vector.
        classes: the digits that take part; one output each, in this order.
        standardise: subtracts from each pixel and each one-hot entry its mean over the
            rows, and scales the pixels by one number to a mean square of 1.
        min_std: keeps the pixels whose standard deviation over the rows is above this
            (in units of a pixel's full range). A pixel that is the same in all rows
            leaves weights without gradient, which an adaptive optimiser divides by.
        gain: scale of the weights at the start.

    Returns:
        The objective (no facts are known of it) and the start as a dict of arrays
        w1, w2, ... (and b1, b2, ...).

    Raises:
        BadInput: scikit-learn is missing, an unknown loss or activation, or sizes out
            of range.
    """
    if loss not in LOSSES:
        raise BadInput(f"loss is one of {sorted(LOSSES)}; got {loss!r}.")
    if activation not in ACTIVATIONS:
        known = sorted(ACTIVATIONS)
        raise BadInput(f"activation is one of {known}; got {activation!r}.")
    hidden = (hidden,) if isinstance(hidden, int | np.integer) else tuple(hidden)
    for width in hidden:
        require_whole("each width", width)
    if not hidden:
        raise BadInput("hidden has at least one width; got none.")
    require_range("min_std", min_std)
    require_range("gain", gain)
    inputs, targets = _images(rows, tuple(classes), min_std, standardise)
    rng = np.random.default_rng(seed)
    widths = (inputs.shape[1], *hidden, targets.shape[1])
    dtype = jnp.asarray(0.0).dtype
    params = {}
    for k, (n, m) in enumerate(itertools.pairwise(widths), start=1):
        start = gain * rng.standard_normal((n, m)) / np.sqrt(n)
        params[f"w{k}"] = jnp.asarray(start, dtype)
        if bias:
            params[f"b{k}"] = jnp.zeros(m, dtype)
    data = (jnp.asarray(inputs, dtype), jnp.asarray(targets, dtype))
    network = NetworkLoss(len(widths) - 1, activation, loss)
    return from_loss(network, params, data), params


def _images(
    rows: int, classes: tuple[int, ...], min_std: float, standardise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [rows, pixels] and one-hot labels [rows, classes]."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise BadInput(
            "the digits come with scikit-learn: pip install 'flowtheory[digits]'."
        ) from None
    if not classes or len(set(classes)) < len(classes) or set(classes) - set(range(10)):
        raise BadInput(f"classes are different digits 0 to 9; got {classes}.")
    images, labels = map(np.asarray, load_digits(return_X_y=True))
    member = np.isin(labels, classes)
    require_whole("rows", rows, 1, int(member.sum()))
    inputs = images[member][:rows] / 16.0
    targets = (labels[member][:rows, None] == np.array(classes)[None, :]).astype(float)
    if min_std > 0:
        inputs = inputs[:, inputs.std(axis=0) > min_std]
        if inputs.shape[1] == 0:
            raise BadInput(f"no pixel varies by more than min_std = {min_std}.")
    if standardise:
        inputs = inputs - inputs.mean(axis=0)
        size = np.sqrt(np.mean(inputs**2))
        if size == 0:
            raise BadInput("the rows are all alike: nothing to scale by.")
        inputs, targets = inputs / size, targets - targets.mean(axis=0)
    return inputs, targets


def gelu_digits() -> tuple[LossObjective, dict[str, Any]]:
    """64-20-20-10 with GELU on 300 images, standardised: 1,930 parameters.

    The benchmark of this package for gradient descent at the edge of stability:
    the start is small (gain ½), so that sharpness grows as it learns.

    Returns:
        The objective and the start, as `digits_mlp`.
    """
    return digits_mlp(
        hidden=(20, 20), rows=300, activation="gelu", standardise=True, gain=0.5
    )


def small_digits(*, gain: float = 0.7) -> tuple[LossObjective, dict[str, Any]]:
    """48-12-3 with tanh on 200 images of 0, 1 and 2, standardised: 627 parameters.

    The benchmark of this package for adaptive optimisers at the edge of stability: the
    pixels that hardly vary are left out, so that no weight is without gradient.

    Args:
        gain: scale of the weights at the start.

    Returns:
        The objective and the start, as `digits_mlp`.
    """
    return digits_mlp(
        hidden=12,
        rows=200,
        classes=(0, 1, 2),
        standardise=True,
        min_std=0.05,
        gain=gain,
    )


def warm_start(objective: LossObjective, params: Any, time: float) -> Any:
    """Parameters after gradient flow over `time`, by explicit Euler of step 0.01.

    Args:
        objective: f.
        params: the start, in the user's own pytree.
        time: how long (gradient-flow time), rounded to whole steps.

    Returns:
        The parameters, of the same pytree.

    Raises:
        BadInput: a time that is not one step long.
    """
    steps = round(time / 0.01) if np.isfinite(time) else 0
    if steps < 1:
        raise BadInput(f"time is 0.01 or more; got {time}.")
    return objective.params(_descend(objective, objective.ravel(params), steps))


@eqx.filter_jit
def _descend(objective: Any, x: Any, steps: Any) -> Any:
    def step(_, x):
        return x - 0.01 * objective.gradient(x)

    return jax.lax.fori_loop(0, steps, step, x)
