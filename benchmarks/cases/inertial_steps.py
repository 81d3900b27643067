"""INNA inside a jitted training loop, beside optax.sgd with momentum."""

import jax
import optax

from benchmarks.protocol import Protocol, Row, compared, measure, require_same
from discretize import inna, to_inertial_newton
from flows.problems import digits_mlp

CASE = "a step of INNA beside a step of optax.sgd, in a jitted training loop"
RATE, MOMENTUM = 0.1, 0.9


def trained(objective, params, optimizer, steps: int, batch: int):
    """The parameters after so many steps on consecutive minibatches, and the losses."""
    tree = objective.data.tree
    rows = jax.tree.leaves(tree)[0].shape[0]

    @jax.jit
    def loop(params, tree):
        def body(state, k):
            def part(a):
                return jax.lax.dynamic_slice_in_dim(a, k * batch % rows, batch)

            params, memory = state
            data = tree if batch == rows else jax.tree.map(part, tree)
            value, gradient = jax.value_and_grad(objective.loss)(params, data)
            updates, memory = optimizer.update(gradient, memory, params)
            return (optax.apply_updates(params, updates), memory), value

        start = (params, optimizer.init(params))
        (params, _), values = jax.lax.scan(body, start, jax.numpy.arange(steps))
        return params, values

    return lambda: loop(params, tree)


def rows(protocol: Protocol) -> list[Row]:
    images = 40 if protocol.tiny else 1000
    objective, params = digits_mlp(rows=images)
    point = to_inertial_newton(RATE, MOMENTUM)
    found = []
    for batch, steps in ((images, 300), (20, 2000)):
        steps = 5 if protocol.tiny else steps
        # at this point of INNA the two have the same iterates
        sides = {"ours": inna(*point), "other": optax.sgd(RATE, momentum=MOMENTUM)}
        calls = {
            name: trained(objective, params, optimizer, steps, batch)
            for name, optimizer in sides.items()
        }
        samples = measure(calls, protocol)
        (ours, losses), (other, values) = (call() for call in calls.values())
        require_same(losses, values, 1e-6)
        require_same(ours["w1"], other["w1"], 1e-6)
        problem = f"digits MLP, {steps:,} steps, batches of {batch:,}"
        found.append(compared(CASE, problem, samples, target=1.3))
    return found
