"""Weak orders on the circle: a chain's operator against a diffusion's semigroup.

On the circle every function is a trigonometric polynomial to rounding, there is no
boundary, and e^{TL} of the generator L is one matrix exponential; so the weak error
E φ(y_k) - E φ(Y(kh)) of a scheme is known to rounding, without sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from discretize.chain_laws.door import require_function
from discretize.weak_operator import FiniteLaw, Grid, expectation_operator
from flows import BadInput, Dynamics, Flow, Scheme
from flows.door import as_floats, require_instance, require_number, require_whole
from sde import Diffusion


class CircleGrid(Grid):
    """Equispaced nodes on [0, 2π) with trigonometric interpolation (d = 1).

    Attributes:
        nodes: their number m, odd, so that derivatives are exact on all of its
            trigonometric polynomials.

    Raises:
        BadInput: an even number of nodes, or fewer than 3.
    """

    nodes: int = eqx.field(static=True, default=65)

    def __check_init__(self):
        require_whole("nodes", self.nodes, 3)
        if self.nodes % 2 == 0:
            raise BadInput(f"nodes is an odd number; got {self.nodes}.")

    @property
    def points(self) -> Float[np.ndarray, "m d"]:
        """2πj/m."""
        return 2 * np.pi * np.arange(self.nodes)[:, None] / self.nodes

    def interpolation(
        self, points: Float[np.ndarray, "p d"]
    ) -> Float[np.ndarray, "p m"]:
        """(1/m) Σ_k e^{ik(x - x_j)}, summed as cosines."""
        gap = np.asarray(points)[:, :1] - self.points[:, 0]
        k = np.arange(1, (self.nodes - 1) // 2 + 1)
        return (1 + 2 * np.cos(gap[..., None] * k).sum(axis=-1)) / self.nodes

    def derivative(self, order: int = 1) -> Float[np.ndarray, "m m"]:
        """The matrix of the derivative of this order."""
        k = np.fft.fftfreq(self.nodes, 1 / self.nodes)
        modes = np.fft.fft(np.eye(self.nodes), axis=0)
        return np.real(np.fft.ifft((1j * k[:, None]) ** order * modes, axis=0))


def circle_generator(grid: CircleGrid, process: Flow) -> Float[np.ndarray, "m m"]:
    """L φ = b φ' + ½ σσᵀ φ'' as a matrix on a circle's nodes.

    Args:
        grid: the circle.
        process: a flow or a diffusion on states of shape [1], of period 2π and
            without explicit time.

    Raises:
        BadInput: no flow or grid, or coefficients that are not of period 2π.
    """
    require_instance(grid, CircleGrid, "grid is a circle's, as CircleGrid(65)")
    require_instance(process, Flow, "a generator is that of a flow or a diffusion")
    drift, variance = coefficients(process, grid.points[:, 0])
    turned = coefficients(process, grid.points[:, 0] + 2 * np.pi)
    scale = 1 + np.max(np.abs([drift, variance]))
    if np.max(np.abs(np.array(turned) - [drift, variance])) > 1e-8 * scale:
        raise BadInput(
            f"{type(process).__name__} is not periodic: on the circle drift and noise "
            "have period 2π."
        )
    return drift[:, None] * grid.derivative(1) + 0.5 * (
        variance[:, None] * grid.derivative(2)
    )


def coefficients(
    process: Flow, points: Float[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Drift b and squared noise σσᵀ of a one-dimensional process, shape [p] each."""
    drift, variance = _coefficients(process, jnp.asarray(points)[:, None])
    return np.asarray(drift), np.asarray(variance)


@eqx.filter_jit
def _coefficients(process, points):
    t = jnp.zeros((), points.dtype)

    def one(y):
        b = process.vector_field(t, y)[0]
        if not isinstance(process, Diffusion):
            return b, jnp.zeros_like(b)
        basis = jnp.eye(process.brownian(y), dtype=y.dtype)
        columns = jax.vmap(lambda e: process.noise(t, y, e))(basis)
        return b, jnp.sum(columns**2)

    return jax.vmap(one)(points)


