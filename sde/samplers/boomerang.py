"""The boomerang: rotations about a reference Gaussian, reflected where U differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from flows.door import as_floats
from flows.dynamics import Part, maybe_parameter, parameter
from flows.errors import BadInput
from flows.objective import Objective
from flows.problems.quadratic import Quadratic
from sde._checks import is_concrete, require_positive
from sde.kinetic import LangevinState
from sde.samplers.bouncy import BounceOrRefresh, reflected
from sde.samplers.clocks import wave_delay
from sde.samplers.laws import FreshVelocity
from sde.samplers.velocity import (
    Bounces,
    Refreshment,
    Vector,
)


class Boomerang(BounceOrRefresh):
    r"""The boomerang sampler: x' = v, v' = -(x - c), reflected where U asks for it.

    Between jumps the path is a rotation, which keeps the reference law N(c, P⁻¹) of x
    and N(0, P⁻¹) of v. With g = ∇U(x) - P(x - c) the rate of bounces is (v·g)₊, and a
    bounce is v -> v - 2 (v·g)/(g·P⁻¹g) P⁻¹g; at the rate λ_r the velocity is drawn
    afresh from N(0, P⁻¹). Stationary law ∝ e^{-U(x)} e^{-v·Pv/2}. Unit of time: a
    radian of the rotation.

    Parts: "D" rotates (and carries time), "B" bounces, "R" refreshes, the latter two
    at rest; `discretize.RDBDR` is a word in them.

    Reference: Bierkens, Grazzi, Kamatani and Roberts, "The Boomerang Sampler", ICML
    2020, arXiv 2006.13777.

    Attributes:
        objective: U, the negative logarithm of the density up to a constant.
        refreshment: λ_r >= 0 (1/time).
        precision: P of the reference law, positive: a number, a diagonal of shape [n],
            or a matrix [n, n].
        centre: c, shape [n]; where None, the centre of a quadratic U, else 0. Waits
            are inverted in closed form for a quadratic U and None.
        curvature: a bound on the norm of ∇²U - P, for thinning; where None, the one
            that U's known smoothness and strong convexity give.
        rate_bound: (state, horizon) -> a bound on (v·g)₊ along the rotation over the
            horizon, in place of the one from `curvature`.

    Raises:
        BadInput: what is no objective, a quadratic U with an eigenvalue <= 0, a
            negative rate or curvature, a precision that is not positive definite,
            shapes that do not fit.
    """

    equation: ClassVar[str] = (
        r"\dot x = v,\ \dot v = -(x - c),\quad v \to v - 2\,\frac{v\cdot g}"
        r"{g\cdot P^{-1}g}P^{-1}g\ \text{at rate}\ (v\cdot g)_+,\ "
        r"g = \nabla U(x) - P(x - c)"
    )
    objective: Objective
    refreshment: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"nonnegative": True, "symbol": r"\lambda_r"},
    )
    precision: Array = eqx.field(
        converter=parameter, default=1.0, metadata={"positive": True, "symbol": "P"}
    )
    centre: Any = eqx.field(converter=maybe_parameter, default=None)
    curvature: Any = eqx.field(converter=maybe_parameter, default=None)
    rate_bound: Any = eqx.field(static=True, default=None)

    def __check_init__(self):
        self._require()
        require_positive("refreshment", self.refreshment, zero=True)
        n = self.objective.size
        if jnp.shape(self.precision) not in ((), (n,), (n, n)):
            raise BadInput(
                f"a precision is a number, a diagonal [{n}] or a matrix [{n}, {n}]; "
                f"got shape {jnp.shape(self.precision)}."
            )
        if self.centre is not None and jnp.shape(self.centre) != (n,):
            raise BadInput(f"a centre has shape [{n}]; got {jnp.shape(self.centre)}.")
        if is_concrete(self.precision):
            p = as_floats("a precision", self.precision)
            full = p.ndim == 2
            if not (np.all(np.isfinite(p)) and (not full or np.array_equal(p, p.T))):
                raise BadInput("a precision is finite and symmetric.")
            require_positive("precision", np.linalg.eigvalsh(p) if full else p)

    @property
    def solved(self) -> bool:
        """Whether U is quadratic about the centre of the rotation."""
        return super().solved and self.centre is None

    @property
    def _middle(self) -> Any:
        """The centre c as something to subtract."""
        if self.centre is None and isinstance(self.objective, Quadratic):
            centre = self.objective.centre
        else:
            centre = self.centre
        return 0.0 if centre is None else centre

    @property
    def _rotation(self) -> Rotation:
        return Rotation(self._middle)

    def _times_precision(self, u: Vector) -> Vector:
        p = self.precision
        return p @ u if p.ndim == 2 else p * u

    def vector_field(self, t: Any, y: LangevinState) -> LangevinState:
        """(v, -(x - c))."""
        return self._rotation.vector_field(t, y)

    def exact(self, t: Any, y: LangevinState, h: Any) -> LangevinState:
        """The rotation of (x - c, v) by the angle h."""
        return self._rotation.exact(t, y, h)

    def integral(self, t: Any, y: LangevinState, h: Any) -> Vector:
        """∫ x = h c + sin h (x - c) + (1 - cos h) v."""
        del t
        u = y.position - self._middle
        turned = jnp.sin(h) * u + 2 * jnp.sin(h / 2) ** 2 * y.velocity
        return turned + h * (y.position - u)

    def slope(self, y: LangevinState) -> Vector:
        """The field g = ∇U(x) - P(x - c)."""
        pull = self._times_precision(y.position - self._middle)
        return self.objective.gradient(y.position) - pull

    def bounced(self, y: LangevinState) -> Vector:
        """The velocity v - 2 (v·g)/(g·P⁻¹g) P⁻¹g."""
        g, p = self.slope(y), self.precision
        along = jnp.linalg.solve(p, g) if p.ndim == 2 else g / p
        return reflected(y.velocity, g, along)

    def bounce_delay(self, y: LangevinState, amounts: Any) -> Float[Array, " 1"]:
        """The rate is (p cos 2s + q sin 2s)₊ for a quadratic U about the same centre.

        p = v·Mu and q = (v·Mv - u·Mu)/2 with u = x - c and M = ∇²U - P.
        """
        u, v = y.position - self._middle, y.velocity
        mu, mv = (
            self.objective.hvp(y.position, w) - self._times_precision(w) for w in (u, v)
        )
        sine = (jnp.sum(v * mv) - jnp.sum(u * mu)) / 2
        return wave_delay(jnp.sum(v * mu)[None], sine[None], amounts)

    def fresh_velocity(self, y: LangevinState) -> FreshVelocity:
        """N(0, P⁻¹)."""
        p = self.precision
        if p.ndim == 2:
            eye = jnp.eye(p.shape[0], dtype=p.dtype)
            return FreshVelocity(
                y, solve_triangular(jnp.linalg.cholesky(p), eye, lower=True, trans=1)
            )
        return FreshVelocity(y, jnp.diag(p**-0.5) if p.ndim else p**-0.5)

    def _largest_curvature(self) -> Any:
        """Of ∇²U - P, from [μ - max P, L - min P]; an unknown μ is taken for -L."""
        known = self.objective.facts
        if self.curvature is not None or known.smoothness is None:
            return self.curvature
        most = known.smoothness.value
        convex = known.strong_convexity
        least = -most if convex is None else convex.value
        p = self.precision
        own = jnp.linalg.eigvalsh(p) if p.ndim == 2 else p
        return jnp.maximum(most - jnp.min(own), jnp.max(own) - least)

    def _bounce_bound(self, y, horizon, largest):
        """|v||g| <= |v|(|g(c)| + M|x - c|) <= ρ|g(c)| + Mρ²/2, ρ² = |x - c|² + |v|²."""
        del horizon  # the rotation keeps ρ
        u = y.position - self._middle
        square = jnp.sum(u**2) + jnp.sum(y.velocity**2)
        at_centre = self.slope(y._replace(position=y.position - u))
        force = jnp.sqrt(jnp.sum(at_centre**2))
        return jnp.sqrt(square) * force + largest * square / 2

    def parts(self) -> Mapping[str, Part]:
        """D: the rotation, B: the velocity bounces, R: it is drawn afresh."""
        return {"D": self._rotation, "B": Bounces(self), "R": Refreshment(self)}


class Rotation(Part):
    """Part D of the boomerang: x' = v, v' = -(x - c). Carries the time.

    Attributes:
        centre: c, shape [n], or the number 0.
    """

    advances_time: ClassVar[bool] = True
    centre: Any

    def vector_field(self, t: Any, y: LangevinState) -> LangevinState:
        """(v, -(x - c))."""
        del t
        return LangevinState(y.velocity, self.centre - y.position)

    def exact(
        self, t: Any, y: LangevinState, h: Any, noise: Any = None
    ) -> LangevinState:
        """(c + cos h (x - c) + sin h v, cos h v - sin h (x - c))."""
        del t, noise
        u, v = y.position - self.centre, y.velocity
        cos, sin = jnp.cos(h), jnp.sin(h)
        return LangevinState(self.centre + cos * u + sin * v, cos * v - sin * u)
