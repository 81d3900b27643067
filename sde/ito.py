"""`ItoDiffusion`: a diffusion from the user's own drift and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from flows.door import require_whole
from flows.dynamics import State
from flows.errors import BadInput
from flows.types import is_traced
from sde.diffusion import Diffusion
from sde.factors import apply_factor, factor_columns


class ItoDiffusion(Diffusion):
    r"""The Itô diffusion dY = b(t, Y) dt + σ(t, Y) dB of given functions.

    State: a vector of shape [n], or any pytree of float arrays, whose entries count in
    the order of `jax.flatten_util.ravel_pytree`. The unit of time is that in which the
    drift is a velocity; σ has the unit of Y over the root of that time. Nothing is
    converted: a Stratonovich equation needs its drift corrected first.

    The functions are leaves of the model: jax modules (`equinox.Module`) with arrays
    bring parameters that can be changed, traced as symbols and differentiated; plain
    functions are compared by identity, so define them once.

    Reference: Itô, Proceedings of the Imperial Academy 20, 1944.

    Attributes:
        drift: b(t, y), of y's structure.
        diffusion: σ(t, y): a number (σ I), a vector of shape [n] or a pytree of y's
            structure (diagonal noise, one Brownian motion an entry), or a matrix of
            shape [n, m].
        noise_function: in place of `diffusion`, the product σ(t, y) dw as a function
            (t, y, dw), linear in dw of shape [brownian_motions], of y's structure; no
            n × m matrix is ever made.
        brownian_motions: m, with `noise_function` only.

    Raises:
        BadInput: no callable drift; both or neither of diffusion and noise function; a
            missing or superfluous number of Brownian motions; (on first use) a drift,
            a σ or a product of another shape than the state's, or a product that is
            not linear in dw.
    """

    equation: ClassVar[str] = r"dY = b(t, Y)\,dt + \sigma(t, Y)\,dB"
    drift: Callable[[Any, Any], Any]
    diffusion: Callable[[Any, Any], Any] | None = None
    noise_function: Callable[[Any, Any, Any], Any] | None = eqx.field(
        default=None, kw_only=True
    )
    brownian_motions: int | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        if not callable(self.drift):
            raise BadInput(f"drift is a function of (t, y); got {self.drift!r:.60}.")
        given = [f for f in (self.diffusion, self.noise_function) if f is not None]
        if len(given) != 1 or not callable(given[0]):
            raise BadInput(
                "give one of diffusion, a function (t, y) -> σ, and noise_function, a "
                f"function (t, y, dw) -> σ dw; got {self.diffusion!r:.60} and "
                f"{self.noise_function!r:.60}."
            )
        if self.noise_function is not None:
            require_whole("brownian_motions", self.brownian_motions)
        elif self.brownian_motions is not None:
            raise BadInput(
                "brownian_motions goes with noise_function; a diffusion says by its "
                "shape how many there are."
            )

    def vector_field(self, t, y: State) -> State:
        """The drift b(t, y)."""
        return self.drift(t, y)

    def brownian(self, y: State) -> int:
        """The number m of Brownian motions; looks at the shapes of drift and noise."""
        t = jnp.zeros((), jax.tree.leaves(y)[0].dtype)
        _require_like("drift(t, y)", eqx.filter_eval_shape(self.drift, t, y), y)
        if self.noise_function is not None:
            m = self.brownian_motions or 0
            dw = jnp.zeros(m, t.dtype)
            out = eqx.filter_eval_shape(self.noise_function, t, y, dw)
            _require_like("noise_function(t, y, dw)", out, y)
            _require_linear(self.noise_function, t, y, m)
            return m
        sigma = eqx.filter_eval_shape(self._sigma, t, y)
        n = sum(int(np.prod(a.shape)) for a in jax.tree.leaves(y))
        if _is_diagonal(sigma, y):
            return n
        shape = getattr(sigma, "shape", None)
        if shape is None:
            shape = np.shape(sigma)
        return factor_columns(tuple(shape), n, "diffusion(t, y)")

    def noise(self, t, y: State, dw: Float[Array, " m"]) -> State:
        """σ(t, y) dw."""
        if self.noise_function is not None:
            return self.noise_function(t, y, dw)
        sigma = self._sigma(t, y)
        flat, unravel = ravel_pytree(y)
        if _is_diagonal(sigma, y):
            sigma = ravel_pytree(sigma)[0]
        return unravel(apply_factor(sigma, dw).astype(flat.dtype))

    def _sigma(self, t: Any, y: State) -> Any:
        assert self.diffusion is not None  # the door saw to it
        return self.diffusion(t, y)


def _is_diagonal(sigma: Any, y: State) -> bool:
    """Whether σ is a tree of y's structure and shapes: one entry, one motion."""
    if jax.tree.structure(sigma) != jax.tree.structure(y):
        return False
    pairs = zip(jax.tree.leaves(sigma), jax.tree.leaves(y), strict=True)
    return all(np.shape(a) == np.shape(b) for a, b in pairs)


def _require_like(what: str, out: Any, y: State) -> None:
    """Refuse an output that is not of the state's structure and shapes."""
    if not _is_diagonal(out, y):
        shapes = [tuple(np.shape(a)) for a in jax.tree.leaves(out)]
        wanted = [tuple(np.shape(a)) for a in jax.tree.leaves(y)]
        raise BadInput(
            f"{what} has the structure of the state, with leaves of shapes {wanted}; "
            f"got leaves of shapes {shapes}."
        )


def _require_linear(noise: Any, t: Any, y: State, m: int) -> None:
    """Refuse σ(t, y) dw that is not linear in dw, where it can be evaluated.

    An affine or quadratic product would pass for noise and corrupt every moment.
    """
    if is_traced(y) or any(np.asarray(a).dtype == object for a in jax.tree.leaves(y)):
        return
    dw = jnp.asarray(1.0 / (1.0 + np.arange(m)), t.dtype)

    def at(scale):
        return np.asarray(ravel_pytree(noise(t, y, scale * dw))[0])

    zero, once, twice = at(0.0), at(1.0), at(-2.0)
    if not np.all(np.isfinite([zero, once, twice])):
        return
    allowed = 1e-4 * (np.max(np.abs(once)) + np.finfo(float).tiny)
    if np.max(np.abs(zero)) > allowed or np.max(np.abs(twice + 2 * once)) > allowed:
        raise BadInput("noise_function(t, y, dw) is linear in dw; this one is not.")
