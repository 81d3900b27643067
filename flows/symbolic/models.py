"""Symbols in place of a model's parameters, and of states."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
import sympy as sp
from jax.tree_util import DictKey, GetAttrKey, SequenceKey

from flows.errors import BadInput
from flows.symbolic.tracing import is_real_array

ASSUMPTIONS = frozenset(
    "positive nonnegative negative nonpositive nonzero real integer even odd".split()
)
"""Keys of a field's metadata that are assumptions on its symbols."""


def indexed(name: str, shape: tuple[int, ...], **assumptions: Any) -> Any:
    """A symbol, or an array of symbols name_i_j, of this shape (real by default)."""
    assumptions = {"real": True, **assumptions}
    try:
        if shape == ():
            return sp.Symbol(name, **assumptions)
        out = np.empty(shape, dtype=object)
        for k in np.ndindex(shape):
            out[k] = sp.Symbol("_".join([name, *map(str, k)]), **assumptions)
        return out
    except ValueError as error:  # sympy's InconsistentAssumptions
        raise BadInput(f"the assumptions on {name} contradict each other") from error


def is_data(node: Any) -> bool:
    """Whether a node holds data or known facts: its class says `is_data = True`."""
    return bool(getattr(type(node), "is_data", False))


def _step(key: Any) -> str:
    if isinstance(key, GetAttrKey):
        return key.name
    if isinstance(key, DictKey):
        return str(key.key)
    return str(key.idx if isinstance(key, SequenceKey) else key)


def _field_of(model: Any, path: tuple[Any, ...]) -> tuple[int, Any]:
    """Where in the path the last field of a module stands, and its metadata."""
    place, metadata, node = 0, {}, model
    for k, key in enumerate(path):
        if isinstance(key, GetAttrKey) and isinstance(node, eqx.Module):
            fields = {f.name: f for f in dataclasses.fields(node)}
            place, metadata = k, fields[key.name].metadata
        node = _child(node, key)
    return place, metadata


def _child(node: Any, key: Any) -> Any:
    if isinstance(key, GetAttrKey):
        return getattr(node, key.name)
    if isinstance(key, DictKey):
        return node[key.key]
    if isinstance(key, SequenceKey):
        return node[key.idx]
    return None


def parameter_leaves(model: Any) -> tuple[list[Any], Any, list[Any]]:
    """The parameters of a model: (name, field, leaf, metadata) for each.

    Returns:
        One entry per leaf (None for a leaf that stays), the tree's structure, and
        the leaves themselves. A leaf in a dictionary is named by its key.
    """
    flat, treedef = jax.tree_util.tree_flatten_with_path(model, is_leaf=is_data)
    entries: list[Any] = []
    for path, leaf in flat:
        if is_data(leaf) or not is_real_array(leaf):
            entries.append(None)
            continue
        place, metadata = _field_of(model, path)
        steps = [_step(k) for k in path]
        keyed = bool(path) and isinstance(path[-1], DictKey)
        short = steps[-1] if keyed else "_".join(steps[place:]) or "x"
        field = steps[place] if steps else ""
        entries.append((short, "_".join(steps) or "x", field, metadata))
    count = Counter(e[0] for e in entries if e)
    named = [
        e and ((e[0] if count[e[0]] == 1 else e[1]), e[2], leaf, e[3])
        for e, (_, leaf) in zip(entries, flat, strict=True)
    ]
    return named, treedef, [leaf for _, leaf in flat]


def symbols_like(model: Any, assumptions: Mapping[str, Mapping[str, Any]]) -> Any:
    """See `flows.symbolic.symbols_like`."""
    named, treedef, leaves = parameter_leaves(model)
    fields = {e[k] for e in named if e for k in (0, 1)}
    unknown = set(assumptions) - fields
    if unknown:
        raise BadInput(
            f"{type(model).__name__} has no parameter {', '.join(sorted(unknown))}; "
            f"its parameters are {', '.join(sorted(fields)) or 'none'}"
        )
    new = []
    for entry, old in zip(named, leaves, strict=True):
        if entry is None:
            new.append(old)
            continue
        name, field, leaf, metadata = entry
        known = {k: v for k, v in metadata.items() if k in ASSUMPTIONS}
        known = dict(assumptions.get(name, assumptions.get(field, known)))
        new.append(indexed(name, np.shape(leaf), **known))
    return jax.tree.unflatten(treedef, new)


def latex_names(model: Any) -> dict[Any, str]:
    """LaTeX of a model's symbols, from the `symbol` in its fields' metadata."""
    named, _, _ = parameter_leaves(model)
    names: dict[Any, str] = {}
    for entry in named:
        if entry is None or "symbol" not in entry[3]:
            continue
        name, _, leaf, metadata = entry
        for k in np.ndindex(np.shape(leaf)):
            plain = "_".join([name, *map(str, k)])
            index = ",".join(str(j + 1) for j in k)
            label = metadata["symbol"]
            names[plain] = f"{{{label}}}_{{{index}}}" if index else label
    return names


def symbols_for_state(y: Any, assumptions: Mapping[str, Mapping[str, Any]]) -> Any:
    """See `flows.symbolic.symbols_for_state`."""
    flat, treedef = jax.tree_util.tree_flatten_with_path(y)
    new = []
    for path, leaf in flat:
        if not is_real_array(leaf):
            new.append(leaf)
            continue
        name = "_".join(map(_step, path)) or "x"
        new.append(indexed(name, np.shape(leaf), **assumptions.get(name, {})))
    return jax.tree.unflatten(treedef, new)
