"""Lyapunov functions in inner products: V and dV/dt, the same in every dimension.

A Lyapunov function is jax code V(flow, t, y); its derivative is the flow's own
generator applied to it. Both are traced on a jet of a loss (value, gradient and Hessian
at one point, nothing else) with the minimiser at 0, and written in

    f - f*,   ⟨a, b⟩,   ⟨a, Hb⟩,   ⟨Ha, Hb⟩,   a and b among e, v, g, p,

e = x - x*, v the velocity, g = ∇f(x), H = ∇²f(x), p the ψ of an inertial-Newton flow.
One expression then serves a proof (`proofs_check.certificates`), a trajectory (arrays
of numbers) and a semidefinite program (unknown points of a Gram matrix).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows import Flow, Objective
from flows.errors import BadInput
from flows.symbolic import exactly, symbols_for_state, symbols_like
from proofs_check.jets import jet

_COORDINATES = 2
_NAMES = {"position": "e", "velocity": "v", "psi": "p"}


def excess(flow: Any, x: Float[Array, " n"]) -> Any:
    """f(x) - f*, the minimum being a fact of the flow's objective."""
    return flow.objective.value(x) - _known(flow, "minimum")


def displacement(flow: Any, x: Float[Array, " n"]) -> Any:
    """The vector x - x*, the minimiser being a fact of the flow's objective."""
    return x - jnp.asarray(_known(flow, "minimiser"))


def _known(flow: Any, name: str) -> Any:
    fact = getattr(flow.objective.facts, name)
    if fact is None:
        raise BadInput(f"a Lyapunov function needs the {name} among the facts of f.")
    return fact.value


def inner(first: str, second: str) -> Any:
    """The symbol of an inner product, as `inner("e", "g")` or `inner("v", "Hv")`.

    The order is no matter, nor is on which side one Hessian stands: it is symmetric.
    """
    import sympy as sp

    return sp.Symbol("<{},{}>".format(*_ordered(first, second)), real=True)


def _ordered(first: str, second: str) -> tuple[str, str]:
    """The names in alphabetic order of their vectors, a single H on the second."""
    hessians = (first + second).count("H")
    a, b = sorted((first[-1:], second[-1:]))
    if hessians > 2 or len(first + second) != 2 + hessians or "" in (a, b):
        raise BadInput(f"no inner product of {first!r} and {second!r}: as e, v, g, Hv.")
    left, right = "H" if hessians == 2 else "", "H" if hessians else ""
    return left + a, right + b


def factors(symbol: Any) -> tuple[str, str] | None:
    """The names in the symbol of an inner product; None for any other symbol."""
    name = symbol.name
    if not name.startswith("<"):
        return None
    first, second = name[1:-1].split(",")
    return first, second


def products_in(expression: Any) -> list[Any]:
    """The symbols of f - f* and of inner products in an expression, by name."""
    import sympy as sp

    free = sp.sympify(expression).free_symbols
    gap = gap_symbol()
    return sorted((s for s in free if s == gap or factors(s)), key=str)


def gap_symbol() -> Any:
    """The symbol of f - f*."""
    import sympy as sp

    return sp.Symbol("gap", nonnegative=True)


def convexity(strong: Any = 0) -> Any:
    """⟨e, g⟩ - (f - f*) - (μ/2) |e|², which is >= 0 for every μ-strongly convex f."""
    return inner("e", "g") - gap_symbol() - strong * inner("e", "e") / 2


def squared(**coefficients: Any) -> Any:
    """|Σ c_a a|² in inner products, as `squared(g=1, e=-mu)`."""
    terms = coefficients.items()
    return sum(p * q * inner(a, b) for a, p in terms for b, q in terms)


