"""The Zig-Zag process: every coordinate runs at constant speed and turns back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Part, maybe_parameter, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.scheme import Draw
from sde._checks import require_positive
from sde.kinetic import FreeMotion, LangevinState
from sde.laws import Deterministic, Law
from sde.noise import uniforms
from sde.samplers.clocks import linear_delay
from sde.samplers.velocity import (
    JumpPart,
    StraightLines,
)


class ZigZag(StraightLines):
    r"""The Zig-Zag process: x' = v, and v_j turns at the rate (v_j ∂_jU(x))₊ + γ_j.

    Stationary law ∝ e^{-U(x)} on positions, times uniform signs; the speeds |v_j| of
    the start are kept (1 in the literature). One clock a coordinate. Unit of time: that
    of x over that of v, with v = ±1 the unit of x.

    Parts: "D" moves x (and carries time), "B" turns velocities with x at rest;
    `discretize.DBD` is "D 1/2, B, D 1/2".

    Reference: Bierkens, Fearnhead and Roberts, "The Zig-Zag process and super-efficient
    sampling for Bayesian analysis of big data", Annals of Statistics 47(3), 2019, arXiv
    1607.03188.

    Attributes:
        objective: U, the negative logarithm of the density up to a constant.
        excess: γ >= 0, turns beside those that U asks for, a number or shape [n].
        curvature: a bound on the norm of ∇²U, for thinning; the objective's known
            smoothness where None.
        rate_bound: (state, horizon) -> a bound on Σ_j (v_j ∂_jU)₊ along the straight
            line over the horizon, in place of the one from `curvature`.

    Raises:
        BadInput: what is no objective, a quadratic U with an eigenvalue <= 0, a
            negative excess or curvature.
    """

    equation: ClassVar[str] = (
        r"\dot x = v,\quad v_j \to -v_j\ \text{at rate}\ (v_j\,\partial_j U(x))_+"
        r" + \gamma_j"
    )
    objective: Objective
    excess: Array = eqx.field(
        converter=parameter,
        default=0.0,
        metadata={"nonnegative": True, "symbol": r"\gamma"},
    )
    curvature: Any = eqx.field(converter=maybe_parameter, default=None)
    rate_bound: Any = eqx.field(static=True, default=None)

    def __check_init__(self):
        self._require()
        require_positive("excess", self.excess, zero=True)
        if jnp.shape(self.excess) not in ((), (self.objective.size,)):
            raise BadInput(
                f"excess is a number or has shape [{self.objective.size}]; got shape "
                f"{jnp.shape(self.excess)}."
            )

    def rates(self, t: Any, y: LangevinState) -> Float[Array, " n"]:
        """(v_j ∂_jU)₊ + γ_j, one clock a coordinate."""
        del t
        slope = y.velocity * self.objective.gradient(y.position)
        return jnp.maximum(slope, 0.0) + self.excess

    def jump(self, t: Any, y: LangevinState, channel: Any) -> Deterministic:
        """v_j -> -v_j for the coordinate j that rings."""
        del t
        turned = jnp.arange(y.velocity.shape[0]) == channel
        v = jnp.where(turned, -y.velocity, y.velocity)
        return Deterministic(y._replace(velocity=v))

    @property
    def clocks(self) -> int:
        """One a coordinate."""
        return self.objective.size

    @property
    def other_rate(self) -> Any:
        """Σ_j γ_j."""
        return jnp.sum(jnp.broadcast_to(self.excess, (self.objective.size,)))

    def bounce_delay(self, y: LangevinState, amounts: Any) -> Float[Array, " n"]:
        """Along a line each rate is (a + b s)₊ on a Gaussian."""
        f, v = self.objective, y.velocity
        start = v * f.gradient(y.position)
        return linear_delay(start, v * f.hvp(y.position, v), amounts)

    def fresh_velocity(self, y: LangevinState) -> Law:
        """Independent uniform signs."""
        return FreshSigns(y)

    def _bounce_bound(self, y, horizon, largest):
        """Each slope grows by s |(Hv)_j|, and Σ_j |v_j (Hv)_j| <= |v| L |v|."""
        slope = y.velocity * self.objective.gradient(y.position)
        speed = jnp.sum(y.velocity**2)
        return jnp.sum(jnp.maximum(slope, 0.0)) + horizon * largest * speed

    def parts(self) -> Mapping[str, Part]:
        """D: x moves, B: velocities turn."""
        return {"D": FreeMotion(), "B": Turns(self)}


class FreshSigns(Law):
    """The position stays, the velocity is a vector of independent uniform signs.

    Attributes:
        y: the state before.
    """

    y: LangevinState

    def expect(self, phi: Any) -> Any:
        """The mean over all 2ⁿ vectors of signs."""
        v = self.y.velocity
        signs = itertools.product((1.0, -1.0), repeat=v.shape[0])
        each = [phi(self.y._replace(velocity=jnp.asarray(s, v.dtype))) for s in signs]
        return sum(each) / len(each)

    def sample(self, key: Any) -> LangevinState:
        """(x, signs)."""
        u = uniforms(key, self.y.position.size)
        return self.y._replace(velocity=jnp.where(u < 0.5, -1.0, 1.0))


class Turns(JumpPart):
    """Part B of the Zig-Zag process: each v_j turns as it would with x at rest.

    Uphill to downhill at the rate a = |v_j ∂_jU| + γ_j, back at b = γ_j: a chain of two
    states a coordinate, whose law after time h is exact.
    """

    def rates(self, t: Any, y: LangevinState) -> Float[Array, " n"]:
        """Those of the process."""
        return self.process.rates(t, y)

    def jump(self, t: Any, y: LangevinState, channel: Any) -> Law:
        """v_j -> -v_j."""
        return self.process.jump(t, y, channel)

    def noise_like(self, y: LangevinState) -> Draw:
        """One uniform a coordinate."""
        return Draw("uniform", tuple(y.velocity.shape))

    def turn_probability(self, y: LangevinState, h: Any) -> Float[Array, " n"]:
        """P(v_j has the other sign after time h) = λ (1 - e^{-(a + b)h})/(a + b).

        λ is the rate of the sign in force, a or b.
        """
        slope = y.velocity * self.process.objective.gradient(y.position)
        both = jnp.abs(slope) + 2 * self.process.excess
        here = jnp.maximum(slope, 0.0) + self.process.excess
        never = both == 0
        total = jnp.where(never, 1.0, both)
        return jnp.where(never, 0.0, -here * jnp.expm1(-total * h) / total)

    def exact(
        self, t: Any, y: LangevinState, h: Any, noise: Any = None
    ) -> LangevinState:
        """(x, v with some signs turned)."""
        del t
        turned = noise < self.turn_probability(y, h)
        return y._replace(velocity=jnp.where(turned, -y.velocity, y.velocity))
