"""Mean and covariance of a diffusion that is linear in what is random."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float
from numpy.typing import ArrayLike

from flows.door import as_floats, require_instance, require_number
from flows.dynamics import State
from flows.errors import BadInput, SolveFailed, require_float64
from flows.ravel import require_finite
from sde.diffusion import Diffusion


def gaussian_moments(
    process: Diffusion,
    y0: State,
    times: ArrayLike,
    *,
    t0: float = 0.0,
    tolerance: float = 1e-12,
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n n"]]:
    r"""Mean μ and covariance C along a diffusion started in one state.

        μ' = b(t, μ),   C' = A C + C Aᵀ + σσᵀ(t, μ),   A = ∂b/∂y (t, μ).

    Exact where the drift is affine in the random coordinates and the noise free of
    them; the other coordinates may be deterministic and enter in any way (RMSProp and
    Adam on a quadratic, with the second moment deterministic). Elsewhere it is the
    linear-noise approximation.

    Reference: Kalman and Bucy, Journal of Basic Engineering 83, 1961 (the equation).

    Args:
        process: the diffusion.
        y0: the start, known exactly.
        times: increasing, not before t0, shape [k] (the model's unit).
        t0: time of the start.
        tolerance: relative tolerance of the integration (DOP853).

    Returns:
        Means, shape [k, n], and covariances, [k, n, n], in `ravel_pytree`'s order.

    Raises:
        BadInput: times that do not increase from t0.
        SolveFailed: the integration stopped early.
        PrecisionError: float64 is off.
    """
    from scipy.integrate import solve_ivp

    require_instance(process, Diffusion, "gaussian_moments takes a diffusion")
    require_number("t0", t0)
    require_float64("the moments of a diffusion")
    require_finite(y0, "the start y0")
    times = as_floats("times", times)
    if times.ndim != 1 or not times.size or np.any(np.diff([t0, *times]) < 0):
        raise BadInput(f"times increase from t0 = {t0}; got {times}.")
    flat = ravel_pytree(y0)[0]
    n = flat.size

    def field(t, z):
        rate, slope, spread = _linearised(process, y0, jnp.asarray(t, z.dtype), z[:n])
        c = z[n:].reshape(n, n)
        growth = np.asarray(slope) @ c
        return np.concatenate([rate, np.ravel(growth + growth.T + np.asarray(spread))])

    start = np.concatenate([flat, np.zeros(n * n)])
    if times[-1] == t0:
        z = np.repeat(start[:, None], times.size, axis=1)
    else:
        found = solve_ivp(
            field,
            (t0, times[-1]),
            start,
            method="DOP853",
            t_eval=times,
            rtol=tolerance,
            atol=tolerance * (1 + np.max(np.abs(flat))),
        )
        if not found.success:
            raise SolveFailed(f"the moments of the diffusion: {found.message}")
        z = found.y
    return z[:n].T, z[n:].T.reshape(-1, n, n)


@eqx.filter_jit
def _linearised(process, y0, t, z):
    """b, ∂b/∂y and σσᵀ at (t, z)."""
    unravel = ravel_pytree(y0)[1]

    def drift(z):
        return ravel_pytree(process.vector_field(t, unravel(z)))[0]

    def column(e):
        return ravel_pytree(process.noise(t, unravel(z), e))[0]

    columns = jax.vmap(column)(jnp.eye(process.brownian(unravel(z)), dtype=z.dtype))
    return drift(z), jax.jacfwd(drift)(z), columns.T @ columns
