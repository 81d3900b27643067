"""`train`: the loop that users write around an optax optimiser, over given batches."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from flows import BadInput, Objective
from flows.door import require_instance
from flows.finite_sums import rows_of
from flows.types import is_traced


class TrainingRun(NamedTuple):
    """What `train` returns.

    Attributes:
        params: the parameters after the last step, in the user's pytree.
        losses: the loss on each batch before its step, shape [steps].
        path: flat positions, the start first, shape [steps + 1, n]; None if not kept.
    """

    params: Any
    losses: Float[Array, " steps"]
    path: Float[Array, "rows n"] | None


def train(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    params: Any,
    batches: Any,
    *,
    keep_path: bool = False,
) -> TrainingRun:
    """Steps of an optax optimiser on given batches of an objective's data, in a scan.

    A pure function of its arrays: wrap it in `jax.jit`, and in `jax.vmap` over learning
    rates, starts or keys. For full-batch runs beside their flow there is `compare`.

    Args:
        objective: a mean over data rows (`flows.from_loss` with data).
        optimizer: any optax optimiser.
        params: the start, in the user's pytree.
        batches: row indices of each step, shape [steps, b].
        keep_path: whether to return all positions.

    Raises:
        BadInput: an objective without data rows, what is no optax optimiser, batches
            of another shape, or rows that the data does not have.
    """
    require_instance(objective, Objective, "train takes an objective")
    if not callable(getattr(optimizer, "update", None)):
        raise BadInput(
            f"optimizer is optax's, as theopoula(0.1); got {optimizer!r:.60}."
        )
    _require_rows(batches, rows_of(objective))
    optimizer = optax.with_extra_args_support(optimizer)
    start = objective.ravel(params)
    params = eqx.filter(objective.params(start), eqx.is_array)

    def step(loop, batch):
        params, state = loop

        def loss(params):
            return objective.loss_of(params, batch)

        value, grads = jax.value_and_grad(loss)(params)
        seen = {"value": value, "grad": grads, "value_fn": loss}
        updates, state = optimizer.update(grads, state, params, **seen)
        params = optax.apply_updates(params, updates)
        row = _flat(params) if keep_path else None
        return (params, state), (value, row)

    loop = params, optimizer.init(params)
    (params, _), (losses, rows) = jax.lax.scan(step, loop, jnp.asarray(batches))
    path = None if rows is None else jnp.concatenate([start[None], rows])
    return TrainingRun(objective.params(_flat(params)), losses, path)


def _require_rows(batches: Any, rows: int) -> None:
    shape = jnp.shape(batches)
    whole = jnp.issubdtype(jnp.result_type(batches), jnp.integer)
    if len(shape) != 2 or not shape[1] or not whole:
        raise BadInput(
            "batches holds row indices, whole numbers of shape [steps, b], b >= 1; got "
            f"shape {shape} of {jnp.result_type(batches)}."
        )
    if is_traced(batches):
        return
    drawn = np.asarray(batches)
    if drawn.size and not 0 <= drawn.min() <= drawn.max() < rows:
        raise BadInput(
            f"batches hold rows 0 to {rows - 1} of the data; got {drawn.min()} to "
            f"{drawn.max()}."
        )


def _flat(params: Any) -> Any:
    return jnp.concatenate([a.ravel() for a in jax.tree.leaves(params)])
