"""Balancedness of layers: what gradient flow conserves, and how steps break it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows import (
    Facts,
    GradientFlow,
    Objective,
    balancedness,
    drift,
    from_loss,
    is_conserved,
    neuron_balance,
    reference,
)
from flows.problems import DeepLinear, deep_linear, taylor_polynomial
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence

DU = Source(
    title="Algorithmic Regularization in Learning Deep Homogeneous Models: Layers are "
    "Automatically Balanced",
    authors="Simon S. Du, Wei Hu and Jason D. Lee",
    year=2018,
    arxiv="1806.00900",
    location="differences of the layers' Gram matrices; homogeneous activations",
)


def generic_net(widths: tuple[int, ...], degree: int = 1) -> DeepLinear:
    """φ(W_N ⋯ W_1) with a generic polynomial φ of the product's entries.

    Rates of change at a point see φ through its gradient there alone, which degree 1
    makes arbitrary already.
    """
    loss = taylor_polynomial(widths[0] * widths[-1], degree)
    return DeepLinear(Facts(), loss, widths)


# Conserved by gradient flow.


def _gram_sums(factors):
    """W_{i+1}ᵀ W_{i+1} + W_i W_iᵀ, which nothing conserves."""
    return tuple(
        after.T @ after + before @ before.T
        for before, after in itertools.pairwise(factors)
    )


@claim(
    "gradient_flow.balancedness",
    title="Gradient flow conserves the imbalance of neighbouring linear layers",
    source=DU,
    statement=r"f = \phi(W_N\cdots W_1):\quad \tfrac{d}{dt}"
    r"\bigl(W_{i+1}^\top W_{i+1} - W_i W_i^\top\bigr) = 0",
    hypotheses=(r"$\phi$ differentiable: any loss of the product",),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-5,
    unit="1 + drift at T over the imbalance at 0",
)
def balance(ctx: Context) -> Evidence:
    """L B_i = 0 in 2×2 matrices, weights and loss symbols: depth 2 (full: 3 too)."""
    return _conserved(ctx.choose((2, 2, 2), (2, 2, 2, 2)), balancedness)


def _conserved(widths, quantity) -> Evidence:
    net = generic_net(widths, 2)
    found = is_conserved(GradientFlow(net), quantity, jnp.ones(net.size))
    return decide.identity(found, name=f"L B = 0, widths {widths}")


@balance.route("depth 3, widths that differ", grade="proved")
def _(ctx: Context) -> Evidence:
    return _conserved((1, 2, 3, 1), balancedness)


@balance.control("the sum of the Gram matrices in place of their difference")
def _(ctx: Context) -> Evidence:
    return _conserved((2, 2, 2), _gram_sums)


TOLERANCES = (1e-7, 1e-9, 1e-11)


def relative_drift(ctx: Context, objective, quantity, x, t1: float) -> Evidence:
    """1 + |Q(T) - Q(0)|/|Q(0)| along gradient flow, claimed 1."""
    flow, values = GradientFlow(objective), []
    first = quantity(objective.params(x))
    size = float(jnp.sqrt(sum(jnp.sum(q**2) for q in first)))
    for tolerance in TOLERANCES:
        run = reference(flow, x, jnp.array([0.0, t1]), tolerance=tolerance)
        values.append(1 + drift(quantity, run)[-1] / size)
    note = f"{x.size} weights, T = {t1:g}"
    return decide.equal(
        1.0, decide.ladder(values, condition=100.0), delta=ctx.delta, note=note
    )


@functools.cache
def linear_net() -> tuple[DeepLinear, Any]:
    """Widths 4-5-3-4, whitened inputs; an unbalanced start."""
    rng = np.random.default_rng(1)
    net = deep_linear(rng.standard_normal((4, 4)), hidden=(5, 3))
    return net, jnp.asarray(0.5 * rng.standard_normal(net.size))


@balance.route("three layers, 4-5-3-4", grade="measured")
def _(ctx: Context) -> Evidence:
    net, x = linear_net()
    return relative_drift(ctx, net, balancedness, x, 2.0)


# Networks with an activation.

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda z: jnp.where(z > 0, z, jnp.zeros_like(z)),
    "tanh": jnp.tanh,
}


def network_loss(params, data, *, activation: str):
    """½ mean |output - target|² of W₂ σ(W₁ x + b), params (W₁, b, W₂)."""
    inputs, targets = data
    w1, b, w2 = params
    hidden = ACTIVATIONS[activation](inputs @ w1.T + b[None, :])
    return 0.5 * jnp.mean(jnp.sum((hidden @ w2.T - targets) ** 2, axis=1))


@functools.cache
def network(activation: str):
    """A 3-4-2 network on 12 random points, and its start."""
    rng = np.random.default_rng(2)
    params = tuple(
        jnp.asarray(0.7 * rng.standard_normal(s)) for s in ((4, 3), (4,), (2, 4))
    )
    data = rng.standard_normal((12, 3)), rng.standard_normal((12, 2))
    loss = functools.partial(network_loss, activation=activation)
    return from_loss(loss, params, data), params


def neurons(params):
    """|outgoing|² - |incoming|² - bias² of the hidden neurons."""
    w1, b, w2 = params
    return neuron_balance((w1, w2), (b,))


def off_diagonal(params):
    """W₂ᵀ W₂ - W₁ W₁ᵀ - b bᵀ off the diagonal."""
    w1, b, w2 = params
    (gap,) = balancedness((w1, w2))
    return ((gap - jnp.outer(b, b)) * (1 - jnp.eye(b.size)),)


def _network_drift(ctx: Context, activation: str, quantity) -> Evidence:
    objective, params = network(activation)
    return relative_drift(ctx, objective, quantity, objective.ravel(params), 3.0)


class Neurons(Objective):
    """φ(Σ_j a_j σ(w_j z + b_j)) for one input z: hidden neurons (w, b, a)."""

    facts: Facts
    loss: Objective
    point: jax.Array
    neurons: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Three numbers a neuron."""
        return 3 * self.neurons

    def params(self, x):
        """(W₁, b, W₂)."""
        w, b, a = jnp.reshape(x, (3, self.neurons))
        return w[:, None], b, a[None, :]

    def value(self, x, batch=None):
        """φ at the network's output."""
        w, b, a = self.params(x)
        hidden = ACTIVATIONS[self.activation](w[:, 0] * self.point + b)
        return self.loss.value(jnp.sum(a[0] * hidden)[None], batch)


