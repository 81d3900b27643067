"""Gradient flows that switch between losses: without momentum, and with."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.damped import DampedFlow, OverdampedFlow, require_mass
from flows.data import Data
from flows.derived_losses import DerivedObjective
from flows.door import require_instance, require_number
from flows.dynamics import Flow, State, parameter
from flows.errors import BadInput
from flows.finite_sums import QuadraticSum, row_batches, rows_of
from flows.objective import Facts, Objective
from flows.schedules import is_constant, scheduled, value_at
from flows.types import is_traced
from sde._checks import require_switching_state
from sde.index import Index
from sde.jump_process import JumpProcess
from sde.laws import Finite
from sde.noise import uniforms

Vector = Float[Array, " n"]


class SwitchingState(NamedTuple):
    """A position and the label of the loss in force.

    Attributes:
        position: x, shape [n].
        label: index in {0, ..., N-1}, a scalar integer.
    """

    position: Any
    label: Any


class SwitchingMomentumState(NamedTuple):
    """A position, its velocity and the label of the loss in force.

    Attributes:
        position: x, shape [n].
        velocity: v = x', shape [n].
        label: index in {0, ..., N-1}, a scalar integer.
    """

    position: Any
    velocity: Any
    label: Any


def as_batches(value: Any) -> Any:
    """Rows of each label's loss, integers of shape [N, b]; None for one row a label.

    All batches are of one size b >= 1, and in the mean over the labels each row counts
    as often as it stands in them. Where b does not divide the number of rows, leave the
    rest out, as one epoch of a data loader with `drop_last` does, or fill the last
    batch up with rows of others, which then count twice.

    Raises:
        BadInput: no array of row indices: ragged or empty batches, other numbers.
    """
    if value is None or isinstance(value, Data):
        return value
    return Data(jnp.asarray(row_batches(value)))


class Switching(JumpProcess):
    """Base of the flows x' = ..., driven by ∇f_I with a label I of its own motion.

    The losses are those of a finite sum F = (1/N) Σ_i f_i: label i is row i of
    `objective`, or the mean over the rows `batches[i]`. The label does not look at the
    position, so its path can be drawn ahead.
    """

    state_type: ClassVar[Any] = None
    """The class of its states; None for any with a position and a label."""

    if TYPE_CHECKING:  # fields of the concrete classes, which order their own
        objective: Objective
        index: Index
        batches: Any

    def require_inside(self, y: State) -> None:
        """Refuse what is no state of the process, its label included.

        Raises:
            BadInput: with the state that is wanted.
        """
        require_switching_state(self, y)

    @property
    def labels(self) -> int:
        """The number N of losses."""
        return self.index.labels

    def batch(self, label: Any) -> Any:
        """The rows of a label's loss, shape [b]."""
        if self.batches is None:
            return jnp.asarray(label)[None]
        return self.batches.get()[label]

    def gradient(self, label: Any, x: Vector) -> Vector:
        """∇f_label(x)."""
        return self.objective.gradient(x, self.batch(label))

    def mean_objective(self) -> Objective:
        """Σ_i π_i f_i, π the stationary law of the label: what averaging leaves."""
        return AveragedObjective(self.objective, self.batches, self.index.stationary())

    @property
    def solved(self) -> bool:
        """Whether the flow between jumps is known exactly (one quadratic a label)."""
        return isinstance(self.objective, QuadraticSum) and self.batches is None

    def rates(self, t: Any, y: State) -> Float[Array, " 1"]:
        """One clock, that of the index."""
        return self.index.ring_rate(t, y.label)[None]

    def jump(self, t: Any, y: State, channel: Any) -> Finite:
        """The position stays; the label is redrawn."""
        del t, channel
        n = self.labels
        labels = jnp.arange(n, dtype=jnp.asarray(y.label).dtype)
        stay = jax.tree.map(lambda a: jnp.broadcast_to(a[None], (n, *a.shape)), y[:-1])
        return Finite(self.index.next_weights(y.label), type(y)(*stay, labels))

    def waiting(self, t: Any, y: State, key: Any) -> Any:
        """The wait for the next ring, by inversion of the index's integrated rate."""
        return self.index.delay(t, y.label, -jnp.log(uniforms(key, 1)[0]))


