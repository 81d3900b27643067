"""Langevin optimisers: a tamed gradient step and noise, in optax's protocol."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from discretize.taming import (
    NormTaming,
    Polygonal,
    StateTaming,
    Taming,
    Untamed,
    norm,
    tamed_power,
)
from flows import BadInput, Draw
from flows.problems import norm_power
from flows.types import is_traced
from sde import Noise
from sde.noise import as_key


class LangevinOptimizerState(NamedTuple):
    """Steps done (int32), and the two words of the key (uint32, shape [2])."""

    steps: Array
    key: Array


def tamed_langevin(
    learning_rate: Any,
    taming: Any,
    *,
    beta: Any = np.inf,
    eta: Any = 0.0,
    r: Any = 1.0,
    key: Any = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""A tamed Langevin optimiser: tamed Euler on the user's own parameters.

        θ ← θ + λ b_λ(θ) + √(2λ/β) ξ,   b = (-∇f(θ), -η θ |θ|^{2r}),

    with the tamed drift b_λ of `taming`, which sees all parameters as one vector (so
    |·| is the norm over the whole pytree) and the regulariser as a part of its own.
    `theopoula`, `tusla`, `tula` and `sgld` are this function; with `StateRootTaming(r)`
    it is mTULA.

    `update(grads, state, params, noise=None)`: the noise ξ is a pytree like the
    parameters of standard normals. Where none is passed it is drawn from the key and
    the number of steps done, by counters: step k takes what
    `sde.draw_noise(..., key, steps)[k]` holds, so a scheme and an optimiser of one key
    see the same noise.

    Args:
        learning_rate: λ, a number or an optax schedule, taken at the step's index
            (time, 1/curvature).
        taming: (λ, θ, drift parts) -> b_λ.
        beta: β = 1/temperature (1/unit of the loss); infinite for no noise.
        eta: η >= 0 of the regulariser η|θ|^{2r+2}/(2r+2). The number 0 leaves it out.
        r: r >= 0 of the regulariser.
        key: of the noise, a whole number or a jax key. Runs that are to be independent
            need keys of their own.

    Returns:
        An optax optimiser; `update` needs `params`.

    Raises:
        BadInput: an argument out of range; on `update`, no parameters, or noise of
            another structure.
    """
    if not isinstance(taming, Taming):
        raise BadInput(f"a taming is one such as NormTaming(); got {taming!r:.60}.")
    if not callable(learning_rate):
        require_positive("learning_rate", learning_rate)
    require_positive("beta", beta, infinite=True)
    cold = _is_number(beta) and beta == np.inf
    words = _words(key)
    regularised = not (_is_number(eta) and eta == 0)
    norm_power(eta, r)  # refuses what is out of range

    def init_fn(params):
        del params
        return LangevinOptimizerState(jnp.zeros([], jnp.int32), words)

    def update_fn(updates, state, params=None, *, noise: Any = None, **extra) -> Any:
        del extra
        if params is None:
            raise BadInput("a Langevin optimiser needs update(grads, state, params).")
        params = _where_moved(updates, params)
        theta, unravel = ravel_pytree(params)
        gradient = ravel_pytree(updates)[0].astype(theta.dtype)
        rate = learning_rate(state.steps) if callable(learning_rate) else learning_rate
        # In the parameters' own precision: a float64 number would widen float32 ones.
        method = (taming, rate, beta, eta, r)
        tamed, h, b, weight, power = jax.tree.map(
            lambda a: jnp.asarray(a, theta.dtype), method
        )
        if regularised:
            move = h * _with_regulariser(tamed, h, theta, -gradient, weight, power)
        else:
            move = h * tamed(h, theta, (-gradient,))
        if not cold:
            if noise is None:
                xi = _drawn(state, theta.size)
            else:
                xi = _ravelled(noise, updates, params)
            move = move + jnp.sqrt(2 * h / b) * xi.astype(theta.dtype)
        steps = optax.safe_increment(state.steps)
        return unravel(move), state._replace(steps=steps)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _with_regulariser(taming, h, theta, drift, eta, r) -> Array:
    """The tamed drift of gradient and regulariser, for every finite θ.

    Where |θ|^{2r} overflows, its quotient with the taming's factor does not.
    """
    part = -norm_power(eta, r, theta.size).gradient(theta)
    tamed = taming(h, theta, (drift, part))
    if not isinstance(taming, Polygonal | StateTaming):
        return tamed
    quotient = tamed_power(theta, taming.r, h) * norm(theta) ** (2 * (r - taming.r))
    far = taming(h, theta, (drift,)) - eta * quotient
    return jnp.where(jnp.all(jnp.isfinite(part)), tamed, far)


