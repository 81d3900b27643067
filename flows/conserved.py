"""What flows conserve: quantities, their drift along a run, and proofs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.dynamics import Dynamics, State
from flows.errors import BadInput
from flows.trajectory import Trajectory
from flows.weight_normalisation import tree_norm

Quantity = Callable[..., Any]
OF = ("params", "position", "state", "model")


def _of_state(dynamics: Dynamics, quantity: Quantity, of: str) -> Quantity:
    """The quantity as a function of a state, its entries in one vector."""

    def flat(y):
        if of == "model":
            tree = quantity(dynamics, y)
        else:
            tree = quantity(read(y))
        return jnp.concatenate([jnp.ravel(a) for a in jax.tree.leaves(tree)])

    def read(y):
        if of == "state":
            return y
        x = dynamics.position(y)
        objective = getattr(dynamics, "objective", None)
        return x if of == "position" or objective is None else objective.params(x)

    if of not in OF:
        raise BadInput(f'of is "params", "position", "state" or "model"; got {of!r}.')
    return flat


def rate_of_change(
    dynamics: Dynamics, quantity: Quantity, *, of: str = "params"
) -> Callable[[Any, State], Any]:
    """L Q, the rate of change of Q along a flow, as a function of (t, y).

    Args:
        dynamics: the model, by its generator L.
        quantity: Q, any pytree of arrays.
        of: what Q is a function of: the user's "params" (the position, where the
            objective has no pytree), the flat "position", the "state", or the "model"
            and the state, Q(dynamics, y), where it holds parameters of the model.

    Returns:
        (t, y) -> d/dt Q, its entries in one vector of shape [m].
    """
    flat = _of_state(dynamics, quantity, of)
    return dynamics.generator(lambda t, y: flat(y))


@eqx.filter_jit
def _values(dynamics, states, quantity, of):
    return jax.lax.map(_of_state(dynamics, quantity, of), states)


def drift(
    quantity: Quantity, run: Any, *, of: str = "params"
) -> Float[np.ndarray, " times"]:
    """|Q(t) - Q(0)| along a run (Euclidean, over all entries of Q).

    Args:
        quantity: Q, any pytree of arrays.
        run: a `Trajectory`, or a `Comparison`, whose optimiser is then looked at (its
            flow is `comparison.flow`).
        of: what Q is a function of (see `rate_of_change`).

    Returns:
        The drift at the run's times, shape [times]; the first entry is 0.

    Raises:
        BadInput: no run, a batch of runs, or an unknown `of`.
    """
    run = getattr(run, "discrete", run)
    if not isinstance(run, Trajectory) or jnp.ndim(run.times) != 1:
        raise BadInput(f"drift takes one Trajectory or Comparison; got {run!r:.60}.")
    values = np.asarray(_values(run.dynamics, run.states, quantity, of))
    return np.linalg.norm(values - values[:1], axis=1)


def is_conserved(
    dynamics: Dynamics, quantity: Quantity, y: State, *, of: str = "params"
) -> Any:
    """Whether Q is constant along a flow for every state and parameter: L Q = 0.

    The model is traced with symbols in its parameters and its state, so a proof holds
    for all of them; the data of a loss stay the numbers that they are.

    Args:
        dynamics: the model; small, for the expressions grow fast.
        quantity: Q, any pytree of arrays, differentiable.
        y: an example of the state: its shapes count.
        of: what Q is a function of (see `rate_of_change`).

    Returns:
        The `IdentityResult` of `flows.symbolic`: proved, refuted with a witness, or
        undecided.

    Raises:
        BadInput: data that are no simple fractions; NoSymbolicFace: code that cannot
            be traced.
    """
    from flows.symbolic import (
        equal_symbolically,
        exactly,
        symbols_for_state,
        symbols_like,
    )

    def rate(model, y):
        return rate_of_change(model, quantity, of=of)(0.0, y)

    found = exactly(rate, symbols_like(dynamics), symbols_for_state(y))
    return equal_symbolically(found, np.zeros(np.shape(found), int).astype(object))


def balancedness(factors: Sequence[Any]) -> tuple[Any, ...]:
    r"""B_i = W_{i+1}ᵀ W_{i+1} - W_i W_iᵀ of consecutive layers, shapes [d_i, d_i].

    Gradient flow of any loss of the product W_N ⋯ W_1 conserves every B_i. One step of
    gradient descent, with G_i the gradient in W_i, changes it by exactly
    η² (G_{i+1}ᵀ G_{i+1} - G_i G_iᵀ): over a fixed time a drift of order η. With weight
    decay λ (the loss plus λ/2 |W|²) it decays as e^{-2λt}.

    Reference: Arora, Cohen and Hazan, ICML 2018, arXiv 1802.06509; Du, Hu and Lee,
    "Algorithmic Regularization in Learning Deep Homogeneous Models: Layers are
    Automatically Balanced", NeurIPS 2018, arXiv 1806.00900.

    Args:
        factors: (W_1, ..., W_N), W_i of shape [d_i, d_{i-1}].
    """
    return tuple(
        after.T @ after - before @ before.T
        for before, after in itertools.pairwise(factors)
    )


def neuron_balance(
    factors: Sequence[Any], biases: Sequence[Any] | None = None
) -> tuple[Any, ...]:
    r"""|outgoing weights|² - |incoming weights|² - bias² of every hidden neuron.

    Gradient flow conserves it for activations with σ(cz) = c σ(z) for c > 0 (ReLU,
    leaky ReLU, identity), where the loss is differentiable: scaling what comes in by c
    and what goes out by 1/c leaves the network the same. For ReLU the entries of
    `balancedness` off the diagonal are not conserved.

    Reference: Du, Hu and Lee, NeurIPS 2018, arXiv 1806.00900.

    Args:
        factors: (W_1, ..., W_N), W_i of shape [d_i, d_{i-1}].
        biases: (b_1, ..., b_{N-1}) of the hidden layers, shapes [d_i], or None.

    Returns:
        Vectors of shapes [d_1], ..., [d_{N-1}].
    """
    squares = [jnp.sum(a**2, axis=0) for a in factors[1:]]
    squares = [
        out - jnp.sum(a**2, axis=1) for out, a in zip(squares, factors, strict=False)
    ]
    if biases is None:
        return tuple(squares)
    return tuple(d - b**2 for d, b in zip(squares, biases, strict=True))


def null_projector(features: Any) -> Float[Array, "n n"]:
    """P = I - A⁺A, the orthogonal projector on the null space of A.

    Gradient flow, and gradient descent, of any f(x) = g(A x) conserve P x.

    Args:
        features: A of shape [m, n].

    Raises:
        BadInput: no finite matrix.
    """
    a = np.asarray(features, float)
    if a.ndim != 2 or not np.all(np.isfinite(a)):
        raise BadInput(f"A is a finite matrix; got shape {a.shape}.")
    _, s, vt = np.linalg.svd(a, full_matrices=False)
    rank = np.sum(s > max(a.shape) * np.finfo(float).eps * np.max(s, initial=0.0))
    return jnp.eye(a.shape[1]) - jnp.asarray(vt[:rank].T @ vt[:rank])


def weight_normalisation_invariant(null: Any) -> Quantity:
    r"""P u exp(s²/(2 c_s |w|²)), u = w/|w|, a function of the model and its state.

    The weight-normalised flow of any f(x) = g(A x) conserves it, so that

        P u(t) = P u(0) exp((s(0)² - s(t)²)/(2 c_s |w|²)).

    Reference: Wu et al., NeurIPS 2020, arXiv 1911.07956.

    Args:
        null: P of shape [n, n] (`null_projector`), or rows v with A v = 0.

    Returns:
        The quantity, for `drift(..., of="model")`; the model is a
        `WeightNormalisedFlow` with c_s > 0.
    """

    def quantity(flow, y):
        norm = tree_norm(y.direction)
        exponent = jnp.sum(y.scale**2) / (2 * flow.scale_rate * norm**2)
        return null @ (y.direction / norm) * jnp.exp(exponent)

    return quantity
