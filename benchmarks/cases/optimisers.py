"""An optax optimiser through `flows.iterate`, as in `compare`, beside a scan."""

import jax
import optax

from benchmarks.protocol import Protocol, Row, compared, measure, require_same
from discretize import ADAM, SGD, OptaxStep, Training
from flows import iterate
from flows.problems import digits_mlp

CASE = "optimisers through flows.iterate beside a scan of optax"


def pair(objective, params, pairing, optimizer, steps: int):
    """All parameters and losses kept, on both sides."""
    step = OptaxStep(pairing.row.optimizer, pairing.hyper)
    model = Training(objective)

    def ours():
        run = iterate(step, model, params, h=0.1, steps=steps)
        return run.states, run.aux

    @jax.jit
    def scan(params, data):
        def body(state, _):
            params, memory = state
            value, gradient = jax.value_and_grad(objective.loss)(params, data)
            updates, memory = optimizer.update(gradient, memory, params)
            params = optax.apply_updates(params, updates)
            return (params, memory), (params, value)

        start = (params, optimizer.init(params))
        return jax.lax.scan(body, start, None, length=steps)[1]

    return {"ours": ours, "other": lambda: scan(params, objective.data.tree)}


def rows(protocol: Protocol) -> list[Row]:
    steps, images = (5, 20) if protocol.tiny else (1000, 1000)
    objective, params = digits_mlp(rows=images)
    contests = {
        "optax.sgd": (SGD(learning_rate=0.1), optax.sgd(0.1)),
        "optax.adam": (ADAM(learning_rate=1e-2), optax.adam(1e-2)),
    }
    found = []
    for name, (pairing, optimizer) in contests.items():
        calls = pair(objective, params, pairing, optimizer, steps)
        samples = measure(calls, protocol)
        states, losses = calls["ours"]()
        kept, values = calls["other"]()
        require_same(losses, values, 1e-6)
        require_same(states["w1"][1:], kept["w1"], 1e-6)
        problem = f"digits MLP, {name}, {steps:,} steps"
        found.append(compared(CASE, problem, samples, target=1.1))
    return found
