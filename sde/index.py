"""Index processes: the Markov chain I(t) that says which loss is in force."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_whole
from flows.dynamics import parameter
from flows.errors import BadInput
from flows.schedules import (
    Schedule,
    delay_after,
    integral_over,
    scheduled,
    value_at,
)
from sde._checks import is_concrete, require_positive
from sde.generators import require_generator, spectral_gap, stationary_law

CONVENTIONS = ("never_repeat", "fresh_draw")


class Index(eqx.Module):
    """A continuous-time Markov chain on the labels {0, ..., N-1}, rung by a clock.

    The clock rings at the rate λ(t, i) of the label i in force; the label is then
    redrawn from `next_weights(i)`. Times in the unit of the flow that it switches.
    """

    @property
    @abstractmethod
    def labels(self) -> int:
        """The number N of labels."""

    @abstractmethod
    def ring_rate(self, t: Any, label: Any) -> Float[Array, ""]:
        """λ(t, i) in 1/time: the rate of the clock, rings without a change included."""

    @abstractmethod
    def next_weights(self, label: Any) -> Float[Array, " N"]:
        """The law of the label after a ring, given the one before."""

    @abstractmethod
    def delay(self, t: Any, label: Any, amount: Any) -> Float[Array, ""]:
        """The time s with ∫_t^{t+s} λ = amount; the wait where amount is Exp(1)."""

    @abstractmethod
    def expected_rings(self, t0: Any, t1: Any) -> Any:
        """A bound on the mean number of rings in [t0, t1], sharp for one clock."""

    @abstractmethod
    def stationary(self) -> Float[Array, " N"]:
        """π, the stationary law of the label."""

    def next_label(self, label: Any, u: Any) -> Any:
        """The label after a ring, from u in (0, 1): the inverse distribution."""
        return _inverted(self.next_weights(label), label, u)

    @abstractmethod
    def transition(self, t: Any, h: Any, label: Any) -> Float[Array, " N"]:
        """The law of the label at t + h, given the one at t: a row of exp(∫ Q)."""

    def later_label(self, t: Any, h: Any, label: Any, u: Any) -> Any:
        """The label at t + h, from u in (0, 1); what happened in between is summed."""
        return _inverted(self.transition(t, h, label), label, u)

    def stationary_label(self, label: Any, u: Any) -> Any:
        """A label of the stationary law, whatever the label now, from u in (0, 1)."""
        return _inverted(self.stationary(), label, u)

    def generator_matrix(self, t: Any = 0.0) -> Float[Array, "N N"]:
        """Q(t): Q_ij, i != j, is the rate from i to j; rows of sum 0."""
        rows = []
        for i in range(self.labels):
            weights = self.next_weights(i)
            here = (jnp.arange(self.labels) == i).astype(weights.dtype)
            rows.append(self.ring_rate(t, i) * (weights - here))
        return jnp.stack(rows)

    def spectral_gap(self, t: Any = 0.0) -> Float[Array, ""]:
        """The rate at which correlations of the label die out in the end (1/time).

        min -Re λ over the eigenvalues λ != 0 of Q(t). It is the relaxation rate r where
        there is one (`UniformIndex`, `WeightedIndex`); where eigenvalues differ, as in
        a `MarkovIndex`, some functions of the label decay faster. On the CPU.
        """
        return spectral_gap(self.generator_matrix(t))


class OneClock(Index):
    """Base of the indices whose one clock, of rate γ(t), rings whatever the label."""

    @property
    def _clock(self) -> Any:
        """The rate γ, a field of the concrete classes, which order their own."""
        known: Any = self
        return known.rate

    def __check_init__(self):
        _require_rate(self._clock)

    def ring_rate(self, t: Any, label: Any) -> Float[Array, ""]:
        """γ(t)."""
        del label
        return value_at(self._clock, t)

    def delay(self, t: Any, label: Any, amount: Any) -> Float[Array, ""]:
        """amount/γ, or the inverse of the schedule's integral."""
        del label
        return delay_after(self._clock, t, amount)

    def expected_rings(self, t0: Any, t1: Any) -> Any:
        """∫ γ over [t0, t1]."""
        return integral_over(self._clock, t0, t1)


