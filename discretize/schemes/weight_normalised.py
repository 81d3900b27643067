"""Reparametrised projected gradient descent as a scheme."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from flows import BadInput, Scheme, Step, WeightNormalisedFlow, WeightNormalisedState
from flows.types import is_traced


class ProjectedEuler(Scheme):
    r"""Reparametrised projected gradient descent (rPGD), x = s w with |w| = 1.

        v = w - h s r,   w ← v/|v|,   s ← s - c_s h ⟨w, r⟩,   r = ∇f(s w),

    both from the old pair. Order 1 on `WeightNormalisedFlow` with |w| = 1: h is the
    time of a step, the learning rate of w; that of s is c_s h. A flow with c_s = 0
    holds the scale (a first phase); a second run, from where it ended, lets it go.

    Stable for h < 2/(s² L) and c_s h < 2/L.

    Reference: Wu et al., NeurIPS 2020, arXiv 1911.07956.
    """

    order: ClassVar[int] = 1

    def init(self, dynamics: Any, t: Any, y: Any) -> None:
        """No memory; looks at the model and at |w|.

        Raises:
            BadInput: another model, or |w| off 1 by more than rounding.
        """
        del t
        if not isinstance(dynamics, WeightNormalisedFlow):
            raise BadInput(
                "projected Euler steps a flows.WeightNormalisedFlow; got "
                f"{type(dynamics).__name__}."
            )
        w = y.direction
        if is_traced(w) or np.asarray(w).dtype == object:
            return
        size = float(np.linalg.norm(w))
        if not abs(size - 1) <= 100 * np.finfo(np.asarray(w).dtype).eps:
            raise BadInput(f"projected Euler keeps |w| = 1; the start has {size:.12g}.")

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        del t, noise
        s, w = y
        r = dynamics.objective.gradient(s * w)
        v = w - h * s * r
        scale = s - dynamics.scale_rate * h * jnp.sum(w * r)
        norm = jnp.sqrt(jnp.sum(v**2))
        return Step(WeightNormalisedState(scale, v / norm), carry)