class StochasticGradientProcess(Switching):
    r"""The stochastic gradient process, α x' = -∇f_I(x), with a label I that switches.

    State: `SwitchingState`. Unit of time: friction/curvature; with α = 1 one step of
    stochastic gradient descent with learning rate η takes time η, and the same noise
    has the relaxation rate r = 2/η (exponential waits double the variance of fixed
    ones). A decreasing learning rate is a clock rate that is a `flows.Schedule`.

    Reference: Latz, "Analysis of stochastic gradient descent in continuous time",
    Statistics and Computing 31, 2021, arXiv 2004.07177.

    Attributes:
        objective: a finite sum: `flows.quadratic_sum` (exact between jumps),
            `flows.finite_sum`, or `flows.from_loss` with data.
        index: the label's process.
        friction: α > 0.
        batches: rows of each label's loss, shape [N, b]; None for row i as loss i. A
            rest of fewer than b rows is left out, or filled up with rows of others.

    Raises:
        BadInput: an objective that is no finite sum, an index with another number of
            labels, rows that do not exist, a friction that is not positive.
    """

    state_type: ClassVar[Any] = SwitchingState
    equation: ClassVar[str] = r"\alpha\,\dot x = -\nabla f_{I(t)}(x)"
    objective: Objective
    index: Index
    friction: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\alpha"},
    )
    batches: Any = eqx.field(converter=as_batches, default=None)

    def __check_init__(self):
        _require_losses(self)

    def vector_field(self, t, y: SwitchingState) -> SwitchingState:
        """(-∇f_I(x)/α, no motion of the label)."""
        del t
        return SwitchingState(-self.gradient(y.label, y.position) / self.friction, None)

    def exact(self, t, y: SwitchingState, h: Any) -> SwitchingState | None:
        """The exact relaxation towards a_I on quadratics; None otherwise."""
        del t
        if not self.solved:
            return None
        f: Any = self.objective
        return y._replace(
            position=f.summand_flow(y.label, h, y.position, self.friction)
        )

    def integral(self, t, y: SwitchingState, h: Any) -> Any:
        """∫ x over the time h, exact on quadratics; None otherwise."""
        del t
        if not self.solved:
            return None
        f: Any = self.objective
        return f.summand_integral(y.label, h, y.position, self.friction)


class StochasticGradientMomentumProcess(Switching):
    r"""The stochastic gradient-momentum process: x' = v, m(t) v' = -∇f_I(x) - α v.

    State: `SwitchingMomentumState`. Between jumps the energy m|v|²/2 + f_i(x) changes
    at the rate (m'/2 - α)|v|². Units as for `flows.DampedFlow`: with α = 1 the time is
    that of the process without momentum (m = 0), and the mass is time² · curvature. A
    mass that decreases to 0 ("losing momentum") and a clock that speeds up are
    `flows.Schedule`s.

    Reference: Jin, Latz, Liu and Scagliotti, "Losing Momentum in Continuous-time
    Stochastic Optimisation", JMLR 26, 2025, arXiv 2209.03705.

    Attributes:
        objective: a finite sum (see `StochasticGradientProcess`).
        index: the label's process.
        mass: m > 0, a number or a `flows.Schedule`; exact between jumps on quadratics
            where it is a number.
        friction: α > 0.
        batches: rows of each label's loss, shape [N, b]; None for row i as loss i. A
            rest of fewer than b rows is left out, or filled up with rows of others.

    Raises:
        BadInput: an objective that is no finite sum, an index with another number of
            labels, rows that do not exist, a friction or mass that is not positive.
    """

    state_type: ClassVar[Any] = SwitchingMomentumState
    equation: ClassVar[str] = (
        r"\dot x = v,\quad m(t)\,\dot v = -\nabla f_{I(t)}(x) - \alpha\,v"
    )
    objective: Objective
    index: Index
    mass: Any = eqx.field(
        converter=scheduled, default=1.0, metadata={"positive": True, "symbol": "m"}
    )
    friction: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\alpha"},
    )
    batches: Any = eqx.field(converter=as_batches, default=None)

    def __check_init__(self):
        _require_losses(self)
        require_mass(self.mass)

    def vector_field(self, t, y: SwitchingMomentumState) -> SwitchingMomentumState:
        """(v, -(∇f_I(x) + α v)/m(t), no motion of the label)."""
        pull = self.gradient(y.label, y.position) + self.friction * y.velocity
        return SwitchingMomentumState(y.velocity, -pull / value_at(self.mass, t), None)

    @property
    def solved(self) -> bool:
        """Whether the flow between jumps is known: quadratics, and a constant mass."""
        return super().solved and is_constant(self.mass)

    def exact(self, t, y: SwitchingMomentumState, h: Any) -> Any:
        """The damped oscillation about a_I on quadratics; None otherwise."""
        del t
        if not self.solved:
            return None
        f: Any = self.objective
        x, v = f.summand_damped_flow(
            y.label, h, y.position, y.velocity, self.mass, self.friction
        )
        return SwitchingMomentumState(x, v, y.label)

    def integral(self, t, y: SwitchingMomentumState, h: Any) -> Any:
        """∫ x over the time h, exact on quadratics without tilts; None otherwise."""
        del t
        if not self.solved:
            return None
        f: Any = self.objective
        return f.summand_damped_integral(
            y.label, h, y.position, y.velocity, self.mass, self.friction
        )


