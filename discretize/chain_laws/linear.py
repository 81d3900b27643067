"""Linear chains: the stationary law of a step that is affine in state and noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from flows import BadInput, Draw, Dynamics, Scheme, require_float64
from flows.door import as_floats, require_instance, require_number, require_state
from sde import LangevinState, UnderdampedLangevin
from sde.starts import Starts, require_step

_PROBES = 3
_TOLERANCE = 1e-10


class LinearStep(NamedTuple):
    """z' = A z + B ξ + b with ξ standard normal; z is the state as one vector.

    A NamedTuple state is laid out field after field: position first, then velocity.

    Attributes:
        matrix: A, shape [n, n].
        noise: B, shape [n, m].
        shift: b, shape [n].
        fields: (name, start, stop) of the state's fields within z.
    """

    matrix: Float[np.ndarray, "n n"]
    noise: Float[np.ndarray, "n m"]
    shift: Float[np.ndarray, " n"]
    fields: tuple[tuple[str, int, int], ...]

    @property
    def radius(self) -> float:
        """Spectral radius of A; the chain has a stationary law where it is below 1."""
        return float(np.max(np.abs(np.linalg.eigvals(self.matrix))))


class LinearLaw(NamedTuple):
    """The Gaussian stationary law N(mean, covariance) of a linear chain.

    Attributes:
        mean: (I - A)⁻¹ b, shape [n].
        covariance: C = A C Aᵀ + B Bᵀ, shape [n, n].
        step: the chain's step.
    """

    mean: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]
    step: LinearStep

    @property
    def radius(self) -> float:
        """Spectral radius of the step: correlations decay like its powers."""
        return self.step.radius

    @property
    def condition(self) -> float:
        """Condition number of I - A ⊗ A, by which rounding in C is multiplied.

        Costs n⁶ operations.
        """
        a = self.step.matrix
        return float(np.linalg.cond(np.eye(a.size) - np.kron(a, a)))

    def block(self, first: str, second: str) -> Float[np.ndarray, "p q"]:
        """Covariance of two fields of the state, such as "position" and "velocity".

        Raises:
            BadInput: a field that the state does not have.
        """
        table = {name: slice(i, j) for name, i, j in self.step.fields}
        for name in (first, second):
            if name not in table:
                raise BadInput(f"no field {name!r}; there are: {', '.join(table)}.")
        return self.covariance[table[first], table[second]]


def linear_step(
    scheme: Scheme, dynamics: Dynamics, h: Any, y: Any = None
) -> LinearStep:
    """The matrices of a scheme's step, where it is affine in the state and the noise.

    Args:
        scheme: any scheme that draws standard normals (or nothing) and keeps no memory.
        dynamics: a model with a linear field and constant noise, as Langevin dynamics
            of a quadratic objective.
        h: step size (time), positive.
        y: an example state; needed where the dynamics has no objective that says how
            many coordinates there are.

    Returns:
        The `LinearStep`; unstable ones too.

    Raises:
        BadInput: a step that is not affine, depends on time, keeps a memory or draws
            something else than normals; no state to go by, or one that the dynamics
            does not take.
        PrecisionError: jax computes in float32.
    """
    require_float64("the law of a linear chain")
    require_instance(scheme, Scheme, "the law of a chain takes a scheme, as Euler()")
    require_instance(dynamics, Dynamics, "a chain's law takes a dynamics")
    require_number("h", h, positive=True)
    y = _example(dynamics, y)
    name = f"{type(scheme).__name__} on {type(dynamics).__name__}"
    noise = _zero_noise(scheme, dynamics, y, name)
    n, size = _size(y), _size(y) + _size(noise)
    # an affine map is read off its values at 0 and at the unit vectors
    units = np.concatenate([np.zeros((1, size)), np.eye(size)])
    probes = np.random.default_rng(0).uniform(-2, 2, (_PROBES, size))
    inputs = jnp.asarray(np.concatenate([units, probes, probes]))
    times = jnp.asarray(np.repeat([0.0, 1.0], [size + 1 + _PROBES, _PROBES]))
    h = jnp.asarray(h, float)
    images = np.asarray(_images(scheme, dynamics, h, y, noise, inputs, times))
    shift, columns = images[0], images[1 : size + 1] - images[0]
    moved, later = images[size + 1 : -_PROBES], images[-_PROBES:]
    gap = np.abs(moved - probes @ columns - shift)
    scale = _TOLERANCE * (np.abs(probes) @ np.abs(columns) + np.abs(shift) + 1e-300)
    if not np.all(gap <= scale):
        raise BadInput(
            f"{name}: the step is not affine in the state and its normals, so its "
            "stationary law is no Gaussian. Accepted are linear models, as Langevin "
            "dynamics of quadratic(...)."
        )
    if not np.all(np.abs(later - moved) <= scale):
        raise BadInput(f"{name}: the step depends on time; the chain must not.")
    return LinearStep(columns[:n].T, columns[n:].T, shift, _fields(y))


def stationary_covariance(
    scheme: Scheme, dynamics: Dynamics, h: Any, y: Any = None
) -> LinearLaw:
    """The stationary law of a linear chain, by the discrete Lyapunov equation.

    C = A C Aᵀ + B Bᵀ is solved directly (SciPy), so there is no sampling error: the
    bias of a sampler on a Gaussian to rounding.

    Args:
        scheme: as in `linear_step`.
        dynamics: as in `linear_step`.
        h: step size (time), positive.
        y: an example state, as in `linear_step`.

    Returns:
        The `LinearLaw`, with the spectral radius of the step.

    Raises:
        BadInput: no stationary law, since the spectral radius is 1 or more; and as in
            `linear_step`.
        PrecisionError: jax computes in float32.
    """
    from scipy.linalg import solve_discrete_lyapunov

    step = linear_step(scheme, dynamics, h, y)
    if not step.radius < 1:
        raise BadInput(
            f"{type(scheme).__name__} on {type(dynamics).__name__} has no stationary "
            f"law at h = {float(h):.6g}: the spectral radius of its step is "
            f"{step.radius:.6g}, and must be below 1."
        )
    mean = np.linalg.solve(np.eye(len(step.shift)) - step.matrix, step.shift)
    covariance = solve_discrete_lyapunov(step.matrix, step.noise @ step.noise.T)
    return LinearLaw(mean, (covariance + covariance.T) / 2, step)


def _example(dynamics: Any, y: Any) -> Any:
    """A state of zeros."""
    if y is not None:
        y = jax.tree.map(lambda a: np.zeros(np.shape(as_floats("y", a))), y)
        start = Starts.read(y, 1)
        if not start.single or isinstance(y, dict | list):
            raise BadInput(f"y is a vector, or a NamedTuple of vectors; got {y!r:.60}.")
        require_state(dynamics, start.one())
        return start.one()
    size = getattr(getattr(dynamics, "objective", None), "size", None)
    if size is None:
        raise BadInput(
            f"{type(dynamics).__name__} does not say how many coordinates it has: "
            "give an example state y."
        )
    x = jnp.zeros(size)
    return LangevinState(x, x) if isinstance(dynamics, UnderdampedLangevin) else x


def _zero_noise(scheme: Any, dynamics: Any, y: Any, name: str) -> Any:
    draws = require_step(dynamics, scheme, y)
    if jax.tree.leaves(scheme.init(dynamics, jnp.zeros(()), y)):
        raise BadInput(f"{name} keeps a memory: its states alone are no Markov chain.")
    laws = {d.law for d in jax.tree.leaves(draws, is_leaf=_is_draw)}
    if laws - {"normal"}:
        raise BadInput(f"{name} draws {sorted(laws)}; accepted are standard normals.")
    return jax.tree.map(lambda d: jnp.zeros(d.shape), draws, is_leaf=_is_draw)


def _is_draw(leaf: Any) -> bool:
    return isinstance(leaf, Draw)


def _fields(y: Any) -> tuple[tuple[str, int, int], ...]:
    names = getattr(y, "_fields", ("position",))
    leaves = y if hasattr(y, "_fields") else (y,)
    ends = np.cumsum([0, *(leaf.size for leaf in leaves)])
    return tuple(
        (name, int(i), int(j))
        for name, i, j in zip(names, ends[:-1], ends[1:], strict=True)
    )


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@eqx.filter_jit
def _images(scheme, dynamics, h, y, noise, inputs, times):
    """The next states at inputs (z, ξ) and times, shape [inputs, n]."""
    z, of_state = ravel_pytree(y)
    of_noise = ravel_pytree(noise)[1]

    def step(values, t):
        y, xi = of_state(values[: z.size]), of_noise(values[z.size :])
        carry = scheme.init(dynamics, t, y)
        return ravel_pytree(scheme.step(dynamics, t, y, h, xi, carry).y)[0]

    return jax.vmap(step)(inputs, times)
