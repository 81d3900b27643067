"""Tamed Euler schemes: increments bounded before the step is taken."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from discretize.schemes.brownian import (
    BrownianScheme,
    drift_vectors,
    flattened,
    kicked,
    noise_columns,
)
from discretize.taming import NormTaming, Taming, norm, total
from flows import BadInput, Step
from flows.dynamics import parameter
from flows.types import is_traced


class TamedEuler(BrownianScheme):
    r"""Tamed Euler, y ← y + h b_h(y) + σ(t, y) √h ξ with a tamed drift b_h.

    On overdamped Langevin dynamics it is TULA, mTULA, TUSLA, TheoPouLa, … according to
    the taming (`discretize.taming`). The noise is not tamed. Strong order 1/2, or 1 for
    additive noise where the taming changes the drift by O(h); a taming that changes it
    by O(√h) leaves 1/2.

    Reference: Hutzenthaler, Jentzen and Kloeden, Annals of Applied Probability 22(4),
    2012.

    Attributes:
        taming: (h, y, drift parts) -> b_h; norms are over the whole state.
    """

    order: ClassVar[int] = 1
    taming: Taming = eqx.field(default_factory=NormTaming)

    def __check_init__(self):
        require_taming(self.taming, "TamedEuler")

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        x, back = flattened(y)
        drift = self.taming(h, x, drift_vectors(dynamics, t, y))
        return Step(back(x + h * drift + kicked(dynamics, t, y, h, noise)), carry)


class TamedCoefficientsEuler(BrownianScheme):
    r"""Euler with drift and noise divided by 1 + h^α (|b| + |σ|²).

    For noise that grows faster than linearly, too. |σ| is the Frobenius norm; then
    |b_h| <= h^{-α} and |σ_h|² <= h^{-α}, the bounds that the convergence theorem of the
    source asks of tamed coefficients. Strong order 1/2 at α = 1/2. It costs the n × m
    matrix σ.

    Reference: Sabanis, "Euler approximations with varying coefficients", Annals of
    Applied Probability 26(4), 2016, arXiv 1308.1796 (a class of schemes, of which this
    is one).

    Attributes:
        exponent: α in (0, 1/2].
    """

    order: ClassVar[int] = 1
    exponent: Array = eqx.field(converter=parameter, default=0.5)

    def __check_init__(self):
        require_in("exponent α", self.exponent, 0.0, 0.5)

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        x, back = flattened(y)
        b, columns = total(drift_vectors(dynamics, t, y)), noise_columns(dynamics, t, y)
        size = 1 + h**self.exponent * (norm(b) + jnp.sum(columns**2))
        kick = kicked(dynamics, t, y, h, noise)
        return Step(back(x + h * (b / size) + kick / size), carry)


class BalancedEuler(BrownianScheme):
    r"""Balanced Euler, y ← y + (h b + Σ_j σ_j ΔB_j)/(1 + h|b| + Σ_j |σ_j ΔB_j|).

    σ_j is the j-th column of σ. A step is shorter than 1, its noise included. Strong
    order 1/2. It costs the n × m matrix σ.

    Reference: Tretyakov and Zhang, "A fundamental mean-square convergence theorem for
    SDEs with locally Lipschitz coefficients", SIAM Journal on Numerical Analysis 51(6),
    2013.
    """

    order: ClassVar[int] = 1

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        x, back = flattened(y)
        move = h * total(drift_vectors(dynamics, t, y))
        size = 1 + norm(move)
        if noise is not None:
            increments = (jnp.sqrt(h) * noise)[:, None]
            kicks = increments * noise_columns(dynamics, t, y)
            size = size + jnp.sum(jax.vmap(norm)(kicks))
            move = move + jnp.sum(kicks, axis=0)
        return Step(back(x + move / size), carry)


def require_taming(taming: Any, what: str) -> None:
    """Refuse what is no taming.

    Raises:
        BadInput: with an example of one.
    """
    if not isinstance(taming, Taming):
        raise BadInput(f"{what} takes a taming, as NormTaming(); got {taming!r}.")


def require_in(name: str, value: Any, above: float, upto: float) -> None:
    """Refuse a concrete parameter outside (above, upto].

    Raises:
        BadInput: with the name and the range.
    """
    if is_traced(value) or np.asarray(value).dtype.hasobject:
        return
    if not (jnp.ndim(value) == 0 and above < float(value) <= upto):
        raise BadInput(f"{name} is one number in ({above:g}, {upto:g}]; got {value}.")
