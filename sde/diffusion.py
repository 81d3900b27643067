"""Diffusions in the sense of Ito, and their parts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from flows.dynamics import Flow, Part, State, TestFunction, directional


class Diffusion(Flow):
    r"""An Ito diffusion, dY = v(t, Y) dt + σ(t, Y) dB, with B standard Brownian.

    `vector_field` is the Ito drift v and `noise(t, y, dw)` the product σ(t, y) dw, so
    that scalar, diagonal, dense and low-rank noise all fit without an n × m matrix.
    Generator: L φ = ∂ₜφ + v·∇φ + ½ Σⱼ D²φ[σeⱼ, σeⱼ]. The unit of B is the
    square root of the unit of time.
    """

    @abstractmethod
    def brownian(self, y: State) -> int:
        """The number m of independent Brownian motions that drive the state y."""

    @abstractmethod
    def noise(self, t: Any, y: State, dw: Float[Array, " m"]) -> State:
        """σ(t, y) dw: linear in dw (shape [m]), of y's structure, None for labels."""

    def drift_parts(self, t: Any, y: State) -> tuple[State, ...]:
        """The terms of the drift that a taming treats apart; their sum is v(t, y)."""
        return (self.vector_field(t, y),)

    def generator(self, phi: TestFunction) -> TestFunction:
        """L φ = ∂ₜφ + v·∇φ + ½ Σⱼ D²φ[σeⱼ, σeⱼ]; composes with itself.

        A part that freezes time has no ∂ₜφ.
        """
        rate = 1.0 if self.advances_time else 0.0

        def l_phi(t, y):
            def second(e):
                # the column is a constant here: Ito's term has no derivative of σ
                column = self.noise(t, y, e)

                def first(t, y):
                    return directional(phi, t, y, column, 0.0)

                return directional(first, t, y, column, 0.0)

            basis = jnp.eye(self.brownian(y), dtype=_float_type(y))
            drift = directional(phi, t, y, self.vector_field(t, y), rate)
            return drift + 0.5 * jnp.sum(jax.vmap(second)(basis))

        return l_phi

    def adjoint(self, density: Callable[[Any, State], Any]) -> TestFunction:
        """The Fokker-Planck operator L*p = -div(v p) + ½ Σ_ab ∂ₐ∂_b((σσᵀ)_ab p).

        A density p solves ∂ₜp = L*p; π is stationary where L*π = 0. Meant for states
        of few components: the cost grows with the cube of their number.

        Args:
            density: p(t, y), a positive scalar; any jax code.

        Returns:
            The function (t, y) -> (L*p)(t, y), without ∂ₜp.
        """

        def l_star(t, y):
            z, unravel = ravel_pytree(y)
            basis = jnp.eye(self.brownian(y), dtype=z.dtype)

            def drift_flux(z):
                y = unravel(z)
                return ravel_pytree(self.vector_field(t, y))[0] * density(t, y)

            def spread(z):  # σσᵀ p, shape [n, n]
                y = unravel(z)
                columns = jax.vmap(
                    lambda e: ravel_pytree(self.noise(t, y, e))[0], out_axes=1
                )(basis)
                return columns @ columns.T * density(t, y)

            def noise_flux(z):
                return sum(slope(spread, z, b)[:, b] for b in range(z.shape[0]))

            def slope(flux, z, a):
                unit = jnp.zeros_like(z).at[a].set(1.0)
                return jax.jvp(flux, (z,), (unit,))[1]

            def divergence(flux):
                return sum(slope(flux, z, a)[a] for a in range(z.shape[0]))

            return -divergence(drift_flux) + 0.5 * divergence(noise_flux)

        return l_star


class NoisyPart(Part, Diffusion):
    """A part of a splitting that holds noise: its exact map draws standard normals."""


def _float_type(y: State) -> Any:
    floats = [a for a in jax.tree.leaves(y) if jnp.issubdtype(a.dtype, jnp.floating)]
    return floats[0].dtype
