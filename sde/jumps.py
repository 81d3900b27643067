"""`ExactJumps`: event-driven simulation of a jump process, step by step."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from flows.door import require_whole
from flows.dynamics import State
from flows.errors import BadInput
from flows.scheme import Draw, Scheme, Step
from sde.jump_process import JumpProcess
from sde.noise import subkeys, uniform_of

BOUND_EXCEEDED = (
    "the bound on the jump rates was exceeded: the process's `bound(t, y, horizon)` "
    "has to bound the sum of `rates` along the flow over the whole horizon."
)
TOO_MANY = (
    "the bound on the jump rates (or the rates themselves) gives more than max_events "
    "events in one step: take a smaller h, a tighter bound or a larger max_events."
)


class JumpCount(NamedTuple):
    """What a step of `ExactJumps` shows.

    Attributes:
        jumps: jumps made within the step.
        proposals: events looked at, those that thinning refused included.
    """

    jumps: Any
    proposals: Any


class ExactJumps(Scheme):
    """Every jump at its own time; a step of size h ends where the grid wants a state.

    With `waiting` and `exact` of the process the law is exact for any h: the process
    is Markov, so drawing the next waiting time afresh at each grid time changes no law.
    Without `waiting`, jumps are thinned from a clock of rate `bound(t, y, horizon)`,
    again exact in law, and a rate above the bound is an error, never a silent bias.
    Without `exact`, the flow is `substeps` steps of the classical Runge-Kutta method
    between any two events, at an error of O((h/substeps)⁴): the method is explicit, and
    blows up where the flow relaxes faster than it steps, as when a mass goes to 0.
    There `sde.solve_switching` with an implicit solver follows a path of the label.

    Reference: Lewis and Shedler, Naval Research Logistics Quarterly 26(3), 1979
    (thinning).

    Attributes:
        substeps: Runge-Kutta steps between two events, where no exact flow is known.
        max_events: bound on the events of one step; more is an error.

    Raises:
        BadInput: (from a step) the process has neither `waiting` nor `bound`, or is
            no jump process.
    """

    substeps: int = eqx.field(static=True, default=8)
    max_events: int = eqx.field(static=True, default=100_000)

    def __check_init__(self):
        require_whole("substeps", self.substeps)
        require_whole("max_events", self.max_events)

    def noise_like(self, dynamics: Any, y: Any) -> Draw:
        """Two words, the key of the step's events."""
        del dynamics, y
        return Draw("bits", (2,))

    def step(
        self, dynamics: Any, t: Any, y: State, h: Any, noise: Any, carry: Any
    ) -> Step:
        """Events within [t, t + h], then the flow to t + h."""
        if not isinstance(dynamics, JumpProcess):
            raise BadInput(
                f"ExactJumps steps jump processes; {type(dynamics).__name__} is none."
            )
        h = jnp.asarray(h, dtype=float)
        t = jnp.asarray(t, dtype=float)

        def go_on(loop):
            s, _, events, _, broken = loop
            return (s < h) & (events < self.max_events) & ~broken

        def body(loop):
            s, y, events, jumps, broken = loop
            event = _next_event(dynamics, t + s, y, h - s, noise, events)
            reached = event.delay >= h - s
            pace = jnp.minimum(event.delay, h - s)
            y = self._flow(dynamics, t + s, y, pace)
            s = jnp.where(reached, h, s + pace)
            y, jumped, bad = _jump_or_not(dynamics, t + s, y, event, reached)
            return s, y, events + 1, jumps + jumped.astype(int), broken | bad

        none = jnp.zeros((), dtype=int)
        start = (jnp.zeros_like(h), y, none, none, jnp.zeros((), dtype=bool))
        s, y, events, jumps, broken = jax.lax.while_loop(go_on, body, start)
        y = eqx.error_if(y, broken, BOUND_EXCEEDED)
        y = eqx.error_if(y, (s < h) & ~broken, TOO_MANY)
        return Step(y, carry, JumpCount(jumps, events))

    def _flow(self, process: JumpProcess, t: Any, y: State, duration: Any) -> State:
        known = process.exact(t, y, duration)
        if known is not None:
            return known
        moving, labels = eqx.partition(y, eqx.is_inexact_array)
        h = duration / self.substeps

        def field(t, moving):
            return process.vector_field(t, eqx.combine(moving, labels))

        def substep(k, moving):
            return _runge_kutta(field, t + k.astype(h.dtype) * h, moving, h)

        moving = jax.lax.fori_loop(0, self.substeps, substep, moving)
        return eqx.combine(moving, labels)


class _Event(NamedTuple):
    delay: Any  # time to the next event
    bound: Any  # the rate it was thinned from; None where it is a jump for certain
    accept: Any  # U(0, 1), compared with rate / bound
    channel: Any  # U(0, 1), picks the channel
    key: Any  # of the state after the jump


def _next_event(process, t, y, left, words, index) -> _Event:
    first, second, accept, channel = subkeys(words, index, 4)
    accept, channel = (uniform_of(key) for key in (accept, channel))
    delay = process.waiting(t, y, first)
    if delay is not None:
        return _Event(delay, None, accept, channel, second)
    bound = process.bound(t, y, left)
    if bound is None:
        raise BadInput(
            f"{type(process).__name__} has neither `waiting` nor `bound`: without one "
            "of them its jump times cannot be drawn exactly."
        )
    delay = -jnp.log(uniform_of(first)) / bound
    return _Event(delay, bound, accept, channel, second)


def _jump_or_not(process, t, y, event, reached):
    """The state after the event, whether it jumped, whether the bound was exceeded."""
    rates = process.rates(t, y)
    total = jnp.sum(rates)
    jumps, bad = ~reached, jnp.zeros((), dtype=bool)
    if event.bound is not None:
        # also looked at on arrival at the grid time: more chances to see a wrong bound
        bad = ~(total <= event.bound * (1 + 1e-9))
        jumps = jumps & (event.accept * event.bound < total)
    after = state_after(process, t, y, rates, event.channel, event.key)
    y = jax.tree.map(lambda a, b: jnp.where(jumps, a, b), after, y)
    return y, jumps, bad


def state_after(process: JumpProcess, t, y, rates, u, key) -> State:
    """The state after a jump at (t, y): its channel from u in (0, 1), then a draw."""
    channel = jnp.sum(jnp.cumsum(rates)[:-1] <= u * jnp.sum(rates))
    return process.jump(t, y, channel).sample(key)


def _runge_kutta(field, t, y, h):
    def plus(y, c, k):
        return jax.tree.map(lambda a, b: a + c * b, y, k)

    k1 = field(t, y)
    k2 = field(t + h / 2, plus(y, h / 2, k1))
    k3 = field(t + h / 2, plus(y, h / 2, k2))
    k4 = field(t + h, plus(y, h, k3))
    return jax.tree.map(
        lambda a, b, c, d, e: a + h / 6 * (b + 2 * c + 2 * d + e), y, k1, k2, k3, k4
    )
