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
from flows.types import is_traced
from sde._checks import is_concrete
from sde.index import UniformIndex, WeightedIndex
from sde.moments import Moment
from sde.noise import as_key, subkeys, uniforms
from sde.switching import StochasticGradientProcess, SwitchingState

_DEPTH = 34.0  # e^{-34}: what is neglected, relative, at the ends of an integral
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
    converges exponentially; the terms of its tail form a geometric series.

    References: Sethuraman, "A constructive definition of Dirichlet priors", Statistica
    Sinica 4, 1994 (the stick); Gil-Pelaez, "Note on the inversion theorem", Biometrika
    38, 1951.

    Attributes:
        centres: a_i, shape [N, n].
        concentrations: c_i > 0, shape [N]. Both may hold expressions.

    Raises:
        BadInput: no numbers, shapes that do not fit, centres that are not finite,
            concentrations that are not positive.
    """

    def __init__(self, centres: Any, concentrations: Any) -> None:
        a = _numbers("centres", centres)
        c = _numbers("concentrations", concentrations)
        if a.ndim != 2 or len(a) < 2 or c.shape != a.shape[:1]:
            raise BadInput(
                "centres have shape [N, n], N >= 2, and concentrations [N]; got "
                f"{a.shape} and {c.shape}."
            )
        if is_concrete(a) and not np.all(np.isfinite(a)):
            raise BadInput(f"centres are finite; got {a}.")
        if is_concrete(c) and not np.all((c > 0) & np.isfinite(c)):
            raise BadInput(f"concentrations are positive and finite; got {c}.")
        self.centres, self.concentrations = a, c

    def __repr__(self) -> str:
        n, dimension = self.centres.shape
        total = self.total
        value = f"{total:.6g}" if is_concrete(self.concentrations) else str(total)
        return f"DirichletMixture({n} centres in dimension {dimension}, θ = {value})"

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

    def given(self, label: Any) -> DirichletMixture:
        """The law of X while the label is `label`: its concentration is larger by 1.

        Raises:
            BadInput: no label in {0, ..., N-1}.
        """
        require_whole("label", label, 0, len(self.centres) - 1)
        here = np.arange(len(self.centres)) == label
        return DirichletMixture(self.centres, self.concentrations + here)

    def moment(self, moment: Moment) -> Any:
        """E[X^α], or E[X^α 1{I = i}] = E[X^α w_i]: exact where the numbers are.

        A `MomentFunction`, as `is_stationary` takes it.

        Raises:
            BadInput: another number of exponents than coordinates, no label in
                {0, ..., N-1}.
        """
        n, dimension = self.centres.shape
        if len(moment.exponents) != dimension:
            raise BadInput(
                f"a moment of {dimension} coordinates has as many exponents; got "
                f"{moment.exponents}."
            )
        if moment.label is not None:
            require_whole("a moment's label", moment.label, 0, n - 1)
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
            key: a whole number or a jax key, not traced.
            count: how many.

        Raises:
            BadInput: a traced key: the inversion is scipy's, on the host.
        """
        return self.sample_states(key, count).position

    def sample_states(self, key: Any, count: int) -> SwitchingState:
        """Independent draws of (X, I): starts of stationary paths, with no burn-in.

        Given the weights the label is i with probability w_i.

        Args:
            key: a whole number or a jax key, not traced.
            count: how many.

        Returns:
            Positions of shape [count, n], labels of shape [count].

        Raises:
            BadInput: a traced key: the inversion is scipy's, on the host.
        """
        require_whole("count", count, 1)
        if is_traced(key):
            raise BadInput(
                "stationary states are drawn by scipy's inversion, outside of jit and "
                "vmap: give a key that is not traced."
            )
        first, second, third = subkeys(as_key(key), 0, 3)
        w = self._weights(first, second, count)
        u = uniforms(third, count)[:, None]
        labels = jnp.sum(jnp.cumsum(w, axis=1)[:, :-1] <= u, axis=1)
        return SwitchingState(w @ jnp.asarray(self.centres, dtype=float), labels)

    def _weights(self, first: Any, second: Any, count: int) -> Array:
        """Draws of w, shape [count, N]: normalised gamma variables G_i of shape c_i.

        G_i = Y U^{1/c_i} with Y of shape c_i + 1 and U uniform; in logarithms, as G_i
        itself underflows where c_i is small.
        """
        from scipy.special import gammaincinv

        c = as_floats("concentrations", self.concentrations)
        y, u = (
            np.asarray(uniforms(key, count * c.size), float).reshape(count, c.size)
            for key in (first, second)
        )
        logs = np.log(gammaincinv(c + 1, y)) + np.log(u) / c
        return jax.nn.softmax(jnp.asarray(logs, dtype=float), axis=1)

    def cdf(self, x: Any) -> Any:
        """P(X <= x) in one dimension, to 1e-12; the shape of x (NaN at NaN)."""
        a, c = self._line()
        x = as_floats("x", x)
        flat = x.ravel()
        out = np.where(np.isnan(flat), np.nan, (flat >= a[-1]).astype(float))
        inside = np.flatnonzero((flat > a[0]) & (flat < a[-1]))
        found = _integrated(_cdf_integrand, a, c, flat[inside])
        out[inside] = np.clip(0.5 + found, 0.0, 1.0)
        return out.reshape(x.shape)

    def density(self, x: Any) -> Any:
        """The density of X in one dimension, the shape of x; 0 outside the centres.

        With c_i the sum of the concentrations that sit at a centre a_i, it is infinite
        at an inner centre where θ - c_i <= 1, and at one of the two outermost where
        θ - c_i < 1. At an outermost centre with θ - c_i = 1 it has the limit
        c_i Π_k |a_k - a_i|^{-c_k} over the others. NaN at NaN.
        """
        a, c = self._line()
        x = as_floats("x", x)
        flat = x.ravel()
        out = np.where(np.isnan(flat), np.nan, 0.0)
        infinite = np.isin(flat, a[c.sum() - c <= 1 + _rounding(c)])
        inside = np.flatnonzero((flat > a[0]) & (flat < a[-1]) & ~infinite)
        found = _integrated(_density_integrand, a, c, flat[inside])
        out[inside] = np.clip(found / (a[-1] - a[0]), 0.0, np.inf)
        out[infinite] = np.inf
        for i in (0, -1):
            out[flat == a[i]] = _density_at_end(a, c, i)
        return out.reshape(x.shape)

    def _line(self) -> tuple[np.ndarray, np.ndarray]:
        """Different centres in one dimension, increasing, and what sits at each."""
        if self.centres.shape[1] != 1:
            raise BadInput(
                "a density is given in one dimension: take `along(direction)` of a law "
                f"in {self.centres.shape[1]}."
            )
        a, owner = np.unique(np.asarray(self.centres[:, 0], float), return_inverse=True)
        if a.size == 1:
            raise BadInput("the centres coincide: the law is a point mass.")
        return a, np.bincount(owner, np.asarray(self.concentrations, float))


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


