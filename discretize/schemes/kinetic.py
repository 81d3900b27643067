"""Schemes for underdamped Langevin dynamics that are no splittings of A, B and O."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from discretize.schemes.euler import add
from flows import BadInput, Draw, Scheme, Step
from sde import LangevinState, UnderdampedLangevin


class KLMC(Scheme):
    r"""Kinetic Langevin Monte Carlo: a step with the gradient frozen, solved exactly.

    dx = v dt, dv = -γ v dt + a dt + √(2γT/M) dB with a = -M⁻¹∇f(x_k) held for the step:
    with c = e^{-γh},

        x ← x + (1 - c)/γ v + (γh - 1 + c)/γ² a + ξ_x,   v ← c v + (1 - c)/γ a + ξ_v,

    where (ξ_x, ξ_v) is the joint Gaussian of the part U (`sde.FreeLangevin`). One
    gradient a step; strong and weak order 1, stationary variances off by O(h).

    Reference: Cheng, Chatterji, Bartlett and Jordan, "Underdamped Langevin MCMC: a
    non-asymptotic analysis", 2018, arXiv 1707.03663; Dalalyan and Riou-Durand, "On
    sampling from a log-concave density using kinetic Langevin diffusions", 2020, arXiv
    1807.09382.
    """

    order: ClassVar[int] = 1

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals, shape [2, n]."""
        return _require_kinetic(self, dynamics).joint_parts()["U"].noise_like(y)

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        model = _require_kinetic(self, dynamics)
        free: Any = model.joint_parts()["U"]
        acceleration = model.parts()["B"].vector_field(t, y).velocity
        moved = free.exact(t, y, h, noise)
        return Step(add(moved, 1.0, free.response(h, acceleration)), carry)


class SGHMC(Scheme):
    r"""Symplectic Euler with noise: v first, then x with the new velocity.

    v ← v - h M⁻¹∇f(x) - γ h v + √(2γTh/M) ξ,   x ← x + h v.

    The update of stochastic gradient Hamiltonian Monte Carlo (with an exact gradient),
    heavy ball with noise. Weak order 1; on a quadratic the position's variance is off
    by O(h²), the velocity's by O(h).

    Reference: Chen, Fox and Guestrin, "Stochastic gradient Hamiltonian Monte Carlo",
    2014, arXiv 1402.4102.
    """

    order: ClassVar[int] = 1

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals, one a coordinate of the velocity."""
        return Draw("normal", (_require_kinetic(self, dynamics).brownian(y),))

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        model = _require_kinetic(self, dynamics)
        slope = model.vector_field(t, y).velocity
        kick = model.noise(t, y, jnp.sqrt(h) * noise).velocity
        v = y.velocity + h * slope + kick
        return Step(LangevinState(y.position + h * v, v), carry)


def _require_kinetic(scheme: Scheme, dynamics: Any) -> UnderdampedLangevin:
    if not isinstance(dynamics, UnderdampedLangevin):
        raise BadInput(
            f"{type(scheme).__name__} steps UnderdampedLangevin; got "
            f"{type(dynamics).__name__}."
        )
    return dynamics
