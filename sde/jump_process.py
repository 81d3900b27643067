"""Piecewise deterministic Markov processes: a flow, interrupted by jumps."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from jaxtyping import Array, Float

from flows.dynamics import Flow, State, TestFunction
from sde.laws import Law


class JumpProcess(Flow):
    r"""A flow interrupted by jumps (piecewise deterministic Markov process).

    Between jumps dy = v(t, y) dt; channel c rings at rate λ_c(t, y), and the state then
    jumps to a draw of `jump(t, y, c)`. Generator:
    L φ = ∂ₜφ + v·∇φ + Σ_c λ_c (E φ(jump_c) - φ).

    `sde.ExactJumps` simulates it, by `exact` and `waiting` where they are known, else
    with `bound`. Reference: Davis, J. R. Statist. Soc. B 46(3), 1984.
    """

    @abstractmethod
    def rates(self, t: Any, y: State) -> Float[Array, " channels"]:
        """Jump rates λ_c(t, y) in 1/time, one clock a channel."""

    @abstractmethod
    def jump(self, t: Any, y: State, channel: Any) -> Law:
        """The law of the state right after channel `channel` rings at (t, y)."""

    def generator(self, phi: TestFunction) -> TestFunction:
        """L φ = ∂ₜφ + v·∇φ + Σ_c λ_c (E φ(jump_c) - φ); composes with itself."""
        moved = super().generator(phi)

        def l_phi(t, y):
            flow = moved(t, y)
            rates = self.rates(t, y)
            here = phi(t, y)
            for channel in range(rates.shape[0]):
                after = self.jump(t, y, channel).expect(lambda z: phi(t, z))
                flow = flow + rates[channel] * (after - here)
            return flow

        return l_phi

    def exact(self, t: Any, y: State, h: Any) -> State | None:
        """The state after time h without a jump; None where no closed form is known."""
        del t, y, h
        return None

    def waiting(self, t: Any, y: State, key: Any) -> Any:
        """A draw of the time to the next jump from (t, y), over all channels; or None.

        It takes the motion between jumps into account. None where no way to draw it
        exactly is known.
        """
        del t, y, key
        return None

    def integral(self, t: Any, y: State, h: Any) -> Any:
        """∫ of the position over [t, t + h] without a jump, shape [n]; or None.

        What time averages along a path are made of, without a quadrature.
        """
        del t, y, h
        return None

    def bound(self, t: Any, y: State, horizon: Any) -> Any:
        """A bound on Σ_c λ_c along the jump-free flow on [t, t + horizon]; or None."""
        del t, y, horizon
        return None
