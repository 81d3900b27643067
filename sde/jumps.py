"""Event-driven simulation of a jump process, step by step; `ExactJumps`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

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
    "the bound on the jump rates (or the rates themselves, or phantom events) gives "
    "more than max_events events in one step: take a smaller h, a tighter bound or a "
    "larger max_events."
)


class JumpCount(NamedTuple):
    """What a step from event to event shows.

    Attributes:
        jumps: jumps made within the step.
        proposals: events looked at, those that changed nothing included.
    """

    jumps: Any
    proposals: Any


class Arrival(NamedTuple):
    """Where the flow was followed to: the next event, or the end of the step.

    Attributes:
        y: the state there, before a jump.
        delay: time since the event before; of no use where none came.
        rang: whether the event came before the step's end.
        failed: whether the flow could not be followed.
        bound: the rate of the clock that rang; None where the scheme knows it.
    """

    y: State
    delay: Any
    rang: Any
    failed: Any
    bound: Any = None


class EventScheme(Scheme):
    """Base of the schemes that follow the flow from event to event within a step.

    An event is a jump or changes nothing. Event k of a step has four keys, made of k
    and of the step's own: of its time, of the state after it, of whether it is a jump,
    and of its channel, so that schemes which share a key share what they draw.
    """

    failure: ClassVar[str]
    """What a failed `Arrival` is reported as."""

    if TYPE_CHECKING:  # a field of the concrete classes, which order their own
        max_events: int

    def noise_like(self, dynamics: Any, y: Any) -> Draw:
        """Two words, the key of the step's events."""
        del dynamics, y
        return Draw("bits", (2,))

    def step(
        self, dynamics: Any, t: Any, y: State, h: Any, noise: Any, carry: Any
    ) -> Step:
        """Events within [t, t + h], then the flow to t + h."""
        if not isinstance(dynamics, JumpProcess):
            scheme, name = type(self).__name__, type(dynamics).__name__
            raise BadInput(f"{scheme} steps jump processes; {name} is none.")
        h, t = (jnp.asarray(value, dtype=float) for value in (h, t))

        def go_on(loop):
            s, _, events, _, failed = loop
            return (s < h) & (events < self.max_events) & ~failed

        def body(loop):
            s, y, events, jumps, failed = loop
            first, second, accept, channel = subkeys(noise, events, 4)
            found = self.arrive(dynamics, t + s, y, h - s, h, first)
            s = jnp.where(found.rang, s + found.delay, h)
            rates = dynamics.rates(t + s, found.y)
            jumped, bad = self.decide(found, jnp.sum(rates), h, uniform_of(accept))
            u = uniform_of(channel)
            after = state_after(dynamics, t + s, found.y, rates, u, second)
            y = jax.tree.map(lambda a, b: jnp.where(jumped, a, b), after, found.y)
            failed = failed | found.failed | bad
            return s, y, events + 1, jumps + jumped.astype(int), failed

        none = jnp.zeros((), dtype=int)
        start = (jnp.zeros_like(h), y, none, none, jnp.zeros((), dtype=bool))
        s, y, events, jumps, failed = jax.lax.while_loop(go_on, body, start)
        y = eqx.error_if(y, failed, self.failure)
        y = eqx.error_if(y, (s < h) & ~failed, TOO_MANY)
        return Step(y, carry, JumpCount(jumps, events))

    @abstractmethod
    def arrive(
        self, process: JumpProcess, t: Any, y: State, left: Any, h: Any, key: Any
    ) -> Arrival:
        """The flow from (t, y) to the next event, or over the time `left` of h."""

    @abstractmethod
    def decide(self, found: Arrival, total: Any, h: Any, u: Any) -> tuple[Any, Any]:
        """Whether what was found is a jump, by u in (0, 1), and whether it is an error.

        `total` is the sum of the process's rates there.
        """


class ExactJumps(EventScheme):
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

    failure: ClassVar[str] = BOUND_EXCEEDED
    substeps: int = eqx.field(static=True, default=8)
    max_events: int = eqx.field(static=True, default=100_000)

    def __check_init__(self):
        require_whole("substeps", self.substeps)
        require_whole("max_events", self.max_events)

    def arrive(self, process, t, y, left, h, key) -> Arrival:
        """The wait where it can be drawn, or one of the clock of rate `bound`."""
        del h
        delay, bound = process.waiting(t, y, key), None
        if delay is None:
            bound = process.bound(t, y, left)
            if bound is None:
                raise BadInput(
                    f"{type(process).__name__} has neither `waiting` nor `bound`: "
                    "without one of them its jump times cannot be drawn exactly."
                )
            delay = -jnp.log(uniform_of(key)) / bound
        y = self._flow(process, t, y, jnp.minimum(delay, left))
        never = jnp.zeros((), dtype=bool)
        return Arrival(y, delay, ~(delay >= left), never, bound)

    def decide(self, found: Arrival, total: Any, h: Any, u: Any) -> tuple[Any, Any]:
        """A jump for certain, or with probability total/bound; the bound is checked."""
        del h
        if found.bound is None:
            return found.rang, jnp.zeros((), dtype=bool)
        # also looked at on arrival at the grid time: more chances to see a wrong bound
        bad = ~(total <= found.bound * (1 + 1e-9))
        return found.rang & (u * found.bound < total), bad

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