class UniformIndex(OneClock):
    r"""Uniform sampling: at each ring of one clock of rate γ(t) a uniform new label.

    "never_repeat" draws among the N-1 others, "fresh_draw" among all N. Every centred
    function of the label decays at the relaxation rate r = γN/(N-1), or r = γ: all that
    follows depends on (N, γ, convention) through r alone. 1/γ is the mean time between
    rings and plays the part of a learning rate.

    Reference: Latz, "Analysis of stochastic gradient descent in continuous time",
    Statistics and Computing 31, 2021, arXiv 2004.07177.

    Attributes:
        count: N >= 2.
        rate: γ > 0 (1/time), a number or a `flows.Schedule` (a learning rate 1/γ(t)).
        convention: "never_repeat" or "fresh_draw".

    Raises:
        BadInput: fewer than two labels, a rate that is not positive, an unknown
            convention.
    """

    count: int = eqx.field(static=True)
    rate: Any = eqx.field(
        converter=scheduled,
        default=1.0,
        metadata={"positive": True, "symbol": r"\gamma"},
    )
    convention: str = eqx.field(static=True, default="never_repeat")

    def __check_init__(self):
        require_whole("count, the number of labels,", self.count, 2)
        if self.convention not in CONVENTIONS:
            raise BadInput(
                'convention is "never_repeat" (uniform over the other labels) or '
                f'"fresh_draw" (uniform over all); got {self.convention!r}.'
            )

    @classmethod
    def relaxing(
        cls, count: int, rate: Any, convention: str = "never_repeat"
    ) -> UniformIndex:
        """The index of a given relaxation rate r, whichever the convention.

        Its clock rings at γ = r(N-1)/N for "never_repeat", at γ = r for "fresh_draw".

        Args:
            count: N >= 2.
            rate: r > 0 (1/time), a number or a `flows.Schedule`.
            convention: "never_repeat" or "fresh_draw".

        Raises:
            BadInput: as for the constructor.
        """
        clock = scheduled(rate)
        unscaled = cls(count, clock, convention)  # refuses what is no index
        if convention == "fresh_draw":
            return unscaled
        share = (count - 1) / count
        slower = isinstance(clock, Schedule)
        return cls(count, _Scaled(clock, share) if slower else share * clock)

    @property
    def labels(self) -> int:
        """N."""
        return self.count

    def relaxation_rate(self, t: Any = 0.0) -> Any:
        """r(t) = γN/(N-1) for "never_repeat", γ for "fresh_draw" (1/time)."""
        rate = value_at(self.rate, t)
        if self.convention == "fresh_draw":
            return rate
        return rate * self.labels / (self.labels - 1)

    def next_weights(self, label: Any) -> Float[Array, " N"]:
        """1/N each, or 1/(N-1) each and 0 for the label itself."""
        n = self.labels
        if self.convention == "fresh_draw":
            return jnp.full((n,), 1 / n, dtype=float)
        others = jnp.arange(n) != label
        return jnp.where(others, 1 / (n - 1), 0.0).astype(float)

    def next_label(self, label: Any, u: Any) -> Any:
        """⌊Nu⌋, or i + 1 + ⌊(N-1)u⌋ modulo N."""
        n = self.labels
        label = jnp.asarray(label)
        if self.convention == "fresh_draw":
            return self.stationary_label(label, u)
        ahead = jnp.minimum(((n - 1) * u).astype(label.dtype), n - 2)
        return (label + 1 + ahead) % n

    def transition(self, t: Any, h: Any, label: Any) -> Float[Array, " N"]:
        """ρ for the label itself and (1 - ρ)/N for all, ρ = e^{-∫ r}."""
        return _forgotten(self._kept(t, h), self.stationary(), label)

    def later_label(self, t: Any, h: Any, label: Any, u: Any) -> Any:
        """The label itself for u < ρ, else ⌊N(u - ρ)/(1 - ρ)⌋."""
        kept, label = self._kept(t, h), jnp.asarray(label)
        fresh = self.stationary_label(label, (u - kept) / (1 - kept))
        return jnp.where(u < kept, label, fresh)

    def stationary_label(self, label: Any, u: Any) -> Any:
        """⌊Nu⌋."""
        n, dtype = self.labels, jnp.asarray(label).dtype
        return jnp.minimum((n * u).astype(dtype), n - 1)

    def _kept(self, t: Any, h: Any) -> Any:
        n = self.labels
        pace = 1.0 if self.convention == "fresh_draw" else n / (n - 1)
        return jnp.exp(-pace * self.expected_rings(t, t + h))

    def stationary(self) -> Float[Array, " N"]:
        """Uniform."""
        return jnp.full((self.labels,), 1 / self.labels, dtype=float)


