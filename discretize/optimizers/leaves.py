"""An optimiser's arrays, looked at and stepped one by one, each in its precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flows import BadInput


def map_params(function: Callable[[Any], Any], params: Any) -> Any:
    """The function of every array of the parameters.

    Raises:
        BadInput: parameters that are no real floats.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, x: function(_real("parameters", path, x)), params
    )


def step_leaves(
    step: Callable[..., tuple[Any, Any]], gradients: Any, like: Any, *memories: Any
) -> tuple[Any, Any]:
    """One step of every array; there may be none, as under `optax.masked`.

    Args:
        step: (g, x, *memory) -> (move, new memory), the gradient in the precision of x.
        gradients: a pytree.
        like: the parameters, or another pytree of their structure, shapes and
            precision.
        *memories: of the optimiser, pytrees like it.

    Returns:
        The moves and the new memories, two pytrees.

    Raises:
        BadInput: see `as_params`.
    """
    tree = jax.tree.structure(like)
    slopes = jax.tree.leaves(as_params(gradients, like))
    places = [jnp.asarray(x) for x in jax.tree.leaves(like)]
    kept = (jax.tree.leaves(memory) for memory in memories)
    pairs = [step(*leaves) for leaves in zip(slopes, places, *kept, strict=True)]
    moves, after = ([pair[i] for pair in pairs] for i in range(2))
    return jax.tree.unflatten(tree, moves), jax.tree.unflatten(tree, after)


def as_params(gradients: Any, params: Any) -> Any:
    """The gradients in the precision of the parameters, of whose kind they must be.

    Raises:
        BadInput: another structure than the parameters', another shape, or anything
            but real floats in either.
    """
    found, wanted = (jax.tree.structure(tree) for tree in (gradients, params))
    if found != wanted:
        raise BadInput(
            f"gradients have the structure of the parameters, {wanted!s:.200}; got "
            f"{found!s:.200}."
        )

    def one(path: Any, g: Any, x: Any) -> Any:
        x, g = _real("parameters", path, x), _real("gradients", path, g)
        if g.shape != x.shape:
            raise BadInput(
                f"a gradient has the shape {x.shape} of its parameter"
                f"{_place(path)}; got {g.shape}."
            )
        return g.astype(x.dtype)

    return jax.tree_util.tree_map_with_path(one, gradients, params)


def behind_door(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The optimiser behind `as_params`; its `update` needs `params`.

    Raises:
        BadInput: as `as_params`; at `init`, parameters that are no real floats; at
            `update`, no params.
    """

    def init_fn(params: Any) -> Any:
        return optimizer.init(map_params(lambda x: x, params))

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise BadInput("the optimiser needs update(g, state, params).")
        return optimizer.update(as_params(updates, params), state, params)

    return optax.GradientTransformation(init_fn, update_fn)


def _real(what: str, path: Any, leaf: Any) -> Any:
    try:
        array = jnp.asarray(leaf)
    except (TypeError, ValueError):
        array = None
    if array is None or not jnp.issubdtype(array.dtype, jnp.floating):
        got = f"{leaf!r:.60}" if array is None else array.dtype
        raise BadInput(f"{what} are real floats; got {got}{_place(path)}.")
    return array


def _place(path: Any) -> str:
    return f" at {jax.tree_util.keystr(path)}" if path else ""
