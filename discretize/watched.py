"""An optimiser's run with what a central flow speaks of measured along it."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from discretize.optimiser import OptaxStep
from flows import Scheme, Step
from flows.central import Block, Momentum, Rule, refresh_block


class WatchedAux(NamedTuple):
    """What a step of `Watched` has to show, all of it at the step's start.

    Attributes:
        loss: L(w_k).
        square: |g(w_k)|².
        eigenvalues: of P_k⁻¹H(w_k), the largest first, shape [K]; NaN between
            measurements.
        residual: the largest residual of their eigenvectors but the last; NaN likewise.
        misfit: |Δw - rule's Δw| / |Δw|: whether the rule describes the optimiser.
    """

    loss: Float[Array, ""]
    square: Float[Array, ""]
    eigenvalues: Float[Array, " k"]
    residual: Float[Array, ""]
    misfit: Float[Array, ""]


class _Carry(NamedTuple):
    optimizer: Any
    memory: Any
    velocity: Any
    block: Block
    count: Any


class Watched(Scheme):
    """An `OptaxStep` beside the rule that its central flow takes it for.

    The rule's memory is run along the optimiser's own gradients,
    ν_k = (ν_{k-1} + κ s(g_k, g_k))/(1 + κ), so that P_k is the optimiser's and needs no
    look into its state; the step that the rule would take is compared with its own.

    Attributes:
        step_of: the optimiser.
        rule: as its central flow sees it.
        block: eigenvectors of P⁻¹H at the start, which are followed from there.
        every: steps from one measurement of eigenvalues to the next.
    """

    step_of: OptaxStep
    rule: Rule
    block: Block
    every: int = eqx.field(static=True, default=1)

    def init(self, dynamics: Any, t: Any, y: Any) -> _Carry:
        """Optax's state, the memory of one update, an empty buffer, the block."""
        x = dynamics.position(y)
        memory = self.rule.memory(dynamics.objective.gradient(x))
        optimizer = self.step_of.init(dynamics, t, y)
        velocity = jnp.zeros_like(x) if isinstance(self.rule, Momentum) else None
        return _Carry(optimizer, memory, velocity, self.block, jnp.zeros((), int))

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One update; aux is a `WatchedAux`."""
        rule, f = self.rule, dynamics.objective
        x = dynamics.position(y)
        g = f.gradient(x)
        memory = _updated(rule, carry.memory, rule.square(g, g), carry.count)
        p = rule.preconditioner(t, memory)

        def measure(block):
            # the optimiser jumps along the very directions that are followed
            block = refresh_block(f, x, p, refresh_block(f, x, p, block))
            residual = jnp.max(block.residuals[: max(1, block.residuals.size - 1)])
            return block, block.values, residual

        def skip(block):
            nothing = jnp.full_like(block.values, jnp.nan)
            return block, nothing, nothing[0]

        due = carry.count % self.every == 0
        block, values, residual = jax.lax.cond(due, measure, skip, carry.block)
        out = self.step_of.step(dynamics, t, y, h, noise, carry.optimizer)
        moved = dynamics.position(out.y) - x
        expected, velocity = _step_of(rule, t, p, g, carry.velocity)
        size = jnp.linalg.norm(expected)
        gap = jnp.linalg.norm(moved - expected) / jnp.where(size > 0, size, 1.0)
        after = _Carry(out.carry, memory, velocity, block, carry.count + 1)
        return Step(out.y, after, WatchedAux(out.aux, g @ g, values, residual, gap))


def _updated(rule, memory, square, count):
    """ν_k; at the first step the memory of the start has seen it already."""
    if memory is None:
        return None
    new = (memory + rule.kappa * square) / (1 + rule.kappa)
    return jnp.where(count == 0, memory, new)


def _step_of(rule, t, p, g, velocity):
    """What the rule adds to w, and its buffer."""
    if not isinstance(rule, Momentum):
        return -g / p, None
    beta, eta = rule.momentum, rule.rate(t)
    gain = 1 - beta if rule.form == "ema" else 1.0
    velocity = beta * velocity + gain * g
    ahead = g + beta * velocity if rule.form == "nesterov" else velocity
    return -eta * ahead, velocity
