"""Lyapunov functions in inner products: V and dV/dt, the same in every dimension.

A Lyapunov function is jax code V(flow, t, y); its derivative is the flow's own
generator applied to it. Both are traced on a first-order jet of a loss (value and
gradient at one point, nothing else) with the minimiser at 0, and written in

    f - f*,   ⟨e, e⟩, ⟨e, v⟩, ⟨e, g⟩, ⟨v, v⟩, ⟨v, g⟩, ⟨g, g⟩,

e = x - x*, v the velocity, g = ∇f(x). One expression then serves a proof, a trajectory
(arrays of numbers) and a semidefinite program (unknown points of a Gram matrix).
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

from flows import Fact, Facts, Flow, Objective
from flows.errors import BadInput
from flows.symbolic import exactly, symbols_for_state, symbols_like

_COORDINATES = 2
_NAMES = {"position": "e", "velocity": "v"}


@jax.custom_jvp
def _slope(x, slope):
    """The gradient of a jet, which has no derivative."""
    del x
    return slope


@_slope.defjvp
def _refuse(primals, tangents):
    raise BadInput(
        "a Lyapunov function in inner products knows f and ∇f at one point: nothing "
        "here may differentiate ∇f (a model or a V with the Hessian in it)."
    )


class Jet(Objective):
    """A loss known to first order at one point x: f(x) - f* and ∇f(x); x* = 0.

    Attributes:
        gap: f(x) - f*.
        slope: ∇f(x), shape [n].
    """

    facts: Facts
    gap: Float[Array, ""]
    slope: Float[Array, " n"]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.slope.shape[0]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x) - f*, with derivative ∇f(x)·dx."""
        del batch
        return self.gap + jnp.sum(self.slope * (x - jax.lax.stop_gradient(x)))

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """∇f(x)."""
        del batch
        return _slope(x, self.slope)


