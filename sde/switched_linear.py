"""Switched linear systems z' = A_I z + b_I: how fast their moments grow."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from flows.door import require_instance, require_number, require_whole
from flows.errors import BadInput
from flows.finite_sums import QuadraticSum
from flows.schedules import Schedule
from flows.types import is_traced
from sde.generators import recurrent, require_generator, stationary_law
from sde.switching import StochasticGradientMomentumProcess, Switching, state_of

MOST_ENTRIES = 4096
"""Rows of the largest operator on moments that is built densely."""

_FAR = (1.0, 10.0, -10.0, 1e3, -1e3)  # where a loss that is no quadratic is looked for


class LinearFields(NamedTuple):
    """A linear system z' = A_I z + b_I whose label I is a Markov chain of matrix Q.

    `linear_fields` reads it off a switching process; any other one is written down.

    Attributes:
        matrices: A_i, shape [N, k, k], in 1/time.
        forcings: b_i, shape [N, k].
        generator: Q, shape [N, N], in 1/time: rows of sum 0.
    """

    matrices: Float[Array, "N k k"]
    forcings: Float[Array, "N k"]
    generator: Float[Array, "N N"]

    @property
    def size(self) -> int:
        """The number k of coordinates of z."""
        return self.matrices.shape[-1]

    @property
    def labels(self) -> int:
        """The number N of labels."""
        return self.matrices.shape[0]

    def stationary(self) -> Float[Array, " N"]:
        """π with πQ = 0 and Σπ = 1."""
        return stationary_law(self.generator)


def linear_fields(process: Any, t: Any = 0.0) -> LinearFields:
    """A_i, b_i and Q of a switching process on quadratics, frozen at a time.

    z is the position, or the position followed by the velocity. The field of each label
    is differentiated, so the losses may be any that are quadratic: `quadratic_sum`, a
    `finite_sum`, or a linear regression by `from_loss`, in batches or row by row. Other
    losses are recognised by their Jacobians, which are compared at 0 and at distances
    up to 1000 from it along one line: a loss that is quadratic there is taken for one.

    Args:
        process: a `StochasticGradientProcess` or `StochasticGradientMomentumProcess`;
            `LinearFields` are looked at and come back.
        t: the time at which schedules are read.

    Raises:
        BadInput: another process, losses that are not quadratic, fields whose shapes do
            not fit or whose Q is no generator.
    """
    if isinstance(process, LinearFields):
        return _require_fields(process)
    require_instance(
        process, Switching, "a switching process, or LinearFields, is asked for"
    )

    momentum = isinstance(process, StochasticGradientMomentumProcess)
    zero = jnp.zeros(process.objective.size * (2 if momentum else 1))
    fields = _linearised(process, t, zero)
    if not isinstance(process.objective, QuadraticSum) and not is_traced(fields):
        line = jnp.sin(1.0 + jnp.arange(zero.size, dtype=zero.dtype))
        for distance in _FAR:
            away = _linearised(process, t, distance * line)
            _require_same(np.asarray(fields.matrices), np.asarray(away.matrices))
    return fields


@eqx.filter_jit
def _linearised(process: Any, t: Any, z: Any) -> LinearFields:
    """The fields' values and slopes at z, all labels."""

    def field(z: Any, label: Any) -> Any:
        moved = process.vector_field(t, state_of(process, z, label))
        out = ravel_pytree(moved[:-1])[0]
        return out, out

    labels = jnp.arange(process.labels)
    slopes = jax.vmap(jax.jacfwd(field, has_aux=True), in_axes=(None, 0))
    matrices, forcings = slopes(z, labels)
    return LinearFields(matrices, forcings, process.index.generator_matrix(t))


def moment_operator(fields: LinearFields, degree: int) -> Float[Array, "s s"]:
    """The matrix that moves the tensors E[z^⊗p 1_i]: that of their homogeneous part.

    Entry (i, j) is δ_ij (A_i ⊗ 1 ⊗ ... + 1 ⊗ A_i ⊗ ... + ...) + Q_ji; s = N k^p.
    """
    k, n = fields.size, fields.labels
    eye = jnp.eye(k)

    def power(a):
        total = jnp.zeros((1, 1))
        for p in range(degree):
            before = jnp.eye(k**p)
            total = jnp.kron(total, eye) + jnp.kron(before, a)
        return total

    size = k**degree
    blocks = jax.vmap(power)(fields.matrices)
    spread = jnp.eye(n)[:, None, :, None] * blocks[:, :, None, :]
    within = spread.reshape(n * size, n * size)
    return within + jnp.kron(fields.generator.T, jnp.eye(size))


