"""Sharpness-reduction flows: what oscillations do along a manifold of minimisers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_instance, require_whole
from flows.dynamics import Flow, parameter, require_range
from flows.errors import BadInput
from flows.objective import Objective
from flows.types import is_traced

_STARTS_WITHIN = 1e-6  # of a minimiser, as |∇f|/λ (length)


class Oscillation(eqx.Module):
    """The variance σ² of an optimiser's oscillation across the minimisers.

    Every step moves along the minimisers by -σ² P ∇log λ, whatever the optimiser: its
    effective learning rate at the edge is 2/λ, and the gradient that an oscillation of
    variance σ² adds is (σ²/2) ∇λ.
    """

    unit: ClassVar[str] = ""
    """τ of k steps, in LaTeX: the time in which `variance` is measured."""

    @abstractmethod
    def variance(self, sharpness: Any, slope: Any) -> Any:
        """σ² over the τ of one step.

        Args:
            sharpness: λ (1/time of gradient flow).
            slope: |P ∇log λ|², P the projection on the tangent space.
        """


class NormalisedOscillation(Oscillation):
    r"""Normalised gradient descent, w ← w - η g/|g|: σ² = η²/4.

    It swings between ±η/2 along the top eigenvector, as each step has length η.
    Unit of time: τ = η² k (length squared).

    Reference: Arora, Li and Panigrahi, "Understanding Gradient Descent on Edge of
    Stability in Deep Learning", ICML 2022, arXiv 2205.09745.
    """

    unit: ClassVar[str] = r"\tau = \eta^2 k"

    def variance(self, sharpness, slope):
        """1/4."""
        del slope
        return jnp.full_like(sharpness, 0.25)


class RootLossOscillation(Oscillation):
    r"""Gradient descent on √(f - f*): σ² = η² λ/8.

    Beside a minimiser √(f - f*) = √(λ/2) |x|, so each step has length η√(λ/2).
    Unit of time: τ = η² k, with η the learning rate of √(f - f*) (η² λ is a length
    squared).

    Reference: Arora, Li and Panigrahi, "Understanding Gradient Descent on Edge of
    Stability in Deep Learning", ICML 2022, arXiv 2205.09745.
    """

    unit: ClassVar[str] = r"\tau = \eta^2 k"

    def variance(self, sharpness, slope):
        """λ/8."""
        del slope
        return sharpness / 8


class AdaptiveOscillation(Oscillation):
    r"""Scalar RMSProp with 1 - β₂ = C η²: σ² = η² C/(4C + 2|P ∇log λ|²).

    The limit of its central flow for η → 0 on minimisers, where the memory forgets as
    slowly as the sharpness falls. C → ∞ is normalised gradient descent. Unit of time:
    τ = η² k (length squared).

    Reference: Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in
    Deep Learning with Central Flows", ICLR 2025, arXiv 2410.24206 (the central flow;
    its limit on minimisers is derived here).

    Attributes:
        coefficient: C = (1 - β₂)/η² > 0 (1/length squared).
    """

    unit: ClassVar[str] = r"\tau = \eta^2 k"
    coefficient: Float[Array, ""] = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": "C"}
    )

    def __check_init__(self):
        require_range("coefficient", self.coefficient)

    def variance(self, sharpness, slope):
        """C/(4C + 2|P ∇log λ|²)."""
        del sharpness
        return self.coefficient / (4 * self.coefficient + 2 * slope)


class WeightDecayOscillation(Oscillation):
    r"""Gradient descent with weight decay on a scale-invariant loss, in direction.

    w ← (1 - hl) w - h g(w) moves the direction θ = w/|w| by gradient descent whose
    effective learning rate h/((1 - hl)|w|²) rises by weight decay and falls by steps:
    Scalar RMSProp with 1 - β₂ ≈ 4hl and η² ≈ 2hl, so C = 2 and, for θ on the unit
    sphere, σ² = 2hl/(4 + |P ∇log λ|²). Unit of time: τ = h l k, h the learning rate and
    l the weight decay (no unit, as angles have none).

    Reference: Lyu, Li and Arora, "Understanding the Generalization Benefit of
    Normalization Layers: Sharpness Reduction", NeurIPS 2022, arXiv 2206.07085.
    """

    unit: ClassVar[str] = r"\tau = h l k"

    def variance(self, sharpness, slope):
        """2/(4 + |P ∇log λ|²)."""
        del sharpness
        return 2 / (4 + slope)


class Minimisers(eqx.Module):
    """A manifold Γ of minimisers: how a state names a point of it."""

    @abstractmethod
    def point(self, y: Any) -> Float[Array, " n"]:
        """The minimiser of a state."""

    @abstractmethod
    def raised(self, hessian: Any, y: Any, covector: Any) -> tuple[Any, Any]:
        """The tangent part of a gradient, as a velocity of the state, and |·|².

        Args:
            hessian: ∇²f at the point, shape [n, n].
            y: the state.
            covector: gradient of a function at the point, shape [n].
        """


class Chart(Minimisers):
    """Γ in coordinates: y of shape [d] stands for the minimiser `embedding(y)`.

    Attributes:
        embedding: a smooth map from [d] to [n] with an injective derivative J; keep it
            a module-level function, as it is compiled for.
    """

    embedding: Callable[[Any], Any] = eqx.field(static=True)

    def point(self, y):
        """`embedding(y)`."""
        return self.embedding(y)

    def raised(self, hessian, y, covector):
        """(JᵀJ)⁻¹ Jᵀ v, and its squared length in the metric JᵀJ."""
        del hessian
        jacobian = jax.jacfwd(self.embedding)(y)
        pulled = covector @ jacobian
        metric = jacobian.T @ jacobian
        if y.shape[0] == 1:
            velocity = pulled / metric[0]
        else:
            velocity = jnp.linalg.solve(metric, pulled)
        return velocity, pulled @ velocity


class HessianKernel(Minimisers):
    """Γ where the Hessian is flat: y of shape [n] is the minimiser itself.

    The tangent space is the kernel of ∇²f, the complement of its m top eigenvectors;
    on the sphere, of y as well. A solver's error may lead off Γ by as much, and
    nothing leads back.

    Attributes:
        codimension: m, the rank of ∇²f on Γ.
        sphere: whether Γ is taken inside the unit sphere, as for a loss that is
            invariant to the scale of its parameters.
    """

    codimension: int = eqx.field(static=True)
    sphere: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        require_whole("codimension", self.codimension)

    def point(self, y):
        """The state itself."""
        return y

    def raised(self, hessian, y, covector):
        """The projection on the kernel, and its squared length."""
        _, normals = _leading(hessian, self.codimension)
        velocity = covector - normals @ (covector @ normals)
        if self.sphere:
            velocity = velocity - (velocity @ y) / (y @ y) * y
        return velocity, velocity @ velocity


class SharpnessReductionFlow(Flow):
    r"""The flow of an oscillating optimiser along a manifold of minimisers.

        dζ/dτ = -σ²(λ, |P ∇log λ|²) P ∇log λ(ζ),

    with λ the top eigenvalue of the Hessian, P the projection on the tangent space of
    the manifold Γ, and σ² the variance of the oscillation over the τ of one step. The
    optimiser stays at the edge of stability, near Γ, and swings along the top
    eigenvector alone; this is its motion along Γ, averaged over the cycles of that
    oscillation, which need not die out. λ only falls:

        d log λ/dτ = -σ² |P ∇log λ|².

    State: coordinates on Γ (`Chart`) or the point itself (`HessianKernel`). Unit of
    time: τ, as the oscillation says (`oscillation.unit`). λ is taken to be simple, and
    the whole Hessian is formed: for n up to some hundreds.

    Reference: Lyu, Li and Arora, NeurIPS 2022, arXiv 2206.07085 (weight decay); Arora,
    Li and Panigrahi, ICML 2022, arXiv 2205.09745 (normalised descent, √f).

    Attributes:
        objective: f, minimal on Γ; scale-invariant where the oscillation is that of
            weight decay.
        oscillation: of which optimiser.
        minimisers: Γ.
    """

    equation: ClassVar[str] = (
        r"\frac{d\zeta}{d\tau} = -\sigma^2\, P_\Gamma \nabla \log\lambda(\zeta)"
    )
    objective: Objective
    oscillation: Oscillation
    minimisers: Minimisers

    def __check_init__(self):
        what = "an oscillation is one such as flows.NormalisedOscillation()"
        require_instance(self.oscillation, Oscillation, what)
        what = "minimisers are a flows.Chart or a flows.HessianKernel"
        require_instance(self.minimisers, Minimisers, what)

    def position(self, y: Any) -> Float[Array, " n"]:
        """The minimiser of a state."""
        return self.minimisers.point(y)

    def sharpness(self, y: Any) -> Float[Array, ""]:
        """λ at a state (1/time of gradient flow)."""
        return _leading(self.objective.hessian(self.position(y)), 1)[0][0]

    def variance(self, y: Any) -> Float[Array, ""]:
        """σ² at a state, over the τ of one step (length squared over that of τ)."""
        sharpness, _, slope = self._terms(y)
        return self.oscillation.variance(sharpness, slope)

    def vector_field(self, t, y: Float[Array, " d"]) -> Float[Array, " d"]:
        """-σ² P ∇log λ, as a velocity of the state."""
        del t
        sharpness, tangent, slope = self._terms(y)
        return -self.oscillation.variance(sharpness, slope) * tangent

    def _terms(self, y):
        """λ, P ∇log λ as a velocity of the state, and |P ∇log λ|²."""
        x = self.position(y)
        hessian = self.objective.hessian(x)
        values, vectors = _leading(hessian, 1)
        u = vectors[:, 0]
        covector = self.objective.third(x, u, u) / values[0]
        return values[0], *self.minimisers.raised(hessian, y, covector)

    def require_inside(self, y: Any) -> None:
        """Refuse a start that is no minimiser.

        Raises:
            BadInput: |∇f|/λ > 1e-6, λ <= 0, or off the unit sphere where Γ is in it.
        """
        if is_traced(y):
            return
        x, size, top = _start_of(self, jnp.asarray(y))
        if not (top > 0 and size <= _STARTS_WITHIN * top):
            raise BadInput(
                f"the flow starts at a minimiser of positive sharpness; got "
                f"|grad f| = {size:.3g} at sharpness {top:.3g}."
            )
        kernel = self.minimisers
        if isinstance(kernel, HessianKernel) and kernel.sphere:
            norm = float(np.linalg.norm(np.asarray(x)))
            if abs(norm - 1) > _STARTS_WITHIN:
                raise BadInput(
                    f"the start is on the unit sphere; got |y| = {norm:.9g}."
                )


@eqx.filter_jit
def _start_of(flow: SharpnessReductionFlow, y: Any) -> tuple[Array, Array, Array]:
    """The point of a state, |∇f| and λ there."""
    x = flow.position(y)
    return x, jnp.linalg.norm(flow.objective.gradient(x)), flow.sharpness(y)


def _leading(hessian: Float[Array, "n n"], count: int) -> tuple[Array, Array]:
    """The `count` largest eigenvalues, descending, and their unit eigenvectors.

    One and two coordinates in closed form, so that small models can be written out.
    """
    n = hessian.shape[0]
    if n == 1:
        return hessian[0], jnp.ones_like(hessian)
    if n > 2:
        values, vectors = jnp.linalg.eigh(hessian)
        return values[::-1][:count], vectors[:, ::-1][:, :count]
    a, b, d = hessian[0, 0], hessian[0, 1], hessian[1, 1]
    half = (a - d) / 2
    radius = jnp.sqrt(half**2 + b**2)
    # the longer of two expressions for the same eigenvector: no cancellation
    first = jnp.where(half >= 0, radius + half, b)
    second = jnp.where(half >= 0, b, radius - half)
    u = jnp.stack([first, second]) / jnp.sqrt(first**2 + second**2)
    values = (a + d) / 2 + jnp.stack([radius, -radius])
    vectors = jnp.stack([u, jnp.stack([-u[1], u[0]])], axis=1)
    return values[:count], vectors[:, :count]
