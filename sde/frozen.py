"""A switching process with its label held still: the flow of one loss."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from flows.accelerated import PhaseState
from flows.damped import DampedFlow, OverdampedFlow
from flows.derived_losses import DerivedObjective
from flows.door import require_instance
from flows.dynamics import Flow
from flows.objective import Facts, Objective
from sde.switching import (
    StochasticGradientMomentumProcess,
    Switching,
    SwitchingMomentumState,
    SwitchingState,
)


class LabelledLoss(DerivedObjective):
    """f_i, the loss of one label of a switching process.

    Attributes:
        objective: the finite sum.
        batch: rows of the label's loss, shape [b].
    """

    facts: Facts = eqx.field(init=False, default=Facts())
    objective: Objective
    batch: Any

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """f_i(x)."""
        del batch
        return self.objective.value(x, self.batch)

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """∇f_i(x)."""
        del batch
        return self.objective.gradient(x, self.batch)


def frozen(process: Switching, y: Any) -> tuple[Flow, Any]:
    """The flow of the loss in force at y, and y without its label.

    Args:
        process: a switching process.
        y: its state.

    Returns:
        A `flows.DampedFlow` with a `flows.PhaseState` where the process has
        momentum, else a `flows.OverdampedFlow` with a position.

    Raises:
        BadInput: no switching process.
    """
    require_instance(process, Switching, "frozen takes a switching process")
    loss = LabelledLoss(process.objective, process.batch(y.label))
    if isinstance(process, StochasticGradientMomentumProcess):
        flow = DampedFlow(loss, process.mass, process.friction)
        return flow, PhaseState(y.position, y.velocity)
    known: Any = process
    return OverdampedFlow(loss, known.friction), y.position


def thawed(moved: Any, label: Any, like: Any) -> Any:
    """The state of the process from one of its frozen flow, with a label."""
    if isinstance(like, SwitchingMomentumState):
        return SwitchingMomentumState(moved.position, moved.velocity, label)
    return SwitchingState(moved, label)