@dataclass(frozen=True)
class LyapunovPair:
    """V and dV/dt along a flow, as sympy expressions in inner products.

    Attributes:
        value: V, in t, the parameters, f - f* and inner products.
        derivative: dV/dt, likewise.
        vectors: names of the vectors that the flow has: "e", "g", and "v" where there
            is a velocity, "p" where there is a ψ.
    """

    value: Any
    derivative: Any
    vectors: tuple[str, ...]

    @property
    def curved(self) -> tuple[str, ...]:
        """Names of the vectors whose Hessian product enters, as "v" for Hv."""
        found = (factors(s) for s in self._symbols())
        names = {name for pair in found if pair for name in pair}
        return tuple(sorted(name[-1] for name in names if name.startswith("H")))

    def _symbols(self) -> set[Any]:
        return self.value.free_symbols | self.derivative.free_symbols

    def at(self, **numbers: Any) -> LyapunovPair:
        """The pair with numbers for its time and parameters.

        Args:
            **numbers: symbol's name -> number, as t=2.5, friction=3, scale="1/3" or
                sympy.sqrt(2). A float counts as its shortest decimal: 0.1 is 1/10.

        Raises:
            BadInput: no symbol of that name, or no finite real number.
        """
        named = {s.name: s for s in self._symbols()}
        table = {}
        for name, number in numbers.items():
            if name not in named:
                known = ", ".join(sorted(named))
                raise BadInput(f"no symbol {name!r} in V and dV/dt; they have {known}.")
            table[named[name]] = _exact(name, number)
        return replace(
            self,
            value=self.value.subs(table),
            derivative=self.derivative.subs(table),
        )

    def on(
        self,
        gap: Any,
        vectors: Mapping[str, Any],
        product: Callable[[Any, Any], Any],
        **further: Any,
    ) -> tuple[Any, Any]:
        """V and dV/dt at given vectors, of whatever kind has these products.

        Args:
            gap: f - f*.
            vectors: "e", "g", and "v" where the flow has a velocity; "Hv" and the like
                for the names in `curved`.
            product: the inner product of two of them.
            **further: values of what is still a symbol, as arrays of times.

        Returns:
            V and dV/dt, of the type of the products.
        """
        import sympy as sp

        names = sorted(filter(None, map(factors, self._symbols())))
        symbols = [gap_symbol(), *(inner(*pair) for pair in names)]
        left = sorted(self._symbols() - set(symbols), key=str)
        unknown = [s.name for s in left if s.name not in further]
        if unknown:
            raise BadInput(f"V and dV/dt have no number for {', '.join(unknown)}.")
        values = [gap, *(product(vectors[a], vectors[b]) for a, b in names)]
        values += [further[s.name] for s in left]
        symbols += left
        both = sp.lambdify(symbols, [self.value, self.derivative], modules="numpy")
        value, derivative = both(*values)
        return value, derivative


def _exact(name: str, number: Any) -> Any:
    """A number for sympy: an expression as it is, all others by their decimals."""
    import sympy as sp

    value = number
    if isinstance(number, sp.Float) or not isinstance(number, sp.Basic):
        try:
            value = sp.Rational(str(number))
        except (TypeError, ValueError, ZeroDivisionError):
            value = sp.nan
    if value.is_number and value.is_real and value.is_finite:
        return value
    raise BadInput(f"{name} is one finite real number, as 2.5; got {number!r:.60}.")


def lyapunov_pair(
    build: Callable[[Objective], Flow],
    lyapunov: Callable[..., Any],
    start: Callable[[Any], Any] = lambda x: x,
    **constants: Any,
) -> LyapunovPair:
    """V and dV/dt = L V of a flow, traced and written in inner products.

    Args:
        build: objective -> flow; its float parameters become symbols of their names.
        lyapunov: jax code (flow, t, y, **constants) -> V; f and the minimiser come
            from the flow's objective (`excess`, `displacement`).
        start: a position -> a state of the flow, whose fields are position and
            velocity; the position itself by default.
        **constants: further numbers or symbols of V.

    Returns:
        The pair, in the symbol t > 0, the parameters, and the products.

    Raises:
        BadInput: V or its derivative is no function of inner products (models that
            work element by element), or would need a third derivative of f.
    """
    import sympy as sp

    t = sp.Symbol("t", positive=True)
    flow = symbols_like(build(jet(_COORDINATES)))
    y = symbols_for_state(start(jnp.zeros(_COORDINATES)))

    def pair(flow, t, y, constants):
        def phi(t, y):
            return lyapunov(flow, t, y, **constants)

        return phi(t, y), flow.generator(phi)(t, y)

    value, derivative = exactly(pair, flow, t, y, constants)
    parts, hessian = _vectors(flow, y), flow.objective.curvature
    table = {flow.objective.gap: gap_symbol(), hessian[1, 0]: hessian[0, 1]}
    hessian = np.vectorize(lambda entry: table.get(entry, entry))(hessian)
    return LyapunovPair(
        _in_products(sp.sympify(value).xreplace(table), parts, hessian),
        _in_products(sp.sympify(derivative).xreplace(table), parts, hessian),
        tuple(sorted(parts)),
    )


