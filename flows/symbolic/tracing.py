"""Traces a function: sorts its arguments, makes the jaxpr, interprets it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from sympy.logic.boolalg import Boolean

from flows.errors import BadInput
from flows.symbolic import (  # noqa: F401  (the rules register themselves on import)
    primitives_arrays,
    primitives_control,
    primitives_elementwise,
)
from flows.symbolic.interpreter import (
    CALL_RULES,
    RAW_RULES,
    RULES,
    Interpreter,
    is_symbolic,
)
from flows.symbolic.results import Trace

_NUMBERS = (sp.Expr, int, float, np.number)  # a Symbol is an Expr and a Boolean too


def supported_primitives() -> frozenset[str]:
    """Names of the jax primitives that have a symbolic rule."""
    return frozenset().union(RULES, RAW_RULES, CALL_RULES)


def name_of(function: Any) -> str:
    """A readable name of a function, a method of a model, or a callable module."""
    inner = getattr(function, "__func__", None) or getattr(function, "func", None)
    owner = getattr(function, "__self__", None)
    if inner is not None:
        name = getattr(inner, "__qualname__", "") or name_of(inner)
        if owner is not None and not isinstance(owner, type):
            return f"{type(owner).__name__}.{name.split('.')[-1]}"
        return name
    name = getattr(function, "__qualname__", "") or type(function).__name__
    return name.replace("<locals>.", "")


def as_symbolic(leaf: Any) -> np.ndarray | None:
    """A leaf that holds expressions as an object array; None for any other."""
    if isinstance(leaf, sp.MatrixBase):
        leaf = np.array(leaf.tolist(), dtype=object)
    if isinstance(leaf, (sp.Expr, Boolean)):
        out = np.empty((), dtype=object)
        out[()] = leaf
        return out
    if isinstance(leaf, np.ndarray) and leaf.dtype == object:
        out = np.empty(leaf.shape, dtype=object)
        for k, entry in np.ndenumerate(leaf):
            if not isinstance(entry, (*_NUMBERS, Boolean)):
                raise BadInput(
                    f"an array of expressions holds a {type(entry).__name__}; "
                    "accepted are sympy expressions and numbers"
                )
            out[k] = entry
        return out
    return None


def is_real_array(leaf: Any) -> bool:
    """Whether a leaf is a float, or an array of floats."""
    if isinstance(leaf, float):
        return True
    if isinstance(leaf, (jax.Array, np.ndarray, np.floating)):
        return jnp.issubdtype(leaf.dtype, np.floating)
    return False


def real_twins(arrays: list[np.ndarray]) -> dict[Any, Any]:
    """Real stand-ins for symbols of unknown kind: jax's inputs are real."""
    symbols = set().union(*(e.free_symbols for a in arrays for e in a.flat), set())
    twins = {}
    for s in symbols:
        if s.is_extended_real is False:
            raise BadInput(f"the symbol {s} is not real; jax's inputs are real numbers")
        if isinstance(s, sp.Symbol) and s.is_extended_real is None:
            known = {k: v for k, v in s.assumptions0.items() if k != "commutative"}
            twins[s] = sp.Dummy(s.name, **{**known, "real": True})
    return twins


def replaced(array: Any, table: dict[Any, Any]) -> Any:
    """An array of expressions with symbols replaced."""
    if not table or not is_symbolic(array):
        return array
    out = np.empty(array.shape, dtype=object)
    for k, entry in np.ndenumerate(array):
        out[k] = entry.xreplace(table)
    return out


