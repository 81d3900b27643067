"""Games: an operator F on R^n instead of a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.dynamics import Flow, parameter
from flows.errors import BadInput


class Game(eqx.Module):
    """A game, known by its operator F(z); equilibria are the zeros of F.

    For a min-max problem min_x max_y φ(x, y) the operator is (∂ₓφ, -∂ᵧφ).

    Attributes:
        operator_fn: z ↦ F(z), both of shape [n]; may take the parameters as a second
            argument.
        parameters: pytree of arrays handed to it (leaves: new values compile nothing).
        projection_fn: projection onto the feasible set, or None for all of R^n.
    """

    operator_fn: Callable = eqx.field(static=True)
    parameters: dict[str, Array] = eqx.field(default_factory=dict)
    projection_fn: Callable | None = eqx.field(static=True, default=None)

    def operator(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """F(z)."""
        f = self.operator_fn(z, self.parameters)
        if f.shape != z.shape:
            raise BadInput(
                f"the operator maps shape {z.shape} to {f.shape}; not a game."
            )
        return f

    def projection(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """The nearest feasible point."""
        return z if self.projection_fn is None else self.projection_fn(z)


def min_max(payoff: Callable, n_min: int, **parameters) -> Game:
    """The game of min_x max_y φ(x, y), with z = (x, y) and x of length `n_min`.

    Args:
        payoff: φ(x, y, parameters), a scalar.
        n_min: number of coordinates of the minimising player.
        parameters: named arrays or numbers.

    Raises:
        BadInput: a player without coordinates; at the first call also a payoff that
            is no scalar.
    """
    if n_min < 1:
        raise BadInput(
            f"the minimising player has n_min >= 1 coordinates, not {n_min}."
        )

    def operator(z, p):
        if z.shape[0] <= n_min:
            raise BadInput(
                f"z holds {z.shape[0]} coordinates and the minimising player {n_min}; "
                "none are left for the other."
            )
        out = jax.eval_shape(payoff, z[:n_min], z[n_min:], p)
        if getattr(out, "shape", None) != ():
            raise BadInput(f"the payoff is one scalar; this one returns {out}.")
        gx = jax.grad(payoff, 0)(z[:n_min], z[n_min:], p)
        gy = jax.grad(payoff, 1)(z[:n_min], z[n_min:], p)
        return jnp.concatenate([gx, -gy])

    return Game(operator, {k: parameter(v) for k, v in parameters.items()})


class GameFlow(Flow):
    r"""Simultaneous gradient descent-ascent in continuous time, z' = -F(z).

    State: z of shape [n]. Unit of time: a step of simultaneous gradient descent-ascent
    with learning rate η takes η. The flow of an unconstrained game: a projection is a
    scheme's business.
    """

    equation: ClassVar[str] = r"\dot z = -F(z)"
    game: Game

    def vector_field(self, t, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """-F(y)."""
        del t
        return -self.game.operator(y)