def jet(n: int = _COORDINATES) -> Jet:
    """A jet on R^n whose numbers are to be replaced by symbols (`symbols_like`)."""
    facts = Facts(
        minimiser=Fact(np.zeros(n), "the origin"), minimum=Fact(0.0, "the zero of f")
    )
    return Jet(facts, jnp.zeros(()), jnp.zeros(n))


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
    """The symbol of an inner product, as `inner("e", "g")`; the order is no matter."""
    import sympy as sp

    first, second = sorted((first, second))
    return sp.Symbol(f"<{first},{second}>", real=True)


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
            is a velocity.
    """

    value: Any
    derivative: Any
    vectors: tuple[str, ...]

    def at(self, **numbers: Any) -> LyapunovPair:
        """The pair with numbers for its time and parameters, floats taken exactly.

        Args:
            **numbers: symbol's name -> number, as t=2.5, friction=3.

        Raises:
            BadInput: no symbol of that name.
        """
        import sympy as sp

        named = {s.name: s for s in self.value.free_symbols}
        named |= {s.name: s for s in self.derivative.free_symbols}
        table = {}
        for name, number in numbers.items():
            if name not in named:
                known = ", ".join(sorted(named))
                raise BadInput(f"no symbol {name!r} in V and dV/dt; they have {known}.")
            table[named[name]] = sp.Rational(str(number))
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
            vectors: "e", "g", and "v" where the flow has a velocity.
            product: the inner product of two of them.
            **further: values of what is still a symbol, as arrays of times.

        Returns:
            V and dV/dt, of the type of the products.
        """
        import sympy as sp

        pairs = itertools.combinations_with_replacement(sorted(self.vectors), 2)
        names = list(pairs)
        free = (self.value.free_symbols | self.derivative.free_symbols) - {
            gap_symbol(),
            *(inner(*pair) for pair in names),
        }
        left = sorted(free, key=str)
        unknown = [s.name for s in left if s.name not in further]
        if unknown:
            raise BadInput(f"V and dV/dt have no number for {', '.join(unknown)}.")
        symbols = [gap_symbol(), *(inner(*pair) for pair in names), *left]
        values = [gap, *(product(vectors[a], vectors[b]) for a, b in names)]
        values += [further[s.name] for s in left]
        both = sp.lambdify(symbols, [self.value, self.derivative], modules="numpy")
        value, derivative = both(*values)
        return value, derivative


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
            work element by element), or would need the Hessian.
    """
    import sympy as sp

    t = sp.Symbol("t", positive=True)
    flow = symbols_like(build(jet()))
    y = symbols_for_state(start(jnp.zeros(_COORDINATES)))

    def pair(flow, t, y, constants):
        def phi(t, y):
            return lyapunov(flow, t, y, **constants)

        return phi(t, y), flow.generator(phi)(t, y)

    value, derivative = exactly(pair, flow, t, y, constants)
    parts = _vectors(flow, y)
    table = {flow.objective.gap: gap_symbol()}
    return LyapunovPair(
        _in_products(sp.sympify(value).xreplace(table), parts),
        _in_products(sp.sympify(derivative).xreplace(table), parts),
        tuple(sorted(parts)),
    )


def _vectors(flow: Any, y: Any) -> dict[str, list[Any]]:
    """Name of each vector -> its components, symbols."""
    found = {"g": list(flow.objective.slope)}
    fields = y._asdict() if hasattr(y, "_asdict") else {"position": y}
    for name, leaf in fields.items():
        if name not in _NAMES or np.shape(leaf) != (_COORDINATES,):
            raise BadInput(
                "inner products know a position and a velocity; the state of "
                f"{type(flow).__name__} also has {name!r}."
            )
        found[_NAMES[name]] = list(leaf)
    return found


def _in_products(expression: Any, vectors: Mapping[str, list[Any]]) -> Any:
    """An expression in components as one in inner products.

    The coefficient of ⟨a, b⟩ is that of a_0 b_0 (and b_0 a_0); what the products so
    found do not rebuild, over both coordinates, is no function of them.
    """
    import sympy as sp

    components = [c for entries in vectors.values() for c in entries]
    wrong = BadInput(
        "not a function of inner products: the model or V works element by element, "
        "or is no quadratic form in x - x*, x' and ∇f."
    )
    try:
        polynomial = sp.Poly(sp.expand(expression), *components)
    except sp.PolynomialError:
        raise wrong from None
    rest = polynomial.as_expr()
    total = polynomial.coeff_monomial(1)
    for a, b in itertools.combinations_with_replacement(sorted(vectors), 2):
        pairs = list(zip(vectors[a], vectors[b], strict=True))
        factor = polynomial.coeff_monomial(pairs[0][0] * pairs[0][1])
        rest -= factor * sum(p * q for p, q in pairs)
        total += factor * inner(a, b)
    if sp.simplify(sp.expand(rest - polynomial.coeff_monomial(1))) != 0:
        raise wrong
    return sp.collect(sp.expand(total), [inner("e", "g"), gap_symbol()])


@eqx.filter_jit
def _along(flow, times, states, lyapunov):
    def at(t, y):
        x = flow.position(y)
        found = {
            "gap": excess(flow, x),
            "e": displacement(flow, x),
            "g": flow.objective.gradient(x),
        }
        if hasattr(y, "velocity"):
            found["v"] = y.velocity
        return lyapunov(flow, t, y), found

    return jax.vmap(at)(times, states)


def along(
    flow: Flow, times: Float[Array, " times"], states: Any, lyapunov: Callable[..., Any]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """V itself, and f - f*, e, v, g at the states of a run, for `LyapunovPair.on`.

    Args:
        flow: the model with a loss whose minimiser and minimum are facts.
        times: shape [times].
        states: states with that leading axis.
        lyapunov: V, as in `lyapunov_pair`; one function is compiled once.

    Returns:
        V in floating point, shape [times]; and "gap", shape [times], "e", "g" and,
        where there is one, the velocity "v", shape [times, n].
    """
    value, found = _along(flow, jnp.asarray(times), states, lyapunov)
    return np.asarray(value), {k: np.asarray(v) for k, v in found.items()}
