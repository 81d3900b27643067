"""Learning x → -x: what layers in one dimension can do with momentum, and without."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.momentum_resnet import MomentumResNet
from flows.door import require_number, require_whole


class Reflection(NamedTuple):
    """A network trained on x → -x.

    Attributes:
        net: the trained network; its block takes and gives shape [points].
        points: the inputs, shape [points].
        losses: mean square error before each step, shape [steps].
    """

    net: MomentumResNet
    points: Any
    losses: Any


def perceptron(params: Any, x: Any) -> Any:
    """f(x) = wᵀ tanh(u x + b) for every x, params = (u, b, w) of shape [width].

    With a fourth entry c the slope is capped: f is divided by max(1, Σ|u w|/c), after
    which its Lipschitz constant is at most c.
    """
    u, b, w, *cap = params
    hidden = jnp.tanh(jnp.outer(x, u) + jnp.broadcast_to(b, (x.size, b.size)))
    f = hidden @ w
    return f / jnp.maximum(1.0, jnp.sum(jnp.abs(u * w)) / cap[0]) if cap else f


def learn_reflection(
    momentum: float,
    *,
    cap: float | None = 0.9,
    depth: int = 20,
    width: int = 8,
    steps: int = 3000,
    learning_rate: float = 3e-3,
    points: int = 64,
    seed: int = 0,
) -> Reflection:
    """Train a (momentum) residual network of scalar layers on x → -x by Adam.

    Layers x + f(x) with slopes of f below 1 increase, and so does what they compose
    to; the increasing map nearest to -x on a symmetric set is 0, so without momentum
    the mean square error cannot fall below the mean of x². A layer of slope below -1
    (`cap=None`) jumps over its neighbours, which no flow does.

    Args:
        momentum: γ in [0, 1); 0 is a residual network.
        cap: bound of the layers' slopes, or None.
        depth: number of layers.
        width: hidden units of a layer.
        steps: steps of Adam on all points.
        learning_rate: of Adam.
        points: evenly spaced inputs in [-1, 1].
        seed: of the first weights.

    Raises:
        BadInput: counts below 1, a cap or a learning rate that is not positive.
    """
    for name, value in {
        "depth": depth,
        "width": width,
        "steps": steps,
        "points": points,
    }.items():
        require_whole(name, value)
    require_number("learning_rate", learning_rate, positive=True)
    rng = np.random.default_rng(seed)
    u, b, w = (
        jnp.asarray(scale * rng.standard_normal((depth, width)))
        for scale in (1.0, 0.5, 0.5 / np.sqrt(width))
    )
    bound = ()
    if cap is not None:
        require_number("cap", cap, positive=True)
        bound = (jnp.full(depth, cap),)
    net = MomentumResNet(perceptron, (u, b, w), momentum)
    x = jnp.linspace(-1.0, 1.0, points)
    # numbers that optax mixes with its integers, which strict promotion would refuse
    with jax.numpy_dtype_promotion("standard"):
        weights, losses = _train(net, bound, x, learning_rate, steps)
    net = eqx.tree_at(lambda n: n.layers, net, (*weights, *bound))
    return Reflection(net, x, losses)


@eqx.filter_jit
def _train(net: Any, bound: Any, x: Any, learning_rate: Any, steps: int) -> Any:
    optimizer = optax.adam(learning_rate)

    def loss(weights):
        made = eqx.tree_at(lambda n: n.layers, net, (*weights, *bound))
        return jnp.mean((made(x).position + x) ** 2)

    def step(carry, _):
        weights, state = carry
        value, slopes = jax.value_and_grad(loss)(weights)
        moves, state = optimizer.update(slopes, state, weights)
        return (optax.apply_updates(weights, moves), state), value

    start = net.layers, optimizer.init(net.layers)
    (weights, _), losses = jax.lax.scan(step, start, length=steps)
    return weights, losses
