"""One step of an optimiser or a scheme on f = λ x²/2, linearised at rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from discretize.traced_step import late_in, traced_step
from flows import BadInput, Facts, Flow, GradientFlow, Objective, Scheme
from flows.symbolic import trace as traced


class Quadratic(Objective):
    """f(x) = λ x²/2 on R, with the curvature λ a leaf.

    Attributes:
        curvature: λ (1/time).
    """

    facts: Facts
    curvature: Float[Array, ""]

    @property
    def size(self) -> int:
        """1."""
        return 1

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """λ x²/2."""
        del batch
        return self.curvature * jnp.sum(x**2) / 2


class Linearisation(NamedTuple):
    """The linear part of a step at rest.

    Attributes:
        matrix: Jacobian, a sympy Matrix; the position is the last coordinate.
        blocks: coefficient lists (highest power first) of the characteristic
            polynomials of the strongly coupled groups of coordinates.
        exact: whether every float of the code was taken as an exact number.
    """

    matrix: Any
    blocks: tuple[tuple[Any, ...], ...]
    exact: bool


def linearised_optimizer(
    factory: Callable[..., optax.GradientTransformation],
    hyper: Mapping[str, Any],
    curvature: Any,
) -> Linearisation:
    """The linear part of (state, x) ↦ next of an optax optimiser on λ x²/2, at rest.

    The update is traced with the state's floats as symbols and the step count as a
    symbol that goes to infinity: a power b^(count + 1) is sent to 0 (|b| < 1 is
    presumed of symbols), conditions on the count are decided far out. Entries that
    never change (injected hyperparameters) count as parameters. Where a square root of
    a moment that vanishes at rest spoils the derivative (Adam without eps_root), that
    moment goes to 0+ last; it is of second order in x, so the linear part is right.

    Args:
        factory: hyperparameters -> optimiser.
        hyper: name -> number, expression or symbol.
        curvature: λ, usually a positive symbol.

    Raises:
        BadInput: the update is not differentiable at rest (sign, normalised and
            ε = 0 methods), draws noise, or has an entry that only accumulates.
        NoSymbolicFace: a primitive of the update has no symbolic rule.
    """
    step = traced_step(factory, hyper, curvature)
    n = len(step.entries) - 1
    image = [late_in(e, step.count) for e in step.image]
    z = step.entries
    fixed = {z[i]: step.start[i] for i in range(n) if image[i] == z[i]}
    moving = [i for i in range(n + 1) if z[i] not in fixed]
    image = [image[i].xreplace(fixed) for i in moving]
    matrix = _at_rest(image, [z[i] for i in moving], [step.names[i] for i in moving])
    return Linearisation(matrix, blocks_of(matrix), step.exact)


def linearised_scheme(
    scheme: Scheme,
    curvature: Any,
    h: Any,
    flow: Callable[[Objective], Flow] = GradientFlow,
    rest: Any = None,
    t: Any = 0.0,
) -> Linearisation:
    """The linear part of a scheme's step on a flow of λ x²/2, at rest.

    Args:
        scheme: a deterministic scheme without memory.
        curvature: λ.
        h: step size.
        flow: objective on R -> flow.
        rest: the flow's state at rest (default: the position 0).
        t: time of the step.

    Raises:
        BadInput: noise or memory in the scheme, a state that the step moves.
        NoSymbolicFace: a primitive of the step has no symbolic rule.
    """
    import sympy as sp

    rest = jnp.zeros(1) if rest is None else rest
    step = scheme_step(scheme, flow, rest, t)
    values = [float(a) for leaf in jax.tree.leaves(rest) for a in np.ravel(leaf)]
    z = np.array([sp.Symbol(f"z_{i}", real=True) for i in range(len(values))])
    result = traced(step, sp.sympify(curvature), sp.sympify(h), z)
    image = [sp.expand(e) for e in result.value]
    table = {s: sp.nsimplify(v) for s, v in zip(z, values, strict=True)}
    matrix = sp.Matrix(image).jacobian(list(z)).xreplace(table).applyfunc(sp.cancel)
    _require_numbers(matrix, "the step")
    return Linearisation(matrix, blocks_of(matrix), result.exact)


def scheme_step(
    scheme: Scheme, flow: Callable[[Objective], Flow], rest: Any, t: Any
) -> Callable[[Any, Any, Any], Any]:
    """One step as a function (λ, h, z) -> z', with z the state as a flat vector."""
    from jax.flatten_util import ravel_pytree

    unravel = ravel_pytree(rest)[1]

    def step(curvature, h, z):
        # diffrax tells python numbers and weakly typed scalars from arrays
        curvature, h, time = (jnp.asarray(a, z.dtype) for a in (curvature, h, t))
        dynamics = flow(Quadratic(Facts(), curvature))
        y = unravel(z)
        if scheme.noise_like(dynamics, y) is not None:
            raise BadInput(f"{type(scheme).__name__} draws noise: no linear stability.")
        carry = scheme.init(dynamics, time, y)
        return ravel_pytree(scheme.step(dynamics, time, y, h, None, carry).y)[0]

    return step