def _is_number(value: Any) -> bool:
    """Whether it is a plain number, known while a function is being traced."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def require_positive(name: str, value: Any, infinite: bool = False) -> None:
    """Refuse what is no number > 0 (finite, unless `infinite`); traced ones pass.

    Raises:
        BadInput: with the name and the range.
    """
    if is_traced(value):
        return
    try:
        number = np.asarray(value, float)
    except (TypeError, ValueError):
        number = np.asarray(np.nan)
    if number.shape != () or not number > 0 or (number == np.inf and not infinite):
        wanted = "a number > 0" + (", infinite for no noise" if infinite else "")
        raise BadInput(f"{name} is {wanted}; got {value!r:.60}.")


def _words(key: Any) -> Array:
    """The words of a key; a traced whole number is one too (`inject_hyperparams`)."""
    whole = hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jnp.integer)
    if whole and key.ndim == 0:
        low = key.astype(jnp.uint32)
        high = (key >> 32).astype(jnp.uint32) if key.dtype.itemsize == 8 else 0 * low
        return jnp.stack([high, low])
    return jax.random.key_data(as_key(key))


def _drawn(state: LangevinOptimizerState, size: int) -> Array:
    """Standard normals of the step, a function of the key and the count alone."""
    path = jnp.zeros(1, jnp.uint32)
    return Noise().block(state.key, path, state.steps, Draw("normal", (size,)))[0]


def _where_moved(updates: Any, tree: Any) -> Any:
    """The leaves of a tree that have a gradient (an equinox module's arrays)."""
    return jax.tree.map(
        lambda g, p: None if g is None else p, updates, tree, is_leaf=_is_none
    )


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _ravelled(noise: Any, updates: Any, params: Any) -> Array:
    shapes = [jnp.shape(a) for a in jax.tree.leaves(params)]
    try:
        noise = _where_moved(updates, noise)
        given = [jnp.shape(a) for a in jax.tree.leaves(noise)]
    except (TypeError, ValueError) as error:
        raise BadInput(f"the noise is a pytree like the parameters: {error}") from None
    if given != shapes:
        raise BadInput(
            "the noise is a pytree like the parameters, of standard normals: shapes "
            f"{given} where the parameters have {shapes}."
        )
    return ravel_pytree(noise)[0]


def tula(
    learning_rate: Any, beta: Any = 1e12, *, key: Any = 0
) -> optax.GradientTransformationExtraArgs:
    r"""The tamed unadjusted Langevin algorithm (TULA).

        θ ← θ - λ g/(1 + λ|g|) + √(2λ/β) ξ,   g = ∇f(θ),

    |g| over all parameters: the drift moves θ by less than 1 a step, for any finite g.
    Taming is not scale free: rescaling the loss changes the method.

    Reference: Brosse, Durmus, Moulines and Sabanis, "The tamed unadjusted Langevin
    algorithm", 2019, arXiv 1710.05559.

    Args:
        learning_rate: λ, a number or an optax schedule (time, 1/curvature).
        beta: β = 1/temperature; infinite for no noise.
        key: of the noise (see `tamed_langevin`).

    Returns:
        An optax optimiser; `update` needs `params` and takes `noise=`.
    """
    return tamed_langevin(learning_rate, NormTaming(1.0), beta=beta, key=key)


def sgld(
    learning_rate: Any, beta: Any = 1e12, *, key: Any = 0
) -> optax.GradientTransformationExtraArgs:
    r"""Stochastic gradient Langevin dynamics, θ ← θ - λ g + √(2λ/β) ξ.

    With full-batch gradients it is the unadjusted Langevin algorithm, explicit Euler;
    without noise it is SGD. Where the gradient grows faster than linearly it explodes.
    To sample a posterior pass the gradient of its negative logarithm and β = 1.

    Reference: Welling and Teh, "Bayesian learning via stochastic gradient Langevin
    dynamics", ICML 2011.

    Args:
        learning_rate: λ, a number or an optax schedule (time, 1/curvature).
        beta: β = 1/temperature; infinite for no noise.
        key: of the noise (see `tamed_langevin`).

    Returns:
        An optax optimiser; `update` needs `params` and takes `noise=`.
    """
    return tamed_langevin(learning_rate, Untamed(), beta=beta, key=key)
