"""Moment equations: d/dt E[y^α] = Σ A_αβ E[y^β] + b_α, from the generator alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flows.dynamics import Dynamics, State
from flows.errors import BadInput
from flows.symbolic import symbols_for_state
from flows.symbolic import trace as symbolic_trace

_LEAK = 1e-8
_EXTRA = 2  # degrees above the asked one that the numeric route looks at


class Moment(NamedTuple):
    """The moment E[y^α], or E[y^α 1{label = i}] for a process with labels.

    Attributes:
        exponents: α, one a float in the state, in the state's order.
        label: i, or None.
    """

    exponents: tuple[int, ...]
    label: int | None = None

    @property
    def degree(self) -> int:
        """|α|, the sum of the exponents."""
        return sum(self.exponents)


@dataclass(frozen=True)
class MomentSystem:
    """The closed linear system m' = A m + b of the moments up to a degree.

    Attributes:
        moments: what m holds, in order; with labels, the probabilities come first.
        names: the variables' names, in the order of the exponents.
        matrix: A, shape [k, k], in 1/time: expressions (an object array) or floats.
        forcing: b, shape [k].
        exact: whether every entry is exact (never on the numeric route).
    """

    moments: tuple[Moment, ...]
    names: tuple[str, ...]
    matrix: Any
    forcing: Any
    exact: bool = True
    _places: Mapping[Moment, int] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        places = {m: k for k, m in enumerate(self.moments)}
        object.__setattr__(self, "_places", places)

    @property
    def symbolic(self) -> bool:
        """Whether the entries are expressions."""
        return self.matrix.dtype == object

    def row(self, *exponents: int, label: int | None = None) -> int:
        """The row of a moment, by its exponents."""
        moment = Moment(tuple(exponents), label)
        if moment not in self._places:
            raise BadInput(f"no moment {exponents} with label {label} in this system.")
        return self._places[moment]

    def name(self, moment: Moment) -> str:
        """The moment as text, E[x^2 v; label 1]."""
        return f"E[{_monomial(self.names, moment)}]"

    def abscissa(self) -> float:
        """The largest real part of A's eigenvalues (1/time), mass conserved apart.

        Stationary moments of this degree exist only if it is negative.

        Raises:
            BadInput: the entries are expressions.
        """
        if self.symbolic:
            raise BadInput('the entries are expressions: take route="numeric".')
        values = np.asarray(np.linalg.eigvals(self.matrix))
        if self.moments[0].label is not None:
            values = np.delete(values, np.argmin(np.abs(values)))
        return float(np.max(np.real(values)))

    def stationary(self) -> dict[Moment, Any]:
        """The solution of A m + b = 0 (with labels: of total probability 1).

        For expressions this is the candidate: where the true system is unstable there
        is no stationary law with these moments, and the numeric route says so.

        Raises:
            BadInput: no unique solution, or (numeric) a system that is not stable.
        """
        solve = _solve_exactly if self.symbolic else _solve_numerically
        return dict(zip(self.moments, solve(self), strict=True))


def moment_equations(
    dynamics: Dynamics,
    degree: Any,
    *,
    y: State,
    route: str = "symbolic",
) -> MomentSystem:
    """The moment equations of a model whose generator keeps polynomials of a degree.

    The numeric route evaluates the same generator at random points and fits
    polynomials: a second way to the same matrix, for models without symbols.

    Args:
        dynamics: the model; it may hold symbols (`flows.symbols_like`) on the
            symbolic route. With labels it has `labels`, their number.
        degree: the highest total degree, at least 1.
        y: an example state, for its shapes.
        route: "symbolic" (exact) or "numeric" (floats).

    Raises:
        BadInput: L maps a monomial out of the polynomials of this degree (the message
            names both), or to no polynomial at all.
        NoSymbolicFace: (symbolic) the model's code cannot be traced.
    """
    if not isinstance(degree, int) or degree < 1:
        raise BadInput(f"degree is a whole number of at least 1; got {degree!r}.")
    if route not in ("symbolic", "numeric"):
        raise BadInput(f'route is "symbolic" or "numeric"; got {route!r}.')
    moments = _moments(dynamics, degree, y)
    image = _images_exactly if route == "symbolic" else _images_numerically
    images, names, exact = image(dynamics, moments, y, degree)
    return _assemble(moments, images, names, exact, degree, route)


def stationary_moments(
    dynamics: Dynamics,
    degree: int,
    *,
    y: State,
    route: str = "symbolic",
) -> dict[Moment, Any]:
    """The moments up to a degree of the stationary law (see `moment_equations`)."""
    return moment_equations(dynamics, degree, y=y, route=route).stationary()


def generator_images(
    dynamics: Dynamics, degree: int, *, y: State
) -> dict[Moment, dict[Moment, Any]]:
    """L of every monomial up to a degree, as polynomials with exact coefficients.

    With labels, L(y^α 1{label = j}) is given by its monomials y^β 1{label = i}.

    Raises:
        BadInput: an image that is no polynomial, or a trace that is not exact (a float
            that stands for no simple rational).
    """
    moments = _moments(dynamics, degree, y, constants=True)
    images, _, exact = _images_exactly(dynamics, moments, y, degree)
    if not exact:
        raise BadInput(
            f"the generator of {type(dynamics).__name__} holds floats that stand for "
            "no simple rational, so nothing exact follows: give symbols or fractions."
        )
    return images


def _floats(y: State) -> list[Any]:
    return [a for a in jax.tree.leaves(y) if not _is_label(a)]


def _is_label(leaf: Any) -> bool:
    return isinstance(leaf, int) or (
        hasattr(leaf, "dtype") and np.issubdtype(leaf.dtype, np.integer)
    )


def _label_count(dynamics: Dynamics, y: State) -> int | None:
    labels = [a for a in jax.tree.leaves(y) if _is_label(a)]
    if not labels:
        return None
    count = getattr(dynamics, "labels", None)
    if len(labels) > 1 or np.ndim(labels[0]) or not isinstance(count, int):
        raise BadInput(
            "moments are split by one scalar integer label, and the model's `labels` "
            f"says how many there are; {type(dynamics).__name__} with the state {y} "
            "does not fit."
        )
    return count


def _with_label(y: State, label: int | None) -> State:
    return jax.tree.map(lambda a: label if _is_label(a) else a, y)


def _exponents(size: int, degree: int) -> list[tuple[int, ...]]:
    every = itertools.product(range(degree + 1), repeat=size)
    return sorted(
        (a for a in every if sum(a) <= degree), key=lambda a: (sum(a), [-k for k in a])
    )


def _moments(dynamics, degree, y, constants=False) -> tuple[Moment, ...]:
    y = jax.tree.map(np.asarray, y)
    powers = _exponents(sum(a.size for a in _floats(y)), degree)
    count = _label_count(dynamics, y)
    if count is None:
        return tuple(Moment(a) for a in powers if constants or sum(a))
    return tuple(Moment(a, i) for a in powers for i in range(count))


def _test_function(moment: Moment) -> Any:
    """φ = y^α, or y^α 1{label = j}."""

    def phi(t, y):
        del t
        out, k = 1.0, 0
        for leaf in _floats(y):
            flat = jnp.ravel(leaf)
            for i in range(flat.shape[0]):
                if moment.exponents[k]:
                    out = out * flat[i] ** moment.exponents[k]
                k += 1
        out = jnp.asarray(out, dtype=float)
        if moment.label is None:
            return out
        (label,) = (a for a in jax.tree.leaves(y) if _is_label(a))
        return jnp.where(label == moment.label, out, 0.0)

    return phi


def _monomial(names, moment: Moment) -> str:
    powers = zip(names, moment.exponents, strict=True)
    text = " ".join(n if a == 1 else f"{n}^{a}" for n, a in powers if a) or "1"
    return text if moment.label is None else f"{text}; label {moment.label}"


def _images(dynamics, moments):
    def apply(model, t, y):
        return [model.generator(_test_function(m))(t, y) for m in moments]

    return apply


def _images_exactly(dynamics, moments, y, degree):
    import sympy

    del degree
    y = jax.tree.map(np.asarray, y)
    count = _label_count(dynamics, y)
    labels = [None] if count is None else list(range(count))
    state = symbols_for_state(_with_label(y, 0))
    symbols = [s for leaf in _floats(state) for s in np.ravel(leaf)]
    names = tuple(str(s) for s in symbols)
    time = sympy.Symbol("t", real=True)
    images: dict[Moment, dict[Moment, Any]] = {m: {} for m in moments}
    exact = True
    for i in labels:
        apply = _images(dynamics, moments)
        seen = symbolic_trace(apply, dynamics, time, _with_label(state, i))
        exact = exact and seen.exact
        for moment, expression in zip(moments, seen.value, strict=True):
            terms = _terms(sympy, expression, symbols, names, moment)
            images[moment] |= {Moment(b, i): c for b, c in terms.items() if c != 0}
    return images, names, exact


def _terms(sympy, expression, symbols, names, moment) -> dict[tuple[int, ...], Any]:
    try:
        polynomial = sympy.Poly(sympy.together(expression), *symbols)
    except sympy.PolynomialError:
        raise BadInput(
            f"L maps {_monomial(names, moment)} to {expression}, which is no "
            "polynomial: this model has no closed moment equations."
        ) from None
    return {b: sympy.cancel(c) for b, c in polynomial.terms()}


def _images_numerically(dynamics, moments, y, degree):
    """Fit L φ at random points by polynomials of degree + 2."""
    y = jax.tree.map(np.asarray, y)
    count = _label_count(dynamics, y)
    labels = [None] if count is None else list(range(count))
    sizes = [a.size for a in _floats(y)]
    names = tuple(f"y_{k}" for k in range(sum(sizes)))
    powers = _exponents(sum(sizes), degree + _EXTRA)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (3 * len(powers), sum(sizes)))
    basis = np.stack([np.prod(points ** np.array(b), axis=1) for b in powers], 1)
    images: dict[Moment, dict[Moment, Any]] = {m: {} for m in moments}
    for i in labels:
        values = _evaluate(dynamics, moments, _with_label(y, i), jnp.asarray(points))
        fit, *_ = np.linalg.lstsq(basis, values, rcond=None)
        residual = np.abs(basis @ fit - values).max(axis=0)
        scale = 1 + np.abs(values).max(axis=0)
        for m, c, worst in zip(moments, fit.T, residual / scale, strict=True):
            if worst > _LEAK:
                raise BadInput(
                    f"L maps {_monomial(names, m)} to no polynomial of degree "
                    f"{degree + _EXTRA} (relative misfit {worst:.1e}): the moment "
                    f"equations of degree {degree} do not close."
                )
            big = _LEAK * (1 + np.abs(c).max())
            found = zip(powers, c, strict=True)
            images[m] |= {Moment(b, i): v for b, v in found if abs(v) > big}
    return images, names, False


def _evaluate(dynamics, moments, y, points):
    floats, structure = jax.tree.flatten(y)

    def one(point):
        leaves, start = [], 0
        for leaf in floats:
            if _is_label(leaf):
                leaves.append(jnp.asarray(leaf))
                continue
            part = point[start : start + leaf.size]
            leaves.append(part.reshape(leaf.shape))
            start += leaf.size
        y = jax.tree.unflatten(structure, leaves)
        return jnp.stack(_images(dynamics, moments)(dynamics, jnp.zeros(()), y))

    return np.asarray(jax.jit(jax.vmap(one))(points))


def _assemble(moments, images, names, exact, degree, route) -> MomentSystem:
    kind: Any = object if route == "symbolic" else float
    places = {m: k for k, m in enumerate(moments)}
    matrix = np.zeros((len(moments),) * 2, dtype=kind)
    forcing = np.zeros(len(moments), dtype=kind)
    for m, image in images.items():
        for target, coefficient in image.items():
            if target in places:
                matrix[places[m], places[target]] += coefficient
            elif target.degree == 0:
                forcing[places[m]] += coefficient
            else:
                raise BadInput(
                    f"the moment equations of degree {degree} do not close: L maps "
                    f"{_monomial(names, m)} to a polynomial with the monomial "
                    f"{_monomial(names, target)} (coefficient {coefficient})."
                )
    return MomentSystem(tuple(moments), names, matrix, forcing, exact)


def _solve_exactly(system: MomentSystem) -> list[Any]:
    import sympy

    unknowns = sympy.symbols(f"m:{len(system.moments)}")
    a, b = sympy.Matrix(system.matrix), sympy.Matrix(system.forcing)
    equations = list(a * sympy.Matrix(unknowns) + b)
    if system.moments[0].label is not None:
        mass = [
            u for u, m in zip(unknowns, system.moments, strict=True) if not m.degree
        ]
        equations.append(sum(mass) - 1)
    solutions: Any = list(sympy.linsolve(equations, *unknowns))
    if not solutions or any(s.free_symbols & set(unknowns) for s in solutions[0]):
        raise BadInput("the stationary moment equations have no unique solution.")
    return [sympy.factor(s) for s in solutions[0]]


def _solve_numerically(system: MomentSystem) -> list[float]:
    if (abscissa := system.abscissa()) >= 0:
        raise BadInput(
            "there are no stationary moments of this degree: the moment equations are "
            f"not stable (spectral abscissa {abscissa:.4g} per unit time, not < 0)."
        )
    a, b = system.matrix, -system.forcing
    if system.moments[0].label is not None:
        mass = [float(m.degree == 0) for m in system.moments]
        a, b = np.vstack([a, mass]), np.append(b, 1.0)
    return list(np.linalg.lstsq(a, b, rcond=None)[0])
