"""The drift of a diffusion alone, as a flow."""

from __future__ import annotations

from typing import Any

from flows.dynamics import DerivedFlow, Flow, State


class DriftFlow(DerivedFlow):
    r"""A diffusion without its noise, y' = v(t, y): what is left at temperature 0.

    State, unit of time and objective are the diffusion's own. For overdamped Langevin
    dynamics it is the gradient flow of f + ρ.

    Attributes:
        flow: the diffusion whose drift is taken.
    """

    flow: Flow

    def vector_field(self, t: Any, y: State) -> State:
        """The drift v(t, y)."""
        return self.flow.vector_field(t, y)