class WeightedIndex(OneClock):
    """Non-uniform sampling: at each ring of a clock of rate γ(t) a label of law p.

    The chain forgets its label at each ring, so r = γ.

    Attributes:
        weights: p, positive, of sum 1, shape [N].
        rate: γ > 0 (1/time), a number or a `flows.Schedule`.

    Raises:
        BadInput: weights that are no probabilities, a rate that is not positive.
    """

    weights: Array = eqx.field(converter=parameter, metadata={"symbol": "p"})
    rate: Any = eqx.field(
        converter=scheduled,
        default=1.0,
        metadata={"positive": True, "symbol": r"\gamma"},
    )

    def __check_init__(self):
        if not is_concrete(self.weights):
            return
        p = np.asarray(self.weights)
        fits = p.ndim == 1 and p.size >= 2 and np.all(p > 0)
        if not fits or abs(np.sum(p) - 1) > 8 * p.size * np.finfo(p.dtype).eps:
            raise BadInput(
                f"weights are two or more positive numbers of sum 1; got {p}."
            )

    @property
    def labels(self) -> int:
        """N."""
        return self.weights.shape[0]

    def relaxation_rate(self, t: Any = 0.0) -> Any:
        """r(t) = γ(t)."""
        return value_at(self.rate, t)

    def next_weights(self, label: Any) -> Float[Array, " N"]:
        """The weights p, whatever the label."""
        del label
        return self.weights

    def transition(self, t: Any, h: Any, label: Any) -> Float[Array, " N"]:
        """ρ for the label itself and (1 - ρ) p for all, ρ = e^{-∫ γ}."""
        kept = jnp.exp(-self.expected_rings(t, t + h))
        return _forgotten(kept, self.weights, label)

    def stationary(self) -> Float[Array, " N"]:
        """The weights p."""
        return self.weights


class MarkovIndex(Index):
    """A chain of any generator matrix, s(t) Q: it leaves i at the rate -s(t) Q_ii.

    It has no one relaxation rate; `spectral_gap` is the slowest.

    Attributes:
        matrix: Q, shape [N, N]: rates >= 0 off the diagonal, rows of sum 0, one closed
            class (so that the stationary law is unique), no absorbing label.
        speed: s > 0, a number or a `flows.Schedule`.

    Raises:
        BadInput: a matrix that is no such generator, a speed that is not positive.
    """

    matrix: Array = eqx.field(converter=parameter, metadata={"symbol": "Q"})
    speed: Any = eqx.field(
        converter=scheduled, default=1.0, metadata={"positive": True, "symbol": "s"}
    )

    def __check_init__(self):
        _require_rate(self.speed)
        if is_concrete(self.matrix):
            require_generator(np.asarray(self.matrix))

    @property
    def labels(self) -> int:
        """N."""
        return self.matrix.shape[0]

    def ring_rate(self, t: Any, label: Any) -> Float[Array, ""]:
        """-s(t) Q_ii."""
        return -value_at(self.speed, t) * self.matrix[label, label]

    def next_weights(self, label: Any) -> Float[Array, " N"]:
        """Q_ij/(-Q_ii), 0 for i itself."""
        row = self.matrix[label]
        here = jnp.arange(self.labels) == label
        return jnp.where(here, 0.0, row / -self.matrix[label, label])

    def delay(self, t: Any, label: Any, amount: Any) -> Float[Array, ""]:
        """The wait at the rate of the label in force."""
        return delay_after(self.speed, t, amount / -self.matrix[label, label])

    def expected_rings(self, t0: Any, t1: Any) -> Any:
        """∫ s over [t0, t1], times the rate of the label that is left fastest."""
        fastest = -jnp.min(jnp.diagonal(self.matrix))
        return fastest * integral_over(self.speed, t0, t1)

    def transition(self, t: Any, h: Any, label: Any) -> Float[Array, " N"]:
        """Row i of e^{Q ∫ s}."""
        span = integral_over(self.speed, t, t + h)
        return jax.scipy.linalg.expm(self.matrix * span)[label]

    def stationary(self) -> Float[Array, " N"]:
        """π with πQ = 0 and Σπ = 1."""
        return stationary_law(self.matrix)


class _Scaled(Schedule):
    """A schedule times a positive constant."""

    schedule: Schedule
    factor: Array = eqx.field(converter=parameter)

    def __call__(self, t: Any) -> Float[Array, ""]:
        return self.factor * self.schedule(t)

    def integral(self, t0: Any, t1: Any) -> Float[Array, ""]:
        return self.factor * self.schedule.integral(t0, t1)

    def delay(self, t: Any, amount: Any) -> Float[Array, ""]:
        return self.schedule.delay(t, amount / self.factor)


def _inverted(weights: Any, label: Any, u: Any) -> Any:
    """The label at which the distribution function passes u, of label's type."""
    chosen = jnp.sum(jnp.cumsum(weights)[:-1] <= u)
    return chosen.astype(jnp.asarray(label).dtype)


def _forgotten(kept: Any, weights: Any, label: Any) -> Any:
    """The law of a label that is kept with a chance, else drawn from the weights."""
    here = jnp.arange(weights.shape[0]) == label
    return kept * here.astype(weights.dtype) + (1 - kept) * weights


def _require_rate(rate: Any) -> None:
    if isinstance(rate, Schedule):
        return
    require_positive("rate", rate)
    if rate.ndim:
        raise BadInput(f"rate is one number or a Schedule; got shape {rate.shape}.")
