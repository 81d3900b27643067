"""The scheme protocol: a one-step map in which the step size is data."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx


@dataclass(frozen=True)
class Draw:
    """What one step draws: `shape` independent variables of one law.

    "normal" is N(0, 1), "uniform" is U(0, 1), "bits" are uniform uint32 words
    (a step that needs a variable number of draws makes a key of them).
    """

    law: Literal["normal", "uniform", "bits"]
    shape: tuple[int, ...]


class Step(NamedTuple):
    """The result of one step: the state, the scheme's memory, what it has to show."""

    y: Any
    carry: Any = None
    aux: Any = None


class Scheme(eqx.Module):
    """A one-step map y ↦ Φ_h(y) for some class of dynamics.

    The step size h is data: a new value compiles nothing, and it may be a symbol
    under tracing. Memory (an eigenbasis, a past gradient) travels in `carry`; what a
    step has to show leaves in `aux`.
    """

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """None for a deterministic step, else a pytree of `Draw`."""
        del dynamics, y
        return None

    def init(self, dynamics: Any, t: Any, y: Any) -> Any:
        """The memory at the start (None where there is none)."""
        del dynamics, t, y
        return None

    @abstractmethod
    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h from (t, y); `noise` has the structure of `noise_like`."""
