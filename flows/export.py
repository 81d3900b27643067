"""Results as xarray datasets; xarray is an optional extra, imported on use."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from flows.errors import BadInput


def dataset(times: Any, states: Any, dims: tuple[str, ...] = ("time",)) -> Any:
    """An `xarray.Dataset` of a state's named parts.

    Args:
        times: shape [times], the coordinate of `dims[0]`.
        states: any pytree of arrays (a NamedTuple, a user's parameters); each array
            leaf has the axes `dims` and then its own components. Variables are named
            by the path to the leaf ("second_moment", "layers.0.weight"), a single array
            "position".
        dims: names of the leading axes.

    Raises:
        BadInput: xarray is missing.
    """
    try:
        import xarray
    except ImportError:
        raise BadInput(
            "to_xarray needs xarray: pip install 'flowtheory[xarray]'."
        ) from None
    arrays = {}
    for path, leaf in jax.tree.leaves_with_path(eqx.filter(states, eqx.is_array)):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "position"
        leaf = np.asarray(leaf)
        own = tuple(f"{name}_{i}" for i in range(leaf.ndim - len(dims)))
        arrays[name] = ((*dims, *own), leaf)
    return xarray.Dataset(arrays, coords={"time": np.asarray(times)})
