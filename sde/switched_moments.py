"""Means and second moments of switched linear systems, label by label."""

from __future__ import annotations

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from flows.door import as_floats, require_instance, require_number, require_whole
from flows.errors import BadInput, SolveFailed
from flows.types import is_traced
from sde._checks import require_switching_state
from sde.switched_linear import (
    MOST_ENTRIES,
    LinearFields,
    frozen_fields,
    linear_fields,
    moment_abscissa,
    moment_operator,
    moment_slack,
    time_dependent,
)
from sde.switching import Switching


class SwitchedMoments(NamedTuple):
    """Moments of (z, I), split by the label; a leading axis of times where saved.

    z is the position, or the position followed by the velocity (k coordinates).

    Attributes:
        weights: P(I = i), shape [..., N].
        means: E[z 1_i], shape [..., N, k].
        seconds: E[z zᵀ 1_i], shape [..., N, k, k]; None where means alone were asked.
    """

    weights: Any
    means: Any
    seconds: Any

    def __repr__(self) -> str:
        *batch, labels, size = np.shape(self.means)
        at = f" at {batch[-1]} times" if batch else ""
        known = "means" if self.seconds is None else "means and second moments"
        return f"SwitchedMoments({known} of {size} coordinates, {labels} labels{at})"

    @property
    def mean(self) -> Float[Array, "... k"]:
        """E z."""
        return jnp.sum(self.means, axis=-2)

    @property
    def second(self) -> Float[Array, "... k k"]:
        """E z zᵀ.

        Raises:
            BadInput: means alone were asked.
        """
        if self.seconds is None:
            raise BadInput(
                "these are means alone: ask for the second moments with degree=2."
            )
        return jnp.sum(self.seconds, axis=-3)

    @property
    def covariance(self) -> Float[Array, "... k k"]:
        """Cov z."""
        mean = self.mean
        return self.second - mean[..., :, None] * mean[..., None, :]


def stationary_switched_moments(process: Any, degree: Any = 2) -> SwitchedMoments:
    r"""The moments of the stationary law, from two linear solves.

    With μ_i = E[z 1_i], P_i = E[z zᵀ 1_i] and π the law of the label,

        A_i μ_i + b_i π_i + Σ_j Q_ji μ_j = 0,
        A_i P_i + P_i A_iᵀ + b_i μ_iᵀ + μ_i b_iᵀ + Σ_j Q_ji P_j = 0.

    Differentiable in the parameters. Where the moments do not exist a traced call
    gives NaN.

    Args:
        process: a switching process on quadratics with constant mass and rate, or
            `LinearFields`.
        degree: 2, or 1 for the means alone.

    Raises:
        BadInput: moments that do not exist (with the spectral abscissa; one that is 0
            to rounding counts as 0), and what `linear_fields` refuses.
    """
    require_whole("degree", degree, 1, 2)
    fields = frozen_fields(process)
    abscissa = jax.lax.stop_gradient(moment_abscissa(fields, degree))
    exists = abscissa < -jax.lax.stop_gradient(moment_slack(fields, int(degree)))
    if not is_traced(exists) and not exists:
        raise BadInput(
            f"there are no stationary moments of degree {degree}: their equations are "
            f"not stable (spectral abscissa {float(abscissa):.4g} per unit time, not "
            "< 0 beyond rounding)."
        )
    return _settled(fields, exists, int(degree))


def transient_switched_moments(
    process: Any,
    y0: Any,
    times: Any,
    *,
    weights: Any = None,
    solver: Any = None,
    tolerance: Any = 1e-10,
) -> SwitchedMoments:
    """The moments at given times, from a point start.

    By the matrix exponential where mass and rate are constant; by an adaptive solve of
    the moment equations where one of them is a `flows.Schedule`. They are finite at
    every time, also where no stationary moments exist.

    Args:
        process: a switching process on quadratics, or `LinearFields`.
        y0: the start at time 0: the process's state, one for all paths, whose label is
            that of all paths; for `LinearFields`, z of shape [k].
        times: at least one time >= 0, increasing, shape [times].
        weights: the law of the label at the start, shape [N], in place of y0's label;
            "stationary" is the index's stationary law (at time 0).
        solver: for schedules (default `diffrax.Tsit5()`); `diffrax.Kvaerno5()` where a
            mass goes to 0 or a rate grows far beyond the other rates.
        tolerance: relative, of that solve; a thousandth of it is the absolute one.

    Returns:
        The moments with a leading axis [times].

    Raises:
        BadInput: a start or times that do not fit, no diffrax solver, a tolerance that
            is not positive, more than 4096 moments for the matrix exponential, and what
            `linear_fields` refuses.
        SolveFailed: the solve did not reach the last time.
    """
    fields = linear_fields(process)
    if solver is not None:
        kind = diffrax.AbstractSolver
        require_instance(solver, kind, "solver is diffrax's, as diffrax.Tsit5()")
    require_number("tolerance", tolerance, positive=True)
    times = _require_times(times)
    start = _start(process, fields, y0, weights)
    scheduled = isinstance(process, Switching) and time_dependent(process)
    if scheduled:
        pieces = solver or diffrax.Tsit5(), tolerance
        return _integrate(process, start, jnp.asarray(times), *pieces)
    rows = sum(a.size for a in start)
    if rows > MOST_ENTRIES:
        raise BadInput(
            f"the moments of {fields.size} coordinates and {fields.labels} labels are "
            f"{rows} numbers, too many for a matrix exponential: at most "
            f"{MOST_ENTRIES}."
        )
    return _exponential(fields, start, jnp.asarray(times))


