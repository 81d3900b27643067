"""Tamed Euler schemes: the drift bounded by a taming before the step."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from discretize.schemes.euler import add
from discretize.taming import NormTaming, Taming
from flows import BadInput, Draw, Scheme, Step
from sde import Diffusion


class TamedEuler(Scheme):
    r"""Tamed Euler, y ← y + h b_h(y) + σ(t, y) √h ξ with a tamed drift b_h.

    On overdamped Langevin dynamics it is TULA, mTULA, TUSLA, TheoPouLa, … according to
    the taming (`discretize.taming`). The noise is not tamed.

    Attributes:
        taming: (h, y, drift parts) -> b_h.
    """

    order: ClassVar[int] = 1
    taming: Taming = eqx.field(default_factory=NormTaming)

    def __check_init__(self):
        if not isinstance(self.taming, Taming):
            raise BadInput(
                f"TamedEuler takes a taming, as NormTaming(); got {self.taming!r}."
            )

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals, as many as the diffusion has Brownian motions."""
        if isinstance(dynamics, Diffusion):
            return Draw("normal", (dynamics.brownian(y),))
        return None

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        if isinstance(dynamics, Diffusion):
            drift = dynamics.drift_parts(t, y)
            new = y + h * self.taming(h, y, drift)
            return Step(add(new, 1.0, dynamics.noise(t, y, jnp.sqrt(h) * noise)), carry)
        return Step(y + h * self.taming(h, y, (dynamics.vector_field(t, y),)), carry)
