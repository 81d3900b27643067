"""One Brownian path for every step size: sums of fine standard normals."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from flows.dynamics import Dynamics, State
from flows.errors import BadInput
from flows.scheme import Draw, Scheme
from sde.diffusion import Diffusion
from sde.noise import Noise


class SummedNoise(eqx.Module):
    """The increments of one Brownian path over steps of `ratio` cells of a grid.

    With the standard normals ξ_j of the cells of size δ, a step of size h = mδ draws
    ξ = m^{-1/2} Σ_{j<m} ξ_j, so that √h ξ is the increment of the path Σ √δ ξ_j.

    Attributes:
        noise: draws the ξ_j; cell j is its step j.
        ratio: m, data: a new value compiles nothing.
    """

    noise: Noise
    ratio: Array = eqx.field(converter=jnp.asarray)

    def block(self, key: Any, paths: Any, step: Any, draws: Any, axis: int = 0) -> Any:
        """The draws of some paths at one step (see `Noise.block`)."""
        ratio = self.ratio.astype(jnp.uint32)
        first = jnp.asarray(step).astype(jnp.uint32) * ratio
        last = first + ratio - 1

        def two(j):
            # the noise comes in pairs of cells; those outside the step are left out
            both = self.noise.pair(key, paths, j, draws, axis)
            a, b = jax.lax.optimization_barrier(both)
            inside = (2 * j >= first, 2 * j + 1 <= last)
            return jax.tree.map(
                lambda a, b: jnp.where(inside[0], a, 0) + jnp.where(inside[1], b, 0),
                a,
                b,
            )

        def add(j, total):
            return jax.tree.map(jnp.add, total, two(j))

        total = two(first // 2)
        total = jax.lax.fori_loop(first // 2 + 1, last // 2 + 1, add, total)
        return jax.tree.map(lambda a: a / jnp.sqrt(ratio.astype(a.dtype)), total)

    def pair(
        self, key: Any, paths: Any, index: Any, draws: Any, axis: int = 0
    ) -> tuple[Any, Any]:
        """The blocks of steps 2·index and 2·index + 1."""
        step = jnp.asarray(index).astype(jnp.uint32) * 2
        a, b = (self.block(key, paths, k, draws, axis) for k in (step, step + 1))
        return a, b


def require_brownian(scheme: Scheme, process: Dynamics, draws: Any, y: State) -> None:
    """Refuse a scheme whose draws are no increments of the process's Brownian motion.

    A draw counts as the increments where it is one `Draw` of normals, one for each
    Brownian motion of a `Diffusion`, as in Euler's, Milstein's and the tamed schemes.
    A scheme that draws nothing passes.

    Raises:
        BadInput: anything else, and why.
    """
    if draws is None:
        return
    name = f"{type(scheme).__name__} on {type(process).__name__}"
    if not isinstance(process, Diffusion):
        raise BadInput(
            f"{name} draws no Brownian increments: only those of a diffusion are "
            "shared between step sizes."
        )
    wanted = Draw("normal", (process.brownian(y),))
    if draws == wanted:
        return
    raise BadInput(
        f"{name} draws {draws} each step; coupled step sizes need {wanted}, the "
        "increments of its Brownian motion over √h. The normals of an exact "
        "Ornstein-Uhlenbeck part (a letter O) are integrals ∫e^{-γ(h-s)}dB: the sum of "
        "the fine ones is not the coarse one. Draws of other laws do not add up."
    )
