"""Nesterov's accelerated methods: NAG-C with its two indices, and NAG-SC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from discretize.inertial_newton import require_momentum
from discretize.optimizers.leaves import map_params, step_leaves
from flows import BadInput
from flows.door import require_number
from flows.types import is_traced


class NesterovState(NamedTuple):
    """Where the parameters, the look-ahead y_k, stand beside the descent point x_k.

    Attributes:
        steps: k, steps taken.
        offset: y_k - x_k, a pytree like the parameters (`descent_point`).
    """

    steps: Int[Array, ""]
    offset: Any


def nag_c_momentum(k: Any, *, friction: Any = 3.0, indexing: str = "su") -> Any:
    """NAG-C's coefficient, with the index of either of two papers.

    Su, Boyd and Candès ("su"), k = 1, 2, ..., c_k = (k-1)/(k+r-1):

        x_k = y_{k-1} - s ∇f(y_{k-1}),   y_k = x_k + c_k (x_k - x_{k-1}).

    Shi, Du, Jordan and Su ("shi"), k = 0, 1, ..., c_k = k/(k+r):

        y_{k+1} = x_k - s ∇f(x_k),   x_{k+1} = y_{k+1} + c_k (y_{k+1} - y_k).

    It is one iteration: x and y swap their roles, and c_k of the first is c_{k-1} of
    the second.

    Args:
        k: step, counted as in the paper (from 1 for "su", from 0 for "shi"); a number
            or an array.
        friction: r > 0; 3 is Nesterov's.
        indexing: "su" (Su, Boyd and Candès) or "shi" (Shi, Du, Jordan and Su).

    Returns:
        c_k.

    Raises:
        BadInput: another indexing, a step before the first, a friction that is not
            positive (traced numbers and SymPy's symbols pass).
    """
    if indexing not in ("su", "shi"):
        raise BadInput(f'indexing is "su" or "shi"; got {indexing!r}.')
    if not hasattr(friction, "free_symbols"):
        require_number("friction", friction, positive=True)
    first = 1 if indexing == "su" else 0
    if not (is_traced(k) or hasattr(k, "free_symbols")):
        kinds = int | float | np.generic | np.ndarray | jax.Array
        real = isinstance(k, kinds) and np.asarray(k).dtype.kind in "iuf"
        if not (real and np.all(np.isfinite(k)) and np.all(np.asarray(k) >= first)):
            raise BadInput(
                f'k is a number or an array, from {first} for "{indexing}"; got '
                f"{k!r:.60}."
            )
    steps = k - 1 if indexing == "su" else k
    return steps / (steps + friction)


def nag_c(learning_rate: Any, friction: Any = 3.0) -> optax.GradientTransformation:
    r"""Nesterov's method for convex functions (NAG-C), of momentum k/(k+r).

        x_{k+1} = y_k - s ∇f(y_k),   y_{k+1} = x_{k+1} + k/(k+r) (x_{k+1} - x_k),

    k = 0, 1, ..., y_0 = x_0. The parameters are the look-ahead y_k, where the gradient
    is taken; `descent_point` gives x_k, of which the theorems on f - f* speak. In one
    sequence, with c_k = (k-1)/(k+r-1) and the move d_k = x_k - x_{k-1},

        d_{k+1} = c_k d_k - s ∇f(y_k),   y_{k+1} - y_k = c_{k+1} d_{k+1} - s ∇f(y_k):

    the memory decays by one coefficient and the look-ahead takes the next.
    `optax.sgd(nesterov=True)` takes one for both, so that no schedule of its momentum
    is NAG-C. Time of a step beside `flows.AcceleratedFlow`: √s.

    For convex f with L-Lipschitz gradient, s <= 1/L and r = 3,
    f(x_k) - f* <= 2 |x_0 - x*|² / (s (k+1)²).

    Reference: Su, Boyd and Candès, "A Differential Equation for Modeling Nesterov's
    Accelerated Gradient Method: Theory and Insights", JMLR 2016, arXiv 1503.01243; Shi,
    Du, Jordan and Su, arXiv 1810.08907 (with the indices of `nag_c_momentum`).

    Args:
        learning_rate: s, a number > 0 or an optax schedule (1/curvature).
        friction: r > 0, without unit; 3 is Nesterov's.

    Returns:
        An optax optimiser with a `NesterovState`.

    Raises:
        BadInput: a learning rate or a friction that is not positive; parameters or
            gradients that are no real floats; at `update`, gradients of another
            structure or shape.
    """
    _require_rate(learning_rate)
    require_number("friction", friction, positive=True)

    def momentum(k, rate):
        del rate
        return nag_c_momentum(k, friction=friction, indexing="shi")

    return _two_sequences(learning_rate, momentum)


def nag_sc(learning_rate: Any, strong_convexity: Any) -> optax.GradientTransformation:
    r"""Nesterov's method for μ-strongly convex functions (NAG-SC).

        x_{k+1} = y_k - s ∇f(y_k),   y_{k+1} = x_{k+1} + m (x_{k+1} - x_k),

    m = (1 - √(μs))/(1 + √(μs)), y_0 = x_0. It is `optax.sgd(s, momentum=m,
    nesterov=True)`; the parameters are the look-ahead y_k. Time of a step beside
    `flows.HighResolutionNesterovFlow` and `flows.StronglyConvexAcceleratedFlow`: √s.

    Reference: Nesterov, "Introductory Lectures on Convex Optimization", 2004; Shi, Du,
    Jordan and Su, arXiv 1810.08907 (whose x_k are our y_k).

    Args:
        learning_rate: s, a number > 0 or an optax schedule (1/curvature).
        strong_convexity: μ > 0 (curvature), with μs <= 1.

    Returns:
        An optax optimiser with a `NesterovState`.

    Raises:
        BadInput: a learning rate or a strong convexity that is not positive, μs > 1
            (not seen of a schedule); otherwise as `nag_c`.
    """
    _require_rate(learning_rate)
    require_number("strong_convexity", strong_convexity, positive=True)
    if not callable(learning_rate):
        product = strong_convexity * learning_rate  # 1 - μs has the sign of m
        require_momentum(1 - product, "μs", product)

    def momentum(k, rate):
        del k
        return nag_sc_momentum(rate, jnp.asarray(strong_convexity, rate.dtype))

    return _two_sequences(learning_rate, momentum)


def nag_sc_momentum(learning_rate: Any, strong_convexity: Any) -> Any:
    """NAG-SC's coefficient (1 - √(μs))/(1 + √(μs)), without unit; see `nag_sc`.

    Args:
        learning_rate: s > 0 (1/curvature), a number or an array, traced too.
        strong_convexity: μ > 0 (curvature), likewise; nothing is looked at.
    """
    root = jnp.sqrt(strong_convexity * learning_rate)
    return (1 - root) / (1 + root)


def descent_point(params: Any, state: NesterovState) -> Any:
    """The descent point x_k = y_k - (y_k - x_k) of `nag_c` and `nag_sc`.

    Args:
        params: the parameters y_k, a pytree.
        state: of the optimiser, after the same steps.

    Returns:
        A pytree like the parameters.
    """
    return jax.tree.map(lambda y, offset: y - offset, params, state.offset)


def _two_sequences(learning_rate: Any, momentum: Callable) -> Any:
    """Step d = (y - x) - s g, y - x ← c d, y ← y + c d - s g; c = momentum(k, s)."""

    def init_fn(params):
        return NesterovState(
            jnp.zeros((), jnp.int32),
            map_params(lambda x: jnp.zeros(x.shape, x.dtype), params),
        )

    def update_fn(updates, state, params=None):
        del params
        k = state.steps
        rate = learning_rate(k) if callable(learning_rate) else learning_rate

        def step(g, offset):
            s = jnp.asarray(rate, g.dtype)
            c = jnp.asarray(momentum(k.astype(g.dtype), s), g.dtype)
            ahead = c * (offset - s * g)
            return ahead - s * g, ahead

        moves, offset = step_leaves(step, updates, state.offset)
        return moves, NesterovState(jnp.asarray(optax.safe_increment(k)), offset)

    return optax.GradientTransformation(init_fn, update_fn)


def _require_rate(learning_rate: Any) -> None:
    if not callable(learning_rate):
        require_number("learning_rate", learning_rate, positive=True)