def _numbers(name: str, value: Any) -> np.ndarray:
    """An array of real numbers, or of expressions."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise BadInput(f"{name} are an array of numbers: {error}") from None
    if array.dtype.kind not in "iufO":
        raise BadInput(f"{name} are real numbers; got {value!r:.60}.")
    return array


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


def _density_at_end(a: np.ndarray, c: np.ndarray, i: int) -> float:
    """The density's limit at an outermost centre, C |x - a_i|^{d - 1}, d = θ - c_i."""
    others = np.delete(np.arange(a.size), i)
    d = np.sum(c[others])
    if abs(d - 1) > _rounding(c):
        return np.inf if d < 1 else 0.0
    distances = np.abs(a[others] - a[i])
    return float(c[i] * np.exp(-np.sum(c[others] * np.log(distances))))


def _rounding(c: np.ndarray) -> float:
    """By how much a sum of concentrations near 1 may miss it."""
    return float(c.size * np.finfo(float).eps)


def _integrated(integrand: Any, a: np.ndarray, c: np.ndarray, x: np.ndarray) -> Any:
    """(1/π) ∫ of the integrand over log u at each x; lengths in units of a's span."""
    out = np.empty(x.size)
    for block in np.split(np.arange(x.size), range(_BLOCK, x.size, _BLOCK)):
        if block.size:
            b = (a[:, None] - x[block]) / (a[-1] - a[0])
            out[block] = _sums(integrand, b, c) / np.pi
    return out


def _sums(integrand: Any, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Trapezoidal sums over s = log u on the whole line; b has shape [N, m].

    Beyond 1/min|b| the integrand is a multiple of e^{-qs}, to e^{-s} relative: its last
    term stands for a geometric series. Where b_i = 0, factor i does not decay.
    """
    there = b == 0
    total = c.sum() - c @ there
    exponent = total - (integrand is _density_integrand) * np.any(there, axis=0)
    start = -_DEPTH - math.log(1 + c.sum())
    end = _DEPTH - math.log(np.min(np.abs(b[~there])))
    h = min(0.2, 0.6 / math.sqrt(c.sum()))
    with np.errstate(divide="ignore"):  # log 0 at a centre
        terms = integrand(np.arange(start, end + h, h), b[..., None], c)
    rest = terms[:, -1] / -np.expm1(-exponent * h)
    return h * (np.sum(terms[:, :-1], axis=-1) + rest)


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