def circle_semigroup(
    grid: CircleGrid, process: Flow, t1: Any
) -> Float[np.ndarray, "m m"]:
    """e^{t1 L}: (e^{t1 L} φ)(x) = E φ(X(t1)) from X(0) = x."""
    from scipy.linalg import expm

    require_number("t1", t1)
    return expm(float(t1) * circle_generator(grid, process))


def weak_errors(
    scheme: Scheme,
    dynamics: Flow,
    process: Callable[[Any], Flow],
    phi: Callable[[Any], Any],
    x0: Any,
    *,
    t1: Any,
    hs: ArrayLike,
    law: FiniteLaw,
    grid: CircleGrid | None = None,
) -> Float[np.ndarray, "levels ..."]:
    """E φ(y_{t1/h}) - E φ(Y(t1)) at each step size, known to rounding.

    Args:
        scheme: a scheme whose draws take the values of `law`.
        dynamics: what the scheme steps, on states of shape [1].
        process: h -> the flow or diffusion that it is compared with.
        phi: angles of shape [p] -> values of shape [p] or [p, functions], in numpy.
        x0: the start, an angle.
        t1: the time of comparison, a multiple of every step.
        hs: step sizes, shape [levels].
        law: of each entry of the draws.
        grid: the circle; 65 nodes where None.

    Raises:
        BadInput: an argument of another kind, a step that does not divide the time,
            or coefficients that are not periodic.
    """
    grid = CircleGrid() if grid is None else grid
    require_instance(grid, CircleGrid, "grid is a circle's, as CircleGrid(65)")
    require_instance(scheme, Scheme, "a weak error is that of a scheme, as Euler()")
    require_instance(dynamics, Dynamics, "a scheme steps a dynamics")
    require_instance(law, FiniteLaw, "law is that of the draws, as normal_law(3)")
    require_function("process, h -> flow or diffusion,", process)
    require_function("phi, of an array of angles,", phi)
    require_number("x0", x0)
    require_number("t1", t1, positive=True)
    hs = as_floats("hs", hs)
    if hs.ndim != 1 or not np.all(np.isfinite(hs) & (hs > 0)):
        raise BadInput(f"hs holds steps > 0, shape [levels]; got {hs}.")
    values = as_floats("phi(angles)", phi(grid.points[:, 0]))
    start = grid.interpolation(np.array([[float(x0)]]))[0]
    y, errors = jnp.full(1, float(x0)), []
    for h in hs:
        steps = round(float(t1) / h)
        if steps < 1 or abs(steps * h - t1) > 1e-9 * t1:
            raise BadInput(f"the step {h} does not divide the time {t1}.")
        chain = expectation_operator(grid, scheme, dynamics, y, h, law)
        moved = np.linalg.matrix_power(chain, steps)
        exact = circle_semigroup(grid, process(h), t1)
        errors.append(start @ ((moved - exact) @ values))
    return np.array(errors)


def leading_weak_error(
    limit: Float[np.ndarray, "m m"], defect: Float[np.ndarray, "m m"], t1: Any
) -> Float[np.ndarray, "m m"]:
    r"""The operator C of the weak error h^p C + O(h^{p+1}) at time t1.

    Where one step is P = e^{hL} + h^{p+1} R + ..., telescoping gives

        P^{t1/h} - e^{t1 L} = h^p ∫_0^{t1} e^{(t1-s)L₀} R e^{sL₀} ds + O(h^{p+1}),

    with L₀ the generator at h = 0: the corner of one exponential of a block matrix.

    Reference: Talay and Tubaro, Stoch. Anal. Appl. 8, 1990 (the expansion); Van Loan,
    IEEE Trans. Automatic Control 23, 1978 (the integral).

    Args:
        limit: L₀, shape [m, m].
        defect: R, shape [m, m].
        t1: the time.
    """
    from scipy.linalg import expm

    m = len(limit)
    block = np.block([[limit, defect], [np.zeros_like(limit), limit]])
    return expm(float(t1) * block)[:m, m:]