class AveragedObjective(DerivedObjective):
    """Σ_i π_i f_i over the losses of a switching process.

    Attributes:
        objective: the finite sum.
        batches: rows of each label's loss, shape [N, b]; None for row i as loss i.
        weights: π, shape [N].
    """

    facts: Facts = eqx.field(init=False, default=Facts())
    objective: Objective
    batches: Any
    weights: Any

    def value(self, x: Vector, batch: Any = None) -> Float[Array, ""]:
        """Σ_i π_i f_i(x)."""
        del batch
        return self._mean(functools.partial(self.objective.value, x))

    def gradient(self, x: Vector, batch: Any = None) -> Vector:
        """Σ_i π_i ∇f_i(x)."""
        del batch
        return self._mean(functools.partial(self.objective.gradient, x))

    def _mean(self, of: Any) -> Any:
        n = self.weights.shape[0]
        rows = jnp.arange(n)[:, None] if self.batches is None else self.batches.get()
        return jnp.tensordot(self.weights, jax.vmap(of)(rows), axes=1)


def state_of(process: Switching, z: Vector, label: Any) -> State:
    """The state of given coordinates that move, with a label.

    Args:
        process: a switching process.
        z: x, shape [n]; with momentum x and v one after the other, shape [2n].
        label: index in {0, ..., N-1}.
    """
    if isinstance(process, StochasticGradientMomentumProcess):
        x, v = jnp.split(z, 2)
        return SwitchingMomentumState(x, v, label)
    return SwitchingState(z, label)


def full_gradient(process: Switching) -> Flow:
    """The limit of infinitely fast switching: the flow of the mean loss Σ_i π_i f_i.

    `OverdampedFlow` of a `StochasticGradientProcess`, `DampedFlow` of a
    `StochasticGradientMomentumProcess` (state `flows.PhaseState`).
    """
    require_instance(process, Switching, "full_gradient takes a switching process")
    mean = process.mean_objective()
    if isinstance(process, StochasticGradientMomentumProcess):
        return DampedFlow(mean, process.mass, process.friction)
    assert isinstance(process, StochasticGradientProcess)
    return OverdampedFlow(mean, process.friction)


def zero_mass(process: StochasticGradientMomentumProcess) -> StochasticGradientProcess:
    """The limit m -> 0 of a process with momentum: the same index, no momentum."""
    require_instance(
        process,
        StochasticGradientMomentumProcess,
        "zero_mass takes a StochasticGradientMomentumProcess",
    )
    return StochasticGradientProcess(
        process.objective, process.index, process.friction, process.batches
    )


def _require_losses(process: Any) -> None:
    require_instance(
        process.index, Index, "index is a process of labels, as UniformIndex"
    )
    require_number("friction", process.friction, positive=True)
    rows, labels = rows_of(process.objective), process.index.labels
    if process.batches is None:
        if rows != labels:
            raise BadInput(
                f"the index has {labels} labels, the objective {rows} rows: make them "
                "one number, or give batches of rows, shape [labels, b]."
            )
        return
    batches = process.batches.tree
    if batches.shape[0] != labels:
        raise BadInput(f"{batches.shape[0]} batches for an index of {labels} labels.")
    if not is_traced(batches):
        known = np.asarray(batches)
        if known.min() < 0 or known.max() >= rows:
            raise BadInput(f"batches hold rows 0, ..., {rows - 1} of the objective.")
