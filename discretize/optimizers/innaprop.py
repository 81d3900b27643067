"""INNAprop: INNA on gradients divided by the root of their running mean square."""

from __future__ import annotations

from typing import Any

import optax

from discretize.optimizers.inna import inertial_newton_steps
from discretize.optimizers.leaves import behind_door
from flows.door import require_number
from flows.dynamics import require_range


def innaprop(
    learning_rate: Any = 1e-3,
    alpha: Any = 0.1,
    beta: Any = 0.9,
    decay: Any = 0.999,
    eps: Any = 1e-8,
    weight_decay: Any = 0.01,
) -> optax.GradientTransformation:
    r"""INNAprop: weight decay, then a step of INNA with G in place of the gradient.

        ν ← σ ν + (1-σ) g²,   G = g/(√(ν/(1-σ^k)) + ε)   (k = 1, 2, ...),
        x ← (1 - γ w) x,   d = (α - 1/β) x + ψ/β,   ψ ← ψ - γ d,   x ← x - γ (d + β G).

    The authors eliminate d in favour of the new ψ,

        x ← (1 + γ(1-αβ)/(β-γ)) x - γ/(β-γ) ψ - γβ G,

    the same step, but not defined at β = γ, where INNA is heavy ball; as written here
    it is. Unlike in `inna`, d sees the decayed x.

    Reference: Bolte, Boustany, Pauwels and Purica, 2024, arXiv 2410.05871.

    Args:
        learning_rate: γ, a number or an optax schedule.
        alpha: α >= 0.
        beta: β > 0.
        decay: σ in [0, 1), retention of the mean square.
        eps: ε > 0, outside the root (gradient units).
        weight_decay: w >= 0.

    Returns:
        An optax optimiser; `update` needs `params`.

    Raises:
        BadInput: as `inna`.
    """
    require_number("decay", decay)
    require_range("decay", decay, below=1.0)
    require_number("eps", eps, positive=True)
    return behind_door(
        optax.chain(
            optax.scale_by_rms(decay, eps, eps_in_sqrt=False, bias_correction=True),
            inertial_newton_steps(
                learning_rate, alpha, beta, weight_decay, decay_first=True
            ),
        )
    )
