"""The starts of an ensemble, and whether a scheme can step them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_state
from flows.errors import BadInput
from flows.ravel import require_finite
from sde._checks import require_label


@dataclass(frozen=True)
class Starts:
    """One state for all paths, or one a path; never more copies than a chunk.

    Attributes:
        state: numpy leaves, with a leading axis [paths] where `single` is False (one
            label may then still serve all paths).
        single: whether one state serves all paths.
    """

    state: Any
    single: bool

    @classmethod
    def read(cls, y0: Any, paths: int) -> Starts:
        """The start that a user gave.

        Raises:
            BadInput: a state that is not finite, not floating-point, or of a shape
                that is neither one state nor [paths] of them.
        """
        require_finite(y0, "the start y0")
        y0 = jax.tree.map(np.asarray, y0)
        leaves = jax.tree.leaves(y0)
        position = np.asarray(getattr(y0, "position", leaves[0] if leaves else 0))
        if not np.issubdtype(position.dtype, np.floating):
            raise BadInput(
                "y0 holds floating-point positions (a flat vector, or the process's "
                f"state NamedTuple of them); got {y0!r}."
            )
        axes = position.ndim
        heads = {a.shape[0] for a in leaves if a.ndim}
        if axes not in (1, 2) or (axes == 2 and heads != {paths}):
            shapes = [a.shape for a in leaves]
            raise BadInput(
                "y0 is one state of flat vectors, or one with a leading axis of length "
                f"paths={paths}; got leaves of shapes {shapes}."
            )
        return cls(jax.tree.map(_typed, y0), axes == 1)

    def one(self) -> Any:
        """The start of one path."""
        return jax.tree.map(
            lambda a: jnp.asarray(a if self.single or not a.ndim else a[0]), self.state
        )

    def rows(self, ids: Any, place: Any) -> Any:
        """The starts of some paths, the paths on the last axis."""

        def leaf(a):
            if self.single:
                return place(np.broadcast_to(a[..., None], (*a.shape, len(ids))))
            if not a.ndim:  # a label that serves all paths
                return place(np.full(len(ids), a))
            return place(np.moveaxis(a[ids], 0, -1))

        return jax.tree.map(leaf, self.state)

    def require(self, process: Any) -> None:
        """Refuse what is no start of a process: another length, an unknown label.

        Raises:
            BadInput: what the model refuses of one path, and a label of any path that
                is none of the model's.
        """
        require_state(process, self.one())
        labels = getattr(process, "labels", None)
        if labels is not None and hasattr(self.state, "label"):
            require_label("the label of a start", self.state.label, labels)

    def size(self) -> int:
        """Numbers in one state."""
        return sum(int(np.size(a)) for a in jax.tree.leaves(self.one()))


def _typed(a: Any) -> Any:
    kind = float if np.issubdtype(a.dtype, np.floating) else int
    return a.astype(jnp.asarray(kind()).dtype, copy=False)


def require_step(process: Any, scheme: Any, y: Any) -> Any:
    """What one step draws, after a step that computes shapes alone.

    Raises:
        BadInput: the scheme cannot step the process from y, or returns another state.
    """
    what = f"{type(scheme).__name__} cannot step {type(process).__name__} from {y}"
    try:
        draws = scheme.noise_like(process, y)
        arrays, static = eqx.partition((process, scheme, y), eqx.is_array)
        leaves, structure = jax.tree.flatten((static, draws))
        out = _stepped.eval_shape((tuple(leaves), structure), arrays)
    except BadInput:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(f"{what}: {error}") from error

    same = jax.tree.structure(out) == jax.tree.structure(y) and all(
        a.shape == b.shape and a.dtype == b.dtype
        for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(y), strict=True)
    )
    if not same:
        raise BadInput(f"{what}: the step returns a state like {out}.")
    return draws


@functools.partial(jax.jit, static_argnums=0)
def _stepped(static: Any, arrays: Any) -> Any:
    """One step on noise of zeros; only its shapes are asked, once for new values."""
    leaves, structure = static
    static, draws = jax.tree.unflatten(structure, leaves)
    process, scheme, y = eqx.combine(arrays, static)
    t = jnp.asarray(0.0, dtype=float)
    noise = jax.tree.map(
        lambda d: jnp.zeros(d.shape, jnp.uint32 if d.law == "bits" else t.dtype), draws
    )
    return scheme.step(process, t, y, t + 1, noise, scheme.init(process, t, y)).y