def moment_abscissa(process: Any, degree: Any = 2) -> Float[Array, ""]:
    r"""The growth rate of E|z|^p without forcing: the spectral abscissa of an operator.

    Moments of degree p settle, from any start, iff it is negative, and exist in the
    stationary law iff it is (of the labels that the chain does not leave for good). For
    p = 2, mean-square stability; each A_i may be stable and the abscissa positive. A 0,
    as of a direction without curvature, comes out as a rounding of it. May be traced
    (vmap over parameters, on the CPU).

    Reference: Costa, Fragoso and Todorov, "Continuous-Time Markov Jump Linear Systems",
    2013 (second moments).

    Args:
        process: a switching process with constant mass and rate, or `LinearFields`
            (`linear_fields(process, t)` freezes schedules at a time).
        degree: 1 (means) or an even whole number.

    Returns:
        In 1/time, shape [].

    Raises:
        BadInput: an odd degree above 1 (E|z|^p is then no linear function of a tensor),
            an operator of more than 4096 rows, what `linear_fields` refuses.
    """
    fields = frozen_fields(process)
    whole = isinstance(degree, int | np.integer) and not isinstance(degree, bool)
    if not whole or degree < 1 or (degree > 1 and degree % 2):
        raise BadInput(f"degree is 1 or an even whole number; got {degree!r}.")
    rows = fields.labels * fields.size**degree
    if rows > MOST_ENTRIES:
        raise BadInput(
            f"moments of degree {degree} of {fields.size} coordinates and "
            f"{fields.labels} labels take an operator of {rows} rows, of at most "
            f"{MOST_ENTRIES}."
        )
    return _abscissa(fields, int(degree))


@eqx.filter_jit
def moment_slack(fields: LinearFields, degree: int) -> Float[Array, ""]:
    """What an abscissa may miss 0 by: 100 roundings of the operator's largest row."""
    operator = moment_operator(fields, degree)
    largest = jnp.max(jnp.sum(jnp.abs(operator), axis=1))
    return 100 * jnp.finfo(operator.dtype).eps * largest


@eqx.filter_jit
def _abscissa(fields: LinearFields, degree: int) -> Float[Array, ""]:
    values = jnp.linalg.eigvals(moment_operator(fields, degree))
    return jnp.max(jnp.real(values))


def tail_index(process: Any) -> np.ndarray:
    r"""p* with P(|X| > x) ~ x^{-p*} in the stationary law, one a coordinate.

    E|X|^p is finite iff p < p*: the root p > 0 of s(p) = 0, where s(p) is the spectral
    abscissa of Q - p diag(κ_i)/α. For diagonal A_i alone, as without momentum.

    It is infinite, all moments finite, where no curvature is negative: the law then has
    bounded support if all are positive, an exponential tail if a loss without curvature
    has a slope. So it is where all fields vanish at one point: the law sits there.

    Args:
        process: as for `moment_abscissa`.

    Raises:
        BadInput: A_i that are not diagonal, or Σ π_i κ_i <= 0 in a coordinate (no
            stationary law).
    """
    fields = frozen_fields(process)
    q, weights = np.asarray(fields.generator), np.asarray(fields.stationary())
    rates, forcings = _contractions(fields), np.asarray(fields.forcings)
    kept = recurrent(q)  # a label that is left for good has no part in the law
    q, weights = q[np.ix_(kept, kept)], weights[kept]
    columns = zip(rates[kept].T, forcings[kept].T, strict=True)
    return np.array([_tail(q, weights, *column) for column in columns])


