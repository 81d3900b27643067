"""The bouncy particle: straight lines, reflected at the level sets of U."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Part, maybe_parameter, parameter
from flows.objective import Objective
from sde._checks import require_positive
from sde.kinetic import FreeMotion, LangevinState
from sde.laws import Deterministic, Law
from sde.samplers.clocks import linear_delay
from sde.samplers.laws import FreshVelocity, OneOf
from sde.samplers.velocity import (
    Bounces,
    Refreshment,
    StraightLines,
    Vector,
    VelocityJumps,
)


class BounceOrRefresh(VelocityJumps):
    """Base of the processes with one bounce (channel 0) and refreshment (channel 1).

    The bounce's rate is (v·g(x))₊ with a field g that the process names.
    """

    if TYPE_CHECKING:  # a field of the concrete classes, which order their own
        refreshment: Array

    def slope(self, y: LangevinState) -> Vector:
        """The field g at which the velocity is reflected."""
        return self.objective.gradient(y.position)

    @abstractmethod
    def bounced(self, y: LangevinState) -> Vector:
        """The velocity after a bounce."""

    def rates(self, t: Any, y: LangevinState) -> Float[Array, " 2"]:
        """((v·g)₊, λ_r)."""
        del t
        uphill = jnp.maximum(jnp.sum(y.velocity * self.slope(y)), 0.0)
        return jnp.stack([uphill, jnp.asarray(self.refreshment)])

    def jump(self, t: Any, y: LangevinState, channel: Any) -> Law:
        """Channel 0 reflects the velocity, channel 1 draws a fresh one."""
        del t
        bounce = Deterministic(y._replace(velocity=self.bounced(y)))
        fresh = self.fresh_velocity(y)
        if isinstance(channel, int):
            return fresh if channel else bounce
        return OneOf(bounce, fresh, channel == 0)

    @property
    def clocks(self) -> int:
        """One."""
        return 1

    @property
    def other_rate(self) -> Any:
        """λ_r, the rate of refreshment."""
        return self.refreshment


def reflected(v: Vector, g: Vector, along: Vector) -> Vector:
    """The velocity v - 2 (v·g)/(g·Σg) Σg, given along = Σg; v where g vanishes."""
    size = jnp.sum(g * along)
    still = size == 0
    return v - 2 * jnp.sum(v * g) / jnp.where(still, 1.0, size) * along


class BouncyParticle(BounceOrRefresh, StraightLines):
    r"""The bouncy particle sampler: x' = v, reflected at the rate (v·∇U(x))₊.

    A bounce is v -> v - 2 (v·∇U)∇U/|∇U|²; at the rate λ_r the velocity is drawn afresh
    from N(0, I), without which the process need not be ergodic (on an isotropic
    Gaussian it keeps |x ∧ v|). Stationary law ∝ e^{-U(x)} e^{-|v|²/2}. Unit of time:
    that of x, as velocities are of size 1 a coordinate.

    Parts: "D" moves x (and carries time), "B" bounces, "R" refreshes, the latter two
    with x at rest; `discretize.RDBDR` is a word in them.

    Reference: Bouchard-Côté, Vollmer and Doucet, "The Bouncy Particle Sampler: a
    nonreversible rejection-free Markov chain Monte Carlo method", JASA 113(522), 2018,
    arXiv 1510.02451.

    Attributes:
        objective: U, the negative logarithm of the density up to a constant.
        refreshment: λ_r >= 0 (1/time).
        curvature: a bound on the norm of ∇²U, for thinning; the objective's known
            smoothness where None.
        rate_bound: (state, horizon) -> a bound on (v·∇U)₊ along the straight line over
            the horizon, in place of the one from `curvature`.

    Raises:
        BadInput: what is no objective, a quadratic U with an eigenvalue <= 0, a
            negative rate or curvature.
    """

    equation: ClassVar[str] = (
        r"\dot x = v,\quad v \to v - 2\,\frac{v\cdot\nabla U}{|\nabla U|^2}\nabla U"
        r"\ \text{at rate}\ (v\cdot\nabla U)_+"
    )
    objective: Objective
    refreshment: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"nonnegative": True, "symbol": r"\lambda_r"},
    )
    curvature: Any = eqx.field(converter=maybe_parameter, default=None)
    rate_bound: Any = eqx.field(static=True, default=None)

    def __check_init__(self):
        self._require()
        require_positive("refreshment", self.refreshment, zero=True)

    def bounced(self, y: LangevinState) -> Vector:
        """The velocity v - 2 (v·∇U)∇U/|∇U|²."""
        g = self.slope(y)
        return reflected(y.velocity, g, g)

    def bounce_delay(self, y: LangevinState, amounts: Any) -> Float[Array, " 1"]:
        """Along a line the rate is (a + b s)₊ on a Gaussian."""
        v = y.velocity
        start, growth = v * self.slope(y), v * self.objective.hvp(y.position, v)
        return linear_delay(jnp.sum(start)[None], jnp.sum(growth)[None], amounts)

    def fresh_velocity(self, y: LangevinState) -> FreshVelocity:
        """N(0, I)."""
        return FreshVelocity(y, jnp.ones((), y.velocity.dtype))

    def _bounce_bound(self, y, horizon, largest):
        """The slope v·∇U grows by at most L |v|² a time."""
        v = y.velocity
        steepest = jnp.sum(v * self.slope(y)) + horizon * largest * jnp.sum(v**2)
        return jnp.maximum(steepest, 0.0)

    def parts(self) -> Mapping[str, Part]:
        """D: x moves, B: the velocity bounces, R: it is drawn afresh."""
        return {"D": FreeMotion(), "B": Bounces(self), "R": Refreshment(self)}
