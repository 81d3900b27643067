"""INNA: the inertial Newton algorithm, explicit Euler on the inertial-Newton flow."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from discretize.optimizers.leaves import map_params, step_leaves
from flows import BadInput
from flows.door import require_number
from flows.dynamics import require_range
from flows.types import is_traced

STARTS = ("pytorch", "tensorflow", "keras")
"""Ways of the public implementations to start ψ (see `inna`)."""


class InnaState(NamedTuple):
    """State of INNA.

    Attributes:
        count: steps done.
        psi: ψ, of the parameters' structure, shapes and precision.
    """

    count: Any
    psi: Any


def inna(
    learning_rate: Any = 0.1,
    alpha: Any = 0.5,
    beta: Any = 0.1,
    *,
    start: str = "pytorch",
    initial_speed: Any = 1.0,
    decay_power: Any = 0.0,
    weight_decay: Any = 0.0,
) -> optax.GradientTransformation:
    r"""INNA, the inertial Newton algorithm (in its first version called INDIAN).

        d = (α - 1/β) x + ψ/β,   ψ ← ψ - γ d,   x ← x - γ (d + β ∇f(x)),

    all from the old pair: explicit Euler of step γ on `flows.InertialNewtonPsiFlow`, so
    that x follows x'' + α x' + β ∇²f x' + ∇f = 0 in steps of time γ, one gradient a
    step. At special (γ, α, β) it is gradient descent, heavy ball or Nesterov's momentum
    (`to_inertial_newton`).

    ψ starts at (1 - αβ) x, which is the velocity -β ∇f. Public implementations differ
    from there, and `start` says which is meant:

    - "pytorch": as it is.
    - "tensorflow": the first gradient adds β(s - β) ∇f to ψ before the first step, so
      that the velocity is -s ∇f, with s the initial speed.
    - "keras": adds that at the second step, with the gradient seen there.

    On f = λ x²/2, λ > 0, it is stable for γ < β + α/λ and γλ(2β - γ) < 4 - 2αγ.

    Reference: Castera, Bolte, Févotte and Pauwels, "An Inertial Newton Algorithm for
    Deep Learning", JMLR 22, 2021, arXiv 1905.12278; starts as in the authors' code.

    Args:
        learning_rate: γ (time), a number or an optax schedule; the time of a step.
        alpha: α >= 0, viscous damping (1/time).
        beta: β > 0, Newtonian damping (time).
        start: one of `STARTS`.
        initial_speed: s, for "tensorflow" and "keras" (time).
        decay_power: p >= 0; step k = 0, 1, ... has γ/(k + 1)^p.
        weight_decay: w >= 0; takes γ w x from x alone, decoupled from ψ.

    Returns:
        An optax optimiser; `update` needs `params`. Each array is stepped in its own
        precision.

    Raises:
        BadInput: a number out of its range, an unknown start; parameters or gradients
            that are no real floats; at `update`, no params, or gradients of another
            structure or shape.
    """
    if not isinstance(start, str) or start not in STARTS:
        raise BadInput(f"start is one of {', '.join(STARTS)}; got {start!r:.60}.")
    require_number("initial_speed", initial_speed)
    require_nonnegative("decay_power", decay_power)
    corrected = {"pytorch": None, "tensorflow": 0, "keras": 1}[start]

    def kick(count: Any) -> Any:
        """What the gradient adds to ψ at this step, times ∇f."""
        if corrected is None:
            return None
        return jnp.where(count == corrected, beta * (initial_speed - beta), 0.0)

    return inertial_newton_steps(
        decayed(learning_rate, decay_power), alpha, beta, weight_decay, kick=kick
    )


def inertial_newton_steps(
    learning_rate: Any,
    alpha: Any,
    beta: Any,
    weight_decay: Any,
    *,
    kick: Any = lambda count: None,
    decay_first: bool = False,
) -> optax.GradientTransformation:
    """Steps of INNA, given what stands in for the gradient.

    Args:
        learning_rate: γ, a number or a schedule.
        alpha: α >= 0.
        beta: β > 0.
        weight_decay: w >= 0.
        kick: count -> c, where c times the gradient is added to ψ; None for nothing.
        decay_first: whether d sees the parameters that weight decay has left.

    Raises:
        BadInput: as in `inna`.
    """
    if not callable(learning_rate):
        require_number("learning_rate", learning_rate, positive=True)
    require_nonnegative("alpha", alpha)
    require_number("beta", beta, positive=True)
    require_nonnegative("weight_decay", weight_decay)
    idle = not is_traced(weight_decay) and float(weight_decay) == 0

    def init_fn(params: Any) -> InnaState:
        def psi(x: Any) -> Any:
            a, b = _like(x, alpha, beta)
            return (1 - a * b) * x

        return InnaState(jnp.zeros((), jnp.int32), map_params(psi, params))

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise BadInput("INNA needs update(g, state, params).")
        rate = learning_rate
        rate = rate(state.count) if callable(rate) else rate
        gain = kick(state.count)

        def step(g: Any, x: Any, psi: Any) -> tuple[Any, Any]:
            a, b, h, w = _like(x, alpha, beta, rate, weight_decay)
            if gain is not None:
                psi = psi + _like(x, gain)[0] * g
            seen = x - h * w * x if decay_first and not idle else x
            d = (a - 1 / b) * seen + (1 / b) * psi
            move = d + b * g if idle else d + b * g + w * x
            return -h * move, psi - h * d

        moves, psi = step_leaves(step, updates, params, state.psi)
        return moves, InnaState(optax.safe_increment(state.count), psi)

    return optax.GradientTransformation(init_fn, update_fn)


def decayed(learning_rate: Any, power: Any) -> Any:
    """γ/(k + 1)^p as a schedule; γ itself where p is 0."""
    if not is_traced(power) and float(power) == 0:
        return learning_rate

    def schedule(count: Any) -> Any:
        rate = learning_rate(count) if callable(learning_rate) else learning_rate
        return rate / (1.0 + count.astype(float)) ** power

    return schedule


def require_nonnegative(name: str, value: Any) -> None:
    """Refuse what is no finite number >= 0 (traced values pass).

    Raises:
        BadInput: with the name and the value.
    """
    require_number(name, value)
    require_range(name, value)


def _like(x: Any, *numbers: Any) -> list[Any]:
    """Numbers in the precision of an array."""
    return [jnp.asarray(a).astype(x.dtype) for a in numbers]
