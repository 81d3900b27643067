"""Heavy ball (`optax.sgd` with momentum) as a damped flow in steps, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flows import BadInput, Schedule
from flows.door import as_floats, require_number
from flows.schedules import value_at
from flows.types import is_traced
from sde import UniformIndex

FRICTIONS = ("implicit", "explicit", "exponential")


class HeavyBall(NamedTuple):
    """What `optax.sgd(learning_rate, momentum=momentum)` takes.

    Attributes:
        learning_rate: η (1/curvature).
        momentum: β, without unit.
    """

    learning_rate: Any
    momentum: Any


class DampedStep(NamedTuple):
    """A step of the damped flow m x'' + α x' + ∇f(x) = 0.

    Attributes:
        h: time of a step.
        mass: m (time² · curvature); 0 where there is no momentum.
        friction: α (time · curvature).
    """

    h: Any
    mass: Any
    friction: Any


class HeavyBallState(NamedTuple):
    """State of the optimiser of `HeavyBallSchedules`.

    Attributes:
        count: steps done.
        leaves: the state of `optax.sgd` for each array of the parameters.
    """

    count: Any
    leaves: tuple[Any, ...]


class HeavyBallSchedules(NamedTuple):
    """Learning rate and momentum as optax schedules: functions of the step's number.

    Attributes:
        learning_rate: k -> η_k.
        momentum: k -> what optax's trace wants, β_k η_{k-1}/η_k.
    """

    learning_rate: Any
    momentum: Any

    def optimizer(self) -> optax.GradientTransformation:
        """`optax.sgd` with both of them, each array stepped in its own precision."""

        def init(params: Any) -> HeavyBallState:
            sgd = optax.sgd(0.0, momentum=0.0)  # what is kept depends on shapes alone
            leaves = tuple(sgd.init(leaf) for leaf in jax.tree.leaves(params))
            return HeavyBallState(jnp.zeros((), jnp.int32), leaves)

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            del params
            eta, beta = (schedule(state.count) for schedule in self)
            slopes, tree = jax.tree.flatten(updates)
            moved, kept = [], []
            for slope, before in zip(slopes, state.leaves, strict=True):
                # a float64 rate would turn a float32 trace into a float64 one
                rate, ratio = (jnp.asarray(a).astype(slope.dtype) for a in (eta, beta))
                sgd = optax.sgd(rate, momentum=ratio)
                step, after = sgd.update(slope, before)
                moved.append(step)
                kept.append(after)
            count = optax.safe_increment(state.count)
            return jax.tree.unflatten(tree, moved), HeavyBallState(count, tuple(kept))

        return optax.GradientTransformation(init, update)


def retention_and_gain(friction_rule: str, h: Any, mass: Any, friction: Any) -> Any:
    """(β, c) of the velocity's step, v ← β v - c ∇f(x).

    Args:
        friction_rule: "implicit": m/(m + αh) and h/(m + αh); "explicit": 1 - αh/m and
            h/m; "exponential": e^{-αh/m} and (1 - β)/α (h/m where α = 0).
        h: time of the step.
        mass: m > 0.
        friction: α >= 0.
    """
    if friction_rule == "implicit":
        return mass / (mass + friction * h), h / (mass + friction * h)
    if friction_rule == "explicit":
        return 1 - friction * h / mass, h / mass
    free = friction == 0
    some = jnp.where(free, 1.0, friction)
    lost = -jnp.expm1(-friction * h / mass)
    return jnp.exp(-friction * h / mass), jnp.where(free, h / mass, lost / some)


def to_heavy_ball(
    h: Any, mass: Any, friction: Any = 1.0, scheme: str = "implicit"
) -> HeavyBall:
    r"""The heavy ball that steps a damped flow with `MomentumEuler(scheme)`.

    From rest, v ← β v - c ∇f(x), x ← x + h v is, in exact arithmetic,

        x_{k+1} - x_k = β (x_k - x_{k-1}) - η ∇f(x_k),   η = h c,

    which is `optax.sgd(η, momentum=β)`, with any f in any step (minibatches). For
    every scheme η/(1 - β) = h/α: the time that a gradient moves the position.

    Args:
        h: time of a step.
        mass: m > 0.
        friction: α > 0.
        scheme: how friction enters: "implicit", "explicit" or "exponential" (see
            `MomentumEuler`). Explicit friction gives β < 0 where αh > m.

    Raises:
        BadInput: a number that is not positive, an unknown scheme.
    """
    require_friction(scheme)
    for name, value in (("h", h), ("mass", mass), ("friction", friction)):
        require_number(name, value, positive=True)
    h, mass, friction = (jnp.asarray(a, float) for a in (h, mass, friction))
    beta, gain = retention_and_gain(scheme, h, mass, friction)
    return HeavyBall(h * gain, beta)


def from_heavy_ball(
    learning_rate: Any, momentum: Any, friction: Any = 1.0, scheme: str = "implicit"
) -> DampedStep:
    r"""The step h and the mass m at which `to_heavy_ball` gives this optimiser.

    h = αη/(1 - β), and m = α²ηβ/(1 - β)² ("implicit"), α²η/(1 - β)² ("explicit"),
    -αh/ln β ("exponential"). A learning rate and a momentum do not fix the unit of
    time: the friction α is chosen, and with it that unit.

    Args:
        learning_rate: η > 0.
        momentum: β in [0, 1); at 0 the mass is 0, but for "explicit".
        friction: α > 0, chosen.
        scheme: as in `to_heavy_ball`.

    Raises:
        BadInput: a number out of range, an unknown scheme.
    """
    require_friction(scheme)
    require_number("learning_rate", learning_rate, positive=True)
    require_number("friction", friction, positive=True)
    require_number("momentum", momentum)
    if not is_traced(momentum) and not 0 <= momentum < 1:
        raise BadInput(f"momentum is in [0, 1); got {momentum}.")
    eta, beta, alpha = (
        jnp.asarray(a, float) for a in (learning_rate, momentum, friction)
    )
    h = alpha * eta / (1 - beta)
    if scheme == "exponential":
        return DampedStep(h, -alpha * h / jnp.log(beta), alpha)
    mass = alpha * h / (1 - beta)
    return DampedStep(h, mass * beta if scheme == "implicit" else mass, alpha)


def momentum_schedules(
    masses: Any, h: Any, friction: Any = 1.0, scheme: str = "implicit"
) -> HeavyBallSchedules:
    r"""Schedules, for optax, of the heavy ball whose mass changes: "losing momentum".

    Step k has (β_k, c_k) of the mass m_k and η_k = h c_k. With implicit or exponential
    friction β_k falls to 0 as m_k -> 0 while the learning rate *rises* to h/α, that of
    plain gradient descent. The trace of optax holds -v h/η, no displacement, so what it
    needs as its momentum is

        β_k η_{k-1}/η_k    (k >= 1),

    not β_k. The result is `MomentumEuler(scheme)` on `flows.DampedFlow` with the mass
    m(t_k), t_k = kh, from rest.

    Explicit friction has no such limit: β_k = 1 - αh/m_k is -1 at m_k = αh/2, and
    below that velocities grow without bound, whatever the loss.

    Args:
        masses: m_k, positive, shape [steps] (the last one stays), or a
            `flows.Schedule` m(t) of the time. With explicit friction m_k > αh/2; of a
            `Schedule` that is not checked.
        h: time of a step.
        friction: α > 0.
        scheme: as in `to_heavy_ball`.

    Returns:
        The two schedules; `.optimizer()` is `optax.sgd` with them.

    Raises:
        BadInput: masses that are not positive, numbers out of range; with explicit
            friction a mass at or below αh/2.
    """
    require_friction(scheme)
    require_number("h", h, positive=True)
    require_number("friction", friction, positive=True)
    if not isinstance(masses, Schedule):
        masses = _listed(masses)
        if scheme == "explicit" and not is_traced((masses, h, friction)):
            _require_damped(masses, friction * h / 2)

    def weights(k: Any) -> Any:
        if isinstance(masses, Schedule):
            mass = value_at(masses, k.astype(float) * h)
        else:
            mass = masses[jnp.minimum(k, masses.shape[0] - 1)]
        return retention_and_gain(scheme, h, mass, friction)

    def learning_rate(count: Any) -> Any:
        return h * weights(jnp.asarray(count))[1]

    def momentum(count: Any) -> Any:
        k = jnp.asarray(count)
        (beta, gain), (_, before) = weights(k), weights(jnp.maximum(k - 1, 0))
        return beta * before / gain

    return HeavyBallSchedules(learning_rate, momentum)


def _listed(masses: Any) -> Any:
    """Masses of steps as an array; their values are not looked at under a trace."""
    traced = is_traced(masses)
    found: Any = jnp.asarray(masses) if traced else as_floats("masses", masses)
    if found.ndim != 1 or found.size == 0 or not (traced or np.all(found > 0)):
        raise BadInput(
            "masses are positive numbers, shape [steps], or a flows.Schedule; got "
            f"{found}."
        )
    return jnp.asarray(found, float)


def _require_damped(masses: Any, least: Any) -> None:
    if not np.all(np.asarray(masses) > least):
        raise BadInput(
            f"explicit friction multiplies velocities by 1 - αh/m, which is above -1 "
            f"for masses > αh/2 = {float(least):.4g}; got {float(np.min(masses)):.4g}. "
            "Implicit and exponential friction allow a mass that falls to 0."
        )


def matching_index(
    count: int, h: Any, convention: str = "never_repeat"
) -> UniformIndex:
    r"""The switching index whose noise is that of a fresh minibatch in each step.

    A fresh index in each step of time h moves the position like an index process with
    the relaxation rate r = 2/h, not 1/h: its waits are fixed, and exponential waits of
    the same mean have E T² = 2 (E T)², twice the noise. To first order in h the
    stationary variances agree.

    Args:
        count: number N >= 2 of losses.
        h: time of a step.
        convention: of `sde.UniformIndex`; the rate is chosen for it.

    Raises:
        BadInput: fewer than two losses, a step that is not positive, an unknown
            convention.
    """
    require_number("h", h, positive=True)
    return UniformIndex.relaxing(count, 2 / h, convention)


def require_friction(scheme: Any) -> None:
    """Refuse an unknown way for friction to enter.

    Raises:
        BadInput: with the three that are known.
    """
    if not isinstance(scheme, str) or scheme not in FRICTIONS:
        raise BadInput(
            f"friction enters by one of {', '.join(FRICTIONS)}; got {scheme!r:.60}."
        )
