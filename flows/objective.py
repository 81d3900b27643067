"""Objectives: a loss f with its derivatives, its data and the facts known of it."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.data import Data
from flows.errors import BadInput
from flows.ravel import Unravel, ravel_params, require_finite


class Fact(NamedTuple):
    """A number (or exact expression) known of an objective, and how it is known."""

    value: Any
    provenance: str


class Facts(NamedTuple):
    """What is known of f; None where nothing is.

    Attributes:
        smoothness: L with |∇f(x) - ∇f(y)| <= L |x - y| (1/time for a gradient flow).
        strong_convexity: μ with ∇²f >= μ I.
        minimiser: x* of shape [n].
        minimum: f(x*).
    """

    is_data = True  # known, hence no parameters: symbols and vmap pass them by

    smoothness: Fact | None = None
    strong_convexity: Fact | None = None
    minimiser: Fact | None = None
    minimum: Fact | None = None


def stated(facts: Facts | None) -> Facts:
    """The facts with numbers as arrays: a python float would be compiled in."""

    def leaf(value):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return np.float64(value) if number else value

    return jax.tree.map(leaf, facts or Facts())


class Objective(eqx.Module):
    """A loss f on R^n with its derivatives; the base of all objectives.

    Positions are flat vectors of shape [n]. `params` and `ravel` translate between a
    position and the user's pytree. Where f is a mean over N data rows, `batch` (integer
    indices) restricts it to those rows.
    """

    facts: eqx.AbstractVar[Facts]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number n of parameters."""

    @abstractmethod
    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x)."""

    @property
    def rows(self) -> int | None:
        """Number N of summands where f = (1/N) Σ_i f_i, which `batch` indexes."""
        return None

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """∇f(x), by reverse mode unless an objective knows a closed form."""
        return jax.grad(self.value)(x, batch)

    def hvp(
        self, x: Float[Array, " n"], v: Float[Array, " n"], batch: Any = None
    ) -> Float[Array, " n"]:
        """∇²f(x) v, forward over reverse."""
        return jax.jvp(lambda z: self.gradient(z, batch), (x,), (v,))[1]

    def hessian(self, x: Float[Array, " n"]) -> Float[Array, "n n"]:
        """∇²f(x), by n Hessian-vector products."""
        return jax.vmap(lambda v: self.hvp(x, v))(jnp.eye(x.size, dtype=x.dtype))

    def third(
        self,
        x: Float[Array, " n"],
        u: Float[Array, " n"],
        v: Float[Array, " n"],
        batch: Any = None,
    ) -> Float[Array, " n"]:
        """∇³f(x)[u, v, ·]."""
        return jax.jvp(lambda z: self.hvp(z, v, batch), (x,), (u,))[1]

    def params(self, x: Float[Array, " n"]) -> Any:
        """The user's parameter pytree at x (the vector itself where there is none)."""
        return x

    def loss_of(self, params: Any, batch: Any = None) -> Float[Array, ""]:
        """The value at the user's own parameter pytree, which optimisers look at."""
        return self.value(params, batch)

    def ravel(self, params: Any) -> Float[Array, " n"]:
        """The position of a parameter pytree.

        Raises:
            BadInput: wrong structure, shape or dtype, or a non-finite entry.
        """
        unravel, x = ravel_params(params)
        if unravel.shapes not in (((self.size,),), ((),)) or x.size != self.size:
            raise BadInput(
                f"a position of this objective is one vector of {self.size} floats; "
                f"got leaves of shapes {list(unravel.shapes)}."
            )
        return x

    def sharpness(self, params: Any, *, tolerance: float = 1e-8) -> Any:
        """The largest Hessian eigenvalue at `params`: see `flows.sharpness`."""
        from flows.sharpness import sharpness

        return sharpness(self, self.ravel(params), tolerance=tolerance)


