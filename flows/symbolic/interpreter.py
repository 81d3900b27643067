"""Interprets a jaxpr with sympy: values, the table of rules, one equation at a time.

A value is a numpy object array of expressions, or, where it holds integers, booleans
or keys that depend on no symbol, an array of its own dtype ("native"), so that
indices, counters and loop conditions stay decidable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from jax.extend.core import Literal

from flows.errors import NoSymbolicFace
from flows.symbolic.rational import rationalise

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""Rules on lifted values: rule(interpreter, eqn, *object arrays) -> array(s)."""
RAW_RULES: dict[str, Rule] = {}
"""Rules that see values as they are, asked only where one of them is symbolic."""
CALL_RULES: dict[str, Rule] = {}
"""Rules of the primitives that hold jaxprs; these are walked in every case."""


class Undecided(Exception):
    """A rule that would need the value of a symbol; the message says which."""


def rule(*names: str, table: dict[str, Rule] = RULES) -> Callable[[Rule], Rule]:
    """Register a rule, in one of the three tables, for primitives of these names."""

    def register(function: Rule) -> Rule:
        for name in names:
            table[name] = function
        return function

    return register


def is_symbolic(value: Any) -> bool:
    """Whether a value is an object array (of expressions)."""
    return isinstance(value, np.ndarray) and value.dtype == object


def is_float(aval: Any) -> bool:
    """Whether an abstract value has a real floating dtype."""
    return jnp.issubdtype(aval.dtype, np.floating)


def boxed(shape: tuple[int, ...], entries: Any) -> np.ndarray:
    """An object array of this shape from entries in row-major order."""
    out = np.empty(int(np.prod(shape)), dtype=object)
    for k, entry in enumerate(entries):
        out[k] = entry
    return out.reshape(shape)


def elementwise(function: Callable[..., Any], *arrays: Any) -> np.ndarray:
    """Apply a function entry by entry, operands broadcast against each other."""
    broadcast = np.broadcast_arrays(*arrays)
    entries = zip(*(a.flat for a in broadcast), strict=True)
    return boxed(broadcast[0].shape, (function(*e) for e in entries))


def is_number(entry: Any) -> bool:
    """Whether an entry depends on no symbol."""
    return not getattr(entry, "free_symbols", None)


