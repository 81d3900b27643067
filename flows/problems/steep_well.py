"""A thirtieth-power well on random data, on which adaptive optimisers stall."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flows.errors import BadInput
from flows.objective import Fact, Facts, LossObjective, from_loss


def _steep_well(position: Any, samples: Any) -> Any:
    """The mean over samples x of u(θ)(1 + 1{x <= θ}) + θ³⁰, the indicator frozen."""
    theta = position[0]
    size = jnp.abs(theta)
    u = jnp.where(size <= 1, theta**2, 2 * size - 1)
    below = (samples <= jax.lax.stop_gradient(theta)).astype(theta.dtype)
    return u * (1 + jnp.mean(below)) + theta**30


def steep_well(samples: Any) -> LossObjective:
    r"""f(θ) = mean over data x of u(θ)(1 + 1{x <= θ}) + θ³⁰, of one parameter.

    u(θ) = θ² for |θ| <= 1 and 2|θ| - 1 beyond: a well with a floor of curvature 2 to 4
    and walls whose gradient is 8.6·10¹⁸ at θ = 4. The gradient is that of each term
    with its indicator held: (1 + 1{x <= θ}) u'(θ) + 30 θ²⁹. Its mean is not the
    gradient of the mean loss, which has the density of x in it, too; an optimiser on
    one x at a time sees what is used in training networks with discontinuities.

    Positions have shape [1]; `batch` picks data. Facts: minimum 0 at 0. In float32 the
    square of the gradient overflows beyond |θ| = 3.9.

    Reference: Lovas, Lytras, Rásonyi and Sabanis, "Taming neural networks with TUSLA",
    2023, arXiv 2006.14514 (the example in the authors' public code).

    Args:
        samples: x, shape [N], such as draws of Beta(2, 2) or of N(0, 1).

    Raises:
        BadInput: samples that are no vector of finite numbers.
    """
    if np.ndim(samples) != 1 or np.size(samples) == 0:
        raise BadInput(f"samples is a vector; got shape {np.shape(samples)}.")
    zero = Fact(np.zeros(1), "f >= 0 = f(0)")
    facts = Facts(minimiser=zero, minimum=Fact(0.0, "f >= 0 = f(0)"))
    data = jnp.asarray(samples, float)
    return from_loss(_steep_well, jnp.zeros(1), data, facts=facts)
