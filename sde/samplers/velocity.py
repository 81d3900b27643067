"""What the samplers by velocity jumps share: clocks, bounds, starts, split parts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_instance, require_whole
from flows.dynamics import Part, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.problems.quadratic import Quadratic
from flows.ravel import require_finite
from flows.scheme import Draw
from sde._checks import is_concrete, require_positive, require_vectors
from sde.jump_process import JumpProcess
from sde.kinetic import FreeMotion, LangevinState
from sde.laws import Law
from sde.noise import as_key, subkeys, uniforms

Vector = Float[Array, " n"]
_SLACK = 1 + 1e-6  # on a curvature: rounding must not exceed a bound near zero


class VelocityJumps(JumpProcess):
    r"""Base of the samplers whose velocity jumps: stationary law ∝ e^{-U(x)} μ(v).

    State: `LangevinState`. On Gaussians (`flows.problems.quadratic`) `waiting` inverts
    the integrated rate; else `sde.ExactJumps` thins from `bound`, which stands on
    `rate_bound` where it is given, else on `curvature`, else on the smoothness that the
    objective is known to have. A bound that is exceeded is an error.
    """

    if TYPE_CHECKING:  # fields of the concrete classes, which order their own
        objective: Objective
        curvature: Any
        rate_bound: Any

    @property
    def solved(self) -> bool:
        """Whether the waits are known in closed form."""
        return isinstance(self.objective, Quadratic)

    @abstractmethod
    def bounce_delay(self, y: LangevinState, amounts: Any) -> Any:
        """The times at which the integrated bounce rates reach `amounts` > 0.

        One entry a clock of bounces; inf where an amount is never reached. On
        Gaussians only.
        """

    @abstractmethod
    def fresh_velocity(self, y: LangevinState) -> Law:
        """The law of (x, v) with v drawn from its stationary law μ."""

    @property
    @abstractmethod
    def clocks(self) -> int:
        """Number of clocks of bounces."""

    @property
    @abstractmethod
    def other_rate(self) -> Any:
        """The constant rate of all jumps that are no bounces (1/time)."""

    def waiting(self, t: Any, y: LangevinState, key: Any) -> Any:
        """The first of all clocks, by inversion on Gaussians; None otherwise."""
        del t
        if not self.solved:
            return None
        amounts = -jnp.log(uniforms(key, self.clocks + 1))
        bounces = self.bounce_delay(y, amounts[:-1])
        return jnp.minimum(jnp.min(bounces), amounts[-1] / self.other_rate)

    def bound(self, t: Any, y: LangevinState, horizon: Any) -> Any:
        """A bound on all rates over the horizon; None where nothing is known of U."""
        del t
        if self.rate_bound is not None:
            return self.rate_bound(y, horizon) + self.other_rate
        largest = self._largest_curvature()
        if largest is None:
            return None
        return self._bounce_bound(y, horizon, largest * _SLACK) + self.other_rate

    def _largest_curvature(self) -> Any:
        if self.curvature is not None:
            return self.curvature
        known = self.objective.facts.smoothness
        return None if known is None else known.value

    @abstractmethod
    def _bounce_bound(self, y: LangevinState, horizon: Any, largest: Any) -> Any:
        """A bound on the bounces' rates from a bound on the curvature."""

    def require_inside(self, y: Any) -> None:
        """Refuse what is no state of the sampler, or states with one leading axis.

        Raises:
            BadInput: with the state that is wanted.
        """
        require_vectors(self, y, LangevinState, LangevinState._fields)

    def start(self, position: Any, *, key: Any, paths: int) -> LangevinState:
        """An ensemble at one position, velocities drawn from their stationary law.

        Args:
            position: x, shape [n].
            key: a whole number or a jax key.
            paths: number of paths.

        Returns:
            The states, leaves of shape [paths, n].

        Raises:
            BadInput: a position of another shape or not finite, paths below 1.
        """
        require_whole("paths", paths)
        x = parameter(position)
        if x.shape != (self.objective.size,):
            raise BadInput(
                f"position has shape [{self.objective.size}]; got {x.shape}."
            )
        require_finite(x, "position")
        law = self.fresh_velocity(LangevinState(x, jnp.zeros_like(x)))
        return jax.vmap(law.sample)(subkeys(as_key(key), 0, paths))

    def _require(self) -> None:
        what = f"{type(self).__name__} takes an objective U, as flows.from_loss"
        require_instance(self.objective, Objective, what)
        _require_density(self.objective)
        if self.curvature is not None:
            require_positive("curvature", self.curvature, zero=True)
        if self.rate_bound is not None and not callable(self.rate_bound):
            raise BadInput(
                "rate_bound is a function of a state and a horizon; got "
                f"{self.rate_bound!r:.60}."
            )


