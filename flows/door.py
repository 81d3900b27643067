"""What `solve`, `iterate` and their kin take, looked at before anything is compiled."""

from __future__ import annotations

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np

from flows.dynamics import Dynamics
from flows.errors import BadInput
from flows.types import is_traced


def require_instance(value: Any, kind: type | tuple[type, ...], what: str) -> None:
    """Refuse a class in place of its instance, and anything of another kind.

    Args:
        value: what was given.
        kind: the accepted class, or several.
        what: the argument and an example, as the subject of a sentence.

    Raises:
        BadInput: with `what` and the type that came instead.
    """
    if isinstance(value, kind):
        return
    got = f"the class {value.__name__}" if isinstance(value, type) else f"{value!r:.60}"
    raise BadInput(f"{what}; got {got}.")


def require_number(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse what is no finite real number (traced values pass).

    Raises:
        BadInput: with the name and the value.
    """
    if is_traced(value):
        return
    try:
        number = np.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or (positive and number <= 0):
        wanted = "one finite number > 0" if positive else "one finite number"
        raise BadInput(f"{name} is {wanted}; got {value!r:.60}.")


def require_whole(
    name: str, value: Any, lowest: int = 1, highest: int | None = None
) -> None:
    """Refuse what is no whole number from `lowest` to `highest`.

    Raises:
        BadInput: with the name, the range and the value.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (whole and lowest <= value and (highest is None or value <= highest)):
        wanted = f">= {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise BadInput(f"{name} is a whole number {wanted}; got {value!r:.60}.")


def as_floats(name: str, value: Any) -> np.ndarray:
    """The value as a numpy array of floats.

    Raises:
        BadInput: text, ragged rows, or anything else that is no array of numbers.
    """
    try:
        array = np.asarray(value)
        real = None if np.iscomplexobj(array) else np.asarray(array, float)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} is an array of real numbers: {error}") from None
    if real is None:
        raise BadInput(f"{name} is an array of real numbers; got complex ones.")
    return real


def as_position(name: str, x: Any) -> Any:
    """The position of a start as a jax array, floats as `solve` takes them.

    Raises:
        BadInput: integers, a list, or anything else that is no array of floats.
    """
    dtype = getattr(x, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise BadInput(
            f"{name} is an array of floats, such as jnp.array([1.0, 2.0]); got "
            f"{x!r:.60}."
        )
    return jnp.asarray(x)


def require_state(dynamics: Dynamics, y: Any) -> None:
    """Refuse a state whose position is no vector of the objective's length.

    An objective of fewer variables would read the first entries and leave the rest.

    Raises:
        BadInput: another shape, no float in it, a point outside the model's domain, or
            a model without a usable objective.
    """
    name = type(dynamics).__name__
    inside = getattr(dynamics, "require_inside", None)
    if inside is not None:
        inside(y)
    objective = getattr(dynamics, "objective", None)
    if objective is None or type(dynamics).position is not Dynamics.position:
        return
    size = getattr(objective, "size", None)
    if not isinstance(size, int):
        raise BadInput(
            f"{name} takes an objective, such as flows.from_loss(loss, params, data) "
            f"or flows.from_sympy(f, symbols); it holds {objective!r:.60}."
        )
    x = dynamics.position(y)
    dtype = getattr(x, "dtype", None)
    floating = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    if not floating or np.shape(x) != (size,):
        raise BadInput(
            f"{name} starts from a vector of {size} floats (its objective has {size} "
            f"parameters), or from its state NamedTuple of them; got {y!r:.80}."
        )


def require_pieces(solver: Any, controller: Any, saveat: Any, event: Any, adjoint: Any):
    """Refuse what is not diffrax's, or cannot work together (None passes).

    Raises:
        BadInput: with the argument's name and an accepted example.
    """
    kinds = [
        ("solver", solver, diffrax.AbstractSolver, "diffrax.Tsit5()"),
        (
            "stepsize_controller",
            controller,
            diffrax.AbstractStepSizeController,
            "diffrax.PIDController(rtol=1e-8, atol=1e-10)",
        ),
        ("saveat", saveat, diffrax.SaveAt, "diffrax.SaveAt(ts=times)"),
        ("event", event, diffrax.Event, "diffrax.Event(condition)"),
        ("adjoint", adjoint, diffrax.AbstractAdjoint, "diffrax.DirectAdjoint()"),
    ]
    for name, value, kind, example in kinds:
        if value is not None:
            require_instance(value, kind, f"{name} is diffrax's, such as {example}")
    if isinstance(adjoint, diffrax.BacksolveAdjoint):
        raise BadInput(
            "BacksolveAdjoint keeps no state at a time of its own, which a trajectory "
            "needs: use RecursiveCheckpointAdjoint, DirectAdjoint or ForwardMode."
        )
    _require_tolerances(controller)


def _require_tolerances(controller: Any) -> None:
    if not isinstance(controller, diffrax.PIDController):
        return
    both = (controller.rtol, controller.atol)
    if is_traced(both):
        return
    try:
        values = [np.asarray(v, float) for v in both]
    except (TypeError, ValueError):
        return  # a pytree of tolerances, one for each part of the state
    good = all(np.all(np.isfinite(v)) and np.all(v >= 0) for v in values)
    if not good or not np.any(values[0] + values[1] > 0):
        raise BadInput(
            f"tolerances are finite, >= 0 and not both 0; got rtol={both[0]}, "
            f"atol={both[1]}."
        )
