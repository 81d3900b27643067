"""Mirror flows: gradient flow in a dual variable, and its named cases."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.dynamics import Flow
from flows.errors import BadInput
from flows.objective import Objective
from flows.types import is_traced


class Potential(eqx.Module):
    """A strictly convex Φ, the map z = ∇Φ(x) to the dual variable, and its inverse."""

    @abstractmethod
    def value(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """Φ(x)."""

    @abstractmethod
    def gradient(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """The dual variable ∇Φ(x)."""

    @abstractmethod
    def inverse(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """The point x of the domain with ∇Φ(x) = z."""

    @abstractmethod
    def descend(
        self, x: Float[Array, " n"], g: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """The velocity -∇²Φ(x)⁻¹ g within the domain, shape [n]."""

    def divergence(
        self, p: Float[Array, " n"], x: Float[Array, " n"]
    ) -> Float[Array, ""]:
        """Bregman's D(p, x) = Φ(p) - Φ(x) - ∇Φ(x)·(p - x)."""
        gap = jnp.sum(self.gradient(x) * (p - x))
        return self.value(p) - self.value(x) - gap

    def require_inside(self, x: Any) -> None:
        """Refuse a point outside the domain (traced values pass).

        Raises:
            BadInput: with the domain.
        """
        del x


