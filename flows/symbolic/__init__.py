r"""The symbolic face of a model: a trace of its jax code, read by sympy.

A model, a loss, a scheme's step or an optimiser's update is plain jax code; here
`jax.make_jaxpr` of it is interpreted with exact expressions, so that no second,
hand-written formula of anything exists.

jax2sympy (PyPI 0.0.2) also turns jaxprs into expressions, and was looked at. It serves
sparsity patterns: its constants stay floats, it has no rules for branches, `while`
loops or indices that must be decided, and it leans on private jax modules; so the
interpreter here is our own, built on exact rationals and public names only.

Everything below imports sympy on first use only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.errors import BadInput
from flows.symbolic.results import IdentityResult, Trace

__all__ = [
    "IdentityResult",
    "Trace",
    "equal_symbolically",
    "exactly",
    "latex",
    "latex_of",
    "numerically",
    "supported_primitives",
    "symbol_vector",
    "symbolically",
    "symbols_for_state",
    "symbols_like",
    "trace",
]


def symbolically(fn: Callable[..., Any], *args: Any, unroll: int = 64) -> Any:
    """The outputs of a jax function as sympy expressions of its symbolic arguments.

    Args:
        fn: any jax code: `jax.grad`, `jvp`, `vmap`, `jit`, `where`, scans of known
            length. It may be a method of a model that holds symbols.
        *args: pytrees. A leaf that is a sympy expression is traced as a scalar,
            weakly typed as a Python float is; a numpy object array of expressions
            as an array of jax's default float dtype (integer symbols too: they are
            real numbers to jax). Floats and float arrays are traced as well and
            become the simplest rationals that round back to them. Integers,
            booleans, None and anything else stay what they are.
        unroll: the longest loop with symbols in it that is unrolled.

    Returns:
        The output's pytree. A leaf of shape () is an expression, any other a numpy
        object array of expressions; integers and booleans that depend on no symbol
        stay numpy arrays of their dtype, ready to be passed in again.

    Symbols stand for finite real numbers, whatever their own assumptions say;
    symbols declared positive simplify further (√(x²) = x). Rounding is not modelled,
    and run-time checks (`eqx.error_if`) on symbols are taken as passed.

    Raises:
        NoSymbolicFace: a primitive without a rule met a symbol (the message names
            it, the function and the line), an index or a loop condition depends on
            a symbol, or a loop is longer than `unroll`.
        BadInput: a symbol came in by closure, or is declared not real.
    """
    return trace(fn, *args, unroll=unroll).value


def exactly(fn: Callable[..., Any], *args: Any, unroll: int = 64) -> Any:
    """`symbolically` for proofs: an inexact trace is refused.

    Raises:
        BadInput: a float was met that stands for no simple rational, or something was
            evaluated in floating point; the message says what.
    """
    found = trace(fn, *args, unroll=unroll)
    if not found.exact:
        raise BadInput(f"no proof may rest on this trace: {'; '.join(found.notes)}.")
    return found.value


def trace(fn: Callable[..., Any], *args: Any, unroll: int = 64) -> Trace:
    """`symbolically`, with word of whether the expressions are exact.

    Returns:
        A `Trace`: its `exact` is False where a float was met that stands for no
        simple rational (π, √2, random data; kept as the dyadic fraction it is), or
        where a primitive without a rule was evaluated in floating point; `notes`
        says which. No proof may rest on an inexact trace.
    """
    from flows.symbolic.tracing import trace as run

    return run(fn, *args, unroll=unroll)


def supported_primitives() -> frozenset[str]:
    """Names of the jax primitives that have a symbolic rule."""
    from flows.symbolic.tracing import supported_primitives as names

    return names()


def symbols_like(model: Any, /, **assumptions: dict[str, Any]) -> Any:
    r"""The model with symbols in its float parameters, named after their fields.

    A leaf of shape () in field `tau` becomes the symbol tau, an array a becomes
    a_0_1 and so on; names that would collide carry the path (first_tau). Symbols are
    real; further assumptions come from the field,
    `eqx.field(metadata={"positive": True, "symbol": r"\tau"})`, where `symbol` is
    its LaTeX. Data (modules whose class has `is_data = True`), known facts, integers
    and static fields stay.

    Args:
        model: an `equinox.Module` (or any pytree of them).
        **assumptions: per field (or symbol name), the assumptions that replace the
            field's own: `tau={"positive": True}`.

    Raises:
        BadInput: a keyword names no parameter, or assumptions contradict each other.
    """
    from flows.symbolic import models

    return models.symbols_like(model, assumptions)


def symbol_vector(name: str, n: int, **assumptions: Any) -> Any:
    """Real symbols name_0 … name_{n-1} as a numpy object array of shape [n]."""
    from flows.symbolic import models

    return models.indexed(name, (n,), **assumptions)


def symbols_for_state(y: Any, /, **assumptions: dict[str, Any]) -> Any:
    """A state of y's structure with symbols in its float leaves.

    A plain vector gives x_0 …, a NamedTuple position_0 …, velocity_0 …; integer
    leaves stay.

    Args:
        y: an example state.
        **assumptions: per leaf, the assumptions on its symbols (real by default).
    """
    from flows.symbolic import models

    return models.symbols_for_state(y, assumptions)


def numerically(tree: Any, values: dict[Any, Any]) -> Any:
    """A tree of expressions as floats, at these values of the symbols.

    Args:
        tree: what `symbolically` returned.
        values: a number per symbol; Fractions and rationals enter exactly, floats
            by their exact dyadic value.

    Returns:
        The same tree with numbers: Python floats (or booleans) for expressions,
        numpy arrays for arrays. Thirty digits are carried on the way.

    Raises:
        BadInput: a symbol has no value.
    """
    from flows.symbolic import numeric

    return numeric.numerically(tree, values)


def equal_symbolically(
    a: Any, b: Any, samples: int = 20, seed: int = 0
) -> IdentityResult:
    """Decide a = b for every value of the symbols that their assumptions allow.

    Each difference is brought to one fraction whose numerator is expanded as a
    polynomial in the symbols and in the transcendental and radical atoms, modulo
    the relations between these (r^q = v for a root r of v, e^x e^y = e^(x+y)). Where
    it vanishes the identity is proved, wherever every value on the way is real. Else
    a - b is evaluated with interval arithmetic at random rationals: an interval that
    excludes 0 refutes, rigorously; otherwise nothing is decided.

    Args:
        a: a tree of expressions or numbers.
        b: a tree of the same structure and shapes.
        samples: points tried for a refutation.
        seed: seed of the points.

    Raises:
        BadInput: the trees differ in structure or shape.
    """
    from flows.symbolic import identity

    return identity.equal_symbolically(a, b, samples, seed)


def latex_of(expression: Any) -> str:
    """LaTeX of an expression, or of an array of expressions (as a matrix)."""
    from flows.symbolic import printing

    return printing.latex_of(expression)


def latex(dynamics: Any, y: Any = None) -> str:
    r"""LaTeX of a model's equation, traced where the model is small.

    A flow gives ẋ = …, one line per entry of the state; a model with `noise` and
    `brownian` gives dx = … dt + … dB (Itô). Where no example state is given the
    model's objective supplies a vector state, if it has at most six variables.
    States of more than twelve entries, and models whose code has no symbolic face,
    show the general equation of their source, `dynamics.equation`.

    Args:
        dynamics: a `Flow` (or `Diffusion`).
        y: an example state, or a symbolic one; optional.
    """
    from flows.symbolic import printing

    return printing.equation_of(dynamics, y)
