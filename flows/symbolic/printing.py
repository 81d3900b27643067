"""LaTeX of expressions and of a model's equation."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
import sympy as sp

from flows.errors import BadInput, FlowtheoryError
from flows.objective import Objective
from flows.symbolic.models import indexed, latex_names, symbols_for_state, symbols_like
from flows.symbolic.tracing import as_symbolic, trace

LARGEST_STATE = 12
LARGEST_OBJECTIVE = 6
LONGEST = 4000
"""Characters beyond which a traced equation tells a reader nothing."""
STANDARD_LETTERS = {
    "position": "x",
    "velocity": "v",
    "momentum": "p",
    "first_moment": "m",
    "second_moment": "v",
}


def latex_of(expression: Any, names: dict[Any, str] | None = None) -> str:
    """See `flows.symbolic.latex_of`."""
    array = as_symbolic(expression)
    if array is None:
        return sp.latex(expression)
    symbols = set().union(*(e.free_symbols for e in array.flat), set())
    labels = {s: names[s.name] for s in symbols if names and s.name in names}
    if array.ndim == 0:
        return sp.latex(array[()], symbol_names=labels)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim > 2:
        return sp.latex(sp.Array(array.tolist()), symbol_names=labels)
    return sp.latex(sp.Matrix(array.tolist()), symbol_names=labels)


def equation_of(dynamics: Any, y: Any) -> str:
    """See `flows.symbolic.latex`."""
    shown = hasattr(dynamics, "equation") or isinstance(dynamics, eqx.Module)
    if not shown or isinstance(dynamics, Objective):
        raise BadInput(
            f"latex takes a model, such as a GradientFlow, not {dynamics!r:.40}."
        )
    general = getattr(dynamics, "equation", "")
    state = _state_of_objective(dynamics) if y is None else y
    if state is not None and _size(state) <= LARGEST_STATE:
        try:
            traced = _traced_equation(dynamics, state)
        except (FlowtheoryError, AttributeError, TypeError, ValueError):
            # A model without a symbolic face (or whose state is no vector) still has
            # the equation of its source.
            if y is not None and not general:
                raise
        else:
            if len(traced) <= LONGEST:
                return traced
    return general or rf"\text{{{type(dynamics).__name__}}}"


def _size(y: Any) -> int:
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(y))


def _state_of_objective(dynamics: Any) -> Any:
    objective = getattr(dynamics, "objective", None)
    size = getattr(objective, "size", None)
    if not isinstance(size, int) or not 1 <= size <= LARGEST_OBJECTIVE:
        return None
    variables = getattr(objective, "variables", None)
    if variables is not None and len(variables) == size:
        state = np.empty(size, dtype=object)
        state[:] = variables
        return state
    return np.asarray(indexed("x", (size,)))


def _letters(y: Any) -> dict[Any, str]:
    """The standard letters of a structured state: position is x, and so on."""
    fields = getattr(y, "_fields", ())
    letters = {f: STANDARD_LETTERS.get(f, rf"\mathrm{{{f}}}") for f in fields}
    if "velocity" in fields and "second_moment" in fields:
        letters["second_moment"] = "s"
    return {
        f"{f}_{k}": f"{letters[f]}_{{{k + 1}}}"
        for f in fields
        for k in range(int(np.size(getattr(y, f))))
    }


def _rows(tree: Any) -> list[Any]:
    rows: list[Any] = []
    for leaf in jax.tree.leaves(tree):
        array = as_symbolic(leaf)
        if array is not None:
            rows.extend(array.flat)
    return rows


def _traced_equation(dynamics: Any, y: Any) -> str:
    model = symbols_like(dynamics, {})
    names = latex_names(dynamics) | _letters(y)
    symbolic = any(as_symbolic(leaf) is not None for leaf in jax.tree.leaves(y))
    state = y if symbolic else symbols_for_state(y, {})
    time = sp.Symbol("t", real=True)
    field = trace(lambda m, t, y: m.vector_field(t, y), model, time, state).value
    states, fields = _rows(state), _rows(field)
    if not hasattr(dynamics, "noise"):
        lines = [
            rf"\dot{{{latex_of(s, names)}}} &= {latex_of(v, names)}"
            for s, v in zip(states, fields, strict=True)
        ]
        return _aligned(lines)
    count = int(dynamics.brownian(y))
    dw = np.asarray(indexed("dB", (count,)))
    noise = trace(lambda m, t, y, dw: m.noise(t, y, dw), model, time, state, dw).value
    names |= {s.name: rf"\mathrm{{d}}B_{{{k + 1}}}" for k, s in enumerate(dw)}
    lines = []
    for s, v, n in zip(states, fields, _rows(noise), strict=True):
        terms = [(v, r"\mathrm{d}t")]
        terms += [(sp.expand(n).coeff(b), latex_of(b, names)) for b in dw]
        shown = [rf"{_bracketed(c, names)}\,{d}" for c, d in terms if c != 0]
        right = " + ".join(shown).replace("+ - ", "- ") or "0"
        lines.append(rf"\mathrm{{d}}{latex_of(s, names)} &= {right}")
    return _aligned(lines)


def _bracketed(expression: Any, names: dict[Any, str]) -> str:
    text = latex_of(expression, names)
    return rf"\left({text}\right)" if expression.is_Add else text


def _aligned(lines: list[str]) -> str:
    if len(lines) == 1:
        return lines[0].replace("&", "", 1)
    return r"\begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}"
