"""Jumps at rates that depend on the state, found by solving for the integrated rate."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_number, require_whole
from flows.dynamics import State, maybe_parameter, parameter
from sde._checks import require_positive
from sde.jump_process import JumpProcess
from sde.jumps import Arrival, EventScheme
from sde.noise import uniforms

FAILED = (
    "a solve between two jumps failed: its tolerances are too tight, the flow leaves "
    "the finite numbers, or the rates are no finite numbers >= 0."
)


class SolvedJumps(EventScheme):
    """Base of the schemes that integrate the rates along the flow, by diffrax.

    The next jump is where Λ(s) = ∫₀ˢ Σ_c λ_c along the flow reaches a variable E of law
    Exp(1). Neither an exact flow, nor waiting times, nor a bound on the rates is asked
    of the process. The error is that of the solver, in the jump times too: small at
    small tolerances, never zero as with `ExactJumps`, which draws the same E of the
    same key. The default tolerances are for float64; float32 asks for 1e-4 and 1e-6.
    """

    failure: ClassVar[str] = FAILED
    rtol: eqx.AbstractVar[Array]
    atol: eqx.AbstractVar[Array]
    max_events: eqx.AbstractVar[int]

    def __check_init__(self):
        require_number("rtol", self.rtol, positive=True)
        require_number("atol", self.atol, positive=True)
        require_whole("max_events", self.max_events)

    def arrive(self, process, t, y, left, h, key) -> Arrival:
        """The flow to where Λ = E with E of law Exp(1), or over the time `left`."""
        amount = -jnp.log(uniforms(key, 1)[0])
        return self.solve(process, t, y, left, amount, self.phantom_rate(h))

    def decide(self, found: Arrival, total: Any, h: Any, u: Any) -> tuple[Any, Any]:
        """A jump, but for the share of phantom events."""
        jumped = found.rang & (u * (total + self.phantom_rate(h)) < total)
        return jumped, jnp.zeros((), dtype=bool)

    def phantom_rate(self, h: Any) -> Float[Array, ""]:
        """The rate of events that change nothing (1/time), added to the process's."""
        return jnp.zeros_like(h)

    @abstractmethod
    def solve(
        self, process: JumpProcess, t: Any, y: State, left: Any, amount: Any, extra: Any
    ) -> Arrival:
        """The flow from (t, y) to where Λ = amount, or over the time `left`."""

    def run(self, field: Any, t0: Any, t1: Any, y0: Any, args: Any, **options: Any):
        """Diffrax's solution, failures in its `result`."""
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Tsit5(),
            t0,
            t1,
            None,
            y0,
            args=args,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            adjoint=diffrax.ForwardMode(),  # within a loop that has no reverse mode
            throw=False,
            **options,
        )


class EventLocation(SolvedJumps):
    """Jump times as roots of Λ(s) = E, located within the solver's step.

    Λ grows, so that its sign change over a step is never missed. The root is that of
    the solver's dense output, which decides the error of the jump time: at rtol = 1e-8
    some 1e-6 of a time unit.

    Attributes:
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_events: bound on the jumps of one step; more is an error.

    Raises:
        BadInput: tolerances that are not positive; (from a step) no jump process.
    """

    rtol: Array = eqx.field(converter=parameter, default=1e-8)
    atol: Array = eqx.field(converter=parameter, default=1e-10)
    max_events: int = eqx.field(static=True, default=100_000)

    def solve(self, process, t, y, left, amount, extra) -> Arrival:
        """One solve that ends at the root of Λ = amount, or after `left`."""
        import optimistix

        del extra
        moving, labels = eqx.partition(y, eqx.is_inexact_array)

        def field(s, z, args):
            process, labels, _ = args
            y = eqx.combine(z[0], labels)
            return process.vector_field(s, y), jnp.sum(process.rates(s, y))

        def reached(t, y, args, **_):
            return y[1] - args[2]

        root_finder = optimistix.Newton(rtol=1e-10, atol=1e-10)
        solution: Any = self.run(
            field,
            t,
            t + left,
            (moving, jnp.zeros_like(amount)),
            (process, labels, amount),
            event=diffrax.Event(reached, root_finder, direction=True),
        )
        rang = solution.result == diffrax.RESULTS.event_occurred
        failed = ~rang & (solution.result != diffrax.RESULTS.successful)
        moving, _ = jax.tree.map(lambda a: a[-1], solution.ys)
        return Arrival(eqx.combine(moving, labels), solution.ts[-1] - t, rang, failed)


class ClockChange(SolvedJumps):
    r"""Jump times without a root: Λ itself is the clock, in which time is a component.

    dy/du = v/λ, dt/du = 1/λ, λ = Σ_c λ_c + δ, for u from 0 to E. The rate δ belongs to
    phantom events, which change nothing: with them any rate >= 0 is well posed, and the
    law is exact for each δ > 0. A jump-free end of a step is solved in time.

    Reference: Veltz, "A new twist for the simulation of hybrid systems using the true
    jump method", arXiv 1504.06873, 2015.

    Attributes:
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        phantom: δ (1/time); 1/h where None, one event a step. 0 is for rates that are
            bounded away from 0.
        max_events: bound on the events of one step, phantoms included; more is an
            error.

    Raises:
        BadInput: tolerances that are not positive, a negative phantom rate; (from a
            step) no jump process.
    """

    rtol: Array = eqx.field(converter=parameter, default=1e-8)
    atol: Array = eqx.field(converter=parameter, default=1e-10)
    phantom: Any = eqx.field(converter=maybe_parameter, default=None)
    max_events: int = eqx.field(static=True, default=100_000)

    def __check_init__(self):
        if self.phantom is not None:
            require_number("phantom", self.phantom)
            require_positive("phantom", self.phantom, zero=True)

    def phantom_rate(self, h: Any) -> Float[Array, ""]:
        """δ, or 1/h."""
        return 1 / h if self.phantom is None else self.phantom

    def solve(self, process, t, y, left, amount, extra) -> Arrival:
        """One solve in the clock; where it ends too late, one in time."""
        moving, labels = eqx.partition(y, eqx.is_inexact_array)
        args = (process, labels, t)

        def by_clock(u, z, args):
            del u
            process, labels, t = args
            y = eqx.combine(z[0], labels)
            rate = jnp.sum(process.rates(t + z[1], y)) + extra
            field = process.vector_field(t + z[1], y)
            return jax.tree.map(lambda a: a / rate, field), 1 / rate

        def by_time(s, y, args):
            process, labels, t = args
            return process.vector_field(t + s, eqx.combine(y, labels))

        start = jnp.zeros_like(left)
        clock: Any = self.run(
            by_clock, start, amount, (moving, jnp.zeros_like(left)), args
        )
        at_event, delay = jax.tree.map(lambda a: a[-1], clock.ys)
        good = clock.result == diffrax.RESULTS.successful
        rang = good & (delay < left)
        rest: Any = self.run(by_time, start, jnp.where(rang, 0.0, left), moving, args)
        failed = ~good | (rest.result != diffrax.RESULTS.successful)
        at_end = jax.tree.map(lambda a: a[-1], rest.ys)
        moving = jax.tree.map(lambda a, b: jnp.where(rang, a, b), at_event, at_end)
        return Arrival(eqx.combine(moving, labels), delay, rang, failed)