@claim(
    "gradient_flow.neuron-balance",
    title="With ReLU, gradient flow conserves every neuron's balance and no more",
    source=DU,
    statement=r"\tfrac{d}{dt}\bigl(|a_j|^2 - |w_j|^2 - b_j^2\bigr) = 0,\quad"
    r" x \mapsto \textstyle\sum_j a_j\,\sigma(w_j\cdot x + b_j),"
    r"\ \sigma(cz) = c\,\sigma(z)\ (c > 0)",
    hypotheses=(r"$\sigma$ positively homogeneous", r"loss differentiable on the way"),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-5,
    unit="1 + drift at T over the balance at 0",
)
def neuron(ctx: Context) -> Evidence:
    """L of the balance for a neuron, in both cases of ReLU (full: two neurons)."""
    return _neuron("relu", ctx.choose(1, 2))


def _neuron(activation: str, count: int) -> Evidence:
    loss = taylor_polynomial(1, 2)
    net = Neurons(Facts(), loss, jnp.asarray(1.5), count, activation)
    found = is_conserved(GradientFlow(net), neurons, jnp.ones(net.size))
    return decide.identity(found, name="L (a² - w² - b²) = 0")


@neuron.control("tanh")
def _(ctx: Context) -> Evidence:
    return _neuron("tanh", 1)


@neuron.route("3-4-2 network with biases", grade="measured")
def _(ctx: Context) -> Evidence:
    return _network_drift(ctx, "relu", neurons)


@neuron.control("3-4-2 network, off the diagonal")
def _(ctx: Context) -> Evidence:
    return _network_drift(ctx, "relu", off_diagonal)


@neuron.control("3-4-2 network, tanh")
def _(ctx: Context) -> Evidence:
    return _network_drift(ctx, "tanh", neurons)
