r"""Critical values and sample sizes, by formula.

One check owns the level 1e-9. With k intervals and J looks at the data each
comparison runs at 1e-9/(k J): a union bound, which dependence cannot break.
"""

from __future__ import annotations

import math

from scipy import special

from flows.errors import BadInput
from proofs_check.relations import Real

LEVEL = 1e-9
"""False-alarm probability of one check, main or control."""

CATALOGUE_LEVEL = 1e-6
"""False-alarm probability of one run of a whole catalogue."""

POWER_Z = 2.33
"""An error of D scales is refuted with power Phi(2.33) = 0.990."""

SKEW_LIMIT = 1.15
"""No answer while the skewness correction widens z by more than this factor."""


def level(
    comparisons: int = 1, looks: int = 1, alpha: float | int = LEVEL
) -> float:  # fmt: skip
    """Level alpha/(k J) of one comparison.

    Args:
        comparisons: k, number of intervals inside the check.
        looks: J, number of looks at the data that may refute.
        alpha: level of the whole check.

    Returns:
        The level of one comparison.

    Raises:
        BadInput: a count below 1, or alpha outside (0, 1).
    """
    if comparisons < 1 or looks < 1:
        raise BadInput("comparisons and looks are counts >= 1.")
    if not 0 < alpha < 1:
        raise BadInput(f"alpha must lie in (0, 1), not {alpha}.")
    return alpha / (comparisons * looks)


def normal(alpha: Real = LEVEL, sides: int = 2) -> float:
    """Quantile z with P(|N| > z) = alpha (two sides) or P(N > z) = alpha (one side).

    Args:
        alpha: level, in (0, 1).
        sides: 1 or 2.

    Returns:
        The quantile.
    """
    return float(-special.ndtri(alpha / sides))


def student(alpha: Real, dof: Real, sides: int = 2) -> float:
    """The same quantile for Student's t with `dof` degrees of freedom."""
    return float(-special.stdtrit(dof, alpha / sides))


def skewed(z: Real, skewness: Real, n: int) -> float:
    """Widen z to z + |skewness| (2 z^2 + 1)/(6 sqrt n), by Cornish and Fisher.

    Args:
        z: the normal quantile.
        skewness: third standardised moment of one sample.
        n: number of samples.

    Returns:
        The widened quantile (P. Hall, On the removal of skewness by transformation,
        1992, expands the studentised mean).
    """
    return z + abs(skewness) * (2 * z * z + 1) / (6 * math.sqrt(n))


def dkw(n: Real, alpha: Real = LEVEL) -> float:
    """sqrt(ln(2/alpha)/(2 n)), the Dvoretzky-Kiefer-Wolfowitz radius.

    P(sup|F_n - F| > radius) <= alpha for every n and every law F, with the sharp
    constant of Massart (Annals of Probability 18, 1990).

    Args:
        n: number of independent samples; for two samples 1/(1/n + 1/m).
        alpha: level.

    Returns:
        The radius, a distance of distribution functions.
    """
    return math.sqrt(math.log(2 / alpha) / (2 * n))


def binomial(successes: int, trials: int, alpha: Real = LEVEL) -> tuple[float, float]:
    """Clopper-Pearson interval of a probability.

    Args:
        successes: number of successes.
        trials: number of independent trials, at least 1.
        alpha: two-sided level.

    Returns:
        The interval (lo, hi), which holds the probability with level >= 1 - alpha.

    Raises:
        BadInput: counts that are no counts of successes.
    """
    if not (0 <= successes <= trials and trials >= 1):
        raise BadInput(f"{successes} successes in {trials} trials is not a count.")
    failures = trials - successes
    tail = alpha / 2
    lo = special.betaincinv(successes, failures + 1, tail) if successes else 0.0
    # the upper tail as the lower tail of 1 - x: 1 - alpha/2 would lose its digits
    hi = 1 - special.betaincinv(failures, successes + 1, tail) if failures else 1.0
    return float(lo), float(hi)


def anytime(n: int, planned: int, alpha: Real = LEVEL) -> float:
    """Multiplier of the sample's s.d. for an interval valid at all n at once.

    sqrt((1 + r/n)/n (2 ln(1/alpha) + ln(1 + n/r))) with r = planned/46, the normal
    mixture boundary (H. Robbins, Annals of Mathematical Statistics 41, 1970), for
    runs that may be stopped at any moment.

    Args:
        n: samples so far.
        planned: the planned number, near which the interval is tightest.
        alpha: two-sided level over all n.

    Returns:
        Half-width divided by the sample's standard deviation.
    """
    r = planned / 46
    return math.sqrt((1 + r / n) / n * (2 * math.log(1 / alpha) + math.log(1 + n / r)))


def sample_size(
    sigma: Real, delta: Real, scale: Real, *, bias: Real = 0.0, alpha: Real = LEVEL
) -> int:
    """Samples n = ((z + 2.33) sigma / (delta S - 2 b))^2, rounded up.

    Args:
        sigma: standard deviation of one sample.
        delta: relative error to detect.
        scale: S, in the unit of sigma.
        bias: b, in the unit of sigma.
        alpha: level of one comparison, two-sided.

    Returns:
        The number of samples after which D <= delta, at least 1.

    Raises:
        BadInput: 2 b >= delta S: no number of samples is enough.
    """
    room = delta * scale - 2 * bias
    if room <= 0:
        raise BadInput(
            f"bias {bias:.3g} takes all of delta S = {delta * scale:.3g} (2 b must be "
            "below it): refine the step or the reference, sampling cannot help."
        )
    return max(1, math.ceil(((normal(alpha) + POWER_Z) * sigma / room) ** 2))
