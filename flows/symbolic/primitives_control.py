"""Rules of the primitives that hold jaxprs: calls, loops, branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import sympy as sp

from flows.symbolic.interpreter import (
    CALL_RULES,
    RAW_RULES,
    Undecided,
    boxed,
    elementwise,
    is_symbolic,
    rule,
)
from flows.symbolic.primitives_elementwise import choose_among


def _run(interpreter: Any, jaxpr: Any, *values: Any) -> list[Any]:
    """Run a jaxpr, closed or open."""
    if hasattr(jaxpr, "consts"):
        return interpreter.run(jaxpr, *values)
    return interpreter.run_open(jaxpr, [], values)


@rule(
    *("jit", "pjit", "closed_call", "checkpoint", "remat", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
    table=CALL_RULES,
)
def _call(interpreter: Any, eqn: Any, *values: Any) -> list[Any]:
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in eqn.params:
            return _run(interpreter, eqn.params[key], *values)
    raise Undecided(f"'{eqn.primitive.name}' shows no jaxpr")


def _stack(interpreter: Any, rows: Sequence[Any], aval: Any) -> Any:
    if not rows:
        return boxed(aval.shape, ()) if aval.size == 0 else np.zeros(aval.shape)
    if any(is_symbolic(r) for r in rows):
        rows = [interpreter.lift(r) for r in rows]
    elif isinstance(rows[0], jax.Array):
        return jax.numpy.stack(rows)
    return np.stack(rows)


@rule("scan", table=CALL_RULES)
def _scan(interpreter: Any, eqn: Any, *values: Any) -> list[Any]:
    p = eqn.params
    length = p["length"]
    if length > interpreter.unroll and any(is_symbolic(v) for v in values):
        raise Undecided(f"a loop of {length} steps is longer than the limit of unroll")
    carried, first, last = _scan_layout(eqn)
    consts, carry, xs = values[:first], list(values[first:last]), values[last:]
    rows: list[Any] = []
    steps = range(length)
    for k in reversed(steps) if p["reverse"] else steps:
        out = _run(interpreter, p["jaxpr"], *consts, *carry, *(x[k] for x in _rows(xs)))
        carry = out[:carried]
        rows.append(out[carried:])
    rows = rows[::-1] if p["reverse"] else rows
    avals = [v.aval for v in eqn.outvars[carried:]]
    columns = zip(*rows, strict=True) if rows else [()] * len(avals)
    stacked = [_stack(interpreter, c, a) for c, a in zip(columns, avals, strict=True)]
    return [*carry, *stacked]


def _scan_layout(eqn: Any) -> tuple[int, int, int]:
    """How many outputs are carried, and where carry and rows begin among the inputs.

    Read off the shapes, since the names of scan's parameters change between versions
    of jax: rows have one axis more outside than inside, all else has the same shape.
    """
    inner = eqn.params["jaxpr"].jaxpr

    def sliced(outside, inside):
        pairs = zip(outside, inside, strict=True)
        return sum(a.aval.shape != b.aval.shape for a, b in pairs)

    carried = len(eqn.outvars) - sliced(eqn.outvars, inner.outvars)
    last = len(eqn.invars) - sliced(eqn.invars, inner.invars)
    return carried, last - carried, last


def _rows(xs: Sequence[Any]) -> list[Any]:
    """Operands whose k-th row is an array also where it has shape ()."""
    return [_Rows(x) if is_symbolic(x) else x for x in xs]


class _Rows:
    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __getitem__(self, k: int) -> np.ndarray:
        return self.x[k, ...]


@rule("while", table=CALL_RULES)
def _while(interpreter: Any, eqn: Any, *values: Any) -> list[Any]:
    p = eqn.params
    m, n = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    of_condition, of_body, state = values[:m], values[m:n], list(values[n:])
    steps = 0
    while True:
        (go,) = _run(interpreter, p["cond_jaxpr"], *of_condition, *state)
        if is_symbolic(go):
            raise Undecided("the condition of a loop depends on a symbol")
        if not bool(go):
            return state
        if steps >= interpreter.unroll and any(is_symbolic(v) for v in state):
            raise Undecided(f"a loop runs past unroll={interpreter.unroll} steps")
        state = _run(interpreter, p["body_jaxpr"], *of_body, *state)
        steps += 1


def _raises(jaxpr: Any) -> bool:
    """Whether a jaxpr calls back into Python, as run-time checks do to raise."""
    for eqn in jaxpr.eqns:
        if "callback" in eqn.primitive.name:
            return True
        inner = (getattr(p, "jaxpr", None) for p in eqn.params.values())
        if any(_raises(j) for j in inner if hasattr(j, "eqns")):
            return True
    return False


@rule("unvmap_any", "unvmap_all", table=RAW_RULES)
def _unvmap(interpreter: Any, eqn: Any, a: Any) -> Any:
    connective = sp.Or if eqn.primitive.name == "unvmap_any" else sp.And
    return boxed((), [connective(*interpreter.lift(a).flat)])


@rule("cond", table=CALL_RULES)
def _cond(interpreter: Any, eqn: Any, index: Any, *values: Any) -> list[Any]:
    branches = eqn.params["branches"]
    if not is_symbolic(index):
        chosen = int(np.clip(int(index), 0, len(branches) - 1))
        return _run(interpreter, branches[chosen], *values)
    passing = [b for b in branches if not _raises(b.jaxpr)]
    if len(passing) == 1:  # a run-time check (eqx.error_if): taken as passed
        return _run(interpreter, passing[0], *values)
    results = [_run(interpreter, b, *values) for b in branches]
    return [
        elementwise(
            lambda *entries: choose_among(index[()], entries),
            *map(interpreter.lift, outputs),
        )
        for outputs in zip(*results, strict=True)
    ]