def growth_exponent(process: Any, p: Any, coordinate: Any = 0) -> float:
    """s(p): the growth rate of E|x|^p for diagonal A_i, for any real p >= 0 (1/time).

    Args:
        process: as for `tail_index`; A_i are read along one coordinate.
        p: the power.
        coordinate: which one, from 0.

    Raises:
        BadInput: a power that is negative or not finite, a coordinate that there is
            not, A_i that are not diagonal.
    """
    require_number("p", p)
    if p < 0:
        raise BadInput(f"p is a power >= 0; got {p}.")
    fields = frozen_fields(process)
    require_whole("coordinate", coordinate, 0, fields.size - 1)
    rates = _contractions(fields)[:, coordinate]
    return _exponent(np.asarray(fields.generator), rates, float(p))


def _contractions(fields: LinearFields) -> np.ndarray:
    """κ_i/α of diagonal fields, shape [N, k]."""
    rates = -np.asarray(fields.matrices)
    diagonal = np.einsum("ijj->ij", rates)
    if np.any(rates != np.eye(fields.size) * diagonal[:, None, :]):
        raise BadInput(
            "powers of one coordinate close for linear fields with diagonal matrices "
            "alone: without momentum, and with curvatures along the coordinates."
        )
    return diagonal


def _exponent(q: np.ndarray, rates: np.ndarray, p: float) -> float:
    return float(np.max(np.linalg.eigvals(q - p * np.diag(rates)).real))


def _tail(
    q: np.ndarray, weights: np.ndarray, rates: np.ndarray, forcings: np.ndarray
) -> float:
    """The root p > 0 of the convex function s, s(0) = 0 > s'(0)."""
    from scipy.optimize import brentq

    mean = float(weights @ rates)
    if mean <= 0:
        raise BadInput(
            f"the mean rate of contraction is {mean:.4g} per unit time, not > 0: the "
            "process has no stationary law."
        )
    if np.all(rates >= 0) or _one_rest(rates, forcings):
        return np.inf
    high = 1.0
    while _exponent(q, rates, high) <= 0:
        high *= 2
    low = high / 2
    while _exponent(q, rates, low) >= 0:
        low /= 2
    root: Any = brentq(lambda p: _exponent(q, rates, p), low, high, xtol=1e-14)
    return float(root)


def _one_rest(rates: np.ndarray, forcings: np.ndarray) -> bool:
    """Whether forcings - x rates vanish for one x, to rounding."""
    x = rates @ forcings / (rates @ rates)
    slack = 8 * rates.size * np.finfo(rates.dtype).eps
    size = np.abs(forcings) + np.abs(x * rates)
    return bool(np.all(np.abs(forcings - x * rates) <= slack * np.max(size)))


def frozen_fields(process: Any) -> LinearFields:
    """The fields of a process whose mass and rate do not depend on time."""
    if isinstance(process, Switching) and time_dependent(process):
        raise BadInput(
            "a mass or rate that is a Schedule leaves no stationary law: take "
            "linear_fields(process, t) for the system frozen at time t, or "
            "transient_switched_moments."
        )
    return linear_fields(process)


def time_dependent(process: Switching) -> bool:
    """Whether its mass, or its index's clock, is a `flows.Schedule`."""
    index: Any = process.index
    pairs = ((index, "rate"), (index, "speed"), (process, "mass"))
    return any(isinstance(getattr(o, name, None), Schedule) for o, name in pairs)


def _require_same(here: np.ndarray, there: np.ndarray) -> None:
    """The Jacobian at two points: one for quadratics."""
    slack = 1e3 * np.finfo(here.dtype).eps * (1 + np.max(np.abs(here)))
    if not np.max(np.abs(here - there)) <= slack:
        raise BadInput(
            "the moments close for quadratic losses alone, and the curvature of a loss "
            f"differs by {np.max(np.abs(here - there)):.2g} between two points."
        )


def _require_fields(fields: LinearFields) -> LinearFields:
    parts = [jnp.asarray(a, dtype=float) for a in fields]
    n, k = parts[1].shape if parts[1].ndim == 2 else (-1, -1)
    if parts[0].shape != (n, k, k) or parts[2].shape != (n, n):
        raise BadInput(
            "linear fields have shapes [N, k, k], [N, k] and [N, N]; got "
            f"{', '.join(str(list(a.shape)) for a in parts)}."
        )
    if not is_traced(parts):
        require_generator(np.asarray(parts[2]))
    return LinearFields(*parts)
