"""Linear chains that switch: the stationary mean and covariance, label by label."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Int

from discretize.schemes import GridSwitch
from flows import BadInput, require_float64
from flows.door import require_instance, require_number
from sde import Switching
from sde.frozen import frozen
from sde.switching import StochasticGradientMomentumProcess, state_of

_PROBES = 3
_TOLERANCE = 1e-10
_LATER = (1.0, 2**0.5)  # times at which a step is compared with that at time 0


class SwitchedLaw(NamedTuple):
    """First and second moments of a switched linear chain in its stationary state.

    The state is (x, v) as one vector of length n, or x where there is no momentum.

    Attributes:
        mean: shape [n].
        covariance: shape [n, n].
        label_means: E[z | label i], the label that the next step takes, shape [N, n].
        radius: spectral radius of the map of second moments, below 1.
    """

    mean: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]
    label_means: Float[np.ndarray, "N n"]
    radius: float


def switched_law(scheme: GridSwitch, process: Switching, h: Any) -> SwitchedLaw:
    r"""The stationary moments of a switching process on a grid, with linear gradients.

    A step is z ← A_i z + b_i with the label i in force, and then i -> j with the
    chance P_ij. With μ_i = E[z 1_i], S_i = E[z zᵀ 1_i] and π the label's law,

        μ_j = Σ_i P_ij (A_i μ_i + π_i b_i),
        S_j = Σ_i P_ij E[(A_i z + b_i)(A_i z + b_i)ᵀ 1_i],

    one linear system of N n² unknowns: no sampling error. Curvatures may differ, and
    then the mean is not the minimiser.

    Args:
        scheme: a `GridSwitch`.
        process: a switching process whose losses are quadratics.
        h: step size (time), positive.

    Returns:
        The `SwitchedLaw`.

    Raises:
        BadInput: a step that is not affine; a step or an index's rate that depends on
            time; second moments that grow without bound (spectral radius 1 or more).
        PrecisionError: jax computes in float32.
    """
    require_float64("the law of a switched chain")
    require_instance(scheme, GridSwitch, "switched_law takes a GridSwitch")
    require_instance(process, Switching, "switched_law takes a switching process")
    require_number("h", h, positive=True)
    matrices, shifts = _affine_steps(scheme, process, jnp.asarray(h, float))
    chances, weights = _label_chain(scheme, process, jnp.asarray(h, float))
    labels, n = shifts.shape
    first = np.einsum("ij,iab->jaib", chances, matrices).reshape(labels * n, -1)
    pushed = np.einsum("ij,i,ia->ja", chances, weights, shifts).ravel()
    squares = np.einsum("iac,ibd->iabcd", matrices, matrices)
    second = np.einsum("ij,iabcd->jabicd", chances, squares).reshape(labels * n * n, -1)
    radius = float(np.max(np.abs(np.linalg.eigvals(second))))
    if not radius < 1:
        raise BadInput(
            f"the second moments have no stationary value at h = {float(h):.6g}: their "
            f"map has the spectral radius {radius:.6g}, and must be below 1."
        )
    means = np.linalg.solve(np.eye(len(first)) - first, pushed).reshape(labels, n)
    cross = np.einsum("iac,ic,ib->iab", matrices, means, shifts)
    source = cross + cross.transpose(0, 2, 1)
    source = source + np.einsum("i,ia,ib->iab", weights, shifts, shifts)
    source = np.einsum("ij,iab->jab", chances, source).ravel()
    moments = np.linalg.solve(np.eye(len(second)) - second, source)
    mean = means.sum(axis=0)
    covariance = moments.reshape(labels, n, n).sum(axis=0) - np.outer(mean, mean)
    return SwitchedLaw(mean, covariance, means / weights[:, None], radius)


def _affine_steps(scheme: GridSwitch, process: Any, h: Any) -> tuple[Any, Any]:
    """(A_i, b_i) of each label, read off values at 0 and at the unit vectors."""
    size = process.objective.size
    n = 2 * size if isinstance(process, StochasticGradientMomentumProcess) else size
    probes = np.random.default_rng(0).uniform(-2, 2, (_PROBES, n))
    inputs = np.concatenate([np.zeros((1, n)), np.eye(n), probes, probes])
    times = np.repeat([0.0, _LATER[0]], [n + 1 + _PROBES, _PROBES])
    images = np.asarray(
        _images(scheme, process, h, jnp.asarray(inputs), jnp.asarray(times))
    )
    shifts = images[:, 0]
    columns = images[:, 1 : n + 1] - shifts[:, None]
    moved, later = images[:, n + 1 : -_PROBES], images[:, -_PROBES:]
    expected = probes @ columns + shifts[:, None]
    scale = _TOLERANCE * (np.abs(probes) @ np.abs(columns) + 1)
    if not np.all(np.abs(moved - expected) <= scale):
        raise BadInput(
            "the step is not affine in the state: its losses are no quadratics, as "
            "those of flows.quadratic_sum."
        )
    if not np.all(np.abs(later - moved) <= scale):
        raise BadInput("the step depends on time (a mass that changes); it must not.")
    return columns.transpose(0, 2, 1), shifts


@eqx.filter_jit
def _images(scheme, process, h, inputs, times):
    """States after a step from given ones, shape [labels, inputs, n]."""

    def step(label: Int[jax.Array, ""], z, t):
        y = state_of(process, z, label)
        return ravel_pytree(frozen(process, scheme.moved(process, t, y, h))[1])[0]

    each = jax.vmap(step, (None, 0, 0))
    return jax.vmap(each, (0, None, None))(jnp.arange(process.labels), inputs, times)


@eqx.filter_jit
def _chain(scheme, process, h, times):
    index, labels = process.index, jnp.arange(process.labels)
    if scheme.labels == "fresh":
        shape = (times.size, index.labels, index.labels)
        return jnp.broadcast_to(index.stationary(), shape), index.stationary()
    each = jax.vmap(index.transition, (None, None, 0))
    return jax.vmap(each, (0, None, None))(times, h, labels), index.stationary()


def _label_chain(scheme: GridSwitch, process: Any, h: Any) -> tuple[Any, Any]:
    """P of the labels a step, shape [N, N], and π."""
    times = jnp.asarray((0.0, *_LATER))
    rows, weights = (np.asarray(a) for a in _chain(scheme, process, h, times))
    if not np.all(np.abs(rows - rows[0]) <= _TOLERANCE):
        raise BadInput(
            "the chances of the next label depend on time (an index whose rate is a "
            "Schedule): there is no stationary law. Fresh labels have one."
        )
    return rows[0], weights