class LossObjective(Objective):
    """f from any jax loss over a pytree, with or without data (see `from_loss`)."""

    facts: Facts
    loss: Callable[..., Any] = eqx.field(static=True)
    unravel: Unravel = eqx.field(static=True)
    data: Data | None

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return self.unravel.size

    @property
    def rows(self) -> int | None:
        """Number N of data rows, None without data."""
        return None if self.data is None else self.data.rows

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x), on the data rows `batch` where given."""
        _require_length(self, x)
        return self.loss_of(self.unravel(x), batch)

    def loss_of(self, params: Any, batch: Any = None) -> Float[Array, ""]:
        """The loss at a parameter pytree, on the data rows `batch` where given.

        Static leaves may be missing: an optimiser steps on the arrays alone.
        """
        params = self.unravel.complete(params)
        if self.data is None:
            if batch is not None:
                raise BadInput("this loss has no data to batch.")
            return self.loss(params)
        return self.loss(params, self.data.get(batch))

    def params(self, x: Float[Array, " n"]) -> Any:
        """The user's parameter pytree at x."""
        return self.unravel(x)

    def ravel(self, params: Any) -> Float[Array, " n"]:
        """The position of a parameter pytree of the structure given at the start."""
        return self.unravel.ravel(params)


class SympyObjective(Objective):
    """f from a sympy expression (see `from_sympy`).

    Attributes:
        expression: the expression, in its symbols and parameters.
        symbols: names of the coordinates, in order.
        parameters: name -> value; leaves, so that a new value recompiles nothing.
    """

    facts: Facts
    expression: Any = eqx.field(static=True)
    variables: tuple[Any, ...] = eqx.field(static=True)
    parameters: dict[str, Array]

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return len(self.variables)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the coordinates, in order."""
        return tuple(str(s) for s in self.variables)

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f(x)."""
        _require_length(self, x)
        if batch is not None:
            raise BadInput("an objective from an expression has no data to batch.")
        names = tuple(sorted(self.parameters))
        function = _lambdified(self.expression, self.variables, names)
        constants = [self.parameters[name] for name in names]
        out = function(*(x[i] for i in range(self.size)), *constants)
        return jnp.asarray(out, x.dtype)


def _require_length(objective: Objective, x: Any) -> None:
    """Refuse another shape than [n]: the entries beyond n would never be looked at."""
    shape = getattr(x, "shape", None)
    if shape != (objective.size,):
        got = f"{x!r:.60}" if shape is None else f"shape {shape}"
        raise BadInput(
            f"a position of this objective is a vector of {objective.size} floats; "
            f"got {got}."
        )


@functools.lru_cache(maxsize=256)
def _lambdified(expression, variables, names):
    import sympy

    by_name = {s.name: s for s in expression.free_symbols}
    constants = [by_name.get(name, sympy.Symbol(name)) for name in names]
    return sympy.lambdify([*variables, *constants], expression, modules="jax")


