"""Functions of time: rates and masses that change, with integrals and inverses."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import parameter
from flows.errors import BadInput
from flows.phi_functions import expm1_over, log1p_over

_HALVINGS = 60


class Schedule(eqx.Module):
    """A positive function γ(t) of time t >= 0."""

    @abstractmethod
    def __call__(self, t: Any) -> Any:
        """γ(t), a number of jax (of NumPy where all numbers are)."""

    @abstractmethod
    def integral(self, t0: Any, t1: Any) -> Float[Array, ""]:
        """∫ γ(t) dt from t0 to t1, the cumulative hazard of a clock of rate γ."""

    def delay(self, t: Any, amount: Any) -> Float[Array, ""]:
        """The time s with ∫_t^{t+s} γ = amount; infinite where no s reaches it.

        Here by bisection, to the last bits of s; a schedule that knows the inverse of
        its integral gives it.
        """
        t, amount = jnp.asarray(t, dtype=float), jnp.asarray(amount, dtype=float)
        limit = jnp.asarray(np.finfo(t.dtype).max, t.dtype) / 4

        def short(span):
            return (self.integral(t, t + span) < amount) & (span < limit)

        first = amount / self(t)
        high = jax.lax.while_loop(short, lambda span: 2 * span, first)

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            below = self.integral(t, t + middle) < amount
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        bracket = (jnp.zeros_like(high), high)
        low, high = jax.lax.fori_loop(0, _HALVINGS, halve, bracket)
        return jnp.where(high >= limit, jnp.inf, (low + high) / 2)


class PowerSchedule(Schedule):
    r"""γ(t) = γ₀ (1 + t/τ)^p.

    p > 0 for a clock that speeds up (a learning rate 1/γ that decreases), p < 0 for a
    mass that is lost. ∫₀ᵗ γ = γ₀ τ/(p+1) [(1 + t/τ)^{p+1} - 1] (a logarithm at p = -1).

    Attributes:
        initial: γ₀ > 0.
        scale: τ > 0 (time).
        power: p.

    Raises:
        BadInput: values that are not positive and finite (p: not finite).
    """

    initial: Array = eqx.field(converter=parameter, metadata={"positive": True})
    scale: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\tau"},
    )
    power: Array = eqx.field(converter=parameter, default=1.0, metadata={"symbol": "p"})

    def __check_init__(self):
        require_number("initial", self.initial, positive=True)
        require_number("scale", self.scale, positive=True)
        require_number("power", self.power)

    def __call__(self, t: Any) -> Any:
        """γ₀ (1 + t/τ)^p."""
        return self.initial * (1 + t / self.scale) ** self.power

    def integral(self, t0: Any, t1: Any) -> Float[Array, ""]:
        """γ(t0) (τ + t0) [(1 + s)^q - 1]/q, with s = (t1-t0)/(τ + t0), q = p + 1."""
        span = self.scale + t0
        log = jnp.log1p((t1 - t0) / span)
        return self(t0) * span * expm1_over(self.power + 1, log)

    def delay(self, t: Any, amount: Any) -> Float[Array, ""]:
        """The inverse of the integral, infinite beyond its supremum where p < -1."""
        span, q = self.scale + t, self.power + 1
        share = amount / (self(t) * span)
        ahead = q * share > -1
        log = log1p_over(q, jnp.where(ahead, share, 0.0))
        return jnp.where(ahead, span * jnp.expm1(log), jnp.inf)


class ExponentialSchedule(Schedule):
    r"""γ(t) = γ₀ e^{gt}.

    Attributes:
        initial: γ₀ > 0.
        growth: g (1/time), negative for decay.

    Raises:
        BadInput: γ₀ not positive and finite, g not finite.
    """

    initial: Array = eqx.field(converter=parameter, metadata={"positive": True})
    growth: Array = eqx.field(converter=parameter, metadata={"symbol": "g"})

    def __check_init__(self):
        require_number("initial", self.initial, positive=True)
        require_number("growth", self.growth)

    def __call__(self, t: Any) -> Float[Array, ""]:
        """γ₀ e^{gt}."""
        return self.initial * jnp.exp(self.growth * t)

    def integral(self, t0: Any, t1: Any) -> Float[Array, ""]:
        """γ(t0) (e^{g(t1-t0)} - 1)/g."""
        return self(t0) * expm1_over(self.growth, t1 - t0)

    def delay(self, t: Any, amount: Any) -> Float[Array, ""]:
        """log(1 + g amount/γ(t))/g, infinite beyond the supremum where g < 0."""
        share = amount / self(t)
        ahead = self.growth * share > -1
        found = log1p_over(self.growth, jnp.where(ahead, share, 0.0))
        return jnp.where(ahead, found, jnp.inf)


class CustomSchedule(Schedule):
    """Any positive function of time, with its antiderivative.

    Attributes:
        function: γ, of the time alone.
        antiderivative: Γ with Γ' = γ. Its inverse is found by bisection.

    Raises:
        BadInput: one of them is no function, γ(0) is not positive, or
            Γ' is not γ at times tried between 0 and 10.
    """

    function: Any = eqx.field(static=True)
    antiderivative: Any = eqx.field(static=True)

    def __check_init__(self):
        if not (callable(self.function) and callable(self.antiderivative)):
            raise BadInput("function and antiderivative are functions of the time.")
        times = jnp.linspace(0.0, 10.0, 7)
        try:
            values = np.asarray(jax.vmap(self)(times))
            slopes = np.asarray(jax.vmap(jax.grad(self._antiderivative))(times))
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"function and antiderivative are jax functions of one time: {error}"
            ) from error
        if not (np.all(np.isfinite(values)) and np.all(values > 0)):
            raise BadInput(f"a schedule is positive; got {values} on [0, 10].")
        slack = 1e3 * np.finfo(values.dtype).eps
        if not np.allclose(slopes, values, rtol=slack, atol=slack):
            raise BadInput(
                f"the antiderivative's slope is {slopes} on [0, 10], the function's "
                f"values are {values}."
            )

    def _antiderivative(self, t: Any) -> Float[Array, ""]:
        return jnp.asarray(self.antiderivative(t), dtype=float)

    def __call__(self, t: Any) -> Float[Array, ""]:
        """γ(t)."""
        return jnp.asarray(self.function(t), dtype=float)

    def integral(self, t0: Any, t1: Any) -> Float[Array, ""]:
        """Γ(t1) - Γ(t0)."""
        return self._antiderivative(t1) - self._antiderivative(t0)


def scheduled(value: Any) -> Any:
    """A schedule, or a constant as a parameter; the converter of fields that vary."""
    return value if isinstance(value, Schedule) else parameter(value)


def value_at(value: Any, t: Any) -> Any:
    """γ(t), or the constant."""
    return value(t) if isinstance(value, Schedule) else value


def integral_over(value: Any, t0: Any, t1: Any) -> Any:
    """∫ γ from t0 to t1."""
    if isinstance(value, Schedule):
        return value.integral(t0, t1)
    return value * (t1 - t0)


def delay_after(value: Any, t: Any, amount: Any) -> Any:
    """The time s with ∫_t^{t+s} γ = amount."""
    return value.delay(t, amount) if isinstance(value, Schedule) else amount / value


def is_constant(value: Any) -> bool:
    """Whether it is a number, not a schedule."""
    return not isinstance(value, Schedule)
