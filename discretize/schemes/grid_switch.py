"""Switching processes on a grid: the label is frozen over each step."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from flows import BadInput, Draw, Scheme, Step
from flows.door import require_instance
from sde import Switching
from sde.frozen import frozen, thawed


class GridSwitch(Scheme):
    r"""A step of the loss in force, then a new label: minibatches as an optimiser sees.

    Over a step of time h the label stays what it was at the step's start; `inner` steps
    the flow of that one loss. Then the label moves,

    - "chain": by the index's own law over the time h, P(h) = e^{Qh}: the switching
      process discretised. With the exact flow inside, its stationary variance on
      quadratics is off by O(h²).
    - "fresh": to an independent draw of the index's stationary law: minibatches of an
      optimiser. With `Euler` on a process without momentum (α = 1) this is stochastic
      gradient descent of learning rate h, with `MomentumEuler` it is `optax.sgd` with
      momentum on one random row a step. Its noise is that of a chain with the
      relaxation rate 2/h (`matching_index`).

    The label of the start is the first step's, so draw it from the stationary law.

    Attributes:
        inner: a deterministic scheme without memory for the flow of one loss; None for
            its exact flow, where the process knows it (quadratics, constant mass).
        labels: "chain" or "fresh".

    Raises:
        BadInput: another word, no scheme; from a step: a process that does not switch,
            an exact flow that is not known, an inner scheme that draws or remembers.
    """

    inner: Scheme | None = None
    labels: str = eqx.field(static=True, default="chain")

    def __check_init__(self):
        if self.inner is not None:
            require_instance(self.inner, Scheme, "inner is a scheme, or None (exact)")
        if self.labels not in ("chain", "fresh"):
            raise BadInput(f'labels is "chain" or "fresh"; got {self.labels!r:.60}.')

    def noise_like(self, dynamics: Any, y: Any) -> Draw:
        """One uniform variable, of which the next label is made."""
        del dynamics, y
        return Draw("uniform", (1,))

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h with the label of y, which is then drawn anew."""
        require_instance(dynamics, Switching, "GridSwitch steps a switching process")
        y = self.moved(dynamics, t, y, h)
        index, u = dynamics.index, noise[0]
        if self.labels == "fresh":
            return Step(y._replace(label=index.stationary_label(y.label, u)), carry)
        return Step(y._replace(label=index.later_label(t, h, y.label, u)), carry)

    def moved(self, process: Switching, t: Any, y: Any, h: Any) -> Any:
        """The state after a step, its label as before."""
        if self.inner is None:
            moved = process.exact(t, y, h)
            if moved is None:
                raise BadInput(
                    "the flow of one loss is known exactly on flows.quadratic_sum with "
                    "a constant mass alone; name an inner scheme."
                )
            return moved
        flow, z = frozen(process, y)
        name = type(self.inner).__name__
        if self.inner.noise_like(flow, z) is not None:
            raise BadInput(f"the inner scheme is deterministic; {name} draws noise.")
        if self.inner.init(flow, t, z) is not None:
            raise BadInput(f"the inner scheme has no memory; {name} has one.")
        return thawed(self.inner.step(flow, t, z, h, None, None).y, y.label, y)