def _inputs(leaves: list[Any]) -> tuple[list[int], list[Any], list[Any]]:
    """Places, shapes and values of the leaves that become inputs of the jaxpr."""
    places, structs, values = [], [], []
    for k, leaf in enumerate(leaves):
        symbolic = as_symbolic(leaf)
        if symbolic is not None:
            logical = any(not isinstance(e, _NUMBERS) for e in symbolic.flat)
            dtype = jnp.bool_ if logical else jnp.result_type(float)
            # A bare expression stands where a Python float would: weakly typed.
            weak = not isinstance(leaf, np.ndarray) and not logical
            structs.append(jax.ShapeDtypeStruct(symbolic.shape, dtype, weak_type=weak))
            values.append(symbolic)
        elif is_real_array(leaf):
            array = jnp.asarray(leaf)
            weak = isinstance(leaf, float)
            structs.append(
                jax.ShapeDtypeStruct(array.shape, array.dtype, weak_type=weak)
            )
            values.append(np.asarray(leaf, dtype=array.dtype))
        else:
            continue
        places.append(k)
    return places, structs, values


def trace(fn: Any, *args: Any, unroll: int = 64) -> Trace:
    """The full form of `symbolically`."""
    # The function is a tree too: a bound method carries its model's leaves.
    leaves, treedef = jax.tree.flatten((fn, args))
    places, structs, values = _inputs(leaves)
    kept: list[Any] = []

    def flat(*inputs: Any) -> list[Any]:
        filled = list(leaves)
        for k, x in zip(places, inputs, strict=True):
            filled[k] = x
        function, arguments = jax.tree.unflatten(treedef, filled)
        out_leaves, out_tree = jax.tree.flatten(function(*arguments))
        numeric = [isinstance(x, (jax.Array, np.ndarray, float)) for x in out_leaves]
        static = [None if n else x for n, x in zip(numeric, out_leaves, strict=True)]
        kept[:] = [out_tree, numeric, static]
        return [x for n, x in zip(numeric, out_leaves, strict=True) if n]

    if not callable(fn):
        raise BadInput(f"a function of its symbols is traced; got {fn!r:.60}.")
    owner = name_of(fn)
    try:
        closed = jax.make_jaxpr(flat)(*structs)
    except jax.errors.ConcretizationTypeError as error:
        if _inside_sympy(error):
            raise _by_closure(owner) from error
        raise BadInput(
            f"{owner} decides by Python on the value of a symbol (an if, a while, a "
            "float()): write jnp.where or jax.lax.cond."
        ) from error
    except TypeError as error:
        if "sympy" not in str(error) and not _inside_sympy(error):
            raise
        raise _by_closure(owner) from error
    interpreter = Interpreter(owner, unroll)
    read = _read(closed.jaxpr)
    constants = [
        # What the function never reads (a model's facts) makes no trace inexact.
        interpreter.constant(v if used or is_symbolic(v) else np.zeros_like(v))
        for v, used in zip(values, read, strict=True)
    ]
    twins = real_twins([v for v in constants if is_symbolic(v)])
    outputs = interpreter.run(closed, *(replaced(v, twins) for v in constants))
    back = {twin: s for s, twin in twins.items()}
    results = iter([_shown(replaced(v, back)) for v in outputs])
    out_tree, numeric, static = kept
    merged = [next(results) if n else s for n, s in zip(numeric, static, strict=True)]
    value = jax.tree.unflatten(out_tree, merged)
    return Trace(value, not interpreter.notes, tuple(interpreter.notes))


def _read(jaxpr: Any) -> list[bool]:
    """Whether each input of a jaxpr is read by an equation, or is an output."""
    ends = [v for equation in jaxpr.eqns for v in equation.invars]
    seen = {id(v) for v in (*ends, *jaxpr.outvars)}
    return [id(v) in seen for v in jaxpr.invars]


def _by_closure(owner: str) -> BadInput:
    return BadInput(
        f"{owner} met a symbol that did not come in as an argument. Pass every "
        "symbol, and every model that holds symbols, as an argument."
    )


def _inside_sympy(error: BaseException) -> bool:
    """Whether an error was raised below sympy code (a symbol met a tracer)."""
    frame = error.__traceback__
    while frame is not None:
        module = frame.tb_frame.f_globals.get("__name__", "")
        if module.split(".")[0] == "sympy":
            return True
        frame = frame.tb_next
    return False


def _shown(value: Any) -> Any:
    """An output as the caller sees it: the expression itself for shape ()."""
    if is_symbolic(value):
        return value[()] if value.ndim == 0 else value
    return value
