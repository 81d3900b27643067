"""Stationary laws of switching gradient flows: mixtures with Dirichlet weights."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats, require_instance, require_whole
from flows.errors import BadInput
from flows.finite_sums import QuadraticSum
from flows.schedules import is_constant
from sde._checks import is_concrete
from sde.index import UniformIndex, WeightedIndex
from sde.moments import Moment
from sde.noise import as_key
from sde.switching import StochasticGradientProcess, SwitchingState

_DEPTH = 34.0  # e^{-34}: where the tails of an integral are cut off
_NUDGE = 1e-100  # a centre is looked at from this distance, in units of the interval
_BLOCK = 512


class DirichletMixture:
    r"""The law of X = Σ_i w_i a_i with weights w ~ Dirichlet(c_1, ..., c_N).

    The stationary law of α x' = -κ(x - a_I) under uniform switching has c_i = αr/(κN):
    x is an average of the centres over the past, its weights those of a broken stick.
    θ = Σ c_i counts the switches within one relaxation time α/κ: for θ < N the law
    sits at the centres, at θ = N it is uniform (on the interval for N = 2, on the
    triangle for N = 3), for θ > N it gathers about their mean.

    In one dimension, P(X <= x) = P(Σ_i (a_i - x) G_i <= 0) with independent G_i ~
    Gamma(c_i), which the inversion of a characteristic function turns into

        F(x) = 1/2 - (1/π) ∫₀^∞ sin(Σ_k c_k arctan(u b_k))
                                · Π_k (1 + u² b_k²)^{-c_k/2} du/u,  b_k = a_k - x.

    In log u the integrand is analytic in a strip, so that the trapezoidal rule
    converges exponentially.

    References: Sethuraman, "A constructive definition of Dirichlet priors", Statistica
    Sinica 4, 1994 (the stick); Gil-Pelaez, "Note on the inversion theorem", Biometrika
    38, 1951.

    Attributes:
        centres: a_i, shape [N, n].
        concentrations: c_i > 0, shape [N]. Both may hold expressions.

    Raises:
        BadInput: shapes that do not fit, concentrations that are not positive.
    """

    def __init__(self, centres: Any, concentrations: Any) -> None:
        a, c = np.asarray(centres), np.asarray(concentrations)
        if a.ndim != 2 or len(a) < 2 or c.shape != a.shape[:1]:
            raise BadInput(
                "centres have shape [N, n], N >= 2, and concentrations [N]; got "
                f"{a.shape} and {c.shape}."
            )
        if is_concrete(c) and not np.all((c > 0) & np.isfinite(c)):
            raise BadInput(f"concentrations are positive and finite; got {c}.")
        self.centres, self.concentrations = a, c

    @property
    def total(self) -> Any:
        """θ = Σ_i c_i."""
        return sum(self.concentrations[1:], start=self.concentrations[0])

    def mean(self) -> Any:
        """E X = Σ_i c_i a_i/θ, shape [n]."""
        return self.concentrations @ self.centres / self.total

    def covariance(self) -> Any:
        """That of the centres with weights c_i/θ, over 1 + θ; shape [n, n]."""
        away = self.centres - self.mean()
        spread = away.T @ (self.concentrations[:, None] * away)
        return spread / (self.total * (1 + self.total))

    def along(self, direction: Any) -> DirichletMixture:
        """The law of X·direction, in one dimension."""
        u = as_floats("direction", direction)
        if u.shape != self.centres.shape[1:]:
            raise BadInput(
                f"a direction has shape [{self.centres.shape[1]}]; got {u.shape}."
            )
        return DirichletMixture((self.centres @ u)[:, None], self.concentrations)

    def given(self, label: int) -> DirichletMixture:
        """The law of X while the label is `label`: its concentration is larger by 1."""
        here = np.arange(len(self.centres)) == label
        return DirichletMixture(self.centres, self.concentrations + here)

    def moment(self, moment: Moment) -> Any:
        """E[X^α], or E[X^α 1{I = i}] = E[X^α w_i]: exact where the numbers are.

        A `MomentFunction`, as `is_stationary` takes it.
        """
        polynomial = {(0,) * len(self.centres): 1}
        for j, power in enumerate(moment.exponents):
            for _ in range(power):
                polynomial = _times(polynomial, self.centres[:, j])
        if moment.label is not None:
            here = [int(k == moment.label) for k in range(len(self.centres))]
            polynomial = _times(polynomial, here)
        out = 0
        for powers, coefficient in polynomial.items():
            rising = math.prod(map(_rising, self.concentrations, powers))
            out = out + coefficient * rising
        degree = sum(moment.exponents) + (moment.label is not None)
        return out / _rising(self.total, degree)

    def sample(self, key: Any, count: int) -> Float[Array, "count n"]:
        """Independent draws of X.

        Args:
            key: a whole number or a jax key.
            count: how many.
        """
        return self.sample_states(key, count).position

    def sample_states(self, key: Any, count: int) -> SwitchingState:
        """Independent draws of (X, I): starts of stationary paths, with no burn-in.

        Given the weights the label is i with probability w_i.

        Args:
            key: a whole number or a jax key.
            count: how many.

        Returns:
            Positions of shape [count, n], labels of shape [count].
        """
        require_whole("count", count, 1)
        first, second = jax.random.split(as_key(key))
        c = jnp.asarray(self.concentrations, dtype=float)
        w = jax.random.dirichlet(first, c, (count,))
        u = jax.random.uniform(second, (count, 1))
        labels = jnp.sum(jnp.cumsum(w, axis=1)[:, :-1] <= u, axis=1)
        return SwitchingState(w @ jnp.asarray(self.centres, dtype=float), labels)

    def cdf(self, x: Any) -> Any:
        """P(X <= x) in one dimension, to 1e-12; the shape of x."""
        return self._integrated(x, _cdf_integrand, 0.5, (0.0, 1.0))

    def density(self, x: Any) -> Any:
        """The density of X in one dimension, the shape of x; 0 outside the centres.

        It is infinite at a centre a_i where θ - c_i <= 1 (a huge number stands there).
        """
        return self._integrated(x, _density_integrand, 0.0, (0.0, 0.0))

    def _integrated(self, x: Any, integrand: Any, offset: float, outside: Any) -> Any:
        a = self._line()
        c = np.asarray(self.concentrations, float)
        x = as_floats("x", x)
        low, high, flat = a.min(), a.max(), x.ravel()
        out = np.where(flat <= low, outside[0], outside[1])
        inside = np.flatnonzero((flat > low) & (flat < high))
        for block in np.split(inside, range(_BLOCK, inside.size, _BLOCK)):
            if block.size:
                b = (a[:, None] - flat[block]) / (high - low)
                b = np.where(b == 0, _NUDGE, b)
                s, h = _nodes(b, c)
                total = np.sum(integrand(s, b[..., None], c), axis=-1) * h
                scale = 1.0 if offset else high - low
                out[block] = offset + total / (np.pi * scale)
        return np.clip(out, 0.0, 1.0 if offset else np.inf).reshape(x.shape)

    def _line(self) -> np.ndarray:
        if self.centres.shape[1] != 1:
            raise BadInput(
                "a density is given in one dimension: take `along(direction)` of a law "
                f"in {self.centres.shape[1]}."
            )
        a = np.asarray(self.centres[:, 0], float)
        if np.ptp(a) == 0:
            raise BadInput("the centres coincide: the law is a point mass.")
        return a


def switching_law(process: Any) -> DirichletMixture:
    """The stationary law of the position under uniform or weighted switching.

    For losses κ|x - a_i|²/2 + c_iᵀ(x - a_i) of one curvature κ > 0, in any dimension,
    it is `DirichletMixture(a_i - c_i/κ, αr π_i/κ)`, with π the law of the label.

    Args:
        process: a `StochasticGradientProcess` with a `flows.quadratic_sum` of one
            scalar curvature, and a `UniformIndex` or `WeightedIndex` of constant rate.
            It may hold symbols.

    Raises:
        BadInput: another process, or one whose stationary law is not known.
    """
    require_instance(
        process,
        StochasticGradientProcess,
        "switching_law takes a StochasticGradientProcess",
    )
    objective, index = process.objective, process.index
    if not isinstance(objective, QuadraticSum) or process.batches is not None:
        raise BadInput("the law is known for flows.quadratic_sum, one loss a label.")
    if not isinstance(index, UniformIndex | WeightedIndex):
        raise BadInput("the law is known for a UniformIndex or a WeightedIndex.")
    if not is_constant(index.rate):
        raise BadInput("there is no stationary law while the clock's rate changes.")
    kappa = _common_curvature(objective.curvatures)
    theta = _plain(process.friction) * _plain(index.relaxation_rate()) / kappa
    if isinstance(index, WeightedIndex):
        concentrations = theta * np.asarray(index.weights)
    else:
        concentrations = np.array([theta / index.labels] * index.labels)
    centres = np.asarray(objective.centres)
    if objective.tilts is not None:
        centres = centres - np.asarray(objective.tilts) / kappa
    return DirichletMixture(centres, concentrations)


def _plain(value: Any) -> Any:
    """A number or an expression, out of an array without axes."""
    return np.asarray(value)[()]


def _common_curvature(curvatures: Any) -> Any:
    values = np.asarray(curvatures)
    one = values.ravel()[0]
    if values.ndim and not np.all(values == one):
        raise BadInput(
            "the law is known for one curvature that all losses and directions share; "
            f"got curvatures {values}."
        )
    if is_concrete(one) and not one > 0:
        raise BadInput(f"a stationary law needs a curvature > 0; got {one}.")
    return one


def _rising(c: Any, n: int) -> Any:
    """The rising factorial c (c + 1) ... (c + n - 1)."""
    return math.prod((c + k for k in range(n)), start=1)


def _times(polynomial: dict[tuple[int, ...], Any], form: Any) -> Any:
    """A polynomial in the weights w_k times the linear form Σ_k form_k w_k."""
    out: Counter[tuple[int, ...]] = Counter()
    for powers, coefficient in polynomial.items():
        for k, factor in enumerate(form):
            if factor != 0:
                raised = (*powers[:k], powers[k] + 1, *powers[k + 1 :])
                out[raised] = out[raised] + coefficient * factor
    return out


def _nodes(b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, float]:
    """Nodes in s = log u and their distance; b, in units of the interval, [N, m]."""
    total = c.sum()
    # near a centre its own factor decays last: there 1/|b| is where the tail begins
    end = -math.log(np.min(np.abs(b))) + _DEPTH / (total - c.max())
    start = -_DEPTH - math.log(1 + total)
    step = min(0.2, 0.6 / math.sqrt(total))
    return np.arange(start, end + step, step), step


def _parts(s: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[Any, Any, Any]:
    """Phase and log modulus of Π (1 - iu b_k)^{-c_k}; log(1 + u² b_k²)."""
    weights = c[:, None, None]
    squares = np.logaddexp(0.0, 2 * (s + np.log(np.abs(b))))
    phase = np.sum(weights * np.arctan2(b, np.exp(-s)), axis=0)
    return phase, -np.sum(weights * squares, axis=0) / 2, squares


def _cdf_integrand(s: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    phase, modulus, _ = _parts(s, b, c)
    return -np.sin(phase) * np.exp(modulus)


def _density_integrand(s: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """d/dx of the above: Σ_k c_k u (cos φ - u b_k sin φ)/(1 + u² b_k²) · modulus."""
    phase, modulus, squares = _parts(s, b, c)
    log_cosine = s + modulus - squares
    log_sine = log_cosine + s + np.log(np.abs(b))
    terms = np.exp(log_cosine) * np.cos(phase)
    terms = terms - np.sign(b) * np.exp(log_sine) * np.sin(phase)
    return np.sum(c[:, None, None] * terms, axis=0)
