"""Stochastic gradient descent with reshuffling: its epochs, and their modified flow."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flows import BadInput, Draw, Flow, Objective, Scheme, Step
from flows.dynamics import parameter, require_range
from flows.finite_sums import row_batches
from flows.types import is_traced

MAX_ORDERINGS = 5040


def partition(rows: int, batches: int) -> Int[np.ndarray, "m b"]:
    """The rows 0, ..., rows - 1 in m consecutive batches of equal size.

    Args:
        rows: number of data rows N.
        batches: number m of batches; divides N.

    Raises:
        BadInput: batches that do not divide the rows.
    """
    if batches < 1 or rows < 1 or rows % batches:
        raise BadInput(f"{batches} batches of equal size do not cover {rows} rows.")
    return np.arange(rows).reshape(batches, rows // batches)


def as_batches(value: Any) -> Any:
    """Batches as an integer array of shape [m, b], each row once (see `partition`).

    Raises:
        BadInput: no such array, negative rows, or a row that is there twice.
    """
    rows = row_batches(value)
    if not is_traced(rows) and (rows.min() < 0 or np.unique(rows).size != rows.size):
        raise BadInput("batches hold row indices >= 0, each row once.")
    return jnp.asarray(rows)


def require_rows(objective: Any, batches: Any) -> None:
    """Refuse batches that are not the objective's rows, where it says how many.

    Raises:
        BadInput: rows left out or beyond the last, which jax would clip in silence.
    """
    rows = objective.rows if isinstance(objective, Objective) else None
    if rows is None or is_traced(batches):
        return
    found, last = batches.size, int(np.asarray(batches).max())
    if found != rows or last != rows - 1:
        raise BadInput(
            f"batches cover all {rows} rows of the objective, each once; got {found} "
            f"rows up to {last}."
        )


class ShuffledFlow(Flow):
    r"""The modified flow of random-reshuffling SGD, in the mean over orderings.

    With f the mean of f_1, ..., f_m over m batches of equal size and step size η,

        y' = -∇[ f + (η/(4m)) Σ_i |∇f_i|² ],

    one epoch (m steps, each batch once) taking time mη. The mean of the iterate after
    one epoch, over all m! orders, stays within O(η³) of it. The regulariser is the mean
    of the batches' own |∇f_i|², which exceeds |∇f|² by the variance of the batch
    gradients: noise is regularised too.

    State: the position, shape [n]. Unit of time: a step takes η.

    Reference: Smith, Dherin, Barrett and De, ICLR 2021, arXiv 2101.12176.

    Attributes:
        objective: f, whose `gradient` takes `batch` indices.
        batches: row indices, shape [m, b].
        learning_rate: η (time).

    Raises:
        BadInput: batches of another shape, rows left out, repeated or not there, a
            learning rate out of range.
    """

    equation: ClassVar[str] = (
        r"\dot y = -\nabla\Bigl[f + \tfrac{\eta}{4m}\sum_i|\nabla f_i|^2\Bigr]"
    )
    objective: Objective
    batches: Int[Array, "m b"] = eqx.field(converter=as_batches)
    learning_rate: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True}
    )

    def __check_init__(self):
        require_range("learning_rate", self.learning_rate)
        require_rows(self.objective, self.batches)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-(1/m) Σ_i (∇f_i + (η/2) ∇²f_i ∇f_i)."""
        del t

        def one(batch):
            g = self.objective.gradient(y, batch)
            return g + self.learning_rate / 2 * self.objective.hvp(y, g, batch)

        return -jnp.mean(jax.lax.map(one, self.batches), axis=0)


class ShuffledEpoch(Scheme):
    """One epoch of SGD with a fresh random order of the batches.

    A step of size h is m steps of size η = h/m, one on each batch. It draws the key of
    a permutation. `dynamics` brings the objective and nothing else.

    Attributes:
        batches: row indices, shape [m, b].
    """

    batches: Int[Array, "m b"] = eqx.field(converter=as_batches)

    def noise_like(self, dynamics, y):
        """The words of a key."""
        del dynamics, y
        return Draw("bits", (2,))

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One epoch of time h."""
        del t
        key = jax.random.wrap_key_data(noise, impl="threefry2x32")
        order = jax.random.permutation(key, self.batches)
        return Step(epoch(dynamics.objective.gradient, order, y, h), carry)


class MeanEpoch(Scheme):
    """The mean of one epoch of SGD over all m! orders of the batches.

    A deterministic one-step scheme, of step size h = mη; so `ModifiedFlow` gives its
    modified flow to any order. Repeated, it is the mean iterate up to O(η³) over a
    fixed time, since epochs differ by O(η²).

    Attributes:
        batches: row indices, shape [m, b], with m at most 7 (5040 orders).

    Raises:
        BadInput: more batches, or another shape.
    """

    order: ClassVar[int] = 1
    batches: Int[Array, "m b"] = eqx.field(converter=as_batches)

    def __check_init__(self):
        require_few(self.batches.shape[0])

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """The mean of m! epochs of time h."""
        del t, noise
        return Step(mean_epoch(dynamics.objective.gradient, self.batches, y, h), carry)


def require_few(batches: int) -> None:
    """Refuse a mean over more than 5040 orders.

    Raises:
        BadInput: with the number of orders.
    """
    if math.factorial(batches) > MAX_ORDERINGS:
        raise BadInput(
            f"the mean over all orders of {batches} batches has "
            f"{math.factorial(batches)} terms; at most 7 batches. `ShuffledEpoch` "
            "draws orders instead."
        )


def epoch(gradient: Any, order: Any, y: Any, h: Any) -> Any:
    """One epoch of time h: a step of h/m on each batch, in this order.

    Args:
        gradient: (y, batch) -> ∇f on those rows, of y's structure.
        order: row indices, shape [m, b], in the order of use.
        y: position, a vector or a pytree.
        h: time mη of the epoch.
    """
    eta = h / order.shape[0]

    def one(y, batch):
        return jax.tree.map(lambda a, g: a - eta * g, y, gradient(y, batch)), None

    return jax.lax.scan(one, y, order)[0]


def mean_epoch(gradient: Any, batches: Any, y: Any, h: Any) -> Any:
    """The mean of `epoch` over all orders of the batches; arguments as there."""
    orders = np.array(list(itertools.permutations(range(batches.shape[0]))))
    ends = jax.vmap(lambda order: epoch(gradient, batches[order], y, h))(orders)
    return jax.tree.map(lambda a: jnp.mean(a, axis=0), ends)
