"""TheoPouLa: the polygonal unadjusted Langevin algorithm as an optax optimiser."""

from __future__ import annotations

from typing import Any

import optax

from discretize.optimizers.langevin import require_positive, tamed_langevin
from discretize.taming import Polygonal


def theopoula(
    learning_rate: Any = 0.1,
    eps: Any = 0.1,
    beta: Any = 1e12,
    eta: Any = 0.0,
    r: Any = 3.0,
    *,
    key: Any = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""TheoPouLa: coordinates tamed and boosted, the regulariser tamed apart, noise.

        θᵢ ← θᵢ - λ gᵢ/(1 + √λ|gᵢ|) · (1 + √λ/(ε + |gᵢ|))
                - λ η θᵢ|θ|^{2r}/(1 + √λ|θ|^{2r}) + √(2λ/β) ξᵢ.

    For λ <= 1 the gradient moves each coordinate by less than √λ a step, whatever it
    is; where it is small it counts 1 + √λ/ε times.

    What to know before using it:

    - ε is in gradient units, and taming is not scale free: a loss multiplied by a
      constant is another method, unlike with Adam.
    - At a minimum of curvature a, boosting is unstable for ε <= λ^{3/2} a/(2 - λa): the
      iterates then chatter, with an amplitude near λ^{3/2}/2 for ε → 0. The authors'
      code has ε = 10⁻⁸, their image experiments 0.01 to 0.1.
    - The noise √(2λ/β) at λ = 0.1 and β = 10¹² is 4.5·10⁻⁷. At β = 10¹⁴, the default
      of the authors' code, one standard deviation is below half a unit in the last
      place of a float32 parameter in (1, 2): where the gradient is 0 it moves at 18 %
      of the steps, beyond 4 at practically none. To see Langevin noise take β <= 10⁴.
    - The regulariser stands outside taming and boosting, as in the paper's formula;
      public code folds it into the gradient before both.

    Reference: Lim and Sabanis, "Polygonal Unadjusted Langevin Algorithms", JMLR 25(53),
    2024, arXiv 2105.13937.

    Args:
        learning_rate: λ, a number or an optax schedule (time, 1/curvature).
        eps: ε > 0, in gradient units.
        beta: β = 1/temperature (1/unit of the loss); infinite for no noise.
        eta: η >= 0 of the regulariser η|θ|^{2r+2}/(2r+2), the norm over all parameters.
        r: r >= 0; the regulariser's gradient grows like |θ|^{2r+1}.
        key: of the noise, a whole number or a jax key (see `tamed_langevin`).

    Returns:
        An optax optimiser; `update` needs `params` and takes `noise=`.

    Raises:
        BadInput: an argument out of range.
    """
    require_positive("eps", eps)
    taming = Polygonal(eps, r)
    return tamed_langevin(learning_rate, taming, beta=beta, eta=eta, r=r, key=key)
