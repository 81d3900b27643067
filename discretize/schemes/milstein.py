"""Milstein's scheme for commutative noise, plain or with a tamed drift."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.schemes.brownian import (
    BrownianScheme,
    drift_vectors,
    flattened,
    kicked,
)
from discretize.schemes.tamed import require_taming
from discretize.taming import Taming, Untamed
from flows import BadInput, Step
from flows.types import is_traced
from sde import Diffusion

_COMMUTES = 1e-6


class Milstein(BrownianScheme):
    r"""Milstein's scheme, Euler's step + ½ Σ_jk (Dσ_k·σ_j)(ΔB_j ΔB_k - δ_jk h).

    With one Brownian motion, ½ σσ'(ΔB² - h). Strong order 1 for commutative noise,
    Dσ_k·σ_j = Dσ_j·σ_k: scalar, diagonal (σᵢ depends on yᵢ alone) or additive noise,
    for which it is Euler's. `Milstein(NormTaming())` is tamed Milstein: the drift is
    tamed, the noise is not.

    Reference: Milstein, Theory of Probability and its Applications 19(3), 1975; Wang
    and Gan, "The tamed Milstein method for commutative stochastic differential
    equations with non-globally Lipschitz continuous coefficients", Journal of
    Difference Equations and Applications 19(3), 2013.

    Attributes:
        taming: (h, y, drift parts) -> tamed drift; untamed by default.

    Raises:
        BadInput: noise that does not commute (looked at near the start of a run), or a
            taming that is none.
    """

    order: ClassVar[int] = 1
    taming: Taming = eqx.field(default_factory=Untamed)

    def __check_init__(self):
        require_taming(self.taming, "Milstein")

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals, as many as the diffusion has Brownian motions."""
        draws = super().noise_like(dynamics, y)
        concrete = draws is not None and not is_traced((dynamics, y))
        if concrete and not _commutes(dynamics, y):
            raise BadInput(
                f"the noise of {type(dynamics).__name__} does not commute (Dσ_k·σ_j "
                "differs from Dσ_j·σ_k), and Milstein's scheme then needs Lévy areas; "
                "Euler() and TamedEuler() do not."
            )
        return draws

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        x, back = flattened(y)
        new = x + h * self.taming(h, x, drift_vectors(dynamics, t, y))
        if not isinstance(dynamics, Diffusion):
            return Step(back(new), carry)
        kick = kicked(dynamics, t, y, h, noise)

        def along(dw, direction):
            """D(σ dw)·direction at x."""
            return jax.jvp(
                lambda x: flattened(dynamics.noise(t, back(x), dw))[0],
                (x,),
                (direction,),
            )[1]

        def ito(e):
            return along(e, flattened(dynamics.noise(t, y, e))[0])

        basis = jnp.eye(dynamics.brownian(y), dtype=x.dtype)
        products = along(jnp.sqrt(h) * noise, kick)
        correction = products - h * jnp.sum(jax.vmap(ito)(basis), axis=0)
        return Step(back(new + kick + 0.5 * correction), carry)


def _commutes(dynamics: Any, y: Any) -> bool:
    """Whether D(σu)·(σv) = D(σv)·(σu) for two random u, v, near the state y.

    The difference is bilinear in u, v, so one generic pair decides at a point; a second
    point, since a start may be special.
    """
    m = dynamics.brownian(y)
    if m == 1:
        return True
    x, back = flattened(y)
    rng = np.random.default_rng(0)
    u, v, off = (
        jnp.asarray(rng.standard_normal(k), x.dtype) for k in (m, m, x.shape[0])
    )

    def noise(x, dw):
        return flattened(dynamics.noise(0.0, back(x), dw))[0]

    for at in (x, x + 0.1 * off):
        first = jax.jvp(lambda x: noise(x, u), (at,), (noise(at, v),))[1]
        second = jax.jvp(lambda x: noise(x, v), (at,), (noise(at, u),))[1]
        gap = float(jnp.max(jnp.abs(first - second)))
        size = float(jnp.max(jnp.abs(first)) + jnp.max(jnp.abs(second)))
        if np.isfinite(gap) and gap > _COMMUTES * size:
            return False
    return True