def moment_field(fields: LinearFields, m: SwitchedMoments) -> SwitchedMoments:
    """d/dt of the moments: the linear system that the stationary ones solve."""
    a, b, q = fields
    weights, means, seconds = m

    def mixed(x):
        return jnp.tensordot(q.T, x, axes=1)

    moved = jnp.einsum("ijk,ikl->ijl", a, seconds)
    return SwitchedMoments(
        mixed(weights),
        jnp.einsum("ijk,ik->ij", a, means) + b * weights[:, None] + mixed(means),
        moved + jnp.swapaxes(moved, 1, 2) + _symmetric(b, means) + mixed(seconds),
    )


@eqx.filter_jit
def _settled(fields: LinearFields, exists: Any, degree: int) -> SwitchedMoments:
    weights, b = fields.stationary(), fields.forcings
    means = _solve(fields, 1, b * weights[:, None])
    seconds = None
    if degree == 2:
        seconds = _solve(fields, 2, _symmetric(b, means))
    found = SwitchedMoments(weights, means, seconds)
    return jax.tree.map(lambda a: jnp.where(exists, a, jnp.nan), found)


def _symmetric(b: Any, means: Any) -> Any:
    outer = b[:, :, None] * means[:, None, :]
    return outer + jnp.swapaxes(outer, 1, 2)


def _solve(fields: LinearFields, degree: int, forcing: Any) -> Any:
    operator = moment_operator(fields, degree)
    return jnp.linalg.solve(operator, -jnp.ravel(forcing)).reshape(forcing.shape)


@eqx.filter_jit
def _exponential(fields: LinearFields, start: SwitchedMoments, times: Any) -> Any:
    """exp(t L) of the moments' own linear system, L found by differentiating it."""
    flat, unravel = ravel_pytree(start)

    def move(m):
        return ravel_pytree(moment_field(fields, unravel(m)))[0]

    system = jax.jacfwd(move)(flat)
    rows = jax.vmap(lambda t: jax.scipy.linalg.expm(t * system) @ flat)(times)
    return jax.vmap(unravel)(rows)


@eqx.filter_jit
def _solved(process: Any, start: Any, times: Any, solver: Any, tolerance: Any) -> Any:
    def rhs(t, m, args):
        return moment_field(linear_fields(args, t), m)

    control = diffrax.PIDController(rtol=tolerance, atol=1e-3 * tolerance)
    return diffrax.diffeqsolve(
        diffrax.ODETerm(rhs),
        solver,
        jnp.zeros_like(times[0]),
        times[-1],
        None,
        start,
        process,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=control,
        max_steps=1_000_000,
        throw=False,
    )


def _integrate(process, start, times, solver, tolerance) -> SwitchedMoments:
    found = _solved(process, start, times, solver, jnp.asarray(tolerance, times.dtype))
    if not is_traced(found.ts) and found.result != diffrax.RESULTS.successful:
        raise SolveFailed(
            "the moment equations were not solved to the last time; for a small mass "
            "or a large rate pass solver=diffrax.Kvaerno5()."
        )
    return found.ys


def _require_times(times: Any) -> Any:
    times = as_floats("times", times)
    good = times.ndim == 1 and times.size and times[0] >= 0
    if not good or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
        raise BadInput(f"times are increasing and >= 0, shape [times]; got {times}.")
    return times


def _start(process: Any, fields: LinearFields, y0: Any, weights: Any) -> Any:
    if isinstance(process, Switching):
        require_switching_state(process, y0, drawn=weights is not None)
        z, label = ravel_pytree(y0[:-1])[0], y0[-1]
    else:
        z, label = jnp.asarray(as_floats("y0", y0)), None
        if weights is None:
            raise BadInput('LinearFields take weights=, as weights="stationary".')
    if z.shape != (fields.size,) or np.ndim(label if label is not None else 0):
        raise BadInput(
            f"one y0 serves all paths: {fields.size} numbers and one label; got {y0}."
        )
    if not is_traced(z) and not jnp.all(jnp.isfinite(z)):
        raise BadInput(f"y0 holds finite numbers; got {y0}.")
    z = z.astype(float)
    p = _weights(fields, label, weights)
    means = p[:, None] * z[None]
    return SwitchedMoments(p, means, means[:, :, None] * z[None, None])


def _weights(fields: LinearFields, label: Any, weights: Any) -> Any:
    n = fields.labels
    if weights is None:
        return (jnp.arange(n) == label).astype(float)
    if isinstance(weights, str):
        if weights != "stationary":
            raise BadInput(f'weights are numbers or "stationary"; got {weights!r}.')
        return fields.stationary()
    p = as_floats("weights", weights)
    if p.shape != (n,) or np.any(p < 0) or abs(np.sum(p) - 1) > 1e-9:
        raise BadInput(f"weights are {n} probabilities of sum 1; got {p}.")
    return jnp.asarray(p)
