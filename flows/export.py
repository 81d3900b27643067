"""Results as xarray datasets; xarray is an optional extra, imported on use."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.errors import BadInput


def dataset(times: Any, states: Any, dims: tuple[str, ...] = ("time",)) -> Any:
    """An `xarray.Dataset` of a state's named parts.

    Args:
        times: shape [times], the coordinate of `dims[0]`.
        states: NamedTuple, dict or array; each leaf has the axes `dims` and then its
            own components.
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
    parts = states._asdict() if hasattr(states, "_asdict") else states
    parts = parts if isinstance(parts, dict) else {"position": parts}
    arrays = {}
    for name, leaf in parts.items():
        leaf = np.asarray(leaf)
        own = tuple(f"{name}_{i}" for i in range(leaf.ndim - len(dims)))
        arrays[name] = ((*dims, *own), leaf)
    return xarray.Dataset(arrays, coords={"time": np.asarray(times)})