def _at_rest(image: list[Any], z: list[Any], names: list[str]) -> Any:
    import sympy as sp

    x = z[-1]
    rest = {x: sp.Integer(0)}
    for new, entry, name in zip(image[:-1], z[:-1], names, strict=False):
        rest[entry] = _fixed_point(new.xreplace({x: sp.Integer(0)}), entry, name)
    jacobian = without_kinks(sp.Matrix(image).jacobian(z), rest)
    failure = BadInput("")
    orders: list[list[Any]] = [[]] + [[e] for e in z[:-1]]
    for last in orders:
        early = {k: v for k, v in rest.items() if k not in last}
        try:
            matrix = jacobian.xreplace(early).xreplace(rest).applyfunc(_tidy)
            _require_numbers(matrix, "the update")
        except (BadInput, ZeroDivisionError) as error:
            failure = error
            continue
        still = [e.xreplace(early).xreplace(rest) for e in image]
        if all(sp.simplify(a - rest[b]) == 0 for a, b in zip(still, z, strict=True)):
            return matrix
        failure = BadInput("the minimiser is no fixed point of the update.")
    raise BadInput(
        f"no linear part at the minimiser: {failure} Methods that divide by a norm or "
        "take signs there have none; Adam needs eps > 0 or eps_root > 0."
    )


def without_kinks(jacobian: Any, rest: dict[Any, Any]) -> Any:
    """The Jacobian with a marker for every choice that is a tie at rest.

    sympy would take Heaviside(0) = 1/2, and a branch that holds at the point alone.
    The markers are unknowns: they must drop out (as where m = 0 multiplies them).
    """
    import sympy as sp
    from sympy.core.relational import Relational

    table = {}
    for e in jacobian.atoms(sp.Heaviside, sp.sign):
        if not sp.sympify(e.args[0].xreplace(rest)).is_nonzero:
            table[e] = sp.Dummy("kink")
    for relation in jacobian.atoms(Relational):
        gap = (relation.lhs - relation.rhs).xreplace(rest)
        if relation.free_symbols & set(rest) and not sp.sympify(gap).is_nonzero:
            table |= {
                e: sp.Dummy("kink")
                for e in jacobian.atoms(sp.Piecewise)
                if e.has(relation)
            }
    return jacobian.xreplace(table)


def _fixed_point(new: Any, entry: Any, name: str) -> Any:
    """The value at which an entry of the state rests (0 where it can)."""
    import sympy as sp

    at_zero = new.xreplace({entry: sp.Integer(0)})
    slope = sp.diff(new, entry)
    if sp.simplify(slope - 1) == 0:
        raise BadInput(
            f"the state's entry {name} only accumulates: there is no state at rest."
        )
    return sp.Integer(0) if at_zero == 0 else _solved(new, entry)


def _solved(new: Any, entry: Any) -> Any:
    import sympy as sp

    others = {s: sp.Integer(0) for s in new.free_symbols if str(s).startswith("z_")}
    others.pop(entry, None)
    new = new.xreplace(others)
    guess = new.xreplace({entry: sp.Integer(0)})
    if new.xreplace({entry: guess}) == guess:
        return guess
    try:
        found = sp.solve(sp.Eq(new, entry), entry)
    except NotImplementedError:
        found = []
    return found[0] if len(found) == 1 else sp.Integer(0)


def _tidy(entry: Any) -> Any:
    import sympy as sp

    return sp.cancel(sp.together(entry))


def _require_numbers(matrix: Any, what: str) -> None:
    import sympy as sp

    bad = (sp.nan, sp.zoo, sp.oo, -sp.oo)
    rough = (sp.DiracDelta, sp.Heaviside, sp.sign, sp.Derivative, sp.Subs)
    for entry in matrix:
        if entry.has(*bad) or entry.has(*rough) or entry.atoms(sp.Dummy):
            raise BadInput(f"{what} is not differentiable there.")


def blocks_of(matrix: Any) -> tuple[tuple[Any, ...], ...]:
    """Characteristic polynomials of the strongly connected groups of coordinates."""
    import sympy as sp
    from scipy.sparse.csgraph import connected_components

    links = np.array([[int(e != 0) for e in row] for row in matrix.tolist()])
    groups, label = connected_components(links, directed=True, connection="strong")
    z = sp.Symbol("z")
    blocks = []
    for group in range(groups):
        chosen = [int(i) for i in np.flatnonzero(label == group)]
        polynomial = matrix.extract(chosen, chosen).charpoly(z)
        blocks.append(tuple(_tidy(c) for c in polynomial.all_coeffs()))
    return tuple(sorted(blocks, key=len))


@functools.cache
def curvature_symbol() -> Any:
    """The positive symbol λ."""
    import sympy as sp

    return sp.Symbol("lambda", positive=True)