class EuclideanPotential(Potential):
    """Φ(x) = ½ |x|²: the mirror flow is gradient flow."""

    def value(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """½ |x|²."""
        return 0.5 * jnp.sum(x**2)

    def gradient(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """The point itself."""
        return x

    def inverse(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """The dual variable itself."""
        return z

    def descend(
        self, x: Float[Array, " n"], g: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """-g."""
        del x
        return -g


class _Logarithmic(Potential):
    """A potential whose gradient is log x, on positive x."""

    def gradient(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """The logarithms of the entries."""
        return jnp.log(x)

    def require_inside(self, x: Any) -> None:
        """Refuse entries that are not positive.

        Raises:
            BadInput: with the smallest entry.
        """
        if is_traced(x) or np.asarray(x).dtype == object:
            return
        if not np.issubdtype(np.asarray(x).dtype, np.floating):
            raise BadInput(f"a point is a vector of floats; got {x!r:.60}.")
        if not np.all(np.asarray(x) > 0):
            raise BadInput(
                "the entropy lives on the positive orthant: all entries > 0; got a "
                f"smallest entry of {np.min(np.asarray(x)):.6g}."
            )


class Entropy(_Logarithmic):
    """Φ(x) = Σ x_i log x_i - x_i on the positive orthant: x_i' = -x_i g_i."""

    def value(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """Σ x_i log x_i - x_i."""
        return jnp.sum(x * jnp.log(x) - x)

    def inverse(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """e^z."""
        return jnp.exp(z)

    def descend(
        self, x: Float[Array, " n"], g: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """-x g, entry by entry."""
        return -x * g


class SimplexEntropy(_Logarithmic):
    r"""Φ(x) = Σ x_i log x_i on the simplex Σ x_i = 1, x_i > 0: the replicator equation.

    The dual variable is known up to a constant: ∇Φ is log x, its inverse the softmax.
    """

    def value(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """Σ x_i log x_i."""
        return jnp.sum(x * jnp.log(x))

    def inverse(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """e^{z_i} / Σ e^{z_j}."""
        return jax.nn.softmax(z)

    def descend(
        self, x: Float[Array, " n"], g: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """-x_i (g_i - ⟨x, g⟩)."""
        return -x * (g - jnp.sum(x * g))

    def require_inside(self, x: Any) -> None:
        """Refuse what is no strictly positive probability vector.

        Raises:
            BadInput: an entry <= 0, or a sum off 1 by more than the root of the
                machine epsilon (the end of a long run may be a start again).
        """
        super().require_inside(x)
        if is_traced(x) or np.asarray(x).dtype == object:
            return
        x = np.asarray(x)
        if abs(x.sum() - 1) > np.sqrt(np.finfo(x.dtype).eps):
            raise BadInput(f"a point of the simplex sums to 1; got {x.sum():.12g}.")


class MirrorFlow(Flow):
    r"""Mirror flow, d/dt ∇Φ(x) = -∇f(x), in the primal variable.

    x' = -∇²Φ(x)⁻¹∇f(x). With the entropy on the simplex it is the replicator equation
    x_i' = -x_i (∇_i f - ⟨x, ∇f⟩), with the unnormalised entropy on the positive orthant
    x_i' = -x_i ∇_i f. State: the position, shape [n], inside the domain of Φ: the flow
    never leaves it, an explicit step may (`DualMirrorFlow` cannot). Unit of time: that
    of Φ over f; a step of mirror descent with learning rate η takes η. Energy
    identities: df/dt = -∇f·∇²Φ⁻¹∇f, on the simplex minus the variance of ∇f
    under x; d/dt D(p, x) = -∇f(x)·(x - p) for Bregman's divergence D of Φ from any p
    (of the simplex). At ∇f = 0, on the simplex where all ∇_i f with x_i > 0 agree, the
    flow rests.

    Reference: Nemirovski and Yudin, "Problem Complexity and Method Efficiency in
    Optimization", Wiley, 1983 (mirror descent); Alvarez, Bolte and Brahic, "Hessian
    Riemannian gradient flows in convex programming", SIAM J. Control Optim. 43 (2004).

    Attributes:
        objective: f.
        potential: Φ.
    """

    equation: ClassVar[str] = r"\tfrac{d}{dt}\nabla\Phi(x) = -\nabla f(x)"
    objective: Objective
    potential: Potential

    def __check_init__(self):
        _require_potential(self.potential)

    def require_inside(self, y: Any) -> None:
        """Refuse a start outside the domain of Φ, which `solve` and `iterate` ask.

        Raises:
            BadInput: with the domain.
        """
        self.potential.require_inside(y)

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-∇²Φ(y)⁻¹ ∇f(y)."""
        del t
        return self.potential.descend(y, self.objective.gradient(y))


class DualMirrorFlow(Flow):
    r"""Mirror flow in the dual variable z = ∇Φ(x): z' = -∇f(x), x = ∇Φ*(z).

    The same motion as `MirrorFlow`, and its position x is always inside the domain.
    Explicit Euler on it is mirror descent; with the entropy on the simplex that is
    exponentiated gradient. Where ∇f is constant z moves on a straight line, so Euler
    with *any* step is the flow itself.

    State: z, shape [n] (`start` gives it); `position` is x. Unit of time: that of
    `MirrorFlow`.

    Reference: Nemirovski and Yudin, "Problem Complexity and Method Efficiency in
    Optimization", Wiley, 1983; Kivinen and Warmuth, "Exponentiated gradient versus
    gradient descent for linear predictors", Inform. and Comput. 132 (1997).

    Attributes:
        objective: f.
        potential: Φ.
    """

    equation: ClassVar[str] = r"\dot z = -\nabla f(x),\quad x = \nabla\Phi^*(z)"
    objective: Objective
    potential: Potential

    def __check_init__(self):
        _require_potential(self.potential)

    def position(self, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """The point x = ∇Φ*(z)."""
        return self.potential.inverse(y)

    def start(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """The dual variable z = ∇Φ(x) of a point inside the domain.

        Raises:
            BadInput: x is outside the domain of Φ.
        """
        self.potential.require_inside(x)
        return self.potential.gradient(jnp.asarray(x))

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-∇f(∇Φ*(z))."""
        del t
        return -self.objective.gradient(self.position(y))


def _require_potential(potential: Any) -> None:
    if not isinstance(potential, Potential):
        raise BadInput(
            "the potential is one such as flows.SimplexEntropy(), flows.Entropy() or "
            f"flows.EuclideanPotential(); got {potential!r:.60}."
        )
