"""Self-stabilisation: the cubic model of gradient descent at the edge of stability."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_number
from flows.dynamics import Flow, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.problems.valley import Valley, valley
from flows.sharpness import sharpness
from flows.types import Scalar, is_traced


def _positive(name: str, value: Any) -> None:
    """Refuse a concrete parameter that is not positive and finite."""
    if is_traced(value) or np.asarray(value).dtype == object:
        return
    if not (np.isfinite(value) and value > 0):
        raise BadInput(f"{name} is > 0 and finite; got {value}.")


class SelfStabilisation(Flow):
    r"""The cubic model of an oscillation at the edge of stability, in continuous time.

        X' = X Y,   Y' = α - β X²/2.

    X = |⟨u, w - w†⟩| is how far gradient descent oscillates along the top eigenvector
    u of the Hessian, Y = S - 2/η how far the sharpness S is above the edge. Progressive
    sharpening α > 0 pushes S up; above the edge the oscillation grows, and its cubic
    term β pushes S down again. Orbits are closed: they are level sets of `energy`, and
    on each the mean of X² is exactly δ² = 2α/β.

    State: (X, Y), shape [2], X > 0. Unit of time: that of gradient flow, so that a step
    of gradient descent takes η. Gradient descent on `loss(η)` is, in (|x|, y), explicit
    Euler of step η on this flow while 1 + ηY > 0; unlike the flow it spirals outwards,
    its energy grows at every step.

    Scales: δ = √(2α/β) of X, √α of Y, 1/√α of time; so the sharpness moves by about
    ε = η√α in units of 1/η, and a cycle takes about 1/ε steps (`period`).

    Reference: Damian, Nichani and Lee, "Self-Stabilization: The Implicit Bias of
    Gradient Descent at the Edge of Stability", ICLR 2023, arXiv 2209.15594.

    Attributes:
        alpha: α = -⟨∇f, ∇S⟩ > 0 (sharpness per time).
        beta: β = |P_u^⊥ ∇S|² > 0 (sharpness per time and squared length).
    """

    equation: ClassVar[str] = (
        r"\dot X = X Y,\quad \dot Y = \alpha - \tfrac{\beta}{2} X^2"
    )
    alpha: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\alpha"}
    )
    beta: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\beta"}
    )

    def __check_init__(self):
        _positive("alpha", self.alpha)
        _positive("beta", self.beta)

    def vector_field(self, t, y: Float[Array, " 2"]) -> Float[Array, " 2"]:
        """(X Y, α - β X²/2)."""
        del t
        return jnp.stack([y[0] * y[1], self.alpha - self.beta * y[0] ** 2 / 2])

    @property
    def variance(self) -> Any:
        """δ² = 2α/β: the mean of X² over every cycle (length squared)."""
        return 2 * self.alpha / self.beta

    @property
    def rest(self) -> Float[Array, " 2"]:
        """The centre (δ, 0) of all orbits."""
        return jnp.stack([jnp.sqrt(self.variance), jnp.zeros_like(self.variance)])

    def energy(self, y: Float[Array, " 2"]) -> Float[Array, ""]:
        """E = Y²/2 + β X²/4 - α log X (sharpness squared); conserved, least at rest."""
        x = y[0]
        return y[1] ** 2 / 2 + self.beta * x**2 / 4 - self.alpha * jnp.log(x)

    def loss(self, learning_rate: Any) -> Valley:
        r"""The valley with a straight floor on which descent of step η is the model.

        f(x, z) = (2/η + √β z) x²/2 - (α/√β) z, on which gradient descent does, with
        y = √β z,

            x ← -(1 + ηy) x,   y ← y + η(α - β x²/2).

        Args:
            learning_rate: η > 0 (time).

        Raises:
            BadInput: a learning rate that is not positive.
        """
        require_number("learning_rate", learning_rate, positive=True)
        root = np.sqrt(float(self.beta))
        return valley(2 / learning_rate, root, float(self.alpha) / root, 0.0)

    def start(self, y: Float[Array, " 2"]) -> Float[Array, " 2"]:
        """The position (x, z) on that loss of a state (X, Y)."""
        return jnp.stack([y[0], y[1] / jnp.sqrt(self.beta)])

    def turning_points(self, energy: Scalar) -> tuple[float, float]:
        """The least and the largest X on the orbit of an energy.

        With u = βX²/(2α): u - log u is fixed by E, so u = -W(-e^{-c}), c the value,
        on the two real branches of Lambert's W.

        Args:
            energy: E (sharpness squared).

        Raises:
            BadInput: an energy below that of rest.
        """
        from scipy.special import lambertw

        a, b = float(self.alpha), float(self.beta)
        c = 2 * float(energy) / a + np.log(2 * a / b)  # u - log u, at least 1
        if not c >= 1:
            least = a / 2 * (1 - np.log(2 * a / b))
            raise BadInput(f"no orbit of energy {energy}: the least is {least:.6g}.")
        u = [-lambertw(-np.exp(-c), k).real for k in (0, -1)]
        low, high = np.sqrt(2 * a / b * np.array(u))
        return float(low), float(high)

    def period(self, energy: Scalar, points: int = 400) -> float:
        """Time of one cycle of an energy (gradient-flow time: divide by η for steps).

        It grows with the energy, from 2π/√(2α) of the smallest cycles. In q = log X
        the motion is that of a particle in the potential βX²/4 - αq; the midpoint rule
        after q = m + r sin θ converges exponentially.

        Args:
            energy: E above that of rest (sharpness squared).
            points: of the quadrature.

        Raises:
            BadInput: no orbit of that energy.
        """
        low, high = np.log(self.turning_points(energy))
        a, b = float(self.alpha), float(self.beta)
        theta = np.pi * ((np.arange(points) + 0.5) / points - 0.5)
        q = (low + high) / 2 + (high - low) / 2 * np.sin(theta)
        speed = np.sqrt(2 * (float(energy) - b / 4 * np.exp(2 * q) + a * q))
        step = (high - low) / 2 * np.cos(theta) * np.pi / points
        return float(2 * np.sum(step / speed))


class CubicModel(eqx.Module):
    r"""What the cubic model needs of a loss at a point, measured (see `cubic_model`).

    Attributes:
        point: w†, where ⟨∇f, u⟩ = 0, shape [n].
        value: f(w†).
        sharpness: S = λ_max(∇²f(w†)) (1/time).
        direction: u, its unit eigenvector, shape [n].
        slope: P_u^⊥ ∇S with ∇S = ∇³f[u, u, ·], shape [n].
        alpha: α = -⟨∇f, P_u^⊥ ∇S⟩; positive where the sharpness rises by itself.
        beta: β = |P_u^⊥ ∇S|².
        residual: |∇²f u - S u|, of the eigenpair.
    """

    point: Float[Array, " n"]
    value: Float[Array, ""]
    sharpness: Float[Array, ""]
    direction: Float[Array, " n"]
    slope: Float[Array, " n"]
    alpha: Float[Array, ""]
    beta: Float[Array, ""]
    residual: float

    @property
    def flow(self) -> SelfStabilisation:
        """The cubic model with these α and β.

        Raises:
            BadInput: α <= 0, where nothing drives the sharpness to the edge.
        """
        return SelfStabilisation(self.alpha, self.beta)

    def coordinates(
        self, positions: Float[Array, "*k n"], learning_rate: Any
    ) -> Float[Array, "*k 2"]:
        """(x, y) of positions near w†: x = ⟨u, w - w†⟩, y = S + ⟨slope, w - w†⟩ - 2/η.

        x keeps its sign, which alternates along gradient descent.

        Args:
            positions: w, one or many.
            learning_rate: η > 0 (time).
        """
        moved = positions - jnp.broadcast_to(self.point, jnp.shape(positions))
        y = self.sharpness - 2 / learning_rate + moved @ self.slope
        return jnp.stack([moved @ self.direction, y], axis=-1)


@eqx.filter_jit
def _derivatives(objective, x, u):
    """f, ∇f and ∇³f[u, u, ·]."""
    return objective.value(x), objective.gradient(x), objective.third(x, u, u)


def cubic_model(
    objective: Objective, x: Float[Array, " n"], *, tolerance: float = 1e-10
) -> CubicModel:
    """The cubic model of a loss near x: the top eigenpair, ∇S, α and β.

    The point is first moved along the top eigenvector to ⟨∇f, u⟩ = 0 by Newton's
    method: at an iterate of gradient descent an oscillation x would add -βx²/2 to α.
    The loss needs three derivatives (tanh or GELU, not ReLU), and its top eigenvalue is
    taken to be simple.

    Args:
        objective: f.
        x: a position near the edge of stability, shape [n].
        tolerance: relative accuracy asked of the eigenvalue; Newton's method stops at
            a move of tolerance times |x| (or after 20).

    Raises:
        BadInput: no finite Hessian, no positive sharpness, or Newton's method left.
    """
    require_number("tolerance", tolerance, positive=True)
    x = jnp.asarray(x)
    scale = float(jnp.linalg.norm(x))
    for _ in range(20):
        top = sharpness(objective, x, tolerance=tolerance)
        if not top.value > 0:
            raise BadInput(f"the sharpness at x is {top.value:.3g}: no edge there.")
        u = jnp.asarray(top.vector, x.dtype)
        value, gradient, third = _derivatives(objective, x, u)
        move = float(gradient @ u) / top.value
        if abs(move) <= tolerance * scale:
            break
        x = x - move * u
    else:
        raise BadInput("Newton's method along the top eigenvector found no <g, u> = 0.")
    slope = third - (third @ u) * u
    return CubicModel(
        point=x,
        value=value,
        sharpness=jnp.asarray(top.value, x.dtype),
        direction=u,
        slope=slope,
        alpha=-gradient @ slope,
        beta=slope @ slope,
        residual=top.residual,
    )