def _vectors(flow: Any, y: Any) -> dict[str, np.ndarray]:
    """Name of each vector -> its components, symbols."""
    found = {"g": flow.objective.slope}
    fields = y._asdict() if hasattr(y, "_asdict") else {"position": y}
    for name, leaf in fields.items():
        if name not in _NAMES or np.shape(leaf) != (_COORDINATES,):
            raise BadInput(
                "inner products know a position and a velocity (or ψ); the state of "
                f"{type(flow).__name__} also has {name!r}."
            )
        found[_NAMES[name]] = leaf
    return found


def _in_products(
    expression: Any, vectors: Mapping[str, np.ndarray], hessian: np.ndarray
) -> Any:
    """An expression in components as one in inner products.

    The coefficient of ⟨a, b⟩ is that of a_0 b_0, of ⟨a, Hb⟩ that of a_0 H_00 b_0, and
    so on; what the products so found do not rebuild, over both coordinates, is no
    function of them.
    """
    import sympy as sp

    entries = [hessian[0, 0], hessian[0, 1], hessian[1, 1]]
    wrong = BadInput(
        "not a function of inner products: the model or V works element by element, "
        "or is no quadratic form in x - x*, x', ∇f and their Hessian products."
    )
    components = [c for vector in vectors.values() for c in vector]
    try:
        polynomial = sp.Poly(sp.expand(expression), *components, *entries)
    except sp.PolynomialError:
        raise wrong from None
    total = constant = polynomial.coeff_monomial(1)
    rest = polynomial.as_expr() - constant
    for a, b in itertools.combinations_with_replacement(sorted(vectors), 2):
        u, w = vectors[a], vectors[b]
        kinds = {
            (a, b): (u @ w, u[0] * w[0]),
            (a, "H" + b): (u @ hessian @ w, u[0] * w[0] * entries[0]),
            ("H" + a, "H" + b): (
                (hessian @ u) @ (hessian @ w),
                u[0] * w[0] * entries[0] ** 2,
            ),
        }
        for pair, (product, leading) in kinds.items():
            factor = polynomial.coeff_monomial(leading)
            if factor != 0:
                rest -= factor * product
                total += factor * inner(*pair)
    if sp.simplify(sp.expand(rest)) != 0:
        raise wrong
    return sp.collect(sp.expand(total), [inner("e", "g"), gap_symbol()])


@eqx.filter_jit
def _along(flow, times, states, lyapunov, curved):
    def at(t, y):
        x = flow.position(y)
        found = {"g": flow.objective.gradient(x)}
        if flow.objective.facts.minimiser is not None:
            found["e"] = displacement(flow, x)
        for name in set(_NAMES) & set(getattr(y, "_fields", ())) - {"position"}:
            found[_NAMES[name]] = getattr(y, name)
        for name in curved:
            found["H" + name] = flow.objective.hvp(x, found[name])
        return lyapunov(flow, t, y), excess(flow, x), found

    return jax.vmap(at)(times, states)


def along(
    flow: Flow,
    times: Float[Array, " times"],
    states: Any,
    lyapunov: Callable[..., Any],
    curved: tuple[str, ...] = (),
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """V itself, and f - f*, e, v, g at the states of a run, for `LyapunovPair.on`.

    Args:
        flow: the model with a loss whose minimum is a fact, and its minimiser where V
            has e in it.
        times: shape [times].
        states: states with that leading axis.
        lyapunov: V, as in `lyapunov_pair`; one function is compiled once.
        curved: names of the vectors whose Hessian product is wanted too
            (`LyapunovPair.curved`).

    Returns:
        V in floating point, shape [times]; and "gap", shape [times], "e", "g" and,
        where there is one, the velocity "v" (or "p"), and "Hv" and the like, shape
        [times, n].
    """
    value, gap, found = _along(flow, jnp.asarray(times), states, lyapunov, curved)
    arrays = {k: np.asarray(v) for k, v in {"gap": gap, **found}.items()}
    return np.asarray(value), arrays
