"""One step of an optax optimiser on one scalar parameter, as expressions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flows import BadInput
from flows.symbolic import symbolically
from flows.symbolic import trace as traced

FAR = 10**9
"""The count at which conditions on it are decided: late, and below int32's end."""


class TracedStep(NamedTuple):
    """One step of an optimiser on λ x²/2 as expressions.

    Attributes:
        entries: symbols of the state's floats, then of x.
        names: their names, the path in the state.
        image: what each becomes.
        start: the values of the floats in a fresh state.
        count: the symbol of the number of steps done before.
        exact: whether every float of the code was taken as an exact number.
    """

    entries: tuple[Any, ...]
    names: tuple[str, ...]
    image: tuple[Any, ...]
    start: tuple[Any, ...]
    count: Any
    exact: bool


def traced_step(
    factory: Callable[..., optax.GradientTransformation],
    hyper: Mapping[str, Any],
    curvature: Any,
) -> TracedStep:
    """The step of an optax optimiser on one scalar parameter, as expressions.

    Raises:
        BadInput: the update could not be traced on one scalar parameter.
        NoSymbolicFace: a primitive of the update has no symbolic rule.
    """
    import sympy as sp

    kinds, names = _entries(factory, hyper)
    n = kinds.count("float")
    z = np.array([sp.Symbol(f"z_{i}", real=True) for i in range(n + 1)], dtype=object)
    count = _count_symbol()

    def step(hyper, curvature, z, count):
        optimizer = optax.with_extra_args_support(factory(**hyper))
        x = z[-1]
        leaves, treedef = jax.tree.flatten(optimizer.init(x))
        floats = iter(z)
        filled = [
            jnp.reshape(next(floats), jnp.shape(leaf)) if kind == "float" else count
            for leaf, kind in zip(leaves, kinds, strict=True)
        ]
        updates, state = optimizer.update(
            curvature * x,
            jax.tree.unflatten(treedef, filled),
            x,
            value=curvature * x**2 / 2,
        )
        new = jax.tree.leaves(state)
        moved = [a for a, kind in zip(new, kinds, strict=True) if kind == "float"]
        return [jnp.reshape(a, ()) for a in moved] + [optax.apply_updates(x, updates)]

    def start(hyper):
        leaves = jax.tree.leaves(factory(**hyper).init(jnp.zeros(())))
        return [a for a, kind in zip(leaves, kinds, strict=True) if kind == "float"]

    try:
        result = traced(step, dict(hyper), curvature, z, count)
    except BadInput:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInput(
            f"the update could not be traced on one scalar parameter: {error}"
        ) from error
    image = tuple(sp.sympify(e) for e in result.value)
    first = tuple(np.ravel(a)[0] for a in symbolically(start, dict(hyper)))
    return TracedStep(tuple(z), (*names, "x"), image, first, count, _is_exact(result))


def _entries(factory: Callable[..., Any], hyper: Mapping[str, Any]) -> tuple:
    """Kinds ("float", "count") of the state's leaves, and names of the floats."""
    stand_in = {k: 0.5 for k in hyper}
    try:
        state = jax.eval_shape(
            lambda hyper: factory(**hyper).init(jnp.zeros(())), stand_in
        )
    except (TypeError, AttributeError) as error:
        raise BadInput(f"no optax optimiser could be built and started: {error}") from (
            error
        )
    kinds, names = [], []
    for path, leaf in jax.tree.leaves_with_path(state):
        name = jax.tree_util.keystr(path)
        if leaf.shape not in ((), (1,)):
            raise BadInput(
                f"the state's entry {name} has shape {leaf.shape} for one parameter: "
                "random keys, histories and factored moments are not linearised."
            )
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            kinds.append("float")
            names.append(name)
        elif jnp.issubdtype(leaf.dtype, jnp.integer):
            kinds.append("count")
        else:
            raise BadInput(f"the state's entry {name} has dtype {leaf.dtype}.")
    return kinds, names


def _is_exact(trace: Any) -> bool:
    """Whether a trace is exact but for the number at which a count is clamped."""
    clamps = [repr(float(np.finfo(d).max)) for d in (np.float64, np.float32)]
    return all(any(c in note for c in clamps) for note in trace.notes)


def late_in(expression: Any, count: Any) -> Any:
    """The expression as the count goes to infinity."""
    import sympy as sp
    from sympy.core.relational import Relational

    if not expression.has(count):
        return expression
    decided = {}
    for relation in expression.atoms(Relational):
        powers = [p for p in relation.atoms(sp.Pow) if p.exp.has(count)]
        if relation.has(count) and not powers:
            decided[relation] = relation.subs(count, FAR)
    for clamp in expression.atoms(sp.Max, sp.Min):
        if clamp.has(count) and not clamp.free_symbols - {count}:
            far = [(float(a.subs(count, FAR)), k) for k, a in enumerate(clamp.args)]
            chosen = max(far) if isinstance(clamp, sp.Max) else min(far)
            decided[clamp] = clamp.args[chosen[1]]
    expression = expression.xreplace(decided)

    def vanishes(e):
        return e.is_Pow and e.exp.has(count) and not e.base.has(count)

    for p in expression.atoms(sp.Pow):
        if vanishes(p) and p.base.is_number and not abs(p.base) < 1:
            raise BadInput(f"a power {p} of the step count does not die out.")
    expression = expression.replace(vanishes, lambda e: sp.Integer(0))
    return sp.limit(expression, count, sp.oo) if expression.has(count) else expression


@functools.cache
def _count_symbol() -> Any:
    """A step count far out: beyond every warm-up, below every overflow."""
    import sympy as sp
    from sympy.multipledispatch import dispatch

    class StepCount(sp.Symbol):
        pass

    # Left undecided, count < 1e308 would make powers of a clamped count be formed.
    @dispatch(StepCount, sp.Rational)
    def _eval_is_ge(lhs, rhs):  # pyright: ignore
        return bool(rhs <= FAR)

    @dispatch(sp.Rational, StepCount)
    def _eval_is_ge(lhs, rhs):  # pyright: ignore
        return bool(lhs >= FAR)

    return StepCount("count", integer=True, positive=True)