def from_sympy(
    expression: Any,
    symbols: Sequence[Any],
    parameters: Mapping[Any, Any] | None = None,
    *,
    facts: Facts | None = None,
) -> SympyObjective:
    """An objective from a sympy expression.

    Args:
        expression: scalar expression f.
        symbols: its coordinates x_0, ..., x_{n-1}, in order.
        parameters: symbol -> value for every other free symbol.
        facts: what is known of f.

    Returns:
        The objective; positions are vectors of shape [n].

    Raises:
        BadInput: free symbols that are neither coordinates nor parameters, repeated
            coordinates, two symbols of one name, a parameter that is no finite number,
            or something that is no scalar expression that jax can evaluate.
    """
    import sympy

    try:
        expression = sympy.sympify(expression)
    except (sympy.SympifyError, TypeError) as error:
        raise BadInput(f"not a sympy expression: {error}") from None
    if not isinstance(expression, sympy.Expr) or expression.is_Matrix:
        raise BadInput(
            f"a loss is a scalar sympy expression, not {type(expression).__name__}."
        )
    if expression.has(sympy.I, sympy.zoo, sympy.nan) or expression.is_real is False:
        raise BadInput(f"a loss is real; {expression} is not.")
    if isinstance(symbols, sympy.Basic):
        raise BadInput(f"symbols are a sequence: [{symbols}] for one coordinate.")
    variables = tuple(sympy.sympify(s) for s in symbols)
    if not variables or not all(isinstance(s, sympy.Symbol) for s in variables):
        raise BadInput("symbols are the coordinates: a non-empty sequence of Symbols.")
    if len(set(variables)) != len(variables):
        raise BadInput(f"repeated coordinates in {variables}.")
    given = {sympy.sympify(k): v for k, v in (parameters or {}).items()}
    both = sorted(str(s) for s in set(variables) & set(given))
    if both:
        raise BadInput(f"{', '.join(both)}: a coordinate, or a parameter; not both.")
    unknown = expression.free_symbols - set(variables) - set(given)
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        raise BadInput(
            f"unknown symbols {names} in the loss: list them among the coordinates or "
            "give them values in `parameters`."
        )
    names = [s.name for s in {*variables, *given}]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            f"two different symbols of the same name {', '.join(twice)} (sympy tells "
            "them apart by their assumptions); use one of them throughout."
        )
    leaves = {s.name: _number(s.name, v) for s, v in given.items()}
    objective = SympyObjective(stated(facts), expression, variables, leaves)
    try:
        jax.eval_shape(objective.value, jnp.zeros(len(variables)))
    except (NameError, TypeError, AttributeError, NotImplementedError) as error:
        raise BadInput(f"jax cannot evaluate {expression}: {error}") from error
    return objective


def _number(name: str, value: Any) -> Array:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise BadInput(f"the parameter {name} is one finite number; got {value!r}.")
    return jnp.asarray(number, float)  # strongly typed


def from_loss(
    loss: Callable[..., Any],
    params: Any,
    data: Any = None,
    *,
    facts: Facts | None = None,
) -> LossObjective:
    """An objective from any jax loss over a parameter pytree.

    Args:
        loss: `loss(params)`, or `loss(params, data)` where data is given; the latter is
            a mean over the leading axis of the data (so that batches are unbiased).
        params: an example of the parameters: structure, shapes and dtype count.
        data: pytree of arrays with a common leading axis of length N, or None. Passed
            as an argument to compiled functions, never baked in as a constant.
        facts: what is known of f.

    Returns:
        The objective; `objective.ravel(params)` is the start as a flat vector.

    Raises:
        BadInput: integer or mixed-precision parameters, a loss that is not a scalar,
            data without a common leading axis, without rows, or not finite.
    """
    unravel, x = ravel_params(params)
    shielded = None if data is None else Data(_checked(data))
    objective = LossObjective(stated(facts), loss, unravel, shielded)
    arguments = () if shielded is None else (shielded.get(),)
    try:
        # The bare loss: what it returns is looked at before anything relies on it.
        out = jax.eval_shape(lambda x, *data: loss(unravel(x), *data), x, *arguments)
    except TypeError as error:
        wanted = "loss(params)" if data is None else "loss(params, data)"
        raise BadInput(f"the loss could not be called as {wanted}: {error}") from error
    if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise BadInput(
            f"a loss returns one real number; this one returns {out}. Return the mean, "
            "and no auxiliary output."
        )
    return objective


def _checked(data: Any) -> Any:
    """Data as jax arrays with one common, non-empty leading axis."""
    try:
        data = jax.tree.map(jnp.asarray, data)
    except TypeError as error:
        raise BadInput(f"data is a pytree of numeric arrays: {error}") from None
    rows = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(rows) != 1 or rows == {()}:
        raise BadInput(f"data leaves need one common leading axis; got lengths {rows}.")
    if rows == {(0,)}:
        raise BadInput("the data has no rows.")
    require_finite(data, "the data")
    return data
