"""Data of a loss: leaves that are no parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax


class Data(eqx.Module):
    """Data of a loss: traced like any array, but shielded from differentiation.

    Being leaves, the arrays are arguments of compiled functions (no giant constants,
    no recompilation for new data of the same shape). `parameters_of` tells them from
    a model's parameters for `eqx.partition` and `eqx.filter_vmap`.
    """

    is_data: ClassVar[bool] = True
    tree: Any

    def get(self, batch: Any = None) -> Any:
        """The data, or its rows `batch` (integer indices of shape [b])."""
        tree = jax.tree.map(jax.lax.stop_gradient, self.tree)
        return tree if batch is None else jax.tree.map(lambda a: a[batch], tree)

    @property
    def rows(self) -> int:
        """Length N of the leading axis."""
        return jax.tree.leaves(self.tree)[0].shape[0]


def parameters_of(model: Any) -> Any:
    """A pytree of booleans: True on inexact arrays that are parameters, not data.

    `eqx.partition(model, parameters_of(model))` splits a model for `jax.grad` or
    `jax.vmap` over its parameters with the data held fixed.
    """

    def shielded(leaf):
        return getattr(type(leaf), "is_data", False)

    def mark(leaf):
        if shielded(leaf):
            return jax.tree.map(lambda _: False, leaf)
        return eqx.is_inexact_array(leaf)

    return jax.tree.map(mark, model, is_leaf=shielded)
