"""Symbols in place of a model's parameters, and of states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
import sympy as sp

from flows.errors import BadInput
from flows.symbolic.trace import is_real_array

_NOT_ASSUMPTIONS = ("symbol", "unit", "help", "static", "converter")


def indexed(name: str, shape: tuple[int, ...], **assumptions: Any) -> Any:
    """A symbol, or an array of symbols name_i_j, of this shape (real by default)."""
    assumptions.setdefault("real", True)
    if shape == ():
        return sp.Symbol(name, **assumptions)
    out = np.empty(shape, dtype=object)
    for k in np.ndindex(shape):
        out[k] = sp.Symbol("_".join([name, *map(str, k)]), **assumptions)
    return out


def is_data(node: Any) -> bool:
    """Whether a node of a model holds data, which stay numbers."""
    if not isinstance(node, eqx.Module):
        return False
    return getattr(type(node), "is_data", False) or type(node).__name__ == "Data"


def _fields(node: eqx.Module) -> list[dataclasses.Field]:
    return [f for f in dataclasses.fields(node) if not f.metadata.get("static", False)]


def symbols_like(model: Any, assumptions: Mapping[str, Mapping[str, Any]]) -> Any:
    """See `flows.symbolic.symbols_like`."""
    used: set[str] = set()
    taken: dict[str, int] = {}

    def fresh(name: str) -> str:
        taken[name] = taken.get(name, 0) + 1
        return name if taken[name] == 1 else f"{name}{taken[name] - 1}"

    def convert(value: Any, name: str, known: dict[str, Any]) -> Any:
        if is_data(value):
            return value
        if isinstance(value, eqx.Module):
            return convert_module(value, name, known)
        if is_real_array(value):
            given = {k: v for k, v in known.items() if k not in _NOT_ASSUMPTIONS}
            label = known.get("symbol", name)
            return indexed(fresh(label), np.shape(value), **given)
        nested = [
            n for n in jax.tree.leaves(value, is_leaf=_stops) if not _stops(n)
        ] != jax.tree.leaves(value, is_leaf=_stops) or isinstance(
            value, (tuple, list, dict)
        )
        if not nested:
            return value
        paths, treedef = jax.tree_util.tree_flatten_with_path(value, is_leaf=_stops)
        return jax.tree.unflatten(
            treedef,
            [convert(v, "_".join([name, *map(_step, p)]), known) for p, v in paths],
        )

    def convert_module(node: eqx.Module, name: str, known: dict[str, Any]) -> Any:
        names = [f.name for f in _fields(node)]
        new = []
        for f in _fields(node):
            merged = {**known, **f.metadata, **assumptions.get(f.name, {})}
            used.add(f.name)
            new.append(convert(getattr(node, f.name), f.name, merged))
        del name
        return _with_fields(node, names, new)

    result = convert(model, "x", {})
    unknown = set(assumptions) - used
    if unknown:
        raise BadInput(
            f"{type(model).__name__} has no field {', '.join(sorted(unknown))}; its "
            f"fields are {', '.join(sorted(used)) or 'none'}"
        )
    return result
