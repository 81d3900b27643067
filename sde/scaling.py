"""Hyperparameters of adaptive optimisers, their diffusions' scales, batch scaling."""

from __future__ import annotations

from typing import Any, NamedTuple

from sde._checks import require_positive


class AdaptiveHyperparameters(NamedTuple):
    """What an adaptive optimiser is called with.

    Attributes:
        learning_rate: η.
        beta2: retention of the second moment (RMSProp's decay).
        eps: ε, outside the root (units of the gradient).
        noise_scale: σ, of the gradient noise σ z; ∝ 1/√(batch size).
        beta1: retention of the first moment; 0 for RMSProp.
    """

    learning_rate: Any
    beta2: Any
    eps: Any
    noise_scale: Any
    beta1: Any = 0.0


class AdaptiveScales(NamedTuple):
    """What the diffusions of RMSProp and Adam know of the optimiser.

    Attributes:
        sigma0: σ₀ = ση.
        c2: c₂ = (1 - β₂)/η², in 1/time where a step takes η².
        eps0: ε₀ = εη.
        c1: c₁ = (1 - β₁)/η².
    """

    sigma0: Any
    c2: Any
    eps0: Any
    c1: Any

    def hyperparameters(self, learning_rate: Any) -> AdaptiveHyperparameters:
        """The optimiser of learning rate η that has these scales."""
        eta = learning_rate
        return AdaptiveHyperparameters(
            eta,
            1 - self.c2 * eta**2,
            self.eps0 / eta,
            self.sigma0 / eta,
            1 - self.c1 * eta**2,
        )


def adaptive_scales(hyper: AdaptiveHyperparameters) -> AdaptiveScales:
    """σ₀ = ση, ε₀ = εη, c_i = (1 - β_i)/η² of RMSProp or Adam.

    Two optimisers with the same scales follow one diffusion in t = kη².

    Reference: Malladi, Lyu, Panigrahi and Arora, NeurIPS 2022, arXiv 2205.10287.

    Raises:
        BadInput: a learning rate or noise scale that is not positive.
    """
    eta, beta2, eps, sigma, beta1 = hyper
    require_positive("learning_rate", eta)
    require_positive("noise_scale", sigma)
    return AdaptiveScales(
        sigma * eta, (1 - beta2) / eta**2, eps * eta, (1 - beta1) / eta**2
    )


def square_root_scaling(
    hyper: AdaptiveHyperparameters, kappa: Any
) -> AdaptiveHyperparameters:
    """The hyperparameters for a batch κ times as large: the square-root scaling rule.

    η → √κ η, 1 - β_i → κ(1 - β_i), ε → ε/√κ, with κ times fewer steps; the noise scale
    falls to σ/√κ by itself. The scales stay the same. (SGD's rule is linear: h → κh
    keeps h Σ.)

    Reference: Malladi, Lyu, Panigrahi and Arora, NeurIPS 2022, arXiv 2205.10287.

    Args:
        hyper: those of the smaller batch.
        kappa: κ > 0; κ(1 - β_i) stays below 1 for the optimiser to make sense.

    Raises:
        BadInput: a factor that is not positive.
    """
    require_positive("kappa", kappa)
    eta, beta2, eps, sigma, beta1 = hyper
    root = kappa**0.5
    return AdaptiveHyperparameters(
        root * eta,
        1 - kappa * (1 - beta2),
        eps / root,
        sigma / root,
        1 - kappa * (1 - beta1),
    )
