"""Parameters as the user's pytree and as one flat vector, back and forth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.types import is_traced


@dataclass(frozen=True)
class Unravel:
    """The way back from a flat vector to a parameter pytree.

    Compared by value (structure, shapes, static leaves), so two notebook cells that
    build the same network share their compiled functions.

    Attributes:
        treedef: structure of the array leaves.
        shapes: their shapes, in leaf order.
        dtype: their common dtype.
        static: what was no array (activation functions of an equinox module), as
            leaves and structure: containers such as dicts have no hash of their own.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype
    static: tuple[tuple[Any, ...], Any]

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return sum(int(np.prod(s)) for s in self.shapes)

    def __call__(self, x: Any) -> Any:
        """The pytree of parameters of a flat vector x of shape [n]."""
        pieces, start = [], 0
        for shape in self.shapes:
            stop = start + int(np.prod(shape))
            pieces.append(jnp.reshape(x[start:stop], shape))
            start = stop
        return self.complete(jax.tree.unflatten(self.treedef, pieces))

    def complete(self, params: Any) -> Any:
        """The pytree with its static leaves, where only the arrays were left of it."""
        leaves, treedef = self.static
        return eqx.combine(params, jax.tree.unflatten(treedef, leaves))

    def ravel(self, params: Any) -> Float[Array, " n"]:
        """The flat vector of a parameter pytree.

        Raises:
            BadInput: another structure, shape or dtype than the one of this object.
        """
        other, x = ravel_params(params)
        if other.treedef != self.treedef or other.shapes != self.shapes:
            raise BadInput(
                "parameters of another structure or shape than the objective was "
                f"built with: got {_describe(other)}, expected {_describe(self)}."
            )
        if other.dtype != self.dtype:
            raise BadInput(
                f"parameters of dtype {other.dtype}; the objective was built with "
                f"{self.dtype}."
            )
        return x


def _describe(unravel: Unravel) -> str:
    return f"{unravel.size} entries in leaves of shapes {list(unravel.shapes)}"


def ravel_params(params: Any) -> tuple[Unravel, Float[Array, " n"]]:
    """Flatten a parameter pytree.

    Args:
        params: pytree whose arrays are all float32 or all float64; python floats count
            as arrays; non-array leaves (functions, None) are kept aside as static.

    Returns:
        The way back, and the flat vector of shape [n].

    Raises:
        BadInput: integer, boolean or complex leaves, mixed precision, no parameter at
            all, or a non-finite entry.
    """
    params = jax.tree.map(lambda a: jnp.asarray(a) if _is_number(a) else a, params)
    arrays, static = eqx.partition(params, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)
    if not any(leaf.size for leaf in leaves):
        raise BadInput("no parameters: the pytree holds no array leaf with entries.")
    names = [jax.tree_util.keystr(k) for k, _ in jax.tree.leaves_with_path(arrays)]
    for key, leaf in jax.tree.leaves_with_path(static):
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            name = jax.tree_util.keystr(key) or "params"
            raise BadInput(
                f"parameter leaf {name} is the integer {leaf}, which would stay fixed: "
                f"write {leaf}.0 to train it, or keep it out of the parameters "
                "(eqx.field(static=True) in a module)."
            )
    for name, leaf in zip(names, leaves, strict=True):
        if leaf.dtype not in (jnp.float32, jnp.float64):
            raise BadInput(
                f"parameter leaf {name or 'params'} has dtype {leaf.dtype}; parameters "
                "are float32 or float64 (keep integers, counters and keys out of the "
                "parameter pytree, e.g. in the data)."
            )
    dtypes = {leaf.dtype for leaf in leaves}
    if len(dtypes) > 1:
        listing = ", ".join(
            f"{n}: {x.dtype}" for n, x in zip(names, leaves, strict=True)
        )
        raise BadInput(
            f"parameters of mixed precision ({listing}); give all leaves one dtype, "
            "float64 for theory: jax.tree.map(lambda a: a.astype('float64'), params)."
        )
    x = jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])
    require_finite(x, "parameters")
    shapes = tuple(tuple(leaf.shape) for leaf in leaves)
    return Unravel(treedef, shapes, np.dtype(x.dtype), _hashable(static)), x


def _is_number(a: Any) -> bool:
    return isinstance(a, float | np.ndarray | np.generic)


def _hashable(static: Any) -> tuple[tuple[Any, ...], Any]:
    leaves, treedef = jax.tree.flatten(static)
    try:
        hash((tuple(leaves), treedef))
    except TypeError as error:
        raise BadInput(
            f"a non-array leaf of the parameters cannot be hashed ({error}); keep "
            "mutable collections (batch statistics, caches) out of the parameters."
        ) from None
    return tuple(leaves), treedef


def as_array(a: Any, dtype: Any) -> Any:
    """`a` as an array of this dtype: numpy's, made a hundred times as fast as jax's.

    Traced values become arrays of jax.
    """
    traced = is_traced(a)
    return jnp.asarray(a, dtype) if traced else np.asarray(a, dtype)


def require_finite(tree: Any, what: str) -> None:
    """Refuse NaN and infinities in concrete arrays (traced ones pass).

    Raises:
        BadInput: a leaf holds a non-finite number.
    """
    for path, leaf in jax.tree.leaves_with_path(tree):
        if is_traced(leaf) or not eqx.is_inexact_array_like(leaf):
            continue
        if not np.all(np.isfinite(np.asarray(leaf))):
            where = jax.tree_util.keystr(path)
            raise BadInput(f"{what}{where} holds a non-finite number; all are finite.")