class Interpreter:
    """Walks a jaxpr; remembers what made the result inexact.

    Attributes:
        owner: name of the traced function, for error messages.
        unroll: the longest loop that is unrolled.
        notes: reasons for inexactness, in order of appearance.
    """

    def __init__(self, owner: str, unroll: int) -> None:
        self.owner = owner
        self.unroll = unroll
        self.notes: list[str] = []
        self.callers: list[Any] = []

    # -- values ---------------------------------------------------------------

    def note(self, text: str) -> None:
        """Record a reason for inexactness, once."""
        if text not in self.notes:
            self.notes.append(text)

    def number(self, value: Any, dtype: str) -> sp.Expr:
        """A float as an exact number; inexact ones are noted."""
        if value != value:
            return sp.nan
        if value in (np.inf, -np.inf):
            return sp.oo if value > 0 else -sp.oo
        fraction, exact = rationalise(float(value), dtype)
        if not exact:
            self.note(f"the float {float(value)!r} stands for no simple rational")
        return sp.Rational(fraction.numerator, fraction.denominator)

    def without_floats(self, entry: Any) -> Any:
        """An expression (or number) with its floats made exact."""
        if isinstance(entry, (float, np.floating)):
            return self.number(entry, getattr(entry, "dtype", "float64").__str__())
        entry = sp.sympify(entry)
        floats = entry.atoms(sp.Float)
        return entry.xreplace({f: self.number(float(f), "float64") for f in floats})

    def constant(self, value: Any) -> Any:
        """An array (numpy, jax or scalar) as a value of the interpreter."""
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        if jnp.issubdtype(dtype, jax.dtypes.extended):
            return value
        value = np.asarray(value)
        if value.dtype == object:
            return boxed(value.shape, map(self.without_floats, value.flat))
        if jnp.issubdtype(value.dtype, np.floating):
            name = value.dtype.name
            return boxed(value.shape, (self.number(v, name) for v in value.flat))
        if jnp.issubdtype(value.dtype, np.complexfloating):
            raise NoSymbolicFace(
                f"{self.owner} holds complex numbers; the symbolic face is of real "
                "functions. Split real and imaginary parts.",
                primitive="complex",
            )
        return value

    def lift(self, value: Any) -> np.ndarray:
        """A value as an object array of expressions (native ones are converted)."""
        if is_symbolic(value):
            return value
        value = np.asarray(value)
        if value.dtype == bool:
            return boxed(value.shape, (sp.true if v else sp.false for v in value.flat))
        return boxed(value.shape, (sp.Integer(int(v)) for v in value.flat))

    def settle(self, value: Any, aval: Any) -> Any:
        """Make a rule's output native where it holds decided integers or booleans."""
        if not is_symbolic(value) or is_float(aval):
            return value
        if aval.dtype == np.dtype(bool):
            decided = all(v in (True, False) for v in value.flat)
        else:
            decided = all(isinstance(v, (int, sp.Integer)) for v in value.flat)
        if not decided:
            return value
        kind = bool if aval.dtype == np.dtype(bool) else int
        entries = [kind(v) for v in value.flat]
        return np.array(entries, dtype=aval.dtype).reshape(value.shape)

    # -- equations ------------------------------------------------------------

    def run(self, closed: Any, *args: Any) -> list[Any]:
        """The outputs of a closed jaxpr at these values."""
        consts = [self.constant(c) for c in closed.consts]
        return self.run_open(closed.jaxpr, consts, args)

    def run_open(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list:
        """The outputs of a jaxpr whose constants are given apart."""
        environment: dict[Any, Any] = {}

        def read(atom: Any) -> Any:
            if isinstance(atom, Literal):
                aval: Any = atom.aval
                value = np.asarray(atom.val, dtype=aval.dtype)
                return self.constant(value)
            return environment[atom]

        environment.update(zip(jaxpr.constvars, consts, strict=True))
        environment.update(zip(jaxpr.invars, args, strict=True))
        for eqn in live_equations(jaxpr):
            outputs = self.apply(eqn, [read(v) for v in eqn.invars])
            environment.update(zip(eqn.outvars, outputs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def apply(self, eqn: Any, values: list[Any]) -> list[Any]:
        """The outputs of one equation."""
        name = eqn.primitive.name
        avals = [v.aval for v in eqn.outvars]
        symbolic = any(is_symbolic(v) for v in values)
        try:
            if name in CALL_RULES:
                self.callers.append(eqn)
                outputs = CALL_RULES[name](self, eqn, *values)
                self.callers.pop()
            elif not symbolic and not any(map(is_float, avals)):
                outputs = self.bind(eqn, values)
            elif name in RAW_RULES:
                outputs = RAW_RULES[name](self, eqn, *values)
            elif name in RULES:
                outputs = RULES[name](self, eqn, *map(self.lift, values))
            else:
                outputs = self.in_floating_point(eqn, values)
        except Undecided as reason:
            raise self.refusal(eqn, str(reason)) from None
        if not eqn.primitive.multiple_results:
            outputs = [outputs]
        return [self.settle(v, a) for v, a in zip(outputs, avals, strict=True)]

    def bind(self, eqn: Any, values: Sequence[Any]) -> Any:
        """Let jax evaluate a primitive on native values (integers, booleans, keys)."""
        out = eqn.primitive.bind(*map(jnp.asarray, values), **eqn.params)
        if eqn.primitive.multiple_results:
            return [self.constant(v) for v in out]
        return self.constant(out)

    def in_floating_point(self, eqn: Any, values: Sequence[Any]) -> Any:
        """Evaluate a primitive without a rule at numbers; the result is inexact."""
        name = eqn.primitive.name
        floats = []
        for value, atom in zip(values, eqn.invars, strict=True):
            if is_symbolic(value):
                if not all(is_number(v) for v in value.flat):
                    raise Undecided(f"the primitive '{name}' has no symbolic rule")
                value = np.array([float(v) for v in value.flat]).reshape(value.shape)
                value = value.astype(atom.aval.dtype)
            floats.append(value)
        if values:
            self.note(f"'{name}' was evaluated in floating point")
        return self.bind(eqn, floats)

    def refusal(self, eqn: Any, reason: str) -> NoSymbolicFace:
        """The error that names the primitive, the traced function and the line."""
        source = source_line(eqn, *reversed(self.callers))
        where = f" (called at {source})" if source else ""
        return NoSymbolicFace(
            f"{self.owner} has no symbolic face: {reason}{where}. Accepted are the "
            "primitives of flows.symbolic.supported_primitives(), loops of known "
            f"length up to unroll={self.unroll}, and indices and loop conditions that "
            "depend on no symbol. Write this step with those, or keep to numbers.",
            primitive=eqn.primitive.name,
            source=source,
        )


def live_equations(jaxpr: Any) -> list[Any]:
    """The equations on which the outputs depend, in order."""
    live = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if live.intersection(eqn.outvars):
            kept.append(eqn)
            live.update(v for v in eqn.invars if not isinstance(v, Literal))
    return kept[::-1]


def source_line(*equations: Any) -> str:
    """The user's line that made an equation, or the nearest call around it.

    Lines of installed packages come last; "" where jax does not say.
    """
    try:
        from jax.extend import source_info_util

        lines = [str(source_info_util.summarize(e.source_info)) for e in equations]
    except Exception:  # the text is a courtesy: no version of jax may break on it
        return ""
    lines = [line for line in lines if line]
    own = [line for line in lines if "site-packages" not in line]
    return (own or lines or [""])[0]


def as_fraction(entry: Any) -> Fraction | None:
    """A rational entry as a Fraction, else None."""
    if isinstance(entry, sp.Rational):
        return Fraction(int(entry.p), int(entry.q))
    return None
