"""An optax optimiser as a scheme: its step on the user's own parameter pytree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Float

from flows import Draw, Dynamics, Objective, Scheme, Step


class Training(Dynamics):
    """Parameters of the user's own pytree under training; the state is that pytree.

    Not a model of its own: it hands an `OptaxStep` its objective, and a trajectory the
    way from a pytree to a position. Its generator is that of gradient flow.
    """

    objective: Objective

    def generator(self, phi):
        """That of gradient flow, for states given as flat vectors."""
        from flows import GradientFlow

        return GradientFlow(self.objective).generator(phi)

    def position(self, y: Any) -> Float[Array, " n"]:
        """The flat vector of the parameter pytree."""
        leaves = [a.ravel() for a in jax.tree.leaves(eqx.filter(y, eqx.is_array))]
        return jax.numpy.concatenate(leaves)


@dataclass(frozen=True, eq=False)
class Fixed:
    """A build function that returns one given optimiser, compared by identity."""

    optimizer: optax.GradientTransformation

    def __call__(self, hyper: Any) -> optax.GradientTransformation:
        """The optimiser."""
        del hyper
        return self.optimizer


class OptaxStep(Scheme):
    """One step of an optax optimiser on the full-batch gradient.

        g = ∇f(p),   u, state ← update(g, state, p),   p ← p + u.

    The state is the user's pytree (optimisers such as NovoGrad or LAMB differ on a
    ravelled one), `carry` is optax's state, `aux` the loss before the step. The step
    size plays no part: the learning rate stands in `hyper`. A noisy optimiser is handed
    the noise ξ of its step, as `update(..., noise=ξ)` with ξ a pytree like p.

    Attributes:
        build: hyper -> optax optimiser; static, so keep it a module-level function.
        hyper: its hyperparameters, as leaves: new values compile nothing.
        noisy: whether a step draws one standard normal a parameter and hands it on;
            otherwise a random optimiser draws for itself.
    """

    build: Callable[[Any], optax.GradientTransformation] = eqx.field(static=True)
    hyper: Any
    noisy: bool = eqx.field(static=True, default=False)

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals of all parameters in one vector, where it is noisy."""
        if not self.noisy:
            return None
        return Draw("normal", (sum(a.size for a in jax.tree.leaves(y)),))

    def init(self, dynamics: Any, t: Any, y: Any) -> Any:
        """Optax's own initial state."""
        del dynamics, t
        return self.build(self.hyper).init(y)

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One update; `aux` is f before it."""
        del t, h
        passed = {"noise": _like(y, noise)} if self.noisy else {}
        value, gradient = jax.value_and_grad(dynamics.objective.loss_of)(y)
        optimizer = optax.with_extra_args_support(self.build(self.hyper))
        updates, carry = optimizer.update(
            gradient,
            carry,
            y,
            value=value,
            grad=gradient,
            value_fn=dynamics.objective.loss_of,
            **passed,
        )
        return Step(optax.apply_updates(y, updates), carry, value)


def _like(tree: Any, flat: Any) -> Any:
    """A flat vector as a pytree of the shapes of `tree`, leaf after leaf."""
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([a.size for a in leaves])
    pieces = [
        flat[end - a.size : end].reshape(a.shape)
        for a, end in zip(leaves, ends, strict=True)
    ]
    return jax.tree.unflatten(structure, pieces)
