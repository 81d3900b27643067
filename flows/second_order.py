"""Second-order flows: mass, friction, Hessian damping and force, by their coefficients.

One equation, m(t) x'' + a(t) x' + β(t) ∇²f(x) x' + b(t) ∇f(x) = 0; a named model is a
choice of the four functions of time.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from flows.door import require_number
from flows.dynamics import Flow, parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.phase import PhaseState
from flows.types import is_traced

MANY_RELAXATIONS = 1e4
"""∫ (a + β L)/m dt from which a second-order flow counts as stiff."""

LOOKED_AT = 9
"""Equal times of a solve at which functions of time are looked at, both ends too."""


class Coefficients(NamedTuple):
    """The coefficients of m x'' + a x' + β ∇²f(x) x' + b ∇f(x) = 0 at one time.

    Attributes:
        mass: m.
        friction: a.
        hessian_damping: β; None where the model has none, and takes no Hessian product.
        force: b.
    """

    mass: Any = 1.0
    friction: Any = 0.0
    hessian_damping: Any = None
    force: Any = 1.0


class SecondOrderFlow(Flow):
    r"""m(t) x'' + a(t) x' + β(t) ∇²f(x) x' + b(t) ∇f(x) = 0.

    State: `PhaseState`, position and velocity of shape [n]. A subclass gives the
    coefficients; where some are functions of time, `solve` looks at them in a few times
    before it starts, and refuses a mass <= 0 or a value that is not finite. The energy
    b f(x) + m |v|²/2 has the derivative b' f + (m'/2 - a) |v|² - β v·∇²f v.
    """

    objective: eqx.AbstractVar[Objective]

    @abstractmethod
    def coefficients(self, t: Any) -> Coefficients:
        """The mass, friction, Hessian damping and force at time t."""

    def vector_field(self, t, y: PhaseState) -> PhaseState:
        """(v, -(a v + β ∇²f(x) v + b ∇f(x))/m)."""
        m, a, beta, b = self.coefficients(t)
        x, v = y
        if beta is None:
            pull = a * v + b * self.objective.gradient(x)
        else:
            g, hv = jax.jvp(self.objective.gradient, (x,), (v,))
            pull = a * v + beta * hv + b * g
        return PhaseState(v, -pull / m)

    def stiff(self, t0: Any, t1: Any) -> bool:
        """Whether friction acts more than `MANY_RELAXATIONS` times between two times.

        See `often_relaxed`.
        """
        return often_relaxed(self, t0, t1)

    def require_over(self, t0: Any, t1: Any) -> None:
        """See `require_coefficients_over`."""
        require_coefficients_over(self, t0, t1)


def often_relaxed(flow: Any, t0: Any, t1: Any) -> bool:
    """Whether ∫ (a + β L)/m dt from t0 to t1 is above `MANY_RELAXATIONS`.

    The integrand is the rate at which friction stops a velocity in the steepest
    direction; an explicit solver takes about a step for every three of them. L is the
    smoothness among the objective's facts (0 where it is unknown: then Hessian damping
    alone makes no flow stiff). Four midpoints do for the order of magnitude.

    Args:
        flow: with `coefficients` and an `objective`.
        t0: start time.
        t1: end time.

    Returns:
        The answer; False where a time or anything in the flow is traced.
    """
    if is_traced((flow, t0, t1)):
        return False
    known = flow.objective.facts.smoothness
    steepest = known.value if known is not None and np.isreal(known.value) else 0.0
    start, step, total = np.asarray(t0), (np.asarray(t1) - np.asarray(t0)) / 4, 0.0
    flow = jax.tree.map(_as_numpy, flow)
    for k in range(4):
        now = flow.coefficients((start + (k + 0.5) * step)[()])
        if is_traced(now):  # a function of time that closes over a traced number
            return False
        m, a, beta, _ = now
        hold = float(a) if beta is None else float(a) + float(beta) * float(steepest)
        total += hold / float(m) * float(step)
    return total > MANY_RELAXATIONS


def require_coefficients_over(flow: Any, t0: Any, t1: Any) -> None:
    """Refuse a mass <= 0, or a coefficient that is not finite, between two times.

    Asked only where a field of the flow is a function of time, and then in `LOOKED_AT`
    equal times: a function that leaves its range between two of them alone passes. A
    friction or a damping may be negative for a while.

    Args:
        flow: with `coefficients`.
        t0: start time.
        t1: end time.

    Raises:
        BadInput: with the coefficient, its value and the time. Nothing is refused
            where a time or the coefficients are traced.
    """
    fields = {name: value for name, value in vars(flow).items() if name != "objective"}
    if not any(map(callable, fields.values())) or is_traced((flow, t0, t1)):
        return
    name, flow = type(flow).__name__, jax.tree.map(_as_numpy, flow)
    with np.errstate(all="ignore"):  # what is not finite is told below
        for t in np.linspace(t0, t1, LOOKED_AT, dtype=np.asarray(t0).dtype):
            now = flow.coefficients(t)
            if is_traced(now):
                return
            for part, value in now._asdict().items():
                if value is None or _in_range(part, value):
                    continue
                wanted = "> 0 and finite" if part == "mass" else "finite"
                raise BadInput(
                    f"{name} has the {part} {float(value):g} at t = {t:g} between "
                    f"t0 = {t0:g} and t1 = {t1:g}; it is {wanted}."
                )


def _in_range(part: str, value: Any) -> bool:
    return bool(np.all(np.isfinite(value) & ((part != "mass") | (value > 0))))


def _as_numpy(leaf: Any) -> Any:
    """A jax number as NumPy's, on which arithmetic costs a hundredth."""
    return (
        np.asarray(leaf)[()] if isinstance(leaf, jax.Array) and not leaf.ndim else leaf
    )


def coefficient(value: Any) -> Any:
    """A number as a parameter; a function of time (a `Schedule` is one) as it is."""
    return value if callable(value) else parameter(value)


def coefficient_at(value: Any, t: Any) -> Any:
    """The function at t, or the number."""
    return value(t) if callable(value) else value


def require_coefficients(flow: Any) -> None:
    """Refuse numbers out of the ranges that the metadata of the flow's fields state.

    Raises:
        BadInput: with the name and the value; see `require_coefficient`.
    """
    for field in dataclasses.fields(flow):
        positive = field.metadata.get("positive", False)
        if positive or field.metadata.get("nonnegative", False):
            value = getattr(flow, field.name)
            require_coefficient(field.name, value, positive=positive)


def require_coefficient(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse a number that is negative, not finite, or 0 where it must be positive.

    Functions of time pass: `require_coefficients_over` looks at them before a solve.

    Raises:
        BadInput: with the name and the value.
    """
    if callable(value):
        return
    require_number(name, value, positive=positive)
    require_range(name, value)
