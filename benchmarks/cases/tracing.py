"""Seconds to get the symbolic face of two steps of Adam and of a gradient."""

import jax
import jax.numpy as jnp
import optax
import sympy as sp

from benchmarks.protocol import Protocol, Row, measure
from flows.symbolic import symbol_vector, symbolically

CASE = "symbolic faces by tracing"


def adam_steps(eta, b1, b2, eps, g, k, p):
    """Two steps of optax.adam along the gradients g and k."""
    optimizer = optax.adam(eta, b1, b2, eps)
    state = optimizer.init(p)
    for gradient in (g, k):
        updates, state = optimizer.update(gradient, state, p)
        p = optax.apply_updates(p, updates)
    return p


def network_gradient(w, v, x, target):
    """The gradient in (w, v) of a tanh network's square loss at one input."""

    def loss(w, v):
        return jnp.sum((v @ jnp.tanh(w @ x) - target) ** 2) / 2

    return jax.grad(loss, (0, 1))(w, v)


def matrix(name: str, rows: int, columns: int):
    return symbol_vector(name, rows * columns).reshape(rows, columns)


def rows(protocol: Protocol) -> list[Row]:
    n = 1 if protocol.tiny else 2
    hyper = sp.symbols("eta b1 b2 eps", positive=True)
    vectors = [symbol_vector(name, n) for name in "gkp"]
    weights = (matrix("w", n, n), matrix("v", 1, n))
    data = (symbol_vector("x", n), symbol_vector("y", 1))
    calls = {
        f"two steps of optax.adam, {n} parameters": lambda: symbolically(
            adam_steps, *hyper, *vectors
        ),
        f"gradient of a {n}-{n}-1 tanh network": lambda: symbolically(
            network_gradient, *weights, *data
        ),
    }
    samples = measure(calls, protocol)
    return [
        Row(CASE, name, "ms", s.seconds * 1e3, first=(s.first,), busy=s.busy)
        for name, s in samples.items()
    ]
