"""Central flows and their stable phase."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.central.rules import GradientDescent, Momentum, Rule
from flows.dynamics import Dynamics, Flow, directional
from flows.errors import BadInput
from flows.objective import Objective


class CentralState(NamedTuple):
    """w of shape [n], and the rule's memory ν ([n], [] or None where it has none)."""

    position: Float[Array, " n"]
    memory: Any


def _start(objective: Objective, rule: Rule, x: Any) -> CentralState:
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise BadInput(f"a position is a vector of floats; got {x.dtype}.")
    return CentralState(x, rule.memory(objective.gradient(x)))


def require_central_state(y: Any) -> None:
    """Refuse what is no state of a central flow.

    Raises:
        BadInput: a bare position, say.
    """
    if not isinstance(y, CentralState):
        raise BadInput(f"the state is that of flow.start(x); got {y!r:.60}.")


class StableFlow(Flow):
    r"""The central flow where nothing oscillates: dw/dt = -P⁻¹g, dν/dt = κ(s(g,g) - ν).

    For gradient descent it is gradient flow on the clock of steps. State:
    `CentralState`. Unit of time: one step of the optimiser; η sits in the field.

    Reference: Cohen et al., arXiv 2410.24206.

    Attributes:
        objective: f.
        rule: the optimiser.
    """

    equation: ClassVar[str] = (
        r"\dot w = -P^{-1}\nabla L(w),\quad \dot\nu = \kappa\,(s(g, g) - \nu)"
    )
    objective: Objective
    rule: Rule

    def start(self, x: Float[Array, " n"]) -> CentralState:
        """The state at w = x with the memory of one update."""
        return _start(self.objective, self.rule, x)

    def require_inside(self, y: Any) -> None:
        """Refuse a state that is no `CentralState`.

        Raises:
            BadInput: a bare position, say.
        """
        require_central_state(y)

    def vector_field(self, t: Any, y: CentralState) -> CentralState:
        """(w', ν')."""
        g = self.objective.gradient(y.position)
        p = self.rule.preconditioner(t, y.memory)
        rate = self.rule.memory_rate(y.memory, self.rule.square(g, g))
        return CentralState(-g / p, rate)


class CentralFlow(Dynamics):
    r"""The time average of an optimiser that oscillates at the edge of stability.

        dw/dt = -P⁻¹ [g + ½ ∇_w ⟨H(w), Σ⟩],   dν/dt = κ (s(g, g) + s_H(Σ) - ν),
        Σ ⪰ 0,   A = c P - H ⪰ 0,   ⟨Σ, A⟩ = 0   at all times,

    with g = ∇L(w), H = ∇²L(w), s_H(Σ) = Σ_ij X_ij s(H u_i, H u_j) for Σ = U X Uᵀ, and
    c the edge of the rule (2 without momentum). Σ(t) is the covariance of the
    oscillation: it lives in the critical eigenspace ker A and is what keeps the
    effective sharpness λ_max(P⁻¹H) from passing c. Where that is below c, Σ = 0 and
    this is `StableFlow`.

    State: `CentralState`. Unit of time: one step of the optimiser.

    A complementarity system has no field that a solver could sample: the right side
    jumps where a direction becomes critical. `discretize.CentralEuler` steps it; its
    aux shows Σ and the eigenvalues.

    Hypotheses: L in C³ (no ReLU), the start below the edge, P > 0.

    Reference: Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in
    Deep Learning with Central Flows", ICLR 2025, arXiv 2410.24206.

    Attributes:
        objective: L.
        rule: the optimiser: `GradientDescent`, `ScalarRMSProp`, `RMSProp`, `Momentum`.
        ablated: leaves out ½∇⟨H, Σ⟩, the oscillation's force on w, while Σ still pins
            the effective sharpness through the memory; for rules with memory.
    """

    equation: ClassVar[str] = (
        r"\dot w = -P^{-1}\left[\nabla L(w) + \tfrac12\nabla_w\langle H(w),"
        r"\Sigma\rangle\right],\quad 0 \preceq \Sigma \perp cP - H(w) \succeq 0"
    )
    objective: Objective
    rule: Any  # a Rule: refused in words below, before a type checker would
    ablated: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not isinstance(self.rule, Rule):
            raise BadInput(
                "rule is an optimiser such as flows.central.GradientDescent(0.1); "
                f"got {self.rule!r:.60}."
            )
        if self.ablated and isinstance(self.rule, GradientDescent | Momentum):
            raise BadInput(
                f"{type(self.rule).__name__} has no memory: without the force of the "
                "oscillation nothing keeps it at the edge. ablated=True is for RMSProp "
                "and ScalarRMSProp."
            )

    def start(self, x: Float[Array, " n"]) -> CentralState:
        """The state at w = x with the memory of one update."""
        return _start(self.objective, self.rule, x)

    def require_inside(self, y: Any) -> None:
        """Refuse a state that is no `CentralState`.

        Raises:
            BadInput: a bare position, say.
        """
        require_central_state(y)

    @property
    def stable(self) -> StableFlow:
        """The same rule with Σ = 0."""
        return StableFlow(self.objective, self.rule)

    def generator(self, phi):
        """L φ = ∂ₜφ + v·∇φ between events, v from the instantaneous Σ.

        Through a dense Hessian: for small n (see `flows.central.complementarity`).
        """
        from flows.central.linear_response import complementarity

        def l_phi(t, y):
            return directional(phi, t, y, complementarity(self, t, y).velocity)

        return l_phi
