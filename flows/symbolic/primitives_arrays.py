"""Rules of the primitives that move, reduce, contract, order and scatter entries."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

from flows.symbolic.interpreter import (
    RAW_RULES,
    Undecided,
    boxed,
    is_number,
    is_symbolic,
    rule,
)
from flows.symbolic.primitives_elementwise import largest, smallest

# -- entries keep their values and change their place ----------------------------


@rule("broadcast_in_dim")
def _broadcast_in_dim(interpreter: Any, eqn: Any, a: Any, *dynamic: Any) -> Any:
    del interpreter, dynamic
    shape = eqn.outvars[0].aval.shape
    sizes = [1] * len(shape)
    for axis, target in enumerate(eqn.params["broadcast_dimensions"]):
        sizes[target] = a.shape[axis]
    return np.broadcast_to(a.reshape(sizes), shape)


@rule("reshape", "squeeze", "expand_dims")
def _reshape(interpreter: Any, eqn: Any, a: Any, *dynamic: Any) -> Any:
    del interpreter, dynamic
    return a.reshape(eqn.outvars[0].aval.shape)


@rule("transpose")
def _transpose(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    return np.transpose(a, eqn.params["permutation"])


@rule("rev")
def _rev(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    return np.flip(a, eqn.params["dimensions"])


@rule("slice")
def _slice(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    p = eqn.params
    strides = p["strides"] or (1,) * a.ndim
    bounds = zip(p["start_indices"], p["limit_indices"], strides, strict=True)
    return a[tuple(slice(*b) for b in bounds)]


@rule("concatenate")
def _concatenate(interpreter: Any, eqn: Any, *parts: Any) -> Any:
    del interpreter
    return np.concatenate(parts, axis=eqn.params["dimension"])


@rule("stack")
def _stack(interpreter: Any, eqn: Any, *parts: Any) -> Any:
    del interpreter
    return np.stack(parts, axis=eqn.params["axis"])


@rule("unstack")
def _unstack(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    axis = eqn.params["axis"]
    return [part.squeeze(axis) for part in np.split(a, a.shape[axis], axis)]


@rule("tile")
def _tile(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    return np.tile(a, eqn.params["reps"])


@rule("copy", "copy_p", "stop_gradient", "reduce_precision", "name")
def _same(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter, eqn
    return a


@rule("optimization_barrier", "device_put", table=RAW_RULES)
def _same_each(interpreter: Any, eqn: Any, *values: Any) -> Any:
    del interpreter, eqn
    return list(values)


def _by_position(
    interpreter: Any, eqn: Any, operands: Sequence[Any], indices: Sequence[Any]
) -> Any:
    """Let jax move *positions* of entries, then take the entries from there.

    The one definition of gather, pad and their kind stays jax's own.
    """
    if any(is_symbolic(i) for i in indices):
        raise Undecided("an index depends on a symbol")
    operands = [interpreter.lift(a) for a in operands]
    pool, places = [], []
    for a in operands:
        places.append(jnp.arange(a.size, dtype=np.int32).reshape(a.shape) + len(pool))
        pool.extend(a.flat)
    params = dict(eqn.params)
    if "fill_value" in params:
        params["fill_value"] = -1
    out = eqn.primitive.bind(*places, *map(jnp.asarray, indices), **params)

    def take(where: Any) -> np.ndarray:
        where = np.asarray(where)
        return boxed(where.shape, (pool[k] if k >= 0 else sp.nan for k in where.flat))

    if eqn.primitive.multiple_results:
        return [take(w) for w in out]
    return take(out)


@rule("dynamic_slice", "gather", table=RAW_RULES)
def _gather(interpreter: Any, eqn: Any, a: Any, *indices: Any) -> Any:
    return _by_position(interpreter, eqn, [a], indices)


@rule("dynamic_update_slice", table=RAW_RULES)
def _dynamic_update_slice(
    interpreter: Any, eqn: Any, a: Any, update: Any, *indices: Any
) -> Any:
    return _by_position(interpreter, eqn, [a, update], indices)


@rule("pad", table=RAW_RULES)
def _pad(interpreter: Any, eqn: Any, a: Any, fill: Any) -> Any:
    return _by_position(interpreter, eqn, [a, fill], [])


@rule("split", table=RAW_RULES)
def _split(interpreter: Any, eqn: Any, a: Any) -> Any:
    return _by_position(interpreter, eqn, [a], [])


@rule("iota")
def _iota(interpreter: Any, eqn: Any, *dynamic: Any) -> Any:
    del dynamic
    shape = eqn.outvars[0].aval.shape
    return interpreter.lift(np.indices(shape)[eqn.params["dimension"]])


# -- scatter ------------------------------------------------------------------------

_SCATTERS: dict[str, tuple[int, int, Callable[[Any, Any], Any]]] = {
    # name: (resting value, marking value, old and update -> new)
    "scatter": (0, 1, lambda old, new: new),
    "scatter-add": (0, 1, lambda old, new: old + new),
    "scatter-sub": (0, 1, lambda old, new: old - new),
    "scatter-mul": (1, 2, lambda old, new: old * new),
    "scatter-max": (0, 1, largest),
    "scatter-min": (0, -1, smallest),
}


@rule(*_SCATTERS, table=RAW_RULES)
def _scatter(interpreter: Any, eqn: Any, a: Any, indices: Any, updates: Any) -> Any:
    """Mark one update at a time to learn from jax where it lands."""
    if is_symbolic(indices):
        raise Undecided("an index depends on a symbol")
    rest, mark, combine = _SCATTERS[eqn.primitive.name]
    a, updates = interpreter.lift(a), interpreter.lift(updates)
    dtype = eqn.invars[0].aval.dtype
    ground = jnp.full(a.shape, rest, dtype)
    marks = np.full((updates.size, updates.size), rest)
    np.fill_diagonal(marks, mark)
    indices = jnp.asarray(indices)

    def land(update):
        return eqn.primitive.bind(ground, indices, update, **eqn.params)

    marks = jnp.asarray(marks, dtype).reshape((updates.size, *updates.shape))
    landed = np.asarray(jax.vmap(land)(marks)).reshape(updates.size, a.size) != rest
    out = list(a.flat)
    for update, places in zip(updates.flat, landed, strict=True):
        for k in np.flatnonzero(places):
            out[k] = combine(out[k], update)
    return boxed(a.shape, out)


# -- reductions, cumulative forms, products -----------------------------------------


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_sum": lambda *e: sp.Add(*e),
    "reduce_prod": lambda *e: sp.Mul(*e),
    "reduce_max": largest,
    "reduce_min": smallest,
    "reduce_and": lambda *e: sp.And(*e),
    "reduce_or": lambda *e: sp.Or(*e),
}


@rule(*_REDUCTIONS)
def _reduce(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    return _along(eqn.params["axes"], _REDUCTIONS[eqn.primitive.name], a)


def _along(axes: Sequence[Any], combine: Callable[..., Any], a: Any) -> np.ndarray:
    """Combine the entries along some axes."""
    kept = [k for k in range(a.ndim) if k not in axes]
    shape = tuple(a.shape[k] for k in kept)
    length = int(np.prod([a.shape[k] for k in axes], dtype=int))
    rows = np.transpose(a, [*kept, *axes]).reshape(int(np.prod(shape)), length)
    return boxed(shape, (combine(*row) for row in rows))


_CUMULATIVE: dict[str, Callable[[Any, Any], Any]] = {
    "cumsum": lambda a, b: a + b,
    "cumprod": lambda a, b: a * b,
    "cummax": largest,
    "cummin": smallest,
    "cumlogsumexp": lambda a, b: sp.log(sp.exp(a) + sp.exp(b)),
}


@rule(*_CUMULATIVE)
def _cumulate(interpreter: Any, eqn: Any, a: Any) -> Any:
    del interpreter
    axis, backwards = eqn.params["axis"], eqn.params["reverse"]
    step = np.frompyfunc(_CUMULATIVE[eqn.primitive.name], 2, 1)
    a = np.flip(a, axis) if backwards else a
    out = step.accumulate(a, axis=axis, dtype=object) if a.size else a
    return np.flip(out, axis) if backwards else out


@rule("dot_general")
def _dot_general(interpreter: Any, eqn: Any, a: Any, b: Any) -> Any:
    del interpreter
    (sum_a, sum_b), (batch_a, batch_b) = eqn.params["dimension_numbers"]
    free_a = [k for k in range(a.ndim) if k not in (*sum_a, *batch_a)]
    free_b = [k for k in range(b.ndim) if k not in (*sum_b, *batch_b)]
    batch = int(np.prod([a.shape[k] for k in batch_a], dtype=int))
    length = int(np.prod([a.shape[k] for k in sum_a], dtype=int))
    rows = np.transpose(a, [*batch_a, *free_a, *sum_a]).reshape(
        batch, int(np.prod([a.shape[k] for k in free_a], dtype=int)), length
    )
    columns = np.transpose(b, [*batch_b, *free_b, *sum_b]).reshape(
        batch, int(np.prod([b.shape[k] for k in free_b], dtype=int)), length
    )

    def entries():
        for left, right in zip(rows, columns, strict=True):
            for row in left:
                for column in right:
                    products = zip(row, column, strict=True)
                    yield sp.Add(*(x * y for x, y in products))

    return boxed(eqn.outvars[0].aval.shape, entries())


@rule("conv_general_dilated")
def _convolve(interpreter: Any, eqn: Any, a: Any, kernel: Any) -> Any:
    """Learn from jax which entry each kernel entry meets: convolve positions with it.

    A kernel with a single 1 carries at most one entry of a to each place.
    """
    del interpreter
    dtype = eqn.invars[0].aval.dtype
    places = jnp.arange(1, a.size + 1, dtype=dtype).reshape(a.shape)
    units = jnp.eye(kernel.size, dtype=dtype).reshape(kernel.size, *kernel.shape)
    met = jax.vmap(lambda k: eqn.primitive.bind(places, k, **eqn.params))(units)
    met = np.rint(np.asarray(met)).astype(int).reshape(kernel.size, -1)
    pool, weights = [sp.Integer(0), *a.flat], list(kernel.flat)

    def entries():
        for column in met.T:
            pairs = zip(weights, column, strict=True)
            yield sp.Add(*(w * pool[k] for w, k in pairs if k))

    return boxed(eqn.outvars[0].aval.shape, entries())


# -- order: numbers only ---------------------------------------------------------------


def _ranks(a: Any, name: str) -> np.ndarray:
    """Integers in the order of the entries, equal for equal entries."""
    if not is_symbolic(a):
        return np.unique(np.asarray(a), return_inverse=True)[1].reshape(np.shape(a))
    if not all(is_number(v) for v in a.flat):
        raise Undecided(f"'{name}' would have to order symbols")

    def compare(x: Any, y: Any) -> int:
        return 0 if x == y else (-1 if sp.Lt(x, y) == sp.true else 1)

    ordered = sorted(set(a.flat), key=functools.cmp_to_key(compare))
    place = {v: k for k, v in enumerate(ordered)}
    return np.array([place[v] for v in a.flat], dtype=np.int32).reshape(a.shape)


@rule("sort", table=RAW_RULES)
def _sort(interpreter: Any, eqn: Any, *operands: Any) -> Any:
    keys = eqn.params["num_keys"]
    ranks = [jnp.asarray(_ranks(a, "sort"), np.int32) for a in operands[:keys]]
    shape = operands[0].shape
    places = jnp.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    order = np.asarray(eqn.primitive.bind(*ranks, places, **eqn.params)[-1])
    lifted = [interpreter.lift(a).reshape(-1) for a in operands]
    return [a[order.reshape(-1)].reshape(shape) for a in lifted]


@rule("argmax", "argmin", table=RAW_RULES)
def _arg_extremum(interpreter: Any, eqn: Any, a: Any) -> Any:
    if eqn.invars[0].aval.dtype == np.dtype(bool) and eqn.primitive.name == "argmax":
        return _along(eqn.params["axes"], _first_true, interpreter.lift(a))
    ranks = jnp.asarray(_ranks(a, eqn.primitive.name), np.int32)
    return interpreter.bind(eqn, [ranks])


def _first_true(*conditions: Any) -> Any:
    cases = [(sp.Integer(k), c) for k, c in enumerate(conditions)]
    return sp.Piecewise(*cases, (sp.Integer(0), True))


@rule("top_k", table=RAW_RULES)
def _top_k(interpreter: Any, eqn: Any, a: Any) -> Any:
    ranks = jnp.asarray(_ranks(a, "top_k"), np.int32)
    axis = eqn.params.get("axis", -1)
    _, where = eqn.primitive.bind(ranks, **eqn.params)
    where = np.asarray(where)
    return [np.take_along_axis(interpreter.lift(a), where, axis=axis), where]