def _require_density(objective: Objective) -> None:
    """Refuse a quadratic U whose e^{-U} has no finite integral."""
    if not isinstance(objective, Quadratic) or not is_concrete(objective.matrix):
        return
    a = np.asarray(objective.matrix)
    least = np.min(np.linalg.eigvalsh(a) if a.ndim == 2 else a)
    if not least > 0:
        raise BadInput(
            "U is a quadratic with positive eigenvalues, so that exp(-U) is a density; "
            f"the smallest is {least:.6g}."
        )


class StraightLines(VelocityJumps):
    """Base of the samplers that move along x' = v between their jumps."""

    def vector_field(self, t: Any, y: LangevinState) -> LangevinState:
        """(v, 0)."""
        return FreeMotion().vector_field(t, y)

    def exact(self, t: Any, y: LangevinState, h: Any) -> LangevinState:
        """(x + h v, v)."""
        return FreeMotion().exact(t, y, h)

    def integral(self, t: Any, y: LangevinState, h: Any) -> Vector:
        """∫ x = h x + h²/2 v."""
        del t
        return h * y.position + h**2 / 2 * y.velocity


class JumpPart(JumpProcess, Part):
    """A part of a splitting that jumps while the position rests.

    Attributes:
        process: the whole process.
    """

    process: Any

    def vector_field(self, t: Any, y: LangevinState) -> LangevinState:
        """Nothing moves between jumps."""
        del t
        return jax.tree.map(jnp.zeros_like, y)

    @abstractmethod
    def exact(
        self, t: Any, y: LangevinState, h: Any, noise: Any = None
    ) -> LangevinState:
        """A draw of the state after time h of these jumps alone."""


class Bounces(JumpPart):
    """Part B of a process with one bounce: reflected once with 1 - exp(-h λ(x, v)).

    After a bounce the rate is 0, so that this is exact.
    """

    def rates(self, t: Any, y: LangevinState) -> Float[Array, " 1"]:
        """The bounce's rate."""
        return self.process.rates(t, y)[:1]

    def jump(self, t: Any, y: LangevinState, channel: Any) -> Law:
        """The bounce."""
        del channel
        return self.process.jump(t, y, 0)

    def noise_like(self, y: LangevinState) -> Draw:
        """One uniform."""
        del y
        return Draw("uniform", (1,))

    def exact(
        self, t: Any, y: LangevinState, h: Any, noise: Any = None
    ) -> LangevinState:
        """(x, v), or (x, v reflected)."""
        bounces = noise[0] < -jnp.expm1(-h * self.rates(t, y)[0])
        after = self.process.bounced(y)
        return y._replace(velocity=jnp.where(bounces, after, y.velocity))


class Refreshment(JumpPart):
    """Part R: the velocity is drawn afresh with probability 1 - exp(-h λ_r)."""

    def rates(self, t: Any, y: LangevinState) -> Float[Array, " 1"]:
        """The rate of refreshment."""
        del t, y
        return self.process.refreshment[None]

    def jump(self, t: Any, y: LangevinState, channel: Any) -> Law:
        """A fresh velocity."""
        del t, channel
        return self.process.fresh_velocity(y)

    def noise_like(self, y: LangevinState) -> Any:
        """One uniform, and standard normals, one a coordinate."""
        return Draw("uniform", (1,)), Draw("normal", tuple(y.velocity.shape))

    def exact(
        self, t: Any, y: LangevinState, h: Any, noise: Any = None
    ) -> LangevinState:
        """(x, v), or (x, C ξ)."""
        del t
        u, xi = noise
        rings = u[0] < -jnp.expm1(-h * self.process.refreshment)
        fresh = self.process.fresh_velocity(y).times(xi)
        return y._replace(velocity=jnp.where(rings, fresh, y.velocity))
