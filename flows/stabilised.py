"""What stabilised Runge–Kutta solvers share: spectral radius, stages, their count."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flows.errors import BadInput
from flows.spectral_radius import spectral_radius
from flows.types import is_traced


class ChebyshevState(NamedTuple):
    """What a stabilised solver carries from step to step.

    Read it with `solve(...).stats`, or `SaveAt(solver_state=True)` in diffrax.

    Attributes:
        slope: the field at the start of the step, which the step before evaluated.
        direction: unit vector of the largest |Jv| found, a pytree like the state.
        radius: the spectral radius (1/time) found there, without the safety factor.
        age: accepted steps since it was estimated.
        length: length of the last accepted step (time).
        evaluations: of the field so far: accepted steps, estimates and the start. What
            rejected steps cost is not in it, nor diffrax's two for a first step size.
        power_iterations: those evaluations that estimated the spectral radius.
        stages: of the last accepted step.
    """

    slope: Any
    direction: Any
    radius: Any
    age: Any
    length: Any
    evaluations: Any
    power_iterations: Any
    stages: Any


def add(y: Any, *terms: tuple[Any, Any]) -> Any:
    """The sum y + Σ c k over the pairs (c, k), numbers in a leaf's type."""
    numbers = [c for c, _ in terms]

    def sum_up(a, *slopes):
        for c, k in zip(numbers, slopes, strict=True):
            a = a + jnp.asarray(c).astype(a.dtype) * k
        return a

    return jax.tree.map(sum_up, y, *[k for _, k in terms])


def radius_of(given: Any) -> Any:
    """A spectral radius as data (a python number would be compiled in).

    Raises:
        BadInput: no number >= 0 and no function.
    """
    if given is None or callable(given) or is_traced(given):
        return given
    good = isinstance(given, int | float | np.generic | np.ndarray | jax.Array)
    if not good or np.shape(given) or not 0 <= float(given) < np.inf:
        raise BadInput(
            "spectral_radius is a number >= 0 (1/time), a function (t, y) -> number, "
            f"or None to estimate it; got {given!r:.60}."
        )
    return np.asarray(given, float)


class AbstractStabilised(diffrax.AbstractAdaptiveSolver):
    """Base of `RKC2` and `ROCK4`: spectral radius, number of stages, dense output."""

    spectral_radius: eqx.AbstractVar[Any]
    safety: eqx.AbstractVar[float]
    every: eqx.AbstractVar[int]
    max_stages: eqx.AbstractVar[int]
    reverse: eqx.AbstractVar[bool]

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., Any]] = (
        diffrax.ThirdOrderHermitePolynomialInterpolation
    )

    def __check_init__(self):
        least = self._least_stages
        whole = all(type(n) is int for n in (self.every, self.max_stages))
        if not whole or self.every < 1 or self.max_stages < least:
            raise BadInput(
                f"{type(self).__name__} takes whole numbers every >= 1 and max_stages "
                f">= {least}; got {self.every!r} and {self.max_stages!r}."
            )
        if not 1 <= self.safety < np.inf:
            raise BadInput(f"safety is a factor of at least 1; got {self.safety!r}.")

    @property
    @abstractmethod
    def _least_stages(self) -> int: ...

    @abstractmethod
    def _method(self, reach: Any) -> tuple[Any, Any, Any]:
        """For h ρ: whether a method reaches so far, its stages, what names it."""

    @abstractmethod
    def _advance(self, field, t, h, y, slope, method) -> tuple[Any, Any, Any]:
        """The state and the slope at t + h, and the error estimate."""

    def func(self, terms, t0, y0, args):
        """The vector field (diffrax asks for it where it chooses a first step)."""
        return terms.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args) -> ChebyshevState:
        """The field at the start and, unless it is given, the spectral radius there."""
        slope = terms.vf(t0, y0, args)
        h, none = jnp.asarray(t1 - t0), jnp.asarray(0, jnp.int32)
        radius, direction, spent = jnp.zeros_like(h), (), none
        if self.spectral_radius is None:
            radius, direction, spent = spectral_radius(
                _constant(terms, t0, args), y0, slope, slope
            )
            radius = radius.astype(h.dtype)
        return ChebyshevState(slope, direction, radius, none, h, spent + 1, spent, none)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        """One step from t0 to t1, with as many stages as h ρ needs."""
        old, h = solver_state, t1 - t0

        def field(t, y):
            return terms.vf(t, y, args)

        slope = old.slope
        if made_jump is not False:
            slope = lax.cond(made_jump, lambda: field(t0, y0), lambda: slope)
        constant = _constant(terms, t0, args)
        radius, direction, age, spent = self._radius(constant, t0, y0, h, slope, old)
        reach = lax.stop_gradient(self.safety * h * radius)
        fits, stages, method = self._method(reach)
        # A step too long for max_stages is rejected: stand still, fail the estimate.
        h = jnp.where(fits, h, 0)
        y1, end, error = self._advance(field, t0, h, y0, slope, method)
        y1 = jax.tree.map(lambda a: jnp.where(fits, a, jnp.nan), y1)
        error = jax.tree.map(lambda a: jnp.where(fits, a, jnp.inf), error)
        new = ChebyshevState(
            end,
            direction,
            radius,
            age,
            h,
            old.evaluations + stages + spent,
            old.power_iterations + spent,
            stages,
        )
        nothing = jax.tree.map(jnp.zeros_like, slope)
        ends = {"k0": add(nothing, (h, slope)), "k1": add(nothing, (h, end))}
        dense = {"y0": y0, "y1": y1, **ends}
        return y1, error, dense, new, diffrax.RESULTS.successful

    def _radius(self, field, t, y, h, slope, old):
        """Spectral radius, its direction and age, and the evaluations spent on it."""
        none = jnp.zeros_like(old.age)
        given = self.spectral_radius
        if given is not None:
            value = given(t, y) if callable(given) else given
            return jnp.asarray(value).astype(h.dtype), old.direction, none, none

        def anew():
            value, direction, spent = spectral_radius(field, y, slope, old.direction)
            return value.astype(h.dtype), direction, none, spent

        def kept():
            return old.radius, old.direction, old.age + 1, none

        # A much shorter step hints at rejections: the estimate may be too low.
        due = (old.age >= self.every) | (h < 0.5 * old.length)
        return lax.cond(due, anew, kept)

    def _loop(self, stop, body, carry):
        """Apply `body` for j = 1, ..., stop - 1."""
        if not self.reverse:
            return lax.fori_loop(1, stop, body, carry)

        def masked(carry, j):
            return lax.cond(j < stop, body, lambda _, c: c, j, carry), None

        every = jnp.arange(1, self.max_stages, dtype=jnp.int32)
        return lax.scan(masked, carry, every)[0]


def _constant(terms, t, args):
    """The field at a time, as a function of the state that is not differentiated."""
    args = jax.tree.map(
        lambda a: lax.stop_gradient(a) if eqx.is_inexact_array(a) else a, args
    )
    t = lax.stop_gradient(t)
    return lambda y: terms.vf(t, y, args)
