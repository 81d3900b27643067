"""TUSLA: the tamed unadjusted stochastic Langevin algorithm as an optax optimiser."""

from __future__ import annotations

from typing import Any

import optax

from discretize.optimizers.langevin import tamed_langevin
from discretize.taming import StateTaming


def tusla(
    learning_rate: Any = 0.5,
    beta: Any = 1e12,
    eta: Any = 1e-5,
    r: Any = 0.5,
    *,
    key: Any = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""TUSLA: gradient and regulariser divided by one factor of the state, and noise.

        θ ← θ - λ (g + η θ|θ|^{2r})/(1 + √λ|θ|^{2r}) + √(2λ/β) ξ,

    |θ| over all parameters (some public code sums the norms of the layers, which is
    another method).

    What to know before using it:

    - η > 0, or a gradient of growth degree 2r + 1, is a hypothesis: with η = 0 and a
      gradient that grows more slowly the drift dies out far away, and so does the
      stationary law's hold on large θ.
    - It has a stability limit of its own: where g ~ P θ|θ|^{2r} far out, a step
      multiplies θ by 1 - (P + η)√λ, so that it explodes for λ > (2/(P + η))².

    The defaults are those of the authors' runs on networks.

    Reference: Lovas, Lytras, Rásonyi and Sabanis, "Taming neural networks with TUSLA",
    2023, arXiv 2006.14514.

    Args:
        learning_rate: λ, a number or an optax schedule (time, 1/curvature).
        beta: β = 1/temperature (1/unit of the loss); infinite for no noise.
        eta: η >= 0 of the regulariser η|θ|^{2r+2}/(2r+2).
        r: r >= 0 of the factor and of the regulariser.
        key: of the noise, a whole number or a jax key (see `tamed_langevin`).

    Returns:
        An optax optimiser; `update` needs `params` and takes `noise=`.

    Raises:
        BadInput: an argument out of range.
    """
    taming = StateTaming(r)
    return tamed_langevin(learning_rate, taming, beta=beta, eta=eta, r=r, key=key)
