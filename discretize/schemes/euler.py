"""Euler's methods: explicit, semi-implicit, implicit."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from flows import BadInput, Draw, Scheme, Step
from sde import Diffusion


def add(y: Any, scale: Any, v: Any) -> Any:
    """The state y + scale·v; labels (None in v) stay."""
    return jax.tree.map(
        lambda b, a: a if b is None else a + scale * b,
        v,
        y,
        is_leaf=lambda b: b is None,
    )


class Euler(Scheme):
    r"""Explicit Euler, y ← y + h v(t, y); Euler–Maruyama on a diffusion.

    On a `Diffusion`: y ← y + h v(t, y) + σ(t, y) √h ξ with ξ standard normal (Itô).
    Order 1 on flows; strong order 1/2 (1 for additive noise) and weak order 1 on
    diffusions. On gradient flow with h = η it is gradient descent; on overdamped
    Langevin dynamics it is the unadjusted Langevin algorithm.
    """

    order: ClassVar[int] = 1

    def noise_like(self, dynamics, y):
        """Standard normals, as many as the diffusion has Brownian motions."""
        if isinstance(dynamics, Diffusion):
            return Draw("normal", (dynamics.brownian(y),))
        return None

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        new = add(y, h, dynamics.vector_field(t, y))
        if isinstance(dynamics, Diffusion):
            kick = dynamics.noise(t, y, jnp.sqrt(h) * noise)
            new = add(new, 1.0, kick)
        return Step(new, carry)


class SemiImplicitEuler(Scheme):
    """Semi-implicit (symplectic) Euler: the state's parts are moved one by one.

    Each part moves by h times its own component of the field, taken at the state in
    which the earlier parts have moved already. With order ("velocity", "position") it
    is symplectic Euler; with the moments first it is how Adam reads its new averages.

    Order 1.

    Attributes:
        sequence: names of the state's parts in the order in which they move; None
            moves the position last.
    """

    order: ClassVar[int] = 1
    sequence: tuple[str, ...] | None = eqx.field(static=True, default=None)

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        del noise
        names = getattr(y, "_fields", None)
        if names is None or isinstance(dynamics, Diffusion):
            raise BadInput(
                "semi-implicit Euler moves the named parts of a deterministic model's "
                f"state; {type(dynamics).__name__} has "
                + ("noise." if names else "one vector for a state.")
            )
        sequence = self.sequence or (
            *(n for n in names if n != "position"),
            "position",
        )
        if sorted(sequence) != sorted(names):
            raise BadInput(f"sequence {sequence} is no ordering of the parts {names}.")
        for name in sequence:
            v = getattr(dynamics.vector_field(t, y), name)
            y = y._replace(**{name: add(getattr(y, name), h, v)})
        return Step(y, carry)


class ImplicitEuler(Scheme):
    """Implicit Euler, y₁ = y + h v(t + h, y₁), by Newton's method.

    Order 1, A-stable and L-stable: on a quadratic a mode λ shrinks by 1/(1 + hλ) for
    every h > 0. On gradient flow it is the proximal point method. A dense Jacobian of
    the state's size is factorised: not for networks.

    A step whose equation was not solved returns NaN, which `iterate` reports with the
    time and the step.

    Attributes:
        tolerance: relative and absolute tolerance of Newton's method.
    """

    order: ClassVar[int] = 1
    tolerance: float = 1e-12

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        import optimistix

        del noise
        if isinstance(dynamics, Diffusion):
            raise BadInput("implicit Euler steps deterministic models only.")

        def residual(new, args):
            dynamics, t, y, h = args
            moved = add(y, h, dynamics.vector_field(t + h, new))
            return jax.tree.map(lambda a, b: a - b, new, moved)

        newton = optimistix.Newton(rtol=self.tolerance, atol=self.tolerance)
        guess = add(y, h, dynamics.vector_field(t, y))
        found = optimistix.root_find(
            residual, newton, guess, (dynamics, t, y, h), max_steps=50, throw=False
        )
        solved = found.result == optimistix.RESULTS.successful
        new = jax.tree.map(lambda a: jnp.where(solved, a, jnp.nan), found.value)
        return Step(new, carry, {"newton_steps": found.stats["num_steps"]})
